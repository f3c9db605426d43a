#include "report/symbol_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/array.h"
#include "report/file.h"
#include "report/progress.h"
#include "report/symbols.h"

/* No honest file comes near it. */
#define FILE_BYTES_MAX ((off_t)256 << 20)

/* The first lines: which format, and of which trace. */
#define HEAD_FORMAT                                                                                                    \
    "poolscope-symbols %d\n"                                                                                           \
    "trace %" PRIu32 " %" PRIu64 " %" PRIu64 "\n"                                                                      \
    "modules %zu %016" PRIx64 "\n"
#define HEAD_BYTES_MAX 256

char *psc_symbol_file_path(const char *trace) {
    char *path = psc_array_new(strlen(trace) + sizeof(".symbols"), 1);
    sprintf(path, "%s.symbols", trace);
    return path;
}

/* ---- which trace ------------------------------------------------------------------------------------------------- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static uint64_t hash_number(uint64_t hash, uint64_t number) {
    unsigned char bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(number >> 8 * i);
    }
    return hash_bytes(hash, bytes, sizeof(bytes));
}

/* Of the first modules: a trace that is still written to may get more of them, but those that it has stay. */
static uint64_t hash_modules(const struct psc_model *model, size_t count) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++) {
        const struct psc_module *module = &model->modules[i];
        hash = hash_number(hash, module->start);
        hash = hash_number(hash, module->end);
        hash = hash_number(hash, module->bias);
        hash = hash_number(hash, module->build_id_bytes);
        hash = hash_bytes(hash, module->build_id, module->build_id_bytes);
        if (module->path != NULL) {
            hash = hash_bytes(hash, module->path, strlen(module->path) + 1);
        }
    }
    return hash;
}

static void make_head(const struct psc_model *model, size_t modules, char *head) {
    const struct psc_process *process = &model->process;
    snprintf(head, HEAD_BYTES_MAX, HEAD_FORMAT, PSC_SYMBOL_FILE_VERSION, process->pid, process->start_realtime_ns,
             process->start_ticks, modules, hash_modules(model, modules));
}

/* ---- write ------------------------------------------------------------------------------------------------------- */

struct texts {
    const char **items; /* sorted, each once; numbered from 1 in the file, where 0 is none */
    size_t count;
};

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_text(struct texts *texts, const char *text) {
    if (text != NULL) {
        texts->items[texts->count++] = text;
    }
}

static void gather_texts(struct texts *texts, const struct psc_symbols_named *named, size_t count) {
    size_t frames = 0;
    for (size_t i = 0; i < count; i++) {
        frames += named[i].count;
    }
    texts->items = psc_array_new(frames * 3, sizeof(*texts->items));
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < named[i].count; k++) {
            add_text(texts, named[i].frames[k].function);
            add_text(texts, named[i].frames[k].file);
            add_text(texts, named[i].frames[k].module);
        }
    }
    if (texts->count > 1) {
        qsort(texts->items, texts->count, sizeof(*texts->items), compare_texts);
    }
    size_t kept = 0;
    for (size_t i = 0; i < texts->count; i++) {
        if (kept == 0 || strcmp(texts->items[kept - 1], texts->items[i]) != 0) {
            texts->items[kept++] = texts->items[i];
        }
    }
    texts->count = kept;
}

static size_t number_of(const struct texts *texts, const char *text) {
    const char **found =
        text == NULL ? NULL : bsearch(&text, texts->items, texts->count, sizeof(*texts->items), compare_texts);
    return found == NULL ? 0 : (size_t)(found - texts->items) + 1;
}

static void write_named(FILE *out, const struct texts *texts, const struct psc_symbols_named *named) {
    if (named->module == PSC_MODULE_NONE) {
        fprintf(out, "address %" PRIx64 " - %" PRIu32 "\n", named->address, named->count);
    } else {
        fprintf(out, "address %" PRIx64 " %" PRIu32 " %" PRIu32 "\n", named->address, named->module, named->count);
    }
    for (uint32_t i = 0; i < named->count; i++) {
        const struct psc_frame *frame = &named->frames[i];
        fprintf(out, "frame %zu %zu %" PRIu32 " %zu %d\n", number_of(texts, frame->function),
                number_of(texts, frame->file), frame->line, number_of(texts, frame->module), frame->inlined);
    }
}

static void write_all(FILE *out, const struct psc_model *model, const struct psc_symbols_named *named, size_t count) {
    char head[HEAD_BYTES_MAX];
    struct texts texts = {.count = 0};
    gather_texts(&texts, named, count);
    make_head(model, model->module_count, head);
    fputs(head, out);
    for (size_t i = 0; i < texts.count; i++) {
        fprintf(out, "text %s\n", texts.items[i]);
    }
    for (size_t i = 0; i < count; i++) {
        write_named(out, &texts, &named[i]);
    }
    fprintf(out, "end %zu\n", count);
    free(texts.items);
}

