/* Threads of POSIX, which sleep on a futex or on a condition variable. */
#if defined(__linux__)
#    define _GNU_SOURCE
#endif
#include "system/thread.h"

#ifndef _WIN32
#    include <signal.h>
#    if defined(__linux__)
#        include <linux/futex.h>
#        include <sys/syscall.h>
#        include <unistd.h>
#    endif

enum { STACK_BYTES = 1 << 20 };

static void *begin(void *argument) {
    bp_thread *thread = argument;
    thread->run(thread->argument);
    return NULL;
}

int bp_thread_start(bp_thread *thread, void (*run)(void *argument), void *argument) {
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) return 0;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    thread->run = run;
    thread->argument = argument;
    /* The thread inherits the mask: signals are for the threads of the program. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int started = pthread_create(&thread->handle, &attributes, begin, thread) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

void bp_thread_join(bp_thread *thread) {
    pthread_join(thread->handle, NULL);
}

#    if defined(__linux__)

void bp_thread_sleep(atomic_uint *word, unsigned old) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
}

void bp_thread_wake(atomic_uint *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
}

void bp_thread_after_fork(void) {}

#    else

/* One lock for all words: sleeping and waking are rare, and slow in any case. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void bp_thread_sleep(atomic_uint *word, unsigned old) {
    pthread_mutex_lock(&mutex);
    while (atomic_load(word) == old) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

void bp_thread_wake(atomic_uint *word) {
    (void)word;
    pthread_mutex_lock(&mutex);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void bp_thread_after_fork(void) {
    mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
}

#    endif
#endif
