/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that close all descriptors, as daemons do when they start, and then use the numbers for files of
 * their own. They do not call verbs any more, but still fork: their files must stay as they are. */
#include <fcntl.h>
#include <sys/wait.h>

#include "threads.h"

/* Returns whether the number still stands for the open file in a child. `mark` is what the file holds. */
static bool is_the_same_in_a_child(int fd, uint64_t mark) {
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        uint64_t found = 0;
        _exit(read(fd, &found, sizeof(found)) == (ssize_t)sizeof(found) && found == mark ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs in a child: closes what it inherited. */
static bool keeps_its_files(struct ibv_context *context, struct ibv_comp_channel *channel) {
    const uint64_t mark = 4711;
    int ends[2];
    close(context->async_fd);
    close(channel->fd);
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(write(ends[1], &mark, sizeof(mark)) == (ssize_t)sizeof(mark));
    /* Both numbers stand for the end that is read: one of them may have got it already. */
    int end = fcntl(ends[0], F_DUPFD, channel->fd + 1);
    CHECK_EQ(dup2(end, context->async_fd), context->async_fd);
    CHECK_EQ(dup2(end, channel->fd), channel->fd);
    return is_the_same_in_a_child(context->async_fd, mark) && is_the_same_in_a_child(channel->fd, mark);
}

/* Runs in a child: descriptors that were closed stay closed. */
static bool stay_closed(struct ibv_context *context, struct ibv_comp_channel *channel) {
    int status;
    close(context->async_fd);
    close(channel->fd);
    pid_t child = fork();
    if (child == 0)
        _exit(fcntl(context->async_fd, F_GETFD) < 0 && fcntl(channel->fd, F_GETFD) < 0 ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct daemon {
    struct world w;
    struct ibv_comp_channel *channel;
};

static bool daemon_open(struct daemon *d) {
    if (!world_open(&d->w))
        return false;
    d->channel = ibv_create_comp_channel(d->w.context);
    return world_keep(&d->w, CHANNEL, d->channel);
}

static void children_of_a_child_keep_its_files(void) {
    struct daemon d;
    int status;
    REQUIRE(daemon_open(&d));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(keeps_its_files(d.w.context, d.channel) ? 0 : 1);
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    world_close(&d.w);
}

static void closed_descriptors_stay_closed(void) {
    struct daemon d;
    int status;
    REQUIRE(daemon_open(&d));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(stay_closed(d.w.context, d.channel) ? 0 : 1);
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    world_close(&d.w);
}

CHECK_MAIN(TEST(children_of_a_child_keep_its_files), TEST(closed_descriptors_stay_closed))
