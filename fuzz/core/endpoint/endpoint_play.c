/* SPDX-License-Identifier: BSD-3-Clause */
/* The fuzzer of endpoints. Two endpoints of one device, each with two connected RC queue pairs, one of UC, and one of UD,
 * and a connection manager (cm_play.c). A program posts work requests, moves packets between the endpoints, alters them,
 * makes others up, lets time pass, and calls the verbs that end what packets need. No oracle predicts the results (test/c/wire does that); after each operation this is true:
 *
 * - Bytes change only in regions that are registered and may be written. What leaves is from regions that may be read.
 * - A work request completes at most once, in the order of its queue.
 * - The host is woken once before each call of rvt_endpoint_send(), and if there is something to send.
 * - At the end nothing is left allocated. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../mutate.h"
#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/engine/engine_state.h"
#include "core/rvt.h"
#include "endpoint_fuzz.h"
#include "wire/bytes.h"
#include "wire/cm/cm_messages.h"
#include "wire/endpoint/connection.h"
#include "wire/icrc.h"

enum {
    QPS = 4, /* of each end; number i of one is connected with number i of the other */
    OPERATION = 12,
    BAG = 16, /* packets on the way */
    PART = 1024,
    GAP = 64,
    DEPTH = 6,
    MTU = 256,
    MTU_CODE = 1,
    QKEY = 0x1234,
    RC_OPCODES = 0x19,
    UC_OPCODES = 12,
    OPCODES = RC_OPCODES + UC_OPCODES + 2,
    MAD_AT = RVT_BTH_BYTES + 8, /* behind the DETH */
    MAD_PACKET = MAD_AT + RVT_MAD_BYTES + RVT_ICRC_BYTES,
    MAD_ATTRIBUTE_AT = MAD_AT + 17,
};

static const enum rvt_qp_type types[QPS] = {RVT_QPT_RC, RVT_QPT_RC, RVT_QPT_UC, RVT_QPT_UD};

/* Number n of the opcodes of RC, UC and UD. */
static uint8_t opcode_of(uint8_t n) {
    n %= OPCODES;
    return (uint8_t)(n < RC_OPCODES                ? n
                     : n < RC_OPCODES + UC_OPCODES ? RVT_BTH_UC_SEND_FIRST + n - RC_OPCODES
                                                   : RVT_BTH_UD_SEND_ONLY + n - RC_OPCODES - UC_OPCODES);
}

enum part { READABLE, WRITABLE, COUNTERS, SOURCE, SINK, RECEIVES, PRIVATE, FOREIGN, PARTS };

static const uint32_t rights[PARTS] = {
    [READABLE] = RVT_ACCESS_REMOTE_READ,
    [WRITABLE] = RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_REMOTE_WRITE,
    [COUNTERS] = RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_REMOTE_ATOMIC,
    [SINK] = RVT_ACCESS_LOCAL_WRITE,
    [RECEIVES] = RVT_ACCESS_LOCAL_WRITE,
    [FOREIGN] =
        RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_READ | RVT_ACCESS_REMOTE_ATOMIC,
};

enum code {
    OP_POST,
    OP_POST_RECEIVE,
    OP_SEND,    /* lets an endpoint send */
    OP_DELIVER, /* a packet of the bag arrives */
    OP_ALTER,   /* a packet of the bag is altered */
    OP_MAKE,    /* a packet is made up, and put into the bag */
    OP_TIME,
    OP_MODIFY,
    OP_REGION,
    OP_POLL,
    OP_CONNECT,
    OP_CLOSE,
    OP_FAIL,
    OP_CM,      /* what a program does with the connection manager */
    OP_MAKE_CM, /* a message to queue pair 1 is made up, and put into the bag */
    OP_COUNT,
};

static const char *const names[OP_COUNT] = {"post",    "post_receive", "send",   "deliver", "alter",
                                            "make",    "time",         "modify", "region",  "poll",
                                            "connect", "close",        "fail",   "cm",      "make_cm"};

struct region {
    unsigned char bytes[GAP + PART + GAP];
    unsigned char before[PART]; /* while it must not change */
    struct rvt_mr_handle mr;
    uint32_t key;
    bool alive;
};

struct pair {
    struct rvt_qp_handle handle;
    struct rvt_cq_handle cqs[2]; /* of sends, of receives */
    uint32_t qpn;
    enum rvt_qp_type type;
    bool connected; /* by rvt_endpoint_connect(), or attached */
    uint64_t posted[2], completed[2];
};

struct end {
    struct rvt_endpoint *endpoint;
    struct rvt_wire_peer place;
    struct region regions[PARTS];
    struct pair pairs[QPS];
    struct rvt_ah_handle to_other;
    bool woken;
};

