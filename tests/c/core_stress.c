/* Stress of the whole core in many threads: prints a line per part, exits 1 at the first wrong
 * result. Arguments: seconds to spend in each part, then the parts to run (all if none is named).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifndef _WIN32
#    include <sys/wait.h>
#endif

#include "system/clock.h"
#include "pybackprop.h"

enum { ROWS = 192, N_IN = 24, N_OUT = 4, NETS = 5, SCALED = NETS - 1, MAX_RUN = 400 };
enum {
    MAX_PARAMETERS = 20000,
    LARGEST = 80000
}; /* of networks whose states are kept, and of all */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            fflush(stdout);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static int64_t started_ns, deadline_ns;
static atomic_long trained;

static int time_left(void) {
    return bp_clock_ns() < deadline_ns;
}

/* ---- a training run whose result is known ---- */

static double inputs[ROWS * N_IN], labels[ROWS * N_OUT];
static float wanted[NETS][LARGEST];

static bp_matrix matrix(const double *data, int64_t cols) {
    return (bp_matrix){data, BP_FLOAT64, ROWS, cols, cols * 8, 8};
}

static bp_data data(void) {
    return (bp_data){.x = matrix(inputs, N_IN), .y = matrix(labels, N_OUT)};
}

/* Networks of different plans: in parts, of one row of panels, and in shared passes whose layers
 * are updated as soon as their gradient is there; and one whose inputs have trained factors. */
static bp_net *make_net(int which, double first_dropout) {
    static const int64_t hidden[NETS] = {40, 100, 7, 260, 60};
    const int64_t widths[] = {N_IN, hidden[which], hidden[which], N_OUT};
    const int32_t acts[] = {BP_ACT_RELU, BP_ACT_TANH, BP_ACT_IDENTITY};
    const double dropout[] = {first_dropout, 0, 0};
    const bp_net_config config = {.n_layers = 3,
                                  .widths = widths,
                                  .activations = acts,
                                  .loss = BP_LOSS_MSE,
                                  .dtype = BP_FLOAT32,
                                  .precision = BP_PRECISION_FLOAT32,
                                  .dropout = dropout,
                                  .seed = (uint64_t)which,
                                  .has_scales = which == SCALED,
                                  .scale_factors = {6, 1, 1}};
    bp_net *net;
    CHECK(bp_net_create(&config, &net) == BP_OK);
    const int64_t count = bp_net_parameter_count(net);
    CHECK(count <= LARGEST);
    double *drawn = malloc(LARGEST * sizeof *drawn); /* more than a thread's stack may hold */
    float *start = malloc(LARGEST * sizeof *start);
    CHECK(drawn && start);
    bp_random_uniform(3, 0, count, drawn);
    for (int64_t i = 0; i < count; i++)
        start[i] = (float)(0.2 * drawn[i] - 0.1);
    CHECK(bp_net_set_parameters(net, 0, count, start) == BP_OK);
    free(drawn);
    free(start);
    return net;
}

static bp_optimizer make_optimizer(const bp_net *net) {
    return (bp_optimizer){
        .kind = BP_OPT_SGD, .dtype = BP_FLOAT32, .n = bp_net_trained_count(net), .lr = 0.05};
}

static void train(bp_net *net, int epochs) {
    const bp_data all = data();
    bp_optimizer optimizer = make_optimizer(net);
    double costs[8];
    bp_fit_state state;
    bp_fit *fit;
    CHECK(bp_fit_create(net, &all, 64, 1, &fit) == BP_OK);
    CHECK(bp_fit_run(fit, &optimizer, NULL, 0, epochs, INT64_MAX, costs, &state) == BP_OK);
    bp_fit_destroy(fit);
}

/* Trains a new network and compares every bit. */
static void train_and_compare(int which) {
    bp_net *net = make_net(which, 0.1);
    train(net, 2);
    const size_t bytes = (size_t)bp_net_parameter_count(net) * sizeof(float);
    CHECK(memcmp(bp_net_parameters(net), wanted[which], bytes) == 0);
    bp_net_destroy(net);
    atomic_fetch_add(&trained, 1);
}

static void prepare(void) {
    bp_random_uniform(1, 0, ROWS * N_IN, inputs);
    bp_random_uniform(1, 1, ROWS * N_OUT, labels);
    bp_set_threads(1);
    for (int which = 0; which < NETS; which++) {
        bp_net *net = make_net(which, 0.1);
        train(net, 2);
        memcpy(wanted[which], bp_net_parameters(net),
               (size_t)bp_net_parameter_count(net) * sizeof(float));
        bp_net_destroy(net);
    }
}

