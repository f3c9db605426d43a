/* A library opened with RTLD_DEEPBIND: what libc's strdup makes for it must be its free's to free, and blocks that it makes the
 * program's. */
#include <dlfcn.h>
#include <libgen.h>
#include <unistd.h>

#include "tests/victims/expect.h"

int main(void) {
    char self[4000], path[4100];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    self[bytes > 0 ? bytes : 0] = '\0';
    snprintf(path, sizeof path, "%s/libplugin.so", dirname(self));
    void *plugin = dlopen(path, RTLD_NOW | RTLD_DEEPBIND);
    EXPECT(plugin != NULL);
    char *(*make)(size_t) = (char *(*)(size_t))dlsym(plugin, "plugin_make");
    char *p = make(1000);
    EXPECT(p[999] == 's');
    p = realloc(p, 5000);
    EXPECT(p[999] == 's');
    free(p);
    EXPECT(dlclose(plugin) == 0); /* its destructor frees what strdup made */
    return expect_end();
}
