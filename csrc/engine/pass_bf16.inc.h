/* Passes whose products take bfloat16 operands.
 *
 * The buffers of a float32 pass stay what they are: pre-activations, activations and deltas in
 * float32. Beside them lie operands, each made by the code that makes the matrix, while it is in
 * cache:
 *
 *   inputs x or activations a   rows, for the next layer; panels, for the gradient of its weights
 *   deltas                      rows, for the layer below; rows of the transpose, for the gradient
 *   weights                     panels of W^T, forward; panels of W, backward
 */
/* What a pass keeps beside its float32 buffers. */
typedef struct {
    uint16_t *rows[2]; /* of a_l on the way forward, of delta_l on the way back; layers take turns
                        */
    uint16_t *transposed[2]; /* of the transpose of delta_l */
    uint16_t *panels[];      /* of the inputs of each layer */
} operands;

static bp_bf16_kernels bf16_kernels_of(const bp_net *net) {
    return (bp_bf16_kernels){bp_kernels_bf16_get(), &net->kernels->f32};
}

static int bf16_planes_of(const bp_net *net) {
    return bp_bf16_planes(net->precision);
}

static bp_bf16_operand bf16_operand_at(const bp_net *net, bp_bf16_form form, int64_t rows,
                                       int64_t cols, uint16_t *x) {
    bp_bf16_operand operand;
    int64_t count;
    bp_bf16_layout(form, bf16_planes_of(net), rows, cols, x, &operand, &count);
    return operand;
}

/* Cuts the operand of a matrix from a block, or only counts while the block does not exist yet;
 * *used is -1 once the count overflows. */
static uint16_t *bf16_cut(const bp_net *net, bp_bf16_form form, int64_t rows, int64_t cols,
                          uint16_t *block, int64_t *used) {
    bp_bf16_operand operand;
    int64_t count, before = *used;
    if (before < 0) return NULL;
    if (bp_bf16_layout(form, bf16_planes_of(net), rows, cols, NULL, &operand, &count) &&
        count <= INT64_MAX / 4 - before)
        *used += count;
    else
        *used = -1;
    return block ? block + before : NULL;
}

/* ---- weights ---- */

/* W of a layer as the operand of a product: form PANELS_T forward, PANELS backward. */
static bp_bf16_operand bf16_weights(const bp_net *net, int l, bp_bf16_form form) {
    const bp_layer *layer = &net->layers[l];
    const int64_t at = layer->operand[form == BP_BF16_PANELS];
    return bf16_operand_at(net, form, layer->n_out, layer->n_in, net->operands + at);
}

static void convert_weights(bp_net *net, int l, bp_bf16_form form, bp_tile tile) {
    const bp_layer *layer = &net->layers[l];
    const bp_bf16_kernels kernels = bf16_kernels_of(net);
    const bp_bf16_operand operand = bf16_weights(net, l, form);
    const float *w = (const float *)net->parameters + layer->w;
    if (tile.m0 < tile.m1)
        bp_bf16_convert(&kernels, form, bf16_planes_of(net), tile.m1 - tile.m0, tile.n1 - tile.n0,
                        w + tile.m0 * layer->n_in + tile.n0, layer->n_in, &operand, tile.m0,
                        tile.n0);
}

static int64_t bf16_pack_unit(const bp_net *net) {
    (void)net;
    return BP_BF16_BLOCK;
}

static void bf16_pack_tile(bp_net *net, int l, bp_tile tile) {
    convert_weights(net, l, BP_BF16_PANELS_T, tile);
    if (l > 0) convert_weights(net, l, BP_BF16_PANELS, tile);
}

/* The panels of W of layer 0 serve the derivatives in the inputs alone, which training does not ask
 * for. */
static void bf16_pack_for_inputs(bp_net *net, int member, int members) {
    int64_t begin, end;
    bp_share(net->layers[0].n_out, BP_BF16_BLOCK, member, members, &begin, &end);
    convert_weights(net, 0, BP_BF16_PANELS, (bp_tile){begin, end, 0, net->layers[0].n_in});
}

