/* Checked, aligned memory: the only allocator of the core. */
#ifndef BP_MEM_H
#define BP_MEM_H

#include <stddef.h>
#include <stdint.h>

enum { BP_ALIGNMENT = 64 };

/* count * size bytes, zeroed, 64-byte aligned; NULL if there is no memory or the product overflows.
 * A count of 0 gives a pointer that can be freed. */
void *bp_alloc(int64_t count, size_t size);

/* The same, but of undefined contents, and in pages of the usual size: for scratch that is written
 * before it is read, often only in part. */
void *bp_alloc_scratch(int64_t count, size_t size);

void bp_free(void *p);

/* 1 and *out = a * b, or 0 if a or b is negative or the product overflows. */
int bp_mul_size(int64_t a, int64_t b, int64_t *out);

/* Rounds n up to a multiple of `to`. */
static inline int64_t bp_round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

/* The row stride of a buffer with n columns. Narrow rows lie next to each other, so that a block of
 * them is one run for the element-wise kernels; wide ones start on cache lines, and not at
 * multiples of 1 KiB, where rows would compete for the same sets of the cache. */
static inline int64_t bp_row_stride(int64_t n, int64_t size) {
    const int64_t line = 64 / size;
    if (n <= 2 * line) return n;
    int64_t ld = bp_round_up(n, line);
    return ld * size % 1024 == 0 ? ld + line : ld;
}

/* Cuts count elements from a block of memory, at a multiple of BP_ALIGNMENT, or only counts their
 * bytes while the block does not exist yet. */
static inline void *bp_cut(void *block, int64_t *used, int64_t count, size_t size) {
    void *piece = block ? (char *)block + *used : NULL;
    *used += bp_round_up(count * (int64_t)size, BP_ALIGNMENT);
    return piece;
}

#endif
