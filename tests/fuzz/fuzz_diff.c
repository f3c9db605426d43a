/* What is made of two traces, fed with anything: which sites are the same, what has changed, and the tree of processes.
 *
 * An input is 2 bytes, the length of the first trace (little-endian), and the two traces in the short form of
 * tests/unit/support_trace.h. What of the comparison is written is chosen by the input's length.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/diff.h"
#include "report/report.h"
#include "tests/unit/support_text.h"
#include "tests/unit/support_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two files that have paths, and the models that are read from them. */
struct pair {
    int fds[PSC_DIFF_SIDES];
    char paths[PSC_DIFF_SIDES][32];
    struct psc_model *models[PSC_DIFF_SIDES];
};

static void need(bool holds) {
    if (!holds) {
        abort();
    }
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

typedef void writer(const struct pair *pair, const struct psc_diff *diff, FILE *out);

static void write_text(const struct pair *pair, const struct psc_diff *diff, FILE *out) {
    (void)pair;
    psc_diff_write(diff, out, PSC_DIFF_TOP);
}

static void write_json(const struct pair *pair, const struct psc_diff *diff, FILE *out) {
    (void)pair;
    psc_diff_write_json(diff, out, SIZE_MAX);
}

static struct psc_tree read_tree(const struct pair *pair) {
    const struct psc_paths paths = {
        .paths = (char *[]){(char *)pair->paths[0], (char *)pair->paths[1], (char *)pair->paths[0]}, .count = 3};
    return psc_tree_read(&paths);
}

static void write_tree(const struct pair *pair, const struct psc_diff *diff, FILE *out) {
    (void)diff;
    struct psc_tree tree = read_tree(pair);
    need(tree.count == 3 && tree.failed == 0);
    psc_tree_write(&tree, 2, out);
    psc_tree_release(&tree);
}

static void write_tree_json(const struct pair *pair, const struct psc_diff *diff, FILE *out) {
    (void)diff;
    struct psc_tree tree = read_tree(pair);
    psc_json_write_many(pair->models[PSC_DIFF_NEW], &tree, out, 1);
    psc_tree_release(&tree);
}

static void check_output(const struct pair *pair, const struct psc_diff *diff, size_t choice) {
    static const struct {
        writer *write;
        bool (*holds)(const char *, size_t);
    } outputs[] = {{write_text, psc_text_is_plain},
                   {write_json, psc_text_is_json},
                   {write_tree, psc_text_is_plain},
                   {write_tree_json, psc_text_is_json}};
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    need(out != NULL);
    outputs[choice % PSC_COUNT_OF(outputs)].write(pair, diff, out);
    need(fclose(out) == 0 && outputs[choice % PSC_COUNT_OF(outputs)].holds(text, bytes));
    free(text);
}

/* ---- the comparison -------------------------------------------------------------------------------------------- */

/* A site of a trace is in one row, and so are its figures. */
static void check_sums(const struct psc_diff *diff, enum psc_diff_side side) {
    uint64_t merged = 0, used = 0, live = 0, wanted = 0;
    const struct psc_model *model = diff->models[side];
    for (size_t i = 0; i < diff->site_count; i++) {
        merged += diff->sites[i].merged[side];
        live += diff->sites[i].values[side][PSC_DIFF_LIVE].bytes;
    }
    for (size_t i = 0; i < model->site_count; i++) {
        used += psc_site_is_used(&model->sites[i]);
        wanted += psc_site_is_used(&model->sites[i]) ? model->sites[i].live_bytes : 0;
    }
    need(merged == used && live == wanted);
}

static void compare(const struct pair *pair, size_t choice) {
    struct psc_diff *diff = psc_diff_make(pair->models[PSC_DIFF_OLD], pair->models[PSC_DIFF_NEW],
                                          (enum psc_diff_figure)(choice / 8 % PSC_DIFF_FIGURES), choice / 4 % 2 == 0);
    check_sums(diff, PSC_DIFF_OLD);
    check_sums(diff, PSC_DIFF_NEW);
    check_output(pair, diff, choice);
    psc_diff_free(diff);
}

static void open_side(struct pair *pair, enum psc_diff_side side, const uint8_t *data, size_t size) {
    const char *error;
    pair->fds[side] = psc_fake_lengthen(data, size);
    snprintf(pair->paths[side], sizeof(pair->paths[side]), "/proc/self/fd/%d", pair->fds[side]);
    pair->models[side] = psc_model_open(pair->paths[side], &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct pair pair;
    if (size < 2) {
        return 0;
    }
    size_t length = (size_t)data[0] | (size_t)data[1] << 8;
    length = length < size - 2 ? length : size - 2;
    open_side(&pair, PSC_DIFF_OLD, data + 2, length);
    open_side(&pair, PSC_DIFF_NEW, data + 2 + length, size - 2 - length);
    if (pair.models[PSC_DIFF_OLD] != NULL && pair.models[PSC_DIFF_NEW] != NULL) {
        compare(&pair, size);
    }
    for (int side = 0; side < PSC_DIFF_SIDES; side++) {
        psc_model_close(pair.models[side]);
        close(pair.fds[side]);
    }
    return 0;
}
