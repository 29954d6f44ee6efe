/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests rvt_rereg_mr (rereg.h) and user_memory.h. */
#include "core/objects/rereg.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "fixture.h"
#include "waiting.h"

static alignas(4096) unsigned char bytes[8 * PAGE], others[8 * PAGE];

enum { START = 0x5000, IOVA = 0x9010, NEW_START = 0x7008, NEW_IOVA = 0xa000 };

static struct rvt_mr_handle registered(struct fixture *f) {
    return fixture_reg(f, bytes, PAGE, START, IOVA, LOCAL_WRITE | REMOTE_READ);
}

/* Re-registers and tells whether the old registration was lost. */
static int change(struct rvt_mr_handle mr, struct rvt_rereg what, bool *lost) {
    return rvt_rereg_mr(mr, &what, NULL, lost);
}

static int change_access(struct rvt_mr_handle mr, uint32_t access, bool *lost) {
    return change(mr, (struct rvt_rereg){.flags = RVT_REREG_ACCESS, .access = access}, lost);
}

static int change_memory(struct rvt_mr_handle mr, void *data, uint64_t length, uint64_t start, uint64_t iova,
                         bool *lost) {
    struct rvt_memory *memory = rvt_fixed_memory(data, length);
    if (!check_true(memory != NULL, "memory", __FILE__, __LINE__))
        return 1;
    int error =
        change(mr,
               (struct rvt_rereg){
                   .flags = RVT_REREG_TRANSLATION, .memory = memory, .start = &start, .virt_addr = &iova},
               lost);
    rvt_memory_put(memory);
    return error;
}

static void access_alone_keeps_the_key(void) {
    struct fixture f;
    struct rvt_place place;
    struct rvt_mr_birth birth;
    bool lost = true;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f);
    uint32_t key = fixture_key(mr);
    uint64_t id = fixture_query(mr).id;
    const struct rvt_rereg what = {.flags = RVT_REREG_ACCESS, .access = REMOTE_READ};
    CHECK_EQ(rvt_rereg_mr(mr, &what, &birth, &lost), 0);
    CHECK(!lost);
    CHECK(birth.id == id && birth.key == key && birth.start == START && birth.iova == IOVA);
    CHECK_EQ(fixture_key(mr), key);
    CHECK_EQ(fixture_query(mr).access, REMOTE_READ);
    CHECK_EQ(fixture_query(mr).refs, 2);
    CHECK_EQ(local_check(&f, &place, START, PAGE, key, LOCAL_WRITE), 0);
    CHECK_EQ(f.reason, RVT_ACCESS_DENIED);
    CHECK_EQ(local_check(&f, &place, START, PAGE, key, 0), 1);
    CHECK_EQ(remote_check(&f, &place, IOVA, PAGE, key, REMOTE_READ), 1);
    CHECK_EQ(change_access(mr, 0, &lost), 0);
    CHECK_EQ(remote_check(&f, &place, IOVA, PAGE, key, REMOTE_READ), 0);
    CHECK_EQ(change_access(mr, ALL_ACCESS, &lost), 0);
    CHECK_EQ(remote_check(&f, &place, IOVA, PAGE, key, REMOTE_ATOMIC), 1);
    CHECK_EQ(fixture_head(f.device).generation, 1); /* the key takes no new slot */
    fixture_close(&f);
}

