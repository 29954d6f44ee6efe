/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/check.h"

#include <sys/mman.h>

#include <pthread.h>

#include "fixture.h"

static alignas(4096) unsigned char bytes[16 * PAGE];

static const uint64_t GIB = UINT64_C(1) << 30;

/* Checks one access with and without taking a reference; both results must agree. Returns the reason of the
 * refusal, or RVT_REASON_NONE with *place set. */
static enum rvt_reason local_verdict(struct fixture *f, struct rvt_pd_handle pd, uint64_t addr,
                                     uint32_t length, uint32_t key, uint32_t acc, struct rvt_place *place) {
    struct rvt_ib_sge wanted = {addr, length, key};
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    read_enter(f);
    int verdict = rvt_lkey_check(pd, &wanted, acc, place, &reason);
    read_leave(f);
    CHECK_EQ(verdict, reason ? 0 : 1);
    CHECK_EQ(local_in(f, pd, &sge, NULL, addr, length, key, acc), verdict ? 1 : -RVT_EINVAL);
    CHECK_EQ(f->reason, reason);
    if (verdict) {
        CHECK_EQ(sge.at, place->at);
        CHECK_EQ(sge.length, place->length);
        CHECK_EQ(rvt_sge_segment(&sge), place->segment);
        CHECK_EQ(sge.user, place->user);
        CHECK_EQ(sge.sge_length, length);
        CHECK_EQ(usable(f, &sge), RVT_REASON_NONE);
        rvt_put_sge(&sge);
    }
    return reason;
}

static enum rvt_reason remote_verdict(struct fixture *f, struct rvt_qp_handle qp, uint64_t addr,
                                      uint32_t length, uint32_t key, uint32_t acc, struct rvt_place *place) {
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    read_enter(f);
    int verdict = rvt_rkey_check(qp, length, addr, key, acc, place, &reason);
    read_leave(f);
    CHECK_EQ(verdict, reason ? 0 : 1);
    CHECK_EQ(remote_in(f, qp, &sge, addr, length, key, acc), verdict);
    CHECK_EQ(f->reason, reason);
    if (verdict) {
        CHECK_EQ(sge.at, place->at);
        CHECK_EQ(sge.length, place->length);
        CHECK_EQ(rvt_sge_segment(&sge), place->segment);
        CHECK_EQ(sge.sge_length, length);
        rvt_put_sge(&sge);
    }
    return reason;
}

static bool open_with_dma(struct fixture *f) {
    if (!fixture_open(f, 6))
        return false;
    fixture_dma(f, bytes, sizeof(bytes), 0x10000);
    return true;
}

/* Creates a region of two pages whose iova and DMA address are both 0x10000. */
static struct rvt_mr_handle two_pages(struct fixture *f, enum rvt_mr_kind kind, uint32_t access) {
    struct rvt_sg_outcome outcome;
    struct rvt_mr_handle mr;
    if (kind == RVT_MR_USER)
        return fixture_reg(f, bytes, 2 * PAGE, 0x10000, 0x10000, access);
    if (kind == RVT_MR_FMR) {
        mr = fixture_fmr(f, access, 4, 12);
        CHECK_EQ(rvt_map_phys_fmr(mr, (uint64_t[]){0x10000, 0x11000}, 2, 0x10000), 0);
        return mr;
    }
    mr = fixture_mem_reg(f, 4);
    CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){0x10000, 2 * PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_fast_reg_mr(f->qp, mr, fixture_key(mr), access, NULL), 0);
    return mr;
}

static const enum rvt_mr_kind slot_kinds[] = {RVT_MR_USER, RVT_MR_MEM_REG, RVT_MR_FMR};

/* Every combination of failed checks: the reason is that of the earliest failed check. */
static void a_refusal_reports_the_earliest_failed_check(void) {
    for (int k = 0; k < 3; k++) {
        for (int combination = 0; combination < 3 * 2 * 2 * 3 * 2; combination++) {
            int c = combination;
            int key_state = c % 3; /* 0: current key, 1: revoked, 2: stale */
            c /= 3;
            bool invalid = c % 2, wrong_pd = c / 2 % 2;
            c /= 4;
            int where = c % 3; /* 0: inside, 1: out of bounds, 2: on no segment */
            bool denied = c / 3;

            struct fixture f;
            struct rvt_place place;
            REQUIRE(open_with_dma(&f));
            struct rvt_mr_handle mr = two_pages(&f, slot_kinds[k], LOCAL_WRITE | REMOTE_WRITE);
            uint32_t key = fixture_key(mr);
            if (invalid)
                CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
            if (key_state == 1)
                CHECK_EQ(slot_kinds[k] == RVT_MR_FMR ? rvt_dealloc_fmr(mr, RVT_RELEASE)
                                                     : rvt_dereg_mr(mr, RVT_RELEASE),
                         0);
            if (key_state == 2)
                key ^= 1;
            uint64_t addr = where == 0 ? 0x10100 : where == 1 ? 0x11fff : 0x12000;
            uint32_t length = where == 0 ? 16 : where == 1 ? 2 : 0;
            uint32_t local_acc = denied ? LOCAL_WRITE | REMOTE_READ : LOCAL_WRITE | REMOTE_WRITE;
            uint32_t remote_acc = denied ? REMOTE_READ | REMOTE_ATOMIC : REMOTE_WRITE | REMOTE_READ;

            enum rvt_reason want = key_state == 1   ? RVT_REVOKED
                                   : key_state == 2 ? RVT_STALE_KEY
                                   : invalid        ? RVT_INVALIDATED
                                   : wrong_pd       ? RVT_WRONG_PD
                                   : where == 1     ? RVT_OUT_OF_BOUNDS
                                   : denied         ? RVT_ACCESS_DENIED
                                   : where == 2     ? RVT_UNMAPPED
                                                    : RVT_REASON_NONE;
            CHECK_EQ(local_verdict(&f, wrong_pd ? f.other_pd : f.pd, addr, length, key, local_acc, &place),
                     want);
            CHECK_EQ(remote_verdict(&f, wrong_pd ? f.other_qp : f.qp, addr, length, key, remote_acc, &place),
                     want);
            fixture_close(&f);
        }
    }
}

static void a_refusal_of_key_zero_reports_the_earliest_failed_check(void) {
    for (int combination = 0; combination < 2 * 2 * 3 * 2; combination++) {
        int c = combination;
        bool user = c % 2, no_region = c / 2 % 2;
        c /= 4;
        int where = c % 3; /* 0: inside, 1: past the end, 2: outside the mapping */
        bool remote_allowed = c / 3;
        struct fixture f;
        struct rvt_place place;
        struct rvt_mr_handle mr;
        REQUIRE(fixture_open_with(
            &f, (struct rvt_device_options){.lkey_table_bits = 4, .remote_key_zero = remote_allowed}));
        fixture_dma(&f, bytes, 2 * PAGE, 0x10000);
        if (!no_region)
            CHECK_EQ(rvt_get_dma_mr(f.other_pd, 0, &mr), 0);
        uint64_t addr = where == 2 ? 0x12000 : 0x11fff;
        uint32_t length = where == 1 ? 2 : 1;
        enum rvt_reason rest = no_region    ? RVT_NO_DMA_REGION
                               : where == 1 ? RVT_OUT_OF_BOUNDS
                               : where == 2 ? RVT_UNMAPPED
                                            : RVT_REASON_NONE;
        /* Key 0 ignores the access rights, and the DMA region of one kernel domain serves all kernel
         * domains. */
        CHECK_EQ(local_verdict(&f, user ? f.user_pd : f.pd, addr, length, 0, ALL_ACCESS, &place),
                 user ? RVT_KEY_ZERO_DENIED : rest);
        CHECK_EQ(remote_verdict(&f, user ? f.user_qp : f.qp, addr, length, 0, 0, &place),
                 user || !remote_allowed ? RVT_KEY_ZERO_DENIED : rest);
        fixture_close(&f);
    }
}

