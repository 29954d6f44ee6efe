/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/batch.h"

#include "core/access/batch_loop.h"
#include "core/access/fast_path.h"
#include "core/base/rvt_errno.h"

/* Judges an element that the fast path did not accept, and every access with key 0. Takes the fields of the
 * access by value: a pointer to a variable of the loop would force it into memory. */
RVT_ALWAYS_INLINE enum rvt_reason judge_on_slow_path(struct rvt_reader *reader, const struct rvt_batch *batch,
                                                     uint64_t addr, uint32_t length, uint32_t key,
                                                     uint32_t acc) {
    struct access access = {batch->checker, addr, length, key, acc};
    struct found found = {0};
    /* Judging reads only records, which are never freed while the device exists. A reader section, with its
     * locked instruction, is needed only to follow pointers: for key 0, to find the DMA mapping. */
    struct rvt_retirement *of = &batch->checker->device->retirement;
    if (!key)
        rvt_read_enter(reader, of);
    enum rvt_reason reason = judge_access(&access, &found);
    if (!key) {
        reason = refuse_by_fault(&access, &found, reason);
        count_for_region(&access, &found, reason);
        rvt_read_leave(reader, of);
    } else if (is_region_counted(&access, &found)) {
        /* The region's counters are reached through pointers, so judge the access again inside a section. */
        rvt_read_enter(reader, of);
        reason = refuse_by_fault(&access, &found, judge_access(&access, &found));
        count_for_region(&access, &found, reason);
        rvt_read_leave(reader, of);
    }
    if (reason)
        count_for_context(batch->checker, reason, 1);
    return reason;
}

/* Two non-inlined variants of judge_on_slow_path(). Loops in which all elements share the batch's access bits
 * call the first one and need not pass the bits. */
static __attribute__((noinline)) enum rvt_reason judge_with_batch_access(struct rvt_reader *reader,
                                                                         const struct rvt_batch *batch,
                                                                         uint64_t addr, uint32_t length,
                                                                         uint32_t key) {
    return judge_on_slow_path(reader, batch, addr, length, key, batch->acc);
}

static __attribute__((noinline)) enum rvt_reason judge_with_own_access(struct rvt_reader *reader,
                                                                       const struct rvt_batch *batch,
                                                                       uint64_t addr, uint32_t length,
                                                                       uint32_t key, uint32_t acc) {
    return judge_on_slow_path(reader, batch, addr, length, key, acc);
}

/* Judges elements [from, to) and returns how many were refused. `fetch` prefetches the record of the element
 * RVT_BATCH_AHEAD places ahead. `own` means that each element has access bits of its own. */
RVT_ALWAYS_INLINE uint32_t check_run(struct rvt_reader *reader, const struct rvt_batch *batch, struct run run,
                                     uint32_t from, uint32_t to, uint32_t *verdict,
                                     struct rvt_batch_result *result, bool remote, bool own, bool fetch) {
    uint32_t refused = 0;
    const rvt_packed_word *words = rvt_packed(batch, from);
    for (uint32_t i = from; i < to; i++, words += 2) {
        if (fetch)
            __builtin_prefetch(rvt_lkey_slot(run.records, run.max,
                                             (uint32_t)(rvt_packed_rest(words + 2 * RVT_BATCH_AHEAD) >> 32)));
        uint64_t addr = words[0], rest = rvt_packed_rest(words);
        uint32_t length = (uint32_t)rest, key = (uint32_t)(rest >> 32);
        uint32_t acc = own ? rvt_own_access(batch, i) : 0;
        uint64_t wanted = own ? acc_and_plain(acc) : run.wanted;
        enum rvt_reason reason = RVT_REASON_NONE;
        if (__builtin_expect(!accept_fast(rvt_lkey_slot(run.records, run.max, key), run.domain | key, addr,
                                          length, wanted, remote),
                             0)) {
            reason = own ? judge_with_own_access(reader, batch, addr, length, key, acc)
                         : judge_with_batch_access(reader, batch, addr, length, key);
            if (reason) {
                note_refusal(result, i, reason);
                if (verdict)
                    verdict[i] = reason;
                refused++;
            }
        }
    }
    return refused;
}

RVT_ALWAYS_INLINE uint32_t check_runs(struct rvt_reader *reader, const struct rvt_batch *batch,
                                      uint32_t *verdict, struct rvt_batch_result *result, bool remote,
                                      bool own) {
    const struct rvt_checker *checker = batch->checker;
    const struct run run = {checker->device->lkey_table.records, checker->device->lkey_table.max,
                            rvt_record_name(0, checker->pd), acc_and_plain(batch->acc)};
    uint32_t count = batch->count, most = count > RVT_BATCH_AHEAD ? count - RVT_BATCH_AHEAD : 0;
    return check_run(reader, batch, run, 0, most, verdict, result, remote, own, true) +
           check_run(reader, batch, run, most, count, verdict, result, remote, own, false);
}

