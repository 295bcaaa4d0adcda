/* Loading rows in a shuffled order next to memory that must not be touched: the index is read at
 * the entries of the batch and at no other, the data at its rows and at no other. */
#define _DEFAULT_SOURCE
#include "guarded.h"
#define REAL double
#define ELEMENT f64
#include "one_type.h"

#include "engine/rows.inc.h"

enum { MOST = 70, COLS = 5, FIRST = 3 };

int main(void) {
    const guarded index_memory = guarded_new(), data_memory = guarded_new(), out = guarded_new();
    for (int64_t n = 1; n <= MOST; n++) {
        /* The last batch of an epoch: the index ends with it. */
        int64_t *index = guarded_take(index_memory, (size_t)(FIRST + n) * sizeof *index);
        double *x = guarded_take(data_memory, (size_t)(FIRST + n) * COLS * sizeof *x);
        double *dst = guarded_take(out, (size_t)n * COLS * sizeof *dst);
        for (int64_t i = 0; i < FIRST + n; i++)
            index[i] = (i * 7 + n) % (FIRST + n);
        for (int64_t i = 0; i < (FIRST + n) * COLS; i++)
            x[i] = random_value();
        const bp_matrix src = {
            .data = x,
            .dtype = BP_FLOAT64,
            .rows = FIRST + n,
            .cols = COLS,
            .row_stride = COLS * (int64_t)sizeof *x,
            .col_stride = (int64_t)sizeof *x,
        };
        const bp_rows rows = {index, FIRST};
        /* Rows of the same type are copied, for which no kernel is needed. */
        rows_load(NULL, &src, &rows, n, NULL, NULL, dst, COLS);
        for (int64_t i = 0; i < n; i++) {
            if (!memcmp(dst + i * COLS, x + index[FIRST + i] * COLS, COLS * sizeof *x)) continue;
            printf("row %d of %d is another\n", (int)i, (int)n);
            return 1;
        }
    }
    printf("%d batches\n", MOST);
    return 0;
}
