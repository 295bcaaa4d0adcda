/* Optimizer steps, by PyTorch's rules, and the gradient of the penalties. */

/* The scalars of bp_update in the element type; one_minus_… are formed in double. */
typedef struct {
    real grad_scale, l1, l2, weight_decay, decay, lr, momentum, beta1, one_minus_beta1, beta2,
        one_minus_beta2, alpha, one_minus_alpha, eps, v_scale;
    int nesterov, centered, first;
} V(scalars);

BP_INLINE V(scalars) V(convert)(const bp_update *u) {
    V(scalars)
    c = {(real)u->grad_scale,  (real)u->l1,    (real)u->l2,          (real)u->weight_decay,
         (real)u->decay,       (real)u->lr,    (real)u->momentum,    (real)u->beta1,
         (real)(1 - u->beta1), (real)u->beta2, (real)(1 - u->beta2), (real)u->alpha,
         (real)(1 - u->alpha), (real)u->eps,   (real)u->v_scale,     u->nesterov,
         u->centered,          u->first};
    return c;
}

#define BP_EACH_SCALAR(X)                                                                          \
    X(grad_scale)                                                                                  \
    X(l1)                                                                                          \
    X(l2)                                                                                          \
    X(weight_decay)                                                                                \
    X(decay)                                                                                       \
    X(lr)                                                                                          \
    X(momentum)                                                                                    \
    X(beta1)                                                                                       \
    X(one_minus_beta1)                                                                             \
    X(beta2) X(one_minus_beta2) X(alpha) X(one_minus_alpha) X(eps) X(v_scale)

/* The same in vectors: one value in all lanes, or one for the network in each. */
#define BP_FIELD(name) vreal name;
typedef struct {
    BP_EACH_SCALAR(BP_FIELD)
    int nesterov, centered, first;
} V(factors);
#undef BP_FIELD

BP_INLINE V(factors) V(spread)(const V(scalars) * c) {
#define BP_SPREAD(name) V(set1)(c->name),
    V(factors) f = {BP_EACH_SCALAR(BP_SPREAD) c->nesterov, c->centered, c->first};
#undef BP_SPREAD
    return f;
}

/* sign(x), 0 at 0 and NaN at NaN. */
BP_INLINE vreal V(sign)(vreal x) {
    return V(select)(V(gt)(x, V(set1)(0)), V(set1)(1),
                     V(select)(V(lt)(x, V(set1)(0)), V(set1)(-1), x));
}

BP_INLINE vreal V(penalized)(vreal g, vreal w, vreal l1, vreal l2) {
    return V(fma)(l1, V(sign)(w), V(fma)(l2, w, g));
}

/* The gradient that the rule sees. */
BP_INLINE vreal V(adjusted)(vreal g, vreal w, const V(factors) * c) {
    g = V(mul)(c->grad_scale, V(penalized)(g, w, c->l1, c->l2));
    return V(fma)(c->weight_decay, w, g);
}

BP_INLINE vreal V(sgd)(vreal w, vreal g, real *s0, int count, const V(factors) * c) {
    if (s0 != NULL) {
        /* The first step is g, but computed like every other: a copy would keep a subnormal. The
         * sum of minus zero and g is g, whatever the sign of g. */
        const vreal momentum = c->momentum;
        const vreal before = c->first ? V(set1)((real)-0.0) : V(get)(s0, count);
        vreal step = V(fma)(momentum, before, g);
        V(put)(s0, step, count);
        g = c->nesterov ? V(fma)(momentum, step, g) : step;
    }
    return V(fnma)(c->lr, g, w);
}

BP_INLINE vreal V(adam)(vreal w, vreal g, real *s0, real *s1, int count, const V(factors) * c) {
    vreal m = V(get)(s0, count), v = V(get)(s1, count);
    m = V(fma)(c->one_minus_beta1, V(sub)(g, m), m);
    v = V(fma)(V(mul)(c->one_minus_beta2, g), g, V(mul)(c->beta2, v));
    V(put)(s0, m, count);
    V(put)(s1, v, count);
    vreal root = V(add)(V(sqrt)(V(mul)(v, c->v_scale)), c->eps);
    return V(sub)(w, V(div)(V(mul)(c->lr, m), root));
}

BP_INLINE vreal V(rmsprop)(vreal w, vreal g, real *s0, real *s1, real *s2, int count,
                           const V(factors) * c) {
    vreal square = V(mul)(c->alpha, V(get)(s0, count));
    square = V(fma)(V(mul)(c->one_minus_alpha, g), g, square);
    V(put)(s0, square, count);
    if (c->centered) {
        vreal mean = V(get)(s2, count);
        mean = V(fma)(c->one_minus_alpha, V(sub)(g, mean), mean);
        V(put)(s2, mean, count);
        square =
            V(max)(V(set1)(0), V(sub)(square, V(mul)(mean, mean))); /* rounding may go below 0 */
    }
    vreal step = V(div)(g, V(add)(V(sqrt)(square), c->eps));
    if (s1 != NULL) {
        step = V(fma)(c->momentum, V(get)(s1, count), step);
        V(put)(s1, step, count);
    }
    return V(fnma)(c->lr, step, w);
}

