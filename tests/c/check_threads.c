/* Where threads run, and how many: prints a line per part, exits 1 at the first wrong result. */
#if defined(__linux__)
#    define _GNU_SOURCE
#    include <sched.h>
#elif defined(_WIN32)
#    include <windows.h>
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "system/job.h"
#include "threads/place.h"
#include "threads/trial.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- place ---- */

#if defined(__linux__) || defined(_WIN32)

#    if defined(_WIN32)

/* The CPUs that the calling thread may use: a bit each. */
typedef GROUP_AFFINITY cpus;

static void get_cpus(cpus *set) {
    CHECK(GetThreadGroupAffinity(GetCurrentThread(), set));
}

static int count(const cpus *set) {
    return __builtin_popcountll(set->Mask);
}

static int has(const cpus *set, int cpu) {
    return set->Mask >> cpu & 1;
}

enum { MOST_CPUS = 64 };

#    else

typedef cpu_set_t cpus;

static void get_cpus(cpus *set) {
    CHECK(sched_getaffinity(0, sizeof *set, set) == 0);
}

static int count(const cpus *set) {
    return CPU_COUNT(set);
}

static int has(const cpus *set, int cpu) {
    return CPU_ISSET((size_t)cpu, set);
}

enum { MOST_CPUS = CPU_SETSIZE };

#    endif

/* Another CPU, and all may be used as before. The system may move a thread back at any time, and
 * does so more often the busier the machine is. Without bp_place_avoid, it hardly ever moves one.
 */
static void check_place(void) {
    static atomic_int taken[MOST_CPUS];
    cpus before, after;
    int moved = 0;
    get_cpus(&before);
    CHECK(bp_place_cpu() >= 0 && has(&before, bp_place_cpu()));
    for (int i = 0; i < 100; i++) {
        const int cpu = bp_place_cpu();
        atomic_store(&taken[0], cpu);
        bp_place_avoid(taken, 1);
        moved += bp_place_cpu() != cpu;
    }
    CHECK(count(&before) == 1 ? moved == 0 : moved > 10);
    atomic_store(&taken[0], -1);
    CHECK(bp_place_avoid(taken, 1));
    for (int i = 0; i < MOST_CPUS; i++)
        atomic_store(&taken[i], i);
    CHECK(!bp_place_avoid(taken, MOST_CPUS));
    get_cpus(&after);
    for (int i = 0; i < MOST_CPUS; i++)
        CHECK(has(&before, i) == has(&after, i));
    printf("place ok\n");
}

#else

static void check_place(void) {
    CHECK(bp_place_cpu() == -1 && !bp_place_avoid(NULL, 0));
    printf("place ok\n");
}

#endif

/* ---- the limits of job objects ---- */

static void check_jobs(void) {
    enum { ON = 1, WEIGHT = 2, CAP = 4, RANGE = 16, MOST = 5000u << 16 };
    CHECK(bp_job_share(0, 5000, 8) == 0);          /* no limit */
    CHECK(bp_job_share(ON | WEIGHT, 5, 8) == 0);   /* a weight is none */
    CHECK(bp_job_share(ON, 5000, 8) == 0);         /* nor is what may be exceeded */
    CHECK(bp_job_share(ON | CAP, 5000, 8) == 4);   /* half of the machine */
    CHECK(bp_job_share(ON | CAP, 5001, 8) == 5);   /* rounded up */
    CHECK(bp_job_share(ON | CAP, 1, 8) == 1);      /* never to nothing */
    CHECK(bp_job_share(ON | CAP, 10000, 8) == 0);  /* all of it */
    CHECK(bp_job_share(ON | RANGE, MOST, 8) == 4); /* from 0 to half */
    CHECK(bp_job_share(ON | RANGE, 5000, 8) == 0); /* a lower end alone */
    printf("jobs ok\n");
}

/* ---- threads/trial ---- */

enum { ROWS = 64, MOST = 16 };

/* What a batch takes with 1, 2, 4, 8 and 16 threads; and the share of batches in which one of
 * several threads has to wait for its CPU. */
