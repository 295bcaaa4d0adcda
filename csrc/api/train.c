/* The public functions for training: runs in slices, single steps, dropout masks. */
#include <string.h>

#include "api/guard.h"
#include "engine/doors.h"
#include "engine/fit.h"
#include "engine/optim.h"
#include "system/clock.h"
#include "system/rng.h"

int bp_fit_create(bp_net *net, const bp_data *data, int64_t batch_size, int shuffle, bp_fit **out) {
    const size_t size = bp_element_size(net->dtype);
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
    return (size_t)net->n_parameters * bp_element_size(net->dtype);
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
        memcpy(fit->backup, state->start, vector_bytes(net));
        fit->backup_step = net->steps - batch;
        fit->cost_sum = state->cost_sum;
        fit->cost_weight = state->cost_weight;
    }
    bp_net_leave(net);
    return status;
}

/* Goes back to the start of an epoch whose end was not finite. */
static void restore_epoch(bp_fit *fit) {
    bp_net *net = fit->net;
    memcpy(net->parameters, fit->backup, vector_bytes(net));
    net->packed_stale = 1;
    net->steps = fit->backup_step;
}

int bp_fit_run(bp_fit *fit, bp_optimizer *optimizer, const double *lr, int64_t n_lr, int64_t epochs,
               int64_t max_ns, double *costs, bp_fit_state *state) {
    const bp_net *net = fit->net;
    if (epochs < 0 || max_ns < 0 || (lr && n_lr < 0) ||
        bp_optimizer_check(optimizer, net->dtype, net->n_parameters) != BP_OK)
        return BP_ERR_ARGUMENT;
    const int64_t now = bp_clock_ns();
    bp_slice s = {
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
    status = bp_engine_of(net->dtype)->fit_slice(&s);
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
    if (bp_optimizer_check(optimizer, net->dtype, net->n_parameters) != BP_OK)
        return BP_ERR_ARGUMENT;
    status = bp_net_enter(net);
    if (status != BP_OK) return status;
    status = bp_engine_of(net->dtype)->single_step(net, data, optimizer, cost);
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
