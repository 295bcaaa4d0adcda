/* Visits of networks: a slice of training, or a cost. */
#include "engine/errand.h"

#include "engine/doors.h"
#include "engine/finish.h"
#include "system/clock.h"

/* ---- training ---- */

void bp_errand_begin_fit(bp_errand *errand, bp_fit_task *task) {
    const bp_fit *fit = task->fit;
    task->status = BP_OK;
    errand->net = fit->net;
    errand->task = task;
    errand->size[0] = fit->batch_size;
    errand->size[1] = fit->rows % fit->batch_size;
    errand->size[2] = bp_plan_needs_whole(fit->net, task->optimizer);
    errand->slice = (bp_slice){
        .fit = task->fit,
        .optimizer = task->optimizer,
        .rates = task->rates,
        .max_batches = task->rates ? task->n_rates : INT64_MAX,
        .has_one_decay = task->has_one_decay,
        .epochs = task->epochs,
        .max_threads = 1,
        .costs = task->costs,
    };
    errand->flags = bp_engine_of(fit->net->dtype)->fit_flags(&errand->slice);
}

static int reserve_fit(const bp_errand *errand) {
    const bp_engine *engine = bp_engine_of(errand->net->dtype);
    return errand->n_others > 0 ? engine->lanes_reserve(&errand->slice)
                                : engine->fit_reserve(&errand->slice);
}

bp_errand *bp_errand_member(bp_errand *errand, int i) {
    return i == 0 ? errand : &errand->others[i - 1];
}

static bp_lane_group group_of(bp_errand *errand) {
    bp_lane_group group = {.n = errand->n_others + 1};
    for (int i = 0; i < group.n; i++)
        group.slices[i] = &bp_errand_member(errand, i)->slice;
    return group;
}

/* A visit to networks that are trained together, by one thread. */
static void visit_group(bp_errand *errand, int64_t max_ns) {
    const bp_lane_group group = group_of(errand);
    const int64_t began = bp_clock_ns();
    int64_t steps[BP_MAX_LANES];
    for (int i = 0; i < group.n; i++)
        steps[i] = group.slices[i]->fit->net->steps;
    group.slices[0]->deadline = bp_clock_after(began, max_ns);
    bp_engine_of(errand->net->dtype)->lanes_run(&group);
    const int64_t each = (bp_clock_ns() - began) / group.n;
    errand->is_over = 1;
    for (int i = 0; i < group.n; i++) {
        const bp_errand *member = bp_errand_member(errand, i);
        bp_fit_task *task = member->task;
        task->lanes = group.n;
        task->batches += member->net->steps - steps[i];
        task->ns += each;
        errand->is_over &= bp_slice_is_over(&member->slice);
    }
}

static void visit_fit(bp_errand *errand, int max_threads, int64_t max_ns) {
    if (errand->n_others > 0) {
        visit_group(errand, max_ns);
        return;
    }
    const bp_engine *engine = bp_engine_of(errand->net->dtype);
    bp_slice *s = &errand->slice;
    bp_fit_task *task = errand->task;
    const int64_t began = bp_clock_ns(), steps = errand->net->steps;
    s->max_threads = max_threads;
    s->deadline = bp_clock_after(began, max_ns);
    s->stop = s->finished = 0;
    s->status = engine->fit_slice(s);
    if (s->status == BP_ERR_MEMORY && max_threads > 1) {
        s->max_threads = 1;
        s->status = BP_OK; /* or the slice would stop at once */
        s->status = engine->fit_slice(s);
    }
    task->batches += errand->net->steps - steps;
    task->ns += bp_clock_ns() - began;
    errand->is_over = bp_slice_is_over(s);
}

void bp_errand_end_fit(bp_errand *errand) {
    bp_fit_task *task = errand->task;
    task->status = errand->slice.status;
    bp_slice_end(&errand->slice, &task->state);
}

const bp_errand_kind bp_fit_errands = {
    .can_be_grouped = 1, .reserve = reserve_fit, .visit = visit_fit};

/* ---- costs ---- */

static bp_some rows_of(const bp_cost_task *task, int max_threads) {
    return (bp_some){task->data, task->index, task->rows, max_threads};
}

void bp_errand_begin_cost(bp_errand *errand, bp_cost_task *task) {
    task->status = BP_OK;
    errand->net = task->net;
    errand->task = task;
    errand->flags = bp_engine_of(task->net->dtype)->cost_flags(task->net);
    errand->size[0] = task->rows;
}

static int reserve_cost(const bp_errand *errand) {
    const bp_some some = rows_of(errand->task, 1);
    return bp_engine_of(errand->net->dtype)->cost_reserve(errand->net, &some);
}

static void visit_cost(bp_errand *errand, int max_threads, int64_t max_ns) {
    const bp_engine *engine = bp_engine_of(errand->net->dtype);
    bp_cost_task *task = errand->task;
    bp_some some = rows_of(task, max_threads);
    (void)max_ns; /* one cost is not interrupted */
    task->status = engine->cost(errand->net, &some, &task->cost);
    if (task->status == BP_ERR_MEMORY && max_threads > 1) {
        some.max_threads = 1;
        task->status = engine->cost(errand->net, &some, &task->cost);
    }
    task->is_done = errand->is_over = 1;
}

const bp_errand_kind bp_cost_errands = {.reserve = reserve_cost, .visit = visit_cost};
