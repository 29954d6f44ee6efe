/* SPDX-License-Identifier: BSD-3-Clause */
/* The endpoint: which connection a packet belongs to, which connection sends next, and when timers are due. */
#include "wire/endpoint/endpoint.h"

#include <string.h>

#include "core/base/alloc.h"
#include "wire/address.h"
#include "wire/bytes.h"
#include "wire/cm/cm.h"
#include "wire/endpoint/connection.h"
#include "wire/endpoint/packet_faults.h"
#include "wire/endpoint/refusals.h"
#include "wire/endpoint/unreliable.h"
#include "wire/icrc.h"

enum {
    ACK_OPCODES_FIRST = RVT_BTH_RC_READ_RESPONSE_FIRST,
    ACK_OPCODES_LAST = RVT_BTH_RC_ATOMIC_ACKNOWLEDGE,
    PARTITION = 0x7fff, /* the default partition; the top bit is the membership */
    DEFAULT_PKEY = 0xffff,
    DONT_FRAGMENT = 0x4000,
    UDP = 17,
    MTU_4096 = 5,
    TURN = 16, /* packets that a connection sends before the next one's turn */
    PSNS = 1 << 24,
};

struct rvt_endpoint {
    struct rvt_endpoint_options options;
    bool ipv6;
    /* Protected by the engine lock: */
    bool awake;   /* the host was woken and has not sent since */
    bool working; /* inside rvt_endpoint_receive() or _send(): the host sends afterwards anyway */
    struct rvt_link *connections; /* rvt_connection.in_connections */
    struct rvt_fifo output;       /* rvt_connection.in_output */
    /* rvt_connection.in_timed: those whose timer runs. A list of its own, because a peer can make one of the timers run
     * out all the time, and the other connections must not make that dearer. */
    struct rvt_link *timed;
    uint64_t next_deadline; /* no timer of a connection is due before it */
    struct rvt_endpoint_counters counters;
    struct rvt_refusals refusals;
    struct rvt_cm *cm;                /* NULL: not opened yet */
    uint32_t psn_of_mad;              /* of the next datagram of the connection manager */
    uint64_t now;                     /* when the host last said what time it is */
    struct rvt_packet_faults *faults; /* NULL: the device makes none of packets */
};

/* Returns the connection whose `in_connections` is the link. */
static struct rvt_connection *connection_of(struct rvt_link *link) {
    return RVT_LIST_ENTRY(link, struct rvt_connection, in_connections);
}

/* The same of `in_output` (NULL for NULL) and `in_timed`. */
static struct rvt_connection *output_of(struct rvt_link *link) {
    return link ? RVT_LIST_ENTRY(link, struct rvt_connection, in_output) : NULL;
}
static struct rvt_connection *timed_of(struct rvt_link *link) {
    return RVT_LIST_ENTRY(link, struct rvt_connection, in_timed);
}

/* --- what the halves of a connection use --- */

unsigned char *rvt_packet_begin(const struct rvt_connection *connection, struct rvt_packet *packet,
                                uint8_t opcode) {
    memset(&packet->transport, 0, sizeof(packet->transport));
    packet->transport.opcode = opcode;
    packet->transport.headers = rvt_opcode_headers(opcode);
    packet->transport.migreq = true;
    packet->transport.pkey = DEFAULT_PKEY;
    packet->transport.dest_qp = rvt_carrier_attr(connection->qp)->dest_qpn;
    packet->payload_length = 0;
    return packet->bytes + rvt_headers_bytes(packet->transport.headers);
}

static void wake_host(struct rvt_endpoint *endpoint) {
    if (endpoint->awake || endpoint->working)
        return;
    endpoint->awake = true;
    endpoint->options.host.wake(endpoint->options.host.data);
}

void rvt_connection_wake(struct rvt_connection *connection) {
    rvt_fifo_append(&connection->endpoint->output, &connection->in_output);
    wake_host(connection->endpoint);
}

