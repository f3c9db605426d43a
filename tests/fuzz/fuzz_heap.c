/* The heap, used by any program of four threads, against the shadow model of tests/unit/support_shadow.h.
 *
 * An input is a list of steps of 4 bytes: what to do (low 4 bits), which thread does it (2 bits) and how often (2 bits:
 * 1, 2, 8 or 32 times); a slot of the model; a size (2 bytes, little-endian), of which each operation makes what it
 * needs. An operation on a block takes the next slot that has one, an operation that makes a block the next that has
 * none. The threads take turns, so that an input is played the same way each time, and the heap's invariants are tested
 * after each operation. What one input leaves to the next is address space and the heaps of its threads, all empty.
 */
#include <pthread.h>

#include "tests/unit/support_shadow.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP_BYTES 4
#define SLOTS 256u
#define HANDS 4
#define PURGE_MS 1000
#define BLOCK_MOST ((size_t)4 << 20)

struct step {
    const struct operation *operation;
    uint32_t times;
    uint32_t slot;
    size_t size; /* 16 bits */
};

enum takes { NO_SLOT, EMPTY_SLOT, BLOCK };

struct operation {
    void (*play)(const struct step *step, uint32_t slot); /* on the block in the slot, or to make one there */
    enum takes takes;
    bool repeats; /* not where blocks may be large: that would take too long */
};

static struct psc_shadow shadow;

/* ---- operations ------------------------------------------------------------------------------------------------ */

/* Shorter ones more often: pages take time. */
static size_t span_size(const struct step *step) {
    return PSC_SMALL_MAX + 1 + (step->size * step->size >> 12) % (PSC_SPAN_MAX - PSC_SMALL_MAX);
}

static size_t mapped_size(const struct step *step) {
    return PSC_SPAN_MAX + 1 + (step->size * step->size >> 12);
}

static size_t any_size(const struct step *step) {
    switch (step->size % 16) {
    case 0: return mapped_size(step);
    case 1:
    case 2: return span_size(step);
    case 3:
    case 4:
    case 5: return step->size;
    default: return step->size % 2048;
    }
}

static void alloc_small(const struct step *step, uint32_t slot) {
    psc_shadow_alloc(&shadow, slot, step->size % 1025);
}

static void alloc_pooled(const struct step *step, uint32_t slot) {
    psc_shadow_alloc(&shadow, slot, step->size % (PSC_SMALL_MAX + 1));
}

static void alloc_span(const struct step *step, uint32_t slot) {
    psc_shadow_alloc(&shadow, slot, span_size(step));
}

static void alloc_mapped(const struct step *step, uint32_t slot) {
    psc_shadow_alloc(&shadow, slot, mapped_size(step));
}

static void alloc_zeroed(const struct step *step, uint32_t slot) {
    psc_shadow_alloc_zeroed(&shadow, slot, any_size(step));
}

static void alloc_aligned(const struct step *step, uint32_t slot) {
    psc_shadow_alloc_aligned(&shadow, slot, (size_t)1 << step->slot % 18, any_size(step));
}

static void alloc_in_group(const struct step *step, uint32_t slot) {
    psc_shadow_alloc_in(&shadow, slot, step->slot % PSC_HEAP_GROUPS, 1, any_size(step));
}

static void resize(const struct step *step, uint32_t slot) {
    psc_shadow_resize(&shadow, slot, any_size(step));
}

/* To between half and one and a half of what it has: the heap may do that in place. */
static void resize_a_little(const struct step *step, uint32_t slot) {
    size_t bytes = shadow.blocks[slot].bytes;
    size_t wanted = bytes / 2 + bytes * step->size / UINT16_MAX;
    psc_shadow_resize(&shadow, slot, wanted < BLOCK_MOST ? wanted : BLOCK_MOST);
}

static void reallocate(const struct step *step, uint32_t slot) {
    psc_shadow_realloc(&shadow, slot, any_size(step));
}

static void look(const struct step *step, uint32_t slot) {
    (void)step;
    psc_shadow_look(&shadow, slot);
}

static void free_block(const struct step *step, uint32_t slot) {
    (void)step;
    psc_shadow_free(&shadow, slot);
}

static void trim(const struct step *step, uint32_t slot) {
    (void)step;
    (void)slot;
    psc_heap_trim();
}

static void set_purge(const struct step *step, uint32_t slot) {
    (void)slot;
    psc_heap_set_purge(step->size % 2 == 0 ? 0 : PURGE_MS);
}

/* The thread goes on, as one does whose last destructors still allocate. */
static void end_heap(const struct step *step, uint32_t slot) {
    (void)step;
    (void)slot;
    psc_heap_thread_end();
}

