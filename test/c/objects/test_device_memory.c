/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/device_memory.h"

#include <pthread.h>

#include "fixture.h"
#include "waiting.h"

enum { HUGE = 2 << 20 };

static struct rvt_device_memory *alloc_of(struct fixture *f, uint64_t bytes, bool huge) {
    struct rvt_device_memory *memory = NULL;
    CHECK_EQ(rvt_alloc_device_memory(f->device, f->context, bytes, huge, &memory), 0);
    return memory;
}

static int free_of(struct fixture *f, struct rvt_device_memory *memory) {
    return rvt_free_device_memory(f->device, f->context, memory);
}

static void let_go(struct rvt_device_memory *memory) {
    rvt_memory_put(&memory->memory);
}

static uint32_t references(const struct rvt_device_memory *memory) {
    return atomic_load(&memory->memory.references);
}

static unsigned char *data_of(struct rvt_memory *memory) {
    unsigned char *data = NULL;
    CHECK_EQ(memory->ops->resolve(memory, NULL, &data), RVT_REASON_NONE);
    return data;
}

static void pages_are_zeroed_and_aligned(void) {
    static const struct {
        uint64_t bytes;
        bool huge;
    } rows[] = {{1, false},       {PAGE, false},    {PAGE + 1, false}, {5 * PAGE - 3, false},
                {1 << 20, false}, {1, true},        {PAGE, true},      {HUGE - 1, true},
                {HUGE, true},     {HUGE + 1, true}, {HUGE, false},     {3 * HUGE + 5, true}};
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    uint64_t last = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rvt_device_memory *memory = alloc_of(&f, rows[i].bytes, rows[i].huge);
        REQUIRE(memory != NULL);
        CHECK_EQ(memory->memory.length, rows[i].bytes);
        CHECK_EQ(memory->huge, rows[i].huge);
        CHECK(memory->serial > last);
        last = memory->serial;
        CHECK_EQ(references(memory), 2); /* one reference of the device, one of this test */
        CHECK(!rvt_device_memory_freed(memory));
        unsigned char *data = data_of(&memory->memory);
        CHECK_PTR_EQ(data, memory->pages.data);
        CHECK_EQ((uintptr_t)data % (rows[i].huge ? HUGE : PAGE), 0);
        /* The whole memory lies in the reserved range. */
        unsigned char *base = memory->pages.base;
        CHECK(data >= base && (uint64_t)(data - base) + rows[i].bytes <= memory->pages.reserved);
        uint64_t sum = 0;
        for (uint64_t k = 0; k < rows[i].bytes; k++)
            sum += data[k];
        CHECK_EQ(sum, 0);
        memset(data, 0xa5, rows[i].bytes);
        if (i % 2) { /* every second memory is freed with the device */
            CHECK_EQ(free_of(&f, memory), 0);
            CHECK_EQ(references(memory), 1);
        }
        CHECK_EQ(data[rows[i].bytes - 1], 0xa5);
        let_go(memory);
    }
    fixture_close(&f);
}

static void an_empty_or_too_large_size_is_refused(void) {
    static const uint64_t sizes[] = {UINT64_MAX,           UINT64_MAX - PAGE, UINT64_MAX - HUGE + 1,
                                     UINT64_MAX - HUGE,    UINT64_MAX / 2,    UINT64_C(1) << 62,
                                     UINT64_MAX - 2 * HUGE};
    struct fixture f;
    struct rvt_device_memory *memory = NULL;
    REQUIRE(fixture_open(&f, 4));
    long live = rvt_test_alloc_live();
    CHECK_EQ(rvt_alloc_device_memory(f.device, NULL, 0, false, &memory), -RVT_EINVAL);
    CHECK_EQ(rvt_alloc_device_memory(f.device, NULL, 0, true, &memory), -RVT_EINVAL);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        CHECK_EQ(rvt_alloc_device_memory(f.device, NULL, sizes[i], false, &memory), -RVT_ENOMEM);
        CHECK_EQ(rvt_alloc_device_memory(f.device, NULL, sizes[i], true, &memory), -RVT_ENOMEM);
    }
    CHECK(memory == NULL);
    CHECK_EQ(rvt_test_alloc_live(), live);
    CHECK_EQ(f.device->memories_made, 0);
    fixture_close(&f);
}

static int alloc_again(struct fixture *f) {
    struct rvt_device_memory *memory;
    int error = rvt_alloc_device_memory(f->device, NULL, PAGE, true, &memory);
    if (!error)
        f->memory = &memory->memory;
    return error;
}

