/* Blocks that one thread makes and another frees, threads that come and go, threads that stay. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/bench/workloads/bench.h"

static pthread_t start(void *(*run)(void *), void *arg) {
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, arg)) {
        bench_fail("no thread");
    }
    return thread;
}

/* ---- pipes: parcels of blocks through a queue; waiting sleeps, so that it costs no CPU time ---- */

enum { PARCEL = 256, QUEUE = 16, PIPE_THREADS = 2 };

struct parcel {
    void *blocks[PARCEL];
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    struct parcel *parcels[QUEUE];
    size_t first, count;
};

static void queue_put(struct queue *queue, struct parcel *parcel) {
    pthread_mutex_lock(&queue->lock);
    while (queue->count == QUEUE) {
        pthread_cond_wait(&queue->emptied, &queue->lock);
    }
    queue->parcels[(queue->first + queue->count++) % QUEUE] = parcel;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

static struct parcel *queue_get(struct queue *queue) {
    struct parcel *parcel;

    pthread_mutex_lock(&queue->lock);
    while (queue->count == 0) {
        pthread_cond_wait(&queue->filled, &queue->lock);
    }
    parcel = queue->parcels[queue->first];
    queue->first = (queue->first + 1) % QUEUE;
    queue->count--;
    pthread_cond_signal(&queue->emptied);
    pthread_mutex_unlock(&queue->lock);
    return parcel;
}

struct pipe_end {
    struct queue *queue;
    pthread_t thread;
    size_t parcels;
    unsigned largest; /* sizes below this power of two */
    uint64_t seed, sum;
};

static void *produce(void *arg) {
    struct pipe_end *self = arg;
    struct bench_rng rng = bench_rng_of(self->seed);

    for (size_t i = 0; i < self->parcels; i++) {
        struct parcel *parcel = malloc(sizeof *parcel);

        if (!parcel) {
            bench_fail("no memory");
        }
        for (uint32_t j = 0; j < PARCEL; j++) {
            parcel->blocks[j] = bench_make(bench_size(&rng, 4, self->largest), j);
        }
        queue_put(self->queue, parcel);
    }
    return NULL;
}

static void *consume(void *arg) {
    struct pipe_end *self = arg;

    for (size_t i = 0; i < self->parcels; i++) {
        struct parcel *parcel = queue_get(self->queue);

        for (int j = 0; j < PARCEL; j++) {
            self->sum += bench_drop(parcel->blocks[j]);
        }
        free(parcel);
    }
    return NULL;
}

static uint64_t pipe_run(int pairs, size_t parcels, unsigned largest) {
    struct queue queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, {NULL}, 0, 0};
    struct pipe_end makers[PIPE_THREADS], takers[PIPE_THREADS];
    uint64_t sum = 0;

    for (int i = 0; i < pairs; i++) {
        makers[i] = (struct pipe_end){&queue, 0, parcels, largest, 20 + (uint64_t)i, 0};
        takers[i] = makers[i];
        makers[i].thread = start(produce, &makers[i]);
        takers[i].thread = start(consume, &takers[i]);
    }
    for (int i = 0; i < pairs; i++) {
        pthread_join(makers[i].thread, NULL);
        pthread_join(takers[i].thread, NULL);
        sum += takers[i].sum;
    }
    return sum;
}

uint64_t bench_pipe(double scale) {
    return pipe_run(1, bench_scaled(scale, 40000), 10);
}

uint64_t bench_pipe_many(double scale) {
    return pipe_run(PIPE_THREADS, bench_scaled(scale, 14000), 12);
}

/* ---- server: lines of threads; each works on what its dead predecessor left, and trades with the living ---- */

enum { LINES = 4, SESSIONS = 5000, MAILBOX = 256, SERVER_STEPS = 20000 };

struct line {
    void **sessions; /* SESSIONS blocks, some NULL */
    struct bench_rng rng;
    size_t threads;   /* still to finish */
    pthread_t thread; /* the last one that finished or is about to; none: 0 */
    uint64_t sum;
};

static _Atomic(void *) mailbox[MAILBOX];
static sem_t line_ended;

/* What is dropped in the end is all that was made, so the sum does not depend on who met whom. */
static void server_step(struct line *line) {
    void **session = &line->sessions[bench_below(&line->rng, SESSIONS)];
    uint32_t what = bench_random(&line->rng);
    size_t bytes = bench_size(&line->rng, 4, what & 0xf0 ? 10 : 13);

    if (*session && (what & 7) == 0) {
        *session = atomic_exchange(&mailbox[what >> 8 & (MAILBOX - 1)], *session);
    }
    if (*session) {
        line->sum += bench_drop(*session);
    }
    *session = bench_make(bytes, what);
}

