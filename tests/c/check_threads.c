/* Where threads run, and how many: prints a line per part, exits 1 at the first wrong result. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "place.h"
#include "thread_trial.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- place ---- */

/* Another CPU, and all may be used as before; the system may move a thread back at any time. */
static void check_place(void) {
    static atomic_int taken[CPU_SETSIZE];
    cpu_set_t before, after;
    int moved = 0;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    CHECK(bp_place_cpu() >= 0 && CPU_ISSET(bp_place_cpu(), &before));
    for (int i = 0; i < 100; i++) {
        const int cpu = bp_place_cpu();
        atomic_store(&taken[0], cpu);
        bp_place_avoid(taken, 1);
        moved += bp_place_cpu() != cpu;
    }
    CHECK(CPU_COUNT(&before) == 1 ? moved == 0 : moved > 50);
    for (int i = 0; i < CPU_SETSIZE; i++)
        atomic_store(&taken[i], i);
    bp_place_avoid(taken, CPU_SETSIZE);
    CHECK(sched_getaffinity(0, sizeof after, &after) == 0 && CPU_EQUAL(&before, &after));
    printf("place ok\n");
}

/* ---- thread_trial ---- */

enum { ROWS = 64, MOST = 16 };

/* What a batch takes with 1, 2, 4, 8 and 16 threads. */
typedef struct {
    double ns[5];
} machine;

static double batch_ns(const machine *m, int threads) {
    int level = 0;
    while ((1 << level) < threads)
        level++;
    return m->ns[level];
}

/* Works for so many seconds of the machine's clock as train.inc.h does; gives the batches done. */
static double work(bp_thread_trial *t, const machine *m, double seconds) {
    double batches = 0;
    for (double left = seconds * 1e9; left > 0;) {
        const int threads = bp_trial_threads(t, ROWS, MOST);
        CHECK(threads >= 1 && threads <= MOST);
        const double each = batch_ns(m, threads), turn = (double)bp_trial_left(t);
        const double count = turn > each ? (double)(int64_t)(turn / each) + 1 : 1;
        bp_trial_record(t, (int64_t)count * ROWS, (int64_t)(count * each));
        batches += count;
        left -= count * each;
    }
    return batches;
}

/* Whatever was best before, nearly all of the work is done as fast as it can be. */
static void check_finds_best(void) {
    static const machine machines[] = {
        {{16e3, 8e3, 4e3, 2e3, 1e3}}, {{1e4, 12e3, 14e3, 16e3, 20e3}}, {{16e5, 8e5, 4e5, 5e5, 6e5}},
        {{4e8, 2e8, 1e8, 6e7, 5e7}},  {{8e6, 4.2e6, 3e6, 3.1e6, 4e6}},
    };
    enum { COUNT = sizeof machines / sizeof *machines };
    for (int before = 0; before < COUNT; before++) {
        for (int now = 0; now < COUNT; now++) {
            bp_thread_trial t = {0};
            double fastest = 1e18, batches;
            for (int level = 0; level < 5; level++)
                if (machines[now].ns[level] < fastest) fastest = machines[now].ns[level];
            work(&t, &machines[before], 20);
            work(&t, &machines[now], 300); /* the slowest needs 400 ms for a batch */
            batches = work(&t, &machines[now], 300);
            CHECK(batches * fastest > 0.95 * 300e9);
        }
    }
    printf("best ok\n");
}

/* Nothing is tried where there is no choice, nor before it could pay. */
static void check_leaves_alone(void) {
    bp_thread_trial t = {0};
    CHECK(bp_trial_threads(&t, ROWS, 1) == 1 && bp_trial_left(&t) == INT64_MAX);
    for (int i = 0; i < 1000; i++) {
        bp_trial_record(&t, ROWS, 1000000000);
        CHECK(bp_trial_threads(&t, ROWS, 1) == 1);
    }
    for (int i = 0; i < 16; i++) { /* other work: begins with the most */
        CHECK(bp_trial_threads(&t, ROWS, MOST) == MOST);
        bp_trial_record(&t, ROWS, 1000000000);
    }
    CHECK(bp_trial_threads(&t, ROWS, MOST) == MOST / 2);
    CHECK(bp_trial_threads(&t, 2 * ROWS, MOST) == MOST);
    CHECK(bp_trial_threads(&t, 2 * ROWS, 4) == 4);
    printf("alone ok\n");
}

int main(void) {
    check_place();
    check_finds_best();
    check_leaves_alone();
    return 0;
}
