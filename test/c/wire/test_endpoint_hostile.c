/* SPDX-License-Identifier: BSD-3-Clause */
/* Hostile packets: those of the captures, altered, through the responder and the requester of queue pairs of every type.
 * No byte moves that the rights do not allow, no memory grows, and packets of nobody get no answer.
 *
 * Arguments: COUNT packets (otherwise RVT_HOSTILE_PACKETS of the environment), SEED. */
#include <stdlib.h>

#include "engine/verbs.h"
#include "link.h"
#include "roce_packets.h"
#include "wire/endpoint/connection.h"

enum {
    QPS = 5,
    UC_OPCODES = 0x20, /* those of RC with this bit */
    QKEY = 0x77,
    PART = 512,   /* bytes of each region */
    GAP = 256,    /* guard bytes on both sides of each */
    DEPTH = 8,    /* work requests of a queue */
    MTU_CODE = 1, /* 256 bytes */
    MTU = 256,
    MOST_KEY_BYTES = 64 * 1024,
    PERIOD = 2000, /* packets between two comparisons of all memory */
    SURE_OF_ALL =
        50000, /* so many packets come to everything; the few of a slow run may not use up all receives */
};

/* The regions. What they hold, and what of it may leave. */
enum {
    READABLE, /* by the peer; may leave */
    WRITABLE, /* by the peer */
    COUNTERS, /* atomic operations of the peer */
    SOURCE,   /* this end sends it; may leave */
    SINK,     /* this end reads to it */
    RECEIVES,
    PRIVATE, /* no right for the peer */
    FOREIGN, /* every right, in another domain */
    REVOKED, /* was deregistered */
    PARTS,
};

static const uint32_t rights[PARTS] = {
    [READABLE] = REMOTE_READ,
    [WRITABLE] = LOCAL_WRITE | REMOTE_WRITE,
    [COUNTERS] = LOCAL_WRITE | REMOTE_ATOMIC,
    [SINK] = LOCAL_WRITE,
    [RECEIVES] = LOCAL_WRITE,
    [PRIVATE] = LOCAL_WRITE,
    [FOREIGN] = ALL_ACCESS,
    [REVOKED] = ALL_ACCESS,
};

/* What every byte holds: the peer must see nothing but PUBLIC. */
enum { PUBLIC = 0x11, SECRET = 0xee };

static uint64_t count = 200000, seed = 1;

static struct verbs v;
static struct link_endpoint end;
static struct rvt_wire_peer here, peers[QPS];
static unsigned char memory[PARTS][GAP + PART + GAP];
static struct vmr regions[PARTS];
static const enum rvt_qp_type types[QPS] = {RVT_QPT_RC, RVT_QPT_RC, RVT_QPT_RC, RVT_QPT_UC, RVT_QPT_UD};
static struct vqp qps[QPS];
static struct rvt_ah_handle ah; /* to the peer of the UD queue pair */
static uint64_t now, posted[QPS], completed[QPS], received_ids[QPS], posted_receives[QPS];
static uint64_t delivered, answered, lives, unknown, reads_out, invalidated;
static uint64_t read_bytes_asked; /* by the packets since the answers were taken */

static uint64_t pick(uint64_t below) {
    return roll(&seed, below);
}

static bool may_change(unsigned part) {
    return part == WRITABLE || part == COUNTERS || part == SINK || part == RECEIVES;
}

static unsigned char holds(unsigned part) {
    return part == READABLE || part == SOURCE ? PUBLIC : SECRET;
}

static void check_memory(void) {
    for (unsigned part = 0; part < PARTS; part++)
        for (unsigned i = 0; i < sizeof(memory[part]); i++) {
            const bool inside = i >= GAP && i < GAP + PART;
            const unsigned char expected = inside ? holds(part) : SECRET;
            if (memory[part][i] == expected || (inside && may_change(part)))
                continue;
            printf("# byte %u of part %u\n", i, part);
            CHECK_EQ(memory[part][i], expected);
            return;
        }
}

