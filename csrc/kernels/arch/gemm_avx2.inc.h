/* GEMM micro-kernels and transposition for AVX2 with FMA: 12 accumulators of the 16 registers. */

/* Formatting has no fixed point for this list. */
/* clang-format off */
#define AVX2_SHAPES(X)                                                                             \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8)                                \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(3, 1) X(3, 2) X(3, 3) X(3, 4) X(4, 1) X(4, 2)                \
    X(5, 1) X(5, 2) X(6, 1) X(6, 2)
/* clang-format on */

static inline __m256i bp_avx2_part_f32(int n) {
    static const int32_t bits[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(bits + 8 - n));
}

static inline __m256i bp_avx2_part_f64(int n) {
    static const int64_t bits[8] = {-1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(bits + 4 - n));
}

static inline void bp_avx2_block_f32(const float *src, int64_t lds, float *dst, int64_t ldd) {
    __m256 r[4];
    for (int t = 0; t < 4; t++)
        r[t] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(src + t * lds)),
                                    _mm_loadu_ps(src + (t + 4) * lds), 1);
    const __m256 low01 = _mm256_unpacklo_ps(r[0], r[1]), high01 = _mm256_unpackhi_ps(r[0], r[1]);
    const __m256 low23 = _mm256_unpacklo_ps(r[2], r[3]), high23 = _mm256_unpackhi_ps(r[2], r[3]);
    _mm256_storeu_ps(dst, _mm256_shuffle_ps(low01, low23, 0x44));
    _mm256_storeu_ps(dst + ldd, _mm256_shuffle_ps(low01, low23, 0xee));
    _mm256_storeu_ps(dst + 2 * ldd, _mm256_shuffle_ps(high01, high23, 0x44));
    _mm256_storeu_ps(dst + 3 * ldd, _mm256_shuffle_ps(high01, high23, 0xee));
}

static inline void bp_avx2_block_f64(const double *src, int64_t lds, double *dst, int64_t ldd) {
    const __m256d even = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(src)),
                                              _mm_loadu_pd(src + 2 * lds), 1);
    const __m256d odd = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(src + lds)),
                                             _mm_loadu_pd(src + 3 * lds), 1);
    _mm256_storeu_pd(dst, _mm256_unpacklo_pd(even, odd));
    _mm256_storeu_pd(dst + ldd, _mm256_unpackhi_pd(even, odd));
}

#define real float
#define BP_T(name) name##_f32
#define TRANSPOSE_NAME bpk_f32_transpose__avx2
#define TRANSPOSE_LANES 8
#define TRANSPOSE_STEP 4
#define TRANSPOSE_BLOCK bp_avx2_block_f32
#include "transpose.inc.h"
#define GEMM_NAME bpk_f32_gemm_6x16__avx2
#define VEC __m256
#define VEC_PART __m256i
#define LANES 8
#define ROWS 6
#define COLS 2
#define FEW_ROWS 3
#define FEW_COLS 4
#define ONE_COLS 8
#define GEMM_SHAPES AVX2_SHAPES
#define V_PART(n) bp_avx2_part_f32(n)
#define V_ZERO _mm256_setzero_ps
#define V_SET1 _mm256_set1_ps
#define V_LOAD _mm256_loadu_ps
#define V_LOAD_PART _mm256_maskload_ps
#define V_STORE _mm256_storeu_ps
#define V_STORE_PART _mm256_maskstore_ps
#define V_FMA _mm256_fmadd_ps
#include "gemm_tile.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#define TRANSPOSE_NAME bpk_f64_transpose__avx2
#define TRANSPOSE_LANES 4
#define TRANSPOSE_STEP 2
#define TRANSPOSE_BLOCK bp_avx2_block_f64
#include "transpose.inc.h"
#define GEMM_NAME bpk_f64_gemm_6x8__avx2
#define VEC __m256d
#define VEC_PART __m256i
#define LANES 4
#define ROWS 6
#define COLS 2
#define FEW_ROWS 3
#define FEW_COLS 4
#define ONE_COLS 8
#define GEMM_SHAPES AVX2_SHAPES
#define V_PART(n) bp_avx2_part_f64(n)
#define V_ZERO _mm256_setzero_pd
#define V_SET1 _mm256_set1_pd
#define V_LOAD _mm256_loadu_pd
#define V_LOAD_PART _mm256_maskload_pd
#define V_STORE _mm256_storeu_pd
#define V_STORE_PART _mm256_maskstore_pd
#define V_FMA _mm256_fmadd_pd
#include "gemm_tile.inc.h"
#undef real
#undef BP_T

static void bpk_gemm_init__avx2(bp_kernels *k) {
    k->f32.gemm = (bp_gemm_kernel_f32){6, 16, bpk_f32_gemm_6x16__avx2};
    k->f64.gemm = (bp_gemm_kernel_f64){6, 8, bpk_f64_gemm_6x8__avx2};
    k->f32.transpose = bpk_f32_transpose__avx2;
    k->f64.transpose = bpk_f64_transpose__avx2;
}

#undef AVX2_SHAPES
