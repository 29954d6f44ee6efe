/* SPDX-License-Identifier: BSD-3-Clause */
/* scripts/with-rdmavt in a clone whose path the dynamic linker cannot use: LD_PRELOAD is a list that spaces and
 * colons separate. The program must not run with the system's library instead. The test must run in the root
 * folder of the clone. */
#include <sys/wait.h>
#include <unistd.h>

#include "objects.h"

/* Makes a folder with this name, with links to the scripts and the library of this clone, and runs `true` by
 * its script. Returns the exit status, or -1. */
static int status_in(const char *name) {
    char command[512];
    snprintf(
        command, sizeof(command),
        "unset LD_PRELOAD; d=$(mktemp -d) && mkdir -p \"$d/%s\" && ln -s \"$PWD/scripts\" \"$PWD/build\" "
        "\"$d/%s\" && \"$d/%s/scripts/with-rdmavt\" true 2>/dev/null; s=$?; rm -r \"$d\"; exit $s",
        name, name, name);
    fflush(stdout);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void refuses_a_path_that_cannot_be_preloaded(void) {
    CHECK_EQ(status_in("clone"), 0);
    CHECK_EQ(status_in("a clone"), 2);
    CHECK_EQ(status_in("a:clone"), 2);
}

CHECK_MAIN(TEST(refuses_a_path_that_cannot_be_preloaded))