static int use_again(struct fixture *f) {
    struct rvt_device_memory *memory = (struct rvt_device_memory *)f->memory;
    uint32_t before = references(memory), uses = atomic_load(&memory->uses);
    struct rvt_memory *slice = rvt_device_memory_slice(memory, 16, 32);
    if (!slice) {
        CHECK_EQ(references(memory), before);
        CHECK_EQ(atomic_load(&memory->uses), uses);
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    }
    int error = rvt_reg_user_mr(f->pd, slice, 0, 0, 0, &f->mr2);
    rvt_memory_put(slice);
    if (error) /* a failed registration leaves no use behind */
        CHECK_EQ(atomic_load(&memory->uses), uses);
    return error;
}

static void alloc_first(struct fixture *f) {
    CHECK_EQ(alloc_again(f), 0);
}

static void device_memory_fails_cleanly_without_memory(void) {
    /* Three allocations: the structure, its pages and the index. */
    each_allocation_fails(NULL, alloc_again, 3);
    each_allocation_fails(alloc_first, use_again, 2);
}

static void device_memory_is_found_by_its_serial_number(void) {
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_device_memory *made[3], *found = NULL;
    uint64_t serial[3];
    for (int i = 0; i < 3; i++) {
        made[i] = alloc_of(&a, PAGE, false);
        serial[i] = made[i]->serial;
        CHECK_EQ(serial[i], i + 1);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rvt_find_device_memory(b.device, b.context, serial[i], &found), 0);
        CHECK_PTR_EQ(found, made[i]);
        CHECK_EQ(references(found), 3);
        let_go(found);
        CHECK_EQ(rvt_find_device_memory(b.device, NULL, serial[i], &found), 0);
        let_go(found);
    }
    found = NULL;
    static const uint64_t wrong[] = {0, 4, UINT64_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_EQ(rvt_find_device_memory(b.device, b.context, wrong[i], &found), -RVT_EINVAL);
    /* Any context of the device can free it: from the middle, the end and the beginning of the list. */
    static const int order[] = {1, 0, 2};
    for (int k = 0; k < 3; k++) {
        CHECK_EQ(free_of(k % 2 ? &a : &b, made[order[k]]), 0);
        for (int i = 0; i < 3; i++) {
            bool there = i != order[0] && (k < 1 || i != order[1]) && (k < 2 || i != order[2]);
            CHECK_EQ(rvt_find_device_memory(b.device, b.context, serial[i], &found), there ? 0 : -RVT_EINVAL);
            if (there)
                let_go(found);
        }
    }
    struct rvt_device_memory *next = alloc_of(&b, PAGE, false); /* serial numbers are never reused */
    CHECK_EQ(next->serial, 4);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(free_of(&a, made[i]), -RVT_EBADF);
        let_go(made[i]);
    }
    CHECK_EQ(rvt_dealloc_ucontext(b.context, true), 0);
    CHECK_EQ(rvt_find_device_memory(b.device, b.context, 4, &found), -RVT_EBADF);
    CHECK_EQ(free_of(&b, next), -RVT_EBADF); /* a closed context cannot free memory of others */
    CHECK_EQ(rvt_find_device_memory(a.device, a.context, 4, &found), 0);
    let_go(found);
    CHECK_EQ(rvt_mr_exit(a.device, true, NULL), 0);
    CHECK_EQ(rvt_find_device_memory(a.device, a.context, 4, &found), -RVT_EBADF);
    CHECK_EQ(rvt_alloc_device_memory(a.device, a.context, PAGE, false, &found), -RVT_EBADF);
    CHECK_EQ(rvt_alloc_device_memory(a.device, NULL, PAGE, true, &found), -RVT_EBADF);
    CHECK(rvt_device_memory_freed(next));
    CHECK_EQ(references(next), 1);
    CHECK_EQ(free_of(&a, next), -RVT_EBADF);
    let_go(next);
    fixture_leave(&b);
    fixture_leave_last(&a, &a);
}

static void slices_keep_the_memory_from_being_freed(void) {
    static const struct {
        uint64_t offset, length;
    } rows[] = {{0, 2 * PAGE}, {0, 1}, {1, 2}, {PAGE, PAGE}, {2 * PAGE - 1, 1}, {17, 4000}, {2 * PAGE, 0}};
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_device_memory *memory = alloc_of(&f, 2 * PAGE, false);
    struct rvt_memory *slices[sizeof(rows) / sizeof(rows[0])];
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        slices[i] = rvt_device_memory_slice(memory, rows[i].offset, rows[i].length);
        REQUIRE(slices[i] != NULL);
        CHECK_EQ(slices[i]->length, rows[i].length);
        CHECK_EQ(atomic_load(&slices[i]->references), 1);
        CHECK_PTR_EQ(data_of(slices[i]), memory->pages.data + rows[i].offset);
        CHECK_EQ(atomic_load(&memory->uses), i + 1);
        CHECK_EQ(references(memory), i + 3);
        CHECK_EQ(free_of(&f, memory), -RVT_EBUSY);
    }
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ(free_of(&f, memory), -RVT_EBUSY);
        rvt_memory_put(slices[i]);
    }
    CHECK_EQ(atomic_load(&memory->uses), 0);
    CHECK_EQ(references(memory), 2);
    CHECK_EQ(free_of(&f, memory), 0);
    CHECK(rvt_device_memory_freed(memory));
    /* A view can still be read, but no new slice can be made. */
    long live = rvt_test_alloc_live();
    CHECK(rvt_device_memory_slice(memory, 0, 1) == NULL);
    CHECK_EQ(rvt_test_alloc_live(), live);
    CHECK_EQ(references(memory), 1);
    memory->pages.data[0] = 1;
    let_go(memory);
    fixture_close(&f);
}

