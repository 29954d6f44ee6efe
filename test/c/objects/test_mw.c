/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests memory windows and leases (mw.h), and how checks judge their keys (access/window.c). */
#include "core/objects/mw.h"

#include <time.h>

#include "core/objects/key_report.h"
#include "core/objects/rereg.h"
#include "core/objects/resource.h"
#include "fixture.h"
#include "waiting.h"

static alignas(4096) unsigned char bytes[4 * PAGE];

enum { MW_BIND = RVT_ACCESS_MW_BIND, START = 0x5000, IOVA = 0x9010, LENGTH = 2 * PAGE };
enum { FROM = IOVA + 100, BYTES = 200 }; /* what bound() binds */

static struct rvt_mr_handle registered(struct fixture *f, uint32_t access) {
    return fixture_reg(f, bytes, LENGTH, START, IOVA, access);
}

static struct rvt_mw_handle window(struct fixture *f, uint32_t *key) {
    struct rvt_mw_handle mw = {0};
    CHECK_EQ(rvt_alloc_mw(f->pd, RVT_MW_TYPE_TWO, &mw, key), 0);
    return mw;
}

static struct rvt_mw_attributes query(struct rvt_mw_handle mw) {
    struct rvt_mw_attributes attributes = {0};
    CHECK_EQ(rvt_query_mw(mw, &attributes), 0);
    return attributes;
}

static bool dead(struct rvt_mw_handle mw) {
    struct rvt_mw_attributes attributes;
    return rvt_query_mw(mw, &attributes) == -RVT_EBADF;
}

/* Binds a new window to [FROM, FROM + BYTES) of the region, for f->qp. */
static struct rvt_mw_handle bound(struct fixture *f, struct rvt_mr_handle mr, uint32_t access,
                                  uint32_t *key) {
    struct rvt_mw_handle mw = window(f, key);
    *key ^= 1;
    const struct rvt_bind bind = {mr, FROM, BYTES, access, *key};
    CHECK_EQ(rvt_bind_mw(f->qp, mw, &bind), 0);
    return mw;
}

static struct rvt_mw_handle leased(struct fixture *f, struct rvt_mr_handle mr, uint64_t ms, uint32_t *key) {
    struct rvt_mw_handle mw = {0};
    const struct rvt_bind bind = {mr, FROM, BYTES, REMOTE_READ, 0};
    CHECK_EQ(rvt_lease_mr(f->context, &bind, NULL, ms, &mw, key), 0);
    return mw;
}

static void causes(int error, int code, enum rvt_cause cause) {
    struct rvt_failure failure;
    CHECK_EQ(error, -code);
    rvt_take_failure(&failure);
    CHECK_EQ(failure.numbers[RVT_FAILURE_CAUSE], (uint64_t)cause);
}

/* Judges a remote access by all ways of checking: with and without a reference. Returns the reason. */
static enum rvt_reason judged(struct fixture *f, struct rvt_qp_handle qp, uint64_t addr, uint32_t length,
                              uint32_t key, uint32_t acc) {
    struct rvt_place place;
    struct rvt_sge sge;
    read_enter(f);
    const int answer = rvt_rkey_check(qp, length, addr, key, acc, &place, &f->reason);
    read_leave(f);
    const enum rvt_reason reason = answer ? RVT_REASON_NONE : f->reason;
    const int taken = remote_in(f, qp, &sge, addr, length, key, acc);
    CHECK_EQ(taken, answer);
    CHECK_EQ(taken ? RVT_REASON_NONE : f->reason, reason);
    if (taken == 1) {
        CHECK_EQ(sge.at, place.at);
        CHECK(sge.user && sge.remote);
        rvt_put_sge(&sge);
    }
    return reason;
}

static void an_unbound_window_refuses(void) {
    struct fixture f;
    struct rvt_place place;
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    const uint32_t children = f.pd.pd->children;
    struct rvt_mw_handle mw = window(&f, &key);
    CHECK_EQ(f.pd.pd->children, children + 1);
    struct rvt_mw_attributes a = query(mw);
    CHECK(a.key == key && !a.bound && !a.lease && !a.region && !a.length && !a.access && !a.qp);
    CHECK_EQ(judged(&f, f.qp, 0, 1, key, REMOTE_READ), RVT_WINDOW_UNBOUND);
    CHECK_EQ(judged(&f, f.qp, 0, 0, key, REMOTE_READ), RVT_WINDOW_UNBOUND);
    CHECK_EQ(judged(&f, f.other_qp, 0, 1, key, REMOTE_READ), RVT_WINDOW_UNBOUND);
    CHECK_EQ(local_check(&f, &place, 0, 1, key, 0), 0);
    CHECK_EQ(f.reason, RVT_WINDOW_UNBOUND);
    CHECK_EQ(judged(&f, f.qp, 0, 1, key ^ 1, REMOTE_READ), RVT_STALE_KEY);
    causes(rvt_invalidate_rkey(f.qp, key), RVT_EINVAL, RVT_CAUSE_WINDOW_UNBOUND);
    CHECK_EQ(rvt_dealloc_mw(mw), 0);
    CHECK_EQ(judged(&f, f.qp, 0, 1, key, REMOTE_READ), RVT_REVOKED);
    CHECK(dead(mw));
    causes(rvt_dealloc_mw(mw), RVT_EBADF, RVT_CAUSE_WINDOW_GONE);
    causes(rvt_dealloc_mw((struct rvt_mw_handle){0}), RVT_EBADF, RVT_CAUSE_WINDOW_GONE);
    CHECK_EQ(f.pd.pd->children, children);
    fixture_close(&f);
}

