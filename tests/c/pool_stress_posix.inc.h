/* Parts of pool_stress.c about what Windows does not have: forks, signals, limits on memory. */

/* Runs the pool in a fork's child; returns what the child's main thread saw. */
static void fork_and_run(int members) {
    unsigned generation = bp_fork_generation();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(bp_fork_generation() == generation + 1);
        CHECK(check_run(members, PHASES) == members);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(bp_fork_generation() == generation);
}

/* A number from /proc/self/status, 0 where there is no such file. */
static int process_status(const char *key) {
    char line[128];
    int value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0) value = atoi(line + strlen(key));
    }
    fclose(file);
    return value;
}

static int thread_count(void) {
    return process_status("Threads:");
}

static int threads_at_fork, threads_expected;

/* The system may count a thread for a moment after it has been joined. */
static void count_threads(void) {
    for (int i = 0; i < 100; i++) {
        threads_at_fork = thread_count();
        if (threads_at_fork <= threads_expected) return;
        usleep(100);
    }
}

/* Handlers that run before a fork run last registered first: this one after the pool's. */
__attribute__((constructor(101))) static void register_first(void) {
    pthread_atfork(count_threads, NULL, NULL);
}

/* A fork while the pool is idle finds no threads of the pool. */
static void part_fork_idle(void) {
    bp_set_threads(4);
    CHECK(check_run(2, 1) == 2);
    fork_and_run(1);
    int before = threads_expected = threads_at_fork;
    for (int n = 0; n < 20; n++) {
        CHECK(check_run(4, PHASES) == 4);
        CHECK(before == 0 || thread_count() == before + 3);
        fork_and_run(4);
        CHECK(threads_at_fork == before);
        CHECK(check_run(3, PHASES) == 3);
    }
}

static void *fork_often(void *unused) {
    (void)unused;
    while (time_left()) {
        fork_and_run(2);
    }
    return NULL;
}

/* Forks in one thread while another keeps the pool busy. */
static void part_fork_busy(void) {
    pthread_t forker, caller;
    bp_set_threads(2);
    CHECK(pthread_create(&forker, NULL, fork_often, NULL) == 0);
    CHECK(pthread_create(&caller, NULL, call_often, NULL) == 0);
    pthread_join(forker, NULL);
    pthread_join(caller, NULL);
}

static void run_fork_inside(void *context, bp_team *team, int member, int members) {
    pid_t *child = context;
    (void)members;
    if (member == 0) *child = fork();
    bp_team_barrier(team, member);
}

/* A fork by a member: neither side may hang. */
static void part_fork_inside(void) {
    bp_set_threads(3);
    for (int n = 0; n < 10; n++) {
        pid_t child = -1;
        bp_pool_run(3, run_fork_inside, &child);
        if (child == 0) {
            CHECK(check_run(3, 4) == 3);
            _exit(0);
        }
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CHECK(check_run(3, 4) == 3);
    }
}

/* Room for two of seven stacks: the pool makes do with whom it gets. Comes first, since the C
 * library keeps the stacks of threads that have ended. */
static void part_scarce(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)process_status("VmSize:") * 1024 + (5 << 19);
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    bp_set_threads(MEMBERS);
    for (int n = 0; n < 10; n++) {
        CHECK(check_run(MEMBERS, n) == 3);
    }
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK(check_run(MEMBERS, 5) == MEMBERS);
}

/* Whether the calling thread leaves signals to others. */
static int leaves_signals(void) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    return sigismember(&blocked, SIGINT);
}
