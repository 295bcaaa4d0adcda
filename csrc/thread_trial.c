#include "thread_trial.h"

/* A turn outlasts the waking of a thread; a trial is a small share of the work between two. */
static const int64_t TURN_NS = 2000000, FIRST_REST_NS = 64000000, LAST_REST_NS = 2048000000;
enum { REST_PER_TRIAL = 64, REST_BATCHES = 16, TURNS = 4 };

/* How much faster is faster. */
static const double MARGIN = 0.97;

/* Begins a rest of the winner; the one to be tried next is half or twice as many, in turn. */
static void rest(bp_thread_trial *t, int64_t ns) {
    const int half = t->best / 2, twice = t->best <= t->most / 2 ? 2 * t->best : t->most;
    const int was_more = t->other > t->best;
    t->other = half < 1 || (!was_more && twice > t->best) ? twice : half;
    t->turn = 0;
    t->rest_ns = ns;
    t->trial_ns = 0;
}

static void begin_anew(bp_thread_trial *t, int64_t rows, int most) {
    *t = (bp_thread_trial){.rows = rows, .most = most, .best = most, .other = most};
    rest(t, FIRST_REST_NS);
}

int bp_trial_threads(bp_thread_trial *t, int64_t rows, int most) {
    if (t->rows != rows || t->most != most) begin_anew(t, rows, most);
    return t->turn % 2 ? t->other : t->best;
}

int64_t bp_trial_left(const bp_thread_trial *t) {
    if (t->most == 1) return INT64_MAX;
    return (t->turn ? TURN_NS : t->rest_ns) - t->turn_ns;
}

/* After a turn of the best in a trial: whether it holds. */
static void judge(bp_thread_trial *t, double pace) {
    if (t->other_pace > pace * MARGIN) {
        const int64_t longer = t->rest_ns * 2, least = t->trial_ns * REST_PER_TRIAL;
        rest(t, least > LAST_REST_NS ? least : longer > LAST_REST_NS ? LAST_REST_NS : longer);
    } else if (t->turn < TURNS) {
        t->turn++;
    } else {
        const int loser = t->best;
        t->best = t->other;
        t->other = loser;
        rest(t, FIRST_REST_NS);
    }
}

void bp_trial_record(bp_thread_trial *t, int64_t rows, int64_t ns) {
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
