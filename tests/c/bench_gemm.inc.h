/* Speed of the matrix products on one thread, as a share of the machine's multiply-add rate.
 *
 *   bench_gemm_f32 ISA [m n k form]...
 *
 * Included by bench_gemm_f32.c and bench_gemm_f64.c.
 *
 * form: nn, nt (b transposed), tn (a transposed), np (b packed beforehand). Without shapes, those
 * of the project's targets. The multiply-add rate is read alternately with the products. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "system/cpu.h"
#include "kernels/dispatch.h"
#include "one_type.h"

#include "engine/pack.inc.h"

#include "engine/gemm.inc.h"

enum { SAMPLES = 21 };

static const double SAMPLE_SECONDS = 0.005;

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

static int is_target(long m, long n, const char *form) {
    return m >= 128 && n >= 256 && !strcmp(form, "nn");
}

static real *filled(int64_t count) {
    real *x = aligned_alloc(64, (size_t)(count + 64) / 64 * 64 * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (real)(i % 7 - 3);
    return x;
}

/* Prints the median speed of one product, and its best; returns the median as a share of the
 * multiply-add rate. */
static double bench(const real_kernels *kernels, long m, long n, long k, const char *form) {
    const int a_cols = form[0] == 't', b_cols = form[1] == 't', packed = form[1] == 'p';
    real *a = filled(m * k), *b = filled(k * n), *c = filled(m * n);
    real *panels = filled(packed_count(kernels, k, n));
    real *scratch = filled(product_scratch(kernels));
    bp_product p = {.m = m,
                    .n = n,
                    .k = k,
                    .a = a,
                    .a_rs = a_cols ? 1 : k,
                    .a_cs = a_cols ? m : 1,
                    .b = b,
                    .b_rs = b_cols ? 1 : n,
                    .b_cs = b_cols ? k : 1,
                    .b_packed = packed ? panels : NULL,
                    .c = c,
                    .c_rs = n};
    const double flops = 2.0 * (double)m * (double)n * (double)k;
    double calls = SAMPLE_SECONDS * 50e9 / flops, samples[SAMPLES], peaks[SAMPLES];
    if (calls < 1) calls = 1;
    if (calls > 2e5) calls = 2e5;
    product_run(kernels, &p, 0, m, 0, n, scratch);
    for (int s = 0; s < SAMPLES; s++) {
        double start = now();
        const double done = kernels->peak(20000);
        peaks[s] = done / (now() - start);
        start = now();
        for (long i = 0; i < (long)calls; i++)
            product_run(kernels, &p, 0, m, 0, n, scratch);
        samples[s] = (now() - start) / (double)(long)calls;
    }
    const double peak = median(peaks, SAMPLES), seconds = median(samples, SAMPLES);
    const double best = flops / samples[0] / peaks[SAMPLES - 1];
    printf("%5ld x %5ld x %5ld %s  %10.1f ns  %7.1f GFLOP/s  %.3f of %.1f  best %.3f\n", m, n, k,
           form, seconds * 1e9, flops / seconds * 1e-9, flops / seconds / peak, peak * 1e-9, best);
    fflush(stdout);
    free(a);
    free(b);
    free(c);
    free(panels);
    free(scratch);
    return flops / seconds / peak;
}

static const char *const targets[] = {
    "256 256 256 nn",    "512 512 512 nn",   "1024 1024 1024 nn", "2048 2048 2048 nn",
    "4096 4096 4096 nn", "512 1024 1024 nn", "128 784 512 nn",    "128 512 784 nn",
    "128 512 784 nt",    "128 512 784 np",   "512 784 128 tn",    "512 2048 2048 np",
    "1024 512 512 np",   "64 64 17 np",      "64 64 64 np",       "64 64 64 nn",
    "64 64 64 tn",       "1024 50 50 np",    "1024 50 50 nn",     "50 50 1024 tn",
    "50 2 1024 tn",      "1024 1 50 np",     "256 256 256 np",    "256 256 256 tn",
    "200 100 64 np",     "1 64 64 np",       "1 512 784 np",      "1 512 784 nt",
    "4 8 2 np",          "4 8 2 nn"};

int main(int argc, char **argv) {
    bp_kernels kernels;
    int isa = 0;
    while (isa < BP_ISA_COUNT && (argc < 2 || strcmp(argv[1], bp_isa_text((bp_isa)isa))))
        isa++;
    if (isa == BP_ISA_COUNT || !bp_kernels_fill(&kernels, (bp_isa)isa)) {
        fprintf(stderr, "usage: bench_gemm_<type> ISA [m n k form]...\n");
        return 2;
    }
    double log_sum = 0.0;
    int counted = 0;
    const int shapes = argc > 2 ? (argc - 2) / 4 : (int)(sizeof targets / sizeof *targets);
    for (int i = 0; i < shapes; i++) {
        long m, n, k;
        char form[3];
        if (argc > 2) {
            char **given = argv + 2 + 4 * i;
            m = atol(given[0]);
            n = atol(given[1]);
            k = atol(given[2]);
            snprintf(form, sizeof form, "%s", given[3]);
        } else {
            sscanf(targets[i], "%ld %ld %ld %2s", &m, &n, &k, form);
        }
        const double share = bench(&kernels.ELEMENT, m, n, k, form);
        if (is_target(m, n, form)) {
            log_sum += log(share);
            counted++;
        }
    }
    if (counted) printf("geometric mean of the targets: %.3f\n", exp(log_sum / counted));
    return 0;
}
