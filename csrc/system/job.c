/* Reads the CPU limit of job objects. */
#include "system/job.h"

/* Limits are in hundredths of a percent of all CPUs of the machine. A hard cap has the whole word,
 * a range has its upper end in the higher half; a weight is no limit. */
int bp_job_share(uint32_t flags, uint32_t rate, int machine_cpus) {
    enum { ENABLED = 0x1, HARD_CAP = 0x4, RANGE = 0x10, WHOLE = 10000 };
    if (!(flags & ENABLED)) return 0;
    const uint32_t most = flags & RANGE ? rate >> 16 : flags & HARD_CAP ? rate : 0;
    if (most == 0 || most >= WHOLE || machine_cpus < 1) return 0;
    return (int)(((uint64_t)most * (uint64_t)machine_cpus + WHOLE - 1) / WHOLE);
}

#ifdef _WIN32
#    include <string.h>

#    include <windows.h>

int bp_job_cpus(void) {
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION limit;
    uint32_t words[2];
    if (!QueryInformationJobObject(NULL, JobObjectCpuRateControlInformation, &limit, sizeof limit,
                                   NULL)) {
        return 0;
    }
    _Static_assert(sizeof limit == sizeof words, "flags, and a union of one word");
    memcpy(words, &limit, sizeof words);
    return bp_job_share(words[0], words[1], (int)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS));
}

#endif
