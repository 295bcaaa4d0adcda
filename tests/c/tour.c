/* A tour of the whole interface: every function at least once, in both types and in products of
 * float32, bf16 and bf16x3, on small networks.
 *
 * Prints a line for each result, its name and a number made of all its entries, so that runs on
 * other processors, under emulators and under memory checkers can be compared. Ends with 1 at the
 * first status that is not expected. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pybackprop.h"

enum { ROWS = 90, N_IN = 37, N_OUT = 5, BATCH = 40 };

#define CHECK(status)                                                                              \
    do {                                                                                           \
        int found_ = (status);                                                                     \
        if (found_ != BP_OK) {                                                                     \
            printf("line %d: %s\n", __LINE__, bp_status_text(found_));                             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static double x[ROWS * N_IN], y[ROWS * N_OUT], weight[ROWS];
static int64_t label[ROWS];
static uint8_t bytes[ROWS * N_IN];
static const char *prefix = "";
static int32_t precision;

/* ---- memory and results ---- */

static size_t size_of(int dtype) {
    return dtype == BP_FLOAT32 ? sizeof(float) : sizeof(double);
}

/* Exactly as many entries as asked for, so that a checker sees any access beyond them. */
static void *room(int dtype, int64_t count) {
    void *block = malloc((size_t)count * size_of(dtype));
    if (!block) exit(2);
    return block;
}

static double entry(int dtype, const void *values, int64_t i) {
    return dtype == BP_FLOAT32 ? (double)((const float *)values)[i] : ((const double *)values)[i];
}

/* Prints a sum of the entries in which each has a weight of its own. */
static void show(const char *name, int dtype, const void *values, int64_t count) {
    double sum = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        double value = entry(dtype, values, i);
        sum += value * cos((double)i);
        size += fabs(value);
    }
    printf("%s%s %.17g %.17g\n", prefix, name, sum, size);
}

/* Prints and frees. */
static void show_and_free(const char *name, int dtype, void *values, int64_t count) {
    show(name, dtype, values, count);
    free(values);
}

/* A vector of the type with values in [-scale, scale). */
static void *vector(int dtype, uint64_t stream, int64_t count, double scale) {
    double *drawn = room(BP_FLOAT64, count);
    bp_random_uniform(99, stream, count, drawn);
    void *values = room(dtype, count);
    for (int64_t i = 0; i < count; i++) {
        double value = scale * (2 * drawn[i] - 1);
        if (dtype == BP_FLOAT32)
            ((float *)values)[i] = (float)value;
        else
            ((double *)values)[i] = value;
    }
    free(drawn);
    return values;
}

static bp_matrix matrix(const void *data, int dtype, int64_t cols) {
    const int64_t size = dtype == BP_FLOAT32 ? 4 : dtype == BP_UINT8 ? 1 : 8;
    return (bp_matrix){data, dtype, ROWS, cols, cols * size, size};
}

static void make_data(void) {
    double *drawn = room(BP_FLOAT64, ROWS * N_IN);
    bp_random_uniform(1, 0, ROWS * N_IN, x);
    bp_random_uniform(1, 1, ROWS * N_OUT, y);
    bp_random_uniform(1, 2, ROWS, weight);
    bp_random_uniform(1, 3, ROWS * N_IN, drawn);
    for (int i = 0; i < ROWS * N_IN; i++) {
        x[i] = 2 * x[i] - 1;
        bytes[i] = (uint8_t)(255 * drawn[i]);
    }
    for (int i = 0; i < ROWS; i++) {
        label[i] = (int64_t)(N_OUT * weight[i]);
    }
    free(drawn);
}

/* ---- networks ---- */