void rvt_connection_set_deadline(struct rvt_connection *connection, uint64_t deadline) {
    struct rvt_endpoint *endpoint = connection->endpoint;
    connection->deadline = deadline;
    if (deadline == UINT64_MAX)
        rvt_list_remove(&connection->in_timed);
    else if (!rvt_list_has(&connection->in_timed))
        rvt_list_add(&endpoint->timed, &connection->in_timed);
    if (deadline >= endpoint->next_deadline)
        return;
    endpoint->next_deadline = deadline;
    wake_host(endpoint);
}

struct rvt_endpoint_counters *rvt_connection_counters(const struct rvt_connection *connection) {
    return &connection->endpoint->counters;
}

/* Returns whether the address has had as many refusals as it may have. */
static bool is_limited(const struct rvt_endpoint *endpoint, const uint8_t address[16], uint64_t now) {
    const uint32_t most = endpoint->options.refusals_a_minute;
    return most && rvt_refusals_of(&endpoint->refusals, address, now) >= most;
}

const uint8_t *rvt_connection_address(const struct rvt_connection *connection) {
    return connection->endpoint->options.address;
}

bool rvt_connection_refused(struct rvt_connection *connection, uint8_t opcode, uint32_t psn,
                            uint32_t syndrome, const struct rvt_why *why, uint64_t now) {
    struct rvt_endpoint *endpoint = connection->endpoint;
    const struct rvt_wire_refusal refusal = {
        .peer = connection->peer,
        .qp = rvt_carrier_serial(connection->qp),
        .qp_num = rvt_carrier_qpn(connection->qp),
        .opcode = opcode,
        .psn = psn,
        .syndrome = syndrome,
        .why = *why,
    };
    endpoint->counters.fatal_naks += syndrome != 0;
    endpoint->counters.refused_writes += syndrome == 0;
    rvt_count_refusal(&endpoint->refusals, connection->peer.address, now);
    if (endpoint->options.host.refused)
        endpoint->options.host.refused(endpoint->options.host.data, &refusal);
    return !is_limited(endpoint, connection->peer.address, now);
}

/* --- the connection manager --- */

static void cm_changed(void *data) {
    struct rvt_endpoint *endpoint = data;
    const uint64_t deadline = rvt_cm_deadline(endpoint->cm);
    if (deadline < endpoint->next_deadline)
        endpoint->next_deadline = deadline;
    if (endpoint->options.host.cm_event && rvt_cm_has_event(endpoint->cm))
        endpoint->options.host.cm_event(endpoint->options.host.data);
    wake_host(endpoint);
}

static bool cm_limited(void *data, const uint8_t address[16], uint64_t now) {
    struct rvt_endpoint *endpoint = data;
    const bool limited = is_limited(endpoint, address, now);
    endpoint->counters.limited += limited;
    return limited;
}

int rvt_endpoint_enter_cm(struct rvt_endpoint *endpoint, struct rvt_cm **cm) {
    const struct rvt_cm_host host = {cm_changed, cm_limited, endpoint};
    int error = 0;
    rvt_carrier_begin(endpoint->options.device);
    if (!endpoint->cm)
        error = rvt_cm_open(endpoint->options.address, &host, &endpoint->cm);
    *cm = endpoint->cm;
    return error;
}

void rvt_endpoint_leave_cm(struct rvt_endpoint *endpoint) {
    rvt_carrier_end(endpoint->options.device);
}

/* The queue pair of the connection has ended or was reset. */
static void queue_pair_gone(const struct rvt_connection *connection) {
    struct rvt_endpoint *endpoint = connection->endpoint;
    if (endpoint->cm)
        rvt_cm_queue_pair_gone(endpoint->cm, rvt_carrier_qpn(connection->qp), endpoint->now);
}

/* --- the carrier --- */

static void work(struct rvt_engine_qp *qp) {
    struct rvt_connection *connection = rvt_carrier_data(qp);
    const uint32_t state = rvt_carrier_attr(qp)->state;
    if (state == RVT_QPS_ERR)
        rvt_carrier_flush(qp);
    else if (state == RVT_QPS_RTS && connection->type == RVT_QPT_RC)
        rvt_requester_work(connection);
    else if (state == RVT_QPS_RTS)
        rvt_unreliable_work(connection);
}

