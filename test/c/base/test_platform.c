/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/platform.h"

#include <pthread.h>
#include <time.h>

#include "check.h"

enum { THREADS = 4, ROUNDS = 20000 };

static struct rvt_mutex static_mutex = RVT_MUTEX_INITIALIZER;

struct counter {
    struct rvt_mutex *mutex;
    uint64_t value; /* not atomic: the mutex must protect it */
};

static void *count_up(void *argument) {
    struct counter *counter = argument;
    for (int i = 0; i < ROUNDS; i++) {
        rvt_mutex_lock(counter->mutex);
        counter->value++;
        rvt_mutex_unlock(counter->mutex);
    }
    return NULL;
}

static void excludes_with(struct rvt_mutex *mutex) {
    pthread_t threads[THREADS];
    struct counter counter = {mutex, 0};
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, count_up, &counter) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    CHECK_EQ(counter.value, THREADS * ROUNDS);
}

static void a_mutex_excludes_other_threads(void) {
    struct rvt_mutex mutex;
    rvt_mutex_init(&mutex);
    excludes_with(&mutex);
    rvt_mutex_destroy(&mutex);
    excludes_with(&static_mutex);
}

static void pages_are_zero_and_writable(void) {
    enum { BYTES = 5 * 4096 + 17 };
    unsigned char *pages = rvt_pages_reserve(BYTES);
    REQUIRE(pages != NULL);
    CHECK_EQ((uintptr_t)pages % 4096, 0);
    for (size_t i = 0; i < BYTES; i++)
        CHECK_EQ(pages[i], 0);
    memset(pages, 0xa5, BYTES);
    CHECK_EQ(pages[BYTES - 1], 0xa5);
    rvt_pages_release(pages, BYTES);
    rvt_pages_release(NULL, BYTES);
}

static void pages_cost_nothing_until_touched(void) {
    /* A table of 2^23 records must not use memory before it is touched. */
    size_t bytes = (size_t)1 << 34;
    unsigned char *pages = rvt_pages_reserve(bytes);
    REQUIRE(pages != NULL);
    pages[0] = 1;
    pages[bytes - 1] = 2;
    CHECK_EQ(pages[bytes / 2], 0);
    rvt_pages_release(pages, bytes);
}

static void a_reservation_that_is_too_large_returns_null(void) {
    CHECK(rvt_pages_reserve(SIZE_MAX / 2) == NULL);
}

static void random_bytes_fill_exactly_the_requested_length(void) {
    static const size_t lengths[] = {0, 1, 7, 255, 256, 257, 1000};
    unsigned char buffer[1024];
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t length = lengths[i];
        memset(buffer, 0, sizeof(buffer));
        CHECK(rvt_random_bytes(buffer, length));
        for (size_t at = length; at < sizeof(buffer); at++)
            CHECK_EQ(buffer[at], 0);
        /* 64 zero bytes in a row do not occur by chance, so they would mean an unfilled part. */
        for (size_t at = 0; at + 64 <= length; at += 64) {
            int set = 0;
            for (size_t k = 0; k < 64; k++)
                set |= buffer[at + k];
            CHECK(set != 0);
        }
    }
}

static void two_random_requests_differ(void) {
    unsigned char a[32], b[32];
    CHECK(rvt_random_bytes(a, sizeof(a)));
    CHECK(rvt_random_bytes(b, sizeof(b)));
    CHECK(memcmp(a, b, sizeof(a)) != 0);
}

static void data_pages_are_zero_and_aligned(void) {
    static const size_t sizes[] = {1, 4096, 5 * 4096 + 17, (size_t)2 << 20, ((size_t)2 << 20) + 1};
    const size_t large_page = (size_t)2 << 20;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct rvt_pages pages[2];
            for (int huge = 0; huge < 2; huge++) {
                struct rvt_pages *got = &pages[huge];
                REQUIRE(rvt_data_pages_get(sizes[i], huge, got));
                CHECK_EQ((uintptr_t)got->data % (huge ? large_page : 4096), 0);
                CHECK((uintptr_t)got->data >= (uintptr_t)got->base);
                CHECK(got->reserved >= sizes[i]);
                CHECK((uintptr_t)got->data + sizes[i] <= (uintptr_t)got->base + got->reserved);
                for (size_t at = 0; at < sizes[i]; at += 4096)
                    CHECK_EQ(got->data[at], 0);
                CHECK_EQ(got->data[sizes[i] - 1], 0);
                memset(got->data, 0x5c, sizes[i]);
            }
            for (int huge = 0; huge < 2; huge++) {
                CHECK_EQ(pages[huge].data[sizes[i] - 1], 0x5c);
                rvt_pages_release(pages[huge].base, pages[huge].reserved);
            }
        }
    }
}

static void data_pages_that_are_too_large_are_refused(void) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX - ((size_t)2 << 20),
                                   SIZE_MAX - ((size_t)2 << 20) + 1, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct rvt_pages pages;
        CHECK(!rvt_data_pages_get(sizes[i], false, &pages));
        CHECK(!rvt_data_pages_get(sizes[i], true, &pages));
    }
}

static atomic_bool passed;

static void *pass(void *argument) {
    (void)argument;
    atomic_store(&passed, true);
    return NULL;
}

static void yielding_lets_another_thread_run(void) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, pass, NULL) == 0);
    while (!atomic_load(&passed))
        rvt_yield();
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void *tell_self(void *argument) {
    *(uintptr_t *)argument = rvt_thread_self();
    CHECK_EQ(rvt_thread_self(), *(uintptr_t *)argument);
    pass(NULL);
    while (atomic_load(&passed))
        rvt_yield();
    return NULL;
}

/* Both threads must be alive: the number of an ended thread may be reused. */
static void running_threads_have_distinct_numbers(void) {
    pthread_t thread;
    uintptr_t self = 0;
    atomic_store(&passed, false);
    REQUIRE(pthread_create(&thread, NULL, tell_self, &self) == 0);
    while (!atomic_load(&passed))
        rvt_yield();
    CHECK(self != 0 && rvt_thread_self() != 0 && self != rvt_thread_self());
    atomic_store(&passed, false);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void a_brief_sleep_takes_a_short_time(void) {
    const double before = seconds();
    rvt_pause();
    for (int i = 0; i < 20; i++)
        rvt_sleep_briefly();
    const double each = (seconds() - before) / 20;
    CHECK(each > 40e-6); /* the call really sleeps */
    CHECK(each < 0.5);   /* generous bound for busy machines */
}

CHECK_MAIN(TEST(a_mutex_excludes_other_threads), TEST(pages_are_zero_and_writable),
           TEST(pages_cost_nothing_until_touched), TEST(a_reservation_that_is_too_large_returns_null),
           TEST(random_bytes_fill_exactly_the_requested_length), TEST(two_random_requests_differ),
           TEST(data_pages_are_zero_and_aligned), TEST(data_pages_that_are_too_large_are_refused),
           TEST(yielding_lets_another_thread_run), TEST(running_threads_have_distinct_numbers),
           TEST(a_brief_sleep_takes_a_short_time))
