/* Threads, as the operating system offers them: starting one, and sleeping until a word changes. */
#ifndef BP_THREAD_H
#define BP_THREAD_H

#include <stdatomic.h>
#include <stdint.h>

#ifndef _WIN32
#    include <pthread.h>
#endif

#ifdef _MSC_VER
#    include <intrin.h>
#endif

/* A thread that was started; it must stay where it is until it is joined. */
typedef struct {
    void (*run)(void *argument);
    void *argument;
#ifdef _WIN32
    void *handle;
#else
    pthread_t handle;
#endif
} bp_thread;

/* Starts a thread that calls run(argument), with a small stack, and without the program's signals;
 * 0 if it cannot be started. */
int bp_thread_start(bp_thread *thread, void (*run)(void *argument), void *argument);

/* Waits until the thread has ended. */
void bp_thread_join(bp_thread *thread);

/* Sleeps while the word is `old`; may return without a reason. The thread that changes the word
 * wakes all that sleep on it. */
void bp_thread_sleep(atomic_uint *word, unsigned old);
void bp_thread_wake(atomic_uint *word);

#ifndef _WIN32
/* To be called in the child of a fork, before any word is used again. */
void bp_thread_after_fork(void);
#endif

/* Tells the processor that the thread does nothing but look at a word. */
static inline void bp_thread_relax(void) {
#if defined(_MSC_VER) && defined(_M_X64)
    _mm_pause();
#elif defined(_MSC_VER) && defined(_M_ARM64)
    __isb(_ARM64_BARRIER_SY);
#elif defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

#endif
