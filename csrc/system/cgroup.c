/* Reads the CPU quotas of control groups, versions 1 and 2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system/cgroup.h"

enum { PATH_SIZE = 4096 };

/* The first line of a file, without its end; 0 if there is none, as in an empty file. */
static int read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int got = fgets(line, size, file) != NULL;
    fclose(file);
    if (got) line[strcspn(line, "\n")] = '\0';
    return got && line[0] != '\0';
}

/* The lower of two limits, where 0 is none. */
static int lower(int a, int b) {
    if (a == 0 || b == 0) return a + b;
    return a < b ? a : b;
}

/* quota microseconds in each period, in CPUs rounded up; 0 (no limit) for senseless values. */
static int cpus_of(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long cpus = (quota - 1) / period + 1;
    return cpus > 1 << 20 ? 0 : (int)cpus;
}

/* The quota of one folder, by either version's files. */
static int folder_cpus(const char *folder) {
    char path[PATH_SIZE + 32], line[128], quota[32], period[32];
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (read_line(path, line, sizeof line)) {
        /* A group without a limit says "max", which reads as 0. */
        if (sscanf(line, "%31s %31s", quota, period) != 2) return 0;
        return cpus_of(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
    }
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (!read_line(path, quota, sizeof quota)) return 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (!read_line(path, period, sizeof period)) return 0;
    return cpus_of(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The lowest quota of a group and of its parents, up to the mount. Inside a container the group's
 * path may be the host's, which does not exist here: its parents still end at the mount. */
static int group_cpus(const char *mount, const char *group) {
    char folder[PATH_SIZE];
    int length = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (length < 0 || length >= (int)sizeof folder) return 0;
    size_t root = strlen(mount);
    int cpus = 0;
    for (;;) {
        cpus = lower(cpus, folder_cpus(folder));
        char *slash = strrchr(folder, '/');
        if (!slash || slash < folder + root) return cpus;
        *slash = '\0';
    }
}

/* Whether a comma-separated list of controllers has `cpu`. */
static int has_cpu(const char *list) {
    for (const char *p = list; *p;) {
        size_t length = strcspn(p, ",");
        if (length == 3 && memcmp(p, "cpu", 3) == 0) return 1;
        p += length + (p[length] == ',');
    }
    return 0;
}

/* One line of the membership file, "id:controllers:path"; version 2 has id 0 and no controllers. */
static int line_cpus(char *line, const char *mount) {
    char *controllers = strchr(line, ':');
    if (!controllers) return 0;
    *controllers++ = '\0';
    char *group = strchr(controllers, ':');
    if (!group) return 0;
    *group++ = '\0';

    char base[PATH_SIZE];
    if (*controllers == '\0') {
        int cpus = group_cpus(mount, group);
        snprintf(base, sizeof base, "%s/unified", mount);
        return lower(cpus, group_cpus(base, group));
    }
    if (!has_cpu(controllers)) return 0;
    snprintf(base, sizeof base, "%s/%s", mount, controllers);
    int cpus = group_cpus(base, group);
    if (strcmp(controllers, "cpu") == 0) return cpus;
    snprintf(base, sizeof base, "%s/cpu", mount);
    return lower(cpus, group_cpus(base, group));
}

int bp_cgroup_cpus(const char *membership, const char *mount) {
    FILE *file = fopen(membership, "r");
    if (!file) return 0;
    char line[PATH_SIZE];
    int cpus = 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        cpus = lower(cpus, line_cpus(line, mount));
    }
    fclose(file);
    return cpus;
}
