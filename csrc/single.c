/* The kernels one by one: products, layers and activations on plain arrays. */
#include <string.h>

#include "batch.h"
#include "dense.h"
#include "dispatch.h"
#include "fpmode.h"
#include "internal.h"
#include "thread_plan.h"

static int is_real(int32_t dtype) {
    return dtype == BP_FLOAT32 || dtype == BP_FLOAT64;
}

#define real float
#define BP_T(name) name##_f32
#define BP_KERNELS f32
#include "single.inc.h"
#undef real
#undef BP_T
#undef BP_KERNELS

#define real double
#define BP_T(name) name##_f64
#define BP_KERNELS f64
#include "single.inc.h"
#undef real
#undef BP_T
#undef BP_KERNELS

int bp_matmul(int32_t dtype, int32_t precision, int64_t m, int64_t n, int64_t k, const void *a,
              int64_t lda, int transpose_a, const void *b, int64_t ldb, int transpose_b, void *c,
              int64_t ldc) {
    if (!is_real(dtype) || precision != BP_PRECISION_FLOAT32 || m < 0 || n < 0 || k < 0 ||
        lda < (transpose_a ? m : k) || ldb < (transpose_b ? k : n) || ldc < n)
        return BP_ERR_ARGUMENT;
    const matmul_shape shape = {m, n, k, lda, ldb, ldc, transpose_a, transpose_b};
    return BP_TYPED(dtype, matmul, &shape, a, b, c);
}

int bp_dense_forward(int32_t dtype, int32_t act, int64_t rows, int64_t n_in, int64_t n_out,
                     const void *x, const void *w, const void *b, void *z, void *y) {
    if (!is_real(dtype) || act < 0 || act >= BP_ACT_COUNT || rows < 0 || n_in < 1 || n_out < 1)
        return BP_ERR_ARGUMENT;
    const layer_shape shape = {act, rows, n_in, n_out};
    return BP_TYPED(dtype, dense_forward, &shape, x, w, b, z, y);
}

int bp_dense_backward(int32_t dtype, int32_t act, int64_t rows, int64_t n_in, int64_t n_out,
                      const void *x, const void *w, const void *z, const void *dy, void *dx,
                      void *dw, void *db) {
    if (!is_real(dtype) || act < 0 || act >= BP_ACT_COUNT || rows < 0 || n_in < 1 || n_out < 1)
        return BP_ERR_ARGUMENT;
    const layer_shape shape = {act, rows, n_in, n_out};
    return BP_TYPED(dtype, dense_backward, &shape, x, w, z, dy, dx, dw, db);
}

int bp_activation(int32_t dtype, int32_t act, int64_t rows, int64_t cols, const void *z, void *y) {
    if (!is_real(dtype) || act < 0 || act >= BP_ACT_COUNT || rows < 0 || cols < 0)
        return BP_ERR_ARGUMENT;
    const layer_shape shape = {act, rows, cols, cols};
    BP_TYPED(dtype, activation, &shape, z, y);
    return BP_OK;
}

int bp_activation_derivative(int32_t dtype, int32_t act, int64_t n, const void *z, void *y) {
    if (!is_real(dtype) || act < 0 || act >= BP_ACT_SOFTMAX || n < 0) return BP_ERR_ARGUMENT;
    const uint64_t mode = bp_fp_enter();
    if (dtype == BP_FLOAT32)
        bp_kernels_get()->f32.act_derivative[act](n, z, y);
    else
        bp_kernels_get()->f64.act_derivative[act](n, z, y);
    bp_fp_leave(mode);
    return BP_OK;
}
