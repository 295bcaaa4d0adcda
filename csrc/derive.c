/* Derivatives of a network: of its outputs in its inputs, and of its cost in its parameters.
 *
 * The rows are cut into blocks that stay in the cache next to a core, each worked on by one member
 * of a team: values first, then the derivatives along them. What is carried for an example besides
 * its values (a direction, an output's sensitivity) is a row of its own, direction by direction, so
 * that every layer is one matrix product. Sums over rows are formed part by part, and the parts are
 * added in order: the cuts depend on shapes alone, and so do the bits. */
#include <math.h>
#include <string.h>

#include "batch.h"
#include "dense.h"
#include "loss.h"
#include "thread_plan.h"

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

typedef enum {
    JACOBIAN_FORWARD,
    JACOBIAN_REVERSE,
    VJP,
    JVP,
    HESSIAN_DIAGONAL,
    LAPLACIAN,
    HVP,
    GAUSS_NEWTON,
    SAMPLE_GRADIENTS,
    SAMPLE_NORMS
} derivative;

/* What is asked for, and how the work is cut. Layers are numbered by what they make: a_0 are the
 * inputs, a_l the outputs of net->layers[l - 1]. */
typedef struct {
    bp_net *net;
    derivative kind;
    const bp_data *data;
    const void *v;       /* the vectors that the derivative is multiplied by, or NULL */
    void *out, *values;  /* the result; for jvp a_L too */
    double weight_scale; /* of the rows' weights in the cost */

    int64_t directions; /* rows carried together for an example */
    int64_t block;      /* examples of a block */
    int parts, threads;
    int64_t *at; /* n_layers + 2: where the columns of a_l begin among those of all layers */
    int64_t widest;

    void *memory;         /* of all members, then packed_v and partial */
    int64_t member_bytes; /* of each */
    void *packed_v;       /* V^T of every layer in panels, or NULL */
    void *partial;        /* sums of the parts but the first */
    int user_status;      /* of the user's loss */
} derive_job;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t element_size(const bp_net *net) {
    return net->dtype == BP_FLOAT32 ? 4 : 8;
}

static int64_t ld_of(const derive_job *job, int l) {
    return job->at[l + 1] - job->at[l];
}

static int is_sum(derivative kind) {
    return kind == HVP || kind == GAUSS_NEWTON;
}

static int is_second(derivative kind) {
    return kind == HESSIAN_DIAGONAL || kind == LAPLACIAN || kind == HVP;
}

/* Whether act' of every layer is kept, instead of being formed where it multiplies once. */
static int keeps_slopes(const derive_job *job) {
    return job->directions > 1 || is_second(job->kind);
}

/* Whether the pre-activations of layer l are kept. */
static int keeps_z(const derive_job *job, int l) {
    return keeps_slopes(job) || bp_act_needs_z(job->net->layers[l - 1].act) ||
           (l == job->net->n_layers && job->kind >= HVP && bp_loss_from_z(job->net->loss));
}

/* Rows of the buffers that take turns, for each example. */
static int64_t turn_rows(const derive_job *job) {
    if (job->kind == HESSIAN_DIAGONAL) return 2 * job->directions;
    if (job->kind == LAPLACIAN) return job->directions + 1;
    return job->kind == HVP ? 2 : job->directions;
}

/* The part `part` of the rows. */
static void part_rows(const derive_job *job, int part, int64_t *begin, int64_t *end) {
    bp_share(job->data->x.rows, is_sum(job->kind) ? 1 : job->block, part, job->parts, begin, end);
}

/* Takes a piece of a block of memory, or only counts its bytes while the block does not exist. */
static void *cut(char *block, int64_t *used, int64_t count, int64_t size) {
    char *piece = block ? block + *used : NULL;
    *used += bp_round_up(count * size, BP_ALIGNMENT);
    return piece;
}

#define real float
#define BP_T(name) name##_f32
#define BP_KERNELS f32
#include "derive.inc.h"
#include "derive_inputs.inc.h"
#include "derive_parameters.inc.h"
#include "derive_team.inc.h"
#undef real
#undef BP_T
#undef BP_KERNELS

