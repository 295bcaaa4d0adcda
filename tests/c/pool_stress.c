/* Stress of the thread pool: prints a line per part, exits 1 at the first wrong result.
 * Arguments: seconds to spend, then the parts to run (all if none is named). */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef _WIN32
#    include <windows.h>
#else
#    include <sys/resource.h>
#    include <sys/wait.h>
#endif

#include "system/clock.h"
#include "system/fpmode.h"
#include "threads/place.h"
#include "threads/pool.h"
#include "pybackprop.h"

enum { MEMBERS = 8, PHASES = 20 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            fflush(stdout);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static int64_t deadline_ns;

static int time_left(void) {
    return bp_clock_ns() < deadline_ns;
}

/* Each phase, a member reads what every member wrote in the phase before. The values are not
 * atomic: only the barriers order them. */
typedef struct {
    int64_t value[2][MEMBERS * 16];
    int seen[MEMBERS]; /* the `members` that each saw, 0 where none came */
    int phases;
} phase_job;

static void run_phases(void *context, bp_team *team, int member, int members) {
    phase_job *job = context;
    int64_t expected = member + 1;
    job->seen[member] = members;
    job->value[0][member * 16] = expected;
    for (int p = 0; p < job->phases; p++) {
        bp_team_barrier(team, member);
        int64_t sum = 0;
        for (int i = 0; i < members; i++) {
            sum += job->value[p & 1][i * 16];
        }
        job->value[1 - (p & 1)][member * 16] = (sum + member) % 1000003;
    }
}

/* What member 0 ends with, by one thread. */
static int64_t expected_value(int members, int phases) {
    int64_t value[2][MEMBERS];
    for (int i = 0; i < members; i++) {
        value[0][i] = i + 1;
    }
    for (int p = 0; p < phases; p++) {
        int64_t sum = 0;
        for (int i = 0; i < members; i++) {
            sum += value[p & 1][i];
        }
        for (int i = 0; i < members; i++) {
            value[1 - (p & 1)][i] = (sum + i) % 1000003;
        }
    }
    return value[phases & 1][0];
}

/* Returns the members that ran. */
static int check(void (*run)(int, bp_team_fn, void *), int threads, int phases) {
    phase_job job;
    memset(&job, 0, sizeof job);
    job.phases = phases;
    run(threads, run_phases, &job);
    int members = job.seen[0];
    CHECK(members >= 1 && members <= threads);
    for (int i = 0; i < MEMBERS; i++) {
        CHECK(job.seen[i] == (i < members ? members : 0));
    }
    CHECK(job.value[phases & 1][0] == expected_value(members, phases));
    return members;
}

static int check_run(int threads, int phases) {
    return check(bp_pool_run, threads, phases);
}

static int check_awake(int threads, int phases) {
    return check(bp_pool_run_awake, threads, phases);
}

/* ---- parts ---- */

static void part_counts(void) {
    bp_set_threads(MEMBERS);
    for (int n = 0; time_left(); n++) {
        int threads = n % MEMBERS + 1;
        CHECK(check_run(threads, n % PHASES) == threads);
        if (n % 100 == 0) usleep(200);
    }
    bp_set_threads(2);
    CHECK(check_run(MEMBERS, 3) == 2);
    CHECK(bp_set_threads(0) == BP_ERR_ARGUMENT && bp_get_threads() == 2);
}

/* Pieces that members take one by one; the values are not atomic. */
enum { PIECES = 12 };

typedef struct {
    atomic_int next, calls;
    int64_t value[PIECES * 16];
} piece_job;

static void run_pieces(void *context, bp_team *team, int member, int members) {
    piece_job *job = context;
    (void)team;
    CHECK(member < members);
    atomic_fetch_add(&job->calls, 1);
    for (int i; (i = atomic_fetch_add(&job->next, 1)) < PIECES;) {
        for (int n = 0; n < 1000; n++) {
            job->value[i * 16] += n ^ i;
        }
    }
}

/* Helpers that are late, busy or asleep are left out, none of them too early, and none comes when
 * the job is gone or a dispatch of the other kind has begun. */
static void part_shared(void) {
    static piece_job job;
    int left_out = 0;
    bp_set_threads(MEMBERS);
    for (int n = 0; time_left(); n++) {
        int threads = n % MEMBERS + 1;
        memset(&job, 0, sizeof job);
        bp_pool_share(threads, run_pieces, &job);
        for (int i = 0; i < PIECES; i++) {
            int64_t expected = 0;
            for (int k = 0; k < 1000; k++) {
                expected += k ^ i;
            }
            CHECK(job.value[i * 16] == expected);
        }
        CHECK(atomic_load(&job.calls) >= 1 && atomic_load(&job.calls) <= threads);
        left_out += threads - atomic_load(&job.calls);
        if (n % 3 == 0) CHECK(check_run(threads, n % 4) == threads);
        if (n % 100 == 0) usleep(200);
    }
    CHECK(left_out > 0);
}

/* The helpers that are awake take part, and the calls in between wake the others. */
static void part_awake(void) {
    int alone = 0;
    bp_set_threads(MEMBERS);
    for (int n = 0; time_left(); n++) {
        int members = check_awake(n % MEMBERS + 1, n % PHASES);
        alone += members == 1 && n % MEMBERS > 0;
        if (n % 5 == 0) CHECK(check_run(n % MEMBERS + 1, 2) == n % MEMBERS + 1);
        if (n % 20 == 0) usleep(300);
    }
    CHECK(alone > 0);
}

/* After a team of more members than CPUs, none of which spins, a smaller one finds its helper awake
 * where calls follow one another. */
static void part_smaller(void) {
    enum { REPEATS = 20, CALLS = 500, BETWEEN_NS = 20000 };
    int together = 0;
    for (int i = 0; i < REPEATS; i++) {
        bp_set_threads(MEMBERS);
        check_run(MEMBERS, 1);
        bp_set_threads(2);
        usleep(2000);
        for (int n = 0; n < CALLS; n++) {
            together += check_awake(2, 0) == 2;
            for (const int64_t end = bp_clock_ns() + BETWEEN_NS; bp_clock_ns() < end;) {
            }
        }
    }
    printf("%d of %d calls on two threads\n", together, REPEATS * CALLS);
}

static void run_for(void *context, bp_team *team, int member, int members) {
    atomic_int *together = context;
    (void)team;
    if (member > 0) atomic_store(together, 1);
    for (const int64_t end = bp_clock_ns() + (members > 1 ? 20000 : 300000); bp_clock_ns() < end;) {
    }
}

/* Calls that take much longer alone than a helper looks out find it awake soon after a pause. */
static void part_slow(void) {
    enum { REPEATS = 20, CALLS = 50 };
    int alone = 0;
    bp_set_threads(2);
    for (int i = 0; i < REPEATS; i++) {
        usleep(5000);
        for (int n = 0; n < CALLS; n++) {
            atomic_int together = 0;
            bp_pool_run_awake(2, run_for, &together);
            alone += !atomic_load(&together);
        }
    }
    printf("%d of %d calls on one thread\n", alone, REPEATS * CALLS);
}

static void *change_limit(void *unused) {
    (void)unused;
    while (time_left()) {
        bp_set_threads(2);
        bp_set_threads(MEMBERS);
    }
    return NULL;
}

/* Never more members than a call has room for, whatever happens to the limit meanwhile. */
static void part_limits(void) {
    pthread_t other;
    CHECK(pthread_create(&other, NULL, change_limit, NULL) == 0);
    while (time_left()) {
        CHECK(check_run(MEMBERS / 2, 1) <= MEMBERS / 2);
    }
    pthread_join(other, NULL);
}

static atomic_int in_team;

static void *call_often(void *unused) {
    (void)unused;
    while (time_left()) {
        if (check_run(2, PHASES) == 2) atomic_fetch_add(&in_team, 1);
    }
    return NULL;
}

static void part_callers(void) {
    pthread_t caller[3];
    bp_set_threads(4);
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&caller[i], NULL, call_often, NULL) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(caller[i], NULL);
    }
    CHECK(atomic_load(&in_team) > 0);
}