static bool attached(struct rvt_engine_qp *qp, void *data) {
    struct rvt_connection *connection = data;
    connection->qp = qp;
    connection->type = rvt_carrier_type(qp);
    if (connection->type == RVT_QPT_RC && !rvt_requester_init(connection))
        return false;
    rvt_list_add(&connection->endpoint->connections, &connection->in_connections);
    return true;
}

static void unreliable_changed(struct rvt_connection *connection, unsigned from) {
    const struct rvt_qp_attr *attr = rvt_carrier_attr(connection->qp);
    switch (attr->state) {
    case RVT_QPS_RTR:
        if (connection->type == RVT_QPT_UC)
            connection->mtu = 128u << attr->path_mtu;
        rvt_unreliable_start_receiving(connection);
        break;
    case RVT_QPS_RTS:
        if (from == RVT_QPS_RTR)
            rvt_unreliable_start_sending(connection);
        rvt_unreliable_work(connection);
        break;
    case RVT_QPS_ERR:
    case RVT_QPS_RESET:
        rvt_unreliable_stop(connection);
        break;
    default:
        break;
    }
}

static void changed(struct rvt_engine_qp *qp, unsigned from) {
    struct rvt_connection *connection = rvt_carrier_data(qp);
    const struct rvt_qp_attr *attr = rvt_carrier_attr(qp);
    if (connection->type != RVT_QPT_RC) {
        unreliable_changed(connection, from);
        return;
    }
    switch (attr->state) {
    case RVT_QPS_RTR:
        connection->mtu = 128u << attr->path_mtu;
        rvt_responder_start(connection);
        break;
    case RVT_QPS_RTS:
        if (from == RVT_QPS_RTR)
            rvt_requester_start(connection);
        rvt_requester_work(connection);
        break;
    case RVT_QPS_ERR:
    case RVT_QPS_RESET:
        rvt_requester_stop(connection);
        rvt_responder_stop(connection, attr->state == RVT_QPS_RESET);
        if (attr->state == RVT_QPS_RESET)
            queue_pair_gone(connection);
        break;
    default:
        break;
    }
}

static void detached(struct rvt_engine_qp *qp, void *data) {
    struct rvt_connection *connection = data;
    (void)qp;
    queue_pair_gone(connection);
    rvt_list_remove(&connection->in_connections);
    rvt_fifo_remove(&connection->endpoint->output, &connection->in_output);
    rvt_list_remove(&connection->in_timed);
    rvt_requester_free(connection);
    rvt_free(connection);
}

/* Refuses at once what could only be lost. */
static bool reaches(const struct rvt_engine_qp *qp, const struct rvt_host_address *host) {
    const struct rvt_connection *connection = rvt_carrier_data(qp);
    return rvt_is_ipv4(host->ip) != connection->endpoint->ipv6;
}

static uint32_t datagram_bytes(const struct rvt_engine_qp *qp) {
    const struct rvt_connection *connection = rvt_carrier_data(qp);
    return connection->mtu;
}

static const struct rvt_carrier wire = {
    .work = work,
    .attached = attached,
    .changed = changed,
    .detached = detached,
    .reaches = reaches,
    .datagram_bytes = datagram_bytes,
    .most_dest_rd_atomic = RVT_MOST_ANSWERS,
};

/* --- opening, connecting, closing --- */

int rvt_endpoint_open(const struct rvt_endpoint_options *options, struct rvt_endpoint **opened) {
    struct rvt_limits limits;
    int error = rvt_query_device(options->device, &limits);
    if (error)
        return error;
    struct rvt_endpoint *endpoint = rvt_zalloc(1, sizeof(*endpoint));
    if (!endpoint)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    error = rvt_make_packet_faults(options->device->faults, &endpoint->faults);
    if (error) {
        rvt_free(endpoint);
        return error;
    }
    endpoint->options = *options;
    endpoint->ipv6 = !rvt_is_ipv4(options->address);
    rvt_fifo_init(&endpoint->output);
    endpoint->next_deadline = UINT64_MAX;
    rvt_carrier_begin(options->device);
    rvt_carrier_draw_numbers(options->device);
    rvt_carrier_end(options->device);
    *opened = endpoint;
    return 0;
}

