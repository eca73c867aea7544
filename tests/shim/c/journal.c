/* The journal: what was where before each change of a watched file or folder. Records are appended whole, before the change. */

#include "shim.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A record has at most so many bytes of a file; longer writes have several. */
#define CHUNK 32768

static int journal = -1;

static int journal_file(void) {
    if (journal >= 0) return journal;
    const char *path = getenv("FAULT_SHIM");
    char name[1024];
    if (!path || strlen(path) + 9 > sizeof name) return -1;
    strcpy(name, path);
    strcat(name, ".journal");
    int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    if (fd < 0) return -1;
    journal = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
    syscall(SYS_close, fd);
    return journal;
}

uint64_t next_sequence(void) {
    return atomic_fetch_add(&control[SEQUENCE], 1) + 1;
}

static void append(struct record *record, const void *old, const void *new) {
    record->magic = MAGIC;
    record->sequence = next_sequence();
    struct iovec parts[3] = {
        {record, sizeof *record}, {(void *)old, record->old_bytes}, {(void *)new, record->new_bytes}};
    ssize_t whole = (ssize_t)(sizeof *record + record->old_bytes + record->new_bytes);
    if (syscall(SYS_writev, journal_file(), parts, 3) != whole) count(BROKEN);
}

/* Regular files alone have something to take back. */
static int file_state(int fd, struct stat *state) {
    return fstat(fd, state) == 0 && S_ISREG(state->st_mode);
}

void journal_write(int fd, off_t offset, const struct iovec *parts, int parts_count) {
    struct stat state;
    char old[CHUNK];
    if (!word(JOURNAL) || !file_state(fd, &state)) return;
    /* A file that was opened for writing alone can't be read through the same descriptor. */
    int reader = -1;
    for (int part = 0; part < parts_count; part++) {
        const char *bytes = parts[part].iov_base;
        size_t left = parts[part].iov_len;
        while (left > 0) {
            size_t size = left < CHUNK ? left : CHUNK;
            size_t there = 0;
            if (offset < state.st_size) {
                there = (size_t)(state.st_size - offset) < size ? (size_t)(state.st_size - offset) : size;
                ssize_t got = syscall(SYS_pread64, reader >= 0 ? reader : fd, old, there, offset);
                if (got < 0 && reader < 0) {
                    char link[64] = "/proc/self/fd/";
                    int at = 14, digit = 1;
                    while (fd / digit >= 10) digit *= 10;
                    for (; digit > 0; digit /= 10) link[at++] = (char)('0' + fd / digit % 10);
                    link[at] = 0;
                    reader = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
                    got = syscall(SYS_pread64, reader, old, there, offset);
                }
                if (got != (ssize_t)there) count(BROKEN);
            }
            struct record record = {.kind = REC_WRITE, .inode = state.st_ino, .offset = (uint64_t)offset,
                .old_size = (uint64_t)state.st_size, .old_bytes = (uint32_t)there, .new_bytes = (uint32_t)size};
            append(&record, old, bytes);
            bytes += size;
            offset += (off_t)size;
            left -= size;
            /* The pieces before have made the file longer. */
            if (offset > state.st_size) state.st_size = offset;
        }
    }
    if (reader >= 0) syscall(SYS_close, reader);
}

void journal_truncate(int fd, off_t length) {
    struct stat state;
    char old[CHUNK];
    if (!word(JOURNAL) || !file_state(fd, &state)) return;
    off_t end = state.st_size;
    /* From the end, so that each piece taken back leaves a whole file. */
    while (end > length) {
        off_t from = end - length > CHUNK ? end - CHUNK : length;
        if (syscall(SYS_pread64, fd, old, (size_t)(end - from), from) != end - from) count(BROKEN);
        struct record record = {.kind = REC_TRUNCATE, .inode = state.st_ino, .offset = (uint64_t)from,
            .old_size = (uint64_t)end, .old_bytes = (uint32_t)(end - from)};
        append(&record, old, NULL);
        end = from;
    }
    if (length > state.st_size) {
        struct record record = {.kind = REC_TRUNCATE, .inode = state.st_ino, .offset = (uint64_t)length,
            .old_size = (uint64_t)state.st_size};
        append(&record, NULL, NULL);
    }
}

static void with_path(enum kind kind, uint64_t offset, const char *path, size_t length) {
    struct record record = {.kind = kind, .offset = offset, .old_bytes = (uint32_t)length};
    append(&record, path, NULL);
}

void journal_sync(int fd, uint64_t before) {
    struct stat state;
    if (!word(JOURNAL) || fstat(fd, &state) != 0) return;
    if (S_ISDIR(state.st_mode)) {
        char path[1024] = "/proc/self/fd/";
        int at = 14, digit = 1;
        while (fd / digit >= 10) digit *= 10;
        for (; digit > 0; digit /= 10) path[at++] = (char)('0' + fd / digit % 10);
        path[at] = 0;
        char folder[1024];
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, path, folder, sizeof folder);
        if (length > 0) with_path(REC_SYNC_DIR, before, folder, (size_t)length);
        return;
    }
    struct record record = {.kind = REC_SYNC, .inode = state.st_ino, .offset = before};
    append(&record, NULL, NULL);
}

void journal_absent(const char *path) {
    struct stat state;
    if (!word(JOURNAL) || syscall(SYS_newfstatat, AT_FDCWD, path, &state, AT_SYMLINK_NOFOLLOW) == 0) return;
    with_path(REC_ABSENT, 0, path, strlen(path));
}

/* Another name of a file, so that it stays when its own goes. 0 when there is no such file. */
static uint64_t bury(const char *path) {
    const char *shim = getenv("FAULT_SHIM");
    char grave[1100];
    uint64_t number = atomic_fetch_add(&control[GRAVES], 1) + 1;
    if (!shim || strlen(shim) > 1024) return 0;
    strcpy(grave, shim);
    strcat(grave, ".graves/");
    size_t end = strlen(grave);
    uint64_t digit = 1;
    while (number / digit >= 10) digit *= 10;
    for (; digit > 0; digit /= 10) grave[end++] = (char)('0' + number / digit % 10);
    grave[end] = 0;
    return syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0) == 0 ? number : 0;
}

void journal_unlink(const char *path) {
    if (!word(JOURNAL)) return;
    uint64_t grave = bury(path);
    if (grave) with_path(REC_UNLINK, grave, path, strlen(path));
}

void journal_rename(const char *from, const char *to) {
    char both[2100];
    if (!word(JOURNAL)) return;
    size_t first = strlen(from), second = strlen(to);
    if (first + second + 1 > sizeof both) return count(BROKEN);
    memcpy(both, from, first + 1);
    memcpy(both + first + 1, to, second);
    with_path(REC_RENAME, bury(to), both, first + 1 + second);
}

void journal_rmdir(const char *path) {
    if (word(JOURNAL)) with_path(REC_RMDIR, 0, path, strlen(path));
}