struct in_bag {
    uint32_t length;
    unsigned to;
    struct rvt_wire_peer from;
    unsigned char bytes[RVT_MOST_PACKET_BYTES + 64];
};

static struct {
    struct rvt_dev_info *device;
    struct rvt_pd_handle pd, other_pd;
    struct end ends[ENDS];
    struct in_bag bag[BAG];
    uint32_t in_bag;
    uint64_t now, random_state;
    bool print;
} world;

/* The linker redirects calls to this function, so that findings can be reproduced. */
bool __wrap_rvt_random_bytes(void *out, size_t bytes);
bool __wrap_rvt_random_bytes(void *out, size_t bytes) {
    unsigned char *to = out;
    for (size_t i = 0; i < bytes; i++) {
        world.random_state = world.random_state * UINT64_C(6364136223846793005) + 1;
        to[i] = (unsigned char)(world.random_state >> 56);
    }
    return true;
}

/* --- memory --- */

static bool may_change(unsigned part) {
    return part == WRITABLE || part == COUNTERS || part == SINK || part == RECEIVES;
}

static void register_region(struct end *end, unsigned part) {
    struct region *r = &end->regions[part];
    struct rvt_memory *memory = rvt_fixed_memory(r->bytes + GAP, PART);
    struct rvt_mr_attributes attributes;
    const uint64_t addr = (uint64_t)(uintptr_t)(r->bytes + GAP);
    if (!memory)
        return;
    r->alive = rvt_reg_user_mr(part == FOREIGN ? world.other_pd : world.pd, memory, addr, addr, rights[part],
                               &r->mr) == 0;
    rvt_memory_put(memory);
    if (r->alive && rvt_query_mr(r->mr, &attributes) == 0)
        r->key = attributes.keys.rkey;
}

/* The region ends. From now on nothing of it changes. */
static void end_region(struct end *end, unsigned part, enum rvt_release_mode mode) {
    struct region *r = &end->regions[part];
    const int error = rvt_dereg_mr(r->mr, mode);
    if (!r->alive)
        return;
    EXPECT(error == 0 || (error == -RVT_EBUSY && mode != RVT_RELEASE_FORCE));
    if (error)
        return;
    r->alive = false;
    memcpy(r->before, r->bytes + GAP, PART);
}

static void check_memory(void) {
    for (unsigned e = 0; e < ENDS; e++)
        for (unsigned part = 0; part < PARTS; part++) {
            const struct region *r = &world.ends[e].regions[part];
            for (unsigned i = 0; i < GAP; i++)
                EXPECT(r->bytes[i] == SECRET && r->bytes[GAP + PART + i] == SECRET);
            if (!r->alive || !may_change(part))
                EXPECT(!memcmp(r->bytes + GAP, r->before, PART));
        }
}

/* --- packets --- */

static uint32_t number_at(const unsigned char *at, unsigned bytes) {
    uint32_t value = 0;
    while (bytes--)
        value = value << 8 | *at++;
    return value;
}

static void set_number(unsigned char *at, uint64_t value, unsigned bytes) {
    while (bytes--) {
        at[bytes] = (unsigned char)value;
        value >>= 8;
    }
}

/* Makes the ICRC right again, as if the packet were sent by the other endpoint. */
static void seal(struct in_bag *packet) {
    const struct end *from = &world.ends[1 - packet->to];
    if (packet->length < RVT_BTH_BYTES + RVT_ICRC_BYTES || !from->endpoint)
        return;
    const struct rvt_outgoing outgoing = {packet->bytes, packet->length, world.ends[packet->to].place};
    rvt_endpoint_seal(from->endpoint, &outgoing, 0);
}

static struct in_bag *add_to_bag(unsigned from) {
    struct in_bag *packet = &world.bag[world.in_bag < BAG ? world.in_bag++ : BAG - 1];
    packet->to = 1 - from;
    packet->from = world.ends[from].place;
    return packet;
}

static void look_at_packet(const struct rvt_outgoing *packet, unsigned from) {
    struct rvt_transport transport;
    const uint32_t covered = packet->length - RVT_ICRC_BYTES;
    EXPECT(packet->length <= RVT_MOST_PACKET_BYTES);
    EXPECT(rvt_decode_transport(packet->bytes, covered, covered, &transport) == RVT_WIRE_FAULT_NONE);
    EXPECT(!memcmp(&packet->to, &world.ends[1 - from].place, sizeof(packet->to)));
    if (transport.dest_qp == RVT_GSI_QP) {
        cm_look_at_message(packet->bytes + transport.payload_at, transport.payload_length);
        return;
    }
    EXPECT(transport.payload_length <= MTU);
    for (uint32_t i = 0; i < transport.payload_length; i++)
        EXPECT(packet->bytes[transport.payload_at + i] == PUBLIC);
}

