/* Counts how often the members of a team wait for each other while a small network is trained;
 * linked so that the calls of bp_team_barrier come here. Prints, without and with clipping, how
 * many steps were taken and how many barriers member 0 passed. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "threads/pool.h"
#include "pybackprop.h"

enum { ROWS = 12800, BATCH = 64, N_IN = 17, N_OUT = 6 };

void __real_bp_team_barrier(bp_team *team, int member);
void __wrap_bp_team_barrier(bp_team *team, int member);

static int64_t barriers;

void __wrap_bp_team_barrier(bp_team *team, int member) {
    if (member == 0) barriers++; /* the others must not even write it back */
    __real_bp_team_barrier(team, member);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static double x[ROWS * N_IN], y[ROWS * N_OUT];

static void train(double clip_norm) {
    const int64_t widths[] = {N_IN, 64, 64, N_OUT};
    const int32_t activations[] = {BP_ACT_TANH, BP_ACT_TANH, BP_ACT_IDENTITY};
    const double dropout[] = {0, 0};
    const bp_net_config config = {.n_layers = 3,
                                  .widths = widths,
                                  .activations = activations,
                                  .loss = BP_LOSS_MSE,
                                  .dtype = BP_FLOAT64,
                                  .dropout = dropout,
                                  .precision = BP_PRECISION_FLOAT32};
    const bp_data data = {.x = {x, BP_FLOAT64, ROWS, N_IN, N_IN * 8, 8},
                          .y = {y, BP_FLOAT64, ROWS, N_OUT, N_OUT * 8, 8}};
    bp_net *net;
    bp_fit *fit;
    bp_fit_state state;
    double cost;
    CHECK(bp_net_create(&config, &net) == BP_OK);
    bp_optimizer optimizer = {.kind = BP_OPT_SGD,
                              .dtype = BP_FLOAT64,
                              .n = bp_net_parameter_count(net),
                              .lr = 1e-3,
                              .clip_norm = clip_norm};
    CHECK(bp_fit_create(net, &data, BATCH, 1, &fit) == BP_OK);
    CHECK(bp_fit_run(fit, &optimizer, NULL, 0, 1, INT64_MAX, &cost, &state) == BP_OK);
    barriers = 0;
    CHECK(bp_fit_run(fit, &optimizer, NULL, 0, 1, INT64_MAX, &cost, &state) == BP_OK);
    printf("%d %" PRId64 "\n", ROWS / BATCH, barriers);
    for (int64_t batch = 1; batch <= 5; batch++) { /* without time, a slice is one batch */
        CHECK(bp_fit_run(fit, &optimizer, NULL, 0, 1, 0, &cost, &state) == BP_OK);
        CHECK(state.batch == batch);
    }
    bp_fit_destroy(fit);
    bp_net_destroy(net);
}

int main(void) {
    bp_random_uniform(1, 0, ROWS * N_IN, x);
    bp_random_uniform(1, 1, ROWS * N_OUT, y);
    CHECK(bp_set_threads(2) == BP_OK);
    train(0.0);
    train(1.0);
    return 0;
}