/* Verdicts without places. One non-inlined function per case, so that each loop has all registers to
 * itself. */
static __attribute__((noinline)) uint32_t check_local(struct rvt_reader *reader,
                                                      const struct rvt_batch *batch, uint32_t *verdict,
                                                      struct rvt_batch_result *result) {
    return check_runs(reader, batch, verdict, result, false, false);
}

static __attribute__((noinline)) uint32_t check_remote(struct rvt_reader *reader,
                                                       const struct rvt_batch *batch, uint32_t *verdict,
                                                       struct rvt_batch_result *result) {
    return check_runs(reader, batch, verdict, result, true, false);
}

static __attribute__((noinline)) uint32_t check_own(struct rvt_reader *reader, const struct rvt_batch *batch,
                                                    uint32_t *verdict, struct rvt_batch_result *result) {
    return batch->checker->remote ? check_runs(reader, batch, verdict, result, true, true)
                                  : check_runs(reader, batch, verdict, result, false, true);
}

/* Judges all elements and stores verdicts and places. The caller must be in a reader section. */
static void check_places(struct rvt_reader *reader, const struct rvt_batch *batch,
                         const struct rvt_batch_columns *columns, struct rvt_batch_result *result) {
    for (uint32_t i = 0; i < batch->count; i++) {
        renew_after_elements(reader, batch, i);
        if (i + RVT_BATCH_AHEAD < batch->count)
            rvt_prefetch_record(batch, i + RVT_BATCH_AHEAD);
        struct access access = rvt_unpack(batch, i);
        struct found found = {0};
        enum rvt_reason reason = judge_access(&access, &found);
        reason = refuse_by_fault(&access, &found, reason);
        count_for_region(&access, &found, reason);
        if (reason) {
            count_for_context(batch->checker, reason, 1);
            note_refusal(result, i, reason);
            if (columns->verdict)
                columns->verdict[i] = reason;
            continue;
        }
        result->passed++;
        struct rvt_sge sge;
        fill_sge(&sge, &access, &found);
        store_place(columns, i, &sge);
    }
}

/* Frees retired objects if there are any. Objects that another thread's finalizer retired may have waited for
 * a section that has ended since; a program that now only checks enters no further section that would free
 * them. */
static inline void reclaim_if_pending(struct rvt_dev_info *device) {
    if (__builtin_expect(rvt_reclaim_pending(&device->retirement), 0))
        rvt_reclaim(&device->retirement);
}

int rvt_check_batch(struct rvt_reader *reader, const struct rvt_batch *batch,
                    const struct rvt_batch_columns *columns, struct rvt_batch_result *result) {
    if (!rvt_checker_live(batch->checker)) { /* no verdict has been counted yet */
        refuse_batch_closed(batch, columns, result, 0);
        return 0;
    }
    begin_batch(batch, columns, result);
    if (wants_places(columns)) {
        rvt_read_enter(reader, &batch->checker->device->retirement);
        check_places(reader, batch, columns, result);
        rvt_read_leave(reader, &batch->checker->device->retirement);
    } else {
        uint32_t refused = batch->accs              ? check_own(reader, batch, columns->verdict, result)
                           : batch->checker->remote ? check_remote(reader, batch, columns->verdict, result)
                                                    : check_local(reader, batch, columns->verdict, result);
        result->passed = batch->count - refused;
    }
    /* Check liveness last: live now means live throughout the batch. */
    if (!rvt_checker_live(batch->checker))
        refuse_batch_closed(batch, columns, result, batch->count - result->passed);
    else
        count_for_context(batch->checker, RVT_REASON_NONE, result->passed);
    reclaim_if_pending(batch->checker->device);
    return 0;
}

int rvt_check_one(struct rvt_reader *reader, const struct rvt_batch *batch) {
    const struct rvt_checker *checker = batch->checker;
    struct access access = rvt_unpack_as(batch, 0, batch->acc);
    enum rvt_reason reason = RVT_REASON_NONE;
    if (!accept_fast(rvt_lkey_record(&checker->device->lkey_table, access.key),
                     rvt_record_name(access.key, checker->pd), access.addr, access.length,
                     acc_and_plain(batch->acc), checker->remote)) {
        if (!rvt_checker_live(checker)) /* no verdict has been counted yet */
            return refuse_closed(checker->context, 1);
        reason = judge_with_batch_access(reader, batch, access.addr, access.length, access.key);
    }
    if (!rvt_checker_live(checker)) /* judge_with_batch_access() has counted a refusal already */
        reason = reason ? RVT_CLOSED : refuse_closed(checker->context, 1);
    else if (!reason)
        count_for_context(checker, RVT_REASON_NONE, 1);
    reclaim_if_pending(checker->device);
    return (int)reason;
}
