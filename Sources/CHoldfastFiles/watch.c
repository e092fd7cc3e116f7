#define _GNU_SOURCE
#include "holdfast_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/vfs.h>

int holdfast_watch_open(void) {
    const unsigned int flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME;
    const int all = fanotify_init(flags | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS, O_RDONLY | O_CLOEXEC);
    // Without the right to that, queue and marks are limited; both say so when they are full.
    return all >= 0 ? all : fanotify_init(flags, O_RDONLY | O_CLOEXEC);
}

// The end of a file that was open for writing is also the end of what was written through a mapping.
static const uint64_t watched = FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB | FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM |
                                FAN_MOVED_TO | FAN_ONDIR;

int holdfast_watch_filesystem(int watch, int directory) {
    return fanotify_mark(watch, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, watched, directory, ".");
}

int holdfast_watch_directory(int watch, int directory) {
    return fanotify_mark(watch, FAN_MARK_ADD | FAN_MARK_ONLYDIR, watched | FAN_EVENT_ON_CHILD, directory, ".");
}

ssize_t holdfast_watch_key(int directory, unsigned char *key, size_t size) {
    struct statfs facts;
    if (fstatfs(directory, &facts) != 0) return -1;
    union {
        struct file_handle handle;
        unsigned char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } named;
    named.handle.handle_bytes = MAX_HANDLE_SZ;
    int mount;
    if (name_to_handle_at(directory, "", &named.handle, &mount, AT_EMPTY_PATH) != 0) return -1;
    const size_t length = sizeof(struct file_handle) + named.handle.handle_bytes;
    if (sizeof facts.f_fsid + length > size) {
        errno = ERANGE;
        return -1;
    }
    memcpy(key, &facts.f_fsid, sizeof facts.f_fsid);
    memcpy(key + sizeof facts.f_fsid, named.bytes, length);
    return (ssize_t)(sizeof facts.f_fsid + length);
}

// Reads the record that names a directory, and the name behind its handle if there is one. Returns whether it is whole.
static int read_place(const unsigned char *record, size_t length, int has_name, struct holdfast_change *change) {
    const size_t head = sizeof(struct fanotify_event_info_header);
    const size_t identity = sizeof(__kernel_fsid_t);
    if (length < head + identity + sizeof(struct file_handle)) return 0;
    struct file_handle handle;
    memcpy(&handle, record + head + identity, sizeof handle);
    const size_t end = head + identity + sizeof handle + handle.handle_bytes;
    if (end > length) return 0;
    change->key = record + head;
    change->key_length = end - head;
    if (!has_name) return 1;
    const char *name = (const char *)record + end;
    if (strnlen(name, length - end) == length - end) return 0;
    if (strcmp(name, ".") != 0) change->name = name;
    return 1;
}

size_t holdfast_next_change(const void *buffer, size_t length, size_t offset, struct holdfast_change *change) {
    struct fanotify_event_metadata event;
    if (length < offset + sizeof event) return 0;
    const unsigned char *start = (const unsigned char *)buffer + offset;
    memcpy(&event, start, sizeof event);
    *change = (struct holdfast_change){.name = "", .is_lost = 1};
    if (event.event_len < sizeof event || event.event_len > length - offset) return 0;
    if (event.vers != FANOTIFY_METADATA_VERSION || event.mask & FAN_Q_OVERFLOW) return offset + event.event_len;
    change->is_replaced = (event.mask & (FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO)) != 0;
    size_t at = event.metadata_len;
    while (at + sizeof(struct fanotify_event_info_header) <= event.event_len) {
        struct fanotify_event_info_header record;
        memcpy(&record, start + at, sizeof record);
        if (record.len < sizeof record || record.len > event.event_len - at) break;
        const int has_name = record.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME;
        if (has_name || record.info_type == FAN_EVENT_INFO_TYPE_DFID) {
            change->is_lost = !read_place(start + at, record.len, has_name, change);
            break;
        }
        at += record.len;
    }
    return offset + event.event_len;
}
