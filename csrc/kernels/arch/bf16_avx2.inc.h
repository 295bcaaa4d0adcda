/* Products of bfloat16 for AVX2, which has no instruction for them: each pair is split into two
 * float32. 8 accumulators of the 16 registers. */

typedef struct {
    __m256 first, second;
} bp_bf16_pairs;

static inline bp_bf16_pairs bp_bf16_apart(__m256i both) {
    return (bp_bf16_pairs){_mm256_castsi256_ps(_mm256_slli_epi32(both, 16)),
                           _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(-65536)))};
}

static inline bp_bf16_pairs bp_bf16_load(const uint16_t *p) {
    return bp_bf16_apart(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

static inline bp_bf16_pairs bp_bf16_set1(const uint16_t *p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return bp_bf16_apart(_mm256_set1_epi32(both));
}

static inline __m256 bp_bf16_dp(__m256 acc, bp_bf16_pairs x, bp_bf16_pairs y) {
    acc = _mm256_fmadd_ps(x.second, y.second, acc);
    return _mm256_fmadd_ps(x.first, y.first, acc);
}

/* clang-format off */
#define AVX2_SHAPES(X)                                                                             \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(2, 1) X(2, 2) X(3, 1) X(3, 2) X(4, 1) X(4, 2)
/* clang-format on */

#define BF16_NAME bpk_bf16_run_4x16__avx2
#define BF16_PEAK bpk_bf16_peak__avx2
#define VEC __m256
#define VEC_PART __m256i
#define PAIRS bp_bf16_pairs
#define LANES 8
#define ROWS 4
#define COLS 2
#define FEW_ROWS 1
#define FEW_COLS 4
#define ONE_COLS 4
#define BF16_SHAPES AVX2_SHAPES
#define V_PART bp_avx2_part_f32
#define V_ZERO _mm256_setzero_ps
#define V_LOAD _mm256_loadu_ps
#define V_LOAD_PART _mm256_maskload_ps
#define V_STORE _mm256_storeu_ps
#define V_STORE_PART _mm256_maskstore_ps
#define P_LOAD bp_bf16_load
#define P_SET1 bp_bf16_set1
#define V_DP bp_bf16_dp
#include "bf16_tile.inc.h"

#define BF16_ISA avx2
#include "bf16_convert.inc.h"

static void bpk_bf16_init__avx2(bp_kernels_bf16 *k) {
    k->run = bpk_bf16_run_4x16__avx2;
    k->peak = bpk_bf16_peak__avx2;
    k->to_rows = bpk_bf16_to_rows__avx2;
    k->to_panels = bpk_bf16_to_panels__avx2;
    k->drop_specials = bpk_bf16_drop_specials__avx2;
}

#undef BF16_ISA
#undef AVX2_SHAPES