BP_INLINE vreal V(adagrad)(vreal w, vreal g, real *s0, int count, const V(factors) * c) {
    vreal sum = V(fma)(g, g, V(get)(s0, count));
    V(put)(s0, sum, count);
    vreal root = V(add)(V(sqrt)(sum), c->eps);
    return V(sub)(w, V(div)(V(mul)(c->lr, g), root));
}

#define BP_AT(p) ((p) == NULL ? NULL : (p) + i)

/* count lanes from i; opt, plain, and the presence of state are constants of the loop. */
BP_INLINE void V(update_lanes)(int opt, int plain, int count, int64_t i, real *w, const real *g,
                               real *s0, real *s1, real *s2, const V(factors) * c) {
    vreal x = V(get)(w + i, count), y = V(get)(g + i, count);
    if (!plain) y = V(adjusted)(y, x, c);
    if (opt == BP_OPT_SGD)
        x = V(sgd)(x, y, BP_AT(s0), count, c);
    else if (opt == BP_OPT_ADAM)
        x = V(adam)(x, y, s0 + i, s1 + i, count, c);
    else if (opt == BP_OPT_ADAMW)
        x = V(adam)(V(mul)(c->decay, x), y, s0 + i, s1 + i, count, c);
    else if (opt == BP_OPT_RMSPROP)
        x = V(rmsprop)(x, y, s0 + i, BP_AT(s1), BP_AT(s2), count, c);
    else
        x = V(adagrad)(x, y, s0 + i, count, c);
    V(put)(w + i, x, count);
}

BP_INLINE void V(update_run)(int opt, int plain, int64_t n, real *w, const real *g, real *s0,
                             real *s1, real *s2, const V(factors) * c) {
    int64_t i = 0;
    BP_INDEPENDENT
    for (; i + V(lanes) <= n; i += V(lanes))
        V(update_lanes)(opt, plain, V(lanes), i, w, g, s0, s1, s2, c);
    if (V(lanes) > 1 && i < n) V(update_lanes)(opt, plain, (int)(n - i), i, w, g, s0, s1, s2, c);
}

BP_INLINE int V(is_plain)(const V(scalars) * c) {
    return c->grad_scale == 1 && c->l1 == 0 && c->l2 == 0 && c->weight_decay == 0;
}

/* A gradient that nothing adjusts goes in as it is; the bits are those of the general case. */
BP_INLINE void V(update)(int opt, int64_t n, real *w, const real *g, real *s0, real *s1, real *s2,
                         const bp_update *u) {
    const V(scalars) c = V(convert)(u);
    const V(factors) f = V(spread)(&c);
    if (V(is_plain)(&c))
        V(update_run)(opt, 1, n, w, g, s0, s1, s2, &f);
    else
        V(update_run)(opt, 0, n, w, g, s0, s1, s2, &f);
}

#define BP_UPDATE(name, opt)                                                                       \
    static void BPK(update_##name)(int64_t n, real * w, const real *g, real *s0, real *s1,         \
                                   real *s2, const bp_update *u) {                                 \
        V(update)(opt, n, w, g, s0, s1, s2, u);                                                    \
    }

#define BP_UPDATE_ENTRY(name, opt) [opt] = BPK(update_##name),
#define BP_SET_UPDATE(name, opt)                                                                   \
    k->update[opt] = BPK(update_##name);                                                           \
    k->lanes.update[opt] = BPK(lane_update_##name);
#define BP_EACH_UPDATE(X)                                                                          \
    X(sgd, BP_OPT_SGD)                                                                             \
    X(adam, BP_OPT_ADAM)                                                                           \
    X(adamw, BP_OPT_ADAMW) X(rmsprop, BP_OPT_RMSPROP) X(adagrad, BP_OPT_ADAGRAD)

BP_EACH_UPDATE(BP_UPDATE)

/* ---- a network in each lane ---- */

static void BPK(lane_scalars)(const bp_update *updates, BP_T(bp_lane_scalars) *to) {
    to->nesterov = updates[0].nesterov;
    to->centered = updates[0].centered;
    to->is_plain = 1;
    for (int lane = 0; lane < V(lanes); lane++) {
        const V(scalars) c = V(convert)(&updates[lane]);
        int at = 0;
        to->is_plain &= V(is_plain)(&c);
#define BP_STORE(name) to->value[at++][lane] = c.name;
        BP_EACH_SCALAR(BP_STORE)
#undef BP_STORE
    }
    BP_LEAVE_VECTORS();
}

BP_INLINE void V(update_each)(int opt, int64_t n, real *w, const real *g, real *s0, real *s1,
                              real *s2, const BP_T(bp_lane_scalars) *from) {
    int at = 0;
    V(factors) f = {.nesterov = from->nesterov, .centered = from->centered};
#define BP_LOAD(name) f.name = V(load)(from->value[at++]);
    BP_EACH_SCALAR(BP_LOAD)
#undef BP_LOAD
    if (from->is_plain)
        V(update_run)(opt, 1, n * V(lanes), w, g, s0, s1, s2, &f);
    else
        V(update_run)(opt, 0, n * V(lanes), w, g, s0, s1, s2, &f);
}

#define BP_LANE_UPDATE(name, opt)                                                                  \
    static void BPK(lane_update_##name)(int64_t n, real * w, const real *g, real *s0, real *s1,    \
                                        real *s2, const BP_T(bp_lane_scalars) *scalars) {          \
        V(update_each)(opt, n, w, g, s0, s1, s2, scalars);                                         \
    }

BP_EACH_UPDATE(BP_LANE_UPDATE)

/* ---- one example ---- */

enum { V(outer_entries) = 1024 }; /* of an outer product at a time: they stay in the cache */

/* The outer product of d and x in whole vectors: the next row overwrites what is beyond a row. An
 * entry is a chain of one multiply-add, as in a product of matrices: never -0. */
static void V(outer)(int64_t rows, int64_t cols, const real *d, const real *x, real *out) {
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < cols; j += V(lanes)) {
            const int count = cols - j < V(lanes) ? (int)(cols - j) : V(lanes);
            V(store)
            (out + row * cols + j, V(fma)(V(set1)(d[row]), V(get)(x + j, count), V(set1)(0)));
        }
    }
}

