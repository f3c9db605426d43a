#include "core/track/unwind_walk.h"

_Static_assert(PSC_UNWIND_FRESH > PSC_UNWIND_DEPTH_MAX, "what is kept innermost is in the window");
_Static_assert(PSC_UNWIND_WINDOW <= UINT16_MAX, "a memo knows a place in the window");

/* ---- hashes ------------------------------------------------------------------------------------------------------
 *
 * The hash of frames, the outermost first, is h = h * FACTOR + address for each, from START: so the hash of n frames
 * alone is what is left of h when the hash before them times FACTOR^n is taken off. Modulo 2^64, FACTOR odd. */

#define HASH_START UINT64_C(0x9e3779b97f4a7c15)
#define HASH_FACTOR UINT64_C(0x243f6a8885a308d3)

PSC_INLINE uint64_t hash_on(uint64_t hash, uint64_t address) {
    return hash * HASH_FACTOR + address;
}

static uint64_t factor_to(uint32_t n) {
    uint64_t result = 1;
    for (uint64_t power = HASH_FACTOR; n > 0; n >>= 1, power *= power) {
        result *= (n & 1) != 0 ? power : 1;
    }
    return result;
}

PSC_INLINE uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

PSC_INLINE uint64_t finish(uint64_t hash, uint32_t depth, uint32_t flags) {
    hash = fold(hash ^ ((uint64_t)depth << 32 | flags), HASH_START);
    return hash != 0 ? hash : 1;
}

/* Of a stack of which frames are left out. */
static uint64_t join_hashes(uint64_t inner, uint64_t outer) {
    return fold(inner, HASH_FACTOR) ^ outer;
}

/* Of `count` addresses, innermost first. */
static uint64_t hash_listed(uint64_t hash, const uint64_t *addresses, uint32_t count) {
    while (count > 0) {
        hash = hash_on(hash, addresses[--count]);
    }
    return hash;
}

/* ---- is the window as the stack is? ------------------------------------------------------------------------------ */

PSC_INLINE bool word_holds(const struct psc_unwind_word *word) {
    return psc_stack_read(word->slot) == word->value;
}

PSC_INLINE bool cfa_holds(const struct psc_unwind_facts *facts) {
    return PSC_LIKELY(facts->cfa.slot == 0) || word_holds(&facts->cfa);
}

/* Both: of the frames from count - 1 outwards down to `lowest`, 0 if all stand where they stood, else 1 + the index of
 * the first one that does not. */
static PSC_NOINLINE uint32_t first_changed_with_fp(const struct psc_unwind_stack *stack, uint32_t count,
                                                   uint32_t lowest) {
    for (uint32_t i = count; i-- > lowest;) {
        const struct psc_unwind_facts *facts = &stack->facts[i];
        if (!word_holds(&stack->words[i]) || (facts->fp_checked && psc_stack_read(facts->fp_slot) != facts->fp) ||
            !cfa_holds(facts)) {
            return i + 1;
        }
    }
    return 0;
}

PSC_INLINE uint32_t first_changed(const struct psc_unwind_stack *stack, uint32_t count, uint32_t lowest) {
    if (PSC_UNLIKELY(count > 0 && stack->facts[count - 1].checks != 0)) {
        return first_changed_with_fp(stack, count, lowest);
    }
    const struct psc_unwind_word *word = &stack->words[count], *end = &stack->words[lowest];
    for (; word - end >= 4; word -= 4) { /* most of what a walk by memo does */
        if (PSC_UNLIKELY(!word_holds(word - 1) || !word_holds(word - 2) || !word_holds(word - 3) ||
                         !word_holds(word - 4))) {
            break;
        }
    }
    for (; word > end; word--) {
        if (PSC_UNLIKELY(!word_holds(word - 1))) {
            return (uint32_t)(word - stack->words);
        }
    }
    return 0;
}

PSC_INLINE uint32_t outer_of(uint32_t max) {
    return max - psc_site_inner(max);
}

/* Of the outermost frames, each at its place as it was. They are reached over others that are not looked at, so they
 * are read only where their stack is known to reach to. */
static bool outermost_hold(const struct psc_unwind_stack *stack, uint32_t max, uint64_t sp) {
    uint64_t limit = psc_walk_limit(sp);
    const struct psc_unwind_word *words = stack->hidden == 0 ? stack->words : stack->bottom;
    uint32_t count = stack->hidden == 0 ? outer_of(max) : stack->bottom_count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t slot = words[i].slot;
        if (limit == UINT64_MAX || slot < sp || slot >= limit || psc_stack_read(slot) != words[i].value) {
            return false;
        }
    }
    return true;
}

