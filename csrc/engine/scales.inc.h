/* Trained factors of the inputs, the scales: the first layer is z = W (s x) + b. They are folded:
 * the parameters have V = W diag(s), which every pass reads, and only an update knows of s and W.
 * All gradients of a batch are formed before its update, as for clipping. */

static real *scales_of(const bp_net *net) {
    return net->raw;
}

/* W of the first layer, (n_out x n_in). */
static real *raw_weights(const bp_net *net) {
    return scales_of(net) + net->n_scales;
}

static real *gradient_of_scales(const bp_net *net) {
    return scales_of(net) + bp_net_raw_count(net);
}

/* V = W diag(s), for some rows. */
static void fold_rows(const bp_net *net, int64_t begin, int64_t end) {
    const int64_t n_in = net->layers[0].n_in;
    const real *scales = scales_of(net);
    for (int64_t i = begin; i < end; i++) {
        const real *w = raw_weights(net) + i * n_in;
        real *v = (real *)net->parameters + i * n_in;
        for (int64_t j = 0; j < n_in; j++)
            v[j] = w[j] * scales[j];
    }
}

/* The same for all rows, by a caller outside a pass. */
static void fold(bp_net *net) {
    const uint64_t mode = bp_fp_enter();
    fold_rows(net, 0, net->layers[0].n_out);
    bp_fp_leave(mode);
}

/* From the gradient G in V, those in W, in its place, and in s: dW = G diag(s), and ds_j is the sum
 * over i of G_ij W_ij. Each member does whole columns, from the first row to the last. */
static void unfold_gradient(const bp_net *net, real *gradient, int member, int members) {
    const bp_layer *layer = &net->layers[0];
    const real *scales = scales_of(net);
    real *ds = gradient_of_scales(net);
    int64_t begin, end;
    bp_share(layer->n_in, BP_ALIGNMENT / (int64_t)sizeof(real), member, members, &begin, &end);
    memset(ds + begin, 0, (size_t)(end - begin) * sizeof(real));
    for (int64_t i = 0; i < layer->n_out; i++) {
        const real *w = raw_weights(net) + i * layer->n_in;
        real *g = gradient + i * layer->n_in;
        for (int64_t j = begin; j < end; j++) {
            ds[j] += g[j] * w[j];
            g[j] *= scales[j];
        }
    }
}

/* Copies entries begin <= i < end of what training changes. */
static void copy_trained(const bp_net *net, int64_t begin, int64_t end, real *to) {
    const int64_t raw = bp_net_raw_count(net), cut = bp_min_i64(bp_max_i64(raw, begin), end);
    if (begin < cut)
        memcpy(to + begin, scales_of(net) + begin, (size_t)(cut - begin) * sizeof(real));
    if (cut < end)
        memcpy(to + cut, (const real *)net->parameters + (cut - net->n_scales),
               (size_t)(end - cut) * sizeof(real));
}

/* Replaces all of it; the packed copy is then out of date. */
static void set_trained(bp_net *net, const void *values) {
    const int64_t raw = bp_net_raw_count(net), rest = raw - net->n_scales;
    const real *from = values;
    memmove((real *)net->parameters + rest, from + raw,
            (size_t)(net->n_parameters - rest) * sizeof(real));
    net->packed_stale = 1;
    if (raw == 0) return;
    memmove(net->raw, from, (size_t)raw * sizeof(real));
    fold(net);
}

static void get_trained(const bp_net *net, void *values) {
    copy_trained(net, 0, bp_net_trained(net), values);
}

/* Takes over the parameters, with scales of 1. V is always the product, in which subnormal weights
 * are 0: else copies of the network, which have the product, would differ from it. */
static void reset_scales(bp_net *net) {
    for (int64_t j = 0; j < net->n_scales; j++)
        scales_of(net)[j] = 1;
    memcpy(raw_weights(net), net->parameters, (size_t)net->layers[0].b * sizeof(real));
    fold(net);
}
