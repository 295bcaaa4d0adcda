/* A batch of networks in lanes: its rows, its costs and its gradients. */

/* Loads n rows of a network as they are for it alone: x_one, y_one and so on. */
static void load_one(const lanes *g, int lane, const bp_rows *rows, int64_t n) {
    const bp_net *net = g->group.slices[lane]->fit->net;
    const bp_batch *batch = &g->batch[lane];
    const int64_t n_in = net->layers[0].n_in;
    const lane_buffers *b = &g->b;
    rows_load(g->kernels, &batch->data->x, rows, n, net->shift, net->scale, b->x_one, n_in);
    load_targets(net, batch->data, rows, n, batch->weight_scale,
                 (bp_targets){b->y_one, b->labels_one, b->row_scale_one});
}

/* Puts the targets of one network into some lanes. */
static void put_targets(const lanes *g, int64_t n, int first, int end) {
    const lane_buffers *b = &g->b;
    const int64_t n_out = g->net->layers[g->net->n_layers - 1].n_out;
    const int has_labels = targets_are_labels(g->net, g->batch[g->like[0]].data);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t at = i * g->count + first; at < i * g->count + end; at++) {
            if (has_labels) b->labels[at] = b->labels_one[i];
            for (int64_t j = 0; !has_labels && j < n_out; j++)
                b->y[at * n_out + j] = b->y_one[i * n_out + j];
        }
    }
}

/* Whether the rows of a network need no conversion and have no weights. */
static int is_direct(const bp_net *net, const bp_data *data) {
    const int32_t own = sizeof(real) == 4 ? BP_FLOAT32 : BP_FLOAT64;
    const int64_t size = sizeof(real);
    return data->x.dtype == own && data->y.dtype == own && !net->scale && !data->sample_weight &&
           net->label_smoothing == 0.0 && (data->x.cols == 1 || data->x.col_stride == size) &&
           (data->y.cols == 1 || data->y.col_stride == size);
}

static void put_row(const bp_matrix *src, int64_t row, real *to, int64_t step) {
    const real *from = (const void *)((const char *)src->data + row * src->row_stride);
    for (int64_t j = 0; j < src->cols; j++)
        to[j * step] = from[j];
}

/* Rows begin <= i < begin + n of the batch of the lane's network. */
static void load_lane(const lanes *g, int lane, int64_t begin, int64_t n) {
    const int count = g->count;
    const bp_batch *batch = &g->batch[g->like[lane]];
    const bp_data *data = batch->data;
    const bp_rows rows = {batch->rows.index, batch->rows.first + begin};
    const lane_buffers *b = &g->b;
    if (!is_direct(g->group.slices[g->like[lane]]->fit->net, data)) {
        load_one(g, g->like[lane], &rows, n);
        to_lane(n * data->x.cols, b->x_one, b->a[0] + lane, count);
        to_lane(n, b->row_scale_one, b->row_scale + lane, count);
        put_targets(g, n, lane, lane + 1);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = bp_row(&rows, i);
        put_row(&data->x, row, b->a[0] + i * data->x.cols * count + lane, count);
        put_row(&data->y, row, b->y + (i * count + lane) * data->y.cols, 1);
        b->row_scale[i * count + lane] = (real)batch->weight_scale;
    }
}

static void load_lanes(const lanes *g, int64_t begin, int64_t n) {
    const bp_batch *batch = &g->batch[g->like[0]];
    const bp_rows rows = {batch->rows.index, batch->rows.first + begin};
    const lane_buffers *b = &g->b;
    for (int lane = 0; !g->is_shared && lane < g->count; lane++)
        load_lane(g, lane, begin, n);
    if (!g->is_shared) return;
    load_one(g, g->like[0], &rows, n);
    g->kernels->lanes.spread(n * batch->data->x.cols, b->x_one, b->a[0]);
    g->kernels->lanes.spread(n, b->row_scale_one, b->row_scale);
    if (g->net->layers[g->net->n_layers - 1].n_out == 1 && !targets_are_labels(g->net, batch->data))
        g->kernels->lanes.spread(n, b->y_one, b->y);
    else
        put_targets(g, n, 0, g->count);
}

/* The layer's outputs for n rows, from its inputs. */
static void lanes_layer(const lanes *g, int64_t n, int l) {
    const lane_buffers *b = &g->b;
    const bp_layer *layer = &g->net->layers[l];
    const int act = pass_act(g->net, l, 0);
    const int64_t n_in = layer->n_in, n_out = layer->n_out, all = n * n_out * g->count;
    real *z = b->z[l] ? b->z[l] : b->a[l + 1];
    g->kernels->lanes.product(n, n_out, n_in, b->a[l], n_in, 1, b->parameters + layer->w * g->count,
                              1, n_in, b->parameters + layer->b * g->count, z, n_out);
    if (act != BP_ACT_SOFTMAX) /* which follows on rows */
        g->kernels->act_fwd[act](1, all, z, all, NULL, b->a[l + 1], all);
}

