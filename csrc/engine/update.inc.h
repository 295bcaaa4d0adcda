/* From the gradients of a batch's parts to new parameters: sums, penalties, clipping, the update.
 */

/* Bytes of parameters that are updated, and packed, before the next ones are touched. */
static const int64_t STRIP_BYTES = 128 * 1024;

/* A layer's share of a gradient: its own place in the flat vector, or the start of the room for one
 * layer, if each layer's gradient is used up at once. */
static real *gradient_of(const bp_job *job, real *gradient, int l) {
    return job->plan.fused ? gradient : gradient + job->net->layers[l].w;
}

/* The gradient of a part, from an entry on. */
static real *gradient_of_part(const bp_job *job, int part, int64_t first) {
    return (part == 0 ? job->gradient : job->gradients + part * gradient_stride(job->net)) + first;
}

/* Adds up the gradients of all parts, over a range of parameters, in that of the first: pairs of
 * neighbours, then pairs of their sums, and so on. */
static void add_parts(const bp_job *job, int64_t first, int64_t count) {
    for (int step = 1; step < job->plan.parts; step *= 2) {
        for (int part = 0; part + step < job->plan.parts; part += 2 * step) {
            real *sum = gradient_of_part(job, part, first);
            kernels_of(job->net)->add(count, sum, gradient_of_part(job, part + step, first), sum);
        }
    }
}

/* One optimizer step over a range of a flat vector, all of it at the same rates. */
static void update_alike(const bp_job *job, const bp_replica *replica, const bp_update *update,
                         int64_t first, int64_t count, const real *gradient) {
    real *state[3];
    for (int i = 0; i < 3; i++)
        state[i] = replica->state[i] ? replica->state[i] + first : NULL;
    kernels_of(job->net)->update[job->optimizer->kind](count, replica->parameters + first, gradient,
                                                       state[0], state[1], state[2], update);
}

/* One optimizer step over a range of a flat vector; gradient is that of the range. */
static void update_replica(const bp_job *job, const bp_replica *replica, const bp_update *update,
                           int64_t first, int64_t count, const real *gradient) {
    const bp_net *net = job->net;
    const int64_t last = first + count;
    if (!net->has_factors) {
        update_alike(job, replica, update, first, count, gradient);
        return;
    }
    for (int i = 0; i < 2 * net->n_layers; i++) {
        const bp_layer *layer = &net->layers[i / 2];
        const int64_t begin = i % 2 ? layer->b : layer->w;
        const int64_t end = i % 2 ? layer->b + layer->n_out : layer->b;
        const int64_t low = bp_max_i64(first, begin), high = bp_min_i64(last, end);
        if (begin >= last) return;
        if (low >= high) continue;
        const bp_update own = bp_update_at(update, &layer->of[i % 2]);
        update_alike(job, replica, &own, low, high - low, gradient + (low - first));
    }
}

/* What the network and the caller's optimizer hold. The states of the scales come first. */
static bp_replica original(const bp_job *job) {
    bp_replica replica = {.parameters = job->net->parameters};
    for (int i = 0; i < 3; i++) {
        real *state = job->optimizer->state[i];
        replica.state[i] = state ? state + job->net->n_scales : NULL;
    }
    return replica;
}

static void update_range(const bp_job *job, const bp_update *update, int64_t first, int64_t count,
                         const real *gradient) {
    const bp_replica replica = original(job);
    update_replica(job, &replica, update, first, count, gradient);
}

/* Updates a tile of W of a layer, and its packed copy, from its gradient; also b, for the rows of a
 * tile that begins at column 0. Parameters, gradients and states stay in the cache from their
 * update until they are packed. A batch in several parts is updated in whole rows. */
static void update_tile(const bp_job *job, int l, bp_tile tile, const real *dw, int64_t lddw,
                        const real *db) {
    bp_net *net = job->net;
    const bp_layer *layer = &net->layers[l];
    const int64_t n_in = layer->n_in, cols = tile.n1 - tile.n0;
    const int64_t strip = rows_in(net, cols, STRIP_BYTES);
    const int is_whole = bp_plan_needs_whole(net, job->optimizer);
    bp_update weights = job->update;
    if (!is_whole) { /* else the penalties are in the gradient already */
        weights.l1 = net->l1;
        weights.l2 = net->l2;
    }
    for (int64_t row = tile.m0; row < tile.m1; row += strip) {
        const int64_t rows = tile.m1 - row < strip ? tile.m1 - row : strip;
        if (!is_whole) {
            add_parts(job, layer->w + row * n_in, rows * n_in);
            add_parts(job, layer->b + row, rows);
        }
        const int64_t rows_at_once = cols == n_in && lddw == n_in ? rows : 1;
        for (int64_t i = row; i < row + rows; i += rows_at_once)
            update_range(job, &weights, layer->w + i * n_in + tile.n0, rows_at_once * cols,
                         dw + (i - tile.m0) * lddw);
        if (tile.n0 == 0)
            update_range(job, &job->update, layer->b + row, rows, db + (row - tile.m0));
        if (bp_plan_packs(&job->plan))
            phases_of(net)->pack_tile(net, l, (bp_tile){row, row + rows, tile.n0, tile.n1});
    }
}