/* ---- buffers ---- */

static int64_t widest_of(const bp_net *net, int with_inputs) {
    int64_t widest = with_inputs ? net->layers[0].n_in : 1;
    for (int l = 0; l < net->n_layers; l++)
        if (widest < net->layers[l].n_out) widest = net->layers[l].n_out;
    return widest;
}

/* Distributes a block over the operands, or counts what they need while it does not exist yet. */
static int64_t bf16_lay_out(const bp_net *net, const bp_pass *pass, operands *o, uint16_t *block) {
    const int64_t rows = pass->capacity;
    int64_t used = 0;
    for (int i = 0; i < 2; i++)
        o->rows[i] = bf16_cut(net, BP_BF16_ROWS, rows, widest_of(net, 1), block, &used);
    if (pass->flags == BP_PASS_FORWARD) return used;
    for (int i = 0; i < 2; i++)
        o->transposed[i] = bf16_cut(net, BP_BF16_ROWS_T, rows, widest_of(net, 0), block, &used);
    for (int l = 0; l < net->n_layers; l++)
        o->panels[l] = bf16_cut(net, BP_BF16_PANELS, rows, net->layers[l].n_in, block, &used);
    return used;
}

static int bf16_create(const bp_net *net, int64_t capacity, int flags, bp_pass *pass) {
    int status = pass_create(net, capacity, flags, pass);
    if (status != BP_OK) return status;
    const int64_t head = bp_round_up(
        (int64_t)(sizeof(operands) + (size_t)net->n_layers * sizeof(uint16_t *)), BP_ALIGNMENT);
    operands *counted = bp_alloc(head, 1);
    const int64_t count = counted ? bf16_lay_out(net, pass, counted, NULL) : -1;
    bp_free(counted);
    pass->operands = count < 0 ? NULL : bp_alloc(head + 2 * count, 1);
    if (!pass->operands) {
        pass_destroy(pass);
        return BP_ERR_MEMORY;
    }
    bf16_lay_out(net, pass, pass->operands, (uint16_t *)(void *)((char *)pass->operands + head));
    return BP_OK;
}

static int64_t bf16_scratch(const bp_net *net) {
    const bp_bf16_kernels kernels = bf16_kernels_of(net);
    return bp_bf16_product_scratch(&kernels);
}

/* ---- operands of a block of rows ---- */

/* Rows of the inputs of layer l, or of its delta. */
static bp_bf16_operand rows_operand(const bp_worker *w, int l, int64_t n, int64_t cols) {
    const operands *o = w->pass->operands;
    return bf16_operand_at(w->net, BP_BF16_ROWS, n, cols, o->rows[l & 1]);
}

static bp_bf16_operand transposed_operand(const bp_worker *w, int l, int64_t n) {
    const operands *o = w->pass->operands;
    return bf16_operand_at(w->net, BP_BF16_ROWS_T, n, w->net->layers[l].n_out,
                           o->transposed[l & 1]);
}

static bp_bf16_operand panels_operand(const bp_worker *w, int l, int64_t n) {
    const operands *o = w->pass->operands;
    return bf16_operand_at(w->net, BP_BF16_PANELS, n, w->net->layers[l].n_in, o->panels[l]);
}

/* What the inputs of layer l, n rows, become. */
static void outputs_of_inputs(const bp_worker *w, int l, int64_t n, bp_bf16_output out[2]) {
    out[0] = (bp_bf16_output){BP_BF16_ROWS, rows_operand(w, l, n, w->net->layers[l].n_in)};
    out[1] = (bp_bf16_output){.form = BP_BF16_NONE};
    if (w->pass->flags != BP_PASS_FORWARD)
        out[1] = (bp_bf16_output){BP_BF16_PANELS, panels_operand(w, l, n)};
}

