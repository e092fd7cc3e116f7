#define _GNU_SOURCE
#include "holdfast_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int holdfast_clone(int target, int source) { return ioctl(target, FICLONE, source); }

ssize_t holdfast_copy_range(int source, int target, size_t length) {
    return copy_file_range(source, NULL, target, NULL, length, 0);
}

int holdfast_preallocate(int descriptor, off_t size) { return fallocate(descriptor, 0, 0, size); }

int holdfast_set_direct(int descriptor, int is_direct) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) { return -1; }
    return fcntl(descriptor, F_SETFL, is_direct ? flags | O_DIRECT : flags & ~O_DIRECT);
}

static int set_lock(int descriptor, short type, off_t start, off_t length) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length, .l_pid = 0};
    return fcntl(descriptor, F_OFD_SETLK, &lock);
}

int holdfast_lock_for_reading(int descriptor, off_t start, off_t length) {
    return set_lock(descriptor, F_RDLCK, start, length);
}

int holdfast_unlock(int descriptor, off_t start, off_t length) { return set_lock(descriptor, F_UNLCK, start, length); }

int holdfast_syncfs(int descriptor) { return syncfs(descriptor); }

ssize_t holdfast_flistxattr(int descriptor, char *names, size_t size) { return flistxattr(descriptor, names, size); }

ssize_t holdfast_fgetxattr(int descriptor, const char *name, void *value, size_t size) {
    return fgetxattr(descriptor, name, value, size);
}

int holdfast_fsetxattr(int descriptor, const char *name, const void *value, size_t size) {
    return fsetxattr(descriptor, name, value, size, 0);
}

ssize_t holdfast_llistxattr(const char *path, char *names, size_t size) { return llistxattr(path, names, size); }

ssize_t holdfast_lgetxattr(const char *path, const char *name, void *value, size_t size) {
    return lgetxattr(path, name, value, size);
}

int holdfast_lsetxattr(const char *path, const char *name, const void *value, size_t size) {
    return lsetxattr(path, name, value, size, 0);
}

int holdfast_setxattr(const char *path, const char *name, const void *value, size_t size) {
    return setxattr(path, name, value, size, 0);
}

int holdfast_open_path(int directory, const char *name) {
    return openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

int holdfast_chown_path(int descriptor, uid_t user, gid_t group) {
    return fchownat(descriptor, "", user, group, AT_EMPTY_PATH);
}

int holdfast_open_for_reading(int directory, const char *name) {
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int descriptor = openat(directory, name, flags | O_NOATIME);
    // The kernel refuses O_NOATIME to those who do not own the file.
    if (descriptor < 0 && errno == EPERM) descriptor = openat(directory, name, flags);
    return descriptor;
}

void holdfast_trim_memory(void) { malloc_trim(0); }

uint64_t holdfast_makedev(unsigned int major, unsigned int minor) { return makedev(major, minor); }

int holdfast_exchange(const char *one, const char *two) {
    return renameat2(AT_FDCWD, one, AT_FDCWD, two, RENAME_EXCHANGE);
}
