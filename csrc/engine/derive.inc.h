/* Derivatives of a network: of its outputs in its inputs, and of its cost in its parameters.
 *
 * The rows are cut into blocks that stay in the cache next to a core. One member of a team works on
 * each block: values first, then the derivatives along them. Whatever is carried for an example
 * besides its values (a direction, an output's sensitivity) has a separate row, direction by
 * direction, so that every layer is one matrix product. Sums over rows are formed part by part, and
 * the parts are added in order: the cuts depend on shapes alone, and so do the bits. */

/* A field holds one row per example for the inputs of every layer, and for the outputs of the last.
 * inputs_of(s, field, l) are those of layer l; outputs_of(s, field, l) belong to its outputs and to
 * its z. z, first, … are NULL where the derivative does not need them. */
typedef struct {
    const bp_derive_job *job;
    const real_kernels *kernels;
    int64_t row, n; /* the block: its first row, and how many */
    real *a, *z;
    real *first, *second; /* act' and act'' */
    real *da, *dz;        /* along the parameters given */
    real *buffer[2];      /* bp_derive_carried_rows for each example, as wide as the widest layer */
    real *y, *loss, *row_scale;
    int64_t *labels;
    double *sums; /* per example */
    real *scratch;
} space;

/* Cuts a member's buffers from its memory; returns their bytes. Without memory it only counts. */
static int64_t space_make(const bp_derive_job *job, char *memory, space *made) {
    const size_t size = sizeof(real);
    const int64_t block = job->block;
    const int64_t field = block * job->at[job->net->n_layers + 1];
    const int64_t count = block * bp_derive_carried_rows(job) * job->widest;
    const int64_t n_out = job->net->layers[job->net->n_layers - 1].n_out;
    const int along = bp_derive_is_sum(job->kind);
    int64_t used = 0;
    space s = {.job = job, .kernels = kernels_of(job->net)};
    s.a = bp_cut(memory, &used, field, size);
    s.z = bp_cut(memory, &used, field, size);
    s.first = bp_derive_keeps_slopes(job) ? bp_cut(memory, &used, field, size) : NULL;
    s.second = bp_derive_is_second(job->kind) ? bp_cut(memory, &used, field, size) : NULL;
    s.da = along ? bp_cut(memory, &used, field, size) : NULL;
    s.dz = job->kind == BP_HVP ? bp_cut(memory, &used, field, size) : NULL;
    s.buffer[0] = bp_cut(memory, &used, count, size);
    s.buffer[1] = bp_cut(memory, &used, count, size);
    s.y = bp_cut(memory, &used, block * n_out, size);
    s.loss = bp_cut(memory, &used, block, size);
    s.row_scale = bp_cut(memory, &used, block, size);
    s.labels = bp_cut(memory, &used, block, sizeof *s.labels);
    s.sums = bp_cut(memory, &used, block, sizeof *s.sums);
    s.scratch = bp_cut(memory, &used, product_scratch(s.kernels), size);
    if (made) *made = s;
    return used;
}

static real *inputs_of(const space *s, real *field, int l) {
    return field + s->job->at[l] * s->job->block;
}

static real *outputs_of(const space *s, real *field, int l) {
    return inputs_of(s, field, l + 1);
}

static const bp_layer *layer_of(const space *s, int l) {
    return &s->job->net->layers[l];
}

/* What act_bwd of layer l reads. */
static const real *saved_of(const space *s, int l) {
    return outputs_of(s, bp_act_needs_z(layer_of(s, l)->act) ? s->z : s->a, l);
}

/* The values of the block, and the slopes where they are kept. */
static void run_values(const space *s) {
    const bp_derive_job *job = s->job;
    const bp_net *net = job->net;
    const bp_rows rows = {NULL, s->row};
    rows_load(s->kernels, &job->data->x, &rows, s->n, net->shift, net->scale, s->a,
              bp_derive_ld_in(job, 0));
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = layer_of(s, l);
        const int64_t ld = bp_derive_ld_out(job, l);
        const bp_dense dense = dense_of_layer(s->job->net, l, s->n, 0, 1, s->scratch);
        real *a = outputs_of(s, s->a, l),
             *z = bp_derive_keeps_z(job, l) ? outputs_of(s, s->z, l) : NULL;
        dense_fwd(&dense, layer->act, inputs_of(s, s->a, l), bp_derive_ld_in(job, l),
                  (const real *)net->parameters + layer->b, z, a, ld);
        if (layer->act == BP_ACT_SOFTMAX) {
            s->kernels->softmax(s->n, layer->n_out, z ? z : a, ld, a, ld);
            continue;
        }
        /* Rows with their padding are one run. */
        if (s->first)
            s->kernels->act_derivative[layer->act](s->n * ld, z, outputs_of(s, s->first, l));
        if (s->second)
            s->kernels->act_second[layer->act](s->n * ld, z, outputs_of(s, s->second, l));
    }
}

/* d, `count` rows for each example, becomes its product with the Jacobian of layer l's activation,
 * which is symmetric: forward from dz to da, and backward from dC/da to dC/dz. */
static void through(const space *s, int l, int64_t count, real *d) {
    const bp_layer *layer = layer_of(s, l);
    const int64_t ld = bp_derive_ld_out(s->job, l);
    for (int64_t t = 0; t < count; t++, d += s->n * ld) {
        if (layer->act == BP_ACT_SOFTMAX)
            s->kernels->softmax_bwd(s->n, layer->n_out, outputs_of(s, s->a, l), ld, d, ld);
        else if (s->first)
            s->kernels->mul(s->n * ld, outputs_of(s, s->first, l), d);
        else
            s->kernels->act_bwd[layer->act](s->n, layer->n_out, saved_of(s, l), ld, d, ld);
    }
}

/* to = from W^T for `count` rows of each example: dz of layer l from da of its inputs. */
static void along_layer(const space *s, int l, int64_t count, const real *from, real *to) {
    const bp_dense dense = dense_of_layer(s->job->net, l, count * s->n, 0, 1, s->scratch);
    dense_fwd(&dense, BP_ACT_IDENTITY, from, bp_derive_ld_in(s->job, l), NULL, NULL, to,
              bp_derive_ld_out(s->job, l));
}

/* The delta of the layer below l, or for l = 0 the derivative in the inputs, from that of l. */
static void back_layer(const space *s, int l, int64_t count, const real *from, real *to) {
    const bp_dense dense = dense_of_layer(s->job->net, l, count * s->n, 0, 1, s->scratch);
    const int fused = l > 0 && !s->first;
    dense_bwd_x(&dense, from, bp_derive_ld_out(s->job, l),
                fused ? layer_of(s, l - 1)->act : BP_ACT_IDENTITY,
                fused ? saved_of(s, l - 1) : NULL, to, bp_derive_ld_in(s->job, l));
    if (l > 0 && s->first) through(s, l - 1, count, to);
}
