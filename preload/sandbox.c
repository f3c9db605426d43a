/* Programs that put themselves into a sandbox announce it by prctl: who may not become root again has to set
 * PR_SET_NO_NEW_PRIVS before a filter of system calls. From then on core makes those calls alone that filters allow. */
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/track/track.h"

static bool announces(int option, const unsigned long *words) {
    bool asks = words[0] == SECCOMP_MODE_FILTER && words[1] == 0; /* whether there are filters: EFAULT */
    return (option == PR_SET_NO_NEW_PRIVS && words[0] == 1) || (option == PR_SET_SECCOMP && !asks);
}

PSC_EXPORT int prctl(int option, ...) {
    unsigned long words[4];
    va_list list;
    va_start(list, option);
    for (size_t i = 0; i < PSC_COUNT_OF(words); i++) {
        words[i] = va_arg(list, unsigned long);
    }
    va_end(list);
    if (announces(option, words)) {
        psc_track_enter_sandbox();
    }
    return (int)syscall(SYS_prctl, option, words[0], words[1], words[2], words[3]);
}
