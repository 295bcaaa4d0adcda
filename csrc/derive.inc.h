/* The buffers of a block of rows, and the pass of its values; included by derive.c for float and
 * double. */

/* A field holds one row per example for every layer: that of layer l is BP_T(cell)(s, field, l).
 * Those of z, first, … are NULL where the derivative does not need them. */
typedef struct {
    const derive_job *job;
    const BP_T(bp_kernels) *kernels;
    int64_t row, n; /* the block: its first row, and how many */
    real *a, *z;
    real *first, *second; /* act' and act'' */
    real *da, *dz;        /* along the parameters given */
    real *turn[2];        /* turn_rows for each example, as wide as the widest layer */
    real *y, *loss, *row_scale;
    int64_t *labels;
    double *sums; /* per example */
    real *scratch;
} BP_T(space);

static const BP_T(bp_kernels) *BP_T(kernels_of)(const bp_net *net) {
    return &net->kernels->BP_KERNELS;
}

/* Cuts a member's buffers from its memory; gives their bytes. Without memory it only counts. */
static int64_t BP_T(space_make)(const derive_job *job, char *memory, BP_T(space) *made) {
    const int64_t size = (int64_t)sizeof(real), block = job->block;
    const int64_t field = block * job->at[job->net->n_layers + 1];
    const int64_t turn = block * turn_rows(job) * job->widest;
    const int64_t n_out = job->net->layers[job->net->n_layers - 1].n_out;
    const int along = is_sum(job->kind);
    int64_t used = 0;
    BP_T(space) s = {.job = job, .kernels = BP_T(kernels_of)(job->net)};
    s.a = cut(memory, &used, field, size);
    s.z = cut(memory, &used, field, size);
    s.first = keeps_slopes(job) ? cut(memory, &used, field, size) : NULL;
    s.second = is_second(job->kind) ? cut(memory, &used, field, size) : NULL;
    s.da = along ? cut(memory, &used, field, size) : NULL;
    s.dz = job->kind == HVP ? cut(memory, &used, field, size) : NULL;
    s.turn[0] = cut(memory, &used, turn, size);
    s.turn[1] = cut(memory, &used, turn, size);
    s.y = cut(memory, &used, block * n_out, size);
    s.loss = cut(memory, &used, block, size);
    s.row_scale = cut(memory, &used, block, size);
    s.labels = cut(memory, &used, block, (int64_t)sizeof *s.labels);
    s.sums = cut(memory, &used, block, (int64_t)sizeof *s.sums);
    s.scratch = cut(memory, &used, BP_T(bp_product_scratch)(s.kernels), size);
    if (made) *made = s;
    return used;
}

static real *BP_T(cell)(const BP_T(space) *s, real *field, int l) {
    return field + s->job->at[l] * s->job->block;
}

static const bp_layer *BP_T(layer)(const BP_T(space) *s, int l) {
    return &s->job->net->layers[l - 1];
}

/* The layer that makes a_l, applied to some rows. */
static BP_T(bp_dense) BP_T(dense_to)(const BP_T(space) *s, int l, int64_t rows) {
    const bp_net *net = s->job->net;
    const bp_layer *layer = BP_T(layer)(s, l);
    return (BP_T(bp_dense)){
        .kernels = s->kernels,
        .rows = rows,
        .n_in = layer->n_in,
        .n_out = layer->n_out,
        .w = (const real *)net->parameters + layer->w,
        .packed = net->packed ? (const real *)net->packed + layer->packed : NULL,
        .member = 0,
        .members = 1,
        .scratch = s->scratch,
    };
}

/* What act_bwd of layer l reads. */
static const real *BP_T(saved)(const BP_T(space) *s, int l) {
    return BP_T(cell)(s, bp_act_needs_z(BP_T(layer)(s, l)->act) ? s->z : s->a, l);
}

/* The values of the block, and the slopes where they are kept. */
static void BP_T(run_values)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    const bp_net *net = job->net;
    const bp_rows rows = {NULL, s->row};
    BP_T(bp_rows_load)
    (s->kernels, &job->data->x, &rows, s->n, net->shift, net->scale, s->a, ld_of(job, 0));
    for (int l = 1; l <= net->n_layers; l++) {
        const bp_layer *layer = BP_T(layer)(s, l);
        const int64_t ld = ld_of(job, l);
        const BP_T(bp_dense) dense = BP_T(dense_to)(s, l, s->n);
        real *a = BP_T(cell)(s, s->a, l), *z = keeps_z(job, l) ? BP_T(cell)(s, s->z, l) : NULL;
        BP_T(bp_dense_fwd)
        (&dense, layer->act, BP_T(cell)(s, s->a, l - 1), ld_of(job, l - 1),
         (const real *)net->parameters + layer->b, z, a, ld);
        if (layer->act == BP_ACT_SOFTMAX) {
            s->kernels->softmax(s->n, layer->n_out, z ? z : a, ld, a, ld);
            continue;
        }
        /* Rows with their padding are one run. */
        if (s->first)
            s->kernels->act_derivative[layer->act](s->n * ld, z, BP_T(cell)(s, s->first, l));
        if (s->second)
            s->kernels->act_second[layer->act](s->n * ld, z, BP_T(cell)(s, s->second, l));
    }
}

/* d, `count` rows for each example, becomes its product with the Jacobian of layer l's activation,
 * which is symmetric: forward from dz to da, and backward from dC/da to dC/dz. */
static void BP_T(through)(const BP_T(space) *s, int l, int64_t count, real *d) {
    const bp_layer *layer = BP_T(layer)(s, l);
    const int64_t ld = ld_of(s->job, l);
    for (int64_t t = 0; t < count; t++, d += s->n * ld) {
        if (layer->act == BP_ACT_SOFTMAX)
            s->kernels->softmax_bwd(s->n, layer->n_out, BP_T(cell)(s, s->a, l), ld, d, ld);
        else if (s->first)
            s->kernels->mul(s->n * ld, BP_T(cell)(s, s->first, l), d);
        else
            s->kernels->act_bwd[layer->act](s->n, layer->n_out, BP_T(saved)(s, l), ld, d, ld);
    }
}

/* to = from W_l^T for `count` rows of each example: dz_l from da_(l-1). */
static void BP_T(along_layer)(const BP_T(space) *s, int l, int64_t count, const real *from,
                              real *to) {
    const BP_T(bp_dense) dense = BP_T(dense_to)(s, l, count * s->n);
    BP_T(bp_dense_fwd)
    (&dense, BP_ACT_IDENTITY, from, ld_of(s->job, l - 1), NULL, NULL, to, ld_of(s->job, l));
}

/* The delta of the layer below l, or for l = 1 the derivative in the inputs, from that of l. */
static void BP_T(back_layer)(const BP_T(space) *s, int l, int64_t count, const real *from,
                             real *to) {
    const BP_T(bp_dense) dense = BP_T(dense_to)(s, l, count * s->n);
    const int fused = l > 1 && !s->first;
    BP_T(bp_dense_bwd_x)
    (&dense, from, ld_of(s->job, l), fused ? BP_T(layer)(s, l - 1)->act : BP_ACT_IDENTITY,
     fused ? BP_T(saved)(s, l - 1) : NULL, to, ld_of(s->job, l - 1));
    if (l > 1 && s->first) BP_T(through)(s, l - 1, count, to);
}