static void translation_changes_memory_addresses_and_key(void) {
    struct fixture f;
    struct rvt_place place;
    bool lost = true;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f);
    uint32_t key = fixture_key(mr);
    uint64_t id = fixture_query(mr).id;
    CHECK_EQ(change_memory(mr, others, 2 * PAGE, NEW_START, NEW_IOVA, &lost), 0);
    CHECK(!lost);
    struct rvt_mr_attributes a = fixture_query(mr);
    CHECK(a.id == id && a.start == NEW_START && a.iova == NEW_IOVA && a.length == 2 * PAGE);
    CHECK_EQ(a.access, LOCAL_WRITE | REMOTE_READ);
    CHECK_EQ(a.segments, 3); /* 2 pages that begin 8 bytes into one */
    CHECK(a.valid && !a.half_dead && a.refs == 2);
    CHECK(a.keys.lkey >> 8 != key >> 8);
    CHECK_EQ(local_check(&f, &place, START, 1, key, 0), 0);
    CHECK_EQ(f.reason, RVT_REVOKED);
    CHECK_EQ(local_check(&f, &place, START, 1, a.keys.lkey, 0), 0);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    CHECK_EQ(local_check(&f, &place, NEW_START, 2 * PAGE, a.keys.lkey, LOCAL_WRITE), 1);
    CHECK_EQ(place.at, 0);
    CHECK_EQ(remote_check(&f, &place, NEW_IOVA + 7, 1, a.keys.lkey, REMOTE_READ), 1);
    CHECK_EQ(place.at, 7);

    /* Bytes go to the new memory and not to the old one. */
    struct rvt_sge sge;
    struct rvt_copied copied;
    memset(bytes, 1, sizeof(bytes));
    memset(others, 2, sizeof(others));
    CHECK_EQ(local(&f, &sge, NEW_START, 4, a.keys.lkey, LOCAL_WRITE), 1);
    CHECK_EQ(put_bytes(&f, &sge, (unsigned char[]){9, 9, 9, 9}, 4, &copied), 0);
    rvt_put_sge(&sge);
    CHECK(others[0] == 9 && others[4] == 2 && bytes[0] == 1);
    fixture_close(&f);
}

static void the_device_chooses_addresses(void) {
    struct fixture f;
    struct rvt_mr_birth first, second;
    bool lost;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f), other = {0};
    struct rvt_memory *memory = rvt_fixed_memory(others, PAGE);
    REQUIRE(memory);
    const struct rvt_rereg what = {.flags = RVT_REREG_TRANSLATION, .memory = memory};
    CHECK_EQ(rvt_rereg_mr(mr, &what, &first, &lost), 0);
    CHECK_EQ(first.start, first.iova);
    CHECK_EQ(first.start % PAGE, 0);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, memory, NULL, 0, &other, &second), 0);
    CHECK(second.start >= first.start + PAGE);
    rvt_memory_put(memory);
    fixture_close(&f);
}

static void a_domain_takes_the_region_over(void) {
    struct fixture f;
    struct rvt_place place;
    bool lost = true;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f);
    uint32_t key = fixture_key(mr), before = f.pd.pd->children, there = f.other_pd.pd->children;
    CHECK_EQ(change(mr, (struct rvt_rereg){.flags = RVT_REREG_PD, .pd = f.other_pd}, &lost), 0);
    CHECK(!lost);
    CHECK_EQ(f.pd.pd->children, before - 1);
    CHECK_EQ(f.other_pd.pd->children, there + 1);
    uint32_t now = fixture_key(mr);
    CHECK(now >> 8 != key >> 8);
    CHECK_EQ(local_check(&f, &place, START, 1, now, 0), 0);
    CHECK_EQ(f.reason, RVT_WRONG_PD);
    enum rvt_reason reason;
    const struct rvt_ib_sge asked = {START, 1, now};
    read_enter(&f);
    CHECK_EQ(rvt_lkey_check(f.other_pd, &asked, 0, &place, &reason), 1);
    read_leave(&f);
    CHECK_EQ(rvt_dereg_mrs(f.pd, &mr, 1, RVT_RELEASE), -RVT_EINVAL);
    /* The region ends with its new domain. */
    CHECK_EQ(rvt_dealloc_pd(f.other_pd, true), 0);
    CHECK_EQ(rvt_query_mr(mr, &(struct rvt_mr_attributes){0}), -RVT_EBADF);
    fixture_close(&f);
}

static void all_three_at_once(void) {
    struct fixture f;
    struct rvt_mr_birth birth;
    bool lost;
    REQUIRE(fixture_open(&f, 1)); /* two slots, both used: the old key's slot is free again for the new one */
    struct rvt_mr_handle mr = registered(&f);
    registered(&f);
    struct rvt_memory *memory = rvt_fixed_memory(others, 3);
    REQUIRE(memory);
    const uint64_t start = NEW_START;
    const struct rvt_rereg what = {
        .flags = RVT_REREG_TRANSLATION | RVT_REREG_PD | RVT_REREG_ACCESS,
        .memory = memory,
        .start = &start,
        .access = REMOTE_READ,
        .pd = f.other_pd,
    };
    CHECK_EQ(rvt_rereg_mr(mr, &what, &birth, &lost), 0);
    rvt_memory_put(memory);
    CHECK(birth.start == NEW_START && birth.iova == NEW_START && birth.key == fixture_key(mr));
    CHECK_EQ(fixture_query(mr).access, REMOTE_READ);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    fixture_close(&f);
}

