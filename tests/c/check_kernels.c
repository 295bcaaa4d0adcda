/* Every kernel of every instruction set of this machine against the portable one.
 *
 * Arguments: a seed (0 for one from the clock), the step between sizes (1; odd, so that all tails
 * occur), then the instruction sets to check (all if none is named). Ends with 1 if anything
 * differs. */
#define _GNU_SOURCE
#include <float.h>
#include <time.h>

#include "kernels/dispatch.h"
#include "system/fpmode.h"
#include "kernel_check.h"

enum {
    MAX_EDGE = 131, /* sizes up to here: past eight vectors of 16 */
    MAX_ROWS = 37,  /* rows with one special value each, at every position */
    MAX_COLS = 136,
    MAX_CELLS = 1600,
    LANE_VECTORS = 320 /* of an operand, in the checks of lanes */
};

/* How far an instruction set may be from the portable kernel, in units in the last place: each has
 * its own bound against the true value, and they may lie on opposite sides of it. Kernels that
 * are not named here are exact: identity, relu and leaky_relu, add, col_sum and the conversions. */
static const double TOLERANCE_EXP = 2;    /* exp, log */
static const double TOLERANCE_TANH = 4;   /* tanh, sigmoid, erf */
static const double TOLERANCE_ACT = 5;    /* activations made of those, and their derivatives */
static const double TOLERANCE_UPDATE = 5; /* of the largest of the numbers that enter a parameter */

static const char *const act_text[BP_ACT_COUNT] = {"identity",   "sigmoid", "tanh", "relu",
                                                   "leaky_relu", "elu",     "selu", "softplus",
                                                   "gelu",       "silu",    "mish", "softmax"};

static const char *const loss_text[BP_LOSS_COUNT] = {
    "loss[mse]",   "loss[squared_error]", "loss[mae]",
    "loss[huber]", "loss[cross_entropy]", "loss[binary_cross_entropy]"};

/* Two results count as near within `ulps` units in the last place of the larger of the result's
 * magnitude and `scale`. constant: not a function of its argument, which may be NaN. */
typedef struct {
    double ulps, scale;
    int constant;
} bound;

/* Of an activation, or of a derivative: some of those cross zero, as a sum of terms near 1. */
static bound act_bound(int act, int derivative) {
    bound b = {TOLERANCE_ACT, derivative && bp_act_needs_z(act), 0};
    if (act == BP_ACT_IDENTITY || act == BP_ACT_RELU || act == BP_ACT_LEAKY_RELU) b.ulps = 0;
    b.constant = derivative && act == BP_ACT_IDENTITY;
    return b;
}

/* Updates in every form; states: which of the state vectors exist. */
typedef struct {
    const char *name;
    int kind;
    int states[3];
    bp_update update;
} update_case;

#define PLAIN .grad_scale = 1, .decay = 1, .lr = 0.01, .eps = 1e-8, .v_scale = 1
#define PENALTIES .l1 = 0.01, .l2 = 0.02, .grad_scale = 0.7, .lr = 0.01, .eps = 1e-8

enum { UPDATE_CASES = 13 };

static const update_case update_cases[UPDATE_CASES] = {
    {"update[sgd]", BP_OPT_SGD, {0, 0, 0}, {PLAIN}},
    {"update[sgd, penalties]",
     BP_OPT_SGD,
     {0, 0, 0},
     {PENALTIES, .decay = 1, .weight_decay = 0.1, .v_scale = 1}},
    {"update[sgd, first momentum]", BP_OPT_SGD, {1, 0, 0}, {PLAIN, .momentum = 0.9, .first = 1}},
    {"update[sgd, momentum]", BP_OPT_SGD, {1, 0, 0}, {PLAIN, .momentum = 0.9}},
    {"update[sgd, nesterov]", BP_OPT_SGD, {1, 0, 0}, {PLAIN, .momentum = 0.9, .nesterov = 1}},
    {"update[adam]", BP_OPT_ADAM, {1, 1, 0}, {PLAIN, .beta1 = 0.9, .beta2 = 0.99}},
    {"update[adam, penalties]",
     BP_OPT_ADAM,
     {1, 1, 0},
     {PENALTIES, .decay = 1, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.99, .v_scale = 1.5}},
    {"update[adamw]",
     BP_OPT_ADAMW,
     {1, 1, 0},
     {PENALTIES, .decay = 0.99, .beta1 = 0.9, .beta2 = 0.99, .v_scale = 1.5}},
    {"update[rmsprop]", BP_OPT_RMSPROP, {1, 0, 0}, {PLAIN, .alpha = 0.9}},
    {"update[rmsprop, momentum]",
     BP_OPT_RMSPROP,
     {1, 1, 0},
     {PENALTIES, .decay = 1, .v_scale = 1, .alpha = 0.9, .momentum = 0.9}},
    {"update[rmsprop, centered]", BP_OPT_RMSPROP, {1, 0, 1}, {PLAIN, .alpha = 0.9, .centered = 1}},
    {"update[rmsprop, centered, momentum]",
     BP_OPT_RMSPROP,
     {1, 1, 1},
     {PENALTIES, .decay = 1, .v_scale = 1, .alpha = 0.9, .momentum = 0.9, .centered = 1}},
    {"update[adagrad]",
     BP_OPT_ADAGRAD,
     {1, 0, 0},
     {PENALTIES, .decay = 1, .v_scale = 1, .weight_decay = 0.1}},
};

