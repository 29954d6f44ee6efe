/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/sge_atomic.h"

#include <pthread.h>

#include "fixture.h"

static alignas(4096) unsigned char bytes[8 * PAGE];

static uint64_t word_at(const void *at) {
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static void set_word(void *at, uint64_t word) {
    memcpy(at, &word, sizeof(word));
}

static int fetch_add(struct fixture *f, const struct rvt_sge *sge, uint64_t add, uint64_t *old) {
    struct rvt_data_call call;
    rvt_data_call_begin(&call, f->reader, NULL);
    return rvt_sge_fetch_add(&call, sge, add, old, &f->reason);
}

static int compare_swap(struct fixture *f, const struct rvt_sge *sge, uint64_t compare, uint64_t swap,
                        uint64_t *old) {
    struct rvt_data_call call;
    rvt_data_call_begin(&call, f->reader, NULL);
    return rvt_sge_compare_swap(&call, sge, compare, swap, old, &f->reason);
}

/* Checks that both atomic operations return the same error and leave the memory unchanged. */
static void refused(struct fixture *f, const struct rvt_sge *sge, int error, enum rvt_reason reason) {
    unsigned char before[sizeof(bytes)];
    uint64_t old = 4711;
    memcpy(before, bytes, sizeof(bytes));
    CHECK_EQ(fetch_add(f, sge, 1, &old), error);
    CHECK_EQ(f->reason, reason);
    CHECK_EQ(compare_swap(f, sge, 0, 1, &old), error);
    CHECK_EQ(f->reason, reason);
    CHECK_EQ(old, 4711);
    CHECK_BYTES_EQ(bytes, before, sizeof(bytes));
}

static void fetch_add_and_compare_swap_return_the_old_value(void) {
    struct fixture f;
    struct rvt_sge sge;
    uint64_t old = 0;
    REQUIRE(fixture_open(&f, 4));
    memset(bytes, 0xaa, sizeof(bytes));
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x5000, 0x9000, ALL_ACCESS);
    CHECK_EQ(remote(&f, &sge, 0x9010, 8, fixture_key(mr), REMOTE_ATOMIC), 1);
    set_word(bytes + 16, UINT64_MAX - 1);
    CHECK_EQ(fetch_add(&f, &sge, 1, &old), 0);
    CHECK_EQ(old, UINT64_MAX - 1);
    CHECK_EQ(fetch_add(&f, &sge, 5, &old), 0); /* the sum wraps around */
    CHECK_EQ(old, UINT64_MAX);
    CHECK_EQ(word_at(bytes + 16), 4);
    CHECK_EQ(compare_swap(&f, &sge, 5, 77, &old), 0);
    CHECK_EQ(old, 4);
    CHECK_EQ(word_at(bytes + 16), 4);
    CHECK_EQ(compare_swap(&f, &sge, 4, 77, &old), 0);
    CHECK_EQ(old, 4);
    CHECK_EQ(word_at(bytes + 16), 77);
    CHECK_EQ(bytes[15], 0xaa); /* the neighboring bytes are unchanged */
    CHECK_EQ(bytes[24], 0xaa);
    rvt_put_sge(&sge);
    /* A local check for remote atomic access grants the same right. */
    CHECK_EQ(local(&f, &sge, 0x5010, 8, fixture_key(mr), REMOTE_ATOMIC), 1);
    CHECK_EQ(fetch_add(&f, &sge, 1, &old), 0);
    CHECK_EQ(old, 77);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static void atomics_work_on_every_kind_of_region(void) {
    struct fixture f;
    struct rvt_mr_handle dma;
    struct rvt_sg_outcome outcome;
    struct rvt_sge sge[4];
    uint64_t old;
    REQUIRE(fixture_open(&f, 4));
    memset(bytes, 0, sizeof(bytes));
    fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    fixture_dma(&f, bytes + 4 * PAGE, 4 * PAGE, 0x20000);
    struct rvt_mr_handle sg = fixture_mem_reg(&f, 4), fmr = fixture_fmr(&f, ALL_ACCESS, 4, 12),
                         several = fixture_fmr(&f, ALL_ACCESS, 4, 3);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    CHECK_EQ(rvt_map_mr_sg(sg, &(struct rvt_sg_element){0x11000, PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, sg, fixture_key(sg), ALL_ACCESS, NULL), 0);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x12000}, 1, 0x7000), 0);
    CHECK_EQ(rvt_map_phys_fmr(several, (uint64_t[]){0x10100, 0x20200}, 2, 0x7000), 0);
    CHECK_EQ(remote(&f, &sge[0], 0x10008, 8, 0, REMOTE_ATOMIC), 1);
    CHECK_EQ(remote(&f, &sge[1], 0x11008, 8, fixture_key(sg), REMOTE_ATOMIC), 1);
    CHECK_EQ(remote(&f, &sge[2], 0x7008, 8, fixture_key(fmr), REMOTE_ATOMIC), 1);
    CHECK_EQ(remote(&f, &sge[3], 0x7008, 8, fixture_key(several), REMOTE_ATOMIC), 1);
    const size_t places[] = {8, PAGE + 8, 2 * PAGE + 8, 4 * PAGE + 0x200};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(fetch_add(&f, &sge[i], 100 + (uint64_t)i, &old), 0);
        CHECK_EQ(old, 0);
        CHECK_EQ(word_at(bytes + places[i]), 100 + i);
        rvt_put_sge(&sge[i]);
    }
    fixture_close(&f);
}

