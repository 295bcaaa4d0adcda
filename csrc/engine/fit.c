/* The position of a run of training, and when a slice of it ends. */
#include "engine/fit.h"

#include "engine/optim.h"
#include "system/clock.h"
#include "system/rng.h"

void bp_fit_begin_epoch(bp_fit *fit) {
    const bp_net *net = fit->net;
    fit->backup_step = net->steps;
    fit->cost_sum = 0.0;
    fit->cost_weight = 0.0;
    if (fit->shuffle)
        bp_random_permutation(net->seed, (uint64_t)net->epochs, fit->data.x.rows, fit->index);
}

/* The rows of the coming batch. */
static bp_batch next_batch(const bp_fit *fit) {
    const int64_t first = fit->batch * fit->batch_size, remaining = fit->data.x.rows - first;
    bp_batch batch = {
        .data = &fit->data,
        .rows = {fit->index, first},
        .n = remaining < fit->batch_size ? remaining : fit->batch_size,
        .dropout = 1,
    };
    batch.weight_scale = bp_weight_scale(&fit->data, &batch.rows, batch.n);
    return batch;
}

enum { CLOCK_INTERVAL_NS = 1000000 }; /* how often the clock is worth reading */

int64_t bp_slice_begin_turn(bp_slice *s, int64_t max_ns) {
    const int64_t now = bp_clock_ns();
    s->turn_end = s->deadline - now > max_ns ? now + max_ns : s->deadline;
    s->checked = now;
    s->until_check = s->every = 1; /* this number of threads may be far slower */
    return now;
}

/* Whether the time is up. The clock is read about once a millisecond, however short a batch is. */
static int time_is_up(bp_slice *s) {
    if (s->until_check-- > 0) return 0;
    const int64_t now = bp_clock_ns(), elapsed = now - s->checked;
    if (elapsed < CLOCK_INTERVAL_NS / 2)
        s->every = s->every < 1024 ? 2 * s->every : s->every;
    else if (elapsed > CLOCK_INTERVAL_NS)
        s->every = s->every > 1 ? s->every / 2 : 1;
    s->checked = now;
    s->until_check = s->every - 1;
    s->finished = now >= s->deadline;
    return now >= s->turn_end;
}

void bp_slice_plan_next(bp_slice *s, bp_batch *batch, bp_update *update) {
    bp_fit *fit = s->fit;
    s->finished =
        s->status != BP_OK || s->completed == s->epochs || (s->lr && s->lr_used == s->n_lr);
    s->stop = s->finished || time_is_up(s);
    if (s->stop) return;
    if (fit->batch == 0) bp_fit_begin_epoch(fit);
    *batch = next_batch(fit);
    *update = bp_optimizer_resolve(s->optimizer, s->lr ? s->lr[s->lr_used++] : s->optimizer->lr);
}

void bp_slice_count_batch(bp_slice *s, double cost, const bp_batch *batch) {
    bp_fit *fit = s->fit;
    /* A batch is weighted by its sum of weights, or by its number of rows if none are given. */
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
