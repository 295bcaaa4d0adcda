/* Waiting on a word: spinning, then sleeping. */
#include "threads/park.h"

#include "system/clock.h"
#include "system/thread.h"

/* Returns the value as soon as it is not `old`, or `old` when the time is up. Reading the clock
 * costs more than reading the word, so the clock is read only once in a while. */
static unsigned spin(bp_word *word, unsigned old, int64_t spin_ns) {
    enum { LOOKS = 32 };
    int64_t end = 0;
    for (;;) {
        for (int i = 0; i < LOOKS; i++) {
            unsigned value = atomic_load_explicit(&word->value, memory_order_acquire);
            if (value != old) return value;
            bp_thread_relax();
        }
        int64_t now = bp_clock_ns();
        if (end == 0) end = now + spin_ns;
        if (now >= end) return old;
    }
}

void bp_word_reset(bp_word *word) {
    atomic_init(&word->value, 0);
    atomic_init(&word->sleepers, 0);
}

unsigned bp_word_wait(bp_word *word, unsigned old, int64_t spin_ns, int *slept) {
    *slept = 0;
    unsigned value = atomic_load_explicit(&word->value, memory_order_acquire);
    if (value == old) value = spin(word, old, spin_ns);
    if (value != old) return value;
    *slept = 1;
    /* Both sides are sequentially consistent: either the poster sees the sleeper, or the sleeper
     * sees the new value. */
    atomic_fetch_add(&word->sleepers, 1);
    while ((value = atomic_load(&word->value)) == old) {
        bp_thread_sleep(&word->value, old);
    }
    atomic_fetch_sub(&word->sleepers, 1);
    return value;
}

void bp_word_post(bp_word *word, unsigned value) {
    atomic_store(&word->value, value);
    if (atomic_load(&word->sleepers) > 0) bp_thread_wake(&word->value);
}
