/* The position of a run of training, and a slice of it: batch after batch in one call. */
#ifndef BP_FIT_H
#define BP_FIT_H

#include "engine/net.h"
#include "engine/plan.h"

struct bp_fit {
    bp_net *net;
    bp_data data;
    int64_t batch_size, n_batches;
    int shuffle;
    int64_t *index; /* this epoch's order of the rows; NULL without shuffling */
    int64_t epoch, batch;
    double cost_sum, cost_weight; /* of this epoch's batches: cost times weight, and weight */
    void *backup;                 /* the parameters at the start of this epoch */
    int64_t backup_step;
};

/* What one call of bp_fit_run may do, and what it has done; member 0 of the team writes it. */
typedef struct {
    bp_fit *fit;
    bp_optimizer *optimizer;
    const double *lr;
    int64_t n_lr, lr_used;
    int64_t epochs, completed;
    int64_t deadline, turn_end;          /* on the monotonic clock, in ns */
    int64_t checked, until_check, every; /* when the clock was read, and when it will be */
    int64_t rows;                        /* that were trained on */
    double *costs;
    int stop, finished, status; /* stop: this turn; finished: the slice */
} bp_slice;

/* Begins an epoch: its order of the rows and its sums, but not its copy of the parameters, which
 * the members of a team make together. */
void bp_fit_begin_epoch(bp_fit *fit);

/* Begins a turn: work with one number of threads, for at least one batch and at most max_ns.
 * Returns the time at which it begins. */
int64_t bp_slice_begin_turn(bp_slice *s, int64_t max_ns);

/* Sets up the coming batch, or stops. Member 0. */
void bp_slice_plan_next(bp_slice *s, bp_batch *batch, bp_update *update);

/* Counts a batch whose update is done. Member 0. */
void bp_slice_count_batch(bp_slice *s, double cost, const bp_batch *batch);

#endif
