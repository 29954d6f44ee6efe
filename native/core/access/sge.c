/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/sge.h"

#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/dma.h"

/* Puts a reference that a context has counted. The caller must be in a section of that context's reader and
 * must have read `watched` from the device in that section. Nothing is lost if `watched` is false while
 * another thread flags the region as watched: that thread waits for this section to end before it adds up the
 * counts, so it sees this put. */
static inline void put_counted(struct rvt_sge *sge, struct rvt_mregion *mr, bool watched) {
    rvt_add_held(sge->count, -1);
    if (watched && (atomic_load_explicit(&mr->word, memory_order_acquire) & RVT_MR_WATCHED))
        rvt_mr_note_put(mr);
}

static bool is_watched(const struct rvt_ucontext *context) {
    return atomic_load_explicit(&context->device->watched, memory_order_acquire) != 0;
}

void rvt_put_sge(struct rvt_sge *sge) {
    struct rvt_mregion *mr = sge->mr;
    if (!mr)
        return;
    sge->mr = NULL; /* clear first: the put may free the region */
    if (sge->count) {
        struct rvt_ucontext *by = sge->by;
        rvt_read_enter(by->reader, &by->device->retirement);
        put_counted(sge, mr, is_watched(by));
        rvt_read_leave(by->reader, &by->device->retirement);
        return;
    }
    if (sge->dma)
        rvt_dma_release(sge->dma, 1);
    rvt_put_mr(mr);
}

void rvt_take_over_sge(struct rvt_sge *sge, struct rvt_ucontext *context) {
    if (!sge->mr || !sge->count)
        return; /* the region itself counts the reference, so the owner does not matter */
    /* The count that was incremented stays as it is; the put decrements the new context's count, possibly
     * below zero. Only the sum of all counts is meaningful. */
    sge->by = context;
    sge->count =
        context && context->reader ? rvt_held_count(&context->held, sge->mr->owned.object.index) : NULL;
}

uint32_t rvt_put_sges(struct rvt_sge *list, uint32_t count) {
    enum { AHEAD = 16 };
    struct rvt_ucontext *by = NULL; /* context whose section is open */
    bool watched = false;
    uint32_t put = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct rvt_sge *sge = &list[i];
        struct rvt_mregion *mr = sge->mr;
        if (!mr)
            continue;
        put++;
        if (!sge->count) {
            rvt_put_sge(sge);
            continue;
        }
        if (by != sge->by || put % RVT_SECTION_ELEMENTS == 0) {
            if (by)
                rvt_read_leave(by->reader, &by->device->retirement);
            by = sge->by;
            rvt_read_enter(by->reader, &by->device->retirement);
            watched = is_watched(by);
        }
        if (i + AHEAD < count)
            __builtin_prefetch(list[i + AHEAD].count, 1);
        sge->mr = NULL;
        put_counted(sge, mr, watched);
    }
    if (by)
        rvt_read_leave(by->reader, &by->device->retirement);
    return put;
}

enum rvt_reason rvt_sge_usable(const struct rvt_sge *sge, struct rvt_map **map) {
    *map = NULL;
    if (!sge->mr)
        return RVT_REGION_REVOKED;
    if (!rvt_sge_key_zero(sge))
        return rvt_mr_usable(sge->mr, sge->map_generation, map);
    /* A key-0 element is unusable if its region was ended by force, or if its DMA mapping was closed with the
     * context that made it. A mapping is closed before it is retired, so if it is open inside a section, its
     * memory stays valid until the section ends. */
    bool forced = atomic_load_explicit(&sge->mr->word, memory_order_acquire) & RVT_MR_FORCED;
    bool closed = atomic_load_explicit(&sge->dma->users, memory_order_acquire) & RVT_DMA_CLOSED;
    return forced || closed ? RVT_REGION_REVOKED : RVT_REASON_NONE;
}

/* --- the walk --- */

static void begin_next_element(struct rvt_sge_state *ss) {
    ss->owner = *ss->list++;
    ss->sge = *ss->owner;
}

/* Ends the current element: puts its reference if `release`, and begins the next element. */
static void finish_current_element(struct rvt_sge_state *ss, bool release) {
    if (release)
        rvt_put_sge(ss->owner);
    if (--ss->num_sge)
        begin_next_element(ss);
}

