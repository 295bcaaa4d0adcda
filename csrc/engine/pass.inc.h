/* The phases of a pass whose products take operands of the network's own type, and the pieces that
 * phases of every precision are made of. */

static int keeps_z(const bp_net *net, int l, int flags) {
    return flags == BP_PASS_KEEP ||
           (flags != BP_PASS_FORWARD && bp_act_needs_z(net->layers[l].act));
}

/* Which layer's outputs make room for delta of layer l. When that delta is formed, the outputs of
 * all layers above are no longer needed, unless they hold delta of the next layer. -1 if none has
 * as many columns. */
static int buffer_of_delta(const bp_pass *pass, int l, int last, int next_buffer) {
    for (int j = l + 1; j <= last; j++)
        if (j != next_buffer && pass->ld[j + 1] >= pass->ld[l + 1]) return j;
    return -1;
}

/* Places the deltas. Deltas that find no room alternate between two buffers. A first call without
 * the buffers finds out how many columns they need. */
static void place_deltas(bp_pass *pass, int last, real *const buffers[2], int64_t cols[2]) {
    int found = -1, unplaced = 0;
    cols[0] = cols[1] = 0;
    for (int l = last; l >= 0; l--) {
        found = buffer_of_delta(pass, l, last, found);
        pass->delta[l] = found < 0 ? buffers[unplaced & 1] : pass->out[found];
        if (found >= 0) continue;
        if (cols[unplaced & 1] < pass->ld[l + 1]) cols[unplaced & 1] = pass->ld[l + 1];
        unplaced++;
    }
}

/* Distributes a block over the buffers, or counts the bytes that they need if it is NULL. */
static int64_t lay_out(const bp_net *net, bp_pass *pass, void *block) {
    const int64_t rows = pass->capacity;
    const int last = net->n_layers - 1, flags = pass->flags;
    int64_t used = 0, widest = 0;
    for (int l = 0; l <= last; l++)
        if (widest < pass->ld[l + 1]) widest = pass->ld[l + 1];
    int64_t cols[2] = {widest, widest};
    real *buffers[2] = {NULL, NULL};
    if (flags == BP_PASS_BACKWARD) place_deltas(pass, last, buffers, cols);
    for (int i = 0; flags != BP_PASS_KEEP && i < 2; i++)
        buffers[i] = bp_cut(block, &used, rows * cols[i], sizeof(real));
    pass->x = bp_cut(block, &used, rows * pass->ld[0], sizeof(real));
    for (int l = 0; l <= last; l++) {
        const int64_t count = rows * pass->ld[l + 1];
        pass->z[l] = keeps_z(net, l, flags) ? bp_cut(block, &used, count, sizeof(real)) : NULL;
        if (flags == BP_PASS_FORWARD) {
            pass->out[l] = pass->after_dropout[l] = buffers[l & 1];
            continue;
        }
        pass->out[l] = bp_cut(block, &used, count, sizeof(real));
        pass->after_dropout[l] =
            net->layers[l].dropout > 0 ? bp_cut(block, &used, count, sizeof(real)) : pass->out[l];
        if (flags == BP_PASS_KEEP) pass->delta[l] = bp_cut(block, &used, count, sizeof(real));
    }
    if (flags == BP_PASS_BACKWARD) place_deltas(pass, last, buffers, cols);
    pass->y = bp_cut(block, &used, rows * net->layers[last].n_out, sizeof(real));
    pass->loss = bp_cut(block, &used, rows, sizeof(real));
    pass->row_scale = bp_cut(block, &used, rows, sizeof(real));
    return used;
}

static void pass_destroy(bp_pass *pass) {
    bp_free(pass->ld);
    bp_free(pass->a);
    bp_free(pass->mask);
    bp_free(pass->labels);
    bp_free(pass->reals);
    bp_free(pass->bytes);
    bp_free(pass->operands);
    *pass = (bp_pass){0};
}

/* The mask bytes of all layers with dropout. */
static int make_masks(const bp_net *net, bp_pass *pass) {
    int64_t bytes = 0;
    for (int l = 0; l < net->n_layers; l++)
        if (net->layers[l].dropout > 0) bytes += pass->capacity * net->layers[l].n_out;
    pass->bytes = bp_alloc(bytes, 1);
    if (!pass->bytes) return BP_ERR_MEMORY;
    uint8_t *next = pass->bytes;
    for (int l = 0; l < net->n_layers; l++) {
        if (!(net->layers[l].dropout > 0)) continue;
        pass->mask[l] = next;
        next += pass->capacity * net->layers[l].n_out;
    }
    return BP_OK;
}

