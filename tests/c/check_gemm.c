/* Checks pack.c, gemm.c and the micro-kernels of every instruction set that this machine has.
 *
 * Every result is compared bit for bit with its definition: one chain of multiply-adds in
 * ascending k; what is not finite reaches what it should. Operands end at an inaccessible page, and
 * everything around an output is watched. Prints each failure and returns 1 if there was one.
 *
 *   check_gemm [STEP]    STEP: between the sizes that are checked, 1 for all */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "dispatch.h"
#include "gemm.h"
#include "guarded.h"

static int failures, step = 1;
static bp_isa current;
static int fused; /* whether the micro-kernel rounds once for each multiply-add */

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition) && failures++ < 20) {                                                     \
            printf("%s: %s: ", bp_isa_text(current), #condition);                                  \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static guarded memory_a, memory_b, memory_c, memory_d, memory_p;

static int64_t random_below(int64_t count) {
    return (int64_t)((random_value() + 1) / 2 * (double)count) % count;
}

#define real float
#define BP_T(name) name##_f32
#define FMA fmaf
#include "check_gemm.inc.h"
#undef real
#undef BP_T
#undef FMA

#define real double
#define BP_T(name) name##_f64
#define FMA fma
#include "check_gemm.inc.h"
#undef real
#undef BP_T
#undef FMA

int main(int argc, char **argv) {
    if (argc > 1) step = atoi(argv[1]);
    memory_a = guarded_new();
    memory_b = guarded_new();
    memory_c = guarded_new();
    memory_d = guarded_new();
    memory_p = guarded_new();
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        bp_kernels portable, kernels;
        if (!bp_kernels_fill(&kernels, (bp_isa)isa)) continue;
        bp_kernels_fill(&portable, BP_ISA_PORTABLE);
        current = (bp_isa)isa;
        fused = kernels.f32.gemm.run != portable.f32.gemm.run;
        check_all_f32(&kernels.f32);
        check_all_f64(&kernels.f64);
        printf("%s: checked\n", bp_isa_text(current));
    }
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
