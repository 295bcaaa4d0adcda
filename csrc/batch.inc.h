/* One batch for one element type; included by batch.c for float and double. */

static const BP_T(bp_kernels) *BP_T(kernels_of)(const bp_net *net) {
    return &net->kernels->BP_KERNELS;
}

static const BP_T(bp_phases) *BP_T(phases_of)(const bp_net *net) {
    return net->phases;
}

/* Chunks of the weights, layer by layer, whose penalties are summed apart. */
static int64_t BP_T(chunk_count)(const bp_net *net) {
    int64_t chunks = 0;
    for (int l = 0; l < net->n_layers; l++)
        chunks += (net->layers[l].n_in * net->layers[l].n_out + CHUNK - 1) / CHUNK +
                  (net->layers[l].n_out + CHUNK - 1) / CHUNK;
    return chunks;
}

static void BP_T(workspace_free)(BP_T(bp_workspace) *ws) {
    if (!ws) return;
    for (int i = 0; i < ws->n_passes; i++)
        BP_T(bp_pass_destroy)(&ws->passes[i]);
    bp_free(ws->passes);
    bp_free(ws->scratch);
    bp_free(ws->gradients);
    bp_free(ws->part_cost);
    bp_free(ws->partial);
    bp_free(ws);
}

void BP_T(bp_workspace_release)(bp_net *net, int flags) {
    BP_T(workspace_free)(net->workspace[flags]);
    net->workspace[flags] = NULL;
}

/* Makes a workspace with the sizes written in `want`; NULL where there is no memory. */
static BP_T(bp_workspace) *BP_T(workspace_make)(const bp_net *net, int flags,
                                                const BP_T(bp_workspace) *want) {
    BP_T(bp_workspace) *ws = bp_alloc(1, sizeof *ws);
    if (!ws) return NULL;
    const int passes = want->n_passes;
    *ws = *want;
    ws->n_passes = 0;
    ws->scratch_each = bp_round_up(BP_T(phases_of)(net)->scratch(net), BP_ALIGNMENT);
    ws->passes = bp_alloc(passes, sizeof *ws->passes);
    ws->scratch = bp_alloc_scratch(ws->scratch_each * ws->n_members, sizeof *ws->scratch);
    ws->part_cost = bp_alloc(ws->n_parts, sizeof *ws->part_cost);
    ws->partial = bp_alloc(BP_T(chunk_count)(net), sizeof *ws->partial);
    ws->gradients = bp_alloc(ws->n_gradient, sizeof *ws->gradients);
    int failed = !ws->passes || !ws->scratch || !ws->part_cost || !ws->partial || !ws->gradients;
    for (int i = 0; i < passes && !failed; i++) {
        failed = BP_T(phases_of)(net)->create(net, ws->capacity, flags, &ws->passes[i]) != BP_OK;
        ws->n_passes += !failed;
    }
    if (!failed) return ws;
    BP_T(workspace_free)(ws);
    return NULL;
}

/* Rows of a layer whose bytes are at most so many, in whole units of packing. */
static int64_t BP_T(rows_in)(const bp_net *net, const bp_layer *layer, int64_t bytes) {
    const int64_t unit = BP_T(phases_of)(net)->pack_unit(net);
    const int64_t rows = bytes / (layer->n_in * (int64_t)sizeof(real));
    return rows > unit ? rows / unit * unit : unit;
}

/* Rows of a layer whose gradient a member forms and uses up at a time, where there may be so many
 * members (those of the workspace, so that its room serves every team); 0 where the layer has so
 * few rows that the members share its tiles, or so few columns that there is nothing to save: then
 * its gradient is formed whole. */
static int64_t BP_T(gradient_strip)(const bp_net *net, const bp_layer *layer, int members) {
    if (layer->n_out < (int64_t)MEMBER_ROWS * members || layer->n_in < MEMBER_COLUMNS) return 0;
    const int64_t fit = BP_T(rows_in)(net, layer, GRADIENT_BYTES);
    const int64_t rows = fit < MEMBER_ROWS / 2 ? MEMBER_ROWS : fit;
    const int64_t share =
        bp_round_up((layer->n_out - 1) / members + 1, BP_T(phases_of)(net)->pack_unit(net));
    return rows < share ? rows : share;
}

/* The row stride of a strip: padded where rows would compete for the same sets of the nearest
 * cache; shorter ones lie next to each other, as one run for the update. */
static int64_t BP_T(strip_stride)(const bp_layer *layer) {
    const int64_t n_in = layer->n_in, size = sizeof(real);
    return n_in * size < LONG_ROW_BYTES ? n_in : bp_row_stride(n_in, size);
}

