/* Training by a team in which each member has a replica of the parameters and of the optimizer's
 * states. Member 0's replica is the network itself.
 *
 * In each step a member forms the gradients of its own parts of the batch. Then the members wait
 * for each other, once. Then each of them adds up all gradients, in the same order, and updates its
 * replica, to the same bits. So hardly anything but gradients passes from core to core. There are
 * two sets of them, used in alternate steps: a member may write the next gradients while others
 * still read these.
 *
 * Each member keeps account of its own position in the epoch. Member 0 keeps that of the run, and
 * decides when to stop. */

enum { PIECE = 2048 }; /* entries that are added up before they are used */

static int count_states(const bp_optimizer *optimizer) {
    int count = 0;
    for (int i = 0; i < 3; i++)
        count += optimizer->state[i] != NULL;
    return count;
}

/* Whether members train replicas, which have no scales. */
static int trains_replicas(const bp_net *net, const bp_plan *plan) {
    return plan->columns && net->n_scales == 0;
}

/* Entries of the second set of gradients. */
static int64_t second_gradients(const bp_net *net, const bp_workspace *ws) {
    return ws->n_parts * gradient_stride(net);
}

/* Sums that are pending while a tree of gradients is added up. */
enum { PENDING = 3 };
_Static_assert(1 << PENDING == BP_MAX_PARTS, "a sum for each level of the tree");

/* A member's room: pieces of sums, and the whole sum if its norm is needed. */
static int64_t room_of_sums(const bp_net *net, const bp_optimizer *optimizer) {
    return PENDING * PIECE +
           (optimizer->clip_norm > 0.0 ? bp_round_up(net->n_parameters, BP_ALIGNMENT) : 0);
}

static int64_t room_of_member(const bp_net *net, const bp_optimizer *optimizer) {
    return room_of_sums(net, optimizer) +
           (1 + count_states(optimizer)) * bp_round_up(net->n_parameters, BP_ALIGNMENT);
}

/* Makes room for the replicas of the plan's threads, if it may have them; 0 if there is no memory.
 */
static int replicas_reserve(bp_workspace *ws, const bp_net *net, const bp_plan *plan,
                            const bp_optimizer *optimizer) {
    if (!trains_replicas(net, plan) || plan->threads == 1) return 1;
    const int64_t entries =
        second_gradients(net, ws) + plan->threads * room_of_member(net, optimizer);
    if (entries <= ws->n_replicas) return 1;
    bp_free(ws->replicas);
    ws->n_replicas = 0;
    ws->replicas = bp_alloc_scratch(entries, sizeof *ws->replicas);
    if (ws->replicas) ws->n_replicas = entries;
    return ws->replicas != NULL;
}

static real *copy_vector(const void *from, int64_t n, real *to) {
    memcpy(to, from, (size_t)n * sizeof *to);
    return to;
}

/* The member's replica, as the network and the optimizer are now. */
static bp_replica take_replica(const bp_job *job, int member, real *room) {
    const int64_t n = job->net->n_parameters, each = bp_round_up(n, BP_ALIGNMENT);
    bp_replica replica = original(job);
    if (member == 0) return replica;
    replica.parameters = copy_vector(replica.parameters, n, room);
    for (int i = 0; i < 3; i++)
        if (replica.state[i]) replica.state[i] = copy_vector(replica.state[i], n, room += each);
    return replica;
}

/* A piece of the sum of the gradients of some parts, added up as add_parts does; it is in room, or
 * where the gradient of a single part is. */
static const real *sum_of_parts(const bp_job *job, int part, int parts, int64_t first,
                                int64_t count, real *room) {
    if (parts == 1) return gradient_of_part(job, part, first);
    const int half = parts / 2;
    const real *left = sum_of_parts(job, part, half, first, count, room);
    const real *right = sum_of_parts(job, part + half, half, first, count, room + PIECE);
    kernels_of(job->net)->add(count, left, right, room);
    return room;
}