/* For a stack that is not kept, or does not lie in the window, as a whole: only what is kept has to hold. */
static PSC_NOINLINE bool deep_holds(const struct psc_unwind_stack *stack, uint32_t known, uint32_t total, uint32_t max,
                                    uint64_t sp) {
    uint32_t inner = psc_site_inner(max);
    bool whole = stack->hidden == 0;
    if (!whole && (total <= inner || total + stack->hidden <= max)) {
        return false;
    }
    bool inner_hold = total - inner >= known || first_changed(stack, known, total - inner) == 0;
    return inner_hold && (outermost_hold(stack, max, sp) || (whole && first_changed(stack, known, 0) == 0));
}

/* Whether the `known` outermost frames of the window are as they were, of a stack with `total` frames from the window's
 * first one on. *left: how many still may be met, if not. */
PSC_INLINE bool window_holds(const struct psc_unwind_stack *stack, uint32_t known, uint32_t total, uint32_t max,
                             uint64_t sp, uint32_t *left) {
    if (PSC_UNLIKELY(total > max || stack->hidden != 0)) {
        *left = 0;
        return deep_holds(stack, known, total, max, sp);
    }
    uint32_t changed = first_changed(stack, known, 0);
    *left = PSC_UNLIKELY(changed != 0) ? changed - 1 : 0;
    return changed == 0 && (PSC_LIKELY(stack->end.slot == 0) || word_holds(&stack->end));
}

/* ---- by memo ----------------------------------------------------------------------------------------------------- */

PSC_INLINE struct psc_unwind_set *set_of(struct psc_unwind_stack *stack, const struct psc_unwind_start *start) {
    uint64_t mixed = (start->sp ^ start->caller << 20) * HASH_FACTOR;
    return &stack->sets[mixed >> 40 & (PSC_UNWIND_MEMO_SETS - 1)];
}

PSC_INLINE bool memo_joins(const struct psc_unwind_stack *stack, const struct psc_unwind_memo *memo) {
    const struct psc_unwind_word *word = &stack->words[memo->join];
    const struct psc_unwind_facts *facts = &stack->facts[memo->join];
    uint64_t slot = memo->sp + 8 * (uint64_t)memo->join_distance;
    return memo->join < stack->count && word->slot == slot && psc_stack_read(slot) == word->value &&
           (!facts->fp_matters || (memo->join_fp_known && memo->join_fp == facts->fp)) && cfa_holds(facts);
}

/* Whether a walk from `start` would go as this memo says. */
PSC_INLINE bool memo_holds(const struct psc_unwind_stack *stack, const struct psc_unwind_memo *memo, uint32_t max,
                           const struct psc_unwind_start *start) {
    if (memo->sp != start->sp || memo->pc != (uint32_t)start->pc || memo->generation != (uint32_t)stack->generation ||
        (memo->fp_matters && memo->fp != start->fp)) {
        return false;
    }
    for (uint32_t i = 0, words = memo->words; i < words; i++) {
        if (psc_stack_read(start->sp + 8 * (uint64_t)memo->distance[i]) != memo->value[i]) {
            return false;
        }
    }
    uint32_t left;
    return memo_joins(stack, memo) &&
           window_holds(stack, memo->join, memo->join + 1u + memo->frames, max, start->sp, &left);
}

/* ---- by steps ---------------------------------------------------------------------------------------------------- */

/* One call of psc_unwind_follow that steps. */
struct follow {
    struct psc_unwind_stack *stack;
    uint64_t sp;          /* at the start */
    uint32_t known;       /* frames of the window that the cursor has not passed */
    uint32_t own;         /* fresh frames in our own code, the first ones */
    uint32_t fresh;       /* all of them */
    uint64_t met_fp;      /* of the known frame that was met */
    uint64_t met_fp_slot; /* as psc_unwind_fresh.fp_slot */
    bool cfa_used;        /* as psc_unwind_facts.cfa, to step to the first frame */
    bool fp_used;         /* the same */
    bool fp_matters;      /* at the start */
};

