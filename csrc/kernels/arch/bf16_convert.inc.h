/* Conversion of float32 to bfloat16, in loops of constant count that every compiler vectorises.
 *
 * The including file defines BF16_ISA, the suffix of the names. Bits are moved as integers: pairs
 * of bfloat16 in one uint32_t, the first in the lower half, as little-endian memory has them. */

#define BF16_KERNEL_(name, isa) bpk_bf16_##name##__##isa
#define BF16_KERNEL__(name, isa) BF16_KERNEL_(name, isa)
#define BF16_KERNEL(name) BF16_KERNEL__(name, BF16_ISA)

/* The bits of x rounded to bfloat16, in the upper half; the lower one is 0. There are no branches,
 * which would keep loops from being vectorised. */
static inline uint32_t bp_bf16_round(uint32_t x, int finite) {
    const uint32_t size = x & 0x7fffffffu, infinity = 0x7f800000u, cut = x & 0xffff0000u;
    const uint32_t nearest = (x + 0x7fffu + (x >> 16 & 1)) & 0xffff0000u;
    const uint32_t over = finite ? 0u - ((nearest & infinity) == infinity) : 0;
    const uint32_t nan = 0u - (size > infinity), tiny = 0u - (size < 0x00800000u);
    const uint32_t special = over | nan;
    const uint32_t rounded = (nearest & ~special) | (cut & special) | (nan & 0x00400000u);
    return rounded & (~tiny | 0x80000000u);
}

/* The parts of 32 values: bits of bfloat16 in the upper halves. */
static inline void bp_bf16_split(const int planes, const float *x,
                                 uint32_t parts[BP_BF16_PLANES][BP_BF16_BLOCK]) {
    uint32_t bits[BP_BF16_BLOCK];
    float rest[BP_BF16_BLOCK], part[BP_BF16_BLOCK];
    memcpy(bits, x, sizeof bits);
    for (int plane = 0; plane < planes; plane++) {
        for (int j = 0; j < BP_BF16_BLOCK; j++)
            parts[plane][j] = bp_bf16_round(bits[j], planes > 1);
        if (plane == planes - 1) break;
        memcpy(rest, bits, sizeof rest);
        memcpy(part, parts[plane], sizeof part);
        for (int j = 0; j < BP_BF16_BLOCK; j++)
            rest[j] -= part[j];
        memcpy(bits, rest, sizeof bits);
        /* Beside an infinity, a NaN or a subnormal number there is no rest. */
        for (int j = 0; j < BP_BF16_BLOCK; j++) {
            const uint32_t exponent = parts[plane][j] & 0x7f800000u;
            bits[j] &= 0u - ((exponent != 0) & (exponent != 0x7f800000u));
        }
    }
}

static inline void bp_bf16_row(const int planes, const float *x, uint16_t *dst, int64_t plane) {
    uint32_t parts[BP_BF16_PLANES][BP_BF16_BLOCK];
    bp_bf16_split(planes, x, parts);
    for (int p = 0; p < planes; p++)
        for (int j = 0; j < BP_BF16_BLOCK; j++)
            dst[p * plane + j] = (uint16_t)(parts[p][j] >> 16);
}

static inline void bp_bf16_pair(const int planes, const float *x, const float *y, uint16_t *dst,
                                int64_t plane) {
    uint32_t first[BP_BF16_PLANES][BP_BF16_BLOCK], second[BP_BF16_PLANES][BP_BF16_BLOCK];
    bp_bf16_split(planes, x, first);
    bp_bf16_split(planes, y, second);
    for (int p = 0; p < planes; p++) {
        uint32_t pairs[BP_BF16_BLOCK];
        for (int j = 0; j < BP_BF16_BLOCK; j++)
            pairs[j] = first[p][j] >> 16 | second[p][j];
        memcpy(dst + p * plane, pairs, sizeof pairs);
    }
}

/* n <= 32 values, and zeros. */
static inline const float *bp_bf16_padded(const float *x, int64_t n, float *room) {
    if (n >= BP_BF16_BLOCK) return x;
    for (int64_t j = 0; j < BP_BF16_BLOCK; j++)
        room[j] = j < n ? x[j] : 0.0f;
    return room;
}

static inline void bp_bf16_rows(const int planes, int64_t rows, int64_t cols, const float *src,
                                int64_t ld, uint16_t *dst, int64_t slab, int64_t plane) {
    float room[BP_BF16_BLOCK];
    for (int64_t j = 0; j < cols; j += BP_BF16_BLOCK, dst += slab)
        for (int64_t i = 0; i < rows; i++)
            bp_bf16_row(planes, bp_bf16_padded(src + i * ld + j, cols - j, room),
                        dst + i * BP_BF16_BLOCK, plane);
}

static inline void bp_bf16_panels(const int planes, int64_t rows, int64_t cols, const float *src,
                                  int64_t ld, uint16_t *dst, int64_t panel, int64_t plane) {
    static const float zeros[BP_BF16_BLOCK];
    float room[2][BP_BF16_BLOCK];
    const int64_t end = (rows + BP_BF16_BLOCK - 1) / BP_BF16_BLOCK * BP_BF16_BLOCK;
    for (int64_t j = 0; j < cols; j += BP_BF16_BLOCK, dst += panel) {
        for (int64_t i = 0; i < end; i += 2) {
            const float *x = src + i * ld + j, *first = zeros, *second = zeros;
            if (i < rows) first = bp_bf16_padded(x, cols - j, room[0]);
            if (i + 1 < rows) second = bp_bf16_padded(x + ld, cols - j, room[1]);
            bp_bf16_pair(planes, first, second, dst + i * BP_BF16_BLOCK, plane);
        }
    }
}

static void BF16_KERNEL(to_rows)(int planes, int64_t rows, int64_t cols, const float *src,
                                 int64_t ld, uint16_t *dst, int64_t slab, int64_t plane) {
    if (planes == 1)
        bp_bf16_rows(1, rows, cols, src, ld, dst, slab, plane);
    else if (planes == 2)
        bp_bf16_rows(2, rows, cols, src, ld, dst, slab, plane);
    else
        bp_bf16_rows(3, rows, cols, src, ld, dst, slab, plane);
}

static void BF16_KERNEL(to_panels)(int planes, int64_t rows, int64_t cols, const float *src,
                                   int64_t ld, uint16_t *dst, int64_t panel, int64_t plane) {
    if (planes == 1)
        bp_bf16_panels(1, rows, cols, src, ld, dst, panel, plane);
    else if (planes == 2)
        bp_bf16_panels(2, rows, cols, src, ld, dst, panel, plane);
    else
        bp_bf16_panels(3, rows, cols, src, ld, dst, panel, plane);
}

static void BF16_KERNEL(drop_specials)(int64_t rows, int64_t cols, float *c, int64_t ldc) {
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            const float x = c[i * ldc + j];
            c[i * ldc + j] = x - x == 0.0f ? x : 0.0f;
        }
    }
}
