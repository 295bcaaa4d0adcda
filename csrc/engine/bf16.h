/* Products of float32 matrices through bfloat16 operands: conversion, and the blocked driver.
 *
 * precision  planes  products in which order                         error
 * bf16       1       hh                                              operands rounded to 8 bits
 * bf16x2     2       hm mh, then hh                                  about 16 bits
 * bf16x3     3       hl hm mm mh lh, then hh                         that of a float32 product
 *
 * h, m and l are the high, middle and low planes (kernels.h). The small products are summed over
 * all of k first, where their roundings are small, and the large ones on top of them. */
#ifndef BP_BF16_H
#define BP_BF16_H

#include "engine/gemm.h"

/* The planes of an operand in a precision (bp_precision); 0 if it has none. */
int bp_bf16_planes(int precision);

/* An operand, or a part of one that starts at rows and columns which are multiples of 32. */
typedef struct {
    uint16_t *x;
    int64_t stride; /* of slabs or of panels */
    int64_t plane;  /* between planes */
} bp_bf16_operand;

/* How a float32 matrix becomes an operand. */
typedef enum {
    BP_BF16_NONE = 0,
    BP_BF16_ROWS = 1,     /* rows of the matrix */
    BP_BF16_ROWS_T = 2,   /* rows of its transpose */
    BP_BF16_PANELS = 3,   /* panels of the matrix */
    BP_BF16_PANELS_T = 4, /* panels of its transpose */
} bp_bf16_form;

/* Lays out an operand for `planes` planes of a matrix (rows x cols) in a form, at x. x is 64-byte
 * aligned; it may be NULL if only *count is wanted, the uint16_t elements that the operand takes (a
 * multiple of 64). Returns 0 if the count overflows. */
int bp_bf16_layout(bp_bf16_form form, int planes, int64_t rows, int64_t cols, uint16_t *x,
                   bp_bf16_operand *operand, int64_t *count);

/* What converts and multiplies: the bfloat16 kernels, and the float32 ones of the same machine. */
typedef struct {
    const bp_kernels_bf16 *bf16;
    const bp_kernels_f32 *f32;
} bp_bf16_kernels;

/* Converts the block (rows x cols) of a matrix whose first element is (row0, col0) of the whole;
 * src points to the block. row0 and col0 are multiples of 32, except that row0 may be anything in
 * form ROWS, and col0 in form ROWS_T. If the block ends at the end of the matrix, the padding is
 * written too; elsewhere the block's rows and columns are multiples of 32, with the same
 * exceptions. Different threads may convert blocks at the same time. The rows of a slab beyond the
 * matrix are not written.
 */
void bp_bf16_convert(const bp_bf16_kernels *kernels, bp_bf16_form form, int planes, int64_t rows,
                     int64_t cols, const float *src, int64_t ld, const bp_bf16_operand *dst,
                     int64_t row0, int64_t col0);

/* An operand that the result becomes while it is in cache. */
typedef struct {
    bp_bf16_form form;
    bp_bf16_operand operand;
} bp_bf16_output;

/* c (m x n) = a (m x k) b (k x n), plus c if accumulate; then the epilogue, as in bp_product. */
typedef struct {
    int64_t m, n, k;
    int planes;        /* of a, b and the outputs */
    bp_bf16_operand a; /* rows of a, as from forms ROWS and ROWS_T */
    bp_bf16_operand b; /* panels of b, as from forms PANELS and PANELS_T */
    float *c;
    int64_t c_rs;
    int accumulate;

    bp_epilogue epilogue;
    int act;
    const float *bias;  /* ACT_FWD: n values or NULL */
    float *act_out;     /* ACT_FWD: where the activation goes; c itself, or another (m x n) */
    const float *saved; /* ACT_BWD: what the act_bwd slot reads, (m x n) */
    int64_t act_rs;     /* row stride of act_out or saved */

    bp_bf16_output out[2]; /* of act_out with ACT_FWD, else of c */
} bp_bf16_product;

/* Floats of scratch that bp_bf16_product_run needs; the same for every product. */
int64_t bp_bf16_product_scratch(const bp_bf16_kernels *kernels);

/* Computes rows m0 <= i < m1, columns n0 <= j < n1 of the product on the calling thread, epilogue
 * and outputs included, between kernels->bf16->begin and end. m0 and n0 are multiples of 32, m1 and
 * n1 too or the ends of the matrix. The bits of an element do not depend on the ranges. scratch is
 * 64-byte aligned. */
void bp_bf16_product_run(const bp_bf16_kernels *kernels, const bp_bf16_product *product, int64_t m0,
                         int64_t m1, int64_t n0, int64_t n1, float *scratch);

/* The share of part `part` of `parts` in the tiles of an m x n result: ranges[4] = m0, m1, n0, n1,
 * as bp_bf16_product_run takes them; empty if nothing is left to share. */
void bp_bf16_product_share(int64_t m, int64_t n, int part, int parts, int64_t ranges[4]);

#endif
