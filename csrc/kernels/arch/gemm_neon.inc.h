/* GEMM micro-kernels for NEON: 24 accumulators of the 32 registers. */

/* Formatting has no fixed point for this list. */
/* clang-format off */
#define NEON_SHAPES(X)                                                                             \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6)                                                \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(2, 5) X(2, 6)                                                \
    X(3, 1) X(3, 2) X(3, 3) X(3, 4) X(3, 5) X(3, 6)                                                \
    X(4, 1) X(4, 2) X(4, 3) X(4, 4) X(4, 5) X(4, 6) X(5, 1) X(5, 2) X(5, 3)                        \
    X(6, 1) X(6, 2) X(6, 3) X(7, 1) X(7, 2) X(7, 3) X(8, 1) X(8, 2) X(8, 3)
/* clang-format on */

static inline float32x4_t bp_neon_load_f32(const float *p, int n) {
    if (n == 4) return vld1q_f32(p);
    float part[4] = {p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
    return vld1q_f32(part);
}

static inline void bp_neon_store_f32(float *p, int n, float32x4_t v) {
    if (n == 4) {
        vst1q_f32(p, v);
        return;
    }
    vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
}

static inline float64x2_t bp_neon_load_f64(const double *p, int n) {
    return n == 2 ? vld1q_f64(p) : vsetq_lane_f64(p[0], vdupq_n_f64(0), 0);
}

static inline void bp_neon_store_f64(double *p, int n, float64x2_t v) {
    vst1q_lane_f64(p, v, 0);
    if (n == 2) vst1q_lane_f64(p + 1, v, 1);
}

#define real float
#define BP_T(name) name##_f32
#define GEMM_NAME bpk_f32_gemm_8x12__neon
#define VEC float32x4_t
#define VEC_PART int
#define LANES 4
#define ROWS 8
#define COLS 3
#define FEW_ROWS 4
#define FEW_COLS 6
#define ONE_COLS 6
#define GEMM_SHAPES NEON_SHAPES
#define V_PART(n) (n)
#define V_ZERO() vdupq_n_f32(0)
#define V_SET1 vdupq_n_f32
#define V_LOAD vld1q_f32
#define V_LOAD_PART bp_neon_load_f32
#define V_STORE vst1q_f32
#define V_STORE_PART bp_neon_store_f32
#define V_FMA(x, y, z) vfmaq_f32(z, x, y)
#include "gemm_tile.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#define GEMM_NAME bpk_f64_gemm_8x6__neon
#define VEC float64x2_t
#define VEC_PART int
#define LANES 2
#define ROWS 8
#define COLS 3
#define FEW_ROWS 4
#define FEW_COLS 6
#define ONE_COLS 6
#define GEMM_SHAPES NEON_SHAPES
#define V_PART(n) (n)
#define V_ZERO() vdupq_n_f64(0)
#define V_SET1 vdupq_n_f64
#define V_LOAD vld1q_f64
#define V_LOAD_PART bp_neon_load_f64
#define V_STORE vst1q_f64
#define V_STORE_PART bp_neon_store_f64
#define V_FMA(x, y, z) vfmaq_f64(z, x, y)
#include "gemm_tile.inc.h"
#undef real
#undef BP_T

static void bpk_gemm_init__neon(bp_kernels *k) {
    k->f32.gemm = (bp_gemm_kernel_f32){8, 12, bpk_f32_gemm_8x12__neon};
    k->f64.gemm = (bp_gemm_kernel_f64){8, 6, bpk_f64_gemm_8x6__neon};
}

#undef NEON_SHAPES
