/* Reads what the processor and the operating system offer: instruction sets, caches, name. */
#if defined(__linux__)
#    define _GNU_SOURCE
#elif defined(__APPLE__)
#    define _DARWIN_C_SOURCE
#endif
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
#    define BP_X86 1
#    ifdef _MSC_VER
#        include <intrin.h>
#    else
#        include <cpuid.h>
#    endif
#endif

#if defined(__linux__)
#    include <sched.h>
#    include <sys/syscall.h>
#    include <unistd.h>
#elif defined(__APPLE__)
#    include <sys/sysctl.h>
#    include <sys/types.h>
#    include <unistd.h>
#elif defined(_WIN32)
#    include <windows.h>
#else
#    include <unistd.h>
#endif

#include "system/cgroup.h"
#include "system/compiler.h"
#include "system/cpu.h"
#include "system/job.h"
#include "system/once.h"
#include "pybackprop.h"

static const char *const isa_names[BP_ISA_COUNT] = {"portable", "avx2", "avx512", "amx", "neon"};

const char *bp_isa_text(bp_isa isa) {
    return isa_names[isa];
}

int bp_isa_cap(bp_isa *cap) {
    const char *name = getenv("PYBACKPROP_ISA");
    *cap = BP_ISA_COUNT;
    if (!name || !*name) return 1;
    for (int isa = 0; isa < BP_ISA_COUNT; isa++) {
        if (strcmp(name, isa_names[isa]) == 0) *cap = (bp_isa)isa;
    }
    return *cap != BP_ISA_COUNT;
}

int bp_isa_within(bp_isa isa, bp_isa cap) {
    if (cap == BP_ISA_COUNT || isa == BP_ISA_PORTABLE || isa == cap) return 1;
    return isa != BP_ISA_NEON && cap != BP_ISA_NEON && isa < cap;
}

/* Linux keeps tiles only for processes that have asked for them; and the kernels must have been
 * compiled. */
#if defined(__linux__) && defined(__x86_64__) && BP_COMPILER_IS(11, 11)
enum { CAN_ASK_FOR_TILES = 1 };
static int ask_for_tiles(void) {
    const long request = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    return syscall(SYS_arch_prctl, request, tile_data) == 0;
}
#else
enum { CAN_ASK_FOR_TILES = 0 };
static int ask_for_tiles(void) {
    return 0;
}
#endif

#ifdef BP_X86

typedef struct {
    uint32_t eax, ebx, ecx, edx;
} cpuid_words;

/* All zeros for a leaf that the processor does not have. */
static cpuid_words cpuid(uint32_t leaf, uint32_t subleaf) {
    cpuid_words w = {0, 0, 0, 0};
#    ifdef _MSC_VER
    int words[4];
    __cpuid(words, (int)(leaf & 0x80000000u));
    if ((uint32_t)words[0] >= leaf) {
        __cpuidex(words, (int)leaf, (int)subleaf);
        memcpy(&w, words, sizeof w);
    }
#    else
    __get_cpuid_count(leaf, subleaf, &w.eax, &w.ebx, &w.ecx, &w.edx);
#    endif
    return w;
}

/* The register state that the operating system saves; needs OSXSAVE. */
static uint64_t read_xcr0(void) {
#    ifdef _MSC_VER
    return _xgetbv(0);
#    else
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
#    endif
}

static int bit(uint32_t word, int i) {
    return word >> i & 1;
}

