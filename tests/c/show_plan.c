/* Prints how batches of a network are cut for a gradient: for each number of rows up to the first
 * argument, rows, whether they go as columns, rows of a block, and rows of each part. The other
 * arguments are the widths. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/plan.h"
#include "pybackprop.h"

enum { MOST_WIDTHS = 16 };

static void show(const bp_net *net, int64_t rows) {
    const bp_plan plan = bp_plan_make(net, rows, BP_WANT_GRADIENT);
    printf("%" PRId64 " %d %" PRId64, rows, plan.columns, plan.block);
    for (int part = 0; part < plan.parts; part++) {
        int64_t begin, end;
        bp_plan_part(&plan, rows, part, &begin, &end);
        printf(" %" PRId64, end - begin);
    }
    printf("\n");
}

int main(int argc, char **argv) {
    const int n_layers = argc - 3;
    if (n_layers < 1 || n_layers >= MOST_WIDTHS) return 1;
    int64_t widths[MOST_WIDTHS];
    int32_t activations[MOST_WIDTHS];
    double dropout[MOST_WIDTHS];
    for (int i = 0; i <= n_layers; i++) {
        widths[i] = strtoll(argv[i + 2], NULL, 10);
        activations[i] = BP_ACT_IDENTITY;
        dropout[i] = 0.0;
    }
    const bp_net_config config = {.n_layers = n_layers,
                                  .widths = widths,
                                  .activations = activations,
                                  .loss = BP_LOSS_MSE,
                                  .dtype = BP_FLOAT32,
                                  .dropout = dropout,
                                  .precision = BP_PRECISION_FLOAT32};
    bp_net *net;
    if (bp_net_create(&config, &net) != BP_OK) return 1;
    const int64_t most = strtoll(argv[1], NULL, 10);
    for (int64_t rows = 1; rows <= most; rows++) {
        show(net, rows);
    }
    bp_net_destroy(net);
    return 0;
}