void rvt_endpoint_close(struct rvt_endpoint *endpoint) {
    struct rvt_dev_info *device = endpoint->options.device;
    rvt_carrier_begin(device);
    if (endpoint->cm) /* first, so that it does not disconnect what ends now */
        rvt_cm_close(endpoint->cm);
    endpoint->cm = NULL;
    while (endpoint->connections) /* detached() takes it off the list */
        rvt_unset_carrier(connection_of(endpoint->connections)->qp);
    rvt_carrier_end(device);
    rvt_free_packet_faults(endpoint->faults);
    rvt_free(endpoint);
}

/* Makes the endpoint the carrier of a queue pair. `peer`: NULL for UD, whose path MTU is `mtu` bytes. */
static int carry(struct rvt_endpoint *endpoint, struct rvt_qp_handle qp, const struct rvt_wire_peer *peer,
                 uint32_t mtu) {
    struct rvt_connection *connection = rvt_zalloc(1, sizeof(*connection));
    if (!connection)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    connection->endpoint = endpoint;
    if (peer)
        connection->peer = *peer;
    connection->mtu = mtu;
    connection->deadline = UINT64_MAX;
    const uint32_t types = peer ? 1 << RVT_QPT_RC | 1 << RVT_QPT_UC : 1 << RVT_QPT_UD;
    int error = rvt_set_carrier(qp, &wire, connection, true, types);
    if (error)
        rvt_free(connection);
    return error;
}

int rvt_endpoint_connect(struct rvt_endpoint *endpoint, struct rvt_qp_handle qp,
                         const struct rvt_wire_peer *peer, uint64_t now) {
    const struct rvt_endpoint_options *options = &endpoint->options;
    if (rvt_is_ipv4(peer->address) == endpoint->ipv6)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ADDRESS_FAMILY);
    rvt_carrier_begin(options->device);
    const uint32_t refusals = rvt_refusals_of(&endpoint->refusals, peer->address, now);
    const bool limited = is_limited(endpoint, peer->address, now);
    endpoint->counters.limited += limited;
    rvt_carrier_end(options->device);
    if (limited)
        return rvt_fail_value(RVT_EACCES, RVT_CAUSE_TOO_MANY_REFUSALS, refusals, options->refusals_a_minute);
    return carry(endpoint, qp, peer, 0);
}

int rvt_endpoint_attach(struct rvt_endpoint *endpoint, struct rvt_qp_handle qp, uint32_t path_mtu) {
    if (!path_mtu || path_mtu > MTU_4096)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_QP_ATTRIBUTE, RVT_QPA_PATH_MTU, path_mtu, MTU_4096);
    return carry(endpoint, qp, NULL, 128u << path_mtu);
}

/* --- packets in --- */

/* Writes the IP and UDP header and the BTH over which the ICRC is computed, and returns the length of the IP header.
 * Fields that routers change are left out: they count as ones. */
static size_t icrc_headers(const struct rvt_endpoint *endpoint, bool out, const struct rvt_wire_peer *peer,
                           const unsigned char *bytes, uint32_t length, uint16_t ip_id,
                           unsigned char *headers) {
    const uint8_t *from = out ? endpoint->options.address : peer->address;
    const uint8_t *to = out ? peer->address : endpoint->options.address;
    const size_t ip = endpoint->ipv6 ? RVT_IPV6_BYTES : RVT_IPV4_BYTES;
    unsigned char *udp = headers + ip;
    memset(headers, 0, ip + RVT_UDP_BYTES);
    if (endpoint->ipv6) {
        headers[0] = 0x60;
        rvt_store_be16(headers + 4, RVT_UDP_BYTES + length);
        headers[6] = UDP;
        memcpy(headers + 8, from, 16);
        memcpy(headers + 24, to, 16);
    } else {
        headers[0] = 0x45;
        rvt_store_be16(headers + 2, RVT_IPV4_BYTES + RVT_UDP_BYTES + length);
        rvt_store_be16(headers + 4, ip_id);
        rvt_store_be16(headers + 6, DONT_FRAGMENT);
        headers[9] = UDP;
        memcpy(headers + 12, from + 12, 4);
        memcpy(headers + 16, to + 12, 4);
    }
    rvt_store_be16(udp, out ? endpoint->options.port : peer->port);
    rvt_store_be16(udp + 2, out ? peer->port : endpoint->options.port);
    rvt_store_be16(udp + 4, RVT_UDP_BYTES + length);
    memcpy(udp + RVT_UDP_BYTES, bytes, RVT_BTH_BYTES);
    return ip;
}