static void register_part(unsigned part) {
    regions[part] = make_mr_in(part == FOREIGN ? v.other_pd : v.pd, memory[part] + GAP, PART, rights[part]);
}

/* Peers may invalidate keys of their queue pair's domain: gives those regions new ones. */
static void renew_keys(void) {
    for (unsigned part = 0; part < PARTS; part++) {
        if (part == REVOKED || fixture_query(regions[part].mr).valid)
            continue;
        CHECK(part != FOREIGN);
        CHECK_EQ(rvt_dereg_mr(regions[part].mr, RVT_RELEASE_FORCE), 0);
        register_part(part);
        invalidated++;
    }
}

/* --- the queue pairs --- */

static void post_work(unsigned i) {
    static const uint32_t opcodes[] = {RVT_WR_RDMA_WRITE,         RVT_WR_SEND,
                                       RVT_WR_RDMA_READ,          RVT_WR_RDMA_READ,
                                       RVT_WR_ATOMIC_CMP_AND_SWP, RVT_WR_ATOMIC_FETCH_AND_ADD,
                                       RVT_WR_SEND_WITH_IMM,      RVT_WR_SEND_WITH_INV};
    while (posted[i] - completed[i] < DEPTH) {
        static const uint32_t of_uc[] = {RVT_WR_RDMA_WRITE, RVT_WR_SEND, RVT_WR_SEND_WITH_IMM};
        const bool ud = types[i] == RVT_QPT_UD;
        const uint32_t opcode = types[i] == RVT_QPT_RC ? opcodes[pick(8)] : of_uc[ud + pick(3 - ud)];
        const bool brings = opcode == RVT_WR_RDMA_READ || opcode == RVT_WR_ATOMIC_CMP_AND_SWP ||
                            opcode == RVT_WR_ATOMIC_FETCH_AND_ADD;
        uint32_t length = (uint32_t)pick(ud ? MTU + 1 : PART + 1);
        if (brings && opcode != RVT_WR_RDMA_READ)
            length = 8;
        const struct rvt_ib_sge sge = sge_at(&regions[brings ? SINK : SOURCE], 0, length);
        if (post(&qps[i], SEND_WR(.wr_id = posted[i], .sges = &sge, .num_sge = 1, .opcode = opcode,
                                  .remote_addr = 0x1000, .rkey = 0x123, .ah = &ah, .remote_qpn = 0x321)))
            return;
        posted[i]++;
    }
}

static void post_receives(unsigned i) {
    while (posted_receives[i] - received_ids[i] < DEPTH && pick(4)) {
        const struct rvt_ib_sge sge = sge_at(&regions[RECEIVES], 0, (uint32_t)pick(PART + 1));
        if (post_receive(&qps[i], posted_receives[i], &sge, 1))
            return;
        posted_receives[i]++;
    }
}

/* Completions come once each, in order. */
static void take_completions(unsigned i) {
    struct rvt_wc wc;
    while (rvt_poll_cq(qps[i].scq, 1, &wc) == 1) {
        CHECK_EQ(wc.wr_id, completed[i]);
        CHECK(completed[i] < posted[i]);
        completed[i]++;
    }
    while (rvt_poll_cq(qps[i].rcq, 1, &wc) == 1) {
        CHECK_EQ(wc.wr_id, received_ids[i]);
        CHECK(received_ids[i] < posted_receives[i]);
        received_ids[i]++;
    }
}

/* Begins a new life of a queue pair, as a program would. */
static void revive(unsigned i) {
    struct rvt_qp_attr attr = usual_attr((uint32_t)pick(1 << 24));
    attr.path_mtu = MTU_CODE;
    attr.sq_psn = (uint32_t)dice(&seed) & 0xffffff;
    attr.rq_psn = (uint32_t)dice(&seed) & 0xffffff;
    attr.access = REMOTE_READ | REMOTE_WRITE | REMOTE_ATOMIC;
    attr.timeout = 8;
    attr.retry_cnt = 7;
    attr.rnr_retry = 7;
    attr.min_rnr_timer = 1;
    attr.qkey = QKEY;
    take_completions(i);
    CHECK_EQ(move_qp(&qps[i], attr, RVT_QPS_RESET), 0);
    take_completions(i);
    posted[i] = completed[i] = posted_receives[i] = received_ids[i] = 0;
    bring_to(&qps[i], attr, RVT_QPS_RTS);
    lives++;
    post_receives(i);
    post_work(i);
}

