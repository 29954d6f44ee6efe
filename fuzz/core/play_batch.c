/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations with packed lists of SGEs: batch checks, and copies of lists. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* A packed list as a caller passes it: at any alignment, and ending where its block ends. */
struct packed {
    struct rvt_batch batch;
    unsigned char *block;
};

static struct packed pack(const struct rvt_checker *checker, uint32_t acc, const struct item *items,
                          uint32_t count, uint8_t alignment) {
    struct packed packed = {.block = malloc((size_t)count * sizeof(struct rvt_ib_sge) + alignment % 16 + 1)};
    if (!packed.block)
        abort();
    /* At least one extra byte in front, so that the end of the list is the end of the block. */
    unsigned char *sges = packed.block + alignment % 16 + 1;
    for (uint32_t i = 0; i < count; i++) {
        struct rvt_ib_sge sge = {items[i].address, (uint32_t)items[i].length, items[i].key};
        memcpy(sges + (size_t)i * sizeof(struct rvt_ib_sge), &sge, sizeof(sge));
    }
    packed.batch = (struct rvt_batch){.checker = checker, .sges = sges, .count = count, .acc = acc};
    return packed;
}

static struct request request_of(const struct item *item, const struct asker *asker, uint32_t acc) {
    return (struct request){
        .pd = asker->pd,
        .context = asker->context,
        .remote = asker->checker->remote,
        .addr = item->address,
        .length = (uint32_t)item->length,
        .key = item->key,
        .acc = acc,
    };
}

/* Allocates the columns in the mask, each in its own block. */
static struct rvt_batch_columns new_columns(uint8_t mask, uint32_t count) {
    struct rvt_batch_columns columns = {0};
    size_t n = count;
    columns.verdict = mask & 1 ? malloc(n * sizeof(*columns.verdict)) : NULL;
    columns.region = mask & 2 ? malloc(n * sizeof(*columns.region)) : NULL;
    columns.at = mask & 4 ? malloc(n * sizeof(*columns.at)) : NULL;
    columns.length = mask & 8 ? malloc(n * sizeof(*columns.length)) : NULL;
    columns.segment = mask & 16 ? malloc(n * sizeof(*columns.segment)) : NULL;
    return columns;
}

static void free_columns(struct rvt_batch_columns *columns) {
    free(columns->verdict);
    free(columns->region);
    free(columns->at);
    free(columns->length);
    free(columns->segment);
}

static void check_place(const struct world *w, const struct rvt_batch_columns *columns, uint32_t i,
                        const struct model_sge *s) {
    uint64_t segment = s->mapping == NONE ? s->position >> s->shift : 0;
    if (columns->region)
        EXPECT(w, "region", columns->region[i], w->oracle.regions[s->region].id);
    if (columns->at)
        EXPECT(w, "at", columns->at[i], s->at);
    if (columns->length)
        EXPECT(w, "length", columns->length[i], s->length);
    if (columns->segment)
        EXPECT(w, "segment", columns->segment[i], segment);
}

static void check_result(const struct world *w, const struct rvt_batch_result *is,
                         const struct rvt_batch_result *should) {
    EXPECT(w, "passed", is->passed, should->passed);
    EXPECT(w, "first_refused", is->first_refused, should->first_refused);
    EXPECT(w, "reason", is->reason, should->reason);
    EXPECT(w, "bytes", is->bytes, should->bytes);
}

static void refuse(struct rvt_batch_result *result, uint32_t i, enum rvt_reason reason) {
    if (result->reason)
        return;
    result->reason = reason;
    result->first_refused = i;
}

static void tell(const struct world *w, const struct rvt_batch *batch) {
    world_say(w, " count=%" PRIu32 " acc=%" PRIu32 " pd=%" PRIu32 " remote=%d", batch->count, batch->acc,
              batch->checker->pd, batch->checker->remote);
    for (uint32_t i = 0; i < batch->count; i++)
        world_say(w, " [0x%" PRIx64 " 0x%" PRIx32 " 0x%" PRIx32 "]", w->items[i].address,
                  (uint32_t)w->items[i].length, w->items[i].key);
}

