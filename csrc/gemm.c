/* The blocked driver around the micro-kernel.
 *
 * Loops, from the outside: columns of C by nc, k by kc, rows by mc, columns by nb, tiles. The
 * (mc x kc) block of A and the (kc x nb) strip of B share the second-level cache; the rows of A of
 * one tile stay in the first level while the panels of the strip pass by. Operands are copied to
 * scratch, once per (nc, kc), only where their own strides would make lines evict each other;
 * strips of B just before their first use. */
#include <string.h>

#include "cpu.h"
#include "gemm.h"

enum {
    CACHE_LINE = 64,
    L1_DEFAULT = 32 << 10,
    L2_DEFAULT = 512 << 10,
    L2_MAX = 2 << 20,        /* bounds the scratch where the second level is huge */
    KC_MIN = 128,            /* fewer products per load and store of C would show */
    KC_MAX = 512,            /* more gain nothing */
    STRIP_COLUMNS = 128,     /* of B, at most */
    SCRATCH_BYTES = 2 << 20, /* for the packed block of B; A is copied again for each block */
    SMALL_WORK = 1 << 18,    /* m n k up to which operands fit the caches as they are */
    NARROW_COLUMNS = 4,      /* of C; half as many where A must be transposed for it */
    NARROW_ROWS = 32,
    NARROW_DEPTH = 4096,
    NARROW_ELEMENTS = 1 << 15, /* of a transpose at a time; those of A and C fit the scratch */
    EPILOGUE_ELEMENTS = 4096   /* enough to pay for the call, few enough to be in cache still */
};

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t cache_bytes(int level) {
    const int64_t bytes = bp_cpu_get()->cache[level];
    if (level == 1) return bytes > 0 ? bytes : L1_DEFAULT;
    return bytes > 0 ? min_i64(bytes, L2_MAX) : L2_DEFAULT;
}

/* How many lines at a stride (in bytes) an 8-way cache holds before they evict each other. */
static int64_t lines_held(int64_t cache, int64_t stride) {
    const int64_t low = stride & -stride;
    return cache / max_i64(CACHE_LINE, min_i64(low, cache / 8));
}

/* Cuts count into equal parts of at most `most`, each but the last a multiple of `unit`. */
static int64_t part_size(int64_t count, int64_t most, int64_t unit) {
    if (count <= most) return max_i64(count, 1);
    return ceil_div(ceil_div(count, ceil_div(count, most)), unit) * unit;
}

#define real float
#define BP_T(name) name##_f32
#include "gemm.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "gemm.inc.h"
#undef real
#undef BP_T
