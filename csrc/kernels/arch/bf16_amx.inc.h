/* The micro-kernel of bfloat16 products over tiles of 16 rows of 64 bytes, in the words of its
 * includer (tiles are numbered by literals):
 *
 *   AMX_CONFIGURE(p) AMX_RELEASE()    takes the 64 bytes of a configuration; gives the tiles back
 *   AMX_ZERO(t)                       clears a tile
 *   AMX_LOAD(t, p, s) AMX_STORE(t, p, s)
 *                                     rows s bytes apart
 *   AMX_STREAM(t, p, s)               the same as AMX_LOAD, past the nearest cache, in which it
 *                                     leaves room for what is read again sooner
 *   AMX_FENCE()                       before a load of what was just written
 *   AMX_DP(c, a, b)                   tdpbf16ps: c (16 x 16 float32) += a (16 rows of 16 pairs)
 *                                     b (16 rows of 16 pairs, which are pairs of rows)
 *
 * Tiles 0 to 3 hold a (32 x 32) block of c, 4 and 5 rows of a, 6 and 7 columns of b. */

/* Palette 1, all eight tiles whole. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} bp_amx_tiles = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

enum { AMX_SIDE = 16, AMX_PAIRS_STRIDE = 2 * BP_BF16_BLOCK * sizeof(uint16_t) };

/* Adds one step and term; a and b are loaded where they differ from those of the last term, each
 * tile just before its first product. */
BP_TILE_INLINE void bp_amx_step(const int down, const int across, const uint16_t *a,
                                const uint16_t *b, int new_a, int new_b) {
    if (new_b) AMX_STREAM(6, b, AMX_PAIRS_STRIDE);
    if (new_a) AMX_LOAD(4, a, BP_BF16_BLOCK * sizeof(uint16_t));
    AMX_DP(0, 4, 6);
    if (new_a && down > 1)
        AMX_LOAD(5, a + AMX_SIDE * BP_BF16_BLOCK, BP_BF16_BLOCK * sizeof(uint16_t));
    if (down > 1) AMX_DP(2, 5, 6);
    if (new_b && across > 1) AMX_STREAM(7, b + 2 * AMX_SIDE, AMX_PAIRS_STRIDE);
    if (across > 1) AMX_DP(1, 4, 7);
    if (down > 1 && across > 1) AMX_DP(3, 5, 7);
}

/* c (16 down x 16 across), whole, from rows of a and columns of b. */
BP_TILE_INLINE void bp_amx_block(const int down, const int across, const bp_bf16_block *q,
                                 const uint16_t *a, const uint16_t *b, float *c, int64_t c_rs) {
    const int64_t stride = c_rs * (int64_t)sizeof *c;
    float *below = c + AMX_SIDE * c_rs;
    AMX_ZERO(0);
    AMX_ZERO(1);
    AMX_ZERO(2);
    AMX_ZERO(3);
    if (q->accumulate) {
        AMX_LOAD(0, c, stride);
        if (across > 1) AMX_LOAD(1, c + AMX_SIDE, stride);
        if (down > 1) AMX_LOAD(2, below, stride);
        if (down > 1 && across > 1) AMX_LOAD(3, below + AMX_SIDE, stride);
    }
    for (int64_t left = q->n_terms == 1 ? q->k : 0; left > 0; left -= BP_BF16_BLOCK) {
        bp_amx_step(down, across, a + q->terms->a, b + q->terms->b, 1, 1);
        a += q->slab;
        b += BP_BF16_BLOCK * BP_BF16_BLOCK;
    }
    for (int64_t left = q->n_terms > 1 ? q->k : 0; left > 0; left -= BP_BF16_BLOCK) {
        const bp_bf16_term *last = NULL;
        for (int t = 0; t < q->n_terms; t++) {
            const bp_bf16_term *term = &q->terms[t];
            bp_amx_step(down, across, a + term->a, b + term->b, !last || last->a != term->a,
                        !last || last->b != term->b);
            last = term;
        }
        a += q->slab;
        b += BP_BF16_BLOCK * BP_BF16_BLOCK;
    }
    AMX_STORE(0, c, stride);
    if (across > 1) AMX_STORE(1, c + AMX_SIDE, stride);
    if (down > 1) AMX_STORE(2, below, stride);
    if (down > 1 && across > 1) AMX_STORE(3, below + AMX_SIDE, stride);
}

