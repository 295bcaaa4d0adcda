/* Checks pack.inc.h, gemm.inc.h and the micro-kernels of every instruction set that this machine
 * has.
 *
 * Every result is compared bit for bit with its definition: one chain of multiply-adds in
 * ascending k; what is not finite reaches what it should. Operands end at an inaccessible page, and
 * everything around an output is watched. Prints each failure and returns 1 if there was one.
 *
 * Included by check_gemm_f32.c and check_gemm_f64.c.
 *
 *   check_gemm_f32 [STEP]    STEP: between the sizes that are checked, 1 for all */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system/cpu.h"
#include "system/mem.h"
#include "kernels/dispatch.h"
#include "exact_fma.h"
#include "guarded.h"
#include "one_type.h"
#include "upper_halves.h"

#include "engine/pack.inc.h"

#include "engine/gemm.inc.h"

static int failures, step = 1;
static bp_isa current;
static int fused; /* whether the micro-kernel rounds once for each multiply-add */

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition) && failures++ < 20) {                                                     \
            printf("%s: %s: ", bp_isa_text(current), #condition);                                  \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static guarded memory_a, memory_b, memory_c, memory_d, memory_p;

static int64_t random_below(int64_t count) {
    return (int64_t)((random_value() + 1) / 2 * (double)count) % count;
}

/* One problem, its operands in their own order (a: m x k, b: k x n) and the results. */
typedef struct {
    int64_t m, n, k;
    real *a, *b, *c, *plain, *added; /* added: the chain starts at c instead of 0 */
} problem;

static real chain(int64_t k, const real *a, const real *b, int64_t b_rs, real start) {
    for (int64_t p = 0; p < k; p++) {
        if (!fused) {
            const real product = a[p] * b[p * b_rs];
            start = start + product;
        } else {
            start = FMA(a[p], b[p * b_rs], start);
        }
    }
    return start;
}

static real *random_array(int64_t count) {
    real *x = malloc((size_t)(count + 1) * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (real)random_value();
    return x;
}

static problem problem_new(int64_t m, int64_t n, int64_t k) {
    problem q = {m, n, k, NULL, NULL, NULL, NULL, NULL};
    q.a = random_array(m * k);
    q.b = random_array(k * n);
    q.c = random_array(m * n);
    q.plain = random_array(m * n);
    q.added = random_array(m * n);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            q.plain[i * n + j] = chain(k, q.a + i * k, q.b + j, n, 0);
            q.added[i * n + j] = chain(k, q.a + i * k, q.b + j, n, q.c[i * n + j]);
        }
    }
    return q;
}

static void problem_free(problem *q) {
    free(q->a);
    free(q->b);
    free(q->c);
    free(q->plain);
    free(q->added);
}

/* x (rows x cols) at the end of guarded memory, row-major or transposed, with the strides. */
static const real *lay_out(guarded memory, const real *x, int64_t rows, int64_t cols,
                           int transposed, int64_t ld, int64_t *rs, int64_t *cs) {
    const int64_t lines = transposed ? cols : rows, length = transposed ? rows : cols;
    const int64_t count = lines > 0 && length > 0 ? (lines - 1) * ld + length : 0;
    real *y = guarded_take(memory, (size_t)count * sizeof *y);
    *rs = transposed ? 1 : ld;
    *cs = transposed ? ld : 1;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            y[i * *rs + j * *cs] = x[i * cols + j];
    return y;
}

/* Room for c (m x n) with canaries before, between and after its rows; start: its contents, or
 * NULL for NaN. */
static real *make_output(guarded memory, int64_t m, int64_t n, int64_t ld, const real *start) {
    real *c = guarded_take(memory, (size_t)(m * ld) * sizeof *c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            c[i * ld + j] = start ? start[i * n + j] : (real)NAN;
    return c;
}

/* Whether c is `expected` to the bit and the canaries live. */
static int output_is(const real *c, int64_t m, int64_t n, int64_t ld, const real *expected) {
    const unsigned char *before = (const unsigned char *)c - 256;
    for (int i = 0; i < 256; i++)
        if (before[i] != CANARY) return 0;
    for (int64_t i = 0; i < m; i++) {
        if (memcmp(c + i * ld, expected + i * n, (size_t)n * sizeof *c)) return 0;
        const unsigned char *rest = (const unsigned char *)(c + i * ld + n);
        for (size_t j = 0; j < (size_t)(ld - n) * sizeof *c; j++)
            if (rest[j] != CANARY) return 0;
    }
    return 1;
}

static void check_micro_kernel(const real_kernels *kernels) {
    static const int64_t depths[] = {0, 1, 2, 7};
    const int64_t nr = kernels->gemm.nr;
    for (int64_t m = 0; m <= kernels->gemm.mr; m++) {
        for (int64_t n = m % step; n <= 5 * nr + 1; n += step) {
            for (int d = 0; d < 4; d++) {
                const int64_t k = depths[d];
                problem q = problem_new(m, n, k);
                for (int v = 0; v < 4; v++) {
                    const int by_cols = v & 1, add = v >> 1;
                    int64_t a_rs, a_cs, b_rs, b_cs;
                    const real *a =
                        lay_out(memory_a, q.a, m, k, by_cols, (by_cols ? m : k) + 3, &a_rs, &a_cs);
                    const real *b = lay_out(memory_b, q.b, k, n, 0, n + 1, &b_rs, &b_cs);
                    real *c = make_output(memory_c, m, n, n + 2, add ? q.c : NULL);
                    kernels->gemm.run(k, a, a_rs, a_cs, b, b_rs, nr, c, n + 2, (int)m, n, add);
                    CHECK(!upper_halves_in_use(), "micro-kernel m %d n %d: no vzeroupper", (int)m,
                          (int)n);
                    CHECK(output_is(c, m, n, n + 2, add ? q.added : q.plain),
                          "micro-kernel %d bytes m %d n %d k %d variant %d", (int)sizeof(real),
                          (int)m, (int)n, (int)k, v);
                }
                problem_free(&q);
            }
        }
    }
}

static void check_transpose(const real_kernels *kernels) {
    for (int64_t rows = 0; rows <= 35; rows++) {
        for (int64_t cols = rows % step; cols <= 35; cols += step) {
            int64_t rs, cs;
            real *x = random_array(rows * cols);
            const real *src = lay_out(memory_a, x, rows, cols, 1, rows + 1, &rs, &cs);
            real *dst = make_output(memory_c, rows, cols, cols + 3, NULL);
            kernels->transpose(rows, cols, src, cs, dst, cols + 3);
            CHECK(output_is(dst, rows, cols, cols + 3, x), "transpose %d bytes %d x %d",
                  (int)sizeof(real), (int)rows, (int)cols);
            free(x);
        }
    }
}

/* Panels as engine.h describes them, packed in two calls; at the end of memory_p. */
static const real *make_packed(const real_kernels *kernels, const problem *q, const real *b,
                               int64_t b_rs, int64_t b_cs) {
    const int64_t nr = kernels->gemm.nr, panels = (q->n + nr - 1) / nr;
    const int64_t count = packed_count(kernels, q->k, q->n);
    CHECK(count == panels * nr * q->k, "packed count %d", (int)count);
    real *packed = guarded_take(memory_p, (size_t)count * sizeof *packed);
    memset(packed, 0xff, (size_t)count * sizeof *packed); /* NaN, to stay where b has no column */
    pack_b(kernels, q->k, q->n, b, b_rs, b_cs, panels / 2, panels, packed);
    pack_b(kernels, q->k, q->n, b, b_rs, b_cs, 0, panels / 2, packed);
    int same = 1;
    for (int64_t i = 0; i < count; i++) {
        const int64_t j = i / (q->k * nr) * nr + i % nr, p = i / nr % q->k;
        same &= j < q->n ? !memcmp(&packed[i], &q->b[p * q->n + j], sizeof *packed)
                         : packed[i] != packed[i];
    }
    CHECK(same, "packing %d bytes k %d n %d", (int)sizeof(real), (int)q->k, (int)q->n);
    return packed;
}

/* Stand-ins for the slots, exact in both types: what they do shows how often they were called. */
static void stub_fwd(int64_t rows, int64_t cols, real *z, int64_t ldz, const real *bias, real *a,
                     int64_t lda) {
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            z[i * ldz + j] += bias ? bias[j] : 0;
            a[i * lda + j] = 2 * z[i * ldz + j];
        }
    }
}