/* Entries of a gradient that a fused plan needs: room for a strip of each member, or for a layer.
 */
static int64_t BP_T(fused_entries)(const bp_net *net, const bp_layer *layer, int members) {
    const int64_t strip = BP_T(gradient_strip)(net, layer, members);
    return strip ? strip * (BP_T(strip_stride)(layer) + 1) * members
                 : layer->b + layer->n_out - layer->w;
}

/* Entries of the gradients that a plan needs with up to so many members; -1 where their count
 * overflows. */
static int64_t BP_T(gradient_entries)(const bp_net *net, const bp_plan *plan, int members,
                                      int flags) {
    int64_t entries = 0;
    if (flags == BP_PASS_FORWARD) return 0;
    if (!plan->fused) return bp_mul_size(net->n_parameters, plan->parts, &entries) ? entries : -1;
    for (int l = 0; l < net->n_layers; l++) {
        const int64_t count = BP_T(fused_entries)(net, &net->layers[l], members);
        entries = entries > count ? entries : count;
    }
    return entries;
}

BP_T(bp_workspace) *BP_T(bp_workspace_reserve)(bp_net *net, const bp_plan *plan, int flags) {
    const BP_T(bp_workspace) *old = net->workspace[flags];
    BP_T(bp_workspace)
    want = {
        .n_passes = plan->shared ? 1 : plan->threads,
        .n_members = plan->threads,
        .n_parts = plan->parts,
        .capacity = plan->block,
    };
    /* Calls that alternate between two shapes share one workspace that serves both. */
    if (old) {
        want.n_passes = want.n_passes > old->n_passes ? want.n_passes : old->n_passes;
        want.n_members = want.n_members > old->n_members ? want.n_members : old->n_members;
        want.n_parts = want.n_parts > old->n_parts ? want.n_parts : old->n_parts;
        want.capacity = want.capacity > old->capacity ? want.capacity : old->capacity;
    }
    want.n_gradient = BP_T(gradient_entries)(net, plan, want.n_members, flags);
    if (want.n_gradient < 0) return NULL;
    if (old) {
        if (want.n_gradient < old->n_gradient) want.n_gradient = old->n_gradient;
        if (old->n_passes == want.n_passes && old->n_members == want.n_members &&
            old->n_parts == want.n_parts && old->capacity == want.capacity &&
            old->n_gradient == want.n_gradient)
            return net->workspace[flags];
        BP_T(bp_workspace_release)(net, flags);
    }
    return net->workspace[flags] = BP_T(workspace_make)(net, flags, &want);
}

void BP_T(bp_batch_pack)(BP_T(bp_job) *job, bp_team *team, int member, int members) {
    bp_net *net = job->net;
    const BP_T(bp_phases) *phases = BP_T(phases_of)(net);
    const int for_inputs = job->batch.dx && phases->pack_for_inputs;
    if (!net->packed_stale && !for_inputs) return;
    for (int l = 0; l < net->n_layers && net->packed_stale; l++) {
        int64_t begin, end;
        bp_share(net->layers[l].n_out, phases->pack_unit(net), member, members, &begin, &end);
        phases->pack_rows(net, l, begin, end);
    }
    if (for_inputs) phases->pack_for_inputs(net, member, members);
    bp_sync(team, member, members);
    if (member == 0) net->packed_stale = 0;
    bp_sync(team, member, members);
}

/* A layer's share of a gradient: its own place in the flat vector, or the start of the room for one
 * layer where each is used up at once. */
static real *BP_T(gradient_of)(const BP_T(bp_job) *job, real *gradient, int l) {
    return job->plan.fused ? gradient : gradient + job->net->layers[l].w;
}

/* Adds the gradients of the other parts to that of the first, over a range of parameters. */
static void BP_T(add_parts)(const BP_T(bp_job) *job, int64_t first, int64_t count) {
    const BP_T(bp_kernels) *kernels = BP_T(kernels_of)(job->net);
    for (int part = 1; part < job->plan.parts; part++)
        kernels->add(count, job->workspace->gradients + part * job->net->n_parameters + first,
                     job->gradient + first);
}

/* One optimizer step over a range of the flat vector; gradient is that of the range. */
static void BP_T(update_range)(const BP_T(bp_job) *job, const bp_update *update, int64_t first,
                               int64_t count, const real *gradient) {
    const bp_optimizer *o = job->optimizer;
    real *state[3];
    for (int i = 0; i < 3; i++)
        state[i] = o->state[i] ? (real *)o->state[i] + first : NULL;
    BP_T(kernels_of)
    (job->net)->update[o->kind](count, (real *)job->net->parameters + first, gradient, state[0],
                                state[1], state[2], update);
}

