/* Derivatives of the outputs in the inputs; included by derive.c for float and double. */

/* The factor of input j on its way in. */
static real BP_T(scale_of)(const BP_T(space) *s, int64_t j) {
    const real *scale = s->job->net->scale;
    return scale ? scale[j] : 1;
}

/* Writes derivatives in the inputs, `count` rows for each example, to rows first … of `all` that
 * an example has in the result. */
static void BP_T(put_rows)(const BP_T(space) *s, int64_t count, const real *from, int64_t first,
                           int64_t all) {
    const derive_job *job = s->job;
    const int64_t n_in = job->net->layers[0].n_in, ld = ld_of(job, 0);
    const real *scale = job->net->scale;
    for (int64_t t = 0; t < count; t++) {
        for (int64_t i = 0; i < s->n; i++, from += ld) {
            real *to = (real *)job->out + ((s->row + i) * all + first + t) * n_in;
            for (int64_t j = 0; j < n_in; j++)
                to[j] = scale ? from[j] * scale[j] : from[j];
        }
    }
}

/* Writes derivatives of the outputs along `count` inputs to columns first … of (n_L x n_0). */
static void BP_T(put_columns)(const BP_T(space) *s, int64_t count, const real *from,
                              int64_t first) {
    const derive_job *job = s->job;
    const int64_t n_in = job->net->layers[0].n_in, n_out = ld_of(job, job->net->n_layers);
    for (int64_t t = 0; t < count; t++) {
        for (int64_t i = 0; i < s->n; i++, from += n_out) {
            real *to = (real *)job->out + (s->row + i) * n_out * n_in + first + t;
            for (int64_t k = 0; k < n_out; k++)
                to[k * n_in] = from[k];
        }
    }
}

/* From delta of the outputs in turn[0] to the derivative in the scaled inputs. */
static const real *BP_T(back_to_inputs)(const BP_T(space) *s, int64_t count) {
    int turn = 0;
    for (int l = s->job->net->n_layers; l >= 1; l--, turn ^= 1)
        BP_T(back_layer)(s, l, count, s->turn[turn], s->turn[turn ^ 1]);
    return s->turn[turn];
}

static void BP_T(jacobian_reverse)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    const int last = job->net->n_layers;
    const int64_t n_out = ld_of(job, last);
    real *d = s->turn[0];
    BP_T(run_values)(s);
    for (int64_t k = 0; k < n_out; k += job->directions) {
        const int64_t count = least(job->directions, n_out - k);
        memset(d, 0, (size_t)(count * s->n * n_out) * sizeof *d);
        for (int64_t t = 0; t < count; t++)
            for (int64_t i = 0; i < s->n; i++)
                d[(t * s->n + i) * n_out + k + t] = 1;
        BP_T(through)(s, last, count, d);
        BP_T(put_rows)(s, count, BP_T(back_to_inputs)(s, count), k, n_out);
    }
}

static void BP_T(vjp)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    const int64_t n_out = ld_of(job, job->net->n_layers);
    BP_T(run_values)(s);
    memcpy(s->turn[0], (const real *)job->v + s->row * n_out,
           (size_t)(s->n * n_out) * sizeof(real));
    BP_T(through)(s, job->net->n_layers, 1, s->turn[0]);
    BP_T(put_rows)(s, 1, BP_T(back_to_inputs)(s, 1), 0, 1);
}

/* From dz_1 in turn[0] to da_L. */
static const real *BP_T(along_to_outputs)(const BP_T(space) *s, int64_t count) {
    int turn = 0;
    BP_T(through)(s, 1, count, s->turn[0]);
    for (int l = 2; l <= s->job->net->n_layers; l++, turn ^= 1) {
        BP_T(along_layer)(s, l, count, s->turn[turn], s->turn[turn ^ 1]);
        BP_T(through)(s, l, count, s->turn[turn ^ 1]);
    }
    return s->turn[turn];
}

static void BP_T(jvp)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    const int last = job->net->n_layers;
    const int64_t n_in = job->net->layers[0].n_in, ld = ld_of(job, 0), n_out = ld_of(job, last);
    const size_t bytes = (size_t)(s->n * n_out) * sizeof(real);
    BP_T(run_values)(s);
    for (int64_t i = 0; i < s->n; i++) {
        const real *from = (const real *)job->v + (s->row + i) * n_in;
        for (int64_t j = 0; j < n_in; j++)
            s->turn[1][i * ld + j] = from[j] * BP_T(scale_of)(s, j);
    }
    BP_T(along_layer)(s, 1, 1, s->turn[1], s->turn[0]);
    memcpy((real *)job->out + s->row * n_out, BP_T(along_to_outputs)(s, 1), bytes);
    memcpy((real *)job->values + s->row * n_out, BP_T(cell)(s, s->a, last), bytes);
}

