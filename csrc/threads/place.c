/* Finds out which CPU a thread runs on, and moves it to another. */
#if defined(__linux__)
#    define _GNU_SOURCE
#    include <sched.h>
#elif defined(_WIN32)
#    include <windows.h>
#endif

#include "threads/place.h"

#if defined(__linux__)

int bp_place_cpu(void) {
    return sched_getcpu();
}

/* Forbidding the CPU that a thread is on moves it at once; then it may use all as before. */
int bp_place_avoid(const atomic_int *taken, int n) {
    cpu_set_t all, others;
    if (sched_getaffinity(0, sizeof all, &all) != 0) return 0;
    others = all;
    for (int i = 0; i < n; i++) {
        const int cpu = atomic_load_explicit(&taken[i], memory_order_relaxed);
        if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_CLR((size_t)cpu, &others);
    }
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return 0;
    sched_setaffinity(0, sizeof all, &all);
    return 1;
}

#elif defined(_WIN32)

enum { GROUP_CPUS = 64 };

/* Numbers of CPUs count within a group; these go on through all groups. */
int bp_place_cpu(void) {
    PROCESSOR_NUMBER number;
    GetCurrentProcessorNumberEx(&number);
    return number.Group * GROUP_CPUS + number.Number;
}

/* As above. A thread with a mask of its own no longer uses groups other than the mask's, so where
 * there are several this leaves threads to the system. */
int bp_place_avoid(const atomic_int *taken, int n) {
    GROUP_AFFINITY all, others;
    if (GetActiveProcessorGroupCount() > 1 || !GetThreadGroupAffinity(GetCurrentThread(), &all)) {
        return 0;
    }
    others = all;
    for (int i = 0; i < n; i++) {
        const int cpu = atomic_load_explicit(&taken[i], memory_order_relaxed);
        if (cpu >= 0 && cpu < GROUP_CPUS) others.Mask &= ~((KAFFINITY)1 << cpu);
    }
    if (others.Mask == 0 || !SetThreadGroupAffinity(GetCurrentThread(), &others, NULL)) return 0;
    SetThreadGroupAffinity(GetCurrentThread(), &all, NULL);
    return 1;
}

#else

int bp_place_cpu(void) {
    return -1;
}

int bp_place_avoid(const atomic_int *taken, int n) {
    (void)taken;
    (void)n;
    return 0;
}

#endif
