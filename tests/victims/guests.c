/* Four threads open and close libraries in loops, call into them, and end with destructors of theirs to run; others start
 * threads meanwhile. A library in a name space of its own has a libc, and a heap, of its own. */
#include <dlfcn.h>
#include <libgen.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define LOOPS 12

static char guest[4200], plugin[4200];

static void find_libraries(void) {
    char self[4000];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    self[bytes > 0 ? bytes : 0] = '\0';
    char *directory = dirname(self);
    snprintf(guest, sizeof guest, "%s/libguest.so", directory);
    snprintf(plugin, sizeof plugin, "%s/libplugin.so", directory);
}

typedef char *(*visit_function)(size_t);

static void *function(void *library, const char *name) {
    void *found = library != NULL ? dlsym(library, name) : NULL;
    EXPECT(found != NULL);
    return found;
}

static void *visits_and_ends(void *library) {
    visit_function visit = (visit_function)function(library, "guest_visit");
    free(visit(500));
    return NULL;
}

static void *visits(void *number) {
    for (size_t i = 0; i < LOOPS; i++) {
        void *library = dlopen(guest, i % 2 == 0 ? RTLD_NOW : RTLD_LAZY | RTLD_LOCAL);
        void *other = dlopen(plugin, RTLD_NOW);
        visit_function visit = (visit_function)function(library, "guest_visit");
        char *p = visit(100 + i);
        pthread_t thread;
        EXPECT(p[99] == 's');
        if (i % 3 == 0) {
            EXPECT(pthread_create(&thread, NULL, visits_and_ends, library) == 0 && pthread_join(thread, NULL) == 0);
        }
        ((void (*)(void))function(library, "guest_leave"))();
        EXPECT(dlclose(library) == 0 && dlclose(other) == 0);
        free(p);
    }
    return number;
}

/* What it makes there it frees there. */
static void visit_elsewhere(void) {
    void *library = dlmopen(LM_ID_NEWLM, guest, RTLD_NOW);
    if (library == NULL) {
        return; /* no room for another libc's TLS, say */
    }
    visit_function visit = (visit_function)function(library, "guest_visit");
    void *(*make)(size_t) = (void *(*)(size_t))function(library, "malloc");
    void (*release)(void *) = (void (*)(void *))function(library, "free");
    EXPECT(visit(100)[99] == 's');
    for (size_t i = 0; i < 1000; i++) {
        release(make(i));
        free(malloc(i));
    }
    ((void (*)(void))function(library, "guest_leave"))();
    EXPECT(dlclose(library) == 0);
}

int main(void) {
    pthread_t threads[4];
    find_libraries();
    for (size_t i = 0; i < 4; i++) {
        EXPECT(pthread_create(&threads[i], NULL, visits, (void *)i) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    visit_elsewhere();
    return expect_end();
}