static void stub_bwd(int64_t rows, int64_t cols, const real *s, int64_t lds, real *d, int64_t ldd) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            d[i * ldd + j] *= s[i * lds + j];
}

static void run_in_parts(const real_kernels *kernels, const bp_product *product, int parts,
                         real *scratch) {
    int64_t covered = 0;
    for (int part = 0; part < parts; part++) {
        int64_t r[4];
        product_share(kernels, product->m, product->n, part, parts, r);
        covered += (r[1] - r[0]) * (r[3] - r[2]);
        CHECK(r[0] >= 0 && r[1] <= product->m && r[2] >= 0 && r[3] <= product->n &&
                  (r[2] == r[3] || r[2] % kernels->gemm.nr == 0),
              "share %d of %d", part, parts);
        product_run(kernels, product, r[0], r[1], r[2], r[3], scratch);
    }
    CHECK(covered == product->m * product->n, "%d parts of %d x %d", parts, (int)product->m,
          (int)product->n);
}

/* One of 12 orders of the operands, with and without c, b packed or not; pad is added to every
 * stride. */
static bp_product make_product(const real_kernels *kernels, const problem *q, int v, int64_t pad) {
    const int a_cols = v & 1, add = v >> 1 & 1, b_form = v >> 2;
    const int64_t m = q->m, n = q->n, k = q->k;
    bp_product p = {.m = m, .n = n, .k = k, .c_rs = n + pad, .accumulate = add};
    p.a = lay_out(memory_a, q->a, m, k, a_cols, (a_cols ? m : k) + pad, &p.a_rs, &p.a_cs);
    p.b = lay_out(memory_b, q->b, k, n, b_form == 1, (b_form == 1 ? k : n) + pad, &p.b_rs, &p.b_cs);
    if (b_form == 2) {
        p.b_packed = make_packed(kernels, q, p.b, p.b_rs, p.b_cs);
        p.b = NULL;
    }
    p.c = make_output(memory_c, m, n, p.c_rs, add ? q->c : NULL);
    return p;
}