static void atomics_need_eight_aligned_contiguous_bytes(void) {
    struct fixture f;
    struct rvt_sge sge;
    uint64_t old;
    REQUIRE(fixture_open(&f, 5));
    memset(bytes, 0, sizeof(bytes));
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    uint32_t key = fixture_key(mr);
    static const uint32_t lengths[] = {0, 1, 4, 7, 9, 16, 4096};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        CHECK_EQ(remote(&f, &sge, 0x5000, lengths[i], key, REMOTE_ATOMIC), 1);
        refused(&f, &sge, -RVT_EINVAL, RVT_REASON_NONE);
        rvt_put_sge(&sge);
    }
    /* Both the requested address and the memory address must be aligned. */
    for (uint64_t request = 0; request < 8; request++) {
        for (uint64_t place = 0; place < 8; place++) {
            struct rvt_mr_handle odd =
                fixture_reg(&f, bytes + place, PAGE, 0x5000, 0x9000 + request, ALL_ACCESS);
            CHECK_EQ(remote(&f, &sge, 0x9000 + request, 8, fixture_key(odd), REMOTE_ATOMIC), 1);
            if (request || place) {
                refused(&f, &sge, -RVT_EINVAL, RVT_REASON_NONE);
            } else {
                CHECK_EQ(fetch_add(&f, &sge, 1, &old), 0);
            }
            rvt_put_sge(&sge);
            CHECK_EQ(rvt_dereg_mr(odd, RVT_RELEASE), 0);
        }
    }
    /* The eight bytes are not contiguous: the segments are smaller than a word. */
    fixture_dma(&f, bytes, PAGE, 0x10000);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 4, 2);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000, 0x10100}, 2, 0x8000), 0);
    CHECK_EQ(remote(&f, &sge, 0x8000, 8, fixture_key(fmr), REMOTE_ATOMIC), 1);
    refused(&f, &sge, -RVT_EINVAL, RVT_REASON_NONE);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static void atomics_need_the_remote_atomic_right(void) {
    struct fixture f;
    struct rvt_sge sge;
    REQUIRE(fixture_open(&f, 4));
    memset(bytes, 0, sizeof(bytes));
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS),
                         reader = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, REMOTE_READ);
    for (uint32_t acc = 1; acc < 8; acc++) {
        CHECK_EQ(remote(&f, &sge, 0x5000, 8, fixture_key(mr), acc), 1);
        refused(&f, &sge, -RVT_EACCES, RVT_ACCESS_DENIED);
        rvt_put_sge(&sge);
    }
    /* The atomic right was requested, but the region does not grant it: a remote check passes with any one of
     * the requested rights. */
    CHECK_EQ(remote(&f, &sge, 0x5000, 8, fixture_key(reader), REMOTE_READ | REMOTE_ATOMIC), 1);
    refused(&f, &sge, -RVT_EACCES, RVT_ACCESS_DENIED);
    rvt_put_sge(&sge);
    refused(&f, &sge, -RVT_EBADF, RVT_REASON_NONE); /* the SGE has been put */
    fixture_close(&f);
}

