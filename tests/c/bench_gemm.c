/* Speed of the matrix products on one thread, as a share of the machine's multiply-add rate.
 *
 *   bench_gemm ISA [f32|f64] [m n k form]...
 *
 * form: nn, nt (b transposed), tn (a transposed), np (b packed beforehand). Without shapes, those
 * of the project's targets. The multiply-add rate is read alternately with the products. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"
#include "dispatch.h"
#include "gemm.h"

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

#define real float
#define BP_T(name) name##_f32
#include "bench_gemm.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "bench_gemm.inc.h"
#undef real
#undef BP_T

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
        fprintf(stderr, "usage: bench_gemm ISA [f32|f64] [m n k form]...\n");
        return 2;
    }
    const int wide = argc > 2 && !strcmp(argv[2], "f64");
    double log_sum = 0.0;
    int counted = 0;
    const int shapes = argc > 3 ? (argc - 3) / 4 : (int)(sizeof targets / sizeof *targets);
    for (int i = 0; i < shapes; i++) {
        long m, n, k;
        char form[3];
        if (argc > 3) {
            char **given = argv + 3 + 4 * i;
            m = atol(given[0]);
            n = atol(given[1]);
            k = atol(given[2]);
            snprintf(form, sizeof form, "%s", given[3]);
        } else {
            sscanf(targets[i], "%ld %ld %ld %2s", &m, &n, &k, form);
        }
        const double share =
            wide ? bench_f64(&kernels.f64, m, n, k, form) : bench_f32(&kernels.f32, m, n, k, form);
        if (is_target(m, n, form)) {
            log_sum += log(share);
            counted++;
        }
    }
    if (counted) printf("geometric mean of the targets: %.3f\n", exp(log_sum / counted));
    return 0;
}
