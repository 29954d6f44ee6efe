/* SPDX-License-Identifier: BSD-3-Clause */
/* A library for LD_PRELOAD, by which a test program makes system calls of its own process fail. The file that $FAULTY_CALLS
 * names holds 32-bit numbers, which the program writes at any time: for each fault (enum fault) what is asked for, how
 * often the call was made meanwhile, and how often it failed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* The order that test/support/faulty-calls/index.ts lists. */
enum fault {
    AGAIN,       /* every so many sends: EAGAIN */
    PARTIAL,     /* every so many sends of several messages: only the first is sent */
    INTERRUPTED, /* every so many sends and receives: EINTR */
    REFUSED,     /* every so many sends and receives: ECONNREFUSED */
    UNREACHABLE, /* every so many sends: ENETUNREACH */
    SEGMENTS,    /* each message that the system would cut: this errno */
    MTU,         /* each message with a packet that is longer: EMSGSIZE, or EINVAL if it would be cut */
    OPTION,      /* each call of setsockopt() with this name: ENOPROTOOPT */
    SOCKET,      /* each call of socket(): this errno, and so on */
    BIND,
    EPOLL,
    EPOLL_ADD,
    TIMER,
    EVENT,
    THREAD,
    FAULTS,
};

enum { ASKED, MADE, FAILED, NUMBERS };

static _Atomic(int) (*control)[NUMBERS];

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULTY_CALLS");
    const int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = mmap(NULL, FAULTS * sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        abort();
    control = mapped;
}

static int asked(enum fault fault) {
    return atomic_load(&control[fault][ASKED]);
}

/* Fails with this errno. */
static int fail(enum fault fault, int error) {
    atomic_fetch_add(&control[fault][FAILED], 1);
    errno = error;
    return -1;
}

/* Returns whether it is this call's turn to fail. */
static int turn(enum fault fault) {
    const int every = asked(fault);
    return every > 0 && (atomic_fetch_add(&control[fault][MADE], 1) + 1) % every == 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Returns whether the call fails before it sends. */
static int send_fails(void) {
    if (turn(AGAIN))
        return fail(AGAIN, EAGAIN);
    if (turn(INTERRUPTED))
        return fail(INTERRUPTED, EINTR);
    if (turn(REFUSED))
        return fail(REFUSED, ECONNREFUSED);
    if (turn(UNREACHABLE))
        return fail(UNREACHABLE, ENETUNREACH);
    return 0;
}

/* Returns which fault keeps the system from taking this message; FAULTS: none. */
static enum fault fault_of(const struct msghdr *message) {
    if (message->msg_controllen && asked(SEGMENTS))
        return SEGMENTS;
    for (size_t i = 0; asked(MTU) && i < message->msg_iovlen; i++)
        if (message->msg_iov[i].iov_len > (size_t)asked(MTU))
            return MTU;
    return FAULTS;
}

static int fail_message(const struct msghdr *message) {
    const enum fault fault = fault_of(message);
    return fail(fault, fault == SEGMENTS ? asked(SEGMENTS) : message->msg_controllen ? EINVAL : EMSGSIZE);
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    unsigned good = 0;
    if (send_fails())
        return -1;
    while (good < count && fault_of(&messages[good].msg_hdr) == FAULTS)
        good++;
    if (!good)
        return fail_message(&messages[0].msg_hdr);
    if (good > 1 && turn(PARTIAL)) {
        good = 1;
        (void)fail(PARTIAL, 0);
    }
    return REAL(sendmmsg)(fd, messages, good, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to,
               socklen_t to_length) {
    struct iovec part = {(void *)(uintptr_t)bytes, length};
    const struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (send_fails())
        return -1;
    if (fault_of(&message) != FAULTS)
        return fail_message(&message);
    return REAL(sendto)(fd, bytes, length, flags, to, to_length);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
    if (turn(INTERRUPTED))
        return fail(INTERRUPTED, EINTR);
    if (turn(REFUSED))
        return fail(REFUSED, ECONNREFUSED);
    return REAL(recvmmsg)(fd, messages, count, flags, timeout);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
    if (asked(OPTION) && asked(OPTION) == name)
        return fail(OPTION, ENOPROTOOPT);
    return REAL(setsockopt)(fd, level, name, value, length);
}

int socket(int domain, int type, int protocol) {
    return asked(SOCKET) ? fail(SOCKET, asked(SOCKET)) : REAL(socket)(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    return asked(BIND) ? fail(BIND, asked(BIND)) : REAL(bind)(fd, address, length);
}

int epoll_create1(int flags) {
    return asked(EPOLL) ? fail(EPOLL, asked(EPOLL)) : REAL(epoll_create1)(flags);
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    if (asked(EPOLL_ADD) && operation == EPOLL_CTL_ADD)
        return fail(EPOLL_ADD, asked(EPOLL_ADD));
    return REAL(epoll_ctl)(epoll, operation, fd, event);
}

int timerfd_create(int clock, int flags) {
    return asked(TIMER) ? fail(TIMER, asked(TIMER)) : REAL(timerfd_create)(clock, flags);
}

int eventfd(unsigned value, int flags) {
    return asked(EVENT) ? fail(EVENT, asked(EVENT)) : REAL(eventfd)(value, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data) {
    if (asked(THREAD)) {
        (void)fail(THREAD, 0);
        return asked(THREAD);
    }
    return REAL(pthread_create)(thread, attributes, run, data);
}