/* dz_1 along `count` inputs: columns of W_1, the same for every example. */
static void BP_T(start_along_inputs)(const BP_T(space) *s, int64_t first, int64_t count, real *d) {
    const bp_layer *layer = BP_T(layer)(s, 1);
    const real *w = (const real *)s->job->net->parameters + layer->w;
    const int64_t ld = ld_of(s->job, 1);
    for (int64_t t = 0; t < count; t++, d += s->n * ld) {
        const int64_t j = first + t;
        for (int64_t k = 0; k < layer->n_out; k++)
            d[k] = w[k * layer->n_in + j] * BP_T(scale_of)(s, j);
        for (int64_t i = 1; i < s->n; i++)
            memcpy(d + i * ld, d, (size_t)layer->n_out * sizeof *d);
    }
}

static void BP_T(jacobian_forward)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    const int64_t n_in = job->net->layers[0].n_in;
    BP_T(run_values)(s);
    for (int64_t j = 0; j < n_in; j += job->directions) {
        const int64_t count = least(job->directions, n_in - j);
        BP_T(start_along_inputs)(s, j, count, s->turn[0]);
        BP_T(put_columns)(s, count, BP_T(along_to_outputs)(s, count), j);
    }
}

/* Softmax of first derivatives u and second ones v of z, with c = u - sum of a u: a'' is the
 * product of its Jacobian with c^2 + v. u is left as it is. */
static void BP_T(bend_softmax)(const BP_T(space) *s, int64_t count, int64_t seconds, const real *u,
                               real *v) {
    const int last = s->job->net->n_layers;
    const int64_t n_out = ld_of(s->job, last);
    for (int64_t t = 0; t < count; t++) {
        for (int64_t i = 0; i < s->n; i++, u += n_out) {
            const real *a = BP_T(cell)(s, s->a, last) + i * n_out;
            real *to = v + ((seconds == count ? t : 0) * s->n + i) * n_out, mean = 0;
            for (int64_t k = 0; k < n_out; k++)
                mean += a[k] * u[k];
            for (int64_t k = 0; k < n_out; k++)
                to[k] += (u[k] - mean) * (u[k] - mean);
        }
    }
    BP_T(through)(s, last, seconds, v);
}

/* From the derivatives of z_l to those of a_l: d holds `count` first ones for each example, then
 * `seconds` second ones, one for each direction or a sum over all. */
static void BP_T(bend)(const BP_T(space) *s, int l, int64_t count, int64_t seconds, real *d) {
    const int64_t run = s->n * ld_of(s->job, l);
    real *v = d + count * run;
    if (BP_T(layer)(s, l)->act == BP_ACT_SOFTMAX) {
        BP_T(bend_softmax)(s, count, seconds, d, v);
        return;
    }
    const real *first = BP_T(cell)(s, s->first, l), *second = BP_T(cell)(s, s->second, l);
    for (int64_t t = 0; t < count; t++) {
        const int own = seconds == count;
        s->kernels->chain(run, own || t == 0 ? first : NULL, second, d + t * run, d + t * run,
                          own ? v + t * run : v);
    }
    BP_T(through)(s, l, count, d);
}

/* The second derivatives along each input, or their sum: for that, the sums alone are carried
 * (Li et al., A computational framework for neural network-based variational Monte Carlo with
 * Forward Laplacian, 2024). */
static void BP_T(second_in_inputs)(const BP_T(space) *s) {
    const derive_job *job = s->job;
    const int last = job->net->n_layers, summed = job->kind == LAPLACIAN;
    const int64_t n_in = job->net->layers[0].n_in, n_out = ld_of(job, last);
    BP_T(run_values)(s);
    for (int64_t j = 0; j < n_in; j += job->directions) {
        const int64_t count = least(job->directions, n_in - j), seconds = summed ? 1 : count;
        const int64_t run = s->n * ld_of(job, 1);
        int turn = 0;
        BP_T(start_along_inputs)(s, j, count, s->turn[0]);
        memset(s->turn[0] + count * run, 0, (size_t)(seconds * run) * sizeof(real));
        BP_T(bend)(s, 1, count, seconds, s->turn[0]);
        for (int l = 2; l <= last; l++, turn ^= 1) {
            BP_T(along_layer)(s, l, count + seconds, s->turn[turn], s->turn[turn ^ 1]);
            BP_T(bend)(s, l, count, seconds, s->turn[turn ^ 1]);
        }
        const real *v = s->turn[turn] + count * s->n * n_out;
        real *out = (real *)job->out + s->row * n_out;
        if (!summed)
            BP_T(put_columns)(s, count, v, j);
        else if (j == 0)
            memcpy(out, v, (size_t)(s->n * n_out) * sizeof *v);
        else
            s->kernels->add(s->n * n_out, v, out);
    }
}
