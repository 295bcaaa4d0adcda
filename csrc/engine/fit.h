/* The position of a run of training, and a slice of it: batch after batch in one call. */
#ifndef BP_FIT_H
#define BP_FIT_H

#include "engine/net.h"
#include "engine/plan.h"
#include "engine/shards.h"

struct bp_fit {
    bp_net *net;
    bp_data data;
    const int64_t *picked; /* which rows of the data, or NULL: all; the caller's */
    int64_t rows;          /* how many */
    int64_t batch_size, n_batches;
    int64_t first_batch, end_batch; /* whose rows the data hold; all, or those of a window */
    int shuffle;
    uint64_t shuffle_seed;
    int64_t *index; /* this epoch's order of the rows; NULL without shuffling */
    int64_t epoch, batch;
    double cost_sum, cost_weight; /* of this epoch's batches: cost times weight, and weight */
    void *backup;                 /* what training changes, at the start of this epoch */
    int64_t backup_step;
    bp_shards shards;
};

/* What one call of bp_fit_run may do, and what it has done; member 0 of the team writes it. */
typedef struct {
    bp_fit *fit;
    bp_optimizer *optimizer;
    const bp_rates *rates;        /* of each batch that it may do; NULL: the optimizer's */
    int64_t max_batches, batches; /* that it may do, and has done */
    int has_one_decay;            /* all rates have the same weight decay; 0 if that is not known */
    int64_t epochs, completed;
    int max_threads;
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

/* Whether nothing is left to do, or a batch has failed. */
int bp_slice_is_over(const bp_slice *s);

/* Whether another batch follows in this turn; begins its epoch if it is the first of one. Member 0.
 */
int bp_slice_goes_on(bp_slice *s);

/* Whether the time of the turn is up; then it stays up until the next turn begins. The clock is
 * read about once a millisecond. Member 0. */
int bp_slice_time_is_up(bp_slice *s);

/* The rows of a batch of this epoch; `step` is that of its update, and `dropout` the factor. */
bp_batch bp_fit_batch(const bp_fit *fit, int64_t batch, int64_t step, double dropout);

/* The rates of the coming batch. */
bp_rates bp_slice_rates(const bp_slice *s);

/* Counts a batch whose update is done. Member 0. */
void bp_slice_count_batch(bp_slice *s, double cost, const bp_batch *batch);

#endif
