/* Programs that misuse the heap, each a few lines, by name: misuses NAME. What was misused is looked at afterwards: many
 * blocks are made, filled, and compared. Ends with
 *
 *   0, "harmless"    nobody noticed, and no harm came of it that could be seen
 *   3, "corrupted"   a block has two owners, or lies where no heap is
 *   77, "absent"     there is no such function here
 *   a signal         it was noticed (SIGABRT), or the allocator fell over it
 *
 * misuses --list prints for each: name, sentence, calls. The sentence is how poolscope has to answer, by its name in
 * core/heap/misuse.h; `any` one of them; `none`: the program wrote where it should not have, and nothing is promised.
 * `calls` is how many have to be refused where misuse is ignored.
 * victim-flags: -O1 -ldl */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

void free_sized(void *p, size_t bytes) __attribute__((weak));
void free_aligned_sized(void *p, size_t alignment, size_t bytes) __attribute__((weak));

/* What the compiler knows of these functions is of no use here. */
static void *(*volatile make)(size_t) = malloc;
static void *(*volatile make_zeroed)(size_t, size_t) = calloc;
static void *(*volatile make_aligned)(size_t, size_t) = memalign;
static void (*volatile drop)(void *) = free;
static void *(*volatile resize)(void *, size_t) = realloc;
static void *(*volatile resize_array)(void *, size_t, size_t) = reallocarray;
static size_t (*volatile usable)(void *) = malloc_usable_size;

static _Alignas(4096) char area[3 * 65536]; /* that no block may be in */
static _Thread_local char of_thread[256] __attribute__((aligned(64)));
static char **arguments;
static size_t looked_for = 100; /* the size of the blocks that are misused */

/* ---- what came of it ------------------------------------------------------------------------------------------- */

struct owned {
    char *p;
    size_t bytes;
};

enum { OWNED_MOST = 4096 };

static struct owned owned[OWNED_MOST];
static size_t owned_count;
static uintptr_t stack_low, stack_high;

static _Noreturn void end(int status, const char *verdict) {
    dprintf(1, "%s\n", verdict);
    _exit(status);
}

static int is_foreign(const char *p) {
    return (p >= area && p < area + sizeof area) || ((uintptr_t)p >= stack_low && (uintptr_t)p < stack_high);
}

static void own(size_t bytes) {
    char *p = make(bytes);
    if (p == NULL || owned_count == OWNED_MOST) {
        return;
    }
    if (is_foreign(p) || !is_aligned(p, 16)) {
        end(3, "corrupted");
    }
    fill(p, bytes, (unsigned)owned_count);
    owned[owned_count++] = (struct owned){p, bytes};
}

static void look(void) {
    for (size_t i = 0; i < owned_count; i++) {
        if (!is_filled(owned[i].p, owned[i].bytes, (unsigned)i)) {
            end(3, "corrupted");
        }
    }
}

static void own_many(void) {
    static const size_t sizes[] = {16, 24, 40, 56, 72, 88, 100, 120, 200, 500, 1000, 1040, 1060, 4000};
    for (int i = 0; i < 25; i++) {
        own(looked_for);
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            own(sizes[j]);
        }
    }
    for (int i = 0; i < 3; i++) {
        own(20000);
        own(40000);
        own(200000);
        own(2u << 20);
    }
    look();
}

/* Twice, so that what lies in wait in caches and lists comes to light. */
static _Noreturn void judge(void) {
    own_many();
    for (size_t i = 0; i < owned_count; i++) {
        drop(owned[i].p);
    }
    owned_count = 0;
    malloc_trim(0);
    own_many();
    end(0, "harmless");
}

/* ---- what the cases share -------------------------------------------------------------------------------------- */

static char *block(size_t bytes) {
    make(bytes); /* stays, and what it lies in with it */
    char *p = make(bytes);
    make(bytes);
    looked_for = bytes;
    return p;
}

static void *thread_drops(void *p) {
    drop(p);
    return NULL;
}

static void in_thread(void *(*function)(void *), void *p) {
    pthread_t thread;
    pthread_create(&thread, NULL, function, p);
    pthread_join(thread, NULL);
}

static void twice(char *p) {
    drop(p);
    drop(p);
}

