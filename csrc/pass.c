#include "dense.h"
#include "internal.h"
#include "loss.h"
#include "rng.h"

/* The row stride of a buffer with n columns. Narrow rows lie next to each other, so that a block of
 * them is one run for the element-wise kernels; wide ones start on cache lines, and not at
 * multiples of 1 KiB, where rows would compete for the same sets of the cache. */
static int64_t row_stride(int64_t n, int64_t size) {
    const int64_t line = 64 / size;
    if (n <= 2 * line) return n;
    int64_t ld = bp_round_up(n, line);
    return ld * size % 1024 == 0 ? ld + line : ld;
}

#define real float
#define BP_T(name) name##_f32
#include "pass.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "pass.inc.h"
#undef real
#undef BP_T
