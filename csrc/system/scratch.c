/* The block is kept because the system clears every page of a new one: for products of 256 x 256
 * matrices that took a tenth of the time, for larger ones of bfloat16 up to a third. */
#include "system/scratch.h"

#include <stdatomic.h>

#include "system/mem.h"

enum { KEPT_MAX = 64 << 20 }; /* larger blocks are given back to the system */

/* The holder of `taken` may use and replace the block. A child that was forked while another thread
 * held it never uses it. */
static struct {
    atomic_int taken;
    _Atomic(void *) block;
    int64_t bytes;
} kept;

static void release(void) {
    atomic_store_explicit(&kept.taken, 0, memory_order_release);
}

/* The address is forgotten before the allocator can hand it out to somebody else. */
static void drop(void) {
    bp_free(atomic_exchange_explicit(&kept.block, NULL, memory_order_acq_rel));
    kept.bytes = 0;
}

void *bp_scratch_take(int64_t count, size_t size) {
    int64_t bytes;
    if (!bp_mul_size(count, (int64_t)size, &bytes)) return NULL;
    const int holds = !atomic_exchange_explicit(&kept.taken, 1, memory_order_acquire);
    if (holds && kept.bytes >= bytes && bytes > 0)
        return atomic_load_explicit(&kept.block, memory_order_relaxed);
    if (holds) drop();
    void *block = bp_alloc_scratch(bytes, 1);
    if (!holds) return block;
    if (block && bytes <= KEPT_MAX) {
        atomic_store_explicit(&kept.block, block, memory_order_relaxed);
        kept.bytes = bytes;
    } else {
        release();
    }
    return block;
}

void bp_scratch_give(void *block) {
    if (block && block == atomic_load_explicit(&kept.block, memory_order_relaxed))
        release();
    else
        bp_free(block);
}

void bp_scratch_forget(void) {
    if (atomic_exchange_explicit(&kept.taken, 1, memory_order_acquire)) return;
    drop();
    release();
}

#if defined(__GNUC__)
/* The library is about to be unmapped. */
__attribute__((destructor)) static void on_unload(void) {
    bp_scratch_forget();
}
#endif
