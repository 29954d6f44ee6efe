/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/check.h"

#include "core/access/fast_path.h"
#include "core/access/judge.h"
#include "core/base/rvt_errno.h"

/* Both functions check the handle again after reading the object: meanwhile another thread may have closed
 * the object and recycled it for a new one, whose fields they would have read. The fields are stored with
 * release and loaded with acquire, so a thread that read a field of the new object also sees the new
 * generation. */
bool rvt_checker_of_pd(struct rvt_pd_handle handle, struct rvt_checker *checker) {
    const struct rvt_pd *pd = handle.pd;
    if (!rvt_pd_live(handle))
        return false;
    *checker = (struct rvt_checker){
        .device = pd->owned.device,
        .object = &pd->owned.object,
        .generation = handle.generation,
        .pd = pd->id,
        .user = atomic_load_explicit(&pd->user, memory_order_acquire),
        .context = handle.context,
    };
    return rvt_pd_live(handle) != NULL;
}

bool rvt_checker_of_qp(struct rvt_qp_handle handle, struct rvt_checker *checker) {
    const struct rvt_qp *qp = handle.qp;
    if (!rvt_qp_live(handle))
        return false;
    const struct rvt_pd *pd = rvt_qp_pd(qp);
    *checker = (struct rvt_checker){
        .device = qp->owned.device,
        .object = &qp->owned.object,
        .generation = handle.generation,
        .pd = pd->id,
        .user = atomic_load_explicit(&pd->user, memory_order_acquire),
        .remote = true,
        .context = handle.context,
    };
    /* The queue pair is still live, so its domain was live throughout and the copied fields are that
     * domain's. */
    return rvt_qp_live(handle) != NULL;
}

const struct rvt_pd *rvt_checker_pd(const struct rvt_checker *checker) {
    const void *object = checker->object; /* points to the rvt_object that both structures begin with */
    return checker->remote ? rvt_qp_pd(object) : object;
}

int rvt_accept_access(const struct access *access, struct rvt_sge *sge, struct rvt_sge *last,
                      enum rvt_reason *reason) {
    struct found found = {0};
    if (last && last->mr) {
        *reason = judge_access(access, &found);
        /* The reference that `last` holds keeps the region, and equal generations prove that it was not
         * remapped, so no further reference is needed. */
        if (!*reason && can_coalesce(last, access, &found) && rvt_checker_live(access->checker)) {
            *reason = count_verdict(access, &found, RVT_REASON_NONE);
            if (*reason)
                return RVT_NOT_ACCEPTED;
            grow_last_sge(last, access);
            return 0;
        }
    }
    int answer = acquire_access(access, &found, reason);
    if (answer == 1)
        fill_sge(sge, access, &found);
    /* Check liveness last: live now means live throughout, so the domain id that was compared belonged to
     * this domain and not to a successor that reuses the id. */
    if (!rvt_checker_live(access->checker)) {
        if (answer == 1)
            rvt_put_sge(sge);
        *reason = refuse_closed(access->checker->context, 1);
        return RVT_NOT_ACCEPTED;
    }
    if (answer == -RVT_ENOMEM)
        return answer;
    *reason = count_verdict(access, &found, *reason);
    if (answer == 1 && *reason) { /* by a fault */
        rvt_put_sge(sge);
        return RVT_NOT_ACCEPTED;
    }
    return answer;
}

int rvt_acquire_one(const struct rvt_checker *checker, const struct rvt_ib_sge *asked, uint32_t acc,
                    struct rvt_sge *last, struct rvt_sge *sge, enum rvt_reason *reason) {
    if (!last && asked->lkey && checker->context &&
        acquire_fast(rvt_lkey_record(&checker->device->lkey_table, asked->lkey),
                     rvt_record_name(asked->lkey, checker->pd), asked->addr, asked->length,
                     acc_and_plain(acc), checker->remote, checker->context, sge)) {
        *reason = RVT_REASON_NONE;
        if (!rvt_checker_live(checker)) { /* checked last, as in rvt_accept_access() */
            rvt_put_sge(sge);
            *reason = refuse_closed(checker->context, 1);
            return RVT_NOT_ACCEPTED;
        }
        count_for_context(checker, RVT_REASON_NONE, 1);
        return 1;
    }
    struct access access = {checker, asked->addr, asked->length, asked->lkey, acc};
    return rvt_accept_access(&access, sge, last, reason);
}

int rvt_lkey_ok(struct rvt_pd_handle pd, struct rvt_sge *isge, struct rvt_sge *last,
                const struct rvt_ib_sge *sge, uint32_t acc, enum rvt_reason *reason) {
    struct rvt_checker checker;
    if (!rvt_checker_of_pd(pd, &checker)) {
        *reason = refuse_closed(pd.context, 1);
        return RVT_NOT_ACCEPTED;
    }
    return rvt_acquire_one(&checker, sge, acc, last, isge, reason);
}

