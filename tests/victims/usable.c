/* malloc_usable_size: all of it may be written, and neighbours do not notice. */
#include <malloc.h>

#include "tests/victims/expect.h"

int main(void) {
    EXPECT(malloc_usable_size(NULL) == 0);
    void *blocks[400];
    for (unsigned i = 0; i < 400; i++) {
        size_t bytes = i * i;
        blocks[i] = malloc(bytes);
        EXPECT(malloc_usable_size(blocks[i]) >= bytes);
        fill(blocks[i], malloc_usable_size(blocks[i]), i);
    }
    for (unsigned i = 0; i < 400; i++) {
        EXPECT(is_filled(blocks[i], malloc_usable_size(blocks[i]), i));
        free(blocks[i]);
    }
    return expect_end();
}
