/* stress SECONDS THREADS SEED: random calls of the whole malloc family by so many threads, and as many short-lived ones
 * beside them that hand blocks to each other, and forks; all that was promised about each block is checked: contents,
 * alignment, usable size, zeroes, errno. Tells on stderr the seed, and at the end how often each function was called.
 * What does not hold is told and ends the process with SIGABRT.
 *
 * Its own tables are mapped, never allocated. A block is filled as far as it may be used, so that two that overlap spoil
 * each other's contents. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/victims/expect.h"

/* In a child of a process with threads the thread sanitizer does not go on, and the address sanitizer takes what was the
 * stack of a thread that the child does not have for one still. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CAN_FORK 0
#else
#define CAN_FORK 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CAN_BE_SHORT 0 /* so would the runtime be */
#else
#define CAN_BE_SHORT 1
#endif

void free_sized(void *p, size_t bytes) __attribute__((weak)); /* not yet in every libc */
void free_aligned_sized(void *p, size_t alignment, size_t bytes) __attribute__((weak));

#define THREADS_MOST 64
#define SLOTS 600     /* of a thread; as many again are lent to the short-lived one beside it */
#define MAILBOXES 256 /* of all threads */
#define PHASE_STEPS 2000
#define TOUCHED_MOST ((size_t)16 << 20) /* by a player, about */
#define DEPTH 12
#define FORK_EVERY_NS 2000000000u /* each thread */

enum how { PLAIN, ALIGNED }; /* to be freed by size, or by alignment and size */

struct block {
    unsigned char *p; /* NULL: none */
    size_t asked, usable, alignment;
    uint64_t pattern; /* word i holds pattern + i */
    enum how how;
};

#define CALLS(CALL)                                                                                                    \
    CALL(malloc)                                                                                                       \
    CALL(calloc)                                                                                                       \
    CALL(realloc)                                                                                                      \
    CALL(reallocarray)                                                                                                 \
    CALL(posix_memalign)                                                                                               \
    CALL(aligned_alloc)                                                                                                \
    CALL(memalign)                                                                                                     \
    CALL(valloc)                                                                                                       \
    CALL(pvalloc) CALL(free) CALL(free_sized) CALL(free_aligned_sized) CALL(malloc_usable_size) CALL(malloc_trim)      \
        CALL(mallinfo2) CALL(mallopt) CALL(refused) CALL(no_memory) CALL(pthread_create) CALL(fork)
#define CALL_ENUM(name) CALL_##name,
#define CALL_NAME(name) #name,
enum call { CALLS(CALL_ENUM) CALL_COUNT };
static const char *const call_names[] = {CALLS(CALL_NAME)};

struct player {
    uint64_t random;
    struct block **slots;
    uint32_t slot_count;
    uint32_t shift; /* most sizes are in the upper half of 1 << shift */
    bool grows;
    bool may_fail; /* memory is short */
    size_t touched;
    uint64_t calls[CALL_COUNT];
};

struct worker {
    struct player player, lent; /* the second is the short-lived threads' */
    uint64_t next_fork_ns;
    uint32_t lent_ends; /* atomic: threads that have played with it to their end */
};

static struct worker *workers;
static struct block *mailboxes[MAILBOXES]; /* atomic */
static uint64_t deadline_ns, seed;
static pthread_key_t key;

static _Noreturn void broken(const char *what, const struct block *block, size_t at) {
    dprintf(2, "stress: pid %d, seed %llu: %s: block %p of %zu bytes, usable %zu, aligned to %zu; at %zu\n", getpid(),
            (unsigned long long)seed, what, (void *)block->p, block->asked, block->usable, block->alignment, at);
    abort();
}