/* The arrays of strides and pointers; on BP_ERR_MEMORY nothing is held. */
static int pass_make_arrays(const bp_net *net, int64_t capacity, int flags, bp_pass *pass) {
    const int32_t n = net->n_layers;
    int64_t limit;
    *pass = (bp_pass){.capacity = capacity, .flags = flags};
    /* No buffer has more than max_width + 2 lines of columns: one check covers all counts. */
    if (!bp_mul_size(capacity, net->max_width + BP_ALIGNMENT, &limit) ||
        !bp_mul_size(limit, 8 * (5 * (int64_t)n + 8), &limit))
        return BP_ERR_MEMORY;
    pass->ld = bp_alloc(n + 1, sizeof *pass->ld);
    real **pointers = bp_alloc(5 * (int64_t)n + 1, sizeof *pointers);
    pass->a = (const real **)pointers;
    pass->mask = bp_alloc(n, sizeof *pass->mask);
    pass->labels = bp_alloc(capacity, sizeof *pass->labels);
    if (!pass->ld || !pointers || !pass->mask || !pass->labels) {
        pass_destroy(pass);
        return BP_ERR_MEMORY;
    }
    pass->z = pointers + n + 1;
    pass->out = pass->z + n;
    pass->after_dropout = pass->out + n;
    pass->delta = pass->after_dropout + n;
    pass->ld[0] = bp_row_stride(net->layers[0].n_in, sizeof(real));
    for (int l = 0; l < n; l++)
        pass->ld[l + 1] = bp_row_stride(net->layers[l].n_out, sizeof(real));
    return BP_OK;
}

static int pass_create(const bp_net *net, int64_t capacity, int flags, bp_pass *pass) {
    const int32_t n = net->n_layers;
    if (pass_make_arrays(net, capacity, flags, pass) != BP_OK) return BP_ERR_MEMORY;
    if (net->loss == BP_LOSS_CALLBACK) /* the user sees these rows as a C-contiguous array */
        pass->ld[n] = net->layers[n - 1].n_out;
    pass->reals = bp_alloc(lay_out(net, pass, NULL), 1);
    if (!pass->reals || make_masks(net, pass) != BP_OK) goto no_memory;
    lay_out(net, pass, pass->reals);
    return BP_OK;
no_memory:
    pass_destroy(pass);
    return BP_ERR_MEMORY;
}

/* Whether the rows of a matrix can stand for a buffer: right type, in order, no scaling. */
static int usable_in_place(const bp_net *net, const bp_matrix *x, const bp_rows *rows) {
    return x->dtype == (sizeof(real) == 4 ? BP_FLOAT32 : BP_FLOAT64) && !rows->index &&
           !net->scale && (x->cols == 1 || x->col_stride == (int64_t)sizeof(real)) &&
           x->row_stride >= 0 && x->row_stride % (int64_t)sizeof(real) == 0;
}

static void pass_bind(const bp_net *net, bp_pass *pass, const bp_block *block) {
    const bp_matrix *x = &block->data->x;
    if (usable_in_place(net, x, &block->rows)) {
        const char *row = (const char *)x->data + block->rows.first * x->row_stride;
        pass->a[0] = (const real *)(const void *)row;
        pass->ld[0] = x->row_stride / (int64_t)sizeof(real);
    } else {
        pass->a[0] = pass->x;
        pass->ld[0] = bp_row_stride(net->layers[0].n_in, sizeof(real));
    }
    for (int l = 0; l < net->n_layers; l++)
        pass->a[l + 1] = block->updates ? pass->after_dropout[l] : pass->out[l];
}

static void pass_load_inputs(const bp_worker *w, const bp_block *block, int64_t begin, int64_t end,
                             real *dst, int64_t ld) {
    const bp_rows rows = {block->rows.index, block->rows.first + begin};
    rows_load(w->kernels, &block->data->x, &rows, end - begin, w->net->shift, w->net->scale, dst,
              ld);
}

static void pass_load_targets(const bp_worker *w, const bp_block *block, int64_t begin,
                              int64_t end) {
    const bp_pass *pass = w->pass;
    const bp_rows rows = {block->rows.index, block->rows.first + begin};
    const int64_t n_out = w->net->layers[w->net->n_layers - 1].n_out;
    if (!block->data->y.data) return;
    load_targets(
        w->net, block->data, &rows, end - begin, block->weight_scale,
        (bp_targets){pass->y + begin * n_out, pass->labels + begin, pass->row_scale + begin});
}

