/* Chooses the kernels that this machine runs, once. */
#include <string.h>

#include "kernels/dispatch.h"
#include "system/once.h"

int bp_kernels_fill(bp_kernels *k, bp_isa isa) {
    if (!bp_cpu_get()->has[isa] || (isa == BP_ISA_AMX && !bp_cpu_allow_amx())) return 0;
    memset(k, 0, sizeof *k);
    bp_kernels_init_portable(k);
    if (bp_isa_within(BP_ISA_AVX2, isa)) bp_kernels_init_avx2(k);
    if (bp_isa_within(BP_ISA_AVX512, isa)) bp_kernels_init_avx512(k);
    if (bp_isa_within(BP_ISA_AVX512, isa) && bp_cpu_get()->has_avx512_bf16)
        bp_kernels_init_avx512_bf16(k);
    if (isa == BP_ISA_AMX) bp_kernels_init_amx(k);
    if (bp_isa_within(BP_ISA_NEON, isa)) bp_kernels_init_neon(k);
    return 1;
}

static bp_kernels table;
static bp_isa table_isa;
static bp_once table_once = BP_ONCE_INIT;

/* An unknown cap leaves the portable kernels; bp_isa_name tells Python. AMX adds only products of
 * bfloat16, and is asked for when there is one. */
static void fill_table(void) {
    bp_isa cap;
    if (!bp_isa_cap(&cap)) cap = BP_ISA_PORTABLE;
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        if (bp_cpu_get()->has[isa] && bp_isa_within((bp_isa)isa, cap)) table_isa = (bp_isa)isa;
    }
    bp_kernels_fill(&table, table_isa == BP_ISA_AMX ? BP_ISA_AVX512 : table_isa);
}

const bp_kernels *bp_kernels_get(void) {
    bp_once_run(&table_once, fill_table);
    return &table;
}

static bp_kernels_bf16 bf16_table;
static bp_once bf16_once = BP_ONCE_INIT;

static void fill_bf16(void) {
    bp_kernels all = *bp_kernels_get();
    if (table_isa == BP_ISA_AMX) bp_kernels_fill(&all, BP_ISA_AMX);
    bf16_table = all.bf16;
}

const bp_kernels_bf16 *bp_kernels_bf16_get(void) {
    bp_once_run(&bf16_once, fill_bf16);
    return &bf16_table;
}

const char *bp_kernels_bf16_name(void) {
    const char *name = bp_kernels_get()->bf16.name;
    return table_isa == BP_ISA_AMX && !bp_cpu_amx_refused() ? "amx" : name;
}

bp_isa bp_kernels_isa(void) {
    bp_kernels_get();
    return table_isa;
}
