/* SPDX-License-Identifier: BSD-3-Clause */
/* Start and end of a program of verbs, its memories, and the findings. */
#include "verbs_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/engine/engine_qp.h"

static struct world *current;

struct world *verbs_current(void) {
    return current;
}

/* --- findings --- */

void verbs_fail(const struct world *w, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "FINDING at operation %" PRIu32 " (%s): ", w->at, verb_name(w->code));
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

void verbs_say(const struct world *w, const char *format, ...) {
    va_list arguments;
    if (!w->print)
        return;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout); /* flush, so that the output survives a crash */
}

void verbs_equal(const struct world *w, const char *what, uint64_t is, uint64_t should) {
    if (is != should)
        verbs_fail(w, "%s is %" PRId64 " (0x%" PRIx64 "), not %" PRId64 " (0x%" PRIx64 ")", what, (int64_t)is,
                   is, (int64_t)should, should);
}

/* libFuzzer counts these like coverage: a new outcome is a new feature. */
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t outcomes[16384];

void verbs_note(uint32_t outcome) {
    outcomes[outcome % sizeof(outcomes)]++;
}

const char *verb_name(unsigned code) {
    static const char *const names[VERB_COUNT] = {
        [VERB_NOTHING] = "nothing",
        [VERB_SCENE] = "scene",
        [VERB_OPEN] = "register_device",
        [VERB_EXIT] = "exit",
        [VERB_ALLOC_CONTEXT] = "alloc_ucontext",
        [VERB_DEALLOC_CONTEXT] = "dealloc_ucontext",
        [VERB_ALLOC_PD] = "alloc_pd",
        [VERB_ATTACH_PD] = "attach_pd",
        [VERB_DEALLOC_PD] = "dealloc_pd",
        [VERB_CREATE_CQ] = "create_cq",
        [VERB_RESIZE_CQ] = "resize_cq",
        [VERB_DESTROY_CQ] = "destroy_cq",
        [VERB_POLL_CQ] = "poll_cq",
        [VERB_ARM_CQ] = "req_notify_cq",
        [VERB_CREATE_SRQ] = "create_srq",
        [VERB_MODIFY_SRQ] = "modify_srq",
        [VERB_DESTROY_SRQ] = "destroy_srq",
        [VERB_CREATE_AH] = "create_ah",
        [VERB_DESTROY_AH] = "destroy_ah",
        [VERB_CREATE_QP] = "create_qp",
        [VERB_DESTROY_QP] = "destroy_qp",
        [VERB_CONNECT] = "connect",
        [VERB_MODIFY_QP] = "modify_qp",
        [VERB_POST_SEND] = "post_send",
        [VERB_POST_RECV] = "post_recv",
        [VERB_POST_SRQ_RECV] = "post_srq_recv",
        [VERB_RUN] = "run",
        [VERB_KICK] = "kick",
        [VERB_FIRE_TIMERS] = "fire_timers",
        [VERB_PROGRESS] = "progress",
        [VERB_REG_MR] = "reg_user_mr",
        [VERB_DEREG_MR] = "dereg_mr",
        [VERB_DEREG_MRS] = "dereg_mrs",
        [VERB_ALLOC_MR] = "alloc_mr",
        [VERB_MAP_MR_SG] = "map_mr_sg",
        [VERB_FAST_REG] = "fast_reg_mr",
        [VERB_INVALIDATE] = "invalidate_rkey",
        [VERB_GET_DMA_MR] = "get_dma_mr",
        [VERB_DMA_MAP] = "dma_map",
        [VERB_DMA_UNMAP] = "dma_unmap",
        [VERB_DETACH] = "detach",
        [VERB_ENVIRONMENT] = "environment",
        [VERB_FAIL] = "fail",
        [VERB_QUERY] = "query",
        [VERB_CHECK_QP] = "create_check_qp",
        [VERB_COUNT_MR] = "count_mr",
        [VERB_INTERRUPT] = "interrupt",
        [VERB_TAIL] = "tail",
        [VERB_POST_WHOLE] = "post_send_whole",
        [VERB_REG_LAND] = "reg_land",
        [VERB_DEREG_LAND] = "dereg_land",
        [VERB_ALLOC_MW] = "alloc_mw",
        [VERB_DEALLOC_MW] = "dealloc_mw",
        [VERB_BIND_MW] = "bind_mw",
        [VERB_LEASE_MR] = "lease_mr",
        [VERB_REREG_MR] = "rereg_mr",
        [VERB_CLOCK] = "clock",
        [VERB_POST_WINDOW] = "post_window",
        [VERB_INVALIDATE_MW] = "invalidate_mw",
        [VERB_INTERRUPT_WINDOW] = "interrupt_window",
    };
    return code < VERB_COUNT ? names[code] : "nothing";
}

