// Every form of operator new and delete, and the containers that use them.
/* victim-flags: -fsized-deallocation */
#include <algorithm>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "tests/victims/expect.h"

struct alignas(256) Wide {
    char bytes[300];
};

static void check_plain() {
    for (size_t bytes = 0; bytes < 3000; bytes += 37) {
        void *a = ::operator new(bytes);
        void *b = ::operator new[](bytes);
        void *c = ::operator new(bytes, std::nothrow);
        void *d = ::operator new[](bytes, std::nothrow);
        EXPECT(a && b && c && d && a != b && c != d);
        fill(a, bytes, 1), fill(b, bytes, 2), fill(c, bytes, 3), fill(d, bytes, 4);
        EXPECT(is_filled(a, bytes, 1) && is_filled(b, bytes, 2) && is_filled(c, bytes, 3) && is_filled(d, bytes, 4));
        ::operator delete(a);
        ::operator delete[](b, bytes);
        ::operator delete(c, std::nothrow);
        ::operator delete[](d, std::nothrow);
        ::operator delete(::operator new(bytes), bytes);
        ::operator delete[](::operator new[](bytes));
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
}

static void check_aligned() {
    for (size_t power = 16; power <= 65536; power *= 2) {
        auto alignment = std::align_val_t(power);
        void *a = ::operator new(100, alignment);
        void *b = ::operator new[](100, alignment);
        void *c = ::operator new(100, alignment, std::nothrow);
        void *d = ::operator new[](100, alignment, std::nothrow);
        EXPECT(is_aligned(a, power) && is_aligned(b, power) && is_aligned(c, power) && is_aligned(d, power));
        ::operator delete(a, alignment);
        ::operator delete[](b, 100, alignment);
        ::operator delete(c, alignment, std::nothrow);
        ::operator delete[](d, alignment, std::nothrow);
        ::operator delete(::operator new(100, alignment), 100, alignment);
        ::operator delete[](::operator new[](100, alignment), alignment);
    }
    Wide *wide = new Wide[5];
    EXPECT(is_aligned(wide, 256));
    delete[] wide;
}

static void check_containers() {
    std::map<std::string, std::vector<int>> map;
    for (int i = 0; i < 5000; i++) {
        map["a key that is too long for the small string " + std::to_string(i)].resize(size_t(i % 100), i);
    }
    size_t sum = 0;
    for (auto &entry : map) {
        sum += entry.second.size();
    }
    EXPECT(sum == 50 * 4950);
}

int main() {
    check_plain();
    check_aligned();
    check_containers();
    return expect_end();
}
