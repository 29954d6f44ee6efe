/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices with an address (RDMAVT_ADDRESS): what they show, what cannot be opened or connected, and RC queue pairs of two
 * processes. */
#include "peers.h"

/* --- the device --- */

static void a_device_with_an_address_is_a_roce_device(void) {
    struct world w;
    struct ibv_port_attr port;
    struct ibv_gid_entry entry, entries[4];
    union ibv_gid gid, own = gid_of_address(HERE);
    use_address(HERE);
    REQUIRE(world_open(&w));
    CHECK_EQ(ibv_query_port(w.context, PORT, &port), 0);
    CHECK_EQ(port.link_layer, IBV_LINK_LAYER_ETHERNET);
    CHECK_EQ(port.state, IBV_PORT_ACTIVE);
    CHECK_EQ(port.lid, 0);
    CHECK_EQ(port.sm_lid, 0);
    CHECK_EQ(port.active_mtu, IBV_MTU_4096);
    CHECK_EQ(ibv_query_gid(w.context, PORT, 0, &gid), 0);
    CHECK_BYTES_EQ(gid.raw, own.raw, sizeof(gid.raw));
    CHECK_EQ(ibv_query_gid_ex(w.context, PORT, 0, &entry, 0), 0);
    CHECK_BYTES_EQ(entry.gid.raw, own.raw, sizeof(own.raw));
    CHECK_EQ(entry.gid_type, IBV_GID_TYPE_ROCE_V2);
    CHECK_EQ(ibv_query_gid_table(w.context, entries, 4, 0), 1);
    CHECK_EQ(entries[0].gid_type, IBV_GID_TYPE_ROCE_V2);
    CHECK_EQ(ibv_query_gid_ex(w.context, PORT, 1, &entry, 0), ENODATA);
    world_close(&w);
    unsetenv("RDMAVT_ADDRESS");
}

/* Opening fails with this errno. */
static void refuses_to_open(const char *address, int error) {
    setenv("RDMAVT_ADDRESS", address, 1);
    errno = 0;
    CHECK_PTR_EQ(open_first_device(), NULL);
    CHECK_EQ(errno, error);
    unsetenv("RDMAVT_ADDRESS");
}

static void what_is_no_address_of_this_host_is_refused(void) {
    static const char *const none[] = {"localhost", "127.0.0",   "127.0.0.1:4791",
                                       "0.0.0.0",   "224.0.0.1", "255.255.255.255",
                                       "::",        "ff02::1",   "fe80::1%no-such-interface",
                                       " 127.0.0.1"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        refuses_to_open(none[i], EINVAL);
    refuses_to_open("192.0.2.1", EADDRNOTAVAIL); /* TEST-NET-1: no host has it */
}

static void an_empty_address_is_none(void) {
    struct scene s;
    struct ibv_port_attr port;
    setenv("RDMAVT_ADDRESS", "", 1);
    REQUIRE(scene_open(&s));
    CHECK_EQ(ibv_query_port(s.w.context, PORT, &port), 0);
    CHECK_EQ(port.link_layer, IBV_LINK_LAYER_INFINIBAND);
    scene_close(&s);
    unsetenv("RDMAVT_ADDRESS");
}

static void open_in_use(void *address) {
    refuses_to_open(address, EADDRINUSE);
}

static void two_processes_cannot_have_one_address(void) {
    struct world w;
    char text[INET_ADDRSTRLEN];
    network_address(HERE, text);
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    /* The child must not inherit the open device. */
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        atomic_store(&check_failures, 0);
        char byte;
        close(fds[1]);
        CHECK_EQ(read(fds[0], &byte, 1), 1);
        open_in_use(text);
        fflush(stdout);
        _exit(atomic_load(&check_failures) ? 1 : 0);
    }
    use_address(HERE);
    REQUIRE(world_open(&w));
    CHECK_EQ(write(fds[1], "r", 1), 1);
    CHECK_EQ(status_of(child), 0);
    world_close(&w);
    close(fds[0]);
    close(fds[1]);
    unsetenv("RDMAVT_ADDRESS");
}

