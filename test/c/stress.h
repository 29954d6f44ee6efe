/* SPDX-License-Identifier: BSD-3-Clause */
/* Helpers of the multithreaded tests: worker threads that run until `stop` is set, and functions that check
 * an access and read the memory of an accepted SGE. */
#ifndef RVT_TEST_STRESS_H
#define RVT_TEST_STRESS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "fixture.h"

static atomic_bool stop;

struct worker {
    pthread_t thread;
    void (*run)(struct worker *);
    struct rvt_reader *reader;
    uint64_t seed;
    unsigned index;
    uint64_t accepted, refused, stale;
};

static inline bool going(void) {
    return !atomic_load_explicit(&stop, memory_order_relaxed);
}

static inline void *work(void *argument) {
    struct worker *w = argument;
    w->run(w);
    return NULL;
}

/* Runs the worker with a reader. It is registered here because a reader belongs to its thread. */
static inline void *work_as_reader(void *argument) {
    struct worker *w = argument;
    w->reader = rvt_reader_register();
    if (!w->reader)
        abort();
    w->run(w);
    rvt_reader_unregister(w->reader);
    return NULL;
}

static inline unsigned char fill_of(uint64_t tag) {
    return (unsigned char)(0x40 + tag);
}

/* Copies the whole SGE out and checks that every copied byte belongs to `tag`. Returns the reason that
 * stopped the copy. */
static inline enum rvt_reason read_out(struct worker *w, struct rvt_sge *sge, uint64_t tag) {
    unsigned char out[3 * PAGE];
    struct rvt_sge_state ss;
    struct rvt_data_call call;
    struct rvt_copied copied = {0, RVT_REASON_NONE};
    rvt_data_call_begin(&call, w->reader, NULL);
    CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){sge}, 1), 0);
    int error = rvt_copy_sge_out(&call, &ss, out, sge->sge_length, false, &copied);
    CHECK_EQ(error, copied.reason ? -RVT_EACCES : 0);
    CHECK(copied.reason || copied.bytes == sge->sge_length);
    for (uint64_t i = 0; i < copied.bytes; i++) {
        if (out[i] != fill_of(tag)) {
            CHECK_EQ(out[i], fill_of(tag));
            break;
        }
    }
    w->stale += copied.reason != RVT_REASON_NONE;
    return copied.reason;
}

static inline int check_local(struct worker *w, struct rvt_pd_handle pd, struct rvt_sge *sge,
                              struct rvt_sge *last, uint64_t addr, uint32_t length, uint32_t key,
                              uint32_t acc, enum rvt_reason *reason) {
    struct rvt_ib_sge wanted = {addr, length, key};
    struct rvt_retirement *of = &pd.pd->owned.device->retirement;
    rvt_read_enter(w->reader, of);
    int answer = rvt_lkey_ok(pd, sge, last, &wanted, acc, reason);
    rvt_read_leave(w->reader, of);
    w->accepted += answer >= 0;
    w->refused += answer < 0;
    return answer;
}

static inline int check_remote(struct worker *w, struct rvt_qp_handle qp, struct rvt_sge *sge, uint64_t addr,
                               uint32_t length, uint32_t key, uint32_t acc, enum rvt_reason *reason) {
    struct rvt_retirement *of = &qp.qp->owned.device->retirement;
    rvt_read_enter(w->reader, of);
    int answer = rvt_rkey_ok(qp, sge, length, addr, key, acc, reason);
    rvt_read_leave(w->reader, of);
    w->accepted += answer == 1;
    w->refused += answer != 1;
    return answer;
}

#endif
