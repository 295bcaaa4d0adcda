/* The ground of check_kernels.c: memory that notices a stray access, random values, and reports.
 *
 * Every operand lies in its own region between two pages that cannot be touched. It is flush with
 * the page after it, or (side 1) with the page before it, so that a read or a write one element
 * too far is fatal there; what is free around it, and between the rows of a matrix, is filled with
 * a pattern (all bits set, a NaN) that must still stand afterwards. */
#ifndef KERNEL_CHECK_H
#define KERNEL_CHECK_H

#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pages.h"
#include "upper_halves.h"

enum { REGIONS = 12, REGION_BYTES = 1 << 17, PAGE = 1 << 16, FRAME = 512, FAILURES_SHOWN = 20 };

typedef struct {
    unsigned char *start, *end; /* of what may be touched */
    unsigned char *data;        /* the operand's first byte */
    size_t bytes;               /* to the operand's last */
} region;

static region regions[REGIONS];

/* What is being checked, for reports. */
static struct {
    const char *isa, *type, *slot;
    int64_t rows, cols;
    int side;
    int64_t step; /* between sizes */
    const char *values;
    uint64_t seed;
} at;

static int failures, checks;

static void describe(const char *what) {
    printf("%s %s %s (%lld x %lld, %s, flush %s): %s\n", at.isa, at.type, at.slot,
           (long long)at.rows, (long long)at.cols, at.values, at.side ? "left" : "right", what);
    fflush(stdout);
}

static void fail(const char *what) {
    if (failures++ < FAILURES_SHOWN) describe(what);
}

/* A signal handler may not print in general; this one ends a single-threaded program. */
static void on_fault(int signal) {
    describe(signal == SIGILL ? "an instruction that this processor does not have"
                              : "an access outside the operands");
    _exit(1);
}

static void open_regions(void) {
    for (int i = 0; i < REGIONS; i++) {
        char *p = pages_closed(REGION_BYTES + 2 * PAGE);
        if (!p || !pages_open(p + PAGE, REGION_BYTES)) {
            printf("no memory for the operands\n");
            exit(1);
        }
        regions[i].start = (unsigned char *)p + PAGE;
        regions[i].end = regions[i].start + REGION_BYTES;
    }
    signal(SIGSEGV, on_fault);
#ifdef SIGBUS
    signal(SIGBUS, on_fault);
#endif
    signal(SIGILL, on_fault);
}

/* The part of a region that is watched: the operand and a frame on both sides. */
static unsigned char *frame_start(const region *r) {
    return r->data - r->start > FRAME ? r->data - FRAME : r->start;
}

static unsigned char *frame_end(const region *r) {
    unsigned char *last = r->data + r->bytes;
    return r->end - last > FRAME ? last + FRAME : r->end;
}

/* Room for an operand, filled with the pattern. An empty operand lies on the untouchable page. */
static void *place(int i, int64_t elements, size_t size) {
    region *r = &regions[i];
    r->bytes = (size_t)elements * size;
    if (r->bytes > REGION_BYTES) {
        describe("an operand too large for its region");
        exit(1);
    }
    if (r->bytes == 0) {
        r->data = r->end;
        return r->end;
    }
    r->data = at.side ? r->start : r->end - r->bytes;
    memset(frame_start(r), 0xff, (size_t)(frame_end(r) - frame_start(r)));
    return r->data;
}

static int untouched(const unsigned char *from, const unsigned char *to) {
    for (; from < to; from++) {
        if (*from != 0xff) return 0;
    }
    return 1;
}

/* The frame around an operand of rows x cols elements, and what is between its rows. */
static void check_frame(int i, int64_t rows, int64_t cols, int64_t ld, size_t size) {
    const region *r = &regions[i];
    if (r->bytes == 0) return;
    if (upper_halves_in_use()) fail("left the upper halves of vectors in use");
    int whole = untouched(frame_start(r), r->data) && untouched(r->data + r->bytes, frame_end(r));
    for (int64_t row = 0; whole && row + 1 < rows; row++) {
        const unsigned char *gap = r->data + (size_t)(row * ld + cols) * size;
        whole = untouched(gap, gap + (size_t)(ld - cols) * size);
    }
    if (!whole) fail("wrote outside its output");
}

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t random_state;

static uint64_t random_bits(void) {
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static int64_t random_below(int64_t n) {
    return (int64_t)(random_bits() % (uint64_t)n);
}

static double random_between(double low, double high) {
    return low + (high - low) * ((double)(random_bits() >> 11) * 0x1p-53);
}

/* A magnitude from anywhere in the exponents that a square does not leave. */
static double random_wide(void) {
    double magnitude = exp2(random_between(-60, 60));
    return random_bits() & 1 ? magnitude : -magnitude;
}

/* How values are drawn. In VALUES_SPECIAL each lane of a vector meets each special value as the
 * rotation goes round, since their number is odd. */
typedef enum { VALUES_NORMAL, VALUES_WIDE, VALUES_UNIT, VALUES_SPECIAL } values;

static const char *const values_text[] = {"normal", "wide", "unit", "special"};

enum { SPECIALS = 15 };

static int rotation;

#endif
