/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages of the connection manager: management datagrams (MADs) of the class "communication management", as in the
 * InfiniBand specification, volume 1, chapter 12.6, and the header that RDMA-CM puts in front of the private data of a
 * REQ (annex A11). Decoding and encoding; no state, no allocation. */
#ifndef RVT_WIRE_CM_MESSAGES_H
#define RVT_WIRE_CM_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h" /* enum rvt_cm_attribute, enum rvt_cm_reject */

enum {
    RVT_MAD_BYTES = 256,
    /* The general service interface: queue pair 1 and its Q_Key, in both directions. */
    RVT_GSI_QP = 1,
    RVT_CM_MOST_DATA = 224,   /* the longest private data of a message: that of RTU and DREP */
    RVT_CM_REQ_DATA = 92,     /* private data of a REQ, with the header of RDMA-CM */
    RVT_CM_REP_DATA = 196,    /* of a REP */
    RVT_CM_REJ_DATA = 148,    /* of a REJ */
    RVT_CM_IP_HEADER = 36,    /* the header of RDMA-CM */
    RVT_CM_IP_DATA = 56,      /* what it leaves of the private data of a REQ */
    RVT_CM_MOST_TIMEOUT = 31, /* the highest code of a time: 4.096 us * 2^code */
};

static const uint32_t rvt_gsi_qkey = 0x80010000;

/* Service ids of RDMA-CM: this, and the port of RDMA_PS_TCP in the low 16 bits. */
static const uint64_t rvt_tcp_services = 0x0000000001060000;

/* Which message a REJ or an MRA is about. */
enum rvt_cm_about {
    RVT_CM_ABOUT_REQ = 0,
    RVT_CM_ABOUT_REP = 1,
    RVT_CM_ABOUT_OTHER = 2,
};

enum {
    RVT_CM_TRANSPORT_RC = 0,             /* rvt_cm_message.transport */
    RVT_CM_APR_UNSUPPORTED = 2,          /* rvt_cm_message.status of an APR: no alternate paths */
    RVT_CM_SIDR_SERVICE_UNSUPPORTED = 1, /* rvt_cm_message.status of a SIDR_REP */
};

/* A message. Members that it does not have are 0. */
struct rvt_cm_message {
    uint16_t attribute; /* enum rvt_cm_attribute */
    uint64_t transaction;
    uint32_t local_id,
        remote_id; /* the communication ids of the sender and of the receiver; local: the request of SIDR */

    uint64_t service; /* REQ, SIDR_REQ, SIDR_REP */
    uint64_t
        guid; /* of the sender's device: REQ, REP; REJ that has it, which names the REQ of a peer that gave up */
    uint32_t qpn;  /* 24 bits. REQ, REP: the sender's queue pair; DREQ, LAP: the receiver's; SIDR_REP */
    uint32_t psn;  /* REQ, REP: where the one who reads this begins to send */
    uint32_t qkey; /* REQ, REP, SIDR_REP */
    uint8_t responder_resources, initiator_depth;            /* REQ, REP */
    uint8_t remote_response_timeout, local_response_timeout; /* REQ; codes */
    uint8_t transport;                                       /* REQ: the service type */
    bool flow_control, srq;                                  /* REQ, REP */
    uint8_t retry_count;                                     /* REQ */
    uint8_t rnr_retry_count;                                 /* REQ, REP */
    uint16_t pkey;                                           /* REQ, SIDR_REQ */
    uint8_t path_mtu;                                        /* REQ; code 1..5 */
    uint8_t max_cm_retries;                                  /* REQ */
    uint8_t ack_timeout;                                     /* REQ: code */
    uint8_t ack_delay, failover;                       /* REP: code; whether an alternate path was taken */
    uint16_t local_lid, remote_lid;                    /* REQ: of the primary path, as all that follow */
    uint8_t local_gid[16], remote_gid[16];             /* REQ */
    uint32_t flow_label;                               /* REQ: 20 bits */
    uint8_t packet_rate, traffic_class, hop_limit, sl; /* REQ */
    bool subnet_local;                                 /* REQ */

    uint8_t about;           /* REJ, MRA: enum rvt_cm_about */
    uint8_t service_timeout; /* MRA: code */
    uint16_t reason;         /* REJ: enum rvt_cm_reject, or another number */
    uint8_t status;          /* APR, SIDR_REP */

    /* Private data. Decoded: all bytes that the message has for it. Encoded: up to so many; zeros follow. */
    const unsigned char *data;
    uint32_t data_length;
};

/* Returns how many bytes of private data a message has room for; 0 for a number that is none. */
uint32_t rvt_cm_data_room(uint16_t attribute);

/* Reads a datagram to queue pair 1. message->data points into `bytes`. Returns false if it is not a message of the
 * connection manager: another length, version, class or method, or an unknown attribute. Values of fields are not
 * judged. */
bool rvt_decode_cm(const unsigned char *bytes, uint32_t length, struct rvt_cm_message *message);

/* Writes a message, of which `data_length` must not be above its room, into RVT_MAD_BYTES bytes. Numbers with more bits
 * than their field lose the upper ones. */
void rvt_encode_cm(const struct rvt_cm_message *message, unsigned char *bytes);

/* The header of RDMA-CM: the addresses and ports of the sockets that programs think in. */
struct rvt_cm_ip_header {
    bool ipv6;
    uint16_t source_port;
    uint8_t source[16], destination[16]; /* IPv4 as ::ffff:a.b.c.d */
};

/* Returns whether the private data of a REQ for this service begins with the header of RDMA-CM. */
bool rvt_cm_has_ip_header(uint64_t service);

/* Reads the header from RVT_CM_IP_HEADER bytes. Returns false if it is of another version, or of no family. */
bool rvt_decode_cm_ip_header(const unsigned char *bytes, struct rvt_cm_ip_header *header);

/* Writes the header into RVT_CM_IP_HEADER bytes. */
void rvt_encode_cm_ip_header(const struct rvt_cm_ip_header *header, unsigned char *bytes);

/* Returns the microseconds of a time code: 4.096 us * 2^code. */
uint64_t rvt_cm_microseconds(uint8_t code);

/* Returns the lowest code whose time is at least so many microseconds, at most RVT_CM_MOST_TIMEOUT. */
uint8_t rvt_cm_timeout_code(uint64_t microseconds);

#endif
