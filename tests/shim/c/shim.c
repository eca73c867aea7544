/* A library for LD_PRELOAD that makes the disk and the clock of a program fail, as a control file says.
 *
 * The harness and the program share the control file in memory: faults are switched on and off, and counted, while the program
 * runs. Files in one folder are watched, others are left alone. Where a power cut is to be played, every write is journalled
 * with what was there before it (journal.c), so that the harness can take back what no fsync made durable.
 *
 * C, since `open` takes a variable number of arguments, which stable Rust can't define.
 * System calls are made directly: nothing here may depend on what it stands in front of. */

#include "shim.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_FILES 65536

_Atomic uint64_t *control;
int (*real_clock)(clockid_t, struct timespec *);
static unsigned char watched[MOST_FILES];

uint64_t word(enum word which) {
    return control ? atomic_load_explicit(&control[which], memory_order_acquire) : 0;
}

void count(enum word which) {
    if (control) atomic_fetch_add(&control[which], 1);
}

int take(enum word which) {
    if (!control) return 0;
    uint64_t left = atomic_load(&control[which]);
    while (left > 0)
        if (atomic_compare_exchange_weak(&control[which], &left, left - 1)) return 1;
    return 0;
}

void live(void) {
    if (!word(POWER_OFF)) return;
    for (;;) syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

static const char *text_at(size_t place) {
    return (const char *)control + place;
}

int is_watched(int fd) {
    return control && fd >= 0 && fd < MOST_FILES && watched[fd];
}

int is_watched_path(const char *path) {
    if (!control) return 0;
    size_t length = strlen(text_at(ROOT_AT));
    return length > 0 && strncmp(path, text_at(ROOT_AT), length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int path_of(int fd, char *into, size_t room) {
    char link[32] = "/proc/self/fd/";
    char digits[12];
    int at = 0;
    do digits[at++] = (char)('0' + fd % 10); while ((fd /= 10) > 0);
    size_t end = strlen(link);
    while (at > 0) link[end++] = digits[--at];
    link[end] = 0;
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, into, room - 1);
    if (length < 0) return 0;
    into[length] = 0;
    return 1;
}

int is_meant(int fd) {
    char path[1024];
    const char *only = text_at(ONLY_AT);
    return only[0] == 0 || (path_of(fd, path, sizeof path) && strstr(path, only) != NULL);
}

void watch(int fd) {
    char path[1024];
    if (!control || fd < 0 || fd >= MOST_FILES) return;
    watched[fd] = path_of(fd, path, sizeof path) && is_watched_path(path);
}

void unwatch(int fd) {
    if (fd >= 0 && fd < MOST_FILES) watched[fd] = 0;
}

void watch_copy(int from, int to) {
    if (to >= 0 && to < MOST_FILES) watched[to] = (unsigned char)is_watched(from);
}

int absolute(const char *path, char *into, size_t room) {
    size_t length = 0;
    if (path[0] != '/') {
        /* The system call counts the NUL. */
        long got = syscall(SYS_getcwd, into, room);
        if (got <= 0) return 0;
        length = (size_t)got - 1;
        into[length++] = '/';
    }
    if (length + strlen(path) + 1 > room) return 0;
    strcpy(into + length, path);
    return 1;
}

/* The lock is shared by all that descend from this process, and ends with the last of them: so the harness knows when nobody is
 * left who could write. The description must outlive an exec of the same program only by being made anew, hence CLOEXEC. */
__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULT_SHIM");
    if (!path || control) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return;
    void *page = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int high = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
    syscall(SYS_close, fd);
    if (page == MAP_FAILED || high < 0 || syscall(SYS_flock, high, LOCK_SH) != 0) return;
    real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    control = page;
    count(PROCESSES);
}