enum { MOST_ICRC_HEADERS = RVT_IPV6_BYTES + RVT_UDP_BYTES + RVT_BTH_BYTES };

static bool icrc_fits(const struct rvt_endpoint *endpoint, const struct rvt_datagram *datagram) {
    unsigned char headers[MOST_ICRC_HEADERS];
    const uint32_t covered = datagram->length - RVT_ICRC_BYTES;
    const uint16_t id = datagram->has_ip_id ? datagram->ip_id : 0;
    const size_t ip =
        icrc_headers(endpoint, false, &datagram->from, datagram->bytes, datagram->length, id, headers);
    const uint32_t computed = rvt_icrc(headers, ip, datagram->bytes + RVT_BTH_BYTES, covered - RVT_BTH_BYTES);
    const uint32_t found = rvt_load_le32(datagram->bytes + covered);
    uint16_t solved;
    if (computed == found || endpoint->ipv6 || datagram->has_ip_id)
        return computed == found;
    /* Between the identification and the ICRC: the rest of the IP header, UDP, and what the ICRC covers. */
    return rvt_icrc_solve_ip_id(computed, found, RVT_IPV4_BYTES - 6 + RVT_UDP_BYTES + covered, id, &solved);
}

/* Takes in a datagram to queue pair 1. Answers go to the port of RoCEv2, whatever port the peer sends from. An endpoint at
 * another port, which peers of RoCEv2 do not know, talks with its own kind: those send from the port at which they are. */
static void receive_mad(struct rvt_endpoint *endpoint, const struct rvt_datagram *datagram,
                        const struct rvt_transport *transport) {
    struct rvt_wire_peer from = datagram->from;
    if (transport->opcode != RVT_BTH_UD_SEND_ONLY || transport->qkey != rvt_gsi_qkey ||
        transport->source_qp != RVT_GSI_QP || (transport->pkey & PARTITION) != PARTITION) {
        endpoint->counters.malformed++;
        return;
    }
    if (!icrc_fits(endpoint, datagram)) {
        endpoint->counters.bad_icrc++;
        return;
    }
    if (endpoint->options.port == RVT_ROCE_UDP_PORT)
        from.port = RVT_ROCE_UDP_PORT;
    endpoint->counters.bytes_received += transport->payload_length;
    rvt_cm_receive(endpoint->cm, &from, datagram->bytes + transport->payload_at, transport->payload_length,
                   endpoint->now);
}

/* Returns whether a queue pair of this type may receive a packet with this opcode, whose upper three bits name the
 * service. */
static bool is_of_service(enum rvt_qp_type type, uint8_t opcode) {
    switch (opcode >> 5) {
    case 0:
        return type == RVT_QPT_RC;
    case 1:
        return type == RVT_QPT_UC;
    case 3:
        return type == RVT_QPT_UD;
    default:
        return false;
    }
}

/* Decodes a datagram and finds its connection. The cheap tests come first, so that a flood of garbage costs little;
 * nothing answers a packet that fails here. Returns NULL if it is dropped. */
