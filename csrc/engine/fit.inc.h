/* Training: batch after batch of a slice, and single steps. */

typedef struct {
    bp_job job;
    bp_plan whole; /* for a batch of batch_size rows */
    bp_plan rest;  /* for the shorter batch at the end of an epoch */
    bp_slice *slice;
    atomic_int broken; /* parameters that are not finite have been found */
} training;

/* This member's share of the parameters, in whole cache lines. */
static void share_of_parameters(const bp_net *net, int member, int members, int64_t *begin,
                                int64_t *end) {
    bp_share(net->n_parameters, BP_ALIGNMENT / (int64_t)sizeof(real), member, members, begin, end);
}

/* Keeps the parameters as they are before the first batch of an epoch. All members; the batch
 * syncs before it updates any. */
static void keep_parameters(const bp_fit *fit, int member, int members) {
    int64_t begin, end;
    share_of_parameters(fit->net, member, members, &begin, &end);
    memcpy((real *)fit->backup + begin, (const real *)fit->net->parameters + begin,
           (size_t)(end - begin) * sizeof(real));
}

static int all_finite(int64_t n, const real *values) {
    int bad = 0;
    for (int64_t i = 0; i < n; i++)
        bad |= !isfinite(values[i]);
    return !bad;
}

/* Notes if the last update of an epoch left parameters that are not finite, which no cost of this
 * epoch would show. All members; syncs. */
static void check_parameters(training *t, bp_team *team, int member, int members) {
    const bp_net *net = t->slice->fit->net;
    int64_t begin, end;
    share_of_parameters(net, member, members, &begin, &end);
    if (!all_finite(end - begin, (const real *)net->parameters + begin))
        atomic_store_explicit(&t->broken, 1, memory_order_relaxed);
    bp_sync(team, member, members);
}

/* Batch after batch until bp_slice_plan_next stops; the team function of bp_fit_run. */
static void train_team(void *context, bp_team *team, int member, int members) {
    training *t = context;
    bp_slice *s = t->slice;
    batch_pack(&t->job, team, member, members);
    bp_sync(team, member, members); /* packing reads the batch that member 0 is about to plan */
    for (;;) {
        if (member == 0) {
            bp_slice_plan_next(s, &t->job.batch, &t->job.update);
            t->job.plan = t->job.batch.n < s->fit->batch_size ? t->rest : t->whole;
            atomic_store_explicit(&t->job.next, 0, memory_order_relaxed);
        }
        bp_sync(team, member, members);
        if (s->stop) return;
        const int last = s->fit->batch + 1 == s->fit->n_batches;
        if (s->fit->batch == 0) keep_parameters(s->fit, member, members);
        batch_run(&t->job, team, member, members);
        const double cost = batch_cost(&t->job);
        if (t->job.user_status != BP_OK || !isfinite(cost)) {
            if (member == 0)
                s->status = t->job.user_status != BP_OK ? t->job.user_status : BP_ERR_NOT_FINITE;
            return;
        }
        if (!t->job.plan.fused) batch_update(&t->job, team, member, members);
        bp_sync(team, member, members);
        if (last) check_parameters(t, team, member, members);
        if (member > 0) continue;
        if (atomic_load_explicit(&t->broken, memory_order_relaxed))
            s->status = BP_ERR_NOT_FINITE;
        else
            bp_slice_count_batch(s, cost, &t->job.batch);
    }
}

static int fit_slice(bp_slice *s) {
    bp_net *net = s->fit->net;
    const int64_t batch = s->fit->batch_size, short_batch = (s->fit->data.x.rows - 1) % batch + 1;
    const bp_plan whole = bp_plan_step(net, batch, s->optimizer);
    const bp_plan rest = bp_plan_step(net, short_batch, s->optimizer);
    bp_workspace *ws = workspace_reserve(net, &whole, BP_PASS_BACKWARD);
    if (ws) ws = workspace_reserve(net, &rest, BP_PASS_BACKWARD);
    if (!ws) return BP_ERR_MEMORY;
    training t = {
        .job =
            {
                .net = net,
                .workspace = ws,
                .want = BP_WANT_GRADIENT,
                .gradient = ws->gradients,
                .optimizer = s->optimizer,
            },
        .whole = whole,
        .rest = rest,
        .slice = s,
    };
    while (!s->finished) {
        const int threads = bp_trial_threads(&net->trial, batch, whole.threads);
        const int64_t rows = s->rows, began = bp_slice_begin_turn(s, bp_trial_left(&net->trial));
        bp_pool_run(threads, train_team, &t);
        s->finished |= s->status != BP_OK;
        bp_trial_record(&net->trial, s->rows - rows, bp_clock_ns() - began);
    }
    return s->status;
}

typedef struct {
    bp_job job;
    double cost;
} one_step;

/* One batch and its update, unless its cost is not finite; the team function of bp_net_step. */
static void step_team(void *context, bp_team *team, int member, int members) {
    one_step *one = context;
    batch_pack(&one->job, team, member, members);
    batch_run(&one->job, team, member, members);
    if (one->job.user_status != BP_OK) return;
    const double cost = batch_cost(&one->job);
    if (member == 0) one->cost = cost;
    if (isfinite(cost) && !one->job.plan.fused) batch_update(&one->job, team, member, members);
}

static int single_step(bp_net *net, const bp_data *data, bp_optimizer *optimizer, double *cost) {
    const bp_plan plan = bp_plan_step(net, data->x.rows, optimizer);
    bp_workspace *ws = workspace_reserve(net, &plan, BP_PASS_BACKWARD);
    if (!ws) return BP_ERR_MEMORY;
    const bp_rows all = {NULL, 0};
    one_step one = {
        .job =
            {
                .net = net,
                .workspace = ws,
                .plan = plan,
                .want = BP_WANT_GRADIENT,
                .gradient = ws->gradients,
                .optimizer = optimizer,
                .update = bp_optimizer_resolve(optimizer, optimizer->lr),
            },
    };
    one.job.batch = (bp_batch){
        .data = data,
        .rows = all,
        .n = data->x.rows,
        .weight_scale = bp_weight_scale(data, &all, data->x.rows),
        .dropout = 1,
    };
    const int threads = bp_trial_threads(&net->trial, data->x.rows, plan.threads);
    const int64_t began = plan.threads > 1 ? bp_clock_ns() : 0;
    bp_run_work(threads, plan.flops, step_team, &one);
    if (plan.threads > 1) bp_trial_record(&net->trial, data->x.rows, bp_clock_ns() - began);
    if (one.job.user_status != BP_OK) return one.job.user_status;
    *cost = one.cost;
    if (isfinite(*cost)) {
        optimizer->step++;
        net->steps++;
    }
    return BP_OK;
}