/* The gradient of the whole batch, with penalties, and the factor that clips it. */
static double clipped_gradient(const bp_job *job, const bp_replica *replica, real *room,
                               real *gradient) {
    const bp_net *net = job->net;
    const real_kernels *kernels = kernels_of(net);
    const int64_t n = net->n_parameters;
    for (int64_t i = 0; i < n; i += PIECE) {
        const int64_t count = bp_min_i64(n - i, PIECE);
        copy_vector(sum_of_parts(job, 0, job->plan.parts, i, count, room), count, gradient + i);
    }
    for (int l = 0; l < net->n_layers && (net->l1 > 0.0 || net->l2 > 0.0); l++) {
        const bp_layer *layer = &net->layers[l];
        kernels->add_penalty(layer->n_in * layer->n_out, replica->parameters + layer->w, net->l1,
                             net->l2, gradient + layer->w);
    }
    double sum = 0.0;
    for (int64_t i = 0; i < n; i += CHUNK)
        sum += kernels->sum_sq(bp_min_i64(n - i, CHUNK), gradient + i);
    return bp_clip_factor(sqrt(sum), job->optimizer->clip_norm);
}

/* The same update of some parameters of a replica, piece by piece. */
static void update_pieces(const bp_job *job, const bp_replica *replica, const bp_update *update,
                          int64_t first, int64_t count, real *room) {
    for (int64_t i = first; i < first + count; i += PIECE) {
        const int64_t n = bp_min_i64(first + count - i, PIECE);
        update_replica(job, replica, update, i, n,
                       sum_of_parts(job, 0, job->plan.parts, i, n, room));
    }
}

/* The update of a replica from the gradients of all parts. */
static void update_from_parts(const bp_job *job, const bp_replica *replica, real *room) {
    const bp_net *net = job->net;
    bp_update update = job->update;
    if (job->optimizer->clip_norm > 0.0) {
        real *gradient = room + PENDING * PIECE;
        update.grad_scale = clipped_gradient(job, replica, room, gradient);
        update_replica(job, replica, &update, 0, net->n_parameters, gradient);
    } else if (net->l1 > 0.0 || net->l2 > 0.0) {
        bp_update weights = update;
        weights.l1 = net->l1;
        weights.l2 = net->l2;
        for (int l = 0; l < net->n_layers; l++) {
            const bp_layer *layer = &net->layers[l];
            update_pieces(job, replica, &weights, layer->w, layer->n_in * layer->n_out, room);
            update_pieces(job, replica, &update, layer->b, layer->n_out, room);
        }
    } else {
        update_pieces(job, replica, &update, 0, net->n_parameters, room);
    }
}

/* The cost of the batch, with the penalties of the replica's weights. */
static double cost_of_replica(const bp_job *job, const bp_replica *replica) {
    const bp_net *net = job->net;
    double cost = 0.0, sum = 0.0;
    for (int part = 0; part < job->plan.parts; part++)
        cost += job->costs[part];
    for (int l = 0; l < net->n_layers && (net->l1 > 0.0 || net->l2 > 0.0); l++) {
        const int64_t count = net->layers[l].n_in * net->layers[l].n_out;
        for (int64_t i = 0; i < count; i += CHUNK)
            sum += penalty_of_chunk(net, bp_min_i64(count - i, CHUNK),
                                    replica->parameters + net->layers[l].w + i);
    }
    return cost + sum;
}

/* A member at work. */
typedef struct {
    training *training;
    bp_job job; /* its own: the batch, the update and the set of gradients of its step */
    bp_worker worker;
    bp_replica replica;
    real *room;
    bp_team *team;
    int member, members;
} replica_member;

/* One batch up to its cost: the gradients of this member's parts, then everybody's are there.
 * Syncs.
 */
static double gradients_of_batch(replica_member *m) {
    bp_job *job = &m->job;
    int64_t first, last;
    /* Always the same parts of the same batch size, so that buffers stay near one core. */
    bp_share(job->plan.parts, 1, m->member, m->members, &first, &last);
    for (int64_t part = first; part < last; part++)
        run_part(job, &m->worker, (int)part);
    bp_sync(m->team, m->member, m->members);
    return cost_of_replica(job, &m->replica);
}