/* Also if objects are destroyed only afterwards. */
static void an_address_is_free_when_its_device_is_closed(void) {
    use_address(HERE);
    for (int i = 0; i < 50; i++) {
        struct ibv_context *context = open_first_device();
        REQUIRE(context != NULL);
        struct ibv_pd *pd = ibv_alloc_pd(context);
        CHECK(pd != NULL);
        CHECK_EQ(ibv_close_device(context), 0);
        struct ibv_context *again = open_first_device();
        CHECK(again != NULL);
        CHECK_EQ(ibv_dealloc_pd(pd), 0);
        if (again)
            CHECK_EQ(ibv_close_device(again), 0);
    }
    unsetenv("RDMAVT_ADDRESS");
}

static void two_contexts_share_the_address(void) {
    use_address(HERE);
    struct ibv_context *first = open_first_device(), *second = open_first_device();
    union ibv_gid a, b;
    REQUIRE(first && second);
    CHECK_EQ(ibv_query_gid(first, PORT, 0, &a), 0);
    CHECK_EQ(ibv_query_gid(second, PORT, 0, &b), 0);
    CHECK_BYTES_EQ(a.raw, b.raw, sizeof(a.raw));
    CHECK_EQ(ibv_close_device(first), 0);
    CHECK_EQ(ibv_close_device(second), 0);
    unsetenv("RDMAVT_ADDRESS");
}

/* --- connecting --- */

/* The move to RTR with this GID fails, and the queue pair stays in INIT. */
static void refuses_gid(struct end *end, const union ibv_gid *gid, int error) {
    struct ibv_qp_attr attr;
    int mask = rtr_attributes(end, 1234, &attr);
    attr.ah_attr.grh.dgid = *gid;
    CHECK_EQ(ibv_modify_qp(end->qp, &attr, mask), error);
    CHECK_EQ(state_of(end), IBV_QPS_INIT);
}

static void only_gids_of_hosts_can_be_connected(void) {
    struct world w;
    struct end end;
    struct ibv_qp_attr attr;
    union ibv_gid gid = {.raw = {0}};
    use_address(HERE);
    REQUIRE(world_open(&w));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){0}, &end));
    CHECK_EQ(to_init(&end), 0);
    refuses_gid(&end, &gid, EINVAL); /* unspecified */
    gid.raw[0] = 0xfe, gid.raw[1] = 0x80, gid.raw[15] = 1;
    refuses_gid(&end, &gid, EINVAL); /* IPv6: of another family */
    gid = gid_of_address(THERE);
    gid.raw[12] = 224;
    refuses_gid(&end, &gid, EINVAL); /* multicast */
    gid.raw[12] = 0;
    refuses_gid(&end, &gid, EINVAL);
    int mask = rtr_attributes(&end, 1234, &attr);
    attr.ah_attr.is_global = 0;
    CHECK_EQ(ibv_modify_qp(end.qp, &attr, mask), EINVAL); /* there are no LIDs */
    attr.ah_attr.is_global = 1;
    attr.ah_attr.grh.sgid_index = 1;
    CHECK_EQ(ibv_modify_qp(end.qp, &attr, mask), EINVAL); /* an unused GID */
    CHECK_EQ(state_of(&end), IBV_QPS_INIT);
    CHECK_EQ(to_rtr(&end, 1234), 0);
    world_close(&w);
    unsetenv("RDMAVT_ADDRESS");
}

/* RESET and a new connection to another host are possible, but not a move while it is connected. */
static void a_connection_cannot_move_to_another_host(void) {
    struct world w;
    struct end end;
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_SQD};
    use_address(HERE);
    REQUIRE(world_open(&w));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){0}, &end));
    REQUIRE(bring_up(&end, 1234));
    CHECK_EQ(ibv_modify_qp(end.qp, &attr, IBV_QP_STATE), 0);
    attr.qp_state = IBV_QPS_RTS;
    attr.ah_attr = own_port(w.context);
    attr.ah_attr.grh.dgid = gid_of_address(THERE);
    CHECK_EQ(ibv_modify_qp(end.qp, &attr, IBV_QP_AV), EOPNOTSUPP);
    attr.ah_attr = own_port(w.context);
    CHECK_EQ(ibv_modify_qp(end.qp, &attr, IBV_QP_AV), 0);
    CHECK_EQ(to_state(&end, IBV_QPS_RESET), 0);
    CHECK_EQ(to_init(&end), 0);
    int mask = rtr_attributes(&end, 1234, &attr);
    attr.ah_attr.grh.dgid = gid_of_address(THERE);
    CHECK_EQ(ibv_modify_qp(end.qp, &attr, mask), 0);
    world_close(&w);
    unsetenv("RDMAVT_ADDRESS");
}

