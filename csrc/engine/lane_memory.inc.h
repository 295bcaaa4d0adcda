/* Small networks, one in each lane of a vector: their buffers, and the way into lanes and back.
 *
 * What a network alone keeps as an array is an array of vectors here: entry i of the network in
 * lane l is x[i * count + l]. The networks stand at the same batch of their epochs. In each step
 * every lane computes what its network would compute alone, in the same order, so the bits are the
 * same. Parameters, optimizer states and the copy of the parameters are brought into this layout
 * when a visit begins, and back when it ends.
 *
 * A lane whose network has no more to do, or whose cost is not finite, is brought back at once.
 * From then on it takes the rows and rates of another network, and its results go nowhere. A lane
 * that never had a network repeats another one altogether. */

/* The buffers of a visit. Vectors of `count` reals, unless said otherwise. */
typedef struct {
    real *parameters, *backup, *gradient, *part; /* n_parameters each; part: of a second part */
    real *state[3];
    real **a;       /* n_layers + 1: inputs and outputs of the layers, (rows x width) */
    real **z;       /* per layer: the pre-activation, or NULL where it is not kept */
    real *delta[2]; /* used alternately */
    real *out_rows; /* of the last layer, (rows * count x n_out) reals: the loss takes rows */
    real *z_rows;   /* the same */
    real *delta_rows;
    real *y; /* (rows * count x n_out) reals; or labels */
    int64_t *labels;
    real *row_scale, *loss; /* rows */
    real *x_one, *y_one;    /* the batch of one network, as it is loaded */
    real *row_scale_one;
    int64_t *labels_one;
} lane_buffers;

/* The workspace. */
typedef struct {
    int64_t bytes; /* that follow it, from the next multiple of BP_ALIGNMENT on */
} lane_memory;

/* Many networks at work. Arrays have an entry for each lane. */
typedef struct {
    const real_kernels *kernels;
    const bp_net *net; /* one of them: all have the same shape */
    int count;         /* of lanes */
    bp_lane_group group;
    bp_plan whole, rest;
    lane_buffers b;
    int is_live[BP_MAX_LANES]; /* has a network, which has more to do */
    int n_live;
    int like[BP_MAX_LANES]; /* the lane itself if it is live, or the one whose rows it takes */
    bp_batch batch[BP_MAX_LANES];
    double cost[BP_MAX_LANES];
    lane_scalars scalars;
    int has_scalars; /* and they stay as they are */
    int is_shared;   /* all networks learn the same rows in the same order */
} lanes;

static int64_t lanes_rows(const bp_slice *s) {
    const int64_t batch = s->fit->batch_size;
    int64_t rows = 0;
    for (int rest = 0; rest < 2; rest++) {
        const int64_t n = rest ? (s->fit->rows - 1) % batch + 1 : batch;
        const bp_plan plan = bp_plan_step(s->fit->net, n, batch, s->optimizer);
        rows = bp_max_i64(rows, plan.block);
    }
    return rows;
}

/* Distributes a block over the buffers, or counts the bytes that they need if it is NULL. */
static int64_t lay_out_lanes(const bp_slice *s, int count, void *block, lane_buffers *b) {
    const bp_net *net = s->fit->net;
    const int last = net->n_layers - 1;
    const int64_t rows = lanes_rows(s), n_out = net->layers[last].n_out;
    const size_t vector = (size_t)count * sizeof(real);
    real **const flat[] = {&b->parameters, &b->backup,   &b->gradient, &b->part,
                           &b->state[0],   &b->state[1], &b->state[2]};
    int64_t used = 0;
    for (int i = 0; i < 7; i++)
        *flat[i] = i < 4 || s->optimizer->state[i - 4]
                       ? bp_cut(block, &used, net->n_parameters, vector)
                       : NULL;
    b->a = bp_cut(block, &used, net->n_layers + 1, sizeof *b->a);
    b->z = bp_cut(block, &used, net->n_layers, sizeof *b->z);
    for (int l = 0; l <= last + 1; l++) {
        const int64_t width = l == 0 ? net->layers[0].n_in : net->layers[l - 1].n_out;
        real *a = bp_cut(block, &used, rows * width, vector);
        real *z = l > 0 && bp_act_needs_z(net->layers[l - 1].act)
                      ? bp_cut(block, &used, rows * width, vector)
                      : NULL;
        if (block) b->a[l] = a;
        if (block && l > 0) b->z[l - 1] = z;
    }
    for (int i = 0; i < 2; i++)
        b->delta[i] = bp_cut(block, &used, rows * net->max_width, vector);
    b->out_rows = bp_cut(block, &used, rows * n_out, vector);
    b->z_rows = bp_cut(block, &used, rows * n_out, vector);
    b->delta_rows = bp_cut(block, &used, rows * n_out, vector);
    b->y = bp_cut(block, &used, rows * n_out, vector);
    b->labels = bp_cut(block, &used, rows, (size_t)count * sizeof *b->labels);
    b->row_scale = bp_cut(block, &used, rows, vector);
    b->loss = bp_cut(block, &used, rows, vector);
    b->x_one = bp_cut(block, &used, rows * net->layers[0].n_in, sizeof(real));
    b->y_one = bp_cut(block, &used, rows * n_out, sizeof(real));
    b->row_scale_one = bp_cut(block, &used, rows, sizeof(real));
    b->labels_one = bp_cut(block, &used, rows, sizeof *b->labels_one);
    return used;
}