static void an_unknown_key_is_revoked_stale_or_never_issued(void) {
    struct fixture f;
    struct rvt_place place;
    REQUIRE(open_with_dma(&f));
    /* These slots have never held a region. */
    CHECK_EQ(local_verdict(&f, f.pd, 0x10000, 1, 0x100, 0, &place), RVT_NO_SUCH_KEY);
    CHECK_EQ(remote_verdict(&f, f.qp, 0x10000, 1, 0xffffffff, REMOTE_READ, &place), RVT_NO_SUCH_KEY);
    struct rvt_mr_handle mr = two_pages(&f, RVT_MR_MEM_REG, 0);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(local_verdict(&f, f.pd, 0x10000, 1, key, 0, &place), RVT_REASON_NONE);
    CHECK_EQ(local_verdict(&f, f.pd, 0x10000, 1, key | 3, 0, &place), RVT_STALE_KEY);
    CHECK_EQ(local_verdict(&f, f.pd, 0x10000, 1, key + 0x100, 0, &place), RVT_STALE_KEY);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key | 3, 0, NULL), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    /* key | 3 was the last key of the slot, so it reports "revoked"; older keys report "no such key". */
    CHECK_EQ(local_verdict(&f, f.pd, 0x10000, 1, key | 3, 0, &place), RVT_REVOKED);
    CHECK_EQ(local_verdict(&f, f.pd, 0x10000, 1, key, 0, &place), RVT_NO_SUCH_KEY);
    fixture_close(&f);
    /* The slot is reused, so the first key is stale. After the second region is deregistered, only its key
     * reports "revoked". */
    REQUIRE(fixture_open(&f, 1));
    struct rvt_mr_handle a = fixture_reg(&f, bytes, PAGE, 0, 0, 0);
    fixture_mem_reg(&f, 0);
    CHECK_EQ(rvt_dereg_mr(a, RVT_RELEASE), 0);
    struct rvt_mr_handle b = fixture_reg(&f, bytes, PAGE, 0, 0, 0);
    CHECK_EQ(fixture_key(b), 0x300);
    CHECK_EQ(local_verdict(&f, f.pd, 0, 1, 0x100, 0, &place), RVT_STALE_KEY);
    CHECK_EQ(local_verdict(&f, f.pd, 0, 1, 0x300, 0, &place), RVT_REASON_NONE);
    CHECK_EQ(rvt_dereg_mr(b, RVT_RELEASE), 0);
    CHECK_EQ(local_verdict(&f, f.pd, 0, 1, 0x100, 0, &place), RVT_NO_SUCH_KEY);
    CHECK_EQ(local_verdict(&f, f.pd, 0, 1, 0x300, 0, &place), RVT_REVOKED);
    fixture_close(&f);
}

static void local_checks_need_all_rights_and_remote_checks_any(void) {
    struct fixture f;
    struct rvt_place place;
    REQUIRE(open_with_dma(&f));
    for (uint32_t access = 0; access < 32; access++) {
        struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x10000, 0x10000, access);
        uint32_t key = fixture_key(mr);
        for (uint32_t acc = 0; acc < 32; acc++) {
            CHECK_EQ(local_verdict(&f, f.pd, 0x10000, 1, key, acc, &place),
                     (access & acc) == acc ? RVT_REASON_NONE : RVT_ACCESS_DENIED);
            CHECK_EQ(remote_verdict(&f, f.qp, 0x10000, 1, key, acc, &place),
                     access & acc ? RVT_REASON_NONE : RVT_ACCESS_DENIED);
        }
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    fixture_close(&f);
}

static void requests_must_lie_within_the_region(void) {
    const uint64_t last = UINT64_C(0) - 2 * PAGE; /* start of the second-last page of the address space */
    const struct {
        uint64_t base, length, addr;
        uint32_t request;
        bool ok;
    } rows[] = {
        {0x10000, 0x1800, 0x10000, 0x1800, true},
        {0x10000, 0x1800, 0x10000, 0x1801, false},
        {0x10000, 0x1800, 0xffff, 1, false},
        {0x10000, 0x1800, 0xffff, 2, false},
        {0x10000, 0x1800, 0x117ff, 1, true},
        {0x10000, 0x1800, 0x117ff, 2, false},
        {0x10000, 0x1800, 0x11800, 1, false},
        {0x10000, 0x1800, 0, 0, false},
        {0x10000, 0x1800, UINT64_MAX, 1, false},
        {0x10000, 0x1800, 0x10000, UINT32_MAX, false},
        /* address + length wraps around (docs/deviations.md, 1) */
        {0x1000, 0x1000, UINT64_MAX, 0x1002, false},
        {0x1000, 0x2000, UINT64_MAX - 0x7ff, 0x1800, false},
        {0, 0x1000, UINT64_MAX, 2, false},
        {0, 0x1000, UINT64_MAX, 1, false},
        {0, 0x1000, UINT64_MAX - 0x7fffffff, UINT32_MAX, false},
        {0, 0x1000, 0, 0x1000, true},
        {1, 0x1000, 0, 1, false},
        {1, 0x1000, 0, 2, false},
        /* the top of the address space */
        {last, 0x1000, last, 0x1000, true},
        {last, 0x1000, last + 0xfff, 1, true},
        {last, 0x1000, last + 0xfff, 2, false},
        {last, 0x1000, last + 0x1000, 1, false},
        {last, 0x1000, UINT64_MAX, 1, false},
        {last, 0x1000, UINT64_MAX, 2, false},
        {last, 0x1000, 0, 1, false},
        {last, 0x1000, last, UINT32_MAX, false},
        {last, 0x1000, last - 1, 2, false},
    };
    struct fixture f;
    struct rvt_place place;
    REQUIRE(fixture_open(&f, 6));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int failures = atomic_load(&check_failures);
        enum rvt_reason want = rows[i].ok ? RVT_REASON_NONE : RVT_OUT_OF_BOUNDS;
        /* Region a has the row's base as its local address, region b as its remote address. The other address
         * of each is unrelated. */
        struct rvt_mr_handle a = fixture_reg(&f, bytes, rows[i].length, rows[i].base, 0x500000, REMOTE_READ);
        struct rvt_mr_handle b = fixture_reg(&f, bytes, rows[i].length, 0x500000, rows[i].base, REMOTE_READ);
        CHECK_EQ(local_verdict(&f, f.pd, rows[i].addr, rows[i].request, fixture_key(a), 0, &place), want);
        if (rows[i].ok)
            CHECK_EQ(place.at, rows[i].addr - rows[i].base);
        CHECK_EQ(remote_verdict(&f, f.qp, rows[i].addr, rows[i].request, fixture_key(b), REMOTE_READ, &place),
                 want);
        if (rows[i].ok)
            CHECK_EQ(place.at, rows[i].addr - rows[i].base);
        CHECK_EQ(rvt_dereg_mr(a, RVT_RELEASE), 0);
        CHECK_EQ(rvt_dereg_mr(b, RVT_RELEASE), 0);
        if (atomic_load(&check_failures) != failures)
            printf("# row %zu\n", i);
    }
    /* A region whose remote range ends exactly at 2^64. */
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x1000, UINT64_C(0) - PAGE, REMOTE_READ);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(remote_verdict(&f, f.qp, UINT64_MAX, 1, key, REMOTE_READ, &place), RVT_REASON_NONE);
    CHECK_EQ(remote_verdict(&f, f.qp, UINT64_MAX, 2, key, REMOTE_READ, &place), RVT_OUT_OF_BOUNDS);
    CHECK_EQ(remote_verdict(&f, f.qp, 0, 1, key, REMOTE_READ, &place), RVT_OUT_OF_BOUNDS);
    CHECK_EQ(remote_verdict(&f, f.qp, 0, 0, key, REMOTE_READ, &place), RVT_OUT_OF_BOUNDS);
    fixture_close(&f);
}

