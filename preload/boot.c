#include "preload/boot.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/lock.h"
#include "core/base/option.h"
#include "core/base/os.h"
#include "core/base/random.h"
#include "core/base/say.h"
#include "core/heap/misuse.h"
#include "preload/record.h"

uint32_t psc_preload_state;
void *(*psc_preload_public_realloc)(void *p, size_t bytes) = realloc;

static struct psc_lock boot_lock;
static struct psc_options options;
static pthread_key_t thread_key;
static bool thread_key_made;
PSC_TLS bool psc_preload_booting;

/* ---- threads --------------------------------------------------------------------------------------------------- */

#define ROUND_FIRST 1
#define ROUND_LAST 2

/* Keys are destroyed in rounds, in no order: ours waits for a second one, so that what other destructors allocate and free
 * still goes the usual way, and no longer: a thread that first allocates in a late round must come to its end too. */
static void thread_ends(void *round) {
    if ((uintptr_t)round < ROUND_LAST) {
        pthread_setspecific(thread_key, (void *)ROUND_LAST);
        return;
    }
    psc_track_thread_end();
    psc_heap_thread_end();
}

#define KEYS_IN_THREAD 32u

/* The last one of those whose values glibc keeps in the thread itself: to set another takes memory. Not the first one, that is
 * the program's: where dlmopen brings a second libc, that one begins with it anew, in the same place of the thread. */
static bool make_thread_key(void) {
    pthread_key_t keys[KEYS_IN_THREAD];
    uint32_t count = 0;
    while (count < KEYS_IN_THREAD && pthread_key_create(&keys[count], thread_ends) == 0) {
        if (keys[count++] >= KEYS_IN_THREAD - 1) {
            break;
        }
    }
    uint32_t kept = count > 1 && keys[count - 1] >= KEYS_IN_THREAD ? count - 2 : count - 1;
    for (uint32_t i = 0; i < count; i++) {
        if (i != kept) {
            pthread_key_delete(keys[i]);
        }
    }
    thread_key = count > 0 ? keys[kept] : 0;
    return count > 0;
}

static void thread_began(void) {
    if (PSC_LOAD_ACQUIRE(&thread_key_made)) {
        pthread_setspecific(thread_key, (void *)ROUND_FIRST);
    }
}

/* ---- fork ------------------------------------------------------------------------------------------------------ */

/* A signal handler may fork where its thread holds locks: it would wait for itself, or for who waits for what it holds. So
 * none is taken then, and a child of threads has to make do with what it finds. */
static PSC_TLS uint32_t unlocked_forks; /* that go on, perhaps inside one that has locked */

static void before_fork(void) {
    if (PSC_LOAD(&psc_locks_held) != 0) {
        unlocked_forks++;
        return;
    }
    psc_heap_fork_prepare();
    psc_track_fork_prepare();
}

static void after_fork_in_parent(void) {
    if (unlocked_forks != 0) {
        unlocked_forks--;
        return;
    }
    psc_track_fork_parent();
    psc_heap_fork_parent();
    PSC_STORE(&psc_locks_held, 0); /* there were none when it began, whatever a handler did meanwhile */
}

static void after_fork_in_child(void) {
    psc_lock_reset(&boot_lock);
    psc_track_fork_child();
    psc_heap_fork_child();
    if (unlocked_forks == 0) {
        PSC_STORE(&psc_locks_held, 0);
    }
    unlocked_forks = 0;
}

typedef int (*psc_register_function)(void (*)(void), void (*)(void), void (*)(void), void *);

static int register_in_libc(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object) {
    psc_register_function next = (psc_register_function)(uintptr_t)dlsym(RTLD_NEXT, "__register_atfork");
    return next != NULL ? next(prepare, parent, child, object) : ENOMEM;
}

static void register_fork_handlers(void) {
    static uint32_t done;
    if (__atomic_exchange_n(&done, 1, __ATOMIC_RELAXED) == 0) {
        register_in_libc(before_fork, after_fork_in_parent, after_fork_in_child, NULL);
    }
}

/* What pthread_atfork calls. Ours have to be the first registered, so that they run last before a fork: others' may
 * allocate, or wait for threads that do. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object);
PSC_EXPORT int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object) {
    register_fork_handlers();
    return register_in_libc(prepare, parent, child, object);
}

/* ---- start ----------------------------------------------------------------------------------------------------- */

static const char *find_environment(const char *name) {
    size_t length = strlen(name);
    for (char **entry = environ; *entry != NULL; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            return *entry + length + 1;
        }
    }
    return NULL;
}

static void complain(void *context, const char *message) {
    (void)context;
    psc_say("%s", message);
}

/* A process with more rights than its caller takes nothing from the environment and writes no file. */
static void read_options(void) {
    psc_option_defaults(&options);
    if (getauxval(AT_SECURE) != 0) {
        options.mode = PSC_MODE_OFF;
        return;
    }
    const char *text = find_environment("POOLSCOPE");
    if (text != NULL) {
        psc_option_parse(&options, text, complain, NULL);
    }
    if (options.apart[0] != '\0' && options.mode != PSC_MODE_EXACT) {
        psc_say("apart has no effect: only with mode=exact is each block's site known before the block is made");
        options.apart[0] = '\0';
    }
    if (options.events != 0 && options.mode == PSC_MODE_OFF) {
        psc_say("events=on has no effect: with mode=off nothing is recorded that could be logged");
    }
}

/* Of the mappings that a process may have, guards are to use no more than a part. */
#define GUARDS_SHARE 4

