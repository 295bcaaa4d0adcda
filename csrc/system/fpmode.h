/* The floating-point mode of kernels: round to nearest, no traps, subnormals flushed to zero.
 *
 * The mode is a property of each thread. bp_pool_run puts every member into it; code that calls
 * kernels outside a team brackets them with bp_fp_enter and bp_fp_leave. */
#ifndef BP_FPMODE_H
#define BP_FPMODE_H

#include <stdint.h>

#if defined(__SSE__) && defined(__GNUC__)

/* MXCSR: 0x1f80 masks all exceptions; 0x8000 flushes results (FTZ), 0x0040 operands (DAZ). */
#    define BP_FP_DEFAULT UINT64_C(0x1f80)
#    define BP_FP_KERNEL UINT64_C(0x9fc0)

static inline uint64_t bp_fp_get(void) {
    return __builtin_ia32_stmxcsr();
}

static inline void bp_fp_set(uint64_t mode) {
    __builtin_ia32_ldmxcsr((unsigned)mode);
}

#elif defined(__aarch64__) && defined(__GNUC__)

/* FPCR: bit 24 flushes single and double precision operands and results (FZ). */
#    define BP_FP_DEFAULT UINT64_C(0)
#    define BP_FP_KERNEL (UINT64_C(1) << 24)

static inline uint64_t bp_fp_get(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}

static inline void bp_fp_set(uint64_t mode) {
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
}

#elif defined(_MSC_VER)

#    include <float.h>

#    define BP_FP_DEFAULT ((uint64_t)(_RC_NEAR | _DN_SAVE | _MCW_EM))
#    define BP_FP_KERNEL ((uint64_t)(_RC_NEAR | _DN_FLUSH | _MCW_EM))

static inline uint64_t bp_fp_get(void) {
    unsigned mode = 0;
    _controlfp_s(&mode, 0, 0);
    return mode;
}

static inline void bp_fp_set(uint64_t mode) {
    unsigned unused;
    _controlfp_s(&unused, (unsigned)mode, _MCW_RC | _MCW_DN | _MCW_EM);
}

#else

#    define BP_FP_DEFAULT UINT64_C(0)
#    define BP_FP_KERNEL UINT64_C(0)

static inline uint64_t bp_fp_get(void) {
    return 0;
}

static inline void bp_fp_set(uint64_t mode) {
    (void)mode;
}

#endif

/* Puts the calling thread into the kernels' mode; returns the mode it was in. */
static inline uint64_t bp_fp_enter(void) {
    uint64_t mode = bp_fp_get();
    bp_fp_set(BP_FP_KERNEL);
    return mode;
}

/* Back to a mode that bp_fp_enter returned; status flags raised in between are forgotten. */
static inline void bp_fp_leave(uint64_t mode) {
    bp_fp_set(mode);
}

#endif
