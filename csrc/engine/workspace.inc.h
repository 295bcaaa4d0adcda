/* The buffers of a batch, which a network keeps between calls: passes, scratch and gradients. */

enum {
    CHUNK = 8192,     /* parameters whose squares are summed at once */
    MEMBER_ROWS = 64, /* of a layer for each member: fewer tiles could not be shared out evenly */
    MEMBER_COLUMNS = 32,  /* fewer make a gradient that is small as a whole */
    LONG_ROW_BYTES = 4096 /* from there on equal columns of rows may share a set of the cache */
};

/* Chunks of weights and biases, layer by layer: penalties and the norm of the gradient are summed
 * chunk by chunk. */
static int64_t chunk_count(const bp_net *net) {
    int64_t chunks = 0;
    for (int l = 0; l < net->n_layers; l++)
        chunks += (net->layers[l].n_in * net->layers[l].n_out + CHUNK - 1) / CHUNK +
                  (net->layers[l].n_out + CHUNK - 1) / CHUNK;
    return chunks;
}

static void workspace_free(bp_workspace *ws) {
    if (!ws) return;
    for (int i = 0; i < ws->n_passes; i++)
        pass_destroy(&ws->passes[i]);
    bp_free(ws->passes);
    bp_free(ws->scratch);
    bp_free(ws->gradients);
    bp_free(ws->replicas);
    bp_free(ws->part_cost);
    bp_free(ws->partial);
    bp_free(ws);
}

static void workspace_release(bp_net *net, int flags) {
    if (flags == BP_PASS_LANES)
        bp_free(net->workspace[flags]); /* lane_memory */
    else
        workspace_free(net->workspace[flags]);
    net->workspace[flags] = NULL;
}

/* Makes a workspace with the sizes written in `want`; NULL if there is no memory. */
static bp_workspace *workspace_make(const bp_net *net, int flags, const bp_workspace *want) {
    bp_workspace *ws = bp_alloc(1, sizeof *ws);
    if (!ws) return NULL;
    const int passes = want->n_passes;
    *ws = *want;
    ws->n_passes = 0;
    const bp_phases *phases = flags == BP_PASS_COLUMNS ? &column_phases : phases_of(net);
    ws->scratch_each = bp_round_up(phases->scratch(net), BP_ALIGNMENT);
    ws->passes = bp_alloc(passes, sizeof *ws->passes);
    ws->scratch = bp_alloc_scratch(ws->scratch_each * ws->n_members, sizeof *ws->scratch);
    ws->part_cost = bp_alloc(2 * (int64_t)ws->n_parts, sizeof *ws->part_cost);
    ws->partial = bp_alloc(chunk_count(net), sizeof *ws->partial);
    ws->gradients = bp_alloc(ws->n_gradient, sizeof *ws->gradients);
    int failed = !ws->passes || !ws->scratch || !ws->part_cost || !ws->partial || !ws->gradients;
    for (int i = 0; i < passes && !failed; i++) {
        failed = phases->create(net, ws->capacity, flags, &ws->passes[i]) != BP_OK;
        ws->n_passes += !failed;
    }
    if (!failed) return ws;
    workspace_free(ws);
    return NULL;
}

/* Rows of so many columns whose bytes are at most so many, in whole units of packing. */
static int64_t rows_in(const bp_net *net, int64_t cols, int64_t bytes) {
    const int64_t unit = phases_of(net)->pack_unit(net);
    const int64_t rows = bytes / (cols * (int64_t)sizeof(real));
    return rows > unit ? rows / unit * unit : unit;
}

/* The tile of a layer's gradient that a member forms and uses up at a time, if there may be this
 * many members (those of the workspace, so that its room serves every team). It has no rows if the
 * layer's gradient is formed whole: when the layer has so few rows that the members share the tiles
 * of its product, or so few columns that there is nothing to save, or when the plan is not fused.
 */
