/* The calls that programs make. Each does what it is named for, unless the control file says otherwise. */

#include "shim.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PATH 1024
#define EXPORT __attribute__((visibility("default")))

static int fail(int error) {
    errno = error;
    return -1;
}

/* ---- opening ---- */

static int open_file(int folder, const char *path, int flags, mode_t mode) {
    char whole[PATH];
    int changes = (flags & (O_CREAT | O_TRUNC)) && (folder == AT_FDCWD || path[0] == '/') &&
        absolute(path, whole, sizeof whole) && is_watched_path(whole);
    if (changes) {
        live();
        if (flags & O_CREAT) journal_absent(whole);
        if (flags & O_TRUNC) {
            int old = (int)syscall(SYS_openat, AT_FDCWD, whole, O_RDONLY | O_CLOEXEC, 0);
            if (old >= 0) {
                journal_truncate(old, 0);
                syscall(SYS_close, old);
            }
        }
    }
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0) watch(fd);
    return fd;
}

#define MODE(flags, mode)                                    \
    mode_t mode = 0;                                         \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                 \
        va_list rest;                                        \
        va_start(rest, flags);                               \
        mode = va_arg(rest, mode_t);                         \
        va_end(rest);                                        \
    }

EXPORT int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(AT_FDCWD, path, flags, mode);
}
EXPORT int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
EXPORT int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(folder, path, flags, mode);
}
EXPORT int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(folder, path, flags | O_LARGEFILE, mode);
}
EXPORT int __open_2(const char *path, int flags) { return open_file(AT_FDCWD, path, flags, 0); }
EXPORT int __open64_2(const char *path, int flags) { return open_file(AT_FDCWD, path, flags | O_LARGEFILE, 0); }
EXPORT int creat(const char *path, mode_t mode) {
    return open_file(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORT int close(int fd) {
    unwatch(fd);
    return (int)syscall(SYS_close, fd);
}
EXPORT int dup(int fd) {
    int copy = (int)syscall(SYS_dup, fd);
    if (copy >= 0) watch_copy(fd, copy);
    return copy;
}
EXPORT int dup2(int fd, int copy) {
    int made = fd == copy ? fd : (int)syscall(SYS_dup3, fd, copy, 0);
    if (made >= 0) watch_copy(fd, made);
    return made;
}

/* ---- writing ---- */

static size_t length_of(const struct iovec *parts, int count) {
    size_t length = 0;
    for (int part = 0; part < count; part++) length += parts[part].iov_len;
    return length;
}

/* Where a write without a place goes. */
static off_t place_of(int fd) {
    int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
    return (off_t)syscall(SYS_lseek, fd, 0, flags >= 0 && (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
}

static int grows(int fd, off_t end) {
    struct stat state;
    return fstat(fd, &state) == 0 && S_ISREG(state.st_mode) && end > state.st_size;
}

/* Before a write: 0, or the error that it gets. */
static int before_write(int fd, off_t offset, const struct iovec *parts, int parts_count) {
    live();
    count(WRITES);
    if (word(EIO_WRITES) && is_meant(fd) && take(EIO_WRITES)) {
        count(FAILED_WRITES);
        return EIO;
    }
    if (word(FULL) && is_meant(fd) && grows(fd, offset + (off_t)length_of(parts, parts_count))) {
        count(REFUSED_GROWTH);
        return ENOSPC;
    }
    journal_write(fd, offset, parts, parts_count);
    return 0;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t size) {
    struct iovec part = {(void *)bytes, size};
    int error = is_watched(fd) ? before_write(fd, place_of(fd), &part, 1) : 0;
    return error ? fail(error) : syscall(SYS_write, fd, bytes, size);
}
EXPORT ssize_t writev(int fd, const struct iovec *parts, int parts_count) {
    int error = is_watched(fd) ? before_write(fd, place_of(fd), parts, parts_count) : 0;
    return error ? fail(error) : syscall(SYS_writev, fd, parts, parts_count);
}
EXPORT ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    struct iovec part = {(void *)bytes, size};
    int error = is_watched(fd) ? before_write(fd, offset, &part, 1) : 0;
    return error ? fail(error) : syscall(SYS_pwrite64, fd, bytes, size, offset);
}
EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
    return pwrite(fd, bytes, size, offset);
}
EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int parts_count, off_t offset) {
    int error = is_watched(fd) ? before_write(fd, offset, parts, parts_count) : 0;
    return error ? fail(error) : syscall(SYS_pwritev, fd, parts, parts_count, (unsigned long)offset, 0UL);
}
EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int parts_count, off64_t offset) {
    return pwritev(fd, parts, parts_count, offset);
}

