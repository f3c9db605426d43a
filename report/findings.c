#include "report/findings.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "report/format.h"
#include "report/plot_text.h"

#define BYTES(n) (psc_format_bytes(n).s)
#define COUNT(n) (psc_format_count(n).s)

#define SITES_CONSIDERED 10 /* of those that pin most */
#define PAIRS_SHOWN 2
#define SCATTERED_SHOWN 3
#define LIFETIMES_DIFFER 8 /* times as long */

/* ---- the list -------------------------------------------------------------------------------------------------- */

static uint64_t weight_of(const struct psc_finding *finding) {
    return finding->kind == PSC_FINDING_PEAK ? finding->bytes / 2 : finding->bytes;
}

PSC_PRINTF(5, 6)
static void add(struct psc_findings *findings, enum psc_finding_kind kind, uint64_t bytes, uint32_t site,
                const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    findings->all = psc_array_reserve(findings->all, findings->count + 1, &findings->capacity, sizeof(*findings->all));
    struct psc_finding finding = {kind, bytes, site, psc_array_text(text)};
    size_t at = findings->count++;
    for (; at > 0 && weight_of(&findings->all[at - 1]) < weight_of(&finding); at--) {
        findings->all[at] = findings->all[at - 1];
    }
    findings->all[at] = finding;
}

static bool is_worth(const struct psc_model *model, uint64_t bytes) {
    return bytes >= PSC_FINDING_LEAST_BYTES && bytes >= model->fragmentation.committed_bytes / 100;
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

struct name {
    char s[1024];
};

static const char *function_of(struct psc_model *model, uint32_t id) {
    psc_model_symbolize(model, &model->sites[id]);
    const struct psc_frame *frame = psc_text_site_frame(&model->sites[id]);
    return frame == NULL ? NULL : frame->function;
}

/* A function's name, short and plain. */
static struct name name_of_function(const char *function) {
    char text[256];
    struct name name;
    psc_text_function(function, text, sizeof(text));
    psc_format_plain(name.s, 256, text);
    return name;
}

/* True if another site that pins much is in the same function. */
static bool is_ambiguous(struct psc_model *model, uint32_t id) {
    const char *function = function_of(model, id);
    for (size_t i = 0; i < model->by_pinned_count && i < SITES_CONSIDERED; i++) {
        const char *other = function_of(model, model->by_pinned[i]);
        if (model->by_pinned[i] != id && other != NULL && function != NULL && strcmp(other, function) == 0) {
            return true;
        }
    }
    return false;
}

/* "cache_put (cache.c:88)", "cache_put (cache.c:88, called by fill)" */
static struct name name_of(struct psc_model *model, uint32_t id) {
    psc_model_symbolize(model, &model->sites[id]);
    const struct psc_site *site = &model->sites[id];
    const struct psc_frame *frame = psc_text_site_frame(site);
    if (frame == NULL) {
        return (struct name){"(unknown: no stack)"};
    }
    struct name name = name_of_function(frame->function);
    char file[128] = "";
    const char *caller = is_ambiguous(model, id) ? psc_text_site_caller(site) : NULL;
    size_t length = strlen(name.s);
    if (frame->file != NULL && *frame->file != '\0') {
        psc_format_plain(file, sizeof(file), psc_format_last_part(frame->file));
        length += (size_t)snprintf(name.s + length, sizeof(name.s) - length, " (%s:%" PRIu32 "%s", file, frame->line,
                                   caller == NULL ? ")" : ", ");
    } else if (caller != NULL) {
        length += (size_t)snprintf(name.s + length, sizeof(name.s) - length, " (");
    }
    if (caller != NULL) {
        snprintf(name.s + length, sizeof(name.s) - length, "called by %.80s)", name_of_function(caller).s);
    }
    return name;
}

static bool is_made_of(const char *text, const char *more) {
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && strchr(more, *text) == NULL) {
            return false;
        }
    }
    return true;
}

/* What the option --apart takes: the function; where that says too little, or a shell might read it otherwise, the stack
 * of this site in this trace. */
static struct name rule_of(struct psc_model *model, uint32_t id) {
    struct name rule;
    const char *function = function_of(model, id);
    bool named = function != NULL && !isdigit((unsigned char)*function) && is_made_of(function, "_:");
    if (named && strlen(function) < 100 && !is_ambiguous(model, id)) {
        snprintf(rule.s, sizeof(rule.s), "%s", function);
    } else {
        bool plain = strlen(model->path) < 300 && is_made_of(model->path, "_-./+,@");
        snprintf(rule.s, sizeof(rule.s), "%s:%" PRIu32, plain ? model->path : "TRACE", id);
    }
    return rule;
}

