/* Optimizers: settings that are checked, and the scalars of a step. */
#include "engine/optim.h"

#include <math.h>

static int in_unit_interval(double x) {
    return x >= 0.0 && x < 1.0;
}

static int nonnegative(double x) {
    return x >= 0.0 && x <= 1.7976931348623157e308;
}

int bp_optimizer_check(const bp_optimizer *o, int32_t dtype, int64_t n) {
    int states = 0;
    if (o->dtype != dtype || o->n != n) return BP_ERR_ARGUMENT;
    switch (o->kind) {
    case BP_OPT_SGD:
        states = o->momentum != 0.0;
        break;
    case BP_OPT_ADAM:
    case BP_OPT_ADAMW:
        if (!in_unit_interval(o->beta1) || !in_unit_interval(o->beta2)) return BP_ERR_ARGUMENT;
        states = 2;
        break;
    case BP_OPT_RMSPROP:
        if (!(o->alpha >= 0.0 && o->alpha <= 1.0)) return BP_ERR_ARGUMENT;
        states = o->centered ? 3 : o->momentum != 0.0 ? 2 : 1;
        break;
    case BP_OPT_ADAGRAD:
        states = 1;
        break;
    default:
        return BP_ERR_ARGUMENT;
    }
    if (!nonnegative(o->lr) || !nonnegative(o->momentum) || !nonnegative(o->eps) ||
        !nonnegative(o->weight_decay) || !nonnegative(o->lr_decay) || !nonnegative(o->clip_norm) ||
        o->step < 0 || o->step > BP_MAX_COUNT)
        return BP_ERR_ARGUMENT;
    for (int i = 0; i < states; i++)
        if (!o->state[i] && !(o->kind == BP_OPT_RMSPROP && i == 1 && o->momentum == 0.0))
            return BP_ERR_ARGUMENT;
    return BP_OK;
}

/* The corrections of both moments' bias, which take most of the time. */
static void correct_bias(const bp_optimizer *o, double t, const bp_optimizer *other,
                         const bp_update *known, bp_update *u) {
    if (other && o->kind == other->kind && o->step == other->step && o->beta1 == other->beta1 &&
        o->beta2 == other->beta2) {
        u->lr_correction = known->lr_correction;
        u->v_scale = known->v_scale;
        return;
    }
    u->lr_correction = 1.0 - pow(o->beta1, t);
    u->v_scale = 1.0 / (1.0 - pow(o->beta2, t));
}

bp_rates bp_optimizer_rates(const bp_optimizer *o) {
    return (bp_rates){.lr = o->lr, .weight_decay = o->weight_decay, .dropout = 1.0};
}

bp_update bp_optimizer_resolve(const bp_optimizer *o, bp_rates rates) {
    return bp_optimizer_resolve_beside(o, rates, NULL, NULL);
}

bp_update bp_optimizer_resolve_beside(const bp_optimizer *o, bp_rates rates,
                                      const bp_optimizer *other, const bp_update *known) {
    const double lr = rates.lr;
    bp_update u = {
        .grad_scale = 1.0,
        .weight_decay = rates.weight_decay,
        .decay = 1.0,
        .lr = lr,
        .momentum = o->momentum,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .alpha = o->alpha,
        .eps = o->eps,
        .v_scale = 1.0,
        .nesterov = o->nesterov,
        .centered = o->centered,
        .first = o->step == 0,
    };
    const double t = (double)o->step + 1.0;
    if (o->kind == BP_OPT_ADAM || o->kind == BP_OPT_ADAMW) {
        correct_bias(o, t, other, known, &u);
        u.lr = lr / u.lr_correction;
    }
    if (o->kind == BP_OPT_ADAMW) {
        u.decay_step = lr * rates.weight_decay;
        u.decay = 1.0 - u.decay_step;
        u.weight_decay = 0.0;
    }
    if (o->kind == BP_OPT_ADAGRAD) u.lr = lr / (1.0 + (t - 1.0) * o->lr_decay);
    return u;
}

bp_update bp_update_at(const bp_update *update, const bp_factors *factors) {
    bp_update u = *update;
    u.lr *= factors->lr;
    u.weight_decay *= factors->decay;
    u.decay_step *= factors->lr * factors->decay;
    u.decay = 1.0 - u.decay_step;
    u.eps *= factors->eps;
    return u;
}

double bp_clip_factor(double norm, double clip_norm) {
    if (clip_norm <= 0.0) return 1.0;
    /* The small constant is PyTorch's, so that trajectories can be compared. */
    double factor = clip_norm / (norm + 1e-6);
    return factor < 1.0 ? factor : 1.0;
}