/* The update of rows begin <= i < end of a layer, and of their packed copy, from their gradient.
 * Parameters, gradients and states stay in the cache from their update until they are packed. */
static void BP_T(update_rows)(const BP_T(bp_job) *job, int l, int64_t begin, int64_t end,
                              const real *dw, int64_t lddw, const real *db) {
    bp_net *net = job->net;
    const bp_layer *layer = &net->layers[l];
    const int64_t strip = BP_T(rows_in)(net, layer, STRIP_BYTES), n_in = layer->n_in;
    const int clips = job->optimizer->clip_norm > 0.0;
    bp_update weights = job->update;
    if (!clips) { /* else the penalties are in the gradient already */
        weights.l1 = net->l1;
        weights.l2 = net->l2;
    }
    for (int64_t row = begin; row < end; row += strip) {
        const int64_t rows = end - row < strip ? end - row : strip;
        if (!clips) {
            BP_T(add_parts)(job, layer->w + row * n_in, rows * n_in);
            BP_T(add_parts)(job, layer->b + row, rows);
        }
        const int64_t together = lddw == n_in ? rows : 1;
        for (int64_t i = row; i < row + rows; i += together)
            BP_T(update_range)
        (job, &weights, layer->w + i * n_in, together * n_in, dw + (i - begin) * lddw);
        BP_T(update_range)(job, &job->update, layer->b + row, rows, db + (row - begin));
        BP_T(phases_of)(net)->pack_rows(net, l, row, row + rows);
    }
}

/* This member's share of the rows of a layer. */
static void BP_T(share_of_rows)(const bp_net *net, int l, int member, int members, int64_t *begin,
                                int64_t *end) {
    bp_share(net->layers[l].n_out, BP_T(phases_of)(net)->pack_unit(net), member, members, begin,
             end);
}

/* This member's share of the update of a layer, and of its packed copy. */
static void BP_T(update_layer)(const BP_T(bp_job) *job, int l, int member, int members) {
    const bp_layer *layer = &job->net->layers[l];
    const real *dw = BP_T(gradient_of)(job, job->gradient, l), *db = dw + (layer->b - layer->w);
    int64_t begin, end;
    BP_T(share_of_rows)(job->net, l, member, members, &begin, &end);
    BP_T(update_rows)
    (job, l, begin, end, dw + begin * layer->n_in, layer->n_in, db + begin);
}

/* This member's share of the gradient and the update of a layer, strip by strip: the gradient is
 * used up where it was formed, and hardly leaves the cache. */
static void BP_T(update_in_strips)(const BP_T(bp_job) *job, const BP_T(bp_worker) *w,
                                   const bp_block *block, int l, int64_t strip) {
    const bp_layer *layer = &job->net->layers[l];
    const int64_t lddw = BP_T(strip_stride)(layer);
    real *dw = job->gradient + w->member * strip * (lddw + 1), *db = dw + strip * lddw;
    int64_t begin, end;
    BP_T(share_of_rows)(job->net, l, w->member, w->members, &begin, &end);
    for (int64_t row = begin; row < end; row += strip) {
        const int64_t next = row + strip < end ? row + strip : end;
        BP_T(phases_of)(job->net)->gradient_rows(w, block, l, row, next, dw, lddw, db);
        BP_T(update_rows)(job, l, row, next, dw, lddw, db);
    }
}

/* The weighted sum of the losses; every member of a team computes the same. */
static double BP_T(cost_of_rows)(const BP_T(bp_pass) *pass, int64_t rows) {
    double cost = 0.0;
    for (int64_t i = 0; i < rows; i++)
        cost += (double)pass->row_scale[i] * (double)pass->loss[i];
    return cost;
}