/* Checks the result of a batch whose domain or queue pair is closed. */
static void check_closed(struct world *w, const struct asker *asker, const struct rvt_batch_columns *columns,
                         uint32_t count, const struct rvt_batch_result *result) {
    check_result(w, result, &(struct rvt_batch_result){.reason = RVT_CLOSED});
    for (uint32_t i = 0; columns->verdict && i < count; i++)
        EXPECT(w, "verdict", columns->verdict[i], RVT_CLOSED);
    oracle_count_closed(&w->oracle, asker->context, count);
}

static void check_batch(struct world *w) {
    struct oracle *o = &w->oracle;
    struct asker asker;
    if (!world_who(w, operand(w, 1), &asker))
        return;
    uint32_t acc = operand(w, 2) & 31, count = w->item_count;
    struct packed packed = pack(asker.checker, acc, w->items, count, operand(w, 4));
    struct rvt_batch_columns columns = new_columns(operand(w, 3), count);
    struct rvt_batch_result result, should = {.first_refused = count};
    tell(w, &packed.batch);
    int answer = rvt_check_batch(w->readers[1], &packed.batch, &columns, &result);
    world_answer(w, answer, 0);
    if (!asker.alive)
        check_closed(w, &asker, &columns, count, &result);
    for (uint32_t i = 0; asker.alive && i < count; i++) {
        struct request q = request_of(&w->items[i], &asker, acc);
        struct model_sge s;
        enum rvt_reason reason = oracle_judge(o, &q, &s);
        oracle_count(o, &q, reason);
        world_note(w, 16 + reason);
        if (columns.verdict && columns.verdict[i] != reason)
            world_fail(w, "verdict %" PRIu32 " is %s, not %s", i,
                       rvt_reason_name((enum rvt_reason)columns.verdict[i]), rvt_reason_name(reason));
        if (reason) {
            refuse(&should, i, reason);
        } else {
            should.passed++;
            check_place(w, &columns, i, &s);
        }
    }
    if (asker.alive)
        check_result(w, &result, &should);
    free_columns(&columns);
    free(packed.block);
    world_list_used(w, operand(w, 5));
}

static void check_one(struct world *w) {
    struct asker asker;
    if (!world_who(w, operand(w, 1), &asker) || !w->item_count)
        return;
    uint32_t acc = operand(w, 2) & 31;
    struct packed packed = pack(asker.checker, acc, w->items, 1, operand(w, 3));
    struct request q = request_of(&w->items[0], &asker, acc);
    struct model_sge s;
    enum rvt_reason reason = oracle_judge(&w->oracle, &q, &s);
    tell(w, &packed.batch);
    world_answer(w, rvt_check_one(w->readers[1], &packed.batch), asker.alive ? (int)reason : RVT_CLOSED);
    if (!asker.alive)
        oracle_count_closed(&w->oracle, asker.context, 1);
    else
        oracle_count(&w->oracle, &q, reason);
    free(packed.block);
    world_list_used(w, operand(w, 4));
}

/* Takes `count` consecutive SGEs, which are not held. Returns the index of the first, or NONE. */
static int take_elements(struct world *w, uint32_t count) {
    struct oracle *o = &w->oracle;
    if (o->sge_count + (int)count > MAX_SGES)
        return NONE;
    int first = o->sge_count;
    for (uint32_t i = 0; i < count; i++) {
        w->sges[first + (int)i] = (struct rvt_sge){0};
        o->sges[first + (int)i] = (struct model_sge){.region = NONE, .mapping = NONE};
    }
    o->sge_count += (int)count;
    return first;
}

