/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies over batches: judged, resolved and moved element by element, without a reference. That is sound
 * because nothing that was judged inside a section is freed before its end; where a long copy renews its
 * section, what is left of the element is judged anew. */
#include <string.h>

#include "core/access/batch.h"
#include "core/access/check.h"
#include "core/access/judge.h"
#include "core/access/packed_sge.h"
#include "core/access/sge_copy.h"
#include "core/base/counters.h"
#include "core/base/epoch.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/lkey_table.h"
#include "core/objects/region.h"

enum { AHEAD = 8 };

/* One side of a copy: the rest of its current element. */
struct side {
    const struct rvt_batch *batch;
    struct rvt_batch_result *result;
    bool write;
    bool judged; /* sge and map are good in this section */
    bool begun;  /* `rest` is of element `index` */
    uint32_t index;
    struct access rest; /* what is left of the element */
    struct rvt_sge sge;
    struct rvt_map *map;
};

static void begin_side(struct side *side, const struct rvt_batch *batch, struct rvt_batch_result *result,
                       bool write) {
    memset(side, 0, sizeof(*side));
    side->batch = batch;
    side->result = result;
    side->write = write;
    *result = (struct rvt_batch_result){.first_refused = batch->count};
    for (uint32_t i = 0; i < AHEAD && i < batch->count; i++)
        rvt_prefetch_record(batch, i);
}

static bool stop_side(struct side *side, enum rvt_reason reason) {
    if (reason)
        count_for_context(side->batch->checker, reason, 1);
    side->result->first_refused = side->index;
    side->result->reason = reason;
    return false;
}

/* The element is moved whole: as for the context, that is one check accepted, however often the element was
 * judged on the way. Now, because what was judged is good for this section only. */
static void count_moved_element(const struct side *side) {
    struct rvt_mr_counters *counters = rvt_mr_counters_of(side->sge.mr);
    if (counters)
        rvt_count_shared(&counters->accepted, 1);
}

/* What was judged is good for one section only. */
static void forget_judgement(struct side *side) {
    side->judged = side->judged && !side->rest.length;
}

/* Begin a section; everything that was judged must be judged again. */
static void renew_section(struct rvt_data_call *call, struct side *a, struct side *b) {
    rvt_data_call_renew(call);
    forget_judgement(a);
    if (b)
        forget_judgement(b);
}

/* Stand on an element with bytes left, judged in this section. False at the end of the list and at a refusal. Begins a
 * new section after many elements without bytes; `other`, the other side of the copy, is told (may be NULL). */
static bool judge_current_element(struct side *side, struct rvt_data_call *call, struct side *other) {
    for (;;) {
        if (side->judged && side->rest.length)
            return true;
        if (side->judged) { /* moved whole */
            side->result->passed++;
            side->index++;
            side->begun = side->judged = false;
        }
        if (side->index == side->batch->count)
            return false;
        if (!rvt_data_call_room(call))
            renew_section(call, side, other);
        if (!side->begun) {
            if (side->index + AHEAD < side->batch->count)
                rvt_prefetch_record(side->batch, side->index + AHEAD);
            side->rest = rvt_unpack(side->batch, side->index);
            side->begun = true;
        }
        struct found found = {0};
        struct access rest = side->rest;
        enum rvt_reason reason = judge_access(&rest, &found);
        if (!reason) {
            fill_sge(&side->sge, &rest, &found);
            side->map = found.dma ? NULL : found.entry.map;
            reason = rvt_judge_rights(side->sge.rights, side->sge.remote, side->write);
        }
        /* Before a byte moves, or anything is counted: alive now is alive when the id was compared, which a
         * successor may have by now. The end of the call answers -EBADF. */
        if (!rvt_checker_live(side->batch->checker))
            return stop_side(side, RVT_REASON_NONE);
        if (reason) {
            count_for_region(&rest, &found, reason);
            return stop_side(side, reason);
        }
        side->judged = true;
        if (!rest.length) {
            count_moved_element(side);
            rvt_data_call_spend(call, 0);
        }
    }
}