/* A block that the tiles overhang, computed in separate memory. */
static void bp_amx_edge(const bp_bf16_block *q, const uint16_t *a, const uint16_t *b, float *c,
                        int64_t rows, int64_t cols) {
    float room[BP_BF16_BLOCK * BP_BF16_BLOCK];
    if (q->accumulate) {
        memset(room, 0, sizeof room);
        for (int64_t i = 0; i < rows; i++)
            memcpy(room + i * BP_BF16_BLOCK, c + i * q->c_rs, (size_t)cols * sizeof *c);
        AMX_FENCE();
    }
    if (rows > AMX_SIDE && cols > AMX_SIDE)
        bp_amx_block(2, 2, q, a, b, room, BP_BF16_BLOCK);
    else if (rows > AMX_SIDE)
        bp_amx_block(2, 1, q, a, b, room, BP_BF16_BLOCK);
    else if (cols > AMX_SIDE)
        bp_amx_block(1, 2, q, a, b, room, BP_BF16_BLOCK);
    else
        bp_amx_block(1, 1, q, a, b, room, BP_BF16_BLOCK);
    for (int64_t i = 0; i < rows; i++)
        memcpy(c + i * q->c_rs, room + i * BP_BF16_BLOCK, (size_t)cols * sizeof *c);
}

static void bpk_bf16_run_32x32__amx(const bp_bf16_block *q) {
    for (int64_t i = 0; i < q->m; i += BP_BF16_BLOCK) {
        const int64_t rows = q->m - i < BP_BF16_BLOCK ? q->m - i : BP_BF16_BLOCK;
        for (int64_t j = 0; j < q->n; j += BP_BF16_BLOCK) {
            const int64_t cols = q->n - j < BP_BF16_BLOCK ? q->n - j : BP_BF16_BLOCK;
            const uint16_t *a = q->a + i * BP_BF16_BLOCK;
            const uint16_t *b = q->b + j / BP_BF16_BLOCK * q->panel;
            float *c = q->c + i * q->c_rs + j;
            if (rows == BP_BF16_BLOCK && cols == BP_BF16_BLOCK)
                bp_amx_block(2, 2, q, a, b, c, q->c_rs);
            else
                bp_amx_edge(q, a, b, c, rows, cols);
        }
    }
}

static void bpk_bf16_begin__amx(void) {
    AMX_CONFIGURE(&bp_amx_tiles);
}

static void bpk_bf16_end__amx(void) {
    AMX_RELEASE();
}

static double bpk_bf16_peak__amx(int64_t iterations) {
    bpk_bf16_begin__amx();
    AMX_ZERO(0);
    AMX_ZERO(1);
    AMX_ZERO(2);
    AMX_ZERO(3);
    AMX_ZERO(4);
    AMX_ZERO(5);
    AMX_ZERO(6);
    AMX_ZERO(7);
    for (int64_t i = 0; i < iterations; i++)
        bp_amx_step(2, 2, NULL, NULL, 0, 0);
    bpk_bf16_end__amx();
    return 4.0 * 2 * AMX_SIDE * AMX_SIDE * BP_BF16_BLOCK * (double)iterations;
}

static void bpk_bf16_init__amx(bp_kernels_bf16 *k) {
    k->name = "amx";
    k->band = 32;
    k->kc = 512;
    /* Next to b, the cache holds a, c and what the core's other thread needs. With 2, a step takes
     * 1.08 times as long (1024 wide, Granite Rapids); 8 is as fast as 4. */
    k->b_share = 4;
    k->begin = bpk_bf16_begin__amx;
    k->end = bpk_bf16_end__amx;
    k->run = bpk_bf16_run_32x32__amx;
    k->peak = bpk_bf16_peak__amx;
}