static void fill_caches(size_t bytes) {
    void *p[8];
    for (int i = 0; i < 8; i++) {
        p[i] = make(bytes);
    }
    for (int i = 0; i < 8; i++) {
        drop(p[i]);
    }
}

static pthread_barrier_t start_line;

static void *drops_at_once(void *p) {
    pthread_barrier_wait(&start_line);
    drop(p);
    return NULL;
}

static void twice_at_once(void *p) {
    pthread_t one, other;
    pthread_barrier_init(&start_line, NULL, 2);
    pthread_create(&one, NULL, drops_at_once, p);
    pthread_create(&other, NULL, drops_at_once, p);
    pthread_join(one, NULL);
    pthread_join(other, NULL);
}

/* The child's end is the program's. */
static int is_child(void) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        return 1;
    }
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

static void *function_of_cxx(const char *name) {
    void *library = dlopen("libstdc++.so.6", RTLD_NOW);
    void *function = library != NULL ? dlsym(library, name) : NULL;
    if (function == NULL) {
        end(77, "absent");
    }
    return function;
}

/* What lists of freed chunks look like where they lie in front of the blocks. */
static char *fake_chunk(char *at, size_t bytes, size_t flags) {
    size_t *words = (size_t *)(void *)at;
    words[0] = 0;
    words[1] = bytes | flags;
    words[bytes / 8] = bytes;
    words[bytes / 8 + 1] = 0x40 | 1;
    words[bytes / 8 + 9] = 0x40 | 1;
    return at + 16;
}

static void sized(void *p, size_t bytes) {
    if (free_sized == NULL) {
        end(77, "absent");
    }
    free_sized(p, bytes);
}

static void aligned_sized(void *p, size_t alignment, size_t bytes) {
    if (free_aligned_sized == NULL) {
        end(77, "absent");
    }
    free_aligned_sized(p, alignment, bytes);
}

static char *volatile hidden;

static void set_words(char *p, size_t count, uint64_t value) {
    hidden = p;
    for (size_t i = 0; i < count; i++) {
        memcpy(hidden + i * 8, &value, 8);
    }
}

/* ---- double free ----------------------------------------------------------------------------------------------- */

static void twice_small(void) { twice(block(100)); }
static void twice_tiny(void) { twice(block(1)); }
static void twice_zero(void) { twice(block(0)); }
static void twice_1000(void) { twice(block(1000)); }
static void twice_4000(void) { twice(block(4000)); }
static void twice_20000(void) { twice(block(20000)); }
static void twice_40000(void) { twice(block(40000)); }
static void twice_200000(void) { twice(block(200000)); }
static void twice_2m(void) { twice(block(2u << 20)); }
static void twice_64m(void) { twice(make(64u << 20)); }
static void twice_alone(void) { twice(make(3000)); }
static void twice_calloc(void) { make(100), twice(make_zeroed(10, 10)); }
static void twice_calloc_2m(void) { twice(make_zeroed(2, 1u << 20)); }
static void twice_aligned_64(void) { make(100), twice(make_aligned(64, 100)); }
static void twice_aligned_4096(void) { twice(make_aligned(4096, 100)); }
static void twice_aligned_1m(void) { twice(make_aligned(1u << 20, 100)); }
static void twice_valloc(void) { twice(valloc(5000)); }
static void twice_realloc(void) { twice(resize(block(100), 110)); }
static void twice_strdup(void) { twice(strdup(arguments[0])); }

static void twice_asprintf(void) {
    char *text = NULL;
    if (asprintf(&text, "%d", getpid()) > 0) {
        twice(text);
    }
}

static void after_another(void) {
    char *a = block(100), *b = block(100);
    drop(a), drop(b), drop(a);
}

static void middle_of_three(void) {
    char *a = block(100), *b = block(100), *c = block(100);
    drop(c), drop(b), drop(a), drop(b);
}

static void after_full_caches(void) {
    char *a = block(100), *b = block(100);
    fill_caches(100);
    drop(a), drop(b), drop(a);
}

static void after_full_caches_1000(void) {
    char *a = block(1000), *b = block(1000);
    fill_caches(1000);
    drop(a), drop(b), drop(a);
}

