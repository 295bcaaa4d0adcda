/* Arithmetic on sizes and counts. */
#ifndef BP_INTEGERS_H
#define BP_INTEGERS_H

#include <stdint.h>

static inline int64_t bp_min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t bp_max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* a / b, rounded up, of a >= 0 and b > 0. */
static inline int64_t bp_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

#endif
