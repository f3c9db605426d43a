/* Code made at run time that allocates, named in /tmp/perf-PID.map as a just-in-time compiler names it. Prints the name of
 * the map, which whoever runs this removes. */
#include <sys/mman.h>
#include <unistd.h>

#include "tests/victims/expect.h"

typedef void *(*made_function)(size_t bytes, void *(*allocate)(size_t));

/* push %rbp; mov %rsp,%rbp; call *%rsi; pop %rbp; ret */
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd6, 0x5d, 0xc3};

static made_function make(void) {
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(page != MAP_FAILED);
    memcpy(page, code, sizeof code);
    EXPECT(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
    return (made_function)(void *)page;
}

int main(void) {
    char path[64];
    made_function made = make();
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(path, "w");
    EXPECT(map != NULL);
    fprintf(map, "%llx 1000 replaced\n", (unsigned long long)(size_t)made);
    fprintf(map, "%llx %zx made at run time\n", (unsigned long long)(size_t)made, sizeof code);
    EXPECT(fclose(map) == 0);
    for (int i = 0; i < 100; i++) {
        EXPECT(made(5000, malloc) != NULL);
    }
    puts(path);
    return expect_end();
}
