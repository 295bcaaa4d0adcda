/* Which networks are trained in the lanes of vectors. */
#include "engine/lanes.h"

/* Lanes save the time between the products of a step; the products are no faster. The limits are
 * where a step of a vector of networks takes as long as steps of half as many of them one by one
 * (docs/measurements.md); and beyond which its buffers leave the cache. */
enum {
    MAX_PARAMETERS = 1024,
    MAX_BATCH = 64,
    MAX_WORK = 256 /* parameters times rows, for each lane */
};

int bp_lanes_count(const bp_net *net) {
    return net->dtype == BP_FLOAT32 ? net->kernels->f32.lanes.count : net->kernels->f64.lanes.count;
}

/* Nothing is summed over the parameters of a network, all of them have the same rates, the inputs
 * have no scales, nothing random is drawn, and the loss is not the user's. */
static int is_plain(const bp_net *net) {
    for (int l = 0; l < net->n_layers; l++)
        if (net->layers[l].dropout > 0.0) return 0;
    return net->loss != BP_LOSS_CALLBACK && !net->has_factors && net->n_scales == 0 &&
           net->precision == BP_PRECISION_FLOAT32 && !(net->l1 > 0.0 || net->l2 > 0.0);
}

/* Whether each part of a batch is one block, of more than one row: a single row is multiplied in
 * another order. */
static int has_plain_parts(const bp_slice *s, int64_t rows) {
    const bp_plan plan = bp_plan_step(s->fit->net, rows, s->fit->batch_size, s->optimizer);
    int64_t begin, end;
    if (plan.parts > 2)
        return 0; /* more gradients are added as a tree, and there is room for two */
    for (int part = 0; part < plan.parts; part++) {
        bp_plan_part(&plan, rows, part, &begin, &end);
        if (end - begin < 2 || end - begin > plan.block) return 0;
    }
    return 1;
}

/* Whether the coming batch adds a decay of the weights to the gradient. AdamW never does. */
static int adds_decay(const bp_slice *s) {
    return s->optimizer->kind != BP_OPT_ADAMW && bp_slice_rates(s).weight_decay != 0.0;
}

/* Whether all coming batches add a decay, or none does: networks in lanes share one loop, which
 * adds one to each of them or to none. There may be thousands of rates for each of many networks,
 * so they are looked through only if they can differ. */
static int decays_alike(const bp_slice *s) {
    if (!s->rates || s->has_one_decay || s->optimizer->kind == BP_OPT_ADAMW) return 1;
    const int first = adds_decay(s);
    for (int64_t i = s->batches; i < s->max_batches; i++)
        if ((s->rates[i].weight_decay != 0.0) != first) return 0;
    return 1;
}

int bp_lanes_allow(const bp_slice *s) {
    const bp_fit *fit = s->fit;
    const bp_net *net = fit->net;
    const int lanes = bp_lanes_count(net);
    return lanes > 1 && net->n_parameters <= MAX_PARAMETERS && fit->batch_size <= MAX_BATCH &&
           net->n_parameters * fit->batch_size <= MAX_WORK * lanes && is_plain(net) &&
           !(s->optimizer->clip_norm > 0.0) && has_plain_parts(s, fit->batch_size) &&
           has_plain_parts(s, (fit->rows - 1) % fit->batch_size + 1) && !bp_slice_is_over(s) &&
           decays_alike(s);
}

/* Whether two optimizers differ in numbers alone. */
static int have_one_rule(const bp_slice *s, const bp_slice *t) {
    const bp_optimizer *a = s->optimizer, *b = t->optimizer;
    if (a->kind != b->kind || a->nesterov != b->nesterov || a->centered != b->centered ||
        adds_decay(s) != adds_decay(t))
        return 0;
    for (int i = 0; i < 3; i++)
        if ((a->state[i] != NULL) != (b->state[i] != NULL)) return 0;
    return 1;
}

int bp_lanes_match(const bp_slice *s, const bp_slice *t) {
    const bp_fit *a = s->fit, *b = t->fit;
    return a->rows == b->rows && a->batch_size == b->batch_size && a->batch == b->batch &&
           (a->data.y.dtype == BP_INT64) == (b->data.y.dtype == BP_INT64) &&
           bp_net_is_like(a->net, b->net) && a->net->loss == b->net->loss &&
           (a->net->label_smoothing != 0.0) == (b->net->label_smoothing != 0.0) &&
           have_one_rule(s, t);
}

int64_t bp_lanes_worth(int lanes, int64_t n, int threads) {
    const int64_t rest = n % lanes;
    if (2 * n < (int64_t)lanes * threads) return 0; /* one by one they occupy more threads */
    return 2 * rest < lanes ? n - rest : n;
}