/* Some rows at a time, or a piece of a long one. */
static void V(update_products)(BP_T(bp_update_fn) update, int64_t rows, int64_t cols, real *w,
                               const real *d, const real *x, real *s0, real *s1, real *s2,
                               const bp_update *u) {
    real product[V(outer_entries) + V(lanes)];
    const int64_t width = cols < V(outer_entries) ? cols : V(outer_entries);
    const int64_t height = V(outer_entries) / (width > 0 ? width : 1);
    for (int64_t row = 0; row < rows; row += height) {
        const int64_t count = rows - row < height ? rows - row : height;
        for (int64_t j = 0; j < cols; j += width) {
            const int64_t i = row * cols + j, piece = cols - j < width ? cols - j : width;
            V(outer)(count, piece, d + row, x + j, product);
            update(count * piece, w + i, product, BP_AT(s0), BP_AT(s1), BP_AT(s2), u);
        }
    }
}

/* Gradient descent that nothing adjusts, row by row: no product lies between, and 64 x 64 takes a
 * third less time. Not where rows end with a part of a vector: its masked store delays the load of
 * the next row, so that 64 x 17 takes three times as long as with a product. */
static void V(update_rows)(int64_t rows, int64_t cols, real *w, const real *d, const real *x,
                           real *s0, const V(scalars) * c) {
    const V(factors) f = V(spread)(c);
    for (int64_t row = 0; row < rows; row++) {
        const vreal factor = V(set1)(d[row]);
        for (int64_t j = 0; j < cols; j += V(lanes)) {
            const int64_t i = row * cols + j;
            const vreal g = V(fma)(factor, V(load)(x + j), V(set1)(0));
            V(store)(w + i, V(sgd)(V(load)(w + i), g, BP_AT(s0), V(lanes), &f));
        }
    }
}

static void BPK(update_outer)(int opt, int64_t rows, int64_t cols, real *w, const real *d,
                              const real *x, real *s0, real *s1, real *s2, const bp_update *u) {
    static const BP_T(bp_update_fn) updates[BP_OPT_COUNT] = {BP_EACH_UPDATE(BP_UPDATE_ENTRY)};
    const V(scalars) c = V(convert)(u);
    if (opt == BP_OPT_SGD && V(is_plain)(&c) && cols % V(lanes) == 0)
        V(update_rows)(rows, cols, w, d, x, s0, &c);
    else
        V(update_products)(updates[opt], rows, cols, w, d, x, s0, s1, s2, u);
}

static void BPK(add_penalty)(int64_t n, const real *w, double l1, double l2, real *g) {
    const vreal first = V(set1)((real)l1), second = V(set1)((real)l2);
    int64_t i = 0;
    BP_INDEPENDENT
    for (; i + V(lanes) <= n; i += V(lanes))
        V(store)(g + i, V(penalized)(V(load)(g + i), V(load)(w + i), first, second));
    if (V(lanes) > 1 && i < n) {
        int rest = (int)(n - i);
        vreal y = V(penalized)(V(load_n)(g + i, rest), V(load_n)(w + i, rest), first, second);
        V(store_n)(g + i, y, rest);
    }
}

static void BPK(init_updates)(BP_T(bp_kernels) *k) {
    BP_EACH_UPDATE(BP_SET_UPDATE)
    k->lanes.scalars = BPK(lane_scalars);
    k->update_outer = BPK(update_outer);
    k->add_penalty = BPK(add_penalty);
}

#undef BP_AT
#undef BP_EACH_SCALAR
#undef BP_UPDATE
#undef BP_LANE_UPDATE
#undef BP_UPDATE_ENTRY
#undef BP_SET_UPDATE
#undef BP_EACH_UPDATE
