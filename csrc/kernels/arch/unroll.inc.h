/* What tiles of constant size need: loops that become straight code, and fetching ahead. */
#ifndef BP_UNROLL
#    if defined(__clang__) || defined(__GNUC__)
#        define BP_PREFETCH(p) __builtin_prefetch(p)
#    else
#        define BP_PREFETCH(p) (void)(p)
#    endif
#    if defined(__clang__)
#        define BP_UNROLL _Pragma("clang loop unroll(full)")
#        define BP_TILE_INLINE static inline __attribute__((always_inline))
#    elif defined(__GNUC__)
#        define BP_UNROLL _Pragma("GCC unroll 32")
#        define BP_TILE_INLINE static inline __attribute__((always_inline))
#    else
#        define BP_UNROLL
#        define BP_TILE_INLINE static inline
#    endif
#endif
