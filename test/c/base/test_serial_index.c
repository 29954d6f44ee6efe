/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/serial_index.h"

#include "fixture.h"

enum { MANY = 5000 };

/* objects[n] stands for the object with serial n; only its address is used */
static unsigned char objects[MANY + 1];

static bool add(struct rvt_serial_index *index, uint64_t serial) {
    if (!rvt_serial_index_reserve(index))
        return false;
    rvt_serial_index_add(index, serial, &objects[serial]);
    return true;
}

static void an_empty_index_finds_nothing(void) {
    long live = rvt_test_alloc_live();
    struct rvt_serial_index index = {0};
    CHECK(rvt_serial_index_find(&index, 0) == NULL);
    CHECK(rvt_serial_index_find(&index, 1) == NULL);
    rvt_serial_index_remove(&index, 1);
    CHECK_EQ(rvt_test_alloc_live(), live); /* an empty index allocates nothing */
    rvt_serial_index_clear(&index);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void finds_the_objects_added_and_no_others(void) {
    struct rvt_serial_index index = {0};
    /* Serial numbers have gaps after calls that failed. */
    for (uint64_t serial = 2; serial < MANY; serial += 3)
        REQUIRE(add(&index, serial));
    for (uint64_t serial = 0; serial <= MANY; serial++)
        CHECK_PTR_EQ(rvt_serial_index_find(&index, serial),
                     serial % 3 == 2 && serial < MANY ? &objects[serial] : NULL);
    CHECK(rvt_serial_index_find(&index, UINT64_MAX) == NULL);
    rvt_serial_index_remove(&index, 3); /* a serial that was never added */
    rvt_serial_index_remove(&index, 5);
    rvt_serial_index_remove(&index, 5); /* a serial that was already removed */
    CHECK(rvt_serial_index_find(&index, 5) == NULL);
    CHECK_PTR_EQ(rvt_serial_index_find(&index, 2), &objects[2]);
    CHECK_PTR_EQ(rvt_serial_index_find(&index, 8), &objects[8]);
    rvt_serial_index_clear(&index);
    CHECK(rvt_serial_index_find(&index, 8) == NULL);
}

/* Compares the index with a plain array. Its capacity must follow the number of live objects. */
static void random_additions_and_removals_match_a_plain_array(void) {
    static bool there[MANY + 1];
    long live = rvt_test_alloc_live();
    _Atomic(uint64_t) held = 7;
    uint64_t state = 1;
    for (int round = 0; round < 20; round++) {
        struct rvt_serial_index index = {.held = &held};
        uint64_t last = 0, count = 0, most = 0;
        memset(there, 0, sizeof(there));
        while (last < MANY) {
            /* The index grows in some phases and shrinks in others. */
            if (roll(&state, 100) < (last / 500 % 2 ? 45 : 75)) {
                last += 1 + roll(&state, 2);
                if (last > MANY)
                    break;
                REQUIRE(add(&index, last));
                there[last] = true;
                count++;
            } else {
                uint64_t serial = roll(&state, last + 1);
                rvt_serial_index_remove(&index, serial);
                count -= there[serial];
                there[serial] = false;
            }
            most = count > most ? count : most;
            CHECK_EQ(index.live, count);
            CHECK(index.capacity <= 16 || index.capacity < 8 * count);
            CHECK_EQ(held - 7, index.capacity * sizeof(struct rvt_serial_entry));
            uint64_t probe = roll(&state, last + 2);
            CHECK_PTR_EQ(rvt_serial_index_find(&index, probe),
                         probe <= MANY && there[probe] ? &objects[probe] : NULL);
        }
        CHECK(most > 100);
        /* Remove all, in an arbitrary order. */
        for (uint64_t i = 0; i <= MANY; i++) {
            uint64_t serial = (i * 1009) % (MANY + 1);
            CHECK_PTR_EQ(rvt_serial_index_find(&index, serial), there[serial] ? &objects[serial] : NULL);
            rvt_serial_index_remove(&index, serial);
            there[serial] = false;
        }
        CHECK_EQ(index.live, 0);
        CHECK(index.capacity <= 16);
        rvt_serial_index_clear(&index);
        CHECK_EQ(held, 7);
    }
    CHECK_EQ(rvt_test_alloc_live(), live);
}

/* One object lives while many others come and go: the index must reuse their slots and stay small. */
static void slots_of_removed_objects_are_reused(void) {
    struct rvt_serial_index index = {0};
    REQUIRE(add(&index, 1));
    for (uint64_t serial = 2; serial < MANY; serial++) {
        REQUIRE(add(&index, serial));
        if (serial % 100 != 99)
            rvt_serial_index_remove(&index, serial - serial % 2);
        rvt_serial_index_remove(&index, serial - 1);
        CHECK(index.capacity <= 256);
    }
    rvt_serial_index_clear(&index);
}

static void keeps_its_objects_when_an_allocation_fails(void) {
    struct rvt_serial_index index = {0};
    rvt_test_alloc_fail_after(0);
    CHECK(!rvt_serial_index_reserve(&index));
    CHECK(rvt_test_alloc_failed());
    uint64_t serial = 1;
    while (serial <= 64) {
        REQUIRE(add(&index, serial));
        serial++;
    }
    CHECK_EQ(index.capacity, 64);
    rvt_test_alloc_fail_after(0);
    CHECK(!rvt_serial_index_reserve(&index));
    CHECK_EQ(index.capacity, 64);
    for (uint64_t i = 1; i <= 64; i++)
        CHECK_PTR_EQ(rvt_serial_index_find(&index, i), &objects[i]);
    /* Removal works even if the smaller array cannot be allocated, and tries to shrink again next time. */
    for (uint64_t i = 1; i <= 56; i++) {
        rvt_test_alloc_fail_after(0);
        rvt_serial_index_remove(&index, i);
        CHECK(rvt_serial_index_find(&index, i) == NULL);
    }
    CHECK(rvt_test_alloc_failed());
    CHECK_EQ(index.capacity, 64);
    rvt_test_alloc_fail_after(-1);
    rvt_serial_index_remove(&index, 57);
    CHECK_EQ(index.capacity, 16);
    for (uint64_t i = 1; i <= 64; i++)
        CHECK_PTR_EQ(rvt_serial_index_find(&index, i), i > 57 ? &objects[i] : NULL);
    rvt_serial_index_clear(&index);
}

CHECK_MAIN(TEST(an_empty_index_finds_nothing), TEST(finds_the_objects_added_and_no_others),
           TEST(random_additions_and_removals_match_a_plain_array), TEST(slots_of_removed_objects_are_reused),
           TEST(keeps_its_objects_when_an_allocation_fails))
