/* SPDX-License-Identifier: BSD-3-Clause */
/* Events that programs wait for on a file descriptor: completion events of a channel, asynchronous events of
 * a context. The descriptor is an eventfd that is readable exactly while an event is pending, so poll() and
 * select() work on it, and O_NONBLOCK means what the manual pages of ibv_get_cq_event() and
 * ibv_get_async_event() say. */
#ifndef SHIM_EVENTS_H
#define SHIM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "ibverbs/gate.h"

struct shim_event;

struct shim_event_queue {
    int fd;           /* constant while the queue is open */
    unsigned long id; /* tells the eventfd from other files that get its number; written by forked children */
    /* Protected by the short lock: */
    struct rvt_fifo events; /* that are pending, in the order in which they are taken */
    unsigned readers;       /* threads that wait in read() */
    bool open;
    struct shim_repair repair;
};

/* One kind of event of one object, embedded in the object: raising it allocates nothing. */
struct shim_event {
    struct shim_event_queue *queue; /* constant; NULL: nobody wants the event */
    void *element;                  /* constant: the object as the program knows it */
    int type;                       /* constant: enum ibv_event_type; unused by completion events */
    /* Protected by the short lock: */
    struct rvt_link in_queue;
    uint32_t pending;       /* raised and not yet taken; in the queue if not 0 */
    uint32_t taken;         /* modulo 2^32 */
    uint32_t *acknowledged; /* in the object as the program knows it; modulo 2^32 */
};

/* Opens a queue. Returns 0 or a positive errno. */
int shim_events_open(struct shim_event_queue *queue);

/* Closes the queue and its descriptor. Events that are raised later are dropped. */
void shim_events_close(struct shim_event_queue *queue);

/* Raises the event. With `once`, does nothing if it is pending already. Any thread may call this, also with
 * locks of the core held. */
void shim_event_raise(struct shim_event *event, bool once);

/* Waits for an event and takes the one that is pending longest. The caller must be outside the gate.
 * Returns NULL and sets errno:
 *   EAGAIN  none is pending, and the descriptor has O_NONBLOCK
 *   EINTR   a signal handler ran
 *   EBADF   the descriptor is closed */
struct shim_event *shim_event_take(struct shim_event_queue *queue);

/* Counts acknowledgements of events of the object. */
void shim_event_acknowledge(uint32_t *acknowledged, uint32_t count);

/* Drops what is pending of the event, then waits until everything that was taken is acknowledged. The event
 * must not be raised any more. The caller must be outside the gate. */
void shim_event_end(struct shim_event *event);

#endif
