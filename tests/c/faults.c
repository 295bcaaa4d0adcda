/* Stands between the core and the C library in test builds: counts the blocks that the core holds,
 * and lets one request fail. Linked with
 *
 *     -Wl,--wrap=bp_alloc,--wrap=bp_alloc_scratch,--wrap=bp_free,--wrap=aligned_alloc
 *     -Wl,--wrap=posix_memalign,--wrap=pthread_create,--wrap=__sched_cpualloc
 *
 * so that the sources of the core stay as they are shipped. A request is a block of memory or a
 * thread. The functions that start with faults_ are for the test. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "system/scratch.h"

#define EXPORT __attribute__((visibility("default")))

enum { MAX_SITES = 1024 };

/* The linker's names of what is wrapped. */
void *__real_bp_alloc(int64_t count, size_t size);
void *__real_bp_alloc_scratch(int64_t count, size_t size);
void __real_bp_free(void *p);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void **block, size_t alignment, size_t bytes);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
void *__real___sched_cpualloc(size_t room);

static atomic_llong blocks, bytes, countdown = -1, requests, threads_refused;
static atomic_int refuse_threads;

/* Where the core called for the request that is being served, and where one has failed. */
static _Thread_local uintptr_t site;
static uintptr_t failed[MAX_SITES];
static atomic_int n_failed;

/* ---- for the test ---- */

/* Lets the request after `after` others fail, once; none if `after` is below 0. */
EXPORT void faults_arm(long long after) {
    atomic_store(&requests, 0);
    atomic_store(&countdown, after);
}

/* Requests since faults_arm. */
EXPORT long long faults_requests(void) {
    return atomic_load(&requests);
}

EXPORT long long faults_blocks(void) {
    return atomic_load(&blocks);
}

EXPORT long long faults_bytes(void) {
    return atomic_load(&bytes);
}

/* Drops the block that the core keeps between calls. */
EXPORT void faults_forget(void) {
    bp_scratch_forget();
}

/* Holds that block, or gives it back: who asks for scratch meanwhile gets a block of its own. */
EXPORT void faults_hold(int hold) {
    static void *held;
    if (hold) {
        held = bp_scratch_take(1, 1);
    } else {
        bp_scratch_give(held);
    }
}

/* Lets every thread fail to start while `refuse` is not 0; returns how many have so far. */
EXPORT long long faults_refuse_threads(int refuse) {
    atomic_store(&refuse_threads, refuse);
    return atomic_load(&threads_refused);
}

/* The address in the module's file to which the call returns where, as the number'th place, a
 * request has failed; 0 after the last. */
EXPORT long long faults_site(int number) {
    Dl_info module;
    if (number >= atomic_load(&n_failed) || !dladdr((void *)&blocks, &module)) return 0;
    return (long long)(failed[number] - (uintptr_t)module.dli_fbase);
}

/* ---- for the core ---- */

static int fails(void) {
    long long left = atomic_load(&countdown);
    atomic_fetch_add(&requests, 1);
    if (left < 0 || atomic_fetch_sub(&countdown, 1) != 0) return 0;
    int number = atomic_load(&n_failed);
    for (int i = 0; i < number; i++)
        if (failed[i] == site) return 1;
    if (site && number < MAX_SITES) {
        failed[number] = site;
        atomic_store(&n_failed, number + 1);
    }
    return 1;
}

static void *count_block(void *block) {
    if (block) {
        atomic_fetch_add(&blocks, 1);
        atomic_fetch_add(&bytes, (long long)malloc_usable_size(block));
    }
    return block;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : count_block(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size) {
    int error = fails() ? ENOMEM : __real_posix_memalign(block, alignment, size);
    if (!error) count_block(*block);
    return error;
}

void *__wrap_bp_alloc(int64_t count, size_t size) {
    site = (uintptr_t)__builtin_return_address(0);
    void *block = __real_bp_alloc(count, size);
    site = 0;
    return block;
}

void *__wrap_bp_alloc_scratch(int64_t count, size_t size) {
    site = (uintptr_t)__builtin_return_address(0);
    void *block = __real_bp_alloc_scratch(count, size);
    site = 0;
    return block;
}

void __wrap_bp_free(void *p) {
    if (p) {
        atomic_fetch_sub(&blocks, 1);
        atomic_fetch_sub(&bytes, (long long)malloc_usable_size(p));
    }
    __real_bp_free(p);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument) {
    if (!fails() && !atomic_load(&refuse_threads))
        return __real_pthread_create(thread, attributes, run, argument);
    atomic_fetch_add(&threads_refused, 1);
    return EAGAIN;
}

void *__wrap___sched_cpualloc(size_t room) {
    return fails() ? NULL : __real___sched_cpualloc(room);
}