#define real float
#define BP_T(name) name##_f32
#define BP_TYPE "f32"
#define BP_EPS ((double)FLT_EPSILON)
#define BP_TINY ((double)FLT_MIN)
#define BP_HUGE 1e30
#include "check_kernels.inc.h"
#include "check_kernels_rows.inc.h"
#include "check_kernels_updates.inc.h"
#include "check_kernels_columns.inc.h"
#include "check_kernels_lanes.inc.h"
#include "check_kernels_types.inc.h"
#undef real
#undef BP_T
#undef BP_TYPE
#undef BP_EPS
#undef BP_TINY
#undef BP_HUGE

#define real double
#define BP_T(name) name##_f64
#define BP_TYPE "f64"
#define BP_EPS DBL_EPSILON
#define BP_TINY DBL_MIN
#define BP_HUGE 1e300
#include "check_kernels.inc.h"
#include "check_kernels_rows.inc.h"
#include "check_kernels_updates.inc.h"
#include "check_kernels_columns.inc.h"
#include "check_kernels_lanes.inc.h"
#include "check_kernels_types.inc.h"

/* Every slot is filled, but for those that softmax does not have: a table of the right size with
 * the wrong hole would be found only when it is called. */
static void check_filled(const bp_kernels *k) {
    at.slot = "table";
    for (int act = 0; act < BP_ACT_COUNT; act++) {
        int wanted = act != BP_ACT_SOFTMAX;
        if ((k->f32.act_fwd[act] != NULL) != wanted || (k->f64.act_fwd[act] != NULL) != wanted ||
            (k->f32.act_bwd[act] != NULL) != wanted || (k->f64.act_bwd[act] != NULL) != wanted ||
            (k->f32.act_derivative[act] != NULL) != wanted ||
            (k->f64.act_derivative[act] != NULL) != wanted ||
            (k->f32.act_second[act] != NULL) != wanted ||
            (k->f64.act_second[act] != NULL) != wanted) {
            fail("a slot of an activation is missing, or filled for softmax");
        }
    }
}

static int chosen(const char *isa, int argc, char **argv) {
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], isa) == 0) return 1;
    }
    return argc <= 3;
}

int main(int argc, char **argv) {
    static bp_kernels portable, tested;
    at.seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
    if (at.seed == 0) at.seed = (uint64_t)time(NULL);
    at.step = argc > 2 ? atoi(argv[2]) : 1;
    if (at.step < 1) return 2;
    printf("seed %llu\n", (unsigned long long)at.seed);
    open_regions();
    bp_kernels_fill(&portable, BP_ISA_PORTABLE);

    uint64_t mode = bp_fp_enter();
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        at.isa = bp_isa_text((bp_isa)isa);
        if (!chosen(at.isa, argc, argv) || !bp_kernels_fill(&tested, (bp_isa)isa)) continue;
        random_state = at.seed;
        int before = failures;
        check_filled(&tested);
        check_type_f32(&portable.f32, &tested.f32);
        check_type_f64(&portable.f64, &tested.f64);
        printf("%s: %d checks, %d failures\n", at.isa, checks, failures - before);
        checks = 0;
    }
    bp_fp_leave(mode);
    return failures > 0;
}
