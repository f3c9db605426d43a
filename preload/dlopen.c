#include <dlfcn.h>

#include "core/track/track.h"
#include "preload/boot.h"

typedef void *(*psc_dlopen_function)(const char *file, int mode);
typedef int (*psc_dlclose_function)(void *handle);

/* `known`: where it is kept; any thread, as all find the same. */
static void *find_next(void **known, const char *name) {
    void *found = PSC_LOAD(known);
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
        PSC_STORE(known, found);
    }
    return found;
}

/* A module that is opened with RTLD_DEEPBIND binds to libc's malloc and free instead of ours, and what libc allocates
 * for it through ours comes back to libc's free: a crash. So the flag is dropped; the module is then bound as all others
 * are. A tail call: the loader looks at who calls for the search path, and has to find the program. */
PSC_EXPORT void *dlopen(const char *file, int mode) {
    static void *known;
    psc_dlopen_function next = (psc_dlopen_function)(uintptr_t)find_next(&known, "dlopen");
    return next(file, psc_preload_is_passive() ? mode : mode & ~RTLD_DEEPBIND);
}

/* Another module may come to lie where one was: what the tracker knows of the one that went must go with it. */
PSC_EXPORT int dlclose(void *handle) {
    static void *known;
    psc_dlclose_function next = (psc_dlclose_function)(uintptr_t)find_next(&known, "dlclose");
    int status = next(handle);
    psc_track_modules_gone();
    return status;
}
