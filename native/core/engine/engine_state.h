/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of an engine, and what its files share.
 *
 * One mutex for each device, the engine lock, protects everything of the engine: queue pairs, completion
 * queues, shared receive queues and address handles. It is the outermost lock: a thread that holds it may take
 * the device lock, and may wait for readers (rvt_synchronize) while the engine's own reader is outside any
 * section. No thread waits for the engine lock inside a section or while it holds the device lock. So the
 * hooks by which the memory layer tells the engine of regions and queue pairs that end, which run with the
 * device lock held, only leave marks; rvt_drain_engine() acts on them after the verb has released the device
 * lock.
 *
 * The engine works in steps of one work request or 64 KiB. It releases the engine lock between two steps if
 * another thread waits for it. So whoever copies or works on queue pairs must expect that they have been
 * flushed, reset or destroyed after each step: the queue pair's `epoch` tells, and `pins` keep its memory. */
#ifndef RVT_ENGINE_STATE_H
#define RVT_ENGINE_STATE_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/access/sge_copy.h"
#include "core/base/epoch.h"
#include "core/base/list.h"
#include "core/base/platform.h"
#include "core/engine/cq.h"
#include "core/engine/engine.h"
#include "core/engine/qp_table.h"
#include "core/engine/srq.h"

struct rvt_engine_qp;
struct rvt_carrier;

struct rvt_engine {
    /* Constant: */
    struct rvt_dev_info *device;
    struct rvt_limits limits;
    struct rvt_engine_host host;
    bool manual, random_qp_numbers;

    struct rvt_mutex lock;     /* the engine lock */
    _Atomic(uint32_t) waiting; /* threads that wait for the engine lock */
    /* Counts the references of queued work requests, whoever posted them. Its reader and counts are used only
     * with the engine lock held. Created with the first queue. */
    struct rvt_ucontext *context;
    /* Protected by the engine lock: */
    bool running;                  /* a thread is working through the ready queue pairs */
    struct rvt_engine_qp *current; /* the queue pair that it works on, which is pinned; or NULL */
    uint32_t cqs, srqs, qps;       /* how many exist, including those whose objects have ended */
    uint32_t last_qpn;
    struct rvt_qp_table table; /* every queue pair with queues, by its number */
    struct rvt_fifo ready;     /* queue pairs with work: rvt_engine_qp.in_ready */
    struct rvt_fifo timers; /* RNR timers in the order in which they were started: rvt_engine_qp.in_timers */
    struct rvt_fifo triggered; /* completion queues whose event is due: rvt_cq.in_triggered */
    struct rvt_completion_counts completions;
    struct rvt_data_call call; /* valid if in_section */
    bool in_section;           /* the engine's reader is in a section */
    uint64_t section;          /* number of the present or last section */
    /* Whether there is a mark. Set under the device lock by the thread whose verb then drains, so that thread
     * sees its own marks without the lock. */
    _Atomic(bool) marked;
    /* Protected by the device lock: marks of the hooks. */
    uint64_t released; /* regions released since the last drain that a queued work request may hold */
    struct rvt_mr_handle last_released; /* the last such region */
    struct rvt_engine_qp *orphans;      /* engine's parts of queue pairs whose objects have ended */
    struct rvt_cq *ended_cqs;
    struct rvt_srq *ended_srqs;
    uint32_t ahs;             /* how many exist; protected by the device lock */
    uint32_t max_inline_data; /* constant; UINT32_MAX unless the device is strict */
    /* What faults need. Behind the members that every request uses. */
    const struct rvt_carrier *loopback; /* constant: the carrier of new queue pairs */
    /* Protected by the engine lock: completion queues with late completions: rvt_late_completions.in_late. */
    struct rvt_fifo late;
};

/* --- lock and sections --- */

/* Takes the engine lock. The caller must not hold the device lock and must not be inside a section. */
void rvt_engine_lock(struct rvt_engine *engine);

/* Returns the engine of the domain's device. Returns NULL and sets *error if there is none:
 *   -EBADF       the handle names no domain
 *   -EOPNOTSUPP  the device has no engine */