/* --- requests --- */

static void serve_until_told(int fd) {
    struct side s = {.fd = fd};
    if (side_open(&s, THERE, (struct qp_options){0}))
        CHECK(hear_ready(fd)); /* calls no verb meanwhile */
    side_close(&s);
}

static void use_memory_of_the_peer(int fd) {
    struct side s = {.fd = fd};
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    CHECK_EQ(post(&s.end, remote(read_of(1, part(&s.memory, 0, 20000), &s.memory, 0), &s.peer, 0)), 0);
    SENT(&s.end, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.memory.bytes, 20000, THERE_FILL));
    CHECK(all_bytes_are(s.memory.bytes + 20000, SIDE_BYTES - 20000, HERE_FILL));
    memset(s.memory.bytes, 0x33, SIDE_BYTES);
    CHECK_EQ(post(&s.end, remote(write_of(2, part(&s.memory, 0, 30001), &s.memory, 0), &s.peer, 1)), 0);
    SENT(&s.end, 2, IBV_WC_SUCCESS);
    CHECK_EQ(post(&s.end, remote(read_of(3, part(&s.memory, 0, SIDE_BYTES), &s.memory, 0), &s.peer, 0)), 0);
    SENT(&s.end, 3, IBV_WC_SUCCESS);
    CHECK_EQ(s.memory.bytes[0], THERE_FILL);
    CHECK(all_bytes_are(s.memory.bytes + 1, 30001, 0x33));
    CHECK(all_bytes_are(s.memory.bytes + 30002, SIDE_BYTES - 30002, THERE_FILL));
    uint64_t old, fill;
    memset(&fill, THERE_FILL, sizeof(fill));
    CHECK_EQ(post(&s.end, remote(fetch_add_of(4, part(&s.memory, 0, 8), &s.memory, 0, 5), &s.peer, 40000)),
             0);
    SENT(&s.end, 4, IBV_WC_SUCCESS);
    memcpy(&old, s.memory.bytes, sizeof(old));
    CHECK_EQ(old, fill);
    CHECK_EQ(
        post(&s.end, remote(swap_of(5, part(&s.memory, 8, 8), &s.memory, 0, fill + 5, 99), &s.peer, 40000)),
        0);
    SENT(&s.end, 5, IBV_WC_SUCCESS);
    memcpy(&old, s.memory.bytes + 8, sizeof(old));
    CHECK_EQ(old, fill + 5);
    CHECK_EQ(post(&s.end, remote(read_of(6, part(&s.memory, 16, 8), &s.memory, 0), &s.peer, 40000)), 0);
    SENT(&s.end, 6, IBV_WC_SUCCESS);
    memcpy(&old, s.memory.bytes + 16, sizeof(old));
    CHECK_EQ(old, 99);
    IS_EMPTY(s.end.scq);
    tell_ready(fd);
    side_close(&s);
}

static void a_peer_that_calls_no_verb_is_read_and_written(void) {
    two_processes(use_memory_of_the_peer, serve_until_told);
}

enum { MESSAGE = 10000 };