/* Checks that the region is what registered() has made it. */
static void unchanged(struct fixture *f, struct rvt_mr_handle mr, uint32_t key) {
    struct rvt_place place;
    struct rvt_mr_attributes a = fixture_query(mr);
    CHECK(a.valid && a.start == START && a.iova == IOVA && a.length == PAGE && a.keys.lkey == key);
    CHECK_EQ(a.access, LOCAL_WRITE | REMOTE_READ);
    CHECK_EQ(local_check(f, &place, START, PAGE, key, LOCAL_WRITE), 1);
    CHECK_EQ(remote_check(f, &place, IOVA, PAGE, key, REMOTE_READ), 1);
}

static void causes(int error, int code, enum rvt_cause cause) {
    struct rvt_failure failure;
    CHECK_EQ(error, -code);
    rvt_take_failure(&failure);
    CHECK_EQ(failure.numbers[RVT_FAILURE_CAUSE], (uint64_t)cause);
}

static void wrong_arguments_leave_it_valid(void) {
    struct fixture f, far;
    struct rvt_mr_handle dma;
    bool lost;
    REQUIRE(fixture_open(&f, 4));
    REQUIRE(fixture_open(&far, 4));
    struct rvt_mr_handle mr = registered(&f), none = {0}, gone = registered(&f);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_dereg_mr(gone, RVT_RELEASE), 0);
    causes(change(mr, (struct rvt_rereg){0}, &lost), RVT_EINVAL, RVT_CAUSE_REREG_NOTHING);
    causes(change(mr, (struct rvt_rereg){.flags = 8}, &lost), RVT_EINVAL, RVT_CAUSE_REREG_NOTHING);
    causes(change(mr, (struct rvt_rereg){.flags = RVT_REREG_PD}, &lost), RVT_EBADF, RVT_CAUSE_PD_GONE);
    causes(change(mr, (struct rvt_rereg){.flags = RVT_REREG_PD, .pd = far.pd}, &lost), RVT_EINVAL,
           RVT_CAUSE_PD_ON_OTHER_DEVICE);
    CHECK_EQ(rvt_dealloc_pd(f.user_pd, true), 0);
    causes(change(mr, (struct rvt_rereg){.flags = RVT_REREG_PD, .pd = f.user_pd}, &lost), RVT_EBADF,
           RVT_CAUSE_PD_GONE);
    causes(change_access(none, 0, &lost), RVT_EBADF, RVT_CAUSE_REGION_GONE);
    causes(change_access(gone, 0, &lost), RVT_EBADF, RVT_CAUSE_REGION_GONE);
    CHECK(!lost);
    unchanged(&f, mr, key);

    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    causes(change_access(dma, 0, &lost), RVT_EINVAL, RVT_CAUSE_REGION_KIND);
    causes(change_access(fixture_mem_reg(&f, 1), 0, &lost), RVT_EINVAL, RVT_CAUSE_REGION_KIND);
    causes(change_access(fixture_fmr(&f, 0, 1, 12), 0, &lost), RVT_EINVAL, RVT_CAUSE_REGION_KIND);
    CHECK(!lost);
    CHECK_EQ(rvt_mr_exit(f.device, true, NULL), 0);
    causes(change_access(mr, 0, &lost), RVT_EBADF, RVT_CAUSE_DEVICE_CLOSED);
    rvt_dev_put(f.device);
    rvt_reader_unregister(f.reader);
    fixture_close_one(&far);
    CHECK_EQ(rvt_test_alloc_live(), f.live);
}

