/* Memory in which a step too far is fatal or leaves traces, and random values to fill it. */
#ifndef GUARDED_H
#define GUARDED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

enum { MOST_BYTES = 2400 * 4096, CLOSED_BYTES = 1 << 16, CANARY = 0x5b };

/* Memory whose last byte is followed by a page that must not be touched. */
typedef struct {
    char *end;
    size_t size;
} guarded;

static guarded guarded_new(void) {
    char *p = pages_closed(MOST_BYTES + CLOSED_BYTES);
    if (!p || !pages_open(p, MOST_BYTES)) {
        printf("no memory for the operands\n");
        exit(2);
    }
    return (guarded){p + MOST_BYTES, MOST_BYTES};
}

/* The last `bytes` of the memory, after a strip of canaries. */
static void *guarded_take(guarded g, size_t bytes) {
    const size_t strip = bytes + 256 < g.size ? 256 : g.size - bytes;
    if (bytes > g.size) {
        printf("operand too large for the test\n");
        exit(2);
    }
    memset(g.end - bytes - strip, CANARY, bytes + strip);
    return g.end - bytes;
}

static uint64_t random_state = 1;

/* Uniform in (-1, 1), from a linear congruential generator (Knuth's MMIX). */
static double random_value(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)random_state * 0x1p-63;
}

#endif
