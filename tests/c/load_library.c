/* Loads the core as a library of Windows, uses it with two threads, and lets go of it: it stays,
 * since its helper runs on. Argument: the library. */
#include <stdio.h>
#include <string.h>

#include <windows.h>

#include "pybackprop.h"

enum { N = 512 };

static float a[N * N], b[N * N], c[N * N];

/* A function of the library; as bytes, since C has no cast from what GetProcAddress returns. */
static int find(HMODULE library, const char *name, void *function) {
    const FARPROC found = GetProcAddress(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

int main(int argc, char **argv) {
    int (*set_threads)(int);
    int (*matmul)(int32_t, int32_t, int64_t, int64_t, int64_t, const void *, int64_t, int,
                  const void *, int64_t, int, void *, int64_t);
    HMODULE library = argc == 2 ? LoadLibraryA(argv[1]) : NULL;
    if (!library || !find(library, "bp_set_threads", &set_threads) ||
        !find(library, "bp_matmul", &matmul)) {
        printf("no such library\n");
        return 1;
    }
    for (int i = 0; i < N; i++)
        a[i * N + i] = b[i * N + i] = 2;
    set_threads(2);
    if (matmul(BP_FLOAT32, BP_PRECISION_FLOAT32, N, N, N, a, N, 0, b, N, 0, c, N) != BP_OK ||
        c[0] != 4 || c[N * N - 1] != 4) {
        printf("a wrong product\n");
        return 1;
    }
    FreeLibrary(library);
    if (!GetModuleHandleA(argv[1])) {
        printf("the code of its helper is gone\n");
        return 1;
    }
    printf("library ok\n");
    return 0;
}
