/* Largest error of the elementary functions and activations, in units in the last place.
 *
 * ulp_sweep STEP [FUNCTION [ISA ...]]: for every instruction set of this machine (or those named)
 * and every function (or the one named; "all"), float is compared with libm's double at every
 * STEP-th of the 2^32 bit patterns (1: all of them), double with libm's long double at as many
 * random ones. Prints a line for each, and ends with 1 if a bound is broken or a special value is
 * wrong.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"

enum { BLOCK = 1021 }; /* prime, so that each pattern meets whole and partial vectors */

typedef long double wide;

static wide ref_sigmoid(wide x) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}
static double narrow_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static wide ref_softplus(wide x) {
    return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
}
static wide ref_elu(wide x) {
    return x > 0 ? x : expm1l(x);
}
static wide ref_gelu(wide x) {
    return x * erfcl(-x * 0.707106781186547524400844362104849039L) / 2;
}
static wide ref_silu(wide x) {
    return x * ref_sigmoid(x);
}
static wide ref_selu(wide x) {
    return 1.0507009873554804934193349852946L *
           (x > 0 ? x : 1.6732632423543772848170429916717L * expm1l(x));
}
static wide ref_mish(wide x) {
    wide e = expl(-fabsl(x));
    return x < 0 ? x * (e * (e + 2)) / (e * (e + 2) + 2)
                 : x * ((1 + 2 * e) / (1 + 2 * e + 2 * e * e));
}
static wide ref_sigmoid_slope(wide x) {
    return ref_sigmoid(x) * ref_sigmoid(-x);
}
static wide ref_tanh_slope(wide x) {
    return 4 * ref_sigmoid(2 * x) * ref_sigmoid(-2 * x);
}
static wide ref_elu_slope(wide x) {
    return x > 0 ? 1 : expl(x);
}

static wide ref_sigmoid_second(wide x) {
    return -ref_sigmoid_slope(x) * tanhl(x / 2);
}
static wide ref_tanh_second(wide x) {
    return -2 * tanhl(x) * ref_tanh_slope(x);
}
static wide ref_elu_second(wide x) {
    return x > 0 ? 0 : expl(x);
}

/* Which slot a case runs: a function of its own, an activation, or one of its derivatives. */
typedef enum { VEC_EXP, VEC_LOG, VEC_TANH, VEC_SIGMOID, VEC_ERF, ACT, SLOPE, SECOND } slot;

typedef struct {
    const char *name;
    slot slot;
    int act;
    double (*narrow)(double); /* NULL: the wide one, rounded */
    wide (*ref)(wide);
    double bound;
    int product; /* x times a function: a unit is at least x times the least number */
} function;

