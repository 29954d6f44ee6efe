/* SPDX-License-Identifier: BSD-3-Clause */
/* The transport headers of RoCEv2: the base transport header (BTH) and the extension headers of RC, UC and UD, as
 * in the InfiniBand specification, volume 1, chapter 9. Decoding and encoding; no state, no allocation. */
#ifndef RVT_WIRE_TRANSPORT_H
#define RVT_WIRE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/layout.h" /* enum rvt_bth_opcode, rvt_wire_headers, rvt_wire_fault */

enum {
    RVT_BTH_BYTES = 12,
    RVT_MAX_TRANSPORT_HEADERS = 68, /* a BTH and all extension headers but RETH; real packets: at most 40 */
    RVT_MAX_PAYLOAD = 4096,         /* the largest path MTU */
    RVT_CNP_RESERVED_BYTES = 16,
};

/* A packet without IP and payload. Fields of headers that `headers` does not name are 0. Reserved bits are kept, so
 * that encoding gives what was decoded. */
struct rvt_transport {
    uint32_t headers; /* bits of enum rvt_wire_headers */

    /* BTH */
    uint8_t opcode; /* enum rvt_bth_opcode, or another number */
    bool solicited, migreq, ack_req, fecn, becn;
    uint8_t pad;        /* bytes, 0 to 3 */
    uint8_t version;    /* 4 bits; 0 */
    uint8_t reserved_6; /* the 6 bits behind FECN and BECN */
    uint8_t reserved_7; /* the 7 bits behind the acknowledge request */
    uint16_t pkey;
    uint32_t dest_qp; /* 24 bits, like psn, msn and source_qp */
    uint32_t psn;

    uint64_t address;           /* RETH, AtomicETH */
    uint32_t rkey;              /* RETH, AtomicETH */
    uint32_t length;            /* RETH */
    uint64_t swap_add, compare; /* AtomicETH */
    uint8_t syndrome;           /* AETH */
    uint32_t msn;               /* AETH */
    uint64_t original;          /* AtomicAckETH */
    uint32_t immediate;         /* ImmDt, as a big-endian number */
    uint32_t invalidate;        /* IETH */
    uint32_t qkey;              /* DETH */
    uint8_t deth_reserved;      /* DETH: the byte in front of source_qp */
    uint32_t source_qp;         /* DETH */

    /* Where the payload is, in bytes from the BTH on, and its length without pad bytes. After a fault: the bytes
     * behind the headers that were decoded. */
    uint32_t payload_at, payload_length;
};

/* Returns the headers (bits of enum rvt_wire_headers) of an opcode; 0 if it is not one of RC, UC, UD and CNP. */
uint32_t rvt_opcode_headers(uint8_t opcode);

/* Returns the bytes of these headers together. */
uint32_t rvt_headers_bytes(uint32_t headers);

/* Returns whether a packet with this opcode may have a payload of `length` bytes. Payloads of packets that others
 * follow are a path MTU, which has 256 to 4096 bytes. */
bool rvt_payload_allowed(uint8_t opcode, uint32_t length);

/* Decodes a packet of `length` bytes from its BTH on, without the ICRC. Only `there` of them (at most `length`) can
 * be read. Fills *packet as far as the packet is well-formed, and returns the first rule that it breaks
 * (RVT_WIRE_FAULT_SHORT and above), or RVT_WIRE_FAULT_NONE. */
enum rvt_wire_fault rvt_decode_transport(const unsigned char *bytes, uint32_t length, uint32_t there,
                                         struct rvt_transport *packet);

/* Writes the BTH and the extension headers that `packet->headers` names (no AtomicETH beside a RETH), and returns
 * their length. `bytes` has room for RVT_MAX_TRANSPORT_HEADERS. Numbers with more bits than their field lose the
 * upper ones. */
uint32_t rvt_encode_transport(const struct rvt_transport *packet, unsigned char *bytes);

#endif
