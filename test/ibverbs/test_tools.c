/* SPDX-License-Identifier: BSD-3-Clause */
/* Debian's ibv_devices and ibv_devinfo, run by scripts/with-rdmavt. The test must run in the root folder of
 * the clone. */
#include <signal.h>
#include <sys/wait.h>

#include "traffic.h"

enum { MOST_OUTPUT = 1 << 16 };

/* Starts a command whose standard output is a pipe. Returns its process and the pipe's other end, or -1. */
static pid_t start_command(char *const command[], int *output) {
    int fds[2];
    if (pipe(fds))
        return -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        unsetenv("LD_PRELOAD"); /* the script sets it itself, as from a shell */
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        execv(command[0], command);
        _exit(127);
    }
    close(fds[1]);
    *output = fds[0];
    return child;
}

/* Runs the command. Stores its standard output, and returns its exit status, or -1: it hung, crashed or could
 * not be run. */
static int run(char *const command[], char *output) {
    int fd, status = -1;
    size_t length = 0;
    pid_t child = start_command(command, &fd);
    if (child < 0)
        return -1;
    uint64_t deadline = now_ms() + 3 * PATIENCE_MS;
    while (length < MOST_OUTPUT - 1 && now_ms() < deadline && is_readable(fd, PATIENCE_MS)) {
        ssize_t count = read(fd, output + length, MOST_OUTPUT - 1 - length);
        if (count <= 0)
            break;
        length += (size_t)count;
    }
    output[length] = '\0';
    close(fd);
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (now_ms() > deadline)
            kill(child, SIGKILL);
        sleep_ms(5);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char SCRIPT[] = "scripts/with-rdmavt";

/* Returns the number that the tool prints behind `name:`, or -1. */
static long number_after(const char *output, const char *name) {
    size_t length = strlen(name);
    for (const char *line = output; line; line = strchr(line, '\n')) {
        line += strspn(line, "\n\t ");
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return strtol(line + length + 1, NULL, 0);
    }
    return -1;
}

static void devices_lists_the_device(void) {
    static char output[MOST_OUTPUT];
    struct world w;
    char *command[] = {SCRIPT, (char[]){"ibv_devices"}, NULL};
    REQUIRE(world_open(&w));
    REQUIRE(run(command, output) == 0);
    char line[128];
    snprintf(line, sizeof(line), "%016" PRIx64, be64toh(ibv_get_device_guid(w.context->device)));
    CHECK(strstr(output, line));
    CHECK(strstr(output, ibv_get_device_name(w.context->device)));
    world_close(&w);
}

static void devinfo_prints_the_attributes(void) {
    static char output[MOST_OUTPUT];
    struct world w;
    struct ibv_device_attr attr;
    struct ibv_port_attr port;
    char *command[] = {SCRIPT, (char[]){"ibv_devinfo"}, (char[]){"-v"}, NULL};
    REQUIRE(world_open(&w));
    REQUIRE(ibv_query_device(w.context, &attr) == 0);
    REQUIRE(ibv_query_port(w.context, PORT, &port) == 0);
    REQUIRE(run(command, output) == 0);
    char line[128];
    snprintf(line, sizeof(line), "hca_id:\t%s\n", ibv_get_device_name(w.context->device));
    CHECK(strstr(output, line));
    CHECK(strstr(output, "PORT_ACTIVE"));
    CHECK(strstr(output, attr.fw_ver));
    CHECK_EQ(number_after(output, "phys_port_cnt"), attr.phys_port_cnt);
    CHECK_EQ(number_after(output, "max_qp"), attr.max_qp);
    CHECK_EQ(number_after(output, "max_qp_wr"), attr.max_qp_wr);
    CHECK_EQ(number_after(output, "max_sge"), attr.max_sge);
    CHECK_EQ(number_after(output, "max_cq"), attr.max_cq);
    CHECK_EQ(number_after(output, "max_cqe"), attr.max_cqe);
    CHECK_EQ(number_after(output, "max_mr"), attr.max_mr);
    CHECK_EQ(number_after(output, "max_pd"), attr.max_pd);
    CHECK_EQ(number_after(output, "max_srq"), attr.max_srq);
    CHECK_EQ(number_after(output, "max_srq_wr"), attr.max_srq_wr);
    CHECK_EQ(number_after(output, "max_ah"), attr.max_ah);
    CHECK_EQ(number_after(output, "max_pkeys"), attr.max_pkeys);
    CHECK_EQ(number_after(output, "port_lid"), port.lid);
    CHECK_EQ(number_after(output, "gid_tbl_len"), port.gid_tbl_len);
    world_close(&w);
}

/* Two processes have two devices. A queue pair must not find one with the number of its peer among its own,
 * which would look like a success. */
static void two_processes_do_not_reach_each_other(void) {
    static char output[MOST_OUTPUT];
    char name[] = "ibv_rc_pingpong", iterations[] = "--iters=2", host[] = "localhost", port[32], options[512];
    snprintf(port, sizeof(port), "--port=%d", 20000 + (int)(getpid() % 20000));
    /* The program itself frees nothing when it fails. */
    const char *given = getenv("ASAN_OPTIONS");
    snprintf(options, sizeof(options), "%s:detect_leaks=0", given ? given : "");
    CHECK_EQ(setenv("ASAN_OPTIONS", options, 1), 0);
    char *server[] = {SCRIPT, name, iterations, port, NULL};
    char *client[] = {SCRIPT, name, iterations, port, host, NULL};
    int server_output, answer;
    pid_t serving = start_command(server, &server_output);
    REQUIRE(serving > 0);
    /* The server may not listen yet: then the client could not connect. */
    uint64_t deadline = now_ms() + PATIENCE_MS;
    do {
        answer = run(client, output);
    } while (answer && !strstr(output, "remote address") && now_ms() < deadline);
    CHECK(strstr(output, "remote address")); /* they have told each other their numbers */
    CHECK(answer > 0);
    CHECK(!strstr(output, "iters in"));
    kill(serving, SIGKILL); /* it waits for messages */
    waitpid(serving, &answer, 0);
    close(server_output);
}

/* The script passes on the arguments and the exit status of the command. */
static void the_script_passes_on_arguments_and_status(void) {
    static char output[MOST_OUTPUT];
    char *list[] = {SCRIPT, (char[]){"ibv_devinfo"}, (char[]){"-l"}, NULL};
    CHECK_EQ(run(list, output), 0);
    CHECK(strstr(output, "1 HCA"));
    char *unknown[] = {SCRIPT, (char[]){"ibv_devinfo"}, (char[]){"-d"}, (char[]){"none"}, NULL};
    CHECK(run(unknown, output) > 0);
    char *missing[] = {SCRIPT, (char[]){"a-command-that-does-not-exist"}, NULL};
    CHECK_EQ(run(missing, output), 127);
}

CHECK_MAIN(TEST(devices_lists_the_device), TEST(devinfo_prints_the_attributes),
           TEST(the_script_passes_on_arguments_and_status), TEST(two_processes_do_not_reach_each_other))
