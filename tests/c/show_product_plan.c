/* Prints the plan of a product on any machine: mc kc nc nb pack_a pack_b. Arguments: bytes of an
 * element, rows and columns of the tile; bytes, ways and sets of the first cache, and of the
 * second, 0 where the machine does not say; m n k a_rs a_cs b_rs b_cs b_packed b_shifted. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/product_plan.h"

static bp_cache cache_of(char **words) {
    return (bp_cache){atoll(words[0]), atoll(words[1]), atoll(words[2])};
}

int main(int argc, char **argv) {
    if (argc != 19) return 2;
    bp_cpu cpu = {0};
    cpu.cache[1] = cache_of(argv + 4);
    cpu.cache[2] = cache_of(argv + 7);
    const bp_product_machine machine =
        bp_product_machine_of(&cpu, atoll(argv[1]), atoll(argv[2]), atoll(argv[3]));
    const bp_product_shape shape = {atoll(argv[10]), atoll(argv[11]), atoll(argv[12]),
                                    atoll(argv[13]), atoll(argv[14]), atoll(argv[15]),
                                    atoll(argv[16]), atoi(argv[17]),  atoi(argv[18])};
    const bp_product_plan plan = bp_product_plan_for(&machine, &shape);
    const bp_blocking *block = &plan.block;
    printf("%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d %d\n", block->mc, block->kc,
           block->nc, block->nb, plan.pack_a, plan.pack_b);
    return 0;
}
