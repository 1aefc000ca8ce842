/* A power cut at a chosen moment, for one process (LD_PRELOAD): in the $KILL_AT-th write to, sync of or renaming from a
 * file whose path contains $KILL_PATH, half of the write is done and the process kills itself. $KILL_AT counts from 1. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int due(const char *path) {
    static int count;
    const char *wanted = getenv("KILL_PATH"), *at = getenv("KILL_AT");
    return wanted && at && path && strstr(path, wanted) && __sync_add_and_fetch(&count, 1) == atoi(at);
}

static int due_fd(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return due(path);
}

static void power_cut(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    int last = fd > 2 && due_fd(fd);
    ssize_t done = real(fd, data, last ? size / 2 : size);
    if (last) power_cut();
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    int last = due_fd(fd);
    ssize_t done = real(fd, data, last ? size / 2 : size, at);
    if (last) power_cut();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

int fsync(int fd) {
    REAL(int, "fsync", int);
    if (due_fd(fd)) power_cut();
    return real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    if (due_fd(fd)) power_cut();
    return real(fd);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (due(from)) power_cut();
    return real(from, to);
}
