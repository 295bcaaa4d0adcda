/* Derivatives of the cost, and of each example's loss, in the parameters; included by derive.c for
 * float and double. */

static void BP_T(load_targets)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    const bp_data *data = job->data;
    const bp_rows rows = {NULL, s->row};
    const int64_t n_out = ld_of(job, job->net->n_layers);
    if (data->y.dtype == BP_INT64)
        bp_rows_labels(&data->y, &rows, s->n, n_out, s->labels);
    else
        BP_T(bp_rows_load)(s->kernels, &data->y, &rows, s->n, NULL, NULL, s->y, n_out);
    for (int64_t i = 0; i < s->n; i++) {
        const double weight = data->sample_weight ? data->sample_weight[s->row + i] : 1.0;
        s->row_scale[i] = is_sum(job->kind) ? (real)(weight * job->weight_scale) : 1;
        if (data->y.dtype == BP_INT64 && s->labels[i] < 0) { /* no such class */
            s->labels[i] = 0;
            s->row_scale[i] = (real)NAN;
        }
    }
}

static const real *BP_T(targets)(const BP_T(space) *s) {
    return s->job->data->y.dtype == BP_INT64 ? NULL : s->y;
}

/* ---- of each example ---- */

/* Delta of the outputs into turn[0]. */
static int BP_T(loss_of_rows)(const BP_T(space) *s) {
    const bp_net *net = s->job->net;
    const int last = net->n_layers;
    const int64_t n_out = ld_of(s->job, last);
    const bp_loss_rows rows = {s->n, n_out, net->loss, net->layers[last - 1].act};
    const BP_T(bp_loss_buffers) buffers = {
        .out = BP_T(cell)(s, bp_loss_from_z(net->loss) ? s->z : s->a, last),
        .z = BP_T(cell)(s, s->z, last),
        .ld = n_out,
        .y = BP_T(targets)(s),
        .labels = s->labels,
        .row_scale = s->row_scale,
        .loss = s->loss,
        .delta = s->turn[0],
    };
    if (net->loss == BP_LOSS_CALLBACK)
        return BP_T(bp_loss_user)(s->kernels, &rows, &buffers, net->callback, net->callback_user);
    BP_T(bp_loss_run)(s->kernels, &rows, &buffers);
    return BP_OK;
}

/* The gradient of each example in a layer: the product of its delta and the layer's inputs. */
static void BP_T(outer_products)(const BP_T(space) *s, int l, const real *delta) {
    const derive_job *job = s->job;
    const bp_layer *layer = BP_T(layer)(s, l);
    const real *a = BP_T(cell)(s, s->a, l - 1);
    const int64_t lda = ld_of(job, l - 1), ldd = ld_of(job, l);
    for (int64_t i = 0; i < s->n; i++) {
        real *out = (real *)job->out + (s->row + i) * job->net->n_parameters;
        const BP_T(bp_product) product = {
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
        BP_T(bp_product_run)
        (s->kernels, &product, 0, layer->n_out, 0, layer->n_in, s->scratch);
        memcpy(out + layer->b, delta + i * ldd, (size_t)layer->n_out * sizeof *out);
    }
}

/* The square of such a product's norm is the product of the squares. */
static void BP_T(add_norms)(const BP_T(space) *s, int l, const real *delta) {
    const bp_layer *layer = BP_T(layer)(s, l);
    const real *a = BP_T(cell)(s, s->a, l - 1);
    for (int64_t i = 0; i < s->n; i++)
        s->sums[i] += s->kernels->sum_sq(layer->n_out, delta + i * ld_of(s->job, l)) *
                      (s->kernels->sum_sq(layer->n_in, a + i * ld_of(s->job, l - 1)) + 1.0);
}

static int BP_T(per_sample)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    int turn = 0;
    BP_T(run_values)(s);
    BP_T(load_targets)(s);
    int status = BP_T(loss_of_rows)(s);
    if (status != BP_OK) return status;
    memset(s->sums, 0, (size_t)s->n * sizeof *s->sums);
    for (int l = job->net->n_layers; l >= 1; l--, turn ^= 1) {
        if (job->kind == SAMPLE_NORMS)
            BP_T(add_norms)(s, l, s->turn[turn]);
        else
            BP_T(outer_products)(s, l, s->turn[turn]);
        if (l > 1) BP_T(back_layer)(s, l, 1, s->turn[turn], s->turn[turn ^ 1]);
    }
    for (int64_t i = 0; i < s->n && job->kind == SAMPLE_NORMS; i++)
        ((real *)job->out)[s->row + i] = (real)sqrt(s->sums[i]);
    return BP_OK;
}

