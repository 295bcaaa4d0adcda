/* GEMM micro-kernels and transposition for every machine: vectors of 16 bytes where the compiler
 * has them. There is no fused multiply-add to rely on, so the product is rounded before the sum. */

#if defined(__GNUC__) || defined(__clang__)
typedef float bp_portable_f32 __attribute__((vector_size(16)));
typedef double bp_portable_f64 __attribute__((vector_size(16)));
#    define PORTABLE_LANES(lanes) lanes
#    define PORTABLE_SET1_f32(x) ((bp_portable_f32){x, x, x, x})
#    define PORTABLE_SET1_f64(x) ((bp_portable_f64){x, x})
#else
typedef float bp_portable_f32;
typedef double bp_portable_f64;
#    define PORTABLE_LANES(lanes) 1
#    define PORTABLE_SET1_f32(x) (x)
#    define PORTABLE_SET1_f64(x) (x)
#endif

static inline bp_portable_f32 bp_portable_part_f32(const float *p, int n) {
    bp_portable_f32 v = PORTABLE_SET1_f32(0);
    if (n == (int)(sizeof v / sizeof *p)) {
        memcpy(&v, p, sizeof v);
    } else {
        float part[sizeof v / sizeof *p] = {0};
        for (int i = 0; i < n; i++)
            part[i] = p[i];
        memcpy(&v, part, sizeof v);
    }
    return v;
}

static inline bp_portable_f64 bp_portable_part_f64(const double *p, int n) {
    bp_portable_f64 v = PORTABLE_SET1_f64(0);
    if (n == (int)(sizeof v / sizeof *p)) {
        memcpy(&v, p, sizeof v);
    } else {
        double part[sizeof v / sizeof *p] = {0};
        for (int i = 0; i < n; i++)
            part[i] = p[i];
        memcpy(&v, part, sizeof v);
    }
    return v;
}

static inline void bp_portable_block_f32(const float *src, int64_t lds, float *dst, int64_t ldd) {
    for (int s = 0; s < 8; s++)
        for (int t = 0; t < 8; t++)
            dst[s * ldd + t] = src[t * lds + s];
}

static inline void bp_portable_block_f64(const double *src, int64_t lds, double *dst, int64_t ldd) {
    for (int s = 0; s < 8; s++)
        for (int t = 0; t < 8; t++)
            dst[s * ldd + t] = src[t * lds + s];
}

/* clang-format off */
#define PORTABLE_SHAPES(X) \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(2, 1) X(2, 2) X(3, 1) X(3, 2) X(4, 1) X(4, 2)
/* clang-format on */

#define real float
#define BP_T(name) name##_f32
#define TRANSPOSE_NAME bpk_f32_transpose__portable
#define TRANSPOSE_LANES 8
#define TRANSPOSE_STEP 8
#define TRANSPOSE_BLOCK bp_portable_block_f32
#include "transpose.inc.h"
#define GEMM_NAME bpk_f32_gemm_4x8__portable
#define VEC bp_portable_f32
#define VEC_PART int
#define LANES PORTABLE_LANES(4)
#define ROWS 4
#define COLS 2
#define FEW_ROWS 1
#define FEW_COLS 4
#define ONE_COLS 4
#define GEMM_SHAPES PORTABLE_SHAPES
#define V_PART(n) (n)
#define V_ZERO() PORTABLE_SET1_f32(0.0f)
#define V_SET1 PORTABLE_SET1_f32
#define V_LOAD(p) bp_portable_part_f32(p, LANES)
#define V_LOAD_PART(p, part) bp_portable_part_f32(p, part)
#define V_STORE(p, v) memcpy(p, &(v), sizeof(v))
#define V_STORE_PART(p, part, v) memcpy(p, &(v), (size_t)(part) * sizeof *(p))
#define V_FMA(x, y, z) ((x) * (y) + (z))
#include "gemm_tile.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#define TRANSPOSE_NAME bpk_f64_transpose__portable
#define TRANSPOSE_LANES 8
#define TRANSPOSE_STEP 8
#define TRANSPOSE_BLOCK bp_portable_block_f64
#include "transpose.inc.h"
#define GEMM_NAME bpk_f64_gemm_4x4__portable
#define VEC bp_portable_f64
#define VEC_PART int
#define LANES PORTABLE_LANES(2)
#define ROWS 4
#define COLS 2
#define FEW_ROWS 1
#define FEW_COLS 4
#define ONE_COLS 4
#define GEMM_SHAPES PORTABLE_SHAPES
#define V_PART(n) (n)
#define V_ZERO() PORTABLE_SET1_f64(0.0)
#define V_SET1 PORTABLE_SET1_f64
#define V_LOAD(p) bp_portable_part_f64(p, LANES)
#define V_LOAD_PART(p, part) bp_portable_part_f64(p, part)
#define V_STORE(p, v) memcpy(p, &(v), sizeof(v))
#define V_STORE_PART(p, part, v) memcpy(p, &(v), (size_t)(part) * sizeof *(p))
#define V_FMA(x, y, z) ((x) * (y) + (z))
#include "gemm_tile.inc.h"
#undef real
#undef BP_T

static void bpk_gemm_init__portable(bp_kernels *k) {
    k->f32.gemm = (bp_gemm_kernel_f32){4, 2 * PORTABLE_LANES(4), bpk_f32_gemm_4x8__portable};
    k->f64.gemm = (bp_gemm_kernel_f64){4, 2 * PORTABLE_LANES(2), bpk_f64_gemm_4x4__portable};
    k->f32.transpose = bpk_f32_transpose__portable;
    k->f64.transpose = bpk_f64_transpose__portable;
}

#undef PORTABLE_LANES
#undef PORTABLE_SET1_f32
#undef PORTABLE_SET1_f64
#undef PORTABLE_SHAPES
