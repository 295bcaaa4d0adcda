/* The machine as the public interface shows it. */
#include <string.h>

#include "engine/bf16.h"
#include "engine/doors.h"
#include "system/clock.h"
#include "kernels/dispatch.h"
#include "system/integers.h"
#include "system/mem.h"
#include "system/once.h"
#include "threads/pool.h"
#include "pybackprop.h"

#define QUOTE(x) #x
#define QUOTE_VALUE(x) QUOTE(x)

const char *bp_status_text(int status) {
    switch (status) {
    case BP_OK:
        return "success";
    case BP_ERR_ARGUMENT:
        return "an argument is outside its documented range";
    case BP_ERR_MEMORY:
        return "out of memory";
    case BP_ERR_BUSY:
        return "another thread is using this network";
    case BP_ERR_FORKED:
        return "the network was in use in another thread when the process forked";
    case BP_ERR_NOT_FINITE:
        return "the cost of a batch is not finite";
    case BP_ERR_CALLBACK:
        return "the user's loss reported an error";
    default:
        return "unknown status";
    }
}

const char *bp_isa_name(void) {
    bp_isa cap;
    return bp_isa_cap(&cap) ? bp_isa_text(bp_kernels_isa()) : "";
}

const char *bp_bf16_name(void) {
    return bp_kernels_bf16_name();
}

static char available[64];
static bp_once available_once = BP_ONCE_INIT;

static void list_available(void) {
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        if (!bp_cpu_get()->has[isa]) continue;
        if (available[0]) strcat(available, " ");
        strcat(available, bp_isa_text((bp_isa)isa));
    }
}

const char *bp_isa_available(void) {
    bp_once_run(&available_once, list_available);
    return available;
}

const char *bp_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#elif defined(_MSC_VER)
    return "msvc " QUOTE_VALUE(_MSC_FULL_VER);
#else
    return "";
#endif
}

const char *bp_cpu_brand(void) {
    return bp_cpu_get()->brand;
}

int64_t bp_cache_size(int level) {
    return level >= 1 && level <= 3 ? bp_cpu_get()->cache[level].bytes : 0;
}

int64_t bp_cache_ways(int level) {
    return level >= 1 && level <= 3 ? bp_cpu_get()->cache[level].ways : 0;
}

/* ---- peak ---- */

typedef struct {
    double (*run)(int64_t iterations);
    int64_t iterations; /* of one call, a fraction of a millisecond */
    int64_t duration;   /* nanoseconds */
    double rate[BP_MAX_THREADS];
    int members;
} peak_job;

static void measure_peak(void *context, bp_team *team, int member, int members) {
    peak_job *job = context;
    double flops = 0;
    if (member == 0) job->members = members;
    bp_team_barrier(team, member);
    int64_t start = bp_clock_ns(), elapsed = 0;
    while (elapsed < job->duration) {
        flops += job->run(job->iterations);
        elapsed = bp_clock_ns() - start;
    }
    job->rate[member] = flops * 1e9 / (double)elapsed;
}

/* Iterations that take long enough for the clock; the kernel decides the flops of one. */
static int64_t calibrate(double (*run)(int64_t iterations)) {
    int64_t iterations = 1, elapsed = 0;
    while (elapsed < 50000 && iterations < (int64_t)1 << 40) {
        iterations *= 2;
        int64_t start = bp_clock_ns();
        run(iterations);
        elapsed = bp_clock_ns() - start;
    }
    return iterations;
}

int bp_peak_flops(int32_t dtype, int32_t precision, int threads, double seconds, double *flops) {
    if (dtype != BP_FLOAT32 && dtype != BP_FLOAT64) return BP_ERR_ARGUMENT;
    const int planes = bp_bf16_planes(precision);
    if ((precision != BP_PRECISION_FLOAT32 && !planes) || threads < 1) return BP_ERR_ARGUMENT;
    if (!(seconds > 0 && seconds <= 3600) || (planes && dtype != BP_FLOAT32))
        return BP_ERR_ARGUMENT;

    const bp_kernels *kernels = bp_kernels_get();
    peak_job job = {.run = dtype == BP_FLOAT32 ? kernels->f32.peak : kernels->f64.peak};
    if (planes) job.run = bp_kernels_bf16_get()->peak;
    job.iterations = calibrate(job.run);
    job.duration = (int64_t)(seconds * 1e9);
    bp_pool_run(threads, measure_peak, &job);

    *flops = 0;
    for (int i = 0; i < job.members; i++) {
        *flops += job.rate[i];
    }
    /* A product of split operands is a sum of 3 or 6 products. */
    *flops /= planes == 3 ? 6 : planes == 2 ? 3 : 1;
    return BP_OK;
}

/* ---- bandwidth ---- */

typedef struct {
    const bp_kernels *kernels;
    bp_optimizer rule;
    float *vectors; /* of each member: parameters, gradient and momentum */
    int64_t count;  /* entries of a vector */
    int64_t duration;
    double rate[BP_MAX_THREADS];
    int members;
} bandwidth_job;

static void measure_bandwidth(void *context, bp_team *team, int member, int members) {
    bandwidth_job *job = context;
    const int64_t n = job->count;
    float *parameters = job->vectors + 3 * n * member, *gradient = parameters + n;
    bp_optimizer rule = job->rule;
    rule.state[0] = gradient + n;
    /* The first update brings the vectors near. */
    bp_engine_f32.update_vector(job->kernels, n, parameters, gradient, &rule);
    if (member == 0) job->members = members;
    bp_team_barrier(team, member);
    const int64_t start = bp_clock_ns();
    int64_t elapsed = 0;
    double bytes = 0;
    while (elapsed < job->duration) {
        bp_engine_f32.update_vector(job->kernels, n, parameters, gradient, &rule);
        bytes += 5.0 * sizeof(float) * (double)n;
        elapsed = bp_clock_ns() - start;
    }
    job->rate[member] = bytes * 1e9 / (double)elapsed;
}

int bp_bandwidth(int threads, int64_t bytes, double seconds, double *rate) {
    enum { LEAST = 256 }; /* entries of a vector: reading the clock takes as long as a few */
    if (threads < 1 || bytes < 0 || !(seconds > 0 && seconds <= 3600)) return BP_ERR_ARGUMENT;
    if (threads > BP_MAX_THREADS) threads = BP_MAX_THREADS;
    bandwidth_job job = {
        .kernels = bp_kernels_get(),
        .rule = {.kind = BP_OPT_SGD, .lr = 0.0, .momentum = 0.5, .step = 1},
        .count = bp_max_i64(bytes / threads / (3 * (int64_t)sizeof(float)), LEAST),
        .duration = (int64_t)(seconds * 1e9),
    };
    int64_t entries;
    if (!bp_mul_size(3 * threads, job.count, &entries)) return BP_ERR_MEMORY;
    job.vectors = bp_alloc(entries, sizeof *job.vectors);
    if (!job.vectors) return BP_ERR_MEMORY;
    memset(job.vectors, 0, (size_t)entries * sizeof *job.vectors);
    bp_pool_run(threads, measure_bandwidth, &job);
    bp_free(job.vectors);

    *rate = 0;
    for (int i = 0; i < job.members; i++) {
        *rate += job.rate[i];
    }
    return BP_OK;
}