static void held_references_leave_it_valid(void) {
    struct fixture f;
    struct rvt_sge first, second;
    struct rvt_failure failure;
    bool lost;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(local(&f, &first, START, 1, key, 0), 1);
    CHECK_EQ(local(&f, &second, START, 1, key, 0), 1);
    CHECK_EQ(change_memory(mr, others, PAGE, NEW_START, NEW_IOVA, &lost), -RVT_EBUSY);
    rvt_take_failure(&failure);
    CHECK_EQ(failure.numbers[RVT_FAILURE_CAUSE], RVT_CAUSE_REREG_HELD);
    CHECK_EQ(failure.numbers[RVT_FAILURE_VALUE], 2);
    CHECK(!lost);
    rvt_put_sge(&first);
    causes(change_access(mr, 0, &lost), RVT_EBUSY, RVT_CAUSE_REREG_HELD);
    causes(change(mr, (struct rvt_rereg){.flags = RVT_REREG_PD, .pd = f.other_pd}, &lost), RVT_EBUSY,
           RVT_CAUSE_REREG_HELD);
    CHECK(!lost);
    unchanged(&f, mr, key);
    /* Half-dead: it is not re-registered, and ends as it would have. */
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    causes(change_access(mr, 0, &lost), RVT_EINVAL, RVT_CAUSE_HALF_DEAD);
    rvt_put_sge(&second);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);

    mr = registered(&f);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, fixture_key(mr)), 0);
    causes(change_access(mr, 0, &lost), RVT_EINVAL, RVT_CAUSE_REREG_INVALID);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    fixture_close(&f);
}

/* Checks that a failed re-registration has ended the old one: the region is there, its key refuses. */
static void is_lost(struct fixture *f, struct rvt_mr_handle mr, uint32_t key, enum rvt_reason reason) {
    struct rvt_place place;
    bool lost;
    CHECK(!fixture_query(mr).valid);
    CHECK_EQ(fixture_query(mr).length, PAGE);
    CHECK_EQ(local_check(f, &place, START, 1, key, 0), 0);
    CHECK_EQ(f->reason, reason);
    CHECK_EQ(remote_check(f, &place, IOVA, 1, key, REMOTE_READ), 0);
    causes(change_access(mr, 0, &lost), RVT_EINVAL, RVT_CAUSE_REREG_INVALID);
    CHECK(!lost);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
}

static void a_bad_range_ends_the_old_registration(void) {
    struct fixture f;
    bool lost = false;
    REQUIRE(fixture_open(&f, 4));
    const struct {
        uint64_t start, iova;
        enum rvt_cause cause;
    } bad[] = {
        {UINT64_MAX - 1, 0, RVT_CAUSE_START_TOO_HIGH},
        {UINT64_MAX - PAGE - PAGE + 2, 0, RVT_CAUSE_START_TOO_HIGH},
        {0, UINT64_MAX - PAGE + 2, RVT_CAUSE_IOVA_TOO_HIGH},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct rvt_mr_handle mr = registered(&f);
        uint32_t key = fixture_key(mr);
        causes(change_memory(mr, others, PAGE, bad[i].start, bad[i].iova, &lost), RVT_EINVAL, bad[i].cause);
        CHECK(lost);
        is_lost(&f, mr, key, RVT_INVALIDATED);
    }
    struct rvt_mr_handle mr = registered(&f);
    uint32_t key = fixture_key(mr);
    causes(change_memory(mr, others, 0, 0, 0, &lost), RVT_EINVAL, RVT_CAUSE_EMPTY_MEMORY);
    CHECK(lost);
    is_lost(&f, mr, key, RVT_INVALIDATED);
    fixture_close(&f);
}

#ifdef __linux__
/* Replaces the C library's function with the system call, unless it must fail. */
static bool random_fails;

int getentropy(void *buffer, size_t length) {
    return !random_fails && syscall(SYS_getrandom, buffer, length, 0) == (long)length ? 0 : -1;
}

