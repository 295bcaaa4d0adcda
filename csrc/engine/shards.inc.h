/* Training in which each batch consists of shards: a gradient for each, formed as if the shard were
 * a batch, and their sum as a balanced tree. So other processes may form some of them, and the bits
 * stay the same. */

/* How shards of so many rows are done. */
typedef struct {
    int64_t rows;
    bp_plan plan;
} shard_shape;

typedef struct {
    training training;
    bp_batch batch;        /* of which the job's batch is a shard */
    shard_shape shapes[4]; /* of whole batches, the larger one first, and of the last one */
} sharded_training;

/* Plans all shards, which have two sizes in each batch. No update follows the gradient of a shard
 * at once. */
static void plan_shards(sharded_training *t) {
    const bp_slice *s = t->training.slice;
    const bp_fit *fit = s->fit;
    const int32_t n = fit->shards.n;
    const int64_t whole = fit->batch_size, rest = (fit->rows - 1) % whole + 1;
    const int64_t largest = bp_ceil_div(whole, n);
    const int64_t rows[] = {largest, whole / n, bp_ceil_div(rest, n), rest / n};
    for (int i = 0; i < 4; i++) {
        bp_plan plan = bp_plan_step(fit->net, bp_max_i64(rows[i], 1), largest, s->optimizer);
        plan.fused = plan.one_example = 0;
        if (plan.threads > s->max_threads) plan.threads = s->max_threads;
        t->shapes[i] = (shard_shape){rows[i], plan};
    }
}

static const bp_plan *plan_of_shard(const sharded_training *t, int64_t rows) {
    int i = 0;
    while (t->shapes[i].rows != rows)
        i++;
    return &t->shapes[i].plan;
}

/* The workspace for these plans; NULL if there is no memory. */
static bp_workspace *reserve_for_shards(const sharded_training *t) {
    bp_net *net = t->training.slice->fit->net;
    const int flags = gradient_flags(&t->shapes[0].plan);
    for (int i = 0; i < 4; i++) {
        if (workspace_reserve(net, &t->shapes[i].plan, flags)) continue;
        workspace_release(net, flags);
        return NULL;
    }
    return net->workspace[flags];
}

static real *sum_of_block(const bp_shards *shards, int32_t block) {
    return (real *)shards->sums + block * shards->stride;
}

/* Sets up the job for the next shard, which may have no rows. Member 0. */
static void set_up_shard(sharded_training *t, int32_t shard) {
    const bp_batch *batch = &t->batch;
    bp_shards *shards = &t->training.slice->fit->shards;
    bp_job *job = &t->training.job;
    int64_t begin, end;
    bp_shard_rows(batch->n, shards->n, shard, &begin, &end);
    bp_shards_push(shards, shard);
    job->gradient = sum_of_block(shards, shards->n_blocks - 1);
    job->batch = *batch;
    job->batch.rows.first += begin;
    job->batch.n = end - begin;
    job->batch.offset = begin;
    if (job->batch.n > 0) job->plan = *plan_of_shard(t, job->batch.n);
    atomic_store_explicit(&job->next, 0, memory_order_relaxed);
}

/* Rounds entries begin <= i < end of the topmost sum, if sums are rounded. */
static void round_sum(const bp_job *job, const bp_shards *shards, int64_t begin, int64_t end) {
    if (!shards->errors) return;
    const int32_t top = shards->n_blocks - 1;
    const int64_t node = bp_shard_node(shards->n, shards->blocks[top]);
    void *sum = sum_of_block(shards, top) + begin; /* floats: only they have errors */
    bp_round_sums(end - begin, sum, shards->errors + node * job->net->n_parameters + begin);
}

/* Adds this member's share of the two topmost gradients, as long as they make a pair. The stack is
 * a copy, which no other member changes. */
