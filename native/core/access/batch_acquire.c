/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches whose elements are held: rvt_acquire_batch. */
#include "core/access/batch.h"
#include "core/access/batch_loop.h"
#include "core/access/glance.h"
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/objects/held_counts.h"
#include "core/objects/ucontext.h"

/* What is the same for all elements of a batch that are to be held. */
struct acquiring {
    struct rvt_reader *reader;
    const struct rvt_batch *batch;
    const struct rvt_batch_columns *columns;
    struct rvt_batch_result *result;
    struct rvt_sge *held;
    bool coalesce, places;
    struct rvt_sge *last; /* that the next element may be coalesced with */
    uint32_t counted;     /* elements that the context has counted already, accepted or refused */
};

/* The elements that are not taken at a glance.
 *   0        accepted, coalesced or refused: the answers are stored
 *   -ENOMEM  as rvt_acquire_batch */
RVT_ALWAYS_INLINE int acquire_slowly_as(struct acquiring *acquiring, uint32_t i, uint64_t addr,
                                        uint32_t length, uint32_t key, uint32_t acc) {
    struct access access = {acquiring->batch->checker, addr, length, key, acc};
    struct rvt_sge *sge = &acquiring->held[i];
    enum rvt_reason reason;
    int answer = rvt_accept_access(&access, sge, acquiring->last, &reason);
    if (answer < 0 && answer != RVT_NOT_ACCEPTED)
        return answer;
    acquiring->counted++;
    uint32_t *verdict = acquiring->columns->verdict;
    if (verdict && answer != 1)
        verdict[i] = answer == 0 ? RVT_BATCH_COALESCED : reason;
    if (answer < 0) {
        note_refusal(acquiring->result, i, reason);
        return 0;
    }
    acquiring->result->passed++;
    if (answer && acquiring->coalesce)
        acquiring->last = sge;
    if (acquiring->places)
        store_place(acquiring->columns, i, answer ? sge : acquiring->last);
    return 0;
}

static __attribute__((noinline)) int acquire_slowly(struct acquiring *acquiring, uint32_t i, uint64_t addr,
                                                    uint32_t length, uint32_t key) {
    return acquire_slowly_as(acquiring, i, addr, length, key, acquiring->batch->acc);
}

/* What an element that comes later needs is brought into the cache: its record RVT_BATCH_AHEAD elements
 * ahead, and when that is there, REFERENCES_AHEAD elements ahead, the mapping and the count that it names.
 * Nothing of that is followed, as the record may be empty or change. */
enum { REFERENCES_AHEAD = RVT_BATCH_AHEAD / 2 };

RVT_ALWAYS_INLINE void fetch_reference(struct run run, const struct rvt_ucontext *context,
                                       const rvt_packed_word *words) {
    const struct rvt_record_copy *copy =
        &rvt_lkey_slot(run.records, run.max, (uint32_t)(rvt_packed_rest(words) >> 32))->line0;
    if (!(atomic_load_explicit(&copy->rights, memory_order_relaxed) & rvt_record_rights(0, RVT_SHAPE_EXTENT)))
        __builtin_prefetch(atomic_load_explicit(&copy->map, memory_order_relaxed));
    __builtin_prefetch(
        rvt_held_count(&context->held, atomic_load_explicit(&copy->region, memory_order_relaxed)), 1);
}

/* Elements [from, to), at most as many as one section may judge. *glanced: taken at a glance. */
RVT_ALWAYS_INLINE int acquire_run(struct acquiring *acquiring, struct run run, uint32_t from, uint32_t to,
                                  struct rvt_ucontext *context, uint32_t *glanced, bool remote, bool records,
                                  bool references) {
    const rvt_packed_word *words = rvt_packed(acquiring->batch, from);
    struct rvt_sge *sge = &acquiring->held[from];
    uint32_t taken = 0;
    for (uint32_t i = from; i < to; i++, words += 2, sge++) {
        if (records)
            __builtin_prefetch(rvt_lkey_slot(run.records, run.max,
                                             (uint32_t)(rvt_packed_rest(words + 2 * RVT_BATCH_AHEAD) >> 32)));
        if (references)
            fetch_reference(run, context, words + 2 * REFERENCES_AHEAD);
        uint64_t addr = words[0], rest = rvt_packed_rest(words);
        uint32_t length = (uint32_t)rest, key = (uint32_t)(rest >> 32);
        if (__builtin_expect(acquire_at_a_glance(rvt_lkey_slot(run.records, run.max, key), run.domain | key,
                                                 addr, length, run.wanted, remote, context, sge),
                             1)) {
            taken++;
            if (acquiring->places)
                store_place(acquiring->columns, i, sge);
        } else {
            int error = acquire_slowly(acquiring, i, addr, length, key);
            if (error)
                return error;
        }
    }
    *glanced += taken;
    return 0;
}

