// Linux calls that glibc declares only under _GNU_SOURCE, which Swift's importer does not set.
// Each function is the call of the same name: same arguments, same result, same errno.

#ifndef HOLDFAST_FILES_H
#define HOLDFAST_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// FICLONE: share all extents of `source` with `target`. Returns 0, or -1 with errno.
int holdfast_clone(int target, int source);

/// copy_file_range without offsets: copies from and to the descriptors' own positions.
ssize_t holdfast_copy_range(int source, int target, size_t length);

/// fallocate without flags: reserves room for `size` bytes from the start, and makes the file that long.
int holdfast_preallocate(int descriptor, off_t size);

/// fcntl(F_SETFL): whether writes go past the page cache (O_DIRECT).
int holdfast_set_direct(int descriptor, int is_direct);

/// fcntl(F_OFD_SETLK): a lock for reading on a part of a file, without waiting. It belongs to the open file and ends
/// with it. Returns 0, or -1 with errno.
int holdfast_lock_for_reading(int descriptor, off_t start, off_t length);
int holdfast_unlock(int descriptor, off_t start, off_t length);

/// Writes back the whole file system that holds `descriptor`.
int holdfast_syncfs(int descriptor);

ssize_t holdfast_flistxattr(int descriptor, char *names, size_t size);
ssize_t holdfast_fgetxattr(int descriptor, const char *name, void *value, size_t size);
int holdfast_fsetxattr(int descriptor, const char *name, const void *value, size_t size);
ssize_t holdfast_llistxattr(const char *path, char *names, size_t size);
ssize_t holdfast_lgetxattr(const char *path, const char *name, void *value, size_t size);
/// For tests only: Holdfast itself never sets an attribute by a path that may lead elsewhere.
int holdfast_lsetxattr(const char *path, const char *name, const void *value, size_t size);

int holdfast_setxattr(const char *path, const char *name, const void *value, size_t size);

/// openat(O_PATH | O_NOFOLLOW | O_CLOEXEC): names an entry of any type, a link included, without opening it.
int holdfast_open_path(int directory, const char *name);

/// fchownat(AT_EMPTY_PATH): changes the owner of what `holdfast_open_path` named.
int holdfast_chown_path(int descriptor, uid_t user, gid_t group);

/// openat(O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), with O_NOATIME where the kernel allows it.
int holdfast_open_for_reading(int directory, const char *name);

/// renameat2(RENAME_EXCHANGE): both names keep leading to something at every moment.
int holdfast_exchange(const char *one, const char *two);

/// gnu_dev_makedev and its inverses, for tests of device nodes.
uint64_t holdfast_makedev(unsigned int major, unsigned int minor);

/// malloc_trim: gives the system back what the allocator keeps and nobody uses.
void holdfast_trim_memory(void);

/// A fanotify group that names entries: events carry the handle of the directory and the name in it. With CAP_SYS_ADMIN
/// its queue has no limit. Returns a descriptor that does not block, or -1 with errno.
int holdfast_watch_open(void);

/// Adds the whole file system that holds `directory` to the group; takes CAP_SYS_ADMIN, and on btrfs the whole volume.
/// Returns 0, or -1 with errno.
int holdfast_watch_filesystem(int watch, int directory);

/// Adds one directory and its entries to the group. Returns 0, or -1 with errno.
int holdfast_watch_directory(int watch, int directory);

/// How events name this directory: the file system's id and the handle. Returns the length, or -1 with errno.
ssize_t holdfast_watch_key(int directory, unsigned char *key, size_t size);

/// What one event says. `key` and `name` point into the buffer that was read.
struct holdfast_change {
    const unsigned char *key;
    size_t key_length;
    /// Empty if the directory itself was changed.
    const char *name;
    /// The name leads to something else now, or to nothing.
    int is_replaced;
    /// Events were lost, or this one cannot be understood.
    int is_lost;
};

/// Takes the event at `offset` out of what was read from the group. Returns the offset of the next one, or 0 at the end.
size_t holdfast_next_change(const void *buffer, size_t length, size_t offset, struct holdfast_change *change);

#endif
