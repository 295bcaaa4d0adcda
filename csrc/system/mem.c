/* Aligned memory whose sizes are checked. */
#if defined(__linux__)
#    define _GNU_SOURCE /* madvise */
#endif
#include "system/mem.h"

#include <stdlib.h>
#include <string.h>

int bp_mul_size(int64_t a, int64_t b, int64_t *out) {
    if (a < 0 || b < 0 || (a != 0 && b > INT64_MAX / a)) return 0;
    *out = a * b;
    return 1;
}

#if defined(_WIN32)
#    include <malloc.h>
static void *aligned_block(size_t bytes) {
    return _aligned_malloc(bytes, BP_ALIGNMENT);
}
void bp_free(void *p) {
    _aligned_free(p);
}
#else
static void *aligned_block(size_t bytes) {
    return aligned_alloc(BP_ALIGNMENT, bytes);
}
void bp_free(void *p) {
    free(p);
}
#endif

/* The bytes of a block, rounded up to whole lines; 0 if they overflow. */
static size_t block_bytes(int64_t count, size_t size) {
    int64_t bytes;
    if (!bp_mul_size(count, (int64_t)size, &bytes) || bytes > INT64_MAX - BP_ALIGNMENT) return 0;
    bytes = bp_round_up(bytes > 0 ? bytes : 1, BP_ALIGNMENT);
    return (uint64_t)bytes > SIZE_MAX ? 0 : (size_t)bytes;
}

#if defined(__linux__)
#    include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

/* Large blocks that are kept lie in pages of 2 MB if the system has any: that takes 512 times fewer
 * address translations. Scratch does not, because the first touch clears such a page as a whole.
 */
static void *kept_block(size_t bytes) {
    if (bytes < HUGE_PAGE) return aligned_block(bytes);
    void *block = NULL;
    /* Not aligned_alloc: C11 lets it refuse a size that is no multiple of the alignment. */
    if (posix_memalign(&block, HUGE_PAGE, bytes) != 0) return NULL;
    /* This is only a hint: small pages work as well. */
    (void)madvise(block, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return block;
}
#else
static void *kept_block(size_t bytes) {
    return aligned_block(bytes);
}
#endif

void *bp_alloc_scratch(int64_t count, size_t size) {
    const size_t bytes = block_bytes(count, size);
    return bytes ? aligned_block(bytes) : NULL;
}

void *bp_alloc(int64_t count, size_t size) {
    const size_t bytes = block_bytes(count, size);
    void *block = bytes ? kept_block(bytes) : NULL;
    if (block) memset(block, 0, bytes);
    return block;
}
