/* How a batch is cut for a team.
 *
 * The cut depends on shapes alone, never on the number of threads, so the bits do not depend on it
 * either. The exception is a call for outputs alone: their rows are independent, so they are cut
 * for the threads.
 * - shared: all members work on each phase of one pass, and share the tiles of its products;
 * - parts: the batch is cut into parts, each passed through by one member, block of rows by block,
 *   without leaving its cache; the parts' gradients are added in order.
 */
#ifndef BP_PLAN_H
#define BP_PLAN_H

#include "engine/net.h"

typedef struct {
    int shared;
    int parts;     /* of the batch; 1 where shared */
    int64_t block; /* rows of one pass */
    int threads;   /* how many are worth waking */
    double flops;  /* operations of the whole batch */
    int fused;     /* update each layer as soon as its gradient is there; no room for all of them */
} bp_plan;

typedef enum {
    BP_WANT_OUTPUTS, /* forward */
    BP_WANT_COST,    /* and the loss */
    BP_WANT_GRADIENT /* and backward */
} bp_want;

/* The plan for a batch of rows. */
bp_plan bp_plan_make(const bp_net *net, int64_t rows, bp_want want);

/* The plan for a batch and its update. */
bp_plan bp_plan_step(const bp_net *net, int64_t rows, const bp_optimizer *optimizer);

/* A batch: which rows, and where the results go. */
typedef struct {
    const bp_data *data;
    bp_rows rows;
    int64_t n;
    double weight_scale; /* 1 over the sum of the rows' weights, or over n */
    int dropout;
    int apply_output; /* outputs are wanted, not only the cost */
    void *out;        /* (n, n_out): the outputs, or NULL */
    void *dx;         /* (n, n_in): dC/dX, or NULL */
} bp_batch;

/* The factor of the rows' weights that makes the cost their weighted mean. */
double bp_weight_scale(const bp_data *data, const bp_rows *rows, int64_t n);

#endif