struct rvt_engine *rvt_engine_of_pd(struct rvt_pd_handle pd, int *error);

/* Ends an operation: carries out ready work unless in manual mode, reports triggered completion queues, and
 * releases the engine lock. Keeps the thread's failure record. */
void rvt_engine_finish(struct rvt_engine *engine);

/* Releases the engine lock and takes it again if another thread waits for it. Returns whether it did: other
 * threads may then have changed and freed anything that is not pinned. */
bool rvt_engine_yield(struct rvt_engine *engine);

/* The engine's reader section. It stays open over many requests, because entering one costs a locked
 * instruction, and so that the addresses of memories are looked up once (engine->call). The caller must hold the
 * engine lock.
 *
 * rvt_engine_enter() opens the section unless it is open, and renews it when it has done as much work as a section
 * may. Objects that were looked up without a reference must then be looked up again (compare engine->section).
 * rvt_engine_leave() closes it if it is open; it must be called before the engine lock is released and before any
 * wait for readers. */
void rvt_engine_open_section(struct rvt_engine *engine);
static inline void rvt_engine_leave(struct rvt_engine *engine) {
    if (!engine->in_section)
        return;
    engine->in_section = false;
    rvt_data_call_leave(&engine->call);
}
static inline struct rvt_data_call *rvt_engine_enter(struct rvt_engine *engine) {
    if (engine->in_section && !rvt_data_call_room(&engine->call))
        rvt_engine_leave(engine);
    if (!engine->in_section)
        rvt_engine_open_section(engine);
    return &engine->call;
}

/* Enters the section, a new one if the open one has no room to move `bytes` bytes in one step and a new one has. */
static inline struct rvt_data_call *rvt_engine_enter_for(struct rvt_engine *engine, uint64_t bytes) {
    if (engine->in_section && rvt_data_call_room(&engine->call) < bytes && bytes <= RVT_SECTION_BYTES)
        rvt_engine_leave(engine);
    return rvt_engine_enter(engine);
}

/* Accounts for work that looks at no memory, such as a request without elements. Closes the open section if it has
 * done as much work as a section may: otherwise a long queue of such requests would keep it open. */
static inline void rvt_engine_pass(struct rvt_engine *engine) {
    if (!engine->in_section)
        return;
    rvt_data_call_spend(&engine->call, 0);
    if (!rvt_data_call_room(&engine->call))
        rvt_engine_leave(engine);
}

/* Puts the references of a list of elements, in the engine's section. */
static inline void rvt_engine_put(struct rvt_engine *engine, struct rvt_sge *sges, uint32_t count) {
    if (!count) {
        rvt_engine_pass(engine);
        return;
    }
    rvt_data_call_spend(rvt_engine_enter(engine), (uint64_t)count * RVT_ELEMENT_BYTES);
    if (count > 1 || !rvt_put_sge_inside(sges, engine->context))
        (void)rvt_put_sges(sges, count);
}

/* Creates what queues need: the engine's context. Does nothing if it exists.
 *   0        done
 *   -ENOMEM  no memory */
int rvt_engine_prepare(struct rvt_engine *engine);

/* --- lists --- */

/* Makes the queue pair ready: it is appended to the engine's list unless it is in it. */
void rvt_make_ready(struct rvt_engine_qp *qp);

/* Takes the queue pair out of the list of ready ones, if it is there. */
void rvt_make_unready(struct rvt_engine_qp *qp);

/* Starts the RNR timer of the queue pair with `usec` microseconds, again if it runs already, and reports
 * RVT_EVENT_TIMER. */
void rvt_start_timer(struct rvt_engine_qp *qp, uint32_t usec);

/* Stops the RNR timer, if it runs. */
void rvt_stop_timer(struct rvt_engine_qp *qp);

/* Makes the verb that the caller is in drain the engine (rvt_drain_engine). The caller must hold the device
 * lock. */
void rvt_mark_engine(struct rvt_engine *engine);

/* Reports an event to the host, if it wants events. The caller must hold the engine lock. */
void rvt_report_event(struct rvt_engine *engine, enum rvt_event_kind kind, uint64_t object, void *user);

#endif
