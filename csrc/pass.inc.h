/* A pass through a network for one element type; included by pass.c for float and double. */

/* Cuts count elements from a block, or only counts them while the block does not exist yet. */
static real *BP_T(cut)(real *block, int64_t *used, int64_t count) {
    real *piece = block ? block + *used : NULL;
    *used += bp_round_up(count, BP_ALIGNMENT / (int64_t)sizeof(real));
    return piece;
}

static int BP_T(keeps_z)(const bp_net *net, int l, int flags) {
    return flags == BP_PASS_KEEP ||
           (flags != BP_PASS_FORWARD && bp_act_needs_z(net->layers[l].act));
}

/* Which layer's outputs make room for delta of layer l: when it is formed, those of all layers
 * above have served, unless delta of the next layer lies there. -1 if none has as many columns. */
static int BP_T(home_of_delta)(const BP_T(bp_pass) *pass, int l, int last, int next_home) {
    for (int j = l + 1; j <= last; j++)
        if (j != next_home && pass->ld[j + 1] >= pass->ld[l + 1]) return j;
    return -1;
}

/* Places the deltas. Those that find no room lie in two buffers, which take turns; how many columns
 * these need is known after a first call without them. */
static void BP_T(place_deltas)(BP_T(bp_pass) *pass, int last, real *const turn[2],
                               int64_t cols[2]) {
    int home = -1, homeless = 0;
    cols[0] = cols[1] = 0;
    for (int l = last; l >= 0; l--) {
        home = BP_T(home_of_delta)(pass, l, last, home);
        pass->delta[l] = home < 0 ? turn[homeless & 1] : pass->out[home];
        if (home >= 0) continue;
        if (cols[homeless & 1] < pass->ld[l + 1]) cols[homeless & 1] = pass->ld[l + 1];
        homeless++;
    }
}

/* Distributes a block over the buffers, or counts what they need where block is NULL. */
static int64_t BP_T(lay_out)(const bp_net *net, BP_T(bp_pass) *pass, real *block) {
    const int64_t rows = pass->capacity;
    const int last = net->n_layers - 1, flags = pass->flags;
    int64_t used = 0, widest = 0;
    for (int l = 0; l <= last; l++)
        if (widest < pass->ld[l + 1]) widest = pass->ld[l + 1];
    int64_t cols[2] = {widest, widest};
    real *turn[2] = {NULL, NULL};
    if (flags == BP_PASS_BACKWARD) BP_T(place_deltas)(pass, last, turn, cols);
    for (int i = 0; flags != BP_PASS_KEEP && i < 2; i++)
        turn[i] = BP_T(cut)(block, &used, rows * cols[i]);
    pass->x = BP_T(cut)(block, &used, rows * pass->ld[0]);
    for (int l = 0; l <= last; l++) {
        const int64_t count = rows * pass->ld[l + 1];
        pass->z[l] = BP_T(keeps_z)(net, l, flags) ? BP_T(cut)(block, &used, count) : NULL;
        if (flags == BP_PASS_FORWARD) {
            pass->out[l] = pass->passed[l] = turn[l & 1];
            continue;
        }
        pass->out[l] = BP_T(cut)(block, &used, count);
        pass->passed[l] =
            net->layers[l].dropout > 0 ? BP_T(cut)(block, &used, count) : pass->out[l];
        if (flags == BP_PASS_KEEP) pass->delta[l] = BP_T(cut)(block, &used, count);
    }
    if (flags == BP_PASS_BACKWARD) BP_T(place_deltas)(pass, last, turn, cols);
    pass->y = BP_T(cut)(block, &used, rows * net->layers[last].n_out);
    pass->loss = BP_T(cut)(block, &used, rows);
    pass->row_scale = BP_T(cut)(block, &used, rows);
    return used;
}

void BP_T(bp_pass_destroy)(BP_T(bp_pass) *pass) {
    bp_free(pass->ld);
    bp_free(pass->a);
    bp_free(pass->mask);
    bp_free(pass->labels);
    bp_free(pass->reals);
    bp_free(pass->bytes);
    bp_free(pass->operands);
    *pass = (BP_T(bp_pass)){0};
}

