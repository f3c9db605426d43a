/* A library with state for each thread, which allocates when it comes, when it goes, and when a thread ends that was in
 * it: a destructor of a key, which it takes back before it goes. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_key_t key;
static char *state;
static __thread char *of_thread;

static void end_thread(void *p) {
    free(p);
    free(malloc(300));
}

__attribute__((constructor)) static void begin(void) {
    state = strdup("state of the guest");
    pthread_key_create(&key, end_thread);
}

__attribute__((destructor)) static void end(void) {
    pthread_key_delete(key);
    free(state);
    free(malloc(20000));
}

char *guest_visit(size_t bytes);
char *guest_visit(size_t bytes) {
    if (pthread_getspecific(key) == NULL) {
        of_thread = malloc(50);
        pthread_setspecific(key, of_thread);
    }
    char *p = malloc(bytes);
    return p != NULL ? memset(p, state[0], bytes) : NULL;
}

void guest_leave(void);
void guest_leave(void) {
    free(pthread_getspecific(key));
    pthread_setspecific(key, NULL);
}
