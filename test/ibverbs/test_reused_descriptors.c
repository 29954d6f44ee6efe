/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that close all descriptors, as daemons do when they start, and then use the numbers for files of
 * their own. They do not call verbs any more, but still fork: their files must stay as they are. */
#include <fcntl.h>

#include "children.h"

enum { MARK = 4711 };

struct daemon {
    struct world w;
    struct ibv_comp_channel *channel;
};

/* The number still stands for the end of the pipe, which holds the mark. */
static void read_the_mark(void *fd) {
    uint64_t found = 0;
    CHECK_EQ(read(*(int *)fd, &found, sizeof(found)), sizeof(found));
    CHECK_EQ(found, MARK);
}

/* Runs in a child: gives the numbers of what it inherited to a file of its own. */
static void reuse_numbers(void *argument) {
    struct daemon *d = argument;
    int *const async_fd = &d->w.context->async_fd, *const channel_fd = &d->channel->fd;
    const uint64_t mark = MARK;
    int ends[2];
    close(*async_fd);
    close(*channel_fd);
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(write(ends[1], &mark, sizeof(mark)) == (ssize_t)sizeof(mark));
    /* Both numbers stand for the end that is read: one of them may have got it already. */
    int end = fcntl(ends[0], F_DUPFD, *channel_fd + 1);
    CHECK_EQ(dup2(end, *async_fd), *async_fd);
    CHECK_EQ(dup2(end, *channel_fd), *channel_fd);
    CHECK_EQ(in_child(read_the_mark, async_fd), 0);
    CHECK_EQ(in_child(read_the_mark, channel_fd), 0);
}

static void are_closed(void *argument) {
    struct daemon *d = argument;
    CHECK(fcntl(d->w.context->async_fd, F_GETFD) < 0);
    CHECK(fcntl(d->channel->fd, F_GETFD) < 0);
}

/* Runs in a child: closes what it inherited. */
static void close_numbers(void *argument) {
    struct daemon *d = argument;
    close(d->w.context->async_fd);
    close(d->channel->fd);
    CHECK_EQ(in_child(are_closed, d), 0);
}

/* Runs `body` in a child that has inherited a context and a channel. */
static void run_as_daemon(void (*body)(void *daemon)) {
    struct daemon d;
    REQUIRE(world_open(&d.w));
    REQUIRE(make_channel(&d.w, &d.channel));
    CHECK_EQ(in_child(body, &d), 0);
    world_close(&d.w);
}

static void children_of_a_child_keep_its_files(void) {
    run_as_daemon(reuse_numbers);
}

static void closed_descriptors_stay_closed(void) {
    run_as_daemon(close_numbers);
}

CHECK_MAIN(TEST(children_of_a_child_keep_its_files), TEST(closed_descriptors_stay_closed))