/* This member's share of the rows of a layer. */
static void share_of_rows(const bp_net *net, int l, int member, int members, int64_t *begin,
                          int64_t *end) {
    bp_share(net->layers[l].n_out, phases_of(net)->pack_unit(net), member, members, begin, end);
}

/* This member's share of the update of a layer, and of its packed copy. */
static void update_layer(const bp_job *job, int l, int member, int members) {
    const bp_layer *layer = &job->net->layers[l];
    const real *dw = gradient_of(job, job->gradient, l), *db = dw + (layer->b - layer->w);
    int64_t begin, end;
    share_of_rows(job->net, l, member, members, &begin, &end);
    update_tile(job, l, (bp_tile){begin, end, 0, layer->n_in}, dw + begin * layer->n_in,
                layer->n_in, db + begin);
}

/* This member's share of the gradient and the update of a layer, tile by tile: the gradient is used
 * up where it was formed, and hardly leaves the cache. The inputs of a column of tiles stay in the
 * cache while the rows of the deltas pass by. */
static void update_in_tiles(const bp_job *job, const bp_worker *w, const bp_block *block, int l,
                            bp_tile_size size) {
    const int64_t n_in = job->net->layers[l].n_in, lddw = tile_stride(size);
    real *dw = job->gradient + w->member * tile_room(size), *db = dw + size.rows * lddw;
    const int parts = (int)bp_ceil_div(n_in, size.cols);
    int64_t begin, end, col, right;
    share_of_rows(job->net, l, w->member, w->members, &begin, &end);
    for (int part = 0; part < parts; part++) {
        bp_share(n_in, TILE_COLUMNS, part, parts, &col, &right);
        for (int64_t row = begin; row < end; row += size.rows) {
            const bp_tile tile = {row, bp_min_i64(row + size.rows, end), col, right};
            phases_of(job->net)->gradient_tile(w, block, l, tile, dw, lddw, db);
            update_tile(job, l, tile, dw, lddw, db);
        }
    }
}

/* The update of a layer from its only example. */
static void update_from_example(const bp_job *job, const bp_worker *w, int l) {
    const bp_net *net = job->net;
    const bp_layer *layer = &net->layers[l];
    const bp_replica replica = original(job);
    const real *delta = w->pass->delta[l];
    real *state[3];
    bp_update weights = bp_update_at(&job->update, &layer->of[0]);
    weights.l1 = net->l1;
    weights.l2 = net->l2;
    for (int i = 0; i < 3; i++)
        state[i] = replica.state[i] ? replica.state[i] + layer->w : NULL;
    w->kernels->update_outer(job->optimizer->kind, layer->n_out, layer->n_in,
                             replica.parameters + layer->w, delta, w->pass->a[l], state[0],
                             state[1], state[2], &weights);
    w->kernels->col_sum(1, layer->n_out, delta, layer->n_out, w->scratch, 0); /* never -0 */
    update_range(job, &job->update, layer->b, layer->n_out, w->scratch);
}

static void batch_gradient(bp_job *job, bp_team *team, int member, int members) {
    const bp_net *net = job->net;
    const real_kernels *kernels = kernels_of(net);
    const real *parameters = net->parameters;
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = &net->layers[l];
        int64_t begin, end;
        bp_share(layer->n_out, 1, member, members, &begin, &end);
        const int64_t w = layer->w + begin * layer->n_in, count = (end - begin) * layer->n_in;
        add_parts(job, w, count);
        add_parts(job, layer->b + begin, end - begin);
        if (net->l1 > 0.0 || net->l2 > 0.0)
            kernels->add_penalty(count, parameters + w, net->l1, net->l2, job->gradient + w);
    }
    bp_sync(team, member, members);
}

/* The norm of the gradient of what is trained: sums of chunks, then in order, so that every member
 * gets the same. */
