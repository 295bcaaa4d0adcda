/* Checks bf16.c and the bfloat16 kernels of every instruction set that this machine has, and those
 * for the tiles of AMX over an emulation.
 *
 * Conversions and products are compared bit for bit with their definitions in kernels.h; NaN only
 * with NaN. Operands end at an inaccessible page, and everything around an output is watched.
 * Prints each failure and returns 1 if there was one.
 *
 *   check_bf16 [STEP]    STEP: between the sizes that are checked, 1 for all; above 2 for a slow
 *                        machine, without the tiles */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amx_emulation.h"
#include "engine/bf16.h"
#include "system/cpu.h"
#include "kernels/dispatch.h"
#include "system/fpmode.h"
#include "guarded.h"
#include "upper_halves.h"

/* How the 32 products of a step are summed. */
typedef enum {
    SUMS_FUSED,  /* a chain of fused multiply-adds, the second of each pair first */
    SUMS_PLAIN,  /* the same order, the product rounded */
    SUMS_IN_TILE /* two chains of fused multiply-adds from 0, their sum added */
} sums;

/* Values that operands are drawn from. */
typedef enum { DRAW_UNIT, DRAW_WIDE, DRAW_ANY } draw;

static struct {
    const char *name;
    bp_kernels table;
    bp_bf16_kernels kernels;
    sums sums;
} at;

static int failures, step = 1;
static guarded memory_a, memory_b, memory_c, memory_out[2];

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition) && failures++ < 20) {                                                     \
            printf("%s: ", at.name);                                                               \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static uint32_t random_word(void) {
    random_value();
    return (uint32_t)(random_state >> 32);
}

/* ANY: any bits, and often special ones. */
static float random_float(draw kind) {
    static const uint32_t special[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0x7f7fffff,
                                       0x7f7f8000, 0x7f7f7fff, 0,          0x80000000, 1,
                                       0x807fffff, 0x00800000, 0x3f808000, 0x3f818000};
    uint32_t bits = random_word();
    float x = (float)random_value();
    if (kind == DRAW_WIDE) x = ldexpf(x, (int)(bits % 40) - 20);
    if (kind == DRAW_ANY) {
        const uint32_t which = random_word() % 16;
        if (which < sizeof special / sizeof *special) bits = special[which];
        memcpy(&x, &bits, sizeof x);
    }
    return x;
}

static float *random_floats(guarded memory, int64_t rows, int64_t cols, int64_t ld, draw kind) {
    const int64_t count = rows > 0 && cols > 0 ? (rows - 1) * ld + cols : 0;
    float *x = guarded_take(memory, (size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = random_float(kind);
    return x;
}

static int same(float x, float y) {
    return (isnan(x) && isnan(y)) || memcmp(&x, &y, sizeof x) == 0;
}

#include "check_bf16_convert.inc.h"
#include "check_bf16_products.inc.h"

static void check_peak(void) {
    CHECK(at.kernels.bf16->peak(10) > 0, "no peak");
}

static void check_all(const char *name, int in_order) {
    at.name = name;
    at.kernels = (bp_bf16_kernels){&at.table.bf16, &at.table.f32};
    at.sums = in_order;
    check_conversions();
    const uint64_t mode = bp_fp_enter();
    check_peak();
    bp_fp_leave(mode);
    check_micro_kernel();
    check_products();
    printf("%s: checked\n", name);
}

/* What is compiled for AVX-512 without bfloat16, on a machine that may have it. */
static int fill_plain_avx512(void) {
    if (!bp_kernels_fill(&at.table, BP_ISA_AVX512)) return 0;
    bp_kernels_fill(&at.table, BP_ISA_AVX2);
    bp_kernels_init_avx512(&at.table);
    return 1;
}

int main(int argc, char **argv) {
    if (argc > 1) step = atoi(argv[1]);
    memory_a = guarded_new();
    memory_b = guarded_new();
    memory_c = guarded_new();
    memory_out[0] = guarded_new();
    memory_out[1] = guarded_new();
    if (bp_kernels_fill(&at.table, BP_ISA_PORTABLE)) check_all("portable", SUMS_PLAIN);
    if (bp_kernels_fill(&at.table, BP_ISA_NEON)) check_all("neon", SUMS_PLAIN);
    if (bp_kernels_fill(&at.table, BP_ISA_AVX2)) check_all("avx2", SUMS_FUSED);
    if (fill_plain_avx512()) check_all("avx512", SUMS_FUSED);
    if (bp_cpu_get()->has_avx512_bf16 && bp_kernels_fill(&at.table, BP_ISA_AVX512))
        check_all("avx512_bf16", SUMS_FUSED);
    if (bp_kernels_fill(&at.table, BP_ISA_AMX)) check_all("amx", SUMS_IN_TILE);
    if (step <= 2 && bp_kernels_fill(&at.table, BP_ISA_PORTABLE)) {
        bpk_bf16_init__amx(&at.table.bf16);
        check_all("emulated tiles", SUMS_IN_TILE);
    }
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