static void a_bound_window_grants_its_part_and_its_rights(void) {
    struct fixture f;
    struct rvt_place place;
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    /* The region itself grants no remote right: a window has rights of its own. */
    struct rvt_mr_handle mr = registered(&f, LOCAL_WRITE | MW_BIND);
    struct rvt_mw_handle mw = bound(&f, mr, REMOTE_READ | REMOTE_WRITE, &key);
    struct rvt_mw_attributes a = query(mw);
    CHECK(a.key == key && a.bound && !a.lease && !a.expired);
    CHECK_EQ(a.region, fixture_query(mr).id);
    CHECK(a.addr == FROM && a.length == BYTES && a.access == (REMOTE_READ | REMOTE_WRITE));
    CHECK_EQ(a.qp, rvt_qp_serial(f.qp));

    CHECK_EQ(judged(&f, f.qp, FROM, BYTES, key, REMOTE_READ), RVT_REASON_NONE);
    CHECK_EQ(judged(&f, f.qp, FROM + 7, 3, key, REMOTE_WRITE), RVT_REASON_NONE);
    CHECK_EQ(remote_check(&f, &place, FROM + 7, 3, key, REMOTE_WRITE), 1);
    CHECK(place.at == 107 && place.user);
    CHECK_EQ(judged(&f, f.qp, FROM, BYTES, key, REMOTE_ATOMIC), RVT_ACCESS_DENIED);
    CHECK_EQ(judged(&f, f.qp, FROM - 1, 1, key, REMOTE_READ), RVT_OUT_OF_BOUNDS);
    CHECK_EQ(judged(&f, f.qp, FROM, BYTES + 1, key, REMOTE_READ), RVT_OUT_OF_BOUNDS);
    CHECK_EQ(judged(&f, f.qp, FROM + BYTES, 1, key, REMOTE_READ), RVT_OUT_OF_BOUNDS);
    CHECK_EQ(judged(&f, f.qp, FROM + BYTES, 0, key, REMOTE_READ), RVT_REASON_NONE);
    CHECK_EQ(judged(&f, f.qp, FROM + BYTES + 1, 0, key, REMOTE_READ), RVT_OUT_OF_BOUNDS);
    CHECK_EQ(judged(&f, f.qp, UINT64_MAX, 2, key, REMOTE_READ), RVT_OUT_OF_BOUNDS);
    /* The region's key gives nothing more than before. */
    CHECK_EQ(judged(&f, f.qp, FROM, 1, fixture_key(mr), REMOTE_READ), RVT_ACCESS_DENIED);

    /* Only for the peer of its queue pair, and only for peers. */
    struct rvt_qp_handle second;
    CHECK_EQ(rvt_create_check_qp(f.pd, &second), 0);
    CHECK_EQ(judged(&f, second, FROM, 1, key, REMOTE_READ), RVT_WINDOW_OTHER_QP);
    CHECK_EQ(judged(&f, f.other_qp, FROM, 1, key, REMOTE_READ), RVT_WRONG_PD);
    CHECK_EQ(local_check(&f, &place, FROM, 1, key, 0), 0);
    CHECK_EQ(f.reason, RVT_WINDOW_LOCAL);
    CHECK_EQ(local_check(&f, &place, START + 100, 1, key, LOCAL_WRITE), 0);
    CHECK_EQ(f.reason, RVT_WINDOW_LOCAL);
    /* The key that it had before it was bound is stale. */
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key ^ 1, REMOTE_READ), RVT_STALE_KEY);
    fixture_close(&f);
}

static void a_window_may_cover_the_whole_region_and_each_end(void) {
    struct fixture f;
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    const struct {
        uint64_t from, length;
        bool allowed;
    } ranges[] = {
        {IOVA, LENGTH, true},         {IOVA, 1, true},
        {IOVA + LENGTH - 1, 1, true}, {IOVA - 1, 2, false},
        {IOVA, LENGTH + 1, false},    {IOVA + LENGTH, 1, false},
        {UINT64_MAX, 1, false},       {0, 1, false},
        {IOVA, UINT64_MAX, false},    {IOVA + 1, UINT64_MAX, false},
    };
    struct rvt_mr_handle mr = registered(&f, MW_BIND);
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        struct rvt_mw_handle mw = window(&f, &key);
        const struct rvt_bind bind = {mr, ranges[i].from, ranges[i].length, REMOTE_READ, key};
        if (ranges[i].allowed) {
            CHECK_EQ(rvt_bind_mw(f.qp, mw, &bind), 0);
            CHECK_EQ(judged(&f, f.qp, ranges[i].from, (uint32_t)ranges[i].length, key, REMOTE_READ),
                     RVT_REASON_NONE);
        } else {
            causes(rvt_bind_mw(f.qp, mw, &bind), RVT_EINVAL, RVT_CAUSE_BIND_OUTSIDE);
            CHECK(!query(mw).bound);
        }
        CHECK_EQ(rvt_dealloc_mw(mw), 0);
    }
    /* An empty access behind the last byte of the last page points nowhere, as by the region's own key. */
    mr = fixture_reg(&f, bytes, LENGTH, 0x10000, 0x10000, MW_BIND | REMOTE_READ);
    struct rvt_mw_handle mw = window(&f, &key);
    CHECK_EQ(rvt_bind_mw(f.qp, mw, &(struct rvt_bind){mr, 0x10000 + PAGE, PAGE, REMOTE_READ, key}), 0);
    CHECK_EQ(judged(&f, f.qp, 0x10000 + LENGTH, 0, fixture_key(mr), REMOTE_READ), RVT_UNMAPPED);
    CHECK_EQ(judged(&f, f.qp, 0x10000 + LENGTH, 0, key, REMOTE_READ), RVT_UNMAPPED);
    fixture_close(&f);
}