static void alone_after_full_caches_1000(void) {
    char *a = block(1000);
    fill_caches(1000);
    twice(a);
}

static void key_overwritten(void) {
    char *a = block(100);
    drop(a);
    set_words(a, 2, 0x4141414141414141u);
    drop(a);
}

static void after_other_class(void) {
    char *a = block(100);
    drop(a);
    make(5000);
    drop(a);
}

static void after_same_class(void) {
    char *p[100];
    for (int i = 0; i < 100; i++) {
        p[i] = make(100);
    }
    for (int i = 0; i < 100; i++) {
        drop(p[i]);
    }
    void *again = make(100);
    drop(p[50] != again ? p[50] : p[51]);
}

static void many_again(void) {
    char *p[200];
    make(100);
    for (int i = 0; i < 200; i++) {
        p[i] = make(100);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 200; i++) {
            drop(p[i]);
        }
    }
}

static void thread_then_here(void) {
    char *p = block(100);
    in_thread(thread_drops, p);
    drop(p);
}

static void here_then_thread(void) {
    char *p = block(100);
    drop(p);
    in_thread(thread_drops, p);
}

static void two_threads(void) {
    char *p = block(100);
    in_thread(thread_drops, p);
    in_thread(thread_drops, p);
}

static void two_threads_2m(void) {
    char *p = block(2u << 20);
    in_thread(thread_drops, p);
    in_thread(thread_drops, p);
}

static void at_once(void) { twice_at_once(block(100)); }
static void at_once_40000(void) { twice_at_once(block(40000)); }
static void at_once_2m(void) { twice_at_once(block(2u << 20)); }

static void *makes(void *p) {
    *(char **)p = block(100);
    return NULL;
}

static void of_dead_thread(void) {
    char *p;
    in_thread(makes, &p);
    twice(p);
}

static void *makes_and_drops(void *p) {
    *(char **)p = block(100);
    drop(*(char **)p);
    return NULL;
}

static void dropped_by_dead_thread(void) {
    char *p;
    in_thread(makes_and_drops, &p);
    drop(p);
}

static void in_child(void) {
    char *p = block(100);
    if (is_child()) {
        twice(p);
    }
}

static void again_in_child(void) {
    char *p = block(100);
    drop(p);
    if (is_child()) {
        drop(p);
    }
}

static void again_in_child_2m(void) {
    char *p = block(2u << 20);
    drop(p);
    if (is_child()) {
        drop(p);
    }
}

static void after_realloc(void) {
    char *p = block(100), *q = resize(p, 5000);
    if (q != p) {
        drop(p);
    }
}

static void after_realloc_2m(void) {
    char *p = block(40000), *q = resize(p, 2u << 20);
    if (q != p) {
        drop(p);
    }
}

static void after_realloc_to_0(void) {
    char *p = block(100);
    resize(p, 0);
    drop(p);
}

static void after_trim(void) {
    char *p[500];
    for (int i = 0; i < 500; i++) {
        p[i] = make(2000);
    }
    for (int i = 0; i < 500; i++) {
        drop(p[i]);
    }
    malloc_trim(0);
    drop(p[250]);
}

static void after_trim_2m(void) {
    char *p = block(2u << 20);
    drop(p);
    malloc_trim(0);
    drop(p);
}

static void delete_twice(void) {
    void *(*new_block)(size_t) = (void *(*)(size_t))(uintptr_t)function_of_cxx("_Znwm");
    void (*delete_block)(void *) = (void (*)(void *))(uintptr_t)function_of_cxx("_ZdlPv");
    new_block(100);
    void *p = new_block(100);
    delete_block(p), delete_block(p);
}

static void delete_then_free(void) {
    void *(*new_array)(size_t) = (void *(*)(size_t))(uintptr_t)function_of_cxx("_Znam");
    void (*delete_array)(void *) = (void (*)(void *))(uintptr_t)function_of_cxx("_ZdaPv");
    new_array(100);
    void *p = new_array(100);
    delete_array(p), drop(p);
}

/* ---- use of what is freed -------------------------------------------------------------------------------------- */

static char *freed(size_t bytes) {
    char *p = block(bytes);
    drop(p);
    return p;
}

