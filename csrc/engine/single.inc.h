/* The kernels one by one: products, layers and activations on plain arrays. */

static const real_kernels *kernel_table(void) {
    return &bp_kernels_get()->ELEMENT;
}

/* ---- a product ---- */

typedef struct {
    bp_product product;
    real *scratch;
    int64_t scratch_each;
} matmul_job;

static void matmul_team(void *context, bp_team *team, int member, int members) {
    const matmul_job *job = context;
    int64_t range[4];
    (void)team;
    product_share(kernel_table(), job->product.m, job->product.n, member, members, range);
    product_run(kernel_table(), &job->product, range[0], range[1], range[2], range[3],
                job->scratch + member * job->scratch_each);
}

static bp_product product_of(const bp_matmul_shape *s, const real *a, const real *b, real *c) {
    return (bp_product){
        .m = s->m,
        .n = s->n,
        .k = s->k,
        .a = a,
        .a_rs = s->transpose_a ? 1 : s->lda,
        .a_cs = s->transpose_a ? s->lda : 1,
        .b = b,
        .b_rs = s->transpose_b ? 1 : s->ldb,
        .b_cs = s->transpose_b ? s->ldb : 1,
        .c = c,
        .c_rs = s->ldc,
        .epilogue = BP_EPILOGUE_NONE,
    };
}

static bp_matmul_plan plan_matmul(const bp_matmul_shape *s, const void *b) {
    const real_kernels *kernels = kernel_table();
    const bp_product product = product_of(s, NULL, b, NULL);
    bp_matmul_plan found = {.tile_rows = kernels->gemm.mr, .tile_cols = kernels->gemm.nr};
    found.is_narrow = is_narrow(kernels, &product);
    if (found.is_narrow) return found;
    const bp_product_plan plan = plan_product(kernels, &product, s->m, s->n);
    found.block_rows = plan.block.mc;
    found.block_sums = plan.block.kc;
    found.block_cols = plan.block.nc;
    found.packs_a = plan.pack_a;
    found.packs_b = plan.pack_b;
    return found;
}

static int matmul(const bp_matmul_shape *s, const void *a, const void *b, void *c) {
    const double flops = 2.0 * (double)s->m * (double)s->n * (double)s->k;
    const int threads = bp_threads_for(flops, 1);
    matmul_job job = {
        .product = product_of(s, a, b, c),
        .scratch_each = bp_round_up(product_scratch(kernel_table()), BP_ALIGNMENT),
    };
    job.scratch = bp_scratch_take(job.scratch_each * threads, sizeof *job.scratch);
    if (!job.scratch) return BP_ERR_MEMORY;
    bp_run_work(threads, flops, matmul_team, &job);
    bp_scratch_give(job.scratch);
    return BP_OK;
}

/* ---- a layer ---- */

typedef struct {
    const bp_layer_shape *shape;
    const real *x, *w, *b, *dy, *saved;
    real *z, *y, *delta, *dx, *dw, *db, *scratch;
    int64_t scratch_each;
} layer_job;

static bp_dense dense_of_job(const layer_job *job, int member, int members) {
    return (bp_dense){
        .kernels = kernel_table(),
        .rows = job->shape->rows,
        .n_in = job->shape->n_in,
        .n_out = job->shape->n_out,
        .w = job->w,
        .member = member,
        .members = members,
        .scratch = job->scratch + member * job->scratch_each,
    };
}

static void forward_team(void *context, bp_team *team, int member, int members) {
    const layer_job *job = context;
    const bp_layer_shape *s = job->shape;
    const bp_dense dense = dense_of_job(job, member, members);
    dense_fwd(&dense, s->act, job->x, s->n_in, job->b, job->z, job->y, s->n_out);
    bp_sync(team, member, members);
    if (s->act == BP_ACT_SOFTMAX && member == 0)
        dense.kernels->softmax(s->rows, s->n_out, job->z ? job->z : job->y, s->n_out, job->y,
                               s->n_out);
}

