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

#include "kernels/dispatch.h"

#ifdef BP_VECTOR_LIBM
/* The vector functions of glibc's libmvec, off by at most 4 units of double: many times as fast. */
#    define BP_VECTOR(name) double name(double) __attribute__((simd("notinbranch")));
BP_VECTOR(exp)
BP_VECTOR(log)
BP_VECTOR(tanh)
BP_VECTOR(erf)
BP_VECTOR(erfc)
BP_VECTOR(expm1)
BP_VECTOR(log1p)
#endif

enum { BLOCK = 1021 }; /* prime, so that each pattern meets whole and partial vectors */

#define wide double
#define M(name) name
#define R(name) narrow_##name
#include "ulp_references.inc.h"
#undef wide
#undef M
#undef R

#define wide long double
#define M(name) name##l
#define R(name) wide_##name
#include "ulp_references.inc.h"
#undef wide
#undef M
#undef R

typedef long double wide;

#define NARROW(name)                                                                               \
    static void block_##name(int n, const float *x, double *want) {                                \
        for (int i = 0; i < n; i++)                                                                \
            want[i] = narrow_##name((double)x[i]);                                                 \
    }
NARROW(exp)
NARROW(log)
NARROW(tanh)
NARROW(erf)
NARROW(sigmoid)
NARROW(softplus)
NARROW(elu)
NARROW(selu)
NARROW(gelu)
NARROW(silu)
NARROW(mish)
NARROW(sigmoid_slope)
NARROW(tanh_slope)
NARROW(elu_slope)
NARROW(sigmoid_second)
NARROW(tanh_second)
NARROW(elu_second)

/* Which slot a case runs: a function of its own, an activation, or one of its derivatives. */
typedef enum { VEC_EXP, VEC_LOG, VEC_TANH, VEC_SIGMOID, VEC_ERF, ACT, SLOPE, SECOND } slot;

typedef struct {
    const char *name;
    slot slot;
    int act;
    void (*narrow)(int n, const float *x, double *want); /* what float is compared with */
    wide (*ref)(wide);                                   /* what double is compared with */
    double bound;
    int product; /* x times a function: a unit is at least x times the least number */
} function;

