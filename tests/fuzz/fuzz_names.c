/* The readers of names that nobody vouches for, fed with anything.
 *
 * The first byte of an input is 'm': the rest is a map of code made at run time. Else the rest is what stands behind the
 * head of a file of symbols; the head is put right, since a reader that refuses it has nothing to show. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/symbol_file.h"
#include "report/symbols.h"
#include "tests/unit/support_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct psc_model *model;
static char path[] = "/tmp/fuzz_names.XXXXXX";
static char head[4096];
static size_t head_bytes;

static void need(bool holds) {
    if (!holds) {
        abort();
    }
}

static void remove_file(void) {
    unlink(path);
}

static void begin(void) {
    const char *error;
    size_t written;
    struct psc_fake fake;
    psc_fake_small(&fake);
    need((model = psc_model_open_fd(psc_fake_open(fake.bytes, psc_fake_bytes(&fake)), "fuzz", &error)) != NULL);
    psc_fake_release(&fake);
    close(mkstemp(path));
    atexit(remove_file);
    need(psc_symbol_file_write(model, path, &written) && written == 0);
    FILE *file = fopen(path, "re");
    need(file != NULL);
    head_bytes = fread(head, 1, sizeof(head), file) - strlen("end 0\n");
    fclose(file);
}

static void put(const char *first, size_t first_bytes, const uint8_t *data, size_t size) {
    FILE *file = fopen(path, "we");
    need(file != NULL && fwrite(first, 1, first_bytes, file) == first_bytes && fwrite(data, 1, size, file) == size);
    need(fclose(file) == 0);
}

static void check(const struct psc_symbols *symbols) {
    size_t count;
    struct psc_symbols_named *named = psc_symbols_list_named(symbols, &count);
    for (size_t i = 0; i < count; i++) {
        need(named[i].count > 0);
        for (uint32_t k = 0; k < named[i].count; k++) {
            need(named[i].frames[k].function != NULL && strpbrk(named[i].frames[k].function, "\n\033") == NULL);
        }
    }
    free(named);
}

static void read_map(void) {
    const struct psc_frame *frames;
    struct psc_perf_map_source source = {.path = path, .not_after_ns = UINT64_MAX};
    psc_symbols_use_map(model->symbols, &source);
    for (uint64_t address = 0; address < 0x2000; address += 0x33) {
        need(psc_symbols_resolve(model->symbols, address, PSC_MODULE_NONE, &frames) == 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *error;
    if (model == NULL) {
        begin();
    }
    if (size == 0) {
        return 0;
    }
    psc_symbols_close(model->symbols);
    need((model->symbols = psc_symbols_open(model->modules, model->module_count)) != NULL);
    if (data[0] == 'm') {
        put("", 0, data + 1, size - 1);
        read_map();
    } else {
        put(head, head_bytes, data + 1, size - 1);
        need(psc_symbol_file_read(model, path, &error) || error != NULL);
    }
    check(model->symbols);
    return 0;
}
