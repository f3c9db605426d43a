/* A library that comes and goes. */
#include <stdlib.h>
#include <string.h>

static char *state;

__attribute__((constructor)) static void begin(void) {
    state = strdup("state of the plugin");
}

__attribute__((destructor)) static void end(void) {
    free(state);
    free(malloc(100));
}

char *plugin_make(size_t bytes);
char *plugin_make(size_t bytes) {
    char *p = malloc(bytes);
    return p != NULL ? memset(p, state[0], bytes) : NULL;
}
