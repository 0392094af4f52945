/* Stands between SQLite and the C library (LD_PRELOAD): counts what is synced, makes a sync fail, slow or pretended, and
   kills the process before its n-th change of a file. It knows calls and file names, nothing of journals but their `-wal`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static volatile long syncs, synced_wal_bytes, fails, slow_us, pretends, steps, kill_at;

long shim_syncs(void) { return syncs; }
long shim_synced_wal_bytes(void) { return synced_wal_bytes; }
long shim_steps(void) { return steps; }
void shim_fail_next(long count) { fails = count; }
void shim_slow(long microseconds) { slow_us = microseconds; }
void shim_pretend(long yes) { pretends = yes; }
void shim_kill_at(long step) { steps = 0; kill_at = step; }

static void step(void) {
    if (__sync_add_and_fetch(&steps, 1) == kill_at) kill(getpid(), SIGKILL);
}

static int is_wal(int fd) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name);
    return length > 4 && memcmp(name + length - 4, "-wal", 4) == 0;
}

static int synced(int fd, const char *call) {
    step();
    __sync_add_and_fetch(&syncs, 1);
    struct stat status;
    fstat(fd, &status); /* before: what is written while it syncs is not promised */
    if (slow_us) usleep(slow_us);
    if (fails > 0) {
        fails--;
        errno = EIO;
        return -1;
    }
    if (pretends) return 0;
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    int result = real(fd);
    if (result == 0 && is_wal(fd)) synced_wal_bytes = status.st_size;
    return result;
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }

#define PASS(type, name, declared, given)                          \
    type name declared {                                           \
        type(*real) declared = (type(*) declared)dlsym(RTLD_NEXT, #name); \
        step();                                                    \
        return real given;                                         \
    }

PASS(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
PASS(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
PASS(int, ftruncate, (int fd, off_t size), (fd, size))
PASS(int, ftruncate64, (int fd, off64_t size), (fd, size))
PASS(int, unlink, (const char *path), (path))
PASS(int, fchmod, (int fd, mode_t mode), (fd, mode))