static void realloc_freed(void) { resize(freed(100), 50); }
static void realloc_freed_larger(void) { resize(freed(100), 5000); }
static void realloc_freed_40000(void) { resize(freed(40000), 50000); }
static void realloc_freed_2m(void) { resize(freed(2u << 20), 4u << 20); }
static void realloc_freed_to_0(void) { resize(freed(100), 0); }
static void reallocarray_freed(void) { resize_array(freed(100), 10, 20); }
static void usable_freed(void) { usable(freed(100)); }
static void usable_freed_2m(void) { usable(freed(2u << 20)); }

static void realloc_twice(void) {
    char *p = block(100);
    resize(p, 5000);
    resize(p, 9000);
}

static void *resizes(void *p) {
    resize(p, 300);
    return NULL;
}

static void realloc_freed_in_thread(void) { in_thread(resizes, freed(100)); }

/* ---- not the beginning of a block ------------------------------------------------------------------------------ */

static void inside_1(void) { drop(block(100) + 1); }
static void inside_8(void) { drop(block(100) + 8); }
static void inside_16(void) { drop(block(100) + 16); }
static void inside_page(void) { drop(block(20000) + 4096); }
static void inside_40000(void) { drop(block(40000) + 4096); }
static void inside_2m(void) { drop(block(2u << 20) + 4096); }
static void inside_2m_odd(void) { drop(block(2u << 20) + 8); }
static void inside_64m(void) { drop((char *)make(64u << 20) + (32u << 20)); }
static void end_of_request(void) { drop(block(100) + 100); }
static void before_8(void) { drop(block(100) - 8); }
static void before_16(void) { drop(block(100) - 16); }
static void before_2m(void) { drop((char *)make(2u << 20) - 4096); }
static void inside_freed(void) { drop(freed(100) + 16); }
static void inside_freed_2m(void) { drop(freed(2u << 20) + 4096); }
static void realigned(void) { drop((char *)(((uintptr_t)block(1000) + 64) & ~(uintptr_t)63)); }
static void realloc_inside(void) { resize(block(100) + 16, 500); }
static void realloc_inside_2m(void) { resize(block(2u << 20) + 4096, 4u << 20); }
static void reallocarray_inside(void) { resize_array(block(100) + 16, 10, 20); }
static void usable_inside(void) { usable(block(100) + 16); }
static void usable_inside_2m(void) { usable(block(2u << 20) + 4096); }
static void inside_in_thread(void) { in_thread(thread_drops, block(100) + 16); }
static void fake_inside(void) { drop(fake_chunk(block(1000) + 32, 0x70, 1)); }
static void fake_inside_large(void) { drop(fake_chunk(block(20000) + 64, 0x500, 1)); }

/* ---- not the heap's -------------------------------------------------------------------------------------------- */

static void on_stack(void) {
    char local[64] __attribute__((aligned(16))) = {0};
    hidden = local;
    drop(hidden);
}

static void *on_stack_of_thread(void *unused) {
    (void)unused;
    on_stack();
    return NULL;
}

