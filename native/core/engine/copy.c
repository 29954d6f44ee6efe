/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/copy.h"

#include <string.h>

#include "core/access/sge_copy.h"
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"

enum { ATOMIC_BYTES = 8 };

/* One side of a copy: a position in a list of elements. */
struct side {
    const struct rvt_elements *elements;
    uint32_t index;     /* of the current element */
    struct rvt_sge sge; /* a copy of it, at the current position */
    bool write;
};

static void begin_side(struct side *side, const struct rvt_elements *elements, bool write) {
    side->elements = elements;
    side->index = 0;
    side->write = write;
    if (elements->count)
        side->sge = elements->sges[0];
}

/* Advances within the current element, and to the next one at its end. Elements are not empty. */
static void advance(struct side *side, uint64_t bytes) {
    struct rvt_sge *sge = &side->sge;
    sge->position += bytes;
    sge->sge_length -= (uint32_t)bytes;
    if (!sge->sge_length && ++side->index < side->elements->count)
        *sge = side->elements->sges[side->index];
}

static void skip(struct side *side, uint64_t bytes) {
    while (bytes) {
        uint64_t step = side->sge.sge_length < bytes ? side->sge.sge_length : bytes;
        advance(side, step);
        bytes -= step;
    }
}

/* Finds the bytes at the side's position: up to `want` bytes in one piece. The caller must be in a section.
 * The element was accepted with the rights that its use needs, so they are not judged again. Returns false
 * and fills *refused if the bytes cannot be used. */
static bool find_bytes(struct rvt_data_call *call, const struct side *side, uint64_t want,
                       unsigned char **data, uint64_t *run, struct rvt_refused_access *refused) {
    const struct rvt_sge *sge = &side->sge;
    struct rvt_map *map;
    if (want > sge->sge_length)
        want = sge->sge_length;
    enum rvt_reason reason = rvt_sge_usable(sge, &map);
    if (!reason)
        reason = rvt_sge_pointer(call, sge, map, want, data, run);
    if (!reason)
        return true;
    *refused = (struct rvt_refused_access){
        .judge = sge->remote ? side->elements->qp->serial : 0,
        .addr = sge->request,
        .length = side->elements->sges[side->index].sge_length,
        .key = sge->mr && !rvt_sge_key_zero(sge) ? rvt_mr_key(sge->mr) : 0,
        .access = rvt_rights_wanted(side->write),
        .reason = reason,
    };
    return false;
}

bool rvt_can_move_bytes(const struct rvt_elements *elements, bool write, struct rvt_refused_access *refused) {
    struct side side;
    bool can = true;
    if (!elements->count)
        return true;
    struct rvt_data_call *call = rvt_engine_enter(elements->qp->engine);
    /* The first byte of each element stands for all: an element lies in one memory, except over a page list,
     * whose later pages are judged when the copy reaches them. */
    for (begin_side(&side, elements, write); can && side.index < elements->count;
         advance(&side, side.sge.sge_length)) {
        unsigned char *data;
        uint64_t run;
        can = find_bytes(call, &side, 1, &data, &run, refused);
    }
    rvt_data_call_spend(call, 0);
    if (!can)
        rvt_data_call_count(call, 0, (enum rvt_reason)refused->reason);
    return can;
}