/* Of the old file or the new one, there is always a whole one. */
static bool replace(const char *path, const struct psc_model *model, const struct psc_symbols_named *named,
                    size_t count) {
    struct psc_file_new file;
    if (!psc_file_begin(&file, path, 0600)) {
        return false;
    }
    write_all(file.out, model, named, count);
    return psc_file_end(&file, path, true);
}

static void resolve_all(struct psc_model *model) {
    for (size_t i = 0; i < model->site_count; i++) {
        psc_progress_show("names of functions", i, model->site_count);
        psc_model_symbolize(model, &model->sites[i]);
        psc_model_forget_frames(&model->sites[i]);
    }
    psc_progress_clear();
}

bool psc_symbol_file_write(struct psc_model *model, const char *path, size_t *written) {
    struct psc_symbols_named *named = NULL;
    *written = 0;
    resolve_all(model);
    if (model->symbols != NULL && (named = psc_symbols_list_named(model->symbols, written)) == NULL) {
        errno = ENOMEM;
        return false;
    }
    bool done = replace(path, model, named, *written);
    free(named);
    return done;
}

/* ---- read: lines ------------------------------------------------------------------------------------------------- */

/* What is left of the file, whose lines end with a newline, the last one too. */
struct reader {
    char *at;
    char *end;
};

/* Ends the next line and returns what stands behind `word` and a space in it; NULL: it does not begin so. */
static char *take_line(struct reader *reader, const char *word) {
    size_t length = strlen(word);
    char *line = reader->at;
    char *newline = memchr(line, '\n', (size_t)(reader->end - line));
    if (newline == NULL || (size_t)(newline - line) <= length || memcmp(line, word, length) != 0 ||
        line[length] != ' ') {
        return NULL;
    }
    *newline = '\0';
    reader->at = newline + 1;
    return line + length + 1;
}

static bool next_is(const struct reader *reader, const char *word) {
    size_t length = strlen(word);
    return (size_t)(reader->end - reader->at) > length && memcmp(reader->at, word, length) == 0 &&
           reader->at[length] == ' ';
}

/* A number of at most `most`, and the space or the end of the line behind it. */
static bool take_number(char **at, int base, uint64_t most, uint64_t *value) {
    char *end = *at + strspn(*at, base == 16 ? "0123456789abcdef" : "0123456789");
    char *stop = *at;
    errno = 0;
    *value = strtoull(*at, &stop, base);
    if (end == *at || stop != end || errno != 0 || *value > most || (*end != ' ' && *end != '\0')) {
        return false;
    }
    *at = *end == ' ' ? end + 1 : end;
    return true;
}

/* ---- read: the whole file ---------------------------------------------------------------------------------------- */

struct entry {
    uint64_t address;
    uint32_t module;
    uint32_t count;
    size_t first; /* of its frames */
};

struct contents {
    char *bytes; /* the file */
    char **texts;
    size_t text_count;
    size_t text_capacity;
    struct entry *entries;
    size_t entry_count;
    size_t entry_capacity;
    struct psc_frame *frames;
    size_t frame_count;
    size_t frame_capacity;
    size_t modules; /* of the trace, when this was written */
};

static void release(struct contents *contents) {
    free(contents->bytes);
    free(contents->texts);
    free(contents->entries);
    free(contents->frames);
}

static const char *text_of(const struct contents *contents, uint64_t number) {
    return number == 0 ? NULL : contents->texts[number - 1];
}

static bool read_frame(struct reader *reader, struct contents *contents) {
    uint64_t function, file, line, module, inlined;
    char *at = take_line(reader, "frame");
    size_t texts = contents->text_count;
    if (at == NULL || !take_number(&at, 10, texts, &function) || !take_number(&at, 10, texts, &file) ||
        !take_number(&at, 10, UINT32_MAX, &line) || !take_number(&at, 10, texts, &module) ||
        !take_number(&at, 10, 1, &inlined) || *at != '\0' || function == 0) {
        return false;
    }
    contents->frames = psc_array_reserve(contents->frames, contents->frame_count + 1, &contents->frame_capacity,
                                         sizeof(*contents->frames));
    contents->frames[contents->frame_count++] = (struct psc_frame){.function = text_of(contents, function),
                                                                   .file = text_of(contents, file),
                                                                   .module = text_of(contents, module),
                                                                   .line = (uint32_t)line,
                                                                   .inlined = inlined != 0};
    return true;
}

static bool take_module(char **at, const struct contents *contents, uint32_t *module) {
    uint64_t index;
    if ((*at)[0] == '-' && (*at)[1] == ' ') {
        *at += 2;
        *module = PSC_MODULE_NONE;
        return true;
    }
    if (contents->modules == 0 || !take_number(at, 10, contents->modules - 1, &index)) {
        return false;
    }
    *module = (uint32_t)index;
    return true;
}

