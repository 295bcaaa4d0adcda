/* The CPU quota that control groups put on this process (Linux). */
#ifndef BP_CGROUP_H
#define BP_CGROUP_H

/* CPUs that the quotas allow, rounded up; 0 if there is none. `membership` is the text file
 * /proc/self/cgroup and `mount` the folder /sys/fs/cgroup, or copies of them. */
int bp_cgroup_cpus(const char *membership, const char *mount);

#endif
