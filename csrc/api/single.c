/* The kernels one by one: products, layers and activations on plain arrays. */
#include "engine/bf16.h"
#include "engine/doors.h"
#include "engine/shards.h"
#include "kernels/dispatch.h"
#include "system/fpmode.h"
#include "system/mem.h"
#include "system/scratch.h"
#include "threads/plan.h"
#include "threads/team.h"

static int is_real(int32_t dtype) {
    return dtype == BP_FLOAT32 || dtype == BP_FLOAT64;
}

/* ---- a product of bfloat16 ---- */

/* A factor as it is given, and what it becomes. */
typedef struct {
    bp_bf16_form form;
    int64_t rows, cols, ld;
    const float *x;
    bp_bf16_operand operand;
} bf16_factor;

typedef struct {
    bp_bf16_kernels kernels;
    bf16_factor a, b;
    bp_bf16_product product;
    float *scratch;
    int64_t scratch_each;
} bf16_job;

/* A member's share: rows of op(a), or columns of op(b). */
static void convert_share(const bf16_job *job, const bf16_factor *f, int member, int members) {
    const int planes = job->product.planes;
    int64_t begin, end;
    if (f->form == BP_BF16_ROWS || f->form == BP_BF16_PANELS_T) {
        bp_share(f->rows, BP_BF16_BLOCK, member, members, &begin, &end);
        bp_bf16_convert(&job->kernels, f->form, planes, end - begin, f->cols, f->x + begin * f->ld,
                        f->ld, &f->operand, begin, 0);
    } else {
        bp_share(f->cols, BP_BF16_BLOCK, member, members, &begin, &end);
        bp_bf16_convert(&job->kernels, f->form, planes, f->rows, end - begin, f->x + begin, f->ld,
                        &f->operand, 0, begin);
    }
}

static void bf16_team(void *context, bp_team *team, int member, int members) {
    const bf16_job *job = context;
    int64_t range[4];
    convert_share(job, &job->a, member, members);
    convert_share(job, &job->b, member, members);
    bp_sync(team, member, members);
    bp_bf16_product_share(job->product.m, job->product.n, member, members, range);
    job->kernels.bf16->begin();
    bp_bf16_product_run(&job->kernels, &job->product, range[0], range[1], range[2], range[3],
                        job->scratch + member * job->scratch_each);
    job->kernels.bf16->end();
}

static int bf16_matmul(const bp_matmul_shape *s, int planes, const float *a, const float *b,
                       float *c) {
    const double flops = 2.0 * (double)s->m * (double)s->n * (double)s->k;
    const int threads = bp_threads_for(flops, 1);
    bf16_job job = {
        .kernels = {bp_kernels_bf16_get(), &bp_kernels_get()->f32},
        .a = {.form = s->transpose_a ? BP_BF16_ROWS_T : BP_BF16_ROWS, .ld = s->lda, .x = a},
        .b = {.form = s->transpose_b ? BP_BF16_PANELS_T : BP_BF16_PANELS, .ld = s->ldb, .x = b},
        .product = {.m = s->m, .n = s->n, .k = s->k, .planes = planes, .c = c, .c_rs = s->ldc},
    };
    job.a.rows = s->transpose_a ? s->k : s->m;
    job.a.cols = s->transpose_a ? s->m : s->k;
    job.b.rows = s->transpose_b ? s->n : s->k;
    job.b.cols = s->transpose_b ? s->k : s->n;
    int64_t count_a, count_b;
    if (!bp_bf16_layout(job.a.form, planes, job.a.rows, job.a.cols, NULL, &job.a.operand,
                        &count_a) ||
        !bp_bf16_layout(job.b.form, planes, job.b.rows, job.b.cols, NULL, &job.b.operand,
                        &count_b) ||
        count_a > INT64_MAX / 8 || count_b > INT64_MAX / 8)
        return BP_ERR_MEMORY;
    job.scratch_each = bp_round_up(bp_bf16_product_scratch(&job.kernels), BP_ALIGNMENT);
    const int64_t scratch = job.scratch_each * threads * (int64_t)sizeof *job.scratch;
    char *memory = bp_scratch_take(scratch + (count_a + count_b) * (int64_t)sizeof(uint16_t), 1);
    if (!memory) return BP_ERR_MEMORY;
    job.scratch = (float *)(void *)memory;
    job.product.a = job.a.operand;
    job.product.b = job.b.operand;
    job.product.a.x = job.a.operand.x = (uint16_t *)(void *)(memory + scratch);
    job.product.b.x = job.b.operand.x = job.a.operand.x + count_a;
    bp_run_work(threads, flops, bf16_team, &job);
    bp_scratch_give(memory);
    return BP_OK;
}