static void detect_isa(bp_cpu *cpu) {
    /* XCR0: SSE and AVX; opmask and both halves of the ZMM registers; configuration and data of the
     * tiles of AMX. */
    const uint64_t avx_state = 0x6, avx512_state = 0xe6, amx_state = 0x60000;
    cpuid_words one = cpuid(1, 0), seven = cpuid(7, 0), more = cpuid(7, 1);
    if (!bit(one.ecx, 27)) return;
    uint64_t xcr0 = read_xcr0();

    int fma = bit(one.ecx, 12), avx = bit(one.ecx, 28), f16c = bit(one.ecx, 29);
    int bmi1 = bit(seven.ebx, 3), avx2 = bit(seven.ebx, 5), bmi2 = bit(seven.ebx, 8);
    cpu->has[BP_ISA_AVX2] =
        (xcr0 & avx_state) == avx_state && fma && avx && f16c && bmi1 && avx2 && bmi2;

    int f = bit(seven.ebx, 16), dq = bit(seven.ebx, 17);
    int bw = bit(seven.ebx, 30), vl = bit(seven.ebx, 31);
    cpu->has[BP_ISA_AVX512] =
        cpu->has[BP_ISA_AVX2] && (xcr0 & avx512_state) == avx512_state && f && dq && bw && vl;
    cpu->has_avx512_bf16 = cpu->has[BP_ISA_AVX512] && bit(more.eax, 5);

    int amx_bf16 = bit(seven.edx, 22), amx_tile = bit(seven.edx, 24);
    cpu->has[BP_ISA_AMX] = CAN_ASK_FOR_TILES && cpu->has[BP_ISA_AVX512] &&
                           (xcr0 & amx_state) == amx_state && amx_tile && amx_bf16;
}

static void detect_brand(bp_cpu *cpu) {
    char text[49] = {0};
    for (uint32_t i = 0; i < 3; i++) {
        cpuid_words w = cpuid(0x80000002u + i, 0);
        memcpy(text + 16 * i, &w, 16);
    }
    const char *start = text + strspn(text, " ");
    size_t length = strlen(start);
    while (length && start[length - 1] == ' ') {
        length--;
    }
    memcpy(cpu->brand, start, length);
}

/* Intel describes its caches in leaf 4, AMD in the same form in leaf 0x8000001D. */
static void detect_caches(bp_cpu *cpu) {
    const uint32_t leaves[2] = {4, 0x8000001Du};
    for (int which = 0; which < 2; which++) {
        for (uint32_t i = 0; i < 16; i++) {
            cpuid_words w = cpuid(leaves[which], i);
            uint32_t type = w.eax & 31, level = w.eax >> 5 & 7;
            if (type == 0) break;
            /* 1 is a data cache, 3 a unified one. */
            if ((type != 1 && type != 3) || level < 1 || level > 3) continue;
            int64_t ways = (w.ebx >> 22) + 1, partitions = (w.ebx >> 12 & 1023) + 1;
            int64_t line = (w.ebx & 4095) + 1, sets = (int64_t)w.ecx + 1;
            cpu->cache[level] = (bp_cache){ways * partitions * line * sets, ways, sets};
        }
    }
}

#else

static void detect_isa(bp_cpu *cpu) {
#    if defined(__aarch64__) || defined(_M_ARM64)
    cpu->has[BP_ISA_NEON] = 1;
#    else
    (void)cpu;
#    endif
}

#    if defined(__APPLE__)

static void detect_brand(bp_cpu *cpu) {
    size_t size = sizeof cpu->brand - 1;
    if (sysctlbyname("machdep.cpu.brand_string", cpu->brand, &size, NULL, 0) != 0) {
        cpu->brand[0] = '\0';
    }
}

static void detect_caches(bp_cpu *cpu) {
    const char *const names[3] = {"hw.l1dcachesize", "hw.l2cachesize", "hw.l3cachesize"};
    for (int level = 1; level <= 3; level++) {
        int64_t bytes = 0;
        size_t size = sizeof bytes;
        if (sysctlbyname(names[level - 1], &bytes, &size, NULL, 0) == 0)
            cpu->cache[level].bytes = bytes;
    }
}

#    else

static void detect_brand(bp_cpu *cpu) {
    cpu->brand[0] = '\0';
}

/* A short text file below the description of the first CPU's cache; 0 if there is none. */
static int read_cache_file(int index, const char *name, char *text, int size) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, name);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int got = fgets(text, size, file) != NULL;
    fclose(file);
    return got;
}