/* True: the cursor is at a frame of the window, and all from there to the outermost are as they were. */
PSC_INLINE bool meets_known(struct follow *follow, const struct psc_unwind_cursor *cursor, uint64_t slot) {
    const struct psc_unwind_stack *stack = follow->stack;
    while (follow->known > 0 && stack->words[follow->known - 1].slot < slot) {
        follow->known--;
    }
    if (follow->known == 0) {
        return false;
    }
    uint32_t index = follow->known - 1;
    const struct psc_unwind_word *word = &stack->words[index];
    const struct psc_unwind_facts *facts = &stack->facts[index];
    if (word->slot != slot || word->value != cursor->at + 1 ||
        (facts->fp_matters && facts->fp != cursor->registers[PSC_REG_FP]) || !cfa_holds(facts)) {
        return false;
    }
    uint32_t total = follow->known + follow->fresh - follow->own;
    if (PSC_UNLIKELY(!window_holds(stack, index, total, follow->stack->max, follow->sp, &follow->known))) {
        return false;
    }
    follow->known = index + 1;
    follow->met_fp = cursor->registers[PSC_REG_FP];
    follow->met_fp_slot = cursor->fp_slot;
    return true;
}

PSC_INLINE void add_fresh(struct follow *follow, const struct psc_unwind_cursor *cursor, uint64_t slot) {
    follow->stack->fresh[follow->fresh++] = (struct psc_unwind_fresh){
        .word = {slot, cursor->at + 1},
        .fp = cursor->registers[PSC_REG_FP],
        .fp_slot = cursor->fp_slot,
    };
}

PSC_INLINE void note_fp_use(struct follow *follow, uint32_t row) {
    bool *used = follow->fresh > 0 ? &follow->stack->fresh[follow->fresh - 1].fp_used : &follow->fp_used;
    *used = psc_row_uses_fp(row);
}

/* After a step from the frame that was met last, which read that word, too. */
PSC_INLINE void note_cfa(struct follow *follow, uint64_t slot) {
    if (PSC_UNLIKELY(slot != 0) && follow->fresh > 0) {
        follow->stack->fresh[follow->fresh - 1].cfa = (struct psc_unwind_word){slot, psc_stack_read(slot)};
    } else if (PSC_UNLIKELY(slot != 0)) {
        follow->cfa_used = true;
    }
}

/* A frame of a signal needs more registers, as PSC_STEP_FULL says of others. */
PSC_INLINE enum psc_step step_by_row(struct psc_unwind_cursor *cursor, uint32_t row) {
    return PSC_UNLIKELY(row == PSC_ROW_SIGNAL) ? PSC_STEP_FULL : psc_row_step(cursor, row);
}

static void bottom_add(struct psc_unwind_stack *stack, uint32_t outer, struct psc_unwind_word word) {
    if (outer > 0) {
        stack->bottom[stack->bottom_next] = word;
        stack->bottom_next = (stack->bottom_next + 1) % outer;
        stack->bottom_count += stack->bottom_count < outer;
    }
}

/* Their hash, the outermost first. */
static uint64_t hash_bottom(const struct psc_unwind_stack *stack) {
    uint64_t hash = HASH_START;
    uint32_t place = stack->bottom_next;
    for (uint32_t i = 0; i < stack->bottom_count; i++) {
        place = (place > 0 ? place : stack->bottom_count) - 1;
        hash = hash_on(hash, stack->bottom[place].value);
    }
    return hash;
}

/* The frame at the cursor does not fit any more: goes on to the outermost one, and keeps only the last ones. */
static PSC_NOINLINE enum psc_step go_far(struct follow *follow, struct psc_unwind_cursor *cursor) {
    struct psc_unwind_stack *stack = follow->stack;
    uint32_t outer = outer_of(follow->stack->max);
    enum psc_step step = PSC_STEP_FRAME;
    stack->bottom_count = stack->bottom_next = 0;
    for (uint32_t i = follow->fresh - outer; i < follow->fresh; i++) {
        bottom_add(stack, outer, stack->fresh[i].word);
    }
    uint32_t frames = follow->fresh - follow->own;
    stack->hidden = 0;
    while (step == PSC_STEP_FRAME && frames + stack->hidden < PSC_WALK_FRAMES_MAX) {
        bottom_add(stack, outer, (struct psc_unwind_word){cursor->registers[PSC_REG_SP] - 8, cursor->at + 1});
        stack->hidden++;
        step = step_by_row(cursor, psc_walk_row(cursor->at));
    }
    if (step == PSC_STEP_FRAME) {
        stack->bottom_count = stack->bottom_next = 0;
    }
    stack->bottom_hash = hash_bottom(stack);
    return step;
}

/* PSC_STEP_FULL: this stack has to be walked the other way. PSC_STEP_FRAME: a known frame was met if follow->known is
 * not 0; else the walk was given up. */
