/* SPDX-License-Identifier: BSD-3-Clause */
/* An open device with the domains, queue pairs and reader that most tests need, helpers for frequent calls,
 * and a loop that makes each allocation of a verb fail once. */
#ifndef RVT_TEST_FIXTURE_H
#define RVT_TEST_FIXTURE_H

#include <stdlib.h>

#include "check.h"
#include "core/access/check.h"
#include "core/access/sge_atomic.h"
#include "core/access/sge_copy.h"
#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/objects/mr.h"

enum { PAGE = RVT_PAGE_SIZE };

enum {
    LOCAL_WRITE = RVT_ACCESS_LOCAL_WRITE,
    REMOTE_WRITE = RVT_ACCESS_REMOTE_WRITE,
    REMOTE_READ = RVT_ACCESS_REMOTE_READ,
    REMOTE_ATOMIC = RVT_ACCESS_REMOTE_ATOMIC,
    ALL_ACCESS = LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ | REMOTE_ATOMIC,
};

struct fixture {
    struct rvt_dev_info *device;
    struct rvt_ucontext *context; /* NULL, unless the fixture is one of several environments (fixture_join) */
    struct rvt_reader *reader;
    struct rvt_pd_handle pd, other_pd, user_pd; /* kernel, kernel and user domain */
    struct rvt_qp_handle qp, other_qp, user_qp; /* one queue pair in each domain */
    enum rvt_reason reason;                     /* reason of the last check */
    long live;                                  /* number of live allocations before the device was opened */
    /* Objects for the verbs under test: */
    struct rvt_mr_handle mr, mr2;
    struct rvt_dma_handle dma;
    struct rvt_memory *memory;
    struct rvt_pd_handle new_pd;
    struct rvt_qp_handle new_qp;
};

static inline bool fixture_open_with(struct fixture *f, struct rvt_device_options options) {
    memset(f, 0, sizeof(*f));
    f->live = rvt_test_alloc_live();
    f->reader = rvt_reader_register();
    if (!check_true(f->reader != NULL, "a reader", __FILE__, __LINE__))
        return false;
    int error = rvt_driver_mr_init(&options, &f->device);
    error = error ? error : rvt_alloc_pd(f->device, NULL, false, &f->pd);
    error = error ? error : rvt_alloc_pd(f->device, NULL, false, &f->other_pd);
    error = error ? error : rvt_alloc_pd(f->device, NULL, true, &f->user_pd);
    error = error ? error : rvt_create_check_qp(f->pd, &f->qp);
    error = error ? error : rvt_create_check_qp(f->other_pd, &f->other_qp);
    error = error ? error : rvt_create_check_qp(f->user_pd, &f->user_qp);
    return check_equal((uint64_t)error, 0, "opening the fixture", "0", __FILE__, __LINE__);
}

static inline bool fixture_open(struct fixture *f, uint32_t bits) {
    return fixture_open_with(f,
                             (struct rvt_device_options){.lkey_table_bits = bits, .remote_key_zero = true});
}

/* Closes the device with everything in it. Other devices may still be open. */
static inline void fixture_close_one(struct fixture *f) {
    CHECK_EQ(rvt_mr_exit(f->device, true, NULL), 0);
    /* rvt_mr_exit waited for readers and freed all retired objects */
    CHECK(!rvt_reclaim_pending(&f->device->retirement));
    rvt_dev_put(f->device);
    rvt_reader_unregister(f->reader);
}

/* Closes the only or last device, and checks that no allocation is left. */
static inline void fixture_close(struct fixture *f) {
    fixture_close_one(f);
    CHECK_EQ(rvt_test_alloc_live(), f->live);
}

/* --- several environments on one device --- */

