/* How a product is cut into blocks, and which operands are packed first. */
#ifndef BP_PRODUCT_PLAN_H
#define BP_PRODUCT_PLAN_H

#include "system/cpu.h"

enum {
    BP_CACHE_LINE = 64,
    BP_PAGE = 4096 /* within which the hardware fetches ahead */
};

/* What decides besides the product: the elements, the largest tile, the nearest two caches. */
typedef struct {
    int64_t size;   /* bytes of an element */
    int64_t mr, nr; /* rows and columns of the micro-kernel's largest tile */
    bp_cache l1, l2;
} bp_product_machine;

/* c (m x n) = a (m x k) b (k x n); strides in elements, of rows and of columns. */
typedef struct {
    int64_t m, n, k;
    int64_t a_rs, a_cs, b_rs, b_cs;
    int b_packed;  /* b lies in panels already, and b_rs and b_cs mean nothing */
    int b_shifted; /* the address of b is no multiple of the size of a vector */
} bp_product_shape;

/* Rows, sums and columns of a block, and columns of a strip of it. */
typedef struct {
    int64_t mc, kc, nc, nb;
} bp_blocking;

typedef struct {
    bp_blocking block;
    int pack_a, pack_b;
} bp_product_plan;

/* Bytes of the second-level cache that plans count on, also where the machine does not say. */
int64_t bp_l2_bytes(const bp_cpu *cpu);

/* The caches as the machine reports them, with a guess for what it does not say. */
bp_product_machine bp_product_machine_of(const bp_cpu *cpu, int64_t size, int64_t mr, int64_t nr);

/* The largest blocks that any plan has: what scratch must hold. */
bp_blocking bp_blocking_largest(const bp_product_machine *machine);

/* The plan. Depends on its arguments alone, so that a test can put in any machine. */
bp_product_plan bp_product_plan_for(const bp_product_machine *machine,
                                    const bp_product_shape *shape);

#endif