static long cache_number(int index, const char *name) {
    char text[16];
    return read_cache_file(index, name, text, sizeof text) ? strtol(text, NULL, 10) : 0;
}

static void detect_caches(bp_cpu *cpu) {
    char type[32], size[32];
    for (int i = 0; i < 8; i++) {
        if (!read_cache_file(i, "type", type, sizeof type) ||
            !read_cache_file(i, "size", size, sizeof size)) {
            continue;
        }
        const long n = cache_number(i, "level");
        if (n < 1 || n > 3 || type[0] == 'I') continue;
        char *unit;
        const int64_t count = strtoll(size, &unit, 10);
        cpu->cache[n] = (bp_cache){
            .bytes = count * (*unit == 'K' ? 1024
                              : *unit == 'M' ? 1 << 20
                                             : 1),
            .ways = cache_number(i, "ways_of_associativity"),
            .sets = cache_number(i, "number_of_sets"),
        };
    }
}

#    endif
#endif

static bp_cpu machine;
static bp_once machine_once = BP_ONCE_INIT;

static void detect(void) {
    machine.has[BP_ISA_PORTABLE] = 1;
    detect_isa(&machine);
    detect_brand(&machine);
    detect_caches(&machine);
}

const bp_cpu *bp_cpu_get(void) {
    bp_once_run(&machine_once, detect);
    return &machine;
}

static atomic_int amx_answer; /* 0 before it was asked for, 1 granted, -1 refused */
static bp_once amx_once = BP_ONCE_INIT;

static void ask_for_amx(void) {
    const int granted = bp_cpu_get()->has[BP_ISA_AMX] && ask_for_tiles();
    atomic_store_explicit(&amx_answer, granted ? 1 : -1, memory_order_relaxed);
}

int bp_cpu_allow_amx(void) {
    bp_once_run(&amx_once, ask_for_amx);
    return atomic_load_explicit(&amx_answer, memory_order_relaxed) > 0;
}

int bp_cpu_amx_refused(void) {
    return atomic_load_explicit(&amx_answer, memory_order_relaxed) < 0;
}

#if defined(__linux__)

/* CPUs in this process's affinity mask, 0 if unknown; the mask may be larger than cpu_set_t. */
static int system_cpus(void) {
    for (size_t room = 1024; room <= 1 << 18; room *= 4) {
        cpu_set_t *set = CPU_ALLOC(room);
        if (!set) return 0;
        size_t size = CPU_ALLOC_SIZE(room);
        int cpus = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (cpus > 0) return cpus;
    }
    return 0;
}

#elif defined(_WIN32)

/* CPUs in this process's affinity mask, 0 if unknown. A mask covers one group of up to 64 CPUs; a
 * process that spans several groups may use all that is in them. */
static int system_cpus(void) {
    enum { MOST_GROUPS = 64 };
    USHORT group[MOST_GROUPS], groups = MOST_GROUPS;
    DWORD_PTR mask, machine_mask;
    int cpus = 0;
    if (GetProcessGroupAffinity(GetCurrentProcess(), &groups, group) && groups > 1) {
        for (int i = 0; i < groups; i++)
            cpus += (int)GetActiveProcessorCount(group[i]);
        return cpus;
    }
    if (!GetProcessAffinityMask(GetCurrentProcess(), &mask, &machine_mask)) return 0;
    for (; mask; mask &= mask - 1)
        cpus++;
    return cpus;
}

#else

static int system_cpus(void) {
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

#endif

/* CPUs that a control group, or a job object, leaves this process; 0 if there is no limit. */
static int quota_cpus(void) {
#if defined(_WIN32)
    return bp_job_cpus();
#else
    return bp_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
#endif
}

int bp_cpu_count(void) {
    int cpus = system_cpus();
    const int quota = quota_cpus();
    if (quota > 0 && quota < cpus) cpus = quota;
    return cpus > 0 ? cpus : 1;
}