static void empty_requests_must_lie_on_a_segment(void) {
    struct fixture f;
    struct rvt_place place;
    struct rvt_mr_handle mr, dma;
    struct rvt_sg_outcome outcome;
    REQUIRE(fixture_open(&f, 6));
    fixture_dma(&f, bytes, 2 * PAGE + 0x100, 0x10000);
    const struct {
        uint64_t start, length, at; /* at: offset into the region */
        enum rvt_reason want;
    } rows[] = {
        {0x5000, 0x1800, 0, RVT_REASON_NONE},
        {0x5000, 0x1800, 0x1000, RVT_REASON_NONE}, /* a page boundary inside the region */
        {0x5000, 0x1800, 0x1800, RVT_REASON_NONE}, /* the end of a region that ends in the middle of a page */
        {0x5000, 0x1800, 0x1801, RVT_OUT_OF_BOUNDS},
        {0x5000, 0x1000, 0x1000, RVT_UNMAPPED}, /* an end at a segment boundary */
        {0x5800, 0x1000, 0x1000, RVT_REASON_NONE},
        {0x5800, 0x800, 0x800, RVT_UNMAPPED},
        {0x5000, 256 * PAGE, 256 * PAGE, RVT_UNMAPPED}, /* past the first 256 entries of the map */
        {0x5000, 256 * PAGE, 256 * PAGE - 1, RVT_REASON_NONE},
        {0x5000, 256 * PAGE + 1, 256 * PAGE, RVT_REASON_NONE},
        {0x5000, 1, 1, RVT_REASON_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int failures = atomic_load(&check_failures);
        mr = fixture_reg(&f, bytes, rows[i].length, rows[i].start, 0x900001, REMOTE_READ);
        uint32_t key = fixture_key(mr);
        CHECK_EQ(local_verdict(&f, f.pd, rows[i].start + rows[i].at, 0, key, 0, &place), rows[i].want);
        CHECK_EQ(remote_verdict(&f, f.qp, 0x900001 + rows[i].at, 0, key, REMOTE_READ, &place), rows[i].want);
        /* A local check passes without access bits; a remote check never does. */
        CHECK_EQ(remote_verdict(&f, f.qp, 0x900001, 0, key, 0, &place), RVT_ACCESS_DENIED);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
        if (atomic_load(&check_failures) != failures)
            printf("# row %zu\n", i);
    }

    mr = fixture_fmr(&f, REMOTE_READ, 4, 12);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(local_verdict(&f, f.pd, 0, 0, key, 0, &place), RVT_UNMAPPED); /* the FMR was never mapped */
    CHECK_EQ(rvt_map_phys_fmr(mr, (uint64_t[]){0x10000, 0x11000}, 2, 0x7000), 0);
    CHECK_EQ(local_verdict(&f, f.pd, 0x8000, 0, key, 0, &place), RVT_REASON_NONE);
    CHECK_EQ(place.at, 0x11000);
    CHECK_EQ(local_verdict(&f, f.pd, 0x9000, 0, key, 0, &place), RVT_UNMAPPED);
    CHECK_EQ(remote_verdict(&f, f.qp, 0x9000, 0, key, REMOTE_READ, &place), RVT_UNMAPPED);
    CHECK_EQ(rvt_unmap_fmr(&mr, 1), 0);
    /* The FMR was mapped and unmapped. */
    CHECK_EQ(local_verdict(&f, f.pd, 0, 0, key, 0, &place), RVT_UNMAPPED);

    mr = fixture_fmr(&f, REMOTE_READ, 4, 0); /* one-byte segments */
    key = fixture_key(mr);
    CHECK_EQ(rvt_map_phys_fmr(mr, (uint64_t[]){0x10000, 0x11000}, 2, 0x7000), 0);
    CHECK_EQ(local_verdict(&f, f.pd, 0x7001, 0, key, 0, &place), RVT_REASON_NONE);
    CHECK_EQ(local_verdict(&f, f.pd, 0x7002, 0, key, 0, &place), RVT_UNMAPPED);

    mr = fixture_mem_reg(&f, 0);
    key = fixture_key(mr);
    CHECK_EQ(local_verdict(&f, f.pd, 0, 0, key, 0, &place), RVT_UNMAPPED);
    mr = fixture_mem_reg(&f, 2);
    key = fixture_key(mr);
    CHECK_EQ(local_verdict(&f, f.pd, 0, 0, key, 0, &place), RVT_UNMAPPED);
    CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){0x10800, 0x800}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(local_verdict(&f, f.pd, 0x10800, 0, key, 0, &place), RVT_REASON_NONE);
    CHECK_EQ(local_verdict(&f, f.pd, 0x11000, 0, key, 0, &place), RVT_UNMAPPED);
    /* A list that does not fit: the last page that fitted is a segment, although none of its bytes count. */
    CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){0x10080, 0x2000}, 1, 0, PAGE, &outcome), 0);
    CHECK_EQ(outcome.length, 0xf80);
    CHECK_EQ(local_verdict(&f, f.pd, 0x11000, 0, key, 0, &place), RVT_REASON_NONE);

    /* An empty access with key 0 must lie inside a mapping; the end of the mapping is excluded. */
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    CHECK_EQ(local_verdict(&f, f.pd, 0x10000, 0, 0, 0, &place), RVT_REASON_NONE);
    CHECK_EQ(local_verdict(&f, f.pd, 0x120ff, 0, 0, 0, &place), RVT_REASON_NONE);
    CHECK_EQ(local_verdict(&f, f.pd, 0x12100, 0, 0, 0, &place), RVT_UNMAPPED);
    CHECK_EQ(local_verdict(&f, f.pd, 0xffff, 0, 0, 0, &place), RVT_UNMAPPED);
    CHECK_EQ(remote_verdict(&f, f.qp, 0x12100, 0, 0, 0, &place), RVT_UNMAPPED);
    fixture_close(&f);
}

