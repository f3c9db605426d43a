/* Symbols of this very program, and of files that are not what they seem. */
#include "report/symbols.h"

#include <check.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report/demangle.h"
#include "report/symbols_find.h"

static char self_path[PATH_MAX];
static struct psc_module self;
static char scratch[] = "/tmp/test_symbols.XXXXXX";

void *psc_test_outer(void);
void *psc_test_capture(void);

__attribute__((noinline)) void *psc_test_capture(void) {
    void *address = __builtin_return_address(0);
    __asm__ volatile("" ::: "memory");
    return address;
}

static const int inner_line = __LINE__ + 2;
static inline __attribute__((always_inline)) void *inner_call(void) {
    void *address = psc_test_capture();
    __asm__ volatile("" ::: "memory");
    return address;
}

static const int outer_line = __LINE__ + 2;
__attribute__((noinline)) void *psc_test_outer(void) {
    return inner_call();
}

static void read_note(const ElfW(Phdr) * header, uint64_t bias) {
    const char *at = (const char *)(bias + header->p_vaddr);
    const char *end = at + header->p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
        ElfW(Nhdr) note;
        memcpy(&note, at, sizeof(note));
        const char *name = at + sizeof(note);
        const char *bits = name + ((note.n_namesz + 3) & ~3u);
        if (note.n_type == NT_GNU_BUILD_ID && memcmp(name, "GNU", 4) == 0 && note.n_descsz <= sizeof(self.build_id)) {
            self.build_id_bytes = note.n_descsz;
            memcpy(self.build_id, bits, note.n_descsz);
        }
        at = bits + ((note.n_descsz + 3) & ~3u);
    }
}

/* The first object is the program itself. */
static int describe_self(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size, (void)data;
    self.bias = info->dlpi_addr;
    self.start = UINT64_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_NOTE) {
            read_note(header, self.bias);
        } else if (header->p_type == PT_LOAD) {
            uint64_t start = self.bias + header->p_vaddr;
            self.start = start < self.start ? start : self.start;
            self.end = start + header->p_memsz > self.end ? start + header->p_memsz : self.end;
        }
    }
    return 1;
}

static void setup(void) {
    ssize_t length = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
    ck_assert_int_gt(length, 0);
    dl_iterate_phdr(describe_self, NULL);
    self.path = self_path;
    ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static void teardown(void) {
    ck_assert_int_eq(rmdir(scratch), 0);
}

static const char *scratch_path(const char *name) {
    static char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    return path;
}

/* The module's state after a return address of this program was resolved in it; checks that frames came in any case. */
static enum psc_symbols_state state_of(const struct psc_module *module, char *name, size_t room) {
    struct psc_symbols *symbols = psc_symbols_open(module, 1);
    const struct psc_frame *frames = NULL;
    ck_assert_uint_ge(psc_symbols_resolve(symbols, (uint64_t)psc_test_outer(), 0, &frames), 1);
    snprintf(name, room, "%s", frames[0].function);
    enum psc_symbols_state state = psc_symbols_module_state(symbols, 0);
    psc_symbols_close(symbols);
    return state;
}

struct cover {
    uint64_t call;
    bool met;
};

static void meet(void *context, uint64_t start, uint64_t end) {
    struct cover *cover = context;
    ck_assert_uint_lt(start, end);
    cover->met |= cover->call >= start && cover->call < end;
}

/* Whether one of the ranges of that name holds the call in psc_test_outer; *count: of all of them. */
static bool covers(const struct psc_module *module, const char *name, size_t *count) {
    struct cover cover = {.call = (uint64_t)psc_test_outer() - self.bias - 1};
    struct psc_symbols *symbols = psc_symbols_open(module, 1);
    *count = psc_symbols_find_function(symbols, 0, name, meet, &cover);
    psc_symbols_close(symbols);
    return cover.met;
}

START_TEST(functions_are_found_by_name) {
    static const char *const here[] = {"psc_test_outer", "inner_call"};
    static const char *const elsewhere[] = {"psc_test_capture", "main"};
    static const char *const nowhere[] = {"psc_test_oute", "psc_test_outer_", "psc_test_outer()", "", "::", "(", "~"};
    size_t count;
    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
        ck_assert(covers(&self, here[i], &count));
    }
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        ck_assert(!covers(&self, elsewhere[i], &count));
        ck_assert_uint_gt(count, 0);
    }
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        covers(&self, nowhere[i], &count);
        ck_assert_uint_eq(count, 0);
    }
    struct psc_module other = self;
    other.build_id[0] ^= 1;
    ck_assert(self.build_id_bytes == 0 || !covers(&other, here[0], &count));
}
END_TEST