static void receive_messages(int fd) {
    struct side s = {.fd = fd};
    if (side_open(&s, THERE, (struct qp_options){0})) {
        struct ibv_mr *mr = ibv_reg_mr(s.w.pd, s.memory.bytes, 64, ALL_RIGHTS);
        REQUIRE(mr != NULL);
        for (uint64_t i = 0; i < 4; i++)
            CHECK_EQ(receive(&s.end, i, part(&s.memory, (int64_t)i * MESSAGE, MESSAGE)), 0);
        tell(fd, &mr->rkey, sizeof(mr->rkey));
        struct ibv_wc wc = RECEIVED(&s.end, 0, IBV_WC_SUCCESS);
        CHECK_EQ(wc.opcode, IBV_WC_RECV);
        CHECK_EQ(wc.byte_len, MESSAGE);
        CHECK(all_bytes_are(s.memory.bytes, MESSAGE, HERE_FILL));
        CHECK(all_bytes_are(s.memory.bytes + MESSAGE, MESSAGE, THERE_FILL) ||
              s.memory.bytes[MESSAGE] == HERE_FILL); /* the next message may be here already */
        wc = RECEIVED(&s.end, 1, IBV_WC_SUCCESS);
        CHECK_EQ(wc.wc_flags, IBV_WC_WITH_IMM);
        CHECK_EQ(ntohl(wc.imm_data), 0x01020304);
        CHECK_EQ(wc.byte_len, 0);
        wc = RECEIVED(&s.end, 2, IBV_WC_SUCCESS);
        CHECK_EQ(wc.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
        CHECK_EQ(ntohl(wc.imm_data), 0x05060708);
        CHECK_EQ(wc.byte_len, 100);
        CHECK(all_bytes_are(s.memory.bytes + 60000, 100, HERE_FILL));
        wc = RECEIVED(&s.end, 3, IBV_WC_SUCCESS);
        CHECK_EQ(wc.wc_flags, IBV_WC_WITH_INV);
        CHECK_EQ(wc.invalidated_rkey, mr->rkey);
        IS_EMPTY(s.end.rcq);
        hear_ready(fd);
        CHECK_EQ(ibv_dereg_mr(mr), 0);
    }
    side_close(&s);
}

static void send_messages(int fd) {
    struct side s = {.fd = fd};
    uint32_t key = 0;
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    REQUIRE(hear(fd, &key, sizeof(key)));
    CHECK_EQ(post(&s.end, send_of(1, part(&s.memory, 0, MESSAGE))), 0);
    CHECK_EQ(post(&s.end, (struct request){.opcode = IBV_WR_SEND_WITH_IMM, .id = 2, .imm = 0x01020304}), 0);
    struct request write = remote(write_of(3, part(&s.memory, 0, 100), &s.memory, 0), &s.peer, 60000);
    write.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
    write.imm = 0x05060708;
    CHECK_EQ(post(&s.end, write), 0);
    CHECK_EQ(post(&s.end, (struct request){.opcode = IBV_WR_SEND_WITH_INV, .id = 4, .invalidate = key}), 0);
    for (uint64_t id = 1; id <= 4; id++)
        SENT(&s.end, id, IBV_WC_SUCCESS);
    /* The key has ended. */
    struct request late = remote(write_of(5, part(&s.memory, 0, 8), &s.memory, 0), &s.peer, 0);
    late.rkey = key;
    CHECK_EQ(post(&s.end, late), 0);
    SENT(&s.end, 5, IBV_WC_REM_ACCESS_ERR);
    CHECK_EQ(state_of(&s.end), IBV_QPS_ERR);
    tell_ready(fd);
    side_close(&s);
}

static void messages_arrive_in_the_other_process(void) {
    two_processes(send_messages, receive_messages);
}

/* --- waiting --- */

static void wait_for_events(int fd) {
    struct side s = {.fd = fd};
    struct ibv_comp_channel *channel = NULL;
    struct ibv_cq *cq;
    void *context;
    use_address(THERE);
    /* The channel must be of the same context, so the side is made by hand. */
    if (world_open(&s.w) && make_channel(&s.w, &channel) &&
        make_memory(&s.w, s.w.pd, SIDE_BYTES, THERE_FILL, ALL_RIGHTS, &s.memory) &&
        make_connected_end(&s, (struct qp_options){.channel = channel}, &s.end, &s.peer) && tell_ready(fd) &&
        hear_ready(fd)) {
        for (uint64_t i = 0; i < 3; i++) {
            CHECK_EQ(receive(&s.end, i, part(&s.memory, 0, 64)), 0);
            CHECK_EQ(ibv_req_notify_cq(s.end.rcq, 0), 0);
            tell_ready(fd);
            CHECK(is_readable(channel->fd,
                              PATIENCE_MS)); /* poll(): only the thread of the library can receive */
            CHECK_EQ(ibv_get_cq_event(channel, &cq, &context), 0);
            CHECK_PTR_EQ(cq, s.end.rcq);
            ibv_ack_cq_events(cq, 1);
            RECEIVED(&s.end, i, IBV_WC_SUCCESS);
        }
        hear_ready(fd);
    }
    side_close(&s);
}

static void cause_events(int fd) {
    struct side s = {.fd = fd};
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    for (uint64_t i = 0; i < 3; i++) {
        hear_ready(fd);
        sleep_ms(A_MOMENT_MS); /* so that the peer sleeps */
        CHECK_EQ(post(&s.end, send_of(i, part(&s.memory, 0, 64))), 0);
        SENT(&s.end, i, IBV_WC_SUCCESS);
    }
    tell_ready(fd);
    side_close(&s);
}

static void a_channel_wakes_who_waits_for_the_network(void) {
    two_processes(cause_events, wait_for_events);
}

/* The sender is told that its message has arrived, although the receiver destroys the queue pair as soon as it has it. */
enum { SHORT_LIVES = 40 };

static void receive_and_destroy(int fd) {
    struct side s = {.fd = fd};
    if (side_open(&s, THERE, (struct qp_options){0}))
        for (uint64_t i = 0; i < SHORT_LIVES; i++) {
            struct end end;
            struct card peer;
            REQUIRE(make_connected_end(&s, (struct qp_options){0}, &end, &peer));
            CHECK_EQ(receive(&end, i, part(&s.memory, 0, 64)), 0);
            tell_ready(fd);
            RECEIVED(&end, i, IBV_WC_SUCCESS);
            CHECK_EQ(world_destroy(&s.w, end.qp), 0);
            CHECK_EQ(world_destroy(&s.w, end.scq), 0);
            CHECK_EQ(world_destroy(&s.w, end.rcq), 0);
        }
    hear_ready(fd);
    side_close(&s);
}

static void send_to_short_lives(int fd) {
    struct side s = {.fd = fd};
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    for (uint64_t i = 0; i < SHORT_LIVES; i++) {
        struct end end;
        struct card peer;
        REQUIRE(make_connected_end(&s, (struct qp_options){0}, &end, &peer));
        hear_ready(fd);
        CHECK_EQ(post(&end, send_of(i, part(&s.memory, 0, 64))), 0);
        SENT(&end, i, IBV_WC_SUCCESS);
        CHECK_EQ(world_destroy(&s.w, end.qp), 0);
        CHECK_EQ(world_destroy(&s.w, end.scq), 0);
        CHECK_EQ(world_destroy(&s.w, end.rcq), 0);
    }
    tell_ready(fd);
    side_close(&s);
}

static void what_was_received_is_acknowledged_before_its_queue_pair_ends(void) {
    two_processes(send_to_short_lives, receive_and_destroy);
}

/* --- failures --- */

static void use_a_peer_that_has_ended(int fd) {
    struct side s = {.fd = fd, .timeout = 8, .retry_cnt = 2}; /* 1 ms */
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    tell_ready(fd);
    CHECK_EQ(recv(fd, &(char){0}, 1, 0), 0); /* the other process has closed its socket */
    CHECK_EQ(post(&s.end, remote(write_of(1, part(&s.memory, 0, 8), &s.memory, 0), &s.peer, 0)), 0);
    CHECK_EQ(post(&s.end, send_of(2, part(&s.memory, 0, 8))), 0);
    SENT(&s.end, 1, IBV_WC_RETRY_EXC_ERR);
    SENT(&s.end, 2, IBV_WC_WR_FLUSH_ERR);
    CHECK_EQ(state_of(&s.end), IBV_QPS_ERR);
    side_close(&s);
}

static void end_at_once(int fd) {
    struct side s = {.fd = fd};
    if (side_open(&s, THERE, (struct qp_options){0}))
        hear_ready(fd);
    _exit(atomic_load(&check_failures) ? 1 : 0); /* nothing is destroyed or closed */
}

static void a_peer_that_has_ended_does_not_answer(void) {
    two_processes(use_a_peer_that_has_ended, end_at_once);
}

static void the_time_of_a_failure_wakes_a_program_that_sleeps(int fd) {
    struct side s = {.fd = fd, .timeout = 8, .retry_cnt = 2};
    struct ibv_comp_channel *channel = NULL;
    use_address(HERE);
    REQUIRE(world_open(&s.w) && make_channel(&s.w, &channel));
    REQUIRE(make_memory(&s.w, s.w.pd, SIDE_BYTES, HERE_FILL, ALL_RIGHTS, &s.memory));
    REQUIRE(make_connected_end(&s, (struct qp_options){.channel = channel}, &s.end, &s.peer));
    tell_ready(fd);
    hear_ready(fd);
    tell_ready(fd);
    CHECK_EQ(recv(fd, &(char){0}, 1, 0), 0);
    CHECK_EQ(ibv_req_notify_cq(s.end.scq, 0), 0);
    CHECK_EQ(post(&s.end, send_of(1, part(&s.memory, 0, 8))), 0);
    CHECK(is_readable(channel->fd, PATIENCE_MS));
    SENT(&s.end, 1, IBV_WC_RETRY_EXC_ERR);
    side_close(&s);
}

static void timers_run_while_the_program_sleeps(void) {
    two_processes(the_time_of_a_failure_wakes_a_program_that_sleeps, end_at_once);
}

static void misuse_keys(int fd) {
    struct side s = {.fd = fd};
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    CHECK_EQ(
        post(&s.end, remote(write_of(1, part(&s.memory, 0, 100), &s.memory, 0), &s.peer, SIDE_BYTES - 99)),
        0);
    CHECK_EQ(post(&s.end, send_of(2, part(&s.memory, 0, 8))), 0);
    SENT(&s.end, 1, IBV_WC_REM_ACCESS_ERR);
    SENT(&s.end, 2, IBV_WC_WR_FLUSH_ERR);
    tell_ready(fd);
    side_close(&s);
}

static void be_misused(int fd) {
    struct side s = {.fd = fd};
    if (side_open(&s, THERE, (struct qp_options){0})) {
        CHECK_EQ(receive(&s.end, 7, part(&s.memory, 0, 8)), 0);
        hear_ready(fd);
        CHECK_EQ(state_of(&s.end), IBV_QPS_ERR);
        RECEIVED(&s.end, 7, IBV_WC_WR_FLUSH_ERR);
        CHECK(all_bytes_are(s.memory.bytes, SIDE_BYTES, THERE_FILL));
    }
    side_close(&s);
}

static void an_access_beyond_a_region_of_the_peer_is_refused(void) {
    two_processes(misuse_keys, be_misused);
}

/* --- datagrams --- */

static void answer_a_datagram(int fd) {
    struct side s = {.fd = fd};
    struct end end;
    use_address(THERE);
    if (world_open(&s.w) && make_memory(&s.w, s.w.pd, SIDE_BYTES, THERE_FILL, ALL_RIGHTS, &s.memory) &&
        make_end(&s.w, s.w.pd, (struct qp_options){.type = IBV_QPT_UD}, &end) && bring_up(&end, 0)) {
        CHECK_EQ(receive(&end, 1, part(&s.memory, 0, 1000)), 0);
        exchange_cards(&s, &end, &s.peer);
        struct ibv_wc wc = RECEIVED(&end, 1, IBV_WC_SUCCESS);
        CHECK_EQ(wc.byte_len, 40 + 100);
        CHECK_EQ(wc.wc_flags, IBV_WC_GRH);
        CHECK_EQ(wc.src_qp, s.peer.qpn);
        CHECK(all_bytes_are(s.memory.bytes + 40, 100, HERE_FILL));
        CHECK(all_bytes_are(s.memory.bytes + 140, 1000, THERE_FILL));
        /* Back to the sender, whose address is in the header in front of the message. */
        struct ibv_ah *back = ibv_create_ah_from_wc(s.w.pd, &wc, (struct ibv_grh *)s.memory.bytes, PORT);
        if (world_keep(&s.w, AH, back)) {
            struct request r = send_of(2, part(&s.memory, 2000, 50));
            r.ah = back;
            r.remote_qpn = wc.src_qp;
            r.remote_qkey = QKEY;
            CHECK_EQ(post(&end, r), 0);
            SENT(&end, 2, IBV_WC_SUCCESS);
        }
        hear_ready(fd);
    }
    side_close(&s);
}

static void send_a_datagram(int fd) {
    struct side s = {.fd = fd};
    struct end end;
    use_address(HERE);
    REQUIRE(world_open(&s.w));
    REQUIRE(make_memory(&s.w, s.w.pd, SIDE_BYTES, HERE_FILL, ALL_RIGHTS, &s.memory));
    REQUIRE(make_end(&s.w, s.w.pd, (struct qp_options){.type = IBV_QPT_UD}, &end) && bring_up(&end, 0));
    CHECK_EQ(receive(&end, 3, part(&s.memory, 1000, 1000)), 0);
    REQUIRE(exchange_cards(&s, &end, &s.peer));
    struct ibv_ah_attr attr = own_port(s.w.context);
    attr.grh.dgid = s.peer.gid;
    struct request r = send_of(1, part(&s.memory, 0, 100));
    r.ah = ibv_create_ah(s.w.pd, &attr);
    r.remote_qpn = s.peer.qpn;
    r.remote_qkey = QKEY;
    REQUIRE(world_keep(&s.w, AH, r.ah));
    CHECK_EQ(post(&end, r), 0);
    SENT(&end, 1, IBV_WC_SUCCESS);
    struct ibv_wc wc = RECEIVED(&end, 3, IBV_WC_SUCCESS);
    CHECK_EQ(wc.byte_len, 40 + 50);
    CHECK_EQ(wc.src_qp, s.peer.qpn);
    CHECK(all_bytes_are(s.memory.bytes + 1040, 50, THERE_FILL));
    tell_ready(fd);
    side_close(&s);
}

static void a_datagram_is_answered_by_its_completion(void) {
    two_processes(send_a_datagram, answer_a_datagram);
}

static void only_gids_of_hosts_have_address_handles(void) {
    struct world w;
    use_address(HERE);
    REQUIRE(world_open(&w));
    struct ibv_ah_attr attr = own_port(w.context);
    attr.grh.dgid.raw[12] = 224;
    errno = 0;
    CHECK_PTR_EQ(ibv_create_ah(w.pd, &attr), NULL);
    CHECK_EQ(errno, EINVAL);
    attr = own_port(w.context);
    attr.is_global = 0;
    errno = 0;
    CHECK_PTR_EQ(ibv_create_ah(w.pd, &attr), NULL);
    CHECK_EQ(errno, EINVAL);
    world_close(&w);
    unsetenv("RDMAVT_ADDRESS");
}

static void use_unreliably(int fd) {
    struct side s = {.fd = fd};
    REQUIRE(side_open(&s, HERE, (struct qp_options){.type = IBV_QPT_UC}));
    REQUIRE(hear_ready(fd)); /* the receive is there: a message without one would be lost */
    CHECK_EQ(post(&s.end, remote(write_of(1, part(&s.memory, 0, 20000), &s.memory, 0), &s.peer, 1)), 0);
    CHECK_EQ(post(&s.end, send_of(2, part(&s.memory, 0, 9000))), 0);
    SENT(&s.end, 1, IBV_WC_SUCCESS);
    SENT(&s.end, 2, IBV_WC_SUCCESS);
    hear_ready(fd);
    side_close(&s);
}

static void be_used_unreliably(int fd) {
    struct side s = {.fd = fd};
    struct memory room;
    if (side_open(&s, THERE, (struct qp_options){.type = IBV_QPT_UC}) &&
        make_memory(&s.w, s.w.pd, 9000, 0, ALL_RIGHTS, &room)) {
        CHECK_EQ(receive(&s.end, 7, part(&room, 0, 9000)), 0);
        tell_ready(fd);
        struct ibv_wc wc = RECEIVED(&s.end, 7, IBV_WC_SUCCESS);
        CHECK_EQ(wc.byte_len, 9000);
        CHECK(all_bytes_are(room.bytes, 9000, HERE_FILL));
        CHECK(all_bytes_are(s.memory.bytes + 1, 20000, HERE_FILL));
        CHECK_EQ(s.memory.bytes[0], THERE_FILL);
        CHECK_EQ(s.memory.bytes[20001], THERE_FILL);
        tell_ready(fd);
    }
    side_close(&s);
}

static void unreliable_connections_reach_the_other_process(void) {
    two_processes(use_unreliably, be_used_unreliably);
}

CHECK_MAIN(TEST(a_device_with_an_address_is_a_roce_device), TEST(what_is_no_address_of_this_host_is_refused),
           TEST(an_empty_address_is_none), TEST(two_processes_cannot_have_one_address),
           TEST(an_address_is_free_when_its_device_is_closed), TEST(two_contexts_share_the_address),
           TEST(only_gids_of_hosts_can_be_connected), TEST(a_connection_cannot_move_to_another_host),
           TEST(a_peer_that_calls_no_verb_is_read_and_written), TEST(messages_arrive_in_the_other_process),
           TEST(a_channel_wakes_who_waits_for_the_network),
           TEST(what_was_received_is_acknowledged_before_its_queue_pair_ends),
           TEST(a_peer_that_has_ended_does_not_answer), TEST(timers_run_while_the_program_sleeps),
           TEST(an_access_beyond_a_region_of_the_peer_is_refused),
           TEST(a_datagram_is_answered_by_its_completion), TEST(only_gids_of_hosts_have_address_handles),
           TEST(unreliable_connections_reach_the_other_process))