static int shorten(int fd, off_t length) {
    if (is_watched(fd)) {
        live();
        if (word(FULL) && is_meant(fd) && grows(fd, length)) {
            count(REFUSED_GROWTH);
            return fail(ENOSPC);
        }
        journal_truncate(fd, length);
    }
    return (int)syscall(SYS_ftruncate, fd, length);
}
EXPORT int ftruncate(int fd, off_t length) { return shorten(fd, length); }
EXPORT int ftruncate64(int fd, off64_t length) { return shorten(fd, length); }
EXPORT int truncate(const char *path, off_t length) {
    int fd = open_file(AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return -1;
    int done = shorten(fd, length), error = errno;
    close(fd);
    errno = error;
    return done;
}
EXPORT int posix_fallocate(int fd, off_t offset, off_t size) {
    if (is_watched(fd) && grows(fd, offset + size)) {
        live();
        if (word(FULL) && is_meant(fd)) {
            count(REFUSED_GROWTH);
            return ENOSPC;
        }
        journal_truncate(fd, offset + size);
    }
    return syscall(SYS_fallocate, fd, 0, offset, size) == 0 ? 0 : errno;
}
EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t size) { return posix_fallocate(fd, offset, size); }

/* ---- making durable ---- */

static void rest(uint64_t micros) {
    struct timespec time = {(time_t)(micros / 1000000), (long)(micros % 1000000) * 1000};
    syscall(SYS_nanosleep, &time, &time);
}

/* Whether this one is among so many of a thousand; the seed decides. */
static int chance(uint64_t per_mille) {
    uint64_t mixed = (word(SYNCS) + word(SEED)) * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 29;
    mixed *= 0xbf58476d1ce4e5b9u;
    return (mixed >> 33) % 1000 < per_mille;
}

static int sync_file(int fd, long call) {
    if (!is_watched(fd)) return (int)syscall(call, fd);
    live();
    count(SYNCS);
    int meant = is_meant(fd);
    if (word(SYNC_DELAY_US) && meant) {
        count(DELAYED_SYNCS);
        rest(word(SYNC_DELAY_US));
        live();
    }
    if (word(EIO_SYNCS) && meant && take(EIO_SYNCS)) {
        count(FAILED_SYNCS);
        return fail(EIO);
    }
    if (word(FAKE_SYNC)) {
        count(FAKED_SYNCS);
        return 0;
    }
    int late = word(LATE_PER_MILLE) && meant && chance(word(LATE_PER_MILLE));
    uint64_t before = word(JOURNAL) ? next_sequence() : 0;
    int done = (int)syscall(call, fd), error = errno;
    live();
    if (done == 0) journal_sync(fd, before);
    if (done == 0 && late) {
        count(LATE_SYNCS);
        return fail(EIO);
    }
    errno = error;
    return done;
}
EXPORT int fsync(int fd) { return sync_file(fd, SYS_fsync); }
EXPORT int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

/* ---- names ---- */

EXPORT int unlink(const char *path) {
    char whole[PATH];
    if (control && absolute(path, whole, sizeof whole) && is_watched_path(whole)) {
        live();
        journal_unlink(whole);
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
EXPORT int unlinkat(int folder, const char *path, int flags) {
    if (folder == AT_FDCWD && !(flags & AT_REMOVEDIR)) return unlink(path);
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}
EXPORT int rename(const char *from, const char *to) {
    char whole_from[PATH], whole_to[PATH];
    if (control && absolute(from, whole_from, sizeof whole_from) && absolute(to, whole_to, sizeof whole_to) &&
        is_watched_path(whole_to)) {
        live();
        journal_rename(whole_from, whole_to);
    }
    return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}
EXPORT int link(const char *from, const char *to) {
    char whole[PATH];
    if (control && absolute(to, whole, sizeof whole) && is_watched_path(whole)) {
        live();
        journal_absent(whole);
    }
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
EXPORT int mkdir(const char *path, mode_t mode) {
    char whole[PATH];
    if (control && absolute(path, whole, sizeof whole) && is_watched_path(whole)) {
        live();
        journal_absent(whole);
    }
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
EXPORT int rmdir(const char *path) {
    char whole[PATH];
    if (control && absolute(path, whole, sizeof whole) && is_watched_path(whole)) {
        live();
        journal_rmdir(whole);
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

/* ---- the time of day ---- */

static void shift(struct timespec *time) {
    int64_t offset = (int64_t)word(CLOCK_OFFSET_US);
    if (offset == 0) return;
    count(SHIFTED_CLOCKS);
    time->tv_sec += offset / 1000000;
    time->tv_nsec += offset % 1000000 * 1000;
    if (time->tv_nsec < 0) time->tv_sec--, time->tv_nsec += 1000000000;
    if (time->tv_nsec >= 1000000000) time->tv_sec++, time->tv_nsec -= 1000000000;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *time) {
    /* The C library's own needs no system call; before it is found, one is made. */
    int done = real_clock ? real_clock(clock, time) : (int)syscall(SYS_clock_gettime, clock, time);
    if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(time);
    return done;
}
EXPORT int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
EXPORT time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