static void send_packets(unsigned from, uint32_t most, bool keep) {
    static unsigned char buffers[RVT_MOST_PACKETS][RVT_MOST_PACKET_BYTES];
    struct end *end = &world.ends[from];
    struct rvt_outgoing packets[RVT_MOST_PACKETS];
    const uint32_t count = 1 + most % RVT_MOST_PACKETS;
    if (!end->endpoint)
        return;
    for (uint32_t i = 0; i < count; i++)
        packets[i].bytes = buffers[i];
    end->woken = false;
    const uint32_t sent = rvt_endpoint_send(end->endpoint, packets, count, world.now);
    EXPECT(sent <= count);
    for (uint32_t i = 0; i < sent; i++) {
        look_at_packet(&packets[i], from);
        if (!keep && i + BAG < sent)
            continue;
        struct in_bag *packet = add_to_bag(from);
        packet->length = packets[i].length;
        memcpy(packet->bytes, packets[i].bytes, packets[i].length);
        seal(packet);
    }
    if (world.print)
        printf("  %" PRIu32 " packets, %" PRIu32 " in the bag\n", sent, world.in_bag);
}

static void deliver(const uint8_t *a) {
    struct rvt_datagram datagrams[4];
    unsigned char *copies[4];
    uint32_t count = 0;
    if (!world.in_bag)
        return;
    uint32_t index = a[0] % world.in_bag;
    const unsigned to = world.bag[index].to;
    const bool keep = a[1] & 1, spoofed = (a[1] & 0xf0) == 0xf0, knows = a[1] & 2;
    if (!world.ends[to].endpoint)
        return;
    for (; count < 1u + (a[2] & 3) && index < world.in_bag && world.bag[index].to == to; count++) {
        const struct in_bag *packet = &world.bag[index];
        copies[count] = malloc(packet->length + !packet->length);
        if (!copies[count])
            abort();
        memcpy(copies[count], packet->bytes, packet->length);
        datagrams[count] = (struct rvt_datagram){copies[count], packet->length, packet->from, knows, 0};
        if (spoofed)
            datagrams[count].from.address[15] ^= 0x40;
        if (world.print)
            printf("  to %u: opcode 0x%02x psn %06" PRIx32 ", %" PRIu32 " bytes\n", to, packet->bytes[0],
                   packet->length > 12 ? number_at(packet->bytes + 9, 3) : 0, packet->length);
        if (keep) {
            index++;
            continue;
        }
        memmove(&world.bag[index], &world.bag[index + 1], (world.in_bag - index - 1) * sizeof(world.bag[0]));
        world.in_bag--;
    }
    rvt_endpoint_receive(world.ends[to].endpoint, datagrams, count, world.now);
    for (uint32_t i = 0; i < count; i++)
        free(copies[i]);
}

static void alter(const uint8_t *a) {
    if (!world.in_bag)
        return;
    struct in_bag *packet = &world.bag[a[0] % world.in_bag];
    const uint32_t at = a[1] & 0x80 ? number_at(a + 2, 2) : a[1];
    if (a[5] & 1 && packet->length)
        packet->bytes[at % packet->length] ^= a[4];
    if (a[5] & 2)
        packet->length = packet->length * (uint32_t)a[6] / 256;
    if (a[5] & 4 && packet->length + 4 <= sizeof(packet->bytes))
        packet->length += 4;
    if (a[5] & 8 && packet->length > 12)
        set_number(packet->bytes + 9, number_at(packet->bytes + 9, 3) + (uint32_t)(int8_t)a[7], 3);
    if (a[5] & 16 && packet->length)
        packet->bytes[0] = opcode_of(a[8]);
    if (a[5] & 32 && packet->length == MAD_PACKET) /* another message of the connection manager */
        packet->bytes[MAD_ATTRIBUTE_AT] = (unsigned char)(RVT_CM_ATTRIBUTE_REQ + a[9] % 12);
    if (a[5] & 128)
        seal(packet);
}

/* An address in or around a region. */
static uint64_t address(const struct region *r, uint8_t where, uint8_t more) {
    static const int32_t near[] = {0, PART, PART - 1, -1, PART - 8, 8, PART / 2, -8};
    const uint64_t begin = (uint64_t)(uintptr_t)(r->bytes + GAP);
    return begin + (uint64_t)(int64_t)near[where % 8] + (uint64_t)(where & 8 ? more * 4 : 0);
}