struct owned {
    struct rvt_memory memory;
    enum rvt_reason answer;
};

static enum rvt_reason owned_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment;
    *data = bytes;
    return ((struct owned *)memory)->answer;
}

static void owned_release(struct rvt_memory *memory) {
    (void)memory;
}

static const struct rvt_memory_ops owned_ops = {owned_resolve, owned_release, NULL};

static void atomics_need_usable_memory(void) {
    struct fixture f;
    struct owned owned = {.answer = RVT_REASON_NONE};
    struct rvt_mr_handle mr;
    struct rvt_sge sge;
    uint64_t old;
    REQUIRE(fixture_open(&f, 4));
    rvt_memory_init(&owned.memory, &owned_ops, PAGE);
    CHECK_EQ(rvt_reg_user_mr(f.pd, &owned.memory, 0x5000, 0x5000, ALL_ACCESS, &mr), 0);
    rvt_memory_put(&owned.memory);
    CHECK_EQ(remote(&f, &sge, 0x5000, 8, fixture_key(mr), REMOTE_ATOMIC), 1);
    CHECK_EQ(fetch_add(&f, &sge, 1, &old), 0);
    for (int reason = RVT_MEMORY_DETACHED; reason < RVT_REASON_COUNT; reason++) {
        owned.answer = (enum rvt_reason)reason;
        refused(&f, &sge, -RVT_EACCES, (enum rvt_reason)reason);
    }
    owned.answer = RVT_REASON_NONE;
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), 0);
    refused(&f, &sge, -RVT_EACCES, RVT_REGION_REVOKED);
    rvt_put_sge(&sge);

    fixture_dma(&f, bytes, PAGE, 0x10000);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 1, 12);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000}, 1, 0x8000), 0);
    CHECK_EQ(remote(&f, &sge, 0x8000, 8, fixture_key(fmr), REMOTE_ATOMIC), 1);
    CHECK_EQ(rvt_unmap_fmr(&fmr, 1), 0);
    refused(&f, &sge, -RVT_EACCES, RVT_REMAPPED);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

enum { THREADS = 8, ROUNDS = 4000 };

static struct fixture shared;
static uint32_t shared_key;

static void *add_from_a_thread(void *argument) {
    struct rvt_reader *reader = rvt_reader_register();
    struct rvt_sge sge;
    enum rvt_reason reason;
    uint64_t old, *won = argument;
    rvt_read_enter(reader, &shared.device->retirement);
    CHECK_EQ(rvt_rkey_ok(shared.qp, &sge, 8, 0x5000, shared_key, REMOTE_ATOMIC, &reason), 1);
    rvt_read_leave(reader, &shared.device->retirement);
    for (int i = 0; i < ROUNDS; i++) {
        struct rvt_data_call call;
        rvt_data_call_begin(&call, reader, NULL);
        if (i % 2) {
            CHECK_EQ(rvt_sge_fetch_add(&call, &sge, 1, &old, &reason), 0);
            ++*won;
        } else { /* adds by compare and swap: it may fail, and then adds nothing */
            CHECK_EQ(rvt_sge_compare_swap(&call, &sge, UINT64_MAX, 0, &old, &reason), 0);
            uint64_t seen = old;
            CHECK_EQ(rvt_sge_compare_swap(&call, &sge, seen, seen + 1, &old, &reason), 0);
            *won += old == seen;
        }
    }
    rvt_put_sge(&sge);
    rvt_reader_unregister(reader);
    return NULL;
}

