/* One batch by a team: its outputs, its cost, its gradient; and the update of fused plans. */

static bp_job job_make(bp_net *net, bp_workspace *workspace, const bp_plan *plan, bp_want want) {
    return (bp_job){
        .net = net,
        .workspace = workspace,
        .plan = *plan,
        .want = want,
        .gradient = workspace->gradients,
        .gradients = workspace->gradients,
        .costs = workspace->part_cost,
    };
}

static void batch_pack(bp_job *job, bp_team *team, int member, int members) {
    bp_net *net = job->net;
    if (!bp_plan_packs(&job->plan)) return;
    const bp_phases *phases = phases_of(net);
    const int for_inputs = job->batch.dx && phases->pack_for_inputs;
    if (!net->packed_stale && !for_inputs) return;
    for (int l = 0; l < net->n_layers && net->packed_stale; l++) {
        int64_t begin, end;
        bp_share(net->layers[l].n_out, phases->pack_unit(net), member, members, &begin, &end);
        phases->pack_tile(net, l, (bp_tile){begin, end, 0, net->layers[l].n_in});
    }
    if (for_inputs) phases->pack_for_inputs(net, member, members);
    bp_sync(team, member, members);
    if (member == 0) net->packed_stale = 0;
    bp_sync(team, member, members);
}

/* The weighted sum of the losses; every member of a team computes the same. */
static double cost_of_rows(const bp_pass *pass, int64_t rows) {
    double cost = 0.0;
    for (int64_t i = 0; i < rows; i++)
        cost += (double)pass->row_scale[i] * (double)pass->loss[i];
    return cost;
}

/* The sum of the chunks that sum_penalties made. */
static double penalties(const bp_job *job) {
    const bp_net *net = job->net;
    double sum = 0.0;
    int64_t chunks = 0;
    if (!(net->l1 > 0.0 || net->l2 > 0.0)) return 0.0;
    for (int l = 0; l < net->n_layers; l++)
        chunks += (net->layers[l].n_in * net->layers[l].n_out + CHUNK - 1) / CHUNK;
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        sum += job->workspace->partial[chunk];
    return sum;
}

/* The backward pass, layer by layer; if it is fused with the update, each layer is updated right
 * after its gradient. By then its weights have already been used for the layer below. */
static void backward_layers(bp_job *job, const bp_worker *w, const bp_block *block, real *gradient,
                            int accumulate) {
    const bp_net *net = job->net;
    const bp_phases *phases = phases_for(net, &job->plan);
    real *dx = job->batch.dx ? (real *)job->batch.dx + block->offset * net->layers[0].n_in : NULL;
    for (int l = net->n_layers - 1; l >= 0; l--) {
        phases->backward(w, block, l, dx);
        if (job->plan.one_example) {
            update_from_example(job, w, l);
            continue;
        }
        const int fused = job->plan.fused;
        const bp_tile_size size =
            gradient_tile_size(net, &job->plan, &net->layers[l], job->workspace->n_members);
        if (!size.rows) phases->gradient(w, block, l, gradient_of(job, gradient, l), accumulate);
        bp_sync(w->team, w->member, w->members);
        if (!fused) continue;
        if (size.rows)
            update_in_tiles(job, w, block, l, size);
        else
            update_layer(job, l, w->member, w->members);
        bp_sync(w->team, w->member, w->members);
    }
}

/* Does what job->want asks for on one block of rows. Returns the block's share of the cost. */
static double run_block(bp_job *job, const bp_worker *w, bp_block *block, real *gradient,
                        int accumulate) {
    const bp_net *net = job->net;
    const bp_phases *phases = phases_for(net, &job->plan);
    const int64_t n_out = net->layers[net->n_layers - 1].n_out;
    real *out = job->batch.out ? (real *)job->batch.out + block->offset * n_out : NULL;
    if (w->member == 0) pass_bind(net, w->pass, block);
    bp_sync(w->team, w->member, w->members);
    phases->load(w, block);
    bp_sync(w->team, w->member, w->members);
    phases->forward(w, block, job->batch.apply_output, out, n_out);
    if (job->want == BP_WANT_OUTPUTS) return 0.0;
    int status = phases->loss(w, block);
    if (status != BP_OK) job->user_status = status;
    bp_sync(w->team, w->member, w->members);
    if (job->user_status != BP_OK) return 0.0;
    const double cost = cost_of_rows(w->pass, block->n);
    if (job->want == BP_WANT_GRADIENT && (!job->plan.fused || isfinite(cost + penalties(job))))
        backward_layers(job, w, block, gradient, accumulate);
    else
        bp_sync(w->team, w->member, w->members); /* the next block writes where this one is read */
    return cost;
}

