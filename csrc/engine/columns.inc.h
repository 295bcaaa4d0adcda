/* The phases of a pass in which examples are columns: for gradients of networks that are trained in
 * parts.
 *
 * Activations and deltas are (features x examples), so z = W a + b for many examples is written as
 * it is for one, and W^T delta too. The examples fill whole vectors, however narrow a layer is, and
 * both products read W as it is: nothing has to be packed when W changes. Only the gradient
 * delta a^T takes activations as rows; they are transposed when they have just been made. The loss
 * takes rows, too. Each pass belongs to one member. */

/* What such a pass keeps besides. Of the last layer, pass->out, z and delta are rows. */
typedef struct {
    int64_t pitch;         /* from one feature to the next: whole vectors of examples */
    real *x;               /* a[0] */
    real *out, *z, *delta; /* of the last layer; z is NULL where it is not kept */
    real **rows;           /* per layer but the first: a[l] as rows, with stride pass->ld[l] */
} column_buffers;

static column_buffers *columns_of(const bp_pass *pass) {
    return pass->operands;
}

/* Examples in whole vectors, or halves of the longest. Columns beyond n hold anything: they are
 * computed, but go into no result. */
static int64_t whole_vectors(int64_t n) {
    return bp_round_up(n, BP_COLUMNS_UNIT);
}

static int64_t lay_out_columns(const bp_net *net, bp_pass *pass, void *block) {
    column_buffers *columns = columns_of(pass);
    const int last = net->n_layers - 1;
    const int64_t n_out = net->layers[last].n_out, pitch = columns->pitch;
    int64_t used = 0, widest = 0;
    pass->x = bp_cut(block, &used, pass->capacity * pass->ld[0], sizeof(real));
    columns->x = bp_cut(block, &used, net->layers[0].n_in * pitch, sizeof(real));
    for (int l = 0; l < last; l++) {
        const bp_layer *layer = &net->layers[l];
        const int64_t count = layer->n_out * pitch;
        widest = bp_max_i64(widest, count);
        pass->z[l] =
            keeps_z(net, l, pass->flags) ? bp_cut(block, &used, count, sizeof(real)) : NULL;
        pass->out[l] = bp_cut(block, &used, count, sizeof(real));
        pass->after_dropout[l] =
            layer->dropout > 0 ? bp_cut(block, &used, count, sizeof(real)) : pass->out[l];
        columns->rows[l + 1] = bp_cut(block, &used, pass->capacity * pass->ld[l + 1], sizeof(real));
    }
    real *deltas[2]; /* used alternately */
    for (int i = 0; i < 2; i++)
        deltas[i] = bp_cut(block, &used, widest, sizeof(real));
    for (int l = 0; l < last; l++)
        pass->delta[l] = deltas[l & 1];
    real **const of_last[] = {&columns->out, &columns->delta, &columns->z};
    real **const as_rows[] = {&pass->out[last], &pass->delta[last], &pass->z[last]};
    for (int i = 0; i < 2 + keeps_z(net, last, pass->flags); i++) {
        *of_last[i] = bp_cut(block, &used, n_out * pitch, sizeof(real));
        /* A single output is the same as rows and as a column. */
        *as_rows[i] =
            n_out == 1 ? *of_last[i] : bp_cut(block, &used, pass->capacity * n_out, sizeof(real));
    }
    pass->after_dropout[last] = pass->out[last];
    pass->y = bp_cut(block, &used, pass->capacity * n_out, sizeof(real));
    pass->loss = bp_cut(block, &used, pass->capacity, sizeof(real));
    pass->row_scale = bp_cut(block, &used, pass->capacity, sizeof(real));
    return used;
}

static int columns_create(const bp_net *net, int64_t capacity, int flags, bp_pass *pass) {
    const int n = net->n_layers;
    if (pass_make_arrays(net, capacity, flags, pass) != BP_OK) return BP_ERR_MEMORY;
    pass->ld[n] = net->layers[n - 1].n_out;
    column_buffers *columns =
        bp_alloc((int64_t)(sizeof *columns + (size_t)n * sizeof *columns->rows), 1);
    pass->operands = columns;
    if (!columns) goto no_memory;
    columns->rows = (real **)(void *)(columns + 1);
    columns->pitch = bp_row_stride(whole_vectors(capacity), (int64_t)sizeof(real));
    pass->reals = bp_alloc(lay_out_columns(net, pass, NULL), 1);
    if (!pass->reals || make_masks(net, pass) != BP_OK) goto no_memory;
    lay_out_columns(net, pass, pass->reals);
    return BP_OK;
no_memory:
    pass_destroy(pass);
    return BP_ERR_MEMORY;
}