#define real double
#define BP_T(name) name##_f64
#define BP_KERNELS f64
#include "derive.inc.h"
#include "derive_inputs.inc.h"
#include "derive_parameters.inc.h"
#include "derive_team.inc.h"
#undef real
#undef BP_T
#undef BP_KERNELS

/* ---- the plan ---- */

/* Work of an example, in passes through the network. */
static double passes(const derive_job *job) {
    const bp_net *net = job->net;
    const double n_in = (double)net->layers[0].n_in;
    switch (job->kind) {
    case JACOBIAN_FORWARD:
    case LAPLACIAN:
        return 1.0 + n_in;
    case JACOBIAN_REVERSE:
        return 1.0 + (double)net->layers[net->n_layers - 1].n_out;
    case HESSIAN_DIAGONAL:
        return 1.0 + 2.0 * n_in;
    case HVP:
        return 8.0;
    case GAUSS_NEWTON:
        return 5.0;
    default:
        return 2.0;
    }
}

/* The way of the Jacobian that takes fewer products; along the inputs the first layer is free. */
static derivative jacobian_way(const bp_net *net) {
    const bp_layer *first = &net->layers[0];
    const double all = (double)net->n_parameters;
    const double n_out = (double)net->layers[net->n_layers - 1].n_out;
    const double above = all - (double)first->n_in * (double)first->n_out;
    return n_out * all <= (double)first->n_in * above ? JACOBIAN_REVERSE : JACOBIAN_FORWARD;
}

static void make_plan(derive_job *job) {
    const bp_net *net = job->net;
    const int64_t size = element_size(net), rows = job->data->x.rows;
    const int last = net->n_layers;
    job->at[0] = 0;
    job->widest = 0;
    for (int l = 0; l <= last; l++) {
        const int64_t n = l == 0 ? net->layers[0].n_in : net->layers[l - 1].n_out;
        /* Outputs lie next to each other, as the user's loss sees them. */
        const int64_t ld = l == last ? n : bp_row_stride(n, size);
        job->at[l + 1] = job->at[l] + ld;
        if (job->widest < ld) job->widest = ld;
    }
    job->directions = 1;
    if (job->kind == JACOBIAN_REVERSE)
        job->directions = least(net->layers[last - 1].n_out, MAX_DIRECTIONS);
    else if (job->kind < VJP || job->kind == HESSIAN_DIAGONAL || job->kind == LAPLACIAN)
        job->directions = least(net->layers[0].n_in, MAX_DIRECTIONS);

    const int64_t fields = job->kind == HVP ? 6 : 2 + keeps_slopes(job) + is_second(job->kind);
    const int64_t each = size * (fields * job->at[last + 1] + 2 * turn_rows(job) * job->widest);
    const int64_t low = (MIN_ROWS + turn_rows(job) - 1) / turn_rows(job);
    job->block = least(BLOCK_BYTES / each, MAX_BLOCK) / 16 * 16;
    if (job->block < low) job->block = low;
    if (net->loss == BP_LOSS_CALLBACK && job->kind >= HVP) job->block = MAX_BLOCK;
    if (job->block > rows) job->block = rows;

    int64_t parts = (rows + job->block - 1) / job->block;
    if (is_sum(job->kind)) {
        const int64_t most = least(MAX_PARTS, PARTS_BYTES / (net->n_parameters * size));
        parts = least(rows / ROWS_PER_PART, most);
        if (parts < 1) parts = 1;
        job->block = least(job->block, (rows + parts - 1) / parts);
    }
    job->parts = (int)least(parts, INT32_MAX);
    const double flops = 2.0 * (double)rows * (double)net->n_parameters * passes(job);
    job->threads = (int)least(bp_threads_for(flops, 0), job->parts);
    if (net->loss == BP_LOSS_CALLBACK && job->kind >= HVP) job->threads = 1;
}

/* ---- running it ---- */

