/* Putting training runs together. */
#include "engine/groups.h"

#include "engine/doors.h"
#include "system/integers.h"

/* Kinds of runs that are looked through for that of a run. More of them cost only time: a run whose
 * kind is not found begins another one. */
enum { RECENT = 16 };

/* Runs that can be done together. */
typedef struct {
    const bp_errand *like;
    int64_t n, together; /* how many, and how many of them in groups */
    int64_t placed;      /* of these */
    int64_t next;        /* place of the next one that follows a leader */
} run_kind;

typedef struct {
    run_kind *kinds;
    int64_t n_kinds;
    int64_t *kind_of; /* of each errand, or -1 */
    bp_errand *sorted;
} sorting;

static int64_t find_kind(sorting *sort, const bp_errand *errand) {
    const int64_t n = sort->n_kinds, first = n > RECENT ? n - RECENT : 0;
    if (!bp_lanes_allow(&errand->slice)) return -1;
    for (int64_t i = n - 1; i >= first; i--)
        if (bp_lanes_match(&sort->kinds[i].like->slice, &errand->slice)) return i;
    sort->kinds[sort->n_kinds].like = errand;
    return sort->n_kinds++;
}

static int lanes_of(const run_kind *kind) {
    return bp_lanes_count(kind->like->net);
}

/* Finds the kinds; returns how many errands will follow others. */
static int64_t count_kinds(sorting *sort, const bp_errand *errands, int64_t n, int threads) {
    int64_t following = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t kind = sort->kind_of[i] = find_kind(sort, &errands[i]);
        if (kind >= 0) sort->kinds[kind].n++;
    }
    for (int64_t i = 0; i < sort->n_kinds; i++) {
        run_kind *kind = &sort->kinds[i];
        const int lanes = lanes_of(kind);
        kind->together = bp_lanes_worth(lanes, kind->n, threads);
        following += kind->together - bp_ceil_div(kind->together, lanes);
    }
    return following;
}

/* Where an errand goes; *at and *tail are the next places for leaders and for those that follow. */
static void place(sorting *sort, const bp_errand *errand, int64_t i, bp_errand *errands,
                  int64_t *at, int64_t *tail) {
    run_kind *kind = sort->kind_of[i] < 0 ? NULL : &sort->kinds[sort->kind_of[i]];
    if (!kind || kind->placed == kind->together) {
        sort->sorted[(*at)++] = *errand;
        return;
    }
    const int lanes = lanes_of(kind);
    const int64_t left = kind->together - kind->placed;
    if (kind->placed++ % lanes > 0) { /* it may have been a leader before */
        bp_engine_of(errand->net->dtype)->workspace_release(errand->net, BP_PASS_LANES);
        sort->sorted[kind->next++] = *errand;
        return;
    }
    bp_errand *leader = &sort->sorted[(*at)++];
    *leader = *errand;
    leader->n_others = (int)bp_min_i64(left, lanes) - 1;
    leader->others = &errands[*tail];
    leader->flags = BP_PASS_LANES;
    for (int state = 0; state < 3; state++)
        leader->size[2] += leader->slice.optimizer->state[state] != NULL;
    kind->next = *tail;
    *tail += leader->n_others;
}

/* Lets runs that are done together end at one batch, so that they can go on together: where the
 * rates of one of them are used up before its epochs have ended, the others wait for more. */
static void end_together(bp_errand *leader) {
    int64_t most = INT64_MAX;
    for (int i = 0; i <= leader->n_others; i++) {
        const bp_slice *s = &bp_errand_member(leader, i)->slice;
        if (s->rates && (s->fit->batch + s->max_batches) / s->fit->n_batches < s->epochs)
            most = bp_min_i64(most, s->max_batches);
    }
    for (int i = 0; i <= leader->n_others; i++) {
        bp_slice *s = &bp_errand_member(leader, i)->slice;
        s->max_batches = bp_min_i64(most, s->max_batches);
    }
}

static void sort_errands(sorting *sort, bp_errand *errands, int64_t n, int64_t leading) {
    int64_t at = 0, tail = leading;
    for (int64_t i = 0; i < n; i++)
        place(sort, &errands[i], i, errands, &at, &tail);
    for (int64_t i = 0; i < n; i++)
        errands[i] = sort->sorted[i];
    for (int64_t i = 0; i < leading; i++)
        end_together(&errands[i]);
}

int bp_groups_form(bp_errand *errands, int64_t n, int threads, int64_t *leading) {
    sorting sort = {
        .kinds = bp_alloc(n, sizeof *sort.kinds),
        .kind_of = bp_alloc(n, sizeof *sort.kind_of),
        .sorted = bp_alloc(n, sizeof *sort.sorted),
    };
    const int has_room = sort.kinds && sort.kind_of && sort.sorted;
    if (has_room) {
        *leading = n - count_kinds(&sort, errands, n, threads);
        if (*leading < n) sort_errands(&sort, errands, n, *leading);
    }
    bp_free(sort.kinds);
    bp_free(sort.kind_of);
    bp_free(sort.sorted);
    return has_room ? BP_OK : BP_ERR_MEMORY;
}