static void check_product(const real_kernels *kernels, int64_t m, int64_t n, int64_t k, int64_t pad,
                          int parts, real *scratch) {
    problem q = problem_new(m, n, k);
    for (int v = 0; v < 12; v++) {
        const bp_product p = make_product(kernels, &q, v, pad);
        run_in_parts(kernels, &p, parts, scratch);
        CHECK(output_is(p.c, m, n, p.c_rs, p.accumulate ? q.added : q.plain),
              "product %d bytes m %d n %d k %d pad %d parts %d variant %d", (int)sizeof(real),
              (int)m, (int)n, (int)k, (int)pad, parts, v);
    }
    problem_free(&q);
}

/* Runs all orders of a problem one of whose entries is bad, and compares with its results: finite
 * ones bit for bit, infinities with their signs, and a NaN with any NaN. */
static void compare_spoilt(const real_kernels *kernels, const problem *q, int where,
                           real *scratch) {
    for (int v = 0; v < 12; v++) {
        const bp_product p = make_product(kernels, q, v, 1);
        const real *expected = p.accumulate ? q->added : q->plain;
        run_in_parts(kernels, &p, 1 + v % 3, scratch);
        for (int64_t i = 0; i < q->m; i++) {
            for (int64_t j = 0; j < q->n; j++) {
                const real wanted = expected[i * q->n + j];
                real *c = p.c + i * p.c_rs + j;
                if (isnan(*c) && isnan(wanted)) memcpy(c, &expected[i * q->n + j], sizeof *c);
            }
        }
        CHECK(output_is(p.c, q->m, q->n, p.c_rs, expected),
              "not finite: %d bytes m %d n %d k %d place %d variant %d", (int)sizeof(real),
              (int)q->m, (int)q->n, (int)q->k, where, v);
    }
}

