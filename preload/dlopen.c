/* A module that is opened with RTLD_DEEPBIND binds to libc's malloc and free instead of ours, and what libc allocates for it
 * through ours comes back to libc's free: a crash. So the flag is dropped; the module is then bound as all others are. */
#include <dlfcn.h>

#include "core/base/compiler.h"
#include "preload/boot.h"

typedef void *(*psc_dlopen_function)(const char *file, int mode);

static psc_dlopen_function find_next(void) {
    static psc_dlopen_function next; /* any thread: all find the same */
    psc_dlopen_function found = PSC_LOAD(&next);
    if (found == NULL) {
        found = (psc_dlopen_function)(uintptr_t)dlsym(RTLD_NEXT, "dlopen");
        PSC_STORE(&next, found);
    }
    return found;
}

/* A tail call: the loader looks at who calls for the search path, and has to find the program. */
PSC_EXPORT void *dlopen(const char *file, int mode) {
    return find_next()(file, psc_preload_is_passive() ? mode : mode & ~RTLD_DEEPBIND);
}