static void key_zero_reaches_one_mapping_at_a_time(void) {
    const uint64_t top = UINT64_C(0) - PAGE;
    struct fixture f;
    struct rvt_place place;
    struct rvt_mr_handle dma;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 2 * PAGE, 0x10000);
    fixture_dma(&f, bytes + 2 * PAGE, 2 * PAGE, 0x12000); /* directly behind the first mapping */
    fixture_dma(&f, bytes + 4 * PAGE, PAGE, top);
    fixture_dma(&f, bytes + 5 * PAGE, PAGE, 0);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    const struct {
        uint64_t addr;
        uint32_t length;
        enum rvt_reason want;
    } rows[] = {
        {0x10000, 0x2000, RVT_REASON_NONE}, {0x10000, 0x2001, RVT_OUT_OF_BOUNDS},
        {0x11fff, 2, RVT_OUT_OF_BOUNDS},    {0x12000, 0x2000, RVT_REASON_NONE},
        {0x13fff, 1, RVT_REASON_NONE},      {0x14000, 1, RVT_UNMAPPED},
        {0xffff, 1, RVT_UNMAPPED},          {0xffff, 2, RVT_UNMAPPED},
        {UINT64_MAX, 1, RVT_REASON_NONE},   {UINT64_MAX, 2, RVT_OUT_OF_BOUNDS},
        {top, PAGE, RVT_REASON_NONE},       {top, UINT32_MAX, RVT_OUT_OF_BOUNDS},
        {top - 1, 1, RVT_UNMAPPED},         {0, PAGE, RVT_REASON_NONE},
        {0, PAGE + 1, RVT_OUT_OF_BOUNDS},   {0x5555555555555555, 1, RVT_UNMAPPED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ(local_verdict(&f, f.pd, rows[i].addr, rows[i].length, 0, ALL_ACCESS, &place), rows[i].want);
        if (!rows[i].want) {
            CHECK_EQ(place.at, rows[i].addr);
            CHECK_EQ(place.length, rows[i].length); /* a mapping is one segment */
            CHECK_EQ(place.segment, 0);
            CHECK(!place.user);
        }
        CHECK_EQ(remote_verdict(&f, f.qp, rows[i].addr, rows[i].length, 0, 0, &place), rows[i].want);
    }
    fixture_close(&f);
}

/* With p = offset into the region + offset of the region in its page, p determines the segment and the bytes
 * left in it. */
static void a_check_locates_the_segment_and_the_rest_of_it(void) {
    struct fixture f;
    struct rvt_place place;
    uint64_t seed = 3;
    REQUIRE(open_with_dma(&f));
    for (int round = 0; round < 3000; round++) {
        uint64_t start = roll(&seed, 1 << 30), iova = dice(&seed) >> 1, length = 1 + roll(&seed, 3000 * PAGE);
        struct rvt_mr_handle mr = fixture_reg(&f, bytes, length, start, iova, REMOTE_READ);
        uint64_t into = roll(&seed, length), p = into + start % PAGE;
        uint32_t request = (uint32_t)roll(&seed, length - into + 1);
        CHECK_EQ(local_verdict(&f, f.pd, start + into, request, fixture_key(mr), 0, &place), RVT_REASON_NONE);
        for (int remotely = 0; remotely < 2; remotely++) {
            CHECK_EQ(place.at, into);
            CHECK(place.user);
            /* A place reports the rest of the segment, regardless of the requested length. */
            CHECK_EQ(place.length, PAGE - p % PAGE);
            CHECK_EQ(place.segment, p / PAGE);
            CHECK_EQ(remote_verdict(&f, f.qp, iova + into, request, fixture_key(mr), REMOTE_READ, &place),
                     RVT_REASON_NONE);
        }
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    /* An FMR with a page list: 300 segments of 64 bytes. */
    uint64_t pages[300];
    for (int i = 0; i < 300; i++)
        pages[i] = 0x10000 + roll(&seed, sizeof(bytes) - 64);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 300, 6);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 300, 0x3333), 0);
    for (uint64_t into = 0; into < 300 * 64; into += 7) {
        CHECK_EQ(local_verdict(&f, f.pd, 0x3333 + into, 1, fixture_key(fmr), 0, &place), RVT_REASON_NONE);
        CHECK_EQ(place.at, pages[into / 64] + into % 64);
        CHECK_EQ(place.length, 64 - into % 64);
        CHECK_EQ(place.segment, into / 64);
        CHECK(!place.user);
    }
    fixture_close(&f);
}

static void closed_domains_and_queue_pairs_refuse_every_check(void) {
    struct fixture f;
    struct rvt_pd_handle pd, none_pd = {0};
    struct rvt_qp_handle qp, none_qp = {0};
    struct rvt_sge sge, last;
    struct rvt_place place;
    struct rvt_ib_sge wanted = {0x10000, 16, 0};
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle dma;
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    CHECK_EQ(local(&f, &last, 0x10000, 16, 0, 0), 1);
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &pd), 0);
    CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, true), 0);
    struct rvt_pd_handle pds[] = {pd, none_pd};
    struct rvt_qp_handle qps[] = {qp, none_qp};
    read_enter(&f);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rvt_lkey_ok(pds[i], &sge, NULL, &wanted, 0, &f.reason), -RVT_EINVAL);
        CHECK_EQ(f.reason, RVT_CLOSED);
        wanted.addr = 0x10010;
        CHECK_EQ(rvt_lkey_ok(pds[i], &sge, &last, &wanted, 0, &f.reason), -RVT_EINVAL);
        CHECK_EQ(f.reason, RVT_CLOSED);
        CHECK_EQ(rvt_lkey_check(pds[i], &wanted, 0, &place, &f.reason), 0);
        CHECK_EQ(f.reason, RVT_CLOSED);
        CHECK_EQ(rvt_rkey_ok(qps[i], &sge, 1, 0x10000, 0, 0, &f.reason), 0);
        CHECK_EQ(f.reason, RVT_CLOSED);
        CHECK_EQ(rvt_rkey_check(qps[i], 1, 0x10000, 0, 0, &place, &f.reason), 0);
        CHECK_EQ(f.reason, RVT_CLOSED);
    }
    read_leave(&f);
    CHECK_EQ(last.sge_length, 16); /* the refused check did not extend `last` */
    CHECK_EQ(fixture_refs(dma), 4);
    rvt_put_sge(&last);
    fixture_close(&f);
}