/* ---- parts ---- */

static void *train_often(void *which) {
    while (time_left())
        train_and_compare(*(const int *)which);
    return NULL;
}

/* Each thread its own networks, while the limit on threads changes. */
static void part_nets(void) {
    static const int numbers[NETS] = {0, 1, 2, 3, 4};
    pthread_t thread[NETS];
    for (int i = 0; i < NETS; i++)
        CHECK(pthread_create(&thread[i], NULL, train_often, (void *)(uintptr_t)&numbers[i]) == 0);
    for (int n = 1; time_left(); n = n % 4 + 1) {
        CHECK(bp_set_threads(n) == BP_OK);
        usleep(500);
    }
    for (int i = 0; i < NETS; i++)
        pthread_join(thread[i], NULL);
}

enum { TASKS = 11 };

/* Predicts with all networks of each shape, which are alike, in one call. */
static void predict_many(const bp_cost_task *checks) {
    static const int64_t size = ROWS * N_OUT;
    const bp_matrix x = matrix(inputs, N_IN);
    float *out = malloc((size_t)(TASKS * size) * sizeof *out);
    CHECK(out != NULL);
    for (int shape = 0; shape < NETS; shape++) {
        bp_net *nets[TASKS];
        int64_t n = 0, blamed;
        for (int i = shape; i < TASKS; i += NETS)
            nets[n++] = checks[i].net;
        CHECK(bp_net_predict_many(nets, n, &x, out, size, &blamed) == BP_OK);
        for (int64_t i = 1; i < n; i++)
            CHECK(memcmp(out, out + i * size, (size_t)size * sizeof *out) == 0);
    }
    free(out);
}

/* Trains networks of all shapes side by side, in calls of random length, and computes their costs;
 * the results are those of training each alone. */
static void train_many(const int64_t max_ns) {
    double costs[TASKS][2];
    const bp_data all = data();
    bp_optimizer optimizer[TASKS];
    bp_fit_task tasks[TASKS] = {{0}};
    bp_cost_task checks[TASKS] = {{0}};
    int64_t index[ROWS], left = TASKS;
    for (int64_t i = 0; i < ROWS; i++)
        index[i] = i;
    for (int i = 0; i < TASKS; i++) {
        bp_net *net = make_net(i % NETS, 0.1);
        optimizer[i] = make_optimizer(net);
        tasks[i].optimizer = &optimizer[i];
        CHECK(bp_fit_create_rows(net, &all, i % 2 ? index : NULL, ROWS, 64, 1, (uint64_t)(i % NETS),
                                 &tasks[i].fit) == BP_OK);
        checks[i] = (bp_cost_task){.net = net, .data = &all, .rows = ROWS};
    }
    while (left > 0) {
        left = 0;
        for (int i = 0; i < TASKS; i++) {
            tasks[i].epochs = 2 - tasks[i].state.epoch;
            tasks[i].costs = &costs[i][tasks[i].state.epoch];
        }
        CHECK(bp_fit_run_many(tasks, TASKS, max_ns) == BP_OK);
        for (int i = 0; i < TASKS; i++)
            left += tasks[i].state.epoch < 2;
    }
    CHECK(bp_net_cost_many(checks, TASKS, INT64_MAX) == BP_OK);
    predict_many(checks);
    for (int i = 0; i < TASKS; i++) {
        const size_t bytes = (size_t)bp_net_parameter_count(checks[i].net) * sizeof(float);
        CHECK(memcmp(bp_net_parameters(checks[i].net), wanted[i % NETS], bytes) == 0);
        CHECK(checks[i].is_done && checks[i].cost == checks[i % NETS].cost);
        bp_fit_destroy(tasks[i].fit);
        bp_net_destroy(checks[i].net);
        atomic_fetch_add(&trained, 1);
    }
}

static void *train_many_often(void *unused) {
    static const int64_t lengths[] = {1, 100000, INT64_MAX};
    (void)unused;
    for (int n = 0; time_left(); n++)
        train_many(lengths[n % 3]);
    return NULL;
}

/* Two threads that both train many networks, while the limit on threads changes. */
static void part_many(void) {
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&thread[i], NULL, train_many_often, NULL) == 0);
    for (int n = 1; time_left(); n = n % 4 + 1) {
        CHECK(bp_set_threads(n) == BP_OK);
        usleep(500);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
}