static bp_net *make_net(int dtype, int hidden, int act, int output, int loss, double dropout) {
    const int64_t widths[] = {N_IN, hidden, hidden + 1, N_OUT};
    const int32_t acts[] = {act, act, output};
    const double rates[] = {dropout, 0, 0};
    const bp_net_config config = {.n_layers = 3,
                                  .widths = widths,
                                  .activations = acts,
                                  .loss = loss,
                                  .dtype = dtype,
                                  .precision = precision,
                                  .dropout = rates,
                                  .l1 = 1e-4,
                                  .l2 = 1e-3,
                                  .seed = 5};
    bp_net *net;
    CHECK(bp_net_create(&config, &net));
    int64_t count = bp_net_parameter_count(net);
    void *values = vector(dtype, 7, count, 1.5 / sqrt(hidden));
    CHECK(bp_net_set_parameters(net, 0, count, values));
    free(values);
    return net;
}

static bp_data targets(const bp_matrix *inputs, int loss) {
    bp_data data = {.x = *inputs, .y = matrix(y, BP_FLOAT64, N_OUT), .sample_weight = weight};
    if (loss == BP_LOSS_CROSS_ENTROPY) data.y = matrix(label, BP_INT64, 1);
    return data;
}

static void tour_passes(bp_net *net, int dtype, int hidden, int loss) {
    const bp_matrix inputs = matrix(x, BP_FLOAT64, N_IN), raw = matrix(bytes, BP_UINT8, N_IN);
    const bp_data data = targets(&inputs, loss);
    const int64_t count = bp_net_parameter_count(net), widths[] = {hidden, hidden + 1, N_OUT};
    double cost;
    void *out = room(dtype, ROWS * N_OUT);
    CHECK(bp_net_predict(net, &raw, out));
    show("predict bytes", dtype, out, ROWS * N_OUT);
    CHECK(bp_net_predict(net, &inputs, out));
    show("predict", dtype, out, ROWS * N_OUT);
    void *rows = vector(dtype, 40, ROWS * N_IN, 1);
    CHECK(bp_net_predict_rows(net, rows, ROWS, out));
    free(rows);
    show("predict_rows", dtype, out, ROWS * N_OUT);
    int64_t blamed;
    CHECK(bp_net_predict_many(&net, 1, &inputs, out, ROWS * N_OUT, &blamed));
    show_and_free("predict_many", dtype, out, ROWS * N_OUT);
    CHECK(bp_net_cost(net, &data, &cost));
    show("cost", BP_FLOAT64, &cost, 1);
    void *gradient = room(dtype, count), *dx = room(dtype, ROWS * N_IN);
    CHECK(bp_net_backprop(net, &data, &cost, gradient, dx));
    show_and_free("gradient", dtype, gradient, count);
    show_and_free("dx", dtype, dx, ROWS * N_IN);
    void *lists[3][3];
    for (int i = 0; i < 9; i++)
        lists[i / 3][i % 3] = room(dtype, ROWS * widths[i % 3]);
    CHECK(bp_net_trace(net, &data, lists[0], lists[1], lists[2]));
    for (int i = 0; i < 9; i++)
        show_and_free("trace", dtype, lists[i / 3][i % 3], ROWS * widths[i % 3]);
}

