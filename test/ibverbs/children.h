/* SPDX-License-Identifier: BSD-3-Clause */
/* Child processes of a test. A child that hangs fails the test instead of blocking it. */
#ifndef RVT_TEST_IBVERBS_CHILDREN_H
#define RVT_TEST_IBVERBS_CHILDREN_H

#include <signal.h>
#include <sys/wait.h>

#include "traffic.h"

/* Waits for the child. Returns its exit status, or -1: it hung or was ended by a signal. */
static inline int status_of(pid_t child) {
    uint64_t deadline = now_ms() + PATIENCE_MS;
    int status;
    for (;;) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (ended < 0 || now_ms() > deadline)
            break;
        sleep_ms(1);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return -1;
}

/* Runs `body` in a child and returns its exit status. Checks that fail in the child print, and count. */
static inline int in_child(void (*body)(void *argument), void *argument) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        atomic_store(&check_failures, 0);
        body(argument);
        fflush(stdout);
        _exit(atomic_load(&check_failures) ? 1 : 0);
    }
    return child < 0 ? -1 : status_of(child);
}

#endif
