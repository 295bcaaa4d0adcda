/* Many networks: who works on which, and for how long. */
#include "engine/many.h"

#include "engine/groups.h"
#include "engine/shelf.h"
#include "system/clock.h"

/* A visit ends after this long, at the end of a batch. So the networks end at about the same time,
 * and hardly ever is one left that only one thread can work on. */
static const int64_t VISIT_NS = 5000000;

typedef struct {
    bp_errand *errands;
    int64_t n;
    const bp_errand_kind *kind;
    int64_t deadline;
    atomic_llong next;   /* counts through the errands, again and again */
    atomic_llong n_free; /* errands that nobody has taken */
    atomic_llong n_left; /* errands that are not over */
} queue;

/* ---- the queue ---- */

/* A user's function is called by the thread that called the core. */
static int is_for_caller(const bp_errand *errand) {
    return errand->net->loss == BP_LOSS_CALLBACK;
}

static int64_t time_left(const queue *q) {
    return q->deadline - bp_clock_ns();
}

/* An errand that nobody is working on, or NULL if there is none. */
static bp_errand *take(queue *q) {
    while (atomic_load_explicit(&q->n_free, memory_order_relaxed) > 0) {
        const int64_t at = atomic_fetch_add_explicit(&q->next, 1, memory_order_relaxed) % q->n;
        bp_errand *errand = &q->errands[at];
        int is_taken = 0;
        if (!atomic_compare_exchange_strong_explicit(&errand->taken, &is_taken, 1,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        atomic_fetch_sub_explicit(&q->n_free, 1, memory_order_relaxed);
        return errand;
    }
    return NULL;
}

static void visit(const queue *q, bp_errand *errand, int max_threads, int64_t max_ns) {
    bp_shelf_lend(errand);
    q->kind->visit(errand, max_threads, max_ns);
    bp_shelf_return(errand);
}

static void put_back(queue *q, bp_errand *errand) {
    if (errand->is_over) {
        atomic_fetch_sub_explicit(&q->n_left, 1, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&errand->taken, 0, memory_order_release);
    atomic_fetch_add_explicit(&q->n_free, 1, memory_order_relaxed);
}

/* Visits errands until time is up or there are too few for another thread to help. Member 0 makes
 * one visit in any case. */
static void work(void *context, bp_team *team, int member, int members) {
    queue *q = context;
    int64_t left = time_left(q);
    (void)team;
    if (member == 0 && left < 1) left = 1;
    while (left > 0) {
        if (members > 1 && atomic_load_explicit(&q->n_left, memory_order_relaxed) < 2) return;
        bp_errand *errand = take(q);
        if (!errand) return;
        visit(q, errand, 1, left < VISIT_NS ? left : VISIT_NS);
        put_back(q, errand);
        left = time_left(q);
    }
}

/* What remains for the caller: all threads work on one network at a time. */
static void work_on_rest(queue *q, int has_worked) {
    for (int64_t i = 0; i < q->n; i++) {
        bp_errand *errand = &q->errands[i];
        int64_t left = time_left(q);
        if (!has_worked && left < 1) left = 1;
        if (left < 1) return;
        if (errand->is_over) continue;
        visit(q, errand, BP_MAX_THREADS, left);
        has_worked = 1;
    }
}

/* Marks what a team can work on; returns how many errands that are. */
static int64_t share_out(queue *q) {
    int64_t shared = 0;
    for (int64_t i = 0; i < q->n; i++) {
        const int is_shared = !is_for_caller(&q->errands[i]);
        atomic_init(&q->errands[i].taken, !is_shared);
        shared += is_shared;
    }
    atomic_init(&q->next, 0);
    atomic_init(&q->n_free, shared);
    atomic_init(&q->n_left, shared);
    return shared;
}

int bp_many_run(bp_errand *errands, int64_t n, const bp_errand_kind *kind, int64_t max_ns,
                int64_t *blamed) {
    const int64_t now = bp_clock_ns();
    const int limit = bp_get_threads(), most = limit < BP_MAX_THREADS ? limit : BP_MAX_THREADS;
    *blamed = 0;
    if (kind->can_be_grouped && bp_groups_form(errands, n, most, &n) != BP_OK) return BP_ERR_MEMORY;
    queue q = {
        .errands = errands,
        .n = n,
        .kind = kind,
        .deadline = bp_clock_after(now, max_ns),
    };
    const int64_t shared = share_out(&q);
    const int threads = shared < most ? (int)shared : most;
    bp_shelves shelves;
    const int status =
        bp_shelves_make(errands, n, kind, threads > 1 ? threads : 1, &shelves, blamed);
    if (status != BP_OK) return status;
    if (shared > 1) bp_pool_run(threads, work, &q);
    work_on_rest(&q, shared > 1);
    bp_shelves_clear(errands, n, &shelves);
    return BP_OK;
}
