/* An errand: work on one of many networks that is done in visits, by one thread at a time. */
#ifndef BP_ERRAND_H
#define BP_ERRAND_H

#include <stdatomic.h>

#include "engine/fit.h"

struct bp_shelf;

typedef struct bp_errand {
    bp_net *net;
    void *task;       /* a bp_fit_task or a bp_cost_task */
    atomic_int taken; /* for good where nothing is left to do */
    int is_over;
    int flags;                /* bp_pass_flag, of the workspace that it needs, */
    int64_t size[3];          /* and what its size depends on, besides the network */
    struct bp_shelf *shelf;   /* where to borrow it from */
    bp_slice slice;           /* of a training run, */
    struct bp_errand *others; /* and those that are done together with it (groups.h) */
    int n_others;
} bp_errand;

/* What errands of one kind are. */
typedef struct {
    int can_be_grouped; /* they are training runs, see groups.h */

    /* Makes room in the network's workspace for a visit with one thread. */
    int (*reserve)(const bp_errand *errand);

    /* Works with up to so many threads, for at most max_ns if that can be interrupted. */
    void (*visit)(bp_errand *errand, int max_threads, int64_t max_ns);
} bp_errand_kind;

extern const bp_errand_kind bp_fit_errands, bp_cost_errands;

/* Sets up an errand, all zero before, for a task. */
void bp_errand_begin_fit(bp_errand *errand, bp_fit_task *task);
void bp_errand_begin_cost(bp_errand *errand, bp_cost_task *task);

/* The errand itself, or one of those that are done together with it. */
bp_errand *bp_errand_member(bp_errand *errand, int i);

/* Writes into the task where its run stands. */
void bp_errand_end_fit(bp_errand *errand);

#endif