static void regions_and_mappings_keep_the_memory_from_being_freed(void) {
    enum { REGION, BUSY_DEREG, MAPPING, KINDS };
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        REQUIRE(fixture_open(&f, 4));
        struct rvt_device_memory *memory = alloc_of(&f, 2 * PAGE, false);
        struct rvt_memory *slice = rvt_device_memory_slice(memory, 100, PAGE);
        struct rvt_mr_handle mr = {0};
        struct rvt_sge sge = {0};
        uint64_t address = 0x10000;
        if (kind == MAPPING)
            CHECK_EQ(rvt_dma_map(f.device, NULL, slice, true, &address, &f.dma), 0);
        else
            CHECK_EQ(rvt_reg_user_mr(f.pd, slice, 0x5000, 0x5000, ALL_ACCESS, &mr), 0);
        rvt_memory_put(slice);
        CHECK_EQ(free_of(&f, memory), -RVT_EBUSY);
        CHECK(!rvt_device_memory_freed(memory));
        if (kind == MAPPING) {
            CHECK_EQ(rvt_dma_unmap(f.dma), 0);
        } else {
            struct rvt_copied copied;
            CHECK_EQ(local(&f, &sge, 0x5000 + 7, 4, fixture_key(mr), LOCAL_WRITE), 1);
            CHECK_EQ(put_bytes(&f, &sge, "word", 4, &copied), 0);
            CHECK_BYTES_EQ(memory->pages.data + 107, "word", 4);
            if (kind == BUSY_DEREG) {
                CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
                CHECK_EQ(free_of(&f, memory), -RVT_EBUSY);
            }
            rvt_put_sge(&sge);
            CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
        }
        CHECK_EQ(free_of(&f, memory), 0);
        CHECK_EQ(free_of(&f, memory), -RVT_EBADF);
        let_go(memory);
        fixture_close(&f);
    }
}

struct freeing {
    struct fixture *f;
    struct rvt_device_memory *memory;
};

static int free_waiting(void *context) {
    struct freeing *freeing = context;
    return free_of(freeing->f, freeing->memory);
}

/* A region that a finalizer released may still be read, and its slice still counts as a use. */
static void freeing_waits_for_regions_released_by_a_finalizer(void) {
    struct fixture a, b;
    struct waiting w;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct freeing freeing = {&a, alloc_of(&a, PAGE, false)};
    struct rvt_memory *slice = rvt_device_memory_slice(freeing.memory, 0, PAGE);
    struct rvt_mr_handle mr;
    CHECK_EQ(rvt_reg_user_mr(b.pd, slice, 0, 0, 0, &mr), 0);
    rvt_memory_put(slice);
    read_enter(&a);
    rvt_drop_ucontext(b.context);
    CHECK(fixture_dead(mr));
    CHECK(begin_waiting(&w, free_waiting, &freeing));
    CHECK(!rvt_device_memory_freed(freeing.memory));
    read_leave(&a);
    CHECK_EQ(end_waiting(&w), 0);
    CHECK(rvt_device_memory_freed(freeing.memory));
    let_go(freeing.memory);
    fixture_leave(&b);
    fixture_leave_last(&a, &a);
}

/* The memory cannot be freed while a region on it is being deregistered. */
static int dereg(void *mr) {
    return rvt_dereg_mr(*(struct rvt_mr_handle *)mr, RVT_RELEASE);
}

static void the_memory_can_be_freed_once_dereg_returns(void) {
    struct fixture f;
    struct waiting w;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_device_memory *memory = alloc_of(&f, PAGE, false);
    struct rvt_memory *slice = rvt_device_memory_slice(memory, 0, PAGE);
    struct rvt_mr_handle mr;
    CHECK_EQ(rvt_reg_user_mr(f.pd, slice, 0, 0, 0, &mr), 0);
    rvt_memory_put(slice);
    read_enter(&f);
    CHECK(begin_waiting(&w, dereg, &mr));
    CHECK_EQ(atomic_load(&memory->uses), 1);
    read_leave(&f);
    CHECK_EQ(end_waiting(&w), 0);
    CHECK_EQ(free_of(&f, memory), 0);
    let_go(memory);
    fixture_close(&f);
}

