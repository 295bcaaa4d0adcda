/* Products of bfloat16 for every machine: each pair is split into two float32. There is no fused
 * multiply-add to rely on, and none is needed: the product of two bfloat16 is a float32. */

#if defined(__GNUC__) || defined(__clang__)
#    define PORTABLE_LANES 4
typedef float bp_bf16_vector __attribute__((vector_size(16)));
typedef uint32_t bp_bf16_bits __attribute__((vector_size(16)));
#    define PORTABLE_ALL(x)                                                                        \
        { x, x, x, x }
#else
#    define PORTABLE_LANES 1
typedef float bp_bf16_vector;
typedef uint32_t bp_bf16_bits;
#    define PORTABLE_ALL(x) x
#endif

typedef struct {
    bp_bf16_vector first, second;
} bp_bf16_pairs;

static inline bp_bf16_pairs bp_bf16_apart(bp_bf16_bits both) {
    const bp_bf16_bits first = both << 16, second = both & 0xffff0000u;
    bp_bf16_pairs pairs;
    memcpy(&pairs.first, &first, sizeof first);
    memcpy(&pairs.second, &second, sizeof second);
    return pairs;
}

static inline bp_bf16_pairs bp_bf16_load(const uint16_t *p) {
    bp_bf16_bits both;
    memcpy(&both, p, sizeof both);
    return bp_bf16_apart(both);
}

static inline bp_bf16_pairs bp_bf16_set1(const uint16_t *p) {
    uint32_t both;
    memcpy(&both, p, sizeof both);
    return bp_bf16_apart((bp_bf16_bits)PORTABLE_ALL(both));
}

static inline bp_bf16_vector bp_bf16_part(const float *p, int n) {
    float part[PORTABLE_LANES] = {0};
    bp_bf16_vector v;
    for (int i = 0; i < n; i++)
        part[i] = p[i];
    memcpy(&v, part, sizeof v);
    return v;
}

static inline bp_bf16_vector bp_bf16_whole(const float *p) {
    bp_bf16_vector v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline bp_bf16_vector bp_bf16_dp(bp_bf16_vector acc, bp_bf16_pairs x, bp_bf16_pairs y) {
    acc = acc + x.second * y.second;
    return acc + x.first * y.first;
}

/* clang-format off */
#define PORTABLE_SHAPES(X) \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(2, 1) X(2, 2) X(3, 1) X(3, 2) X(4, 1) X(4, 2)
/* clang-format on */

#define BF16_NAME bpk_bf16_run_4x8__portable
#define BF16_PEAK bpk_bf16_peak__portable
#define VEC bp_bf16_vector
#define VEC_PART int
#define PAIRS bp_bf16_pairs
#define LANES PORTABLE_LANES
#define ROWS 4
#define COLS 2
#define FEW_ROWS 1
#define FEW_COLS 4
#define ONE_COLS 4
#define BF16_SHAPES PORTABLE_SHAPES
#define V_PART(n) (n)
#define V_ZERO() ((bp_bf16_vector)PORTABLE_ALL(0.0f))
#define V_LOAD bp_bf16_whole
#define V_LOAD_PART bp_bf16_part
#define V_STORE(p, v) memcpy(p, &(v), sizeof(v))
#define V_STORE_PART(p, part, v) memcpy(p, &(v), (size_t)(part) * sizeof *(p))
#define P_LOAD bp_bf16_load
#define P_SET1 bp_bf16_set1
#define V_DP bp_bf16_dp
#include "bf16_tile.inc.h"

#define BF16_ISA portable
#include "bf16_convert.inc.h"

static void bpk_bf16_begin__portable(void) {}

static void bpk_bf16_end__portable(void) {}

static void bpk_bf16_init__portable(bp_kernels_bf16 *k) {
    k->name = "emulation";
    k->band = 128;
    k->kc = 512;
    k->b_share = 2;
    k->begin = bpk_bf16_begin__portable;
    k->end = bpk_bf16_end__portable;
    k->run = bpk_bf16_run_4x8__portable;
    k->peak = bpk_bf16_peak__portable;
    k->to_rows = bpk_bf16_to_rows__portable;
    k->to_panels = bpk_bf16_to_panels__portable;
    k->drop_specials = bpk_bf16_drop_specials__portable;
}

#undef BF16_ISA
#undef PORTABLE_LANES
#undef PORTABLE_ALL
#undef PORTABLE_SHAPES
