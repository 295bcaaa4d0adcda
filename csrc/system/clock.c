/* Reads the monotonic clock. */
#ifndef _WIN32
#    define _POSIX_C_SOURCE 200809L
#    include <time.h>
#else
#    include <windows.h>
#endif

#include "system/clock.h"

#ifdef _WIN32

int64_t bp_clock_ns(void) {
    const int64_t second = 1000000000;
    LARGE_INTEGER now, ticks;
    QueryPerformanceFrequency(&ticks);
    QueryPerformanceCounter(&now);
    /* The fraction is computed separately, since ticks times nanoseconds overflow within days. */
    return now.QuadPart / ticks.QuadPart * second +
           now.QuadPart % ticks.QuadPart * second / ticks.QuadPart;
}

#else

int64_t bp_clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif

int64_t bp_clock_after(int64_t now, int64_t max_ns) {
    return max_ns > INT64_MAX - now ? INT64_MAX : now + max_ns;
}