static void *map(size_t bytes) {
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void fake_on_stack(void) {
    char local[512] __attribute__((aligned(16))) = {0};
    hidden = local;
    drop(fake_chunk(hidden, 0x70, 1));
}

static void of_static(void) { drop(area + 64); }
static void of_static_page(void) { drop(area + 4096); }
static void of_stack(void) { on_stack(); }
static void of_stack_of_thread(void) { in_thread(on_stack_of_thread, NULL); }
static void of_tls(void) { drop(of_thread); }
static void of_code(void) { drop((void *)(uintptr_t)of_code); }
static void of_literal(void) { drop((void *)(uintptr_t)"a text that nobody allocated"); }
static void of_argument(void) { drop(arguments[1]); }
static void of_environment(void) { drop(environ[0]); }
static void of_libc(void) { drop(stdout); }
static void of_mapping(void) { drop(map(65536)); }
static void of_mapping_middle(void) { drop((char *)map(65536) + 8192); }
static void of_brk(void) { drop(sbrk(8192)); }
static void of_pointer(void) { drop((void *)&hidden); }
static void at_16(void) { drop((void *)(uintptr_t)16); }
static void at_4096(void) { drop((void *)(uintptr_t)4096); }
static void at_wild(void) { drop((void *)(uintptr_t)0x123456789a0); }
static void at_dead_beef(void) { drop((void *)(uintptr_t)0xdeadbeef); }
static void at_non_canonical(void) { drop((void *)(uintptr_t)0xdeadbeefdeadbee0); }
static void at_uninitialised(void) { drop((void *)(uintptr_t)0xa5a5a5a5a5a5a5a5); }
static void at_last(void) { drop((void *)(uintptr_t)-16); }
static void realloc_static(void) { resize(area + 64, 500); }
static void realloc_mapping(void) { resize(map(65536), 200000); }
static void realloc_wild(void) { resize((void *)(uintptr_t)0x123456789a0, 500); }
static void usable_static(void) { usable(area + 64); }
static void usable_wild(void) { usable((void *)(uintptr_t)0x123456789a0); }
static void fake_static(void) { drop(fake_chunk(area + 1024, 0x70, 1)); }
static void fake_static_large(void) { drop(fake_chunk(area + 1024, 0x420, 1)); }
static void fake_static_mapped(void) { drop(fake_chunk(area + 4096, 0x1000, 2)); }
static void fake_stack(void) { fake_on_stack(); }
static void fake_in_mapping(void) { drop(fake_chunk(map(65536), 0x70, 1)); }

/* ---- sizes and alignments -------------------------------------------------------------------------------------- */

static void sized_smaller(void) { sized(block(800), 100); }
static void sized_larger(void) { sized(block(100), 200); }
static void sized_huge(void) { sized(block(100), SIZE_MAX - 100); }
static void sized_zero(void) { sized(block(800), 0); }
static void sized_40000_smaller(void) { sized(block(40000), 100); }
static void sized_40000_larger(void) { sized(block(40000), 90000); }
static void sized_2m_smaller(void) { sized(block(2u << 20), 100); }
static void sized_2m_larger(void) { sized(block(2u << 20), 3u << 20); }
static void sized_freed(void) { sized(freed(100), 100); }
static void sized_inside(void) { sized(block(100) + 16, 84); }
static void sized_static(void) { sized(area + 64, 64); }
static void aligned_smaller(void) { aligned_sized(make_aligned(64, 800), 64, 100); }
static void alignment_odd(void) { aligned_sized(make_aligned(64, 1000), 24, 1000); }
static void alignment_zero(void) { aligned_sized(make_aligned(64, 1000), 0, 1000); }

static void alignment_larger(void) {
    char *p = block(100);
    while (is_aligned(p, 4096)) {
        p = make(100);
    }
    aligned_sized(p, 4096, 100);
}

/* ---- writes: what is promised is that nothing comes of it in the heap's own affairs ------------------------------ */

static void write_freed(size_t bytes, size_t count, uint64_t value) {
    char *a = block(bytes), *b = block(bytes);
    drop(b), drop(a);
    set_words(a, count, value);
}

static void link_to_static(void) { write_freed(100, 1, (uintptr_t)area + 1024); }
static void link_to_static_1000(void) { write_freed(1000, 2, (uintptr_t)area + 1024); }
static void link_to_static_4000(void) { write_freed(4000, 2, (uintptr_t)area + 1024); }
static void link_cleared(void) { write_freed(100, 1, 0); }
static void link_scribbled(void) { write_freed(100, 12, 0x4141414141414141u); }

static void link_after_full_caches(void) {
    char *a = block(1000);
    fill_caches(1000);
    drop(a);
    set_words(a, 2, (uintptr_t)area + 1024);
}

/* Words behind (or before) a block: what lies there has been the neighbour's size for most. */
static void write_beside(size_t bytes, ptrdiff_t at, size_t count, uint64_t value) {
    char *a = make(bytes), *b = make(bytes), *c = make(bytes);
    looked_for = bytes;
    set_words(b + at, count, value);
    drop(a), drop(b), drop(c);
}

static void over_1(void) {
    char *a = make(104), *b = make(104), *c = make(104);
    looked_for = 104;
    hidden = a;
    hidden[104] = 0;
    drop(b), drop(a), drop(c);
}

static void over_8(void) { write_beside(104, 104, 1, 0x4141414141414141u); }
static void over_16(void) { write_beside(104, 104, 2, 0x4141414141414141u); }
static void over_64(void) { write_beside(104, 104, 8, 0x4141414141414141u); }
static void over_4096(void) { make(20000), write_beside(1000, 1000, 512, 0x4141414141414141u); }
static void over_with_size(void) { write_beside(104, 104, 1, 0x1c1); }
static void over_with_size_1000(void) { write_beside(1000, 1000, 1, 0x1001); }
static void under_8(void) { write_beside(104, -8, 1, 0x4141414141414141u); }
static void under_8_with_size(void) { write_beside(104, -8, 1, 0x1c1); }
static void under_8_with_smaller_size(void) { write_beside(1000, -8, 1, 0x41); }
static void under_16(void) { write_beside(104, -16, 2, 0x1c1); }

/* ---- the table ------------------------------------------------------------------------------------------------- */

struct misuse {
    const char *name;
    const char *sentence;
    unsigned calls;
    void (*run)(void);
};

#define ROW(function, sentence) {#function, #sentence, 1, function}

static const struct misuse misuses[] = {
    ROW(twice_small, FREED),
    ROW(twice_tiny, FREED),
    ROW(twice_zero, FREED),
    ROW(twice_1000, FREED),
    ROW(twice_4000, FREED),
    ROW(twice_20000, FREED),
    ROW(twice_40000, FREED),
    ROW(twice_200000, FREED),
    ROW(twice_2m, FREED),
    ROW(twice_64m, FREED),
    ROW(twice_alone, FREED),
    ROW(twice_calloc, FREED),
    ROW(twice_calloc_2m, FREED),
    ROW(twice_aligned_64, FREED),
    ROW(twice_aligned_4096, FREED),
    ROW(twice_aligned_1m, FREED),
    ROW(twice_valloc, FREED),
    ROW(twice_realloc, FREED),
    ROW(twice_strdup, FREED),
    ROW(twice_asprintf, FREED),
    ROW(after_another, FREED),
    ROW(middle_of_three, FREED),
    ROW(after_full_caches, FREED),
    ROW(after_full_caches_1000, FREED),
    ROW(alone_after_full_caches_1000, FREED),
    ROW(key_overwritten, FREED),
    ROW(after_other_class, FREED),
    ROW(after_same_class, FREED),
    {"many_again", "FREED", 200, many_again},
    ROW(thread_then_here, FREED),
    ROW(here_then_thread, FREED),
    ROW(two_threads, FREED),
    ROW(two_threads_2m, FREED),
    ROW(at_once, FREED),
    ROW(at_once_40000, FREED),
    ROW(at_once_2m, FREED),
    ROW(of_dead_thread, FREED),
    ROW(dropped_by_dead_thread, FREED),
    ROW(in_child, FREED),
    ROW(again_in_child, FREED),
    ROW(again_in_child_2m, FREED),
    ROW(after_realloc, FREED),
    ROW(after_realloc_2m, FREED),
    ROW(after_realloc_to_0, FREED),
    ROW(after_trim, any),
    ROW(after_trim_2m, FREED),
    ROW(delete_twice, FREED),
    ROW(delete_then_free, FREED),
    ROW(realloc_freed, STALE),
    ROW(realloc_freed_larger, STALE),
    ROW(realloc_freed_40000, STALE),
    ROW(realloc_freed_2m, STALE),
    ROW(realloc_freed_to_0, FREED),
    ROW(reallocarray_freed, STALE),
    ROW(usable_freed, STALE),
    ROW(usable_freed_2m, STALE),
    ROW(realloc_twice, STALE),
    ROW(realloc_freed_in_thread, STALE),
    ROW(inside_1, INSIDE),
    ROW(inside_8, INSIDE),
    ROW(inside_16, INSIDE),
    ROW(inside_page, INSIDE),
    ROW(inside_40000, INSIDE),
    ROW(inside_2m, INSIDE),
    ROW(inside_2m_odd, INSIDE),
    ROW(inside_64m, INSIDE),
    ROW(end_of_request, INSIDE),
    ROW(before_8, INSIDE),
    ROW(before_16, INSIDE),
    ROW(before_2m, any),
    ROW(inside_freed, INSIDE_FREED),
    ROW(inside_freed_2m, FOREIGN),
    ROW(realigned, INSIDE),
    ROW(realloc_inside, INSIDE),
    ROW(realloc_inside_2m, INSIDE),
    ROW(reallocarray_inside, INSIDE),
    ROW(usable_inside, INSIDE),
    ROW(usable_inside_2m, INSIDE),
    ROW(inside_in_thread, INSIDE),
    ROW(fake_inside, INSIDE),
    ROW(fake_inside_large, INSIDE),
    ROW(of_static, FOREIGN),
    ROW(of_static_page, FOREIGN),
    ROW(of_stack, FOREIGN),
    ROW(of_stack_of_thread, FOREIGN),
    ROW(of_tls, FOREIGN),
    ROW(of_code, FOREIGN),
    ROW(of_literal, FOREIGN),
    ROW(of_argument, FOREIGN),
    ROW(of_environment, FOREIGN),
    ROW(of_libc, FOREIGN),
    ROW(of_mapping, FOREIGN),
    ROW(of_mapping_middle, FOREIGN),
    ROW(of_brk, FOREIGN),
    ROW(of_pointer, FOREIGN),
    ROW(at_16, FOREIGN),
    ROW(at_4096, FOREIGN),
    ROW(at_wild, FOREIGN),
    ROW(at_dead_beef, FOREIGN),
    ROW(at_non_canonical, FOREIGN),
    ROW(at_uninitialised, FOREIGN),
    ROW(at_last, FOREIGN),
    ROW(realloc_static, FOREIGN),
    ROW(realloc_mapping, FOREIGN),
    ROW(realloc_wild, FOREIGN),
    ROW(usable_static, FOREIGN),
    ROW(usable_wild, FOREIGN),
    ROW(fake_static, FOREIGN),
    ROW(fake_static_large, FOREIGN),
    ROW(fake_static_mapped, FOREIGN),
    ROW(fake_stack, FOREIGN),
    ROW(fake_in_mapping, FOREIGN),
    ROW(sized_smaller, SIZE),
    ROW(sized_larger, SIZE),
    ROW(sized_huge, SIZE),
    ROW(sized_zero, SIZE),
    ROW(sized_40000_smaller, SIZE),
    ROW(sized_40000_larger, SIZE),
    ROW(sized_2m_smaller, SIZE),
    ROW(sized_2m_larger, SIZE),
    ROW(sized_freed, FREED),
    ROW(sized_inside, INSIDE),
    ROW(sized_static, FOREIGN),
    ROW(aligned_smaller, SIZE),
    ROW(alignment_odd, ALIGNMENT),
    ROW(alignment_zero, ALIGNMENT),
    ROW(alignment_larger, ALIGNMENT),
    ROW(link_to_static, none),
    ROW(link_to_static_1000, none),
    ROW(link_to_static_4000, none),
    ROW(link_cleared, none),
    ROW(link_scribbled, none),
    ROW(link_after_full_caches, none),
    ROW(over_1, none),
    ROW(over_8, none),
    ROW(over_16, none),
    ROW(over_64, none),
    ROW(over_4096, none),
    ROW(over_with_size, none),
    ROW(over_with_size_1000, none),
    ROW(under_8, none),
    ROW(under_8_with_size, none),
    ROW(under_8_with_smaller_size, none),
    ROW(under_16, none),
};

enum { MISUSES = sizeof misuses / sizeof *misuses };

int main(int argc, char **argv) {
    arguments = argv;
    stack_high = (uintptr_t)__builtin_frame_address(0);
    stack_low = stack_high - 65536;
    for (size_t i = 0; i < MISUSES && argc == 2; i++) {
        if (strcmp(argv[1], "--list") == 0) {
            printf("%s %s %u\n", misuses[i].name, misuses[i].sentence, misuses[i].calls);
        } else if (strcmp(argv[1], misuses[i].name) == 0) {
            misuses[i].run();
            judge();
        }
    }
    return argc == 2 && strcmp(argv[1], "--list") == 0 ? 0 : 2;
}