static void an_sge_records_its_request_and_its_rights(void) {
    struct fixture f;
    struct rvt_sge sge;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle mr = two_pages(&f, RVT_MR_USER, LOCAL_WRITE | REMOTE_READ);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(local(&f, &sge, 0x10123, 77, key, LOCAL_WRITE), 1);
    CHECK_PTR_EQ(sge.mr, mr.mr);
    CHECK_EQ(sge.request, 0x10123);
    CHECK_EQ(sge.sge_length, 77);
    CHECK_EQ(sge.rights, LOCAL_WRITE);
    CHECK(!sge.remote && sge.user && !rvt_sge_key_zero(&sge));
    rvt_put_sge(&sge);
    CHECK(sge.mr == NULL);
    /* The SGE has only the rights the region grants: a remote check passes with any one of the requested
     * bits. */
    CHECK_EQ(remote(&f, &sge, 0x10123, 77, key, REMOTE_READ | REMOTE_WRITE | REMOTE_ATOMIC), 1);
    CHECK_EQ(sge.rights, REMOTE_READ);
    CHECK(sge.remote);
    rvt_put_sge(&sge);
    /* A check that requests no rights grants none. */
    CHECK_EQ(local(&f, &sge, 0x10123, 77, key, 0), 1);
    CHECK_EQ(sge.rights, 0);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* --- coalescing --- */

/* Calls rvt_lkey_ok with `last`. Unless a new SGE is returned, the output SGE must stay untouched; coalescing
 * must take no reference. */
static int merge(struct fixture *f, struct rvt_sge *last, uint64_t addr, uint32_t length, uint32_t key,
                 uint32_t acc) {
    struct rvt_sge sge, untouched;
    memset(&sge, 0x5a, sizeof(sge));
    untouched = sge;
    uint32_t held = last->mr ? rvt_mr_held(last->mr) : 0;
    struct rvt_sge before = *last;
    int answer = local_in(f, f->pd, &sge, last, addr, length, key, acc);
    if (answer != 1)
        CHECK_BYTES_EQ(&sge, &untouched, sizeof(sge));
    if (answer == 0) {
        CHECK_EQ(rvt_mr_held(last->mr), held);
        CHECK_EQ(last->position, before.position);
        CHECK_EQ(last->at, before.at);
        CHECK_EQ(rvt_sge_segment(last), rvt_sge_segment(&before));
        CHECK_EQ(last->sge_length, before.sge_length + length);
        CHECK_EQ(last->length, key ? before.length : before.length + length);
    } else if (last->mr) {
        CHECK_BYTES_EQ(last, &before, sizeof(before));
    }
    if (answer == 1) {
        CHECK_EQ(sge.request, addr);
        CHECK_EQ(sge.sge_length, length);
        rvt_put_sge(&sge);
    }
    return answer;
}

static struct rvt_sge begin(struct fixture *f, uint64_t addr, uint32_t length, uint32_t key) {
    struct rvt_sge sge = {0};
    CHECK_EQ(local(f, &sge, addr, length, key, 0), 1);
    return sge;
}

static struct rvt_mr_handle four_pages(struct fixture *f) {
    struct rvt_sg_outcome outcome;
    struct rvt_mr_handle mr = fixture_mem_reg(f, 256);
    CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){0x10000, 4 * PAGE}, 1, 0, PAGE, &outcome), 1);
    return mr;
}

static void an_sge_is_coalesced_once_across_a_segment_boundary(void) {
    struct fixture f;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    uint32_t key = fixture_key(four_pages(&f));
    struct rvt_sge last = begin(&f, 0x10f00, 0x100, key);
    CHECK_EQ(merge(&f, &last, 0x11000, 0x80, key, 0), 0);
    CHECK_EQ(last.sge_length, 0x180);
    CHECK_EQ(last.length, 0x100);
    CHECK_EQ(walk_whole(&f, &last, &got), 0);
    CHECK_EQ(got.count, 2);
    CHECK_EQ(got.part[0].at, 0x10f00);
    CHECK_EQ(got.part[1].at, 0x11000);
    CHECK_EQ(got.part[1].length, 0x80);
    /* The coalescing rule still compares with the end of the first segment. So neither the actual next bytes
     * nor the same bytes again are coalesced. */
    CHECK_EQ(merge(&f, &last, 0x11080, 0x80, key, 0), 1);
    CHECK_EQ(merge(&f, &last, 0x11000, 0x80, key, 0), 1);
    rvt_put_sge(&last);
    /* A whole first page, followed by an access of several segments. */
    last = begin(&f, 0x10000, PAGE, key);
    CHECK_EQ(merge(&f, &last, 0x11000, 3 * PAGE, key, 0), 0);
    CHECK_EQ(last.sge_length, 4 * PAGE);
    CHECK_EQ(walk_whole(&f, &last, &got), 0);
    CHECK_EQ(got.count, 4);
    rvt_put_sge(&last);
    fixture_close(&f);
}

static void accesses_that_are_not_coalesced(void) {
    struct fixture f;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle mr = four_pages(&f);
    uint32_t key = fixture_key(mr);
    const struct {
        uint64_t first;
        uint32_t first_length;
        uint64_t second;
        uint32_t second_length;
        int answer;
    } rows[] = {
        {0x10000, 16, 0x11000, 16, 1},         /* a gap between the two accesses */
        {0x10000, 16, 0x10010, 16, 1},         /* adjacent accesses inside one segment */
        {0x10000, 4 * PAGE, 0x11000, PAGE, 1}, /* the first access spans more than its first segment */
        /* a longer first access is compared by the end of its first segment, so its actual successor does not
         * match */
        {0x10000, 2 * PAGE, 0x12000, PAGE, 1},
        {0x10000, 2 * PAGE, 0x11000, 16, 1},
        {0x10f00, 0x100, 0x10f00, 0x100, 1},       /* the same range again is not coalesced */
        {0x10f00, 0x100, 0x10fff, 2, 1},           /* overlapping accesses are not coalesced */
        {0x10f00, 0xff, 0x11000, 1, 1},            /* ends one byte before the segment boundary */
        {0x10f00, 0x101, 0x11000, 1, 1},           /* ends one byte past the segment boundary */
        {0x13f00, 0x100, 0x14000, 1, -RVT_EINVAL}, /* the second access lies outside the region */
        {0x10f00, 0x100, 0x11000, 3 * PAGE, 0},
        {0x10f00, 0x100, 0x11000, 3 * PAGE + 1, -RVT_EINVAL},
        {0x10f00, 0x100, 0x11000, UINT32_MAX, -RVT_EINVAL},
        {0x10f00, 0, 0x11000, 16, 1}, /* an empty first access does not end at a segment boundary */
        {0x11000, 0, 0x11000, 16, 1},
        {0x10f00, 0x100, 0x11000, 0, 0},          /* an empty second access at the boundary */
        {0x13000, PAGE, 0x14000, 0, -RVT_EINVAL}, /* the address is on no segment */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int failures = atomic_load(&check_failures);
        struct rvt_sge last = begin(&f, rows[i].first, rows[i].first_length, key);
        CHECK_EQ(merge(&f, &last, rows[i].second, rows[i].second_length, key, 0), rows[i].answer);
        rvt_put_sge(&last);
        if (atomic_load(&check_failures) != failures)
            printf("# row %zu\n", i);
    }
    /* An SGE can be extended by empty accesses any number of times, but by bytes only once. */
    struct rvt_sge last = begin(&f, 0x10f00, 0x100, key);
    CHECK_EQ(merge(&f, &last, 0x11000, 0, key, 0), 0);
    CHECK_EQ(merge(&f, &last, 0x11000, 0, key, 0), 0);
    CHECK_EQ(merge(&f, &last, 0x11000, 8, key, 0), 0);
    CHECK_EQ(merge(&f, &last, 0x11008, 8, key, 0), 1);
    rvt_put_sge(&last);
    CHECK_EQ(fixture_refs(mr), 2);
    fixture_close(&f);
}