/* What delta of layer l becomes. */
static void outputs_of_delta(const bp_worker *w, int l, int64_t n, bp_bf16_output out[2]) {
    out[0] = (bp_bf16_output){BP_BF16_ROWS_T, transposed_operand(w, l, n)};
    out[1] = (bp_bf16_output){BP_BF16_ROWS, rows_operand(w, l, n, w->net->layers[l].n_out)};
}

/* Converts a tile of a matrix, which is at x with row stride ld. */
static void bf16_convert(const bp_worker *w, const bp_bf16_output out[2], const float *x,
                         int64_t ld, bp_tile tile) {
    const bp_bf16_kernels kernels = bf16_kernels_of(w->net);
    if (tile.m0 >= tile.m1 || tile.n0 >= tile.n1) return;
    for (int i = 0; i < 2; i++)
        if (out[i].form != BP_BF16_NONE)
            bp_bf16_convert(&kernels, out[i].form, bf16_planes_of(w->net), tile.m1 - tile.m0,
                            tile.n1 - tile.n0, x, ld, &out[i].operand, tile.m0, tile.n0);
}

/* ---- phases ---- */

/* Inputs are converted some rows at a time, right after they were gathered; the float32 rows are
 * not kept. */
static void bf16_load(const bp_worker *w, const bp_block *block) {
    const bp_pass *pass = w->pass;
    const int64_t n_in = w->net->layers[0].n_in, ld = pass->ld[0];
    bp_bf16_output out[2];
    int64_t begin, end;
    bp_share(block->n, BP_BF16_BLOCK, w->member, w->members, &begin, &end);
    outputs_of_inputs(w, 0, block->n, out);
    for (int64_t row = begin; row < end; row += BP_BF16_BLOCK) {
        const int64_t next = row + BP_BF16_BLOCK < end ? row + BP_BF16_BLOCK : end;
        const float *x = pass->a[0] + row * ld;
        if (pass->a[0] == pass->x) {
            float *gathered = pass->x + begin * ld;
            pass_load_inputs(w, block, row, next, gathered, ld);
            x = gathered;
        }
        bf16_convert(w, out, x, ld, (bp_tile){row, next, 0, n_in});
    }
    pass_load_targets(w, block, begin, end);
}

static bp_tile bf16_run_share(const bp_worker *w, const bp_bf16_product *product) {
    const bp_bf16_kernels kernels = bf16_kernels_of(w->net);
    int64_t range[4];
    bp_bf16_product_share(product->m, product->n, w->member, w->members, range);
    kernels.bf16->begin();
    bp_bf16_product_run(&kernels, product, range[0], range[1], range[2], range[3], w->scratch);
    kernels.bf16->end();
    return (bp_tile){range[0], range[1], range[2], range[3]};
}

static void bf16_forward_layer(const bp_worker *w, const bp_block *block, int l, int act, float *y,
                               int64_t ld) {
    const bp_net *net = w->net;
    const bp_layer *layer = &net->layers[l];
    const bp_pass *pass = w->pass;
    const int drops = block->updates && layer->dropout > 0;
    bp_bf16_output out[2] = {{.form = BP_BF16_NONE}, {.form = BP_BF16_NONE}};
    if (l < net->n_layers - 1) outputs_of_inputs(w, l + 1, block->n, out);
    bp_bf16_product product = {
        .m = block->n,
        .n = layer->n_out,
        .k = layer->n_in,
        .planes = bf16_planes_of(net),
        .a = rows_operand(w, l, block->n, layer->n_in),
        .b = bf16_weights(net, l, BP_BF16_PANELS_T),
        .c = pass->z[l] ? pass->z[l] : y,
        .c_rs = ld,
        .epilogue = BP_EPILOGUE_ACT_FWD,
        .act = act == BP_ACT_SOFTMAX ? BP_ACT_IDENTITY : act,
        .bias = (const float *)net->parameters + layer->b,
        .act_out = y,
        .act_rs = ld,
    };
    for (int i = 0; i < 2 && !drops; i++)
        product.out[i] = out[i];
    const bp_tile tile = bf16_run_share(w, &product);
    if (!drops) return;
    pass_drop_forward(w, block, l, tile);
    bf16_convert(w, out, pass->after_dropout[l] + tile.m0 * ld + tile.n0, ld, tile);
}

