/* SPDX-License-Identifier: BSD-3-Clause */
/* The CRC-32, each way against its definition. */
#include <pthread.h>

#include "wire/crc32.h"

#include "packets.h"

enum { MOST = 700, SHIFTS = 17 };

static unsigned char random_bytes[SHIFTS + MOST];

static void fill_random(uint64_t seed) {
    for (size_t i = 0; i < sizeof(random_bytes); i++)
        random_bytes[i] = (unsigned char)next_random(&seed);
}

/* The first test, because the tables are filled once in a process. */
static pthread_barrier_t begin;

static void *compute_at_once(void *wrong) {
    pthread_barrier_wait(&begin);
    for (unsigned length = 0; length < MOST; length++)
        if (rvt_crc32_by(RVT_CRC32_SLICING, length, random_bytes, length) !=
            slow_crc(length, random_bytes, length))
            ++*(unsigned *)wrong;
    return NULL;
}

static void threads_that_need_the_tables_at_once_agree(void) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    unsigned wrong[THREADS] = {0};
    fill_random(11);
    REQUIRE(pthread_barrier_init(&begin, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, compute_at_once, &wrong[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
        CHECK_EQ(wrong[i], 0);
    }
    pthread_barrier_destroy(&begin);
}

static void the_definition_has_the_published_check_value(void) {
    CHECK_EQ(~slow_crc(0xffffffff, (const unsigned char *)"123456789", 9), 0xcbf43926);
}

static void each_way_agrees_with_the_definition(void) {
    int ways = 0;
    for (int way = 0; way < RVT_CRC32_WAYS; way++) {
        if (!rvt_crc32_has(way)) {
            printf("# this processor does not have way %d\n", way);
            continue;
        }
        ways++;
        CHECK_EQ(~rvt_crc32_by(way, 0xffffffff, (const unsigned char *)"123456789", 9), 0xcbf43926);
        fill_random((uint64_t)way + 1);
        for (size_t shift = 0; shift < SHIFTS; shift++) {
            for (size_t length = 0; length <= MOST; length += length < 300 ? 1 : 13) {
                const uint32_t start = (uint32_t)(length * 0x9e3779b1u);
                const uint32_t found = rvt_crc32_by(way, start, random_bytes + shift, length);
                const uint32_t wanted = slow_crc(start, random_bytes + shift, length);
                if (found != wanted)
                    printf("# way %d, shift %zu, length %zu\n", way, shift, length);
                REQUIRE(found == wanted);
            }
        }
    }
    CHECK(rvt_crc32_has(RVT_CRC32_SLICING));
    CHECK(ways >= 1);
}

static void each_single_bit_counts_in_each_way(void) {
    unsigned char bytes[144] = {0};
    for (int way = 0; way < RVT_CRC32_WAYS; way++) {
        if (!rvt_crc32_has(way))
            continue;
        for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
            bytes[bit / 8] = (unsigned char)(1 << bit % 8);
            REQUIRE(rvt_crc32_by(way, 0, bytes, sizeof(bytes)) == slow_crc(0, bytes, sizeof(bytes)));
            bytes[bit / 8] = 0;
        }
    }
}

static void large_inputs_agree(void) {
    enum { LARGE = 70001 };
    unsigned char *bytes = malloc(LARGE);
    uint64_t seed = 7;
    REQUIRE(bytes);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (unsigned char)next_random(&seed);
    const uint32_t wanted = slow_crc(0x12345678, bytes, LARGE);
    for (int way = 0; way < RVT_CRC32_WAYS; way++)
        if (rvt_crc32_has(way))
            CHECK_EQ(rvt_crc32_by(way, 0x12345678, bytes, LARGE), wanted);
    CHECK_EQ(rvt_crc32(0x12345678, bytes, LARGE), wanted);
    /* In two parts. */
    CHECK_EQ(rvt_crc32(rvt_crc32(0x12345678, bytes, 1001), bytes + 1001, LARGE - 1001), wanted);
    free(bytes);
}

static void a_way_that_is_missing_falls_back(void) {
    for (int way = 0; way < RVT_CRC32_WAYS + 1; way++)
        if (!rvt_crc32_has(way))
            CHECK_EQ(rvt_crc32_by(way, 0xffffffff, (const unsigned char *)"123456789", 9), ~0xcbf43926u);
    CHECK(!rvt_crc32_has(RVT_CRC32_WAYS));
}

static void one_is_neutral_and_products_commute(void) {
    const uint32_t one = 0x80000000, x = 0x40000000;
    uint64_t seed = 3;
    for (int i = 0; i < 200; i++) {
        const uint32_t a = next_random(&seed), b = next_random(&seed), c = next_random(&seed);
        CHECK_EQ(rvt_crc32_multiply(a, one), a);
        CHECK_EQ(rvt_crc32_multiply(one, a), a);
        CHECK_EQ(rvt_crc32_multiply(a, b), rvt_crc32_multiply(b, a));
        CHECK_EQ(rvt_crc32_multiply(a, b ^ c), rvt_crc32_multiply(a, b) ^ rvt_crc32_multiply(a, c));
        /* A product with x is one step of the definition with a bit of 0. */
        CHECK_EQ(rvt_crc32_multiply(a, x), a & 1 ? a >> 1 ^ 0xedb88320 : a >> 1);
    }
}

static void rewinding_undoes_zeros(void) {
    unsigned char *zeros = calloc(1, 1 << 17);
    uint64_t seed = 5;
    REQUIRE(zeros);
    for (uint32_t bytes = 0; bytes <= 1 << 17; bytes = bytes < 64 ? bytes + 1 : bytes + bytes / 3) {
        const uint32_t crc = next_random(&seed);
        CHECK_EQ(rvt_crc32_rewind(slow_crc(crc, zeros, bytes), bytes), crc);
    }
    free(zeros);
    /* Beyond the powers that are stored: in two steps. */
    CHECK_EQ(rvt_crc32_rewind(rvt_crc32_rewind(0xdeadbeef, 0x80000000), 0x7fffffff),
             rvt_crc32_rewind(0xdeadbeef, 0xffffffff));
}

CHECK_MAIN(TEST(threads_that_need_the_tables_at_once_agree),
           TEST(the_definition_has_the_published_check_value), TEST(each_way_agrees_with_the_definition),
           TEST(each_single_bit_counts_in_each_way), TEST(large_inputs_agree),
           TEST(a_way_that_is_missing_falls_back), TEST(one_is_neutral_and_products_commute),
           TEST(rewinding_undoes_zeros))
