/* Threads of Windows, which sleep on the address of a word (Windows 8 and later). */
#include "system/thread.h"

#ifdef _WIN32
#    include <process.h>

#    include <windows.h>

enum { STACK_BYTES = 1 << 20 };

static unsigned __stdcall begin(void *argument) {
    bp_thread *thread = argument;
    thread->run(thread->argument);
    return 0;
}

/* Keeps the library loaded until the process ends: nothing may wait for threads while a library is
 * being unloaded, since they cannot end before that is over. A process that ends needs no such
 * care, because Windows ends its other threads first. */
static int stay_loaded(void) {
    static const char here;
    HMODULE self;
    return GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                  GET_MODULE_HANDLE_EX_FLAG_PIN,
                              &here, &self) != 0;
}

int bp_thread_start(bp_thread *thread, void (*run)(void *argument), void *argument) {
    if (!stay_loaded()) return 0;
    thread->run = run;
    thread->argument = argument;
    thread->handle = (void *)_beginthreadex(NULL, STACK_BYTES, begin, thread,
                                            STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    return thread->handle != NULL;
}

void bp_thread_join(bp_thread *thread) {
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}

void bp_thread_sleep(atomic_uint *word, unsigned old) {
    WaitOnAddress(word, &old, sizeof old, INFINITE);
}

void bp_thread_wake(atomic_uint *word) {
    WakeByAddressAll(word);
}

#endif