enum rvt_moved rvt_move_bytes(const struct rvt_elements *from, const struct rvt_elements *to,
                              uint64_t skipped, uint64_t length, struct rvt_refused_access *refused) {
    struct rvt_engine *engine = from->qp->engine;
    const uint64_t from_epoch = from->qp->epoch, to_epoch = to->qp->epoch;
    struct side source, target;
    enum rvt_moved moved = RVT_MOVED;
    const uint64_t wanted = length;
    if (!length)
        return RVT_MOVED;
    begin_side(&source, from, false);
    begin_side(&target, to, true);
    skip(&target, skipped);
    struct rvt_data_call *call = rvt_engine_enter(engine);
    while (length) {
        unsigned char *bytes, *room;
        uint64_t run, fits;
        if (!find_bytes(call, &source, length, &bytes, &run, refused)) {
            moved = RVT_MOVE_REFUSED_FROM;
            break;
        }
        if (!find_bytes(call, &target, run, &room, &fits, refused)) {
            moved = RVT_MOVE_REFUSED_TO;
            break;
        }
        uint64_t step = run < fits ? run : fits, left = rvt_data_call_room(call);
        if (step > left)
            step = left;
        memmove(room, bytes, step);
        rvt_mr_count_bytes(source.sge.mr, step);
        rvt_mr_count_bytes(target.sge.mr, step);
        advance(&source, step);
        advance(&target, step);
        rvt_data_call_spend(call, step);
        length -= step;
        if (length && !rvt_data_call_room(call)) {
            rvt_engine_leave(engine);
            (void)rvt_engine_yield(engine);
            call = rvt_engine_enter(engine);
            if (from->qp->epoch != from_epoch || to->qp->epoch != to_epoch) {
                moved = RVT_MOVE_STOPPED;
                break;
            }
        }
    }
    const bool refused_now = moved == RVT_MOVE_REFUSED_FROM || moved == RVT_MOVE_REFUSED_TO;
    rvt_data_call_count(call, wanted - length,
                        refused_now ? (enum rvt_reason)refused->reason : RVT_REASON_NONE);
    return moved;
}

/* Eight bytes, in one piece or several. */
struct word {
    unsigned char *piece[ATOMIC_BYTES];
    uint32_t length[ATOMIC_BYTES], pieces;
};

static bool find_word(struct rvt_data_call *call, const struct rvt_elements *elements, struct word *word,
                      struct rvt_refused_access *refused) {
    struct side side;
    uint32_t found = 0;
    begin_side(&side, elements, true);
    for (word->pieces = 0; found < ATOMIC_BYTES; word->pieces++) {
        unsigned char *data;
        uint64_t run;
        if (!find_bytes(call, &side, ATOMIC_BYTES - found, &data, &run, refused))
            return false;
        word->piece[word->pieces] = data;
        word->length[word->pieces] = (uint32_t)run;
        advance(&side, run);
        found += (uint32_t)run;
    }
    return true;
}

static void read_word(const struct word *word, uint64_t *value) {
    unsigned char *bytes = (unsigned char *)value;
    for (uint32_t i = 0; i < word->pieces; bytes += word->length[i++])
        memcpy(bytes, word->piece[i], word->length[i]);
}

static void write_word(const struct word *word, uint64_t value) {
    const unsigned char *bytes = (const unsigned char *)&value;
    for (uint32_t i = 0; i < word->pieces; bytes += word->length[i++])
        memcpy(word->piece[i], bytes, word->length[i]);
}

/* Carries the operation out and returns the old value. Sequentially consistent, like Atomics of JavaScript. */
static uint64_t apply(const struct word *word, const struct rvt_swqe *wqe) {
    const bool swap = wqe->opcode == RVT_WR_ATOMIC_CMP_AND_SWP;
    uint64_t old;
    if (word->pieces == 1 && !((uintptr_t)word->piece[0] % ATOMIC_BYTES)) {
        _Atomic(uint64_t) *memory = (_Atomic(uint64_t) *)(void *)word->piece[0];
        if (!swap)
            return atomic_fetch_add(memory, wqe->compare_add);
        old = wqe->compare_add; /* unchanged if it is equal, otherwise overwritten with the value found */
        atomic_compare_exchange_strong(memory, &old, wqe->swap);
        return old;
    }
    read_word(word, &old);
    if (!swap)
        write_word(word, old + wqe->compare_add);
    else if (old == wqe->compare_add)
        write_word(word, wqe->swap);
    return old;
}

enum rvt_moved rvt_apply_atomic(const struct rvt_elements *word, const struct rvt_elements *result,
                                const struct rvt_swqe *wqe, struct rvt_refused_access *refused) {
    struct word there, here;
    enum rvt_moved moved = RVT_MOVED;
    struct rvt_data_call *call = rvt_engine_enter(word->qp->engine);
    if (!find_word(call, word, &there, refused))
        moved = RVT_MOVE_REFUSED_FROM;
    else if (!find_word(call, result, &here, refused))
        moved = RVT_MOVE_REFUSED_TO;
    else
        write_word(&here, apply(&there, wqe));
    rvt_data_call_spend(call, 0);
    if (moved != RVT_MOVED)
        rvt_data_call_count(call, 0, (enum rvt_reason)refused->reason);
    return moved;
}
