/* Training of networks in lanes: batch after batch, in a visit. */

/* The scalars of the coming updates. */
static void resolve_lanes(lanes *g) {
    bp_update updates[BP_MAX_LANES];
    const bp_optimizer *before = NULL;
    int changes = 0;
    for (int lane = 0; lane < g->count; lane++) {
        const bp_slice *s = g->group.slices[g->like[lane]];
        updates[lane] = bp_optimizer_resolve_beside(s->optimizer, bp_slice_rates(s), before,
                                                    &updates[lane > 0 ? lane - 1 : 0]);
        before = s->optimizer;
        changes |= s->rates || (before->kind != BP_OPT_SGD && before->kind != BP_OPT_RMSPROP);
    }
    g->kernels->lanes.scalars(updates, &g->scalars);
    g->has_scalars = !changes;
}

static int are_equal(const real *x, const real *y, int64_t n) {
    return x && y ? memcmp(x, y, (size_t)n * sizeof *x) == 0 : x == y;
}

static int is_same_matrix(const bp_matrix *a, const bp_matrix *b) {
    return a->data == b->data && a->dtype == b->dtype && a->cols == b->cols &&
           a->row_stride == b->row_stride && a->col_stride == b->col_stride;
}

/* Whether two networks learn the same rows in the same order in this epoch. */
static int learn_the_same(const bp_fit *a, const bp_fit *b) {
    const int64_t n_in = a->net->layers[0].n_in;
    return is_same_matrix(&a->data.x, &b->data.x) && is_same_matrix(&a->data.y, &b->data.y) &&
           a->data.sample_weight == b->data.sample_weight && a->picked == b->picked &&
           a->net->label_smoothing == b->net->label_smoothing && a->shuffle == b->shuffle &&
           (!a->shuffle ||
            (a->shuffle_seed == b->shuffle_seed && a->net->epochs == b->net->epochs)) &&
           are_equal(a->net->shift, b->net->shift, n_in) &&
           are_equal(a->net->scale, b->net->scale, n_in);
}

/* Begins an epoch, or goes on with one that has begun. */
static void begin_epoch_of_lanes(lanes *g) {
    const bp_fit *first = g->group.slices[g->like[0]]->fit;
    if (first->batch == 0)
        memcpy(g->b.backup, g->b.parameters,
               (size_t)(g->net->n_parameters * g->count) * sizeof(real));
    g->is_shared = 1;
    for (int lane = 0; lane < g->group.n; lane++) {
        bp_fit *fit = g->group.slices[lane]->fit;
        if (!g->is_live[lane]) continue;
        g->is_shared &= learn_the_same(first, fit);
        if (fit->batch == 0) bp_fit_begin_epoch(fit);
        g->batch[lane] = bp_fit_batch(fit, fit->batch, fit->net->steps, 1.0);
    }
}

/* Goes on to the next batch of the epoch, of n rows. */
static void begin_batch_of_lanes(lanes *g, int64_t batch, int64_t n, int64_t batch_size) {
    const double share = 1.0 / (double)n;
    for (int lane = 0; lane < g->group.n; lane++) {
        bp_batch *b = &g->batch[lane];
        if (!g->is_live[lane]) continue;
        b->rows.first = batch * batch_size;
        b->n = n;
        b->weight_scale = b->data->sample_weight ? bp_weight_scale(b->data, &b->rows, n) : share;
    }
}

static void begin_lanes(lanes *g, int is_first) {
    const bp_fit *fit = g->group.slices[g->like[0]]->fit;
    const int64_t batch_size = fit->batch_size;
    if (is_first || fit->batch == 0)
        begin_epoch_of_lanes(g);
    else
        begin_batch_of_lanes(
            g, fit->batch, bp_min_i64(batch_size, fit->rows - fit->batch * batch_size), batch_size);
    if (!g->has_scalars) resolve_lanes(g);
}

/* Retires the networks for which values[lane] is not finite. */
static void retire_broken(lanes *g, const double *values) {
    for (int lane = 0; lane < g->group.n; lane++) {
        if (!g->is_live[lane] || isfinite(values[lane])) continue;
        g->group.slices[lane]->status = BP_ERR_NOT_FINITE;
        retire_lane(g, lane);
    }
}

/* After the last update of an epoch: retires the networks whose parameters are not finite. */
static void check_lanes(lanes *g) {
    double sums[BP_MAX_LANES] = {0};
    if (all_finite(g->net->n_parameters * g->count, g->b.parameters)) return;
    for (int64_t i = 0; i < g->net->n_parameters; i++)
        for (int lane = 0; lane < g->count; lane++)
            if (!isfinite(g->b.parameters[i * g->count + lane])) sums[lane] = NAN;
    retire_broken(g, sums);
}

static void count_lanes(lanes *g) {
    for (int lane = 0; lane < g->group.n; lane++) {
        bp_slice *s = g->group.slices[lane];
        if (!g->is_live[lane]) continue;
        bp_slice_count_batch(s, g->cost[lane], &g->batch[lane]);
        if (bp_slice_is_over(s)) retire_lane(g, lane);
    }
}

/* Batch after batch until the time is up or nothing is left to do. */
static void train_lanes(void *context, bp_team *team, int member, int members) {
    lanes *g = context;
    bp_slice *clock = g->group.slices[0];
    (void)team, (void)member, (void)members;
    bp_slice_begin_turn(clock, INT64_MAX);
    for (int is_first = 1; g->n_live > 0 && !bp_slice_time_is_up(clock); is_first = 0) {
        const bp_slice *first = g->group.slices[g->like[0]];
        const int is_last = first->fit->batch + 1 == first->fit->n_batches;
        begin_lanes(g, is_first);
        lanes_gradient(g);
        retire_broken(g, g->cost);
        if (g->n_live == 0) return;
        g->kernels->lanes.update[first->optimizer->kind](g->net->n_parameters, g->b.parameters,
                                                         g->b.gradient, g->b.state[0],
                                                         g->b.state[1], g->b.state[2], &g->scalars);
        if (is_last) check_lanes(g);
        count_lanes(g);
    }
    for (int lane = 0; lane < g->group.n; lane++)
        if (g->is_live[lane]) empty_lane(g, lane);
}

static void lanes_run(const bp_lane_group *group) {
    const bp_slice *first = group->slices[0];
    bp_net *net = first->fit->net;
    char *memory = net->workspace[BP_PASS_LANES];
    lanes g = {
        .kernels = kernels_of(net),
        .net = net,
        .count = kernels_of(net)->lanes.count,
        .group = *group,
        .whole =
            bp_plan_step(net, first->fit->batch_size, first->fit->batch_size, first->optimizer),
        .rest = bp_plan_step(net, (first->fit->rows - 1) % first->fit->batch_size + 1,
                             first->fit->batch_size, first->optimizer),
    };
    lay_out_lanes(first, g.count, memory + BP_ALIGNMENT, &g.b);
    for (int lane = 0; lane < group->n; lane++) {
        g.is_live[lane] = !bp_slice_is_over(group->slices[lane]);
        g.n_live += g.is_live[lane];
    }
    choose_likes(&g);
    for (int lane = 0; lane < g.count; lane++)
        fill_lane(&g, lane, group->slices[g.like[lane]]);
    bp_pool_run(1, train_lanes, &g);
}