static enum psc_step follow_rows(struct follow *follow, struct psc_unwind_cursor *cursor) {
    for (;;) {
        uint32_t row = psc_walk_row(cursor->at);
        note_fp_use(follow, row);
        uint64_t cfa_slot = psc_row_cfa_slot(cursor, row);
        enum psc_step step = step_by_row(cursor, row);
        uint64_t slot = cursor->registers[PSC_REG_SP] - 8;
        if (step == PSC_STEP_FRAME || step == PSC_STEP_LAST) {
            note_cfa(follow, cfa_slot);
        }
        if (PSC_UNLIKELY(step != PSC_STEP_FRAME)) {
            bool by_address = step == PSC_STEP_LAST && row != PSC_ROW_LAST;
            follow->known = 0;
            follow->stack->hidden = 0;
            follow->stack->end = (struct psc_unwind_word){by_address ? slot : 0, 0};
            return step;
        }
        bool own = follow->own == follow->fresh && psc_walk_is_own(cursor->at);
        if (!own && meets_known(follow, cursor, slot)) {
            return PSC_STEP_FRAME;
        }
        if (PSC_UNLIKELY(follow->fresh == PSC_UNWIND_FRESH)) {
            follow->known = 0;
            follow->stack->end.slot = 0;
            return go_far(follow, cursor);
        }
        add_fresh(follow, cursor, slot);
        follow->own += own;
    }
}

/* ---- into the window --------------------------------------------------------------------------------------------- */

/* Makes room for `fresh` frames on top of `known`, which go down: the outermost go out. Returns how many are left. */
static uint32_t make_room(struct psc_unwind_stack *stack, uint32_t known, uint32_t fresh, uint32_t max) {
    uint32_t outer = outer_of(max), keep = PSC_UNWIND_WINDOW / 2, out = known - keep;
    if (PSC_LIKELY(known + fresh <= PSC_UNWIND_WINDOW)) {
        return known;
    }
    if (stack->hidden == 0) {
        stack->bottom_count = stack->bottom_next = 0;
        for (uint32_t i = outer; i-- > 0;) {
            bottom_add(stack, outer, stack->words[i]);
        }
        stack->bottom_hash = hash_bottom(stack);
    }
    __builtin_memmove(stack->words, stack->words + out, keep * sizeof stack->words[0]);
    __builtin_memmove(stack->facts, stack->facts + out, keep * sizeof stack->facts[0]);
    stack->hidden += out;
    return keep;
}

static void set_fp(struct psc_unwind_stack *stack, uint32_t index, uint64_t fp, uint64_t fp_slot, bool matters) {
    struct psc_unwind_facts *facts = &stack->facts[index];
    facts->fp = fp;
    facts->fp_slot = fp_slot;
    facts->fp_matters = matters;
    facts->fp_checked = matters && fp_slot != 0;
    bool checked = facts->fp_checked || facts->cfa.slot != 0;
    facts->checks = (index > 0 ? facts[-1].checks : 0) + checked;
}

/* A frame pointer matters where a step further out needs it that comes before one which finds it in the stack. Goes from
 * the outermost frame to the start. */
static void stack_up(struct follow *follow) {
    struct psc_unwind_stack *stack = follow->stack;
    uint32_t known = make_room(stack, follow->known, follow->fresh - follow->own, follow->stack->max);
    uint64_t hash = HASH_START;
    bool needed = false; /* by the frames further out, and not found by the step to them */
    if (known > 0) {
        struct psc_unwind_facts *joined = &stack->facts[known - 1];
        hash = joined->hash;
        needed = joined->fp_matters && follow->met_fp_slot == 0;
        set_fp(stack, known - 1, follow->met_fp, follow->met_fp_slot, joined->fp_matters);
    }
    follow->known = known;
    for (uint32_t i = follow->fresh; i-- > 0;) {
        struct psc_unwind_fresh *fresh = &stack->fresh[i];
        fresh->fp_matters = fresh->fp_used || needed;
        needed = fresh->fp_matters && fresh->fp_slot == 0;
        if (i >= follow->own) {
            stack->words[known] = fresh->word;
            stack->facts[known].hash = hash = hash_on(hash, fresh->word.value);
            stack->facts[known].cfa = fresh->cfa;
            set_fp(stack, known, fresh->fp, fresh->fp_slot, fresh->fp_matters);
            known++;
        }
    }
    follow->fp_matters = follow->fp_used || needed;
    stack->count = known;
}