static void plain_load(const bp_worker *w, const bp_block *block) {
    bp_pass *pass = w->pass;
    int64_t begin, end;
    bp_share(block->n, 1, w->member, w->members, &begin, &end);
    if (pass->a[0] == pass->x)
        pass_load_inputs(w, block, begin, end, pass->x + begin * pass->ld[0], pass->ld[0]);
    pass_load_targets(w, block, begin, end);
}

static double pass_drop_rate(const bp_worker *w, const bp_block *block, int l) {
    return block->dropout * w->net->layers[l].dropout;
}

static void pass_drop_forward(const bp_worker *w, const bp_block *block, int l, bp_tile tile) {
    const bp_layer *layer = &w->net->layers[l];
    const double rate = pass_drop_rate(w, block, l);
    const real kept = (real)(1.0 / (1.0 - rate));
    const int64_t ld = w->pass->ld[l + 1], cols = tile.n1 - tile.n0;
    for (int64_t i = tile.m0; i < tile.m1; i++) {
        uint8_t *mask = w->pass->mask[l] + i * layer->n_out + tile.n0;
        const real *out = w->pass->out[l] + i * ld + tile.n0;
        real *after_dropout = w->pass->after_dropout[l] + i * ld + tile.n0;
        bp_dropout_mask(w->net->seed, block->step, l, rate,
                        (block->offset + i) * layer->n_out + tile.n0, cols, mask);
        for (int64_t j = 0; j < cols; j++)
            after_dropout[j] = mask[j] ? out[j] * kept : 0;
    }
}

static void pass_drop_backward(const bp_worker *w, const bp_block *block, int l, bp_tile tile) {
    const bp_layer *layer = &w->net->layers[l];
    const real kept = (real)(1.0 / (1.0 - pass_drop_rate(w, block, l)));
    for (int64_t i = tile.m0; i < tile.m1; i++) {
        const uint8_t *mask = w->pass->mask[l] + i * layer->n_out;
        real *delta = w->pass->delta[l] + i * w->pass->ld[l + 1];
        for (int64_t j = tile.n0; j < tile.n1; j++)
            delta[j] = mask[j] ? delta[j] * kept : 0;
    }
}

static bp_dense dense_of_layer(const bp_net *net, int l, int64_t rows, int member, int members,
                               real *scratch) {
    const bp_layer *layer = &net->layers[l];
    return (bp_dense){
        .kernels = kernels_of(net),
        .rows = rows,
        .n_in = layer->n_in,
        .n_out = layer->n_out,
        .w = (const real *)net->parameters + layer->w,
        .packed = net->packed ? (const real *)net->packed + layer->packed : NULL,
        .member = member,
        .members = members,
        .scratch = scratch,
    };
}

static bp_dense dense_of(const bp_worker *w, int l, int64_t rows) {
    return dense_of_layer(w->net, l, rows, w->member, w->members, w->scratch);
}

static int pass_act(const bp_net *net, int l, int apply_output) {
    if (l == net->n_layers - 1 && !apply_output && bp_loss_from_z(net->loss))
        return BP_ACT_IDENTITY;
    return net->layers[l].act;
}

static void pass_softmax(const bp_worker *w, const bp_block *block, real *out, int64_t ld) {
    const int last = w->net->n_layers - 1;
    const real *z = w->pass->z[last] ? w->pass->z[last] : out;
    int64_t begin, end;
    bp_share(block->n, 1, w->member, w->members, &begin, &end);
    w->kernels->softmax(end - begin, w->net->layers[last].n_out, z + begin * ld, ld,
                        out + begin * ld, ld);
    bp_sync(w->team, w->member, w->members);
}

/* Whether the block is all that an update learns from, a single example, in a pass of one member:
 * only then does a worker have parameters of its own. Its forward pass reads W as it is, row by
 * row. A row among others, and calls that update nothing, keep the order of all products. */
static int is_one_to_learn(const bp_worker *w, const bp_block *block) {
    return block->alone && w->parameters && block->updates;
}