START_TEST(files_are_described) {
    struct psc_module module;
    size_t count;
    ck_assert(psc_symbols_describe_file(self_path, &module));
    ck_assert_uint_eq(module.build_id_bytes, self.build_id_bytes);
    ck_assert_mem_eq(module.build_id, self.build_id, self.build_id_bytes);
    ck_assert(covers(&module, "psc_test_outer", &count));
    ck_assert(!psc_symbols_describe_file("/etc/passwd", &module));
    ck_assert(!psc_symbols_describe_file("/nowhere", &module));
    ck_assert(!psc_symbols_describe_file("/", &module));
}
END_TEST

START_TEST(inlined_frames_come_first) {
    struct psc_symbols *symbols = psc_symbols_open(&self, 1);
    const struct psc_frame *frames = NULL;
    uint64_t address = (uint64_t)psc_test_outer();
    ck_assert_uint_eq(psc_symbols_module_state(symbols, 0), PSC_SYMBOLS_UNUSED);
    ck_assert_uint_eq(psc_symbols_resolve(symbols, address, 0, &frames), 2);
    ck_assert_str_eq(frames[0].function, "inner_call");
    ck_assert(frames[0].inlined);
    ck_assert_int_eq(frames[0].line, inner_line);
    ck_assert_str_eq(frames[1].function, "psc_test_outer");
    ck_assert(!frames[1].inlined);
    ck_assert_int_eq(frames[1].line, outer_line);
    for (int i = 0; i < 2; i++) {
        ck_assert_str_eq(strrchr(frames[i].file, '/') + 1, "test_symbols.c");
        ck_assert_str_eq(frames[i].module, self_path);
        ck_assert_uint_eq(frames[i].address, address);
    }
    ck_assert_uint_eq(psc_symbols_module_state(symbols, 0),
                      self.build_id_bytes == 0 ? PSC_SYMBOLS_UNCHECKED : PSC_SYMBOLS_FOUND);
    psc_symbols_close(symbols);
}
END_TEST

START_TEST(asked_again_gives_the_same_frames) {
    struct psc_symbols *symbols = psc_symbols_open(&self, 1);
    const struct psc_frame *first = NULL;
    const struct psc_frame *again = NULL;
    uint64_t address = (uint64_t)psc_test_outer();
    ck_assert_uint_eq(psc_symbols_resolve(symbols, address, 0, &first), 2);
    for (uint64_t i = 0; i < 5000; i++) {
        ck_assert_uint_ge(psc_symbols_resolve(symbols, self.start + i, 0, &again), 1);
        ck_assert_uint_eq(psc_symbols_resolve(symbols, i, PSC_MODULE_NONE, &again), 1);
    }
    ck_assert_uint_eq(psc_symbols_resolve(symbols, address, 0, &again), 2);
    ck_assert_ptr_eq(first, again);
    psc_symbols_close(symbols);
}
END_TEST

START_TEST(without_a_module_the_address_stands) {
    struct psc_symbols *symbols = psc_symbols_open(&self, 1);
    const struct psc_frame *frames = NULL;
    ck_assert_uint_eq(psc_symbols_resolve(symbols, 0x1234abcd, PSC_MODULE_NONE, &frames), 1);
    ck_assert_str_eq(frames[0].function, "0x1234abcd");
    ck_assert_ptr_null(frames[0].module);
    ck_assert_uint_eq(psc_symbols_resolve(symbols, 0, 17, &frames), 1);
    ck_assert_str_eq(frames[0].function, "0x0");
    psc_symbols_close(symbols);
}
END_TEST

START_TEST(another_build_is_not_used) {
    char name[256];
    char expected[256];
    struct psc_module other = self;
    other.build_id[0] ^= 1;
    other.build_id_bytes = self.build_id_bytes == 0 ? 20 : self.build_id_bytes;
    ck_assert_uint_eq(state_of(&other, name, sizeof(name)), PSC_SYMBOLS_OTHER_BUILD);
    snprintf(expected, sizeof(expected), "%s+0x%llx", strrchr(self_path, '/') + 1,
             (unsigned long long)((uint64_t)psc_test_outer() - self.bias));
    ck_assert_str_eq(name, expected);
}
END_TEST

START_TEST(files_that_are_no_files_are_left_alone) {
    static const char *const paths[] = {"",          "linux-vdso.so.1", "/",          "/dev/zero",
                                        "/dev/null", "/proc/self/mem",  "/nowhere/x", "test_symbols",
                                        "/tmp",      "/proc/self/maps"};
    char name[256];
    struct psc_module module = self;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        module.path = paths[i];
        ck_assert_uint_eq(state_of(&module, name, sizeof(name)), PSC_SYMBOLS_MISSING);
    }
    module.path = scratch_path("pipe");
    ck_assert_int_eq(mkfifo(module.path, 0600), 0);
    ck_assert_uint_eq(state_of(&module, name, sizeof(name)), PSC_SYMBOLS_MISSING);
    unlink(module.path);
    module.path = "/etc/passwd";
    ck_assert_uint_eq(state_of(&module, name, sizeof(name)), PSC_SYMBOLS_BROKEN);
}
END_TEST