static void bf16_forward(const bp_worker *w, const bp_block *block, int apply_output, float *last,
                         int64_t last_ld) {
    const bp_net *net = w->net;
    for (int l = 0; l < net->n_layers; l++) {
        const int to_last = l == net->n_layers - 1 && last;
        const int act = pass_act(net, l, apply_output);
        float *y = to_last ? last : w->pass->out[l];
        const int64_t ld = to_last ? last_ld : w->pass->ld[l + 1];
        bf16_forward_layer(w, block, l, act, y, ld);
        bp_sync(w->team, w->member, w->members);
        if (act == BP_ACT_SOFTMAX) pass_softmax(w, block, y, ld);
    }
}

static int bf16_loss(const bp_worker *w, const bp_block *block) {
    const bp_pass *pass = w->pass;
    const int last = w->net->n_layers - 1;
    bp_bf16_output out[2];
    int64_t begin, end;
    pass_loss_share(w, block, BP_BF16_BLOCK, &begin, &end);
    int status = pass_loss(w, block, begin, end);
    if (status != BP_OK || pass->flags == BP_PASS_FORWARD) return status;
    outputs_of_delta(w, last, block->n, out);
    bf16_convert(w, out, pass->delta[last] + begin * pass->ld[last + 1], pass->ld[last + 1],
                 (bp_tile){begin, end, 0, w->net->layers[last].n_out});
    return BP_OK;
}

/* delta of layer l times its W: delta of the layer below, or derivatives in the inputs. */
static void backward_inputs(const bp_worker *w, const bp_block *block, int l, float *dx) {
    const bp_net *net = w->net;
    const bp_layer *layer = &net->layers[l];
    const bp_pass *pass = w->pass;
    const int drops = l > 0 && block->updates && net->layers[l - 1].dropout > 0;
    bp_bf16_output out[2] = {{.form = BP_BF16_NONE}, {.form = BP_BF16_NONE}};
    bp_bf16_product product = {
        .m = block->n,
        .n = layer->n_in,
        .k = layer->n_out,
        .planes = bf16_planes_of(net),
        .a = rows_operand(w, l, block->n, layer->n_out),
        .b = bf16_weights(net, l, BP_BF16_PANELS),
        .c = dx,
        .c_rs = layer->n_in,
        .epilogue = BP_EPILOGUE_NONE,
    };
    if (l > 0) {
        product.c = pass->delta[l - 1];
        product.c_rs = product.act_rs = pass->ld[l];
        product.act = net->layers[l - 1].act;
        product.saved = pass_saved(net, pass, l - 1);
        if (product.saved) product.epilogue = BP_EPILOGUE_ACT_BWD;
        outputs_of_delta(w, l - 1, block->n, out);
    }
    for (int i = 0; i < 2 && !drops; i++)
        product.out[i] = out[i];
    const bp_tile tile = bf16_run_share(w, &product);
    if (!drops) return;
    pass_drop_backward(w, block, l - 1, tile);
    bf16_convert(w, out, product.c + tile.m0 * product.c_rs + tile.n0, product.c_rs, tile);
}

static void bf16_backward(const bp_worker *w, const bp_block *block, int l, float *dx) {
    if (l > 0 || dx) backward_inputs(w, block, l, dx);
}

/* delta of layer l, transposed, times its inputs. */
static bp_bf16_product weight_gradient(const bp_worker *w, const bp_block *block, int l, float *dw,
                                       int accumulate) {
    const bp_layer *layer = &w->net->layers[l];
    return (bp_bf16_product){
        .m = layer->n_out,
        .n = layer->n_in,
        .k = block->n,
        .planes = bf16_planes_of(w->net),
        .a = transposed_operand(w, l, block->n),
        .b = panels_operand(w, l, block->n),
        .c = dw,
        .c_rs = layer->n_in,
        .accumulate = accumulate,
        .epilogue = BP_EPILOGUE_NONE,
    };
}

