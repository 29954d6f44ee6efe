/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs example.c, the program in C that uses the verbs without Node. */
#define main run_example
#include "example.c"
#undef main

#include "check.h"
#include "core/base/alloc.h"

static void the_example_runs_and_frees_everything(void) {
    const long live = rvt_test_alloc_live();
    CHECK_EQ(run_example(), 0);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

CHECK_MAIN(TEST(the_example_runs_and_frees_everything))