static int lanes_reserve(const bp_slice *s) {
    bp_net *net = s->fit->net;
    lane_buffers buffers;
    const lane_memory *old = net->workspace[BP_PASS_LANES];
    const int64_t bytes = lay_out_lanes(s, kernels_of(net)->lanes.count, NULL, &buffers);
    if (old && old->bytes >= bytes) return BP_OK;
    workspace_release(net, BP_PASS_LANES);
    lane_memory *memory = bp_alloc(BP_ALIGNMENT + bytes, 1);
    if (!memory) return BP_ERR_MEMORY;
    memory->bytes = bytes;
    net->workspace[BP_PASS_LANES] = memory;
    return BP_OK;
}

/* ---- between the networks and the lanes ---- */

static void to_lane(int64_t n, const void *from, real *to, int count) {
    for (int64_t i = 0; i < n; i++)
        to[i * count] = ((const real *)from)[i];
}

static void from_lane(int64_t n, const real *from, int count, void *to) {
    for (int64_t i = 0; i < n; i++)
        ((real *)to)[i] = from[i * count];
}

/* Fills a lane with a network. */
static void fill_lane(const lanes *g, int lane, const bp_slice *s) {
    const bp_fit *fit = s->fit;
    const int64_t n = g->net->n_parameters;
    const bp_optimizer *o = s->optimizer;
    to_lane(n, fit->net->parameters, g->b.parameters + lane, g->count);
    if (fit->batch > 0) to_lane(n, fit->backup, g->b.backup + lane, g->count);
    for (int i = 0; i < 3; i++)
        if (o->state[i]) to_lane(n, o->state[i], g->b.state[i] + lane, g->count);
    /* What the first step takes for the momentum, see the kernel. */
    for (int64_t i = 0; o->kind == BP_OPT_SGD && o->state[0] && o->step == 0 && i < n; i++)
        g->b.state[0][i * g->count + lane] = (real)-0.0;
}

/* Brings the network of a lane up to date. */
static void empty_lane(const lanes *g, int lane) {
    const bp_slice *s = g->group.slices[lane];
    const bp_fit *fit = s->fit;
    const int64_t n = g->net->n_parameters;
    from_lane(n, g->b.parameters + lane, g->count, fit->net->parameters);
    from_lane(n, g->b.backup + lane, g->count, fit->backup);
    for (int i = 0; i < 3 && s->optimizer->step > 0; i++)
        if (s->optimizer->state[i])
            from_lane(n, g->b.state[i] + lane, g->count, s->optimizer->state[i]);
    fit->net->packed_stale = 1;
}

/* Lanes that are not live repeat the first that is. */
static void choose_likes(lanes *g) {
    int first = 0;
    while (first < g->count - 1 && !g->is_live[first])
        first++;
    for (int lane = 0; lane < g->count; lane++)
        g->like[lane] = g->is_live[lane] ? lane : first;
}

/* Ends the work on a lane. */
static void retire_lane(lanes *g, int lane) {
    empty_lane(g, lane);
    g->is_live[lane] = 0;
    g->n_live--;
    g->has_scalars = 0;
    choose_likes(g);
}