int rvt_rkey_ok(struct rvt_qp_handle qp, struct rvt_sge *sge, uint32_t length, uint64_t vaddr, uint32_t rkey,
                uint32_t acc, enum rvt_reason *reason) {
    struct rvt_checker checker;
    if (!rvt_checker_of_qp(qp, &checker)) {
        *reason = refuse_closed(qp.context, 1);
        return 0;
    }
    int answer = rvt_acquire_one(&checker, &(struct rvt_ib_sge){vaddr, length, rkey}, acc, NULL, sge, reason);
    return answer == RVT_NOT_ACCEPTED ? 0 : answer;
}

int rvt_view_one(const struct rvt_checker *checker, const struct rvt_ib_sge *asked, uint32_t acc, bool again,
                 struct rvt_sge *sge, enum rvt_reason *reason) {
    struct access access = {checker, asked->addr, asked->length, asked->lkey, acc};
    struct found found = {0};
    *reason = RVT_REASON_NONE;
    const bool fast = asked->lkey && view_fast(rvt_lkey_record(&checker->device->lkey_table, asked->lkey),
                                               rvt_record_name(asked->lkey, checker->pd), asked->addr,
                                               asked->length, acc_and_plain(acc), checker->remote, sge);
    if (!fast) {
        *reason = judge_access(&access, &found);
        if (!*reason)
            fill_sge(sge, &access, &found);
    }
    if (!rvt_checker_live(checker)) /* checked last, as in rvt_accept_access() */
        *reason = again ? RVT_CLOSED : refuse_closed(checker->context, 1);
    else if (!again && fast)
        count_for_context(checker, RVT_REASON_NONE, 1);
    else if (!again)
        *reason = count_verdict(&access, &found, *reason);
    return *reason ? 0 : 1;
}

int rvt_place_one(const struct rvt_checker *checker, const struct rvt_ib_sge *asked, uint32_t acc,
                  struct rvt_place *place, enum rvt_reason *reason) {
    struct rvt_sge sge;
    if (!rvt_view_one(checker, asked, acc, false, &sge, reason))
        return 0;
    *place = (struct rvt_place){
        .at = sge.at,
        .length = sge.length,
        .segment = (uint32_t)rvt_sge_segment(&sge),
        .user = sge.user,
    };
    return 1;
}

enum rvt_reason rvt_judge_again(const struct rvt_checker *checker, const struct rvt_ib_sge *asked,
                                uint32_t acc) {
    struct access access = {checker, asked->addr, asked->length, asked->lkey, acc};
    struct found found = {0};
    enum rvt_reason reason = judge_access(&access, &found);
    return rvt_checker_live(checker) ? reason : RVT_CLOSED;
}

uint64_t rvt_record_sequence(const struct rvt_checker *checker, uint32_t key) {
    if (!key)
        return 0;
    return atomic_load_explicit(&rvt_lkey_record(&checker->device->lkey_table, key)->sequence,
                                memory_order_relaxed);
}

int rvt_lkey_check(struct rvt_pd_handle pd, const struct rvt_ib_sge *sge, uint32_t acc,
                   struct rvt_place *place, enum rvt_reason *reason) {
    struct rvt_checker checker;
    if (!rvt_checker_of_pd(pd, &checker)) {
        *reason = refuse_closed(pd.context, 1);
        return 0;
    }
    return rvt_place_one(&checker, sge, acc, place, reason);
}

int rvt_rkey_check(struct rvt_qp_handle qp, uint32_t length, uint64_t vaddr, uint32_t rkey, uint32_t acc,
                   struct rvt_place *place, enum rvt_reason *reason) {
    struct rvt_checker checker;
    if (!rvt_checker_of_qp(qp, &checker)) {
        *reason = refuse_closed(qp.context, 1);
        return 0;
    }
    return rvt_place_one(&checker, &(struct rvt_ib_sge){vaddr, length, rkey}, acc, place, reason);
}

uint32_t rvt_key_stamp(const struct rvt_checker *checker, uint32_t key) {
    const struct rvt_lkey_record *record = rvt_lkey_record(&checker->device->lkey_table, key);
    uint64_t sequence = atomic_load_explicit(&record->sequence, memory_order_acquire);
    /* The name first, the sequence again last, as rvt_record_read() does. */
    uint64_t name = atomic_load_explicit(&record->line0.name, memory_order_acquire);
    uint64_t rights = atomic_load_explicit(&record->line0.rights, memory_order_acquire);
    if ((sequence & 1) || !key || name != rvt_record_name(key, checker->pd) ||
        !rvt_shape_valid((uint32_t)(rights >> 32)) ||
        atomic_load_explicit(&record->sequence, memory_order_relaxed) != sequence)
        return 0;
    return (uint32_t)(sequence >> 1 & INT32_MAX); /* at least 1, see rvt_alloc_lkey() */
}