static void binding_tests_everything_and_changes_nothing(void) {
    struct fixture f, far;
    struct rvt_mr_handle dma;
    uint32_t key, lease_key;
    REQUIRE(fixture_open(&f, 4));
    REQUIRE(fixture_open(&far, 4));
    struct rvt_mr_handle mr = registered(&f, LOCAL_WRITE | MW_BIND), none = {0};
    struct rvt_mw_handle mw = window(&f, &key), no_window = {0}, gone = window(&f, NULL);
    const struct rvt_bind good = {mr, FROM, BYTES, REMOTE_READ, key};
    struct rvt_bind bind;
    CHECK_EQ(rvt_dealloc_mw(gone), 0);
#define REFUSES(change, code, cause) (bind = good, change, causes(rvt_bind_mw(f.qp, mw, &bind), code, cause))
    REFUSES(bind.access = LOCAL_WRITE, RVT_EINVAL, RVT_CAUSE_BIND_RIGHTS);
    REFUSES(bind.access = REMOTE_READ | MW_BIND, RVT_EINVAL, RVT_CAUSE_BIND_RIGHTS);
    REFUSES(bind.access = UINT32_MAX, RVT_EINVAL, RVT_CAUSE_BIND_RIGHTS);
    REFUSES(bind.length = 0, RVT_EINVAL, RVT_CAUSE_BIND_EMPTY);
    REFUSES(bind.mr = none, RVT_EBADF, RVT_CAUSE_REGION_GONE);
    for (uint32_t bit = 8; bit < 32; bit++)
        REFUSES(bind.key = key ^ UINT32_C(1) << bit, RVT_EINVAL, RVT_CAUSE_WINDOW_KEY_SLOT);
    REFUSES(bind.mr = fixture_reg(&far, bytes, PAGE, 0, 0, MW_BIND), RVT_EINVAL,
            RVT_CAUSE_REGION_ON_OTHER_DEVICE);
    REFUSES(bind.mr = registered(&f, LOCAL_WRITE), RVT_EACCES, RVT_CAUSE_BIND_NOT_ALLOWED);
    REFUSES((bind.mr = registered(&f, MW_BIND), bind.access = REMOTE_WRITE), RVT_EACCES,
            RVT_CAUSE_BIND_NEEDS_LOCAL_WRITE);
    REFUSES((bind.mr = registered(&f, MW_BIND), bind.access = REMOTE_ATOMIC), RVT_EACCES,
            RVT_CAUSE_BIND_NEEDS_LOCAL_WRITE);
    REFUSES(bind.mr = fixture_reg_in(f.other_pd, bytes, PAGE, IOVA, IOVA, MW_BIND), RVT_EACCES,
            RVT_CAUSE_REGION_IN_OTHER_PD);
    CHECK_EQ(rvt_get_dma_mr(f.pd, MW_BIND, &dma), 0);
    REFUSES(bind.mr = dma, RVT_EINVAL, RVT_CAUSE_REGION_KIND);
    REFUSES(bind.mr = fixture_mem_reg(&f, 1), RVT_EINVAL, RVT_CAUSE_REGION_KIND);
    REFUSES(bind.mr = fixture_fmr(&f, MW_BIND, 1, 12), RVT_EINVAL, RVT_CAUSE_REGION_KIND);
    struct rvt_mr_handle invalid = registered(&f, MW_BIND);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, fixture_key(invalid)), 0);
    REFUSES(bind.mr = invalid, RVT_EINVAL, RVT_CAUSE_BIND_INVALID);
    struct rvt_mr_handle half_dead = registered(&f, MW_BIND);
    struct rvt_sge sge;
    CHECK_EQ(local(&f, &sge, START, 1, fixture_key(half_dead), 0), 1);
    CHECK_EQ(rvt_dereg_mr(half_dead, RVT_RELEASE), -RVT_EBUSY);
    REFUSES(bind.mr = half_dead, RVT_EINVAL, RVT_CAUSE_HALF_DEAD);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dereg_mr(half_dead, RVT_RELEASE), 0);
    REFUSES(bind.mr = half_dead, RVT_EBADF, RVT_CAUSE_REGION_GONE);
#undef REFUSES
    causes(rvt_bind_mw(f.qp, gone, &good), RVT_EBADF, RVT_CAUSE_WINDOW_GONE);
    causes(rvt_bind_mw(f.qp, no_window, &good), RVT_EBADF, RVT_CAUSE_WINDOW_GONE);
    causes(rvt_bind_mw((struct rvt_qp_handle){0}, mw, &good), RVT_EBADF, RVT_CAUSE_QP_GONE);
    causes(rvt_bind_mw(f.other_qp, mw, &good), RVT_EACCES, RVT_CAUSE_WINDOW_IN_OTHER_PD);
    causes(rvt_bind_mw(far.qp, mw, &good), RVT_EINVAL, RVT_CAUSE_WINDOW_ON_OTHER_DEVICE);
    struct rvt_mw_handle lease = leased(&f, registered(&f, REMOTE_READ), 100000, &lease_key);
    causes(rvt_bind_mw(f.qp, lease, &good), RVT_EINVAL, RVT_CAUSE_WINDOW_IS_LEASE);
    CHECK(!query(mw).bound && query(mw).key == key);

    /* A bound window is not bound again: it must be invalidated first. */
    CHECK_EQ(rvt_bind_mw(f.qp, mw, &good), 0);
    causes(rvt_bind_mw(f.qp, mw, &good), RVT_EINVAL, RVT_CAUSE_WINDOW_BOUND);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
    struct rvt_qp_handle ended;
    CHECK_EQ(rvt_create_check_qp(f.pd, &ended), 0);
    CHECK_EQ(rvt_destroy_qp(ended), 0);
    causes(rvt_bind_mw(ended, mw, &good), RVT_EBADF, RVT_CAUSE_QP_GONE);
    CHECK_EQ(rvt_bind_mw(f.qp, mw, &good), 0);
    fixture_close_one(&far);
    fixture_close(&f);
}

