/* Calls of a network that do not change it: outputs, cost, gradient, trace. */

/* Runs what job asks for; the team function of predict, cost and backprop. */
static void run_job(void *context, bp_team *team, int member, int members) {
    bp_job *job = context;
    batch_pack(job, team, member, members);
    batch_run(job, team, member, members);
    if (job->want == BP_WANT_GRADIENT && job->user_status == BP_OK)
        batch_gradient(job, team, member, members);
}

/* Outputs in parts, from packed weights that are up to date. */
static void run_outputs(void *context, bp_team *team, int member, int members) {
    (void)team;
    batch_outputs(context, member, members);
}

/* All rows of the data, with any number of threads. */
static bp_some all_rows(const bp_data *data) {
    return (bp_some){.data = data, .rows = data->x.rows, .max_threads = BP_MAX_THREADS};
}

/* A job over some rows of the data, with room in the workspace. */
static int prepare(bp_net *net, const bp_some *some, bp_want want, const bp_plan *plan, int flags,
                   bp_job *job) {
    const bp_rows rows = {some->index, 0};
    bp_workspace *workspace = workspace_reserve(net, plan, flags);
    if (!workspace) return BP_ERR_MEMORY;
    *job = job_make(net, workspace, plan, want);
    job->batch = (bp_batch){
        .data = some->data,
        .rows = rows,
        .n = some->rows,
        .weight_scale = bp_weight_scale(some->data, &rows, some->rows),
    };
    return BP_OK;
}

static int net_predict(bp_net *net, const bp_data *data, void *out) {
    const bp_plan plan = bp_plan_make(net, data->x.rows, BP_WANT_OUTPUTS);
    const bp_some all = all_rows(data);
    bp_job job;
    int status = prepare(net, &all, BP_WANT_OUTPUTS, &plan, BP_PASS_FORWARD, &job);
    if (status != BP_OK) return status;
    job.batch.apply_output = 1;
    job.batch.out = out;
    if (plan.shared || net->packed_stale)
        bp_run_work(plan.threads, plan.flops, run_job, &job);
    else
        bp_pool_share(plan.threads, run_outputs, &job);
    return BP_OK;
}

static bp_plan plan_cost(const bp_net *net, const bp_some *some) {
    bp_plan plan = bp_plan_make(net, some->rows, BP_WANT_COST);
    if (plan.threads > some->max_threads) plan.threads = some->max_threads;
    return plan;
}

/* The user's loss writes a derivative, wanted or not. */
static int cost_flags(const bp_net *net) {
    return net->loss == BP_LOSS_CALLBACK ? BP_PASS_BACKWARD : BP_PASS_FORWARD;
}

static int cost_reserve(bp_net *net, const bp_some *some) {
    const bp_plan plan = plan_cost(net, some);
    return workspace_reserve(net, &plan, cost_flags(net)) ? BP_OK : BP_ERR_MEMORY;
}

static int net_cost(bp_net *net, const bp_some *some, double *cost) {
    const bp_plan plan = plan_cost(net, some);
    bp_job job;
    int status = prepare(net, some, BP_WANT_COST, &plan, cost_flags(net), &job);
    if (status != BP_OK) return status;
    bp_run_work(plan.threads, plan.flops, run_job, &job);
    if (job.user_status == BP_OK) *cost = batch_cost(&job);
    return job.user_status;
}

static int net_backprop(bp_net *net, const bp_data *data, double *cost, void *gradient, void *dx) {
    const bp_plan plan = bp_plan_make(net, data->x.rows, BP_WANT_GRADIENT);
    bp_job job;
    const int flags = gradient_flags(&plan);
    const bp_some all = all_rows(data);
    int status = prepare(net, &all, BP_WANT_GRADIENT, &plan, flags, &job);
    if (status != BP_OK) return status;
    job.gradient = gradient;
    job.batch.dx = dx;
    bp_run_work(plan.threads, plan.flops, run_job, &job);
    if (job.user_status != BP_OK) return job.user_status;
    *cost = batch_cost(&job);
    if (dx && net->scale) {
        const int64_t n_in = net->layers[0].n_in;
        for (int64_t i = 0; i < data->x.rows; i++)
            for (int64_t j = 0; j < n_in; j++)
                ((real *)dx)[i * n_in + j] *= ((const real *)net->scale)[j];
    }
    return BP_OK;
}

/* Copies a buffer without its padding into rows first … of a C-contiguous array. */
static void copy_rows(const real *from, int64_t ld, int64_t rows, int64_t cols, int64_t first,
                      void *to) {
    for (int64_t i = 0; i < rows; i++)
        memcpy((real *)to + (first + i) * cols, from + i * ld, (size_t)cols * sizeof(real));
}

static int net_trace(bp_net *net, const bp_data *data, void **z, void **a, void **delta) {
    const bp_want want = delta ? BP_WANT_GRADIENT : BP_WANT_OUTPUTS;
    const int64_t all = data->x.rows, most = net->loss == BP_LOSS_CALLBACK ? all : 4096;
    const bp_plan plan = {.shared = 1, .parts = 1, .block = all < most ? all : most, .threads = 1};
    const bp_some some = all_rows(data);
    bp_job job;
    int status = prepare(net, &some, want, &plan, BP_PASS_KEEP, &job);
    if (status != BP_OK) return status;
    job.batch.apply_output = 1;
    for (int64_t first = 0; first < all && status == BP_OK; first += plan.block) {
        const int64_t rows = all - first < plan.block ? all - first : plan.block;
        const bp_pass *pass = &job.workspace->passes[0];
        job.batch.rows.first = first;
        job.batch.n = rows;
        bp_pool_run(1, run_job, &job);
        status = job.user_status;
        if (status != BP_OK) break;
        for (int l = 0; l < net->n_layers; l++) {
            const int64_t ld = pass->ld[l + 1], cols = net->layers[l].n_out;
            copy_rows(pass->z[l], ld, rows, cols, first, z[l]);
            copy_rows(pass->out[l], ld, rows, cols, first, a[l]);
            if (delta) copy_rows(pass->delta[l], ld, rows, cols, first, delta[l]);
        }
    }
    workspace_release(net, BP_PASS_KEEP); /* large, and seldom asked for again */
    return status;
}
