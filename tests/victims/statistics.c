/* mallinfo and its kin tell of the heap that serves this program. */
#include <errno.h>
#include <malloc.h>

#include "tests/victims/expect.h"

#define BLOCKS 1000
#define BYTES 1000

static void *blocks[BLOCKS];

static int has_pair_of_tags(FILE *stream) {
    char text[65536];
    rewind(stream);
    size_t bytes = fread(text, 1, sizeof text - 1, stream);
    text[bytes] = '\0';
    return strncmp(text, "<malloc version=", 16) == 0 && strstr(text, "</malloc>\n") != NULL;
}

int main(int argc, char **argv) {
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = memset(malloc(BYTES), 1, BYTES);
    }
    void *large = malloc(10 << 20);
    struct mallinfo2 with = mallinfo2();
    EXPECT(with.uordblks + with.hblkhd >= before.uordblks + before.hblkhd + BLOCKS * BYTES + (10 << 20));
    EXPECT(with.uordblks >= before.uordblks + BLOCKS * BYTES);
    EXPECT(with.hblks == before.hblks + 1 && with.hblkhd >= before.hblkhd + (10 << 20));
    EXPECT(with.arena >= with.uordblks && with.fordblks <= with.arena);
    free(large);
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    struct mallinfo2 after = mallinfo2();
    EXPECT(after.uordblks <= with.uordblks - BLOCKS * BYTES && after.hblks == before.hblks);
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    EXPECT((size_t)mallinfo().uordblks == mallinfo2().uordblks);
    EXPECT(malloc_trim(0) == 0 || malloc_trim(0) == 0); /* the second finds nothing to give back */
    EXPECT(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1 && mallopt(M_ARENA_MAX, 2) == 1);
    FILE *stream = tmpfile();
    EXPECT(malloc_info(0, stream) == 0 && has_pair_of_tags(stream));
    fclose(stream);
    EXPECT(malloc_info(1, stdout) != 0);
    if (argc > 1 && strcmp(argv[1], "xml") == 0) {
        malloc_info(0, stdout);
        return fflush(stdout);
    }
    malloc_stats(); /* on stderr */
    return expect_end();
}