static void no_addition_of_eight_threads_is_lost(void) {
    pthread_t threads[THREADS];
    uint64_t won[THREADS] = {0}, sum = 0;
    REQUIRE(fixture_open(&shared, 4));
    memset(bytes, 0, sizeof(bytes));
    struct rvt_mr_handle mr = fixture_reg(&shared, bytes, 8, 0x5000, 0x5000, ALL_ACCESS);
    shared_key = fixture_key(mr);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, add_from_a_thread, &won[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
        sum += won[i];
    }
    CHECK_EQ(word_at(bytes), sum);
    CHECK_EQ(fixture_refs(mr), 2);
    fixture_close(&shared);
}

static void only_refused_atomics_are_counted(void) {
    struct fixture f;
    struct rvt_sge sge, other;
    struct rvt_data_call call;
    struct looked own = {.accepted = 0}, region = {.accepted = 0};
    uint64_t old;
    REQUIRE(fixture_open_joined(&f, 4));
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, ALL_ACCESS);
    CHECK_EQ(rvt_count_mr(mr), 0);
    CHECK_EQ(remote(&f, &sge, 0x1008, 8, fixture_key(mr), REMOTE_ATOMIC), 1);
    CHECK_EQ(remote(&f, &other, 0x1008, 8, fixture_key(mr), REMOTE_READ), 1);
    COUNTED(&f, &own, 2, 0, 0, 0);
    MR_COUNTED(mr, &region, 2, 0, 0);
    rvt_data_call_begin(&call, f.reader, NULL);
    for (int counting = 0; counting < 2; counting++) {
        call.context = counting ? f.context : NULL;
        CHECK_EQ(rvt_sge_fetch_add(&call, &sge, 1, &old, &f.reason), 0);
        CHECK_EQ(rvt_sge_compare_swap(&call, &sge, 0, 1, &old, &f.reason), 0);
        COUNTED(&f, &own, 0, 0, 0, 0); /* atomics copy no bytes, and the SGE was checked before */
        CHECK_EQ(rvt_sge_fetch_add(&call, &other, 1, &old, &f.reason), -RVT_EACCES);
        COUNTED(&f, &own, 0, 0, RVT_ACCESS_DENIED, counting);
        CHECK_EQ(rvt_sge_compare_swap(&call, &other, 1, 1, &old, &f.reason), -RVT_EACCES);
        COUNTED(&f, &own, 0, 0, RVT_ACCESS_DENIED, counting);
        sge.sge_length = 7;
        CHECK_EQ(rvt_sge_fetch_add(&call, &sge, 1, &old, &f.reason), -RVT_EINVAL);
        CHECK_EQ(rvt_sge_compare_swap(&call, &sge, 1, 1, &old, &f.reason), -RVT_EINVAL);
        COUNTED(&f, &own, 0, 0, 0, 0);
        sge.sge_length = 8;
    }
    MR_COUNTED(mr, &region, 0, 0, 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), 0);
    CHECK_EQ(rvt_sge_fetch_add(&call, &sge, 1, &old, &f.reason), -RVT_EACCES);
    COUNTED(&f, &own, 0, 0, RVT_REGION_REVOKED, 1);
    CHECK_EQ(rvt_sge_compare_swap(&call, &sge, 1, 1, &old, &f.reason), -RVT_EACCES);
    COUNTED(&f, &own, 0, 0, RVT_REGION_REVOKED, 1);
    rvt_put_sge(&sge);
    rvt_put_sge(&other);
    CHECK_EQ(rvt_sge_fetch_add(&call, &sge, 1, &old, &f.reason), -RVT_EBADF);
    COUNTED(&f, &own, 0, 0, 0, 0);
    fixture_leave_last(&f, &f);
}

CHECK_MAIN(TEST(fetch_add_and_compare_swap_return_the_old_value), TEST(atomics_work_on_every_kind_of_region),
           TEST(atomics_need_eight_aligned_contiguous_bytes), TEST(atomics_need_the_remote_atomic_right),
           TEST(atomics_need_usable_memory), TEST(no_addition_of_eight_threads_is_lost),
           TEST(only_refused_atomics_are_counted))
