/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that unmaps registered memory ends when a request reaches it, and must be able to find out why: its
 * handler of SIGSEGV, or that of a sanitizer, runs in whichever thread the fault happens. */
#include <sys/mman.h>

#include "children.h"

enum { PAGE = 4096, HANDLED = 42 };

static void end_as_handled(int number) {
    (void)number;
    _exit(HANDLED);
}

/* Runs in a child. The first attempt finds no receive, and the receive comes while the request waits; so it is
 * the library's thread that reads the memory. */
static void fault_in_the_background(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 7, .min_rnr_timer = 20}));
    void *bytes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(bytes != MAP_FAILED);
    struct ibv_mr *mr = ibv_reg_mr(s.w.pd, bytes, PAGE, IBV_ACCESS_LOCAL_WRITE);
    REQUIRE(mr != NULL);
    const struct ibv_sge sge = {.addr = (uintptr_t)bytes, .length = 8, .lkey = mr->lkey};
    CHECK_EQ(post(&s.a, send_of(1, sge)), 0);
    /* As munmap(), but the addresses cannot be used for anything else. */
    CHECK_EQ(mprotect(bytes, PAGE, PROT_NONE), 0);
    CHECK_EQ(receive(&s.b, 2, part(&s.remote, 0, 8)), 0);
    sleep_ms(PATIENCE_MS);
}

static void fault_with_a_handler(void *argument) {
    struct sigaction action = {.sa_handler = end_as_handled};
    (void)argument;
    sigemptyset(&action.sa_mask);
    REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
    fault_in_the_background();
}

static void a_handler_of_the_program_runs_in_the_background_thread(void) {
    CHECK_EQ(in_child(fault_with_a_handler, NULL), HANDLED);
}

CHECK_MAIN(TEST(a_handler_of_the_program_runs_in_the_background_thread))