static void without_random_numbers_it_is_lost(void) {
    struct fixture f;
    bool lost = false;
    REQUIRE(fixture_open_with(&f, (struct rvt_device_options){.lkey_table_bits = 4, .random_keys = true}));
    struct rvt_mr_handle mr = registered(&f);
    uint32_t key = fixture_key(mr), children = f.pd.pd->children;
    f.device->lkey_table.random_left = 0; /* the next key needs new random numbers */
    random_fails = true;
    const struct rvt_rereg what = {.flags = RVT_REREG_PD, .pd = f.other_pd};
    causes(change(mr, what, &lost), RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS);
    random_fails = false;
    CHECK(lost);
    CHECK_EQ(f.pd.pd->children, children); /* it stays in its domain */
    is_lost(&f, mr, key, RVT_REVOKED);
    fixture_close(&f);
}

#else
/* A function of the C library cannot be replaced on every system. */
static void without_random_numbers_it_is_lost(void) {}
#endif

/* --- other threads, while it waits for readers --- */

struct waiting_change {
    struct rvt_mr_handle mr;
    struct rvt_rereg what;
    bool lost;
};

static int wait_and_change(void *data) {
    struct waiting_change *waiting = data;
    return rvt_rereg_mr(waiting->mr, &waiting->what, NULL, &waiting->lost);
}

static void it_waits_for_readers_and_refuses_new_ones(void) {
    struct fixture f;
    struct rvt_place place;
    struct waiting waiting;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f);
    uint32_t key = fixture_key(mr);
    struct waiting_change later = {mr, {.flags = RVT_REREG_ACCESS, .access = LOCAL_WRITE}, false};
    read_enter(&f);
    CHECK_EQ(local_check(&f, &place, START, 1, key, 0), 1);
    CHECK(begin_waiting(&waiting, wait_and_change, &later));
    CHECK_EQ(local_check(&f, &place, START, 1, key, 0), 0);
    CHECK_EQ(f.reason, RVT_INVALIDATED);
    bool lost;
    causes(change_access(mr, 0, &lost), RVT_EBUSY, RVT_CAUSE_REREG_RUNNING);
    CHECK(still_waiting(&waiting));
    read_leave(&f);
    CHECK_EQ(end_waiting(&waiting), 0);
    CHECK_EQ(fixture_query(mr).access, LOCAL_WRITE);
    CHECK_EQ(local_check(&f, &place, START, 1, key, LOCAL_WRITE), 1);
    fixture_close(&f);
}

/* Another thread's verb on the same region. */
struct rival {
    struct rvt_qp_handle qp;
    struct rvt_mr_handle mr;
    struct rvt_pd_handle pd;
    uint32_t key;
};

static int rival_dereg(void *data) {
    return rvt_dereg_mr(((struct rival *)data)->mr, RVT_RELEASE);
}

static int rival_invalidate(void *data) {
    const struct rival *rival = data;
    return rvt_invalidate_rkey(rival->qp, rival->key);
}

static int rival_dealloc(void *data) {
    return rvt_dealloc_pd(((struct rival *)data)->pd, false);
}

/* Runs a verb of another thread while a re-registration waits. Both wait for the reader of this thread. Returns
 * the answer of the re-registration. */
static int with_rival(struct fixture *f, struct waiting_change *later, int (*verb)(void *),
                      struct rival *rival) {
    struct waiting first, second;
    read_enter(f);
    CHECK(begin_waiting(&first, wait_and_change, later));
    CHECK(begin_waiting(&second, verb, rival));
    read_leave(f);
    CHECK_EQ(end_waiting(&second), 0);
    int error = end_waiting(&first);
    CHECK(!later->lost);
    return error;
}

