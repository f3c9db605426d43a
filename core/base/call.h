/* System calls whose functions in libc are places where a thread may be cancelled: malloc and free, which all of this
 * works for, are none. Arguments, result and errno are those of libc's. */
#ifndef PSC_CORE_BASE_CALL_H
#define PSC_CORE_BASE_CALL_H

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "core/base/compiler.h"

/* A file that it makes is its owner's alone. */
static inline int psc_call_open(const char *path, int flags) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
}

static inline int psc_call_close(int fd) {
    return (int)syscall(SYS_close, fd);
}

static inline ssize_t psc_call_read(int fd, void *buffer, size_t bytes) {
    return syscall(SYS_read, fd, buffer, bytes);
}

static inline ssize_t psc_call_pread(int fd, void *buffer, size_t bytes, off_t offset) {
    return syscall(SYS_pread64, fd, buffer, bytes, offset);
}

static inline ssize_t psc_call_write(int fd, const void *buffer, size_t bytes) {
    return syscall(SYS_write, fd, buffer, bytes);
}

static inline ssize_t psc_call_pwrite(int fd, const void *buffer, size_t bytes, off_t offset) {
    return syscall(SYS_pwrite64, fd, buffer, bytes, offset);
}

static inline int psc_call_fallocate(int fd, off_t offset, off_t bytes) {
    return (int)syscall(SYS_fallocate, fd, 0, offset, bytes);
}

static inline int psc_call_nanosleep(const struct timespec *time) {
    return (int)syscall(SYS_nanosleep, time, NULL);
}

/* One of these that is blocked and pending is taken back, if there is one. */
static inline void psc_call_take_signal(const sigset_t *signals) {
    syscall(SYS_rt_sigtimedwait, signals, NULL, &(struct timespec){.tv_sec = 0}, _NSIG / 8);
}

#endif
