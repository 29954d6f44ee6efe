/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/crc32.h"

#include "core/base/rvt_atomic.h"
#include "wire/bytes.h"

#if defined(__x86_64__) || defined(_M_X64)
#define HAS_X86_64 1
#include <emmintrin.h>
#include <wmmintrin.h>
#ifdef _MSC_VER
#include <intrin.h>
#define CARRYLESS
#else
#include <cpuid.h>
#define CARRYLESS __attribute__((target("pclmul,sse2")))
#endif
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#define HAS_ARM64 1
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(_WIN32)
#include <windows.h>
#endif
#endif

#define POLYNOMIAL 0xedb88320u /* without x^32 */

/* --- tables --- */

/* tables[t][b]: the register of byte b when t bytes follow it. Computed on first use, because they do not compress:
 * in the binary they would be a twentieth of what an install downloads of it. */
static uint32_t tables[8][256];
enum { TABLES_EMPTY, TABLES_BEING_FILLED, TABLES_FILLED };
static _Atomic(int) tables_state;

static uint32_t by_bits(uint32_t crc, const unsigned char *bytes, size_t length) {
    for (; length; bytes++, length--) {
        crc ^= *bytes;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (POLYNOMIAL & (0u - (crc & 1)));
    }
    return crc;
}

static void fill_tables(void) {
    for (unsigned i = 0; i < 256; i++) {
        const unsigned char byte = (unsigned char)i;
        tables[0][i] = by_bits(0, &byte, 1);
    }
    for (unsigned t = 1; t < 8; t++) {
        for (unsigned i = 0; i < 256; i++) {
            const uint32_t crc = tables[t - 1][i];
            tables[t][i] = crc >> 8 ^ tables[0][crc & 255];
        }
    }
}

/* Returns whether the calling thread may read the tables, and fills them if no thread has begun to. It does not wait for
 * another thread that is filling them: a signal handler or a thread of higher priority could wait for ever. */
static bool tables_ready(void) {
    int state = atomic_load_explicit(&tables_state, memory_order_acquire);
    if (state == TABLES_EMPTY &&
        atomic_compare_exchange_strong_explicit(&tables_state, &state, TABLES_BEING_FILLED,
                                                memory_order_acquire, memory_order_acquire)) {
        fill_tables();
        atomic_store_explicit(&tables_state, TABLES_FILLED, memory_order_release);
        return true;
    }
    return state == TABLES_FILLED;
}

static inline uint32_t slice(uint32_t low, uint32_t high) {
    return tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
           tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
           tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
}

static uint32_t by_slicing(uint32_t crc, const unsigned char *bytes, size_t length) {
    for (; length >= 8; bytes += 8, length -= 8)
        crc = slice(crc ^ rvt_load_le32(bytes), rvt_load_le32(bytes + 4));
    for (; length; bytes++, length--)
        crc = crc >> 8 ^ tables[0][(crc ^ *bytes) & 255];
    return crc;
}

/* --- x86-64 --- */

