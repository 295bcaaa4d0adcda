/* Derivatives of a network: what is asked for, and how the work is cut. */
#ifndef BP_DERIVE_H
#define BP_DERIVE_H

#include "engine/net.h"
#include "threads/team.h"

typedef enum {
    BP_JACOBIAN_FORWARD,
    BP_JACOBIAN_REVERSE,
    BP_VJP,
    BP_JVP,
    BP_HESSIAN_DIAGONAL,
    BP_LAPLACIAN,
    BP_HVP,
    BP_GAUSS_NEWTON,
    BP_SAMPLE_GRADIENTS,
    BP_SAMPLE_NORMS
} bp_derivative;

/* What is asked for, and how the work is cut. */
typedef struct {
    bp_net *net;
    bp_derivative kind;
    const bp_data *data;
    const void *v;       /* the vectors that the derivative is multiplied by, or NULL */
    void *out, *values;  /* the result; for jvp a_L too */
    double weight_scale; /* of the rows' weights in the cost */

    int64_t directions; /* rows carried together for an example */
    int64_t block;      /* examples of a block */
    int parts, threads;
    int64_t *at; /* n_layers + 2: where the columns of a[l] begin, the inputs of layer l;
                    a[n_layers] are the outputs */
    int64_t widest;

    void *memory;         /* of all members, then packed_v and partial */
    int64_t member_bytes; /* of each */
    void *packed_v;       /* V^T of every layer in panels, or NULL */
    void *partial;        /* sums of the parts but the first */
    int user_status;      /* of the user's loss */
} bp_derive_job;

/* Row strides of the inputs and of the outputs of a layer. */
static inline int64_t bp_derive_ld_in(const bp_derive_job *job, int l) {
    return job->at[l + 1] - job->at[l];
}

static inline int64_t bp_derive_ld_out(const bp_derive_job *job, int l) {
    return bp_derive_ld_in(job, l + 1);
}

static inline int bp_derive_is_sum(bp_derivative kind) {
    return kind == BP_HVP || kind == BP_GAUSS_NEWTON;
}

static inline int bp_derive_is_second(bp_derivative kind) {
    return kind == BP_HESSIAN_DIAGONAL || kind == BP_LAPLACIAN || kind == BP_HVP;
}

/* Whether act' of every layer is kept, instead of being computed where it is used once. */
static inline int bp_derive_keeps_slopes(const bp_derive_job *job) {
    return job->directions > 1 || bp_derive_is_second(job->kind);
}

/* Whether the pre-activations of layer l are kept. */
static inline int bp_derive_keeps_z(const bp_derive_job *job, int l) {
    return bp_derive_keeps_slopes(job) || bp_act_needs_z(job->net->layers[l].act) ||
           (l == job->net->n_layers - 1 && job->kind >= BP_HVP && bp_loss_from_z(job->net->loss));
}

/* Rows of the two buffers, for each example. */
static inline int64_t bp_derive_carried_rows(const bp_derive_job *job) {
    if (job->kind == BP_HESSIAN_DIAGONAL) return 2 * job->directions;
    if (job->kind == BP_LAPLACIAN) return job->directions + 1;
    return job->kind == BP_HVP ? 2 : job->directions;
}

/* The part `part` of the rows. */
static inline void bp_derive_part_rows(const bp_derive_job *job, int part, int64_t *begin,
                                       int64_t *end) {
    bp_share(job->data->x.rows, bp_derive_is_sum(job->kind) ? 1 : job->block, part, job->parts,
             begin, end);
}

/* Fills in how the work is cut. job->at has room for n_layers + 2 entries. */
void bp_derive_plan(bp_derive_job *job);

/* Makes room for the plan in the memory that the network keeps, job->member_bytes for each member;
 * 0 if there is no memory. */
int bp_derive_reserve(bp_derive_job *job);

/* Frees the memory of derivatives if it is too large to keep. */
void bp_derive_release(bp_net *net);

/* The way to the Jacobian that takes fewer products; along the inputs, the first layer is free. */
bp_derivative bp_derive_jacobian_way(const bp_net *net);

#endif
