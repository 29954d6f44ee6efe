/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine of a device: carries out the work requests of its queue pairs. Plain C without a thread, a clock
 * or a descriptor of its own: the host calls it, and it works in the caller's thread.
 *
 * The engine calls rvt_thread_environment() to resolve memory, so a host whose memories belong to environments
 * must call rvt_set_thread_environment() before every call into the core that can move bytes: posting,
 * rvt_modify_qp(), the functions below, and verbs that end regions or objects. */
#ifndef RVT_ENGINE_H
#define RVT_ENGINE_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h"
#include "core/objects/device.h"
#include "core/objects/qp.h"

/* Limits of a device (the verbs' struct ib_device_attr), by enum rvt_limit. */
struct rvt_limits {
    uint32_t of[RVT_LIMIT_COUNT];
};

/* What the engine tells its host. */
struct rvt_engine_host {
    /* An event of the completion queue, shared receive queue or queue pair with serial number `object`, which
     * was created with `user`. Called with the engine lock held, by any thread that calls the core; it must
     * not call the core: it may record the event and wake a thread. NULL: events are not reported. */
    void (*event)(enum rvt_event_kind kind, uint64_t object, void *user, void *data);
    void *data;
};

struct rvt_engine_options {
    struct rvt_limits limits;
    struct rvt_engine_host host;
    /* Work is carried out only by rvt_run_engine(), rvt_progress(), and when a region ends that is still
     * held. Otherwise it is carried out at the end of the call that made a queue pair ready. */
    bool manual;
    uint32_t max_inline_data; /* strict devices: bytes of a work request with RVT_SEND_INLINE */
    bool random_qp_numbers;   /* draw queue pair numbers from the CSPRNG; otherwise 2, 3, 4, ... */
};

/* Opens a device with an engine, like the kernel's rvt_register_device(). `options->extensions` must be
 * empty.
 *   0        *device is open; the caller owns one reference
 *   -EINVAL  as rvt_driver_mr_init(); or max_send_sge, max_recv_sge or max_srq_sge is above RVT_MAX_SGE
 *   -ENOMEM  no memory; nothing was created */
int rvt_register_device(const struct rvt_device_options *options, const struct rvt_engine_options *engine,
                        struct rvt_dev_info **device);

/* Reads the limits, like the kernel's rvt_query_device().
 *   0            *limits is filled
 *   -EOPNOTSUPP  the device has no engine */
int rvt_query_device(const struct rvt_dev_info *device, struct rvt_limits *limits);

/* Returns whether the device was opened in the manual mode. */
bool rvt_engine_is_manual(const struct rvt_dev_info *device);

/* Works until no queue pair is ready. Takes the engine lock.
 *   0            no queue pair is ready, or another thread works through the ready ones
 *   -EOPNOTSUPP  the device has no engine */
int rvt_run_engine(struct rvt_dev_info *device);

/* Makes the queue pair ready, as posting to it does. In the manual mode it is carried out by the next run.
 *   0        ready
 *   -EINVAL  the queue pair has no queues
 *   -EBADF   the handle is stale */
int rvt_kick_qp(struct rvt_qp_handle handle);

/* Fires the RNR timers that are due at `now` (microseconds of a clock of the host's choice, which must not go
 * back), shows the completions that faults have kept back until then, and works until no queue pair is ready. A
 * timer that was started since the last call counts from `now`. Returns when the next timer is due, or
 * UINT64_MAX: no timer runs. RVT_EVENT_TIMER tells the host that a timer was started. */
uint64_t rvt_progress(struct rvt_dev_info *device, uint64_t now);

/* Fires all RNR timers in the order in which they were started, whatever the time is, and shows all completions
 * that faults keep back. Calls `fired` (may be NULL) with the serial number of each queue pair and the time in
 * microseconds that its timer was set to; `fired` must not call the core. Queue pairs in error are reported and
 * stay as they are. Returns how many fired. In the manual mode the queue pairs are only made ready. */
uint32_t rvt_fire_timers(struct rvt_dev_info *device, void (*fired)(void *data, uint64_t qp, uint32_t usec),
                         void *data);

/* How many completions had each status, by enum rvt_wc_status; `lost` is how many found their queue full. */
struct rvt_completion_counts {
    uint64_t by_status[RVT_WC_STATUS_COUNT], lost;
};

/* Reads the counts of completions since the device was opened; all 0 without an engine. Takes the engine
 * lock. */
void rvt_count_completions(struct rvt_dev_info *device, struct rvt_completion_counts *counts);

#endif
