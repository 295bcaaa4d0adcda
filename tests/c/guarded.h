/* Memory in which a step too far is fatal or leaves traces, and random values to fill it. */
#ifndef GUARDED_H
#define GUARDED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 2400, CANARY = 0x5b };

/* Memory whose last byte is followed by a page that must not be touched. */
typedef struct {
    char *end;
    size_t size;
} guarded;

static guarded guarded_new(void) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = PAGES * 4096;
    char *p = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + size, page, PROT_NONE)) {
        perror("mmap");
        exit(2);
    }
    return (guarded){p + size, size};
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