static void a_window_without_rights_refuses_everything(void) {
    struct fixture f;
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    bound(&f, registered(&f, LOCAL_WRITE | REMOTE_READ | MW_BIND), 0, &key);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, REMOTE_READ), RVT_ACCESS_DENIED);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, LOCAL_WRITE), RVT_ACCESS_DENIED);
    fixture_close(&f);
}

static void a_window_of_type_1_is_bound_over_and_over(void) {
    struct fixture f;
    struct rvt_qp_handle second;
    struct rvt_mw_handle mw = {0};
    struct rvt_sge sge;
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    causes(rvt_alloc_mw(f.pd, 0, &mw, &key), RVT_EINVAL, RVT_CAUSE_WINDOW_TYPE);
    causes(rvt_alloc_mw(f.pd, 3, &mw, &key), RVT_EINVAL, RVT_CAUSE_WINDOW_TYPE);
    CHECK_EQ(rvt_alloc_mw(f.pd, RVT_MW_TYPE_ONE, &mw, &key), 0);
    CHECK_EQ(query(mw).type, RVT_MW_TYPE_ONE);
    CHECK_EQ(rvt_create_check_qp(f.pd, &second), 0);
    struct rvt_mr_handle mr = registered(&f, LOCAL_WRITE | MW_BIND), other = registered(&f, MW_BIND);
    struct rvt_bind bind = {mr, FROM, BYTES, REMOTE_WRITE, key ^ 1};
    CHECK_EQ(rvt_bind_mw(f.qp, mw, &bind), 0);
    CHECK_EQ(judged(&f, second, FROM, 1, key ^ 1, REMOTE_WRITE), RVT_REASON_NONE);
    CHECK_EQ(judged(&f, f.other_qp, FROM, 1, key ^ 1, REMOTE_WRITE), RVT_WRONG_PD);
    causes(rvt_invalidate_rkey(f.qp, key ^ 1), RVT_EINVAL, RVT_CAUSE_WINDOW_TYPE);
    CHECK_EQ(remote(&f, &sge, FROM, 1, key ^ 1, REMOTE_WRITE), 1);
    /* A bind that is refused leaves the present one. */
    bind.length = PAGE * 9;
    bind.key = key ^ 2;
    causes(rvt_bind_mw(f.qp, mw, &bind), RVT_EINVAL, RVT_CAUSE_BIND_OUTSIDE);
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    bind = (struct rvt_bind){other, FROM, 1, REMOTE_READ, key ^ 2};
    CHECK_EQ(rvt_bind_mw(second, mw, &bind), 0);
    CHECK_EQ(usable(&f, &sge), RVT_WINDOW_ENDED);
    rvt_put_sge(&sge);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key ^ 1, REMOTE_WRITE), RVT_STALE_KEY);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key ^ 2, REMOTE_READ), RVT_REASON_NONE);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    causes(rvt_dereg_mr(other, RVT_RELEASE), RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND);
    /* No bytes: unbound. */
    bind = (struct rvt_bind){{0}, 0, 0, 0, key ^ 3};
    CHECK_EQ(rvt_bind_mw(f.qp, mw, &bind), 0);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key ^ 3, REMOTE_READ), RVT_WINDOW_UNBOUND);
    CHECK_EQ(rvt_bind_mw(f.qp, mw, &bind), 0); /* also if it is unbound already */
    CHECK_EQ(rvt_dereg_mr(other, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void invalidation_unbinds(void) {
    struct fixture f;
    struct rvt_qp_handle second;
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_create_check_qp(f.pd, &second), 0);
    struct rvt_mr_handle mr = registered(&f, LOCAL_WRITE | MW_BIND);
    struct rvt_mw_handle mw = bound(&f, mr, REMOTE_WRITE, &key);
    causes(rvt_invalidate_rkey(second, key), RVT_EINVAL, RVT_CAUSE_WINDOW_OF_OTHER_QP);
    causes(rvt_invalidate_rkey(f.other_qp, key), RVT_EINVAL, RVT_CAUSE_KEY_IN_OTHER_PD);
    causes(rvt_invalidate_rkey(f.qp, key ^ 1), RVT_EINVAL, RVT_CAUSE_UNKNOWN_KEY);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, REMOTE_WRITE), RVT_REASON_NONE);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, REMOTE_WRITE), RVT_WINDOW_UNBOUND);
    causes(rvt_invalidate_rkey(f.qp, key), RVT_EINVAL, RVT_CAUSE_WINDOW_UNBOUND);
    CHECK(!query(mw).bound && query(mw).key == key);
    /* It can be bound again, also for another queue pair and region. */
    struct rvt_mr_handle other = fixture_reg(&f, bytes, PAGE, 0, 0, MW_BIND);
    CHECK_EQ(rvt_bind_mw(second, mw, &(struct rvt_bind){other, 0, 1, REMOTE_READ, key ^ 2}), 0);
    CHECK_EQ(judged(&f, second, 0, 1, key ^ 2, REMOTE_READ), RVT_REASON_NONE);
    CHECK_EQ(judged(&f, f.qp, 0, 1, key ^ 2, REMOTE_READ), RVT_WINDOW_OTHER_QP);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void a_region_with_windows_does_not_go(void) {
    struct fixture f;
    struct rvt_failure failure;
    uint32_t keys[3];
    bool lost;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f, MW_BIND | REMOTE_READ), free_one = registered(&f, 0);
    struct rvt_mw_handle first = bound(&f, mr, REMOTE_READ, &keys[0]);
    bound(&f, mr, REMOTE_READ, &keys[1]);
    leased(&f, mr, 100000, &keys[2]);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    rvt_take_failure(&failure);
    CHECK_EQ(failure.numbers[RVT_FAILURE_CAUSE], RVT_CAUSE_WINDOWS_BOUND);
    CHECK_EQ(failure.numbers[RVT_FAILURE_VALUE], 3);
    causes(rvt_dereg_mr(mr, RVT_RELEASE_AWAIT), RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND);
    const struct rvt_mr_handle list[] = {free_one, mr};
    CHECK_EQ(rvt_dereg_mrs(f.pd, list, 2, RVT_RELEASE), -RVT_EBUSY);
    rvt_take_failure(&failure);
    CHECK_EQ(failure.numbers[RVT_FAILURE_CAUSE], RVT_CAUSE_WINDOWS_BOUND);
    CHECK_EQ(failure.numbers[RVT_FAILURE_INDEX], 1);
    CHECK(!fixture_dead(free_one));
    causes(rvt_invalidate_rkey(f.qp, fixture_key(mr)), RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND);
    causes(rvt_rereg_mr(mr, &(struct rvt_rereg){.flags = RVT_REREG_ACCESS}, NULL, &lost), RVT_EBUSY,
           RVT_CAUSE_WINDOWS_BOUND);
    CHECK(!lost);
    struct rvt_mr_attributes a = fixture_query(mr);
    CHECK(a.valid && !a.half_dead && a.refs == 2);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(judged(&f, f.qp, FROM, 1, keys[i], REMOTE_READ), RVT_REASON_NONE);

    CHECK_EQ(rvt_dealloc_mw(first), 0);
    causes(rvt_dereg_mr(mr, RVT_RELEASE), RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, keys[1]), 0);
    causes(rvt_dereg_mr(mr, RVT_RELEASE), RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, keys[2]), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void a_forced_end_ends_its_windows(void) {
    struct fixture f;
    uint32_t key, lease_key;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f, MW_BIND | REMOTE_READ);
    struct rvt_mw_handle mw = bound(&f, mr, REMOTE_READ, &key), lease = leased(&f, mr, 100000, &lease_key);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), 0);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, REMOTE_READ), RVT_WINDOW_UNBOUND);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, lease_key, REMOTE_READ), RVT_REVOKED);
    CHECK(!query(mw).bound && dead(lease));
    CHECK_EQ(f.device->leases, 0);
    /* The window can be bound again. */
    mr = registered(&f, MW_BIND);
    CHECK_EQ(rvt_bind_mw(f.qp, mw, &(struct rvt_bind){mr, FROM, 1, REMOTE_READ, key}), 0);
    /* With the domain, the window ends before its region. */
    CHECK_EQ(rvt_dealloc_pd(f.pd, true), 0);
    CHECK(dead(mw) && fixture_dead(mr));
    CHECK_EQ(fixture_head(f.device).used, 0);
    fixture_close(&f);
}

