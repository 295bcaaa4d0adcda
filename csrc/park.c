#ifndef _WIN32
#    if defined(__linux__)
#        define _GNU_SOURCE
#    endif
#    include "park.h"

#    if defined(__linux__)
#        include <linux/futex.h>
#        include <sys/syscall.h>
#        include <unistd.h>
#    else
#        include <pthread.h>
#    endif

#    include "clock.h"

static inline void relax(void) {
#    if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#    elif defined(__aarch64__)
    __asm__ volatile("isb");
#    endif
}

/* The value as soon as it is not `old`, or `old` when the time is up. Reading the clock costs more
 * than a look at the word, so that is done once in a while. */
static unsigned spin(bp_word *word, unsigned old, int64_t spin_ns) {
    enum { LOOKS = 32 };
    int64_t end = 0;
    for (;;) {
        for (int i = 0; i < LOOKS; i++) {
            unsigned value = atomic_load_explicit(&word->value, memory_order_acquire);
            if (value != old) return value;
            relax();
        }
        int64_t now = bp_clock_ns();
        if (end == 0) end = now + spin_ns;
        if (now >= end) return old;
    }
}

#    if defined(__linux__)

static void sleep_on(bp_word *word, unsigned old) {
    syscall(SYS_futex, &word->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
}

static void wake_all(bp_word *word) {
    syscall(SYS_futex, &word->value, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
}

void bp_park_after_fork(void) {}

#    else

/* One lock for all words: sleeping and waking are rare, and slow whatever they are made of. */
static pthread_mutex_t park_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t park_changed = PTHREAD_COND_INITIALIZER;

static void sleep_on(bp_word *word, unsigned old) {
    pthread_mutex_lock(&park_mutex);
    while (atomic_load(&word->value) == old) {
        pthread_cond_wait(&park_changed, &park_mutex);
    }
    pthread_mutex_unlock(&park_mutex);
}

static void wake_all(bp_word *word) {
    (void)word;
    pthread_mutex_lock(&park_mutex);
    pthread_cond_broadcast(&park_changed);
    pthread_mutex_unlock(&park_mutex);
}

void bp_park_after_fork(void) {
    park_mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    park_changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
}

#    endif

void bp_word_reset(bp_word *word) {
    atomic_init(&word->value, 0);
    atomic_init(&word->sleepers, 0);
}

unsigned bp_word_wait(bp_word *word, unsigned old, int64_t spin_ns, bp_habit *habit) {
    enum { DISCOURAGED = 3, RETRY = 16 };
    unsigned value = atomic_load_explicit(&word->value, memory_order_acquire);
    if (value != old) return value;
    if (habit->slept >= DISCOURAGED && ++habit->waits % RETRY != 0) spin_ns = 0;
    value = spin(word, old, spin_ns);
    if (value != old) {
        habit->slept = 0;
        return value;
    }
    habit->slept++;
    /* Both sides are sequentially consistent: either the poster sees the sleeper, or the sleeper
     * sees the new value. */
    atomic_fetch_add(&word->sleepers, 1);
    while ((value = atomic_load(&word->value)) == old) {
        sleep_on(word, old);
    }
    atomic_fetch_sub(&word->sleepers, 1);
    return value;
}

void bp_word_post(bp_word *word, unsigned value) {
    atomic_store(&word->value, value);
    if (atomic_load(&word->sleepers) > 0) wake_all(word);
}

#endif