static void tour_derivatives(bp_net *net, int dtype, int loss) {
    const bp_matrix inputs = matrix(x, BP_FLOAT64, N_IN);
    const bp_data data = targets(&inputs, loss);
    const int64_t count = bp_net_parameter_count(net), all = ROWS * N_OUT * N_IN;
    void *out = room(dtype, all), *v = vector(dtype, 8, ROWS * N_IN, 1);
    void *p = vector(dtype, 9, count, 1), *product = room(dtype, count), *a;
    CHECK(bp_net_jacobian(net, &inputs, out));
    show("jacobian", dtype, out, all);
    CHECK(bp_net_hessian_diagonal(net, &inputs, out));
    show("hessian_diagonal", dtype, out, all);
    free(out);
    out = room(dtype, ROWS * N_IN);
    CHECK(bp_net_vjp(net, &inputs, v, out));
    show_and_free("vjp", dtype, out, ROWS * N_IN);
    out = room(dtype, ROWS * N_OUT);
    a = room(dtype, ROWS * N_OUT);
    CHECK(bp_net_jvp(net, &inputs, v, a, out));
    show("jvp", dtype, out, ROWS * N_OUT);
    CHECK(bp_net_laplacian(net, &inputs, out));
    show_and_free("laplacian", dtype, out, ROWS * N_OUT);
    CHECK(bp_net_hvp(net, &data, p, product));
    show("hvp", dtype, product, count);
    CHECK(bp_net_gauss_newton_product(net, &data, p, product));
    show("gauss_newton_product", dtype, product, count);
    out = room(dtype, ROWS * count);
    CHECK(bp_net_per_sample_gradients(net, &data, out));
    show_and_free("per_sample_gradients", dtype, out, ROWS * count);
    out = room(dtype, ROWS);
    CHECK(bp_net_per_sample_gradient_norms(net, &data, out));
    show_and_free("per_sample_gradient_norms", dtype, out, ROWS);
    free(a);
    free(v);
    free(p);
    free(product);
}

/* ---- training ---- */

static bp_optimizer make_optimizer(int kind, int dtype, int64_t count) {
    bp_optimizer o = {.kind = kind,
                      .dtype = dtype,
                      .n = count,
                      .centered = 1,
                      .nesterov = 1,
                      .lr = 1e-3,
                      .momentum = 0.9,
                      .beta1 = 0.9,
                      .beta2 = 0.99,
                      .alpha = 0.9,
                      .eps = 1e-8,
                      .weight_decay = 0.01,
                      .clip_norm = kind == BP_OPT_ADAM ? 0.5 : 0};
    for (int i = 0; i < 3; i++) {
        o.state[i] = room(dtype, count);
        memset(o.state[i], 0, (size_t)count * size_of(dtype));
    }
    return o;
}

static void tour_training(int dtype, int hidden, int kind) {
    static const char *const names[] = {"sgd", "adam", "adamw", "rmsprop", "adagrad"};
    const bp_matrix inputs = matrix(x, BP_FLOAT64, N_IN);
    const bp_data data = targets(&inputs, BP_LOSS_CROSS_ENTROPY);
    bp_net *net = make_net(dtype, hidden, BP_ACT_RELU, BP_ACT_SOFTMAX, BP_LOSS_CROSS_ENTROPY, 0.2);
    const int64_t count = bp_net_parameter_count(net);
    bp_optimizer optimizer = make_optimizer(kind, dtype, count);
    double costs[2], cost;
    int64_t steps, epochs;
    bp_fit_state state;
    bp_fit *fit;
    uint8_t *mask = malloc((size_t)(ROWS * hidden));
    if (!mask) exit(2);
    CHECK(bp_net_dropout_mask(net, 0, ROWS, 1.0, mask));
    free(mask);
    CHECK(bp_net_step(net, &data, &optimizer, 1.0, &cost));
    CHECK(bp_fit_create(net, &data, BATCH, 1, &fit));
    CHECK(bp_fit_run(fit, &optimizer, NULL, 0, 2, INT64_MAX, costs, &state));
    bp_fit_destroy(fit);
    const int64_t index[] = {4, 2, 9, 4, 0, 1, 7};
    CHECK(bp_fit_create_rows(net, &data, index, 7, 3, 1, 5, &fit));
    bp_fit_task task = {.fit = fit, .optimizer = &optimizer, .epochs = 2, .costs = costs};
    CHECK(bp_fit_run_many(&task, 1, INT64_MAX));
    show("costs, many", BP_FLOAT64, costs, 2);
    bp_cost_task some = {.net = net, .data = &data, .index = index, .rows = 7};
    CHECK(bp_net_cost_many(&some, 1, INT64_MAX));
    show("cost of some rows", BP_FLOAT64, &some.cost, 1);
    bp_fit_destroy(fit);
    void *copy = room(dtype, count);
    CHECK(bp_net_get_state(net, copy, &steps, &epochs));
    if (steps != 13 || epochs != 4 || state.completed != 2) exit(3);
    CHECK(bp_net_set_counters(net, 0, 0));
    show(names[kind], dtype, copy, count);
    show("costs", BP_FLOAT64, costs, 2);
    void *gradient = vector(dtype, 12, count, 1);
    CHECK(bp_optimizer_update(dtype, count, copy, gradient, &optimizer));
    show_and_free("update", dtype, copy, count);
    free(gradient);
    for (int i = 0; i < 3; i++)
        free(optimizer.state[i]);
    bp_net_destroy(net);
}

