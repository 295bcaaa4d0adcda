/* Speed of bfloat16 products on one thread, as a share of the rate in registers.
 *
 *   bench_bf16 ISA PLANES [m n k]...
 *
 * "packed" has both operands converted beforehand; "rows" … "panels_t" are the conversions of the
 * (m x k) or (k x n) operand alone, in ns per element; "from float32" is all of it. The rate is
 * read alternately with the products. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/bf16.h"
#include "system/cpu.h"
#include "kernels/dispatch.h"
#include "system/fpmode.h"
#include "system/mem.h"

enum { SAMPLES = 15, FORMS = 4 };

static const double SAMPLE_SECONDS = 0.004;

static bp_kernels table;
static bp_bf16_kernels kernels;

typedef struct {
    bp_bf16_product product;
    const float *src_a, *src_b;
    float *scratch;
    bp_bf16_operand other_a, other_b;
} job;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

static void run_product(const job *j) {
    kernels.bf16->begin();
    bp_bf16_product_run(&kernels, &j->product, 0, j->product.m, 0, j->product.n, j->scratch);
    kernels.bf16->end();
}

static void convert(const job *j, bp_bf16_form form) {
    const bp_bf16_product *p = &j->product;
    if (form == BP_BF16_ROWS)
        bp_bf16_convert(&kernels, form, p->planes, p->m, p->k, j->src_a, p->k, &p->a, 0, 0);
    else if (form == BP_BF16_ROWS_T)
        bp_bf16_convert(&kernels, form, p->planes, p->k, p->m, j->src_a, p->m, &j->other_a, 0, 0);
    else if (form == BP_BF16_PANELS)
        bp_bf16_convert(&kernels, form, p->planes, p->k, p->n, j->src_b, p->n, &p->b, 0, 0);
    else
        bp_bf16_convert(&kernels, form, p->planes, p->n, p->k, j->src_b, p->k, &j->other_b, 0, 0);
}

/* 0: the product; 1 … 4: a conversion; 5: conversions and product. */
static double seconds_of(const job *j, int what) {
    int64_t calls = 0;
    const double start = now();
    double elapsed = 0;
    while (elapsed < SAMPLE_SECONDS) {
        if (what == 0 || what == 5) {
            if (what == 5) {
                convert(j, BP_BF16_ROWS);
                convert(j, BP_BF16_PANELS);
            }
            run_product(j);
        } else {
            convert(j, (bp_bf16_form)what);
        }
        calls++;
        elapsed = now() - start;
    }
    return elapsed / (double)calls;
}

static double peak_rate(void) {
    double flops = 0, elapsed = 0;
    const double start = now();
    while (elapsed < SAMPLE_SECONDS) {
        flops += kernels.bf16->peak(1000);
        elapsed = now() - start;
    }
    return flops / elapsed;
}

static float *random_matrix(int64_t count) {
    float *x = bp_alloc(count, sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return x;
}

static bp_bf16_operand operand(bp_bf16_form form, int planes, int64_t rows, int64_t cols) {
    bp_bf16_operand o;
    int64_t count;
    if (!bp_bf16_layout(form, planes, rows, cols, NULL, &o, &count)) exit(2);
    o.x = bp_alloc(count, sizeof *o.x);
    return o;
}

static void bench(int64_t m, int64_t n, int64_t k, int planes) {
    job j = {.product = {.m = m, .n = n, .k = k, .planes = planes}};
    double times[FORMS + 2][SAMPLES], peaks[SAMPLES];
    j.src_a = random_matrix(m * k);
    j.src_b = random_matrix(k * n);
    j.product.a = operand(BP_BF16_ROWS, planes, m, k);
    j.product.b = operand(BP_BF16_PANELS, planes, k, n);
    j.other_a = operand(BP_BF16_ROWS_T, planes, k, m);
    j.other_b = operand(BP_BF16_PANELS_T, planes, n, k);
    j.product.c = bp_alloc(m * n, sizeof(float));
    j.product.c_rs = n;
    j.scratch = bp_alloc(bp_bf16_product_scratch(&kernels), sizeof(float));
    for (bp_bf16_form f = BP_BF16_ROWS; f <= BP_BF16_PANELS_T; f++)
        convert(&j, f);
    for (int s = 0; s < SAMPLES; s++) {
        peaks[s] = peak_rate();
        for (int what = 0; what < FORMS + 2; what++)
            times[what][s] = seconds_of(&j, what);
    }
    const double peak = median(peaks, SAMPLES) / (planes == 3 ? 6 : planes == 2 ? 3 : 1);
    const double flops = 2.0 * (double)m * (double)n * (double)k;
    const double packed = flops / median(times[0], SAMPLES);
    const double all = flops / median(times[FORMS + 1], SAMPLES);
    printf("%5d %5d %5d: peak %.1f, packed %.1f (%.3f), from float32 %.1f (%.3f)", (int)m, (int)n,
           (int)k, peak * 1e-9, packed * 1e-9, packed / peak, all * 1e-9, all / peak);
    for (int f = 1; f <= FORMS; f++)
        printf(", %s %.3f",
               f == 1   ? "rows"
               : f == 2 ? "rows_t"
               : f == 3 ? "panels"
                        : "panels_t",
               median(times[f], SAMPLES) * 1e9 / (double)(f <= 2 ? m * k : k * n));
    printf("\n");
    bp_free((float *)j.src_a);
    bp_free((float *)j.src_b);
    bp_free(j.product.a.x);
    bp_free(j.product.b.x);
    bp_free(j.other_a.x);
    bp_free(j.other_b.x);
    bp_free(j.product.c);
    bp_free(j.scratch);
}

int main(int argc, char **argv) {
    static const int64_t targets[][3] = {
        {256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048},
        {128, 512, 784}, {512, 784, 128}, {1024, 2048, 2048}, {512, 1024, 1024},
        {256, 256, 54},  {1, 512, 784},
    };
    int isa = 0;
    while (isa < BP_ISA_COUNT && (argc < 3 || strcmp(argv[1], bp_isa_text((bp_isa)isa))))
        isa++;
    const int planes = argc > 2 ? atoi(argv[2]) : 0;
    if (isa == BP_ISA_COUNT || planes < 1 || planes > 3 || !bp_kernels_fill(&table, (bp_isa)isa)) {
        fprintf(stderr, "usage: bench_bf16 ISA PLANES [m n k]...\n");
        return 2;
    }
    kernels = (bp_bf16_kernels){&table.bf16, &table.f32};
    const uint64_t mode = bp_fp_enter();
    if (argc > 3) {
        for (int i = 3; i + 2 < argc; i += 3)
            bench(atol(argv[i]), atol(argv[i + 1]), atol(argv[i + 2]), planes);
    } else {
        for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
            bench(targets[i][0], targets[i][1], targets[i][2], planes);
    }
    bp_fp_leave(mode);
    return 0;
}
