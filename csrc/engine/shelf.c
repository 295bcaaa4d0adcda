/* Lending workspaces to the networks that are being worked on. */
#include "engine/shelf.h"

#include <string.h>

#include "engine/doors.h"

/* Shapes that are looked through for that of a network. More of them cost only memory: a network
 * whose shape is not found gets a shelf of its own. */
enum { RECENT = 16 };

/* Whether a workspace of one network serves the other. */
static int have_one_shape(const bp_net *a, const bp_net *b) {
    if (!bp_net_is_like(a, b)) return 0;
    for (int l = 0; l < a->n_layers; l++)
        if ((a->layers[l].dropout > 0) != (b->layers[l].dropout > 0)) return 0;
    return 1;
}

static bp_shelf *shelf_of(bp_shelves *all, const bp_errand *errand) {
    const int64_t n = all->n_shelves, first = n > RECENT ? n - RECENT : 0;
    for (int64_t i = n - 1; i >= first; i--)
        if (all->shelves[i].flags == errand->flags &&
            have_one_shape(all->shelves[i].like, errand->net))
            return &all->shelves[i];
    bp_shelf *made = &all->shelves[all->n_shelves++];
    made->like = errand->net;
    made->flags = errand->flags;
    atomic_flag_clear(&made->is_locked);
    return made;
}

static void assign_shelves(bp_errand *errands, int64_t n, int threads, bp_shelves *all) {
    int64_t used = 0;
    for (int64_t i = 0; i < n; i++) {
        errands[i].shelf = shelf_of(all, &errands[i]);
        errands[i].shelf->n_networks++;
    }
    for (int64_t i = 0; i < all->n_shelves; i++) {
        bp_shelf *shelf = &all->shelves[i];
        shelf->room = shelf->n_networks < threads ? shelf->n_networks : threads;
        shelf->spare = all->spare + used;
        used += shelf->room;
    }
}

/* Puts the workspaces that networks have on their shelves, and frees those beyond what these have
 * room for. */
static void collect(bp_errand *errands, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        bp_shelf *shelf = errands[i].shelf;
        bp_net *net = errands[i].net;
        void **own = &net->workspace[errands[i].flags];
        if (!*own) continue;
        if (shelf->n_spare < shelf->room) {
            shelf->spare[shelf->n_spare++] = *own;
            *own = NULL;
        } else {
            bp_engine_of(net->dtype)->workspace_release(net, errands[i].flags);
        }
    }
}

static int is_as_large(const bp_errand *a, const bp_errand *b) {
    return memcmp(a->size, b->size, sizeof a->size) == 0;
}

/* Makes every workspace of a shelf large enough for an errand. */
static int reserve_on_shelf(const bp_errand *errand, const bp_errand_kind *kind) {
    bp_shelf *shelf = errand->shelf;
    void **own = &errand->net->workspace[errand->flags];
    if (shelf->reserved && is_as_large(shelf->reserved, errand)) return BP_OK;
    for (int64_t i = 0; i < shelf->room; i++) {
        *own = i < shelf->n_spare ? shelf->spare[i] : NULL;
        const int status = kind->reserve(errand);
        shelf->spare[i] = *own; /* NULL if it is gone */
        *own = NULL;
        if (i == shelf->n_spare) shelf->n_spare++;
        if (status != BP_OK) return status;
    }
    shelf->reserved = errand;
    return BP_OK;
}

/* Frees all workspaces, so that the networks hold no more than before. */
static void give_up(bp_errand *errands, int64_t n, bp_shelves *all) {
    bp_shelves_clear(errands, n, all);
    for (int64_t i = 0; i < n; i++) {
        bp_net *net = errands[i].net;
        bp_engine_of(net->dtype)->workspace_release(net, errands[i].flags);
    }
}

int bp_shelves_make(bp_errand *errands, int64_t n, const bp_errand_kind *kind, int threads,
                    bp_shelves *all, int64_t *blamed) {
    int status = BP_OK;
    *blamed = 0;
    *all = (bp_shelves){
        .shelves = bp_alloc(n, sizeof *all->shelves),
        .spare = bp_alloc(n, sizeof *all->spare),
    };
    if (!all->shelves || !all->spare) {
        bp_free(all->shelves);
        bp_free(all->spare);
        return BP_ERR_MEMORY;
    }
    assign_shelves(errands, n, threads, all);
    collect(errands, n);
    for (int64_t i = 0; i < n && status == BP_OK; i++) {
        *blamed = i;
        status = reserve_on_shelf(&errands[i], kind);
    }
    if (status != BP_OK) give_up(errands, n, all);
    return status;
}

void bp_shelves_clear(bp_errand *errands, int64_t n, bp_shelves *all) {
    for (int64_t i = 0; i < n; i++) {
        bp_shelf *shelf = errands[i].shelf;
        void **own = &errands[i].net->workspace[errands[i].flags];
        if (!*own && shelf->n_spare > 0) *own = shelf->spare[--shelf->n_spare];
    }
    bp_free(all->shelves);
    bp_free(all->spare);
}

/* ---- lending ---- */

static void lock(bp_shelf *shelf) {
    while (atomic_flag_test_and_set_explicit(&shelf->is_locked, memory_order_acquire)) {
    }
}

static void unlock(bp_shelf *shelf) {
    atomic_flag_clear_explicit(&shelf->is_locked, memory_order_release);
}

void bp_shelf_lend(bp_errand *errand) {
    bp_shelf *shelf = errand->shelf;
    lock(shelf);
    errand->net->workspace[errand->flags] = shelf->spare[--shelf->n_spare];
    unlock(shelf);
}

void bp_shelf_return(bp_errand *errand) {
    bp_shelf *shelf = errand->shelf;
    lock(shelf);
    shelf->spare[shelf->n_spare++] = errand->net->workspace[errand->flags];
    unlock(shelf);
    errand->net->workspace[errand->flags] = NULL;
}
