/* How a batch is cut for a team.
 *
 * The cut depends on shapes alone, never on the number of threads, so the bits do not depend on it
 * either. The exception is a call for outputs alone: their rows are independent, so they are cut
 * for the threads.
 * - shared: all members work on each phase of one pass, and share the tiles of its products;
 * - parts: the batch is cut into parts, each passed through by one member, block of rows by block,
 *   without leaving its cache; the parts' gradients are added pairwise, in a fixed
 *   order.
 */
#ifndef BP_PLAN_H
#define BP_PLAN_H

#include "engine/net.h"

enum { BP_MAX_PARTS = 8 }; /* gradients that are kept side by side */

/* Rows between two cuts of a batch whose examples are columns: whole vectors, or halves of the
 * longest. Smaller batches go by rows. */
enum { BP_COLUMNS_UNIT = 8 };

typedef struct {
    int shared;
    int columns;     /* passes have examples as columns (columns.inc.h); never where shared */
    int one_example; /* each batch: no gradient is stored (update_from_example) */
    int parts;       /* of the batch; 1 where shared */
    int64_t block;   /* rows of one pass */
    int threads;     /* how many are worth waking */
    double flops;    /* operations of the whole batch */
    int fused; /* update each layer as soon as its gradient is there; no room for all of them */
} bp_plan;

typedef enum {
    BP_WANT_OUTPUTS, /* forward */
    BP_WANT_COST,    /* and the loss */
    BP_WANT_GRADIENT /* and backward */
} bp_want;

/* Whether products read the packed copy of the weights, which has to follow them. */
static inline int bp_plan_packs(const bp_plan *plan) {
    return !plan->columns && !plan->one_example;
}

/* The rows of part `part`. */
void bp_plan_part(const bp_plan *plan, int64_t rows, int part, int64_t *begin, int64_t *end);

/* The plan for a batch of rows. */
bp_plan bp_plan_make(const bp_net *net, int64_t rows, bp_want want);

/* The plan for the outputs of n networks of one shape from the same rows. A part is what one thread
 * does with one network; or, where shared, all threads work on one network after the other. */
bp_plan bp_plan_stack(const bp_net *net, int64_t n, int64_t rows);

/* The plan for a batch and its update, in a run whose largest batches have so many rows. */
bp_plan bp_plan_step(const bp_net *net, int64_t rows, int64_t largest,
                     const bp_optimizer *optimizer);

/* Whether the whole gradient has to be there before the first update: its norm may be needed, or
 * that of the first layer's weights is changed (scales.inc.h). */
static inline int bp_plan_needs_whole(const bp_net *net, const bp_optimizer *optimizer) {
    return optimizer->clip_norm > 0.0 || net->n_scales > 0;
}

/* A batch: which rows, and where the results go. */
typedef struct {
    const bp_data *data;
    bp_rows rows;
    int64_t n;
    int64_t offset;      /* of the first one in the batch that they are a shard of: keys dropout */
    double weight_scale; /* 1 over the sum of the rows' weights, or over n; of the whole batch */
    int updates;         /* an update follows: dropout acts */
    int64_t step;        /* of its update: keys dropout */
    double dropout;      /* factor of all dropout rates */
    int apply_output;    /* outputs are wanted, not only the cost */
    void *out;           /* (n, n_out): the outputs, or NULL */
    void *dx;            /* (n, n_in): dC/dX, or NULL */
} bp_batch;

/* Which rows of the data a call is about, and how many threads it may use. */
typedef struct {
    const bp_data *data;
    const int64_t *index; /* NULL for the first ones */
    int64_t rows;
    int max_threads;
} bp_some;

/* The factor of the rows' weights that makes the cost their weighted mean. */
double bp_weight_scale(const bp_data *data, const bp_rows *rows, int64_t n);

#endif
