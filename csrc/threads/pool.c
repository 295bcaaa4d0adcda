/* The helper threads: starting them, handing them a function, waiting for them, forks. */
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "system/clock.h"
#include "system/fpmode.h"
#include "system/thread.h"
#include "threads/park.h"
#include "threads/place.h"
#include "threads/pool.h"
#include "pybackprop.h"

/* A thread count from an environment variable, of which only the first number of a list counts;
 * 0 if there is none. */
static int threads_from(const char *name) {
    const char *text = getenv(name);
    if (!text) return 0;
    char *end;
    long n = strtol(text, &end, 10);
    while (*end == ' ') {
        end++;
    }
    if (end == text || (*end != '\0' && *end != ',')) return 0;
    return n >= 1 && n <= INT_MAX ? (int)n : 0;
}

static int default_threads(void) {
    int n = threads_from("PYBACKPROP_NUM_THREADS");
    if (n == 0) n = threads_from("OMP_NUM_THREADS");
    return n > 0 ? n : bp_cpu_count();
}

enum {
    /* How long a waiting thread looks at the word before it sleeps: longer than a phase of a small
     * network, but too short to be noticed. */
    SPIN_NS = 50000,
    /* The longest that a roused helper waits awake for the next call before it sleeps. */
    ROUSED_NS = 1000000,
    /* At the barriers of a team at work, threads spin several times as long as waking takes.
     * Otherwise one late thread lets another fall asleep, which wakes up late in turn, and so on.
     */
    BARRIER_SPINS = 6
};

struct bp_team {
    int members;
    int64_t spin_ns;
    _Alignas(128) atomic_int arrived;
    bp_word phase;
    _Alignas(128) atomic_int cpu[BP_MAX_THREADS]; /* where each member was last seen */
};

typedef struct {
    bp_word command; /* counts the dispatches to this helper */
    /* Twice the number of the command that waits to be taken up, plus 1 once the helper has taken
     * it up or the caller has withdrawn it. */
    atomic_uint ticket;
    bp_thread thread;
    int member;
} helper;

/* The holder of `taken` may use everything else here. The helpers read team, fn, context and
 * stopping between a command and their arrival at the end of it. */
static struct {
    atomic_int taken;
    int helpers; /* running; helper[i] is member i + 1 */
    int cpus;    /* as counted when the helpers were started */
    int stopping;
    atomic_llong roused_ns; /* how long a roused helper waits awake */
    bp_team_fn fn;
    void *context;
    bp_team team;
    helper helper[BP_MAX_THREADS - 1];
} pool = {.team = {.members = 1}, .roused_ns = SPIN_NS};

static atomic_int thread_limit; /* 0 until somebody asks */

/* ---- the team: barriers ---- */

/* Counts the caller in; the last to come releases the others and gets 1. */
static int arrive(bp_team *team, unsigned phase) {
    /* This must be read first: after the last arrival of a dispatch, only the caller may use the
     * team. */
    int others = team->members - 1;
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) != others) return 0;
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    bp_word_post(&team->phase, phase + 1);
    return 1;
}

/* The phase cannot move before the caller has arrived. */
static unsigned current_phase(bp_team *team) {
    return atomic_load_explicit(&team->phase.value, memory_order_relaxed);
}

/* Notes which CPU a member runs on. A member that finds a lower-numbered one on its CPU moves away,
 * so that only one of the two moves: to a CPU that no member uses or, failing that, none with a
 * lower number. */
static void take_place(bp_team *team, int member) {
    const int here = bp_place_cpu();
    atomic_store_explicit(&team->cpu[member], here, memory_order_relaxed);
    if (here < 0 || team->spin_ns == 0) return; /* unknown, or more members than CPUs */
    for (int i = 0; i < member; i++) {
        if (atomic_load_explicit(&team->cpu[i], memory_order_relaxed) != here) continue;
        if (!bp_place_avoid(team->cpu, team->members)) bp_place_avoid(team->cpu, member);
        atomic_store_explicit(&team->cpu[member], bp_place_cpu(), memory_order_relaxed);
        return;
    }
}

/* A member that has slept, or let another sleep, may have had no CPU to itself. */
void bp_team_barrier(bp_team *team, int member) {
    if (team->members == 1) return;
    const unsigned phase = current_phase(team);
    const int others_sleep = bp_word_has_sleepers(&team->phase);
    const int is_last = arrive(team, phase);
    int slept = 0;
    if (!is_last) bp_word_wait(&team->phase, phase, BARRIER_SPINS * team->spin_ns, &slept);
    if (is_last ? others_sleep && member > 0 : slept) take_place(team, member);
}

