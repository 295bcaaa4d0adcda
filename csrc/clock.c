#ifndef _WIN32
#    define _POSIX_C_SOURCE 200809L
#endif
#include <time.h>

#include "clock.h"

int64_t bp_clock_ns(void) {
    struct timespec now;
#ifdef _WIN32
    timespec_get(&now, TIME_UTC);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