/* ---- into a memo ------------------------------------------------------------------------------------------------- */

/* False: it does not fit. */
static bool memo_add(struct psc_unwind_memo *memo, uint64_t slot, uint64_t value, bool is_frame) {
    uint64_t distance = (slot - memo->sp) / 8;
    if (memo->words == PSC_UNWIND_MEMO_WORDS || distance > UINT16_MAX) {
        return false;
    }
    memo->distance[memo->words] = (uint16_t)distance;
    memo->value[memo->words] = value;
    memo->are_frames |= (uint32_t)is_frame << memo->words;
    memo->frames += is_frame;
    memo->words++;
    return true;
}

static bool memo_add_words(struct psc_unwind_memo *memo, const struct follow *follow) {
    for (uint32_t i = 0; i < follow->fresh; i++) {
        const struct psc_unwind_fresh *fresh = &follow->stack->fresh[i];
        if (!memo_add(memo, fresh->word.slot, fresh->word.value, i >= follow->own) ||
            (fresh->fp_matters && fresh->fp_slot != 0 && !memo_add(memo, fresh->fp_slot, fresh->fp, false)) ||
            (fresh->cfa.slot != 0 && !memo_add(memo, fresh->cfa.slot, fresh->cfa.value, false))) {
            return false;
        }
    }
    return !memo->join_fp_known || follow->met_fp_slot == 0 ||
           memo_add(memo, follow->met_fp_slot, follow->met_fp, false);
}

/* Remembers the steps that led to the known frame. */
static void memo_make(struct psc_unwind_set *set, const struct follow *follow, const struct psc_unwind_start *start) {
    struct psc_unwind_stack *stack = follow->stack;
    struct psc_unwind_memo *memo = &set->ways[stack->turn++ % PSC_UNWIND_MEMO_WAYS];
    uint32_t join = follow->known - 1, frames = follow->fresh - follow->own;
    uint64_t slot = stack->words[join].slot, distance = (slot - start->sp) / 8;
    if (follow->cfa_used || follow->fresh > PSC_UNWIND_MEMO_WORDS || frames > psc_site_inner(follow->stack->max) ||
        distance > UINT32_MAX) {
        return;
    }
    *memo = (struct psc_unwind_memo){
        .sp = start->sp,
        .pc = (uint32_t)start->pc,
        .generation = (uint32_t)stack->generation,
        .join_distance = (uint32_t)distance,
        .join = (uint16_t)join,
        .factor = factor_to(frames),
        .fp = start->fp,
        .join_fp = follow->met_fp,
        .fp_matters = follow->fp_matters,
        .join_fp_known = stack->facts[join].fp_matters,
    };
    memo->sum = stack->facts[stack->count - 1].hash - stack->facts[join].hash * memo->factor;
    if (!memo_add_words(memo, follow)) {
        memo->sp = 0;
    }
}

/* ---- what was found ---------------------------------------------------------------------------------------------- */

static PSC_NOINLINE uint64_t conclude_deep(struct psc_unwind_stack *stack, uint32_t total, uint64_t hash) {
    uint32_t inner = psc_site_inner(stack->max), outer = outer_of(stack->max);
    bool whole = stack->hidden == 0;
    uint64_t inner_hash = hash - stack->facts[total - inner - 1].hash * factor_to(inner);
    if (outer == 0 || (stack->end_flags & PSC_SITE_CUT) != 0) {
        stack->depth = inner;
        stack->flags = PSC_SITE_CUT;
        return finish(inner_hash, inner, PSC_SITE_CUT);
    }
    stack->depth = stack->max;
    stack->flags = stack->end_flags | PSC_SITE_SKIPPED;
    uint64_t outer_hash = whole ? stack->facts[outer - 1].hash : stack->bottom_hash;
    return finish(join_hashes(inner_hash, outer_hash), stack->depth, stack->flags);
}

/* `total` frames from the window's first one on have this hash. */
PSC_INLINE uint64_t conclude(struct psc_unwind_stack *stack, uint32_t total, uint64_t hash) {
    if (PSC_UNLIKELY(total > stack->max || stack->hidden != 0)) {
        return conclude_deep(stack, total, hash);
    }
    stack->depth = total;
    stack->flags = stack->end_flags;
    return finish(hash, total, stack->end_flags);
}

