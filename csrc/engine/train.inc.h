/* A slice of training by a team: batch after batch, without leaving the core. */

typedef struct {
    bp_job job;
    bp_plan whole; /* for a batch of batch_size rows */
    bp_plan rest;  /* for the shorter batch at the end of an epoch */
    bp_slice *slice;
    atomic_int broken; /* parameters that are not finite have been found */
    int pause[2];      /* whether replicas stop after this batch; one for even, one for odd ones */
} training;

/* This member's share of the parameters, in whole cache lines. */
static void share_of_parameters(const bp_net *net, int member, int members, int64_t *begin,
                                int64_t *end) {
    bp_share(net->n_parameters, BP_ALIGNMENT / (int64_t)sizeof(real), member, members, begin, end);
}

/* Keeps what training changes as it is before the first batch of an epoch. All members; the batch
 * syncs before it updates any. */
static void keep_trained(const bp_fit *fit, int member, int members) {
    int64_t begin, end;
    bp_share(bp_net_trained(fit->net), BP_ALIGNMENT / (int64_t)sizeof(real), member, members,
             &begin, &end);
    copy_trained(fit->net, begin, end, fit->backup);
}

static int all_finite(int64_t n, const real *values) {
    int bad = 0;
    for (int64_t i = 0; i < n; i++)
        bad |= !isfinite(values[i]);
    return !bad;
}

/* Notes if the last update of an epoch left parameters that are not finite, which no cost of this
 * epoch would show. A scale that is not finite shows in its products. All members; syncs. */
static void check_parameters(training *t, bp_team *team, int member, int members) {
    const bp_net *net = t->slice->fit->net;
    int64_t begin, end;
    share_of_parameters(net, member, members, &begin, &end);
    if (!all_finite(end - begin, (const real *)net->parameters + begin))
        atomic_store_explicit(&t->broken, 1, memory_order_relaxed);
    bp_sync(team, member, members);
}

/* What follows a batch of this cost: the update, and counting it; returns 0 if the batch failed.
 * All members; syncs. */
static int finish_batch(training *t, bp_team *team, double cost, int member, int members) {
    bp_slice *s = t->slice;
    bp_job *job = &t->job;
    const int last = s->fit->batch + 1 == s->fit->n_batches;
    if (job->user_status != BP_OK || !isfinite(cost)) {
        if (member == 0)
            s->status = job->user_status != BP_OK ? job->user_status : BP_ERR_NOT_FINITE;
        return 0;
    }
    if (!job->plan.fused) batch_update(job, team, member, members);
    bp_sync(team, member, members);
    if (last) check_parameters(t, team, member, members);
    if (member > 0) return 1;
    if (atomic_load_explicit(&t->broken, memory_order_relaxed))
        s->status = BP_ERR_NOT_FINITE;
    else
        bp_slice_count_batch(s, cost, &job->batch);
    return 1;
}

/* Batch after batch until bp_slice_goes_on says no; the team function of bp_fit_run. */
static void train_team(void *context, bp_team *team, int member, int members) {
    training *t = context;
    bp_slice *s = t->slice;
    batch_pack(&t->job, team, member, members);
    bp_sync(team, member, members); /* packing reads the batch that member 0 is about to plan */
    for (;;) {
        if (member == 0 && bp_slice_goes_on(s)) {
            const bp_rates rates = bp_slice_rates(s);
            t->job.batch = bp_fit_batch(s->fit, s->fit->batch, s->fit->net->steps, rates.dropout);
            t->job.update = bp_optimizer_resolve(s->optimizer, rates);
            t->job.plan = t->job.batch.n < s->fit->batch_size ? t->rest : t->whole;
            atomic_store_explicit(&t->job.next, 0, memory_order_relaxed);
        }
        bp_sync(team, member, members);
        if (s->stop) return;
        if (s->fit->batch == 0) keep_trained(s->fit, member, members);
        batch_run(&t->job, team, member, members);
        if (!finish_batch(t, team, batch_cost(&t->job), member, members)) return;
    }
}