static void open_world(void) {
    const struct rvt_limits limits = usual_limits();
    memset(memory, SECRET, sizeof(memory));
    if (!verbs_open_with(&v, limits, AT_ONCE))
        abort();
    here = (struct rvt_wire_peer){.address = {[10] = 0xff, 0xff, 10, 0, 2, 15}, .port = LINK_PORT};
    CHECK(link_open_endpoint(&end, v.device, &here, 0));
    for (unsigned part = 0; part < PARTS; part++) {
        memset(memory[part] + GAP, holds(part), PART);
        register_part(part);
    }
    CHECK_EQ(rvt_dereg_mr(regions[REVOKED].mr, RVT_RELEASE), 0);
    for (unsigned i = 0; i < 1000; i++) { /* so that the table of keys has its full size */
        CHECK_EQ(rvt_dereg_mr(regions[PRIVATE].mr, RVT_RELEASE), 0);
        register_part(PRIVATE);
    }
    for (unsigned i = 0; i < QPS; i++) {
        peers[i] = here;
        peers[i].address[15] = (uint8_t)(16 + i);
        qps[i] = make_qp_with(
            &v, v.pd,
            (struct rvt_qp_init){
                .type = types[i], .sig_type = RVT_SIGNAL_ALL_WR, .max_send_wr = DEPTH, .max_recv_wr = DEPTH});
        if (types[i] == RVT_QPT_UD) {
            struct rvt_host_address host = {.udp_port = peers[i].port};
            memcpy(host.ip, peers[i].address, sizeof(host.ip));
            CHECK_EQ(rvt_create_host_ah(v.pd, &(struct rvt_ah_attr){.port = 1}, &host, &ah), 0);
            CHECK_EQ(rvt_endpoint_attach(end.endpoint, qps[i].handle, MTU_CODE), 0);
        } else {
            CHECK_EQ(rvt_endpoint_connect(end.endpoint, qps[i].handle, &peers[i], 0), 0);
        }
        revive(i);
    }
}

/* --- packets --- */

static void set_number(unsigned char *at, uint64_t value, unsigned bytes) {
    while (bytes--) {
        at[bytes] = (unsigned char)value;
        value >>= 8;
    }
}

/* An address and a length: around a region, or anything; mostly what the opcode's right allows. */
static void choose_range(unsigned char *reth, unsigned opcode, uint32_t fitting) {
    static const int64_t near[] = {0, 8, PART - 8, PART - 1, PART, -1, -8};
    const bool atomic = rvt_opcode_headers((uint8_t)opcode) & RVT_WIRE_HAS_ATOMIC_ETH;
    const unsigned right = opcode == RVT_BTH_RC_READ_REQUEST ? READABLE : atomic ? COUNTERS : WRITABLE;
    const struct vmr *region = &regions[pick(12) ? right : pick(PARTS)];
    uint64_t addr = region->addr;
    uint32_t key = region->key, length = fitting;
    if (!pick(4))
        addr += atomic ? pick(PART / 8) * 8 : pick(PART);
    if (!pick(20))
        addr = region->addr + (uint64_t)near[pick(7)];
    if (!pick(60))
        addr = dice(&seed);
    if (!pick(60))
        key ^= 1u << pick(32);
    if (!pick(40))
        length = (uint32_t)pick(PART + 2);
    if (!pick(60))
        length = pick(2) ? (uint32_t)dice(&seed) : 0x80000000 + (uint32_t)pick(2);
    set_number(reth, addr, 8);
    set_number(reth + 8, key, 4);
    if (!atomic)
        set_number(reth + 12, length, 4);
}