static void forward_of_one(const bp_worker *w, const bp_block *block, int apply_output) {
    const bp_net *net = w->net;
    bp_pass *pass = w->pass;
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = &net->layers[l];
        const int act = pass_act(net, l, apply_output);
        const int64_t n_out = layer->n_out;
        real *out = pass->out[l], *z = pass->z[l] ? pass->z[l] : out;
        w->kernels->gemv(n_out, layer->n_in, w->parameters + layer->w, layer->n_in, pass->a[l], z);
        w->kernels->act_fwd[act == BP_ACT_SOFTMAX ? BP_ACT_IDENTITY : act](
            1, n_out, z, n_out, w->parameters + layer->b, out, n_out);
        if (block->updates && layer->dropout > 0)
            pass_drop_forward(w, block, l, (bp_tile){0, 1, 0, n_out});
        if (act == BP_ACT_SOFTMAX) pass_softmax(w, block, out, n_out);
    }
}

static void plain_forward(const bp_worker *w, const bp_block *block, int apply_output, real *last,
                          int64_t last_ld) {
    const bp_net *net = w->net;
    bp_pass *pass = w->pass;
    if (is_one_to_learn(w, block)) {
        forward_of_one(w, block, apply_output);
        return;
    }
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = &net->layers[l];
        const int to_last = l == net->n_layers - 1 && last;
        const int act = pass_act(net, l, apply_output);
        bp_dense dense = dense_of(w, l, block->n);
        real *out = to_last ? last : pass->out[l];
        const int64_t ld = to_last ? last_ld : pass->ld[l + 1];
        bp_tile tile = dense_fwd(&dense, act, pass->a[l], pass->ld[l],
                                 (const real *)net->parameters + layer->b, pass->z[l], out, ld);
        if (block->updates && layer->dropout > 0) pass_drop_forward(w, block, l, tile);
        bp_sync(w->team, w->member, w->members);
        if (act == BP_ACT_SOFTMAX) pass_softmax(w, block, out, ld);
    }
}

static int pass_loss(const bp_worker *w, const bp_block *block, int64_t begin, int64_t end) {
    const bp_net *net = w->net;
    bp_pass *pass = w->pass;
    const int last = net->n_layers - 1;
    const int64_t ld = pass->ld[last + 1], n_out = net->layers[last].n_out;
    /* A trace has applied the output activation and kept what the loss starts from beside them. */
    const int from_z = bp_loss_from_z(net->loss) && pass->z[last];
    const int forward_only = pass->flags == BP_PASS_FORWARD;
    int status = BP_OK;
    if (begin == end) return BP_OK;
    const bp_loss_rows rows = {end - begin, n_out, net->loss, net->layers[last].act};
    bp_loss_buffers buffers = {
        .out = (from_z ? pass->z[last] : pass->out[last]) + begin * ld,
        .z = pass->z[last] ? pass->z[last] + begin * ld : NULL,
        .ld = ld,
        .y = targets_are_labels(net, block->data) ? NULL : pass->y + begin * n_out,
        .labels = pass->labels + begin,
        .row_scale = pass->row_scale + begin,
        .loss = pass->loss + begin,
        .delta = forward_only ? NULL : pass->delta[last] + begin * ld,
    };
    if (net->loss == BP_LOSS_CALLBACK) {
        status = loss_user(w->kernels, &rows, &buffers, net->callback, net->callback_user);
        /* A process forked by the user's loss has none of the other members. */
        if (bp_net_was_forked(net)) status = BP_ERR_FORKED;
    } else {
        loss_run(w->kernels, &rows, &buffers);
    }
    return status;
}

static void pass_loss_share(const bp_worker *w, const bp_block *block, int64_t unit, int64_t *begin,
                            int64_t *end) {
    bp_share(block->n, unit, w->member, w->members, begin, end);
    if (w->net->loss != BP_LOSS_CALLBACK) return;
    /* Row scales and the activation's derivative follow for all rows, on this member alone. */
    *begin = 0;
    *end = w->member == 0 ? block->n : 0;
}

static int plain_loss(const bp_worker *w, const bp_block *block) {
    int64_t begin, end;
    pass_loss_share(w, block, 1, &begin, &end);
    return pass_loss(w, block, begin, end);
}

static const real *pass_saved(const bp_net *net, const bp_pass *pass, int l) {
    const int act = net->layers[l].act;
    if (act == BP_ACT_IDENTITY) return NULL;
    return bp_act_needs_z(act) ? pass->z[l] : pass->out[l];
}

