#include "internal.h"

#include <math.h>
#include <string.h>

#include "batch.h"
#include "clock.h"
#include "optim.h"
#include "rng.h"
#include "thread_plan.h"

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

/* ---- the position of a run ---- */

int bp_fit_create(bp_net *net, const bp_data *data, int64_t batch_size, int shuffle, bp_fit **out) {
    const size_t size = net->dtype == BP_FLOAT32 ? sizeof(float) : sizeof(double);
    *out = NULL;
    if (batch_size < 1 || (shuffle && data->x.rows > UINT32_MAX) ||
        bp_data_check(net, data, 1) != BP_OK)
        return BP_ERR_ARGUMENT;
    bp_fit *fit = bp_alloc(1, sizeof *fit);
    if (!fit) return BP_ERR_MEMORY;
    const int64_t rows = data->x.rows;
    fit->net = net;
    fit->data = *data;
    fit->batch_size = batch_size < rows ? batch_size : rows;
    fit->n_batches = (rows - 1) / fit->batch_size + 1;
    fit->shuffle = shuffle;
    fit->backup = bp_alloc_scratch(net->n_parameters, size); /* written as each epoch begins */
    if (shuffle) fit->index = bp_alloc(rows, sizeof *fit->index);
    if (!fit->backup || (shuffle && !fit->index)) {
        bp_fit_destroy(fit);
        return BP_ERR_MEMORY;
    }
    *out = fit;
    return BP_OK;
}

void bp_fit_destroy(bp_fit *fit) {
    if (!fit) return;
    bp_free(fit->index);
    bp_free(fit->backup);
    bp_free(fit);
}

/* Bytes of a vector as long as the parameters. */
static size_t vector_bytes(const bp_net *net) {
    const size_t size = net->dtype == BP_FLOAT32 ? sizeof(float) : sizeof(double);
    return (size_t)net->n_parameters * size;
}

/* All but the parameters' copy, which the members of a team share. */
static void begin_epoch(bp_fit *fit) {
    const bp_net *net = fit->net;
    fit->backup_step = net->steps;
    fit->cost_sum = 0.0;
    fit->cost_weight = 0.0;
    if (fit->shuffle)
        bp_random_permutation(net->seed, (uint64_t)net->epochs, fit->data.x.rows, fit->index);
}

int bp_fit_resume(bp_fit *fit, const bp_fit_state *state) {
    bp_net *net = fit->net;
    const int64_t batch = state->batch;
    if (fit->epoch > 0 || fit->batch > 0 || state->epoch < 0 || batch < 0 ||
        batch >= fit->n_batches || (batch > 0 && !state->start))
        return BP_ERR_ARGUMENT;
    int status = bp_net_enter(net);
    if (status != BP_OK) return status;
    if (net->steps < batch) {
        status = BP_ERR_ARGUMENT;
    } else {
        fit->epoch = state->epoch;
        fit->batch = batch;
    }
    if (status == BP_OK && batch > 0) { /* otherwise the next batch begins its epoch itself */
        begin_epoch(fit);
        memcpy(fit->backup, state->start, vector_bytes(net));
        fit->backup_step = net->steps - batch;
        fit->cost_sum = state->cost_sum;
        fit->cost_weight = state->cost_weight;
    }
    bp_net_leave(net);
    return status;
}

/* Back to the start of the epoch, whose end was not finite. */
static void restore_epoch(bp_fit *fit) {
    bp_net *net = fit->net;
    memcpy(net->parameters, fit->backup, vector_bytes(net));
    net->packed_stale = 1;
    net->steps = fit->backup_step;
}

/* The rows of the coming batch. */
static bp_batch next_batch(const bp_fit *fit) {
    const int64_t first = fit->batch * fit->batch_size, left = fit->data.x.rows - first;
    bp_batch batch = {
        .data = &fit->data,
        .rows = {fit->index, first},
        .n = left < fit->batch_size ? left : fit->batch_size,
        .dropout = 1,
    };
    batch.weight_scale = bp_weight_scale(&fit->data, &batch.rows, batch.n);
    return batch;
}

/* ---- a slice of a run ---- */

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
} slice;

enum { CLOCK_INTERVAL_NS = 1000000 }; /* how often the clock is worth reading */

/* A turn with one number of threads: at least a batch, and at most so long. Gives when it began. */
static int64_t begin_turn(slice *s, int64_t max_ns) {
    const int64_t now = bp_clock_ns();
    s->turn_end = s->deadline - now > max_ns ? now + max_ns : s->deadline;
    s->checked = now;
    s->until_check = s->every = 1; /* this number of threads may be far slower */
    return now;
}

