/* SPDX-License-Identifier: BSD-3-Clause */
/* rvt_acquire_batch: judges a batch and keeps a reference for each accepted element. */
#include "core/access/batch.h"
#include "core/access/batch_loop.h"
#include "core/access/fast_path.h"
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/objects/held_counts.h"
#include "core/objects/ucontext.h"

/* State of one rvt_acquire_batch() call. */
struct acquiring {
    struct rvt_reader *reader;
    const struct rvt_batch *batch;
    const struct rvt_batch_columns *columns;
    struct rvt_batch_result *result;
    struct rvt_sge *held;
    bool coalesce, places;
    struct rvt_sge *last; /* element that the next one may be merged into; NULL: none */
    uint32_t counted;     /* elements already counted for the context, accepted or refused */
};

/* Acquires element `i`, which the fast path did not accept, and stores its verdict and place.
 *   0        accepted, coalesced or refused
 *   -ENOMEM  as rvt_acquire_batch() */
RVT_ALWAYS_INLINE int acquire_on_slow_path(struct acquiring *acquiring, uint32_t i, uint64_t addr,
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

static __attribute__((noinline)) int acquire_with_batch_access(struct acquiring *acquiring, uint32_t i,
                                                               uint64_t addr, uint32_t length, uint32_t key) {
    return acquire_on_slow_path(acquiring, i, addr, length, key, acquiring->batch->acc);
}

/* Prefetch distance for the mapping and the reference count of a later element. Its record is prefetched
 * RVT_BATCH_AHEAD elements ahead; once the record is cached, half as far ahead, the addresses that it names
 * are prefetched. They are never dereferenced, because the record may be empty or may be changing. */
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

/* Acquires elements [from, to), at most RVT_SECTION_ELEMENTS of them. Adds the number accepted by the fast
 * path to *fast_count. `records` and `references` say what to prefetch. Returns 0 or -ENOMEM. */
RVT_ALWAYS_INLINE int acquire_run(struct acquiring *acquiring, struct run run, uint32_t from, uint32_t to,
                                  struct rvt_ucontext *context, uint32_t *fast_count, bool remote,
                                  bool records, bool references) {
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
        if (__builtin_expect(acquire_fast(rvt_lkey_slot(run.records, run.max, key), run.domain | key, addr,
                                          length, run.wanted, remote, context, sge),
                             1)) {
            taken++;
            if (acquiring->places)
                store_place(acquiring->columns, i, sge);
        } else {
            int error = acquire_with_batch_access(acquiring, i, addr, length, key);
            if (error)
                return error;
        }
    }
    *fast_count += taken;
    return 0;
}

static uint32_t subtract_or_zero(uint32_t a, uint32_t b) {
    return a > b ? a - b : 0;
}

RVT_ALWAYS_INLINE int acquire_runs(struct acquiring *acquiring, uint32_t *fast_count, bool remote) {
    const struct rvt_batch *batch = acquiring->batch;
    const struct rvt_checker *checker = batch->checker;
    struct rvt_ucontext *context = checker->context;
    const struct run run = {checker->device->lkey_table.records, checker->device->lkey_table.max,
                            rvt_record_name(0, checker->pd), acc_and_plain(batch->acc)};
    /* Elements from these indices on have nothing left to prefetch. */
    uint32_t records = subtract_or_zero(batch->count, RVT_BATCH_AHEAD),
             references = subtract_or_zero(batch->count, REFERENCES_AHEAD);
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
            error = acquire_run(acquiring, run, from, to, context, fast_count, remote, true, true);
        else if (to <= references)
            error = acquire_run(acquiring, run, from, to, context, fast_count, remote, false, true);
        else
            error = acquire_run(acquiring, run, from, to, context, fast_count, remote, false, false);
        from = to;
    }
    return error;
}

/* One non-inlined function per case, so that each loop has all registers to itself. */
static __attribute__((noinline)) int acquire_local(struct acquiring *acquiring, uint32_t *fast_count) {
    return acquire_runs(acquiring, fast_count, false);
}

static __attribute__((noinline)) int acquire_remote(struct acquiring *acquiring, uint32_t *fast_count) {
    return acquire_runs(acquiring, fast_count, true);
}

/* Acquires the elements one by one on the slow path. Needed when elements may be coalesced (each is compared
 * with the previous one), when there is no context with a reader (references are then counted in the
 * regions), and when each element has access bits of its own. Returns 0 or -ENOMEM. */
static int acquire_singly(struct acquiring *acquiring) {
    const struct rvt_batch *batch = acquiring->batch;
    int error = 0;
    for (uint32_t i = 0; i < batch->count && !error; i++) {
        renew_after_elements(acquiring->reader, batch, i);
        if (i + RVT_BATCH_AHEAD < batch->count)
            rvt_prefetch_record(batch, i + RVT_BATCH_AHEAD);
        struct access access = rvt_unpack(batch, i);
        error = acquire_on_slow_path(acquiring, i, access.addr, access.length, access.key, access.acc);
    }
    return error;
}

/* Fails with -EBUSY and the index of the first element that holds a reference. Searches again, so that the
 * caller's common loop need not keep an index. */
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
        refuse_batch_closed(batch, columns, result, 0);
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
    uint32_t fast_count = 0;
    bool singly = coalesce || batch->accs || !context || !context->reader;
    int error = singly                   ? acquire_singly(&acquiring)
                : batch->checker->remote ? acquire_remote(&acquiring, &fast_count)
                                         : acquire_local(&acquiring, &fast_count);
    result->passed += fast_count;
    bool live = rvt_checker_live(batch->checker); /* checked last: live now means live throughout */
    if (!error && live)
        count_for_context(batch->checker, RVT_REASON_NONE, fast_count);
    rvt_read_leave(reader, &batch->checker->device->retirement);
    if (error || !live)
        rvt_put_sges(held, batch->count);
    if (!error && !live)
        refuse_batch_closed(batch, columns, result, acquiring.counted);
    return error;
}