static bool is_answer(unsigned opcode) {
    return opcode >= RVT_BTH_RC_READ_RESPONSE_FIRST && opcode <= RVT_BTH_RC_ATOMIC_ACKNOWLEDGE;
}

/* What the attacker takes this end to be in, while the packets of a batch are made. */
struct guess {
    uint32_t expected, awaited; /* PSNs: of the next request, of the next answer */
    unsigned kind;              /* of a message in progress: 0, or 1 SEND, 2 WRITE */
    uint32_t rest;              /* of a WRITE */
    unsigned answer;            /* opcode of the next answer */
    uint32_t answer_length;     /* its payload */
};

static struct guess guess_of(unsigned i) {
    /* The attacker may well know this: the peer does. */
    const struct rvt_connection *connection = rvt_carrier_data(qps[i].handle.qp->engine);
    const struct rvt_wire_requester *requester = &connection->requester;
    struct guess guess = {
        connection->responder.expected_psn, requester->oldest_psn,  connection->responder.message.kind,
        connection->responder.message.rest, RVT_BTH_RC_ACKNOWLEDGE, 0};
    if (!requester->begun)
        return guess;
    const struct rvt_wire_request *oldest = &requester->requests[requester->first];
    const uint32_t position = (requester->oldest_psn - oldest->psn) & 0xffffff;
    const bool last = position + 1 == oldest->psns;
    struct rvt_carried_send send;
    rvt_carrier_begin(v.device);
    rvt_carrier_send(connection->qp, 0, &send);
    rvt_carrier_end(v.device);
    if (oldest->kind == RVT_WIRE_ATOMIC)
        guess.answer = RVT_BTH_RC_ATOMIC_ACKNOWLEDGE;
    if (oldest->kind != RVT_WIRE_READ)
        return guess;
    guess.answer = last ? (position ? RVT_BTH_RC_READ_RESPONSE_LAST : RVT_BTH_RC_READ_RESPONSE_ONLY)
                        : (position ? RVT_BTH_RC_READ_RESPONSE_MIDDLE : RVT_BTH_RC_READ_RESPONSE_FIRST);
    guess.answer_length = last ? send.length - position * MTU : MTU;
    return guess;
}

/* PSNs near those that this end expects. */
static uint32_t choose_psn(const struct guess *guess, unsigned opcode) {
    const uint32_t from = is_answer(opcode) ? guess->awaited : guess->expected;
    switch (pick(16)) {
    case 0:
        return (uint32_t)dice(&seed) & 0xffffff;
    case 1:
        return from + (uint32_t)pick(20) - 10;
    case 2:
        return from + (uint32_t)pick(3) - 1;
    default:
        return from;
    }
}

/* An opcode that may follow what has come. */
static unsigned choose_opcode(const struct guess *guess) {
    static const uint8_t beginnings[] = {
        RVT_BTH_RC_SEND_FIRST,  RVT_BTH_RC_SEND_ONLY,          RVT_BTH_RC_SEND_ONLY_WITH_IMM,
        RVT_BTH_RC_WRITE_FIRST, RVT_BTH_RC_WRITE_ONLY,         RVT_BTH_RC_WRITE_ONLY_WITH_IMM,
        RVT_BTH_RC_CMP_SWAP,    RVT_BTH_RC_SEND_ONLY_WITH_INV, RVT_BTH_RC_READ_REQUEST,
        RVT_BTH_RC_FETCH_ADD,   RVT_BTH_RC_READ_REQUEST,
    };
    static const uint8_t answers[] = {RVT_BTH_RC_ACKNOWLEDGE,         RVT_BTH_RC_ATOMIC_ACKNOWLEDGE,
                                      RVT_BTH_RC_READ_RESPONSE_FIRST, RVT_BTH_RC_READ_RESPONSE_MIDDLE,
                                      RVT_BTH_RC_READ_RESPONSE_LAST,  RVT_BTH_RC_READ_RESPONSE_ONLY};
    if (!pick(3))
        return pick(20) ? guess->answer : answers[pick(sizeof(answers))];
    if (!guess->kind)
        return beginnings[pick(sizeof(beginnings))];
    if (pick(2))
        return guess->kind == 1 ? RVT_BTH_RC_SEND_MIDDLE : RVT_BTH_RC_WRITE_MIDDLE;
    if (guess->kind == 1)
        return pick(2)   ? RVT_BTH_RC_SEND_LAST
               : pick(2) ? RVT_BTH_RC_SEND_LAST_WITH_IMM
                         : RVT_BTH_RC_SEND_LAST_WITH_INV;
    return pick(2) ? RVT_BTH_RC_WRITE_LAST : RVT_BTH_RC_WRITE_LAST_WITH_IMM;
}

