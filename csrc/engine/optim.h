/* Optimizers: the scalars of a step, resolved from the settings that the caller gives. */
#ifndef BP_OPTIM_H
#define BP_OPTIM_H

#include "kernels/kernels.h"

/* BP_OK if the optimizer is for n parameters of this type, its settings are in range and the state
 * vectors that they need are present. */
int bp_optimizer_check(const bp_optimizer *optimizer, int32_t dtype, int64_t n);

/* The scalars of the coming step at learning rate lr; penalties and clipping are left out (0, 1).
 */
bp_update bp_optimizer_resolve(const bp_optimizer *optimizer, double lr);

/* The factor that brings a gradient of this norm within clip_norm (0: none): at most 1. */
double bp_clip_factor(double norm, double clip_norm);

#endif
