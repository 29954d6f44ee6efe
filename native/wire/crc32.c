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

/* POWERS(t) has x^32 * x^(8 * t) to x^32 * x^(8 * t + 7): what the bits 7 to 0 of a byte become when t bytes
 * follow it. The CRC is linear, so the entry of a byte is the sum of those of its bits. The compiler computes the
 * tables from these powers. */
#define ENTRY(b7, b6, b5, b4, b3, b2, b1, b0, i)                                                             \
    (((i)&128 ? b7 : 0) ^ ((i)&64 ? b6 : 0) ^ ((i)&32 ? b5 : 0) ^ ((i)&16 ? b4 : 0) ^ ((i)&8 ? b3 : 0) ^     \
     ((i)&4 ? b2 : 0) ^ ((i)&2 ? b1 : 0) ^ ((i)&1 ? b0 : 0))
#define ENTRIES_2(i, ...) ENTRY(__VA_ARGS__, i), ENTRY(__VA_ARGS__, i + 1)
#define ENTRIES_8(i, ...)                                                                                    \
    ENTRIES_2(i, __VA_ARGS__), ENTRIES_2(i + 2, __VA_ARGS__), ENTRIES_2(i + 4, __VA_ARGS__),                 \
        ENTRIES_2(i + 6, __VA_ARGS__)
#define ENTRIES_32(i, ...)                                                                                   \
    ENTRIES_8(i, __VA_ARGS__), ENTRIES_8(i + 8, __VA_ARGS__), ENTRIES_8(i + 16, __VA_ARGS__),                \
        ENTRIES_8(i + 24, __VA_ARGS__)
#define TABLE(...)                                                                                           \
    {                                                                                                        \
        ENTRIES_32(0, __VA_ARGS__), ENTRIES_32(32, __VA_ARGS__), ENTRIES_32(64, __VA_ARGS__),                \
            ENTRIES_32(96, __VA_ARGS__), ENTRIES_32(128, __VA_ARGS__), ENTRIES_32(160, __VA_ARGS__),         \
            ENTRIES_32(192, __VA_ARGS__), ENTRIES_32(224, __VA_ARGS__),                                      \
    }

/* tables[t][b]: the register of byte b when t bytes follow it. */
static const uint32_t tables[8][256] = {
    TABLE(0xedb88320, 0x76dc4190, 0x3b6e20c8, 0x1db71064, 0x0edb8832, 0x076dc419, 0xee0e612c, 0x77073096),
    TABLE(0x3b83984b, 0xf0794f05, 0x958424a2, 0x4ac21251, 0xc8d98a08, 0x646cc504, 0x32366282, 0x191b3141),
    TABLE(0xe1351b80, 0x709a8dc0, 0x384d46e0, 0x1c26a370, 0x0e1351b8, 0x0709a8dc, 0x0384d46e, 0x01c26a37),
    TABLE(0xed59b63b, 0x9b14583d, 0xa032af3e, 0x5019579f, 0xc5b428ef, 0x8f629757, 0xaa09c88b, 0xb8bc6765),
    TABLE(0xb1e6b092, 0x58f35849, 0xc1c12f04, 0x60e09782, 0x30704bc1, 0xf580a6c0, 0x7ac05360, 0x3d6029b0),
    TABLE(0x1eb014d8, 0x0f580a6c, 0x07ac0536, 0x03d6029b, 0xec53826d, 0x9b914216, 0x4dc8a10b, 0xcb5cd3a5),
    TABLE(0x8816eaf2, 0x440b7579, 0xcfbd399c, 0x67de9cce, 0x33ef4e67, 0xf44f2413, 0x979f1129, 0xa6770bb4),
    TABLE(0x533b85da, 0x299dc2ed, 0xf9766256, 0x7cbb312b, 0xd3e51bb5, 0x844a0efa, 0x4225077d, 0xccaa009e),
};

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

/* The product of two reflected numbers is shifted by one bit. The upper half of the shifted one is the part below x^32,
 * the lower half the rest, which is reduced as 4 bytes of a message. */
CARRYLESS static uint32_t multiply_by_carryless(uint32_t a, uint32_t b) {
    const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b), 0x00);
    const uint64_t shifted = (uint64_t)_mm_cvtsi128_si64(product) << 1;
    const uint32_t rest = (uint32_t)shifted;
    return (uint32_t)(shifted >> 32) ^ tables[3][rest & 255] ^ tables[2][rest >> 8 & 255] ^
           tables[1][rest >> 16 & 255] ^ tables[0][rest >> 24];
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
#ifdef HAS_X86_64
    if (way == RVT_CRC32_CARRYLESS)
        return by_carryless(crc, bytes, length);
#endif
#ifdef HAS_ARM64
    if (way == RVT_CRC32_CRC)
        return by_crc(crc, bytes, length);
#endif
    (void)way;
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

static enum rvt_crc32_way chosen_way(void) {
    const int way = atomic_load_explicit(&chosen, memory_order_relaxed);
    return way ? (enum rvt_crc32_way)(way - 1) : choose();
}

uint32_t rvt_crc32(uint32_t crc, const unsigned char *bytes, size_t length) {
    return rvt_crc32_by(chosen_way(), crc, bytes, length);
}

/* --- arithmetic --- */

static uint32_t multiply_by_bits(uint32_t a, uint32_t b) {
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

uint32_t rvt_crc32_multiply_by(enum rvt_crc32_way way, uint32_t a, uint32_t b) {
#ifdef HAS_X86_64
    if (way == RVT_CRC32_CARRYLESS)
        return multiply_by_carryless(a, b);
#endif
    (void)way;
    return multiply_by_bits(a, b);
}

uint32_t rvt_crc32_multiply(uint32_t a, uint32_t b) {
    return rvt_crc32_multiply_by(chosen_way(), a, b);
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