/* A network whose inputs have trained factors. */
static void tour_scales(int dtype, int hidden) {
    const int64_t widths[] = {N_IN, hidden, N_OUT};
    const int32_t acts[] = {BP_ACT_TANH, BP_ACT_SOFTMAX};
    const double dropout[] = {0};
    bp_net_config config = {.n_layers = 2,
                            .widths = widths,
                            .activations = acts,
                            .loss = BP_LOSS_CROSS_ENTROPY,
                            .dtype = dtype,
                            .precision = precision,
                            .dropout = dropout,
                            .l2 = 1e-3,
                            .has_scales = 1};
    const double wrong[] = {-1, NAN, INFINITY}; /* as a factor */
    bp_net *net;
    for (int i = 0; i < 9; i++) {
        for (int j = 0; j < 3; j++)
            config.scale_factors[j] = j == i % 3 ? wrong[i / 3] : 1;
        if (bp_net_create(&config, &net) != BP_ERR_ARGUMENT || net) exit(3);
    }
    config.scale_factors[0] = 6;
    config.scale_factors[2] = 1;
    CHECK(bp_net_create(&config, &net));
    const int64_t count = bp_net_trained_count(net);
    if (count != bp_net_parameter_count(net) + N_IN) exit(3);
    void *values = vector(dtype, 13, count, 0.5), *copy = room(dtype, count);
    if (bp_net_set_trained(net, count - 1, values) != BP_ERR_ARGUMENT) exit(3);
    CHECK(bp_net_set_trained(net, count, values));
    show("scales", dtype, bp_net_scales(net), N_IN);
    show("folded", dtype, bp_net_parameters(net), count - N_IN);
    const bp_matrix inputs = matrix(x, BP_FLOAT64, N_IN);
    const bp_data data = targets(&inputs, BP_LOSS_CROSS_ENTROPY);
    bp_optimizer optimizer = make_optimizer(BP_OPT_ADAM, dtype, count);
    double costs[2];
    int64_t steps, epochs;
    bp_fit_state state;
    bp_fit *fit;
    CHECK(bp_fit_create(net, &data, BATCH, 1, &fit));
    CHECK(bp_fit_run(fit, &optimizer, NULL, 0, 2, INT64_MAX, costs, &state));
    bp_fit_destroy(fit);
    CHECK(bp_net_get_state(net, copy, &steps, &epochs));
    show("trained with scales", dtype, copy, count);
    show("trained scales", dtype, bp_net_scales(net), N_IN);
    free(copy);
    free(values);
    for (int i = 0; i < 3; i++)
        free(optimizer.state[i]);
    bp_net_destroy(net);
}

/* ---- single kernels ---- */