static uint32_t all_but(uint32_t count, uint32_t last) {
    return count > last ? count - last : 0;
}

RVT_ALWAYS_INLINE int acquire_runs(struct acquiring *acquiring, uint32_t *glanced, bool remote) {
    const struct rvt_batch *batch = acquiring->batch;
    const struct rvt_checker *checker = batch->checker;
    struct rvt_ucontext *context = checker->context;
    const struct run run = {checker->device->lkey_table.records, checker->device->lkey_table.max,
                            rvt_record_name(0, checker->pd), acc_and_plain(batch->acc)};
    /* Behind these nothing is left to be fetched. */
    uint32_t records = all_but(batch->count, RVT_BATCH_AHEAD),
             references = all_but(batch->count, REFERENCES_AHEAD);
    for (uint32_t i = 0; i < REFERENCES_AHEAD && i < batch->count; i++)
        fetch_reference(run, context, rvt_packed(batch, i));
    int error = 0;
    for (uint32_t from = 0; from < batch->count && !error;) {
        uint32_t end = from < records ? records : from < references ? references : batch->count;
        uint32_t section_end = (from / RVT_SECTION_ELEMENTS + 1) * RVT_SECTION_ELEMENTS;
        uint32_t to = end < section_end ? end : section_end;
        if (from && from % RVT_SECTION_ELEMENTS == 0)
            rvt_read_renew(acquiring->reader, &checker->device->retirement);
        if (to <= records)
            error = acquire_run(acquiring, run, from, to, context, glanced, remote, true, true);
        else if (to <= references)
            error = acquire_run(acquiring, run, from, to, context, glanced, remote, false, true);
        else
            error = acquire_run(acquiring, run, from, to, context, glanced, remote, false, false);
        from = to;
    }
    return error;
}

/* Two functions, as for the checks. */
static __attribute__((noinline)) int acquire_local(struct acquiring *acquiring, uint32_t *glanced) {
    return acquire_runs(acquiring, glanced, false);
}

static __attribute__((noinline)) int acquire_remote(struct acquiring *acquiring, uint32_t *glanced) {
    return acquire_runs(acquiring, glanced, true);
}

/* One after the other: an element that may be coalesced must be compared with the one before, without a
 * context and its reader references are counted in the regions, and elements with accesses of their own have
 * nothing in common that could be prepared. */
static int acquire_singly(struct acquiring *acquiring) {
    const struct rvt_batch *batch = acquiring->batch;
    int error = 0;
    for (uint32_t i = 0; i < batch->count && !error; i++) {
        renew_after_elements(acquiring->reader, batch, i);
        if (i + RVT_BATCH_AHEAD < batch->count)
            rvt_prefetch_record(batch, i + RVT_BATCH_AHEAD);
        struct access access = rvt_unpack(batch, i);
        error = acquire_slowly_as(acquiring, i, access.addr, access.length, access.key, access.acc);
    }
    return error;
}

/* Which one is not dead. Looked for once more, so that the loop that finds none need not know. */
static RVT_COLD int fail_held(const struct rvt_sge *held) {
    uint32_t i = 0;
    while (!held[i].mr)
        i++;
    return rvt_fail_at(RVT_EBUSY, RVT_CAUSE_BATCH_HELD, i, 0, 0);
}

int rvt_acquire_batch(struct rvt_reader *reader, const struct rvt_batch *batch, bool coalesce,
                      struct rvt_sge *seed, struct rvt_sge *held, const struct rvt_batch_columns *columns,
                      struct rvt_batch_result *result) {
    for (uint32_t i = 0; i < batch->count; i++)
        if (held[i].mr)
            return fail_held(held);
    if (!rvt_checker_live(batch->checker)) {
        answer_closed(batch, columns, result, 0);
        return 0;
    }
    begin_batch(batch, columns, result);
    rvt_read_enter(reader, &batch->checker->device->retirement);
    struct acquiring acquiring = {
        .reader = reader,
        .batch = batch,
        .columns = columns,
        .result = result,
        .held = held,
        .coalesce = coalesce,
        .places = wants_places(columns),
        .last = coalesce ? seed : NULL,
    };
    const struct rvt_ucontext *context = batch->checker->context;
    uint32_t glanced = 0;
    bool singly = coalesce || batch->accs || !context || !context->reader;
    int error = singly                   ? acquire_singly(&acquiring)
                : batch->checker->remote ? acquire_remote(&acquiring, &glanced)
                                         : acquire_local(&acquiring, &glanced);
    result->passed += glanced;
    bool live = rvt_checker_live(batch->checker); /* at the end: alive now is alive all the time */
    if (!error && live)
        count_for_context(batch->checker, RVT_REASON_NONE, glanced);
    rvt_read_leave(reader, &batch->checker->device->retirement);
    if (error || !live)
        rvt_put_sges(held, batch->count);
    if (!error && !live)
        answer_closed(batch, columns, result, acquiring.counted);
    return error;
}
