/* A program that limits its own address space would find the room that the trace is to grow into counted against it. (A limit
 * that comes from outside is met when memory is wanted and there is none.) */
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/track/track.h"

static int set_limit(pid_t process, unsigned resource, const void *wanted, void *old) {
    int failed = (int)syscall(SYS_prlimit64, process, resource, wanted, old);
    if (failed == 0 && resource == RLIMIT_AS && wanted != NULL && (process == 0 || process == getpid())) {
        psc_track_yield_space();
    }
    return failed;
}

PSC_EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *wanted) {
    return set_limit(0, resource, wanted, NULL);
}

PSC_EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *wanted) {
    return set_limit(0, resource, wanted, NULL);
}

PSC_EXPORT int prlimit(pid_t process, enum __rlimit_resource resource, const struct rlimit *wanted,
                       struct rlimit *old) {
    return set_limit(process, resource, wanted, old);
}

PSC_EXPORT int prlimit64(pid_t process, enum __rlimit_resource resource, const struct rlimit64 *wanted,
                         struct rlimit64 *old) {
    return set_limit(process, resource, wanted, old);
}

_Static_assert(sizeof(struct rlimit) == sizeof(struct rlimit64), "both are those of the kernel");