/* The gradient of b for outputs begin <= i < end, shared out among members. */
static void bias_gradient(const bp_worker *w, const bp_block *block, int l, int64_t begin,
                          int64_t end, int alone, float *db, int accumulate) {
    const bp_dense dense = {
        .kernels = w->kernels,
        .rows = block->n,
        .n_out = end - begin,
        .member = alone ? 0 : w->member,
        .members = alone ? 1 : w->members,
    };
    dense_bwd_w(&dense, NULL, 0, w->pass->delta[l] + begin, w->pass->ld[l + 1], NULL, db,
                accumulate);
}

static void bf16_gradient(const bp_worker *w, const bp_block *block, int l, float *gradient,
                          int accumulate) {
    const bp_layer *layer = &w->net->layers[l];
    const bp_bf16_product product = weight_gradient(w, block, l, gradient, accumulate);
    bf16_run_share(w, &product);
    bias_gradient(w, block, l, 0, layer->n_out, 0, gradient + (layer->b - layer->w), accumulate);
}

static void bf16_gradient_tile(const bp_worker *w, const bp_block *block, int l, bp_tile tile,
                               float *dw, int64_t lddw, float *db) {
    const bp_bf16_kernels kernels = bf16_kernels_of(w->net);
    bp_bf16_product product = weight_gradient(w, block, l, dw, 0);
    product.m = tile.m1 - tile.m0;
    product.n = tile.n1 - tile.n0;
    product.c_rs = lddw;
    product.a.x += tile.m0 * BP_BF16_BLOCK;
    product.b.x += tile.n0 / BP_BF16_BLOCK * product.b.stride;
    kernels.bf16->begin();
    bp_bf16_product_run(&kernels, &product, 0, product.m, 0, product.n, w->scratch);
    kernels.bf16->end();
    if (tile.n0 == 0) bias_gradient(w, block, l, tile.m0, tile.m1, 1, db, 0);
}

/* At least a page of columns, and as many as let their inputs fill half of the second-level cache,
 * or their gradient if it is larger. The inputs are read again for each tile of rows. */
static bp_tile_size bf16_gradient_tile_size(const bp_net *net, int64_t n_in, int64_t block) {
    enum { ROWS = 128 };
    const int64_t inputs = (int64_t)sizeof(uint16_t) * bf16_planes_of(net) * block;
    const int64_t column = bp_max_i64(inputs, ROWS * (int64_t)sizeof(float));
    return (bp_tile_size){ROWS, tile_columns(n_in, bp_l2_bytes(bp_cpu_get()) / 2 / column)};
}

static const bp_phases bf16_phases = {
    .create = bf16_create,
    .scratch = bf16_scratch,
    .load = bf16_load,
    .forward = bf16_forward,
    .loss = bf16_loss,
    .backward = bf16_backward,
    .gradient = bf16_gradient,
    .gradient_tile = bf16_gradient_tile,
    .gradient_tile_size = bf16_gradient_tile_size,
    .pack_unit = bf16_pack_unit,
    .pack_tile = bf16_pack_tile,
    .pack_for_inputs = bf16_pack_for_inputs,
};

/* These phases, and room for the operands of the weights; 0 if there is no memory. */
static int choose_bf16_phases(bp_net *net) {
    int64_t used = 0;
    net->phases = &bf16_phases;
    for (int l = 0; l < net->n_layers; l++) {
        bp_layer *layer = &net->layers[l];
        layer->operand[0] = used;
        bf16_cut(net, BP_BF16_PANELS_T, layer->n_out, layer->n_in, NULL, &used);
        layer->operand[1] = used;
        bf16_cut(net, BP_BF16_PANELS, layer->n_out, layer->n_in, NULL, &used);
    }
    return used >= 0 && (net->operands = bp_alloc(used, sizeof *net->operands)) != NULL;
}