static void coalesces_only_where_the_iova_is_the_dma_address(void) {
    struct fixture f;
    struct fragments got;
    struct rvt_sg_outcome outcome;
    struct rvt_sge last;
    REQUIRE(open_with_dma(&f));
    /* A region of user memory is never coalesced, even if its addresses equal its DMA addresses. */
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, 4 * PAGE, 0x10000, 0x10000, 0);
    last = begin(&f, 0x10000, PAGE, fixture_key(mr));
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, fixture_key(mr), 0), 1);
    rvt_put_sge(&last);
    /* iova 0, so that local addresses equal offsets into the memory */
    mr = fixture_reg(&f, bytes, 4 * PAGE, 0, 0, 0);
    last = begin(&f, 0, PAGE, fixture_key(mr));
    CHECK_EQ(merge(&f, &last, PAGE, PAGE, fixture_key(mr), 0), 1);
    rvt_put_sge(&last);

    /* An FMR mapped at an iova that equals its DMA address. */
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 4, 12);
    uint32_t key = fixture_key(fmr);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000, 0x11000, 0x12000}, 3, 0x10000), 0);
    last = begin(&f, 0x10800, 0x800, key);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), 0);
    rvt_put_sge(&last);
    /* Only the first page has equal addresses. The second page is elsewhere, and a walk must go there. */
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000, 0x14000}, 2, 0x10000), 0);
    last = begin(&f, 0x10800, 0x800, key);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), 0);
    CHECK_EQ(walk_whole(&f, &last, &got), 0);
    CHECK_EQ(got.part[1].at, 0x14000);
    rvt_put_sge(&last);
    /* The iova differs from the DMA address: consecutive accesses are not coalesced, as in the reference
     * implementation. */
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000, 0x11000}, 2, 0x50000), 0);
    last = begin(&f, 0x50000, PAGE, key);
    CHECK_EQ(merge(&f, &last, 0x51000, PAGE, key, 0), 1);
    rvt_put_sge(&last);
    /* Permuted pages: the DMA address at the boundary is by chance an iova in the third page. */
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x11000, 0x10000, 0x12000}, 3, 0x10000), 0);
    last = begin(&f, 0x10000, PAGE, key);
    CHECK_EQ(merge(&f, &last, 0x12000, PAGE, key, 0), 1);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), 1);
    rvt_put_sge(&last);
    /* An address below the base of the mapping, and a length that makes the sum wrap around. */
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000, 0x11000, 0x12000, 0x13000}, 4, 0x11800), 0);
    last = begin(&f, 0x11800, PAGE, key);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    CHECK_EQ(merge(&f, &last, 0x11000, UINT32_MAX, key, 0), -RVT_EINVAL);
    rvt_put_sge(&last);

    /* The first access is the last of 256 segments. */
    struct rvt_sg_element list[256];
    for (int i = 0; i < 256; i++)
        list[i] = (struct rvt_sg_element){0x10000, PAGE};
    struct rvt_mr_handle full = fixture_mem_reg(&f, 256);
    key = fixture_key(full);
    CHECK_EQ(rvt_map_mr_sg(full, list, 256, 0, PAGE, &outcome), 256);
    last = begin(&f, 0x10000 + 255 * PAGE, PAGE, key);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), 1);
    CHECK_EQ(merge(&f, &last, 0x10000 + 256 * PAGE, 1, key, 0), -RVT_EINVAL);
    rvt_put_sge(&last);
    fixture_close(&f);
}

