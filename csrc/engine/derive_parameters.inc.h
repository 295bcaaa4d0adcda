/* Derivatives of the cost, and of each example's loss, in the parameters. */

static void load_block_targets(const space *s) {
    const bp_derive_job *job = s->job;
    const int sums = bp_derive_is_sum(job->kind);
    const bp_rows rows = {NULL, s->row};
    bp_data data = *job->data;
    if (!sums) data.sample_weight = NULL; /* the loss of an example is its own */
    load_targets(job->net, &data, &rows, s->n, sums ? job->weight_scale : 1.0,
                 (bp_targets){s->y, s->labels, s->row_scale});
}

static const real *targets(const space *s) {
    return targets_are_labels(s->job->net, s->job->data) ? NULL : s->y;
}

/* ---- of each example ---- */

/* Delta of the outputs into buffer[0]. */
static int loss_of_rows(const space *s) {
    const bp_net *net = s->job->net;
    const int last = net->n_layers - 1;
    const int64_t n_out = bp_derive_ld_out(s->job, last);
    const bp_loss_rows rows = {s->n, n_out, net->loss, net->layers[last].act};
    const bp_loss_buffers buffers = {
        .out = outputs_of(s, bp_loss_from_z(net->loss) ? s->z : s->a, last),
        .z = outputs_of(s, s->z, last),
        .ld = n_out,
        .y = targets(s),
        .labels = s->labels,
        .row_scale = s->row_scale,
        .loss = s->loss,
        .delta = s->buffer[0],
    };
    if (net->loss == BP_LOSS_CALLBACK)
        return loss_user(s->kernels, &rows, &buffers, net->callback, net->callback_user);
    loss_run(s->kernels, &rows, &buffers);
    return BP_OK;
}

/* The gradient of each example in a layer: the product of its delta and the layer's inputs. */
static void outer_products(const space *s, int l, const real *delta) {
    const bp_derive_job *job = s->job;
    const bp_layer *layer = layer_of(s, l);
    const real *a = inputs_of(s, s->a, l);
    const int64_t lda = bp_derive_ld_in(job, l), ldd = bp_derive_ld_out(job, l);
    for (int64_t i = 0; i < s->n; i++) {
        real *out = (real *)job->out + (s->row + i) * job->net->n_parameters;
        const bp_product product = {
            .m = layer->n_out,
            .n = layer->n_in,
            .k = 1,
            .a = delta + i * ldd,
            .a_rs = 1,
            .a_cs = ldd,
            .b = a + i * lda,
            .b_rs = lda,
            .b_cs = 1,
            .c = out + layer->w,
            .c_rs = layer->n_in,
            .epilogue = BP_EPILOGUE_NONE,
        };
        product_run(s->kernels, &product, 0, layer->n_out, 0, layer->n_in, s->scratch);
        memcpy(out + layer->b, delta + i * ldd, (size_t)layer->n_out * sizeof *out);
    }
}

/* The square of such a product's norm is the product of the squares. */
static void add_norms(const space *s, int l, const real *delta) {
    const bp_layer *layer = layer_of(s, l);
    const real *a = inputs_of(s, s->a, l);
    for (int64_t i = 0; i < s->n; i++)
        s->sums[i] += s->kernels->sum_sq(layer->n_out, delta + i * bp_derive_ld_out(s->job, l)) *
                      (s->kernels->sum_sq(layer->n_in, a + i * bp_derive_ld_in(s->job, l)) + 1.0);
}

static int per_sample(const space *s) {
    const bp_derive_job *job = s->job;
    int current = 0;
    run_values(s);
    load_block_targets(s);
    int status = loss_of_rows(s);
    if (status != BP_OK) return status;
    memset(s->sums, 0, (size_t)s->n * sizeof *s->sums);
    for (int l = job->net->n_layers - 1; l >= 0; l--, current ^= 1) {
        if (job->kind == BP_SAMPLE_NORMS)
            add_norms(s, l, s->buffer[current]);
        else
            outer_products(s, l, s->buffer[current]);
        if (l > 0) back_layer(s, l, 1, s->buffer[current], s->buffer[current ^ 1]);
    }
    for (int64_t i = 0; i < s->n && job->kind == BP_SAMPLE_NORMS; i++)
        ((real *)job->out)[s->row + i] = (real)sqrt(s->sums[i]);
    return BP_OK;
}

/* ---- products with second derivatives ---- */

/* da, and dz where it is kept, along the parameters given: dz = da W^T + a V^T + c, where
 * a and da are those of the layer's inputs.
 * Losses that start from z leave the outputs at dz. */
