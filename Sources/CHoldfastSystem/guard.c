#define _GNU_SOURCE
#include "holdfast_system.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define MOST_ENTRIES 4096

// What has to be done to thaw. Static: the guard must not allocate.
static struct holdfast_guard_record entries[MOST_ENTRIES];
static int entry_count;
static int held;
static int64_t deadline;

static int64_t now_milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void thaw(void) {
    // Files first: a signal reaches a frozen process only after its cgroup is thawed.
    for (int index = 0; index < entry_count; index++) {
        if (entries[index].kind != HOLDFAST_GUARD_FILE) continue;
        int file = open(entries[index].path, O_WRONLY | O_CLOEXEC);
        if (file < 0) continue;
        ssize_t ignored = write(file, entries[index].text, strlen(entries[index].text));
        (void)ignored;
        close(file);
    }
    for (int index = 0; index < entry_count; index++) {
        if (entries[index].kind == HOLDFAST_GUARD_SIGNAL && entries[index].pid > 1) {
            kill((pid_t)entries[index].pid, (int)entries[index].value);
        }
    }
    held = 0;
    entry_count = 0;
}

static void take(const struct holdfast_guard_record *record) {
    switch (record->kind) {
    case HOLDFAST_GUARD_HOLD:
        held = 1;
        entry_count = 0;
        deadline = now_milliseconds() + record->value;
        break;
    case HOLDFAST_GUARD_RENEW:
        deadline = now_milliseconds() + record->value;
        break;
    case HOLDFAST_GUARD_FILE:
    case HOLDFAST_GUARD_SIGNAL:
        if (entry_count < MOST_ENTRIES) entries[entry_count++] = *record;
        break;
    case HOLDFAST_GUARD_RELEASE:
        held = 0;
        entry_count = 0;
        break;
    default:
        break;
    }
}

static void run_guard(int pipe) {
    setsid();
    prctl(PR_SET_NAME, "holdfast-guard", 0, 0, 0);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_IGN;
    for (int number = 1; number < NSIG; number++) sigaction(number, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // Nothing of the supervisor is kept open: neither its sockets nor its own end of this pipe.
    int null = open("/dev/null", O_RDWR);
    for (int target = 0; target < 3 && null >= 0; target++) {
        if (target != pipe) dup2(null, target);
    }
    if (pipe > 3) syscall(SYS_close_range, 3U, (unsigned)pipe - 1, 0);
    syscall(SYS_close_range, (unsigned)(pipe < 2 ? 3 : pipe + 1), ~0U, 0);
    int ignored = chdir("/");
    (void)ignored;
    for (;;) {
        int wait = -1;
        if (held) {
            int64_t left = deadline - now_milliseconds();
            wait = left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
        }
        struct pollfd poller = {pipe, POLLIN, 0};
        int ready = poll(&poller, 1, wait);
        if (ready < 0 && errno != EINTR) break;
        if (ready == 0 && held && now_milliseconds() >= deadline) thaw();
        if (ready <= 0) continue;
        struct holdfast_guard_record record;
        ssize_t count = read(pipe, &record, sizeof record);
        if (count == (ssize_t)sizeof record) {
            take(&record);
        } else if (count >= 0 || errno != EINTR) {
            break;
        }
    }
    if (held) thaw();
    _exit(0);
}

pid_t holdfast_guard_start(int *writer) {
    int pipes[2];
    // Packets keep their boundaries, and sending one to a dead guard is an error instead of a signal.
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pipes) != 0) return -errno;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) run_guard(pipes[0]);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(pipes[0]);
    if (pid < 0) {
        close(pipes[1]);
        return -number;
    }
    *writer = pipes[1];
    return pid;
}

int holdfast_guard_tell(int pipe, int kind, pid_t pid, int64_t value, const char *path, const char *text) {
    struct holdfast_guard_record record;
    memset(&record, 0, sizeof record);
    record.kind = kind;
    record.pid = pid;
    record.value = value;
    if (path != NULL) {
        if (strlen(path) >= sizeof record.path || strlen(text) >= sizeof record.text) return -ENAMETOOLONG;
        strcpy(record.path, path);
        strcpy(record.text, text);
    }
    ssize_t count;
    for (int attempt = 0; attempt < 20; attempt++) {
        count = send(pipe, &record, sizeof record, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0 || (errno != EINTR && errno != EAGAIN)) break;
        // A guard that does not read must not keep its supervisor from thawing.
        struct pollfd poller = {pipe, POLLOUT, 0};
        poll(&poller, 1, 10);
    }
    return count == (ssize_t)sizeof record ? 0 : -errno;
}
