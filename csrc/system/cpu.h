/* What the machine offers: instruction sets, caches, CPUs. */
#ifndef BP_CPU_H
#define BP_CPU_H

#include <stdint.h>

typedef enum {
    BP_ISA_PORTABLE = 0,
    BP_ISA_AVX2 = 1,
    BP_ISA_AVX512 = 2,
    BP_ISA_AMX = 3,
    BP_ISA_NEON = 4,
    BP_ISA_COUNT = 5
} bp_isa;

/* A data cache; 0 for what the machine does not report. */
typedef struct {
    int64_t bytes, ways, sets;
} bp_cache;

typedef struct {
    int has[BP_ISA_COUNT]; /* usable: CPUID and XCR0 agree; AMX needs a permission besides */
    int has_avx512_bf16;
    bp_cache cache[4]; /* of level 1, 2, 3; [0] unused */
    char brand[64];
} bp_cpu;

/* The machine, read once. */
const bp_cpu *bp_cpu_get(void);

/* Whether this process may use AMX. The first call asks the operating system, which may refuse: for
 * instance where a thread has a signal stack without room for the tiles. */
int bp_cpu_allow_amx(void);

/* Whether it was asked and refused. */
int bp_cpu_amx_refused(void);

const char *bp_isa_text(bp_isa isa);

/* The cap that PYBACKPROP_ISA sets, BP_ISA_COUNT for none; 0 if it names no instruction set. */
int bp_isa_cap(bp_isa *cap);

/* Whether a cap allows an instruction set: itself, those it builds on, and always portable. */
int bp_isa_within(bp_isa isa, bp_isa cap);

#endif