static void along_parameters(const space *s) {
    const bp_derive_job *job = s->job;
    const bp_net *net = job->net;
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = layer_of(s, l);
        const int64_t ld = bp_derive_ld_out(job, l);
        real *da = outputs_of(s, s->da, l), *dz = s->dz ? outputs_of(s, s->dz, l) : da;
        if (l > 0) along_layer(s, l, 1, inputs_of(s, s->da, l), dz);
        const bp_product product = {
            .m = s->n,
            .n = layer->n_out,
            .k = layer->n_in,
            .a = inputs_of(s, s->a, l),
            .a_rs = bp_derive_ld_in(job, l),
            .a_cs = 1,
            .b = (const real *)job->v + layer->w,
            .b_rs = 1,
            .b_cs = layer->n_in,
            .b_packed = job->packed_v ? (const real *)job->packed_v + layer->packed : NULL,
            .c = dz,
            .c_rs = ld,
            .accumulate = l > 0,
            .epilogue = BP_EPILOGUE_ACT_FWD,
            .act = BP_ACT_IDENTITY,
            .bias = (const real *)job->v + layer->b,
            .act_out = dz,
            .act_rs = ld,
        };
        product_run(s->kernels, &product, 0, s->n, 0, layer->n_out, s->scratch);
        if (l == net->n_layers - 1 && bp_loss_from_z(net->loss)) return;
        if (da != dz) memcpy(da, dz, (size_t)(s->n * ld) * sizeof *da);
        through(s, l, 1, da);
    }
}

/* The factor of a loss's second derivative in output a, over the row's own. */
static double bend_of_loss(int loss, int64_t n_out, double difference) {
    switch (loss) {
    case BP_LOSS_MSE:
        return 2.0 / (double)n_out;
    case BP_LOSS_SQUARED_ERROR:
        return 2.0;
    case BP_LOSS_HUBER:
        return fabs(difference) <= 1.0 ? 1.0 / (double)n_out : 0.0;
    default: /* mae */
        return 0.0;
    }
}

/* d becomes its product with the loss's second derivative, in z for losses that start there, else
 * in a: d is dz or da. */
static void curve(const space *s, real *d) {
    const bp_derive_job *job = s->job;
    const int last = job->net->n_layers - 1, loss = job->net->loss;
    const int64_t n_out = bp_derive_ld_out(job, last);
    const real *a = outputs_of(s, s->a, last), *y = targets(s);
    if (bp_loss_from_z(loss)) through(s, last, 1, d);
    for (int64_t i = 0; i < s->n; i++, d += n_out, a += n_out) {
        double factor = (double)s->row_scale[i], mass = 0.0;
        if (loss == BP_LOSS_CROSS_ENTROPY && y) {
            for (int64_t k = 0; k < n_out; k++)
                mass += (double)y[i * n_out + k];
            factor *= mass;
        } else if (loss == BP_LOSS_BINARY_CROSS_ENTROPY) {
            factor /= (double)n_out;
        }
        for (int64_t k = 0; k < n_out; k++) {
            const double second =
                bp_loss_from_z(loss)
                    ? 1.0
                    : bend_of_loss(loss, n_out, (double)a[k] - (double)y[i * n_out + k]);
            d[k] *= (real)(factor * second);
        }
    }
}

/* Softmax under a loss in a, with e = dC/da in delta and its derivative de in ddelta:
 * delta = a (e - m), m = sum of a e, and the derivative of that. */
static void curve_softmax(const space *s, real *delta, real *ddelta) {
    const int last = s->job->net->n_layers - 1;
    const int64_t n_out = bp_derive_ld_out(s->job, last);
    for (int64_t i = 0; i < s->n; i++, delta += n_out, ddelta += n_out) {
        const real *a = outputs_of(s, s->a, last) + i * n_out;
        const real *da = outputs_of(s, s->da, last) + i * n_out;
        real mean = 0, dmean = 0;
        for (int64_t k = 0; k < n_out; k++) {
            mean += a[k] * delta[k];
            dmean += da[k] * delta[k] + a[k] * ddelta[k];
        }
        for (int64_t k = 0; k < n_out; k++) {
            ddelta[k] = da[k] * (delta[k] - mean) + a[k] * (ddelta[k] - dmean);
            delta[k] = a[k] * (delta[k] - mean);
        }
    }
}

