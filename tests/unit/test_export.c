/* What `poolscope export` writes of traces made by hand: damaged names, sums, and the parts that other tools rely on. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/compiler.h"
#include "report/export_part.h"
#include "report/format.h"
#include "report/protobuf.h"
#include "tests/unit/support_model.h"

/* The small trace, with names that no format takes as they are. */
static void make_hostile(struct psc_fake *fake) {
    static const char arguments[] = "ev\x1b]0;il\nname\xff\0#1 \"quoted\" \\ ;\0\xc2\x9b";
    psc_fake_small(fake);
    memcpy(psc_fake_header(fake)->argv, arguments, sizeof(arguments));
    psc_fake_header(fake)->argv_bytes = sizeof(arguments);
    psc_fake_module(fake, 0x7000000, 0x7100000, "/lib/a;b\"c\\d#1\n\xff\xed\xa0\x80.so");
    uint64_t stack[] = {0x7000010, 0x7000020, 0x7000010};
    struct psc_wire_row *row = psc_fake_book(fake, psc_fake_site(fake, stack, 3, 3));
    *row = (struct psc_wire_row){.alloc_count = 7, .alloc_bytes = 7000, .free_count = 3, .free_bytes = 3000};
}

/* Five stacks with one root, four of them with one caller, and one of a tenth of a percent. */
static void make_branches(struct psc_fake *fake) {
    static const uint64_t stacks[][3] = {{0x1000, 0x8000, 0x9000},
                                         {0x2000, 0x8000, 0x9000},
                                         {0x1000, 0x8000, 0x9001},
                                         {0x1000, 0x8001, 0x9000},
                                         {0x3000, 0x8000, 0x9000}};
    static const uint64_t bytes[] = {5000, 2500, 1500, 990, 10};
    psc_fake_init(fake, 40);
    for (size_t i = 0; i < PSC_COUNT_OF(bytes); i++) {
        struct psc_wire_row *row = psc_fake_book(fake, psc_fake_site(fake, stacks[i], 3, 0));
        *row = (struct psc_wire_row){.alloc_count = 10, .alloc_bytes = bytes[i]};
    }
}

/* A stack of four frames that has a gap behind the third, and another one without. */
static void make_gap(struct psc_fake *fake) {
    uint64_t stack[] = {0x1000, 0x2000, 0x3000, 0x4000};
    psc_fake_init(fake, 40);
    psc_fake_header(fake)->depth = PSC_COUNT_OF(stack);
    uint32_t deep = psc_fake_site(fake, stack, 4, 0), shallow = psc_fake_site(fake, stack, 3, 0);
    struct psc_wire_site *rows = (void *)(fake->bytes + (size_t)fake->open[PSC_CHUNK_SITES] * PSC_CHUNK_BYTES);
    rows[deep].flags = PSC_SITE_SKIPPED;
    *psc_fake_book(fake, deep) = (struct psc_wire_row){.alloc_count = 1, .alloc_bytes = 100};
    *psc_fake_book(fake, shallow) = (struct psc_wire_row){.alloc_count = 1, .alloc_bytes = 50};
}

static void (*const makers[])(struct psc_fake *) = {psc_fake_small, psc_fake_small_sampled, make_hostile, make_branches,
                                                    make_gap};

