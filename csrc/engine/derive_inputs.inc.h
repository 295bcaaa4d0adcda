/* Derivatives of the outputs in the inputs. */

/* The factor of input j on its way in. */
static real scale_of(const space *s, int64_t j) {
    const real *scale = s->job->net->scale;
    return scale ? scale[j] : 1;
}

/* Writes derivatives in the inputs, `count` rows for each example, to rows first … of `all` that
 * an example has in the result. */
static void put_rows(const space *s, int64_t count, const real *from, int64_t first, int64_t all) {
    const bp_derive_job *job = s->job;
    const int64_t n_in = job->net->layers[0].n_in, ld = bp_derive_ld_in(job, 0);
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
static void put_columns(const space *s, int64_t count, const real *from, int64_t first) {
    const bp_derive_job *job = s->job;
    const int64_t n_in = job->net->layers[0].n_in,
                  n_out = bp_derive_ld_out(job, job->net->n_layers - 1);
    for (int64_t t = 0; t < count; t++) {
        for (int64_t i = 0; i < s->n; i++, from += n_out) {
            real *to = (real *)job->out + (s->row + i) * n_out * n_in + first + t;
            for (int64_t k = 0; k < n_out; k++)
                to[k * n_in] = from[k];
        }
    }
}

/* From delta of the outputs in buffer[0] to the derivative in the scaled inputs. */
static const real *back_to_inputs(const space *s, int64_t count) {
    int current = 0;
    for (int l = s->job->net->n_layers - 1; l >= 0; l--, current ^= 1)
        back_layer(s, l, count, s->buffer[current], s->buffer[current ^ 1]);
    return s->buffer[current];
}

static void jacobian_reverse(const space *s) {
    const bp_derive_job *job = s->job;
    const int last = job->net->n_layers - 1;
    const int64_t n_out = bp_derive_ld_out(job, last);
    real *d = s->buffer[0];
    run_values(s);
    for (int64_t k = 0; k < n_out; k += job->directions) {
        const int64_t count = bp_min_i64(job->directions, n_out - k);
        memset(d, 0, (size_t)(count * s->n * n_out) * sizeof *d);
        for (int64_t t = 0; t < count; t++)
            for (int64_t i = 0; i < s->n; i++)
                d[(t * s->n + i) * n_out + k + t] = 1;
        through(s, last, count, d);
        put_rows(s, count, back_to_inputs(s, count), k, n_out);
    }
}

static void vjp(const space *s) {
    const bp_derive_job *job = s->job;
    const int64_t n_out = bp_derive_ld_out(job, job->net->n_layers - 1);
    run_values(s);
    memcpy(s->buffer[0], (const real *)job->v + s->row * n_out,
           (size_t)(s->n * n_out) * sizeof(real));
    through(s, job->net->n_layers - 1, 1, s->buffer[0]);
    put_rows(s, 1, back_to_inputs(s, 1), 0, 1);
}

/* From dz of layer 0 in buffer[0] to da of the outputs. */
static const real *along_to_outputs(const space *s, int64_t count) {
    int current = 0;
    through(s, 0, count, s->buffer[0]);
    for (int l = 1; l < s->job->net->n_layers; l++, current ^= 1) {
        along_layer(s, l, count, s->buffer[current], s->buffer[current ^ 1]);
        through(s, l, count, s->buffer[current ^ 1]);
    }
    return s->buffer[current];
}

static void jvp(const space *s) {
    const bp_derive_job *job = s->job;
    const int last = job->net->n_layers - 1;
    const int64_t n_in = job->net->layers[0].n_in, ld = bp_derive_ld_in(job, 0),
                  n_out = bp_derive_ld_out(job, last);
    const size_t bytes = (size_t)(s->n * n_out) * sizeof(real);
    run_values(s);
    for (int64_t i = 0; i < s->n; i++) {
        const real *from = (const real *)job->v + (s->row + i) * n_in;
        for (int64_t j = 0; j < n_in; j++)
            s->buffer[1][i * ld + j] = from[j] * scale_of(s, j);
    }
    along_layer(s, 0, 1, s->buffer[1], s->buffer[0]);
    memcpy((real *)job->out + s->row * n_out, along_to_outputs(s, 1), bytes);
    memcpy((real *)job->values + s->row * n_out, outputs_of(s, s->a, last), bytes);
}

/* dz of layer 0 along `count` inputs: columns of W, the same for every example. */
static void start_along_inputs(const space *s, int64_t first, int64_t count, real *d) {
    const bp_layer *layer = layer_of(s, 0);
    const real *w = (const real *)s->job->net->parameters + layer->w;
    const int64_t ld = bp_derive_ld_out(s->job, 0);
    for (int64_t t = 0; t < count; t++, d += s->n * ld) {
        const int64_t j = first + t;
        for (int64_t k = 0; k < layer->n_out; k++)
            d[k] = w[k * layer->n_in + j] * scale_of(s, j);
        for (int64_t i = 1; i < s->n; i++)
            memcpy(d + i * ld, d, (size_t)layer->n_out * sizeof *d);
    }
}

static void jacobian_forward(const space *s) {
    const bp_derive_job *job = s->job;
    const int64_t n_in = job->net->layers[0].n_in;
    run_values(s);
    for (int64_t j = 0; j < n_in; j += job->directions) {
        const int64_t count = bp_min_i64(job->directions, n_in - j);
        start_along_inputs(s, j, count, s->buffer[0]);
        put_columns(s, count, along_to_outputs(s, count), j);
    }
}

/* Softmax of first derivatives u and second ones v of z, with c = u - sum of a u: a'' is the
 * product of its Jacobian with c^2 + v. u is left as it is. */
static void bend_softmax(const space *s, int64_t count, int64_t seconds, const real *u, real *v) {
    const int last = s->job->net->n_layers - 1;
    const int64_t n_out = bp_derive_ld_out(s->job, last);
    for (int64_t t = 0; t < count; t++) {
        for (int64_t i = 0; i < s->n; i++, u += n_out) {
            const real *a = outputs_of(s, s->a, last) + i * n_out;
            real *to = v + ((seconds == count ? t : 0) * s->n + i) * n_out, mean = 0;
            for (int64_t k = 0; k < n_out; k++)
                mean += a[k] * u[k];
            for (int64_t k = 0; k < n_out; k++)
                to[k] += (u[k] - mean) * (u[k] - mean);
        }
    }
    through(s, last, seconds, v);
}

/* From the derivatives of z of layer l to those of its outputs: d holds `count` first ones for each
 * example, then `seconds` second ones, one for each direction or a sum over all. */
static void bend(const space *s, int l, int64_t count, int64_t seconds, real *d) {
    const int64_t run = s->n * bp_derive_ld_out(s->job, l);
    real *v = d + count * run;
    if (layer_of(s, l)->act == BP_ACT_SOFTMAX) {
        bend_softmax(s, count, seconds, d, v);
        return;
    }
    const real *first = outputs_of(s, s->first, l), *second = outputs_of(s, s->second, l);
    for (int64_t t = 0; t < count; t++) {
        const int own = seconds == count;
        s->kernels->chain(run, own || t == 0 ? first : NULL, second, d + t * run, d + t * run,
                          own ? v + t * run : v);
    }
    through(s, l, count, d);
}

/* The second derivatives along each input, or their sum: for that, the sums alone are carried
 * (Li et al., A computational framework for neural network-based variational Monte Carlo with
 * Forward Laplacian, 2024). */
static void second_in_inputs(const space *s) {
    const bp_derive_job *job = s->job;
    const int last = job->net->n_layers - 1, summed = job->kind == BP_LAPLACIAN;
    const int64_t n_in = job->net->layers[0].n_in, n_out = bp_derive_ld_out(job, last);
    run_values(s);
    for (int64_t j = 0; j < n_in; j += job->directions) {
        const int64_t count = bp_min_i64(job->directions, n_in - j), seconds = summed ? 1 : count;
        const int64_t run = s->n * bp_derive_ld_out(job, 0);
        int current = 0;
        start_along_inputs(s, j, count, s->buffer[0]);
        memset(s->buffer[0] + count * run, 0, (size_t)(seconds * run) * sizeof(real));
        bend(s, 0, count, seconds, s->buffer[0]);
        for (int l = 1; l <= last; l++, current ^= 1) {
            along_layer(s, l, count + seconds, s->buffer[current], s->buffer[current ^ 1]);
            bend(s, l, count, seconds, s->buffer[current ^ 1]);
        }
        const real *v = s->buffer[current] + count * s->n * n_out;
        real *out = (real *)job->out + s->row * n_out;
        if (!summed)
            put_columns(s, count, v, j);
        else if (j == 0)
            memcpy(out, v, (size_t)(s->n * n_out) * sizeof *v);
        else
            s->kernels->add(s->n * n_out, v, out, out);
    }
}