/* The mask bytes of all layers with dropout. */
static int BP_T(make_masks)(const bp_net *net, BP_T(bp_pass) *pass) {
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

int BP_T(bp_pass_create)(const bp_net *net, int64_t capacity, int flags, BP_T(bp_pass) *pass) {
    const int32_t n = net->n_layers;
    int64_t limit;
    *pass = (BP_T(bp_pass)){.capacity = capacity, .flags = flags};
    /* No buffer has more than max_width + 2 lines of columns: one check covers all counts. */
    if (!bp_mul_size(capacity, net->max_width + BP_ALIGNMENT, &limit) ||
        !bp_mul_size(limit, 8 * (5 * (int64_t)n + 8), &limit))
        return BP_ERR_MEMORY;
    pass->ld = bp_alloc(n + 1, sizeof *pass->ld);
    real **pointers = bp_alloc(5 * (int64_t)n + 1, sizeof *pointers);
    pass->a = (const real **)pointers;
    pass->mask = bp_alloc(n, sizeof *pass->mask);
    pass->labels = bp_alloc(capacity, sizeof *pass->labels);
    if (!pass->ld || !pointers || !pass->mask || !pass->labels) goto no_memory;
    pass->z = pointers + n + 1;
    pass->out = pass->z + n;
    pass->passed = pass->out + n;
    pass->delta = pass->passed + n;
    pass->ld[0] = bp_row_stride(net->layers[0].n_in, sizeof(real));
    for (int l = 0; l < n; l++)
        pass->ld[l + 1] = bp_row_stride(net->layers[l].n_out, sizeof(real));
    if (net->loss == BP_LOSS_CALLBACK) /* the user sees these rows as a C-contiguous array */
        pass->ld[n] = net->layers[n - 1].n_out;
    pass->reals = bp_alloc(BP_T(lay_out)(net, pass, NULL), sizeof(real));
    if (!pass->reals || BP_T(make_masks)(net, pass) != BP_OK) goto no_memory;
    BP_T(lay_out)(net, pass, pass->reals);
    return BP_OK;
no_memory:
    BP_T(bp_pass_destroy)(pass);
    return BP_ERR_MEMORY;
}

/* Whether the rows of a matrix can stand for a buffer: right type, in order, no scaling. */
static int BP_T(usable_in_place)(const bp_net *net, const bp_matrix *x, const bp_rows *rows) {
    return x->dtype == (sizeof(real) == 4 ? BP_FLOAT32 : BP_FLOAT64) && !rows->index &&
           !net->scale && (x->cols == 1 || x->col_stride == (int64_t)sizeof(real)) &&
           x->row_stride >= 0 && x->row_stride % (int64_t)sizeof(real) == 0;
}

void BP_T(bp_pass_bind)(const bp_net *net, BP_T(bp_pass) *pass, const bp_block *block) {
    const bp_matrix *x = &block->data->x;
    if (BP_T(usable_in_place)(net, x, &block->rows)) {
        const char *row = (const char *)x->data + block->rows.first * x->row_stride;
        pass->a[0] = (const real *)(const void *)row;
        pass->ld[0] = x->row_stride / (int64_t)sizeof(real);
    } else {
        pass->a[0] = pass->x;
        pass->ld[0] = bp_row_stride(net->layers[0].n_in, sizeof(real));
    }
    for (int l = 0; l < net->n_layers; l++)
        pass->a[l + 1] = block->dropout ? pass->passed[l] : pass->out[l];
}

void BP_T(bp_pass_load_inputs)(const BP_T(bp_worker) *w, const bp_block *block, int64_t begin,
                               int64_t end, real *dst, int64_t ld) {
    const bp_rows rows = {block->rows.index, block->rows.first + begin};
    BP_T(bp_rows_load)
    (w->kernels, &block->data->x, &rows, end - begin, w->net->shift, w->net->scale, dst, ld);
}

void BP_T(bp_pass_load_targets)(const BP_T(bp_worker) *w, const bp_block *block, int64_t begin,
                                int64_t end) {
    const bp_net *net = w->net;
    const bp_data *data = block->data;
    BP_T(bp_pass) *pass = w->pass;
    const bp_rows rows = {block->rows.index, block->rows.first + begin};
    const int64_t n = end - begin, n_out = net->layers[net->n_layers - 1].n_out;
    if (!data->y.data) return;
    if (data->y.dtype == BP_INT64)
        bp_rows_labels(&data->y, &rows, n, n_out, pass->labels + begin);
    else
        BP_T(bp_rows_load)
    (w->kernels, &data->y, &rows, n, NULL, NULL, pass->y + begin * n_out, n_out);
    for (int64_t i = 0; i < n; i++) {
        double weight = data->sample_weight ? data->sample_weight[bp_row(&rows, i)] : 1.0;
        pass->row_scale[begin + i] = (real)(weight * block->weight_scale);
        if (data->y.dtype == BP_INT64 && pass->labels[begin + i] < 0) {
            /* No such class: a cost that is not finite stops the training. */
            pass->labels[begin + i] = 0;
            pass->row_scale[begin + i] = (real)NAN;
        }
    }
}

static void BP_T(load)(const BP_T(bp_worker) *w, const bp_block *block) {
    BP_T(bp_pass) *pass = w->pass;
    int64_t begin, end;
    bp_share(block->n, 1, w->member, w->members, &begin, &end);
    if (pass->a[0] == pass->x) BP_T(bp_pass_load_inputs)
    (w, block, begin, end, pass->x + begin * pass->ld[0], pass->ld[0]);
    BP_T(bp_pass_load_targets)(w, block, begin, end);
}

void BP_T(bp_pass_drop_forward)(const BP_T(bp_worker) *w, const bp_block *block, int l,
                                BP_T(bp_tile) tile) {
    const bp_layer *layer = &w->net->layers[l];
    const real kept = (real)(1.0 / (1.0 - layer->dropout));
    const int64_t ld = w->pass->ld[l + 1], cols = tile.n1 - tile.n0;
    for (int64_t i = tile.m0; i < tile.m1; i++) {
        uint8_t *mask = w->pass->mask[l] + i * layer->n_out + tile.n0;
        const real *out = w->pass->out[l] + i * ld + tile.n0;
        real *passed = w->pass->passed[l] + i * ld + tile.n0;
        bp_dropout_mask(w->net->seed, w->net->steps, l, layer->dropout,
                        (block->offset + i) * layer->n_out + tile.n0, cols, mask);
        for (int64_t j = 0; j < cols; j++)
            passed[j] = mask[j] ? out[j] * kept : 0;
    }
}

void BP_T(bp_pass_drop_backward)(const BP_T(bp_worker) *w, int l, BP_T(bp_tile) tile) {
    const bp_layer *layer = &w->net->layers[l];
    const real kept = (real)(1.0 / (1.0 - layer->dropout));
    for (int64_t i = tile.m0; i < tile.m1; i++) {
        const uint8_t *mask = w->pass->mask[l] + i * layer->n_out;
        real *delta = w->pass->delta[l] + i * w->pass->ld[l + 1];
        for (int64_t j = tile.n0; j < tile.n1; j++)
            delta[j] = mask[j] ? delta[j] * kept : 0;
    }
}

static BP_T(bp_dense) BP_T(dense_of)(const BP_T(bp_worker) *w, int l, int64_t rows) {
    const bp_net *net = w->net;
    const bp_layer *layer = &net->layers[l];
    return (BP_T(bp_dense)){
        .kernels = w->kernels,
        .rows = rows,
        .n_in = layer->n_in,
        .n_out = layer->n_out,
        .w = (const real *)net->parameters + layer->w,
        .packed = net->packed ? (const real *)net->packed + layer->packed : NULL,
        .member = w->member,
        .members = w->members,
        .scratch = w->scratch,
    };
}

int BP_T(bp_pass_act)(const bp_net *net, int l, int finish) {
    if (l == net->n_layers - 1 && !finish && bp_loss_from_z(net->loss)) return BP_ACT_IDENTITY;
    return net->layers[l].act;
}

void BP_T(bp_pass_softmax)(const BP_T(bp_worker) *w, const bp_block *block, real *out, int64_t ld) {
    const int last = w->net->n_layers - 1;
    const real *z = w->pass->z[last] ? w->pass->z[last] : out;
    int64_t begin, end;
    bp_share(block->n, 1, w->member, w->members, &begin, &end);
    w->kernels->softmax(end - begin, w->net->layers[last].n_out, z + begin * ld, ld,
                        out + begin * ld, ld);
    bp_sync(w->team, w->member, w->members);
}

static void BP_T(forward)(const BP_T(bp_worker) *w, const bp_block *block, int finish, real *last,
                          int64_t last_ld) {
    const bp_net *net = w->net;
    BP_T(bp_pass) *pass = w->pass;
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = &net->layers[l];
        const int to_last = l == net->n_layers - 1 && last;
        const int act = BP_T(bp_pass_act)(net, l, finish);
        BP_T(bp_dense) dense = BP_T(dense_of)(w, l, block->n);
        real *out = to_last ? last : pass->out[l];
        const int64_t ld = to_last ? last_ld : pass->ld[l + 1];
        BP_T(bp_tile)
        tile = BP_T(bp_dense_fwd)(&dense, act, pass->a[l], pass->ld[l],
                                  (const real *)net->parameters + layer->b, pass->z[l], out, ld);
        if (block->dropout && layer->dropout > 0) BP_T(bp_pass_drop_forward)(w, block, l, tile);
        bp_sync(w->team, w->member, w->members);
        if (act == BP_ACT_SOFTMAX) BP_T(bp_pass_softmax)(w, block, out, ld);
    }
}

