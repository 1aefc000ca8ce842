/* The system's clock of one process, set at will (LD_PRELOAD): $CLOCK_SHIM names a file with the seconds by which
 * CLOCK_REALTIME is off and, as a second word, "unset" while the kernel is to say that nothing has set it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

static double off_s(char *word, size_t size) {
    const char *path = getenv("CLOCK_SHIM");
    FILE *file = path ? fopen(path, "r") : NULL;
    double seconds = 0;
    char text[32] = "";
    if (file) {
        if (fscanf(file, "%lf %31s", &seconds, text) < 1) seconds = 0;
        fclose(file);
    }
    if (word) snprintf(word, size, "%s", text);
    return seconds;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, now);
    if (!failed && which == CLOCK_REALTIME) now->tv_sec += (time_t)off_s(NULL, 0);
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}

int adjtimex(struct timex *about) {
    char word[32];
    (void)about;
    off_s(word, sizeof word);
    return strcmp(word, "unset") ? TIME_OK : TIME_ERROR;
}