static void run_nested(void *context, bp_team *team, int member, int members) {
    (void)team;
    (void)members;
    int *ran = context;
    ran[member] = check_run(2, 3);
}

static void part_nested(void) {
    bp_set_threads(4);
    for (int n = 0; n < 50; n++) {
        int ran[2] = {0, 0};
        bp_pool_run(2, run_nested, ran);
        CHECK(ran[0] == 1 && ran[1] == 1);
    }
}

#ifndef _WIN32
#    include "pool_stress_posix.inc.h"
#endif

static void read_mode(void *context, bp_team *team, int member, int members) {
    uint64_t *mode = context;
    (void)team;
    (void)members;
    mode[member] = bp_fp_get();
#ifndef _WIN32
    CHECK(member == 0 || leaves_signals());
#endif
    volatile float tiny = 1e-38f;
    CHECK(BP_FP_KERNEL == BP_FP_DEFAULT || tiny * 0.01f == 0.0f);
}

static void part_mode(void) {
    bp_set_threads(2);
    for (int threads = 1; threads <= 2; threads++) {
        uint64_t mode[2] = {0, 0}, before = bp_fp_get();
        bp_pool_run(threads, read_mode, mode);
        CHECK(mode[0] == BP_FP_KERNEL && (threads == 1 || mode[1] == BP_FP_KERNEL));
        CHECK(bp_fp_get() == before);
        volatile float tiny = 1e-38f;
        CHECK(tiny * 0.01f != 0.0f);
    }
#ifndef _WIN32
    CHECK(!leaves_signals());
#endif
}

