/* The buffers of a batch, which a network keeps between calls: passes, scratch and gradients. */

enum {
    CHUNK = 8192,     /* parameters whose squares are summed at once */
    MEMBER_ROWS = 64, /* of a layer for each member: fewer tiles could not be shared out evenly */
    MEMBER_COLUMNS = 32,  /* fewer make a gradient that is small as a whole */
    LONG_ROW_BYTES = 4096 /* from there on equal columns of rows may share a set of the cache */
};

/* Bytes of the gradient that a member forms before it uses them. That is as many rows as a block of
 * the product has. If rows are so long that far fewer would fit, it takes MEMBER_ROWS, because the
 * activations are read again for each strip. */
static const int64_t GRADIENT_BYTES = 512 * 1024;

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
    bp_free(ws->part_cost);
    bp_free(ws->partial);
    bp_free(ws);
}

static void workspace_release(bp_net *net, int flags) {
    workspace_free(net->workspace[flags]);
    net->workspace[flags] = NULL;
}

/* Makes a workspace with the sizes written in `want`; NULL where there is no memory. */
static bp_workspace *workspace_make(const bp_net *net, int flags, const bp_workspace *want) {
    bp_workspace *ws = bp_alloc(1, sizeof *ws);
    if (!ws) return NULL;
    const int passes = want->n_passes;
    *ws = *want;
    ws->n_passes = 0;
    ws->scratch_each = bp_round_up(phases_of(net)->scratch(net), BP_ALIGNMENT);
    ws->passes = bp_alloc(passes, sizeof *ws->passes);
    ws->scratch = bp_alloc_scratch(ws->scratch_each * ws->n_members, sizeof *ws->scratch);
    ws->part_cost = bp_alloc(ws->n_parts, sizeof *ws->part_cost);
    ws->partial = bp_alloc(chunk_count(net), sizeof *ws->partial);
    ws->gradients = bp_alloc(ws->n_gradient, sizeof *ws->gradients);
    int failed = !ws->passes || !ws->scratch || !ws->part_cost || !ws->partial || !ws->gradients;
    for (int i = 0; i < passes && !failed; i++) {
        failed = phases_of(net)->create(net, ws->capacity, flags, &ws->passes[i]) != BP_OK;
        ws->n_passes += !failed;
    }
    if (!failed) return ws;
    workspace_free(ws);
    return NULL;
}

/* Rows of a layer whose bytes are at most so many, in whole units of packing. */
static int64_t rows_in(const bp_net *net, const bp_layer *layer, int64_t bytes) {
    const int64_t unit = phases_of(net)->pack_unit(net);
    const int64_t rows = bytes / (layer->n_in * (int64_t)sizeof(real));
    return rows > unit ? rows / unit * unit : unit;
}

/* Rows of a layer whose gradient a member forms and uses up at a time, where there may be so many
 * members (those of the workspace, so that its room serves every team); 0 where the layer has so
 * few rows that the members share its tiles, or so few columns that there is nothing to save: then
 * its gradient is formed whole. */
static int64_t gradient_strip(const bp_net *net, const bp_layer *layer, int members) {
    if (layer->n_out < (int64_t)MEMBER_ROWS * members || layer->n_in < MEMBER_COLUMNS) return 0;
    const int64_t fit = rows_in(net, layer, GRADIENT_BYTES);
    const int64_t rows = fit < MEMBER_ROWS / 2 ? MEMBER_ROWS : fit;
    const int64_t share =
        bp_round_up((layer->n_out - 1) / members + 1, phases_of(net)->pack_unit(net));
    return rows < share ? rows : share;
}

/* The row stride of a strip: padded where rows would compete for the same sets of the nearest
 * cache; shorter ones lie next to each other, as one run for the update. */
static int64_t strip_stride(const bp_layer *layer) {
    const int64_t n_in = layer->n_in, size = sizeof(real);
    return n_in * size < LONG_ROW_BYTES ? n_in : bp_row_stride(n_in, size);
}

/* Entries of a gradient that a fused plan needs: room for a strip of each member, or for a layer.
 */
static int64_t fused_entries(const bp_net *net, const bp_layer *layer, int members) {
    const int64_t strip = gradient_strip(net, layer, members);
    return strip ? strip * (strip_stride(layer) + 1) * members : layer->b + layer->n_out - layer->w;
}

/* Entries of the gradients that a plan needs with up to so many members; -1 where their count
 * overflows. */
static int64_t gradient_entries(const bp_net *net, const bp_plan *plan, int members, int flags) {
    int64_t entries = 0;
    if (flags == BP_PASS_FORWARD) return 0;
    if (!plan->fused) return bp_mul_size(net->n_parameters, plan->parts, &entries) ? entries : -1;
    for (int l = 0; l < net->n_layers; l++) {
        const int64_t count = fused_entries(net, &net->layers[l], members);
        entries = entries > count ? entries : count;
    }
    return entries;
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