static void plain_backward(const bp_worker *w, const bp_block *block, int l, real *dx) {
    const bp_net *net = w->net;
    bp_pass *pass = w->pass;
    const bp_dense dense = dense_of(w, l, block->n);
    if (l > 0) {
        bp_tile tile = dense_bwd_x(&dense, pass->delta[l], pass->ld[l + 1], net->layers[l - 1].act,
                                   pass_saved(net, pass, l - 1), pass->delta[l - 1], pass->ld[l]);
        if (block->updates && net->layers[l - 1].dropout > 0)
            pass_drop_backward(w, block, l - 1, tile);
    } else if (dx) {
        dense_bwd_x(&dense, pass->delta[l], pass->ld[l + 1], BP_ACT_IDENTITY, NULL, dx, dense.n_in);
    }
}

static void plain_gradient(const bp_worker *w, const bp_block *block, int l, real *gradient,
                           int accumulate) {
    const bp_pass *pass = w->pass;
    const bp_layer *layer = &w->net->layers[l];
    const bp_dense dense = dense_of(w, l, block->n);
    dense_bwd_w(&dense, pass->a[l], pass->ld[l], pass->delta[l], pass->ld[l + 1], gradient,
                gradient + (layer->b - layer->w), accumulate);
}

static void plain_gradient_tile(const bp_worker *w, const bp_block *block, int l, bp_tile tile,
                                real *dw, int64_t lddw, real *db) {
    const bp_pass *pass = w->pass;
    bp_dense dense = dense_of(w, l, block->n);
    dense.n_in = tile.n1 - tile.n0;
    dense.n_out = tile.m1 - tile.m0;
    dense.lddw = lddw;
    dense.member = 0;
    dense.members = 1;
    dense_bwd_w(&dense, pass->a[l] + tile.n0, pass->ld[l], pass->delta[l] + tile.m0,
                pass->ld[l + 1], dw, tile.n0 == 0 ? db : NULL, 0);
}

/* The columns of a gradient's tiles: n_in in equal parts of at most `most`, but of no less than a
 * page. The update goes through the weights and its states one row of a tile after another, and the
 * hardware starts to prefetch again in each row. */
static int64_t tile_columns(int64_t n_in, int64_t most) {
    const int64_t page = BP_PAGE / (int64_t)sizeof(real);
    const int64_t parts = bp_min_i64(bp_ceil_div(n_in, bp_max_i64(most, 1)), n_in / page);
    const int64_t part = bp_ceil_div(n_in, bp_max_i64(parts, 1));
    return bp_min_i64(n_in, bp_round_up(part, TILE_COLUMNS));
}

/* As few columns as a page allows, and as many rows as then fill half of the second-level cache:
 * the operands are read, and packed, least often. */
static bp_tile_size plain_gradient_tile_size(const bp_net *net, int64_t n_in, int64_t block) {
    const int64_t entries = bp_l2_bytes(bp_cpu_get()) / 2 / (int64_t)sizeof(real);
    const int64_t cols = tile_columns(n_in, TILE_COLUMNS);
    (void)net, (void)block;
    return (bp_tile_size){entries / cols, cols};
}

static int64_t plain_scratch(const bp_net *net) {
    return product_scratch(kernels_of(net));
}

static int64_t plain_pack_unit(const bp_net *net) {
    return net->packed ? kernels_of(net)->gemm.nr : 1;
}

/* The part of the panels of W^T that the tile makes. */
static void plain_pack_tile(bp_net *net, int l, bp_tile tile) {
    const bp_layer *layer = &net->layers[l];
    const int64_t nr = kernels_of(net)->gemm.nr, n_in = layer->n_in;
    if (!net->packed) return;
    const real *w = (const real *)net->parameters + layer->w + tile.n0;
    real *packed = (real *)net->packed + layer->packed + tile.n0 * nr;
    for (int64_t i = tile.m0; i < tile.m1; i += nr)
        kernels_of(net)->transpose(tile.n1 - tile.n0, bp_min_i64(nr, layer->n_out - i),
                                   w + i * n_in, n_in, packed + i * n_in, nr);
}

static const bp_phases plain_phases = {
    .create = pass_create,
    .scratch = plain_scratch,
    .load = plain_load,
    .forward = plain_forward,
    .loss = plain_loss,
    .backward = plain_backward,
    .gradient = plain_gradient,
    .gradient_tile = plain_gradient_tile,
    .gradient_tile_size = plain_gradient_tile_size,
    .pack_unit = plain_pack_unit,
    .pack_tile = plain_pack_tile,
};

/* These phases, and room for the panels of a compact network; 0 if there is no memory. */
static int choose_plain_phases(bp_net *net) {
    net->phases = &plain_phases;
    return !net->compact || (net->packed = bp_alloc(net->n_packed, sizeof(real))) != NULL;
}