static void need(bool holds, const char *what, const struct block *block) {
    if (__builtin_expect(!holds, 0)) {
        broken(what, block, 0);
    }
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t draw(struct player *player, uint32_t below) {
    player->random = player->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((player->random >> 33) % below);
}

static void count(struct player *player, enum call call) {
    player->calls[call]++;
}

/* ---- contents ---------------------------------------------------------------------------------------------------- */

/* The word that is looked at after word i: what happens to pages happens to all of a page, and first touches are dear. */
static size_t next_word(size_t i) {
    return i + (i < 256 ? 1 : i < 8192 ? 61 : i < (size_t)8 << 20 ? 509 : (size_t)4 << 20);
}

static size_t words_of(const struct block *block) {
    return block->usable / sizeof(uint64_t);
}

static void fill_block(struct block *block) {
    static uint64_t last;
    uint64_t *words = (uint64_t *)(void *)block->p;
    size_t count_of = words_of(block);
    block->pattern = __atomic_add_fetch(&last, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);
    for (size_t i = 0; i < count_of; i = next_word(i)) {
        words[i] = block->pattern + i;
    }
    if (count_of > 0) {
        words[count_of - 1] = block->pattern + count_of - 1;
    }
}

/* The first `bytes` of p hold what the block held. */
static void verify_at(const struct block *block, const void *p, size_t bytes) {
    const uint64_t *words = p;
    size_t count_of = bytes / sizeof *words;
    for (size_t i = 0; i < count_of; i = next_word(i)) {
        if (words[i] != block->pattern + i) {
            broken("contents changed", block, i * sizeof *words);
        }
    }
    if (count_of > 0 && count_of == words_of(block) && words[count_of - 1] != block->pattern + count_of - 1) {
        broken("contents changed at the end", block, bytes);
    }
}

static void verify_block(struct player *player, const struct block *block) {
    count(player, CALL_malloc_usable_size);
    need(malloc_usable_size(block->p) == block->usable, "another usable size", block);
    verify_at(block, block->p, block->usable);
}

static void verify_zero(const struct block *block) {
    const uint64_t *words = (const uint64_t *)(const void *)block->p;
    for (size_t i = 0; i < block->asked / sizeof *words; i = next_word(i)) {
        need(words[i] == 0, "not zeroed", block);
    }
    for (size_t i = block->asked & ~(size_t)7; i < block->asked; i++) {
        need(block->p[i] == 0, "not zeroed at the end", block);
    }
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static size_t draw_large(struct player *player, uint32_t kind) {
    if (kind == 0) { /* address space, hardly touched */
        return ((size_t)1 << 30) + ((size_t)draw(player, 1 << 30) << draw(player, 3));
    }
    return draw(player, kind < 16 ? (uint32_t)32 << 20 : (uint32_t)2 << 20);
}

static size_t touched_of(size_t bytes) {
    return bytes < (size_t)64 << 20 ? bytes : (size_t)64 << 20;
}

static size_t draw_size(struct player *player) {
    uint32_t kind = draw(player, 1 << 17);
    size_t bytes;
    if (kind < 128) {
        bytes = draw_large(player, kind);
    } else if (kind < 16384) {
        bytes = draw(player, kind < 1024 ? 200000 : 2000);
    } else {
        uint32_t most = 1u << player->shift;
        bytes = most - draw(player, most / 2);
    }
    return player->touched + touched_of(bytes) <= TOUCHED_MOST ? bytes : draw(player, 2000);
}

/* No machine has so much. */
static size_t draw_absurd(struct player *player) {
    size_t bytes = SIZE_MAX - draw(player, 10000);
    return draw(player, 2) == 0 ? bytes : bytes - PTRDIFF_MAX + 10000;
}

static void change_phase(struct player *player) {
    player->shift = 3 + draw(player, 11);
    player->grows = draw(player, 2) == 0;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static void enter(struct player *player, struct block *block, void *p, size_t bytes, size_t alignment, bool zeroed) {
    *block = (struct block){.p = p, .asked = bytes, .alignment = alignment, .how = alignment > 1 ? ALIGNED : PLAIN};
    if (p == NULL) {
        need(errno == ENOMEM && (player->may_fail || bytes >= (size_t)1 << 30), "no memory", block);
        count(player, CALL_no_memory);
        return;
    }
    count(player, CALL_malloc_usable_size);
    block->usable = malloc_usable_size(p);
    need((uintptr_t)p % 16 == 0 && (uintptr_t)p % alignment == 0, "not aligned", block);
    need(block->usable >= bytes, "less is usable than was asked for", block);
    if (zeroed) {
        verify_zero(block);
    }
    fill_block(block);
    player->touched += touched_of(block->usable);
}

static void forget(struct player *player, struct block *block) {
    size_t touched = touched_of(block->usable);
    player->touched -= touched < player->touched ? touched : player->touched;
    *block = (struct block){.p = NULL};
}

static void call_posix_memalign(struct player *player, struct block *block, size_t bytes, size_t alignment) {
    void *p = NULL;
    alignment = alignment < sizeof(void *) ? sizeof(void *) : alignment;
    errno = EXDEV;
    int error = posix_memalign(&p, alignment, bytes);
    need(errno == EXDEV, "posix_memalign set errno", block);
    errno = error;
    enter(player, block, p, bytes, alignment, false);
    block->how = PLAIN;
}

static void make_aligned(struct player *player, struct block *block) {
    static const enum call calls[] = {CALL_posix_memalign, CALL_aligned_alloc, CALL_memalign, CALL_valloc,
                                      CALL_pvalloc};
    enum call call = calls[draw(player, 5)];
    size_t bytes = draw_size(player), alignment = (size_t)1 << draw(player, draw(player, 8) == 0 ? 22 : 13);
    count(player, call);
    switch (call) {
    case CALL_posix_memalign: call_posix_memalign(player, block, bytes, alignment); break;
    case CALL_aligned_alloc: enter(player, block, aligned_alloc(alignment, bytes), bytes, alignment, false); break;
    case CALL_memalign: enter(player, block, memalign(alignment, bytes), bytes, alignment, false); break;
    case CALL_valloc: enter(player, block, valloc(bytes), bytes, 4096, false); break;
    default: enter(player, block, pvalloc(bytes), (bytes + 4095) / 4096 * 4096, 4096, false); break;
    }
    if (call != CALL_aligned_alloc) {
        block->how = PLAIN;
    }
}

__attribute__((noinline)) static void make(struct player *player, struct block *block) {
    size_t bytes = draw_size(player), parts = 1 + draw(player, 9);
    switch (draw(player, 16)) {
    case 0:
    case 1:
        count(player, CALL_calloc);
        enter(player, block, calloc(parts, bytes / parts), bytes / parts * parts, 1, true);
        break;
    case 2:
        count(player, CALL_realloc);
        enter(player, block, realloc(NULL, bytes), bytes, 1, false);
        break;
    case 3:
        count(player, CALL_reallocarray);
        enter(player, block, reallocarray(NULL, parts, bytes / parts), bytes / parts * parts, 1, false);
        break;
    case 4:
    case 5: make_aligned(player, block); break;
    default:
        count(player, CALL_malloc);
        enter(player, block, malloc(bytes), bytes, 1, false);
        break;
    }
}

static void drop(struct player *player, struct block *block) {
    verify_block(player, block);
    errno = ENOTTY;
    if (block->how == ALIGNED && free_aligned_sized != NULL && draw(player, 2) == 0) {
        count(player, CALL_free_aligned_sized);
        free_aligned_sized(block->p, block->alignment, block->asked);
    } else if (block->how == PLAIN && block->alignment <= 1 && free_sized != NULL && draw(player, 4) == 0) {
        count(player, CALL_free_sized);
        free_sized(block->p, block->asked);
    } else {
        count(player, CALL_free);
        free(block->p);
    }
    need(errno == ENOTTY, "free changed errno", block);
    forget(player, block);
}

/* Any size, or one to which it may be resized where it is. */
static size_t draw_new_size(struct player *player, const struct block *block) {
    bool near = block->usable < 3000000 && draw(player, 2) == 0;
    return near ? block->usable / 2 + draw(player, (uint32_t)block->usable + 16) : draw_size(player);
}

static void resize(struct player *player, struct block *block) {
    size_t parts = 1 + draw(player, 9), bytes = draw_new_size(player, block) / parts * parts;
    bool array = draw(player, 3) == 0;
    struct block old = *block;
    verify_block(player, block);
    count(player, array ? CALL_reallocarray : CALL_realloc);
    errno = 0;
    void *p = array ? reallocarray(block->p, parts, bytes / parts) : realloc(block->p, bytes);
    if (bytes == 0) {
        need(p == NULL && errno == 0, "realloc to 0 gave a block", &old);
        forget(player, block);
        return;
    }
    if (p == NULL) {
        need(errno == ENOMEM && (player->may_fail || bytes >= (size_t)1 << 30), "no memory to resize", block);
        count(player, CALL_no_memory);
        verify_block(player, block);
        return;
    }
    verify_at(&old, p, old.usable < bytes ? old.usable : bytes);
    forget(player, block);
    enter(player, block, p, bytes, 1, false);
}

static void refuse(struct player *player, struct block *block) {
    volatile size_t absurd = draw_absurd(player), half = SIZE_MAX / 2; /* compilers warn of such sizes */
    void *p = block->p;                                                /* NULL or not */
    count(player, CALL_refused);
    errno = 0;
    switch (draw(player, 6)) {
    case 0: p = malloc(absurd); break;
    case 1: p = calloc(absurd, 2 + draw(player, 1000)); break;
    case 2: p = realloc(block->p, absurd); break;
    case 3: p = reallocarray(block->p, half, 3 + draw(player, 100)); break;
    case 4: p = aligned_alloc((size_t)1 << draw(player, 30), absurd); break;
    default: p = draw(player, 2) == 0 ? valloc(absurd) : pvalloc(absurd); break;
    }
    need(p == NULL && errno == ENOMEM, "an absurd size was not refused", block);
    p = block;
    need(posix_memalign(&p, 24, 10) == EINVAL && p == block, "an absurd alignment was not refused", block);
    need(posix_memalign(&p, 64, absurd) == ENOMEM && p == block, "an absurd aligned size was not refused", block);
    if (block->p != NULL) {
        verify_block(player, block);
    }
}

static void ask_the_heap(struct player *player) {
    static const struct block none;
    switch (draw(player, 8)) {
    case 0:
        count(player, CALL_malloc_trim);
        malloc_trim(draw(player, 1000000));
        break;
    case 1:
        count(player, CALL_mallopt);
        need(mallopt(M_TRIM_THRESHOLD, 128 << 10) == 1, "mallopt", &none);
        break;
    default:
        count(player, CALL_mallinfo2);
        need(mallinfo2().fordblks < (size_t)1 << 46, "mallinfo2", &none);
        break;
    }
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static void hand_over(struct player *player, uint32_t slot) {
    struct block *mine = player->slots[slot];
    verify_block(player, mine);
    size_t touched = touched_of(mine->usable);
    player->touched -= touched < player->touched ? touched : player->touched;
    struct block *got = __atomic_exchange_n(&mailboxes[draw(player, MAILBOXES)], mine, __ATOMIC_ACQ_REL);
    player->slots[slot] = got;
    if (got->p != NULL) {
        verify_block(player, got);
        player->touched += touched_of(got->usable);
    }
}

static void step(struct player *player) {
    uint32_t slot = draw(player, player->slot_count), kind = draw(player, 4096);
    struct block *block = player->slots[slot];
    if (kind < 4) {
        ask_the_heap(player);
    } else if (kind < 24) {
        refuse(player, block);
    } else if (block->p == NULL) {
        make(player, block);
    } else if (kind % 8 == 0) {
        resize(player, block);
    } else if (kind % 8 == 1) {
        hand_over(player, slot);
    } else if (player->grows && kind % 8 < 6) {
        verify_block(player, block);
    } else {
        drop(player, block);
    }
}

/* So many frames above a step, in one of a few orders. */
typedef void descent(struct player *player, uint32_t way, uint32_t depth);
static descent descend_left, descend_right;

static void descend(struct player *player, uint32_t way, uint32_t depth) {
    if (depth == 0) {
        step(player);
    } else {
        (way >> depth % 3 & 1 ? descend_left : descend_right)(player, way, depth - 1);
    }
    __asm__ volatile("" ::: "memory"); /* no jumps in place of calls */
}

__attribute__((noinline)) static void descend_left(struct player *player, uint32_t way, uint32_t depth) {
    descend(player, way, depth);
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void descend_right(struct player *player, uint32_t way, uint32_t depth) {
    descend(player, way, depth);
    __asm__ volatile("");
}

static void play(struct player *player, uint32_t steps) {
    change_phase(player);
    for (uint32_t i = 0; i < steps; i++) {
        descend(player, draw(player, 8), draw(player, DEPTH));
    }
}

static void drop_all(struct player *player) {
    for (uint32_t i = 0; i < player->slot_count; i++) {
        if (player->slots[i]->p != NULL) {
            drop(player, player->slots[i]);
        }
    }
}

/* Of all mailboxes; nobody else plays. */
static void drop_mail(struct player *player) {
    for (uint32_t i = 0; i < MAILBOXES; i++) {
        if (mailboxes[i]->p != NULL) {
            drop(player, mailboxes[i]);
        }
    }
}

/* ---- short-lived threads ----------------------------------------------------------------------------------------- */

/* While the thread's keys are destroyed. */
static void last_words(void *block) {
    free(block);
    free(malloc(300));
}

static void *live_shortly(void *of_worker) {
    struct worker *worker = of_worker;
    pthread_setspecific(key, malloc(100));
    play(&worker->lent, 1 + draw(&worker->lent, PHASE_STEPS));
    __atomic_add_fetch(&worker->lent_ends, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Joined, or detached: then the next one may begin while it dies. */
static void begin_short_life(struct worker *worker, pthread_t *thread, bool *joined) {
    static const struct block none;
    int error = pthread_create(thread, NULL, live_shortly, worker);
    need(error == 0 || (error == EAGAIN && worker->player.may_fail), "pthread_create", &none);
    count(&worker->player, CALL_pthread_create);
    *joined = draw(&worker->player, 2) == 0;
    if (error != 0) {
        *joined = false;
        worker->lent_ends++;
    } else if (!*joined) {
        pthread_detach(*thread);
    }
}

static void play_with_another(struct worker *worker, uint32_t steps) {
    pthread_t thread;
    bool joined;
    uint32_t ends = worker->lent_ends;
    begin_short_life(worker, &thread, &joined);
    play(&worker->player, steps);
    if (joined) {
        pthread_join(thread, NULL);
    }
    while (__atomic_load_n(&worker->lent_ends, __ATOMIC_ACQUIRE) == ends) {
        usleep(100);
    }
}

/* ---- forks ------------------------------------------------------------------------------------------------------- */

static size_t address_space(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu", &pages) != 1) {
        abort();
    }
    fclose(file);
    return pages * 4096;
}

/* The child has this thread's blocks, those in mailboxes, and what others were playing with when it was made: these it
 * leaves alone. Every second one is short of memory. */
static _Noreturn void be_child(struct worker *worker) {
    struct player *player = &worker->player, *lent = &worker->lent;
    if (CAN_BE_SHORT && draw(player, 2) == 0) {
        struct rlimit limit = {.rlim_cur = address_space() + (16 << 20), .rlim_max = RLIM_INFINITY};
        player->may_fail = setrlimit(RLIMIT_AS, &limit) == 0;
    }
    *lent = *player; /* half of the slots for a thread of the child's own */
    player->slot_count /= 2;
    lent->slots += player->slot_count;
    lent->slot_count -= player->slot_count;
    lent->random += 1;
    for (int i = 0; i < 2; i++) {
        play_with_another(worker, PHASE_STEPS);
    }
    drop_mail(player);
    drop_all(player);
    drop_all(lent);
    _exit(0);
}

static void fork_child(struct worker *worker) {
    static const struct block none;
    uint64_t now = now_ns();
    if (!CAN_FORK || now < worker->next_fork_ns) {
        return;
    }
    worker->next_fork_ns = now + FORK_EVERY_NS;
    count(&worker->player, CALL_fork);
    pid_t pid = fork();
    if (pid == 0) {
        be_child(worker);
    }
    int status = -1;
    need(pid > 0 && waitpid(pid, &status, 0) == pid, "fork", &none);
    if (status != 0) {
        broken("a child failed (at: its status)", &none, (size_t)status);
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void *work(void *of_worker) {
    struct worker *worker = of_worker;
    while (now_ns() < deadline_ns) {
        play_with_another(worker, PHASE_STEPS);
        fork_child(worker);
    }
    drop_all(&worker->player);
    drop_all(&worker->lent);
    return NULL;
}

static void *map(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("stress");
        exit(1);
    }
    return p;
}

static void set_up_player(struct player *player, uint32_t number, struct block **slots) {
    *player = (struct player){.random = seed * 1000 + number, .slots = slots, .slot_count = SLOTS};
    draw(player, 2);
}

/* A block's table entry stands in exactly one slot or mailbox at a time. */
static void set_up(uint32_t threads) {
    size_t entries = (size_t)threads * 2 * SLOTS + MAILBOXES;
    struct block *blocks = map(entries * sizeof *blocks);
    struct block **slots = map(entries * sizeof(struct block *));
    workers = map(threads * sizeof *workers);
    for (size_t i = 0; i < entries; i++) {
        slots[i] = &blocks[i];
    }
    for (uint32_t i = 0; i < threads; i++) {
        set_up_player(&workers[i].player, 2 * i, slots + (size_t)2 * i * SLOTS);
        set_up_player(&workers[i].lent, 2 * i + 1, slots + (size_t)(2 * i + 1) * SLOTS);
        workers[i].next_fork_ns = now_ns() + i * (uint64_t)FORK_EVERY_NS / threads;
    }
    for (size_t i = 0; i < MAILBOXES; i++) {
        mailboxes[i] = slots[entries - MAILBOXES + i];
    }
}

static void tell_calls(uint32_t threads) {
    uint64_t all = 0;
    for (int call = 0; call < CALL_COUNT; call++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < threads; i++) {
            sum += workers[i].player.calls[call] + workers[i].lent.calls[call];
        }
        all += sum;
        dprintf(2, "%s %llu\n", call_names[call], (unsigned long long)sum);
    }
    dprintf(2, "all %llu\n", (unsigned long long)all);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    uint32_t threads = argc > 2 ? (uint32_t)atoi(argv[2]) : 4;
    pthread_t ids[THREADS_MOST];
    seed = argc > 3 ? strtoul(argv[3], NULL, 10) : (uint64_t)time(NULL) + (uint64_t)getpid();
    if (threads < 1 || threads > THREADS_MOST) {
        return 2;
    }
    dprintf(2, "stress: pid %d, seed %llu\n", getpid(), (unsigned long long)seed);
    deadline_ns = now_ns() + (uint64_t)(seconds * 1e9);
    EXPECT(pthread_key_create(&key, last_words) == 0);
    set_up(threads);
    for (uint32_t i = 0; i < threads; i++) {
        EXPECT(pthread_create(&ids[i], NULL, work, &workers[i]) == 0);
    }
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
    }
    drop_mail(&workers[0].player);
    tell_calls(threads);
    return expect_end();
}