int bp_matmul(int32_t dtype, int32_t precision, int64_t m, int64_t n, int64_t k, const void *a,
              int64_t lda, int transpose_a, const void *b, int64_t ldb, int transpose_b, void *c,
              int64_t ldc) {
    const int planes = bp_bf16_planes(precision);
    if (!is_real(dtype) || (precision != BP_PRECISION_FLOAT32 && !planes) || m < 0 || n < 0 ||
        k < 0 || lda < (transpose_a ? m : k) || ldb < (transpose_b ? k : n) || ldc < n)
        return BP_ERR_ARGUMENT;
    if (planes && dtype != BP_FLOAT32) return BP_ERR_ARGUMENT;
    const bp_matmul_shape shape = {m, n, k, lda, ldb, ldc, transpose_a, transpose_b};
    if (planes) return bf16_matmul(&shape, planes, a, b, c);
    return bp_engine_of(dtype)->matmul(&shape, a, b, c);
}

int bp_plan_matmul(int32_t dtype, int64_t m, int64_t n, int64_t k, int transpose_a, int transpose_b,
                   const void *b, bp_matmul_plan *plan) {
    if (!is_real(dtype) || m < 1 || n < 1 || k < 1) return BP_ERR_ARGUMENT;
    const bp_matmul_shape shape = {
        m, n, k, transpose_a ? m : k, transpose_b ? k : n, n, transpose_a, transpose_b};
    *plan = bp_engine_of(dtype)->plan_matmul(&shape, b);
    return BP_OK;
}

int bp_dense_forward(int32_t dtype, int32_t act, int64_t rows, int64_t n_in, int64_t n_out,
                     const void *x, const void *w, const void *b, void *z, void *y) {
    if (!is_real(dtype) || act < 0 || act >= BP_ACT_COUNT || rows < 0 || n_in < 1 || n_out < 1)
        return BP_ERR_ARGUMENT;
    const bp_layer_shape shape = {act, rows, n_in, n_out};
    return bp_engine_of(dtype)->dense_forward(&shape, x, w, b, z, y);
}

int bp_dense_backward(int32_t dtype, int32_t act, int64_t rows, int64_t n_in, int64_t n_out,
                      const void *x, const void *w, const void *z, const void *dy, void *dx,
                      void *dw, void *db) {
    if (!is_real(dtype) || act < 0 || act >= BP_ACT_COUNT || rows < 0 || n_in < 1 || n_out < 1)
        return BP_ERR_ARGUMENT;
    const bp_layer_shape shape = {act, rows, n_in, n_out};
    return bp_engine_of(dtype)->dense_backward(&shape, x, w, z, dy, dx, dw, db);
}

int bp_add(int32_t dtype, int64_t n, const void *x, const void *y, void *z) {
    if (!is_real(dtype) || n < 0) return BP_ERR_ARGUMENT;
    bp_engine_of(dtype)->add(n, x, y, z);
    return BP_OK;
}

int bp_round_bf16(int64_t n, float *x, uint16_t *errors) {
    if (n < 0) return BP_ERR_ARGUMENT;
    const uint64_t mode = bp_fp_enter();
    bp_round_sums(n, x, errors);
    bp_fp_leave(mode);
    return BP_OK;
}

int bp_activation(int32_t dtype, int32_t act, int64_t rows, int64_t cols, const void *z, void *y) {
    if (!is_real(dtype) || act < 0 || act >= BP_ACT_COUNT || rows < 0 || cols < 0)
        return BP_ERR_ARGUMENT;
    const bp_layer_shape shape = {act, rows, cols, cols};
    bp_engine_of(dtype)->activation(&shape, z, y);
    return BP_OK;
}

int bp_activation_derivative(int32_t dtype, int32_t act, int64_t n, const void *z, void *y) {
    if (!is_real(dtype) || act < 0 || act >= BP_ACT_SOFTMAX || n < 0) return BP_ERR_ARGUMENT;
    bp_engine_of(dtype)->activation_derivative(act, n, z, y);
    return BP_OK;
}
