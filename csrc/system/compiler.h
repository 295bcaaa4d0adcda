/* What the compiler knows. */
#ifndef BP_COMPILER_H
#define BP_COMPILER_H

/* Whether it is gcc, or clang, of this version or later: older ones refuse a whole file for the
 * name of an instruction set that they have not heard of. */
#if defined(__clang__)
#    define BP_COMPILER_IS(gcc, clang) (__clang_major__ >= (clang))
#elif defined(__GNUC__)
#    define BP_COMPILER_IS(gcc, clang) (__GNUC__ >= (gcc))
#else
#    define BP_COMPILER_IS(gcc, clang) 0
#endif

#endif