/* Room for the plan in what the network keeps; 0 where there is no memory. */
static int reserve(derive_job *job) {
    bp_net *net = job->net;
    const int64_t size = element_size(net);
    job->member_bytes = BP_TYPED(net->dtype, space_make, job, NULL, NULL);
    int64_t used = 0, sums = 0;
    for (int turn = 0; turn < 2; turn++) {
        char *block = turn ? net->derive_memory : NULL;
        used = 0;
        job->memory = cut(block, &used, job->threads, job->member_bytes);
        sums = is_sum(job->kind) ? (job->parts - 1) * net->n_parameters : 0;
        job->partial = cut(block, &used, sums, size);
        job->packed_v =
            is_sum(job->kind) && net->packed ? cut(block, &used, net->n_packed, size) : NULL;
        if (turn || used <= net->derive_bytes) continue;
        bp_free(net->derive_memory);
        net->derive_bytes = 0;
        net->derive_memory = bp_alloc(used, 1);
        if (!net->derive_memory) return 0;
        net->derive_bytes = used;
    }
    return 1;
}

static int derive(derive_job *job) {
    bp_net *net = job->net;
    const bp_rows all = {NULL, 0};
    int status = bp_data_check(net, job->data, job->kind >= HVP);
    if (status != BP_OK || job->data->x.rows == 0) return status;
    if (is_sum(job->kind) && net->loss == BP_LOSS_CALLBACK) return BP_ERR_ARGUMENT;
    status = bp_net_enter(net);
    if (status != BP_OK) return status;
    job->at = bp_alloc((int64_t)net->n_layers + 2, sizeof *job->at);
    if (job->at) {
        job->weight_scale = bp_weight_scale(job->data, &all, job->data->x.rows);
        make_plan(job);
    }
    if (!job->at || !reserve(job)) {
        status = BP_ERR_MEMORY;
    } else {
        bp_pool_run(job->threads, net->dtype == BP_FLOAT32 ? derive_team_f32 : derive_team_f64,
                    job);
        status = job->user_status;
    }
    bp_free(job->at);
    if (net->derive_bytes > KEPT_BYTES) {
        bp_free(net->derive_memory);
        net->derive_memory = NULL;
        net->derive_bytes = 0;
    }
    bp_net_leave(net);
    return status;
}

int bp_net_jacobian(bp_net *net, const bp_matrix *x, void *jacobian) {
    const bp_data data = {.x = *x};
    derive_job job = {.net = net, .kind = jacobian_way(net), .data = &data, .out = jacobian};
    return derive(&job);
}

int bp_net_vjp(bp_net *net, const bp_matrix *x, const void *v, void *dx) {
    const bp_data data = {.x = *x};
    derive_job job = {.net = net, .kind = VJP, .data = &data, .v = v, .out = dx};
    return derive(&job);
}

int bp_net_jvp(bp_net *net, const bp_matrix *x, const void *dx, void *a, void *da) {
    const bp_data data = {.x = *x};
    derive_job job = {.net = net, .kind = JVP, .data = &data, .v = dx, .out = da, .values = a};
    return derive(&job);
}

int bp_net_hessian_diagonal(bp_net *net, const bp_matrix *x, void *second) {
    const bp_data data = {.x = *x};
    derive_job job = {.net = net, .kind = HESSIAN_DIAGONAL, .data = &data, .out = second};
    return derive(&job);
}

int bp_net_laplacian(bp_net *net, const bp_matrix *x, void *laplacian) {
    const bp_data data = {.x = *x};
    derive_job job = {.net = net, .kind = LAPLACIAN, .data = &data, .out = laplacian};
    return derive(&job);
}

int bp_net_hvp(bp_net *net, const bp_data *data, const void *v, void *product) {
    derive_job job = {.net = net, .kind = HVP, .data = data, .v = v, .out = product};
    return derive(&job);
}

int bp_net_gauss_newton_product(bp_net *net, const bp_data *data, const void *v, void *product) {
    derive_job job = {.net = net, .kind = GAUSS_NEWTON, .data = data, .v = v, .out = product};
    return derive(&job);
}

int bp_net_per_sample_gradients(bp_net *net, const bp_data *data, void *gradients) {
    derive_job job = {.net = net, .kind = SAMPLE_GRADIENTS, .data = data, .out = gradients};
    return derive(&job);
}

int bp_net_per_sample_gradient_norms(bp_net *net, const bp_data *data, void *norms) {
    derive_job job = {.net = net, .kind = SAMPLE_NORMS, .data = data, .out = norms};
    return derive(&job);
}
