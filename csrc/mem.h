/* Checked, aligned memory: the only allocator of the core. */
#ifndef BP_MEM_H
#define BP_MEM_H

#include <stddef.h>
#include <stdint.h>

enum { BP_ALIGNMENT = 64 };

/* count * size bytes, zeroed, 64-byte aligned; NULL if they cannot be had or the product overflows.
 * A count of 0 gives a pointer that can be freed. */
void *bp_alloc(int64_t count, size_t size);

/* The same, but of undefined contents: for scratch that is written before it is read. */
void *bp_alloc_scratch(int64_t count, size_t size);

void bp_free(void *p);

/* 1 and *out = a * b, or 0 if a or b is negative or the product overflows. */
int bp_mul_size(int64_t a, int64_t b, int64_t *out);

/* Rounds n up to a multiple of `to`. */
static inline int64_t bp_round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

#endif