static bp_tile_size gradient_tile_size(const bp_net *net, const bp_plan *plan,
                                       const bp_layer *layer, int members) {
    if (!plan->fused || layer->n_out < (int64_t)MEMBER_ROWS * members ||
        layer->n_in < MEMBER_COLUMNS)
        return (bp_tile_size){0, 0};
    const bp_phases *phases = phases_of(net);
    const int64_t unit = phases->pack_unit(net), share = bp_ceil_div(layer->n_out, members);
    bp_tile_size size = phases->gradient_tile_size(net, layer->n_in, plan->block);
    size.rows = bp_round_up(bp_min_i64(size.rows, share), unit);
    return size;
}

/* The row stride of a tile. It is padded where rows would compete for the same sets of the nearest
 * cache; whole short rows lie next to each other, as one run for the update. */
static int64_t tile_stride(bp_tile_size tile) {
    const int64_t size = sizeof(real);
    return tile.cols * size < LONG_ROW_BYTES ? tile.cols : bp_row_stride(tile.cols, size);
}

/* Entries of a member's room for a tile of W and its part of b: whole cache lines. */
static int64_t tile_room(bp_tile_size tile) {
    return bp_round_up(tile.rows * (tile_stride(tile) + 1), BP_ALIGNMENT);
}

/* Entries of a gradient that a fused plan needs: room for a tile of each member, or for a layer. */
static int64_t fused_entries(const bp_net *net, const bp_plan *plan, const bp_layer *layer,
                             int members) {
    const bp_tile_size size = gradient_tile_size(net, plan, layer, members);
    return size.rows ? tile_room(size) * members : layer->b + layer->n_out - layer->w;
}

/* Entries from the gradient of one part to that of the next: whole cache lines, so that no line is
 * written by two members. */
static int64_t gradient_stride(const bp_net *net) {
    return bp_round_up(net->n_parameters, BP_ALIGNMENT);
}

/* Entries of the gradients that a plan needs with up to so many members; -1 if their count
 * overflows. */
static int64_t gradient_entries(const bp_net *net, const bp_plan *plan, int members, int flags) {
    int64_t entries = 0;
    if (flags == BP_PASS_FORWARD) return 0;
    if (!plan->fused)
        return bp_mul_size(gradient_stride(net), plan->parts, &entries) ? entries : -1;
    for (int l = 0; l < net->n_layers; l++) {
        const int64_t count = fused_entries(net, plan, &net->layers[l], members);
        entries = entries > count ? entries : count;
    }
    return entries;
}

/* The flags of the passes of a plan for gradients. */
static int gradient_flags(const bp_plan *plan) {
    return plan->columns ? BP_PASS_COLUMNS : BP_PASS_BACKWARD;
}

static bp_workspace *workspace_reserve(bp_net *net, const bp_plan *plan, int flags) {
    const bp_workspace *old = net->workspace[flags];
    bp_workspace want = {
        .n_passes = plan->shared ? 1 : plan->threads,
        .n_members = plan->threads,
        .n_parts = plan->parts,
        .capacity = plan->block,
    };
    /* Calls that alternate between two shapes share one workspace that serves both. */
    if (old) {
        want.n_passes = want.n_passes > old->n_passes ? want.n_passes : old->n_passes;
        want.n_members = want.n_members > old->n_members ? want.n_members : old->n_members;
        want.n_parts = want.n_parts > old->n_parts ? want.n_parts : old->n_parts;
        want.capacity = want.capacity > old->capacity ? want.capacity : old->capacity;
    }
    want.n_gradient = gradient_entries(net, plan, want.n_members, flags);
    if (want.n_gradient < 0) return NULL;
    if (old) {
        if (want.n_gradient < old->n_gradient) want.n_gradient = old->n_gradient;
        if (old->n_passes == want.n_passes && old->n_members == want.n_members &&
            old->n_parts == want.n_parts && old->capacity == want.capacity &&
            old->n_gradient == want.n_gradient)
            return net->workspace[flags];
        workspace_release(net, flags);
    }
    return net->workspace[flags] = workspace_make(net, flags, &want);
}