/* Gives the packet a payload that its opcode and the rest of its message ask for, mostly. Returns the packet's length. */
static uint32_t choose_payload(const struct guess *guess, unsigned char *bytes) {
    static const uint32_t lengths[] = {0, 1, 4, 255, 256, 257, 512};
    const unsigned opcode = bytes[0];
    const uint32_t headers = rvt_headers_bytes(rvt_opcode_headers((uint8_t)opcode));
    uint32_t payload = (uint32_t)pick(MTU + 1);
    if (opcode == RVT_BTH_RC_READ_REQUEST || opcode == RVT_BTH_RC_CMP_SWAP ||
        opcode == RVT_BTH_RC_FETCH_ADD || opcode == RVT_BTH_RC_ACKNOWLEDGE ||
        opcode == RVT_BTH_RC_ATOMIC_ACKNOWLEDGE)
        payload = 0;
    else if (opcode == RVT_BTH_RC_SEND_FIRST || opcode == RVT_BTH_RC_SEND_MIDDLE ||
             opcode == RVT_BTH_RC_WRITE_FIRST || opcode == RVT_BTH_RC_WRITE_MIDDLE ||
             opcode == RVT_BTH_RC_READ_RESPONSE_FIRST || opcode == RVT_BTH_RC_READ_RESPONSE_MIDDLE)
        payload = MTU;
    else if ((opcode == RVT_BTH_RC_WRITE_LAST || opcode == RVT_BTH_RC_WRITE_LAST_WITH_IMM) &&
             guess->rest <= MTU)
        payload = guess->rest;
    if (is_answer(opcode) && opcode == guess->answer)
        payload = guess->answer_length;
    if (!pick(30))
        payload = lengths[pick(7)];
    const uint32_t pad = -payload & 3;
    memset(bytes + headers, 0x77, payload + pad + 4);
    bytes[1] = (unsigned char)((bytes[1] & ~0x30u) | pad << 4);
    if (rvt_opcode_headers((uint8_t)opcode) & (RVT_WIRE_HAS_RETH | RVT_WIRE_HAS_ATOMIC_ETH))
        choose_range(bytes + RVT_BTH_BYTES, opcode,
                     opcode == RVT_BTH_RC_READ_REQUEST  ? (uint32_t)pick(PART + 1)
                     : opcode == RVT_BTH_RC_WRITE_FIRST ? payload + 1 + (uint32_t)pick(MTU) / 2
                                                        : payload);
    return headers + payload + pad + 4;
}

/* Makes of a packet of RC one for a queue pair of another type, mostly. */
static uint32_t change_service(unsigned char *bytes, uint32_t length, enum rvt_qp_type type) {
    if (type == RVT_QPT_UC && bytes[0] <= RVT_BTH_RC_WRITE_ONLY_WITH_IMM)
        bytes[0] |= UC_OPCODES;
    if (type != RVT_QPT_UD)
        return length;
    const bool imm = pick(2);
    const uint32_t payload = (uint32_t)pick(pick(8) ? MTU + 1 : 2 * MTU), pad = -payload & 3;
    bytes[0] = imm ? RVT_BTH_UD_SEND_ONLY_WITH_IMM : RVT_BTH_UD_SEND_ONLY;
    bytes[1] = (unsigned char)((bytes[1] & ~0x30u) | pad << 4);
    set_number(bytes + RVT_BTH_BYTES, pick(8) ? QKEY : dice(&seed), 4);
    memset(bytes + RVT_BTH_BYTES + 8, 0x77, payload + 12);
    return RVT_BTH_BYTES + 8 + (imm ? 4 : 0) + payload + pad + 4;
}

