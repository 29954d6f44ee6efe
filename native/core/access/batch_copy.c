/* SPDX-License-Identifier: BSD-3-Clause */
/* rvt_gather_batch and rvt_scatter_batch: copies between the elements of a batch and one buffer. */
#include <string.h>

#include "core/access/batch.h"
#include "core/access/batch_side.h"
#include "core/access/check.h"
#include "core/access/judge.h"
#include "core/access/packed_sge.h"
#include "core/access/sge_copy.h"
#include "core/base/rvt_errno.h"
#include "core/objects/lkey_table.h"
#include "core/objects/region.h"

/* --- fast path: plain elements, up to WINDOW at a time --- */

enum { WINDOW = 16 };

struct piece {
    unsigned char *region;
    uint32_t length;
};

/* Returns the address of a plain element's bytes. An element is plain if it is named by a key, not empty,
 * accepted with the rights that the copy needs, and in user memory (which is contiguous whatever its page
 * size) of a region without counters. Returns NULL for any other element: the slow path handles it and finds
 * the reason of a refusal. */
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

/* Finds the next plain elements, at most WINDOW of them and `room` bytes in total, and returns how many.
 * Finding all of them before moving the first lets the cache misses on their bytes overlap. */
static uint32_t find_pieces(struct rvt_data_call *call, const struct rvt_batch *batch, uint32_t from,
                            uint64_t room, bool write, struct piece *pieces) {
    uint32_t found = 0;
    for (; found < WINDOW && from + found < batch->count; found++) {
        uint32_t i = from + found;
        if (i + RVT_COPY_AHEAD < batch->count)
            rvt_prefetch_record(batch, i + RVT_COPY_AHEAD);
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
        memmove(region, data, length); /* memmove, because source and target may overlap */
    else
        memmove(data, region, length);
}

/* --- slow path: one element at a time --- */

/* Moves `length` bytes between the current element and `data`, last bytes first. Needed when the two overlap
 * so that copying forwards in steps would overwrite source bytes before they are read. Returns false if
 * refused. */
static bool move_backwards(struct rvt_data_call *call, struct rvt_copy_side *side, unsigned char *data,
                           uint64_t length, bool write) {
    for (uint64_t left = length; left;) {
        uint64_t step = left < RVT_SECTION_BYTES ? left : RVT_SECTION_BYTES, run;
        unsigned char *region;
        rvt_renew_section(call, side, NULL);
        if (!rvt_judge_current_element(side, call, NULL) ||
            !rvt_find_bytes_of_element(side, call, left - step, step, &region, &run))
            return false;
        if (run < step) /* the range was contiguous at the start: the region was remapped */
            return rvt_stop_side(side, RVT_REMAPPED);
        move_piece(region, data + (left - step), step, write);
        rvt_count_bytes(side, step);
        left -= step;
    }
    rvt_consume_bytes(side, length);
    return true;
}

/* Moves the next bytes of the current element, as many as one section may move: the whole element if it fits
 * into one section. *moved is the number of bytes moved. Returns false if refused. */
static bool move_element(struct rvt_data_call *call, struct rvt_copy_side *side, unsigned char *data,
                         bool write, uint64_t *moved) {
    unsigned char *region;
    uint64_t rest = side->rest.length, room = rvt_data_call_room(call), run;
    if (rest > room && room < RVT_SECTION_BYTES) {
        rvt_renew_section(call, side, NULL);
        if (!rvt_judge_current_element(side, call, NULL))
            return false;
        room = RVT_SECTION_BYTES;
    }
    if (!rvt_find_bytes_of_element(side, call, 0, rest, &region, &run))
        return false;
    if (run > room && rvt_overlaps_forwards(write ? data : region, write ? region : data, run)) {
        *moved = run;
        return move_backwards(call, side, data, run, write);
    }
    if (run > room)
        run = room;
    move_piece(region, data, run, write);
    rvt_count_bytes(side, run);
    rvt_consume_bytes(side, run);
    rvt_data_call_spend(call, run);
    *moved = run;
    return true;
}

/* For a copy with `all`: judges the whole list and returns whether the copy may begin. */
static __attribute__((noinline)) bool judge_all(struct rvt_data_call *call, const struct rvt_batch *batch,
                                                uint64_t length, bool write,
                                                struct rvt_batch_result *result) {
    struct rvt_copy_side side;
    uint64_t bytes;
    if (!rvt_begin_side(&side, batch, result, write) || !rvt_judge_list(&side, call, &bytes))
        return false;
    result->list_bytes = bytes;
    result->other_bytes = length;
    /* Start the copy in a new section, because judging may have used up this one. */
    rvt_data_call_renew(call);
    return write ? bytes == length : bytes <= length;
}

/* Copies between the elements of a batch and `data`; `write` copies into the elements. */
static int copy_buffer(struct rvt_data_call *call, const struct rvt_batch *batch, unsigned char *data,
                       uint64_t length, bool write, struct rvt_batch_result *result) {
    struct rvt_copy_side side;
    struct piece pieces[WINDOW];
    rvt_data_call_enter(call, &batch->checker->device->retirement);
    if (batch->all && !judge_all(call, batch, length, write, result)) {
        rvt_data_call_leave(call);
        return 0;
    }
    uint64_t list_bytes = batch->all ? result->list_bytes : 0, other_bytes = batch->all ? length : 0;
    bool live = rvt_begin_side(&side, batch, result, write);
    result->list_bytes = list_bytes;
    result->other_bytes = other_bytes;
    while (live) {
        if (!side.begun || (side.judged && !side.rest.length)) {
            if (side.begun) { /* the slow path has finished its last element */
                side.result->passed++;
                side.index++;
                side.begun = side.judged = false;
            }
            uint64_t room = rvt_data_call_room(call);
            uint32_t found =
                find_pieces(call, batch, side.index, length < room ? length : room, write, pieces);
            /* Check liveness before a byte moves, as rvt_judge_current_element() does. */
            if (found && !rvt_checker_live(batch->checker)) {
                rvt_stop_side(&side, RVT_CLOSED);
                break;
            }
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
            rvt_renew_section(call, &side, NULL);
            continue; /* the next elements may be plain: try the fast path again */
        }
        if (!rvt_judge_current_element(&side, call, NULL))
            break;
        /* A new element must fit into the rest of the buffer completely. */
        if (side.rest.length > length) {
            rvt_stop_side(&side, RVT_REASON_NONE);
            break;
        }
        uint64_t moved;
        if (!move_element(call, &side, data, write, &moved))
            break;
        data += moved;
        length -= moved;
    }
    rvt_count_copy(batch, result, result->bytes);
    rvt_data_call_leave(call);
    return 0;
}

int rvt_gather_batch(struct rvt_data_call *call, const struct rvt_batch *batch, void *data, uint64_t length,
                     struct rvt_batch_result *result) {
    return copy_buffer(call, batch, data, length, false, result);
}

int rvt_scatter_batch(struct rvt_data_call *call, const struct rvt_batch *batch, const void *data,
                      uint64_t length, struct rvt_batch_result *result) {
    return copy_buffer(call, batch, (unsigned char *)data, length, true, result);
}