/* Advances inside the current element, at most to its end, over any number of segments. */
static void advance_in_element(struct rvt_sge *sge, uint32_t length) {
    sge->position += length;
    sge->sge_length -= length;
    if (rvt_sge_key_zero(sge))
        sge->length -= length;
    else
        sge->length = rvt_segment_rest(sge->position, sge->shift);
}

void rvt_pass_empty_sges(struct rvt_sge_state *ss, bool release) {
    while (ss->num_sge > 1 && !ss->sge.sge_length)
        finish_current_element(ss, release);
}

int rvt_ss_init(struct rvt_sge_state *ss, struct rvt_sge **elements, uint32_t count) {
    if (count < 1 || count > RVT_MAX_SGE)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_ELEMENT_COUNT, count, RVT_MAX_SGE);
    for (uint32_t i = 0; i < count; i++)
        if (!elements[i]->mr)
            return rvt_fail_at(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT, i, 0, 0);
    ss->list = elements;
    ss->num_sge = count;
    begin_next_element(ss);
    return 0;
}

uint64_t rvt_ss_total_len(const struct rvt_sge_state *ss) {
    uint64_t total = ss->num_sge ? ss->sge.sge_length : 0;
    for (uint32_t i = 1; i < ss->num_sge; i++)
        total += ss->list[i - 1]->sge_length;
    return total;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

uint32_t rvt_get_sge_length(const struct rvt_sge_state *ss, uint32_t length) {
    const struct rvt_sge *sge = &ss->sge;
    for (uint32_t i = 0; i < ss->num_sge; i++) {
        if (i)
            sge = ss->list[i - 1];
        if (sge->sge_length)
            return least(length, least(sge->length, sge->sge_length));
    }
    return 0;
}

int rvt_update_sge(struct rvt_sge_state *ss, uint32_t length, bool release) {
    if (!length)
        return 0;
    if (length > rvt_ss_total_len(ss))
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_MORE_THAN_LEFT, length, rvt_ss_total_len(ss));
    /* Check before skipping empty elements, so that a failure changes nothing. */
    const struct rvt_sge *sge = &ss->sge;
    for (uint32_t i = 1; !sge->sge_length && i < ss->num_sge; i++)
        sge = ss->list[i - 1];
    if (length > sge->sge_length)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_MORE_THAN_ELEMENT, length, sge->sge_length);
    rvt_pass_empty_sges(ss, release);
    advance_in_element(&ss->sge, length);
    if (!ss->sge.sge_length)
        finish_current_element(ss, release);
    return 0;
}

int rvt_skip_sge(struct rvt_sge_state *ss, uint64_t length, bool release) {
    if (length > rvt_ss_total_len(ss))
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_MORE_THAN_LEFT, length, rvt_ss_total_len(ss));
    while (length) {
        rvt_pass_empty_sges(ss, release);
        uint32_t step = ss->sge.sge_length < length ? ss->sge.sge_length : (uint32_t)length;
        rvt_update_sge(ss, step, release);
        length -= step;
    }
    return 0;
}

void rvt_put_ss(struct rvt_sge_state *ss) {
    while (ss->num_sge)
        finish_current_element(ss, true);
}

bool rvt_ss_has_lkey(const struct rvt_sge_state *ss, uint32_t lkey) {
    for (uint32_t i = 0; i < ss->num_sge; i++) {
        const struct rvt_sge *sge = i ? ss->list[i - 1] : ss->owner;
        if (sge->mr && rvt_mr_key(sge->mr) == lkey)
            return true;
    }
    return false;
}

/* Returns why an element within the next `length` bytes cannot be used now, or RVT_REASON_NONE. */
static enum rvt_reason find_unusable_reason(const struct rvt_sge_state *ss, uint64_t length) {
    for (uint32_t i = 0; length && i < ss->num_sge; i++) {
        const struct rvt_sge *sge = i ? ss->list[i - 1] : &ss->sge;
        const struct rvt_sge *owner = i ? sge : ss->owner;
        if (!sge->sge_length)
            continue;
        struct rvt_map *map;
        enum rvt_reason reason = owner->mr ? rvt_sge_usable(sge, &map) : RVT_REGION_REVOKED;
        if (reason)
            return reason;
        length -= sge->sge_length < length ? sge->sge_length : length;
    }
    return RVT_REASON_NONE;
}