static uint32_t number_at(const unsigned char *at, unsigned bytes) {
    uint32_t value = 0;
    while (bytes--)
        value = value << 8 | *at++;
    return value;
}

/* The packet is made: what this end will be in after it, if it is accepted. */
static void go_on(struct guess *guess, const unsigned char *bytes, uint32_t length) {
    const unsigned opcode = bytes[0] & ~(unsigned)UC_OPCODES;
    const uint32_t payload = length < 44 ? 0 : length - 32, psn = number_at(bytes + 9, 3);
    if (is_answer(opcode)) {
        guess->awaited += psn == (guess->awaited & 0xffffff);
        return;
    }
    if (psn != (guess->expected & 0xffffff))
        return;
    guess->expected += opcode == RVT_BTH_RC_READ_REQUEST ? rvt_packets_of(number_at(bytes + 24, 4), MTU) : 1;
    if (opcode == RVT_BTH_RC_SEND_FIRST)
        guess->kind = 1;
    else if (opcode == RVT_BTH_RC_WRITE_FIRST) {
        guess->kind = 2;
        guess->rest = number_at(bytes + 24, 4) - payload;
    } else if (opcode == RVT_BTH_RC_WRITE_MIDDLE)
        guess->rest -= MTU;
    else if (opcode != RVT_BTH_RC_SEND_MIDDLE)
        guess->kind = 0;
}

/* Makes a hostile packet out of one of the captures: its transport is made plausible on this connection, then something
 * is made wrong. Returns its length. */
static uint32_t make_packet(unsigned char *bytes, unsigned i, struct guess *guess, bool *to_nobody) {
    const struct roce_packet *from = &roce_packets[pick(roce_packet_count)];
    uint32_t length = from->length;
    memcpy(bytes, from->bytes, length);
    if (pick(30))
        set_number(bytes + 5, qps[i].qpn, 3);
    if (pick(5)) {
        bytes[0] = (unsigned char)choose_opcode(guess);
        length = choose_payload(guess, bytes);
    }
    if (types[i] != RVT_QPT_RC && pick(20))
        length = change_service(bytes, length, types[i]);
    if (!pick(40))
        bytes[0] = (unsigned char)pick(pick(4) ? 0x18 : 256);
    set_number(bytes + 9, choose_psn(guess, bytes[0]), 3);
    const uint32_t has = rvt_opcode_headers(bytes[0]);
    const uint32_t headers = rvt_headers_bytes(has);
    if (has & RVT_WIRE_HAS_IETH && pick(2)) /* a key that exists */
        set_number(bytes + headers - 4, regions[pick(PARTS)].key, 4);
    if (has & RVT_WIRE_HAS_AETH) {
        static const unsigned char syndromes[] = {0,    0x20, 0x3f, 0x60, 0x60, 0x61,
                                                  0x62, 0x63, 0x64, 0x7f, 0xff};
        bytes[RVT_BTH_BYTES] = pick(8) ? 0x1f : syndromes[pick(sizeof(syndromes))];
    }
    if (!pick(12))
        for (uint64_t bits = 1 + pick(8); bits; bits--)
            bytes[pick(length)] ^= (unsigned char)(1u << pick(8));
    if (!pick(40))
        length = (uint32_t)pick(length + 1);
    go_on(guess, bytes, length);
    *to_nobody = true;
    if (length >= 16)
        for (unsigned q = 0; q < QPS; q++)
            *to_nobody &= (bytes[5] << 16 | bytes[6] << 8 | bytes[7]) != (int)qps[q].qpn;
    if (length >= 16 && pick(30)) {
        const uint32_t icrc = htole32(datagram_icrc(&peers[i], &here, 0x4242, bytes, length));
        memcpy(bytes + length - 4, &icrc, 4);
    }
    return length;
}