static void acquire_batch(struct world *w) {
    struct oracle *o = &w->oracle;
    int seed = NONE, busy = NONE;
    bool coalesce = operand(w, 6) & 0x80;
    struct asker asker;
    if (!world_who(w, operand(w, 1), &asker))
        return;
    uint32_t acc = operand(w, 2) & 31, count = w->item_count < 64 ? w->item_count : 64;
    /* Acquires into an array in which one SGE is still held, which must be refused. */
    if (operand(w, 7) & 0x80) {
        busy = world_sge(w, operand(w, 7));
        bool held = false;
        for (uint32_t i = 0; busy != NONE && i < count && busy + (int)i < o->sge_count; i++)
            held |= o->sges[busy + (int)i].alive;
        if (!held || busy + (int)count > o->sge_count)
            return;
    }
    int first = busy == NONE ? take_elements(w, count) : busy;
    if (first == NONE)
        return;
    if (operand(w, 6) & 0x40)
        seed = world_sge(w, operand(w, 6));
    struct packed packed = pack(asker.checker, acc, w->items, count, operand(w, 4));
    struct rvt_batch_columns columns = new_columns(operand(w, 3), count);
    struct rvt_batch_result result, should = {.first_refused = count};
    tell(w, &packed.batch);
    world_say(w, " coalesce=%d seed=%d first=%d", coalesce, seed, first);
    int answer = rvt_acquire_batch(w->readers[1], &packed.batch, coalesce,
                                   seed == NONE ? NULL : &w->sges[seed], &w->sges[first], &columns, &result);
    bool plays = asker.alive && busy == NONE;
    world_answer_anyway(w, answer, busy != NONE ? -RVT_EBUSY : 0);
    if (!asker.alive && busy == NONE)
        check_closed(w, &asker, &columns, count, &result);
    int last = coalesce ? seed : NONE;
    for (uint32_t i = 0; plays && i < count; i++) {
        int index = first + (int)i;
        struct request q = request_of(&w->items[i], &asker, acc);
        struct model_sge s;
        enum rvt_reason reason = oracle_judge(o, &q, &s);
        oracle_count(o, &q, reason);
        bool merge = !reason && last != NONE && oracle_merges(o, &o->sges[last], &q, &s);
        uint32_t verdict = merge ? (uint32_t)RVT_BATCH_COALESCED : (uint32_t)reason;
        world_note(w, merge ? 15 : 16 + reason);
        if (columns.verdict)
            EXPECT(w, "verdict", columns.verdict[i], verdict);
        if (reason) {
            refuse(&should, i, reason);
            continue;
        }
        should.passed++;
        if (merge) {
            oracle_merge(&o->sges[last], &q);
        } else {
            s.alive = true;
            o->sges[index] = s;
            o->regions[s.region].held++;
            if (coalesce)
                last = index;
            w->sge_slot[(operand(w, 7) + i) % SGE_SLOTS] = index;
        }
        check_place(w, &columns, i, merge ? &o->sges[last] : &o->sges[index]);
    }
    if (plays)
        check_result(w, &result, &should);
    if (seed != NONE)
        world_check_sge(w, &w->sges[seed], &o->sges[seed]);
    for (uint32_t i = 0; i < count; i++)
        world_check_sge(w, &w->sges[first + (int)i], &o->sges[first + (int)i]);
    free_columns(&columns);
    free(packed.block);
    world_list_used(w, operand(w, 5));
}

static void release_batch(struct world *w) {
    struct oracle *o = &w->oracle;
    int first = world_sge(w, operand(w, 1));
    if (first == NONE)
        return;
    int count = operand(w, 2) % 64;
    if (count > o->sge_count - first)
        count = o->sge_count - first;
    uint32_t held = 0;
    for (int i = 0; i < count; i++) {
        held += o->sges[first + i].alive;
        oracle_put(o, first + i);
    }
    world_say(w, " first=%d count=%d", first, count);
    EXPECT(w, "released", rvt_put_sges(&w->sges[first], (uint32_t)count), held);
    for (int i = 0; i < count; i++)
        EXPECT(w, "the SGE is held", w->sges[first + i].mr != NULL, false);
}

/* --- copies --- */

/* One side of a copy, as predicted by the oracle. */
struct side {
    const struct item *items;
    uint32_t count, index, acc;
    struct asker asker;
    int environment;
    bool write, begun;
    uint32_t rest; /* bytes left in the current SGE */
    struct model_sge sge;
    struct rvt_batch_result result;
};

static bool stop(struct oracle *o, struct side *side, enum rvt_reason reason) {
    if (reason)
        oracle_count_for(o, side->asker.context, reason, 1);
    side->result.first_refused = side->index;
    side->result.reason = reason;
    return false;
}

