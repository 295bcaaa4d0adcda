/* The public functions for training: runs in slices, single steps, dropout masks. */
#include <string.h>

#include "api/guard.h"
#include "engine/doors.h"
#include "engine/finish.h"
#include "engine/fit.h"
#include "engine/optim.h"
#include "system/clock.h"
#include "system/rng.h"

int bp_fit_create(bp_net *net, const bp_data *data, int64_t batch_size, int shuffle, bp_fit **out) {
    return bp_fit_create_rows(net, data, NULL, data->x.rows, batch_size, shuffle, net->seed, out);
}

int bp_fit_create_rows(bp_net *net, const bp_data *data, const int64_t *index, int64_t rows,
                       int64_t batch_size, int shuffle, uint64_t shuffle_seed, bp_fit **out) {
    const size_t size = bp_element_size(net->dtype);
    *out = NULL;
    if (batch_size < 1 || (shuffle && rows > UINT32_MAX) || bp_data_check(net, data, 1) != BP_OK ||
        bp_rows_check(data, index, rows) != BP_OK)
        return BP_ERR_ARGUMENT;
    bp_fit *fit = bp_alloc(1, sizeof *fit);
    if (!fit) return BP_ERR_MEMORY;
    fit->net = net;
    fit->data = *data;
    fit->picked = index;
    fit->rows = rows;
    fit->shuffle_seed = shuffle_seed;
    fit->batch_size = batch_size < rows ? batch_size : rows;
    fit->n_batches = fit->end_batch = (rows - 1) / fit->batch_size + 1;
    fit->shuffle = shuffle;
    fit->backup = bp_alloc_scratch(bp_net_trained(net), size); /* written as each epoch begins */
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
    bp_free(fit->shards.sums);
    bp_free(fit->index);
    bp_free(fit->backup);
    bp_free(fit);
}

int bp_fit_resume(bp_fit *fit, const bp_fit_state *state) {
    bp_net *net = fit->net;
    const int64_t batch = state->batch;
    if (fit->epoch > 0 || fit->batch > 0 || state->epoch < 0 || state->epoch > BP_MAX_COUNT ||
        batch < 0 || batch >= fit->n_batches || (batch > 0 && !state->start))
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
        bp_fit_begin_epoch(fit);
        const size_t size = bp_element_size(net->dtype);
        memcpy(fit->backup, state->start, (size_t)bp_net_trained(net) * size);
        fit->backup_step = net->steps - batch;
        fit->cost_sum = state->cost_sum;
        fit->cost_weight = state->cost_weight;
    }
    bp_net_leave(net);
    return status;
}

int bp_fit_set_window(bp_fit *fit, const bp_data *data, int64_t first_batch, int64_t rows) {
    const int64_t size = fit->batch_size, n_batches = (rows - 1) / size + 1;
    if (fit->shuffle || fit->picked || bp_data_check(fit->net, data, 1) != BP_OK || rows < 1 ||
        first_batch < 0 || first_batch >= n_batches || fit->batch >= n_batches)
        return BP_ERR_ARGUMENT;
    const int64_t left = rows - first_batch * size, held = data->x.rows;
    if (held > left || (held < left && held % size != 0)) return BP_ERR_ARGUMENT;
    fit->data = *data;
    fit->rows = rows;
    fit->n_batches = n_batches;
    fit->first_batch = first_batch;
    fit->end_batch = first_batch + (held - 1) / size + 1;
    return BP_OK;
}

int bp_fit_set_shards(bp_fit *fit, int32_t shards, int32_t first, int32_t count, uint16_t *errors,
                      bp_reduce_fn reduce, void *user) {
    const bp_net *net = fit->net;
    if (fit->shards.n > 0 || shards < 2 || shards > BP_MAX_SHARDS || (shards & (shards - 1)) ||
        first < 0 || count < 1 || first > shards - count || (!reduce && count < shards) ||
        (errors && net->dtype != BP_FLOAT32))
        return BP_ERR_ARGUMENT;
    bp_shards made = {
        .n = shards,
        .first = first,
        .count = count,
        .errors = errors,
        .reduce = reduce,
        .user = user,
        .stride = bp_round_up(net->n_parameters, BP_ALIGNMENT),
    };
    int64_t entries;
    if (!bp_mul_size(made.stride, bp_shards_depth(made), &entries)) return BP_ERR_MEMORY;
    made.sums = bp_alloc_scratch(entries, bp_element_size(net->dtype));
    if (!made.sums) return BP_ERR_MEMORY;
    fit->shards = made;
    return BP_OK;
}

int bp_fit_run(bp_fit *fit, bp_optimizer *optimizer, const bp_rates *rates, int64_t n_rates,
               int64_t epochs, int64_t max_ns, double *costs, bp_fit_state *state) {
    const bp_net *net = fit->net;
    if (epochs < 0 || max_ns < 0 || (rates && n_rates < 0) ||
        bp_optimizer_check(optimizer, net->dtype, bp_net_trained(net)) != BP_OK)
        return BP_ERR_ARGUMENT;
    const int64_t now = bp_clock_ns();
    bp_slice s = {
        .fit = fit,
        .optimizer = optimizer,
        .rates = rates,
        .max_batches = rates ? n_rates : INT64_MAX,
        .epochs = epochs,
        .max_threads = BP_MAX_THREADS,
        .deadline = bp_clock_after(now, max_ns),
        .costs = costs,
    };
    int status = bp_net_enter(fit->net);
    if (status != BP_OK) return status;
    status = bp_engine_of(net->dtype)->fit_slice(&s);
    bp_slice_end(&s, state);
    bp_net_leave(fit->net);
    return status;
}

static int is_factor(double x) {
    return x >= 0.0 && x <= 1.0;
}

int bp_net_step(bp_net *net, const bp_data *data, bp_optimizer *optimizer, double dropout,
                double *cost) {
    int status = bp_data_check(net, data, 1);
    if (status != BP_OK) return status;
    if (!is_factor(dropout) ||
        bp_optimizer_check(optimizer, net->dtype, bp_net_trained(net)) != BP_OK)
        return BP_ERR_ARGUMENT;
    status = bp_net_enter(net);
    if (status != BP_OK) return status;
    status = bp_engine_of(net->dtype)->single_step(net, data, optimizer, dropout, cost);
    bp_net_leave(net);
    return status;
}

int bp_net_dropout_mask(bp_net *net, int32_t layer, int64_t rows, double dropout, uint8_t *mask) {
    if (layer < 0 || layer >= net->n_layers - 1 || rows < 0 || !is_factor(dropout))
        return BP_ERR_ARGUMENT;
    int status = bp_net_enter(net);
    if (status != BP_OK) return status;
    bp_dropout_mask(net->seed, net->steps, layer, dropout * net->layers[layer].dropout, 0,
                    rows * net->layers[layer].n_out, mask);
    bp_net_leave(net);
    return BP_OK;
}