/* ---- products with second derivatives ---- */

/* da, and dz where it is kept, along the parameters given: dz_l = da_(l-1) W^T + a_(l-1) V^T + c.
 * Losses that start from z leave the outputs at dz. */
static void BP_T(along_parameters)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    const bp_net *net = job->net;
    for (int l = 1; l <= net->n_layers; l++) {
        const bp_layer *layer = BP_T(layer)(s, l);
        const int64_t ld = ld_of(job, l);
        real *da = BP_T(cell)(s, s->da, l), *dz = s->dz ? BP_T(cell)(s, s->dz, l) : da;
        if (l > 1) BP_T(along_layer)(s, l, 1, BP_T(cell)(s, s->da, l - 1), dz);
        const BP_T(bp_product) product = {
            .m = s->n,
            .n = layer->n_out,
            .k = layer->n_in,
            .a = BP_T(cell)(s, s->a, l - 1),
            .a_rs = ld_of(job, l - 1),
            .a_cs = 1,
            .b = (const real *)job->v + layer->w,
            .b_rs = 1,
            .b_cs = layer->n_in,
            .b_packed = job->packed_v ? (const real *)job->packed_v + layer->packed : NULL,
            .c = dz,
            .c_rs = ld,
            .accumulate = l > 1,
            .epilogue = BP_EPILOGUE_ACT_FWD,
            .act = BP_ACT_IDENTITY,
            .bias = (const real *)job->v + layer->b,
            .act_out = dz,
            .act_rs = ld,
        };
        BP_T(bp_product_run)(s->kernels, &product, 0, s->n, 0, layer->n_out, s->scratch);
        if (l == net->n_layers && bp_loss_from_z(net->loss)) return;
        if (da != dz) memcpy(da, dz, (size_t)(s->n * ld) * sizeof *da);
        BP_T(through)(s, l, 1, da);
    }
}

/* The factor of a loss's second derivative in output a, over the row's own. */
static double BP_T(bend_of_loss)(int loss, int64_t n_out, double difference) {
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
static void BP_T(curve)(const BP_T(space) *s, real *d) {
    const derive_job *job = s->job;
    const int last = job->net->n_layers, loss = job->net->loss;
    const int64_t n_out = ld_of(job, last);
    const real *a = BP_T(cell)(s, s->a, last), *y = BP_T(targets)(s);
    if (bp_loss_from_z(loss)) BP_T(through)(s, last, 1, d);
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
            const double bend =
                bp_loss_from_z(loss)
                    ? 1.0
                    : BP_T(bend_of_loss)(loss, n_out, (double)a[k] - (double)y[i * n_out + k]);
            d[k] *= (real)(factor * bend);
        }
    }
}

/* Softmax under a loss in a, with e = dC/da in delta and its derivative de in ddelta:
 * delta = a (e - m), m = sum of a e, and the derivative of that. */
