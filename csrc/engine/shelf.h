/* Workspaces that networks of one shape share while many of them are worked on: each thread needs
 * one, but not each network.
 */
#ifndef BP_SHELF_H
#define BP_SHELF_H

#include "engine/errand.h"

/* The workspaces for networks of one shape that nobody is using. */
typedef struct bp_shelf {
    const bp_net *like; /* one of the networks */
    int flags;
    int64_t n_networks, room; /* room: how many may be worked on at a time */
    int64_t n_spare;
    void **spare;
    const bp_errand *reserved; /* the last errand that all of them were made large enough for */
    atomic_flag is_locked;
} bp_shelf;

typedef struct {
    bp_shelf *shelves;
    void **spare;
    int64_t n_shelves;
} bp_shelves;

/* Makes all workspaces that n errands need if up to `threads` threads work on them. If there is no
 * memory, the networks have none, and *blamed is the errand that there is no room for. */
int bp_shelves_make(bp_errand *errands, int64_t n, const bp_errand_kind *kind, int threads,
                    bp_shelves *shelves, int64_t *blamed);

/* Gives every workspace to a network that has none. */
void bp_shelves_clear(bp_errand *errands, int64_t n, bp_shelves *shelves);

/* Gives the network of an errand a workspace for a visit, and takes it back. */
void bp_shelf_lend(bp_errand *errand);
void bp_shelf_return(bp_errand *errand);

#endif
