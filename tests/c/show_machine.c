/* Prints what the core finds out about CPUs and threads. Arguments: a copy of /proc/self/cgroup
 * and one of /sys/fs/cgroup. On Windows: the CPUs to use, as a mask. */
#include <stdio.h>
#ifdef _WIN32
#    include <stdlib.h>

#    include <windows.h>
#endif

#include "system/cgroup.h"
#include "system/cpu.h"
#include "pybackprop.h"

int main(int argc, char **argv) {
    const bp_cpu *cpu = bp_cpu_get();
    bp_isa cap;
#ifdef _WIN32
    if (argc == 2 && !SetProcessAffinityMask(GetCurrentProcess(), (DWORD_PTR)atoll(argv[1])))
        return 1;
#endif
    if (argc == 3) printf("quota %d\n", bp_cgroup_cpus(argv[1], argv[2]));
    printf("cpus %d\nthreads %d\n", bp_cpu_count(), bp_get_threads());
    printf("cap %s\n", !bp_isa_cap(&cap) ? "unknown" : cap == BP_ISA_COUNT ? "" : bp_isa_text(cap));
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        printf("%s %d%d\n", bp_isa_text((bp_isa)isa), cpu->has[isa],
               bp_isa_within((bp_isa)isa, cap));
    }
    printf("cache");
    for (int level = 1; level <= 3; level++)
        printf(" %lld %lld %lld", (long long)cpu->cache[level].bytes,
               (long long)cpu->cache[level].ways, (long long)cpu->cache[level].sets);
    printf("\n");
    printf("brand %s\n", cpu->brand);
    return 0;
}
