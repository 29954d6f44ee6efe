/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers in packets and files: read and written byte by byte, at any alignment, on any processor. Compilers
 * make single instructions of these. */
#ifndef RVT_WIRE_BYTES_H
#define RVT_WIRE_BYTES_H

#include <stdint.h>

static inline uint16_t rvt_load_be16(const unsigned char *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t rvt_load_be24(const unsigned char *at) {
    return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

static inline uint32_t rvt_load_be32(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t rvt_load_be64(const unsigned char *at) {
    return (uint64_t)rvt_load_be32(at) << 32 | rvt_load_be32(at + 4);
}

static inline uint16_t rvt_load_le16(const unsigned char *at) {
    return (uint16_t)(at[1] << 8 | at[0]);
}

static inline uint32_t rvt_load_le32(const unsigned char *at) {
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static inline uint64_t rvt_load_le64(const unsigned char *at) {
    return (uint64_t)rvt_load_le32(at + 4) << 32 | rvt_load_le32(at);
}

static inline void rvt_store_be16(unsigned char *at, uint32_t value) {
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static inline void rvt_store_be24(unsigned char *at, uint32_t value) {
    at[0] = (unsigned char)(value >> 16);
    rvt_store_be16(at + 1, value);
}

static inline void rvt_store_be32(unsigned char *at, uint32_t value) {
    rvt_store_be16(at, value >> 16);
    rvt_store_be16(at + 2, value);
}

static inline void rvt_store_be64(unsigned char *at, uint64_t value) {
    rvt_store_be32(at, (uint32_t)(value >> 32));
    rvt_store_be32(at + 4, (uint32_t)value);
}

static inline void rvt_store_le32(unsigned char *at, uint32_t value) {
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
    at[2] = (unsigned char)(value >> 16);
    at[3] = (unsigned char)(value >> 24);
}

#endif
