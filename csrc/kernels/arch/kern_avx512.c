/* Every kernel for AVX-512 (F, BW, VL, DQ). */
#include "kernels/kernels.h"

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(_MSC_VER))

#    include <immintrin.h>
#    include <math.h>
#    include <string.h>

#    if defined(__clang__)
#        pragma clang attribute push(                                                              \
            __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,avx2"))),                \
            apply_to = function)
#    elif defined(__GNUC__)
#        pragma GCC push_options
#        pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,fma,avx2")
#    endif

#    define BP_ISA avx512
#    define BP_VOCABULARY "vocabulary_avx512.inc.h"
#    define BP_HAS_SCALE
#    define BP_VECTOR_REGISTERS 32
#    include "both.inc.h"
#    include "gemm_avx512.inc.h"
#    include "bf16_avx512.inc.h"

void bp_kernels_init_avx512(bp_kernels *k) {
    bpk_f32_init__avx512(&k->f32);
    bpk_f64_init__avx512(&k->f64);
    bpk_gemm_init__avx512(k);
    bpk_bf16_init__avx512(&k->bf16);
}

#    if defined(__clang__)
#        pragma clang attribute pop
#    elif defined(__GNUC__)
#        pragma GCC pop_options
#    endif

#else

void bp_kernels_init_avx512(bp_kernels *k) {
    (void)k;
}

#endif
