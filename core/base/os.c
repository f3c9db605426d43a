#include "core/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/base/call.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define RESIDENT_STEP ((size_t)2048) /* pages that are asked for at a time */
#define RESERVED_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static void *map(void *at, size_t bytes, int protection, int flags) {
    int saved = errno;
    void *p = mmap(at, bytes, protection, flags, -1, 0);
    errno = saved;
    return p == MAP_FAILED ? NULL : p;
}

bool psc_os_unmap(void *address, size_t bytes) {
    int saved = errno;
    bool done = bytes == 0 || munmap(address, bytes) == 0;
    errno = saved;
    return done;
}

static void *trim_to_alignment(char *start, size_t total, size_t bytes, size_t alignment) {
    char *aligned = start + (-(uintptr_t)start & (alignment - 1));
    psc_os_unmap(start, (size_t)(aligned - start));
    psc_os_unmap(aligned + bytes, total - bytes - (size_t)(aligned - start));
    return aligned;
}

void *psc_os_map_aligned(size_t bytes, size_t alignment, bool usable) {
    int protection = usable ? PROT_READ | PROT_WRITE : PROT_NONE;
    int flags = usable ? MAP_PRIVATE | MAP_ANONYMOUS : RESERVED_FLAGS;
    char *start = map(NULL, bytes, protection, flags);
    if (start == NULL || ((uintptr_t)start & (alignment - 1)) == 0) {
        return start;
    }
    psc_os_unmap(start, bytes);
    size_t total = bytes + alignment - PSC_PAGE_BYTES;
    if (total < bytes || (start = map(NULL, total, protection, flags)) == NULL) {
        return NULL;
    }
    return trim_to_alignment(start, total, bytes, alignment);
}

void *psc_os_reserve(size_t bytes, size_t alignment) {
    return psc_os_map_aligned(bytes, alignment, false);
}

bool psc_os_commit(void *address, size_t bytes) {
    int saved = errno;
    bool done = mprotect(address, bytes, PROT_READ | PROT_WRITE) == 0;
    errno = saved;
    return done;
}

bool psc_os_decommit(void *address, size_t bytes) {
    return map(address, bytes, PROT_NONE, RESERVED_FLAGS | MAP_FIXED) != NULL;
}

bool psc_os_purge(void *address, size_t bytes) {
    int saved = errno;
    bool done = madvise(address, bytes, MADV_DONTNEED) == 0;
    errno = saved;
    return done;
}

/* ---- sandboxes -------------------------------------------------------------------------------------------------- */

static uint32_t sandboxed; /* any thread, atomic */

size_t psc_os_address_space_limit(void) {
    static size_t known = SIZE_MAX; /* any thread, atomic: a sandbox may not let us ask again */
    struct rlimit limit;
    if (PSC_LOAD(&sandboxed)) {
        return PSC_LOAD(&known);
    }
    int saved = errno;
    bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    errno = saved;
    PSC_STORE(&known, limited ? (size_t)limit.rlim_cur : SIZE_MAX);
    return PSC_LOAD(&known);
}

void psc_os_enter_sandbox(void) {
    psc_os_address_space_limit();
    PSC_STORE(&sandboxed, 1);
}

bool psc_os_in_sandbox(void) {
    return PSC_LOAD(&sandboxed) != 0;
}

/* ---- many ranges at a time --------------------------------------------------------------------------------------- */

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#define THIS_PROCESS (-10000) /* PIDFD_SELF_THREAD_GROUP of <linux/pidfd.h> */

enum batches { BATCHES_UNTRIED, BATCHES_WORK, BATCHES_NEVER };

static uint32_t batches; /* enum batches; any thread, atomic */

/* By bare system calls: those of libc are places where a thread may be cancelled, and this one may hold a lock. */
static void read_text(const char *path, char *text, size_t bytes) {
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    long length = fd >= 0 ? syscall(SYS_read, fd, text, bytes - 1) : -1;
    if (fd >= 0) {
        syscall(SYS_close, fd);
    }
    text[length > 0 ? length : 0] = '\0';
}

/* A filter of system calls that was there before the program began, or that we have not been told of. */
static bool in_sandbox(void) {
    static char text[4096];
    read_text("/proc/self/status", text, sizeof text);
    return strstr(text, "\nSeccomp:\t0\n") == NULL;
}

/* Bytes that have gone. */
static size_t purge_batch(const struct iovec *ranges, size_t count) {
    ssize_t gone = syscall(SYS_process_madvise, THIS_PROCESS, ranges, count, MADV_DONTNEED, 0);
    return gone > 0 ? (size_t)gone : 0;
}

