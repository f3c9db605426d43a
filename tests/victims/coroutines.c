/* Coroutines on small stacks between pages that cannot be read, in the main thread and right below a thread's stack: those
 * of makecontext, and those of a switch in assembly that no table describes. Stacks are left, unmapped and mapped again.
 * victim-flags: -O2 -fomit-frame-pointer */
#include <alloca.h>
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/victims/expect.h"

#define PAGE ((size_t)4096)
#define STACK_BYTES ((size_t)16384)
#define COROUTINES 4
#define TURNS 6
#define KEPT __attribute__((noinline, noclone))

struct coroutine {
    char *stack; /* STACK_BYTES, a page on either side that cannot be read */
    void *sp;    /* of the switch in assembly */
    ucontext_t context;
    int turns;
};

static __thread ucontext_t scheduler;
static __thread void *scheduler_sp;
static __thread struct coroutine *running;

KEPT static void touch(size_t bytes) {
    void *volatile p = malloc(bytes);
    p = realloc(p, bytes * 2 + 1);
    EXPECT(p != NULL);
    free(p);
}

KEPT static void in_frames(size_t depth) {
    volatile char *room = alloca(depth * 50 + 16);
    room[0] = 1;
    touch(depth * 100);
    if (depth > 0) {
        in_frames(depth - 1);
    }
    EXPECT(room[0] == 1);
}

KEPT static void work(struct coroutine *self) {
    void *p = malloc(1000);
    fill(p, 1000, 5);
    in_frames(6);
    EXPECT(is_filled(p, 1000, 5));
    free(p);
    self->turns++;
}

/* ---- stacks --------------------------------------------------------------------------------------------------- */

static void close_off(char *page) {
    EXPECT(mprotect(page, PAGE, PROT_NONE) == 0);
}

/* At a given place, so that one lies where another was. */
static void map_stack(struct coroutine *coroutine, char *at, size_t bytes) {
    char *all =
        mmap(at, bytes + 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
    EXPECT(all != MAP_FAILED);
    close_off(all);
    close_off(all + PAGE + bytes);
    coroutine->stack = all + PAGE;
}

/* ---- makecontext ---------------------------------------------------------------------------------------------- */

static void in_context(void) {
    struct coroutine *self = running;
    for (;;) {
        work(self);
        swapcontext(&self->context, &scheduler);
        self = running;
    }
}

static void begin_context(struct coroutine *self, size_t bytes) {
    getcontext(&self->context);
    self->context.uc_stack.ss_sp = self->stack;
    self->context.uc_stack.ss_size = bytes;
    self->context.uc_link = NULL;
    makecontext(&self->context, in_context, 0);
}

static void resume_context(struct coroutine *self) {
    running = self;
    swapcontext(&scheduler, &self->context);
}

/* ---- a switch in assembly ------------------------------------------------------------------------------------- */

#ifdef __x86_64__
extern void switch_stack(void **save, void *to);
extern char begins_here[];
void in_switched(void);

/* No table has these: a walk that comes to begins_here finds rbp as all that there is to go by. */
__asm__(".text\n"
        ".skip 64\n"
        ".type switch_stack, @function\n"
        "switch_stack:\n"
        "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rsp, (%rdi)\n mov %rsi, %rsp\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n"
        "begins_here:\n"
        "call in_switched\n"
        "ud2\n"
        ".skip 64\n");

KEPT void in_switched(void) {
    for (;;) {
        work(running);
        switch_stack(&running->sp, scheduler_sp);
    }
}

/* Where rbp points to decides how the walk may go astray: to the page above, far off, into the stack, nowhere. */
static void begin_switched(struct coroutine *self, size_t bytes, int way) {
    char *top = self->stack + bytes;
    void *frames[] = {top, top + PAGE * 3, top - 64, NULL};
    void **sp = (void **)(void *)top - 9;
    memset(sp, 0, 9 * sizeof *sp);
    sp[5] = frames[way % 4];
    sp[6] = begins_here;
    self->sp = sp;
}

static void resume_switched(struct coroutine *self) {
    running = self;
    switch_stack(&scheduler_sp, self->sp);
}
#else
static void begin_switched(struct coroutine *self, size_t bytes, int way) {
    (void)way;
    begin_context(self, bytes);
}

static void resume_switched(struct coroutine *self) {
    resume_context(self);
}
#endif

/* ---- */

static void take_turns(struct coroutine *coroutines, size_t bytes) {
    for (int i = 0; i < COROUTINES; i++) {
        coroutines[i].turns = 0;
        i % 2 == 0 ? begin_context(&coroutines[i], bytes) : begin_switched(&coroutines[i], bytes, i / 2);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < COROUTINES; i++) {
            i % 2 == 0 ? resume_context(&coroutines[i]) : resume_switched(&coroutines[i]);
            touch(20);
        }
    }
    for (int i = 0; i < COROUTINES; i++) {
        EXPECT(coroutines[i].turns == TURNS);
    }
}

/* `at`: the stacks' place, one beside the other; NULL: anywhere. */
static void run(char *at) {
    static const size_t sizes[] = {STACK_BYTES, STACK_BYTES * 2, STACK_BYTES};
    for (int round = 0; round < 12; round++) {
        struct coroutine coroutines[COROUTINES];
        size_t bytes = sizes[round % 3];
        for (int i = 0; i < COROUTINES; i++) {
            map_stack(&coroutines[i], at ? at + (size_t)i * (STACK_BYTES * 2 + 2 * PAGE) : NULL, bytes);
        }
        take_turns(coroutines, bytes);
        for (int i = 0; i < COROUTINES; i++) {
            munmap(coroutines[i].stack - PAGE, bytes + 2 * PAGE);
        }
    }
}

static void *in_thread(void *below) {
    run(below);
    run(NULL);
    return NULL;
}

#define BELOW_BYTES (COROUTINES * (STACK_BYTES * 2 + 2 * PAGE))
#define THREAD_BYTES ((size_t)256 << 10)

int main(void) {
    run(NULL);
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        pthread_attr_t attributes;
        char *all = mmap(NULL, BELOW_BYTES + THREAD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, all + BELOW_BYTES, THREAD_BYTES);
        EXPECT(pthread_create(&thread, &attributes, in_thread, all) == 0 && pthread_join(thread, NULL) == 0);
        munmap(all, BELOW_BYTES + THREAD_BYTES);
    }
    return expect_end();
}
