/* Outputs of many networks of one shape, from the same rows. */

/* Work that is worth taking from the counter of items. */
static const double FLOPS_OF_ITEM = 2e5;

typedef struct {
    bp_net *const *nets;
    int64_t n;
    bp_job job;     /* of the first network, whose workspace serves all of them */
    int64_t stride; /* from the outputs of one network to those of the next */
    int64_t group;  /* networks of an item: they take the same rows, one after the other */
    int fetches;    /* reading the weights takes about as long as computing with them */
    atomic_llong next;
} stack;

/* Rows up to which weights are asked for ahead of their use. */
enum { FETCH_ROWS = 4 };

/* Brings the packed weights of all networks up to date. */
static void pack_stack(void *context, bp_team *team, int member, int members) {
    stack *s = context;
    bp_job job = s->job;
    (void)team;
    for (int64_t i = member; i < s->n; i += members) {
        job.net = s->nets[i];
        batch_pack(&job, NULL, 0, 1);
    }
}

static int is_packed(const stack *s) {
    for (int64_t i = 0; i < s->n; i++)
        if (s->nets[i]->packed_stale) return 0;
    return 1;
}

/* Asks for what a network's pass reads, while that of the network before it is done. */
static void fetch_net(const bp_net *net) {
    const real *packed = net->packed, *parameters = net->parameters;
    const int64_t line = BP_ALIGNMENT / (int64_t)sizeof(real);
    for (int64_t i = 0; packed && i < net->n_packed; i += line)
        BP_PREFETCH(packed + i);
    for (int l = 0; l < net->n_layers; l++)
        for (int64_t i = 0; i < net->layers[l].n_out; i += line)
            BP_PREFETCH(parameters + net->layers[l].b + i);
}

/* One part of the rows through one network. */
static void run_part_of(const stack *s, bp_job *job, bp_worker *w, int part, int64_t i) {
    int64_t begin, end;
    bp_plan_part(&job->plan, job->batch.n, part, &begin, &end);
    bp_block block = {
        .data = job->batch.data,
        .rows = {NULL, begin},
        .n = end - begin,
        .offset = begin,
    };
    job->net = s->nets[i];
    job->batch.out = (real *)s->job.batch.out + i * s->stride;
    w->net = job->net;
    w->parameters = job->net->parameters;
    run_block(job, w, &block, NULL, 0);
}

/* Takes items that no member has taken yet. The rows of one item are those of the next, as long as
 * there are networks left, so that they stay in the cache. */
static void run_stack(void *context, bp_team *team, int member, int members) {
    stack *s = context;
    const bp_workspace *ws = s->job.workspace;
    const int64_t groups = bp_ceil_div(s->n, s->group), items = groups * s->job.plan.parts;
    bp_job job = s->job;
    bp_worker w = {
        .kernels = kernels_of(job.net),
        .pass = &ws->passes[member],
        .members = 1,
        .scratch = ws->scratch + ws->scratch_each * member,
    };
    (void)team, (void)members;
    for (;;) {
        const int64_t item = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
        if (item >= items) return;
        const int64_t first = item % groups * s->group;
        for (int64_t i = first; i < first + s->group && i < s->n; i++) {
            if (s->fetches && i + 1 < s->n) fetch_net(s->nets[i + 1]);
            run_part_of(s, &job, &w, (int)(item / groups), i);
        }
    }
}

static int predict_many(bp_net *const *nets, int64_t n, const bp_data *data, void *out,
                        int64_t stride) {
    const bp_plan plan = bp_plan_stack(nets[0], n, data->x.rows);
    const bp_some all = all_rows(data);
    int status = BP_OK;
    for (int64_t i = 0; plan.shared && i < n && status == BP_OK; i++)
        status = net_predict(nets[i], data, (real *)out + i * stride);
    if (plan.shared) return status;
    stack s = {.nets = nets, .n = n, .stride = stride};
    status = prepare(nets[0], &all, BP_WANT_OUTPUTS, &plan, BP_PASS_FORWARD, &s.job);
    if (status != BP_OK) return status;
    s.job.batch.apply_output = 1;
    s.job.batch.out = out;
    const double flops = plan.flops / (double)(n * plan.parts);
    s.group = flops < FLOPS_OF_ITEM ? (int64_t)(FLOPS_OF_ITEM / flops) : 1;
    s.fetches = plan.block <= FETCH_ROWS &&
                nets[0]->n_packed * n * (int64_t)sizeof(real) > bp_l2_bytes(bp_cpu_get());
    if (!is_packed(&s)) bp_run_work(plan.threads, plan.flops, pack_stack, &s);
    bp_pool_share(plan.threads, run_stack, &s);
    return BP_OK;
}
