// C++ objects of a thread, and of the program, that allocate when they are made and when they are destroyed.
#include <string>
#include <thread>
#include <vector>

#include "tests/victims/expect.h"

struct Keeper {
    std::vector<std::string> texts;
    ~Keeper() {
        texts.push_back(std::string(200, 'x'));
        size_t bytes = 0;
        for (auto &text : texts) {
            bytes += text.size();
        }
        std::string copy(bytes, 'y');
        EXPECT(copy.size() == bytes && bytes >= 200);
    }
};

static thread_local Keeper of_thread;
static Keeper of_program;

int main() {
    of_program.texts.push_back(std::string(1000, 'p'));
    for (int round = 0; round < 100; round++) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; i++) {
            threads.emplace_back([i] { of_thread.texts.resize(size_t(i) * 10 + 1, std::string(100, 't')); });
        }
        for (auto &thread : threads) {
            thread.join();
        }
    }
    of_thread.texts.push_back("main's");
    return expect_end();
}