static void *server_thread(void *arg) {
    struct line *line = arg;

    if (line->thread) {
        pthread_join(line->thread, NULL);
    }
    for (int i = 0; i < SERVER_STEPS; i++) {
        server_step(line);
    }
    line->thread = pthread_self();
    if (--line->threads > 0) {
        start(server_thread, line); /* from here on the line is the successor's */
    } else {
        sem_post(&line_ended);
    }
    return NULL;
}

static uint64_t drop_sessions(struct line *line) {
    uint64_t sum = line->sum;

    for (int i = 0; i < SESSIONS; i++) {
        if (line->sessions[i]) {
            sum += bench_drop(line->sessions[i]);
        }
    }
    return sum;
}

uint64_t bench_server(double scale) {
    struct line lines[LINES];
    uint64_t sum = 0;

    sem_init(&line_ended, 0, 0);
    for (int i = 0; i < LINES; i++) {
        void **sessions = bench_table(SESSIONS * sizeof *sessions);

        lines[i] = (struct line){sessions, bench_rng_of(30 + (uint64_t)i), bench_scaled(scale, 80), 0, 0};
        start(server_thread, &lines[i]);
    }
    for (int i = 0; i < LINES; i++) {
        sem_wait(&line_ended);
    }
    for (int i = 0; i < LINES; i++) {
        pthread_join(lines[i].thread, NULL);
        sum += drop_sessions(&lines[i]);
    }
    for (int i = 0; i < MAILBOX; i++) {
        if (mailbox[i]) {
            sum += bench_drop(mailbox[i]);
        }
    }
    return sum;
}

/* ---- threads that stay ---- */

enum { STAYING = 1000, STAYING_STACK = 128 << 10, PAGES_MAX = STAYING_STACK / 4096 };

static pthread_barrier_t all_there, all_leave;

static void *stay(void *arg) {
    void *block = bench_make(100, 1);

    pthread_barrier_wait(&all_there);
    pthread_barrier_wait(&all_leave);
    *(uint64_t *)arg = bench_drop(block);
    return NULL;
}

static size_t resident(void *stack) {
    unsigned char pages[PAGES_MAX];
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), count = 0;

    if (mincore(stack, STAYING_STACK, pages)) {
        bench_fail("mincore");
    }
    for (size_t i = 0; i < STAYING_STACK / page_bytes; i++) {
        count += pages[i] & 1;
    }
    return count * page_bytes;
}

static void start_on(pthread_t *thread, void *stack, uint64_t *sum) {
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, stack, STAYING_STACK) || pthread_create(thread, &attributes, stay, sum)) {
        bench_fail("no thread");
    }
    pthread_attr_destroy(&attributes);
}

/* The stacks are ours, so that their resident pages (thread-local variables lie there too) can be taken off. */
uint64_t bench_threads_idle(double scale) {
    size_t count = scale < 1 ? bench_scaled(scale, STAYING) : STAYING, stack_bytes = 0, before, after;
    pthread_t *threads = bench_table(STAYING * sizeof *threads);
    uint64_t *sums = bench_table(STAYING * sizeof *sums), sum = 0;
    char *stacks = mmap(NULL, (size_t)STAYING * STAYING_STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (stacks == MAP_FAILED || madvise(stacks, (size_t)STAYING * STAYING_STACK, MADV_NOHUGEPAGE)) {
        bench_fail("no memory for stacks");
    }
    pthread_barrier_init(&all_there, NULL, (unsigned)count + 1);
    pthread_barrier_init(&all_leave, NULL, (unsigned)count + 1);
    free(malloc(100));
    before = bench_rss();
    for (size_t i = 0; i < count; i++) {
        start_on(&threads[i], stacks + i * STAYING_STACK, &sums[i]);
    }
    pthread_barrier_wait(&all_there);
    after = bench_rss();
    for (size_t i = 0; i < count; i++) {
        stack_bytes += resident(stacks + i * STAYING_STACK);
    }
    bench_figure("kib_per_thread", ((double)after - (double)before - (double)stack_bytes) / 1024 / (double)count);
    pthread_barrier_wait(&all_leave);
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        sum += sums[i];
    }
    return sum;
}
