/* Prints what the core finds out about CPUs and threads. Arguments: a copy of /proc/self/cgroup
 * and one of /sys/fs/cgroup. */
#include <stdio.h>

#include "cgroup.h"
#include "cpu.h"
#include "pybackprop.h"

int main(int argc, char **argv) {
    const bp_cpu *cpu = bp_cpu_get();
    bp_isa cap;
    if (argc == 3) printf("quota %d\n", bp_cgroup_cpus(argv[1], argv[2]));
    printf("cpus %d\nthreads %d\n", bp_cpu_count(), bp_get_threads());
    printf("cap %s\n", !bp_isa_cap(&cap) ? "unknown" : cap == BP_ISA_COUNT ? "" : bp_isa_text(cap));
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        printf("%s %d%d\n", bp_isa_text((bp_isa)isa), cpu->has[isa],
               bp_isa_within((bp_isa)isa, cap));
    }
    printf("cache %lld %lld %lld\n", (long long)cpu->cache[1], (long long)cpu->cache[2],
           (long long)cpu->cache[3]);
    printf("brand %s\n", cpu->brand);
    return 0;
}
