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

/* sign(x), 0 at 0 and NaN at NaN. */
BP_INLINE vreal V(sign)(vreal x) {
    return V(select)(V(gt)(x, V(set1)(0)), V(set1)(1),
                     V(select)(V(lt)(x, V(set1)(0)), V(set1)(-1), x));
}

BP_INLINE vreal V(penalized)(vreal g, vreal w, vreal l1, vreal l2) {
    return V(fma)(l1, V(sign)(w), V(fma)(l2, w, g));
}

/* The gradient that the rule sees. */
BP_INLINE vreal V(adjusted)(vreal g, vreal w, const V(scalars) * c) {
    g = V(mul)(V(set1)(c->grad_scale), V(penalized)(g, w, V(set1)(c->l1), V(set1)(c->l2)));
    return V(fma)(V(set1)(c->weight_decay), w, g);
}

BP_INLINE vreal V(sgd)(vreal w, vreal g, real *s0, int count, const V(scalars) * c) {
    if (s0 != NULL) {
        /* The first step is g, but computed like every other: a copy would keep a subnormal. The
         * sum of minus zero and g is g, whatever the sign of g. */
        const vreal momentum = V(set1)(c->momentum);
        const vreal before = c->first ? V(set1)((real)-0.0) : V(get)(s0, count);
        vreal step = V(fma)(momentum, before, g);
        V(put)(s0, step, count);
        g = c->nesterov ? V(fma)(momentum, step, g) : step;
    }
    return V(fnma)(V(set1)(c->lr), g, w);
}

BP_INLINE vreal V(adam)(vreal w, vreal g, real *s0, real *s1, int count, const V(scalars) * c) {
    vreal m = V(get)(s0, count), v = V(get)(s1, count);
    m = V(fma)(V(set1)(c->one_minus_beta1), V(sub)(g, m), m);
    v = V(fma)(V(mul)(V(set1)(c->one_minus_beta2), g), g, V(mul)(V(set1)(c->beta2), v));
    V(put)(s0, m, count);
    V(put)(s1, v, count);
    vreal root = V(add)(V(sqrt)(V(mul)(v, V(set1)(c->v_scale))), V(set1)(c->eps));
    return V(sub)(w, V(div)(V(mul)(V(set1)(c->lr), m), root));
}

BP_INLINE vreal V(rmsprop)(vreal w, vreal g, real *s0, real *s1, real *s2, int count,
                           const V(scalars) * c) {
    vreal square = V(mul)(V(set1)(c->alpha), V(get)(s0, count));
    square = V(fma)(V(mul)(V(set1)(c->one_minus_alpha), g), g, square);
    V(put)(s0, square, count);
    if (c->centered) {
        vreal mean = V(get)(s2, count);
        mean = V(fma)(V(set1)(c->one_minus_alpha), V(sub)(g, mean), mean);
        V(put)(s2, mean, count);
        square =
            V(max)(V(set1)(0), V(sub)(square, V(mul)(mean, mean))); /* rounding may go below 0 */
    }
    vreal step = V(div)(g, V(add)(V(sqrt)(square), V(set1)(c->eps)));
    if (s1 != NULL) {
        step = V(fma)(V(set1)(c->momentum), V(get)(s1, count), step);
        V(put)(s1, step, count);
    }
    return V(fnma)(V(set1)(c->lr), step, w);
}

BP_INLINE vreal V(adagrad)(vreal w, vreal g, real *s0, int count, const V(scalars) * c) {
    vreal sum = V(fma)(g, g, V(get)(s0, count));
    V(put)(s0, sum, count);
    vreal root = V(add)(V(sqrt)(sum), V(set1)(c->eps));
    return V(sub)(w, V(div)(V(mul)(V(set1)(c->lr), g), root));
}

#define BP_AT(p) ((p) == NULL ? NULL : (p) + i)

/* count lanes from i; opt, plain, and the presence of state are constants of the loop. */
BP_INLINE void V(update_lanes)(int opt, int plain, int count, int64_t i, real *w, const real *g,
                               real *s0, real *s1, real *s2, const V(scalars) * c) {
    vreal x = V(get)(w + i, count), y = V(get)(g + i, count);
    if (!plain) y = V(adjusted)(y, x, c);
    if (opt == BP_OPT_SGD)
        x = V(sgd)(x, y, BP_AT(s0), count, c);
    else if (opt == BP_OPT_ADAM)
        x = V(adam)(x, y, s0 + i, s1 + i, count, c);
    else if (opt == BP_OPT_ADAMW)
        x = V(adam)(V(mul)(V(set1)(c->decay), x), y, s0 + i, s1 + i, count, c);
    else if (opt == BP_OPT_RMSPROP)
        x = V(rmsprop)(x, y, s0 + i, BP_AT(s1), BP_AT(s2), count, c);
    else
        x = V(adagrad)(x, y, s0 + i, count, c);
    V(put)(w + i, x, count);
}

BP_INLINE void V(update_run)(int opt, int plain, int64_t n, real *w, const real *g, real *s0,
                             real *s1, real *s2, const V(scalars) * c) {
    int64_t i = 0;
    BP_INDEPENDENT
    for (; i + V(lanes) <= n; i += V(lanes))
        V(update_lanes)(opt, plain, V(lanes), i, w, g, s0, s1, s2, c);
    if (V(lanes) > 1 && i < n) V(update_lanes)(opt, plain, (int)(n - i), i, w, g, s0, s1, s2, c);
}

/* A gradient that nothing adjusts goes in as it is; the bits are those of the general case. */
BP_INLINE void V(update)(int opt, int64_t n, real *w, const real *g, real *s0, real *s1, real *s2,
                         const bp_update *u) {
    const V(scalars) c = V(convert)(u);
    if (c.grad_scale == 1 && c.l1 == 0 && c.l2 == 0 && c.weight_decay == 0)
        V(update_run)(opt, 1, n, w, g, s0, s1, s2, &c);
    else
        V(update_run)(opt, 0, n, w, g, s0, s1, s2, &c);
}

#define BP_UPDATE(name, opt)                                                                       \
    static void BPK(update_##name)(int64_t n, real * w, const real *g, real *s0, real *s1,         \
                                   real *s2, const bp_update *u) {                                 \
        V(update)(opt, n, w, g, s0, s1, s2, u);                                                    \
    }

BP_UPDATE(sgd, BP_OPT_SGD)
BP_UPDATE(adam, BP_OPT_ADAM)
BP_UPDATE(adamw, BP_OPT_ADAMW)
BP_UPDATE(rmsprop, BP_OPT_RMSPROP)
BP_UPDATE(adagrad, BP_OPT_ADAGRAD)

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
    k->update[BP_OPT_SGD] = BPK(update_sgd);
    k->update[BP_OPT_ADAM] = BPK(update_adam);
    k->update[BP_OPT_ADAMW] = BPK(update_adamw);
    k->update[BP_OPT_RMSPROP] = BPK(update_rmsprop);
    k->update[BP_OPT_ADAGRAD] = BPK(update_adagrad);
    k->add_penalty = BPK(add_penalty);
}

#undef BP_AT
#undef BP_UPDATE