typedef struct {
    double ns[5], stalls;
} machine;

static const double STALL_NS = 4e6;

static int level_of(int threads) {
    int level = 0;
    while ((1 << level) < threads)
        level++;
    return level;
}

/* What a batch takes on average. */
static double mean_ns(const machine *m, int level) {
    return m->ns[level] + (level > 0 ? m->stalls * STALL_NS : 0);
}

static double batch_ns(const machine *m, int threads) {
    static uint32_t random = 1;
    random = random * 1664525u + 1013904223u;
    const int stalls = threads > 1 && (random >> 8) * 0x1p-24 < m->stalls;
    return m->ns[level_of(threads)] + (stalls ? STALL_NS : 0);
}

/* Works for so many seconds of the machine's clock as fit_slice in engine/fit.inc.h does; gives the
 * batches done. */
static double work(bp_thread_trial *t, const machine *m, double seconds) {
    double batches = 0;
    for (double left = seconds * 1e9; left > 0;) {
        const int threads = bp_trial_threads(t, ROWS, MOST);
        CHECK(threads >= 1 && threads <= MOST);
        double taken = 0, count = 0;
        for (const double turn = (double)bp_trial_left(t); count == 0 || taken < turn; count++)
            taken += batch_ns(m, threads);
        bp_trial_record(t, (int64_t)count * ROWS, (int64_t)taken);
        batches += count;
        left -= taken;
    }
    return batches;
}

/* Whatever was best before, nearly all of the work is done as fast as it can be. */
static void check_finds_best(void) {
    static const machine machines[] = {
        {{16e4, 8e4, 4e4, 2e4, 1e4}, 0},    {{1e5, 12e4, 14e4, 16e4, 20e4}, 0},
        {{16e5, 8e5, 4e5, 5e5, 6e5}, 0},    {{4e8, 2e8, 1e8, 6e7, 5e7}, 0},
        {{8e6, 4.2e6, 3e6, 3.1e6, 4e6}, 0}, {{75e3, 50e3, 49e3, 52e3, 60e3}, 0.0125},
    };
    enum { COUNT = sizeof machines / sizeof *machines };
    for (int before = 0; before < COUNT; before++) {
        for (int now = 0; now < COUNT; now++) {
            bp_thread_trial t = {0};
            double fastest = 1e18;
            for (int level = 0; level < 5; level++)
                if (mean_ns(&machines[now], level) < fastest)
                    fastest = mean_ns(&machines[now], level);
            work(&t, &machines[before], 20);
            work(&t, &machines[now], 300); /* the slowest needs 400 ms for a batch */
            CHECK(work(&t, &machines[now], 300) * fastest > 0.93 * 300e9);
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
    t = (bp_thread_trial){0};
    for (int i = 0; i < 16; i++) {
        CHECK(bp_trial_threads(&t, ROWS, MOST) == MOST);
        bp_trial_record(&t, ROWS, 1000000000);
    }
    CHECK(bp_trial_threads(&t, ROWS, MOST) == MOST / 2);
    for (int i = 0; i < 3; i++) { /* a short batch in between */
        CHECK(bp_trial_threads(&t, 5, 2) == 2 && bp_trial_left(&t) == INT64_MAX);
        bp_trial_record(&t, 5, 1000);
    }
    CHECK(bp_trial_threads(&t, ROWS + 1, MOST) == MOST / 2);
    for (int i = 0; i < 20; i++)
        CHECK(bp_trial_threads(&t, 3 * ROWS, 4) == 4); /* from then on it is that */
    for (int i = 0; i < 20; i++) { /* work that is worth more threads gets them at once */
        CHECK(bp_trial_threads(&t, ROWS, MOST) == MOST);
        CHECK(bp_trial_threads(&t, 1, 1) == 1);
    }
    printf("alone ok\n");
}

int main(void) {
    check_place();
    check_jobs();
    check_finds_best();
    check_leaves_alone();
    return 0;
}