/* ---- who pins -------------------------------------------------------------------------------------------------- */

/* "cache_put (cache.c:88) keeps 3,906 pools (15.3 MiB) from going back with 6,250 blocks (390 KiB)" */
static struct name what_it_keeps(struct psc_model *model, const struct psc_site *site) {
    struct name text;
    snprintf(text.s, sizeof(text.s), "%.300s keeps %s %s (%s) from going back with %s %s (%s)",
             name_of(model, site->id).s, COUNT(site->pinned_pools),
             psc_format_plural(site->pinned_pools, "pool", "pools"), BYTES(site->pinned_pools_bytes),
             COUNT(site->pinning_blocks), psc_format_plural(site->pinning_blocks, "block", "blocks"),
             BYTES(site->pinning_bytes));
    return text;
}

static struct psc_text saving_in_words(const struct psc_model *model, const struct psc_site *site) {
    struct psc_text text = {"nothing"};
    if (site->saving_bytes > model->fragmentation.committed_bytes / 1000) {
        snprintf(text.s, sizeof(text.s), "only %.40s", BYTES(site->saving_bytes));
    }
    return text;
}

/* Else what is pinned in its pools is little more than their ends. */
static bool is_sparse(const struct psc_site *site) {
    return site->sole_bytes >= site->pinned_pools_bytes / 8;
}

static void find_apart(struct psc_model *model, const struct psc_site *site, struct psc_findings *findings) {
    add(findings, PSC_FINDING_APART, site->saving_bytes, site->id,
        "%s; in pools of their own these would take %s, and %s would go back. To try it: poolscope run --apart=%s.",
        what_it_keeps(model, site).s, BYTES(site->apart_bytes), BYTES(site->saving_bytes), rule_of(model, site->id).s);
}

static void find_scattered(struct psc_model *model, const struct psc_site *site, struct psc_findings *findings) {
    add(findings, PSC_FINDING_SCATTERED, site->sole_bytes, site->id,
        "%s. They lie scattered among places that blocks of its own have left, so pools of its own would bring %s "
        "back: "
        "only moving these blocks together (copying those that are left into new memory) gives back up to %s.",
        what_it_keeps(model, site).s, saving_in_words(model, site).s, BYTES(site->sole_bytes));
}

/* Sites that keep pools with others are told of by the first of them. */
struct shared {
    const struct psc_site *first;
    size_t count;
    uint64_t bytes;
};

static void count_shared(const struct psc_site *site, struct shared *shared) {
    shared->first = shared->count == 0 ? site : shared->first;
    shared->count++;
    shared->bytes += site->pinned_bytes;
}

static void find_shared(struct psc_model *model, const struct shared *shared, struct psc_findings *findings) {
    const struct psc_site *site = shared->first;
    char others[128] = "";
    if (site == NULL) {
        return;
    }
    if (shared->count > 1) {
        snprintf(others, sizeof(others), " The same is true of %zu more %s, which %s %s.", shared->count - 1,
                 psc_format_plural(shared->count - 1, "site", "sites"),
                 psc_format_plural(shared->count - 1, "pins", "pin"), BYTES(shared->bytes - site->pinned_bytes));
    }
    add(findings, PSC_FINDING_SHARED, site->pinned_bytes, site->id,
        "%s. Other sites keep most of these pools as well: %s of what is free in them fall to this one, but pools of "
        "its own alone would bring %s back.%s",
        what_it_keeps(model, site).s, BYTES(site->pinned_bytes), saving_in_words(model, site).s, others);
}

static void find_pinned_by_sample(struct psc_model *model, const struct psc_site *site, struct psc_findings *findings) {
    add(findings, PSC_FINDING_PINNED, site->pinned_bytes, site->id,
        "%s keeps about %s from going back, as %s of its live blocks %s. Samples do not tell whether pools of its own "
        "would bring it back: mode=exact does.",
        name_of(model, site->id).s,
        psc_format_bytes_error(site->pinned_bytes, psc_range_error(site->pinned_bytes_range)).s,
        COUNT(site->tagged_count), psc_format_plural(site->tagged_count, "sample tells", "samples tell"));
}

