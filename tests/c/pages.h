/* Memory pages that must not be touched, and ways to open them. */
#ifndef PAGES_H
#define PAGES_H

#include <stddef.h>

#ifdef _WIN32
#    include <windows.h>
#    undef near /* which it defines for 16-bit programs */
#else
#    include <sys/mman.h>
#endif

/* So many bytes, whole pages, of which none may be touched; NULL if they cannot be had. */
static char *pages_closed(size_t bytes) {
#ifdef _WIN32
    return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS);
#else
    char *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
#endif
}

/* Lets pages be read and written; 1 if that was done. */
static int pages_open(char *p, size_t bytes) {
#ifdef _WIN32
    DWORD before;
    return VirtualProtect(p, bytes, PAGE_READWRITE, &before) != 0;
#else
    return mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0;
#endif
}

#endif
