/* Programs that put themselves into a sandbox announce it by prctl: who may not become root again has to set
 * PR_SET_NO_NEW_PRIVS before a filter of system calls. From then on core makes those calls alone that filters allow. */
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/track/track.h"

PSC_EXPORT int prctl(int option, ...) {
    unsigned long words[4];
    va_list list;
    va_start(list, option);
    for (size_t i = 0; i < PSC_COUNT_OF(words); i++) {
        words[i] = va_arg(list, unsigned long);
    }
    va_end(list);
    if (option == PR_SET_NO_NEW_PRIVS || option == PR_SET_SECCOMP) {
        psc_track_enter_sandbox();
    }
    return (int)syscall(SYS_prctl, option, words[0], words[1], words[2], words[3]);
}