/* For stacks that need all registers. The window stays as it is. */
static PSC_NOINLINE uint64_t walk_anew(struct psc_unwind_stack *stack, const struct psc_unwind_start *start) {
    uint32_t inner = psc_site_inner(stack->max);
    stack->depth = psc_unwind_walk(stack->addresses, stack->max, start, &stack->flags);
    stack->listed = true;
    if ((stack->flags & PSC_SITE_CUT) != 0) {
        return finish(hash_listed(0, stack->addresses, stack->depth), stack->depth, stack->flags);
    }
    if ((stack->flags & PSC_SITE_SKIPPED) == 0) {
        return finish(hash_listed(HASH_START, stack->addresses, stack->depth), stack->depth, stack->flags);
    }
    uint64_t outer_hash = hash_listed(HASH_START, stack->addresses + inner, stack->depth - inner);
    return finish(join_hashes(hash_listed(0, stack->addresses, inner), outer_hash), stack->depth, stack->flags);
}

static uint32_t end_flags_of(enum psc_step step) {
    return step == PSC_STEP_BROKEN ? PSC_SITE_BROKEN : step == PSC_STEP_FRAME ? PSC_SITE_CUT : 0;
}

static PSC_NOINLINE uint64_t follow_by_steps(struct psc_unwind_stack *stack, struct psc_unwind_set *set,
                                             const struct psc_unwind_start *start) {
    struct follow follow = {.stack = stack, .sp = start->sp, .known = stack->count};
    struct psc_unwind_cursor cursor;
    psc_walk_begin(&cursor, start);
    enum psc_step step = follow_rows(&follow, &cursor);
    if (PSC_UNLIKELY(step == PSC_STEP_FULL)) {
        stack->count = 0; /* go_far may have begun another bottom */
        stack->hidden = 0;
        return walk_anew(stack, start);
    }
    bool met = follow.known > 0;
    stack->end_flags = met ? stack->end_flags : end_flags_of(step);
    stack_up(&follow);
    if (met) {
        memo_make(set, &follow, start);
    }
    stack->known = stack->count;
    return conclude(stack, stack->count, stack->count > 0 ? stack->facts[stack->count - 1].hash : HASH_START);
}

PSC_INLINE uint64_t follow_by_memo(struct psc_unwind_stack *stack, const struct psc_unwind_memo *memo) {
    stack->memo = memo;
    stack->known = memo->join + 1u;
    return conclude(stack, stack->known + memo->frames, stack->facts[memo->join].hash * memo->factor + memo->sum);
}

uint64_t psc_unwind_follow(struct psc_unwind_stack *stack, uint32_t max, const struct psc_unwind_start *start) {
    struct psc_unwind_set *set = set_of(stack, start);
    if (PSC_UNLIKELY(stack->generation != psc_rows_generation())) {
        stack->generation = psc_rows_generation();
        stack->count = 0;
        stack->hidden = 0;
    }
    stack->max = max;
    stack->listed = false;
    for (uint32_t way = 0; way < PSC_UNWIND_MEMO_WAYS; way++) {
        if (PSC_LIKELY(memo_holds(stack, &set->ways[way], max, start))) {
            return follow_by_memo(stack, &set->ways[way]);
        }
    }
    stack->memo = NULL;
    return follow_by_steps(stack, set, start);
}

static uint32_t list_inner(struct psc_unwind_stack *stack, uint32_t inner) {
    const struct psc_unwind_memo *memo = stack->memo;
    uint32_t listed = 0, known = stack->known;
    for (uint32_t i = 0; memo != NULL && i < memo->words; i++) {
        if ((memo->are_frames >> i & 1) != 0) {
            stack->addresses[listed++] = memo->value[i];
        }
    }
    while (listed < inner) {
        stack->addresses[listed++] = stack->words[--known].value;
    }
    return listed;
}

static void list_outer(struct psc_unwind_stack *stack, uint32_t listed) {
    uint32_t outer = stack->depth - listed;
    for (uint32_t i = 0; i < outer; i++) {
        const struct psc_unwind_word *word = stack->hidden == 0
                                                 ? &stack->words[outer - 1 - i]
                                                 : &stack->bottom[(stack->bottom_next + i) % stack->bottom_count];
        stack->addresses[listed + i] = word->value;
    }
}

const uint64_t *psc_unwind_addresses(struct psc_unwind_stack *stack) {
    bool deep = (stack->flags & (PSC_SITE_SKIPPED | PSC_SITE_CUT)) != 0;
    if (!stack->listed) {
        list_outer(stack, list_inner(stack, deep ? psc_site_inner(stack->max) : stack->depth));
        stack->listed = true;
    }
    return stack->addresses;
}