static void join_gradients(const bp_job *job, bp_shards *blocks, int member, int members) {
    int64_t begin, end;
    share_of_parameters(job->net, member, members, &begin, &end);
    round_sum(job, blocks, begin, end);
    while (bp_shards_pair(blocks)) {
        real *left = sum_of_block(blocks, blocks->n_blocks - 2) + begin;
        const real *right = sum_of_block(blocks, blocks->n_blocks - 1) + begin;
        kernels_of(job->net)->add(end - begin, left, right, left);
        bp_shards_join(blocks);
        round_sum(job, blocks, begin, end);
    }
}

/* Puts the gradient of a shard on top of the stack, and adds up pairs. Returns the status of the
 * user's loss. All members; syncs. */
static int add_shard(sharded_training *t, bp_team *team, int32_t shard, int member, int members) {
    bp_shards *shards = &t->training.slice->fit->shards;
    bp_job *job = &t->training.job;
    if (member == 0) set_up_shard(t, shard);
    bp_sync(team, member, members);
    int64_t begin, end;
    share_of_parameters(job->net, member, members, &begin, &end);
    if (job->batch.n > 0) {
        run_rows(job, team, member, members);
        if (job->user_status != BP_OK) return job->user_status;
        add_parts(job, begin, end - begin);
    } else {
        memset(job->gradient + begin, 0, (size_t)(end - begin) * sizeof(real));
    }
    bp_shards blocks = *shards;
    join_gradients(job, &blocks, member, members);
    bp_sync(team, member, members);
    if (member > 0) return BP_OK;
    shards->costs[shards->n_blocks - 1] = job->batch.n > 0 ? sum_of_costs(job) : 0.0;
    while (bp_shards_pair(shards))
        bp_shards_join(shards);
    return BP_OK;
}

/* Lets the caller turn the sums of this process's shards into those of all. Member 0. */
static int reduce_shards(bp_shards *shards) {
    if (!shards->reduce) return BP_OK;
    bp_fp_set(BP_FP_DEFAULT); /* the caller's arithmetic is not the kernels' */
    const bp_reduce_fn reduce = shards->reduce;
    const int failed =
        reduce(shards->user, shards->n_blocks, shards->stride, shards->sums, shards->costs);
    bp_fp_set(BP_FP_KERNEL);
    return failed ? BP_ERR_CALLBACK : BP_OK;
}

/* The gradient of a batch, without penalties, and the sum of its costs. All members; syncs. */
static void run_shards(sharded_training *t, bp_team *team, int member, int members) {
    bp_shards *shards = &t->training.slice->fit->shards;
    bp_job *job = &t->training.job;
    if (job->net->l1 > 0.0 || job->net->l2 > 0.0) sum_penalties(job, member, members);
    if (member == 0) shards->n_blocks = 0;
    for (int32_t i = 0; i < shards->count; i++)
        if (add_shard(t, team, shards->first + i, member, members) != BP_OK) return;
    if (member == 0) {
        job->user_status = reduce_shards(shards);
        job->gradient = shards->sums;
        job->batch = t->batch;
        job->plan = t->shapes[0].plan;
        job->plan.parts = 1; /* that of the sum, from which the update is done */
    }
    bp_sync(team, member, members);
}

/* As train_team, with shards. */
static void train_shards(void *context, bp_team *team, int member, int members) {
    sharded_training *t = context;
    training *base = &t->training;
    bp_slice *s = base->slice;
    bp_fit *fit = s->fit;
    bp_job *job = &base->job;
    batch_pack(job, team, member, members);
    bp_sync(team, member, members); /* packing reads the batch that member 0 is about to plan */
    for (;;) {
        if (member == 0 && bp_slice_goes_on(s)) {
            const bp_rates rates = bp_slice_rates(s);
            t->batch = bp_fit_batch(fit, fit->batch, fit->net->steps, rates.dropout);
            job->update = bp_optimizer_resolve(s->optimizer, rates);
        }
        bp_sync(team, member, members);
        if (s->stop) return;
        if (fit->batch == 0) keep_trained(fit, member, members);
        run_shards(t, team, member, members);
        const double cost = fit->shards.costs[0] + penalties(job);
        if (!finish_batch(base, team, cost, member, members)) return;
    }
}
