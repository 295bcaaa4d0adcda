/* How many threads a piece of work that comes again and again goes fastest with, by trying. The
 * cost model knows the work, but neither what else the machine does nor whether two of its CPUs are
 * one core. The bits of a result do not depend on it.
 *
 * The best number so far works most of the time. Now and then half as many threads have a turn,
 * twice as many, or one; then the best number has one, and both once more if it was clearly slower:
 * if it is again, it is the best no longer. One that wins is challenged more rarely. */
#ifndef BP_THREAD_TRIAL_H
#define BP_THREAD_TRIAL_H

#include <stdint.h>

/* All zero before the first use. */
typedef struct {
    int64_t rows;    /* the work: rows of a batch, */
    int most;        /* and the most threads for it */
    int like;        /* whether the last batch asked for was like that; others are not counted, */
    int unlike;      /* until there are many in a row */
    int best;        /* threads, so far */
    int other;       /* threads to try, or to be tried next */
    unsigned tried;  /* how many others were chosen */
    int left;        /* threads that were the best before */
    int turn;        /* of a trial, in which odd ones are the other's; 0 between trials */
    int64_t rest_ns; /* between trials */
    int64_t turn_rows, turn_ns; /* done in this turn, and the time that it took */
    int64_t trial_ns;           /* the same of this trial's turns before */
    double other_pace;          /* ns a row, in the other's last turn */
} bp_thread_trial;

/* Threads for the coming work: at most `most`, which the cost model gives. */
int bp_trial_threads(bp_thread_trial *t, int64_t rows, int most);

/* How long, in ns, they should go on before the question is worth asking again. */
int64_t bp_trial_left(const bp_thread_trial *t);

/* Rows that were worked on since, and the time that it took. */
void bp_trial_record(bp_thread_trial *t, int64_t rows, int64_t ns);

#endif