/* Where the bytes from `offset` on lie, in what is left of the element; at most `want`. False at a refusal. */
static bool find_bytes_of_element(struct side *side, struct rvt_data_call *call, uint64_t offset, uint64_t want,
                                  unsigned char **data, uint64_t *run) {
    if (want > side->rest.length - offset)
        want = side->rest.length - offset;
    struct rvt_sge sge = side->sge;
    sge.position += offset;
    enum rvt_reason reason = rvt_sge_pointer(call, &sge, side->map, want, data, run);
    if (!reason)
        return true;
    struct rvt_mr_counters *counters = rvt_mr_counters_of(side->sge.mr);
    if (counters)
        rvt_count_shared(&counters->refused, 1);
    return stop_side(side, reason);
}

/* Bytes of the element were moved, whichever. */
static void count_bytes(struct side *side, uint64_t length) {
    side->result->bytes += length;
    rvt_mr_count_bytes(side->sge.mr, length);
}

/* So many of its first bytes are through. Inside the section in which the element was judged. */
static void consume_bytes(struct side *side, uint64_t length) {
    side->rest.addr += length;
    side->rest.length -= (uint32_t)length;
    side->sge.position += length;
    if (!side->rest.length)
        count_moved_element(side);
}

/* What a copy between sections did: elements moved whole are checks accepted. */
static void count_copy(const struct rvt_batch *batch, const struct rvt_batch_result *result, uint64_t bytes) {
    struct rvt_ucontext *context = batch->checker->context;
    count_for_context(batch->checker, RVT_REASON_NONE, result->passed);
    if (context)
        rvt_count(&context->counters.bytes, bytes);
}

/* --- elements in one piece, several at a time --- */

enum { WINDOW = 16 };

struct piece {
    unsigned char *region;
    uint32_t length;
};

/* Where a plain element's bytes lie: named by a key, not empty, accepted with the rights for this, and of
 * user memory, which is one piece whatever its pages. NULL for any other: it takes the long way, which also
 * knows the reasons. */
static unsigned char *find_plain_piece(struct rvt_data_call *call, const struct access *access, bool write) {
    const struct rvt_checker *checker = access->checker;
    const struct rvt_lkey_table *table = &checker->device->lkey_table;
    struct rvt_lkey_entry entry;
    if (!access->key || !access->length)
        return NULL;
    rvt_record_read(table, rvt_lkey_record(table, access->key), access->key, &entry);
    if (entry.key != access->key || entry.pd != checker->pd)
        return NULL;
    uint64_t origin = checker->remote ? entry.iova : entry.base;
    if (!record_grants(rvt_record_rights(entry.access, entry.shape), origin, entry.length, access->addr,
                       access->length, acc_and_plain(access->acc), checker->remote))
        return NULL;
    if (rvt_judge_rights(entry.access & access->acc, checker->remote, write))
        return NULL;
    struct rvt_memory *memory = entry.map->memory;
    unsigned char *data;
    uint64_t into = access->addr - origin;
    if (!memory || into >= memory->length || access->length > memory->length - into ||
        rvt_data_call_resolve(call, memory, &data))
        return NULL;
    return data + into;
}

/* Find the next plain elements, at most WINDOW and `room` bytes. All are found before the first is moved, so
 * that the first lines of their bytes are on their way together. Returns how many. */
static uint32_t find_pieces(struct rvt_data_call *call, const struct rvt_batch *batch, uint32_t from,
                            uint64_t room, bool write, struct piece *pieces) {
    uint32_t found = 0;
    for (; found < WINDOW && from + found < batch->count; found++) {
        uint32_t i = from + found;
        if (i + AHEAD < batch->count)
            rvt_prefetch_record(batch, i + AHEAD);
        struct access access = rvt_unpack(batch, i);
        unsigned char *region = access.length <= room ? find_plain_piece(call, &access, write) : NULL;
        if (!region)
            break;
        __builtin_prefetch(region);
        __builtin_prefetch(region + access.length - 1);
        pieces[found] = (struct piece){region, access.length};
        room -= access.length;
    }
    return found;
}

static void move_piece(unsigned char *region, unsigned char *data, uint64_t length, bool write) {
    if (write)
        memmove(region, data, length); /* the two may be the same buffer */
    else
        memmove(data, region, length);
}

/* --- elements one at a time --- */