static bp_net *shared;
static float shared_out[ROWS * N_OUT];
static atomic_long admitted, refused;

static void *hammer(void *unused) {
    const bp_matrix x = matrix(inputs, N_IN);
    const bp_data all = data();
    float out[ROWS * N_OUT];
    uint8_t mask[ROWS * 100];
    int64_t steps, epochs;
    double cost;
    (void)unused;
    for (int n = 0; time_left(); n++) {
        int status = n % 4 == 0   ? bp_net_predict(shared, &x, out)
                     : n % 4 == 1 ? bp_net_cost(shared, &all, &cost)
                     : n % 4 == 2 ? bp_net_get_state(shared, NULL, &steps, &epochs)
                                  : bp_net_dropout_mask(shared, 0, ROWS, 1.0, mask);
        CHECK(status == BP_OK || status == BP_ERR_BUSY);
        if (status == BP_OK && n % 4 == 0) CHECK(memcmp(out, shared_out, sizeof out) == 0);
        if (status == BP_OK && n % 4 == 2) CHECK(steps == 4 * epochs);
        atomic_fetch_add(status == BP_OK ? &admitted : &refused, 1);
    }
    return NULL;
}

/* All threads on one network: each call is right, or refused. */
static void part_busy(void) {
    pthread_t thread[4];
    const bp_matrix x = matrix(inputs, N_IN);
    bp_set_threads(2);
    shared = make_net(1, 0.1);
    CHECK(bp_net_predict(shared, &x, shared_out) == BP_OK);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&thread[i], NULL, hammer, NULL) == 0);
    for (int64_t n = 0; time_left(); n++) {
        int status = bp_net_set_counters(shared, 4 * n, n);
        CHECK(status == BP_OK || status == BP_ERR_BUSY);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    CHECK(atomic_load(&admitted) > 0);
    printf("%ld calls admitted, %ld refused\n", atomic_load(&admitted), atomic_load(&refused));
    bp_net_destroy(shared);
}

/* The shared network's states 0, 1, … steps after its parameters were set to those of state 0. */
typedef struct {
    float parameters[MAX_PARAMETERS], out[ROWS * N_OUT];
    double cost;
} state;

static state *run;
static atomic_long stepped, restarted;

static int step_shared(double *cost) {
    const bp_data all = data();
    bp_optimizer optimizer = make_optimizer(shared);
    return bp_net_step(shared, &all, &optimizer, 1.0, cost);
}

static int restart_shared(void) {
    return bp_net_set_parameters(shared, 0, bp_net_parameter_count(shared), run[0].parameters);
}

static void record_run(void) {
    const bp_matrix x = matrix(inputs, N_IN);
    int64_t steps, epochs;
    for (int i = 0; i < MAX_RUN; i++) {
        CHECK(bp_net_get_state(shared, run[i].parameters, &steps, &epochs) == BP_OK);
        CHECK(steps == i);
        CHECK(bp_net_predict(shared, &x, run[i].out) == BP_OK);
        CHECK(step_shared(&run[i].cost) == BP_OK);
        /* Otherwise a call could not be told from one in another state. */
        CHECK(i == 0 || memcmp(run[i].out, run[i - 1].out, sizeof run[i].out) != 0);
    }
}

/* Whether a state of the run has all that is not NULL. */
static int in_run(const float *parameters, const float *out, const double *cost) {
    const size_t bytes = (size_t)bp_net_parameter_count(shared) * sizeof *parameters;
    for (int i = 0; i < MAX_RUN; i++) {
        if (parameters && memcmp(parameters, run[i].parameters, bytes) != 0) continue;
        if (out && memcmp(out, run[i].out, sizeof run[i].out) != 0) continue;
        if (cost && memcmp(cost, &run[i].cost, sizeof *cost) != 0) continue;
        return 1;
    }
    return 0;
}

