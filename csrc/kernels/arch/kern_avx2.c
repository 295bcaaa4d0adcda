/* Every kernel for AVX2 and FMA. */
#include "kernels/kernels.h"

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(_MSC_VER))

#    include <immintrin.h>
#    include <math.h>
#    include <string.h>

#    if defined(__clang__)
#        pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#    elif defined(__GNUC__)
#        pragma GCC push_options
#        pragma GCC target("avx2,fma")
#    endif

/* clang leaves it out after conversions of whole vectors in memory to half a register, after which
 * Intel's processors report the upper halves as in use. */
#    define BP_LEAVE_VECTORS() _mm256_zeroupper()
#    define BP_ISA avx2
#    define BP_VOCABULARY "vocabulary_avx2.inc.h"
#    include "both.inc.h"
#    include "gemm_avx2.inc.h"
#    include "bf16_avx2.inc.h"

void bp_kernels_init_avx2(bp_kernels *k) {
    bpk_f32_init__avx2(&k->f32);
    bpk_f64_init__avx2(&k->f64);
    bpk_gemm_init__avx2(k);
    bpk_bf16_init__avx2(&k->bf16);
}

#    if defined(__clang__)
#        pragma clang attribute pop
#    elif defined(__GNUC__)
#        pragma GCC pop_options
#    endif

#else

void bp_kernels_init_avx2(bp_kernels *k) {
    (void)k;
}

#endif