static char *export(struct psc_model *model, psc_export_writer *write, enum psc_export_figure figure, size_t *bytes) {
    char *text = NULL;
    const struct psc_export_options options = {.figure = figure};
    FILE *out = open_memstream(&text, bytes);
    ck_assert(write(model, &options, out));
    fclose(out);
    return text;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void check_text(const char *text, size_t bytes) {
    ck_assert_uint_eq(strlen(text), bytes);
    for (size_t at = 0; at < bytes;) {
        uint32_t character;
        unsigned length = psc_format_decode(text + at, &character);
        ck_assert_msg(length != 0, "byte %zu is not UTF-8", at);
        ck_assert_msg(character == '\n' || !psc_format_is_control(character), "character %x at %zu", character, at);
        at += length;
    }
}

static void check_formats(struct psc_fake *fake) {
    static psc_export_writer *const writers[] = {psc_export_collapsed, psc_export_speedscope, psc_export_massif,
                                                 psc_export_dhat};
    struct psc_model *model = psc_fake_read(fake);
    for (size_t i = 0; i < PSC_COUNT_OF(writers); i++) {
        size_t bytes;
        char *text = export(model, writers[i], PSC_EXPORT_FIGURE_COUNT, &bytes);
        check_text(text, bytes);
        free(text);
    }
    psc_model_close(model);
    psc_fake_release(fake);
}

START_TEST(all_text_is_plain) {
    struct psc_fake fake;
    makers[_i](&fake);
    check_formats(&fake);
}
END_TEST

START_TEST(collapsed_lines_have_a_stack_and_a_number) {
    struct psc_fake fake;
    size_t bytes;
    make_hostile(&fake);
    struct psc_model *model = psc_fake_read(&fake);
    char *text = export(model, psc_export_collapsed, PSC_EXPORT_ALLOC, &bytes);
    uint64_t sum = 0, hostile = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *space = strrchr(line, ' ');
        ck_assert_ptr_nonnull(space);
        sum += strtoull(space, NULL, 10);
        if (strcmp(space, " 7000") == 0) {
            hostile++;
            const char *name = "a:b\"c\\d#1";
            ck_assert_msg(strncmp(line, name, strlen(name)) == 0, "%s", line);
            ck_assert_ptr_eq(strchr(strchr(strchr(line, ';') + 1, ';') + 1, ';'), NULL);
        }
    }
    ck_assert_uint_eq(hostile, 1);
    ck_assert_uint_eq(sum, psc_export_sum(model, PSC_EXPORT_ALLOC));
    ck_assert_uint_eq(sum, model->totals.alloc_bytes);
    free(text);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* One line of a massif tree and all below it. Returns its bytes, and the first line behind it in *line. */
static uint64_t check_node(char **line, size_t indent) {
    char *end, *at = *line + strspn(*line, " ");
    ck_assert_uint_eq((size_t)(at - *line), indent);
    ck_assert_int_eq(*at, 'n');
    uint64_t children = strtoull(at + 1, &end, 10), below = 0;
    ck_assert_int_eq(*end, ':');
    uint64_t bytes = strtoull(end + 1, &end, 10);
    ck_assert_int_eq(*end, ' ');
    *line = strchr(end, '\n') + 1;
    ck_assert_ptr_null(memchr(end, '#', (size_t)(*line - end)));
    for (uint64_t i = 0; i < children; i++) {
        below += check_node(line, indent + 1);
    }
    ck_assert_uint_le(below, bytes);
    return bytes;
}

static uint64_t check_tree(char *text, const char *kind) {
    char *line = strstr(text, kind);
    ck_assert_ptr_nonnull(line);
    line = strchr(line, '\n') + 1;
    uint64_t bytes = check_node(&line, 0);
    ck_assert(*line == '#' || *line == '\0');
    return bytes;
}

START_TEST(massif_trees_hold_together) {
    struct psc_fake fake;
    size_t bytes;
    makers[_i](&fake);
    struct psc_model *model = psc_fake_read(&fake);
    char *text = export(model, psc_export_massif, PSC_EXPORT_FIGURE_COUNT, &bytes);
    ck_assert_uint_eq(check_tree(text, "heap_tree=peak\n"), psc_export_sum(model, PSC_EXPORT_PEAK));
    ck_assert_uint_eq(check_tree(text, "heap_tree=detailed\n"), psc_export_sum(model, PSC_EXPORT_LIVE));
    free(text);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(massif_tree_has_callers_in_common) {
    struct psc_fake fake;
    size_t bytes;
    make_branches(&fake);
    struct psc_model *model = psc_fake_read(&fake);
    char *text = export(model, psc_export_massif, PSC_EXPORT_FIGURE_COUNT, &bytes);
    const char *expected = "heap_tree=detailed\n"
                           "n3: 10000 (heap allocation functions) malloc/new/new[], --alloc-fns, etc.\n"
                           " n2: 7490 0x1000: 0x1000\n"
                           "  n2: 6500 0x8000: 0x8000\n"
                           "   n0: 5000 0x9000: 0x9000\n"
                           "   n0: 1500 0x9001: 0x9001\n"
                           "  n1: 990 0x8001: 0x8001\n"
                           "   n0: 990 0x9000: 0x9000\n"
                           " n1: 2500 0x2000: 0x2000\n"
                           "  n1: 2500 0x8000: 0x8000\n"
                           "   n0: 2500 0x9000: 0x9000\n"
                           " n0: 10 in 1 place, below massif's threshold (1.00%)\n";
    ck_assert_str_eq(strstr(text, "heap_tree=detailed\n"), expected);
    free(text);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(gaps_stand_where_frames_are_missing) {
    struct psc_fake fake;
    size_t bytes;
    make_gap(&fake);
    struct psc_model *model = psc_fake_read(&fake);
    char *text = export(model, psc_export_collapsed, PSC_EXPORT_ALLOC, &bytes);
    ck_assert_str_eq(text, "0x4000;(frames left out);0x3000;0x2000;0x1000 100\n0x3000;0x2000;0x1000 50\n");
    free(text);
    text = export(model, psc_export_massif, PSC_EXPORT_FIGURE_COUNT, &bytes);
    ck_assert_str_eq(strstr(strstr(text, "=detailed"), "   n1: "),
                     "   n1: 150 0x3000: 0x3000\n    n1: 100 (frames left out)\n     n0: 100 0x4000: 0x4000\n");
    free(text);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(dhat_tells_lifetimes) {
    struct psc_fake fake;
    size_t bytes;
    psc_fake_init(&fake, 40);
    uint64_t stack[] = {0x1000};
    uint32_t site = psc_fake_site(&fake, stack, 1, 0);
    struct psc_wire_row *row = psc_fake_book(&fake, site);
    *row = (struct psc_wire_row){.alloc_count = 30, .alloc_bytes = 90000, .free_count = 30, .free_bytes = 90000};
    row->ages[0] = 20; /* below 512 */
    row->ages[2] = 10; /* 1024 to 2048, in the middle on average */
    psc_fake_places(row, site)[2] = (struct psc_wire_places){.sum = 5, .squares = 3};
    struct psc_model *model = psc_fake_read(&fake);
    char *text = export(model, psc_export_dhat, PSC_EXPORT_FIGURE_COUNT, &bytes);
    ck_assert_msg(strstr(text, "{\"tb\": 90000, \"tbk\": 30, \"tl\": 20480, \"mb\": 0,") != NULL, "%s", text);
    free(text);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* ---- pprof ------------------------------------------------------------------------------------------------------- */

START_TEST(protobuf_as_its_guide_has_it) {
    struct psc_protobuf message = {0};
    const uint64_t values[] = {3, 270, 86942};
    psc_protobuf_number(&message, 1, 150);
    psc_protobuf_number(&message, 9, 0);
    psc_protobuf_bytes(&message, 2, "testing", 7);
    psc_protobuf_numbers(&message, 6, values, 3);
    psc_protobuf_number(&message, 16, UINT64_MAX);
    const unsigned char expected[] = {0x08, 0x96, 0x01, 0x12, 0x07, 't',  'e',  's',  't',  'i',  'n',
                                      'g',  0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05, 0x80, 0x01,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    ck_assert_uint_eq(message.count, sizeof(expected));
    ck_assert_mem_eq(message.bytes, expected, sizeof(expected));
    psc_protobuf_release(&message);
}
END_TEST

/* What is left of a message. */
struct bytes {
    const unsigned char *at;
    const unsigned char *end;
};

static uint64_t take_varint(struct bytes *bytes) {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        ck_assert(bytes->at < bytes->end && shift < 64);
        value |= (uint64_t)(*bytes->at & 0x7f) << shift;
        if ((*bytes->at++ & 0x80) == 0) {
            return value;
        }
    }
}

/* The next field: its number, and its value or its bytes. 0 at the end. */
static uint64_t take_field(struct bytes *bytes, uint64_t *value, struct bytes *inner) {
    if (bytes->at == bytes->end) {
        return 0;
    }
    uint64_t key = take_varint(bytes), length = take_varint(bytes);
    *value = length;
    *inner = (struct bytes){bytes->at, bytes->at};
    if ((key & 7) == 2) {
        ck_assert_uint_le(length, (size_t)(bytes->end - bytes->at));
        inner->end = bytes->at += length;
    } else {
        ck_assert_uint_eq(key & 7, 0);
    }
    return key >> 3;
}

struct counts {
    uint64_t fields[16];
    uint64_t largest_location, largest_function, largest_string; /* that something refers to */
    uint64_t sums[PSC_EXPORT_FIGURE_COUNT];
};

static void raise_to(uint64_t *largest, uint64_t value) {
    *largest = value > *largest ? value : *largest;
}

static void check_sample(struct counts *counts, struct bytes sample) {
    struct bytes inner;
    for (uint64_t value, field; (field = take_field(&sample, &value, &inner)) != 0;) {
        for (size_t k = 0; inner.at < inner.end; k++) {
            value = take_varint(&inner);
            if (field == 1) {
                ck_assert_uint_gt(value, 0);
                raise_to(&counts->largest_location, value);
            } else {
                ck_assert_uint_lt(k, PSC_EXPORT_FIGURE_COUNT);
                counts->sums[k] += value;
            }
        }
    }
}

/* Fields that are strings or functions, in messages of the profile. */
static void check_references(struct counts *counts, uint64_t kind, struct bytes part) {
    struct bytes inner, none;
    for (uint64_t value, field; (field = take_field(&part, &value, &inner)) != 0;) {
        if (kind == 4 && field == 4) {
            ck_assert_uint_eq(take_field(&inner, &value, &none), 1);
            raise_to(&counts->largest_function, value);
        } else if ((kind == 5 && field > 1) || (kind == 3 && (field == 5 || field == 6)) || kind == 1) {
            raise_to(&counts->largest_string, value);
        }
    }
}

static void check_string(struct bytes string) {
    char *copy = strndup((const char *)string.at, (size_t)(string.end - string.at));
    uint32_t character;
    for (const char *at = copy; *at != '\0'; at += psc_format_decode(at, &character)) {
        ck_assert_uint_ne(psc_format_decode(at, &character), 0);
    }
    free(copy);
}

static struct counts read_profile(struct bytes profile) {
    struct counts counts = {0};
    struct bytes part;
    for (uint64_t value, field; (field = take_field(&profile, &value, &part)) != 0;) {
        ck_assert_uint_lt(field, 16);
        counts.fields[field]++;
        if (field == 2) {
            check_sample(&counts, part);
        } else if (field == 6) {
            ck_assert(counts.fields[6] > 1 || part.at == part.end); /* the first string is empty */
            check_string(part);
        } else if (field != 9 && field != 10 && field != 12) {
            check_references(&counts, field, part);
        }
    }
    return counts;
}

static unsigned char *unpack(FILE *file, size_t *bytes) {
    unsigned char *text = calloc(1, 1 << 20);
    rewind(file);
    gzFile in = gzdopen(dup(fileno(file)), "rb");
    *bytes = (size_t)gzread(in, text, 1 << 20);
    ck_assert_int_eq(gzdirect(in), 0);
    ck_assert_int_eq(gzclose(in), Z_OK);
    return text;
}

START_TEST(pprof_refers_to_what_is_there) {
    static const struct psc_export_options none = {.figure = PSC_EXPORT_FIGURE_COUNT};
    struct psc_fake fake;
    size_t bytes;
    makers[_i](&fake);
    struct psc_model *model = psc_fake_read(&fake);
    FILE *file = tmpfile();
    ck_assert(psc_export_pprof(model, &none, file));
    unsigned char *text = unpack(file, &bytes);
    struct counts counts = read_profile((struct bytes){text, text + bytes});
    ck_assert_uint_eq(counts.fields[1], PSC_EXPORT_FIGURE_COUNT);
    ck_assert_uint_eq(counts.fields[3], model->module_count);
    ck_assert_uint_eq(counts.fields[4], counts.largest_location);
    ck_assert_uint_eq(counts.fields[5], counts.largest_function);
    ck_assert_uint_gt(counts.fields[6], counts.largest_string);
    for (size_t k = 0; k < PSC_EXPORT_FIGURE_COUNT; k++) {
        ck_assert_uint_eq(counts.sums[k], psc_export_sum(model, (enum psc_export_figure)k));
    }
    fclose(file);
    free(text);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int run_export(const char *first, const char *second) {
    char *argv[] = {(char *)"export", (char *)first, (char *)second, NULL};
    return psc_export_main(second != NULL ? 3 : 2, argv);
}

START_TEST(errors_have_a_status) {
    ck_assert_int_eq(run_export("--to=dhat", "/nonexistent/x.trace"), 1);
    ck_assert_int_eq(run_export("--to=dhat", "tests/unit/test_export.c"), 1);
    ck_assert_int_eq(run_export("x.trace", NULL), 2);
    ck_assert_int_eq(run_export("--to=xml", NULL), 2);
    ck_assert_int_eq(run_export("--to=dhat", "--value=live"), 2);
    ck_assert_int_eq(run_export("--to=collapsed", "--value=x"), 2);
    ck_assert_int_eq(run_export("--to", NULL), 2);
    ck_assert_int_eq(run_export("--no-such-option", NULL), 2);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("export");
    TCase *text = tcase_create("text");
    tcase_add_loop_test(text, all_text_is_plain, 0, PSC_COUNT_OF(makers));
    tcase_add_test(text, collapsed_lines_have_a_stack_and_a_number);
    tcase_add_loop_test(text, massif_trees_hold_together, 0, PSC_COUNT_OF(makers));
    tcase_add_test(text, massif_tree_has_callers_in_common);
    tcase_add_test(text, gaps_stand_where_frames_are_missing);
    tcase_add_test(text, dhat_tells_lifetimes);
    suite_add_tcase(suite, text);
    TCase *binary = tcase_create("binary");
    tcase_add_test(binary, protobuf_as_its_guide_has_it);
    tcase_add_loop_test(binary, pprof_refers_to_what_is_there, 0, PSC_COUNT_OF(makers));
    tcase_add_test(binary, errors_have_a_status);
    suite_add_tcase(suite, binary);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