static void other_threads_may_end_or_invalidate_it_meanwhile(void) {
    struct fixture f;
    struct rvt_place place;
    REQUIRE(fixture_open(&f, 4));
    const struct rvt_rereg access = {.flags = RVT_REREG_ACCESS, .access = ALL_ACCESS};
    struct rival rival = {.qp = f.qp, .mr = registered(&f)};
    struct waiting_change later = {rival.mr, access, true};
    int error = with_rival(&f, &later, rival_dereg, &rival);
    CHECK(error == -RVT_EBADF || error == -RVT_EINVAL); /* ended, or half-dead until its end */
    CHECK(fixture_dead(rival.mr));

    /* The invalidation is not lost, although the region was without a valid key at the time. */
    rival.mr = registered(&f);
    rival.key = fixture_key(rival.mr);
    later = (struct waiting_change){rival.mr, access, true};
    CHECK_EQ(with_rival(&f, &later, rival_invalidate, &rival), -RVT_EINVAL);
    CHECK(!fixture_query(rival.mr).valid);
    CHECK_EQ(local_check(&f, &place, START, 1, rival.key, 0), 0);
    CHECK_EQ(f.reason, RVT_INVALIDATED);

    /* The new domain ends: the region stays what it is. */
    struct rvt_mr_handle mr = registered(&f);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &rival.pd), 0);
    later = (struct waiting_change){mr, {.flags = RVT_REREG_PD, .pd = rival.pd}, true};
    CHECK_EQ(with_rival(&f, &later, rival_dealloc, &rival), -RVT_EBADF);
    unchanged(&f, mr, key);
    fixture_close(&f);
}

/* Sequential keys come back. The new key is not the old one even if that is the next in the sequence. */
static void the_key_never_stays(void) {
    for (unsigned full = 0; full < 2; full++) {
        struct fixture f;
        bool lost;
        REQUIRE(fixture_open(&f, 4));
        struct rvt_mr_handle mr = registered(&f);
        const uint32_t key = fixture_key(mr);
        struct rvt_lkey_table *table = &f.device->lkey_table;
        while (full && rvt_lkey_available(f.device))
            registered(&f);
        table->next = key >> 28;
        table->generation = (key >> 8 & 0xfffff) - 1;
        CHECK_EQ(change_memory(mr, others, PAGE, START, IOVA, &lost), 0);
        CHECK(fixture_key(mr) >> 8 != key >> 8);
        struct rvt_place place;
        CHECK_EQ(local_check(&f, &place, START, 1, key, 0), 0);
        fixture_close(&f);
    }
}

static _Atomic(uint32_t) moving_key;
static atomic_bool moving_over;

/* Checks the region by the key that it has, or has just had. */
static void *check_moving(void *data) {
    struct fixture *f = data;
    struct rvt_reader *reader = rvt_reader_register();
    while (!atomic_load(&moving_over)) {
        struct rvt_place place;
        enum rvt_reason reason;
        rvt_read_enter(reader, &f->device->retirement);
        (void)rvt_rkey_check(f->qp, 1, IOVA, atomic_load(&moving_key), REMOTE_READ, &place, &reason);
        rvt_read_leave(reader, &f->device->retirement);
    }
    rvt_reader_unregister(reader);
    return NULL;
}

/* A check that is refused counts in the region's counters: it must find the region while its memory changes. Readers that
 * enter while a re-registration waits are not waited for. */
static void counted_checks_meanwhile(void) {
    struct fixture f;
    bool lost;
    pthread_t thread;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = registered(&f);
    CHECK_EQ(rvt_count_mr(mr), 0);
    atomic_store(&moving_key, fixture_key(mr));
    atomic_store(&moving_over, false);
    REQUIRE(pthread_create(&thread, NULL, check_moving, &f) == 0);
    for (int i = 0; i < 20000; i++) {
        CHECK_EQ(change_memory(mr, i % 2 ? bytes : others, PAGE, START, IOVA, &lost), 0);
        atomic_store(&moving_key, fixture_key(mr));
    }
    /* At rest its key works. The other thread may not have run yet. */
    while (!fixture_query(mr).accepted)
        sched_yield();
    atomic_store(&moving_over, true);
    REQUIRE(pthread_join(thread, NULL) == 0);
    fixture_close(&f);
}

CHECK_MAIN(TEST(access_alone_keeps_the_key), TEST(translation_changes_memory_addresses_and_key),
           TEST(the_device_chooses_addresses), TEST(a_domain_takes_the_region_over), TEST(all_three_at_once),
           TEST(wrong_arguments_leave_it_valid), TEST(held_references_leave_it_valid),
           TEST(a_bad_range_ends_the_old_registration), TEST(without_random_numbers_it_is_lost),
           TEST(it_waits_for_readers_and_refuses_new_ones),
           TEST(other_threads_may_end_or_invalidate_it_meanwhile), TEST(the_key_never_stays),
           TEST(counted_checks_meanwhile))