/* A window stays bound to a queue pair that has ended: nobody passes it, and it can be deallocated. A queue pair
 * created later is another one, even in the same place. */
static void a_queue_pair_ends_before_its_window(void) {
    struct fixture f;
    struct rvt_qp_handle qp, next;
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_create_check_qp(f.pd, &qp), 0);
    struct rvt_mr_handle mr = registered(&f, MW_BIND);
    struct rvt_mw_handle mw = window(&f, &key);
    CHECK_EQ(rvt_bind_mw(qp, mw, &(struct rvt_bind){mr, FROM, BYTES, REMOTE_READ, key}), 0);
    CHECK_EQ(rvt_destroy_qp(qp), 0);
    CHECK_EQ(rvt_create_check_qp(f.pd, &next), 0);
    CHECK(next.qp == qp.qp);
    CHECK_EQ(judged(&f, next, FROM, 1, key, REMOTE_READ), RVT_WINDOW_OTHER_QP);
    causes(rvt_invalidate_rkey(next, key), RVT_EINVAL, RVT_CAUSE_WINDOW_OF_OTHER_QP);
    causes(rvt_dereg_mr(mr, RVT_RELEASE), RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND);
    CHECK_EQ(rvt_dealloc_mw(mw), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    fixture_close(&f);
}

/* --- references --- */