/* What the process does not know of itself: the kernel gave it 16 random bytes. */
static void draw_secret(uint64_t secret[2]) {
    const void *bytes = (const void *)getauxval(AT_RANDOM);
    secret[0] = secret[1] = 0;
    if (bytes != NULL) {
        memcpy(secret, bytes, 2 * sizeof *secret);
    }
}

/* Of the kernel's 16 bytes libc makes what guards its stacks and pointers: what blocks show must not lead back to them. */
static void draw_secret_of_heap(uint64_t secret[2]) {
    if (syscall(SYS_getrandom, secret, 2 * sizeof *secret, GRND_NONBLOCK) != (long)(2 * sizeof *secret)) {
        draw_secret(secret);
        secret[0] = psc_random_seed(secret[0], secret[1]);
        secret[1] = psc_random_seed(secret[0], psc_os_monotonic_ns());
    }
}

static void harden_heap(void) {
    uint64_t secret[2];
    draw_secret_of_heap(secret);
    psc_heap_secure(secret, psc_os_mappings_limit() / GUARDS_SHARE);
}

static void set_up_heap(void) {
    struct psc_heap_hooks hooks = psc_record_hooks;
    hooks.thread_began = thread_began;
    psc_heap_set_hooks(&hooks);
    psc_heap_set_purge(options.purge);
    psc_misuse_ignore(options.on_error == PSC_ON_ERROR_WARN);
    if (options.secure != 0) {
        harden_heap();
    }
    register_fork_handlers();
    if (make_thread_key()) {
        PSC_STORE_RELEASE(&thread_key_made, true);
        thread_began();
    }
}

static bool libc_is_ready(void) {
    return environ != NULL;
}

static uint64_t random_seed(void) {
    uint64_t secret[2];
    draw_secret(secret);
    return secret[0] ^ (uint64_t)getpid();
}

static uint32_t begin_recording(void) {
    if (options.mode == PSC_MODE_OFF || !psc_track_start(&options, psc_record_host())) {
        return PSC_PRELOAD_PLAIN;
    }
    if (options.mode == PSC_MODE_EXACT) {
        return psc_track_has_groups() ? PSC_PRELOAD_APART : PSC_PRELOAD_RECORDING;
    }
    psc_heap_pick(options.interval, options.seed != 0 ? options.seed : random_seed());
    return PSC_PRELOAD_SAMPLING;
}

static void boot(void) {
    read_options();
    set_up_heap();
    uint32_t state = begin_recording();
    PSC_STORE_RELEASE(&psc_preload_state, state);
    if (state != PSC_PRELOAD_PLAIN) {
        psc_heap_each_arena(psc_record_hooks.arena_changed); /* those made before */
    }
    if (state < PSC_PRELOAD_RECORDING) {
        psc_heap_unwatch();
    }
}

uint32_t psc_preload_boot(void) {
    if (psc_preload_booting || !libc_is_ready()) {
        return PSC_PRELOAD_NEW;
    }
    psc_preload_booting = true;
    int saved = errno;
    psc_lock_take(&boot_lock);
    if (PSC_LOAD(&psc_preload_state) == PSC_PRELOAD_NEW) {
        boot();
    }
    psc_lock_release(&boot_lock);
    errno = saved;
    psc_preload_booting = false;
    return PSC_LOAD(&psc_preload_state);
}

/* ---- the executable brings its own malloc ---------------------------------------------------------------------- */

typedef void *(*psc_alloc_function)(size_t bytes);
typedef void (*psc_free_function)(void *p);

/* Tried out rather than compared by address: in a program that is not position-independent and takes malloc's address,
 * its own stub stands for it. */
static bool program_uses_ours(void) {
    psc_alloc_function alloc = (psc_alloc_function)(uintptr_t)dlsym(RTLD_DEFAULT, "malloc");
    psc_free_function release = (psc_free_function)(uintptr_t)dlsym(RTLD_DEFAULT, "free");
    if (alloc == NULL || release == NULL) {
        return true;
    }
    psc_preload_booting = true; /* a block that nobody asked for is not recorded */
    void *p = alloc(1);
    bool ours = p == NULL || psc_heap_owns(p);
    release(p);
    psc_preload_booting = false;
    return ours;
}

static bool passive;

bool psc_preload_is_passive(void) {
    return PSC_LOAD(&passive);
}

static void start_passive(void) {
    PSC_STORE(&passive, true);
    void *theirs = dlsym(RTLD_DEFAULT, "realloc");
    if (theirs != NULL) {
        psc_preload_public_realloc = (void *(*)(void *, size_t))(uintptr_t)theirs;
    }
    psc_lock_take(&boot_lock);
    if (PSC_LOAD(&psc_preload_state) == PSC_PRELOAD_NEW) {
        read_options();
        PSC_STORE(&psc_preload_state, PSC_PRELOAD_PLAIN);
        if (options.mode != PSC_MODE_OFF) {
            psc_track_start_passive(&options);
        }
        psc_heap_unwatch();
    }
    psc_lock_release(&boot_lock);
}

static void ended(void) {
    psc_track_end(PSC_END_EXIT);
}

__attribute__((constructor)) static void constructor(void) {
    at_quick_exit(ended);
    if (program_uses_ours()) {
        psc_preload_now();
    } else {
        start_passive();
    }
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

__attribute__((destructor)) static void destructor(void) {
    ended();
}

/* A child in its parent's memory may have been given thread-local storage of nothing but zeroes, as Chromium's zygote does:
 * not even errno has a place then. It has no trace that could end. */
static bool has_storage(void) {
    return __builtin_thread_pointer() != NULL;
}

PSC_EXPORT _Noreturn void _exit(int status) {
    if (has_storage()) {
        ended();
    }
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

PSC_EXPORT _Noreturn void _Exit(int status) {
    _exit(status);
}