/* Whether the time is up. The clock is read about once a millisecond, however short a batch is. */
static int time_is_up(slice *s) {
    if (s->until_check-- > 0) return 0;
    const int64_t now = bp_clock_ns(), passed = now - s->checked;
    if (passed < CLOCK_INTERVAL_NS / 2)
        s->every = s->every < 1024 ? 2 * s->every : s->every;
    else if (passed > CLOCK_INTERVAL_NS)
        s->every = s->every > 1 ? s->every / 2 : 1;
    s->checked = now;
    s->until_check = s->every - 1;
    s->finished = now >= s->deadline;
    return now >= s->turn_end;
}

/* Sets up the coming batch, or stops. Member 0. */
static void plan_next(slice *s, bp_batch *batch, bp_update *update) {
    bp_fit *fit = s->fit;
    s->finished =
        s->status != BP_OK || s->completed == s->epochs || (s->lr && s->lr_used == s->n_lr);
    s->stop = s->finished || time_is_up(s);
    if (s->stop) return;
    if (fit->batch == 0) begin_epoch(fit);
    *batch = next_batch(fit);
    *update = bp_optimizer_resolve(s->optimizer, s->lr ? s->lr[s->lr_used++] : s->optimizer->lr);
}

/* Counts a batch whose update is done. Member 0. */
static void count_batch(slice *s, double cost, const bp_batch *batch) {
    bp_fit *fit = s->fit;
    /* A batch counts by its sum of weights, which is its rows where none are given. */
    const double weight = !fit->data.sample_weight    ? (double)batch->n
                          : batch->weight_scale > 0.0 ? 1.0 / batch->weight_scale
                                                      : 0.0;
    fit->cost_sum += cost * weight;
    fit->cost_weight += weight;
    s->rows += batch->n;
    s->optimizer->step++;
    fit->net->steps++;
    if (++fit->batch < fit->n_batches) return;
    s->costs[s->completed++] = fit->cost_sum / fit->cost_weight;
    fit->batch = 0;
    fit->epoch++;
    fit->net->epochs++;
}

#define real float
#define BP_T(name) name##_f32
#include "train.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "train.inc.h"
#undef real
#undef BP_T

int bp_fit_run(bp_fit *fit, bp_optimizer *optimizer, const double *lr, int64_t n_lr, int64_t epochs,
               int64_t max_ns, double *costs, bp_fit_state *state) {
    if (epochs < 0 || max_ns < 0 || (lr && n_lr < 0) || bp_optimizer_check(optimizer) != BP_OK)
        return BP_ERR_ARGUMENT;
    const int64_t now = bp_clock_ns();
    slice s = {
        .fit = fit,
        .optimizer = optimizer,
        .lr = lr,
        .n_lr = n_lr,
        .epochs = epochs,
        .deadline = max_ns > INT64_MAX - now ? INT64_MAX : now + max_ns,
        .costs = costs,
    };
    int status = bp_net_enter(fit->net);
    if (status != BP_OK) return status;
    status = BP_TYPED(fit->net->dtype, fit_slice, &s);
    *state = (bp_fit_state){
        .epoch = fit->epoch,
        .batch = fit->batch,
        .n_batches = fit->n_batches,
        .completed = s.completed,
        .cost = fit->cost_weight > 0.0 ? fit->cost_sum / fit->cost_weight : 0.0,
        .cost_sum = fit->cost_sum,
        .cost_weight = fit->cost_weight,
        .start = fit->backup,
    };
    if (status == BP_ERR_NOT_FINITE) {
        restore_epoch(fit);
        fit->batch = 0;
    }
    bp_net_leave(fit->net);
    return status;
}

int bp_net_step(bp_net *net, const bp_data *data, bp_optimizer *optimizer, double *cost) {
    int status = bp_data_check(net, data, 1);
    if (status != BP_OK) return status;
    if (bp_optimizer_check(optimizer) != BP_OK) return BP_ERR_ARGUMENT;
    status = bp_net_enter(net);
    if (status != BP_OK) return status;
    status = BP_TYPED(net->dtype, single_step, net, data, optimizer, cost);
    bp_net_leave(net);
    return status;
}

int bp_net_dropout_mask(bp_net *net, int32_t layer, int64_t rows, uint8_t *mask) {
    if (layer < 0 || layer >= net->n_layers - 1 || rows < 0) return BP_ERR_ARGUMENT;
    int status = bp_net_enter(net);
    if (status != BP_OK) return status;
    bp_dropout_mask(net->seed, net->steps, layer, net->layers[layer].dropout, 0,
                    rows * net->layers[layer].n_out, mask);
    bp_net_leave(net);
    return BP_OK;
}
