/* Products of bfloat16 with vdpbf16ps: AVX512-BF16, besides what AVX-512 has. */
#include "kernels/kernels.h"

#if defined(__x86_64__) && BP_COMPILER_IS(10, 9)

#    include <immintrin.h>
#    include <string.h>

#    if defined(__clang__)
#        pragma clang attribute push(                                                              \
            __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,avx2"))),     \
            apply_to = function)
#    else
#        pragma GCC push_options
#        pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,avx2")
#    endif

/* The instruction takes the second elements of the pairs first, as the emulation does. */
static inline __m512i bp_bf16_set1(const uint16_t *p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return _mm512_set1_epi32(both);
}

/* clang-format off */
#define BF16_SHAPES(X)                                                                             \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8)                                \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(3, 1) X(3, 2) X(3, 3) X(3, 4)                                \
    X(4, 1) X(4, 2) X(4, 3) X(4, 4) X(5, 1) X(5, 2) X(5, 3) X(5, 4)                                \
    X(6, 1) X(6, 2) X(6, 3) X(6, 4) X(7, 1) X(7, 2) X(8, 1) X(8, 2) X(9, 1) X(9, 2)                \
    X(10, 1) X(10, 2) X(11, 1) X(11, 2) X(12, 1) X(12, 2) X(13, 1) X(13, 2) X(14, 1) X(14, 2)
/* clang-format on */

#    define BF16_NAME bpk_bf16_run_14x32__avx512_bf16
#    define BF16_PEAK bpk_bf16_peak__avx512_bf16
#    define VEC __m512
#    define VEC_PART __mmask16
#    define PAIRS __m512i
#    define LANES 16
#    define ROWS 14
#    define COLS 2
#    define FEW_ROWS 6
#    define FEW_COLS 4
#    define ONE_COLS 8
#    define V_PART(n) ((__mmask16)((1u << (n)) - 1u))
#    define V_ZERO _mm512_setzero_ps
#    define V_LOAD _mm512_loadu_ps
#    define V_LOAD_PART(p, part) _mm512_maskz_loadu_ps(part, p)
#    define V_STORE _mm512_storeu_ps
#    define V_STORE_PART _mm512_mask_storeu_ps
#    define P_LOAD(p) _mm512_loadu_si512(p)
#    define P_SET1 bp_bf16_set1
#    define V_DP(acc, x, y) _mm512_dpbf16_ps(acc, (__m512bh)(x), (__m512bh)(y))
#    include "bf16_tile.inc.h"

#    include "bf16_native.inc.h"

void bp_kernels_init_avx512_bf16(bp_kernels *k) {
    k->bf16.name = "avx512_bf16";
    k->bf16.run = bpk_bf16_run_14x32__avx512_bf16;
    k->bf16.peak = bpk_bf16_peak__avx512_bf16;
    k->bf16.to_rows = bpk_bf16_to_rows__avx512_bf16;
    k->bf16.to_panels = bpk_bf16_to_panels__avx512_bf16;
}

#    if defined(__clang__)
#        pragma clang attribute pop
#    else
#        pragma GCC pop_options
#    endif

#else

void bp_kernels_init_avx512_bf16(bp_kernels *k) {
    (void)k;
}

#endif
