/* A function whose name is not for a page to take for its own. victim-flags: -g0 */
#include "tests/victims/expect.h"

static void *kept;

void odd(void) __asm__("\"</script><script>document.title='owned'</script><!--'&<img src=x onerror=alert(1)>\"");
__attribute__((noinline)) void odd(void) {
    kept = malloc(1234);
}

int main(void) {
    odd();
    EXPECT(kept != NULL);
    return expect_end();
}
