// No memory: new throws bad_alloc after it asked the new-handler, nothrow gives null.
#include <new>
#include <sys/resource.h>
#include <vector>

#include "tests/victims/expect.h"

static int asked;
static void *reserve;

static void give_reserve() {
    asked++;
    if (asked == 3) {
        std::set_new_handler(nullptr);
    }
}

static void *volatile result; // or the compiler leaves the allocation out

template <typename Allocate> static bool throws(Allocate allocate) {
    try {
        result = allocate();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void check_huge() {
    volatile size_t huge = PTRDIFF_MAX - 64;
    EXPECT(throws([&] { return ::operator new(huge); }));
    EXPECT(throws([&] { return ::operator new[](huge); }));
    EXPECT(throws([&] { return ::operator new(huge, std::align_val_t(4096)); }));
    EXPECT(::operator new(huge, std::nothrow) == nullptr);
    EXPECT(::operator new[](huge, std::align_val_t(64), std::nothrow) == nullptr);
    std::set_new_handler(give_reserve);
    EXPECT(throws([&] { return ::operator new(huge); }) && asked == 3);
}

static void release() {
    asked++;
    free(reserve);
    reserve = nullptr;
    std::set_new_handler(nullptr);
}

// The handler frees 64 MiB: the request that had failed succeeds. The program was started under a limit.
static void check_limit() {
    reserve = malloc(64 << 20);
    std::vector<void *> held;
    held.reserve(10000);
    asked = 0;
    std::set_new_handler(release);
    while (asked == 0 && held.size() < 10000) {
        held.push_back(::operator new(1 << 20));
    }
    EXPECT(asked == 1 && reserve == nullptr);
    EXPECT(throws([&] {
        while (held.size() < 10000) {
            held.push_back(::operator new(1 << 20));
        }
        return held.back();
    }));
    for (void *p : held) {
        ::operator delete(p);
    }
    ::operator delete(::operator new(32 << 20));
}

int main() {
    check_huge();
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        check_limit();
    }
    return expect_end();
}