/* A NaN or an infinity reaches its row of the result if it is in a, its column if it is in b, all
 * of that, and nothing else. It is put at any k, into the last row or column or into any. */
static void check_not_finite(const real_kernels *kernels, int64_t m, int64_t n, int64_t k,
                             real *scratch) {
    static const real bad[] = {(real)NAN, (real)INFINITY, -(real)INFINITY};
    const size_t bytes = (size_t)(m * n) * sizeof(real);
    problem q = problem_new(m, n, k);
    real *plain = malloc(bytes), *added = malloc(bytes);
    memcpy(plain, q.plain, bytes);
    memcpy(added, q.added, bytes);
    for (int where = 0; where < 12; where++) {
        const int in_b = where & 1, last = where >> 1 & 1;
        const real value = bad[where >> 2];
        const int64_t p = random_below(k), lines = in_b ? n : m;
        const int64_t line = last ? lines - 1 : random_below(lines);
        real *entry = in_b ? q.b + p * n + line : q.a + line * k + p;
        const real kept = *entry;
        *entry = value;
        for (int64_t other = 0; other < (in_b ? m : n); other++) {
            const int64_t at = in_b ? other * n + line : line * n + other;
            q.plain[at] = q.added[at] = value * (in_b ? q.a[other * k + p] : q.b[p * n + other]);
        }
        compare_spoilt(kernels, &q, where, scratch);
        *entry = kept;
        memcpy(q.plain, plain, bytes);
        memcpy(q.added, added, bytes);
    }
    free(plain);
    free(added);
    problem_free(&q);
}

/* Epilogues, over several blocks of k and of columns too: once per element, after the last sum. */
static void check_epilogues(const real_kernels *kernels, int64_t m, int64_t n, int64_t k,
                            real *scratch) {
    real_kernels stubbed = *kernels;
    stubbed.act_fwd[BP_ACT_TANH] = stub_fwd;
    stubbed.act_bwd[BP_ACT_TANH] = stub_bwd;
    problem q = problem_new(m, n, k);
    real *bias = random_array(n), *z = random_array(m * n);
    real *a = random_array(m * n), *d = random_array(m * n);
    for (int64_t i = 0; i < m * n; i++) {
        z[i] = q.plain[i] + bias[i % n];
        a[i] = 2 * z[i];
        d[i] = q.plain[i] * q.c[i];
    }
    for (int v = 0; v < 3; v++) {
        bp_product p = {.m = m, .n = n, .k = k, .c_rs = n + 1, .act = BP_ACT_TANH};
        p.a = lay_out(memory_a, q.a, m, k, 0, k, &p.a_rs, &p.a_cs);
        p.b = lay_out(memory_b, q.b, k, n, 1, k, &p.b_rs, &p.b_cs);
        p.c = make_output(memory_c, m, n, n + 1, NULL);
        p.act_rs = v == 1 ? n + 1 : n + 2;
        real *other = make_output(memory_d, m, n, n + 2, q.c);
        p.epilogue = v < 2 ? BP_EPILOGUE_ACT_FWD : BP_EPILOGUE_ACT_BWD;
        p.bias = bias;
        p.act_out = v == 1 ? p.c : other;
        p.saved = other;
        run_in_parts(&stubbed, &p, 3, scratch);
        CHECK(output_is(p.c, m, n, n + 1,
                        v == 0   ? z
                        : v == 1 ? a
                                 : d),
              "epilogue %d of %d bytes: c", v, (int)sizeof(real));
        CHECK(output_is(other, m, n, n + 2, v == 0 ? a : q.c),
              "epilogue %d of %d bytes: activation", v, (int)sizeof(real));
    }
    free(bias);
    free(z);
    free(a);
    free(d);
    problem_free(&q);
}