int BP_T(bp_pass_loss)(const BP_T(bp_worker) *w, const bp_block *block, int64_t begin,
                       int64_t end) {
    const bp_net *net = w->net;
    BP_T(bp_pass) *pass = w->pass;
    const int last = net->n_layers - 1;
    const int64_t ld = pass->ld[last + 1], n_out = net->layers[last].n_out;
    /* A trace has finished the outputs and kept what the loss starts from beside them. */
    const int from_z = bp_loss_from_z(net->loss) && pass->z[last];
    const int forward_only = pass->flags == BP_PASS_FORWARD;
    int status = BP_OK;
    if (begin == end) return BP_OK;
    const bp_loss_rows rows = {end - begin, n_out, net->loss, net->layers[last].act};
    BP_T(bp_loss_buffers)
    buffers = {
        .out = (from_z ? pass->z[last] : pass->out[last]) + begin * ld,
        .z = pass->z[last] ? pass->z[last] + begin * ld : NULL,
        .ld = ld,
        .y = block->data->y.dtype == BP_INT64 ? NULL : pass->y + begin * n_out,
        .labels = pass->labels + begin,
        .row_scale = pass->row_scale + begin,
        .loss = pass->loss + begin,
        .delta = forward_only ? NULL : pass->delta[last] + begin * ld,
    };
    if (net->loss == BP_LOSS_CALLBACK) {
        status = BP_T(bp_loss_user)(w->kernels, &rows, &buffers, net->callback, net->callback_user);
        /* A process forked by the user's loss has none of the other members. */
        if (bp_net_was_forked(net)) status = BP_ERR_FORKED;
    } else {
        BP_T(bp_loss_run)(w->kernels, &rows, &buffers);
    }
    return status;
}

