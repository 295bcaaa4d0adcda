/* Waiting for another thread to change a word: a short spin, then sleep. */
#ifndef BP_PARK_H
#define BP_PARK_H

#include <stdint.h>

#include <stdatomic.h>

/* A word that threads wait on, alone in its pair of cache lines (prefetchers fetch pairs). */
typedef struct {
    _Alignas(128) atomic_uint value;
    atomic_uint sleepers;
} bp_word;

/* Returns the value once it is not `old`; what its poster wrote before is visible then. Spins up
 * to spin_ns nanoseconds before it sleeps, and tells in `slept` whether it did. */
unsigned bp_word_wait(bp_word *word, unsigned old, int64_t spin_ns, int *slept);

/* Stores a new value and wakes all who sleep on the word. */
void bp_word_post(bp_word *word, unsigned value);

/* Whether a thread sleeps on the word, or is about to. */
static inline int bp_word_has_sleepers(bp_word *word) {
    return atomic_load_explicit(&word->sleepers, memory_order_relaxed) > 0;
}

/* Sets a word that no thread of this process waits on. */
void bp_word_reset(bp_word *word);

#endif
