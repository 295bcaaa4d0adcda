#if defined(__linux__)
#    define _GNU_SOURCE
#    include <sched.h>
#endif

#include "place.h"

#if defined(__linux__)

int bp_place_cpu(void) {
    return sched_getcpu();
}

/* Forbidding the CPU that a thread is on moves it at once; then it may use all as before. */
void bp_place_avoid(const atomic_int *taken, int n) {
    cpu_set_t all, free;
    if (sched_getaffinity(0, sizeof all, &all) != 0) return;
    free = all;
    for (int i = 0; i < n; i++) {
        const int cpu = atomic_load_explicit(&taken[i], memory_order_relaxed);
        if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_CLR(cpu, &free);
    }
    if (CPU_COUNT(&free) > 0 && sched_setaffinity(0, sizeof free, &free) == 0)
        sched_setaffinity(0, sizeof all, &all);
}

#else

int bp_place_cpu(void) {
    return -1;
}

void bp_place_avoid(const atomic_int *taken, int n) {
    (void)taken;
    (void)n;
}

#endif