START_TEST(open_files_are_bounded) {
    char name[256];
    struct rlimit limit = {.rlim_cur = 3, .rlim_max = 3};
    if (fork() == 0) {
        setrlimit(RLIMIT_NOFILE, &limit);
        _exit(state_of(&self, name, sizeof(name)) == PSC_SYMBOLS_TOO_MANY ? 0 : 1);
    }
    int status = -1;
    wait(&status);
    ck_assert_int_eq(status, 0);
}
END_TEST

static void write_file(const char *path, const void *bytes, size_t length) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Without a build-id to compare, damaged files are read: whatever they say, an answer comes. */
START_TEST(damaged_files_give_an_answer) {
    char name[256];
    struct stat status;
    struct psc_module module = self;
    struct psc_module described;
    size_t count;
    uint64_t state = 88172645463325252u;
    int fd = open(self_path, O_RDONLY);
    ck_assert_int_eq(fstat(fd, &status), 0);
    size_t length = (size_t)status.st_size;
    unsigned char *whole = malloc(length);
    unsigned char *damaged = malloc(length);
    ck_assert_int_eq(read(fd, whole, length), (ssize_t)length);
    close(fd);
    module.path = scratch_path("damaged");
    for (int round = 0; round < 60; round++) {
        memcpy(damaged, whole, length);
        for (int i = 0; i < 200; i++) {
            size_t span = i % 4 == 0 ? 1024 : length;
            damaged[sizeof(ElfW(Ehdr)) / 2 + next_random(&state) % (span - 64)] = (unsigned char)next_random(&state);
        }
        write_file(module.path, damaged, round % 3 == 0 ? next_random(&state) % length : length);
        psc_symbols_describe_file(module.path, &described);
        covers(&module, "inner_call", &count);
        state_of(&module, name, sizeof(name));
        ck_assert_int_gt(strlen(name), 0);
    }
    unlink(module.path);
    free(whole);
    free(damaged);
}
END_TEST

static void expect_name(struct psc_demangler *demangler, const char *name, const char *expected) {
    char *text = psc_demangle_name(demangler, name);
    if (expected == NULL) {
        ck_assert_ptr_null(text);
    } else {
        ck_assert_ptr_nonnull(text);
        ck_assert_str_eq(text, expected);
    }
    free(text);
}

START_TEST(names_become_readable) {
    struct psc_demangler *demangler = psc_demangle_open();
    expect_name(demangler, "_ZN1a1bEv", "a::b()");
    expect_name(demangler, "_ZN1a1bEv.cold", "a::b() [clone .cold]");
    expect_name(demangler, "main", NULL);
    expect_name(demangler, "_Znope", NULL);
    expect_name(demangler, "_Z1fSsSsSsSsSsSsSsSsSsSsSsSsPSsS_S_S_S_S_S_S_S_S_S_",
                "f(std::string, std::string, std::string, std::string, std::string, std::string, std::string, "
                "std::string, std::string, std::string, std::string, std::string, std::string*, std::string*, "
                "std::string*, std::string*, std::string*, std::string*, std::string*, std::string*, std::string*, "
                "std::string*, std::string*)");
    psc_demangle_close(demangler);
}
END_TEST

/* "S_" means the whole type before: each level of pair<S_, S_> doubles the text. */
START_TEST(names_that_explode_are_refused) {
    struct psc_demangler *demangler = psc_demangle_open();
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char name[1024] = "_Z1f1aIiE";
    struct timespec before;
    struct timespec after;
    for (int i = 0; i < 34; i++) {
        size_t used = strlen(name);
        snprintf(name + used, sizeof(name) - used, "S_IS%c_S%c_E", digits[i], digits[i]);
    }
    clock_gettime(CLOCK_MONOTONIC, &before);
    expect_name(demangler, name, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_int_lt(after.tv_sec - before.tv_sec, 10);
    expect_name(demangler, "_ZN1a1bEv", "a::b()");
    psc_demangle_close(demangler);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("symbols");
    TCase *tests = tcase_create("symbols");
    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, functions_are_found_by_name);
    tcase_add_test(tests, files_are_described);
    tcase_add_test(tests, inlined_frames_come_first);
    tcase_add_test(tests, asked_again_gives_the_same_frames);
    tcase_add_test(tests, without_a_module_the_address_stands);
    tcase_add_test(tests, another_build_is_not_used);
    tcase_add_test(tests, files_that_are_no_files_are_left_alone);
    tcase_add_test(tests, open_files_are_bounded);
    tcase_add_test(tests, damaged_files_give_an_answer);
    tcase_add_test(tests, names_become_readable);
    tcase_add_test(tests, names_that_explode_are_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
