/* Training as it is asked for: a slice of a run, and single steps. */

/* The plan of a batch of so many rows, for the threads that the slice may use. */
static bp_plan plan_batch(const bp_slice *s, int64_t rows) {
    bp_plan plan = bp_plan_step(s->fit->net, rows, s->fit->batch_size, s->optimizer);
    if (plan.threads > s->max_threads) plan.threads = s->max_threads;
    return plan;
}

/* The plan of the last batch of an epoch. */
static bp_plan plan_rest(const bp_slice *s) {
    return plan_batch(s, (s->fit->rows - 1) % s->fit->batch_size + 1);
}

static int fit_flags(const bp_slice *s) {
    const bp_plan whole = plan_batch(s, s->fit->batch_size);
    return gradient_flags(&whole);
}

/* The workspace for these plans, which must be those that are run: another thread may change the
 * limit of threads between two of them. NULL if there is no memory. */
static bp_workspace *reserve_for(const bp_slice *s, const bp_plan *whole, const bp_plan *rest) {
    bp_net *net = s->fit->net;
    const int flags = gradient_flags(whole);
    bp_workspace *ws = workspace_reserve(net, whole, flags);
    if (ws) ws = workspace_reserve(net, rest, flags);
    if (ws && replicas_reserve(ws, net, whole, s->optimizer)) return ws;
    workspace_release(net, flags);
    return NULL;
}

static int fit_reserve(const bp_slice *s) {
    const bp_plan whole = plan_batch(s, s->fit->batch_size), rest = plan_rest(s);
    return reserve_for(s, &whole, &rest) ? BP_OK : BP_ERR_MEMORY;
}

/* Turn by turn, each with as many threads as are fastest. */
static int run_turns(bp_slice *s, int most, bp_team_fn one, bp_team_fn several, void *context) {
    bp_net *net = s->fit->net;
    while (!s->finished) {
        const int threads = bp_trial_threads(&net->trial, s->fit->batch_size, most);
        const int64_t rows = s->rows, began = bp_slice_begin_turn(s, bp_trial_left(&net->trial));
        bp_pool_run(threads, threads > 1 ? several : one, context);
        s->finished |= s->status != BP_OK;
        bp_trial_record(&net->trial, s->rows - rows, bp_clock_ns() - began);
    }
    return s->status;
}

static int slice_of_batches(bp_slice *s) {
    bp_net *net = s->fit->net;
    const bp_plan whole = plan_batch(s, s->fit->batch_size), rest = plan_rest(s);
    bp_workspace *ws = reserve_for(s, &whole, &rest);
    if (!ws) return BP_ERR_MEMORY;
    training t = {
        .job = job_make(net, ws, &whole, BP_WANT_GRADIENT),
        .whole = whole,
        .rest = rest,
        .slice = s,
    };
    t.job.optimizer = s->optimizer;
    if (!bp_plan_packs(&whole)) net->packed_stale = 1;
    const bp_team_fn several = trains_replicas(net, &whole) ? train_replicas : train_team;
    return run_turns(s, whole.threads, train_team, several, &t);
}

static int slice_of_shards(bp_slice *s) {
    bp_net *net = s->fit->net;
    sharded_training t = {.training = {.slice = s}};
    plan_shards(&t);
    bp_workspace *ws = reserve_for_shards(&t);
    if (!ws) return BP_ERR_MEMORY;
    const bp_plan whole = t.shapes[0].plan;
    t.training.job = job_make(net, ws, &whole, BP_WANT_GRADIENT);
    t.training.job.optimizer = s->optimizer;
    if (!bp_plan_packs(&whole)) net->packed_stale = 1;
    return run_turns(s, whole.threads, train_shards, train_shards, &t);
}

static int fit_slice(bp_slice *s) {
    return s->fit->shards.n > 0 ? slice_of_shards(s) : slice_of_batches(s);
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

static int single_step(bp_net *net, const bp_data *data, bp_optimizer *optimizer, double dropout,
                       double *cost) {
    const bp_plan plan = bp_plan_step(net, data->x.rows, data->x.rows, optimizer);
    bp_workspace *ws = workspace_reserve(net, &plan, gradient_flags(&plan));
    if (!ws) return BP_ERR_MEMORY;
    const bp_rows all = {NULL, 0};
    one_step one = {.job = job_make(net, ws, &plan, BP_WANT_GRADIENT)};
    one.job.optimizer = optimizer;
    one.job.update = bp_optimizer_resolve(optimizer, bp_optimizer_rates(optimizer));
    if (!bp_plan_packs(&plan)) net->packed_stale = 1;
    one.job.batch = (bp_batch){
        .data = data,
        .rows = all,
        .n = data->x.rows,
        .weight_scale = bp_weight_scale(data, &all, data->x.rows),
        .updates = 1,
        .step = net->steps,
        .dropout = dropout,
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