/* Move `length` bytes between the element and `data`, last byte first: the two overlap so that the other way would
 * destroy what is still to be moved. False at a refusal. */
static bool move_backwards(struct rvt_data_call *call, struct side *side, unsigned char *data, uint64_t length,
                           bool write) {
    for (uint64_t left = length; left;) {
        uint64_t step = left < RVT_SECTION_BYTES ? left : RVT_SECTION_BYTES, run;
        unsigned char *region;
        renew_section(call, side, NULL);
        if (!judge_current_element(side, call, NULL) ||
            !find_bytes_of_element(side, call, left - step, step, &region, &run))
            return false;
        if (run < step) /* it was one piece when this began: another thread has mapped the region anew */
            return stop_side(side, RVT_REMAPPED);
        move_piece(region, data + (left - step), step, write);
        count_bytes(side, step);
        left -= step;
    }
    consume_bytes(side, length);
    return true;
}

/* Move the next bytes of the element, as many as one section may; all of an element that fits into one. False at a
 * refusal. *moved bytes are through. */
static bool move_element(struct rvt_data_call *call, struct side *side, unsigned char *data, bool write,
                         uint64_t *moved) {
    unsigned char *region;
    uint64_t rest = side->rest.length, room = rvt_data_call_room(call), run;
    if (rest > room && room < RVT_SECTION_BYTES) {
        renew_section(call, side, NULL);
        if (!judge_current_element(side, call, NULL))
            return false;
        room = RVT_SECTION_BYTES;
    }
    if (!find_bytes_of_element(side, call, 0, rest, &region, &run))
        return false;
    if (run > room && rvt_overlaps_forwards(write ? data : region, write ? region : data, run)) {
        *moved = run;
        return move_backwards(call, side, data, run, write);
    }
    if (run > room)
        run = room;
    move_piece(region, data, run, write);
    count_bytes(side, run);
    consume_bytes(side, run);
    rvt_data_call_spend(call, run);
    *moved = run;
    return true;
}

/* Between a list and a buffer. */
static int copy_buffer(struct rvt_data_call *call, const struct rvt_batch *batch, unsigned char *data,
                       uint64_t length, bool write, struct rvt_batch_result *result) {
    struct side side;
    struct piece pieces[WINDOW];
    rvt_data_call_enter(call, &batch->checker->device->retirement);
    begin_side(&side, batch, result, write);
    for (;;) {
        if (!side.begun || (side.judged && !side.rest.length)) {
            if (side.begun) { /* the last element of the long way is through */
                side.result->passed++;
                side.index++;
                side.begun = side.judged = false;
            }
            uint64_t room = rvt_data_call_room(call);
            uint32_t found =
                find_pieces(call, batch, side.index, length < room ? length : room, write, pieces);
            /* As in judge_current_element(): before a byte moves. */
            if (found && !rvt_checker_live(batch->checker))
                break;
            for (uint32_t i = 0; i < found; i++) {
                move_piece(pieces[i].region, data, pieces[i].length, write);
                data += pieces[i].length;
                length -= pieces[i].length;
                result->bytes += pieces[i].length;
                rvt_data_call_spend(call, pieces[i].length);
            }
            side.index += found;
            result->passed += found;
            if (found == WINDOW && rvt_data_call_room(call))
                continue;
        }
        if (!rvt_data_call_room(call)) {
            renew_section(call, &side, NULL);
            continue; /* the next elements may be plain ones again */
        }
        if (!judge_current_element(&side, call, NULL))
            break;
        /* An element of its own, not begun: it must fit whole when gathering. */
        if (side.rest.length > length) {
            stop_side(&side, RVT_REASON_NONE);
            break;
        }
        uint64_t moved;
        if (!move_element(call, &side, data, write, &moved))
            break;
        data += moved;
        length -= moved;
    }
    count_copy(batch, result, result->bytes);
    bool live = rvt_checker_live(batch->checker);
    rvt_data_call_leave(call);
    return live ? 0 : -RVT_EBADF;
}

int rvt_gather_batch(struct rvt_data_call *call, const struct rvt_batch *batch, void *data, uint64_t length,
                     struct rvt_batch_result *result) {
    return copy_buffer(call, batch, data, length, false, result);
}