/* The sum of the chunks that sum_penalties made. */
static double BP_T(penalties)(const BP_T(bp_job) *job) {
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

/* The backward pass, layer by layer; where it is fused with the update, that of each layer follows
 * its gradient, and the weights that the layer below needed have been used by then. */
static void BP_T(go_back)(BP_T(bp_job) *job, const BP_T(bp_worker) *w, const bp_block *block,
                          real *gradient, int accumulate) {
    const bp_net *net = job->net;
    const BP_T(bp_phases) *phases = BP_T(phases_of)(net);
    real *dx = job->batch.dx ? (real *)job->batch.dx + block->offset * net->layers[0].n_in : NULL;
    for (int l = net->n_layers - 1; l >= 0; l--) {
        const int fused = job->plan.fused;
        const int64_t strip =
            fused ? BP_T(gradient_strip)(net, &net->layers[l], job->workspace->n_members) : 0;
        phases->backward(w, block, l, dx);
        if (!strip) phases->gradient(w, block, l, BP_T(gradient_of)(job, gradient, l), accumulate);
        bp_sync(w->team, w->member, w->members);
        if (!fused) continue;
        if (strip)
            BP_T(update_in_strips)(job, w, block, l, strip);
        else
            BP_T(update_layer)(job, l, w->member, w->members);
        bp_sync(w->team, w->member, w->members);
    }
}

/* One block of rows: what job->want asks for. Gives the block's share of the cost. */
static double BP_T(run_block)(BP_T(bp_job) *job, const BP_T(bp_worker) *w, bp_block *block,
                              real *gradient, int accumulate) {
    const bp_net *net = job->net;
    const BP_T(bp_phases) *phases = BP_T(phases_of)(net);
    const int64_t n_out = net->layers[net->n_layers - 1].n_out;
    real *out = job->batch.out ? (real *)job->batch.out + block->offset * n_out : NULL;
    if (w->member == 0) BP_T(bp_pass_bind)(net, w->pass, block);
    bp_sync(w->team, w->member, w->members);
    phases->load(w, block);
    bp_sync(w->team, w->member, w->members);
    phases->forward(w, block, job->batch.finish, out, n_out);
    if (job->want == BP_WANT_OUTPUTS) return 0.0;
    int status = phases->loss(w, block);
    if (status != BP_OK) job->user_status = status;
    bp_sync(w->team, w->member, w->members);
    if (job->user_status != BP_OK) return 0.0;
    const double cost = BP_T(cost_of_rows)(w->pass, block->n);
    if (job->want == BP_WANT_GRADIENT &&
        (!job->plan.fused || isfinite(cost + BP_T(penalties)(job))))
        BP_T(go_back)(job, w, block, gradient, accumulate);
    else
        bp_sync(w->team, w->member, w->members); /* the next block writes where this one is read */
    return cost;
}

/* The blocks of one part of the batch. */
static void BP_T(run_part)(BP_T(bp_job) *job, const BP_T(bp_worker) *w, int part) {
    BP_T(bp_workspace) *ws = job->workspace;
    const bp_batch *batch = &job->batch;
    int64_t begin, end;
    bp_share(batch->n, 1, part, job->plan.parts, &begin, &end);
    real *gradient =
        part == 0 ? job->gradient : ws->gradients + (int64_t)part * job->net->n_parameters;
    double cost = 0.0;
    for (int64_t row = begin; row < end; row += job->plan.block) {
        bp_block block = {
            .data = batch->data,
            .rows = {batch->rows.index, batch->rows.first + row},
            .n = end - row < job->plan.block ? end - row : job->plan.block,
            .offset = row,
            .weight_scale = batch->weight_scale,
            .dropout = batch->dropout,
        };
        cost += BP_T(run_block)(job, w, &block, gradient, row > begin);
        if (job->user_status != BP_OK) break;
    }
    if (w->member == 0) ws->part_cost[part] = cost;
}

/* Part after part that nobody has taken yet: a member that comes late leaves more to the others. */
static void BP_T(run_parts)(BP_T(bp_job) *job, int member, int members) {
    BP_T(bp_workspace) *ws = job->workspace;
    const BP_T(bp_worker) w = {
        .net = job->net,
        .kernels = BP_T(kernels_of)(job->net),
        .pass = &ws->passes[member],
        .members = 1,
        .scratch = ws->scratch + ws->scratch_each * member,
    };
    for (int part = 0; members == 1 && part < job->plan.parts; part++)
        BP_T(run_part)(job, &w, part);
    while (members > 1) {
        const int part = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (part >= job->plan.parts) return;
        BP_T(run_part)(job, &w, part);
    }
}

/* The penalty of this member's chunks of the weights. */
static void BP_T(sum_penalties)(const BP_T(bp_job) *job, int member, int members) {
    const bp_net *net = job->net;
    const BP_T(bp_kernels) *kernels = BP_T(kernels_of)(net);
    int64_t chunk = 0;
    for (int l = 0; l < net->n_layers; l++) {
        const real *w = (const real *)net->parameters + net->layers[l].w;
        const int64_t count = net->layers[l].n_in * net->layers[l].n_out;
        for (int64_t i = 0; i < count; i += CHUNK, chunk++) {
            if (chunk % members != member) continue;
            const int64_t n = count - i < CHUNK ? count - i : CHUNK;
            double penalty = 0.0;
            if (net->l2 > 0.0) penalty += 0.5 * net->l2 * kernels->sum_sq(n, w + i);
            if (net->l1 > 0.0) penalty += net->l1 * kernels->sum_abs(n, w + i);
            job->workspace->partial[chunk] = penalty;
        }
    }
}

void BP_T(bp_batch_run)(BP_T(bp_job) *job, bp_team *team, int member, int members) {
    BP_T(bp_workspace) *ws = job->workspace;
    if (job->want != BP_WANT_OUTPUTS && (job->net->l1 > 0.0 || job->net->l2 > 0.0))
        BP_T(sum_penalties)(job, member, members);
    if (job->plan.shared) {
        const BP_T(bp_worker) w = {
            .net = job->net,
            .kernels = BP_T(kernels_of)(job->net),
            .pass = &ws->passes[0],
            .team = team,
            .member = member,
            .members = members,
            .scratch = ws->scratch + ws->scratch_each * member,
        };
        BP_T(run_part)(job, &w, 0);
    } else {
        BP_T(run_parts)(job, member, members);
    }
    bp_sync(team, member, members);
}

void BP_T(bp_batch_outputs)(BP_T(bp_job) *job, int member, int members) {
    BP_T(run_parts)(job, member, members);
}

double BP_T(bp_batch_cost)(const BP_T(bp_job) *job) {
    double cost = 0.0;
    for (int part = 0; part < job->plan.parts; part++)
        cost += job->workspace->part_cost[part];
    return cost + BP_T(penalties)(job);
}

void BP_T(bp_batch_gradient)(BP_T(bp_job) *job, bp_team *team, int member, int members) {
    const bp_net *net = job->net;
    const BP_T(bp_kernels) *kernels = BP_T(kernels_of)(net);
    const real *parameters = net->parameters;
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = &net->layers[l];
        int64_t begin, end;
        bp_share(layer->n_out, 1, member, members, &begin, &end);
        const int64_t w = layer->w + begin * layer->n_in, count = (end - begin) * layer->n_in;
        BP_T(add_parts)(job, w, count);
        BP_T(add_parts)(job, layer->b + begin, end - begin);
        if (net->l1 > 0.0 || net->l2 > 0.0)
            kernels->add_penalty(count, parameters + w, net->l1, net->l2, job->gradient + w);
    }
    bp_sync(team, member, members);
}

