/* The tiles of AMX in plain C, after the pseudo-code in Intel's Software Developer's Manual
 * (LDTILECFG, TILELOADD, TILESTORED, TDPBF16PS): so that what is written for them can be checked on
 * any machine. Includes the micro-kernel of the core. */
#ifndef AMX_EMULATION_H
#define AMX_EMULATION_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "exact_fma.h"

typedef union {
    unsigned char bytes[64];
    float sums[16];
    uint16_t elements[32];
} amx_row;

static struct {
    int configured, rows[8];
    amx_row tile[8][16];
} amx;

/* Subnormal numbers count as 0, and become 0. */
static float flushed(float x) {
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static float from_bf16(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float flushed_fma(float a, float b, float c) {
    return flushed(exact_fmaf(flushed(a), flushed(b), flushed(c)));
}

static float flushed_add(float a, float b) {
    return flushed(flushed(a) + flushed(b));
}

static void amx_require(int condition, const char *what) {
    if (!condition) {
        printf("tiles: %s\n", what);
        exit(1);
    }
}

static void amx_configure(const void *memory) {
    const unsigned char *p = memory;
    amx_require(!amx.configured && p[0] == 1 && p[1] == 0, "configured twice, or for no palette");
    for (int i = 2; i < 16; i++)
        amx_require(p[i] == 0, "a reserved byte is set");
    for (int t = 0; t < 8; t++) {
        amx_require(p[16 + 2 * t] == 64 && p[17 + 2 * t] == 0, "rows that are not whole");
        amx_require(p[48 + t] >= 1 && p[48 + t] <= 16, "more rows than a tile has");
        amx.rows[t] = p[48 + t];
    }
    for (int i = 0; i < 8; i++)
        amx_require(p[32 + 2 * i] == 0 && p[33 + 2 * i] == 0 && p[56 + i] == 0, "a tile too many");
    memset(amx.tile, 0, sizeof amx.tile);
    amx.configured = 1;
}

static void amx_release(void) {
    amx.configured = 0;
}

static void amx_zero(int t) {
    amx_require(amx.configured, "not configured");
    memset(amx.tile[t], 0, sizeof amx.tile[t]);
}

static void amx_load(int t, const void *memory, int64_t stride) {
    amx_zero(t);
    for (int i = 0; i < amx.rows[t]; i++)
        memcpy(&amx.tile[t][i], (const char *)memory + i * stride, 64);
}

static void amx_store(int t, void *memory, int64_t stride) {
    amx_require(amx.configured, "not configured");
    for (int i = 0; i < amx.rows[t]; i++)
        memcpy((char *)memory + i * stride, &amx.tile[t][i], 64);
}

static void amx_dp(int c, int a, int b) {
    amx_require(amx.configured, "not configured");
    for (int m = 0; m < amx.rows[c]; m++) {
        float even[16] = {0}, odd[16] = {0};
        for (int k = 0; k < 16; k++) {
            for (int n = 0; n < 16; n++) {
                const uint16_t *x = amx.tile[a][m].elements + 2 * k;
                const uint16_t *y = amx.tile[b][k].elements + 2 * n;
                even[n] = flushed_fma(from_bf16(x[0]), from_bf16(y[0]), even[n]);
                odd[n] = flushed_fma(from_bf16(x[1]), from_bf16(y[1]), odd[n]);
            }
        }
        for (int n = 0; n < 16; n++) {
            float *sum = &amx.tile[c][m].sums[n];
            *sum = flushed_add(*sum, flushed_add(even[n], odd[n]));
        }
    }
}

#define AMX_CONFIGURE(p) amx_configure(p)
#define AMX_RELEASE() amx_release()
#define AMX_ZERO(t) amx_zero(t)
#define AMX_LOAD(t, p, s) amx_load(t, p, s)
#define AMX_STREAM(t, p, s) amx_load(t, p, s)
#define AMX_STORE(t, p, s) amx_store(t, p, s)
#define AMX_DP(c, a, b) amx_dp(c, a, b)
#define AMX_FENCE() (void)0
#include "kernels/arch/unroll.inc.h"
#include "kernels/arch/bf16_amx.inc.h"

#endif