static const function functions[] = {
    {"exp", VEC_EXP, 0, exp, expl, 2, 0},
    {"log", VEC_LOG, 0, log, logl, 2, 0},
    {"tanh", VEC_TANH, 0, tanh, tanhl, 4, 0},
    {"sigmoid", VEC_SIGMOID, 0, narrow_sigmoid, ref_sigmoid, 4, 0},
    {"erf", VEC_ERF, 0, erf, erfl, 4, 0},
    {"act tanh", ACT, BP_ACT_TANH, tanh, tanhl, 4, 0},
    {"act sigmoid", ACT, BP_ACT_SIGMOID, narrow_sigmoid, ref_sigmoid, 4, 0},
    {"elu", ACT, BP_ACT_ELU, NULL, ref_elu, 4, 0},
    {"selu", ACT, BP_ACT_SELU, NULL, ref_selu, 4, 0},
    {"softplus", ACT, BP_ACT_SOFTPLUS, NULL, ref_softplus, 4, 0},
    {"gelu", ACT, BP_ACT_GELU, NULL, ref_gelu, 6, 1},
    {"silu", ACT, BP_ACT_SILU, NULL, ref_silu, 5, 1},
    {"mish", ACT, BP_ACT_MISH, NULL, ref_mish, 6, 1},
    {"sigmoid'", SLOPE, BP_ACT_SIGMOID, NULL, ref_sigmoid_slope, 5, 0},
    {"tanh'", SLOPE, BP_ACT_TANH, NULL, ref_tanh_slope, 5, 0},
    {"elu'", SLOPE, BP_ACT_ELU, NULL, ref_elu_slope, 2, 0},
    {"softplus'", SLOPE, BP_ACT_SOFTPLUS, narrow_sigmoid, ref_sigmoid, 4, 0},
    {"sigmoid''", SECOND, BP_ACT_SIGMOID, NULL, ref_sigmoid_second, 8, 0},
    {"tanh''", SECOND, BP_ACT_TANH, NULL, ref_tanh_second, 8, 0},
    {"elu''", SECOND, BP_ACT_ELU, NULL, ref_elu_second, 2, 0},
    {"softplus''", SECOND, BP_ACT_SOFTPLUS, NULL, ref_sigmoid_slope, 5, 0},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

typedef struct {
    double worst, at;
    int wrong; /* specials that do not agree */
} tally;

/* The distance of got from want in units of the last place of a type of `digits` binary digits
 * whose least normal exponent is `lowest`; both are NaN, or infinite, or the tally counts a
 * mistake. */
static void judge(tally *t, double x, wide got, wide want, wide rounded, int digits, int lowest) {
    int exponent;
    if (isnan(want) || isnan(got)) {
        if (!(isnan(want) && isnan(got)) && t->wrong++ == 0) t->at = x;
        return;
    }
    if (isinf(want) || (isinf(rounded) && isinf(got))) {
        if (got != rounded && t->wrong++ == 0) t->at = x;
        return;
    }
    if (want == 0 && got == 0) {
        if (signbit(want) != signbit(got) && x == 0 && t->wrong++ == 0) t->at = x;
        return;
    }
    frexpl(want, &exponent);
    if (want == 0 || exponent < lowest) exponent = lowest;
    double error = (double)ldexpl(fabsl(got - want), digits - exponent);
    if (!(error <= t->worst)) {
        t->worst = error;
        if (t->wrong == 0) t->at = x;
    }
}

static int least_exponent(const function *f, double x, int lowest) {
    int exponent = 0;
    if (f->product && isfinite(x)) (void)frexp(x, &exponent);
    return exponent > 0 ? lowest + exponent : lowest;
}

#define real float
#define BP_T(name) name##_f32
#include "ulp_run.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "ulp_run.inc.h"
#undef real
#undef BP_T

static void sweep_f32(const bp_kernels *k, const function *f, uint64_t step, tally *t) {
    float x[BLOCK], y[BLOCK];
    uint64_t next = 0;
    while (next < (UINT64_C(1) << 32)) {
        int n = 0;
        for (; n < BLOCK && next < (UINT64_C(1) << 32); n++, next += step) {
            uint32_t bits = (uint32_t)next;
            memcpy(&x[n], &bits, sizeof bits);
        }
        run_f32(&k->f32, f, n, x, y);
        for (int i = 0; i < n; i++) {
            double want = f->narrow ? f->narrow((double)x[i]) : (double)f->ref((wide)x[i]);
            if (y[i] == (float)want && !signbit(y[i]) == !signbit(want)) continue; /* most are */
            judge(t, (double)x[i], (wide)y[i], (wide)want, (wide)(float)want, 24,
                  least_exponent(f, x[i], -125));
        }
    }
}

static void sweep_f64(const bp_kernels *k, const function *f, uint64_t count, tally *t) {
    double x[BLOCK], y[BLOCK];
    uint64_t state = 1;
    for (uint64_t done = 0; done < count; done += BLOCK) {
        for (int i = 0; i < BLOCK; i++) { /* exponents near 1 three times in four */
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            uint64_t bits = state ^ (state >> 29);
            if (i % 4 != 0) {
                uint64_t exponent = 1023 - 20 + (bits >> 52) % 31;
                bits = (bits & UINT64_C(0x800fffffffffffff)) | (exponent << 52);
            }
            memcpy(&x[i], &bits, sizeof bits);
        }
        run_f64(&k->f64, f, BLOCK, x, y);
        for (int i = 0; i < BLOCK; i++) {
            wide want = f->ref((wide)x[i]);
            judge(t, x[i], (wide)y[i], want, (wide)(double)want, 53,
                  least_exponent(f, x[i], -1021));
        }
    }
}

/* Zeros, infinities, NaN, and both sides of the thresholds, in double. */
static void specials_f64(const bp_kernels *k, const function *f, tally *t) {
    const double x[] = {0.0,
                        -0.0,
                        INFINITY,
                        -INFINITY,
                        NAN,
                        -NAN,
                        0x1p-1074,
                        -0x1p-1074,
                        0x1p-1022,
                        -0x1p-1022,
                        709.0,
                        709.782712893384,
                        709.7827128933841,
                        710.0,
                        -708.0,
                        -708.396418532264,
                        -708.39641853226408,
                        -745.13321910194110,
                        -745.13321910194122,
                        -745.2,
                        -746.0,
                        1e308,
                        -1e308,
                        1.0,
                        -1.0,
                        19.0615,
                        -37.0,
                        37.0,
                        -38.6,
                        5.93};
    double y[sizeof x / sizeof x[0]];
    int n = (int)(sizeof x / sizeof x[0]);
    run_f64(&k->f64, f, n, x, y);
    for (int i = 0; i < n; i++)
        judge(t, x[i], (wide)y[i], f->ref((wide)x[i]), (wide)(double)f->ref((wide)x[i]), 53,
              least_exponent(f, x[i], -1021));
}

/* Returns whether a bound is broken. */
static int check(const bp_kernels *k, const char *isa, const function *f, uint64_t step) {
    tally narrow = {0, 0, 0}, wide_tally = {0, 0, 0};
    uint64_t count = (UINT64_C(1) << 32) / step;
    sweep_f32(k, f, step, &narrow);
    sweep_f64(k, f, count < 4000000 ? count : 4000000, &wide_tally);
    specials_f64(k, f, &wide_tally);
    int bad = narrow.wrong || wide_tally.wrong || !(narrow.worst <= f->bound) ||
              !(wide_tally.worst <= f->bound);
    printf("%-8s %-11s float32 %.3f at %.9g, float64 %.3f at %.17g, bound %g%s\n", isa, f->name,
           narrow.worst, narrow.at, wide_tally.worst, wide_tally.at, f->bound,
           bad ? ": WRONG" : "");
    if (narrow.wrong || wide_tally.wrong)
        printf("    wrong at %d and %d special values\n", narrow.wrong, wide_tally.wrong);
    fflush(stdout);
    return bad;
}

static int chosen(const char *name, char **names) {
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0) return 1;
    return 0;
}

int main(int argc, char **argv) {
    static bp_kernels k;
    uint64_t step = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    int failed = 0;
    if (step == 0) {
        fprintf(stderr, "usage: ulp_sweep STEP [FUNCTION|all [ISA ...]]\n");
        return 2;
    }
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        const char *name = bp_isa_text((bp_isa)isa);
        if ((argc > 3 && !chosen(name, argv + 3)) || !bp_kernels_fill(&k, (bp_isa)isa)) continue;
        for (int i = 0; i < FUNCTIONS; i++) {
            const function *f = &functions[i];
            if (argc < 3 || strcmp(argv[2], "all") == 0 || strcmp(argv[2], f->name) == 0)
                failed |= check(&k, name, f, step);
        }
    }
    return failed;
}