static struct rvt_connection *accept_packet(struct rvt_endpoint *endpoint,
                                            const struct rvt_datagram *datagram,
                                            struct rvt_incoming *packet) {
    struct rvt_endpoint_counters *counters = &endpoint->counters;
    struct rvt_transport *transport = &packet->transport;
    counters->received++;
    if (datagram->length < RVT_BTH_BYTES + RVT_ICRC_BYTES || datagram->length > RVT_MOST_PACKET_BYTES) {
        counters->malformed++;
        return NULL;
    }
    const uint32_t covered = datagram->length - RVT_ICRC_BYTES;
    const enum rvt_wire_fault fault = rvt_decode_transport(datagram->bytes, covered, covered, transport);
    if (transport->opcode == RVT_BTH_CNP && fault == RVT_WIRE_FAULT_NONE) {
        counters->congestion++;
        return NULL;
    }
    if (endpoint->cm && transport->dest_qp == RVT_GSI_QP) {
        if (fault == RVT_WIRE_FAULT_NONE)
            receive_mad(endpoint, datagram, transport);
        else
            counters->malformed++;
        return NULL;
    }
    packet->payload_fits = fault == RVT_WIRE_FAULT_NONE;
    if ((fault != RVT_WIRE_FAULT_NONE && fault != RVT_WIRE_FAULT_PAYLOAD) ||
        (transport->pkey & PARTITION) != PARTITION) {
        counters->malformed++;
        return NULL;
    }
    struct rvt_connection *connection = rvt_carrier_find(endpoint->options.device, transport->dest_qp, &wire);
    if (!connection || connection->endpoint != endpoint) {
        counters->unknown_qp++;
        return NULL;
    }
    if (!is_of_service(connection->type, transport->opcode)) {
        counters->malformed++;
        return NULL;
    }
    if (connection->type != RVT_QPT_UD &&
        memcmp(connection->peer.address, datagram->from.address, sizeof(connection->peer.address))) {
        counters->wrong_source++;
        return NULL;
    }
    if (!icrc_fits(endpoint, datagram)) {
        counters->bad_icrc++;
        return NULL;
    }
    packet->datagram = datagram;
    packet->payload = datagram->bytes + transport->payload_at;
    counters->bytes_received += transport->payload_length;
    return connection;
}

static void receive_packet(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    const uint32_t state = rvt_carrier_attr(connection->qp)->state;
    const uint8_t opcode = packet->transport.opcode;
    const bool sends = state == RVT_QPS_RTS || state == RVT_QPS_SQD;
    const bool receives = sends || state == RVT_QPS_RTR;
    if (connection->type != RVT_QPT_RC) {
        if (receives)
            (connection->type == RVT_QPT_UC ? rvt_uc_receive : rvt_ud_receive)(connection, packet);
    } else if (opcode >= ACK_OPCODES_FIRST && opcode <= ACK_OPCODES_LAST) {
        if (sends)
            rvt_requester_receive(connection, packet);
    } else if (receives) {
        rvt_responder_receive(connection, packet);
    }
}

static void receive_one(struct rvt_endpoint *endpoint, const struct rvt_datagram *datagram, uint64_t now) {
    struct rvt_incoming packet;
    struct rvt_connection *connection = accept_packet(endpoint, datagram, &packet);
    packet.now = now;
    if (connection)
        receive_packet(connection, &packet);
}

/* Takes in the packets that faults have held back until now. */
static void receive_held(struct rvt_endpoint *endpoint, uint64_t now) {
    struct rvt_held_packet *held;
    while (endpoint->faults && (held = rvt_take_held_packet(&endpoint->faults->in, now))) {
        const struct rvt_datagram datagram = {held->bytes, held->length, held->peer, held->has_ip_id,
                                              held->ip_id};
        receive_one(endpoint, &datagram, now);
        rvt_free(held);
    }
}

void rvt_endpoint_receive(struct rvt_endpoint *endpoint, const struct rvt_datagram *datagrams, uint32_t count,
                          uint64_t now) {
    rvt_carrier_begin(endpoint->options.device);
    endpoint->working = true;
    endpoint->now = now;
    for (uint32_t i = 0; i < count && i < RVT_MOST_PACKETS; i++) {
        if (!endpoint->faults || rvt_packet_comes_in(endpoint->faults, &datagrams[i], now))
            receive_one(endpoint, &datagrams[i], now);
        receive_held(endpoint, now);
    }
    endpoint->working = false;
    rvt_carrier_end(endpoint->options.device);
}

