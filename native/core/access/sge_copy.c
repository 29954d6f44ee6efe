/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/sge_copy.h"

#include <string.h>

#include "core/base/failure.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/dma.h"
#include "core/objects/region.h"

enum { ORDERED_TAIL = 8 };

void rvt_data_call_begin(struct rvt_data_call *call, struct rvt_reader *reader, void *environment) {
    memset(call, 0, sizeof(*call));
    call->reader = reader;
    call->environment = environment;
}

static void forget_memories(struct rvt_data_call *call) {
    memset(call->known, 0, sizeof(call->known));
}

void rvt_data_call_renew(struct rvt_data_call *call) {
    rvt_read_renew(call->reader, call->section_of);
    forget_memories(call);
    call->in_section = 0;
}

void rvt_data_call_enter(struct rvt_data_call *call, struct rvt_retirement *of) {
    rvt_read_enter(call->reader, of);
    call->section_of = of;
    call->in_section = 0;
    if (call->reader->depth == 1)
        forget_memories(call);
}

void rvt_data_call_leave(struct rvt_data_call *call) {
    rvt_read_leave(call->reader, call->section_of);
}

enum rvt_reason rvt_data_call_ask(struct rvt_data_call *call, struct rvt_memory *memory,
                                  unsigned char **data) {
    enum rvt_reason reason = memory->ops->resolve(memory, call->environment, data);
    if (!reason) {
        call->known[call->next].memory = memory;
        call->known[call->next].data = *data;
        call->next = (call->next + 1) % RVT_CALL_MEMORIES;
    }
    return reason;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* All offsets were bounds-checked when the element was accepted or its pages were mapped. They are checked
 * again here against the memory itself, because this is where a bug anywhere else would become a wild
 * write. */
enum rvt_reason rvt_sge_pointer(struct rvt_data_call *call, const struct rvt_sge *sge,
                                const struct rvt_map *map, uint64_t want, unsigned char **data,
                                uint64_t *run) {
    struct rvt_memory *memory;
    uint64_t into; /* offset in the memory */
    if (!map) {
        memory = sge->dma->memory;
        into = sge->position - sge->dma->address;
    } else if (map->memory) {
        memory = map->memory;
        into = sge->position - map->offset;
    } else {
        uint64_t segment = sge->position >> map->shift;
        if (segment >= map->segments)
            return RVT_REMAPPED;
        const struct rvt_dma_map *mapping = map->mapping ? map->mapping : map->mappings[segment];
        memory = mapping->memory;
        into = rvt_map_locate(map, sge->position) - mapping->address;
        want = least(want, rvt_segment_rest(sge->position, map->shift));
    }
    if (into >= memory->length)
        return RVT_REMAPPED;
    enum rvt_reason reason = rvt_data_call_resolve(call, memory, data);
    if (reason)
        return reason;
    *data += into;
    *run = least(want, memory->length - into);
    return RVT_REASON_NONE;
}

/* Returns RVT_REASON_NONE if the memory of the element's next `length` bytes is usable, else the reason.
 * Checks it piece by piece and renews the section as needed. */
static enum rvt_reason judge_memory(struct rvt_data_call *call, struct rvt_sge sge, uint64_t length) {
    for (;;) {
        struct rvt_map *map;
        enum rvt_reason reason = rvt_sge_usable(&sge, &map);
        while (!reason && length && rvt_data_call_room(call)) {
            unsigned char *data;
            uint64_t run = 0;
            reason = rvt_sge_pointer(call, &sge, map, length, &data, &run);
            /* All segments of one DMA mapping lie in one memory, so one lookup is enough. */
            if (!reason && (!map || map->memory || map->mapping))
                return RVT_REASON_NONE;
            sge.position += run;
            length -= run;
            rvt_data_call_spend(call, 0);
        }
        if (reason || !length)
            return reason;
        rvt_data_call_renew(call);
    }
}

/* Judges every element of the next `length` bytes before the first byte moves: its rights, whether it is
 * still usable, and the memory behind it. A refusal therefore leaves the target untouched. */
static enum rvt_reason judge_all_elements(struct rvt_data_call *call, const struct rvt_sge_state *ss,
                                          uint64_t length, bool write) {
    for (uint32_t i = 0; length && i < ss->num_sge; i++) {
        const struct rvt_sge *sge = i ? ss->list[i - 1] : &ss->sge;
        const struct rvt_sge *owner = i ? ss->list[i - 1] : ss->owner;
        uint64_t part = least(length, sge->sge_length);
        if (!part)
            continue;
        enum rvt_reason reason = rvt_judge_rights(sge->rights, sge->remote, write);
        if (!reason)
            reason = owner->mr ? judge_memory(call, *sge, part) : RVT_REGION_REVOKED;
        if (reason)
            return reason;
        length -= part;
    }
    return RVT_REASON_NONE;
}

/* Direction of a copy: out of the region, into it, or into it byte by byte with release stores. */
enum manner { OUT, IN, IN_ORDERED };

static void move_run(unsigned char *region, unsigned char *data, uint64_t length, enum manner manner) {
    if (manner == OUT) {
        memmove(data, region, length);
    } else if (manner == IN) {
        memmove(region, data, length); /* memmove, because source and target may overlap */
    } else {
        for (uint64_t i = 0; i < length; i++)
            atomic_store_explicit((_Atomic(unsigned char) *)&region[i], data[i], memory_order_release);
    }
}

/* Moves the next `length` bytes and renews the section as needed. Adds the bytes moved to *moved. Returns
 * RVT_REASON_NONE or the reason why it stopped. */
static enum rvt_reason move_in_sections(struct rvt_data_call *call, struct rvt_sge_state *ss,
                                        unsigned char *data, uint64_t length, bool release,
                                        enum manner manner, uint64_t *moved) {
    while (length) {
        if (!rvt_data_call_room(call))
            rvt_data_call_renew(call);
        rvt_pass_empty_sges(ss, release);
        struct rvt_map *map;
        enum rvt_reason reason = rvt_sge_usable(&ss->sge, &map);
        unsigned char *region;
        uint64_t run;
        if (!reason)
            reason = rvt_sge_pointer(call, &ss->sge, map,
                                     least(least(length, ss->sge.sge_length), rvt_data_call_room(call)),
                                     &region, &run);
        if (reason)
            return reason;
        move_run(region, data, run, manner);
        rvt_mr_count_bytes(ss->sge.mr, run);
        rvt_update_sge(ss, (uint32_t)run, release);
        data += run;
        length -= run;
        *moved += run;
        rvt_data_call_spend(call, run);
    }
    return RVT_REASON_NONE;
}

/* Moves bytes of an element that lies in one piece of memory, section by section, and judges it again in
 * each. `at` is a copy of the element, positioned at the first byte. Returns false, with nothing moved, if
 * the bytes lie in several pieces or overlap `data` so that they must be copied backwards. */
static bool move_contiguous(struct rvt_data_call *call, struct rvt_sge *at, unsigned char *data,
                            uint64_t length, bool write, struct rvt_copied *copied) {
    for (uint64_t left = length; left;) {
        uint64_t step = least(left, RVT_SECTION_BYTES), run = 0;
        struct rvt_map *map;
        unsigned char *region;
        copied->reason = rvt_sge_usable(at, &map);
        if (!copied->reason)
            copied->reason = rvt_sge_pointer(call, at, map, left, &region, &run);
        if (copied->reason)
            return true;
        if (run < left) {
            if (left == length)
                return false;
            copied->reason = RVT_REMAPPED; /* it was contiguous, so the mapping has changed */
            return true;
        }
        if (left == length && step < length &&
            rvt_overlaps_forwards(write ? data : region, write ? region : data, length))
            return false;
        move_run(region, data, step, write ? IN : OUT);
        rvt_mr_count_bytes(at->mr, step);
        at->position += step;
        data += step;
        left -= step;
        copied->bytes += step;
        if (left)
            rvt_data_call_renew(call);
    }
    return true;
}

/* Like move_contiguous(), for the current element of a walk that contains all the bytes. Advances *ss by the
 * bytes moved. */
static bool move_current_contiguous(struct rvt_data_call *call, struct rvt_sge_state *ss, unsigned char *data,
                                    uint64_t length, bool release, bool write, struct rvt_copied *copied) {
    if (length > ss->sge.sge_length)
        return false;
    struct rvt_sge at = ss->sge;
    copied->reason = rvt_judge_rights(at.rights, at.remote, write);
    if (!copied->reason && !ss->owner->mr)
        copied->reason = RVT_REGION_REVOKED;
    if (!copied->reason && !move_contiguous(call, &at, data, length, write, copied))
        return false;
    rvt_update_sge(ss, (uint32_t)copied->bytes, release);
    return true;
}

/* Returns whether the next `length` bytes are one piece of the current element and must be copied last bytes
 * first, because copying forwards in steps would overwrite source bytes. The caller must be in a section. */
static bool needs_backward_copy(struct rvt_data_call *call, const struct rvt_sge_state *ss,
                                const unsigned char *data, uint64_t length, bool write) {
    struct rvt_map *map;
    unsigned char *region;
    uint64_t run = 0;
    if (length > ss->sge.sge_length || rvt_sge_usable(&ss->sge, &map) ||
        rvt_sge_pointer(call, &ss->sge, map, length, &region, &run) || run < length)
        return false;
    return rvt_overlaps_forwards(write ? data : region, write ? region : data, length);
}

/* Copies the next `length` bytes, one piece of the current element, last bytes first, in sections. Returns
 * RVT_REASON_NONE, or the reason why it stopped; the walk then has not advanced. */
static enum rvt_reason move_backwards(struct rvt_data_call *call, struct rvt_sge_state *ss,
                                      unsigned char *data, uint64_t length, bool release, bool write,
                                      uint64_t *moved) {
    for (uint64_t left = length; left;) {
        uint64_t step = least(left, RVT_SECTION_BYTES), run = 0;
        rvt_data_call_renew(call);
        struct rvt_sge sge = ss->sge;
        struct rvt_map *map;
        unsigned char *region;
        sge.position += left - step;
        enum rvt_reason reason = rvt_sge_usable(&sge, &map);
        if (!reason)
            reason = rvt_sge_pointer(call, &sge, map, step, &region, &run);
        if (reason)
            return reason;
        if (run < step) /* it was contiguous, so the mapping has changed */
            return RVT_REMAPPED;
        move_run(region, data + (left - step), step, write ? IN : OUT);
        rvt_mr_count_bytes(sge.mr, step);
        left -= step;
        *moved += step;
    }
    rvt_update_sge(ss, (uint32_t)length, release);
    return RVT_REASON_NONE;
}

/* Copies bytes that move_current_contiguous() cannot: several pieces, backwards, or with an ordered tail. */
static void copy_in_sections(struct rvt_data_call *call, struct rvt_sge_state *ss, unsigned char *data,
                             uint64_t length, bool release, bool write, bool ordered,
                             struct rvt_copied *copied) {
    copied->reason = judge_all_elements(call, ss, length, write);
    if (copied->reason)
        return;
    uint64_t tail = ordered ? least(length, ORDERED_TAIL) : 0, body = length - tail;
    /* Save the last bytes: if `data` overlaps the element, copying the body may overwrite them. */
    unsigned char last[ORDERED_TAIL];
    if (tail)
        memcpy(last, data + body, tail);
    copied->reason = needs_backward_copy(call, ss, data, body, write)
                         ? move_backwards(call, ss, data, body, release, write, &copied->bytes)
                         : move_in_sections(call, ss, data, body, release, write ? IN : OUT, &copied->bytes);
    if (!copied->reason)
        copied->reason = move_in_sections(call, ss, last, tail, release, IN_ORDERED, &copied->bytes);
}

/* Fails with -EACCES and the details that the reason does not contain. `index` is the element's index among
 * the remaining elements. */
static RVT_COLD int fail_sge(const struct rvt_sge *sge, uint32_t index, uint64_t length, bool write,
                             const struct rvt_copied *copied) {
    if (copied->reason == RVT_ACCESS_DENIED)
        return rvt_fail_at(RVT_EACCES, RVT_CAUSE_RIGHT_NOT_PROVEN, index, sge->rights,
                           rvt_rights_wanted(write));
    return rvt_fail_value(RVT_EACCES, RVT_CAUSE_BYTES_UNUSABLE, copied->bytes, length);
}

/* Like fail_sge(), for a walk. Finds the first element that lacks the required right. */
static RVT_COLD int fail_copy(const struct rvt_sge_state *ss, uint64_t length, bool write,
                              const struct rvt_copied *copied) {
    uint32_t i = 0;
    const struct rvt_sge *sge = &ss->sge;
    while (i + 1 < ss->num_sge &&
           (!sge->sge_length || rvt_judge_rights(sge->rights, sge->remote, write) == RVT_REASON_NONE))
        sge = ss->list[i++];
    return fail_sge(sge, i, length, write, copied);
}

static int copy_elements(struct rvt_data_call *call, struct rvt_sge_state *ss, unsigned char *data,
                         uint64_t length, bool release, bool write, bool ordered, struct rvt_copied *copied) {
    *copied = (struct rvt_copied){0, RVT_REASON_NONE};
    int error = rvt_ss_judge(ss, length, release);
    if (error)
        return error;
    if (!length)
        return 0;
    rvt_data_call_enter(call, rvt_ss_device(ss));
    if (ordered || !move_current_contiguous(call, ss, data, length, release, write, copied))
        copy_in_sections(call, ss, data, length, release, write, ordered, copied);
    rvt_data_call_leave(call);
    rvt_data_call_count(call, copied->bytes, copied->reason);
    return copied->reason ? fail_copy(ss, length, write, copied) : 0;
}

int rvt_copy_sge(struct rvt_data_call *call, struct rvt_sge_state *ss, const void *data, uint64_t length,
                 bool release, bool copy_last, struct rvt_copied *copied) {
    return copy_elements(call, ss, (unsigned char *)data, length, release, true, copy_last, copied);
}

int rvt_copy_sge_out(struct rvt_data_call *call, struct rvt_sge_state *ss, void *data, uint64_t length,
                     bool release, struct rvt_copied *copied) {
    return copy_elements(call, ss, data, length, release, false, false, copied);
}

int rvt_copy_one(struct rvt_data_call *call, struct rvt_sge *sge, uint32_t offset, void *data,
                 uint64_t length, bool write, bool copy_last, struct rvt_copied *copied) {
    *copied = (struct rvt_copied){0, RVT_REASON_NONE};
    if (!sge->mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT);
    if (offset > sge->sge_length || length > sge->sge_length - offset)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_MORE_THAN_ELEMENT, length,
                              offset > sge->sge_length ? 0 : sge->sge_length - offset);
    if (!length)
        return 0;
    if (!copy_last) {
        struct rvt_sge at = *sge;
        at.position += offset;
        rvt_data_call_enter(call, &sge->mr->owned.device->retirement);
        copied->reason = rvt_judge_rights(at.rights, at.remote, write);
        bool done = copied->reason || move_contiguous(call, &at, data, length, write, copied);
        rvt_data_call_leave(call);
        if (done) {
            rvt_data_call_count(call, copied->bytes, copied->reason);
            return copied->reason ? fail_sge(sge, 0, length, write, copied) : 0;
        }
    }
    struct rvt_sge *list[] = {sge};
    struct rvt_sge_state ss;
    int error = rvt_ss_init(&ss, list, 1);
    if (!error)
        error = rvt_skip_sge(&ss, offset, false);
    return error ? error : copy_elements(call, &ss, data, length, false, write, copy_last, copied);
}
