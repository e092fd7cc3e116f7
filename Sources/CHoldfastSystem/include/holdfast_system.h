// System calls that Swift cannot make itself: what happens between fork and exec, and what glibc does not wrap.
// Functions return 0 (or a descriptor) and on failure a negative errno; none of them keeps a pointer.

#ifndef HOLDFAST_SYSTEM_H
#define HOLDFAST_SYSTEM_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

/// Where a spawn failed.
enum holdfast_spawn_step {
    HOLDFAST_STEP_NONE = 0,
    HOLDFAST_STEP_FORK,
    HOLDFAST_STEP_CGROUP,
    HOLDFAST_STEP_DESCRIPTORS,
    HOLDFAST_STEP_USER,
    HOLDFAST_STEP_DIRECTORY,
    HOLDFAST_STEP_EXEC
};

/// A process to be started, in a session and process group of its own.
struct holdfast_spawn {
    /// Absolute path.
    const char *executable;
    char *const *arguments;
    char *const *environment;
    const char *directory;
    /// Descriptors that become 0, 1 and 2. All others are closed.
    int input;
    int output;
    int error;
    /// Open `cgroup.procs` files that the child writes itself into, before it gives up its user.
    const int *cgroups;
    size_t cgroup_count;
    /// 0: stay who we are.
    int change_user;
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t group_count;
    mode_t mask;
};

/// Starts a process. Returns its pid, or a negative errno after which there is no child; `step` says what failed.
pid_t holdfast_start(const struct holdfast_spawn *spawn, int *step);

/// pidfd_open(2): a descriptor that becomes readable when the process ends.
int holdfast_pidfd_open(pid_t pid);
/// pidfd_send_signal(2).
int holdfast_pidfd_signal(int pidfd, int signal);

/// What became of a child, as `waitid` tells.
struct holdfast_exit {
    /// 1 if it has ended.
    int ended;
    /// 1 if a signal ended it; then `status` is the signal.
    int signalled;
    int status;
};
/// Looks whether a child has ended; `reap` says whether its entry in the process table is given up.
int holdfast_child_status(pid_t pid, int block, int reap, struct holdfast_exit *result);

/// SO_PEERCRED of a connected Unix socket.
int holdfast_peer(int socket, pid_t *pid, uid_t *uid, gid_t *gid);
/// Connects a new Unix stream socket (close-on-exec); returns it.
int holdfast_unix_connect(const char *path, int timeout_milliseconds);
/// Binds a new Unix socket (close-on-exec) of type SOCK_STREAM or, with `datagram`, SOCK_DGRAM; returns it.
int holdfast_unix_bind(const char *path, int datagram, mode_t mode);
/// accept4(2) with close-on-exec.
int holdfast_accept(int socket);

/// From now on SIGTERM, SIGINT and SIGHUP put their number as a byte into a pipe, whose reading end is returned;
/// SIGPIPE is ignored. Works whatever threads there are, unlike a mask. Call it once.
int holdfast_signal_pipe(void);

/// pipe2(2) with close-on-exec: `ends[0]` is read, `ends[1]` written.
int holdfast_pipe(int ends[2]);

/// The guard: a small process that thaws when its supervisor dies or falls silent.
///
/// It is a fork without exec that only makes async-signal-safe calls; it reads fixed records from a socket, and acts
/// when the socket ends or the lease passes while something is held.
enum holdfast_guard_kind {
    /// From now on something is held; `value` is the lease in milliseconds. Forgets what was told before.
    HOLDFAST_GUARD_HOLD = 1,
    /// The lease begins anew; `value` in milliseconds.
    HOLDFAST_GUARD_RENEW,
    /// To thaw, write `text` into the file `path`.
    HOLDFAST_GUARD_FILE,
    /// To thaw, send signal `value` to `pid`.
    HOLDFAST_GUARD_SIGNAL,
    /// All is thawed: nothing to do any more.
    HOLDFAST_GUARD_RELEASE
};
struct holdfast_guard_record {
    int32_t kind;
    int32_t pid;
    int64_t value;
    char path[232];
    char text[8];
};
/// Starts the guard. Returns its pid; `pipe` is the socket that records are sent to (close-on-exec).
pid_t holdfast_guard_start(int *pipe);
/// Writes one record whole; `text` is at most 7 bytes.
int holdfast_guard_tell(int pipe, int kind, pid_t pid, int64_t value, const char *path, const char *text);

#endif
