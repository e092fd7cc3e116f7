#define _GNU_SOURCE
#include "holdfast_system.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

struct failure {
    int step;
    int number;
};

static void report(int pipe, int step, int number) {
    struct failure failure = {step, number};
    ssize_t ignored = write(pipe, &failure, sizeof failure);
    (void)ignored;
    _exit(127);
}

// A descriptor at or above 3, so that dup2 onto 0, 1 and 2 cannot overwrite one that is still needed.
static int lift(int descriptor) {
    return descriptor > 2 ? descriptor : fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
}

static void close_on_exec_from_3(void) {
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
    long limit = sysconf(_SC_OPEN_MAX);
    if (limit < 0 || limit > 65536) limit = 65536;
    for (int descriptor = 3; descriptor < (int)limit; descriptor++) fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

static void reset_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++) sigaction(number, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

// Only async-signal-safe calls from here to exec: other threads may have held any lock when we forked.
static void run_child(const struct holdfast_spawn *spawn, int pipe) {
    setsid();
    for (size_t index = 0; index < spawn->cgroup_count; index++) {
        if (write(spawn->cgroups[index], "0", 1) != 1) report(pipe, HOLDFAST_STEP_CGROUP, errno);
    }
    int input = lift(spawn->input), output = lift(spawn->output), error = lift(spawn->error);
    if (input < 0 || output < 0 || error < 0 || dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(error, 2) < 0) {
        report(pipe, HOLDFAST_STEP_DESCRIPTORS, errno);
    }
    close_on_exec_from_3();
    umask(spawn->mask);
    if (spawn->change_user) {
        // The system calls themselves: glibc's wrappers would try to change all threads of a process that has one.
        if (syscall(SYS_setgroups, spawn->group_count, spawn->groups) != 0
            || syscall(SYS_setresgid, spawn->gid, spawn->gid, spawn->gid) != 0
            || syscall(SYS_setresuid, spawn->uid, spawn->uid, spawn->uid) != 0) {
            report(pipe, HOLDFAST_STEP_USER, errno);
        }
    }
    if (chdir(spawn->directory) != 0) report(pipe, HOLDFAST_STEP_DIRECTORY, errno);
    reset_signals();
    execve(spawn->executable, spawn->arguments, spawn->environment);
    report(pipe, HOLDFAST_STEP_EXEC, errno);
}

pid_t holdfast_start(const struct holdfast_spawn *spawn, int *step) {
    int pipes[2];
    *step = HOLDFAST_STEP_FORK;
    if (pipe2(pipes, O_CLOEXEC) != 0) return -errno;
    // The pipe's writing end must survive dup2 onto 0, 1 and 2.
    int writer = lift(pipes[1]);
    if (writer < 0) {
        int number = errno;
        close(pipes[0]);
        close(pipes[1]);
        return -number;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) run_child(spawn, writer);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(pipes[1]);
    if (writer != pipes[1]) close(writer);
    if (pid < 0) {
        close(pipes[0]);
        return -number;
    }
    struct failure failure = {0, 0};
    ssize_t count;
    do {
        count = read(pipes[0], &failure, sizeof failure);
    } while (count < 0 && errno == EINTR);
    close(pipes[0]);
    if (count == (ssize_t)sizeof failure) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
        *step = failure.step;
        return -failure.number;
    }
    *step = HOLDFAST_STEP_NONE;
    return pid;
}

int holdfast_child_status(pid_t pid, int block, int reap, struct holdfast_exit *result) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    memset(result, 0, sizeof *result);
    int options = WEXITED | (block ? 0 : WNOHANG) | (reap ? 0 : WNOWAIT);
    while (waitid(P_PID, (id_t)pid, &info, options) != 0) {
        if (errno != EINTR) return -errno;
    }
    if (info.si_pid != pid) return 0;
    result->ended = 1;
    result->signalled = info.si_code != CLD_EXITED;
    result->status = info.si_status;
    return 0;
}
