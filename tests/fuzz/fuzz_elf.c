/* The reader of modules' files, fed with anything: an input is an ELF file, as libelf and libdw then read it for us. No
 * build-id has to match, since neither has one.
 *
 * Files are read at a path, so the input lies in one. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/symbols_find.h"
#include "tests/unit/support_text.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CODE_START 0x1000 /* of the seeds */
#define CODE_END 0x1200
#define CODE_STEP 7

static char path[] = "/tmp/fuzz_elf.XXXXXX";
static int fd;

static void need(bool holds) {
    if (!holds) {
        abort();
    }
}

static void remove_file(void) {
    unlink(path);
}

static bool is_plain(const char *text) {
    return text == NULL || (psc_text_is_plain(text, strlen(text)) && strpbrk(text, "\n\t") == NULL);
}

static void resolve(struct psc_symbols *symbols, uint64_t address) {
    const struct psc_frame *frames;
    size_t count = psc_symbols_resolve(symbols, address, 0, &frames);
    need(count > 0 && count <= PSC_SYMBOLS_FRAMES_MAX);
    for (size_t i = 0; i < count; i++) {
        need(frames[i].function != NULL && is_plain(frames[i].function));
        need(is_plain(frames[i].file) && is_plain(frames[i].module));
    }
}

static void check_range(void *context, uint64_t start, uint64_t end) {
    (void)context;
    need(start <= end);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    need((fd = mkostemp(path, O_CLOEXEC)) >= 0);
    return atexit(remove_file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct psc_module module;
    need(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    if (!psc_symbols_describe_file(path, &module)) {
        return 0;
    }
    module.build_id_bytes = 0;
    struct psc_symbols *symbols = psc_symbols_open(&module, 1);
    for (uint64_t address = CODE_START; address < CODE_END; address += CODE_STEP) {
        resolve(symbols, address);
    }
    resolve(symbols, UINT64_MAX);
    psc_symbols_find_function(symbols, 0, "outer", check_range, NULL);
    psc_symbols_close(symbols);
    return 0;
}
