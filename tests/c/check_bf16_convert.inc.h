/* Rounding, splitting and laying out; included by check_bf16.c. */

static double bf16_value(uint16_t x) {
    /* Beyond the largest bfloat16 comes 2^128, for what rounds to it. */
    return (x & 0x7fff) == 0x7f80 ? copysign(0x1p128, from_bf16(x)) : (double)from_bf16(x);
}

/* The nearer of the two bfloat16 around x; of equally near ones the even one. */
static uint16_t rounded(float x, int finite) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t low = (uint16_t)(bits >> 16), high = (uint16_t)(low + 1);
    if (isnan(x)) return low | 0x40;
    if (isinf(x)) return low;
    if (fabsf(x) < 0x1p-126f) return low & 0x8000;
    const double below = fabs((double)x - bf16_value(low)), above = fabs(bf16_value(high) - x);
    const int up = above < below || (above == below && (low & 1));
    if (!up || (finite && (high & 0x7fff) == 0x7f80)) return low;
    return high;
}

static void split(float x, int planes, uint16_t parts[BP_BF16_PLANES]) {
    for (int p = 0; p < planes; p++) {
        parts[p] = rounded(x, planes > 1);
        const int none = !isfinite(x) || (parts[p] & 0x7fff) == 0;
        x = none ? 0 : (float)((double)x - (double)from_bf16(parts[p]));
    }
}

static int64_t at_least(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

static int in_rows(bp_bf16_form form) {
    return form == BP_BF16_ROWS || form == BP_BF16_ROWS_T;
}

static int is_turned(bp_bf16_form form) {
    return form == BP_BF16_ROWS_T || form == BP_BF16_PANELS_T;
}

/* Where element (i, j) of the matrix lies in an operand. */
static int64_t place(bp_bf16_form form, const bp_bf16_operand *o, int64_t i, int64_t j) {
    const int64_t row = is_turned(form) ? j : i, col = is_turned(form) ? i : j;
    if (in_rows(form)) return col / 32 * o->stride + row * 32 + col % 32;
    return col / 32 * o->stride + row / 2 * 64 + col % 32 * 2 + row % 2;
}

static bp_bf16_operand make_operand(guarded memory, bp_bf16_form form, int planes, int64_t rows,
                                    int64_t cols, int64_t *count) {
    bp_bf16_operand o;
    if (!bp_bf16_layout(form, planes, rows, cols, NULL, &o, count)) {
        printf("no layout\n");
        exit(2);
    }
    o.x = guarded_take(memory, (size_t)*count * sizeof *o.x);
    memset(o.x, CANARY, (size_t)*count * sizeof *o.x);
    return o;
}

static int equals(uint16_t found, uint16_t wanted) {
    if (isnan(from_bf16(wanted))) return isnan(from_bf16(found)) && (found & 0x40);
    return found == wanted;
}

/* Every element, the zeros around the matrix, and that nothing else was written. */
static void check_operand(bp_bf16_form form, int planes, int64_t rows, int64_t cols,
                          const float *src, int64_t ld, const bp_bf16_operand *o, int64_t count) {
    uint16_t *expected = malloc((size_t)(count + 1) * sizeof *expected);
    memset(expected, CANARY, (size_t)count * sizeof *expected);
    /* Padding goes to 32 everywhere but along the rows of slabs. */
    const int64_t height = form == BP_BF16_ROWS ? rows : at_least(rows, 32);
    const int64_t width = form == BP_BF16_ROWS_T ? cols : at_least(cols, 32);
    for (int64_t i = 0; i < height; i++) {
        for (int64_t j = 0; j < width; j++) {
            uint16_t parts[BP_BF16_PLANES] = {0};
            if (i < rows && j < cols) split(src[i * ld + j], planes, parts);
            for (int p = 0; p < planes && rows && cols; p++)
                expected[p * o->plane + place(form, o, i, j)] = parts[p];
        }
    }
    int64_t wrong = -1;
    for (int64_t e = 0; e < count && wrong < 0; e++)
        if (!equals(o->x[e], expected[e])) wrong = e;
    CHECK(wrong < 0, "form %d planes %d (%d x %d) element %d: %04x, not %04x", form, planes,
          (int)rows, (int)cols, (int)wrong, o->x[wrong], expected[wrong]);
    const unsigned char *before = (const unsigned char *)o->x - 256;
    for (int i = 0; i < 256; i++)
        CHECK(before[i] == CANARY, "form %d: wrote before the operand", form);
    free(expected);
}

static void check_conversion(bp_bf16_form form, int planes, int64_t rows, int64_t cols, draw kind) {
    const int64_t ld = cols + 3;
    int64_t count;
    const float *src = random_floats(memory_a, rows, cols, ld, kind);
    const bp_bf16_operand o = make_operand(memory_out[0], form, planes, rows, cols, &count);
    bp_bf16_convert(&at.kernels, form, planes, rows, cols, src, ld, &o, 0, 0);
    check_operand(form, planes, rows, cols, src, ld, &o, count);

    /* The same in blocks, the last first. */
    const bp_bf16_operand b = make_operand(memory_out[1], form, planes, rows, cols, &count);
    for (int64_t i = rows > 0 ? (rows - 1) / 32 * 32 : -1; i >= 0; i -= 32) {
        for (int64_t j = cols > 0 ? (cols - 1) / 64 * 64 : -1; j >= 0; j -= 64) {
            const int64_t h = rows - i < 32 ? rows - i : 32, w = cols - j < 64 ? cols - j : 64;
            bp_bf16_convert(&at.kernels, form, planes, h, w, src + i * ld + j, ld, &b, i, j);
        }
    }
    CHECK(memcmp(o.x, b.x, (size_t)count * sizeof *o.x) == 0, "form %d (%d x %d): blocks differ",
          form, (int)rows, (int)cols);
}

static void check_conversions(void) {
    static const int64_t sizes[] = {1, 2, 15, 16, 31, 32, 33, 47, 64, 70, 97, 0};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    for (int r = 0; r < SIZES; r++) {
        for (int c = r % step; c < SIZES; c += step) {
            for (int planes = 1; planes <= 3; planes++) {
                check_conversion(BP_BF16_ROWS, planes, sizes[r], sizes[c], DRAW_ANY);
                check_conversion(BP_BF16_ROWS_T, planes, sizes[r], sizes[c], DRAW_ANY);
                check_conversion(BP_BF16_PANELS, planes, sizes[r], sizes[c], DRAW_ANY);
                check_conversion(BP_BF16_PANELS_T, planes, sizes[r], sizes[c], DRAW_ANY);
            }
        }
    }
}
