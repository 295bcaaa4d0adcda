/* Scratch of calls that keep nothing else: a block that stays from one call to the next. */
#ifndef BP_SCRATCH_H
#define BP_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

/* count * size bytes of undefined contents, 64-byte aligned, until they are given back; NULL if
 * there is no memory. Concurrent callers get separate blocks. */
void *bp_scratch_take(int64_t count, size_t size);

/* Gives a block back, or does nothing for NULL. */
void bp_scratch_give(void *block);

/* Gives the block that is kept back to the system, unless it is in use. */
void bp_scratch_forget(void);

#endif
