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
 * - NaN and infinities propagate as in the formula;
 * - kernels do not allocate, lock, or fail.
 */
#ifndef BP_KERNELS_H
#define BP_KERNELS_H

#include <stdint.h>

#include "system/compiler.h"
#include "pybackprop.h"

/* Softmax is the last activation, and the user's function the last loss. */
enum { BP_ACT_COUNT = BP_ACT_SOFTMAX + 1, BP_LOSS_COUNT = BP_LOSS_CALLBACK };

/* Slopes and scales of the activations that have them. */
#define BP_LEAKY_SLOPE 0.01
#define BP_SELU_LAMBDA 1.0507009873554804934193349852946
#define BP_SELU_ALPHA 1.6732632423543772848170429916717

/* The activations that act on one element at a time, except identity:
 * X(name, number, from_z, derivative). from_z: name_slope, the derivative that backward passes use,
 * takes z (the pre-activation) instead of a (the activation). derivative: the function that
 * computes it from z in any case. CONTRIBUTING.md says how to add one. */
#define BP_EACH_ACTIVATION(X)                                                                      \
    X(sigmoid, BP_ACT_SIGMOID, 0, sigmoid_derivative)                                              \
    X(tanh, BP_ACT_TANH, 0, tanh_derivative)                                                       \
    X(relu, BP_ACT_RELU, 0, relu_slope)                                                            \
    X(leaky_relu, BP_ACT_LEAKY_RELU, 0, leaky_relu_slope)                                          \
    X(elu, BP_ACT_ELU, 0, elu_derivative)                                                          \
    X(selu, BP_ACT_SELU, 0, selu_derivative)                                                       \
    X(softplus, BP_ACT_SOFTPLUS, 0, sigmoid)                                                       \
    X(gelu, BP_ACT_GELU, 1, gelu_slope)                                                            \
    X(silu, BP_ACT_SILU, 1, silu_slope)                                                            \
    X(mish, BP_ACT_MISH, 1, mish_slope)

/* Whether the derivative is computed from z instead of a. */
static inline int bp_act_needs_z(int act) {
#define BP_NEEDS_Z(name, number, from_z, derivative) || (from_z && act == number)
    return 0 BP_EACH_ACTIVATION(BP_NEEDS_Z);
#undef BP_NEEDS_Z
}

/* Whether a loss is computed from the output's pre-activation; its derivative is then delta. */
static inline int bp_loss_from_z(int loss) {
    return loss == BP_LOSS_CROSS_ENTROPY || loss == BP_LOSS_BINARY_CROSS_ENTROPY;
}

/* The scalars of one update, resolved once per step from the optimizer's settings. */
typedef struct {
    double grad_scale;   /* multiplies the gradient first; the clipping factor, or 1 */
    double l1, l2;       /* penalties of this segment: g += l2 w + l1 sign(w); before grad_scale */
    double weight_decay; /* coupled: g += weight_decay w */
    double decay;        /* decoupled: w *= decay, 1 for none */
    double decay_step;   /* lr times the decoupled decay: decay is 1 less this */
    double lr;           /* with the bias correction of the first moment folded in (adam) */
    double momentum, beta1, beta2, alpha, eps;
    double v_scale;       /* 1 / (1 - beta2^t), multiplies v before the root (adam) */
    double lr_correction; /* 1 - beta1^t, which is folded into lr (adam); not read by kernels */
    int nesterov, centered;
    int first; /* the first step of this optimizer: momentum starts at the gradient */
} bp_update;

/* The lanes of the longest vectors, and the scalars of bp_update in an element type. */
enum { BP_MAX_LANES = 16, BP_LANE_SCALARS = 15 };

#define real float
#define BP_T(name) name##_f32
#include "kernels/kernels.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "kernels/kernels.inc.h"
#undef real
#undef BP_T