static bool read_entry(struct reader *reader, struct contents *contents) {
    struct entry entry = {.first = contents->frame_count};
    uint64_t count;
    char *at = take_line(reader, "address");
    if (at == NULL || !take_number(&at, 16, UINT64_MAX, &entry.address) || !take_module(&at, contents, &entry.module) ||
        !take_number(&at, 10, PSC_SYMBOLS_FRAMES_MAX, &count) || *at != '\0' || count == 0) {
        return false;
    }
    entry.count = (uint32_t)count;
    for (uint32_t i = 0; i < entry.count; i++) {
        if (!read_frame(reader, contents)) {
            return false;
        }
    }
    contents->entries = psc_array_reserve(contents->entries, contents->entry_count + 1, &contents->entry_capacity,
                                          sizeof(*contents->entries));
    contents->entries[contents->entry_count++] = entry;
    return true;
}

static void read_text(struct reader *reader, struct contents *contents) {
    char *text = take_line(reader, "text");
    if (text != NULL) {
        contents->texts = psc_array_reserve(contents->texts, contents->text_count + 1, &contents->text_capacity,
                                            sizeof(*contents->texts));
        contents->texts[contents->text_count++] = text;
    }
}

static bool read_body(struct reader *reader, struct contents *contents) {
    uint64_t count;
    while (next_is(reader, "text") && memchr(reader->at, '\n', (size_t)(reader->end - reader->at)) != NULL) {
        read_text(reader, contents);
    }
    while (next_is(reader, "address")) {
        if (!read_entry(reader, contents)) {
            return false;
        }
    }
    char *at = take_line(reader, "end");
    return at != NULL && take_number(&at, 10, contents->entry_count, &count) && *at == '\0' &&
           count == contents->entry_count && reader->at == reader->end;
}

/* How many modules the trace had; false: the line is damaged. The lines are left as they are. */
static bool find_modules(const struct reader *reader, size_t *modules) {
    int used = 0;
    uint64_t count;
    if (sscanf(reader->at, "poolscope-symbols %*d\ntrace %*u %*u %*u\nmodules %n", &used) == EOF || used == 0) {
        return false;
    }
    char *at = reader->at + used;
    *modules = take_number(&at, 10, SIZE_MAX, &count) ? (size_t)count : SIZE_MAX;
    return *modules != SIZE_MAX;
}

/* The head is what would be written for this trace, with as many modules as it had. */
static const char *check_head(struct reader *reader, const struct psc_model *model, struct contents *contents) {
    static const char format[] = "poolscope-symbols ";
    char head[HEAD_BYTES_MAX];
    snprintf(head, sizeof(head), "%s%d\n", format, PSC_SYMBOL_FILE_VERSION);
    if (strncmp(reader->at, format, strlen(format)) != 0) {
        return "is no file of symbols";
    }
    if (strncmp(reader->at, head, strlen(head)) != 0) {
        return "has a version that this program does not know";
    }
    if (!find_modules(reader, &contents->modules)) {
        return "is damaged";
    }
    if (contents->modules <= model->module_count) {
        make_head(model, contents->modules, head);
        if (strncmp(reader->at, head, strlen(head)) == 0) {
            reader->at += strlen(head);
            return NULL;
        }
    }
    return "is of another trace";
}

static bool give(const struct psc_model *model, const struct contents *contents) {
    for (size_t i = 0; i < contents->entry_count; i++) {
        const struct entry *entry = &contents->entries[i];
        if (!psc_symbols_preset(model->symbols, entry->address, entry->module, contents->frames + entry->first,
                                entry->count)) {
            return false;
        }
    }
    return true;
}

static bool read_whole(int fd, char *bytes, size_t count) {
    size_t got = 0;
    ssize_t more = 1;
    while (got < count && (more = read(fd, bytes + got, count - got)) > 0) {
        got += (size_t)more;
    }
    return got == count;
}

/* NULL with *error NULL: there is none. The bytes are followed by a NUL, and none is among them. */
static char *read_file(const char *path, size_t *count, const char **error) {
    struct stat status;
    char *bytes = NULL;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        *error = errno == ENOENT ? NULL : "cannot be opened";
        return NULL;
    }
    *error = "is no file of symbols";
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= FILE_BYTES_MAX) {
        *count = (size_t)status.st_size;
        bytes = psc_array_new(*count + 1, 1);
    }
    if (bytes != NULL && (!read_whole(fd, bytes, *count) || strlen(bytes) != *count)) {
        free(bytes);
        bytes = NULL;
    }
    close(fd);
    return bytes;
}

bool psc_symbol_file_read(struct psc_model *model, const char *path, const char **error) {
    struct contents contents = {.bytes = NULL};
    size_t count;
    contents.bytes = read_file(path, &count, error);
    if (contents.bytes == NULL) {
        return *error == NULL;
    }
    struct reader reader = {.at = contents.bytes, .end = contents.bytes + count};
    *error = check_head(&reader, model, &contents);
    if (*error == NULL && !(read_body(&reader, &contents) && give(model, &contents))) {
        *error = "is damaged";
    }
    release(&contents);
    return *error == NULL;
}