static void tour_kernels(int dtype, int act) {
    const int64_t m = 33, n = 29, k = 41;
    void *a = vector(dtype, 20, m * k, 1), *b = vector(dtype, 21, n * k, 1);
    void *z = room(dtype, m * n), *c = room(dtype, m * n), *bias = vector(dtype, 22, n, 1);
    void *dx = room(dtype, m * k), *dw = room(dtype, n * k), *db = room(dtype, n);
    CHECK(bp_matmul(dtype, precision, m, n, k, a, k, 0, b, k, 1, c, n));
    show("matmul", dtype, c, m * n);
    CHECK(bp_dense_forward(dtype, act, m, k, n, a, b, bias, z, c));
    show("dense_forward", dtype, c, m * n);
    CHECK(bp_dense_backward(dtype, act, m, k, n, a, b, z, c, dx, dw, db));
    show_and_free("dense_backward, dx", dtype, dx, m * k);
    show_and_free("dense_backward, dw", dtype, dw, n * k);
    show_and_free("dense_backward, db", dtype, db, n);
    CHECK(bp_activation(dtype, act, m, n, z, c));
    show("activation", dtype, c, m * n);
    if (act != BP_ACT_SOFTMAX) {
        CHECK(bp_activation_derivative(dtype, act, m * n, z, c));
        show("activation_derivative", dtype, c, m * n);
    }
    free(a);
    free(b);
    free(z);
    free(c);
    free(bias);
}

/* ---- all ---- */

static void tour(int dtype, int hidden) {
    static const struct {
        int act, output, loss;
    } cases[] = {
        {BP_ACT_TANH, BP_ACT_SOFTMAX, BP_LOSS_CROSS_ENTROPY},
        {BP_ACT_SIGMOID, BP_ACT_SIGMOID, BP_LOSS_BINARY_CROSS_ENTROPY},
        {BP_ACT_GELU, BP_ACT_IDENTITY, BP_LOSS_HUBER},
        {BP_ACT_MISH, BP_ACT_SOFTPLUS, BP_LOSS_MAE},
        {BP_ACT_SILU, BP_ACT_ELU, BP_LOSS_MSE},
        {BP_ACT_SELU, BP_ACT_LEAKY_RELU, BP_LOSS_SQUARED_ERROR},
    };
    double shift[N_IN], scale[N_IN];
    bp_random_uniform(1, 30, N_IN, shift);
    bp_random_uniform(1, 31, N_IN, scale);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bp_net *net = make_net(dtype, hidden, cases[i].act, cases[i].output, cases[i].loss, 0);
        if (i % 2) CHECK(bp_net_set_scaling(net, shift, scale));
        tour_passes(net, dtype, hidden, cases[i].loss);
        /* Gradients of single examples of a wide network would take all of an emulator's time. */
        if (i < (hidden < 100 ? 3 : 0)) tour_derivatives(net, dtype, cases[i].loss);
        bp_net_destroy(net);
    }
    for (int kind = BP_OPT_SGD; kind <= BP_OPT_ADAGRAD; kind++)
        tour_training(dtype, hidden, kind);
    tour_scales(dtype, hidden);
}

int main(int argc, char **argv) {
    static const struct {
        const char *prefix;
        int32_t dtype, precision;
    } types[] = {
        {"float32 ", BP_FLOAT32, BP_PRECISION_FLOAT32},
        {"float64 ", BP_FLOAT64, BP_PRECISION_FLOAT32},
        {"bf16 ", BP_FLOAT32, BP_PRECISION_BF16},
        {"bf16x3 ", BP_FLOAT32, BP_PRECISION_BF16X3},
    };
    /* Widths that end in a tail: one net is trained in parts, the other in shared passes. */
    const int hidden = argc > 1 ? atoi(argv[1]) : 21;
    double flops;
    printf("isa %s\n", bp_isa_name());
    CHECK(bp_set_threads(2));
    make_data();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        prefix = types[i].prefix;
        precision = types[i].precision;
        tour(types[i].dtype, hidden);
        for (int act = BP_ACT_IDENTITY; act <= BP_ACT_SOFTMAX; act++)
            tour_kernels(types[i].dtype, act);
        CHECK(bp_peak_flops(types[i].dtype, precision, 1, 1e-4, &flops));
    }
    return 0;
}
