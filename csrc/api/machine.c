/* The machine as the public interface shows it. */
#include <string.h>

#include "engine/bf16.h"
#include "system/clock.h"
#include "kernels/dispatch.h"
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
