/* The thread pool: the calling thread and lazily started helpers run one function together.
 *
 * One dispatch of bp_pool_run serves many batches of training; phases inside it are separated by
 * barriers. A call while another caller holds the pool runs alone: results never depend on the
 * number of threads.
 */
#ifndef BP_POOL_H
#define BP_POOL_H

/* More members than this never run together. */
enum { BP_MAX_THREADS = 512 };

/* The threads that run one function: the caller is member 0. */
typedef struct bp_team bp_team;

typedef void (*bp_team_fn)(void *context, bp_team *team, int member, int members);

/* Runs fn on up to `threads` threads (at most bp_get_threads()) and returns when all are done. fn
 * sees how many came. Cannot fail: if threads cannot be started, fewer run it. Every member is in
 * the floating-point mode of fpmode.h; the caller's is restored. */
void bp_pool_run(int threads, bp_team_fn fn, void *context);

/* The same with only the helpers that are awake, for work that is over before a sleeping thread has
 * woken. Sleeping helpers are woken anyway, for the calls that may follow. */
void bp_pool_run_awake(int threads, bp_team_fn fn, void *context);

/* The same for work that any member can do alone, piece by piece, without barriers: returns as soon
 * as the caller's own call has returned and the helpers that have begun are done. A helper that is
 * slow to wake is not waited for, and its call does not happen. */
void bp_pool_share(int threads, bp_team_fn fn, void *context);

/* Every member waits here until all have arrived; what each wrote before is visible to all after.
 */
void bp_team_barrier(bp_team *team, int member);

/* Counts the forks that lie between this process and the one that loaded the core. */
unsigned bp_fork_generation(void);

#endif
