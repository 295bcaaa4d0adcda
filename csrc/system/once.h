/* One-time initialisation, by whichever thread comes first. */
#ifndef BP_ONCE_H
#define BP_ONCE_H

#ifdef _WIN32

#    include <windows.h>

typedef INIT_ONCE bp_once;
#    define BP_ONCE_INIT INIT_ONCE_STATIC_INIT

static BOOL CALLBACK bp_once_call(PINIT_ONCE once, PVOID init, PVOID *unused) {
    (void)once;
    (void)unused;
    (*(void (**)(void))init)();
    return TRUE;
}

static inline void bp_once_run(bp_once *once, void (*init)(void)) {
    InitOnceExecuteOnce(once, bp_once_call, &init, NULL);
}

#else

#    include <pthread.h>

typedef pthread_once_t bp_once;
#    define BP_ONCE_INIT PTHREAD_ONCE_INIT

/* Runs init if no thread has done so for this `once`, and returns when it has been run. */
static inline void bp_once_run(bp_once *once, void (*init)(void)) {
    pthread_once(once, init);
}

#endif
#endif
