/* Allocations on every kind of stack: deep ones, below exceptions on their way, in signal handlers, on coroutines, in
 * threads, in frames whose size is not fixed, in libraries that take each other's place.  victim-flags: -O2 */
#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <dlfcn.h>
#include <memory>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

#include "tests/victims/expect.h"

#define KEPT __attribute__((noinline, noclone))

static volatile size_t sink;

KEPT static void touch(size_t bytes) {
    char *p = static_cast<char *>(malloc(bytes + 1));
    p[0] = 1;
    sink += static_cast<size_t>(p[0]);
    free(p);
}

/* One allocation on the way down and one on the way up, as a parser makes them. */
KEPT static size_t descend(size_t depth) {
    std::string text(40 + depth % 30, 'x');
    size_t below = depth > 0 ? descend(depth - 1) : 0;
    touch(depth);
    return below + text.size();
}

KEPT static void throw_from(size_t depth) {
    std::vector<std::unique_ptr<int>> held;
    held.push_back(std::make_unique<int>(1));
    if (depth == 0) {
        throw std::runtime_error(std::string(100, 'e'));
    }
    throw_from(depth - 1);
    sink += held.size();
}

struct allocates_at_end {
    ~allocates_at_end() {
        touch(50);
    }
};

KEPT static void exceptions() {
    for (size_t i = 0; i < 30; i++) {
        try {
            allocates_at_end guard;
            throw_from(i);
        } catch (const std::exception &error) {
            touch(strlen(error.what()));
        }
    }
}

KEPT static void odd_frames(size_t bytes) {
    volatile char *memory = static_cast<volatile char *>(alloca(bytes));
    alignas(64) volatile char aligned[128];
    memory[0] = aligned[bytes % 128] = 1;
    touch(bytes);
    if (bytes > 100) {
        odd_frames(bytes / 2);
    }
    sink += static_cast<size_t>(memory[0]);
}

static sigjmp_buf back;
static volatile sig_atomic_t leaves;

static void handler(int) {
    touch(70);
    if (leaves) {
        siglongjmp(back, 1);
    }
}

KEPT static void signals() {
    struct sigaction action = {};
    action.sa_handler = handler;
    EXPECT(sigaction(SIGUSR1, &action, nullptr) == 0);
    for (volatile int i = 0; i < 200; i++) {
        leaves = i % 4 == 0;
        if (sigsetjmp(back, 1) == 0) {
            raise(SIGUSR1);
        }
        touch(10);
    }
}

static ucontext_t scheduler, coroutine;

#define TURNS 6

static void in_coroutine() {
    for (int i = 0; i < TURNS; i++) {
        descend(5);
        exceptions();
        swapcontext(&coroutine, &scheduler);
    }
}

KEPT static void coroutines() {
    static char stack[65536];
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = sizeof stack;
    coroutine.uc_link = &scheduler;
    makecontext(&coroutine, in_coroutine, 0);
    for (int i = 0; i <= TURNS; i++) {
        touch(20);
        swapcontext(&scheduler, &coroutine);
    }
}

static void *in_thread(void *) {
    exceptions();
    descend(40);
    odd_frames(2000);
    return nullptr;
}

KEPT static void threads() {
    pthread_t ids[4];
    for (auto &id : ids) {
        EXPECT(pthread_create(&id, nullptr, in_thread, nullptr) == 0);
    }
    for (auto &id : ids) {
        pthread_join(id, nullptr);
    }
}

static std::string beside_self(const char *name) {
    char self[4000] = "";
    EXPECT(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    std::string path(self);
    return path.substr(0, path.rfind('/') + 1) + name;
}

/* Both allocate in their constructors. */
KEPT static void libraries() {
    std::string paths[] = {beside_self("libplugin.so"), beside_self("libearly.so")};
    for (size_t i = 0; i < 40; i++) {
        void *library = dlopen(paths[i % 2].c_str(), RTLD_NOW);
        EXPECT(library != nullptr);
        touch(i);
        EXPECT(dlclose(library) == 0);
    }
}

int main() {
    EXPECT(descend(30) > 0);
    EXPECT(descend(700) > 0);
    exceptions();
    odd_frames(5000);
    signals();
    coroutines();
    threads();
    libraries();
    return expect_end();
}
