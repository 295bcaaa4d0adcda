/* Products of bfloat16 for AVX-512 without an instruction for them: each pair is split into two
 * float32. 24 accumulators of the 32 registers. */

typedef struct {
    __m512 first, second;
} bp_bf16_pairs;

static inline bp_bf16_pairs bp_bf16_apart(__m512i both) {
    return (bp_bf16_pairs){_mm512_castsi512_ps(_mm512_slli_epi32(both, 16)),
                           _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(-65536)))};
}

static inline bp_bf16_pairs bp_bf16_load(const uint16_t *p) {
    return bp_bf16_apart(_mm512_loadu_si512(p));
}

static inline bp_bf16_pairs bp_bf16_set1(const uint16_t *p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return bp_bf16_apart(_mm512_set1_epi32(both));
}

static inline __m512 bp_bf16_dp(__m512 acc, bp_bf16_pairs x, bp_bf16_pairs y) {
    acc = _mm512_fmadd_ps(x.second, y.second, acc);
    return _mm512_fmadd_ps(x.first, y.first, acc);
}

/* clang-format off */
#define AVX512_SHAPES(X)                                                                           \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6)                                                \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(3, 1) X(3, 2) X(3, 3) X(3, 4) X(4, 1) X(4, 2) X(4, 3)        \
    X(4, 4) X(5, 1) X(5, 2) X(6, 1) X(6, 2) X(7, 1) X(7, 2) X(8, 1) X(8, 2) X(9, 1) X(9, 2)        \
    X(10, 1) X(10, 2) X(11, 1) X(11, 2) X(12, 1) X(12, 2)
/* clang-format on */

#define BF16_NAME bpk_bf16_run_12x32__avx512
#define BF16_PEAK bpk_bf16_peak__avx512
#define VEC __m512
#define VEC_PART __mmask16
#define PAIRS bp_bf16_pairs
#define LANES 16
#define ROWS 12
#define COLS 2
#define FEW_ROWS 4
#define FEW_COLS 4
#define ONE_COLS 6
#define BF16_SHAPES AVX512_SHAPES
#define V_PART(n) ((__mmask16)((1u << (n)) - 1u))
#define V_ZERO _mm512_setzero_ps
#define V_LOAD _mm512_loadu_ps
#define V_LOAD_PART(p, part) _mm512_maskz_loadu_ps(part, p)
#define V_STORE _mm512_storeu_ps
#define V_STORE_PART _mm512_mask_storeu_ps
#define P_LOAD bp_bf16_load
#define P_SET1 bp_bf16_set1
#define V_DP bp_bf16_dp
#include "bf16_tile.inc.h"

#define BF16_ISA avx512
#include "bf16_convert.inc.h"

static void bpk_bf16_init__avx512(bp_kernels_bf16 *k) {
    k->run = bpk_bf16_run_12x32__avx512;
    k->peak = bpk_bf16_peak__avx512;
    k->to_rows = bpk_bf16_to_rows__avx512;
    k->to_panels = bpk_bf16_to_panels__avx512;
    k->drop_specials = bpk_bf16_drop_specials__avx512;
}

#undef BF16_ISA
#undef AVX512_SHAPES