/* --- random numbers --- */

/* The linker redirects calls to this function, so that findings can be reproduced. */
bool __wrap_rvt_random_bytes(void *out, size_t bytes);
bool __wrap_rvt_random_bytes(void *out, size_t bytes) {
    unsigned char *to = out;
    for (size_t i = 0; i < bytes; i++) {
        current->random_state = current->random_state * UINT64_C(6364136223846793005) + 1;
        to[i] = (unsigned char)(current->random_state >> 56);
    }
    return true;
}

/* --- the coarse clock --- */

/* The same of this one: leases expire only when a program lets time pass. */
uint64_t __wrap_rvt_coarse_ms(void);
uint64_t __wrap_rvt_coarse_ms(void) {
    return current ? current->clock : 0;
}

/* --- memory --- */

/* Sizes of the buffers. The one before the lands is larger than one step of the engine (64 KiB). */
static const size_t buffer_sizes[BUFFERS] = {4096, 8192, 6000, 73728, 73728};

size_t verbs_buffer_size(int buffer) {
    return buffer_sizes[buffer];
}

void *verbs_environment(int number) {
    static char environments[ENVIRONMENTS];
    return number ? &environments[number] : NULL;
}

static enum rvt_reason resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    const struct window *window = (const struct window *)memory;
    if (window->detached)
        return RVT_MEMORY_DETACHED;
    if (window->owner && environment != verbs_environment(window->owner))
        return RVT_OTHER_ENVIRONMENT;
    *data = window->data;
    return RVT_REASON_NONE;
}

/* Called with no device lock held, because it may call the memory layer. */
static void release(struct rvt_memory *memory) {
    struct window *window = (struct window *)memory;
    if (window->released)
        verbs_fail(current, "a memory was released twice");
    window->released = true;
    for (int i = 0; i < current->device_count && current->code != VERB_NOTHING; i++) {
        rvt_dev_get(current->devices[i].core);
        struct rvt_table_head head;
        rvt_table_report(current->devices[i].core, &head, NULL, NULL); /* would wait for the lock for ever */
        rvt_dev_put(current->devices[i].core);
    }
}

static const struct rvt_memory_ops window_ops = {resolve, release, NULL};

/* --- rings --- */

static enum rvt_reason resolve_ring(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment;
    *data = ((struct ring *)memory)->bytes + RING_GUARD;
    return RVT_REASON_NONE;
}

static void release_ring(struct rvt_memory *memory) {
    ((struct ring *)memory)->releases++;
}

static const struct rvt_memory_ops ring_ops = {resolve_ring, release_ring, NULL};

struct ring *verbs_new_ring(uint32_t cqe) {
    struct ring *ring = calloc(1, sizeof(*ring));
    ring->size = (size_t)rvt_cq_ring_bytes(cqe);
    ring->bytes = malloc(ring->size + 2 * RING_GUARD);
    memset(ring->bytes, 0xa5, ring->size + 2 * RING_GUARD);
    rvt_memory_init(&ring->memory, &ring_ops, ring->size);
    return ring;
}

_Atomic(uint32_t) *verbs_ring_word(const struct ring *ring, enum rvt_ring_word word) {
    return (_Atomic(uint32_t) *)(void *)(ring->bytes + RING_GUARD) + word;
}

void verbs_check_ring(const struct world *w, const struct ring *ring, bool released) {
    EXPECT(w, "releases of a ring", ring->releases, released);
    for (size_t i = 0; i < RING_GUARD; i++)
        if (ring->bytes[i] != 0xa5 || ring->bytes[RING_GUARD + ring->size + i] != 0xa5)
            verbs_fail(w, "a byte beside a ring was written");
}

void verbs_free_ring(struct ring *ring) {
    if (ring)
        free(ring->bytes);
    free(ring);
}

uint32_t verbs_taken(const struct cq *cq) {
    const struct rvt_cq *core = cq->core.cq;
    if (!cq->ring || !rvt_cq_live(cq->core))
        return 0;
    uint32_t taken = atomic_load(verbs_ring_word(cq->ring, RVT_RING_TAIL)) - (core->head - core->count);
    return taken < core->count ? taken : core->count;
}

