/* SPDX-License-Identifier: BSD-3-Clause */
/* CRC-32 of IEEE 802.3, which the ICRC uses: polynomial 0x04c11db7, bits of a byte from the lowest up. The
 * functions take and return the register itself. The usual CRC of a message is
 * `~rvt_crc32(0xffffffff, bytes, length)`.
 *
 * Registers are polynomials modulo the CRC's polynomial: bit 31 is the coefficient of x^0, bit 0 that of x^31. */
#ifndef RVT_WIRE_CRC32_H
#define RVT_WIRE_CRC32_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Continues a CRC over `length` bytes, by instructions of the processor if it has them. Any thread may call it. */
uint32_t rvt_crc32(uint32_t crc, const unsigned char *bytes, size_t length);

/* The ways to compute it, all with the same result. Tests choose one; others call rvt_crc32(). */
enum rvt_crc32_way {
    RVT_CRC32_BITS,      /* a bit a step: while another thread fills the tables of the next two */
    RVT_CRC32_SLICING,   /* tables, 8 bytes a step */
    RVT_CRC32_CARRYLESS, /* x86-64: folding by PCLMULQDQ */
    RVT_CRC32_CRC,       /* arm64: the CRC32 instructions */
    RVT_CRC32_WAYS,
};
/* Returns whether this processor and this build have the way. */
bool rvt_crc32_has(enum rvt_crc32_way way);
/* As rvt_crc32(), in one way, which the processor must have. */
uint32_t rvt_crc32_by(enum rvt_crc32_way way, uint32_t crc, const unsigned char *bytes, size_t length);

/* Returns the product of two registers. */
uint32_t rvt_crc32_multiply(uint32_t a, uint32_t b);

/* Returns the register that becomes `crc` when `bytes` bytes of zeros follow it: crc * x^(-8 * bytes). */
uint32_t rvt_crc32_rewind(uint32_t crc, uint32_t bytes);

#endif
