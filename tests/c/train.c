/* Trains networks and prints a hash of their parameters, so that what comes out on another system
 * or with another number of threads can be compared, to the bit.
 *
 * Arguments: numbers of threads, for each of which there is a line for every network. Or `speed`:
 * then the fastest batch of a network 512 wide, with one thread and with two, in turn. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system/clock.h"
#include "pybackprop.h"

enum { ROWS = 1024, N_IN = 37, N_OUT = 10 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

typedef struct {
    const char *name;
    int dtype, precision;
    int64_t hidden, batch;
    int32_t activation;
    double dropout;
    int epochs;
    int has_scales; /* of the inputs */
} task;

/* Adam's corrections come from pow, whose last bit differs between C libraries and would be seen in
 * float64: that network is trained by gradient descent with momentum. */
static bp_opt rule(const task *t) {
    return t->dtype == BP_FLOAT32 ? BP_OPT_ADAM : BP_OPT_SGD;
}

static const task tasks[] = {
    {"parts", BP_FLOAT32, BP_PRECISION_FLOAT32, 40, 64, BP_ACT_RELU, 0.2, 3, 0},
    {"shared", BP_FLOAT32, BP_PRECISION_FLOAT32, 512, 128, BP_ACT_RELU, 0, 2, 0},
    {"curved", BP_FLOAT32, BP_PRECISION_FLOAT32, 96, 100, BP_ACT_GELU, 0, 2, 0},
    {"double", BP_FLOAT64, BP_PRECISION_FLOAT32, 200, 128, BP_ACT_TANH, 0.1, 2, 0},
    {"bf16", BP_FLOAT32, BP_PRECISION_BF16, 256, 128, BP_ACT_RELU, 0, 2, 0},
    {"bf16x3", BP_FLOAT32, BP_PRECISION_BF16X3, 256, 128, BP_ACT_RELU, 0, 2, 0},
    {"scaled", BP_FLOAT32, BP_PRECISION_FLOAT32, 40, 64, BP_ACT_RELU, 0.2, 3, 1},
};

static double inputs[ROWS * N_IN];
static int64_t labels[ROWS];

static void make_data(void) {
    double uniform[ROWS];
    bp_random_uniform(1, 0, ROWS * N_IN, inputs);
    bp_random_uniform(1, 1, ROWS, uniform);
    for (int i = 0; i < ROWS; i++)
        labels[i] = (int64_t)(uniform[i] * N_OUT);
}

static bp_net *make_net(const task *t) {
    const int64_t widths[] = {N_IN, t->hidden, t->hidden, N_OUT};
    const int32_t activations[] = {t->activation, t->activation, BP_ACT_SOFTMAX};
    const double dropout[] = {t->dropout, t->dropout};
    const bp_net_config config = {.n_layers = 3,
                                  .widths = widths,
                                  .activations = activations,
                                  .loss = BP_LOSS_CROSS_ENTROPY,
                                  .dtype = t->dtype,
                                  .precision = t->precision,
                                  .dropout = dropout,
                                  .l2 = 1e-4,
                                  .seed = 3,
                                  .has_scales = t->has_scales,
                                  .scale_factors = {6, 1, 1}};
    bp_net *net;
    CHECK(bp_net_create(&config, &net) == BP_OK);
    const int64_t n = bp_net_parameter_count(net);
    double *drawn = malloc((size_t)n * sizeof *drawn);
    CHECK(drawn);
    bp_random_uniform(2, 0, n, drawn);
    for (int64_t i = 0; i < n; i++) {
        const double value = 0.1 * (2 * drawn[i] - 1);
        const float single = (float)value;
        const void *at = t->dtype == BP_FLOAT32 ? (const void *)&single : (const void *)&value;
        CHECK(bp_net_set_parameters(net, i, 1, at) == BP_OK);
    }
    free(drawn);
    return net;
}

static size_t size_of(int dtype) {
    return dtype == BP_FLOAT32 ? sizeof(float) : sizeof(double);
}

/* FNV-1a. */
static uint64_t hash(const void *bytes, size_t n) {
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)bytes)[i]) * UINT64_C(1099511628211);
    return h;
}

/* Trains in calls of max_ns, or of a batch; returns the nanoseconds of the shortest. */
static int64_t train(const task *t, bp_net *net, int64_t max_ns, double *cost) {
    const bp_data data = {.x = {inputs, BP_FLOAT64, ROWS, N_IN, N_IN * 8, 8},
                          .y = {labels, BP_INT64, ROWS, 1, 8, 8}};
    const int64_t n = bp_net_trained_count(net);
    void *m = calloc((size_t)n, size_of(t->dtype)), *v = calloc((size_t)n, size_of(t->dtype));
    CHECK(m && v);
    bp_optimizer optimizer = {.kind = rule(t),
                              .dtype = t->dtype,
                              .n = n,
                              .lr = 1e-3,
                              .momentum = 0.9,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .eps = 1e-8,
                              .state = {m, v, NULL}};
    bp_fit *fit;
    bp_fit_state state = {0};
    int64_t least = INT64_MAX;
    CHECK(bp_fit_create(net, &data, t->batch, 1, &fit) == BP_OK);
    while (state.epoch < t->epochs) {
        const int64_t start = bp_clock_ns();
        CHECK(bp_fit_run(fit, &optimizer, NULL, 0, 1, max_ns, cost, &state) == BP_OK);
        const int64_t took = bp_clock_ns() - start;
        if (took < least) least = took;
    }
    bp_fit_destroy(fit);
    free(m);
    free(v);
    return least;
}

static void show_hash(const task *t, int threads) {
    double cost;
    bp_net *net = make_net(t);
    CHECK(bp_set_threads(threads) == BP_OK);
    train(t, net, INT64_MAX, &cost);
    const size_t bytes = (size_t)bp_net_parameter_count(net) * size_of(t->dtype);
    printf("%s %d %016" PRIx64 " %.6f\n", t->name, threads, hash(bp_net_parameters(net), bytes),
           cost);
    bp_net_destroy(net);
}

static void show_speed(void) {
    enum { ROUNDS = 20, EPOCHS = 4 };
    const task wide = {"wide", BP_FLOAT32, BP_PRECISION_FLOAT32, 512, 128, BP_ACT_RELU, 0,
                       EPOCHS, 0};
    int64_t least[2] = {INT64_MAX, INT64_MAX};
    double cost;
    bp_net *net = make_net(&wide);
    for (int round = 0; round < ROUNDS; round++) {
        for (int threads = 1; threads <= 2; threads++) {
            CHECK(bp_set_threads(threads) == BP_OK);
            const int64_t took = train(&wide, net, 0, &cost);
            if (took < least[threads - 1]) least[threads - 1] = took;
        }
    }
    bp_net_destroy(net);
    for (int threads = 1; threads <= 2; threads++)
        printf("512 wide, batches of 128, threads %d: %.0f rows/s\n", threads,
               1e9 * (double)wide.batch / (double)least[threads - 1]);
    printf("speedup %.2f\n", (double)least[0] / (double)least[1]);
}

int main(int argc, char **argv) {
    make_data();
    printf("isa %s\n", bp_isa_name());
    for (int a = 1; a < argc; a++) {
        if (strcmp(argv[a], "speed") == 0) {
            show_speed();
            continue;
        }
        for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++)
            show_hash(&tasks[i], atoi(argv[a]));
    }
    return 0;
}