static uint32_t length_of(uint8_t what) {
    static const uint32_t lengths[] = {0,          1,          3,          4,           8,    MTU - 1,
                                       MTU,        MTU + 1,    2 * MTU,    3 * MTU - 1, PART, PART + 1,
                                       0x7fffffff, 0x80000000, 0x80000001, UINT32_MAX};
    return what & 0x80 ? what & 0x7f : lengths[what % 16];
}

static void make(const uint8_t *a) {
    const unsigned from = a[0] & 1;
    const struct end *to = &world.ends[1 - from];
    const struct pair *pair = &to->pairs[a[0] >> 1 & 3];
    const uint8_t opcode = opcode_of(a[1]);
    const uint32_t has = rvt_opcode_headers(opcode), headers = has ? rvt_headers_bytes(has) : RVT_BTH_BYTES;
    const bool answer = opcode >= RVT_BTH_RC_READ_RESPONSE_FIRST && opcode <= RVT_BTH_RC_ATOMIC_ACKNOWLEDGE;
    const struct region *region = &to->regions[a[3] % PARTS];
    uint32_t payload = length_of(a[4] & 0x87), psn = number_at(a + 2, 3);
    struct in_bag *packet = add_to_bag(from);
    /* What the attacker may know. Behind the stale handle could be another queue pair; the number of each is constant. */
    if (pair->connected && to->endpoint) {
        const struct rvt_connection *connection =
            rvt_object_generation(&pair->handle.qp->owned.object) == pair->handle.generation
                ? rvt_carrier_data(pair->handle.qp->engine)
                : NULL;
        if (connection)
            psn = (answer ? connection->requester.oldest_psn : connection->responder.expected_psn) +
                  (uint32_t)(int8_t)a[2];
    }
    if (payload > 2 * MTU)
        payload = 0;
    const uint32_t pad = -payload & 3;
    memset(packet->bytes, 0, headers);
    memset(packet->bytes + headers, MADE_UP, payload + pad + 4);
    packet->length = headers + payload + pad + 4;
    packet->bytes[0] = opcode;
    packet->bytes[1] = (unsigned char)((a[0] & 16 ? 0x80 : 0) | 0x40 | pad << 4);
    packet->bytes[2] = packet->bytes[3] = 0xff;
    set_number(packet->bytes + 5, pair->qpn, 3);
    packet->bytes[8] = a[0] & 32 ? 0x80 : 0;
    set_number(packet->bytes + 9, psn, 3);
    unsigned char *at = packet->bytes + RVT_BTH_BYTES;
    if (has & RVT_WIRE_HAS_DETH) {
        set_number(at, a[7] & 1 ? a[8] : QKEY, 4);
        set_number(at + 5, a[6], 3);
    }
    if (has & (RVT_WIRE_HAS_RETH | RVT_WIRE_HAS_ATOMIC_ETH)) {
        set_number(at, address(region, a[5], a[6]), 8);
        set_number(at + 8, region->key ^ (a[5] & 0xc0 ? 0 : a[7] & 1), 4);
        if (has & RVT_WIRE_HAS_RETH)
            set_number(at + 12, a[8] & 0x40 ? payload + (a[8] & 0x3f) * 4 : length_of(a[8]), 4);
        else
            set_number(at + 12, a[8], 16 - 8);
    }
    if (has & RVT_WIRE_HAS_AETH) {
        at[0] = a[9] & 0x80 ? a[9] & 0x7f : 0x1f;
        set_number(at + 1, a[8], 3);
    }
    if (has & RVT_WIRE_HAS_IETH)
        set_number(packet->bytes + headers - 4, region->key, 4);
    if (!(a[10] & 0x80))
        seal(packet);
}

static struct cm_place cm_place_of(unsigned end) {
    return (struct cm_place){end, world.ends[end].endpoint, world.ends[1 - end].place, world.now,
                             world.print};
}

static void make_cm(const uint8_t *a) {
    const unsigned from = a[0] & 1;
    const struct cm_place to = cm_place_of(1 - from);
    struct in_bag *packet = add_to_bag(from);
    memset(packet->bytes, 0, MAD_PACKET);
    packet->length = MAD_PACKET;
    packet->bytes[0] = RVT_BTH_UD_SEND_ONLY;
    packet->bytes[1] = 0x40;
    packet->bytes[2] = packet->bytes[3] = 0xff;
    packet->bytes[7] = RVT_GSI_QP;
    set_number(packet->bytes + RVT_BTH_BYTES, rvt_gsi_qkey, 4);
    packet->bytes[RVT_BTH_BYTES + 7] = RVT_GSI_QP;
    cm_make_message(&to, world.ends[1 - from].pairs[a[0] >> 1 & 3].qpn, a + 1, packet->bytes + MAD_AT);
    seal(packet);
}

