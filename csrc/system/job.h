/* The CPU limit that a job object puts on this process (Windows). */
#ifndef BP_JOB_H
#define BP_JOB_H

#include <stdint.h>

/* CPUs that the limit of this process's job allows, rounded up; 0 if there is none. */
#ifdef _WIN32
int bp_job_cpus(void);
#endif

/* The same from the two words of JOBOBJECT_CPU_RATE_CONTROL_INFORMATION, on a machine with so many
 * CPUs. */
int bp_job_share(uint32_t flags, uint32_t rate, int machine_cpus);

#endif