static void end_thread(const struct step *step, uint32_t slot) {
    (void)step;
    (void)slot;
}

static const struct operation operations[] = {
    {alloc_small, EMPTY_SLOT, true},
    {alloc_pooled, EMPTY_SLOT, true},
    {free_block, BLOCK, true},
    {alloc_span, EMPTY_SLOT, false},
    {alloc_mapped, EMPTY_SLOT, false},
    {alloc_zeroed, EMPTY_SLOT, false},
    {alloc_aligned, EMPTY_SLOT, false},
    {resize, BLOCK, false},
    {resize_a_little, BLOCK, false},
    {reallocate, BLOCK, false},
    {look, BLOCK, false},
    {trim, NO_SLOT, false},
    {set_purge, NO_SLOT, false},
    {end_heap, NO_SLOT, false},
    {end_thread, NO_SLOT, false},
    {alloc_in_group, EMPTY_SLOT, false},
};

/* The next one from `slot` on that the operation can have; SLOTS if there is none. */
static uint32_t find_slot(enum takes takes, uint32_t slot) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        uint32_t at = (slot + i) % SLOTS;
        if (takes == NO_SLOT || psc_shadow_has(&shadow, at) == (takes == BLOCK)) {
            return at;
        }
    }
    return SLOTS;
}

static void perform(const struct step *step) {
    uint32_t slot = step->slot;
    for (uint32_t i = 0; i < step->times; i++) {
        slot = find_slot(step->operation->takes, slot);
        if (slot == SLOTS) {
            return;
        }
        step->operation->play(step, slot);
        psc_shadow_check_heap(&shadow);
        slot += step->operation->takes == BLOCK ? 1 + (uint32_t)step->size % 3 : 1; /* free some leave others */
    }
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

/* A thread that waits for steps. Hand 0 is the fuzzer's own, which never ends. */
struct hand {
    pthread_t thread;
    pthread_barrier_t turn;  /* of two: the hand, and who gives it a step; met before the step and behind it */
    const struct step *step; /* NULL: the thread ends */
    bool there;
};

static struct hand hands[HANDS];

static void *serve(void *context) {
    struct hand *hand = context;
    for (;;) {
        pthread_barrier_wait(&hand->turn);
        if (hand->step == NULL) {
            break;
        }
        perform(hand->step);
        pthread_barrier_wait(&hand->turn);
    }
    psc_heap_thread_end();
    return NULL;
}

static void hire(struct hand *hand) {
    if (!hand->there) {
        pthread_barrier_init(&hand->turn, NULL, 2);
        hand->there = pthread_create(&hand->thread, NULL, serve, hand) == 0;
    }
}

static void dismiss(struct hand *hand) {
    if (hand->there) {
        hand->step = NULL;
        pthread_barrier_wait(&hand->turn);
        pthread_join(hand->thread, NULL);
        pthread_barrier_destroy(&hand->turn);
        hand->there = false;
    }
}

static void tell(struct hand *hand, const struct step *step) {
    hire(hand);
    hand->step = step;
    pthread_barrier_wait(&hand->turn);
    pthread_barrier_wait(&hand->turn);
}

/* ---- inputs ---------------------------------------------------------------------------------------------------- */

static void play(const uint8_t *data) {
    static const uint8_t times[] = {1, 2, 8, 32};
    const struct operation *operation = &operations[data[0] % 16 % PSC_COUNT_OF(operations)];
    struct hand *hand = &hands[data[0] / 16 % HANDS];
    struct step step = {
        .operation = operation,
        .times = operation->repeats ? times[data[0] / 64] : 1,
        .slot = data[1],
        .size = (size_t)data[2] | (size_t)data[3] << 8,
    };
    if (hand == &hands[0]) {
        if (operation->play != end_heap) {
            perform(&step);
        }
    } else if (operation->play == end_thread) {
        dismiss(hand);
        psc_shadow_check_heap(&shadow);
    } else {
        tell(hand, &step);
    }
}

static void clean_up(void) {
    psc_shadow_free_all(&shadow);
    psc_shadow_check_heap(&shadow);
    for (int i = 1; i < HANDS; i++) {
        dismiss(&hands[i]);
    }
    psc_heap_set_purge(PURGE_MS);
    psc_heap_trim();
    psc_shadow_check_heap(&shadow);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    psc_shadow_watch_notes();
    psc_shadow_init(&shadow, SLOTS);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (; size >= STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES) {
        play(data);
    }
    clean_up();
    return 0;
}