/* Joins the device as one more environment, with a context, a reader, a kernel domain and a queue pair. */
static inline bool fixture_join(struct fixture *f, struct rvt_dev_info *device) {
    memset(f, 0, sizeof(*f));
    f->device = device;
    f->reader = rvt_reader_register();
    if (!check_true(f->reader != NULL, "a reader", __FILE__, __LINE__))
        return false;
    rvt_dev_get(device);
    int error = rvt_alloc_ucontext(device, f->reader, &f->context);
    error = error ? error : rvt_alloc_pd(device, f->context, false, &f->pd);
    error = error ? error : rvt_create_check_qp(f->pd, &f->qp);
    return check_equal((uint64_t)error, 0, "joining the device", "0", __FILE__, __LINE__);
}

static inline void fixture_end_context(struct fixture *f) {
    if (!rvt_ucontext_gone(f->context))
        CHECK_EQ(rvt_dealloc_ucontext(f->context, true), 0);
}

/* Leaves the device; the context may already be deallocated. */
static inline void fixture_leave(struct fixture *f) {
    fixture_end_context(f);
    rvt_free_ucontext(f->context);
    rvt_reader_unregister(f->reader);
    rvt_dev_put(f->device);
}

/* Opens a device that closes when its last environment leaves. `first` is the first environment. */
static inline bool fixture_open_joined(struct fixture *first, uint32_t bits) {
    long live = rvt_test_alloc_live();
    struct rvt_dev_info *device;
    struct rvt_device_options options = {.lkey_table_bits = bits, .remote_key_zero = true};
    if (!check_true(rvt_driver_mr_init(&options, &device) == 0, "a device", __FILE__, __LINE__))
        return false;
    bool ok = fixture_join(first, device);
    first->live = live;
    rvt_dev_put(device);
    return ok;
}

/* Leaves as the last environment, and checks that no allocation is left. `first` is the fixture that opened
 * the device. */