/* Sets up a batch of the epoch; set: of the two sets of gradients, and of costs. */
static void set_up_batch(replica_member *m, int64_t batch, int64_t step, double dropout, int set) {
    const training *t = m->training;
    const bp_fit *fit = t->slice->fit;
    bp_job *job = &m->job;
    bp_workspace *ws = job->workspace;
    job->batch = bp_fit_batch(fit, batch, step, dropout);
    job->plan = job->batch.n < fit->batch_size ? t->rest : t->whole;
    job->gradient = job->gradients = set ? ws->replicas : ws->gradients;
    job->costs = ws->part_cost + set * ws->n_parts;
}

/* Some batches of an epoch, up to the first of: the last one of the data, the last rates, the end
 * of the turn, a failure. Returns a status, the same for all members. */
static int train_stretch(replica_member *m) {
    training *t = m->training;
    bp_slice *s = t->slice;
    const bp_fit *fit = s->fit;
    bp_optimizer optimizer = *s->optimizer; /* counts this member's steps */
    const int64_t begin = fit->batch, steps = m->job.net->steps;
    const bp_rates *rates = s->rates ? s->rates + s->batches : NULL;
    const int64_t end = begin + bp_min_i64(fit->end_batch - begin, s->max_batches - s->batches);
    for (int64_t batch = begin; batch < end; batch++, optimizer.step++) {
        const int set = batch & 1;
        const bp_rates own = rates ? rates[batch - begin] : bp_optimizer_rates(&optimizer);
        set_up_batch(m, batch, steps + (batch - begin), own.dropout, set);
        if (m->member == 0) t->pause[set] = bp_slice_time_is_up(s);
        const double cost = gradients_of_batch(m);
        const int pause = t->pause[set];
        if (!isfinite(cost)) return BP_ERR_NOT_FINITE;
        m->job.update = bp_optimizer_resolve(&optimizer, own);
        update_from_parts(&m->job, &m->replica, m->room);
        if (batch + 1 == fit->n_batches &&
            !all_finite(m->job.net->n_parameters, m->replica.parameters))
            return BP_ERR_NOT_FINITE;
        if (m->member == 0) bp_slice_count_batch(s, cost, &m->job.batch);
        if (pause) break;
    }
    return BP_OK;
}

/* Stretch after stretch until bp_slice_goes_on says no; the team function of bp_fit_run for batches
 * in parts. */
static void train_replicas(void *context, bp_team *team, int member, int members) {
    training *t = context;
    bp_slice *s = t->slice;
    bp_net *net = s->fit->net;
    bp_workspace *ws = t->job.workspace;
    replica_member m = {
        .training = t,
        .job = job_make(net, ws, &t->whole, BP_WANT_GRADIENT),
        .room =
            ws->replicas + second_gradients(net, ws) + member * room_of_member(net, s->optimizer),
        .team = team,
        .member = member,
        .members = members,
    };
    m.job.optimizer = s->optimizer;
    m.replica = take_replica(&m.job, member, m.room + room_of_sums(net, s->optimizer));
    m.worker = (bp_worker){
        .net = net,
        .kernels = kernels_of(net),
        .parameters = m.replica.parameters,
        .pass = &ws->passes[member],
        .members = 1,
        .scratch = ws->scratch + ws->scratch_each * member,
    };
    bp_sync(team, member, members); /* everyone has copied what member 0 is about to change */
    for (;;) {
        if (member == 0 && bp_slice_goes_on(s) && s->fit->batch == 0) keep_trained(s->fit, 0, 1);
        bp_sync(team, member, members);
        if (s->stop) return;
        const int status = train_stretch(&m);
        if (status == BP_OK) continue;
        if (member == 0) s->status = status;
        return;
    }
}