static void a_reference_holds_the_region_and_ends_with_the_window(void) {
    struct fixture f;
    struct rvt_sge sge, same;
    struct rvt_copied copied;
    unsigned char data[4] = {9, 9, 9, 9};
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    for (int how = 0; how < 3; how++) {
        struct rvt_mr_handle mr = registered(&f, LOCAL_WRITE | MW_BIND);
        struct rvt_mw_handle mw = bound(&f, mr, REMOTE_WRITE | REMOTE_READ, &key);
        memset(bytes, 1, sizeof(bytes));
        CHECK_EQ(remote(&f, &sge, FROM + 4, 8, key, REMOTE_WRITE), 1);
        CHECK_EQ(remote(&f, &same, FROM + 4, 8, key, REMOTE_WRITE | REMOTE_READ), 1);
        CHECK_EQ(sge.rights, REMOTE_WRITE);
        CHECK_EQ(fixture_refs(mr), 4);
        CHECK_EQ(put_bytes(&f, &sge, data, 4, &copied), 0);
        CHECK(bytes[103] == 1 && bytes[104] == 9 && bytes[107] == 9 && bytes[108] == 1);
        CHECK_EQ(get_bytes(&f, &same, data, 4, &copied), 0);
        if (how == 0)
            CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
        else if (how == 1)
            CHECK_EQ(rvt_dealloc_mw(mw), 0);
        else
            CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), 0);
        const enum rvt_reason reason = how == 2 ? RVT_REGION_REVOKED : RVT_WINDOW_ENDED;
        CHECK_EQ(usable(&f, &sge), reason);
        memset(bytes, 2, sizeof(bytes));
        CHECK_EQ(put_bytes(&f, &sge, data, 4, &copied), -RVT_EACCES);
        CHECK_EQ(copied.reason, reason);
        CHECK_EQ(get_bytes(&f, &same, data, 4, &copied), -RVT_EACCES);
        CHECK_EQ(bytes[104], 2);
        if (how < 2) {
            /* Bound again: what was accepted under the old binding stays refused. */
            if (how == 0)
                CHECK_EQ(rvt_bind_mw(f.qp, mw, &(struct rvt_bind){mr, FROM, BYTES, REMOTE_WRITE, key}), 0);
            CHECK_EQ(usable(&f, &sge), RVT_WINDOW_ENDED);
            if (how == 0)
                CHECK_EQ(rvt_dealloc_mw(mw), 0);
            CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY); /* the region is held */
        }
        rvt_put_sge(&sge);
        rvt_put_sge(&same);
        if (how < 2)
            CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    fixture_close(&f);
}

static void a_counted_region_counts_what_its_windows_do(void) {
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_copied copied;
    struct looked last = {0};
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f, LOCAL_WRITE | MW_BIND);
    bound(&f, mr, REMOTE_WRITE, &key);
    CHECK_EQ(rvt_count_mr(mr), 0);
    CHECK_EQ(remote(&f, &sge, FROM, 8, key, REMOTE_WRITE), 1);
    CHECK_EQ(put_bytes(&f, &sge, "12345678", 8, &copied), 0);
    rvt_put_sge(&sge);
    CHECK_EQ(remote(&f, &sge, FROM, 8, key, REMOTE_READ), 0);
    MR_COUNTED(mr, &last, 1, 1, 8);
    fixture_close(&f);
}

/* --- leases --- */

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){0, ms * 1000000}, NULL);
}

static void a_lease_works_for_every_queue_pair_of_its_domain_or_for_one(void) {
    struct fixture f;
    struct rvt_qp_handle second;
    struct rvt_mw_handle tied = {0};
    uint32_t key, tied_key;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_create_check_qp(f.pd, &second), 0);
    struct rvt_mr_handle mr = registered(&f, REMOTE_READ); /* without MW_BIND */
    struct rvt_mw_handle lease = leased(&f, mr, 100000, &key);
    struct rvt_mw_attributes a = query(lease);
    CHECK(a.lease && a.bound && !a.expired && !a.qp && a.addr == FROM && a.length == BYTES);
    CHECK(key >> 8 != fixture_key(mr) >> 8);
    CHECK_EQ(judged(&f, f.qp, FROM, BYTES, key, REMOTE_READ), RVT_REASON_NONE);
    CHECK_EQ(judged(&f, second, FROM, BYTES, key, REMOTE_READ), RVT_REASON_NONE);
    CHECK_EQ(judged(&f, f.other_qp, FROM, BYTES, key, REMOTE_READ), RVT_WRONG_PD);
    CHECK_EQ(judged(&f, f.qp, FROM, BYTES + 1, key, REMOTE_READ), RVT_OUT_OF_BOUNDS);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, REMOTE_WRITE), RVT_ACCESS_DENIED);

    const struct rvt_bind bind = {mr, FROM, 8, REMOTE_READ, 0};
    CHECK_EQ(rvt_lease_mr(NULL, &bind, &second, UINT64_MAX, &tied, &tied_key), 0);
    CHECK_EQ(judged(&f, second, FROM, 8, tied_key, REMOTE_READ), RVT_REASON_NONE);
    CHECK_EQ(judged(&f, f.qp, FROM, 8, tied_key, REMOTE_READ), RVT_WINDOW_OTHER_QP);
    CHECK_EQ(query(tied).qp, rvt_qp_serial(second));
    CHECK_EQ(rvt_dealloc_mw(lease), 0);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, REMOTE_READ), RVT_REVOKED);
    CHECK_EQ(f.device->leases, 1);
    fixture_close(&f);
}

