/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/events.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Signaled whenever events are acknowledged. */
static pthread_cond_t acknowledged;

/* The threads that waited do not exist in the child. The condition would wait for them to leave it. */
static void forget_waiters(struct shim_repair *repair) {
    (void)repair;
    shim_condition_init(&acknowledged);
}

__attribute__((constructor)) static void init_acknowledged(void) {
    static struct shim_repair repair;
    shim_condition_init(&acknowledged);
    shim_add_repair(&repair, forget_waiters);
}

/* --- the descriptor; the caller must hold the short lock --- */

static void make_readable(const struct shim_event_queue *queue) {
    const uint64_t one = 1;
    /* Cannot block: nobody writes as often as the counter can count. There is nobody to whom an error could
     * be reported. */
    ssize_t written = write(queue->fd, &one, sizeof(one));
    (void)written;
}

static void make_unreadable(const struct shim_event_queue *queue) {
    struct pollfd readable = {.fd = queue->fd, .events = POLLIN};
    uint64_t count;
    /* A reader takes the count itself, and might do so between poll() and read(), which would block then. */
    if (queue->readers)
        return;
    /* A program that has read the descriptor itself must not make this read block. */
    if (poll(&readable, 1, 0) == 1 && readable.revents & POLLIN) {
        ssize_t got = read(queue->fd, &count, sizeof(count));
        (void)got;
    }
}

/* Makes the descriptor readable exactly if an event is pending. */
static void update_descriptor(const struct shim_event_queue *queue) {
    if (queue->events.first)
        make_readable(queue);
    else
        make_unreadable(queue);
}

/* --- waiting --- */

/* The thread has read the descriptor, or was cancelled or interrupted. */
static void end_reading(void *data) {
    struct shim_event_queue *queue = data;
    shim_lock();
    queue->readers--;
    update_descriptor(queue); /* the read has taken the count that stands for all pending events */
    shim_unlock();
}

/* Waits until the descriptor is readable. Returns false and sets errno if the wait fails. It waits by read(),
 * as libibverbs does: unlike poll(), read() goes on after a signal handler with SA_RESTART. */
static bool wait_readable(struct shim_event_queue *queue) {
    uint64_t count;
    ssize_t got;
    int error;
    shim_lock();
    queue->readers++;
    shim_unlock();
    pthread_cleanup_push(end_reading, queue);
    got = read(queue->fd, &count, sizeof(count));
    error = errno;
    pthread_cleanup_pop(true);
    errno = error;
    return got >= 0;
}

/* --- the queue --- */

/* Returns the number by which the kernel tells eventfds apart, or 0: it is none, or the system does not tell.
 * The number of one that has ended is used again. Allocates nothing, as it is called in forked children. */
static unsigned long eventfd_id(int fd) {
    static const char field[] = "eventfd-id:";
    char path[32], text[512];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return 0;
    ssize_t length = read(info, text, sizeof(text) - 1);
    close(info);
    text[length > 0 ? length : 0] = '\0';
    const char *found = strstr(text, field);
    return found ? strtoul(found + strlen(field), NULL, 10) : 0;
}

/* An eventfd is shared with a forked child, which must neither take the parent's events nor wake the parent.
 * So the child gets an eventfd of its own under the same number. */
static void renew_in_child(struct shim_repair *repair) {
    struct shim_event_queue *queue = RVT_LIST_ENTRY(repair, struct shim_event_queue, repair);
    queue->readers = 0;
    int flags = fcntl(queue->fd, F_GETFL);
    /* A program may have closed the descriptor, and its number may stand for another file. */
    if (flags < 0 || eventfd_id(queue->fd) != queue->id)
        return;
    int fd = eventfd(queue->events.first ? 1 : 0, EFD_CLOEXEC);
    if (fd < 0)
        return; /* no free descriptor: the child shares the parent's */
    if (flags & O_NONBLOCK)
        (void)fcntl(fd, F_SETFL, flags);
    (void)dup3(fd, queue->fd, O_CLOEXEC);
    close(fd);
    queue->id = eventfd_id(queue->fd);
}

/* Returns the event that is pending longest, or NULL. The caller must hold the short lock. */
static struct shim_event *first_of(const struct shim_event_queue *queue) {
    struct rvt_link *first = queue->events.first;
    return first ? RVT_LIST_ENTRY(first, struct shim_event, in_queue) : NULL;
}

int shim_events_open(struct shim_event_queue *queue) {
    rvt_fifo_init(&queue->events);
    queue->readers = 0;
    queue->fd = eventfd(0, EFD_CLOEXEC);
    if (queue->fd < 0)
        return errno;
    queue->id = eventfd_id(queue->fd);
    queue->open = true;
    shim_add_repair(&queue->repair, renew_in_child);
    return 0;
}

void shim_events_close(struct shim_event_queue *queue) {
    shim_remove_repair(&queue->repair);
    shim_lock();
    queue->open = false;
    for (struct shim_event *event; (event = first_of(queue)) != NULL;) {
        event->pending = 0;
        rvt_fifo_remove(&queue->events, &event->in_queue);
    }
    shim_unlock();
    close(queue->fd);
}

void shim_event_raise(struct shim_event *event, bool once) {
    struct shim_event_queue *queue = event->queue;
    if (!queue)
        return;
    shim_lock();
    if (queue->open && !(once && event->pending)) {
        if (!queue->events.first)
            make_readable(queue);
        event->pending++;
        rvt_fifo_append(&queue->events, &event->in_queue);
    }
    shim_unlock();
}

/* Takes the event that is pending longest, or returns NULL. */
static struct shim_event *take_first(struct shim_event_queue *queue) {
    shim_lock();
    struct shim_event *event = first_of(queue);
    if (event) {
        rvt_fifo_remove(&queue->events, &event->in_queue);
        /* Behind the others: a queue that is busy must not hide another queue's event. */
        if (--event->pending)
            rvt_fifo_append(&queue->events, &event->in_queue);
        event->taken++;
        if (!queue->events.first)
            make_unreadable(queue);
    }
    shim_unlock();
    return event;
}

struct shim_event *shim_event_take(struct shim_event_queue *queue) {
    for (;;) {
        struct shim_event *event = take_first(queue);
        if (event)
            return event;
        if (!wait_readable(queue))
            return NULL;
    }
}

void shim_event_acknowledge(uint32_t *counter, uint32_t count) {
    shim_lock();
    *counter += count;
    pthread_cond_broadcast(&acknowledged);
    shim_unlock();
}

void shim_event_end(struct shim_event *event) {
    shim_lock();
    if (event->pending) {
        event->pending = 0;
        rvt_fifo_remove(&event->queue->events, &event->in_queue);
        if (!event->queue->events.first)
            make_unreadable(event->queue);
    }
    /* A program may acknowledge more than it has taken; it must not wait for ever then. */
    while ((int32_t)(event->taken - *event->acknowledged) > 0)
        shim_wait(&acknowledged, NULL);
    shim_unlock();
}