/* ---- helpers ---- */

/* Whether the calling thread decides about this command: the helper, or one that withdraws it. */
static int take_ticket(helper *h, unsigned command) {
    unsigned open = 2 * command;
    return atomic_compare_exchange_strong_explicit(&h->ticket, &open, open + 1,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

static void helper_main(void *argument) {
    helper *self = argument;
    unsigned command = 0;
    int64_t spin_ns = 0;
    int slept, is_new = 1; /* is_new: it has to find a place before it works */
    for (;;) {
        command = bp_word_wait(&self->command, command, spin_ns, &slept);
        is_new |= slept;
        if (!take_ticket(self, command)) {
            /* Roused: more work may come, but not before the caller has done this piece alone. A
             * larger team may have left no time to spin. */
            spin_ns = atomic_load_explicit(&pool.roused_ns, memory_order_relaxed);
            continue;
        }
        if (pool.stopping) return;
        spin_ns = pool.team.spin_ns;
        if (is_new) take_place(&pool.team, self->member);
        is_new = 0;
        uint64_t mode = bp_fp_enter();
        pool.fn(pool.context, &pool.team, self->member, pool.team.members);
        bp_fp_leave(mode);
        arrive(&pool.team, current_phase(&pool.team));
    }
}

static unsigned last_command(helper *h) {
    return atomic_load_explicit(&h->command.value, memory_order_relaxed);
}

static void post_command(helper *h) {
    const unsigned command = last_command(h) + 1;
    atomic_store_explicit(&h->ticket, 2 * command, memory_order_relaxed);
    bp_word_post(&h->command, command);
}

/* Makes a helper look up and wait again, by a command that is withdrawn from the start. */
static void rouse(helper *h) {
    const unsigned command = last_command(h) + 1;
    atomic_store_explicit(&h->ticket, 2 * command + 1, memory_order_relaxed);
    bp_word_post(&h->command, command);
}

/* How many of these members can begin at once; rouses the others. */
static int awake(int members) {
    int ready = members;
    for (int i = members - 2; i >= 0; i--) {
        if (!bp_word_has_sleepers(&pool.helper[i].command)) continue;
        rouse(&pool.helper[i]);
        ready = i + 1;
    }
    return ready;
}

/* Leaves out the helpers that have not begun: the caller arrives for them. */
static void withdraw_commands(bp_team *team) {
    for (int i = 0; i < team->members - 1; i++) {
        helper *h = &pool.helper[i];
        if (take_ticket(h, last_command(h))) arrive(team, current_phase(team));
    }
}

static int start_helper(helper *h, int member) {
    bp_word_reset(&h->command);
    h->member = member;
    atomic_store_explicit(&pool.team.cpu[member], -1, memory_order_relaxed);
    return bp_thread_start(&h->thread, helper_main, h);
}

/* Starts the helpers that a team of `members` lacks; returns how many members there can be. */
static int gather(int members) {
    if (pool.helpers < members - 1) pool.cpus = bp_cpu_count();
    while (pool.helpers < members - 1) {
        if (!start_helper(&pool.helper[pool.helpers], pool.helpers + 1)) return pool.helpers + 1;
        pool.helpers++;
    }
    return members;
}

/* ---- dispatch ---- */

/* Who takes part: all, those that are awake, or those that begin before the caller is done. */
typedef enum { ALL_HELPERS, AWAKE_HELPERS, EARLY_HELPERS } which_helpers;

static int take_pool(void) {
    return atomic_exchange_explicit(&pool.taken, 1, memory_order_acquire) == 0;
}

static void release_pool(void) {
    atomic_store_explicit(&pool.taken, 0, memory_order_release);
}

static void run_alone(bp_team_fn fn, void *context) {
    /* Barriers of a team of one touch nothing, so all such teams may share it. */
    static bp_team alone = {.members = 1};
    fn(context, &alone, 0, 1);
}

/* Runs alone while the helpers that were roused wake up. The next time they wait awake for twice as
 * long as that took, but not if they outnumber the CPUs. */
static void run_meanwhile(int wanted, bp_team_fn fn, void *context) {
    const int64_t start = bp_clock_ns();
    run_alone(fn, context);
    int64_t spin_ns = 2 * (bp_clock_ns() - start);
    if (spin_ns < SPIN_NS || wanted > pool.cpus) spin_ns = SPIN_NS;
    if (spin_ns > ROUSED_NS) spin_ns = ROUSED_NS;
    atomic_store_explicit(&pool.roused_ns, spin_ns, memory_order_relaxed);
}

static void run_together(int members, bp_team_fn fn, void *context, which_helpers which) {
    bp_team *team = &pool.team;
    pool.fn = fn;
    pool.context = context;
    team->members = members;
    team->spin_ns = members > pool.cpus ? 0 : SPIN_NS;
    take_place(team, 0);
    for (int i = 0; i < members - 1; i++) {
        post_command(&pool.helper[i]);
    }
    fn(context, team, 0, members);
    if (which == EARLY_HELPERS) withdraw_commands(team);
    bp_team_barrier(team, 0);
    team->members = 1;
}

static void dispatch(int threads, bp_team_fn fn, void *context, which_helpers which) {
    const int limit = bp_get_threads(); /* read once: another thread may raise it */
    int members = threads < limit ? threads : limit;
    if (members > BP_MAX_THREADS) members = BP_MAX_THREADS;
    uint64_t mode = bp_fp_enter();
    if (members > 1 && take_pool()) {
        const int wanted = members = gather(members);
        if (which == AWAKE_HELPERS) members = awake(members);
        if (members > 1) {
            run_together(members, fn, context, which);
        } else {
            run_meanwhile(wanted, fn, context);
        }
        release_pool();
    } else {
        run_alone(fn, context);
    }
    bp_fp_leave(mode);
}

void bp_pool_run(int threads, bp_team_fn fn, void *context) {
    dispatch(threads, fn, context, ALL_HELPERS);
}

void bp_pool_run_awake(int threads, bp_team_fn fn, void *context) {
    dispatch(threads, fn, context, AWAKE_HELPERS);
}

void bp_pool_share(int threads, bp_team_fn fn, void *context) {
    dispatch(threads, fn, context, EARLY_HELPERS);
}

/* ---- fork and exit ---- */

static atomic_uint fork_generation;

unsigned bp_fork_generation(void) {
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

/* Windows has no fork, and a library whose threads run stays loaded (thread_windows.c). */
#ifndef _WIN32

/* A fork's own handlers must know whether this fork, not another thread's, holds the pool. */
static _Thread_local int fork_took_pool;

static void stop_helpers(void) {
    pool.stopping = 1;
    for (int i = 0; i < pool.helpers; i++) {
        post_command(&pool.helper[i]);
    }
    for (int i = 0; i < pool.helpers; i++) {
        bp_thread_join(&pool.helper[i].thread);
    }
    pool.helpers = 0;
    pool.stopping = 0;
}

/* An idle pool is stopped, so that the fork sees no threads of ours; a busy one is left alone. */
static void before_fork(void) {
    fork_took_pool = take_pool();
    if (fork_took_pool) stop_helpers();
}

static void after_fork_in_parent(void) {
    if (fork_took_pool) release_pool();
}

/* The child has one thread, whatever the pool was doing. A team that was at work is left a team
 * of one: if it was the forking thread's own, its barriers no longer wait for those who are gone.
 */
static void after_fork_in_child(void) {
    bp_thread_after_fork();
    pool.helpers = 0;
    pool.stopping = 0;
    pool.team.members = 1;
    atomic_init(&pool.team.arrived, 0);
    bp_word_reset(&pool.team.phase);
    atomic_init(&pool.taken, 0);
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

/* If the handlers cannot be installed, no fork would be safe from helpers, so the pool stays taken
 * and every caller runs alone. */
__attribute__((constructor)) static void on_load(void) {
    if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0) take_pool();
}

/* The code of the helpers is about to be unmapped. The pool stays taken: late callers run alone. */
__attribute__((destructor)) static void on_unload(void) {
    if (take_pool()) stop_helpers();
}

#endif

/* ---- limits ---- */

int bp_get_threads(void) {
    int n = atomic_load_explicit(&thread_limit, memory_order_relaxed);
    if (n > 0) return n;
    /* Threads that come here together find the same number, unless one has set another. */
    int wanted = default_threads();
    return atomic_compare_exchange_strong(&thread_limit, &n, wanted) ? wanted : n;
}

int bp_set_threads(int n) {
    if (n < 1) return BP_ERR_ARGUMENT;
    atomic_store_explicit(&thread_limit, n, memory_order_relaxed);
    return BP_OK;
}