/* --- verbs --- */

/* The attributes of UC and UD queue pairs are others. */
static uint32_t mask_of(enum rvt_qp_type type, enum rvt_qp_state state, uint32_t of_rc) {
    const uint32_t only_rc = RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER | RVT_QPA_TIMEOUT |
                             RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY | RVT_QPA_MAX_RD_ATOMIC;
    if (type == RVT_QPT_RC)
        return of_rc;
    if (type == RVT_QPT_UC)
        return of_rc & ~only_rc;
    return state == RVT_QPS_INIT  ? (of_rc & ~(uint32_t)RVT_QPA_ACCESS_FLAGS) | RVT_QPA_QKEY
           : state == RVT_QPS_RTR ? RVT_QPA_STATE
                                  : of_rc & ~only_rc;
}

static void note_reset(const struct pair *pair) {
    for (unsigned e = 0; e < ENDS; e++)
        for (unsigned i = 0; i < QPS; i++)
            if (pair == &world.ends[e].pairs[i]) {
                const struct cm_place place = cm_place_of(e);
                cm_note_queue_pair_gone(&place, pair->qpn);
            }
}

static int move(struct pair *pair, const struct rvt_qp_attr *attr, enum rvt_qp_state state) {
    static const uint32_t masks[] = {
        [RVT_QPS_RESET] = RVT_QPA_STATE,
        [RVT_QPS_INIT] = RVT_QPA_STATE | RVT_QPA_PKEY_INDEX | RVT_QPA_PORT | RVT_QPA_ACCESS_FLAGS,
        [RVT_QPS_RTR] = RVT_QPA_STATE | RVT_QPA_AV | RVT_QPA_PATH_MTU | RVT_QPA_DEST_QPN | RVT_QPA_RQ_PSN |
                        RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER,
        [RVT_QPS_RTS] = RVT_QPA_STATE | RVT_QPA_SQ_PSN | RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT |
                        RVT_QPA_RNR_RETRY | RVT_QPA_MAX_RD_ATOMIC,
        [RVT_QPS_SQD] = RVT_QPA_STATE,
        [RVT_QPS_ERR] = RVT_QPA_STATE,
    };
    struct rvt_qp_attr wanted = *attr;
    wanted.state = state;
    if (state == RVT_QPS_RESET)
        note_reset(pair);
    return rvt_modify_qp(pair->handle, &wanted, mask_of(pair->type, state, masks[state]));
}

/* The packets of a former life are gone. */
static void revive(unsigned e, unsigned i, uint8_t retries) {
    struct pair *pair = &world.ends[e].pairs[i];
    const struct pair *other = &world.ends[1 - e].pairs[i];
    const uint32_t psns[ENDS] = {0xfffff8 + i, 0x100};
    const struct rvt_qp_attr attr = {
        .access = RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_READ | RVT_ACCESS_REMOTE_ATOMIC,
        .dest_qpn = other->qpn,
        .sq_psn = psns[e] & 0xffffff,
        .rq_psn = psns[1 - e] & 0xffffff,
        .port = 1,
        .qkey = QKEY,
        .path_mtu = MTU_CODE,
        .timeout = 5,
        .retry_cnt = retries & 7,
        .rnr_retry = retries >> 3 & 7,
        .min_rnr_timer = 1,
        .max_rd_atomic = 1 + (retries >> 6),
        .max_dest_rd_atomic = 2,
        .av = {.port = 1},
    };
    if (move(pair, &attr, RVT_QPS_RESET))
        return;
    if (!world.ends[e].endpoint || !pair->connected)
        return;
    move(pair, &attr, RVT_QPS_INIT);
    move(pair, &attr, RVT_QPS_RTR);
    move(pair, &attr, RVT_QPS_RTS);
}

static void poll(struct pair *pair) {
    struct rvt_wc wc;
    for (unsigned side = 0; side < 2; side++)
        while (rvt_poll_cq(pair->cqs[side], 1, &wc) == 1) {
            EXPECT(wc.wr_id < pair->posted[side]);
            EXPECT(wc.wr_id >= pair->completed[side]); /* unsignaled ones are left out */
            EXPECT(wc.qp_num == pair->qpn);
            pair->completed[side] = wc.wr_id + 1;
        }
}

