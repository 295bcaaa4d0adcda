/* A network, and the rows of a pass through it. */
#ifndef BP_NET_H
#define BP_NET_H

#include <stdatomic.h>

#include "kernels/kernels.h"
#include "system/mem.h"
#include "threads/pool.h"
#include "engine/optim.h"
#include "engine/rows.h"
#include "threads/trial.h"

/* Bytes of an element of a network's type. */
static inline size_t bp_element_size(int32_t dtype) {
    return dtype == BP_FLOAT32 ? sizeof(float) : sizeof(double);
}

/* A layer of weights, numbered from 0; it owns the buffers of its n_out outputs. */
typedef struct {
    int64_t n_in, n_out;
    int act;            /* bp_act */
    double dropout;     /* rate after the activation; 0 for the output layer */
    bp_factors of[2];   /* what the rates of W and of b are multiplied by */
    int64_t w, b;       /* offsets of W (n_out x n_in) and b (n_out) in the flat vector */
    int64_t packed;     /* offset of the panels of W^T in the packed copy */
    int64_t operand[2]; /* offsets of the bfloat16 panels of W^T, and of W */
} bp_layer;

typedef enum {
    BP_PASS_FORWARD = 0,  /* outputs only: two buffers, used alternately */
    BP_PASS_BACKWARD = 1, /* everything that backward needs */
    BP_PASS_COLUMNS = 2,  /* the same, with examples as columns */
    BP_PASS_KEEP = 3,     /* every z and delta too, for a trace */
    BP_PASS_LANES = 4,    /* of many networks, one in each lane of a vector */
    BP_PASS_COUNT         /* how many there are */
} bp_pass_flag;

struct bp_net {
    atomic_uint owner; /* 0, or 1 + bp_fork_generation() of the process whose thread is inside */

    int32_t n_layers, dtype, precision, loss;
    double l1, l2, label_smoothing;
    int has_factors; /* of rates: some are not 1 */
    uint64_t seed;
    int64_t steps, epochs;

    bp_layer *layers;
    int64_t n_parameters, n_packed;
    int64_t n_scales; /* trained factors of the inputs: n_in, or 0 */
    bp_factors of_scales;
    int64_t max_width; /* of the layers' inputs and outputs */
    int compact;       /* few enough parameters for each member of a team to read all of them */
    const bp_kernels *kernels;
    const void *phases; /* bp_phases of the network's type and precision */

    void *parameters; /* of the network's type, like all that follow */
    int has_own_parameters;
    void *raw; /* where there are scales: they, the W of the first layer, and room for the gradient
                  of the scales. The parameters have the product of the first two */
    void *packed; /* W^T of every layer in panels, for the forward pass; NULL for a large net, and
                     where there are operands */
    uint16_t *operands; /* panels of W^T and of W, where products take bfloat16 operands, or NULL */
    int packed_stale;   /* the parameters changed since they were packed, or made operands */
    void *shift, *scale; /* n_in each, or NULL */

    bp_loss_fn callback;
    void *callback_user;

    void *derive_memory; /* what derivatives are formed in, kept between calls, or NULL */
    int64_t derive_bytes;

    void *workspace[BP_PASS_COUNT]; /* one for each bp_pass_flag in use, kept between calls, or NULL
                                     */

    bp_thread_trial trial; /* of training */
};

/* The rows of one pass: a block of a batch, or all of it. */
typedef struct {
    const bp_data *data;
    bp_rows rows;        /* of the data */
    int64_t n;           /* how many */
    int64_t offset;      /* of the first one in its batch: the position that keys dropout */
    int alone;           /* a single row, of a batch without others */
    double weight_scale; /* 1 over the batch's sum of weights, or over its count of rows */
    int updates;         /* an update follows: dropout acts */
    int64_t step;        /* of the update that the block belongs to: keys dropout, too */
    double dropout;      /* factor of all dropout rates */
} bp_block;

/* Entries of what training changes: the scales and W of the first layer, from `raw`, and then the
 * parameters from b of the first layer on. Without scales, the parameters. */
static inline int64_t bp_net_trained(const bp_net *net) {
    return net->n_scales + net->n_parameters;
}

/* How many of them, the first ones, are in `raw`. */
static inline int64_t bp_net_raw_count(const bp_net *net) {
    return net->n_scales > 0 ? net->n_scales + net->layers[0].b : 0;
}

/* Whether both have the same layers, but for dropout, and their passes the same buffers. */
static inline int bp_net_is_like(const bp_net *a, const bp_net *b) {
    if (a->n_layers != b->n_layers || a->dtype != b->dtype || a->precision != b->precision ||
        (a->loss == BP_LOSS_CALLBACK) != (b->loss == BP_LOSS_CALLBACK))
        return 0;
    for (int l = 0; l < a->n_layers; l++) {
        const bp_layer *p = &a->layers[l], *q = &b->layers[l];
        if (p->n_in != q->n_in || p->n_out != q->n_out || p->act != q->act) return 0;
    }
    return 1;
}

/* Whether the process forked since the thread inside entered, and this is the child. */
static inline int bp_net_was_forked(const bp_net *net) {
    return atomic_load_explicit(&net->owner, memory_order_relaxed) != bp_fork_generation() + 1;
}

#endif
