/* dlopen and dlclose with constructors that allocate, while other threads allocate; blocks outlive the library. */
#include <dlfcn.h>
#include <libgen.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/victims/expect.h"

static int stop;
static char path[4096];

static int visit(struct dl_phdr_info *info, size_t bytes, void *context) {
    (void)bytes;
    char *name = strdup(info->dlpi_name); /* under the loader's lock */
    *(size_t *)context += strlen(name);
    free(name);
    return 0;
}

static void *walks(void *unused) {
    size_t length = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        dl_iterate_phdr(visit, &length);
    }
    EXPECT(length > 0);
    return unused;
}

static void *allocates(void *unused) {
    for (size_t i = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
        free(malloc(i % 5000));
    }
    return unused;
}

static void find_plugin(void) {
    char self[4000];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    self[bytes > 0 ? bytes : 0] = '\0';
    snprintf(path, sizeof path, "%s/libplugin.so", dirname(self));
}

int main(void) {
    find_plugin();
    pthread_t walker, allocator;
    EXPECT(pthread_create(&walker, NULL, walks, NULL) == 0 && pthread_create(&allocator, NULL, allocates, NULL) == 0);
    char *kept[200];
    for (int i = 0; i < 200; i++) {
        void *plugin = dlopen(path, i % 2 == 0 ? RTLD_NOW : RTLD_LAZY);
        EXPECT(plugin != NULL);
        char *(*make)(size_t) = (char *(*)(size_t))dlsym(plugin, "plugin_make");
        kept[i] = make(100);
        EXPECT(dlsym(plugin, "no_such_name") == NULL && dlerror() != NULL);
        EXPECT(dlclose(plugin) == 0);
    }
    for (int i = 0; i < 200; i++) {
        EXPECT(kept[i][99] == 's');
        free(kept[i]);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(walker, NULL);
    pthread_join(allocator, NULL);
    return expect_end();
}
