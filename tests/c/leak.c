/* Loses a block of the core's if told to: a checker for leaks has to notice. */
#include "system/mem.h"

int main(int argc, char **argv) {
    (void)argv;
    void *volatile block = bp_alloc(100, 1);
    if (!block) return 2;
    if (argc == 1) bp_free(block);
    block = NULL;
    return 0;
}