int verbs_new_window(struct world *w, int buffer, uint64_t offset, uint64_t length, int owner) {
    if (w->window_count == 2 * MOST_OBJECTS)
        return NONE;
    size_t size = buffer_sizes[buffer];
    struct window *window = &w->windows[w->window_count];
    *window = (struct window){.buffer = buffer, .offset = offset % size, .owner = owner};
    if (!length || length > size - window->offset)
        length = size - window->offset;
    window->data = w->buffers[buffer] + window->offset;
    rvt_memory_init(&window->memory, &window_ops, length);
    return w->window_count++;
}

void verbs_note_windows(struct world *w) {
    for (int i = 0; i < w->window_count; i++)
        w->windows[i].writable = false;
    for (int i = 0; i < w->mr_count; i++) {
        const struct mr *mr = &w->mrs[i];
        if (mr->alive && mr->window != NONE &&
            mr->last.access & (RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_ATOMIC))
            w->windows[mr->window].writable = true;
    }
    for (int i = 0; i < w->dma_count; i++)
        if (w->dmas[i].alive)
            w->windows[w->dmas[i].window].writable = true;
    for (int i = 0; i < w->window_count; i++) {
        struct window *window = &w->windows[i];
        if (window->detached || (window->owner && window->owner != w->environment))
            window->writable = false;
    }
}

bool verbs_may_change(const struct world *w, int buffer, size_t at) {
    for (int i = 0; i < w->window_count; i++) {
        const struct window *window = &w->windows[i];
        if (window->writable && window->buffer == buffer && at >= window->offset &&
            at - window->offset < window->memory.length)
            return true;
    }
    return false;
}

/* Bytes change only in operations that can carry out work, and only where a live region or mapping lets them. */
static void check_bytes(struct world *w) {
    for (int buffer = 0; buffer < BUFFERS; buffer++) {
        const unsigned char *is = w->buffers[buffer];
        unsigned char *was = w->shadows[buffer];
        size_t size = buffer_sizes[buffer];
        if (!w->moves && buffer >= LAND_BUFFER - 1 && w->at % 16)
            continue; /* the large one takes time */
        if (memcmp(is, was, size) == 0)
            continue;
        for (size_t i = 0; i < size; i++) {
            if (is[i] == was[i])
                continue;
            if (!w->moves)
                verbs_fail(w, "byte %zu of buffer %d changed", i, buffer);
            if (!verbs_may_change(w, buffer, i))
                verbs_fail(w, "byte %zu of buffer %d changed, outside of what can be written", i, buffer);
            was[i] = is[i];
        }
    }
}

/* --- events --- */

void verbs_on_event(enum rvt_event_kind kind, uint64_t object, void *user, void *data) {
    struct world *w = data;
    if (w->event_count < MOST_EVENTS)
        w->events[w->event_count++] = (struct event){kind, object, user};
}

/* --- work requests --- */

void verbs_accept(struct world *w, struct works *works, int work) {
    struct work *item = &w->works[work];
    item->list = ++works->made;
    item->next = NONE;
    if (works->first == NONE)
        works->first = work;
    else
        w->works[works->last].next = work;
    works->last = work;
}

struct rvt_engine_qp *verbs_engine_qp(const struct world *w, int qp) {
    struct rvt_qp *core = qp == NONE ? NULL : rvt_qp_live(w->qps[qp].core);
    return core ? atomic_load(&core->engine) : NULL;
}

/* --- interruptions --- */

/* Sets whether the engines believe that another thread waits for their locks. */
static void pretend_waiting(const struct world *w, uint32_t threads) {
    for (int i = 0; i < w->device_count; i++)
        atomic_store(&w->devices[i].core->engine->waiting, threads);
}