static bool is_in_pair(const struct psc_model *model, uint32_t id) {
    for (size_t i = 0; i < model->pair_count; i++) {
        const struct psc_pair *pair = &model->pairs[i];
        if (is_worth(model, pair->saving_bytes) && (pair->sites[0] == id || pair->sites[1] == id)) {
            return true;
        }
    }
    return false;
}

/* What can be done about one site. */
static enum psc_finding_kind judge(const struct psc_model *model, const struct psc_site *site) {
    if (psc_model_is_sampled(model)) {
        return PSC_FINDING_PINNED;
    }
    if (is_worth(model, site->saving_bytes) && site->saving_bytes >= site->pinned_bytes / 4) {
        return PSC_FINDING_APART;
    }
    return site->sole_bytes >= site->pinned_bytes / 2 ? PSC_FINDING_SCATTERED : PSC_FINDING_SHARED;
}

/* Worth telling of where the sites one by one bring back much less. */
static bool is_together(const struct psc_model *model) {
    const struct psc_together *together = &model->together;
    uint64_t alone = 0;
    for (uint32_t i = 0; i < together->site_count; i++) {
        alone += model->sites[together->sites[i]].saving_bytes;
    }
    return together->site_count > 2 && is_worth(model, together->saving_bytes) &&
           alone < together->saving_bytes - together->saving_bytes / 4;
}

static bool is_one_of_them(const struct psc_model *model, uint32_t id) {
    for (uint32_t i = 0; is_together(model) && i < model->together.site_count; i++) {
        if (model->together.sites[i] == id) {
            return true;
        }
    }
    return false;
}

static void find_together(struct psc_model *model, struct psc_findings *findings) {
    const struct psc_together *together = &model->together;
    struct name names = {""};
    char rules[PSC_TOGETHER_MAX * 360] = ""; /* a path and a number each */
    if (!is_together(model)) {
        return;
    }
    for (uint32_t i = 0; i < together->site_count; i++) {
        const char *joint = i == 0 ? "" : i + 1 < together->site_count ? ", " : " and ";
        size_t at = strlen(names.s);
        snprintf(names.s + at, sizeof(names.s) - at, "%s%.120s", joint, name_of(model, together->sites[i]).s);
        at = strlen(rules);
        snprintf(rules + at, sizeof(rules) - at, " --apart=%.340s", rule_of(model, together->sites[i]).s);
    }
    add(findings, PSC_FINDING_TOGETHER, together->saving_bytes, together->sites[0],
        "%s together keep %s pools (%s) from going back, in which no other site has a block; in pools of its own for "
        "each of them all their blocks would take %s, and %s would go back. To try it: poolscope run%s.",
        names.s, COUNT(together->pools), BYTES(together->committed_bytes), BYTES(together->apart_bytes),
        BYTES(together->saving_bytes), rules);
}

/* Blocks that were inherited by fork, or that were made before recording began: of many sites. */
static void find_unknown(const struct psc_model *model, const struct psc_site *site, struct psc_findings *findings) {
    bool forked = (model->process.flags & PSC_TRACE_FORKED) != 0;
    add(findings, PSC_FINDING_PINNED, site->pinned_bytes, site->id,
        "%s blocks without a stack keep %s pools (%s) from going back, and %s of what is free in them fall to these.%s",
        COUNT(site->pinning_blocks), COUNT(site->pinned_pools), BYTES(site->pinned_pools_bytes),
        BYTES(site->pinned_bytes),
        forked ? " The process inherited blocks by fork: the trace of its parent tells whose they are." : "");
}

static void find_pinned(struct psc_model *model, struct psc_findings *findings) {
    struct shared shared = {.count = 0};
    size_t scattered = 0;
    for (size_t i = 0; i < model->by_pinned_count && i < SITES_CONSIDERED; i++) {
        const struct psc_site *site = &model->sites[model->by_pinned[i]];
        if (!is_worth(model, site->pinned_bytes)) {
            break;
        }
        if (site->id == PSC_SITE_UNKNOWN) {
            find_unknown(model, site, findings);
            continue;
        }
        enum psc_finding_kind kind = judge(model, site);
        if (kind == PSC_FINDING_PINNED) {
            find_pinned_by_sample(model, site, findings);
        } else if (kind == PSC_FINDING_APART) {
            find_apart(model, site, findings);
        } else if (kind == PSC_FINDING_SHARED && !is_in_pair(model, site->id) && !is_one_of_them(model, site->id)) {
            count_shared(site, &shared);
        } else if (kind == PSC_FINDING_SCATTERED && is_worth(model, site->sole_bytes) && is_sparse(site) &&
                   scattered++ < SCATTERED_SHOWN) {
            find_scattered(model, site, findings);
        }
    }
    find_shared(model, &shared, findings);
}