/* --- packets out --- */

/* Lets the connection write its next packet: answers first, so that the peer's window moves. */
static bool write_packet(struct rvt_connection *connection, struct rvt_outgoing *outgoing, uint64_t now) {
    struct rvt_packet packet;
    packet.bytes = outgoing->bytes;
    outgoing->to = connection->peer;
    if (connection->type != RVT_QPT_RC) {
        if (!rvt_unreliable_send(connection, &packet, &outgoing->to))
            return false;
    } else if (!rvt_responder_send(connection, &packet, now) &&
               !rvt_requester_send(connection, &packet, now)) {
        return false;
    }
    packet.transport.pad = (uint8_t)(-packet.payload_length & 3);
    const uint32_t headers = rvt_encode_transport(&packet.transport, outgoing->bytes);
    memset(outgoing->bytes + headers + packet.payload_length, 0, packet.transport.pad);
    outgoing->length = headers + packet.payload_length + packet.transport.pad + RVT_ICRC_BYTES;
    connection->endpoint->counters.sent++;
    connection->endpoint->counters.bytes_sent += packet.payload_length;
    return true;
}

/* Writes the next datagram of the connection manager. */
static bool write_mad(struct rvt_endpoint *endpoint, struct rvt_outgoing *outgoing) {
    const struct rvt_transport transport = {
        .opcode = RVT_BTH_UD_SEND_ONLY,
        .headers = rvt_opcode_headers(RVT_BTH_UD_SEND_ONLY),
        .migreq = true,
        .pkey = DEFAULT_PKEY,
        .dest_qp = RVT_GSI_QP,
        .psn = endpoint->psn_of_mad,
        .qkey = rvt_gsi_qkey,
        .source_qp = RVT_GSI_QP,
    };
    const uint32_t headers = rvt_headers_bytes(transport.headers);
    if (!endpoint->cm || !rvt_cm_send(endpoint->cm, &outgoing->to, outgoing->bytes + headers))
        return false;
    rvt_encode_transport(&transport, outgoing->bytes);
    outgoing->length = headers + RVT_MAD_BYTES + RVT_ICRC_BYTES;
    endpoint->psn_of_mad = (endpoint->psn_of_mad + 1) % PSNS;
    endpoint->counters.sent++;
    endpoint->counters.bytes_sent += RVT_MAD_BYTES;
    return true;
}

/* Sends a packet that faults have held back until now, if there is one. */
static bool write_held(struct rvt_endpoint *endpoint, struct rvt_outgoing *outgoing, uint64_t now) {
    struct rvt_held_packet *held = rvt_take_held_packet(&endpoint->faults->out, now);
    if (!held)
        return false;
    memcpy(outgoing->bytes, held->bytes, held->length);
    outgoing->length = held->length;
    outgoing->to = held->peer;
    rvt_free(held);
    return true;
}

/* Writes a packet of the connection whose turn it is. */
static bool write_next(struct rvt_endpoint *endpoint, struct rvt_outgoing *outgoing, uint64_t now) {
    struct rvt_connection *connection;
    while ((connection = output_of(endpoint->output.first))) {
        rvt_fifo_remove(&endpoint->output, &connection->in_output);
        if (write_packet(connection, outgoing, now)) {
            rvt_fifo_append(&endpoint->output, &connection->in_output);
            return true;
        }
    }
    return false;
}

static bool has_output(const struct rvt_endpoint *endpoint) {
    return endpoint->output.first || (endpoint->cm && rvt_cm_has_output(endpoint->cm));
}

/* As the rest of rvt_endpoint_send(), with faults. Packets that are lost take no room, so the number of packets is limited
 * apart from it: the engine lock is held. Returns fewer than `count` and leaves packets if so many were lost. */
