/* Products of bfloat16 on the tiles of AMX. */
#include "kernels/kernels.h"

/* Not for Windows: there gcc computes addresses of tiles in half a register, and no code asks for
 * the permission to use tiles (cpu.c). */
#if defined(__x86_64__) && !defined(_WIN32) && BP_COMPILER_IS(11, 11)

#    include <immintrin.h>
#    include <string.h>

#    if defined(__clang__)
#        pragma clang attribute push(__attribute__((target("amx-tile,amx-bf16"))),                 \
                                     apply_to = function)
#    else
#        pragma GCC push_options
#        pragma GCC target("amx-tile,amx-bf16")
#    endif

#    define AMX_CONFIGURE(p) _tile_loadconfig(p)
#    define AMX_RELEASE() _tile_release()
#    define AMX_ZERO(t) _tile_zero(t)
#    define AMX_LOAD(t, p, s) _tile_loadd(t, p, (size_t)(s))
#    define AMX_STREAM(t, p, s) _tile_stream_loadd(t, p, (size_t)(s))
#    define AMX_STORE(t, p, s) _tile_stored(t, p, (size_t)(s))
#    define AMX_DP(c, a, b) _tile_dpbf16ps(c, a, b)
/* The compiler does not know that loading a tile reads memory. */
#    define AMX_FENCE() __asm__ volatile("" ::: "memory")
#    include "unroll.inc.h"
#    include "bf16_amx.inc.h"

void bp_kernels_init_amx(bp_kernels *k) {
    bpk_bf16_init__amx(&k->bf16);
}

#    if defined(__clang__)
#        pragma clang attribute pop
#    else
#        pragma GCC pop_options
#    endif

#else

void bp_kernels_init_amx(bp_kernels *k) {
    (void)k;
}

#endif