static void post(const uint8_t *a) {
    static const uint32_t opcodes[] = {
        RVT_WR_RDMA_WRITE,    RVT_WR_SEND,          RVT_WR_RDMA_READ,           RVT_WR_ATOMIC_CMP_AND_SWP,
        RVT_WR_SEND_WITH_IMM, RVT_WR_SEND_WITH_INV, RVT_WR_RDMA_WRITE_WITH_IMM, RVT_WR_ATOMIC_FETCH_AND_ADD,
        RVT_WR_LOCAL_INV};
    struct end *end = &world.ends[a[0] & 1];
    const struct end *other = &world.ends[1 - (a[0] & 1)];
    struct pair *pair = &end->pairs[a[0] >> 1 & 3];
    const uint32_t opcode = opcodes[a[1] % 9];
    const bool atomic = opcode == RVT_WR_ATOMIC_CMP_AND_SWP || opcode == RVT_WR_ATOMIC_FETCH_AND_ADD;
    const bool brings = atomic || opcode == RVT_WR_RDMA_READ;
    const struct region *local = &end->regions[a[2] & 0x80 ? a[2] % PARTS : brings ? SINK : SOURCE];
    const enum part usual = opcode == RVT_WR_RDMA_READ ? READABLE : atomic ? COUNTERS : WRITABLE;
    const struct region *remote = &other->regions[a[3] & 0x80 ? a[3] % PARTS : usual];
    const uint64_t at = (uint64_t)(uintptr_t)(local->bytes + GAP);
    const uint32_t length = atomic ? 8 : length_of(a[4]) % (PART + 2);
    /* Sends leave from what may be seen: so that payloads can be told apart. */
    if (!brings && local != &end->regions[SOURCE] && local != &end->regions[READABLE])
        return;
    const struct rvt_ib_sge sges[2] = {{at, length / 2, local->key},
                                       {at + length / 2, length - length / 2, local->key}};
    const struct rvt_ib_sge whole = {at, length, local->key};
    const bool split = a[5] & 1 && !atomic;
    const struct rvt_send_wr wr = {
        .wr_id = pair->posted[0],
        .sges = split ? sges : &whole,
        .num_sge = opcode == RVT_WR_LOCAL_INV ? 0
                   : split                    ? 2
                                              : 1,
        .opcode = opcode,
        .flags = a[6] & (RVT_SEND_SIGNALED | RVT_SEND_FENCE | RVT_SEND_SOLICITED),
        .imm = a[7],
        .remote_addr = address(remote, a[8], a[9]),
        .rkey = remote->key,
        .invalidate_rkey = opcode == RVT_WR_LOCAL_INV ? local->key : remote->key,
        .compare_add = a[10],
        .swap = a[9],
        .ah = pair->type == RVT_QPT_UD && !(a[6] & 0x40) ? &end->to_other : NULL,
        .remote_qpn = other->pairs[a[0] >> 1 & 3].qpn,
        .remote_qkey = a[6] & 0x80 ? a[7] : QKEY,
    };
    const int error = rvt_post_send(pair->handle, &wr, 1, NULL);
    pair->posted[0] += !error;
    if (world.print)
        printf("  post of opcode %" PRIu32 ", %" PRIu32 " bytes: %d\n", opcode, length, error);
}

static void post_receive(const uint8_t *a) {
    struct end *end = &world.ends[a[0] & 1];
    struct pair *pair = &end->pairs[a[0] >> 1 & 3];
    const struct region *local = &end->regions[a[1] & 0x80 ? a[1] % PARTS : RECEIVES];
    const struct rvt_ib_sge sge = {(uint64_t)(uintptr_t)(local->bytes + GAP), length_of(a[2]) % (PART + 2),
                                   local->key};
    const struct rvt_recv_wr wr = {pair->posted[1], &sge, 1};
    pair->posted[1] += rvt_post_recv(pair->handle, &wr, 1, NULL) == 0;
}

static void wake(void *data) {
    struct end *end = data;
    EXPECT(!end->woken);
    end->woken = true;
}

static void open_endpoint(unsigned e) {
    struct end *end = &world.ends[e];
    struct rvt_endpoint_options options = {
        .device = world.device, .port = RVT_ROCE_UDP_PORT, .host = {.wake = wake, .data = end}};
    memcpy(options.address, end->place.address, sizeof(options.address));
    end->woken = false;
    if (rvt_endpoint_open(&options, &end->endpoint))
        end->endpoint = NULL;
}

static void connect(unsigned e, unsigned i, uint8_t retries) {
    struct end *end = &world.ends[e];
    struct pair *pair = &end->pairs[i];
    if (!end->endpoint)
        open_endpoint(e);
    if (!end->endpoint)
        return;
    (void)move(pair, &(struct rvt_qp_attr){0}, RVT_QPS_RESET);
    const int error = pair->type == RVT_QPT_UD ? rvt_endpoint_attach(end->endpoint, pair->handle, MTU_CODE)
                                               : rvt_endpoint_connect(end->endpoint, pair->handle,
                                                                      &world.ends[1 - e].place, world.now);
    pair->connected |= !error;
    revive(e, i, retries);
}