/* ---- pairs ----------------------------------------------------------------------------------------------------- */

static struct name lifetime_in_words(const struct psc_pair *pair, unsigned which) {
    struct name text;
    snprintf(text.s, sizeof(text.s), "%s%s", pair->lives_longer[which] ? "more than " : "",
             BYTES(pair->lifetime_bytes[which]));
    return text;
}

static void find_pair(struct psc_model *model, const struct psc_pair *pair, struct psc_findings *findings) {
    unsigned longer = pair->lifetime_bytes[1] > pair->lifetime_bytes[0];
    uint32_t lasting = pair->sites[longer], passing = pair->sites[!longer];
    add(findings, PSC_FINDING_PAIR, pair->saving_bytes, lasting,
        "%s and %s have blocks in the same %s sparse %s, in which %s are free. Those of the first live long (half of "
        "them "
        "%s of allocation), those of the second do not (%s). Parted, %s would go back. To try it: poolscope run "
        "--apart=%s --apart=%s.",
        name_of(model, lasting).s, name_of(model, passing).s, COUNT(pair->pools),
        psc_format_plural(pair->pools, "pool", "pools"), BYTES(pair->pinned_bytes), lifetime_in_words(pair, longer).s,
        lifetime_in_words(pair, !longer).s, BYTES(pair->saving_bytes), rule_of(model, lasting).s,
        rule_of(model, passing).s);
}

/* Blocks that all live still may come to live as long as those of the other. */
static bool lifetimes_differ(const struct psc_pair *pair) {
    uint64_t a = pair->lifetime_bytes[0], b = pair->lifetime_bytes[1];
    if (pair->lives_longer[a > b]) {
        return false;
    }
    return a / LIFETIMES_DIFFER > b || b / LIFETIMES_DIFFER > a;
}