#ifdef HAS_X86_64
static inline __m128i load_16(const unsigned char *bytes) {
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/* Moves 16 bytes forward, to where `next` is, and adds them there. Each half is a polynomial of degree 63; its
 * product with a power of x modulo the CRC's polynomial has the same remainder as the half itself further in
 * front. */
CARRYLESS static inline __m128i fold(__m128i bytes, __m128i powers, __m128i next) {
    const __m128i low = _mm_clmulepi64_si128(bytes, powers, 0x00);
    const __m128i high = _mm_clmulepi64_si128(bytes, powers, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

CARRYLESS static uint32_t by_carryless(uint32_t crc, const unsigned char *bytes, size_t length) {
    if (length < 32)
        return by_slicing(crc, bytes, length);
    /* The powers of x for a distance of 16 and of 64 bytes, reflected: x^(d * 8 - 32) for the high half and
     * x^(d * 8 + 32) for the low one, each shifted by one bit, because a product of reflected numbers is. */
    const __m128i by_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i a = _mm_xor_si128(load_16(bytes), _mm_cvtsi32_si128((int)crc));
    bytes += 16, length -= 16;
    if (length >= 112) {
        /* Four sums at once: the multiplier is pipelined. */
        const __m128i by_64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
        __m128i b = load_16(bytes), c = load_16(bytes + 16), d = load_16(bytes + 32);
        for (bytes += 48, length -= 48; length >= 64; bytes += 64, length -= 64) {
            a = fold(a, by_64, load_16(bytes));
            b = fold(b, by_64, load_16(bytes + 16));
            c = fold(c, by_64, load_16(bytes + 32));
            d = fold(d, by_64, load_16(bytes + 48));
        }
        a = fold(fold(fold(a, by_16, b), by_16, c), by_16, d);
    }
    for (; length >= 16; bytes += 16, length -= 16)
        a = fold(a, by_16, load_16(bytes));
    /* The sum is 16 bytes with the same remainder as all bytes so far. */
    unsigned char sum[16];
    _mm_storeu_si128((__m128i *)(void *)sum, a);
    crc = slice(rvt_load_le32(sum), rvt_load_le32(sum + 4));
    crc = slice(crc ^ rvt_load_le32(sum + 8), rvt_load_le32(sum + 12));
    return by_slicing(crc, bytes, length);
}

/* Asks the processor itself: __builtin_cpu_supports needs a part of the compiler's run-time library. */
static bool has_carryless(void) {
    enum { PCLMULQDQ = 1 << 1 };
#ifdef _MSC_VER
    int registers[4];
    __cpuid(registers, 1);
    return registers[2] & PCLMULQDQ;
#else
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & PCLMULQDQ);
#endif
}
#endif

/* --- arm64 --- */

#ifdef HAS_ARM64
/* In assembly, because some compilers declare the intrinsics only if the whole file may use the instructions. clang
 * takes the permission from the function, gcc from a directive. */
#ifdef __clang__
#define CRC_FUNCTION __attribute__((target("crc")))
#define CRC_EXTENSION ""
#else
#define CRC_FUNCTION
#define CRC_EXTENSION ".arch_extension crc\n"
#endif

CRC_FUNCTION static uint32_t by_crc(uint32_t crc, const unsigned char *bytes, size_t length) {
    for (; length >= 8; bytes += 8, length -= 8)
        __asm__(CRC_EXTENSION "crc32x %w0, %w0, %x1" : "+r"(crc) : "r"(rvt_load_le64(bytes)));
    for (; length; bytes++, length--)
        __asm__(CRC_EXTENSION "crc32b %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*bytes));
    return crc;
}

static bool has_crc(void) {
#if defined(__linux__)
    enum { CRC32_BIT = 1 << 7 }; /* HWCAP_CRC32 */
    return getauxval(AT_HWCAP) & CRC32_BIT;
#elif defined(__APPLE__)
    return true;
#elif defined(_WIN32)
    return IsProcessorFeaturePresent(31); /* PF_ARM_V8_CRC32_INSTRUCTIONS_AVAILABLE */
#else
    return false;
#endif
}
#endif

/* --- choice --- */

bool rvt_crc32_has(enum rvt_crc32_way way) {
    switch (way) {
    case RVT_CRC32_BITS:
    case RVT_CRC32_SLICING:
        return true;
#ifdef HAS_X86_64
    case RVT_CRC32_CARRYLESS:
        return has_carryless();
#endif
#ifdef HAS_ARM64
    case RVT_CRC32_CRC:
        return has_crc();
#endif
    default:
        return false;
    }
}

uint32_t rvt_crc32_by(enum rvt_crc32_way way, uint32_t crc, const unsigned char *bytes, size_t length) {
#ifdef HAS_ARM64
    if (way == RVT_CRC32_CRC)
        return by_crc(crc, bytes, length);
#endif
    if (way == RVT_CRC32_BITS || !tables_ready())
        return by_bits(crc, bytes, length);
#ifdef HAS_X86_64
    if (way == RVT_CRC32_CARRYLESS)
        return by_carryless(crc, bytes, length);
#endif
    return by_slicing(crc, bytes, length);
}

/* The chosen way plus 1, or 0 before the first call. Threads that choose at the same time choose the same. */
static _Atomic(int) chosen;

static enum rvt_crc32_way choose(void) {
    enum rvt_crc32_way way = RVT_CRC32_SLICING;
    if (rvt_crc32_has(RVT_CRC32_CARRYLESS))
        way = RVT_CRC32_CARRYLESS;
    if (rvt_crc32_has(RVT_CRC32_CRC))
        way = RVT_CRC32_CRC;
    atomic_store_explicit(&chosen, (int)way + 1, memory_order_relaxed);
    return way;
}

uint32_t rvt_crc32(uint32_t crc, const unsigned char *bytes, size_t length) {
    const int way = atomic_load_explicit(&chosen, memory_order_relaxed);
    return rvt_crc32_by(way ? (enum rvt_crc32_way)(way - 1) : choose(), crc, bytes, length);
}

/* --- arithmetic --- */

uint32_t rvt_crc32_multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    /* The coefficients of a from x^0 up; b is multiplied by x in each step. Without branches, because the
     * processor could not predict them. */
    for (int i = 0; i < 32; i++) {
        product ^= b & (0u - (a >> 31));
        a <<= 1;
        b = b >> 1 ^ (POLYNOMIAL & (0u - (b & 1)));
    }
    return product;
}

uint32_t rvt_crc32_rewind(uint32_t crc, uint32_t bytes) {
    /* x^-8, and its square, fourth, ... power. */
    static const uint32_t powers[] = {
        0x6567cb95, 0xd7125358, 0x5b358fd3, 0x2e9bb40b, 0x12a59a49, 0x8df9403d, 0x5139de12, 0xba340226,
        0x29c45641, 0x12fbc105, 0xecd30c55, 0x3755ebd8, 0x24ee460c, 0x23783fcf, 0x479933fc, 0xa39442a5,
    };
    uint32_t power = 0;
    for (unsigned i = 0; bytes; i++, bytes >>= 1) {
        power = i < sizeof(powers) / sizeof(powers[0]) ? powers[i] : rvt_crc32_multiply(power, power);
        if (bytes & 1)
            crc = rvt_crc32_multiply(crc, power);
    }
    return crc;
}
