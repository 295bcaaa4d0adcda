/* How the work of a derivative is cut, and the memory for it. */
#include "engine/derive.h"

#include "system/integers.h"
#include "threads/plan.h"

enum {
    MAX_BLOCK = 256,     /* rows of examples that are worked on together */
    MIN_ROWS = 64,       /* of a product: fewer do not pay for reading the weights */
    MAX_DIRECTIONS = 64, /* rows carried for an example at once */
    MAX_PARTS = 8,       /* sums that are kept side by side */
    ROWS_PER_PART = 32   /* fewer rows are not worth a sum of their own */
};

/* Bytes that a block of rows may fill where it has more than MIN_ROWS. */
static const int64_t BLOCK_BYTES = 512 * 1024;

/* Bytes of the sums that are kept side by side, and of what a network keeps between calls. */
static const int64_t PARTS_BYTES = 64 * 1024 * 1024, KEPT_BYTES = 64 * 1024 * 1024;

/* Work of an example, in passes through the network. */
static double passes(const bp_derive_job *job) {
    const bp_net *net = job->net;
    const double n_in = (double)net->layers[0].n_in;
    switch (job->kind) {
    case BP_JACOBIAN_FORWARD:
    case BP_LAPLACIAN:
        return 1.0 + n_in;
    case BP_JACOBIAN_REVERSE:
        return 1.0 + (double)net->layers[net->n_layers - 1].n_out;
    case BP_HESSIAN_DIAGONAL:
        return 1.0 + 2.0 * n_in;
    case BP_HVP:
        return 8.0;
    case BP_GAUSS_NEWTON:
        return 5.0;
    default:
        return 2.0;
    }
}

bp_derivative bp_derive_jacobian_way(const bp_net *net) {
    const bp_layer *first = &net->layers[0];
    const double all = (double)net->n_parameters;
    const double n_out = (double)net->layers[net->n_layers - 1].n_out;
    const double above = all - (double)first->n_in * (double)first->n_out;
    return n_out * all <= (double)first->n_in * above ? BP_JACOBIAN_REVERSE : BP_JACOBIAN_FORWARD;
}

void bp_derive_plan(bp_derive_job *job) {
    const bp_net *net = job->net;
    const int64_t size = (int64_t)bp_element_size(net->dtype), rows = job->data->x.rows;
    const int n_layers = net->n_layers;
    job->at[0] = 0;
    job->widest = 0;
    for (int l = 0; l <= n_layers; l++) { /* the columns of a[l] */
        const int is_output = l == n_layers;
        const int64_t n = is_output ? net->layers[l - 1].n_out : net->layers[l].n_in;
        /* Outputs lie next to each other, as the user's loss sees them. */
        const int64_t ld = is_output ? n : bp_row_stride(n, size);
        job->at[l + 1] = job->at[l] + ld;
        if (job->widest < ld) job->widest = ld;
    }
    job->directions = 1;
    if (job->kind == BP_JACOBIAN_REVERSE)
        job->directions = bp_min_i64(net->layers[n_layers - 1].n_out, MAX_DIRECTIONS);
    else if (job->kind < BP_VJP || job->kind == BP_HESSIAN_DIAGONAL || job->kind == BP_LAPLACIAN)
        job->directions = bp_min_i64(net->layers[0].n_in, MAX_DIRECTIONS);

    const int64_t fields =
        job->kind == BP_HVP ? 6 : 2 + bp_derive_keeps_slopes(job) + bp_derive_is_second(job->kind);
    const int64_t each =
        size * (fields * job->at[n_layers + 1] + 2 * bp_derive_carried_rows(job) * job->widest);
    const int64_t low = (MIN_ROWS + bp_derive_carried_rows(job) - 1) / bp_derive_carried_rows(job);
    job->block = bp_min_i64(BLOCK_BYTES / each, MAX_BLOCK) / 16 * 16;
    if (job->block < low) job->block = low;
    if (net->loss == BP_LOSS_CALLBACK && job->kind >= BP_HVP) job->block = MAX_BLOCK;
    if (job->block > rows) job->block = rows;

    int64_t parts = (rows + job->block - 1) / job->block;
    if (bp_derive_is_sum(job->kind)) {
        const int64_t most = bp_min_i64(MAX_PARTS, PARTS_BYTES / (net->n_parameters * size));
        parts = bp_min_i64(rows / ROWS_PER_PART, most);
        if (parts < 1) parts = 1;
        job->block = bp_min_i64(job->block, (rows + parts - 1) / parts);
    }
    job->parts = (int)bp_min_i64(parts, INT32_MAX);
    const double flops = 2.0 * (double)rows * (double)net->n_parameters * passes(job);
    job->threads = (int)bp_min_i64(bp_threads_for(flops, 0), job->parts);
    if (net->loss == BP_LOSS_CALLBACK && job->kind >= BP_HVP) job->threads = 1;
}

int bp_derive_reserve(bp_derive_job *job) {
    bp_net *net = job->net;
    const size_t size = bp_element_size(net->dtype);
    int64_t used = 0, sums = 0;
    for (int again = 0; again < 2; again++) {
        char *block = again ? net->derive_memory : NULL;
        used = 0;
        job->memory = bp_cut(block, &used, job->threads * job->member_bytes, 1);
        sums = bp_derive_is_sum(job->kind) ? (job->parts - 1) * net->n_parameters : 0;
        job->partial = bp_cut(block, &used, sums, size);
        job->packed_v = bp_derive_is_sum(job->kind) && net->packed
                            ? bp_cut(block, &used, net->n_packed, size)
                            : NULL;
        if (again || used <= net->derive_bytes) continue;
        bp_free(net->derive_memory);
        net->derive_bytes = 0;
        net->derive_memory = bp_alloc(used, 1);
        if (!net->derive_memory) return 0;
        net->derive_bytes = used;
    }
    return 1;
}

void bp_derive_release(bp_net *net) {
    if (net->derive_bytes <= KEPT_BYTES) return;
    bp_free(net->derive_memory);
    net->derive_memory = NULL;
    net->derive_bytes = 0;
}
