/* Tries other numbers of threads now and then, and keeps the fastest. */
#include "threads/trial.h"

/* A turn outlasts the waking of a thread, and most periods for which the system takes a CPU away. A
 * trial is a small share of the work between two trials. */
static const int64_t TURN_NS = 16000000, FIRST_REST_NS = 256000000, LONG_REST_NS = 4096000000,
                     LONGEST_REST_NS = 60000000000;
enum { REST_PER_TRIAL = 64, REST_BATCHES = 16, TURNS = 4, OTHER_WORK = 16 };

/* How much faster is faster. */
static const double MARGIN = 0.97;

/* The number to try next: half as many threads as the best number, twice as many, and one, in turn.
 */
static int next_other(bp_thread_trial *t) {
    const int choices[] = {t->best / 2, t->best <= t->most / 2 ? 2 * t->best : t->most, 1};
    for (;;) {
        const int other = choices[t->tried++ % 3];
        if (other >= 1 && other != t->best) return other;
    }
}

/* Begins a rest of the winner. */
static void rest(bp_thread_trial *t, int64_t ns) {
    t->other = t->most > 1 ? next_other(t) : 1;
    t->turn = 0;
    t->rest_ns = ns;
    t->trial_ns = 0;
}

static void begin_anew(bp_thread_trial *t, int64_t rows, int most) {
    *t = (bp_thread_trial){.rows = rows, .most = most, .same_work = 1, .best = most};
    rest(t, FIRST_REST_NS);
}

static int is_same_work(const bp_thread_trial *t, int64_t rows, int most) {
    return t->most == most && t->rows <= 2 * rows && rows <= 2 * t->rows;
}

int bp_trial_threads(bp_thread_trial *t, int64_t rows, int most) {
    t->same_work = is_same_work(t, rows, most);
    t->other_work = t->same_work ? 0 : t->other_work + 1;
    /* Work that is worth more threads matters more than what was measured so far. */
    if (most > t->most || t->other_work > OTHER_WORK) begin_anew(t, rows, most);
    const int threads = t->same_work && t->turn % 2 ? t->other : t->best;
    return threads < most ? threads : most;
}

int64_t bp_trial_left(const bp_thread_trial *t) {
    if (t->most == 1 || !t->same_work) return INT64_MAX;
    return (t->turn ? TURN_NS : t->rest_ns) - t->turn_ns;
}

/* The rest after a trial that the best has won, or after a swap that undoes the last one. */
static int64_t longer_rest(const bp_thread_trial *t) {
    const int64_t least = t->trial_ns > LONGEST_REST_NS / REST_PER_TRIAL
                              ? LONGEST_REST_NS
                              : t->trial_ns * REST_PER_TRIAL;
    const int64_t twice = 2 * t->rest_ns > LONG_REST_NS ? LONG_REST_NS : 2 * t->rest_ns;
    return twice > least ? twice : least;
}

/* After a turn of the best in a trial: whether it holds. */
static void judge(bp_thread_trial *t, double pace) {
    if (t->other_pace > pace * MARGIN) {
        rest(t, longer_rest(t));
    } else if (t->turn < TURNS) {
        t->turn++;
    } else {
        const int winner = t->other;
        const int64_t ns = winner == t->previous_best ? longer_rest(t) : FIRST_REST_NS;
        t->previous_best = t->best;
        t->best = winner;
        rest(t, ns);
    }
}

void bp_trial_record(bp_thread_trial *t, int64_t rows, int64_t ns) {
    if (!t->same_work || ns < 0) return; /* where the clock was set back */
    t->turn_rows += rows;
    t->turn_ns += ns;
    if (bp_trial_left(t) > 0 || t->turn_rows < (t->turn ? 1 : REST_BATCHES * t->rows)) return;
    const double pace = (double)t->turn_ns / (double)t->turn_rows;
    const int turn = t->turn;
    if (turn > 0) t->trial_ns += t->turn_ns;
    t->turn_rows = t->turn_ns = 0;
    if (turn % 2) t->other_pace = pace;
    if (turn > 0 && turn % 2 == 0)
        judge(t, pace);
    else
        t->turn++;
}
