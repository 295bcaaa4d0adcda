/* Known answers of Philox4x32-10: check_random (counter0 … 3, key0, key1, result0 … 3 in hex)… */
#include <stdio.h>
#include <stdlib.h>

#include "system/rng.h"

enum { WORDS = 10 };

int main(int argc, char **argv) {
    int cases = 0, failures = 0;
    if (argc < 1 + WORDS || (argc - 1) % WORDS) {
        printf("arguments: four words of counter, two of key, four of result, in hex\n");
        return 2;
    }
    for (int at = 1; at + WORDS <= argc; at += WORDS, cases++) {
        uint64_t w[WORDS];
        uint32_t got[4];
        for (int i = 0; i < WORDS; i++)
            w[i] = strtoull(argv[at + i], NULL, 16);
        /* The use of the numbers is the lowest two bits of the counter's upper half. */
        const uint64_t high = w[3] << 32 | w[2];
        bp_philox(w[5] << 32 | w[4], (bp_random_use)(high & 3), high >> 2, w[1] << 32 | w[0], got);
        for (int i = 0; i < 4; i++) {
            if (got[i] == w[6 + i]) continue;
            printf("case %d, word %d: %08x, not %08x\n", cases, i, got[i], (uint32_t)w[6 + i]);
            failures++;
        }
    }
    if (failures) return 1;
    printf("%d known answers\n", cases);
    return 0;
}
