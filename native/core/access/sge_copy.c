/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/sge_copy.h"

#include <string.h>

#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/dma.h"
#include "core/objects/region.h"

/* How long one section may last: reclaimers on other threads wait for it. */
static const uint64_t SECTION_BYTES = 1 << 20;
static const uint64_t ORDERED_TAIL = 8;

void rvt_data_call_begin(struct rvt_data_call *call, struct rvt_reader *reader, void *environment) {
    memset(call, 0, sizeof(*call));
    call->reader = reader;
    call->environment = environment;
}

static void forget_memories(struct rvt_data_call *call) {
    memset(call->known, 0, sizeof(call->known));
}

void rvt_data_call_renew(struct rvt_data_call *call) {
    rvt_read_renew(call->reader);
    forget_memories(call);
}

void rvt_data_call_enter(struct rvt_data_call *call) {
    rvt_read_enter(call->reader);
    if (call->reader->depth == 1)
        forget_memories(call);
}

enum rvt_reason rvt_data_call_resolve(struct rvt_data_call *call, struct rvt_memory *memory,
                                      unsigned char **data) {
    for (unsigned i = 0; i < RVT_CALL_MEMORIES; i++) {
        if (call->known[i].memory == memory) {
            *data = call->known[i].data;
            return RVT_REASON_NONE;
        }
    }
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

/* Everything below was bounds-checked when the element was accepted or its pages were mapped. It is
 * checked once more against the memory itself, because this is where a mistake anywhere else would become
 * a wild write. */
enum rvt_reason rvt_sge_pointer(struct rvt_data_call *call, const struct rvt_sge *sge,
                                const struct rvt_map *map, uint64_t want, unsigned char **data,
                                uint64_t *run) {
    struct rvt_memory *memory;
    uint64_t into; /* the memory */
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

/* Can the next `length` bytes be moved? Asked before the first byte moves, so that a refusal leaves the
 * memory as it was: every element's rights and liveness, and every memory it reaches. */
static enum rvt_reason judge_all_elements(struct rvt_data_call *call, const struct rvt_sge_state *ss,
                                          uint64_t length, bool write) {
    for (uint32_t i = 0; length && i < ss->num_sge; i++) {
        struct rvt_sge sge = i ? *ss->list[i - 1] : ss->sge;
        const struct rvt_sge *owner = i ? ss->list[i - 1] : ss->owner;
        uint64_t part = least(length, sge.sge_length);
        if (!part)
            continue;
        enum rvt_reason reason = rvt_judge_rights(sge.rights, sge.remote, write);
        struct rvt_map *map;
        if (!reason)
            reason = owner->mr ? rvt_sge_usable(&sge, &map) : RVT_REGION_REVOKED;
        length -= part;
        /* All segments of one mapping lie in one memory: one look is enough. */
        bool one_memory = !reason && (!map || map->memory || map->mapping);
        while (!reason && part) {
            unsigned char *data;
            uint64_t run = 0;
            reason = rvt_sge_pointer(call, &sge, map, part, &data, &run);
            if (one_memory)
                break;
            sge.position += run;
            part -= run;
        }
        if (reason)
            return reason;
    }
    return RVT_REASON_NONE;
}

/* How the bytes of one run are moved. */
enum manner { OUT, IN, IN_ORDERED };

static void move_run(unsigned char *region, unsigned char *data, uint64_t length, enum manner manner) {
    if (manner == OUT) {
        memmove(data, region, length);
    } else if (manner == IN) {
        memmove(region, data, length); /* the two may be the same buffer */
    } else {
        for (uint64_t i = 0; i < length; i++)
            atomic_store_explicit((_Atomic(unsigned char) *)&region[i], data[i], memory_order_release);
    }
}

/* Move the next `length` bytes, in sections of a MiB. */
static enum rvt_reason move_in_sections(struct rvt_data_call *call, struct rvt_sge_state *ss,
                                        unsigned char *data, uint64_t length, bool release,
                                        enum manner manner, uint64_t *moved) {
    uint64_t in_section = 0;
    while (length) {
        if (in_section >= SECTION_BYTES) {
            rvt_data_call_renew(call);
            in_section = 0;
        }
        rvt_pass_empty_sges(ss, release);
        struct rvt_map *map;
        enum rvt_reason reason = rvt_sge_usable(&ss->sge, &map);
        unsigned char *region;
        uint64_t run;
        if (!reason)
            reason = rvt_sge_pointer(call, &ss->sge, map,
                                     least(least(length, ss->sge.sge_length), SECTION_BYTES - in_section),
                                     &region, &run);
        if (reason)
            return reason;
        move_run(region, data, run, manner);
        rvt_mr_count_bytes(ss->sge.mr, run);
        rvt_update_sge(ss, (uint32_t)run, release);
        data += run;
        length -= run;
        in_section += run;
        *moved += run;
    }
    return RVT_REASON_NONE;
}

/* The plain case, which most copies are: all bytes in the current element, and in one piece of memory. False
 * if it is not. */
static bool move_in_one_piece(struct rvt_data_call *call, struct rvt_sge_state *ss, unsigned char *data,
                              uint64_t length, bool release, bool write, struct rvt_copied *copied) {
    if (length > ss->sge.sge_length || length > SECTION_BYTES)
        return false;
    struct rvt_map *map;
    unsigned char *region;
    uint64_t run = length;
    copied->reason = rvt_judge_rights(ss->sge.rights, ss->sge.remote, write);
    if (!copied->reason)
        copied->reason = ss->owner->mr ? rvt_sge_usable(&ss->sge, &map) : RVT_REGION_REVOKED;
    if (!copied->reason)
        copied->reason = rvt_sge_pointer(call, &ss->sge, map, length, &region, &run);
    if (copied->reason)
        return true;
    if (run < length)
        return false;
    move_run(region, data, length, write ? IN : OUT);
    rvt_mr_count_bytes(ss->sge.mr, length);
    copied->bytes = length;
    rvt_update_sge(ss, (uint32_t)length, release);
    return true;
}

static int copy_elements(struct rvt_data_call *call, struct rvt_sge_state *ss, unsigned char *data,
                         uint64_t length, bool release, bool write, bool ordered, struct rvt_copied *copied) {
    *copied = (struct rvt_copied){0, RVT_REASON_NONE};
    if (length > rvt_ss_total_len(ss) || (release && rvt_ss_any_twice(ss)))
        return -RVT_EINVAL;
    if (!length)
        return 0;
    rvt_data_call_enter(call);
    if (ordered || !move_in_one_piece(call, ss, data, length, release, write, copied)) {
        copied->reason = judge_all_elements(call, ss, length, write);
        uint64_t tail = ordered ? least(length, ORDERED_TAIL) : 0;
        if (!copied->reason)
            copied->reason =
                move_in_sections(call, ss, data, length - tail, release, write ? IN : OUT, &copied->bytes);
        if (!copied->reason)
            copied->reason =
                move_in_sections(call, ss, data + (length - tail), tail, release, IN_ORDERED, &copied->bytes);
    }
    rvt_read_leave(call->reader);
    rvt_data_call_count(call, copied->bytes, copied->reason);
    return copied->reason ? -RVT_EACCES : 0;
}

int rvt_copy_sge(struct rvt_data_call *call, struct rvt_sge_state *ss, const void *data, uint64_t length,
                 bool release, bool copy_last, struct rvt_copied *copied) {
    return copy_elements(call, ss, (unsigned char *)data, length, release, true, copy_last, copied);
}

int rvt_copy_sge_out(struct rvt_data_call *call, struct rvt_sge_state *ss, void *data, uint64_t length,
                     bool release, struct rvt_copied *copied) {
    return copy_elements(call, ss, data, length, release, false, false, copied);
}
