/* SPDX-License-Identifier: BSD-3-Clause */
/* The responder of a UD queue pair. */
#include <string.h>

#include "wire/address.h"
#include "wire/bytes.h"
#include "wire/endpoint/connection.h"
#include "wire/endpoint/unreliable.h"
#include "wire/frame.h"

enum {
    UDP = 17,
    DONT_FRAGMENT = 0x4000,
    /* Sockets do not tell it. */
    HOPS = 64,
    /* An IPv4 header lies at the end of the place for the GRH: Linux does so, and by its valid checksum the functions that
     * make an address handle of a completion (ibv_init_ah_from_wc) know the one from the other. */
    IPV4_AT = RVT_GRH_BYTES - RVT_IPV4_BYTES,
};

static uint16_t ipv4_checksum(const unsigned char *header) {
    uint32_t sum = 0;
    for (unsigned at = 0; at < RVT_IPV4_BYTES; at += 2)
        sum += rvt_load_be16(header + at);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

/* Writes the IP header with which the packet came, as far as it is known. */
static void write_grh(const struct rvt_connection *connection, const struct rvt_datagram *datagram,
                      unsigned char grh[RVT_GRH_BYTES]) {
    const uint8_t *own = rvt_connection_address(connection);
    const uint32_t udp_bytes = RVT_UDP_BYTES + datagram->length;
    memset(grh, 0, RVT_GRH_BYTES);
    if (rvt_is_ipv4(own)) {
        unsigned char *header = grh + IPV4_AT;
        header[0] = 0x45;
        rvt_store_be16(header + 2, RVT_IPV4_BYTES + udp_bytes);
        rvt_store_be16(header + 4, datagram->has_ip_id ? datagram->ip_id : 0);
        rvt_store_be16(header + 6, DONT_FRAGMENT);
        header[8] = HOPS;
        header[9] = UDP;
        memcpy(header + 12, datagram->from.address + RVT_IPV4_AT, 4);
        memcpy(header + 16, own + RVT_IPV4_AT, 4);
        rvt_store_be16(header + 10, ipv4_checksum(header));
    } else {
        grh[0] = 0x60;
        rvt_store_be16(grh + 4, udp_bytes);
        grh[6] = UDP;
        grh[7] = HOPS;
        memcpy(grh + 8, datagram->from.address, 16);
        memcpy(grh + 24, own, 16);
    }
}

void rvt_ud_receive(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    struct rvt_endpoint_counters *counters = rvt_connection_counters(connection);
    const struct rvt_transport *transport = &packet->transport;
    struct rvt_why why = rvt_because(RVT_WHY_NONE);
    struct rvt_carried_datagram datagram = {
        .payload = packet->payload,
        .length = transport->payload_length,
        .source_qpn = transport->source_qp,
        .solicited = transport->solicited,
        .with_imm = transport->headers & RVT_WIRE_HAS_IMM,
        .imm = transport->immediate,
    };
    if (!packet->payload_fits || datagram.length > connection->mtu) {
        counters->malformed++;
        return;
    }
    if (!rvt_carrier_qkey_fits(connection->qp, transport->qkey)) {
        counters->wrong_qkey++;
        return;
    }
    write_grh(connection, packet->datagram, datagram.grh);
    switch (rvt_carrier_datagram(connection->qp, &datagram, &why)) {
    case RVT_RESPONSE_RNR:
        counters->no_receive++;
        break;
    case RVT_RESPONSE_INVALID:
        counters->short_receives++;
        break;
    default: /* received, or the queue pair has failed */
        break;
    }
}