int rvt_scatter_batch(struct rvt_data_call *call, const struct rvt_batch *batch, const void *data,
                      uint64_t length, struct rvt_batch_result *result) {
    return copy_buffer(call, batch, (unsigned char *)data, length, true, result);
}

/* Both sides stand on an element with bytes left, judged in one section. False at the end of a list, and at a
 * refusal. */
static bool judge_both(struct rvt_data_call *call, struct side *from, struct side *to) {
    do {
        if (!judge_current_element(from, call, to) || !judge_current_element(to, call, from))
            return false;
    } while (!from->judged); /* the other side has begun a new section */
    return true;
}

/* Move the first `length` bytes of both elements, last byte first; as move_backwards(). */
static bool move_both_backwards(struct rvt_data_call *call, struct side *from, struct side *to, uint64_t length) {
    for (uint64_t left = length; left;) {
        uint64_t step = left < RVT_SECTION_BYTES ? left : RVT_SECTION_BYTES, run, room;
        unsigned char *source, *target;
        renew_section(call, from, to);
        if (!judge_both(call, from, to))
            return false;
        if (!find_bytes_of_element(from, call, left - step, step, &source, &run) ||
            !find_bytes_of_element(to, call, left - step, step, &target, &room))
            return false;
        if (run < step || room < step) /* as in move_backwards() */
            return stop_side(run < step ? from : to, RVT_REMAPPED);
        memmove(target, source, step);
        count_bytes(from, step);
        count_bytes(to, step);
        left -= step;
    }
    consume_bytes(from, length);
    consume_bytes(to, length);
    return true;
}

/* Move the next bytes of both elements, as many as one section may. False at a refusal. */
static bool move_both(struct rvt_data_call *call, struct side *from, struct side *to) {
    unsigned char *source, *target;
    uint64_t run, other;
    if (!find_bytes_of_element(from, call, 0, UINT64_MAX, &source, &run) ||
        !find_bytes_of_element(to, call, 0, run, &target, &other))
        return false;
    if (run > other)
        run = other;
    uint64_t room = rvt_data_call_room(call);
    /* Also what would fit into a section of its own: in two steps it would be destroyed as well. */
    if (run > room && rvt_overlaps_forwards(source, target, run))
        return move_both_backwards(call, from, to, run);
    if (run > room)
        run = room;
    memmove(target, source, run);
    count_bytes(from, run);
    count_bytes(to, run);
    consume_bytes(from, run);
    consume_bytes(to, run);
    rvt_data_call_spend(call, run);
    return true;
}

int rvt_copy_batch(struct rvt_data_call *call, const struct rvt_batch *from_batch,
                   const struct rvt_batch *to_batch, struct rvt_batch_result *from_result,
                   struct rvt_batch_result *to_result) {
    struct side from, to;
    struct rvt_dev_info *device = from_batch->checker->device;
    bool one_device = device == to_batch->checker->device;
    rvt_data_call_enter(call, one_device ? &device->retirement : &rvt_every_device);
    begin_side(&from, from_batch, from_result, false);
    begin_side(&to, to_batch, to_result, true);
    /* Both sides before anything of either is counted. */
    bool live = rvt_checker_live(from_batch->checker) && rvt_checker_live(to_batch->checker);
    while (live && judge_both(call, &from, &to) && move_both(call, &from, &to))
        if (!rvt_data_call_room(call))
            renew_section(call, &from, &to);
    /* An element that the last byte completed is moved whole, also when the other side ended the copy. The
     * one after it is not looked at: nothing is left to move. */
    if (to.judged && !to.rest.length)
        to_result->passed++;
    count_copy(from_batch, from_result, from_result->bytes);
    count_copy(to_batch, to_result, 0); /* the same bytes */
    /* Again: either may have been closed in the middle. */
    live = live && rvt_checker_live(from_batch->checker) && rvt_checker_live(to_batch->checker);
    rvt_data_call_leave(call);
    if (!one_device) { /* the section of all devices frees nothing */
        rvt_reclaim(&device->retirement);
        rvt_reclaim(&to_batch->checker->device->retirement);
    }
    return live ? 0 : -RVT_EBADF;
}
