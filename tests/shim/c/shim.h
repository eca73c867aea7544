/* What the files of the shim share. See shim.c. */

#ifndef CALLBOARD_SHIM_H
#define CALLBOARD_SHIM_H

#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

/* The control file: words that the harness sets, and words that it reads. src/control.rs has the same numbers. */
enum word {
    POWER_OFF = 0,     /* whoever touches a watched file dies */
    JOURNAL = 1,       /* writes are journalled, so that they can be taken back */
    FAKE_SYNC = 2,     /* fsync says yes and does nothing */
    EIO_WRITES = 3,    /* so many writes are still to fail */
    EIO_SYNCS = 4,     /* so many fsyncs are still to fail, and not be done */
    FULL = 5,          /* files can't grow */
    SYNC_DELAY_US = 6, /* every fsync takes so much longer */
    CLOCK_OFFSET_US = 7, /* the time of day is so far off; signed */
    LATE_PER_MILLE = 8,  /* so many fsyncs are done, and said to have failed */
    SEED = 9,
    SEQUENCE = 10,     /* of the journal's records */
    GRAVES = 11,       /* files kept that were unlinked */

    WRITES = 20,
    SYNCS = 21,
    FAKED_SYNCS = 22,
    FAILED_WRITES = 23,
    FAILED_SYNCS = 24,
    REFUSED_GROWTH = 25,
    DELAYED_SYNCS = 26,
    SHIFTED_CLOCKS = 27,
    LATE_SYNCS = 28,
    PROCESSES = 29,
    BROKEN = 30, /* the journal could not be written: the run is worth nothing */
    WORDS = 64,
};

/* Behind the words: the folder that is watched, and a part of the paths to which errors and delays are confined. */
#define ROOT_AT 1024
#define ONLY_AT 2048
#define CONTROL_BYTES 4096

enum kind {
    REC_WRITE = 1,    /* old bytes, new bytes */
    REC_TRUNCATE = 2, /* old bytes behind the new end */
    REC_SYNC = 3,     /* everything of the file before `offset`, a sequence, is on the disk */
    REC_ABSENT = 4,   /* path: there was nothing */
    REC_UNLINK = 5,   /* path; `offset` is the grave */
    REC_RENAME = 6,   /* from, NUL, to; `offset` is the grave of what was there, or 0 */
    REC_SYNC_DIR = 7, /* path; everything of the folder before `offset` is on the disk */
    REC_RMDIR = 8,    /* path */
};

#define MAGIC 0x43425348u

struct record {
    uint32_t magic;
    uint32_t kind;
    uint64_t sequence;
    uint64_t inode;
    uint64_t offset;
    uint64_t old_size;
    uint32_t old_bytes;
    uint32_t new_bytes;
};

extern _Atomic uint64_t *control;
extern int (*real_clock)(clockid_t, struct timespec *);

uint64_t word(enum word which);
void count(enum word which);
/* Takes one of what is left. */
int take(enum word which);

/* Dies when the power is off. */
void live(void);

int is_watched(int fd);
int is_watched_path(const char *path);
void watch(int fd);
void unwatch(int fd);
void watch_copy(int from, int to);
/* Whether errors and delays are for this file. */
int is_meant(int fd);
/* The path with the folder in front, if it has none; 0 when it is too long. */
int absolute(const char *path, char *into, size_t room);

uint64_t next_sequence(void);
void journal_write(int fd, off_t offset, const struct iovec *parts, int count);
void journal_truncate(int fd, off_t length);
void journal_sync(int fd, uint64_t before);
void journal_absent(const char *path);
void journal_unlink(const char *path);
void journal_rename(const char *from, const char *to);
void journal_rmdir(const char *path);

#endif
