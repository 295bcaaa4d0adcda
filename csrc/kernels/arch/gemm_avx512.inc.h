/* GEMM micro-kernels for AVX-512: 28 accumulators of the 32 registers. */

#include "transpose_avx512.inc.h"

/* Formatting has no fixed point for this list. */
/* clang-format off */
#define AVX512_SHAPES(X)                                                                           \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8)                                \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(3, 1) X(3, 2) X(3, 3) X(3, 4)                                \
    X(4, 1) X(4, 2) X(4, 3) X(4, 4) X(5, 1) X(5, 2) X(5, 3) X(5, 4)                                \
    X(6, 1) X(6, 2) X(6, 3) X(6, 4) X(7, 1) X(7, 2) X(8, 1) X(8, 2) X(9, 1) X(9, 2)                \
    X(10, 1) X(10, 2) X(11, 1) X(11, 2) X(12, 1) X(12, 2) X(13, 1) X(13, 2) X(14, 1) X(14, 2)
/* clang-format on */

#define real float
#define BP_T(name) name##_f32
#define GEMM_NAME bpk_f32_gemm_14x32__avx512
#define VEC __m512
#define VEC_PART __mmask16
#define LANES 16
#define ROWS 14
#define COLS 2
#define FEW_ROWS 6
#define FEW_COLS 4
#define ONE_COLS 8
#define GEMM_SHAPES AVX512_SHAPES
#define V_PART(n) ((__mmask16)((1u << (n)) - 1u))
#define V_ZERO _mm512_setzero_ps
#define V_SET1 _mm512_set1_ps
#define V_LOAD _mm512_loadu_ps
#define V_LOAD_PART(p, part) _mm512_maskz_loadu_ps(part, p)
#define V_STORE _mm512_storeu_ps
#define V_STORE_PART _mm512_mask_storeu_ps
#define V_FMA _mm512_fmadd_ps
#define HALF_VEC __m256
#define H_ZERO _mm256_setzero_ps
#define H_OF _mm512_castps512_ps256
#define H_LOAD_PART(p, part) _mm256_maskz_loadu_ps((__mmask8)(part), p)
#define H_STORE_PART(p, part, v) _mm256_mask_storeu_ps(p, (__mmask8)(part), v)
#define H_FMA _mm256_fmadd_ps
#include "gemm_tile.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#define GEMM_NAME bpk_f64_gemm_14x16__avx512
#define VEC __m512d
#define VEC_PART __mmask8
#define LANES 8
#define ROWS 14
#define COLS 2
#define FEW_ROWS 6
#define FEW_COLS 4
#define ONE_COLS 8
#define GEMM_SHAPES AVX512_SHAPES
#define V_PART(n) ((__mmask8)((1u << (n)) - 1u))
#define V_ZERO _mm512_setzero_pd
#define V_SET1 _mm512_set1_pd
#define V_LOAD _mm512_loadu_pd
#define V_LOAD_PART(p, part) _mm512_maskz_loadu_pd(part, p)
#define V_STORE _mm512_storeu_pd
#define V_STORE_PART _mm512_mask_storeu_pd
#define V_FMA _mm512_fmadd_pd
#include "gemm_tile.inc.h"
#undef real
#undef BP_T

static void bpk_gemm_init__avx512(bp_kernels *k) {
    k->f32.gemm = (bp_gemm_kernel_f32){14, 32, bpk_f32_gemm_14x32__avx512};
    k->f64.gemm = (bp_gemm_kernel_f64){14, 16, bpk_f64_gemm_14x16__avx512};
    k->f32.transpose = bpk_f32_transpose__avx512;
    k->f64.transpose = bpk_f64_transpose__avx512;
}

#undef AVX512_SHAPES