static void *hammer_updates(void *first) {
    const bp_matrix x = matrix(inputs, N_IN);
    float *parameters = malloc(MAX_PARAMETERS * sizeof *parameters), out[ROWS * N_OUT];
    int64_t steps, epochs, last = 0;
    double cost;
    CHECK(parameters);
    for (int n = *(const int *)first; time_left(); n++) {
        const int call = n % 5;
        int status = call == 0   ? restart_shared()
                     : call == 1 ? bp_net_predict(shared, &x, out)
                     : call == 2 ? bp_net_get_state(shared, parameters, &steps, &epochs)
                                 : step_shared(&cost);
        CHECK(status == BP_OK || status == BP_ERR_BUSY);
        atomic_fetch_add(status == BP_OK ? &admitted : &refused, 1);
        if (status != BP_OK) continue;
        if (call == 0) atomic_fetch_add(&restarted, 1);
        if (call == 1) CHECK(in_run(NULL, out, NULL));
        if (call == 2) {
            CHECK(in_run(parameters, NULL, NULL) && steps >= last);
            last = steps;
        }
        if (call > 2) {
            CHECK(in_run(NULL, NULL, &cost));
            atomic_fetch_add(&stepped, 1);
        }
    }
    free(parameters);
    return NULL;
}

/* All threads train one network: each call finds it in a state between two calls, or is refused.
 * Its masks would depend on the number of steps, so it has no dropout. */
static void part_updates(void) {
    static const int first[4] = {0, 1, 2, 3};
    const bp_matrix x = matrix(inputs, N_IN);
    float out[ROWS * N_OUT];
    pthread_t thread[4];
    int64_t steps, epochs;
    bp_set_threads(2);
    shared = make_net(1, 0);
    run = calloc(MAX_RUN, sizeof *run);
    CHECK(run);
    record_run();
    CHECK(bp_net_set_counters(shared, 0, 0) == BP_OK && restart_shared() == BP_OK);
    atomic_store(&admitted, 0);
    atomic_store(&refused, 0);
    deadline_ns += bp_clock_ns() - started_ns;
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&thread[i], NULL, hammer_updates, (void *)(uintptr_t)&first[i]) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    CHECK(bp_net_get_state(shared, NULL, &steps, &epochs) == BP_OK);
    CHECK(steps == atomic_load(&stepped) && epochs == 0);
    CHECK(atomic_load(&stepped) > 0 && atomic_load(&restarted) > 0);
    CHECK(restart_shared() == BP_OK && bp_net_predict(shared, &x, out) == BP_OK);
    CHECK(memcmp(out, run[0].out, sizeof out) == 0);
    printf("%ld calls admitted, %ld of them steps, %ld refused\n", atomic_load(&admitted),
           atomic_load(&stepped), atomic_load(&refused));
    free(run);
    bp_net_destroy(shared);
}

#ifndef _WIN32

static void *train_shared(void *unused) {
    (void)unused;
    while (time_left())
        train(shared, 1);
    return NULL;
}

/* Forks while another thread trains: the child has all networks but that one, if it was at work.
 */
static void part_fork(void) {
    const bp_matrix x = matrix(inputs, N_IN);
    pthread_t thread;
    int forks = 0, cut_off = 0;
    bp_set_threads(2);
    shared = make_net(0, 0.1);
    bp_net *idle = make_net(1, 0.1);
    train(idle, 1);
    CHECK(pthread_create(&thread, NULL, train_shared, NULL) == 0);
    while (time_left()) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            float out[ROWS * N_OUT];
            train_and_compare(1);
            train(idle, 1);
            int status = bp_net_predict(shared, &x, out);
            CHECK(status == BP_OK || status == BP_ERR_FORKED);
            CHECK(bp_net_status(shared) == status);
            bp_net_destroy(idle);
            bp_net_destroy(shared);
            _exit(status == BP_OK ? 0 : 3);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3));
        forks++;
        cut_off += WEXITSTATUS(status) == 3;
    }
    pthread_join(thread, NULL);
    CHECK(cut_off > 0);
    printf("%d forks, %d of them during a call\n", forks, cut_off);
    bp_net_destroy(idle);
    bp_net_destroy(shared);
}

#endif

/* ---- main ---- */

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {
    {"nets", part_nets}, {"many", part_many}, {"busy", part_busy}, {"updates", part_updates},
#ifndef _WIN32
    {"fork", part_fork},
#endif
};

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0.3;
    prepare();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int chosen = argc <= 2;
        for (int a = 2; a < argc; a++)
            chosen |= strcmp(argv[a], parts[i].name) == 0;
        if (!chosen) continue;
        started_ns = bp_clock_ns();
        deadline_ns = started_ns + (int64_t)(seconds * 1e9);
        parts[i].run();
        printf("%s ok\n", parts[i].name);
        fflush(stdout);
    }
    printf("%ld networks trained\n", atomic_load(&trained));
    return 0;
}