/* delta = dy * act'(z), on one member: what follows needs all of it. */
static void start_backward(const layer_job *job) {
    const bp_layer_shape *s = job->shape;
    const real_kernels *kernels = kernel_table();
    const int64_t count = s->rows * s->n_out;
    if (s->act == BP_ACT_SOFTMAX) {
        kernels->softmax(s->rows, s->n_out, job->saved, s->n_out, job->y, s->n_out);
        memcpy(job->delta, job->dy, (size_t)count * sizeof(real));
        kernels->softmax_bwd(s->rows, s->n_out, job->y, s->n_out, job->delta, s->n_out);
        return;
    }
    kernels->act_derivative[s->act](count, job->saved, job->delta);
    for (int64_t i = 0; i < count; i++)
        job->delta[i] *= job->dy[i];
}

static void backward_team(void *context, bp_team *team, int member, int members) {
    const layer_job *job = context;
    const bp_layer_shape *s = job->shape;
    const bp_dense dense = dense_of_job(job, member, members);
    if (member == 0) start_backward(job);
    bp_sync(team, member, members);
    if (job->dx) dense_bwd_x(&dense, job->delta, s->n_out, BP_ACT_IDENTITY, NULL, job->dx, s->n_in);
    dense_bwd_w(&dense, job->x, s->n_in, job->delta, s->n_out, job->dw, job->db, 0);
}

/* Runs a team function with scratch for its members and, for backward, room for delta and y. */
static int run_layer(layer_job *job, int backward) {
    const bp_layer_shape *s = job->shape;
    const double flops =
        (backward ? 4.0 : 2.0) * (double)s->rows * (double)s->n_in * (double)s->n_out;
    const int threads = bp_threads_for(flops, 1);
    int64_t outputs = 0, count;
    job->scratch_each = bp_round_up(product_scratch(kernel_table()), BP_ALIGNMENT);
    if (!bp_mul_size(s->rows, s->n_out, &outputs) || outputs > INT64_MAX / 64) return BP_ERR_MEMORY;
    outputs = bp_round_up(outputs, BP_ALIGNMENT);
    count = job->scratch_each * threads + (backward ? 2 * outputs : 0);
    real *memory = bp_scratch_take(count, sizeof *memory);
    if (!memory) return BP_ERR_MEMORY;
    job->scratch = memory;
    if (backward) {
        job->delta = memory + job->scratch_each * threads;
        job->y = job->delta + outputs;
    }
    bp_run_work(threads, flops, backward ? backward_team : forward_team, job);
    bp_scratch_give(memory);
    return BP_OK;
}

static int dense_forward(const bp_layer_shape *shape, const void *x, const void *w, const void *b,
                         void *z, void *y) {
    layer_job job = {.shape = shape, .x = x, .w = w, .b = b, .z = z, .y = y};
    return run_layer(&job, 0);
}

static int dense_backward(const bp_layer_shape *shape, const void *x, const void *w, const void *z,
                          const void *dy, void *dx, void *dw, void *db) {
    layer_job job = {
        .shape = shape, .x = x, .w = w, .saved = z, .dy = dy, .dx = dx, .dw = dw, .db = db};
    return run_layer(&job, 1);
}

/* ---- a sum ---- */

static void add_vectors(int64_t n, const void *x, const void *y, void *z) {
    const uint64_t mode = bp_fp_enter();
    kernel_table()->add(n, x, y, z);
    bp_fp_leave(mode);
}

/* ---- an activation ---- */

static void activation(const bp_layer_shape *s, const void *z, void *y) {
    const real_kernels *kernels = kernel_table();
    const uint64_t mode = bp_fp_enter();
    if (s->act == BP_ACT_SOFTMAX) {
        kernels->softmax(s->rows, s->n_out, z, s->n_out, y, s->n_out);
    } else {
        real *read = (real *)(uintptr_t)z; /* without a bias it is not written */
        kernels->act_fwd[s->act](s->rows, s->n_out, read, s->n_out, NULL, y, s->n_out);
    }
    bp_fp_leave(mode);
}

static void activation_derivative(int act, int64_t n, const void *z, void *y) {
    const uint64_t mode = bp_fp_enter();
    kernel_table()->act_derivative[act](n, z, y);
    bp_fp_leave(mode);
}