static uint32_t send_with_faults(struct rvt_endpoint *endpoint, struct rvt_outgoing *packets, uint32_t count,
                                 uint64_t now) {
    uint32_t sent = 0;
    for (uint32_t tries = 0; sent < count && tries < RVT_MOST_PACKETS; tries++) {
        struct rvt_outgoing *next = &packets[sent];
        if (write_held(endpoint, next, now)) {
            sent++;
            continue;
        }
        if (!write_mad(endpoint, next) && !write_next(endpoint, next, now))
            break;
        sent += rvt_packet_goes_out(endpoint->faults, next, now);
    }
    return sent;
}

uint32_t rvt_endpoint_send(struct rvt_endpoint *endpoint, struct rvt_outgoing *packets, uint32_t count,
                           uint64_t now) {
    uint32_t sent = 0;
    bool unsent = false;
    if (count > RVT_MOST_PACKETS)
        count = RVT_MOST_PACKETS;
    rvt_carrier_begin(endpoint->options.device);
    endpoint->working = true;
    endpoint->awake = false;
    if (endpoint->faults) {
        sent = send_with_faults(endpoint, packets, count, now);
        unsent = sent < count && has_output(endpoint);
        count = sent;
    }
    while (sent < count && write_mad(endpoint, &packets[sent]))
        sent++;
    struct rvt_connection *connection;
    while (sent < count && (connection = output_of(endpoint->output.first))) {
        uint32_t turn = 0;
        rvt_fifo_remove(&endpoint->output, &connection->in_output);
        while (turn < TURN && sent < count && write_packet(connection, &packets[sent], now)) {
            turn++;
            sent++;
        }
        if (turn == TURN || sent == count)
            rvt_fifo_append(&endpoint->output, &connection->in_output);
    }
    endpoint->working = false;
    if (unsent)
        wake_host(endpoint); /* it takes fewer packets than it has room for to mean that there are no more */
    rvt_carrier_end(endpoint->options.device);
    return sent;
}

void rvt_endpoint_seal(const struct rvt_endpoint *endpoint, const struct rvt_outgoing *packet,
                       uint16_t ip_id) {
    unsigned char headers[MOST_ICRC_HEADERS];
    const uint32_t covered = packet->length - RVT_ICRC_BYTES;
    const size_t ip =
        icrc_headers(endpoint, true, &packet->to, packet->bytes, packet->length, ip_id, headers);
    rvt_store_le32(packet->bytes + covered,
                   rvt_icrc(headers, ip, packet->bytes + RVT_BTH_BYTES, covered - RVT_BTH_BYTES));
}

/* --- time --- */

uint64_t rvt_endpoint_tick(struct rvt_endpoint *endpoint, uint64_t now) {
    rvt_carrier_begin(endpoint->options.device);
    endpoint->now = now;
    receive_held(endpoint, now);
    if (endpoint->next_deadline <= now) {
        for (struct rvt_link *link = endpoint->timed, *next; link; link = next) {
            struct rvt_connection *connection = timed_of(link);
            next = link->next; /* what follows changes the timer of this connection only */
            if (connection->deadline > now)
                continue;
            rvt_connection_set_deadline(connection, UINT64_MAX);
            rvt_requester_tick(connection, now);
        }
        endpoint->next_deadline = UINT64_MAX;
        for (struct rvt_link *link = endpoint->timed; link; link = link->next)
            if (timed_of(link)->deadline < endpoint->next_deadline)
                endpoint->next_deadline = timed_of(link)->deadline;
        if (endpoint->cm && rvt_cm_tick(endpoint->cm, now) < endpoint->next_deadline)
            endpoint->next_deadline = rvt_cm_deadline(endpoint->cm);
    }
    uint64_t next = endpoint->next_deadline;
    if (endpoint->faults) {
        const uint64_t due = rvt_packet_faults_due(endpoint->faults);
        if (due < next)
            next = due;
        if (due <= now)
            wake_host(endpoint); /* one is to be sent */
    }
    rvt_carrier_end(endpoint->options.device);
    return next;
}

void rvt_endpoint_count(struct rvt_endpoint *endpoint, struct rvt_endpoint_counters *counters) {
    rvt_carrier_begin(endpoint->options.device);
    *counters = endpoint->counters;
    rvt_carrier_end(endpoint->options.device);
}