static void close_endpoint(unsigned e) {
    struct end *end = &world.ends[e];
    if (!end->endpoint)
        return;
    rvt_endpoint_close(end->endpoint);
    end->endpoint = NULL;
    cm_forget(e);
    for (unsigned i = 0; i < QPS; i++)
        end->pairs[i].connected = false;
}

static void modify(const uint8_t *a) {
    const unsigned e = a[0] & 1, i = a[0] >> 1 & 3;
    struct pair *pair = &world.ends[e].pairs[i];
    static const enum rvt_qp_state states[] = {RVT_QPS_ERR, RVT_QPS_SQD, RVT_QPS_RTS, RVT_QPS_RESET};
    if (a[1] & 4) {
        revive(e, i, a[2]);
        return;
    }
    struct rvt_qp_attr attr = {.state = states[a[1] & 3], .cur_state = RVT_QPS_SQD};
    if (attr.state == RVT_QPS_RESET)
        note_reset(pair);
    (void)rvt_modify_qp(pair->handle, &attr, RVT_QPA_STATE);
}

static void region(const uint8_t *a) {
    struct end *end = &world.ends[a[0] & 1];
    const unsigned part = a[1] % PARTS;
    struct region *r = &end->regions[part];
    switch (a[2] % 4) {
    case 0:
        end_region(end, part, RVT_RELEASE_FORCE);
        break;
    case 1:
        end_region(end, part, RVT_RELEASE);
        break;
    case 2:
        (void)rvt_invalidate_rkey(end->pairs[0].handle, r->key);
        break;
    default:
        if (r->alive)
            end_region(end, part, RVT_RELEASE_FORCE);
        register_region(end, part);
        break;
    }
}

/* --- a program --- */

static void open_world(void) {
    const struct rvt_limits limits = {{
        [RVT_LIMIT_MAX_QP] = 8,
        [RVT_LIMIT_MAX_QP_WR] = 16,
        [RVT_LIMIT_MAX_SEND_SGE] = 4,
        [RVT_LIMIT_MAX_RECV_SGE] = 4,
        [RVT_LIMIT_MAX_CQ] = 16,
        [RVT_LIMIT_MAX_CQE] = 64,
        [RVT_LIMIT_MAX_SRQ] = 1,
        [RVT_LIMIT_MAX_SRQ_WR] = 16,
        [RVT_LIMIT_MAX_SRQ_SGE] = 4,
        [RVT_LIMIT_MAX_PD] = 4,
        [RVT_LIMIT_MAX_RDMA_ATOMIC] = 16,
        [RVT_LIMIT_NPKEYS] = 1,
        [RVT_LIMIT_MAX_AH] = ENDS,
    }};
    const struct rvt_device_options options = {.lkey_table_bits = 6};
    const struct rvt_engine_options engine = {.limits = limits};
    memset(&world, 0, offsetof(__typeof__(world), bag));
    world.in_bag = 0;
    world.now = 0;
    world.random_state = 1;
    cm_begin();
    if (rvt_register_device(&options, &engine, &world.device) ||
        rvt_alloc_pd(world.device, NULL, false, &world.pd) ||
        rvt_alloc_pd(world.device, NULL, false, &world.other_pd))
        abort();
    for (unsigned e = 0; e < ENDS; e++) {
        struct end *end = &world.ends[e];
        end->place = (struct rvt_wire_peer){.address = {[10] = 0xff, 0xff, 10, 0, 0, (uint8_t)(1 + e)},
                                            .port = RVT_ROCE_UDP_PORT};
        open_endpoint(e);
        const struct rvt_ah_attr path = {.port = 1};
        struct rvt_host_address host = {.udp_port = RVT_ROCE_UDP_PORT};
        memcpy(host.ip, end->place.address, sizeof(host.ip));
        host.ip[15] = (uint8_t)(2 - e); /* of the other end */
        if (rvt_create_host_ah(world.pd, &path, &host, &end->to_other))
            abort();
        for (unsigned part = 0; part < PARTS; part++) {
            struct region *r = &end->regions[part];
            memset(r->bytes, SECRET, sizeof(r->bytes));
            memset(r->bytes + GAP, part == READABLE || part == SOURCE ? PUBLIC : SECRET, PART);
            memcpy(r->before, r->bytes + GAP, PART);
            register_region(end, part);
        }
        for (unsigned i = 0; i < QPS; i++) {
            struct pair *pair = &end->pairs[i];
            pair->type = types[i];
            for (unsigned side = 0; side < 2; side++)
                if (rvt_create_cq(world.device, NULL, &(struct rvt_cq_init){.cqe = 64}, &pair->cqs[side]))
                    abort();
            const struct rvt_qp_init init = {.type = types[i],
                                             .sig_type = i ? RVT_SIGNAL_ALL_WR : RVT_SIGNAL_REQ_WR,
                                             .send_cq = pair->cqs[0],
                                             .recv_cq = pair->cqs[1],
                                             .max_send_wr = DEPTH,
                                             .max_send_sge = 2,
                                             .max_recv_wr = DEPTH,
                                             .max_recv_sge = 1};
            if (rvt_create_qp(world.pd, &init, &pair->handle, &pair->qpn))
                abort();
        }
    }
    for (unsigned e = 0; e < ENDS; e++)
        for (unsigned i = 0; i < QPS; i++)
            connect(e, i, 0xff);
}