/* Delta of the outputs, and its derivative along the parameters given, into buffer[0]. */
static void delta_along(const space *s) {
    const bp_derive_job *job = s->job;
    const int last = job->net->n_layers - 1, loss = job->net->loss, from_z = bp_loss_from_z(loss);
    const int64_t n_out = bp_derive_ld_out(job, last), run = s->n * n_out;
    real *delta = s->buffer[0], *ddelta = delta + run;
    s->kernels->loss[loss](s->n, n_out, outputs_of(s, from_z ? s->z : s->a, last), n_out,
                           targets(s), n_out, s->labels, s->row_scale, s->loss, delta, n_out);
    memcpy(ddelta, outputs_of(s, from_z ? s->dz : s->da, last), (size_t)run * sizeof *ddelta);
    curve(s, ddelta);
    if (from_z) return;
    if (layer_of(s, last)->act == BP_ACT_SOFTMAX) {
        curve_softmax(s, delta, ddelta);
        return;
    }
    s->kernels->chain(run, outputs_of(s, s->first, last), outputs_of(s, s->second, last), delta,
                      outputs_of(s, s->dz, last), ddelta);
    through(s, last, 1, delta);
}

/* From delta and its derivative in layer l, in `from`, to those of the layer below. */
static void back_along(const space *s, int l, const real *from, real *to) {
    const bp_derive_job *job = s->job;
    const bp_layer *layer = layer_of(s, l);
    const int64_t ld = bp_derive_ld_in(job, l), run = s->n * ld;
    const bp_dense dense = dense_of_layer(s->job->net, l, 2 * s->n, 0, 1, s->scratch);
    const bp_product product = {
        .m = s->n,
        .n = layer->n_in,
        .k = layer->n_out,
        .a = from,
        .a_rs = bp_derive_ld_out(job, l),
        .a_cs = 1,
        .b = (const real *)job->v + layer->w,
        .b_rs = layer->n_in,
        .b_cs = 1,
        .c = to + run,
        .c_rs = ld,
        .accumulate = 1,
        .epilogue = BP_EPILOGUE_NONE,
    };
    dense_bwd_x(&dense, from, bp_derive_ld_out(job, l), BP_ACT_IDENTITY, NULL, to, ld);
    product_run(s->kernels, &product, 0, s->n, 0, layer->n_in, s->scratch);
    s->kernels->chain(run, outputs_of(s, s->first, l - 1), outputs_of(s, s->second, l - 1), to,
                      outputs_of(s, s->dz, l - 1), to + run);
    through(s, l - 1, 1, to);
}

/* The share of a block in the product of the cost's Hessian and v: Pearlmutter, Fast exact
 * multiplication by the Hessian, 1994. */
static void hvp(const space *s, real *out, int accumulate) {
    const bp_derive_job *job = s->job;
    int current = 0;
    run_values(s);
    load_block_targets(s);
    along_parameters(s);
    delta_along(s);
    for (int l = job->net->n_layers - 1; l >= 0; l--, current ^= 1) {
        const bp_layer *layer = layer_of(s, l);
        const bp_dense dense = dense_of_layer(s->job->net, l, s->n, 0, 1, s->scratch);
        const int64_t ld = bp_derive_ld_in(job, l), ldd = bp_derive_ld_out(job, l);
        const real *delta = s->buffer[current], *ddelta = delta + s->n * ldd;
        dense_bwd_w(&dense, inputs_of(s, s->a, l), ld, ddelta, ldd, out + layer->w, out + layer->b,
                    accumulate);
        if (l == 0) break;
        dense_bwd_w(&dense, inputs_of(s, s->da, l), ld, delta, ldd, out + layer->w, NULL, 1);
        back_along(s, l, delta, s->buffer[current ^ 1]);
    }
}

/* The share of a block in the product of the Gauss-Newton matrix and v: Schraudolph, Fast
 * curvature matrix-vector products for second-order gradient descent, 2002. */
static void gauss_newton(const space *s, real *out, int accumulate) {
    const bp_derive_job *job = s->job;
    const int last = job->net->n_layers - 1;
    int current = 0;
    run_values(s);
    load_block_targets(s);
    along_parameters(s);
    real *q = s->buffer[0];
    memcpy(q, outputs_of(s, s->da, last), (size_t)(s->n * bp_derive_ld_out(job, last)) * sizeof *q);
    curve(s, q);
    if (!bp_loss_from_z(job->net->loss)) through(s, last, 1, q);
    for (int l = last; l >= 0; l--, current ^= 1) {
        const bp_layer *layer = layer_of(s, l);
        const bp_dense dense = dense_of_layer(s->job->net, l, s->n, 0, 1, s->scratch);
        dense_bwd_w(&dense, inputs_of(s, s->a, l), bp_derive_ld_in(job, l), s->buffer[current],
                    bp_derive_ld_out(job, l), out + layer->w, out + layer->b, accumulate);
        if (l > 0) back_layer(s, l, 1, s->buffer[current], s->buffer[current ^ 1]);
    }
}
