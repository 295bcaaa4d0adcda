/* a * b + c with one rounding, for the programs that check products to the bit. */
#ifndef EXACT_FMA_H
#define EXACT_FMA_H

#include <math.h>

#if defined(__MINGW32__) && defined(__x86_64__)

/* The functions of mingw-w64 round twice, first to the 64 bits of a long double. Where there are
 * products with one rounding to check, the processor has the instruction. */
__attribute__((target("fma"))) static inline float exact_fmaf(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}

__attribute__((target("fma"))) static inline double exact_fma(double a, double b, double c) {
    return __builtin_fma(a, b, c);
}

#else
#    define exact_fmaf fmaf
#    define exact_fma fma
#endif

#endif
