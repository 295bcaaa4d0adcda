/* The cost model of threads: how many are worth waking for a piece of work. */
#ifndef BP_THREAD_PLAN_H
#define BP_THREAD_PLAN_H

#include "threads/pool.h"
#include "pybackprop.h"

/* Work below which a second thread costs more than it brings: a wake and the barriers of a pass
 * take some microseconds, in which a core does a fraction of a megaflop. */
static const double BP_FLOPS_PER_THREAD_PARTS = 0.5e6, BP_FLOPS_PER_THREAD_SHARED = 2e6;

static inline int bp_threads_for(double flops, int shared) {
    double worth = flops / (shared ? BP_FLOPS_PER_THREAD_SHARED : BP_FLOPS_PER_THREAD_PARTS);
    const int limit = bp_get_threads(), most = limit < BP_MAX_THREADS ? limit : BP_MAX_THREADS;
    return worth < 2.0 ? 1 : worth < (double)most ? (int)worth : most;
}

/* Work that one thread does in about the time that two need if one of them is asleep: some 50 us
 * until that one has woken, and then its half of the work. */
static const double BP_BRIEF_FLOPS = 1e7;

/* Runs a team function whose members share so much work. */
static inline void bp_run_work(int threads, double flops, bp_team_fn fn, void *context) {
    if (flops < BP_BRIEF_FLOPS)
        bp_pool_run_awake(threads, fn, context);
    else
        bp_pool_run(threads, fn, context);
}

#endif