static double gradient_norm(bp_job *job, bp_team *team, int member, int members) {
    const bp_net *net = job->net;
    const real_kernels *kernels = kernels_of(net);
    const int64_t n = net->n_parameters, chunks = (n + CHUNK - 1) / CHUNK;
    for (int64_t chunk = member; chunk < chunks; chunk += members) {
        const int64_t first = chunk * CHUNK, count = n - first < CHUNK ? n - first : CHUNK;
        job->workspace->partial[chunk] = kernels->sum_sq(count, job->gradient + first);
    }
    bp_sync(team, member, members);
    const real *ds = net->n_scales > 0 ? gradient_of_scales(net) : NULL;
    double sum = ds ? kernels->sum_sq(net->n_scales, ds) : 0.0;
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        sum += job->workspace->partial[chunk];
    return sqrt(sum);
}

/* Prepares an update that needs the whole gradient. All members; syncs. */
static void prepare_whole(bp_job *job, bp_team *team, int member, int members) {
    batch_gradient(job, team, member, members);
    if (job->net->n_scales > 0) {
        unfold_gradient(job->net, job->gradient, member, members);
        bp_sync(team, member, members);
    }
    if (!(job->optimizer->clip_norm > 0.0)) return;
    const double norm = gradient_norm(job, team, member, members);
    const double factor = bp_clip_factor(norm, job->optimizer->clip_norm);
    if (member == 0) job->update.grad_scale = factor;
    bp_sync(team, member, members);
}

/* The update of the scales and of the first layer. All members; syncs before it reads scales. */
static void update_scaled_layer(const bp_job *job, bp_team *team, int member, int members) {
    bp_net *net = job->net;
    const bp_layer *layer = &net->layers[0];
    const int64_t n_in = layer->n_in;
    bp_replica replica = original(job);
    int64_t begin, end;
    if (member == 0) {
        void *const *state = job->optimizer->state;
        const bp_replica scales = {scales_of(net), {state[0], state[1], state[2]}};
        const bp_update own = bp_update_at(&job->update, &net->of_scales);
        update_alike(job, &scales, &own, 0, n_in, gradient_of_scales(net));
    }
    bp_sync(team, member, members);
    share_of_rows(net, 0, member, members, &begin, &end);
    update_range(job, &job->update, layer->b + begin, end - begin,
                 job->gradient + layer->b + begin);
    replica.parameters = raw_weights(net);
    update_replica(job, &replica, &job->update, begin * n_in, (end - begin) * n_in,
                   job->gradient + begin * n_in);
    fold_rows(net, begin, end);
    if (bp_plan_packs(&job->plan))
        phases_of(net)->pack_tile(net, 0, (bp_tile){begin, end, 0, n_in});
}

static void batch_update(bp_job *job, bp_team *team, int member, int members) {
    bp_net *net = job->net;
    const int is_whole = bp_plan_needs_whole(net, job->optimizer);
    if (is_whole) prepare_whole(job, team, member, members);
    if (net->n_scales > 0) {
        update_scaled_layer(job, team, member, members);
        for (int l = 1; l < net->n_layers; l++)
            update_layer(job, l, member, members);
        return;
    }
    const int penalised = net->l1 > 0.0 || net->l2 > 0.0;
    if (members == 1 && !penalised && net->n_parameters * (int64_t)sizeof(real) <= STRIP_BYTES) {
        /* All parameters follow the same rule and fit in the cache: one call for all of them. */
        if (!is_whole) add_parts(job, 0, net->n_parameters);
        update_range(job, &job->update, 0, net->n_parameters, job->gradient);
        for (int l = 0; l < net->n_layers && bp_plan_packs(&job->plan); l++)
            phases_of(net)->pack_tile(net, l,
                                      (bp_tile){0, net->layers[l].n_out, 0, net->layers[l].n_in});
        return;
    }
    for (int l = 0; l < net->n_layers; l++)
        update_layer(job, l, member, members);
}

/* An update of a vector that belongs to no network. */
static void update_vector(const bp_kernels *table, int64_t n, void *parameters,
                          const void *gradient, const bp_optimizer *optimizer) {
    const real_kernels *kernels = &table->ELEMENT;
    bp_update update = bp_optimizer_resolve(optimizer, bp_optimizer_rates(optimizer));
    if (optimizer->clip_norm > 0.0)
        update.grad_scale =
            bp_clip_factor(sqrt(kernels->sum_sq(n, gradient)), optimizer->clip_norm);
    kernels->update[optimizer->kind](n, parameters, gradient, optimizer->state[0],
                                     optimizer->state[1], optimizer->state[2], &update);
}