/* The last layer's vectors of units as rows of examples, and the other way round. */
static const real *to_rows(const lanes *g, int64_t n, int64_t n_out, const real *x, real *rows) {
    const int64_t each = n_out * g->count;
    for (int64_t i = 0; n_out > 1 && i < n; i++)
        g->kernels->transpose(g->count, n_out, x + i * each, g->count, rows + i * each, n_out);
    return n_out > 1 ? rows : x;
}

static void from_rows(const lanes *g, int64_t n, int64_t n_out, const real *rows, real *x) {
    const int64_t each = n_out * g->count;
    for (int64_t i = 0; n_out > 1 && i < n; i++)
        g->kernels->transpose(n_out, g->count, rows + i * each, n_out, x + i * each, g->count);
}

/* The loss of each row, and delta of the last layer. */
static void lanes_loss(const lanes *g, int64_t n, real *delta) {
    const lane_buffers *b = &g->b;
    const int last = g->net->n_layers - 1, act = pass_act(g->net, last, 0);
    const int64_t n_out = g->net->layers[last].n_out;
    const real *out = to_rows(g, n, n_out, b->a[last + 1], b->out_rows);
    const bp_loss_rows rows = {n * g->count, n_out, g->net->loss, g->net->layers[last].act};
    const bp_loss_buffers buffers = {
        .out = out,
        .z = b->z[last] ? to_rows(g, n, n_out, b->z[last], b->z_rows) : NULL,
        .ld = n_out,
        .y = targets_are_labels(g->net, g->batch[g->like[0]].data) ? NULL : b->y,
        .labels = b->labels,
        .row_scale = b->row_scale,
        .loss = b->loss,
        .delta = n_out > 1 ? b->delta_rows : delta,
    };
    if (act == BP_ACT_SOFTMAX)
        g->kernels->softmax(n * g->count, n_out, out, n_out, (real *)out, n_out);
    loss_run(g->kernels, &rows, &buffers);
    from_rows(g, n, n_out, b->delta_rows, delta);
}

/* The gradient of n rows. */
static void lanes_backward(const lanes *g, int64_t n, real *gradient) {
    const lane_buffers *b = &g->b;
    const bp_net *net = g->net;
    for (int l = net->n_layers - 1; l >= 0; l--) {
        const bp_layer *layer = &net->layers[l];
        const int64_t n_in = layer->n_in, n_out = layer->n_out, all = n * n_in * g->count;
        const real *delta = b->delta[l & 1];
        g->kernels->lanes.product(n_out, n_in, n, delta, 1, n_out, b->a[l], n_in, 1, NULL,
                                  gradient + layer->w * g->count, n_in);
        g->kernels->lanes.sum(n, n_out, delta, gradient + layer->b * g->count);
        if (l == 0) return;
        const int act = net->layers[l - 1].act;
        real *below = b->delta[(l - 1) & 1];
        g->kernels->lanes.product(n, n_in, n_out, delta, n_out, 1,
                                  b->parameters + layer->w * g->count, n_in, 1, NULL, below, n_in);
        g->kernels->act_bwd[act](1, all, b->z[l - 1] ? b->z[l - 1] : b->a[l], all, below, all);
    }
}

/* Rows begin <= i < end of the batch: their gradient, and their share of the cost. */
static void lanes_part(lanes *g, int64_t begin, int64_t end, real *gradient) {
    const lane_buffers *b = &g->b;
    const int64_t n = end - begin;
    const int last = g->net->n_layers - 1;
    double cost[BP_MAX_LANES] = {0};
    load_lanes(g, begin, n);
    for (int l = 0; l <= last; l++)
        lanes_layer(g, n, l);
    lanes_loss(g, n, b->delta[last & 1]);
    for (int64_t i = 0; i < n; i++)
        for (int lane = 0; lane < g->count; lane++)
            cost[lane] +=
                (double)b->row_scale[i * g->count + lane] * (double)b->loss[i * g->count + lane];
    for (int lane = 0; lane < g->count; lane++)
        g->cost[lane] += cost[lane];
    lanes_backward(g, n, gradient);
}

static void lanes_gradient(lanes *g) {
    const bp_batch *batch = &g->batch[g->like[0]];
    const bp_plan *plan = batch->n < g->group.slices[0]->fit->batch_size ? &g->rest : &g->whole;
    const int64_t all = g->net->n_parameters * g->count;
    memset(g->cost, 0, sizeof g->cost);
    for (int part = 0; part < plan->parts; part++) {
        int64_t begin, end;
        bp_plan_part(plan, batch->n, part, &begin, &end);
        lanes_part(g, begin, end, part == 0 ? g->b.gradient : g->b.part);
        if (part > 0) g->kernels->add(all, g->b.gradient, g->b.part, g->b.gradient);
    }
}
