/* The public functions that work on many networks side by side. */
#include "engine/many.h"

#include "api/guard.h"
#include "engine/doors.h"
#include "engine/optim.h"

static void leave_all(const bp_errand *errands, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        bp_net_leave(errands[i].net);
}

/* Takes all networks for this thread and does the errands; the caller then leaves the networks. If
 * that fails, *blamed is the errand that cannot be done, and the networks have been left. */
static int run_all(bp_errand *errands, int64_t n, const bp_errand_kind *kind, int64_t max_ns,
                   int64_t *blamed) {
    for (int64_t i = 0; i < n; i++) {
        const int status = bp_net_enter(errands[i].net);
        if (status == BP_OK) continue;
        leave_all(errands, i);
        *blamed = i;
        return status;
    }
    const int status = bp_many_run(errands, n, kind, max_ns, blamed);
    if (status != BP_OK) leave_all(errands, n);
    return status;
}

/* ---- training ---- */

static int fit_task_is_valid(const bp_fit_task *task) {
    const bp_fit *fit = task->fit;
    const bp_net *net = fit->net;
    const int has_all_rows = fit->first_batch == 0 && fit->end_batch == fit->n_batches;
    return task->epochs >= 0 && fit->shards.n == 0 && has_all_rows &&
           !(task->rates && task->n_rates < 0) &&
           bp_optimizer_check(task->optimizer, net->dtype, bp_net_trained(net)) == BP_OK;
}

/* Frees the workspaces of a network that is left alone: it may not be trained again, and then each
 * network that ends would keep one. */
static void tidy(bp_net *net) {
    if (bp_net_enter(net) != BP_OK) return;
    for (int flags = 0; flags < BP_PASS_COUNT; flags++)
        bp_engine_of(net->dtype)->workspace_release(net, flags);
    bp_net_leave(net);
}

int bp_fit_run_many(bp_fit_task *tasks, int64_t n, int64_t max_ns) {
    int64_t count = 0, blamed = 0;
    if (n < 0 || max_ns < 0) return BP_ERR_ARGUMENT;
    for (int64_t i = 0; i < n; i++) {
        const int is_valid = tasks[i].epochs == 0 || fit_task_is_valid(&tasks[i]);
        tasks[i].status = is_valid ? BP_OK : BP_ERR_ARGUMENT;
        if (tasks[i].status != BP_OK) return BP_ERR_ARGUMENT;
        tasks[i].batches = tasks[i].ns = 0;
        tasks[i].lanes = 1;
        count += tasks[i].epochs > 0;
    }
    if (count == 0) return BP_OK;
    bp_errand *errands = bp_alloc(count, sizeof *errands);
    if (!errands) return BP_ERR_MEMORY;
    for (int64_t i = 0, at = 0; i < n; i++) {
        if (tasks[i].epochs > 0)
            bp_errand_begin_fit(&errands[at++], &tasks[i]);
        else
            tidy(tasks[i].fit->net);
    }
    const int status = run_all(errands, count, &bp_fit_errands, max_ns, &blamed);
    if (status == BP_OK) {
        for (int64_t i = 0; i < count; i++)
            bp_errand_end_fit(&errands[i]);
        leave_all(errands, count);
    } else {
        ((bp_fit_task *)errands[blamed].task)->status = status;
    }
    bp_free(errands);
    return status;
}

/* ---- costs ---- */

static int cost_task_is_valid(const bp_cost_task *task) {
    return bp_data_check(task->net, task->data, 1) == BP_OK &&
           bp_rows_check(task->data, task->index, task->rows) == BP_OK;
}

int bp_net_cost_many(bp_cost_task *tasks, int64_t n, int64_t max_ns) {
    int64_t count = 0, blamed = 0;
    if (n < 0 || max_ns < 0) return BP_ERR_ARGUMENT;
    for (int64_t i = 0; i < n; i++) {
        if (tasks[i].is_done) continue;
        if (!tasks[i].is_checked) {
            tasks[i].is_checked = cost_task_is_valid(&tasks[i]);
            tasks[i].status = tasks[i].is_checked ? BP_OK : BP_ERR_ARGUMENT;
            if (tasks[i].status != BP_OK) return BP_ERR_ARGUMENT;
        }
        count++;
    }
    if (count == 0) return BP_OK;
    bp_errand *errands = bp_alloc(count, sizeof *errands);
    if (!errands) return BP_ERR_MEMORY;
    for (int64_t i = 0, at = 0; i < n; i++)
        if (!tasks[i].is_done) bp_errand_begin_cost(&errands[at++], &tasks[i]);
    const int status = run_all(errands, count, &bp_cost_errands, max_ns, &blamed);
    if (status == BP_OK)
        leave_all(errands, count);
    else
        ((bp_cost_task *)errands[blamed].task)->status = status;
    bp_free(errands);
    return status;
}

/* ---- outputs ---- */

static void leave_nets(bp_net *const *nets, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        bp_net_leave(nets[i]);
}

/* Takes all networks for this thread, or none; then *blamed is the one that cannot be taken. */
static int enter_nets(bp_net *const *nets, int64_t n, int64_t *blamed) {
    for (int64_t i = 0; i < n; i++) {
        const int status = bp_net_enter(nets[i]);
        if (status == BP_OK) continue;
        leave_nets(nets, i);
        *blamed = i;
        return status;
    }
    return BP_OK;
}

int bp_net_predict_many(bp_net *const *nets, int64_t n, const bp_matrix *x, void *out,
                        int64_t stride, int64_t *blamed) {
    const bp_data data = {.x = *x};
    *blamed = -1;
    if (n < 1 || bp_data_check(nets[0], &data, 0) != BP_OK ||
        stride / nets[0]->layers[nets[0]->n_layers - 1].n_out < x->rows)
        return BP_ERR_ARGUMENT;
    for (int64_t i = 1; i < n; i++) {
        if (bp_net_is_like(nets[0], nets[i])) continue;
        *blamed = i;
        return BP_ERR_ARGUMENT;
    }
    if (x->rows == 0) return BP_OK;
    int status = enter_nets(nets, n, blamed);
    if (status != BP_OK) return status;
    status = bp_engine_of(nets[0]->dtype)->predict_many(nets, n, &data, out, stride);
    leave_nets(nets, n);
    return status;
}
