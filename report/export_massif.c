/* export --to=massif: the text of valgrind's massif, with the allocation clock as time. The snapshots are those of the
 * trace; the live bytes at the peak and at the end are shared out in trees of call sites. */
#include <inttypes.h>
#include <stdlib.h>

#include "report/array.h"
#include "report/export_part.h"

/* Of the root's bytes: what a node has to have to be told by itself. As massif's --threshold. */
#define THRESHOLD_DIVISOR 100
#define THRESHOLD_TEXT "below massif's threshold (1.00%%)"

/* Readers of massif's files take what follows a '#' for a comment. */
#define RESERVED "#"
#define INSTEAD "$"

struct tree {
    struct psc_model *model;
    FILE *out;
    struct psc_export_path *paths;
    size_t count;
    uint64_t *before; /* figure of all paths before each; one more at the end */
    uint64_t not_sampled;
    uint64_t threshold;
};

/* Paths with the same frames down to some depth. */
struct run {
    size_t first;
    size_t end;
};

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

static uint64_t bytes_of(const struct tree *tree, struct run run) {
    return tree->before[run.end] - tree->before[run.first];
}

static uint64_t whole_of(const struct tree *tree) {
    return tree->before[tree->count] + tree->not_sampled;
}

static struct run run_at(const struct tree *tree, size_t first, size_t end, size_t depth) {
    uint64_t address = psc_export_address(&tree->paths[first], depth);
    struct run run = {first, first + 1};
    while (run.end < end && psc_export_address(&tree->paths[run.end], depth) == address) {
        run.end++;
    }
    return run;
}

/* What is below a node: the runs that are told by themselves, and the others together. */
struct below {
    struct run *runs;
    size_t count;
    size_t capacity;
    size_t small_count;
    uint64_t small_bytes;
};

static int most_first(const void *left, const void *right, void *tree) {
    const struct run *a = left, *b = right;
    uint64_t x = bytes_of(tree, *a), y = bytes_of(tree, *b);
    return x != y ? (x > y ? -1 : 1) : a->first < b->first ? -1 : 1;
}

static struct below look_below(const struct tree *tree, struct run run, size_t depth) {
    struct below below = {0};
    size_t at = run.first;
    while (at < run.end && tree->paths[at].count == depth) {
        at++; /* stacks that end here */
    }
    while (at < run.end) {
        struct run next = run_at(tree, at, run.end, depth);
        if (bytes_of(tree, next) >= tree->threshold) {
            below.runs = psc_array_reserve(below.runs, below.count + 1, &below.capacity, sizeof(*below.runs));
            below.runs[below.count++] = next;
        } else {
            below.small_count++;
            below.small_bytes += bytes_of(tree, next);
        }
        at = next.end;
    }
    if (below.count > 1) {
        qsort_r(below.runs, below.count, sizeof(*below.runs), most_first, (void *)(uintptr_t)tree);
    }
    return below;
}

static void write_node(const struct tree *tree, size_t indent, size_t children, uint64_t bytes, const char *label) {
    fprintf(tree->out, "%*sn%zu: %" PRIu64 " ", (int)indent, "", children, bytes);
    psc_export_put(tree->out, label, RESERVED, INSTEAD);
    fputc('\n', tree->out);
}

static void write_small(const struct tree *tree, size_t indent, const struct below *below) {
    if (below->small_count != 0) {
        fprintf(tree->out, "%*sn0: %" PRIu64 " in %zu place%s, " THRESHOLD_TEXT "\n", (int)indent, "",
                below->small_bytes, below->small_count, below->small_count == 1 ? "" : "s, all");
    }
}

static size_t children_of(const struct below *below) {
    return below->count + (below->small_count != 0);
}

/* The frames that the address at `depth` stands for: *count of them, until those of the site are forgotten. */
static const struct psc_frame *frames_at(const struct tree *tree, const struct psc_export_path *path, size_t depth,
                                         size_t *count) {
    psc_model_symbolize(tree->model, path->site);
    const struct psc_site *site = path->site;
    size_t at = 0;
    *count = 0;
    for (size_t passed = 0; passed < path->first + depth && at < site->frame_count; at++) {
        passed += !site->frames[at].inlined;
    }
    if (at == site->frame_count) {
        return NULL;
    }
    do {
        ++*count;
    } while (at + *count < site->frame_count && site->frames[at + *count - 1].inlined);
    return site->frames + at;
}

/* One node for each frame of the address; returns how far the next one is indented. */
static size_t write_frames(const struct tree *tree, size_t indent, struct run run, size_t depth, size_t children) {
    struct psc_export_path *path = &tree->paths[run.first];
    char label[PSC_EXPORT_LABEL_BYTES];
    size_t count;
    const struct psc_frame *frames = frames_at(tree, path, depth, &count);
    for (size_t i = 0; i < count; i++) {
        write_node(tree, indent++, i + 1 < count ? 1 : children, bytes_of(tree, run),
                   psc_export_label(label, &frames[i]));
    }
    if (count == 0) { /* memory has run out meanwhile */
        write_node(tree, indent++, children, bytes_of(tree, run), "???");
    }
    psc_model_forget_frames(path->site);
    return indent;
}

/* The node of `run`, whose frame at `depth` is the same, and all below it. */
static void write_run(const struct tree *tree, size_t indent, struct run run, size_t depth) {
    struct below below = look_below(tree, run, depth + 1);
    indent = write_frames(tree, indent, run, depth, children_of(&below));
    for (size_t i = 0; i < below.count && !ferror(tree->out); i++) {
        write_run(tree, indent, below.runs[i], depth + 1);
    }
    write_small(tree, indent, &below);
    free(below.runs);
}