static void the_bytes_stay_until_the_last_reference_is_put(void) {
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    long before = rvt_test_alloc_live();
    struct rvt_device_memory *memory = alloc_of(&a, PAGE, true), *found;
    CHECK_EQ(rvt_find_device_memory(b.device, b.context, memory->serial, &found), 0);
    memset(memory->pages.data, 0x77, PAGE);
    struct rvt_memory *slice = rvt_device_memory_slice(memory, PAGE - 1, 1);
    /* Four allocations: the structure, its pages, a slice and the index of serial numbers. */
    CHECK_EQ(rvt_test_alloc_live(), before + 4);
    /* Drops the device's reference, even if the memory is in use. */
    CHECK_EQ(rvt_mr_exit(a.device, true, NULL), 0);
    CHECK(rvt_device_memory_freed(memory));
    CHECK(a.device->memories == NULL);
    CHECK(rvt_device_memory_slice(memory, 0, 1) == NULL);
    CHECK_EQ(free_of(&a, memory), -RVT_EBADF);
    CHECK_EQ(references(memory), 3);
    let_go(memory);
    let_go(found);
    CHECK_EQ(data_of(slice)[0], 0x77); /* the last slice keeps the bytes */
    rvt_memory_put(slice);
    fixture_leave(&b);
    fixture_leave_last(&a, &a);
}

static void a_view_can_be_read_after_the_memory_is_freed(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_device_memory *memory = alloc_of(&f, PAGE, false);
    memset(memory->pages.data, 0x33, PAGE);
    rvt_memory_get(&memory->memory); /* takes a reference, as a view in another environment does */
    CHECK_EQ(free_of(&f, memory), 0);
    let_go(memory);
    CHECK_EQ(memory->pages.data[PAGE - 1], 0x33);
    let_go(memory);
    fixture_close(&f);
}

/* --- making a slice races with freeing: the first one makes the other fail --- */

enum { ROUNDS = 2000 };

static pthread_barrier_t barrier;
static struct fixture world;
static struct rvt_device_memory *contested;

static void *free_it(void *argument) {
    int *answers = argument;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&barrier);
        answers[i] = free_of(&world, contested);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void making_a_slice_and_freeing_exclude_each_other(void) {
    static int answers[ROUNDS];
    pthread_t thread;
    int freed = 0;
    REQUIRE(fixture_open(&world, 4));
    REQUIRE(pthread_barrier_init(&barrier, NULL, 2) == 0);
    REQUIRE(pthread_create(&thread, NULL, free_it, answers) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        contested = alloc_of(&world, PAGE, false);
        pthread_barrier_wait(&barrier);
        struct rvt_memory *slice = rvt_device_memory_slice(contested, 0, PAGE);
        pthread_barrier_wait(&barrier);
        CHECK_EQ(answers[i], slice ? -RVT_EBUSY : 0);
        CHECK_EQ(rvt_device_memory_freed(contested), slice == NULL);
        freed += slice == NULL;
        if (slice) {
            rvt_memory_put(slice);
            CHECK_EQ(free_of(&world, contested), 0);
        }
        let_go(contested);
    }
    REQUIRE(pthread_join(thread, NULL) == 0);
    pthread_barrier_destroy(&barrier);
    printf("# freed before the slice in %d of %d rounds\n", freed, ROUNDS);
    fixture_close(&world);
}

static void a_slice_reports_its_buffer_and_offset(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_device_memory *memory = alloc_of(&f, PAGE, false), *other = alloc_of(&f, PAGE, false);
    struct rvt_memory *slice = rvt_device_memory_slice(memory, 24, 8);
    struct rvt_memory_place place = rvt_place_of_memory(slice);
    CHECK_EQ(place.kind, RVT_MEMORY_KIND_DEVICE);
    CHECK_EQ(place.buffer, memory->buffer);
    CHECK_EQ(place.offset, 24);
    CHECK(memory->buffer != other->buffer);
    rvt_memory_put(slice);
    let_go(memory);
    let_go(other);
    fixture_close(&f);
}

CHECK_MAIN(TEST(pages_are_zeroed_and_aligned), TEST(an_empty_or_too_large_size_is_refused),
           TEST(device_memory_fails_cleanly_without_memory),
           TEST(device_memory_is_found_by_its_serial_number), TEST(slices_keep_the_memory_from_being_freed),
           TEST(regions_and_mappings_keep_the_memory_from_being_freed),
           TEST(freeing_waits_for_regions_released_by_a_finalizer),
           TEST(the_memory_can_be_freed_once_dereg_returns),
           TEST(the_bytes_stay_until_the_last_reference_is_put),
           TEST(a_view_can_be_read_after_the_memory_is_freed),
           TEST(making_a_slice_and_freeing_exclude_each_other), TEST(a_slice_reports_its_buffer_and_offset))