/* Performs the interruption. The bytes of regions that it deregisters must not change any more. */
static void interrupt(struct world *w) {
    uint8_t code = w->code, kept[VERB_OPERANDS + 1];
    memcpy(kept, w->operand, sizeof(kept));
    memcpy(w->operand, w->interrupt.operand, sizeof(w->operand));
    w->code = w->interrupt.code;
    w->interrupt.waits = false;
    w->interrupt.done = true;
    verbs_say(w, "\n    interrupted by %s", verb_name(w->code));
    pretend_waiting(w, 0);
    verbs_check_land(w);
    check_bytes(w);
    verbs_perform(w);
    verbs_note(15000 + w->code);
    for (int i = 0; i < w->mr_count; i++) {
        struct rvt_mr_attributes attributes;
        w->mrs[i].alive = !rvt_query_mr(w->mrs[i].core, &attributes);
    }
    for (int i = 0; i < w->dma_count; i++)
        w->dmas[i].alive =
            rvt_object_generation(&w->dmas[i].core.map->owned.object) == w->dmas[i].core.generation;
    verbs_settle_windows(w);
    verbs_note_windows(w);
    w->moves = true;
    w->rest = REST_ANY;
    w->code = code;
    memcpy(w->operand, kept, sizeof(kept));
}

/* The linker redirects calls to this function: the engine yields between two steps, with its lock released, if
 * another thread waits. */
void __real_rvt_yield(void);
void __wrap_rvt_yield(void);
void __wrap_rvt_yield(void) {
    struct world *w = current;
    if (!w || !w->interrupt.waits)
        __real_rvt_yield();
    else if (w->interrupt.steps)
        w->interrupt.steps--;
    else
        interrupt(w);
}

/* --- playing --- */

static void clear(int *slots, int count) {
    for (int i = 0; i < count; i++)
        slots[i] = NONE;
}

static void begin(struct world *w, bool print) {
    current = w;
    w->device_count = w->context_count = w->pd_count = w->cq_count = w->srq_count = w->ah_count = 0;
    w->qp_count = w->mr_count = w->dma_count = w->mw_count = w->window_count = w->work_count = 0;
    w->device = NONE;
    clear(w->context_slot, CONTEXT_SLOTS);
    clear(w->pd_slot, PD_SLOTS);
    clear(w->cq_slot, CQ_SLOTS);
    clear(w->srq_slot, SRQ_SLOTS);
    clear(w->ah_slot, AH_SLOTS);
    clear(w->qp_slot, QP_SLOTS);
    clear(w->mr_slot, MR_SLOTS);
    clear(w->dma_slot, DMA_SLOTS);
    clear(w->land_slot, LAND_SLOTS);
    clear(w->mw_slot, MW_SLOTS);
    w->environment = 0;
    w->now = 0;
    w->clock = 1000;
    w->at = 0;
    w->code = VERB_NOTHING;
    w->print = print;
    w->failing = w->interrupt.waits = false;
    w->random_state = 0;
    rvt_set_thread_environment(NULL);
    rvt_test_alloc_fail_after(-1);
    w->live = rvt_test_alloc_live();
    for (int i = 0; i < BUFFERS; i++) {
        w->buffers[i] = malloc(buffer_sizes[i]);
        w->shadows[i] = malloc(buffer_sizes[i]);
        if (!w->buffers[i] || !w->shadows[i])
            abort();
        for (size_t k = 0; k < buffer_sizes[i]; k++)
            w->buffers[i][k] = (unsigned char)(k * 7 + (k >> 8) * 13 + (size_t)i * 37 + 1);
        memcpy(w->shadows[i], w->buffers[i], buffer_sizes[i]);
    }
    w->reader = rvt_reader_register();
    if (!w->reader)
        abort();
}

/* Performs an operation and checks everything. */
static void perform(struct world *w) {
    w->moves = w->ends = w->starved = false;
    w->reset = w->modified = w->armed = NONE;
    w->rest = REST_ANY;
    w->event_count = 0;
    verbs_say(w, "%3" PRIu32 " %s", w->at, verb_name(w->code));
    verbs_note_windows(w);
    w->interrupt.done = false;
    w->interrupt.waits = w->interrupt.waits && verbs_can_interrupt(w);
    pretend_waiting(w, w->interrupt.waits);
    const bool arms = w->code == VERB_INTERRUPT || w->code == VERB_INTERRUPT_WINDOW;
    verbs_perform(w);
    if (!arms) {
        pretend_waiting(w, 0);
        w->interrupt.waits = false;
    }
    verbs_check_land(w);
    verbs_check(w);
    check_bytes(w);
    verbs_say(w, "\n");
}

/* Performs an operation that the program does not have. */
static void perform_one(struct world *w, enum verb verb, int first, int second) {
    memset(w->operand, 0, sizeof(w->operand));
    w->code = verb;
    w->operand[1] = (uint8_t)first;
    w->operand[2] = (uint8_t)second;
    perform(w);
    w->at++;
}