uint32_t rvt_ss_find_twice(const struct rvt_sge_state *ss) {
    for (uint32_t i = 1; i < ss->num_sge; i++) {
        const struct rvt_sge *sge = ss->list[i - 1];
        if (sge == ss->owner)
            return i;
        for (uint32_t j = 1; j < i; j++)
            if (ss->list[j - 1] == sge)
                return i;
    }
    return 0;
}

int rvt_ss_judge(const struct rvt_sge_state *ss, uint64_t length, bool release) {
    uint64_t left = rvt_ss_total_len(ss);
    if (length > left)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_MORE_THAN_LEFT, length, left);
    uint32_t twice = release ? rvt_ss_find_twice(ss) : 0;
    return twice ? rvt_fail_at(RVT_EINVAL, RVT_CAUSE_ELEMENT_TWICE, twice, 0, 0) : 0;
}

struct rvt_retirement *rvt_ss_device(const struct rvt_sge_state *ss) {
    struct rvt_retirement *of = NULL;
    for (uint32_t i = 0; i < ss->num_sge; i++) {
        const struct rvt_sge *owner = i ? ss->list[i - 1] : ss->owner;
        if (!owner->mr)
            continue;
        struct rvt_retirement *own = &owner->mr->owned.device->retirement;
        if (of && of != own)
            return &rvt_every_device;
        of = own;
    }
    return of ? of : &rvt_every_device;
}

/* A walk's position in its list of steps. */
struct stride {
    const uint32_t *steps;
    uint32_t count, step; /* `step`: index of the current step */
    uint32_t left;        /* bytes left in the current step */
};

/* Fragments reported per reader section: few enough for the stack, many enough to amortize the cost of
 * entering and leaving the section. */
enum { FRAGMENTS = 256 };

/* Walks until the end of the steps or until `fragments` is full, and returns the number of fragments stored.
 * Sets *reason if an element cannot be used. The caller must be in a reader section. */
static uint32_t walk_section(struct rvt_sge_state *ss, struct stride *at, bool release,
                             enum rvt_reason *reason, struct rvt_fragment *fragments) {
    uint32_t told = 0;
    /* Empty steps produce no fragments but still take time, so the loop also limits its iterations. */
    for (uint32_t looks = 0; looks < RVT_SECTION_ELEMENTS && told < FRAGMENTS && at->step < at->count;
         looks++) {
        if (!at->left) {
            if (++at->step < at->count)
                at->left = at->steps[at->step];
            continue;
        }
        rvt_pass_empty_sges(ss, release);
        struct rvt_map *map;
        *reason = rvt_sge_usable(&ss->sge, &map);
        if (*reason)
            break;
        struct rvt_fragment *fragment = &fragments[told++];
        *fragment = (struct rvt_fragment){
            .region = rvt_mr_id(ss->sge.mr),
            .at = map ? rvt_map_locate(map, ss->sge.position) : ss->sge.position,
            .length = rvt_get_sge_length(ss, at->left),
            .step = at->step,
            .index = rvt_mr_index(ss->sge.mr),
            .user = ss->sge.user,
        };
        rvt_update_sge(ss, fragment->length, release);
        at->left -= fragment->length;
    }
    return told;
}

int rvt_walk(struct rvt_reader *reader, struct rvt_sge_state *ss, const uint32_t *steps, uint32_t count,
             bool release, enum rvt_reason *reason,
             bool (*emit)(void *context, const struct rvt_fragment *fragments, uint32_t count),
             void *context) {
    *reason = RVT_REASON_NONE;
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += steps[i]; /* cannot overflow: 2^32 steps of 2^32 - 1 bytes fit into 64 bits */
    int error = rvt_ss_judge(ss, total, release);
    if (error)
        return error;
    struct rvt_retirement *of = rvt_ss_device(ss);
    struct rvt_fragment fragments[FRAGMENTS];
    struct stride at = {steps, count, 0, count ? steps[0] : 0};
    bool first = true;
    while (first || at.step < count) {
        rvt_read_enter(reader, of);
        if (first)
            *reason = find_unusable_reason(ss, total);
        first = false;
        uint32_t told = *reason ? 0 : walk_section(ss, &at, release, reason, fragments);
        rvt_read_leave(reader, of);
        if (*reason) /* after the first section, only a change by another thread can cause this refusal */
            return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_BYTES_UNUSABLE, 0, total);
        if (told && !emit(context, fragments, told))
            return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    }
    return 0;
}