static void find_pairs(struct psc_model *model, struct psc_findings *findings) {
    unsigned shown = 0;
    for (size_t i = 0; i < model->pair_count && shown < PAIRS_SHOWN; i++) {
        const struct psc_pair *pair = &model->pairs[i];
        if (is_worth(model, pair->saving_bytes) && lifetimes_differ(pair)) {
            find_pair(model, pair, findings);
            shown++;
        }
    }
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

static void find_idle(const struct psc_model *model, struct psc_findings *findings) {
    const struct psc_fragmentation *f = &model->fragmentation;
    uint64_t idle = f->empty_pools_bytes + f->cached_bytes;
    if (is_worth(model, idle)) {
        add(findings, PSC_FINDING_IDLE, idle, PSC_SITE_NONE,
            "%s lie in empty pools (%s) and in free pages not yet given back (%s). No live block keeps them: they wait "
            "for reuse. poolscope run --purge=0 gives such memory back at once, and takes more time for it.",
            BYTES(idle), BYTES(f->empty_pools_bytes), BYTES(f->cached_bytes));
    }
}

static uint64_t rounding_of(const struct psc_class *class) {
    return class->live_block_bytes - class->live_requested_bytes;
}

/* Of a sampled trace the size classes are known better than the sites. */
static void find_rounding_of_class(const struct psc_model *model, struct psc_findings *findings) {
    const struct psc_class *worst = &model->classes[0];
    for (size_t i = 1; i < PSC_CLASS_LARGE; i++) {
        worst = rounding_of(&model->classes[i]) > rounding_of(worst) ? &model->classes[i] : worst;
    }
    if (is_worth(model, rounding_of(worst))) {
        add(findings, PSC_FINDING_ROUNDING, rounding_of(worst), PSC_SITE_NONE,
            "Rounding up to size classes takes about %s, and %s of it in blocks of %s, of which about %s are asked "
            "for: sizes just below that of a class waste least.",
            BYTES(model->fragmentation.internal_bytes), BYTES(rounding_of(worst)), BYTES(worst->block_bytes),
            psc_format_share(worst->live_requested_bytes, worst->live_block_bytes).s);
    }
}

static void find_rounding(struct psc_model *model, struct psc_findings *findings) {
    const struct psc_site *worst = NULL;
    for (size_t i = PSC_SITE_FIRST; i < model->site_count; i++) {
        worst = worst == NULL || model->sites[i].internal_bytes > worst->internal_bytes ? &model->sites[i] : worst;
    }
    if (psc_model_is_sampled(model)) {
        find_rounding_of_class(model, findings);
    } else if (worst != NULL && is_worth(model, worst->internal_bytes)) {
        add(findings, PSC_FINDING_ROUNDING, worst->internal_bytes, worst->id,
            "Rounding up to size classes takes %s, and %s of it at %s, whose %s live %s ask for %s and get %s on "
            "average: sizes just below that of a class waste least.",
            BYTES(model->fragmentation.internal_bytes), BYTES(worst->internal_bytes), name_of(model, worst->id).s,
            COUNT(worst->tagged_count), psc_format_plural(worst->tagged_count, "block", "blocks"),
            BYTES(worst->tagged_bytes / worst->tagged_count),
            BYTES((worst->tagged_bytes + worst->internal_bytes) / worst->tagged_count));
    }
}

/* What was tight at the peak and is not now has become sparse since. */
static void find_peak(const struct psc_model *model, struct psc_findings *findings) {
    const struct psc_fragmentation *f = &model->fragmentation;
    if (isnan(f->realised_at_peak) || isnan(f->realised_now) || f->realised_now < 0.5 ||
        f->realised_at_peak > f->realised_now / 2) {
        return;
    }
    double tight = (double)f->live_requested_bytes * (1 + f->realised_at_peak);
    uint64_t beyond = tight < (double)f->committed_bytes ? f->committed_bytes - (uint64_t)tight : 0;
    bool is_pinned = f->pinned_bytes >= beyond / 2; /* else most of it waits for reuse */
    beyond = beyond < f->pinned_bytes ? beyond : f->pinned_bytes;
    if (is_pinned && is_worth(model, beyond)) {
        const char *moment = model->process.end == PSC_PROCESS_RUNNING ? "now" : "at the end";
        add(findings, PSC_FINDING_PEAK, beyond, PSC_SITE_NONE,
            "When most was live, the heap held %.2f times that; %s it holds %s, %.2f times what is live. The memory "
            "was "
            "needed at the peak, and %s of it are pinned since: a lower peak helps, and so does whatever lets the "
            "blocks that are left lie together.",
            1 + f->realised_at_peak, moment, BYTES(f->committed_bytes), 1 + f->realised_now, BYTES(beyond));
    }
}

#define TEMPORARY_LEAST 100000

static void find_temporary(struct psc_model *model, struct psc_findings *findings) {
    const struct psc_site *worst = NULL;
    for (size_t i = PSC_SITE_FIRST; i < model->site_count; i++) {
        worst = worst == NULL || model->sites[i].temporary_count > worst->temporary_count ? &model->sites[i] : worst;
    }
    if (worst != NULL && worst->temporary_count >= TEMPORARY_LEAST &&
        worst->temporary_count >= model->totals.alloc_count / 5) {
        add(findings, PSC_FINDING_TEMPORARY, 0, worst->id,
            "%s made %s blocks that were freed before the thread's next allocation, %s of all allocations: a buffer "
            "that is kept, or one on the stack, would spare them. That gives no memory back, it saves time.",
            name_of(model, worst->id).s, COUNT(worst->temporary_count),
            psc_format_share(worst->temporary_count, model->totals.alloc_count).s);
    }
}

void psc_findings_make(struct psc_model *model, struct psc_findings *findings) {
    *findings = (struct psc_findings){.count = 0};
    find_pinned(model, findings);
    find_together(model, findings);
    find_pairs(model, findings);
    find_idle(model, findings);
    find_rounding(model, findings);
    find_peak(model, findings);
    find_temporary(model, findings);
}

void psc_findings_release(struct psc_findings *findings) {
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->all[i].text);
    }
    free(findings->all);
    *findings = (struct psc_findings){.count = 0};
}

const char *psc_finding_kind_name(enum psc_finding_kind kind) {
    static const char *const names[] = {
        [PSC_FINDING_APART] = "apart",        [PSC_FINDING_SCATTERED] = "scattered", [PSC_FINDING_SHARED] = "shared",
        [PSC_FINDING_TOGETHER] = "together",  [PSC_FINDING_PINNED] = "pinned",       [PSC_FINDING_PAIR] = "pair",
        [PSC_FINDING_IDLE] = "idle",          [PSC_FINDING_ROUNDING] = "rounding",   [PSC_FINDING_PEAK] = "peak",
        [PSC_FINDING_TEMPORARY] = "temporary"};
    return names[kind];
}
