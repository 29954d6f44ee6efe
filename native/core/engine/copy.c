/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/copy.h"

#include <string.h>

#include "core/access/sge_copy.h"
#include "core/base/alloc.h"
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"

enum { ATOMIC_BYTES = 8 };

/* One side of a copy: a position in a list of elements. */
struct side {
    const struct rvt_elements *elements;
    uint32_t index;     /* of the current element */
    struct rvt_sge sge; /* a copy of it, at the current position */
    uint64_t section;   /* of a remote access: the section in which `sge` was judged */
};

static void begin_side(struct side *side, const struct rvt_elements *elements) {
    side->elements = elements;
    side->index = 0;
    side->section = elements->remote ? elements->remote->section : 0;
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

/* Counts `bytes` bytes copied, and a refusal unless `refused` is NULL. */
static void count_copy(struct rvt_engine *engine, uint64_t bytes, const struct rvt_refused_access *refused) {
    struct rvt_counters *counters = &engine->context->counters;
    rvt_count(&counters->bytes, bytes);
    if (refused)
        rvt_count(&counters->refused[refused->reason], 1);
}

static struct rvt_refused_access refused_remote(const struct rvt_engine_qp *qp,
                                                const struct rvt_remote_access *access,
                                                enum rvt_reason reason) {
    return (struct rvt_refused_access){
        .judge = qp->serial,
        .addr = access->asked.addr,
        .length = access->asked.length,
        .key = access->asked.lkey,
        .access = access->right,
        .reason = reason,
    };
}

static bool accept_remote(struct rvt_engine_qp *qp, struct rvt_remote_access *access, bool again,
                          struct rvt_refused_access *refused) {
    enum rvt_reason reason;
    /* The copy that follows accounts for the work. */
    (void)rvt_engine_enter_for(qp->engine, access->asked.length);
    access->section = qp->engine->section;
    if (rvt_view_one(&qp->remote, &access->asked, access->right, again, &access->sge, &reason))
        return true;
    *refused = refused_remote(qp, access, reason);
    return false;
}

bool rvt_accept_remote(struct rvt_engine_qp *qp, struct rvt_remote_access *access,
                       struct rvt_refused_access *refused) {
    return accept_remote(qp, access, false, refused);
}

bool rvt_accept_remote_again(struct rvt_engine_qp *qp, struct rvt_remote_access *access,
                             struct rvt_refused_access *refused) {
    if (accept_remote(qp, access, true, refused))
        return true;
    count_copy(qp->engine, 0, refused);
    return false;
}

/* Judges the rest of a remote access again if the section in which it was judged has ended. Returns false and
 * fills *refused if it is refused now. */
static bool is_still_accepted(struct side *side, struct rvt_refused_access *refused) {
    const struct rvt_remote_access *access = side->elements->remote;
    struct rvt_engine_qp *qp = side->elements->qp;
    if (!access || side->section == qp->engine->section)
        return true;
    const uint32_t done = access->asked.length - side->sge.sge_length;
    const struct rvt_ib_sge rest = {access->asked.addr + done, side->sge.sge_length, access->asked.lkey};
    enum rvt_reason reason;
    side->section = qp->engine->section;
    if (rvt_view_one(&qp->remote, &rest, access->right, true, &side->sge, &reason))
        return true;
    *refused = refused_remote(qp, access, reason);
    return false;
}

/* Finds the bytes at the side's position: up to `want` bytes in one piece. The caller must be in a section.
 * The element was accepted with the rights that its use needs, so they are not judged again. Returns false
 * and fills *refused if the bytes cannot be used. */
static bool find_bytes(struct rvt_data_call *call, struct side *side, uint64_t want, unsigned char **data,
                       uint64_t *run, struct rvt_refused_access *refused) {
    const struct rvt_sge *sge = &side->sge;
    struct rvt_map *map;
    if (!is_still_accepted(side, refused))
        return false;
    if (want > sge->sge_length)
        want = sge->sge_length;
    enum rvt_reason reason = rvt_sge_usable(sge, &map);
    if (!reason)
        reason = rvt_sge_pointer(call, sge, map, want, data, run);
    if (!reason)
        return true;
    if (side->elements->remote) {
        *refused = refused_remote(side->elements->qp, side->elements->remote, reason);
        return false;
    }
    *refused = (struct rvt_refused_access){
        .addr = sge->request,
        .length = side->elements->sges[side->index].sge_length,
        .key = sge->mr && !rvt_sge_key_zero(sge) ? rvt_mr_key(sge->mr) : 0,
        .access = sge->rights,
        .reason = reason,
    };
    return false;
}

/* Returns the first byte of an element in user memory, which lies in one piece. Returns NULL if it is not in user
 * memory or cannot be used: the caller must then call find_bytes(). */
static inline unsigned char *user_bytes(struct rvt_data_call *call, const struct rvt_sge *sge,
                                        uint64_t length) {
    const struct rvt_mregion *mr = sge->mr;
    if (!sge->user || !mr || (atomic_load_explicit(&mr->word, memory_order_acquire) & RVT_MR_FORCED) ||
        atomic_load_explicit(&mr->map, memory_order_acquire) != &mr->extent)
        return NULL;
    struct rvt_memory *memory = mr->extent.memory;
    uint64_t into = sge->position - mr->extent.offset;
    unsigned char *data;
    /* Bounds were judged when the element was accepted, and are judged again where a bug would become a wild
     * write, as in rvt_sge_pointer(). */
    if (into >= memory->length || length > memory->length - into)
        return NULL;
    return rvt_data_call_resolve(call, memory, &data) ? NULL : data + into;
}

bool rvt_can_read_bytes(const struct rvt_elements *elements, struct rvt_refused_access *refused) {
    struct side side;
    bool can = true;
    if (!elements->count)
        return true;
    struct rvt_data_call *call = rvt_engine_enter(elements->qp->engine);
    /* The first byte of each element stands for all: an element lies in one memory, except over a page list,
     * whose later pages are judged when the copy reaches them. */
    for (uint32_t i = 0; can && i < elements->count; i++) {
        unsigned char *data;
        uint64_t run;
        if (user_bytes(call, &elements->sges[i], 1))
            continue;
        side = (struct side){.elements = elements, .index = i, .sge = elements->sges[i]};
        can = find_bytes(call, &side, 1, &data, &run, refused);
    }
    rvt_data_call_spend(call, 0);
    if (!can)
        count_copy(elements->qp->engine, 0, refused);
    return can;
}

/* One copy. Either side can be the buffer instead of a list of elements. */
struct copy {
    struct rvt_engine *engine;
    const struct rvt_engine_qp *from, *to;
    uint64_t from_epoch, to_epoch;
    struct side *source, *target; /* NULL: the buffer */
    unsigned char *buffer;
};

/* Copies `length` bytes from the position of the source to that of the target, in steps. Adds the bytes copied to
 * *copied. */
static enum rvt_moved copy_in_steps(const struct copy *copy, uint64_t length, uint64_t *copied,
                                    struct rvt_refused_access *refused) {
    struct rvt_engine *engine = copy->engine;
    struct side *source = copy->source, *target = copy->target;
    unsigned char *buffer = copy->buffer;
    enum rvt_moved moved = RVT_MOVED;
    struct rvt_data_call *call = rvt_engine_enter(engine);
    while (length) {
        unsigned char *bytes = buffer, *room = buffer;
        uint64_t run = length, fits;
        if (source && !find_bytes(call, source, length, &bytes, &run, refused)) {
            moved = RVT_MOVE_REFUSED_FROM;
            break;
        }
        fits = run;
        if (target && !find_bytes(call, target, run, &room, &fits, refused)) {
            moved = RVT_MOVE_REFUSED_TO;
            break;
        }
        uint64_t step = run < fits ? run : fits, left = rvt_data_call_room(call);
        if (step > left)
            step = left;
        memmove(room, bytes, step);
        if (source) {
            rvt_mr_count_bytes(source->sge.mr, step);
            advance(source, step);
        }
        if (target) {
            rvt_mr_count_bytes(target->sge.mr, step);
            advance(target, step);
        }
        if (buffer)
            buffer += step;
        rvt_data_call_spend(call, step);
        length -= step;
        *copied += step;
        if (length && !rvt_data_call_room(call)) {
            rvt_engine_leave(engine);
            (void)rvt_engine_yield(engine);
            if (copy->from->epoch != copy->from_epoch || copy->to->epoch != copy->to_epoch)
                return RVT_MOVE_STOPPED;
            call = rvt_engine_enter(engine);
        }
    }
    return moved;
}

/* The addresses between which the pieces of a side lie. */
struct span {
    uintptr_t first, end;
    bool in_one_piece;
};

/* Finds where the next `length` bytes of a side lie. Returns false if some cannot be used; the copy then finds out
 * why. */
static bool find_span(struct rvt_engine *engine, struct side side, uint64_t length, struct span *span) {
    struct rvt_refused_access ignored;
    bool found = true;
    *span = (struct span){UINTPTR_MAX, 0, true};
    for (uint64_t left = length; left && found;) {
        unsigned char *data;
        uint64_t run;
        found = find_bytes(rvt_engine_enter(engine), &side, left, &data, &run, &ignored);
        if (!found)
            break;
        span->in_one_piece = run == length;
        if ((uintptr_t)data < span->first)
            span->first = (uintptr_t)data;
        if ((uintptr_t)data + run > span->end)
            span->end = (uintptr_t)data + run;
        advance(&side, run);
        left -= run;
        rvt_data_call_spend(&engine->call, 0);
    }
    return found;
}

/* Returns whether the copy can overwrite bytes of the source before it has read them: the two sides overlap, and the
 * copy is not a single memmove(). */
static bool may_overwrite_source(const struct copy *copy, uint64_t length) {
    struct span source, target;
    if (!find_span(copy->engine, *copy->source, length, &source) ||
        !find_span(copy->engine, *copy->target, length, &target))
        return false;
    if (source.first >= target.end || target.first >= source.end)
        return false;
    return !source.in_one_piece || !target.in_one_piece || length > RVT_SECTION_BYTES;
}

/* Begins to load the bytes that the requester's next work request will copy, if it uses the same regions as this one.
 * They arrive while this one is copied. `local` and `remote`: where the bytes of this one are. A prefetch never
 * faults, so nothing is judged. */
static void prefetch_next(const struct rvt_elements *mine, const unsigned char *local,
                          const struct rvt_remote_access *access, const unsigned char *remote,
                          uint64_t length) {
    enum { MOST = 4 * RVT_CACHE_LINE }; /* the processor goes on by itself */
    const struct rvt_send_queue *sq = &mine->qp->sq;
    if (sq->count < 2)
        return;
    if (sq->count > 2) /* so that the next call finds its slot in the cache */
        for (size_t at = 0; at < sizeof(struct rvt_swqe) + sizeof(struct rvt_sge); at += RVT_CACHE_LINE)
            __builtin_prefetch((const char *)rvt_sq_at(sq, 2) + at, 1);
    const struct rvt_swqe *next = rvt_sq_at(sq, 1);
    if (!next->num_sge || next->sges[0].mr != mine->sges[0].mr || next->rkey != access->asked.lkey)
        return;
    const uintptr_t from = (uintptr_t)local + (uintptr_t)(next->sges[0].position - mine->sges[0].position);
    const uintptr_t to = (uintptr_t)remote + (uintptr_t)(next->remote_addr - access->asked.addr);
    for (uint64_t at = 0; at < length && at < MOST; at += RVT_CACHE_LINE) {
        __builtin_prefetch((const void *)(from + at));
        __builtin_prefetch((const void *)(to + at), 1);
    }
}

/* Copies the bytes if each side is a single piece of user memory: the common case. One memmove() copies them, which is
 * correct for overlapping sides too. Otherwise does nothing and returns false. */
static bool move_in_one_piece(const struct rvt_elements *from, const struct rvt_elements *to,
                              uint64_t length) {
    struct rvt_engine *engine = from->qp->engine;
    if (!from->count || !to->count || from->sges->sge_length < length || to->sges->sge_length < length)
        return false;
    struct rvt_data_call *call = rvt_engine_enter(engine);
    if (length > rvt_data_call_room(call) || (from->remote && from->remote->section != engine->section) ||
        (to->remote && to->remote->section != engine->section))
        return false;
    const unsigned char *bytes = user_bytes(call, from->sges, length);
    unsigned char *room = user_bytes(call, to->sges, length);
    if (!bytes || !room)
        return false;
    if (to->remote)
        prefetch_next(from, bytes, to->remote, room, length);
    else if (from->remote)
        prefetch_next(to, room, from->remote, bytes, length);
    memmove(room, bytes, length);
    rvt_mr_count_bytes(from->sges->mr, length);
    rvt_mr_count_bytes(to->sges->mr, length);
    rvt_data_call_spend(call, length);
    count_copy(engine, length, NULL);
    return true;
}

/* The largest copy between overlapping elements for which a buffer is allocated. */
static const uint64_t MOST_BUFFERED = UINT64_C(64) << 20;

enum rvt_moved rvt_move_bytes(const struct rvt_elements *from, const struct rvt_elements *to,
                              uint64_t skipped, uint64_t length, struct rvt_refused_access *refused) {
    struct side source, target;
    if (!length || (!skipped && move_in_one_piece(from, to, length)))
        return RVT_MOVED;
    begin_side(&source, from);
    begin_side(&target, to);
    skip(&target, skipped);
    struct copy copy = {
        .engine = from->qp->engine,
        .from = from->qp,
        .to = to->qp,
        .from_epoch = from->qp->epoch,
        .to_epoch = to->qp->epoch,
        .source = &source,
        .target = &target,
    };
    uint64_t copied = 0;
    enum rvt_moved moved;
    /* If the sides overlap, a buffer makes the copy read all of the source first. */
    if (length <= MOST_BUFFERED && may_overwrite_source(&copy, length))
        copy.buffer = rvt_malloc(length);
    if (copy.buffer) {
        uint64_t read = 0;
        copy.target = NULL;
        moved = copy_in_steps(&copy, length, &read, refused);
        copy.target = &target;
        copy.source = NULL;
        if (moved == RVT_MOVED)
            moved = copy_in_steps(&copy, length, &copied, refused);
        rvt_free(copy.buffer);
    } else {
        /* One step only if the section has room for it: a second step could find overwritten bytes. */
        (void)rvt_engine_enter_for(copy.engine, length);
        moved = copy_in_steps(&copy, length, &copied, refused);
    }
    bool failed = moved == RVT_MOVE_REFUSED_FROM || moved == RVT_MOVE_REFUSED_TO;
    count_copy(copy.engine, copied, failed ? refused : NULL);
    return moved;
}

/* Copies between a buffer and a single piece of user memory: the common case. Returns false, with nothing done, if it
 * is not one. */
static bool move_piece_at_once(const struct rvt_elements *elements, uint64_t skipped, unsigned char *to,
                               const unsigned char *from, uint32_t length) {
    struct rvt_engine *engine = elements->qp->engine;
    if (!elements->count || skipped + length > elements->sges->sge_length)
        return false;
    struct rvt_data_call *call = rvt_engine_enter_for(engine, length);
    if (elements->remote && elements->remote->section != engine->section)
        return false;
    unsigned char *bytes = user_bytes(call, elements->sges, skipped + length);
    if (!bytes)
        return false;
    if (to)
        memcpy(to, bytes + skipped, length);
    else
        memcpy(bytes + skipped, from, length);
    rvt_mr_count_bytes(elements->sges->mr, length);
    rvt_data_call_spend(call, length);
    return true;
}

bool rvt_move_piece(const struct rvt_elements *elements, uint64_t skipped, unsigned char *to,
                    const unsigned char *from, uint32_t length, struct rvt_refused_access *refused) {
    struct rvt_engine *engine = elements->qp->engine;
    struct side side;
    uint32_t copied = 0;
    bool moved = true;
    if (!length || move_piece_at_once(elements, skipped, to, from, length)) {
        count_copy(engine, length, NULL);
        return true;
    }
    struct rvt_data_call *call = rvt_engine_enter_for(engine, length);
    begin_side(&side, elements);
    skip(&side, skipped);
    while (moved && copied < length) {
        unsigned char *bytes;
        uint64_t run;
        moved = find_bytes(call, &side, length - copied, &bytes, &run, refused);
        if (!moved)
            break;
        if (to)
            memcpy(to + copied, bytes, run);
        else
            memcpy(bytes, from + copied, run);
        rvt_mr_count_bytes(side.sge.mr, run);
        advance(&side, run);
        rvt_data_call_spend(call, run);
        copied += (uint32_t)run;
    }
    count_copy(engine, copied, moved ? NULL : refused);
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
    begin_side(&side, elements);
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
static uint64_t apply(const struct word *word, uint32_t opcode, uint64_t compare_add, uint64_t new_value) {
    const bool swap = opcode == RVT_WR_ATOMIC_CMP_AND_SWP;
    uint64_t old = 0;
    if (word->pieces == 1 && !((uintptr_t)word->piece[0] % ATOMIC_BYTES)) {
        _Atomic(uint64_t) *memory = (_Atomic(uint64_t) *)(void *)word->piece[0];
        if (!swap)
            return atomic_fetch_add(memory, compare_add);
        old = compare_add; /* unchanged if it is equal, otherwise overwritten with the value found */
        atomic_compare_exchange_strong(memory, &old, new_value);
        return old;
    }
    read_word(word, &old);
    if (!swap)
        write_word(word, old + compare_add);
    else if (old == compare_add)
        write_word(word, new_value);
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
        write_word(&here, apply(&there, wqe->opcode, wqe->compare_add, wqe->swap));
    rvt_data_call_spend(call, 0);
    count_copy(word->qp->engine, 0, moved == RVT_MOVED ? NULL : refused);
    return moved;
}

bool rvt_apply_atomic_to(const struct rvt_elements *elements, uint32_t opcode, uint64_t compare_add,
                         uint64_t swap, uint64_t *old, struct rvt_refused_access *refused) {
    struct word word;
    struct rvt_data_call *call = rvt_engine_enter(elements->qp->engine);
    const bool found = find_word(call, elements, &word, refused);
    if (found)
        *old = apply(&word, opcode, compare_add, swap);
    rvt_data_call_spend(call, 0);
    count_copy(elements->qp->engine, 0, found ? NULL : refused);
    return found;
}
