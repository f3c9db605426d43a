// The program replaces the two plain operators alone: the defaults of all other forms must come to them.
/* victim-flags: -fsized-deallocation */
#include <new>

#include "tests/victims/expect.h"

static int news, deletes;

void *operator new(size_t bytes) {
    news++;
    void *p = malloc(bytes + 16);
    if (p == nullptr) {
        throw std::bad_alloc();
    }
    return static_cast<char *>(p) + 16;
}

void operator delete(void *p) noexcept {
    if (p != nullptr) {
        deletes++;
        free(static_cast<char *>(p) - 16); // a block of another operator new would not stand this
    }
}

int main() {
    ::operator delete(::operator new(10));
    EXPECT(news == 1 && deletes == 1);
    ::operator delete[](::operator new[](10));
    EXPECT(news == 2 && deletes == 2);
    ::operator delete(::operator new(10, std::nothrow), std::nothrow);
    EXPECT(news == 3 && deletes == 3);
    ::operator delete[](::operator new[](10, std::nothrow), std::nothrow);
    EXPECT(news == 4 && deletes == 4);
    ::operator delete(::operator new(10), size_t(10));
    EXPECT(news == 5 && deletes == 5);
    ::operator delete[](::operator new[](10), size_t(10));
    EXPECT(news == 6 && deletes == 6);
    ::operator delete(::operator new(10, std::align_val_t(64)), std::align_val_t(64)); // their own pair
    EXPECT(news == 6 && deletes == 6);
    return expect_end();
}