static void a_lease_is_refused_for_cause(void) {
    struct fixture f, far;
    struct rvt_mw_handle mw;
    uint32_t key;
    REQUIRE(fixture_open(&f, 2));
    REQUIRE(fixture_open(&far, 4));
    struct rvt_mr_handle mr = registered(&f, REMOTE_READ);
    struct rvt_bind bind = {mr, FROM, BYTES, REMOTE_WRITE, 0};
    causes(rvt_lease_mr(NULL, &bind, NULL, 1, &mw, &key), RVT_EACCES, RVT_CAUSE_BIND_NEEDS_LOCAL_WRITE);
    struct rvt_mr_handle writable = registered(&f, LOCAL_WRITE | REMOTE_READ);
    bind.mr = writable;
    causes(rvt_lease_mr(NULL, &bind, NULL, 1, &mw, &key), RVT_EACCES, RVT_CAUSE_LEASE_RIGHTS);
    bind.access = REMOTE_READ;
    bind.length = LENGTH;
    causes(rvt_lease_mr(NULL, &bind, NULL, 1, &mw, &key), RVT_EINVAL, RVT_CAUSE_BIND_OUTSIDE);
    bind.length = 1;
    causes(rvt_lease_mr(NULL, &bind, &f.other_qp, 1, &mw, &key), RVT_EACCES, RVT_CAUSE_REGION_IN_OTHER_PD);
    causes(rvt_lease_mr(NULL, &bind, &far.qp, 1, &mw, &key), RVT_EINVAL, RVT_CAUSE_REGION_ON_OTHER_DEVICE);
    causes(rvt_lease_mr(NULL, &bind, &(struct rvt_qp_handle){0}, 1, &mw, &key), RVT_EBADF, RVT_CAUSE_QP_GONE);
    struct rvt_qp_handle ended;
    CHECK_EQ(rvt_create_check_qp(f.pd, &ended), 0);
    CHECK_EQ(rvt_destroy_qp(ended), 0);
    causes(rvt_lease_mr(NULL, &bind, &ended, 1, &mw, &key), RVT_EBADF, RVT_CAUSE_QP_GONE);
    bind.mr = (struct rvt_mr_handle){0};
    causes(rvt_lease_mr(NULL, &bind, NULL, 1, &mw, &key), RVT_EBADF, RVT_CAUSE_REGION_GONE);
    bind.mr = mr;
    CHECK_EQ(rvt_lease_mr(NULL, &bind, NULL, 100000, &mw, &key), 0);
    CHECK_EQ(rvt_lease_mr(NULL, &bind, NULL, 100000, &mw, &key), 0); /* the last slot */
    causes(rvt_lease_mr(NULL, &bind, NULL, 100000, &mw, &key), RVT_ENOMEM, RVT_CAUSE_TABLE_FULL);
    causes(rvt_alloc_mw(f.pd, RVT_MW_TYPE_TWO, &mw, &key), RVT_ENOMEM, RVT_CAUSE_TABLE_FULL);
    CHECK_EQ(f.device->leases, 2);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), 0);
    CHECK_EQ(f.device->leases, 0);
    fixture_close_one(&far);
    fixture_close(&f);
}

static void a_lease_expires_by_itself(void) {
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_copied copied;
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f, REMOTE_READ);
    struct rvt_mw_handle lease = leased(&f, mr, 60, &key);
    CHECK_EQ(remote(&f, &sge, FROM, 4, key, REMOTE_READ), 1);
    sleep_ms(100);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, REMOTE_READ), RVT_LEASE_EXPIRED);
    CHECK_EQ(judged(&f, f.other_qp, FROM, 1, key, REMOTE_READ), RVT_WRONG_PD);
    CHECK_EQ(judged(&f, f.qp, FROM - 1, 1, key, REMOTE_READ), RVT_LEASE_EXPIRED);
    CHECK_EQ(usable(&f, &sge), RVT_LEASE_EXPIRED);
    CHECK_EQ(get_bytes(&f, &sge, (unsigned char[4]){0}, 4, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_LEASE_EXPIRED);
    rvt_put_sge(&sge);
    CHECK(query(lease).expired && query(lease).bound);
    /* An expired lease does not keep its region. */
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK(dead(lease));
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, REMOTE_READ), RVT_REVOKED);

    /* A lease of 0 ms has expired at once. */
    mr = registered(&f, REMOTE_READ);
    leased(&f, mr, 0, &key);
    CHECK_EQ(judged(&f, f.qp, FROM, 1, key, REMOTE_READ), RVT_LEASE_EXPIRED);
    fixture_close(&f);
}

static void expired_leases_give_their_slots_back(void) {
    struct fixture f;
    uint32_t key;
    REQUIRE(fixture_open(&f, 2)); /* 4 slots */
    struct rvt_mr_handle mr = registered(&f, REMOTE_READ);
    for (int i = 0; i < 3; i++)
        leased(&f, mr, 0, &key); /* each ends the one before, which has expired */
    CHECK_EQ(fixture_head(f.device).used, 2);
    struct rvt_mr_handle second = registered(&f, REMOTE_READ);
    leased(&f, second, 0, &key);
    CHECK_EQ(fixture_head(f.device).used, 4);
    /* A full table ends the expired leases of all regions. */
    CHECK_EQ(rvt_reg_user_mr_test(f.pd, 0, 1, 0), 0);
    CHECK_EQ(fixture_head(f.device).used, 2);
    leased(&f, mr, 0, &key);
    leased(&f, second, 0, &key);
    registered(&f, 0);
    CHECK_EQ(fixture_head(f.device).used, 3);
    CHECK_EQ(f.device->leases, 0);
    fixture_close(&f);
}

/* --- waits, reports, allocation failures --- */

static int dealloc_waiting(void *data) {
    return rvt_dealloc_mw(*(struct rvt_mw_handle *)data);
}

static void ending_a_window_waits_for_readers(void) {
    struct fixture f;
    struct waiting waiting;
    struct rvt_place place;
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f, MW_BIND);
    struct rvt_mw_handle mw = bound(&f, mr, REMOTE_READ, &key);
    read_enter(&f);
    CHECK_EQ(remote_check(&f, &place, FROM, 1, key, REMOTE_READ), 1);
    CHECK(begin_waiting(&waiting, dealloc_waiting, &mw));
    CHECK_EQ(remote_check(&f, &place, FROM, 1, key, REMOTE_READ), 0);
    CHECK_EQ(f.reason, RVT_REVOKED);
    CHECK(still_waiting(&waiting));
    read_leave(&f);
    CHECK_EQ(end_waiting(&waiting), 0);
    fixture_close(&f);
}

static bool note_row(void *context, enum rvt_resource_kind kind, const uint64_t *fields) {
    if (kind == RVT_RESOURCE_MW)
        memcpy(context, fields, RVT_MW_FIELDS * sizeof(*fields));
    return true;
}

