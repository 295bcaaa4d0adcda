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
    if (!fit->shuffle) return;
    bp_random_permutation(fit->shuffle_seed, (uint64_t)net->epochs, fit->rows, fit->index);
    for (int64_t i = 0; fit->picked && i < fit->rows; i++)
        fit->index[i] = fit->picked[fit->index[i]];
}

bp_batch bp_fit_batch(const bp_fit *fit, int64_t batch, int64_t step, double dropout) {
    const int64_t remaining = fit->rows - batch * fit->batch_size;
    const int64_t first = (batch - fit->first_batch) * fit->batch_size;
    bp_batch b = {
        .data = &fit->data,
        .rows = {fit->shuffle ? fit->index : fit->picked, first},
        .n = remaining < fit->batch_size ? remaining : fit->batch_size,
        .updates = 1,
        .step = step,
        .dropout = dropout,
    };
    b.weight_scale = bp_weight_scale(&fit->data, &b.rows, b.n);
    return b;
}

enum { CLOCK_INTERVAL_NS = 1000000 }; /* how often the clock is worth reading */

int64_t bp_slice_begin_turn(bp_slice *s, int64_t max_ns) {
    const int64_t now = bp_clock_ns();
    s->turn_end = s->deadline - now > max_ns ? now + max_ns : s->deadline;
    s->checked = now;
    s->until_check = s->every = 1; /* this number of threads may be far slower */
    return now;
}

int bp_slice_time_is_up(bp_slice *s) {
    if (s->until_check-- > 0) return 0;
    const int64_t now = bp_clock_ns(), elapsed = now - s->checked;
    if (elapsed < CLOCK_INTERVAL_NS / 2)
        s->every = s->every < 1024 ? 2 * s->every : s->every;
    else if (elapsed > CLOCK_INTERVAL_NS)
        s->every = s->every > 1 ? s->every / 2 : 1;
    const int is_up = now >= s->turn_end;
    s->checked = now;
    s->until_check = is_up ? 0 : s->every - 1; /* the turn is over, whoever asks again */
    s->finished = now >= s->deadline;
    return is_up;
}

int bp_slice_is_over(const bp_slice *s) {
    const bp_fit *fit = s->fit;
    return s->status != BP_OK || s->completed == s->epochs || s->batches == s->max_batches ||
           fit->batch < fit->first_batch || fit->batch >= fit->end_batch;
}

int bp_slice_goes_on(bp_slice *s) {
    s->finished = bp_slice_is_over(s);
    s->stop = s->finished || bp_slice_time_is_up(s);
    if (!s->stop && s->fit->batch == 0) bp_fit_begin_epoch(s->fit);
    return !s->stop;
}

bp_rates bp_slice_rates(const bp_slice *s) {
    return s->rates ? s->rates[s->batches] : bp_optimizer_rates(s->optimizer);
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
    s->batches++;
    s->optimizer->step++;
    fit->net->steps++;
    if (++fit->batch < fit->n_batches) return;
    s->costs[s->completed++] = fit->cost_sum / fit->cost_weight;
    fit->batch = 0;
    fit->epoch++;
    fit->net->epochs++;
}
