/* The measurement of one element type; included by bench_gemm.c for float and double. */

static real *BP_T(filled)(int64_t count) {
    real *x = aligned_alloc(64, (size_t)(count + 64) / 64 * 64 * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (real)(i % 7 - 3);
    return x;
}

/* Prints the median speed of one product, and its best; returns the median as a share of the
 * multiply-add rate. */
static double BP_T(bench)(const BP_T(bp_kernels) *kernels, long m, long n, long k,
                          const char *form) {
    const int a_cols = form[0] == 't', b_cols = form[1] == 't', packed = form[1] == 'p';
    real *a = BP_T(filled)(m * k), *b = BP_T(filled)(k * n), *c = BP_T(filled)(m * n);
    real *panels = BP_T(filled)(BP_T(bp_packed_count)(kernels, k, n));
    real *scratch = BP_T(filled)(BP_T(bp_product_scratch)(kernels));
    BP_T(bp_product)
    p = {.m = m,
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
    BP_T(bp_product_run)(kernels, &p, 0, m, 0, n, scratch);
    for (int s = 0; s < SAMPLES; s++) {
        double start = now();
        const double done = kernels->peak(20000);
        peaks[s] = done / (now() - start);
        start = now();
        for (long i = 0; i < (long)calls; i++)
            BP_T(bp_product_run)(kernels, &p, 0, m, 0, n, scratch);
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