static bool may_batch(const struct iovec *ranges, size_t count) {
    if (PSC_LOAD(&batches) == BATCHES_UNTRIED && !PSC_LOAD(&sandboxed)) {
        PSC_STORE(&batches, !in_sandbox() && purge_batch(ranges, count) > 0 ? BATCHES_WORK : BATCHES_NEVER);
    }
    return PSC_LOAD(&batches) == BATCHES_WORK && !PSC_LOAD(&sandboxed);
}

size_t psc_os_purge_ranges(const struct iovec *ranges, size_t count) {
    int saved = errno;
    size_t done = 0;
    if (count > 1 && may_batch(ranges, count < IOV_MAX ? count : IOV_MAX)) {
        size_t gone = purge_batch(ranges, count < IOV_MAX ? count : IOV_MAX);
        while (done < count && gone >= ranges[done].iov_len) {
            gone -= ranges[done++].iov_len;
        }
    }
    while (done < count && psc_os_purge(ranges[done].iov_base, ranges[done].iov_len)) {
        done++;
    }
    errno = saved;
    return done;
}

#define MAPPINGS_USUAL 65530u

uint64_t psc_os_mappings_limit(void) {
    char text[32];
    uint64_t limit = 0;
    int saved = errno;
    read_text("/proc/sys/vm/max_map_count", text, sizeof text);
    for (const char *c = text; *c >= '0' && *c <= '9'; c++) {
        limit = limit * 10 + (uint64_t)(*c - '0');
    }
    errno = saved;
    return limit > 0 ? limit : MAPPINGS_USUAL;
}

static uint32_t filtered; /* any thread, atomic: there is a filter that we do not know */

void psc_os_look_for_sandbox(void) {
    int saved = errno;
    PSC_STORE(&filtered, in_sandbox());
    errno = saved;
}

bool psc_os_may_ask_resident(void) {
    return !PSC_LOAD(&sandboxed) && !PSC_LOAD(&filtered);
}

static uint64_t resident_pages(const char *address, size_t pages) {
    unsigned char there[RESIDENT_STEP];
    uint64_t count = 0;
    if (mincore((void *)(uintptr_t)address, pages * PSC_PAGE_BYTES, there) != 0) {
        return 0;
    }
    for (size_t i = 0; i < pages; i++) {
        count += there[i] & 1;
    }
    return count;
}

uint64_t psc_os_resident(const void *address, size_t bytes) {
    uint64_t pages = 0;
    int saved = errno;
    for (size_t at = 0; at < bytes && psc_os_may_ask_resident(); at += RESIDENT_STEP * PSC_PAGE_BYTES) {
        size_t rest = (bytes - at) / PSC_PAGE_BYTES;
        pages += resident_pages((const char *)address + at, rest < RESIDENT_STEP ? rest : RESIDENT_STEP);
    }
    errno = saved;
    return pages * PSC_PAGE_BYTES;
}

/* The kernel copies a set of signals before it looks at what is to be done with it, and refuses that. */
bool psc_os_can_read(const void *address) {
    int saved = errno;
    bool readable = !PSC_LOAD(&sandboxed) && syscall(SYS_rt_sigprocmask, -1, address, NULL, 8) == -1 && errno == EINVAL;
    errno = saved;
    return readable;
}

bool psc_os_populate(void *address, size_t bytes) {
    static bool refused; /* any thread, atomic: what a kernel or a sandbox does not know it will not learn */
    if (PSC_LOAD(&refused) || PSC_LOAD(&sandboxed)) {
        return false;
    }
    int saved = errno;
    bool done = madvise(address, bytes, MADV_POPULATE_WRITE) == 0;
    if (!done && errno != ENOMEM && errno != EAGAIN) {
        PSC_STORE(&refused, true);
    }
    errno = saved;
    return done;
}