static void BP_T(curve_softmax)(const BP_T(space) *s, real *delta, real *ddelta) {
    const int last = s->job->net->n_layers;
    const int64_t n_out = ld_of(s->job, last);
    for (int64_t i = 0; i < s->n; i++, delta += n_out, ddelta += n_out) {
        const real *a = BP_T(cell)(s, s->a, last) + i * n_out;
        const real *da = BP_T(cell)(s, s->da, last) + i * n_out;
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

/* Delta of the outputs, and its derivative along the parameters given, into turn[0]. */
static void BP_T(delta_along)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    const int last = job->net->n_layers, loss = job->net->loss, from_z = bp_loss_from_z(loss);
    const int64_t n_out = ld_of(job, last), run = s->n * n_out;
    real *delta = s->turn[0], *ddelta = delta + run;
    s->kernels->loss[loss](s->n, n_out, BP_T(cell)(s, from_z ? s->z : s->a, last), n_out,
                           BP_T(targets)(s), n_out, s->labels, s->row_scale, s->loss, delta, n_out);
    memcpy(ddelta, BP_T(cell)(s, from_z ? s->dz : s->da, last), (size_t)run * sizeof *ddelta);
    BP_T(curve)(s, ddelta);
    if (from_z) return;
    if (BP_T(layer)(s, last)->act == BP_ACT_SOFTMAX) {
        BP_T(curve_softmax)(s, delta, ddelta);
        return;
    }
    s->kernels->chain(run, BP_T(cell)(s, s->first, last), BP_T(cell)(s, s->second, last), delta,
                      BP_T(cell)(s, s->dz, last), ddelta);
    BP_T(through)(s, last, 1, delta);
}

/* From delta and its derivative in layer l, in `from`, to those of the layer below. */
static void BP_T(back_along)(const BP_T(space) *s, int l, const real *from, real *to) {
    const derive_job *job = s->job;
    const bp_layer *layer = BP_T(layer)(s, l);
    const int64_t ld = ld_of(job, l - 1), run = s->n * ld;
    const BP_T(bp_dense) dense = BP_T(dense_to)(s, l, 2 * s->n);
    const BP_T(bp_product) product = {
        .m = s->n,
        .n = layer->n_in,
        .k = layer->n_out,
        .a = from,
        .a_rs = ld_of(job, l),
        .a_cs = 1,
        .b = (const real *)job->v + layer->w,
        .b_rs = layer->n_in,
        .b_cs = 1,
        .c = to + run,
        .c_rs = ld,
        .accumulate = 1,
        .epilogue = BP_EPILOGUE_NONE,
    };
    BP_T(bp_dense_bwd_x)(&dense, from, ld_of(job, l), BP_ACT_IDENTITY, NULL, to, ld);
    BP_T(bp_product_run)(s->kernels, &product, 0, s->n, 0, layer->n_in, s->scratch);
    s->kernels->chain(run, BP_T(cell)(s, s->first, l - 1), BP_T(cell)(s, s->second, l - 1), to,
                      BP_T(cell)(s, s->dz, l - 1), to + run);
    BP_T(through)(s, l - 1, 1, to);
}

/* The share of a block in the product of the cost's Hessian and v: Pearlmutter, Fast exact
 * multiplication by the Hessian, 1994. */
static void BP_T(hvp)(const BP_T(space) *s, real *out, int accumulate) {
    const derive_job *job = s->job;
    int turn = 0;
    BP_T(run_values)(s);
    BP_T(load_targets)(s);
    BP_T(along_parameters)(s);
    BP_T(delta_along)(s);
    for (int l = job->net->n_layers; l >= 1; l--, turn ^= 1) {
        const bp_layer *layer = BP_T(layer)(s, l);
        const BP_T(bp_dense) dense = BP_T(dense_to)(s, l, s->n);
        const int64_t ld = ld_of(job, l - 1), ldd = ld_of(job, l);
        const real *delta = s->turn[turn], *ddelta = delta + s->n * ldd;
        BP_T(bp_dense_bwd_w)
        (&dense, BP_T(cell)(s, s->a, l - 1), ld, ddelta, ldd, out + layer->w, out + layer->b,
         accumulate);
        if (l == 1) break;
        BP_T(bp_dense_bwd_w)
        (&dense, BP_T(cell)(s, s->da, l - 1), ld, delta, ldd, out + layer->w, NULL, 1);
        BP_T(back_along)(s, l, delta, s->turn[turn ^ 1]);
    }
}

/* The share of a block in the product of the Gauss-Newton matrix and v: Schraudolph, Fast
 * curvature matrix-vector products for second-order gradient descent, 2002. */
static void BP_T(gauss_newton)(const BP_T(space) *s, real *out, int accumulate) {
    const derive_job *job = s->job;
    const int last = job->net->n_layers;
    int turn = 0;
    BP_T(run_values)(s);
    BP_T(load_targets)(s);
    BP_T(along_parameters)(s);
    real *q = s->turn[0];
    memcpy(q, BP_T(cell)(s, s->da, last), (size_t)(s->n * ld_of(job, last)) * sizeof *q);
    BP_T(curve)(s, q);
    if (!bp_loss_from_z(job->net->loss)) BP_T(through)(s, last, 1, q);
    for (int l = last; l >= 1; l--, turn ^= 1) {
        const bp_layer *layer = BP_T(layer)(s, l);
        const BP_T(bp_dense) dense = BP_T(dense_to)(s, l, s->n);
        BP_T(bp_dense_bwd_w)
        (&dense, BP_T(cell)(s, s->a, l - 1), ld_of(job, l - 1), s->turn[turn], ld_of(job, l),
         out + layer->w, out + layer->b, accumulate);
        if (l > 1) BP_T(back_layer)(s, l, 1, s->turn[turn], s->turn[turn ^ 1]);
    }
}