static void reports_show_windows(void) {
    struct fixture f;
    uint64_t row[RVT_MW_FIELDS] = {0}, slot[RVT_SLOT_FIELDS];
    uint32_t key;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f, MW_BIND | REMOTE_READ);
    struct rvt_mw_handle mw = bound(&f, mr, REMOTE_READ, &key);
    rvt_resource_report(f.device, note_row, row);
    CHECK(row[RVT_MW_ID] == query(mw).id && row[RVT_MW_KEY] == key && !row[RVT_MW_LEASE]);
    CHECK(row[RVT_MW_PD] == rvt_pd_serial(f.pd) && row[RVT_MW_REGION] == fixture_query(mr).id);
    CHECK(row[RVT_MW_ADDRESS] == FROM && row[RVT_MW_LENGTH] == BYTES && row[RVT_MW_ACCESS] == REMOTE_READ);
    CHECK(row[RVT_MW_QP] == rvt_qp_serial(f.qp) && !row[RVT_MW_MS_LEFT]);
    const struct rvt_asker asker = {f.pd.pd, NULL, true};
    rvt_report_key(f.device, &asker, key, slot);
    CHECK(slot[RVT_SLOT_WINDOW] == 1 && slot[RVT_SLOT_LIVE] == 1 && slot[RVT_SLOT_KEY] == key);
    CHECK(slot[RVT_SLOT_REGION + RVT_MR_ID] == fixture_query(mr).id);
    CHECK(slot[RVT_SLOT_WINDOW_ADDRESS] == FROM && slot[RVT_SLOT_WINDOW_LENGTH] == BYTES);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
    rvt_report_key(f.device, &asker, key, slot);
    CHECK(slot[RVT_SLOT_WINDOW] == 1 && !slot[RVT_SLOT_LIVE] && slot[RVT_SLOT_KEY] == key);
    CHECK_EQ(rvt_dealloc_mw(mw), 0);
    struct rvt_mw_handle lease = leased(&f, mr, 100000, &key);
    rvt_report_key(f.device, &asker, key, slot);
    CHECK(slot[RVT_SLOT_WINDOW] == 2 && slot[RVT_SLOT_WINDOW_MS_LEFT] > 50000);
    CHECK_EQ(rvt_dealloc_mw(lease), 0);
    CHECK_EQ(fixture_head(f.device).used, 1);
    fixture_close(&f);
}

static int alloc_verb(struct fixture *f) {
    struct rvt_mw_handle mw;
    return rvt_alloc_mw(f->pd, RVT_MW_TYPE_TWO, &mw, NULL);
}

static void prepare_lease(struct fixture *f) {
    f->mr = registered(f, REMOTE_READ);
}

static int lease_verb(struct fixture *f) {
    struct rvt_mw_handle mw;
    const struct rvt_bind bind = {f->mr, FROM, BYTES, REMOTE_READ, 0};
    return rvt_lease_mr(NULL, &bind, NULL, 100000, &mw, NULL);
}

static void allocations_may_fail(void) {
    each_allocation_fails(NULL, alloc_verb, 1);
    each_allocation_fails(prepare_lease, lease_verb, 1);
}

static void windows_end_with_their_context(void) {
    struct fixture first, f;
    uint32_t key;
    REQUIRE(fixture_open_joined(&first, 4));
    REQUIRE(fixture_join(&f, first.device));
    struct rvt_mr_handle mr = registered(&f, MW_BIND | REMOTE_READ);
    struct rvt_mw_handle mw = bound(&f, mr, REMOTE_READ, &key), lease = leased(&f, mr, 100000, &key);
    CHECK(rvt_mw_find_by(first.context, mw.mw->owned.object.index, mw.generation).mw == mw.mw);
    CHECK(!rvt_mw_find_by(first.context, 99, 1).mw);
    CHECK(!rvt_mw_find_by(first.context, mw.mw->owned.object.index, 2).mw);
    CHECK_EQ(rvt_dealloc_ucontext(f.context, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_ucontext(f.context, true), 0);
    CHECK(dead(mw) && dead(lease));
    const struct rvt_bind bind = {mr, FROM, 1, REMOTE_READ, 0};
    CHECK_EQ(rvt_lease_mr(f.context, &bind, NULL, 1, &lease, NULL), -RVT_EBADF);
    struct rvt_mw_handle more;
    CHECK_EQ(rvt_alloc_mw(f.pd, RVT_MW_TYPE_TWO, &more, NULL), -RVT_EBADF);
    CHECK_EQ(rvt_alloc_mw((struct rvt_pd_handle){0}, RVT_MW_TYPE_TWO, &more, NULL), -RVT_EBADF);
    fixture_leave(&f);
    fixture_leave_last(&first, &first);
}

CHECK_MAIN(TEST(an_unbound_window_refuses), TEST(a_bound_window_grants_its_part_and_its_rights),
           TEST(a_window_may_cover_the_whole_region_and_each_end),
           TEST(binding_tests_everything_and_changes_nothing),
           TEST(a_window_without_rights_refuses_everything), TEST(a_window_of_type_1_is_bound_over_and_over),
           TEST(invalidation_unbinds), TEST(a_region_with_windows_does_not_go),
           TEST(a_forced_end_ends_its_windows), TEST(a_queue_pair_ends_before_its_window),
           TEST(a_reference_holds_the_region_and_ends_with_the_window),
           TEST(a_counted_region_counts_what_its_windows_do),
           TEST(a_lease_works_for_every_queue_pair_of_its_domain_or_for_one),
           TEST(a_lease_is_refused_for_cause), TEST(a_lease_expires_by_itself),
           TEST(expired_leases_give_their_slots_back), TEST(ending_a_window_waits_for_readers),
           TEST(reports_show_windows), TEST(allocations_may_fail), TEST(windows_end_with_their_context))