void *psc_os_map(size_t bytes) {
    return map(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
}

bool psc_os_resize(void *address, size_t old_bytes, size_t new_bytes) {
    int saved = errno;
    bool done = mremap(address, old_bytes, new_bytes, 0) != MAP_FAILED;
    errno = saved;
    return done;
}

void *psc_os_grow(void *address, size_t old_bytes, size_t new_bytes) {
    int saved = errno;
    void *p = mremap(address, old_bytes, new_bytes, MREMAP_MAYMOVE);
    errno = saved;
    return p != MAP_FAILED ? p : NULL;
}

bool psc_os_move(void *from, size_t old_bytes, void *to, size_t new_bytes) {
    int saved = errno;
    bool done = mremap(from, old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED;
    errno = saved;
    return done;
}

void *psc_os_map_wiped_on_fork(size_t bytes) {
    void *p = map(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    int saved = errno;
    if (p != NULL && madvise(p, bytes, MADV_WIPEONFORK) != 0) {
        psc_os_unmap(p, bytes);
        p = NULL;
    }
    errno = saved;
    return p;
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t psc_os_monotonic_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t psc_os_thread_cpu_ns(void) {
    return clock_ns(PSC_LOAD(&sandboxed) ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID);
}

uint64_t psc_os_monotonic_ms(void) {
    return clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
}

uint64_t psc_os_realtime_ns(void) {
    return clock_ns(CLOCK_REALTIME);
}

uint64_t psc_os_waits(void) {
    struct rusage usage;
    int saved = errno;
    bool known = !PSC_LOAD(&sandboxed) && getrusage(RUSAGE_THREAD, &usage) == 0;
    errno = saved;
    return known ? (uint64_t)usage.ru_nvcsw : PSC_OS_WAITS_UNKNOWN;
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

static bool fits_file_limit(size_t bytes) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes;
}

static void *size_and_map(int fd, size_t bytes, void *at) {
    if (!fits_file_limit(bytes)) { /* growing past the limit would raise SIGXFSZ */
        errno = EFBIG;
        return NULL;
    }
    if (fchmod(fd, 0600) != 0 || ftruncate(fd, (off_t)bytes) != 0) {
        return NULL;
    }
    void *p = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (at != NULL ? MAP_FIXED : 0), fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

void *psc_os_create_mapped(const char *path, size_t bytes, void *at) {
    int fd = psc_call_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    void *p = size_and_map(fd, bytes, at);
    int saved = errno;
    psc_call_close(fd);
    if (p == NULL) {
        unlink(path);
    } else {
        madvise(p, bytes, MADV_RANDOM); /* else the kernel reads ahead, which is to fill pages with holes */
    }
    errno = saved;
    return p;
}

/* Where the file system cannot allocate: what is a hole is written to, and what is not stays as it is. */
static int write_zeroes(int fd, off_t offset, off_t bytes) {
    for (off_t at = offset; at < offset + bytes; at += PSC_PAGE_BYTES) {
        char byte = 0;
        if (psc_call_pread(fd, &byte, 1, at) < 0 || (byte == 0 && psc_call_pwrite(fd, &byte, 1, at) != 1)) {
            return errno;
        }
    }
    return 0;
}

static int back_by_descriptor(const char *path, size_t offset, size_t bytes) {
    int fd = psc_call_open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int error = psc_call_fallocate(fd, (off_t)offset, (off_t)bytes) == 0 ? 0 : errno;
    if (error == EOPNOTSUPP) {
        error = write_zeroes(fd, (off_t)offset, (off_t)bytes);
    }
    psc_call_close(fd);
    return error;
}

int psc_os_back_with_space(void *address, size_t bytes, const char *path, size_t file_offset) {
    int saved = errno;
    int error = madvise(address, bytes, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
    if (error == EINVAL) {
        error = back_by_descriptor(path, file_offset, bytes);
    } else if (error == EFAULT) { /* the kernel would have raised SIGBUS: no room in the file system */
        error = ENOSPC;
    }
    errno = saved;
    return error;
}

static bool identify(int fd, struct psc_os_file_id *id) {
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return false;
    }
    *id = (struct psc_os_file_id){.device = status.st_dev, .inode = status.st_ino};
    return true;
}

static int open_existing(const char *path, int access) {
    return psc_call_open(path, access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

bool psc_os_file_id(const char *path, struct psc_os_file_id *id) {
    int saved = errno;
    int fd = open_existing(path, O_RDONLY);
    bool known = fd >= 0 && identify(fd, id);
    if (fd >= 0) {
        psc_call_close(fd);
    }
    errno = saved;
    return known;
}

/* Of a file that `path` still names; -1: it does not. */
static int open_if_same(const char *path, const struct psc_os_file_id *id) {
    struct psc_os_file_id found;
    int fd = psc_os_in_sandbox() ? -1 : open_existing(path, O_RDWR);
    if (fd >= 0 && !(identify(fd, &found) && found.device == id->device && found.inode == id->inode)) {
        psc_call_close(fd);
        fd = -1;
    }
    return fd;
}

bool psc_os_back_ahead(const char *path, const struct psc_os_file_id *id, size_t offset, size_t bytes) {
    int saved = errno;
    int fd = open_if_same(path, id);
    bool done = fd >= 0 && psc_call_fallocate(fd, (off_t)offset, (off_t)bytes) == 0;
    if (fd >= 0) {
        psc_call_close(fd);
    }
    errno = saved;
    return done;
}

void psc_os_truncate(const char *path, const struct psc_os_file_id *id, size_t bytes) {
    int saved = errno;
    int fd = open_if_same(path, id);
    if (fd >= 0) {
        if (ftruncate(fd, (off_t)bytes) != 0) {
            /* The file stays as long as it was, all of it a hole. */
        }
        psc_call_close(fd);
    }
    errno = saved;
}