/* Moves on to the next SGE with bytes left, and counts the ones completed. Returns false if there is none. */
static bool stand(struct oracle *o, struct side *side) {
    for (;;) {
        if (side->begun && side->rest)
            return true;
        if (side->begun) {
            side->begun = false;
            side->result.passed++;
            side->index++;
        }
        if (side->index == side->count)
            return false;
        struct request q = request_of(&side->items[side->index], &side->asker, side->acc);
        enum rvt_reason reason = oracle_judge(o, &q, &side->sge);
        int asked = oracle_asked(o, &q);
        if (!reason)
            reason = oracle_rights(&side->sge, side->write);
        /* An SGE counts as accepted when it is copied completely; an empty one at once. */
        if (asked != NONE && (reason || !q.length))
            oracle_count_region(o, asked, reason);
        if (reason)
            return stop(o, side, reason);
        side->begun = true;
        side->rest = q.length;
    }
}

/* Returns the address of the next bytes in the shadow, or NULL if they cannot be used. */
static unsigned char *look(struct oracle *o, struct side *side, uint64_t want, uint64_t *length) {
    struct run run = oracle_run(o, &side->sge, want < side->rest ? want : side->rest);
    enum rvt_reason reason = oracle_memory(o, run.memory, side->environment);
    if (reason) {
        oracle_count_region(o, side->sge.region, reason);
        stop(o, side, reason);
        return NULL;
    }
    *length = run.length;
    return o->memories[run.memory].shadow + run.into;
}

static void move_on(struct oracle *o, struct side *side, uint64_t length) {
    side->rest -= (uint32_t)length;
    side->sge.position += length;
    side->result.bytes += length;
    oracle_count_bytes(o, side->sge.region, length);
    if (!side->rest)
        oracle_count_region(o, side->sge.region, RVT_REASON_NONE);
}

/* Counts a whole copy; the bytes count for one side only. */
static void count_copy(struct oracle *o, const struct side *side, uint64_t bytes) {
    oracle_count_for(o, side->asker.context, RVT_REASON_NONE, side->result.passed);
    if (side->asker.context != NONE)
        o->contexts[side->asker.context].counts.bytes += bytes;
}

static void copy_buffer(struct world *w, bool write) {
    struct oracle *o = &w->oracle;
    int environment = 1 + (operand(w, 6) & 1);
    struct asker asker;
    uint64_t length = world_length(w, operand(w, 3), 0, 0);
    if (!world_who(w, operand(w, 1), &asker) || length > (1 << 20) + 2 * 65536)
        return;
    uint32_t acc = operand(w, 2) & 31;
    struct side side = {
        .items = w->items,
        .count = w->item_count,
        .acc = acc,
        .asker = asker,
        .environment = environment,
        .write = write,
        .result = {.first_refused = w->item_count},
    };
    struct packed packed = pack(asker.checker, acc, w->items, w->item_count, operand(w, 4));
    unsigned char *data = malloc(length + !length), *expected = malloc(length + !length);
    struct rvt_batch_result result;
    struct rvt_data_call call;
    if (!data || !expected)
        abort();
    for (uint64_t i = 0; i < length; i++)
        data[i] = expected[i] = (unsigned char)(i * 3 + w->at);
    tell(w, &packed.batch);
    world_say(w, " length=%" PRIu64 " environment=%d", length, environment);
    rvt_data_call_begin(&call, w->readers[environment], &environment);
    int answer = write ? rvt_scatter_batch(&call, &packed.batch, data, length, &result)
                       : rvt_gather_batch(&call, &packed.batch, data, length, &result);
    world_answer(w, answer, 0);
    if (!asker.alive) {
        check_result(w, &result, &(struct rvt_batch_result){.reason = RVT_CLOSED});
        oracle_count_closed(o, asker.context, w->item_count ? 1 : 0);
    }
    uint64_t left = length;
    unsigned char *at = expected;
    bool fresh = true; /* an SGE that does not fit completely is not started */
    while (asker.alive && stand(o, &side)) {
        uint64_t run;
        fresh = side.rest == (uint32_t)side.items[side.index].length;
        if (fresh && side.rest > left) {
            stop(o, &side, RVT_REASON_NONE);
            break;
        }
        unsigned char *region = look(o, &side, left, &run);
        if (!region)
            break;
        memcpy(write ? region : at, write ? at : region, run);
        move_on(o, &side, run);
        at += run;
        left -= run;
    }
    if (asker.alive)
        check_result(w, &result, &side.result);
    count_copy(o, &side, side.result.bytes);
    world_note(w, 16 + side.result.reason);
    if (memcmp(data, expected, length) != 0)
        world_fail(w, "the copy read wrong bytes");
    world_check_bytes(w);
    free(data);
    free(expected);
    free(packed.block);
    world_list_used(w, operand(w, 5));
}