/* Gives a batch of packets from one peer to the endpoint. Returns whether all of them were of nobody. */
static bool give_packets(unsigned i, uint32_t batch) {
    static unsigned char bytes[LINK_BATCH][8192];
    struct rvt_datagram datagrams[LINK_BATCH];
    unsigned char *copies[LINK_BATCH];
    bool all_to_nobody = true;
    struct guess guess = guess_of(i);
    for (uint32_t n = 0; n < batch; n++) {
        bool to_nobody = true;
        const uint32_t length = make_packet(bytes[n], i, &guess, &to_nobody);
        const bool known = pick(2), spoofed = !pick(50);
        copies[n] = copy_exactly(bytes[n], length);
        datagrams[n] =
            (struct rvt_datagram){copies[n], length, peers[spoofed ? pick(QPS) : i], known, 0x4242};
        if (!known)
            datagrams[n].ip_id = 0;
        if (length > 16 + RVT_BTH_BYTES && bytes[n][0] == RVT_BTH_RC_READ_REQUEST)
            read_bytes_asked += PART;
        all_to_nobody &= to_nobody;
    }
    rvt_endpoint_receive(end.endpoint, datagrams, batch, now);
    for (uint32_t n = 0; n < batch; n++)
        free(copies[n]);
    delivered += batch;
    return all_to_nobody;
}

/* Looks at a packet that leaves. */
static void check_packet(const struct rvt_outgoing *packet) {
    struct rvt_transport transport;
    const uint32_t covered = packet->length - RVT_ICRC_BYTES;
    bool to_peer = false;
    for (unsigned i = 0; i < QPS; i++)
        to_peer |= !memcmp(&packet->to, &peers[i], sizeof(peers[i]));
    CHECK(to_peer);
    CHECK_EQ(rvt_decode_transport(packet->bytes, covered, covered, &transport), RVT_WIRE_FAULT_NONE);
    CHECK(transport.payload_length <= MTU);
    for (uint32_t i = 0; i < transport.payload_length; i++)
        if (packet->bytes[transport.payload_at + i] != PUBLIC) {
            CHECK_EQ(packet->bytes[transport.payload_at + i], PUBLIC);
            return;
        }
    if (transport.opcode >= RVT_BTH_RC_READ_RESPONSE_FIRST &&
        transport.opcode <= RVT_BTH_RC_READ_RESPONSE_ONLY)
        reads_out += transport.payload_length;
}

/* Takes everything that the endpoint has to send now; returns how many packets. */
static uint32_t take_packets(void) {
    static unsigned char buffers[LINK_BATCH][RVT_MOST_PACKET_BYTES];
    struct rvt_outgoing packets[LINK_BATCH];
    uint32_t all = 0, sent;
    do {
        for (uint32_t i = 0; i < LINK_BATCH; i++)
            packets[i].bytes = buffers[i];
        sent = rvt_endpoint_send(end.endpoint, packets, LINK_BATCH, now);
        for (uint32_t i = 0; i < sent; i++)
            check_packet(&packets[i]);
        all += sent;
        CHECK(all < 10000); /* what one batch of packets can cause has an end */
    } while (sent && all < 10000);
    end.woken = false;
    answered += all;
    return all;
}