void BP_T(bp_pass_loss_share)(const BP_T(bp_worker) *w, const bp_block *block, int64_t unit,
                              int64_t *begin, int64_t *end) {
    bp_share(block->n, unit, w->member, w->members, begin, end);
    if (w->net->loss != BP_LOSS_CALLBACK) return;
    /* Row scales and the activation's derivative follow for all rows, on this member alone. */
    *begin = 0;
    *end = w->member == 0 ? block->n : 0;
}

static int BP_T(loss)(const BP_T(bp_worker) *w, const bp_block *block) {
    int64_t begin, end;
    BP_T(bp_pass_loss_share)(w, block, 1, &begin, &end);
    return BP_T(bp_pass_loss)(w, block, begin, end);
}

const real *BP_T(bp_pass_saved)(const bp_net *net, const BP_T(bp_pass) *pass, int l) {
    const int act = net->layers[l].act;
    if (act == BP_ACT_IDENTITY) return NULL;
    return bp_act_needs_z(act) ? pass->z[l] : pass->out[l];
}

static void BP_T(backward)(const BP_T(bp_worker) *w, const bp_block *block, int l, real *dx) {
    const bp_net *net = w->net;
    BP_T(bp_pass) *pass = w->pass;
    const BP_T(bp_dense) dense = BP_T(dense_of)(w, l, block->n);
    if (l > 0) {
        BP_T(bp_tile)
        tile = BP_T(bp_dense_bwd_x)(&dense, pass->delta[l], pass->ld[l + 1], net->layers[l - 1].act,
                                    BP_T(bp_pass_saved)(net, pass, l - 1), pass->delta[l - 1],
                                    pass->ld[l]);
        if (block->dropout && net->layers[l - 1].dropout > 0)
            BP_T(bp_pass_drop_backward)(w, l - 1, tile);
    } else if (dx) {
        BP_T(bp_dense_bwd_x)
        (&dense, pass->delta[l], pass->ld[l + 1], BP_ACT_IDENTITY, NULL, dx, dense.n_in);
    }
}