/* The blocks of one part of the batch. */
static void run_part(bp_job *job, const bp_worker *w, int part) {
    const bp_batch *batch = &job->batch;
    int64_t begin, end;
    bp_plan_part(&job->plan, batch->n, part, &begin, &end);
    real *gradient = gradient_of_part(job, part, 0);
    double cost = 0.0;
    for (int64_t row = begin; row < end; row += job->plan.block) {
        bp_block block = {
            .data = batch->data,
            .rows = {batch->rows.index, batch->rows.first + row},
            .n = end - row < job->plan.block ? end - row : job->plan.block,
            .offset = batch->offset + row,
            .alone = batch->n == 1,
            .weight_scale = batch->weight_scale,
            .updates = batch->updates,
            .step = batch->step,
            .dropout = batch->dropout,
        };
        cost += run_block(job, w, &block, gradient, row > begin);
        if (job->user_status != BP_OK) break;
    }
    if (w->member == 0) job->costs[part] = cost;
}

/* Takes parts that no member has taken yet, so a late member does fewer. */
static void run_parts(bp_job *job, int member, int members) {
    bp_workspace *ws = job->workspace;
    const bp_worker w = {
        .net = job->net,
        .kernels = kernels_of(job->net),
        .parameters = job->net->parameters,
        .pass = &ws->passes[member],
        .members = 1,
        .scratch = ws->scratch + ws->scratch_each * member,
    };
    for (int part = 0; members == 1 && part < job->plan.parts; part++)
        run_part(job, &w, part);
    while (members > 1) {
        const int part = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (part >= job->plan.parts) return;
        run_part(job, &w, part);
    }
}

/* The penalty of a chunk of weights. */
static double penalty_of_chunk(const bp_net *net, int64_t n, const real *w) {
    const real_kernels *kernels = kernels_of(net);
    double penalty = 0.0;
    if (net->l2 > 0.0) penalty += 0.5 * net->l2 * kernels->sum_sq(n, w);
    if (net->l1 > 0.0) penalty += net->l1 * kernels->sum_abs(n, w);
    return penalty;
}

/* The penalty of this member's chunks of the weights. */
static void sum_penalties(const bp_job *job, int member, int members) {
    const bp_net *net = job->net;
    int64_t chunk = 0;
    for (int l = 0; l < net->n_layers; l++) {
        const real *w = (const real *)net->parameters + net->layers[l].w;
        const int64_t count = net->layers[l].n_in * net->layers[l].n_out;
        for (int64_t i = 0; i < count; i += CHUNK, chunk++)
            if (chunk % members == member)
                job->workspace->partial[chunk] =
                    penalty_of_chunk(net, bp_min_i64(count - i, CHUNK), w + i);
    }
}

/* The rows of the batch, without the penalties. All members; syncs at its end. */
static void run_rows(bp_job *job, bp_team *team, int member, int members) {
    bp_workspace *ws = job->workspace;
    if (job->plan.shared) {
        const bp_worker w = {
            .net = job->net,
            .kernels = kernels_of(job->net),
            .pass = &ws->passes[0],
            .team = team,
            .member = member,
            .members = members,
            .scratch = ws->scratch + ws->scratch_each * member,
        };
        run_part(job, &w, 0);
    } else {
        run_parts(job, member, members);
    }
    bp_sync(team, member, members);
}

static void batch_run(bp_job *job, bp_team *team, int member, int members) {
    if (job->want != BP_WANT_OUTPUTS && (job->net->l1 > 0.0 || job->net->l2 > 0.0))
        sum_penalties(job, member, members);
    run_rows(job, team, member, members);
}

static void batch_outputs(bp_job *job, int member, int members) {
    run_parts(job, member, members);
}

static double sum_of_costs(const bp_job *job) {
    double cost = 0.0;
    for (int part = 0; part < job->plan.parts; part++)
        cost += job->costs[part];
    return cost;
}

static double batch_cost(const bp_job *job) {
    return sum_of_costs(job) + penalties(job);
}