/* Tails of rows and columns beside whole tiles, tails alone, narrow results, blocks of k. */
static void check_all_not_finite(const real_kernels *kernels, real *scratch) {
    const int64_t mr = kernels->gemm.mr, nr = kernels->gemm.nr;
    for (int64_t k = 1; k <= 35; k += 17) {
        check_not_finite(kernels, 2 * mr + 1, 2 * nr + 3, k, scratch);
        check_not_finite(kernels, mr - 1, nr - 1, k, scratch);
        for (int64_t n = 1; n <= 5; n++)
            check_not_finite(kernels, 60 + 17 * n, n, k, scratch);
    }
    check_not_finite(kernels, mr + 1, nr + 5, 1029, scratch);
    if (step == 1) check_not_finite(kernels, 5 * mr + 1, 301, 200, scratch);
}

static void check_all(const real_kernels *kernels) {
    static const int64_t depths[] = {0, 1, 2, 3, 17};
    const int64_t mr = kernels->gemm.mr, nr = kernels->gemm.nr;
    real *scratch = bp_alloc_scratch(product_scratch(kernels), sizeof *scratch);
    check_micro_kernel(kernels);
    check_transpose(kernels);
    for (int64_t m = 0; m <= 2 * mr + 1; m++)
        for (int64_t n = m % step; n <= 2 * nr + 1; n += step)
            check_product(kernels, m, n, depths[(m + n) % 5], 1 + m % 3, 1 + (int)(n % 4), scratch);
    /* Beyond one block of k, of columns and of rows; strides that share cache sets. */
    check_product(kernels, 5, nr + 3, 1029, 1, 2, scratch);
    check_product(kernels, 300, 4 * nr + 1, 600, 3, 2, scratch);
    for (int64_t n = 1; n <= 5; n++)
        check_product(kernels, 60 + 17 * n, n, 7 * n, n, 1 + (int)n % 3, scratch);
    check_epilogues(kernels, mr + 3, nr + 5, 40, scratch);
    check_epilogues(kernels, 101, 2, 5, scratch);
    check_all_not_finite(kernels, scratch);
    if (step == 1) {
        check_product(kernels, 100, 2, 5000, 1, 1, scratch);
        check_product(kernels, 100, 1, 4000, 1, 1, scratch);
        check_product(kernels, 90, 70, 1029, 1, 1, scratch);
        check_product(kernels, 129, 93, 512, 512, 2, scratch);
        check_product(kernels, 5 * mr + 1, 1100, 70, 948, 1, scratch);
        check_product(kernels, 600, 3 * nr, 33, 1, 7, scratch);
        check_product(kernels, 1, 20 * nr + 3, 600, 5, 1, scratch);
        check_product(kernels, mr - 1, 600, 600, 424, 16, scratch);
        check_epilogues(kernels, 150, 300, 1030, scratch);
    }
    bp_free(scratch);
}

int main(int argc, char **argv) {
    if (argc > 1) step = atoi(argv[1]);
    memory_a = guarded_new();
    memory_b = guarded_new();
    memory_c = guarded_new();
    memory_d = guarded_new();
    memory_p = guarded_new();
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        bp_kernels portable, kernels;
        if (!bp_kernels_fill(&kernels, (bp_isa)isa)) continue;
        bp_kernels_fill(&portable, BP_ISA_PORTABLE);
        current = (bp_isa)isa;
        fused = kernels.ELEMENT.gemm.run != portable.ELEMENT.gemm.run;
        check_all(&kernels.ELEMENT);
        printf("%s: checked\n", bp_isa_text(current));
    }
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
