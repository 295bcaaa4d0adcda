/* Whether a kernel has left the upper halves of the vector registers in use. On some processors
 * each change between such a state and SSE code, which is all code outside the kernels, takes some
 * 50 ns; vzeroupper ends the state. */
#ifndef UPPER_HALVES_H
#define UPPER_HALVES_H

#if defined(__x86_64__) && defined(__GNUC__)
#    include <cpuid.h>

static int upper_halves_in_use(void) {
    enum { OSXSAVE = 1 << 27, XGETBV_IN_USE = 1 << 2, UPPER_HALVES = 1 << 2 };
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return 0;
    if (!__get_cpuid_count(13, 1, &a, &b, &c, &d) || !(a & XGETBV_IN_USE)) return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    if (!(a & UPPER_HALVES)) return 0;
    /* A processor may report as in use what it does not track. */
    __asm__ volatile("vzeroupper" ::: "memory");
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    return !(a & UPPER_HALVES);
}
#else
static int upper_halves_in_use(void) {
    return 0;
}
#endif

#endif