/* Performs an operation on each object of a kind that is alive. */
#define PERFORM_ALL(kind, verb)                                                                              \
    for (int i = w->kind##_count - 1; i >= 0; i--)                                                           \
        if (w->kind##s[i].alive) {                                                                           \
            w->kind##_slot[0] = i;                                                                           \
            perform_one(w, verb, 0, 0);                                                                      \
            if (w->kind##s[i].alive)                                                                         \
                verbs_fail(w, "one of kind " #kind " cannot be ended");                                      \
        }

/* Ends every object by itself, which succeeds because nothing uses it any more. */
static void end_one_by_one(struct world *w) {
    enum { ROUNDS = 4 };
    for (int i = 0; i < ROUNDS; i++)
        for (w->device = 0; w->device < w->device_count; w->device++) {
            perform_one(w, VERB_FIRE_TIMERS, 0, 0);
            perform_one(w, VERB_RUN, 0, 0);
        }
    PERFORM_ALL(mw, VERB_DEALLOC_MW)
    PERFORM_ALL(qp, VERB_DESTROY_QP)
    PERFORM_ALL(srq, VERB_DESTROY_SRQ)
    PERFORM_ALL(ah, VERB_DESTROY_AH)
    PERFORM_ALL(cq, VERB_DESTROY_CQ)
    PERFORM_ALL(mr, VERB_DEREG_MR)
    for (int i = 0; i < w->pd_count; i++)
        if (w->pds[i].alive && !w->pds[i].attached) {
            w->pd_slot[0] = i;
            perform_one(w, VERB_DEALLOC_PD, 0, 0);
            if (w->pds[i].alive)
                verbs_fail(w, "a domain cannot be deallocated");
        }
    PERFORM_ALL(dma, VERB_DMA_UNMAP)
}

static void end(struct world *w, bool one_by_one) {
    w->failing = false;
    rvt_test_alloc_fail_after(-1);
    if (one_by_one)
        end_one_by_one(w);
    for (int i = 0; i < w->context_count; i++) {
        w->context_slot[0] = i;
        if (!rvt_ucontext_gone(w->contexts[i].core))
            perform_one(w, VERB_DEALLOC_CONTEXT, 0, !one_by_one);
        if (!rvt_ucontext_gone(w->contexts[i].core))
            verbs_fail(w, "a context cannot be deallocated");
    }
    for (w->device = 0; w->device < w->device_count; w->device++)
        if (w->devices[w->device].open) {
            perform_one(w, VERB_EXIT, !one_by_one, 0);
            if (w->devices[w->device].open)
                verbs_fail(w, "a device cannot be closed");
        }
    w->code = VERB_NOTHING;
    for (int i = 0; i < w->context_count; i++)
        rvt_free_ucontext(w->contexts[i].core);
    for (int i = 0; i < w->device_count; i++)
        rvt_dev_put(w->devices[i].core);
    rvt_reader_unregister(w->reader);
    for (int i = 0; i < w->window_count; i++) {
        EXPECT(w, "references on a memory", atomic_load(&w->windows[i].memory.references), 1);
        rvt_memory_put(&w->windows[i].memory);
        if (!w->windows[i].released)
            verbs_fail(w, "a memory was not released");
    }
    for (int i = 0; i < w->cq_count; i++)
        verbs_free_ring(w->cqs[i].ring);
    for (int i = 0; i < BUFFERS; i++) {
        free(w->buffers[i]);
        free(w->shadows[i]);
    }
    EXPECT(w, "allocations left behind", rvt_test_alloc_live() - w->live, 0);
    rvt_set_thread_environment(NULL);
    verbs_say(w, "end\n");
}

void verbs_play(struct world *w, const uint8_t *bytes, size_t size, bool print) {
    size_t count = (size + VERB_BYTES - 1) / VERB_BYTES;
    begin(w, print);
    for (size_t at = 0; at < count && at < MAX_VERBS; at++) {
        uint8_t raw[VERB_BYTES] = {0};
        size_t there = size - at * VERB_BYTES;
        memcpy(raw, bytes + at * VERB_BYTES, there < VERB_BYTES ? there : VERB_BYTES);
        w->at = (uint32_t)at;
        w->code = raw[0] % 64;
        memcpy(w->operand + 1, raw + 1, VERB_OPERANDS);
        if (w->code != VERB_NOTHING && w->code < VERB_COUNT)
            perform(w);
    }
    w->at++;
    end(w, size % 2 || count % 2);
}