/* ---- products of bfloat16 ----------------------------------------------------------------------
 *
 * A bfloat16 number is the upper half of a float32, here a uint16_t. An operand holds one plane of
 * them (bf16), or two or three whose sum is the float32 matrix (bf16x2, bf16x3), `plane` elements
 * apart, in one of two layouts that every instruction set reads as they are:
 *
 * rows    of a (m x k): slabs of 32 columns, `slab` elements apart, each (m x 32) row-major;
 *         element (i, p) is x[p / 32 * slab + i * 32 + p % 32].
 * panels  of b (k x n): panels of 32 columns, `panel` elements apart, in which each two rows are
 *         interleaved; element (p, j) is x[j / 32 * panel + p / 2 * 64 + j % 32 * 2 + p % 2].
 *
 * In both k, and in panels n too, is padded with zeros to a multiple of 32. The rows of a slab up
 * to the next multiple of 16 exist; they may hold anything, and some kernels read them. */

enum { BP_BF16_BLOCK = 32, BP_BF16_PLANES = 3, BP_BF16_TERMS = 5 };

/* The offsets of two planes whose product is a part of the result. */
typedef struct {
    int64_t a, b;
} bp_bf16_term;

/* c (m x n) = the sum over the terms of a (m x k) b (k x n), plus c if accumulate is not 0 (if it
 * is 0, c is not read); k is a multiple of 32. */
typedef struct {
    int64_t m, n, k;
    const uint16_t *a;
    int64_t slab;
    const uint16_t *b;
    int64_t panel;
    const bp_bf16_term *terms;
    int n_terms;
    float *c;
    int64_t c_rs;
    int accumulate;
} bp_bf16_block;

typedef struct {
    const char *name; /* what multiplies: "amx", "avx512_bf16" or "emulation" */
    int64_t band;     /* rows that should pass a block of b together, a multiple of 32 */
    int64_t kc; /* k of a block of one plane, at most: the rows of a tile fit the nearest cache */
    int64_t b_share; /* a block of b fills at most 1 / b_share of the second-level cache */

    /* Brackets for any number of calls of `run` on one thread: they take the state that it needs
     * and give it back. They do not nest. */
    void (*begin)(void);
    void (*end)(void);

    /* Each element of c is one chain of additions that starts at 0, or at c. It takes the steps of
     * 32 rows of b in ascending order, and in each step the terms in their order. How the 32
     * products of a step and term are summed is up to the instruction, and the same for all
     * elements. So blocking over k, or over m and n, gives the same bits. Products are exact, sums
     * are rounded to nearest even; subnormal operands and results count as 0. */
    void (*run)(const bp_bf16_block *block);

    /* Rounds or splits src (rows x cols, row stride ld) into rows or panels of dst. For rows its
     * columns, for panels its rows and columns, are padded with zeros to a multiple of 32. The
     * destination's block starts at dst.
     *
     * One plane: each element rounded to nearest even. NaN becomes a quiet NaN, subnormals 0 with
     * their sign; what rounds beyond the largest bfloat16 becomes infinite.
     * More planes: the first is x rounded, but the largest bfloat16 if a finite x would become
     * infinite. Each further one is the rounded rest, or 0 if x is infinite or NaN. With three
     * planes the sum is exactly x, as long as no part is subnormal. */
    void (*to_rows)(int planes, int64_t rows, int64_t cols, const float *src, int64_t ld,
                    uint16_t *dst, int64_t slab, int64_t plane);
    void (*to_panels)(int planes, int64_t rows, int64_t cols, const float *src, int64_t ld,
                      uint16_t *dst, int64_t panel, int64_t plane);

    /* c = 0 where c is infinite or NaN. */
    void (*drop_specials)(int64_t rows, int64_t cols, float *c, int64_t ldc);

    /* Independent chains of multiply-adds in registers; returns the flops done. Outside begin and
     * end. */
    double (*peak)(int64_t iterations);
} bp_kernels_bf16;

typedef struct bp_kernels {
    bp_kernels_f32 f32;
    bp_kernels_f64 f64;
    bp_kernels_bf16 bf16;
} bp_kernels;

/* One per arch/kern_<isa>.c. Each overwrites the slots it does better; the portable one fills all.
 * On machines of another architecture the function exists and does nothing. */
void bp_kernels_init_portable(bp_kernels *k);
void bp_kernels_init_avx2(bp_kernels *k);
void bp_kernels_init_avx512(bp_kernels *k);
void bp_kernels_init_avx512_bf16(bp_kernels *k);
void bp_kernels_init_amx(bp_kernels *k);
void bp_kernels_init_neon(bp_kernels *k);

#endif