static inline void fixture_leave_last(struct fixture *f, const struct fixture *first) {
    long live = first->live;
    fixture_end_context(f);
    CHECK(!rvt_reclaim_pending(&f->device->retirement));
    fixture_leave(f);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static inline struct rvt_counts fixture_counts(struct rvt_dev_info *device,
                                               const struct rvt_ucontext *context) {
    struct rvt_counts counts;
    rvt_read_counters(device, context, &counts);
    return counts;
}

/* --- objects --- */

static inline struct rvt_mr_handle fixture_reg_in(struct rvt_pd_handle pd, void *data, uint64_t length,
                                                  uint64_t start, uint64_t virt_addr, uint32_t access) {
    struct rvt_mr_handle mr = {0};
    struct rvt_memory *memory = rvt_fixed_memory(data, length);
    CHECK(memory != NULL);
    CHECK_EQ(rvt_reg_user_mr(pd, memory, start, virt_addr, access, &mr), 0);
    rvt_memory_put(memory);
    return mr;
}

static inline struct rvt_mr_handle fixture_reg(struct fixture *f, void *data, uint64_t length, uint64_t start,
                                               uint64_t virt_addr, uint32_t access) {
    return fixture_reg_in(f->pd, data, length, start, virt_addr, access);
}

static inline struct rvt_dma_handle fixture_dma(struct fixture *f, void *data, uint64_t length,
                                                uint64_t address) {
    struct rvt_dma_handle dma = {0};
    struct rvt_memory *memory = rvt_fixed_memory(data, length);
    CHECK(memory != NULL);
    CHECK_EQ(rvt_dma_map(f->device, f->context, memory, true, &address, &dma), 0);
    rvt_memory_put(memory);
    return dma;
}

static inline struct rvt_mr_handle fixture_mem_reg(struct fixture *f, uint32_t segments) {
    struct rvt_mr_handle mr = {0};
    CHECK_EQ(rvt_alloc_mr(f->pd, RVT_MR_TYPE_MEM_REG, segments, &mr), 0);
    return mr;
}

static inline struct rvt_mr_handle fixture_fmr(struct fixture *f, uint32_t access, int64_t max_pages,
                                               uint32_t shift) {
    struct rvt_mr_handle mr = {0};
    CHECK_EQ(rvt_alloc_fmr(f->pd, access, &(struct rvt_fmr_attr){max_pages, 32, shift}, &mr), 0);
    return mr;
}

static inline struct rvt_mr_attributes fixture_query(struct rvt_mr_handle mr) {
    struct rvt_mr_attributes attributes = {0};
    CHECK_EQ(rvt_query_mr(mr, &attributes), 0);
    return attributes;
}

static inline uint32_t fixture_key(struct rvt_mr_handle mr) {
    return fixture_query(mr).keys.lkey;
}

static inline uint32_t fixture_refs(struct rvt_mr_handle mr) {
    return fixture_query(mr).refs;
}

static inline bool fixture_dead(struct rvt_mr_handle mr) {
    struct rvt_mr_attributes attributes;
    return rvt_query_mr(mr, &attributes) == -RVT_EBADF;
}

/* --- counters --- */

/* Counter values at the last comparison, for a context (NULL: the whole device) or for one region. Each
 * comparison allows refusals for one reason only. */
struct looked {
    struct rvt_counts counts;
    uint64_t accepted, refused, bytes;
};

static inline void fixture_counted(struct rvt_dev_info *device, const struct rvt_ucontext *context,
                                   struct looked *last, uint64_t accepted, uint64_t bytes,
                                   enum rvt_reason reason, uint64_t refused, const char *file, int line) {
    struct rvt_counts now = fixture_counts(device, context);
    check_equal(now.accepted - last->counts.accepted, accepted, "accepted", "expected", file, line);
    check_equal(now.bytes - last->counts.bytes, bytes, "bytes", "expected", file, line);
    for (unsigned i = 0; i < RVT_REASON_COUNT; i++)
        check_equal(now.refused[i] - last->counts.refused[i], i == (unsigned)reason ? refused : 0,
                    rvt_reason_name((enum rvt_reason)i), "expected", file, line);
    last->counts = now;
}

#define COUNTED(f, last, accepted, bytes, reason, refused)                                                   \
    fixture_counted((f)->device, (f)->context, (last), (accepted), (bytes), (reason), (refused), __FILE__,   \
                    __LINE__)

static inline void fixture_mr_counted(struct rvt_mr_handle mr, struct looked *last, uint64_t accepted,
                                      uint64_t refused, uint64_t bytes, const char *file, int line) {
    struct rvt_mr_attributes now = fixture_query(mr);
    check_true(now.counted, "the region is counted", file, line);
    check_equal(now.accepted - last->accepted, accepted, "the region's accepted", "expected", file, line);
    check_equal(now.refused - last->refused, refused, "the region's refused", "expected", file, line);
    check_equal(now.bytes - last->bytes, bytes, "the region's bytes", "expected", file, line);
    last->accepted = now.accepted;
    last->refused = now.refused;
    last->bytes = now.bytes;
}

#define MR_COUNTED(mr, last, accepted, refused, bytes)                                                       \
    fixture_mr_counted((mr), (last), (accepted), (refused), (bytes), __FILE__, __LINE__)

/* --- checks, each in its own read section --- */

/* Enters a read section of the fixture's reader. Until read_leave the thread must not call a verb that waits
 * for readers. */
static inline void read_enter(struct fixture *f) {
    rvt_read_enter(f->reader, &f->device->retirement);
}

static inline void read_leave(struct fixture *f) {
    rvt_read_leave(f->reader, &f->device->retirement);
}

static inline int local_in(struct fixture *f, struct rvt_pd_handle pd, struct rvt_sge *sge,
                           struct rvt_sge *last, uint64_t addr, uint32_t length, uint32_t key, uint32_t acc) {
    struct rvt_ib_sge wanted = {addr, length, key};
    read_enter(f);
    int answer = rvt_lkey_ok(pd, sge, last, &wanted, acc, &f->reason);
    read_leave(f);
    return answer;
}

static inline int local(struct fixture *f, struct rvt_sge *sge, uint64_t addr, uint32_t length, uint32_t key,
                        uint32_t acc) {
    return local_in(f, f->pd, sge, NULL, addr, length, key, acc);
}

static inline int remote_in(struct fixture *f, struct rvt_qp_handle qp, struct rvt_sge *sge, uint64_t addr,
                            uint32_t length, uint32_t key, uint32_t acc) {
    read_enter(f);
    int answer = rvt_rkey_ok(qp, sge, length, addr, key, acc, &f->reason);
    read_leave(f);
    return answer;
}

static inline int remote(struct fixture *f, struct rvt_sge *sge, uint64_t addr, uint32_t length, uint32_t key,
                         uint32_t acc) {
    return remote_in(f, f->qp, sge, addr, length, key, acc);
}

/* Checks an access without taking a reference. Returns 1, or 0 with f->reason set. */
static inline int local_check(struct fixture *f, struct rvt_place *place, uint64_t addr, uint32_t length,
                              uint32_t key, uint32_t acc) {
    struct rvt_ib_sge wanted = {addr, length, key};
    read_enter(f);
    int answer = rvt_lkey_check(f->pd, &wanted, acc, place, &f->reason);
    read_leave(f);
    return answer;
}

static inline int remote_check(struct fixture *f, struct rvt_place *place, uint64_t addr, uint32_t length,
                               uint32_t key, uint32_t acc) {
    read_enter(f);
    int answer = rvt_rkey_check(f->qp, length, addr, key, acc, place, &f->reason);
    read_leave(f);
    return answer;
}

/* Returns why an SGE that was accepted cannot be used now, or RVT_REASON_NONE. */
static inline enum rvt_reason usable(struct fixture *f, const struct rvt_sge *sge) {
    struct rvt_map *map;
    read_enter(f);
    enum rvt_reason reason = rvt_sge_usable(sge, &map);
    read_leave(f);
    return reason;
}

/* Whether put_bytes and get_bytes walk an SGE state (true), or use rvt_copy_one for a single SGE (false). */
static bool by_walk __attribute__((unused));

/* Writes (put_bytes) or reads (get_bytes) through one SGE, without advancing it. */
static inline int put_bytes(struct fixture *f, struct rvt_sge *sge, const void *data, uint64_t length,
                            struct rvt_copied *copied) {
    struct rvt_data_call call;
    struct rvt_sge_state ss;
    rvt_data_call_begin(&call, f->reader, NULL);
    call.context = f->context;
    if (!by_walk)
        return rvt_copy_one(&call, sge, 0, (void *)(uintptr_t)data, length, true, false, copied);
    int error = rvt_ss_init(&ss, (struct rvt_sge *[]){sge}, 1);
    return error ? error : rvt_copy_sge(&call, &ss, data, length, false, false, copied);
}

static inline int get_bytes(struct fixture *f, struct rvt_sge *sge, void *data, uint64_t length,
                            struct rvt_copied *copied) {
    struct rvt_data_call call;
    struct rvt_sge_state ss;
    rvt_data_call_begin(&call, f->reader, NULL);
    call.context = f->context;
    if (!by_walk)
        return rvt_copy_one(&call, sge, 0, data, length, false, false, copied);
    int error = rvt_ss_init(&ss, (struct rvt_sge *[]){sge}, 1);
    return error ? error : rvt_copy_sge_out(&call, &ss, data, length, false, copied);
}

/* The fragments that a walk reports. */
struct fragments {
    uint32_t count;
    struct rvt_fragment part[80];
};

static inline bool note_fragments(void *context, const struct rvt_fragment *fragments, uint32_t count) {
    struct fragments *noted = context;
    if (count > sizeof(noted->part) / sizeof(noted->part[0]) - noted->count)
        return false;
    memcpy(&noted->part[noted->count], fragments, count * sizeof(*fragments));
    noted->count += count;
    return true;
}

static inline int walk(struct fixture *f, struct rvt_sge_state *ss, const uint32_t *steps, uint32_t count,
                       bool release, struct fragments *fragments) {
    fragments->count = 0;
    return rvt_walk(f->reader, ss, steps, count, release, &f->reason, note_fragments, fragments);
}

/* Walks one SGE from beginning to end in one step. */
static inline int walk_whole(struct fixture *f, struct rvt_sge *sge, struct fragments *fragments) {
    struct rvt_sge_state ss;
    int error = rvt_ss_init(&ss, (struct rvt_sge *[]){sge}, 1);
    return error ? error : walk(f, &ss, &(uint32_t){sge->sge_length}, 1, false, fragments);
}

/* --- contents of the key table --- */

static inline void fixture_no_row(void *context, const struct rvt_table_row *row) {
    (void)row;
    ++*(uint32_t *)context;
}

static inline struct rvt_table_head fixture_head(struct rvt_dev_info *device) {
    struct rvt_table_head head;
    uint32_t rows = 0;
    rvt_table_report(device, &head, fixture_no_row, &rows);
    CHECK_EQ(rows, head.used);
    return head;
}

/* --- allocation failures --- */

/* Runs `verb` on a fresh device (set up by `prepare`) with its first allocation failing, then on another with
 * the second failing, and so on until no allocation fails. Each failure must return -ENOMEM, must not change
 * the key table or the region f->mr (if prepare made one), and must not leak; the same call must then
 * succeed. */
static inline void each_allocation_fails(void (*prepare)(struct fixture *), int (*verb)(struct fixture *),
                                         int at_least) {
    int failures = 0;
    for (long n = 0; n < 1000; n++) {
        struct fixture f;
        if (!fixture_open(&f, 4))
            return;
        if (prepare)
            prepare(&f);
        struct rvt_table_head before = fixture_head(f.device);
        struct rvt_mr_attributes was = {0}, is = {0};
        struct rvt_mr_handle watched = f.mr;
        if (watched.mr)
            was = fixture_query(watched);
        rvt_test_alloc_fail_after(n);
        int answer = verb(&f);
        bool failed = rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        if (failed) {
            failures++;
            CHECK_EQ(answer, -RVT_ENOMEM);
            struct rvt_failure why;
            rvt_take_failure(&why);
            CHECK_EQ(why.numbers[RVT_FAILURE_ERROR], RVT_ENOMEM);
            CHECK(why.numbers[RVT_FAILURE_CAUSE] == RVT_CAUSE_NO_MEMORY ||
                  why.numbers[RVT_FAILURE_CAUSE] == RVT_CAUSE_NO_DEVICE_MEMORY);
            struct rvt_table_head after = fixture_head(f.device);
            CHECK_BYTES_EQ(&after, &before, sizeof(after));
            if (watched.mr) {
                is = fixture_query(watched);
                CHECK_EQ(is.id, was.id);
                CHECK_EQ(is.keys.lkey, was.keys.lkey);
                CHECK_EQ(is.refs, was.refs);
                CHECK_EQ(is.start, was.start);
                CHECK_EQ(is.iova, was.iova);
                CHECK_EQ(is.length, was.length);
                CHECK_EQ(is.segments, was.segments);
                CHECK_EQ(is.valid, was.valid);
            }
            CHECK(verb(&f) >= 0);
        } else {
            CHECK(answer >= 0);
        }
        if (f.memory)
            rvt_memory_put(f.memory);
        fixture_close(&f);
        if (!failed)
            break;
    }
    CHECK(failures >= at_least);
}

/* Returns the number of contexts on the device. */
static inline uint32_t fixture_contexts(struct rvt_dev_info *device) {
    uint32_t count = 0;
    rvt_mutex_lock(&device->lock);
    for (const struct rvt_link *link = device->contexts; link; link = link->next)
        count++;
    rvt_mutex_unlock(&device->lock);
    return count;
}

/* --- reproducible pseudorandom numbers --- */

static inline uint64_t dice(uint64_t *state) {
    /* The splitmix64 generator. */
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Returns a number in [0, below). */
static inline uint64_t roll(uint64_t *state, uint64_t below) {
    return dice(state) % below;
}

/* Returns how many of `all` rounds a random test plays: the environment variable RVT_ROUNDS_PERCENT says how many
 * percent, where each round costs many times more than in the plain build. At least one. */
static inline int random_rounds(int all) {
    const char *const percent = getenv("RVT_ROUNDS_PERCENT");
    const int rounds = percent ? all * atoi(percent) / 100 : all;
    return rounds > 0 ? rounds : 1;
}

#endif