static void columns_load(const bp_worker *w, const bp_block *block) {
    bp_pass *pass = w->pass;
    const column_buffers *columns = columns_of(pass);
    if (pass->a[0] == pass->x) pass_load_inputs(w, block, 0, block->n, pass->x, pass->ld[0]);
    w->kernels->transpose(w->net->layers[0].n_in, block->n, pass->a[0], pass->ld[0], columns->x,
                          columns->pitch);
    pass_load_targets(w, block, 0, block->n);
}

/* Draws the mask of layer l, whose rows are examples, and applies it. */
static void columns_drop_forward(const bp_worker *w, const bp_block *block, int l) {
    const double rate = pass_drop_rate(w, block, l);
    const real kept = (real)(1.0 / (1.0 - rate));
    const int64_t pitch = columns_of(w->pass)->pitch, n_out = w->net->layers[l].n_out;
    uint8_t *mask = w->pass->mask[l];
    bp_dropout_mask(w->net->seed, block->step, l, rate, block->offset * n_out, block->n * n_out,
                    mask);
    for (int64_t j = 0; j < n_out; j++) {
        const real *out = w->pass->out[l] + j * pitch;
        real *after_dropout = w->pass->after_dropout[l] + j * pitch;
        for (int64_t i = 0; i < block->n; i++)
            after_dropout[i] = mask[i * n_out + j] ? out[i] * kept : 0;
    }
}

static void columns_drop_backward(const bp_worker *w, const bp_block *block, int l) {
    const real kept = (real)(1.0 / (1.0 - pass_drop_rate(w, block, l)));
    const int64_t n_out = w->net->layers[l].n_out;
    for (int64_t j = 0; j < n_out; j++) {
        const uint8_t *mask = w->pass->mask[l] + j;
        real *delta = w->pass->delta[l] + j * columns_of(w->pass)->pitch;
        for (int64_t i = 0; i < block->n; i++)
            delta[i] = mask[i * n_out] ? delta[i] * kept : 0;
    }
}

/* A product of this member alone. */
static void columns_product(const bp_worker *w, const bp_product *product) {
    const bp_dense alone = {.kernels = w->kernels, .members = 1, .scratch = w->scratch};
    run_share(&alone, product);
}

/* z and the activation of layer l of a single example, from its row; the bits are those of
 * forward_of_one. */
static void column_of_one(const bp_worker *w, int l, const real *row, int act, real *z, real *out) {
    const bp_layer *layer = &w->net->layers[l];
    const int64_t pitch = columns_of(w->pass)->pitch;
    w->kernels->gemv(layer->n_out, layer->n_in, w->parameters + layer->w, layer->n_in, row,
                     w->scratch);
    for (int64_t j = 0; j < layer->n_out; j++)
        z[j * pitch] = w->scratch[j];
    w->kernels->add_bias(layer->n_out, 1, w->parameters + layer->b, z, pitch);
    w->kernels->act_fwd[act](layer->n_out, 1, z, pitch, NULL, out, pitch);
}

/* z = W a + b of layer l, and the activation. */
static void columns_layer(const bp_worker *w, const bp_block *block, int l, const real *a, int act,
                          real *z, real *out) {
    const bp_layer *layer = &w->net->layers[l];
    const int64_t pitch = columns_of(w->pass)->pitch;
    if (act == BP_ACT_SOFTMAX) act = BP_ACT_IDENTITY; /* it follows on rows */
    if (is_one_to_learn(w, block)) {
        column_of_one(w, l, l > 0 ? columns_of(w->pass)->rows[l] : w->pass->a[0], act, z ? z : out,
                      out);
        return;
    }
    columns_product(w, &(bp_product){
                           .m = layer->n_out,
                           .n = whole_vectors(block->n),
                           .k = layer->n_in,
                           .a = w->parameters + layer->w,
                           .a_rs = layer->n_in,
                           .a_cs = 1,
                           .b = a,
                           .b_rs = pitch,
                           .b_cs = 1,
                           .c = z ? z : out,
                           .c_rs = pitch,
                           .epilogue = BP_EPILOGUE_ACT_FWD,
                           .act = act,
                           .bias = w->parameters + layer->b,
                           .bias_of_rows = 1,
                           .act_out = out,
                           .act_rs = pitch,
                       });
}

/* The last layer's columns as the rows that the loss takes. */
static void columns_to_rows(const bp_worker *w, const bp_block *block, const real *columns,
                            real *rows) {
    const int64_t n_out = w->net->layers[w->net->n_layers - 1].n_out;
    if (columns != rows)
        w->kernels->transpose(block->n, n_out, columns, columns_of(w->pass)->pitch, rows, n_out);
}