static void BP_T(gradient)(const BP_T(bp_worker) *w, const bp_block *block, int l, real *gradient,
                           int accumulate) {
    const BP_T(bp_pass) *pass = w->pass;
    const bp_layer *layer = &w->net->layers[l];
    const BP_T(bp_dense) dense = BP_T(dense_of)(w, l, block->n);
    BP_T(bp_dense_bwd_w)
    (&dense, pass->a[l], pass->ld[l], pass->delta[l], pass->ld[l + 1], gradient,
     gradient + (layer->b - layer->w), accumulate);
}

static void BP_T(gradient_rows)(const BP_T(bp_worker) *w, const bp_block *block, int l,
                                int64_t begin, int64_t end, real *dw, int64_t lddw, real *db) {
    const BP_T(bp_pass) *pass = w->pass;
    BP_T(bp_dense) dense = BP_T(dense_of)(w, l, block->n);
    dense.n_out = end - begin;
    dense.lddw = lddw;
    dense.member = 0;
    dense.members = 1;
    BP_T(bp_dense_bwd_w)
    (&dense, pass->a[l], pass->ld[l], pass->delta[l] + begin, pass->ld[l + 1], dw, db, 0);
}

static int64_t BP_T(scratch)(const bp_net *net) {
    return BP_T(bp_product_scratch)(&net->kernels->BP_KERNELS);
}

static int64_t BP_T(pack_unit)(const bp_net *net) {
    return net->packed ? net->kernels->BP_KERNELS.gemm.nr : 1;
}

/* The panels of W^T that the rows make. */
static void BP_T(pack_rows)(bp_net *net, int l, int64_t begin, int64_t end) {
    const bp_layer *layer = &net->layers[l];
    const int64_t nr = net->kernels->BP_KERNELS.gemm.nr;
    if (!net->packed) return;
    BP_T(bp_pack_b)
    (&net->kernels->BP_KERNELS, layer->n_in, layer->n_out, (const real *)net->parameters + layer->w,
     1, layer->n_in, begin / nr, (end + nr - 1) / nr, (real *)net->packed + layer->packed);
}

const BP_T(bp_phases) BP_T(bp_phases_plain) = {
    .create = BP_T(bp_pass_create),
    .scratch = BP_T(scratch),
    .load = BP_T(load),
    .forward = BP_T(forward),
    .loss = BP_T(loss),
    .backward = BP_T(backward),
    .gradient = BP_T(gradient),
    .gradient_rows = BP_T(gradient_rows),
    .pack_unit = BP_T(pack_unit),
    .pack_rows = BP_T(pack_rows),
};
