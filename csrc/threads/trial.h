/* Finds by trial how many threads are fastest for work that is repeated. The cost model knows the
 * work, but not what else the machine is doing, nor whether two of its CPUs are one core. Results
 * do not depend on it.
 *
 * Most of the time the best number so far is used. Now and then another one gets a turn: half as
 * many threads, twice as many, or one. The best number then gets a turn too. If it was clearly
 * slower, both get another turn; if it is slower again, the other number becomes the best. A number
 * that wins is challenged less often. */
#ifndef BP_THREAD_TRIAL_H
#define BP_THREAD_TRIAL_H

#include <stdint.h>

/* All zero before the first use. */
typedef struct {
    int64_t rows;   /* the work: rows of a batch, */
    int most;       /* and the most threads for it */
    int same_work;  /* whether the last batch asked for was of this kind; others are not measured */
    int other_work; /* batches of another kind in a row; after many, begin anew */
    int best;       /* threads, so far */
    int other;      /* threads to try, or to be tried next */
    unsigned tried; /* how many others were chosen */
    int previous_best; /* threads that were the best before */
    int turn;          /* of a trial, in which odd ones are the other's; 0 between trials */
    int64_t rest_ns;   /* between trials */
    int64_t turn_rows, turn_ns; /* done in this turn, and the time that it took */
    int64_t trial_ns;           /* the same of this trial's turns before */
    double other_pace;          /* ns a row, in the other's last turn */
} bp_thread_trial;

/* Threads for the coming work: at most `most`, which the cost model gives. */
int bp_trial_threads(bp_thread_trial *t, int64_t rows, int most);

/* How long, in ns, these threads should work before the question is worth asking again. */
int64_t bp_trial_left(const bp_thread_trial *t);

/* Rows that were worked on since, and the time that it took. */
void bp_trial_record(bp_thread_trial *t, int64_t rows, int64_t ns);

#endif