static void columns_forward(const bp_worker *w, const bp_block *block, int apply_output, real *last,
                            int64_t last_ld) {
    const bp_net *net = w->net;
    bp_pass *pass = w->pass;
    const column_buffers *columns = columns_of(pass);
    const real *a = columns->x;
    const int end = net->n_layers - 1, act = pass_act(net, end, apply_output);
    (void)last, (void)last_ld; /* outputs alone are formed as rows */
    for (int l = 0; l < end; l++) {
        const bp_layer *layer = &net->layers[l];
        columns_layer(w, block, l, a, layer->act, pass->z[l], pass->out[l]);
        if (block->updates && layer->dropout > 0) columns_drop_forward(w, block, l);
        a = pass->a[l + 1];
        w->kernels->transpose(block->n, layer->n_out, a, columns->pitch, columns->rows[l + 1],
                              pass->ld[l + 1]);
    }
    columns_layer(w, block, end, a, act, columns->z, columns->out);
    columns_to_rows(w, block, columns->out, pass->out[end]);
    if (columns->z) columns_to_rows(w, block, columns->z, pass->z[end]);
    if (act == BP_ACT_SOFTMAX) pass_softmax(w, block, pass->out[end], pass->ld[end + 1]);
}

static int columns_loss(const bp_worker *w, const bp_block *block) {
    const int last = w->net->n_layers - 1;
    const int64_t n_out = w->net->layers[last].n_out;
    const column_buffers *columns = columns_of(w->pass);
    const int status = pass_loss(w, block, 0, block->n);
    if (n_out > 1)
        w->kernels->transpose(n_out, block->n, w->pass->delta[last], n_out, columns->delta,
                              columns->pitch);
    return status;
}

static const real *delta_columns(const bp_worker *w, int l) {
    return l == w->net->n_layers - 1 ? columns_of(w->pass)->delta : w->pass->delta[l];
}

/* W^T delta of layer l, times the derivative of the layer below; or dx. */
static void columns_backward(const bp_worker *w, const bp_block *block, int l, real *dx) {
    const bp_net *net = w->net;
    const bp_pass *pass = w->pass;
    const bp_layer *layer = &net->layers[l];
    const column_buffers *columns = columns_of(pass);
    const real *saved = l > 0 ? pass_saved(net, pass, l - 1) : NULL;
    if (l == 0 && !dx) return;
    columns_product(w, &(bp_product){
                           .m = layer->n_in,
                           .n = whole_vectors(block->n),
                           .k = layer->n_out,
                           .a = w->parameters + layer->w,
                           .a_rs = 1,
                           .a_cs = layer->n_in,
                           .b = delta_columns(w, l),
                           .b_rs = columns->pitch,
                           .b_cs = 1,
                           .c = l > 0 ? pass->delta[l - 1] : columns->x,
                           .c_rs = columns->pitch,
                           .epilogue = saved ? BP_EPILOGUE_ACT_BWD : BP_EPILOGUE_NONE,
                           .act = l > 0 ? net->layers[l - 1].act : BP_ACT_IDENTITY,
                           .saved = saved,
                           .act_rs = columns->pitch,
                       });
    if (l == 0)
        w->kernels->transpose(block->n, layer->n_in, columns->x, columns->pitch, dx, layer->n_in);
    else if (block->updates && net->layers[l - 1].dropout > 0)
        columns_drop_backward(w, block, l - 1);
}

static void columns_gradient(const bp_worker *w, const bp_block *block, int l, real *gradient,
                             int accumulate) {
    const bp_pass *pass = w->pass;
    const bp_layer *layer = &w->net->layers[l];
    const column_buffers *columns = columns_of(pass);
    const real *delta = delta_columns(w, l);
    columns_product(w, &(bp_product){
                           .m = layer->n_out,
                           .n = layer->n_in,
                           .k = block->n,
                           .a = delta,
                           .a_rs = columns->pitch,
                           .a_cs = 1,
                           .b = l > 0 ? columns->rows[l] : pass->a[0],
                           .b_rs = pass->ld[l],
                           .b_cs = 1,
                           .c = gradient,
                           .c_rs = layer->n_in,
                           .accumulate = accumulate,
                       });
    w->kernels->row_sum(layer->n_out, block->n, delta, columns->pitch,
                        gradient + (layer->b - layer->w), accumulate);
}

static const bp_phases column_phases = {
    .create = columns_create,
    .scratch = plain_scratch,
    .load = columns_load,
    .forward = columns_forward,
    .loss = columns_loss,
    .backward = columns_backward,
    .gradient = columns_gradient,
};

static const bp_phases *phases_for(const bp_net *net, const bp_plan *plan) {
    return plan->columns ? &column_phases : phases_of(net);
}
