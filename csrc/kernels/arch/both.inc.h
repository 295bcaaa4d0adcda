/* The kernels of one instruction set for both element types: its vocabulary, then the body.
 *
 * The including file defines BP_ISA (the suffix of the names), BP_VOCABULARY (the file of the
 * vector operations, described in body.inc.h), and, where the instruction set has a scaling
 * instruction, BP_HAS_SCALE; and BP_VECTOR_REGISTERS if there are more than 16.
 */
#include <math.h>
#include <string.h>

#if defined(__GNUC__)
#    define BP_INLINE static inline __attribute__((always_inline))
#else
#    define BP_INLINE static inline
#endif

/* The portable vocabulary leaves it to the compiler which loops are worth vectorising. */
#if defined(__clang__)
#    pragma clang diagnostic ignored "-Wpass-failed"
#endif

/* Before a loop whose iterations touch disjoint elements, though its pointers may be equal. */
#if defined(__clang__)
#    define BP_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#    define BP_INDEPENDENT _Pragma("GCC ivdep")
#else
#    define BP_INDEPENDENT
#endif

#define BP_KERNEL_NAME_(type, name, isa) bpk_##type##_##name##__##isa
#define BP_KERNEL_NAME(type, name, isa) BP_KERNEL_NAME_(type, name, isa)

/* Ends a function whose loops the compiler turns into vectors, where it may leave registers in use.
 */
#if !defined(BP_LEAVE_VECTORS)
#    define BP_LEAVE_VECTORS() (void)0
#endif

/* Before a loop of constant count whose arrays are meant to be registers. */
#if defined(__clang__)
#    define BP_UNROLL_ALL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#    define BP_UNROLL_ALL _Pragma("GCC unroll 32")
#else
#    define BP_UNROLL_ALL
#endif

/* How many vectors fit into registers. */
#if !defined(BP_VECTOR_REGISTERS)
#    define BP_VECTOR_REGISTERS 16
#endif

/* The layout of the element type, as integer constant expressions. */
#define BP_SIGNIFICAND_BITS (BP_REAL_BITS == 32 ? 23 : 52)
#define BP_SIGN_BIT (BP_REAL_BITS == 32 ? 0x80000000u : 0x8000000000000000u)
#define BP_SIGNIFICAND_MASK (BP_REAL_BITS == 32 ? 0x007fffffu : 0x000fffffffffffffu)
#define BP_HEAD_MASK (BP_REAL_BITS == 32 ? 0xfffff000u : 0xfffffffff8000000u)
#define BP_ONE_BITS (BP_REAL_BITS == 32 ? 0x3f800000u : 0x3ff0000000000000u)
#define BP_SQRT_HALF_BITS (BP_REAL_BITS == 32 ? 0x3f3504f3u : 0x3fe6a09e667f3bcdu)
/* Or-ed into a small integer k this makes the real BP_INTEGER_BASE + k. */
#define BP_INTEGER_BITS (BP_REAL_BITS == 32 ? 0x4b000000u : 0x4330000000000000u)
#define BP_INTEGER_BASE (BP_REAL_BITS == 32 ? 8388608.0 : 4503599627370496.0)
#define BP_EXPONENT_BIAS (BP_REAL_BITS == 32 ? 127.0 : 1023.0)

#define vreal V(vector)
#define vmask V(mask)

/* double first: the sums of float accumulate in it. */
#define real double
#define BP_REAL_BITS 64
#define BP_T(name) name##_f64
#define V(name) vf64_##name
#define BPK(name) BP_KERNEL_NAME(f64, name, BP_ISA)
#include BP_VOCABULARY
#include "body.inc.h"
#undef real
#undef BP_REAL_BITS
#undef BP_T
#undef V
#undef BPK

#define real float
#define BP_REAL_BITS 32
#define BP_T(name) name##_f32
#define V(name) vf32_##name
#define BPK(name) BP_KERNEL_NAME(f32, name, BP_ISA)
#include BP_VOCABULARY
#include "body.inc.h"
#undef real
#undef BP_REAL_BITS
#undef BP_T
#undef V
#undef BPK