#define REFERENCES(name) block_##name, wide_##name
static const function functions[] = {
    {"exp", VEC_EXP, 0, REFERENCES(exp), 2, 0},
    {"log", VEC_LOG, 0, REFERENCES(log), 2, 0},
    {"tanh", VEC_TANH, 0, REFERENCES(tanh), 4, 0},
    {"sigmoid", VEC_SIGMOID, 0, REFERENCES(sigmoid), 4, 0},
    {"erf", VEC_ERF, 0, REFERENCES(erf), 4, 0},
    {"act tanh", ACT, BP_ACT_TANH, REFERENCES(tanh), 4, 0},
    {"act sigmoid", ACT, BP_ACT_SIGMOID, REFERENCES(sigmoid), 4, 0},
    {"elu", ACT, BP_ACT_ELU, REFERENCES(elu), 4, 0},
    {"selu", ACT, BP_ACT_SELU, REFERENCES(selu), 4, 0},
    {"softplus", ACT, BP_ACT_SOFTPLUS, REFERENCES(softplus), 4, 0},
    {"gelu", ACT, BP_ACT_GELU, REFERENCES(gelu), 6, 1},
    {"silu", ACT, BP_ACT_SILU, REFERENCES(silu), 5, 1},
    {"mish", ACT, BP_ACT_MISH, REFERENCES(mish), 6, 1},
    {"sigmoid'", SLOPE, BP_ACT_SIGMOID, REFERENCES(sigmoid_slope), 5, 0},
    {"tanh'", SLOPE, BP_ACT_TANH, REFERENCES(tanh_slope), 5, 0},
    {"elu'", SLOPE, BP_ACT_ELU, REFERENCES(elu_slope), 2, 0},
    {"softplus'", SLOPE, BP_ACT_SOFTPLUS, REFERENCES(sigmoid), 4, 0},
    {"sigmoid''", SECOND, BP_ACT_SIGMOID, REFERENCES(sigmoid_second), 8, 0},
    {"tanh''", SECOND, BP_ACT_TANH, REFERENCES(tanh_second), 8, 0},
    {"elu''", SECOND, BP_ACT_ELU, REFERENCES(elu_second), 2, 0},
    {"softplus''", SECOND, BP_ACT_SOFTPLUS, REFERENCES(sigmoid_slope), 5, 0},
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
    /* Just below the largest number a rounding may already overflow: as if exponents went on. */
    if (isinf(got)) got = copysignl(ldexpl(1, digits == 24 ? 128 : 1024), got);
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

/* Every STEP-th float, all instruction sets side by side: the reference takes most of the time. */
static void sweep_f32(const bp_kernels *k, int sets, const function *f, uint64_t step,
                      tally *tallies) {
    float x[BLOCK], y[BLOCK];
    double want[BLOCK];
    uint64_t next = 0;
    while (next < (UINT64_C(1) << 32)) {
        int n = 0;
        for (; n < BLOCK && next < (UINT64_C(1) << 32); n++, next += step) {
            uint32_t bits = (uint32_t)next;
            memcpy(&x[n], &bits, sizeof bits);
        }
        f->narrow(n, x, want);
        for (int set = 0; set < sets; set++) {
            run_f32(&k[set].f32, f, n, x, y);
            for (int i = 0; i < n; i++) {
                if (y[i] == (float)want[i] && !signbit(y[i]) == !signbit(want[i])) continue;
                judge(&tallies[set], (double)x[i], (wide)y[i], (wide)want[i], (wide)(float)want[i],
                      24, least_exponent(f, x[i], -125));
            }
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
static int report(const char *isa, const function *f, const tally *floats, const tally *doubles) {
    int bad = floats->wrong || doubles->wrong || !(floats->worst <= f->bound) ||
              !(doubles->worst <= f->bound);
    printf("%-8s %-11s float32 %.3f at %.9g, float64 %.3f at %.17g, bound %g%s\n", isa, f->name,
           floats->worst, floats->at, doubles->worst, doubles->at, f->bound, bad ? ": WRONG" : "");
    if (floats->wrong || doubles->wrong)
        printf("    wrong at %d and %d special values\n", floats->wrong, doubles->wrong);
    fflush(stdout);
    return bad;
}

/* One function on every instruction set; returns whether a bound is broken. */
static int check(const bp_kernels *k, const char *const *names, int sets, const function *f,
                 uint64_t step) {
    tally floats[BP_ISA_COUNT] = {{0, 0, 0}};
    uint64_t count = (UINT64_C(1) << 32) / step;
    int bad = 0;
    sweep_f32(k, sets, f, step, floats);
    for (int set = 0; set < sets; set++) {
        tally doubles = {0, 0, 0};
        sweep_f64(&k[set], f, count < 4000000 ? count : 4000000, &doubles);
        specials_f64(&k[set], f, &doubles);
        bad |= report(names[set], f, &floats[set], &doubles);
    }
    return bad;
}

static int chosen(const char *name, char **names) {
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0) return 1;
    return 0;
}

int main(int argc, char **argv) {
    static bp_kernels k[BP_ISA_COUNT];
    const char *names[BP_ISA_COUNT];
    uint64_t step = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    int sets = 0, failed = 0;
    if (step == 0) {
        fprintf(stderr, "usage: ulp_sweep STEP [FUNCTION|all [ISA ...]]\n");
        return 2;
    }
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        const char *name = bp_isa_text((bp_isa)isa);
        if ((argc > 3 && !chosen(name, argv + 3)) || !bp_kernels_fill(&k[sets], (bp_isa)isa))
            continue;
        names[sets++] = name;
    }
    for (int i = 0; i < FUNCTIONS; i++) {
        const function *f = &functions[i];
        if (argc < 3 || strcmp(argv[2], "all") == 0 || strcmp(argv[2], f->name) == 0)
            failed |= check(k, names, sets, f, step);
    }
    return failed;
}
