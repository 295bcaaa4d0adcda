/* The kernel table: one slot per kernel, with its contract.
 *
 * dispatch.c fills a table from the portable kernels and lets each instruction set that the machine
 * supports overwrite what it does better. A kernel's full name is
 * bpk_<dtype>_<op>[_<variant>][_<MRxNR>]__<isa>; the part before "__", less the shape, is its slot.
 *
 * Rules that hold for every slot:
 * - matrices are row-major; row strides (ld…, …_rs) count elements;
 * - any count may be 0, and then nothing is read or written through the pointers it covers;
 * - no alignment is assumed; nothing outside the described elements is read or written;
 * - outputs do not overlap inputs unless the slot says so;
 * - the value of an element depends on its operands alone, never on its position, on the other
 *   elements of the call, or on how a larger problem was cut into calls;
 * - NaN and infinities propagate as the formula has them;
 * - kernels do not allocate, lock, or fail.
 */
#ifndef BP_KERNELS_H
#define BP_KERNELS_H

#include <stdint.h>

#include "pybackprop.h"

enum { BP_ACT_COUNT = 12, BP_LOSS_COUNT = 6, BP_OPT_COUNT = 5 };

/* Slopes and scales of the activations that have them. */
#define BP_LEAKY_SLOPE 0.01
#define BP_SELU_LAMBDA 1.0507009873554804934193349852946
#define BP_SELU_ALPHA 1.6732632423543772848170429916717

/* Whether the derivative is computed from z (the pre-activation) instead of a (the activation). */
static inline int bp_act_needs_z(int act) {
    return act == BP_ACT_GELU || act == BP_ACT_SILU || act == BP_ACT_MISH;
}

/* The scalars of one update, resolved once per step from the optimizer's settings. */
typedef struct {
    double grad_scale;   /* multiplies the gradient first; the clipping factor, or 1 */
    double l1, l2;       /* penalties of this segment: g += l2 w + l1 sign(w); before grad_scale */
    double weight_decay; /* coupled: g += weight_decay w */
    double decay;        /* decoupled: w *= decay, 1 for none */
    double lr;           /* with the bias correction of the first moment folded in (adam) */
    double momentum, beta1, beta2, alpha, eps;
    double v_scale; /* 1 / (1 - beta2^t), multiplies v before the root (adam) */
    int nesterov, centered;
    int first; /* the first step of this optimizer: momentum starts at the gradient */
} bp_update;

#define real float
#define BP_T(name) name##_f32
#include "kernels.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "kernels.inc.h"
#undef real
#undef BP_T

typedef struct bp_kernels {
    bp_kernels_f32 f32;
    bp_kernels_f64 f64;
} bp_kernels;

/* One per arch/kern_<isa>.c. Each overwrites the slots it does better; the portable one fills all.
 * On machines of another architecture the function exists and does nothing. */
void bp_kernels_init_portable(bp_kernels *k);
void bp_kernels_init_avx2(bp_kernels *k);
void bp_kernels_init_avx512(bp_kernels *k);
void bp_kernels_init_neon(bp_kernels *k);

#endif