static void copy_batch(struct world *w) {
    /* A piece ends at the end of a section, which matters where the sides overlap. */
    static const uint64_t section = 1 << 20;
    struct oracle *o = &w->oracle;
    int environment = 1 + (operand(w, 7) & 1);
    struct asker from_asker, to_asker;
    if (!world_who(w, operand(w, 1), &from_asker) || !world_who(w, operand(w, 3), &to_asker))
        return;
    uint32_t count = w->item_count, cut = count ? operand(w, 5) % (count + 1) : 0;
    struct side from = {
        .items = w->items,
        .count = cut,
        .acc = operand(w, 2) & 31,
        .asker = from_asker,
        .environment = environment,
        .result = {.first_refused = cut},
    };
    struct side to = {
        .items = w->items + cut,
        .count = count - cut,
        .acc = operand(w, 4) & 31,
        .asker = to_asker,
        .environment = environment,
        .write = true,
        .result = {.first_refused = count - cut},
    };
    struct packed from_packed = pack(from_asker.checker, from.acc, from.items, from.count, operand(w, 5));
    struct packed to_packed = pack(to_asker.checker, to.acc, to.items, to.count, operand(w, 2));
    struct rvt_batch_result from_result, to_result;
    struct rvt_data_call call;
    tell(w, &from_packed.batch);
    world_say(w, " to pd=%" PRIu32 " remote=%d cut=%" PRIu32 " of %" PRIu32, to_asker.checker->pd,
              to_asker.checker->remote, cut, count);
    rvt_data_call_begin(&call, w->readers[environment], &environment);
    int answer = rvt_copy_batch(&call, &from_packed.batch, &to_packed.batch, &from_result, &to_result);
    bool alive = from_asker.alive && to_asker.alive;
    world_answer(w, answer, 0);
    if (!alive) { /* each closed side reports RVT_CLOSED, and an open side reports nothing */
        const struct rvt_batch_result closed = {.reason = RVT_CLOSED};
        check_result(w, &from_result, from_asker.alive ? &from.result : &closed);
        check_result(w, &to_result, to_asker.alive ? &to.result : &closed);
        if (!from_asker.alive)
            oracle_count_closed(o, from_asker.context, from.count ? 1 : 0);
        if (!to_asker.alive)
            oracle_count_closed(o, to_asker.context, to.count ? 1 : 0);
    }
    while (alive && stand(o, &from) && stand(o, &to)) {
        uint64_t run, room;
        unsigned char *source = look(o, &from, section - from.result.bytes % section, &run);
        unsigned char *target = source ? look(o, &to, run, &room) : NULL;
        if (!target)
            break;
        memmove(target, source, room);
        move_on(o, &from, room);
        move_on(o, &to, room);
    }
    if (to.begun && !to.rest)
        to.result.passed++;
    if (alive) {
        check_result(w, &from_result, &from.result);
        check_result(w, &to_result, &to.result);
    }
    count_copy(o, &from, from.result.bytes);
    count_copy(o, &to, 0);
    world_note(w, 16 + from.result.reason);
    world_note(w, 32 + to.result.reason);
    world_check_bytes(w);
    free(from_packed.block);
    free(to_packed.block);
    world_list_used(w, operand(w, 6));
}

void play_batch(struct world *w) {
    switch (w->operation.code) {
    case OP_CHECK_BATCH:
        check_batch(w);
        break;
    case OP_CHECK_ONE:
        check_one(w);
        break;
    case OP_ACQUIRE_BATCH:
        acquire_batch(w);
        break;
    case OP_RELEASE_BATCH:
        release_batch(w);
        break;
    case OP_GATHER:
        copy_buffer(w, false);
        break;
    case OP_SCATTER:
        copy_buffer(w, true);
        break;
    case OP_COPY_BATCH:
        copy_batch(w);
        break;
    default:
        break;
    }
}
