/* All checks of one element type. */

static void BP_T(check_peak)(const BP_T(bp_kernels) *t) {
    at.slot = "peak";
    double once = t->peak(1), often = t->peak(1000);
    if (!(once > 0) || often != 1000 * once) fail("does not count its flops");
}

static void BP_T(check_type)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t) {
    at.type = BP_TYPE;
    BP_T(check_peak)(t);
    for (at.side = 0; at.side < 2; at.side++) {
        BP_T(check_gemms)(t);
        BP_T(check_lanes)(t);
        for (int64_t n = 0; n <= MAX_EDGE; n += at.step) {
            values kind = n & 1 ? VALUES_WIDE : VALUES_NORMAL;
            BP_T(check_maps)(p, t, n, kind);
            BP_T(check_activations)(p, t, 1 + n % 3, n, kind);
            BP_T(check_activations)(p, t, n % 3, 0, kind);
            BP_T(check_rows)(p, t, 1 + n % 4, n, kind);
            BP_T(check_updates)(p, t, n, kind);
            BP_T(check_columns)(p, t, n % 5, n, kind);
        }
        for (rotation = 0; rotation < SPECIALS; rotation++) {
            int64_t n = MAX_EDGE - rotation;
            BP_T(check_maps)(p, t, n, VALUES_SPECIAL);
            BP_T(check_activations)(p, t, 2, n, VALUES_SPECIAL);
            BP_T(check_rows)(p, t, MAX_ROWS, MAX_ROWS, VALUES_SPECIAL);
            BP_T(check_updates)(p, t, n, VALUES_SPECIAL);
            BP_T(check_columns)(p, t, 3, n, VALUES_SPECIAL);
            BP_T(check_columns)(p, t, MAX_ROWS, MAX_ROWS, VALUES_SPECIAL);
        }
    }
}