/* ---- places ---- */

#if defined(__linux__) || defined(_WIN32)

/* Moves the calling thread to a CPU, which it may leave again; 1 if that was done. */
static int go_to(int cpu) {
#    ifdef _WIN32
    const DWORD_PTR before = SetThreadAffinityMask(GetCurrentThread(), (DWORD_PTR)1 << cpu);
    return before && SetThreadAffinityMask(GetCurrentThread(), before);
#    else
    cpu_set_t before, one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_getaffinity(0, sizeof before, &before) == 0 &&
           sched_setaffinity(0, sizeof one, &one) == 0 &&
           sched_setaffinity(0, sizeof before, &before) == 0;
#    endif
}

typedef struct {
    atomic_int cpu[2]; /* of each member, after the last phase */
    int phases;        /* until they were apart */
} place_job;

/* Both members come to one CPU, and may leave it again. */
static void meet(place_job *job, bp_team *team, int member) {
    atomic_store(&job->cpu[member], bp_place_cpu());
    bp_team_barrier(team, member);
    CHECK(go_to(atomic_load(&job->cpu[0])));
}

static void run_together_then_apart(void *context, bp_team *team, int member, int members) {
    enum { PHASE_NS = 30000, MOST_PHASES = 20000 };
    place_job *job = context;
    if (members < 2) return;
    meet(job, team, member);
    for (int phase = 0; phase < MOST_PHASES; phase++) {
        for (const int64_t end = bp_clock_ns() + PHASE_NS; bp_clock_ns() < end;) {
        }
        atomic_store(&job->cpu[member], bp_place_cpu());
        bp_team_barrier(team, member);
        if (member == 0) job->phases = phase;
        const int apart = atomic_load(&job->cpu[0]) != atomic_load(&job->cpu[1]);
        bp_team_barrier(team, member);
        if (apart) return;
    }
}

/* Members that came to one CPU are soon on two. */
static void part_places(void) {
    static place_job job;
    bp_set_threads(2);
    /* bp_cpu_count knows of quotas too, under which nobody is moved. */
    for (int n = 0; n < 20 && bp_cpu_count() > 1; n++) {
        job.phases = 0;
        bp_pool_run(2, run_together_then_apart, &job);
        CHECK(job.phases < 1000);
    }
}

#else

static void part_places(void) {}

#endif

/* ---- latency ---- */

static void run_barriers(void *context, bp_team *team, int member, int members) {
    (void)members;
    for (int i = 0; i < *(int *)context; i++) {
        bp_team_barrier(team, member);
    }
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Nanoseconds of a dispatch with so many barriers: the median, warm. */
static int64_t latency(int barriers) {
    enum { RUNS = 2001 };
    static int64_t took[RUNS];
    for (int n = 0; n < RUNS; n++) {
        int64_t start = bp_clock_ns();
        bp_pool_run(2, run_barriers, &barriers);
        took[n] = bp_clock_ns() - start;
    }
    qsort(took, RUNS, sizeof took[0], compare);
    return took[RUNS / 2];
}

static void part_latency(void) {
    bp_set_threads(2);
    int64_t one = latency(1), many = latency(101);
    printf("dispatch with one barrier, 2 threads: %lld ns; each further barrier: %lld ns\n",
           (long long)one, (long long)(many - one) / 100);
}

/* ---- main ---- */

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {
#ifndef _WIN32
    {"scarce", part_scarce},           {"fork_idle", part_fork_idle}, {"fork_busy", part_fork_busy},
    {"fork_inside", part_fork_inside},
#endif
    {"counts", part_counts},           {"shared", part_shared},       {"awake", part_awake},
    {"smaller", part_smaller},         {"limits", part_limits},       {"callers", part_callers},
    {"nested", part_nested},           {"mode", part_mode},           {"places", part_places},
    {"latency", part_latency},         {"slow", part_slow},
};

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0.2;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int wanted = argc <= 2;
        for (int a = 2; a < argc; a++) {
            if (strcmp(argv[a], parts[i].name) == 0) wanted = 1;
        }
        if (!wanted) continue;
        deadline_ns = bp_clock_ns() + (int64_t)(seconds * 1e9);
        parts[i].run();
        printf("%s ok\n", parts[i].name);
        fflush(stdout);
    }
    return 0;
}
