/* Optimizers: the scalars of a step, resolved from the settings that the caller gives. */
#ifndef BP_OPTIM_H
#define BP_OPTIM_H

#include "kernels/kernels.h"

/* BP_OK if the optimizer is for n parameters of this type, its settings are in range and the state
 * vectors that they need are present. */
int bp_optimizer_check(const bp_optimizer *optimizer, int32_t dtype, int64_t n);

/* The rates that the optimizer itself holds; dropout as it is. */
bp_rates bp_optimizer_rates(const bp_optimizer *optimizer);

/* The scalars of the coming step at these rates; penalties and clipping are left out (0, 1). */
bp_update bp_optimizer_resolve(const bp_optimizer *optimizer, bp_rates rates);

/* The same, where the scalars of another optimizer's step are known: what has the same value is
 * taken from there. */
bp_update bp_optimizer_resolve_beside(const bp_optimizer *optimizer, bp_rates rates,
                                      const bp_optimizer *other, const bp_update *known);

/* What the rates of some parameters are multiplied by. */
typedef struct {
    double lr, decay, eps;
} bp_factors;

/* The scalars at rates multiplied by factors. */
bp_update bp_update_at(const bp_update *update, const bp_factors *factors);

/* The factor that brings a gradient of this norm within clip_norm (0: none): at most 1. */
double bp_clip_factor(double norm, double clip_norm);

#endif