static void coalesces_only_accesses_that_pass_every_check(void) {
    struct fixture f;
    struct rvt_sge last, sge;
    struct rvt_sg_outcome outcome;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle mr = four_pages(&f), twin = four_pages(&f);
    uint32_t key = fixture_key(mr);
    last = begin(&f, 0x10000, PAGE, key);
    /* Refused or not coalesced: missing access rights, another domain, another region with the same pages, an
     * invalidated key, a stale key. */
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, LOCAL_WRITE), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_ACCESS_DENIED);
    CHECK_EQ(local_in(&f, f.other_pd, &sge, &last, 0x11000, PAGE, key, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_WRONG_PD);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, fixture_key(twin), 0), 1);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_INVALIDATED);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key | 1, LOCAL_WRITE, NULL), 0);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_STALE_KEY);
    /* A new key for the same region and the same mapping: still coalesced. */
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key | 1, LOCAL_WRITE), 0);
    CHECK_EQ(last.rights, 0); /* the coalesced SGE has only the rights that both checks granted */
    rvt_put_sge(&last);

    /* Mapping the same list again makes a new mapping, so nothing is coalesced. */
    key |= 1;
    last = begin(&f, 0x10000, PAGE, key);
    CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){0x10000, 4 * PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), 1);
    rvt_put_sge(&last);
    /* The region was mapped again with fewer pages. */
    last = begin(&f, 0x10000, PAGE, key);
    CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){0x10000, PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), -RVT_EINVAL);
    rvt_put_sge(&last);

    last = begin(&f, 0x10000, PAGE, fixture_key(twin));
    key = fixture_key(twin);
    CHECK_EQ(rvt_dereg_mr(twin, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(merge(&f, &last, 0x11000, PAGE, key, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REVOKED);
    rvt_put_sge(&last);
    CHECK_EQ(rvt_dereg_mr(twin, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void a_coalesced_sge_keeps_only_common_rights(void) {
    struct fixture f;
    struct rvt_copied copied;
    unsigned char out[16] = {0};
    struct rvt_sge last;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle mr = four_pages(&f);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, ALL_ACCESS, NULL), 0);
    CHECK_EQ(local(&f, &last, 0x10000, PAGE, key, LOCAL_WRITE), 1);
    CHECK_EQ(merge(&f, &last, 0x11000, 16, key, LOCAL_WRITE | REMOTE_READ), 0);
    CHECK_EQ(put_bytes(&f, &last, out, 16, &copied), 0);
    rvt_put_sge(&last);
    /* The second check granted no rights, so the coalesced SGE cannot be written. */
    CHECK_EQ(local(&f, &last, 0x10000, PAGE, key, LOCAL_WRITE), 1);
    CHECK_EQ(merge(&f, &last, 0x11000, 16, key, 0), 0);
    CHECK_EQ(put_bytes(&f, &last, out, 16, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_ACCESS_DENIED);
    rvt_put_sge(&last);
    /* A local check does not extend the SGE of a remote check. */
    CHECK_EQ(remote(&f, &last, 0x10000, PAGE, key, REMOTE_READ), 1);
    CHECK_EQ(merge(&f, &last, 0x11000, 16, key, 0), 1);
    rvt_put_sge(&last);
    /* An SGE that was put is not extended. */
    CHECK_EQ(merge(&f, &last, 0x11000, 16, key, 0), 1);
    fixture_close(&f);
}

static void key_zero_coalesces_any_number_of_accesses(void) {
    struct fixture f;
    struct fragments got;
    struct rvt_mr_handle dma, second;
    struct rvt_sge last;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    fixture_dma(&f, bytes + 4 * PAGE, 4 * PAGE, 0x14000);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    last = begin(&f, 0x10000, 8, 0);
    for (uint32_t i = 1; i < 2000; i++)
        CHECK_EQ(merge(&f, &last, 0x10000 + 8 * i, 8, 0, ALL_ACCESS), 0);
    CHECK_EQ(last.length, 16000);
    CHECK_EQ(last.sge_length, 16000);
    CHECK_EQ(fixture_refs(dma), 4);
    CHECK_EQ(walk_whole(&f, &last, &got), 0);
    CHECK_EQ(got.count, 1); /* key 0 coalesces into one segment */
    CHECK_EQ(got.part[0].length, 16000);
    CHECK_EQ(merge(&f, &last, 0x10000 + 16001, 8, 0, 0), 1); /* a gap of one byte */
    CHECK_EQ(merge(&f, &last, 0x10000 + 16000, 4 * PAGE - 16000, 0, 0), 0);
    /* A different mapping, though its addresses follow directly. */
    CHECK_EQ(merge(&f, &last, 0x14000, 8, 0, 0), 1);
    CHECK_EQ(merge(&f, &last, 0x14000, 8 * PAGE, 0, 0), -RVT_EINVAL);
    rvt_put_sge(&last);
    /* Coalescing of empty accesses. */
    last = begin(&f, 0x10000, 0, 0);
    CHECK_EQ(merge(&f, &last, 0x10000, 0, 0, 0), 0);
    CHECK_EQ(merge(&f, &last, 0x10000, 8, 0, 0), 0);
    CHECK_EQ(last.sge_length, 8);
    /* An SGE of another key is not extended by key 0, nor an SGE of key 0 by another key. */
    uint32_t key = fixture_key(four_pages(&f));
    CHECK_EQ(merge(&f, &last, 0x10008, 8, key, 0), 1);
    rvt_put_sge(&last);
    last = begin(&f, 0x10000, PAGE, key);
    CHECK_EQ(merge(&f, &last, 0x11000, 8, 0, 0), 1);
    rvt_put_sge(&last);
    /* The DMA region was replaced after the first check. */
    last = begin(&f, 0x10000, 8, 0);
    CHECK_EQ(rvt_dereg_mr(dma, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(merge(&f, &last, 0x10008, 8, 0, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_NO_DMA_REGION);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &second), 0);
    CHECK_EQ(merge(&f, &last, 0x10008, 8, 0, 0), 1);
    rvt_put_sge(&last);
    CHECK_EQ(rvt_dereg_mr(dma, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void coalesced_lengths_do_not_overflow(void) {
    /* Needs a DMA mapping of more than 4 GiB: reserved address space that is never touched. */
    uint64_t size = 4 * GIB + 2 * PAGE;
    void *space = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct fixture f;
    struct rvt_mr_handle dma;
    struct rvt_sge last;
    struct rvt_sg_outcome outcome;
    const uint64_t base = UINT64_C(1) << 40;
    REQUIRE(space != MAP_FAILED);
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, space, size, base);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    last = begin(&f, base, UINT32_MAX, 0);
    CHECK_EQ(merge(&f, &last, base + UINT32_MAX, 1, 0, 0), 1);
    CHECK_EQ(merge(&f, &last, base + UINT32_MAX, 0, 0, 0), 0);
    rvt_put_sge(&last);
    last = begin(&f, base, UINT32_MAX - 1, 0);
    CHECK_EQ(merge(&f, &last, base + UINT32_MAX - 1, 2, 0, 0), 1);
    CHECK_EQ(merge(&f, &last, base + UINT32_MAX - 1, 1, 0, 0), 0);
    CHECK_EQ(last.sge_length, UINT32_MAX);
    CHECK_EQ(merge(&f, &last, base + UINT32_MAX, 1, 0, 0), 1);
    rvt_put_sge(&last);
    last = begin(&f, base, 1u << 31, 0);
    CHECK_EQ(merge(&f, &last, base + (1u << 31), 1u << 31, 0, 0), 1);
    CHECK_EQ(merge(&f, &last, base + (1u << 31), (1u << 31) + 8, 0, 0), 1);
    rvt_put_sge(&last);

    /* A region can be larger than 4 GiB, although a single request cannot. */
    struct rvt_mr_handle mr = fixture_mem_reg(&f, (uint32_t)(size / PAGE));
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){base, size}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(outcome.length, size);
    last = begin(&f, base, PAGE, key);
    CHECK_EQ(merge(&f, &last, base + PAGE, UINT32_MAX - PAGE + 1, key, 0), 1);
    CHECK_EQ(merge(&f, &last, base + PAGE, UINT32_MAX - PAGE, key, 0), 0);
    CHECK_EQ(last.sge_length, UINT32_MAX);
    rvt_put_sge(&last);
    struct rvt_place place;
    CHECK_EQ(local_verdict(&f, f.pd, base + size - 1, 1, key, 0, &place), RVT_REASON_NONE);
    CHECK_EQ(place.at, base + size - 1);
    CHECK_EQ(place.segment, size / PAGE - 1);
    fixture_close(&f);
    munmap(space, size);
}

/* --- the maximum number of references --- */

/* Sets the reference count of the region's record. */
static void pretend_held(struct rvt_mr_handle mr, uint32_t held) {
    atomic_fetch_and(&mr.mr->word, ~RVT_MR_HELD_MASK);
    atomic_fetch_or(&mr.mr->word, (uint64_t)held);
}

/* One more reference would overflow into the flag bits of the record's word. */
static void a_reference_is_refused_when_the_count_is_full(void) {
    struct fixture f;
    struct rvt_place place;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle dma, fmr = fixture_fmr(&f, ALL_ACCESS, 1, 12);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000}, 1, 0x10000), 0);
    const struct rvt_mr_handle mrs[] = {fmr, dma};
    const struct rvt_dma_map *mapping = rvt_dma_find(&f.device->dma, 0x10000, 1, NULL);
    for (int i = 0; i < 2; i++) {
        const uint32_t key = fixture_key(mrs[i]);
        const uint64_t users = atomic_load(&mapping->users);
        const uint64_t flags = atomic_load(&mrs[i].mr->word);
        struct rvt_sge first = {0}, sge = {0}, last = {0}, next = {0};
        CHECK_EQ(rvt_count_mr(mrs[i]), 0);
        struct looked counted = {.accepted = fixture_query(mrs[i]).accepted};
        pretend_held(mrs[i], UINT32_MAX - 1);
        /* Takes the last reference that fits. */
        CHECK_EQ(local(&f, &first, 0x10000, 16, key, LOCAL_WRITE), 1);
        CHECK_EQ(atomic_load(&mrs[i].mr->word), flags | UINT32_MAX);
        for (int again = 0; again < 3; again++) {
            CHECK_EQ(local(&f, &sge, 0x10000, 16, key, LOCAL_WRITE), -RVT_ENOMEM);
            CHECK_EQ(remote(&f, &sge, 0x10000, 16, key, REMOTE_READ), -RVT_ENOMEM);
            CHECK(sge.mr == NULL);
        }
        /* A refusal takes precedence over -ENOMEM, and checks without a reference are not affected. */
        CHECK_EQ(local(&f, &sge, 0x10000, sizeof(bytes) + 1, key, LOCAL_WRITE), -RVT_EINVAL);
        CHECK_EQ(local_check(&f, &place, 0x10000, 16, key, LOCAL_WRITE), 1);
        MR_COUNTED(mrs[i], &counted, 2, 1, 0); /* a check that could take no reference is not counted */
        CHECK_EQ(atomic_load(&mrs[i].mr->word), flags | UINT32_MAX);
        CHECK_EQ(usable(&f, &first), RVT_REASON_NONE);
        /* With key 0, the mapping counts the SGE as a user only if the reference was taken. */
        CHECK_EQ(atomic_load(&mapping->users), users + (i == 1));
        /* Extending an SGE takes no reference. */
        if (i == 1)
            CHECK_EQ(local_in(&f, f.pd, &next, &first, 0x10010, 16, key, LOCAL_WRITE), 0);
        rvt_put_sge(&first);
        CHECK_EQ(local(&f, &last, 0x10000, 16, key, LOCAL_WRITE), 1);
        rvt_put_sge(&last);
        pretend_held(mrs[i], 0);
        CHECK_EQ(fixture_refs(mrs[i]), i == 1 ? 3 : 2);
        CHECK_EQ(atomic_load(&mapping->users), users);
    }
    /* Other kinds of regions have 64-bit counts that cannot overflow into flags; `refs` saturates at
     * UINT32_MAX. */
    struct rvt_mr_handle user = fixture_reg(&f, bytes, PAGE, 0x10000, 0x10000, ALL_ACCESS);
    struct rvt_sge sge;
    atomic_store(&user.mr->elsewhere, INT64_C(1) << 33);
    CHECK_EQ(local(&f, &sge, 0x10000, 16, fixture_key(user), LOCAL_WRITE), 1);
    CHECK_EQ(fixture_refs(user), UINT32_MAX);
    CHECK_EQ(rvt_dereg_mr(user, RVT_RELEASE), -RVT_EBUSY);
    rvt_put_sge(&sge);
    CHECK_EQ(atomic_load(&user.mr->elsewhere), INT64_C(1) << 33);
    atomic_store(&user.mr->elsewhere, 0);
    CHECK_EQ(rvt_dereg_mr(user, RVT_RELEASE), 0);
    fixture_close(&f);
}

/* --- a checker belongs to its handle's object, not to a later object in the same slot --- */

static struct {
    struct rvt_pd_handle pds[2];
    struct rvt_qp_handle qps[2];
    bool users[2];
    atomic_uint round, seen;
    atomic_bool over;
} lives;

static void *make_checkers(void *failures) {
    unsigned wrong = 0;
    for (unsigned round = 1; !atomic_load(&lives.over); round++) {
        while (atomic_load(&lives.round) < round && !atomic_load(&lives.over))
            rvt_yield();
        if (atomic_load(&lives.over))
            break;
        const unsigned at = round % 2;
        atomic_store(&lives.seen, round);
        for (bool pd = true, qp = true; pd || qp;) {
            struct rvt_checker checker;
            pd = rvt_checker_of_pd(lives.pds[at], &checker);
            wrong += pd && checker.user != lives.users[at];
            qp = rvt_checker_of_qp(lives.qps[at], &checker);
            wrong += qp && (checker.user != lives.users[at] || checker.pd != lives.pds[at].pd->id);
        }
    }
    *(unsigned *)failures = wrong;
    return NULL;
}

static void a_checker_never_belongs_to_a_later_object_in_the_slot(void) {
    struct fixture f;
    pthread_t thread;
    unsigned wrong = 0;
    REQUIRE(fixture_open(&f, 4));
    atomic_store(&lives.round, 0);
    atomic_store(&lives.over, false);
    REQUIRE(pthread_create(&thread, NULL, make_checkers, &wrong) == 0);
    struct rvt_pd_handle spare = {0};
    for (unsigned round = 1; round <= 3000; round++) {
        const unsigned at = round % 2;
        /* Slots alternate, so that the next queue pair in a slot belongs to another domain of the other
         * kind. */
        lives.users[at] = round / 2 % 2;
        CHECK_EQ(rvt_alloc_pd(f.device, NULL, lives.users[at], &lives.pds[at]), 0);
        CHECK_EQ(rvt_create_check_qp(lives.pds[at], &lives.qps[at]), 0);
        atomic_store(&lives.round, round);
        while (atomic_load(&lives.seen) < round)
            rvt_yield();
        CHECK_EQ(rvt_dealloc_pd(lives.pds[at], true), 0);
        if (spare.pd)
            CHECK_EQ(rvt_dealloc_pd(spare, true), 0);
        struct rvt_qp_handle next;
        CHECK_EQ(rvt_alloc_pd(f.device, NULL, !lives.users[at], &spare), 0);
        CHECK_EQ(rvt_create_check_qp(spare, &next), 0);
    }
    atomic_store(&lives.over, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(wrong, 0);
    fixture_close(&f);
}

/* A stamp is one of an unchanged region: another region under the same key has another one. */
static void a_key_stamp_is_that_of_one_unchanged_region(void) {
    static unsigned char bytes[64];
    struct fixture f;
    struct rvt_checker checker, other_checker;
    struct rvt_pd_handle other;
    REQUIRE(fixture_open(&f, 4));
    CHECK(rvt_checker_of_pd(f.pd, &checker));
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &other), 0);
    CHECK(rvt_checker_of_pd(other, &other_checker));
    CHECK_EQ(rvt_key_stamp(&checker, 0), 0);
    CHECK_EQ(rvt_key_stamp(&checker, 0x1234567), 0);

    const uint32_t generation = f.device->lkey_table.generation, next = f.device->lkey_table.next;
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, 64, 0x5000, 0x6000, REMOTE_READ);
    uint32_t key = fixture_key(mr), stamp = rvt_key_stamp(&checker, key);
    CHECK(stamp > 0);
    CHECK_EQ(rvt_key_stamp(&checker, key), stamp);
    CHECK_EQ(rvt_key_stamp(&checker, key ^ 1), 0);   /* a stale key */
    CHECK_EQ(rvt_key_stamp(&other_checker, key), 0); /* another domain */
    CHECK_EQ(rvt_count_mr(mr), 0);                   /* changes the record of a region that works on */
    uint32_t counted = rvt_key_stamp(&checker, key);
    CHECK(counted > 0 && counted != stamp);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
    CHECK_EQ(rvt_key_stamp(&checker, key), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_key_stamp(&checker, key), 0);

    /* The generations have wrapped around, and the key comes back. */
    uint32_t last = counted;
    for (int life = 0; life < 100; life++) {
        f.device->lkey_table.generation = generation;
        f.device->lkey_table.next = next;
        mr = fixture_reg(&f, bytes, 64, 0x5000, 0x6000, REMOTE_READ);
        CHECK_EQ(fixture_key(mr), key);
        uint32_t now = rvt_key_stamp(&checker, key);
        CHECK(now > last && now != stamp);
        last = now;
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    fixture_close(&f);
}

CHECK_MAIN(TEST(a_key_stamp_is_that_of_one_unchanged_region),
           TEST(a_checker_never_belongs_to_a_later_object_in_the_slot),
           TEST(a_refusal_reports_the_earliest_failed_check),
           TEST(a_refusal_of_key_zero_reports_the_earliest_failed_check),
           TEST(an_unknown_key_is_revoked_stale_or_never_issued),
           TEST(local_checks_need_all_rights_and_remote_checks_any),
           TEST(requests_must_lie_within_the_region), TEST(empty_requests_must_lie_on_a_segment),
           TEST(key_zero_reaches_one_mapping_at_a_time), TEST(a_check_locates_the_segment_and_the_rest_of_it),
           TEST(closed_domains_and_queue_pairs_refuse_every_check),
           TEST(an_sge_records_its_request_and_its_rights),
           TEST(an_sge_is_coalesced_once_across_a_segment_boundary), TEST(accesses_that_are_not_coalesced),
           TEST(coalesces_only_where_the_iova_is_the_dma_address),
           TEST(coalesces_only_accesses_that_pass_every_check),
           TEST(a_coalesced_sge_keeps_only_common_rights), TEST(key_zero_coalesces_any_number_of_accesses),
           TEST(coalesced_lengths_do_not_overflow), TEST(a_reference_is_refused_when_the_count_is_full))