/* The norm of the gradient: sums of chunks, then in order, so that every member gets the same. */
static double BP_T(gradient_norm)(BP_T(bp_job) *job, bp_team *team, int member, int members) {
    const BP_T(bp_kernels) *kernels = BP_T(kernels_of)(job->net);
    const int64_t n = job->net->n_parameters, chunks = (n + CHUNK - 1) / CHUNK;
    for (int64_t chunk = member; chunk < chunks; chunk += members) {
        const int64_t first = chunk * CHUNK, count = n - first < CHUNK ? n - first : CHUNK;
        job->workspace->partial[chunk] = kernels->sum_sq(count, job->gradient + first);
    }
    bp_sync(team, member, members);
    double sum = 0.0;
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        sum += job->workspace->partial[chunk];
    return sqrt(sum);
}

void BP_T(bp_batch_update)(BP_T(bp_job) *job, bp_team *team, int member, int members) {
    bp_net *net = job->net;
    if (job->optimizer->clip_norm > 0.0) {
        BP_T(bp_batch_gradient)(job, team, member, members);
        const double norm = BP_T(gradient_norm)(job, team, member, members);
        const double factor = bp_clip_factor(norm, job->optimizer->clip_norm);
        if (member == 0) job->update.grad_scale = factor;
        bp_sync(team, member, members);
    }
    const int penalised = net->l1 > 0.0 || net->l2 > 0.0;
    if (members == 1 && !penalised && net->n_parameters * (int64_t)sizeof(real) <= STRIP_BYTES) {
        /* All parameters follow the same rule and fit in the cache: one call for all of them. */
        if (!(job->optimizer->clip_norm > 0.0)) BP_T(add_parts)(job, 0, net->n_parameters);
        BP_T(update_range)(job, &job->update, 0, net->n_parameters, job->gradient);
        for (int l = 0; l < net->n_layers; l++)
            BP_T(phases_of)(net)->pack_rows(net, l, 0, net->layers[l].n_out);
        return;
    }
    for (int l = 0; l < net->n_layers; l++)
        BP_T(update_layer)(job, l, member, members);
}