static void hostile_packets(void) {
    struct rvt_completion_counts counts;
    read_roce_packets();
    CHECK(roce_packet_count > 2800);
    open_world();
    const long live = rvt_test_alloc_live();
    const uint64_t held = rvt_held_bytes(v.device);
    uint64_t compared = 0;
    (void)take_packets();
    while (delivered < count && !atomic_load(&check_failures)) {
        const unsigned i = (unsigned)pick(QPS);
        const uint64_t out_before = reads_out;
        const bool nobody = give_packets(i, pick(8) ? 1 + (uint32_t)pick(3) : 1 + (uint32_t)pick(LINK_BATCH));
        const uint32_t out = take_packets();
        if (nobody) {
            unknown++;
            CHECK_EQ(out, 0);
        }
        if (types[i] != RVT_QPT_RC)
            CHECK_EQ(out, 0); /* nothing answers */
        /* Not more than was asked for, each request once. */
        CHECK(reads_out - out_before <= read_bytes_asked);
        read_bytes_asked = 0;
        now += pick(4) ? pick(5) : pick(3000);
        (void)rvt_endpoint_tick(end.endpoint, now);
        (void)take_packets();
        take_completions(i);
        renew_keys();
        post_work(i);
        post_receives(i);
        (void)take_packets();
        if (state_of(&qps[i]) == RVT_QPS_ERR)
            revive(i);
        (void)take_packets();
        if (delivered - compared >= PERIOD) {
            compared = delivered;
            check_memory();
            CHECK_EQ(rvt_test_alloc_live(), live);
            /* The table of keys counts its pages when they are used first. */
            CHECK(rvt_held_bytes(v.device) <= held + MOST_KEY_BYTES);
        }
    }
    check_memory();
    rvt_count_completions(v.device, &counts);
    CHECK_EQ(counts.lost, 0);
    printf("# %" PRIu64 " packets in, %" PRIu64 " out, %" PRIu64 " lives, %" PRIu64
           " batches of nobody, %" PRIu64 " bytes read, completions: %" PRIu64 " good, %" PRIu64
           " access, %" PRIu64 " invalid, %" PRIu64 " operation\n",
           delivered, answered, lives, unknown, reads_out, counts.by_status[RVT_WC_STATUS_SUCCESS],
           counts.by_status[RVT_WC_STATUS_REM_ACCESS_ERR], counts.by_status[RVT_WC_STATUS_REM_INV_REQ_ERR],
           counts.by_status[RVT_WC_STATUS_REM_OP_ERR]);
    struct rvt_endpoint_counters c;
    rvt_endpoint_count(end.endpoint, &c);
    printf("# malformed %" PRIu64 ", ICRC %" PRIu64 ", unknown %" PRIu64 ", source %" PRIu64
           ", duplicates %" PRIu64 ", ahead %" PRIu64 ", NAKs: RNR %" PRIu64 ", sequence %" PRIu64
           ", fatal %" PRIu64 "; payload in %" PRIu64 "\n",
           c.malformed, c.bad_icrc, c.unknown_qp, c.wrong_source, c.duplicates, c.out_of_order, c.rnr_naks,
           c.sequence_naks, c.fatal_naks, c.bytes_received);
    printf("# UC and UD: Q_Key %" PRIu64 ", no receive %" PRIu64 ", short %" PRIu64 ", refused %" PRIu64
           ", incomplete %" PRIu64 "\n",
           c.wrong_qkey, c.no_receive, c.short_receives, c.refused_writes, c.incomplete);
    CHECK(c.wrong_qkey && c.short_receives && c.refused_writes && c.incomplete);
    CHECK(c.no_receive || delivered < SURE_OF_ALL);
    /* The packets came as far as they should. */
    CHECK(reads_out && invalidated && c.fatal_naks && c.duplicates && c.out_of_order && c.rnr_naks &&
          c.bytes_received);
    rvt_endpoint_close(end.endpoint);
    verbs_close(&v);
    free_roce_packets();
}

int main(int argc, char **argv) {
    static const struct check_test tests[] = {TEST(hostile_packets)};
    const char *const given = getenv("RVT_HOSTILE_PACKETS");
    if (given || argc > 1)
        count = strtoull(argc > 1 ? argv[1] : given, NULL, 0);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 0);
    return check_run(tests, sizeof(tests) / sizeof(tests[0]));
}