/* Sites without frames come first. */
static uint64_t frameless_of(const struct tree *tree) {
    size_t end = 0;
    while (end < tree->count && tree->paths[end].count == 0) {
        end++;
    }
    return tree->before[end];
}

static void write_tree(const struct tree *tree) {
    struct below below = look_below(tree, (struct run){0, tree->count}, 0);
    uint64_t frameless = frameless_of(tree);
    size_t children = children_of(&below) + (frameless != 0) + (tree->not_sampled != 0);
    write_node(tree, 0, children, whole_of(tree), "(heap allocation functions) malloc/new/new[], --alloc-fns, etc.");
    for (size_t i = 0; i < below.count && !ferror(tree->out); i++) {
        write_run(tree, 1, below.runs[i], 0);
    }
    if (frameless != 0) {
        write_node(tree, 1, 0, frameless, "(unknown)");
    }
    if (tree->not_sampled != 0) {
        write_node(tree, 1, 0, tree->not_sampled, "(not sampled)");
    }
    write_small(tree, 1, &below);
    free(below.runs);
}

static struct tree make_tree(struct psc_model *model, FILE *out, enum psc_export_figure figure) {
    struct tree tree = {.model = model, .out = out};
    tree.paths = psc_export_paths(model, figure, true, &tree.count);
    tree.before = psc_array_new(tree.count + 1, sizeof(*tree.before));
    for (size_t i = 0; i < tree.count; i++) {
        tree.before[i + 1] = tree.before[i] + psc_export_figure_of(tree.paths[i].site, figure);
    }
    tree.not_sampled = psc_export_sum(model, figure) - tree.before[tree.count];
    tree.threshold = whole_of(&tree) / THRESHOLD_DIVISOR;
    return tree;
}

static void release_tree(struct tree *tree) {
    free(tree->paths);
    free(tree->before);
}

/* ---- snapshots --------------------------------------------------------------------------------------------------- */

struct row {
    uint64_t clock_bytes;
    uint64_t live_bytes;
    uint64_t committed_bytes;
};

static void write_row(FILE *out, unsigned number, const struct row *row) {
    uint64_t beyond = row->committed_bytes > row->live_bytes ? row->committed_bytes - row->live_bytes : 0;
    fprintf(out,
            "#-----------\nsnapshot=%u\n#-----------\ntime=%" PRIu64 "\nmem_heap_B=%" PRIu64
            "\nmem_heap_extra_B=%" PRIu64 "\nmem_stacks_B=0\n",
            number, row->clock_bytes, row->live_bytes, beyond);
}

static void write_detailed(unsigned number, const struct row *row, const char *kind, const struct tree *tree) {
    struct row detailed = *row;
    detailed.live_bytes = whole_of(tree); /* a tree is of the whole */
    write_row(tree->out, number, &detailed);
    fprintf(tree->out, "heap_tree=%s\n", kind);
    write_tree(tree);
}

static struct row row_of(const struct psc_wire_snapshot *snapshot) {
    return (struct row){snapshot->clock_bytes, snapshot->live_bytes, snapshot->committed_bytes};
}

/* That of the peak is as of the last time that it rose by some percent; what sites had is known of the peak itself. */
static struct row peak_of(const struct psc_model *model) {
    const struct psc_wire_snapshot *peak = psc_model_peak_snapshot(model);
    return (struct row){.clock_bytes = model->totals.peak_clock_bytes,
                        .committed_bytes = peak != NULL ? peak->committed_bytes : 0};
}

static struct row end_of(const struct psc_model *model) {
    return (struct row){.clock_bytes = model->totals.clock_bytes, .committed_bytes = model->totals.committed_bytes};
}

/* By time; the peak's own has its tree, and the end has one in the place of the last. */
static void write_snapshots(const struct psc_model *model, const struct tree *peak, const struct tree *end) {
    struct row at_peak = peak_of(model), at_end = end_of(model);
    bool peak_written = false;
    unsigned number = 0;
    for (size_t i = 0; i < model->snapshot_count; i++) {
        struct row row = row_of(&model->snapshots[i]);
        if (model->snapshots[i].flags & (PSC_SNAPSHOT_PEAK | PSC_SNAPSHOT_LAST) ||
            row.clock_bytes > at_end.clock_bytes) {
            continue;
        }
        if (!peak_written && row.clock_bytes > at_peak.clock_bytes) {
            write_detailed(number++, &at_peak, "peak", peak);
            peak_written = true;
        }
        write_row(end->out, number++, &row);
        fputs("heap_tree=empty\n", end->out);
    }
    if (!peak_written) {
        write_detailed(number++, &at_peak, "peak", peak);
    }
    write_detailed(number, &at_end, "detailed", end);
}

bool psc_export_massif(struct psc_model *model, const struct psc_export_options *options, FILE *out) {
    (void)options;
    char *command = psc_export_command(&model->process);
    fputs(
        "desc: written by poolscope export; time is bytes allocated so far, extra is what the heap held beyond\ncmd: ",
        out);
    psc_export_put(out, *command != '\0' ? command : psc_process_name(&model->process), RESERVED, INSTEAD);
    fputs("\ntime_unit: B\n", out);
    free(command);
    struct tree peak = make_tree(model, out, PSC_EXPORT_PEAK), end = make_tree(model, out, PSC_EXPORT_LIVE);
    write_snapshots(model, &peak, &end);
    release_tree(&peak);
    release_tree(&end);
    return !ferror(out);
}