static void perform(const uint8_t *bytes) {
    const uint8_t *a = bytes + 1;
    struct end *end = &world.ends[a[0] & 1];
    switch (bytes[0]) {
    case OP_POST:
        post(a);
        break;
    case OP_POST_RECEIVE:
        post_receive(a);
        break;
    case OP_SEND:
        send_packets(a[0] & 1, a[1], a[2] & 1);
        break;
    case OP_DELIVER:
        deliver(a);
        break;
    case OP_ALTER:
        alter(a);
        break;
    case OP_MAKE:
        make(a);
        break;
    case OP_TIME:
        world.now += UINT64_C(1) << a[1] % 24;
        if (end->endpoint)
            (void)rvt_endpoint_tick(end->endpoint, world.now);
        break;
    case OP_MODIFY:
        modify(a);
        break;
    case OP_REGION:
        region(a);
        break;
    case OP_POLL:
        poll(&end->pairs[a[0] >> 1 & 3]);
        break;
    case OP_CONNECT:
        connect(a[0] & 1, a[0] >> 1 & 3, a[1]);
        break;
    case OP_CLOSE:
        close_endpoint(a[0] & 1);
        break;
    case OP_FAIL:
        rvt_test_alloc_fail_after(a[0] % 8);
        connect(a[1] & 1, a[1] >> 1 & 3, a[2]);
        rvt_test_alloc_fail_after(-1);
        break;
    case OP_CM: {
        const struct cm_place place = cm_place_of(a[0] & 1);
        if (place.endpoint)
            cm_play(&place, end->pairs[a[0] >> 1 & 3].qpn, a + 1);
        break;
    }
    case OP_MAKE_CM:
        make_cm(a);
        break;
    default:
        break;
    }
}

static void play(const uint8_t *bytes, size_t size, bool print) {
    const long live = rvt_test_alloc_live();
    open_world();
    world.print = print;
    if (print)
        setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* so that what was printed before a finding is not lost */
    for (size_t at = 0; at + OPERATION <= size; at += OPERATION) {
        if (print && bytes[at] < OP_COUNT)
            printf("%s %u %u %u %u\n", names[bytes[at]], bytes[at + 1], bytes[at + 2], bytes[at + 3],
                   bytes[at + 4]);
        perform(bytes + at);
        check_memory();
        for (unsigned e = 0; e < ENDS; e++) {
            const struct cm_place place = cm_place_of(e);
            cm_check(&place);
        }
    }
    for (unsigned e = 0; e < ENDS; e++)
        for (unsigned i = 0; i < QPS; i++)
            poll(&world.ends[e].pairs[i]);
    for (unsigned e = 0; e < ENDS; e++)
        close_endpoint(e);
    EXPECT(rvt_mr_exit(world.device, true, NULL) == 0);
    rvt_dev_put(world.device);
    check_memory();
    EXPECT(rvt_test_alloc_live() == live);
    if (print)
        printf("end\n");
}

/* Packets are more interesting than opening and closing. */
static const uint8_t frequent[] = {OP_POST,    OP_POST,    OP_POST_RECEIVE, OP_SEND, OP_SEND,
                                   OP_DELIVER, OP_DELIVER, OP_MAKE,         OP_MAKE, OP_MAKE,
                                   OP_TIME,    OP_ALTER,   OP_CM,           OP_CM,   OP_MAKE_CM};

const struct program_kind program_kind = {
    .operation_bytes = OPERATION,
    .opcodes = OP_COUNT,
    .frequent = frequent,
    .frequent_count = sizeof(frequent),
    .play = play,
};
