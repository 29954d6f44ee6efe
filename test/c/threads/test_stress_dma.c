/* SPDX-License-Identifier: BSD-3-Clause */
/* Readers search the table of DMA mappings while writers map and unmap. A page that stays mapped during the
 * whole search must be found; a page that stays unmapped must not. */
#include "core/objects/dma.h"

#include "stress.h"

enum { PAGES = 1600, TAIL = 400, PERMANENT = 7, WRITERS = 2, READERS = 2, BLOCK = 200 };

static const uint64_t BASE = UINT64_C(0x10000000);
static unsigned char bytes[PAGE];
static struct rvt_dev_info *device;

/* The state of each page; it advances before and after each change. Value modulo 4: */
enum { UNMAPPED, BEING_MAPPED, MAPPED, BEING_UNMAPPED };
static _Atomic(uint32_t) states[PAGES + TAIL];

static uint64_t address_of(unsigned page) {
    return BASE + (uint64_t)page * PAGE;
}

/* Release: a thread that sees the new state also sees what was done before it. */
static void move_on(unsigned page) {
    atomic_fetch_add_explicit(&states[page], 1, memory_order_release);
}

static struct rvt_dma_handle map_pages(unsigned first, unsigned count) {
    struct rvt_dma_handle handle = {0};
    uint64_t address = address_of(first);
    struct rvt_memory *memory = rvt_fixed_memory(bytes, (uint64_t)count * PAGE);
    for (unsigned i = 0; i < count; i++)
        move_on(first + i);
    CHECK_EQ(rvt_dma_map(device, NULL, memory, true, &address, &handle), 0);
    for (unsigned i = 0; i < count; i++)
        move_on(first + i);
    rvt_memory_put(memory);
    return handle;
}

static void unmap_pages(struct rvt_dma_handle handle, unsigned first, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        move_on(first + i);
    CHECK_EQ(rvt_dma_unmap(handle), 0);
    for (unsigned i = 0; i < count; i++)
        move_on(first + i);
}

/* Blocks of pages alternate between the writers. Single pages are mapped and unmapped at random. Now and then
 * a block is emptied, and larger mappings replace the single pages for a moment. */
static void change_blocks(struct worker *w) {
    static struct rvt_dma_handle handles[PAGES]; /* each writer uses the entries of its own pages */
    while (going()) {
        unsigned block = ((unsigned)roll(&w->seed, PAGES / BLOCK / WRITERS) * WRITERS + w->index) * BLOCK;
        bool empty = roll(&w->seed, 8) == 0;
        for (unsigned i = 0; i < BLOCK; i++) {
            unsigned page = block + i;
            if (page % PERMANENT == 0)
                continue;
            if (handles[page].map && (empty || roll(&w->seed, 2))) {
                unmap_pages(handles[page], page, 1);
                handles[page] = (struct rvt_dma_handle){0};
            } else if (!handles[page].map && !empty && roll(&w->seed, 2)) {
                handles[page] = map_pages(page, 1);
            }
            w->accepted++;
        }
        for (unsigned i = 0; empty && i < BLOCK; i++) { /* between two permanent pages */
            unsigned first = block + i;
            if (first % PERMANENT == 1 && first + PERMANENT - 1 <= block + BLOCK)
                unmap_pages(map_pages(first, PERMANENT - 1), first, PERMANENT - 1);
        }
    }
}

/* The tail of the table, across several ranges: filled with single pages, emptied, covered by one mapping, in
 * turn. */
static void cover_the_tail(struct worker *w) {
    static struct rvt_dma_handle handles[TAIL];
    while (going()) {
        for (unsigned i = 0; i < TAIL; i++)
            handles[i] = map_pages(PAGES + i, 1);
        for (unsigned i = 0; i < TAIL; i++)
            unmap_pages(handles[i], PAGES + i, 1);
        struct rvt_dma_handle cover = map_pages(PAGES, TAIL);
        for (int i = 0; i < 50; i++)
            rvt_yield(); /* give readers time to search for it */
        unmap_pages(cover, PAGES, TAIL);
        w->accepted++;
    }
}

static void search(struct worker *w) {
    while (going()) {
        unsigned page = (unsigned)roll(&w->seed, PAGES + TAIL);
        uint64_t address = address_of(page);
        uint32_t before = atomic_load_explicit(&states[page], memory_order_acquire);
        rvt_read_enter(w->reader, &device->retirement);
        const struct rvt_dma_map *map = rvt_dma_find(&device->dma, address, PAGE, NULL);
        bool holds = map && rvt_dma_holds(map, address, PAGE);
        rvt_read_leave(w->reader, &device->retirement);
        /* A read-modify-write, so that the search is ordered before it. */
        uint32_t after = atomic_fetch_add_explicit(&states[page], 0, memory_order_acq_rel);
        CHECK_EQ(map != NULL, holds);
        if (before != after)
            w->stale++;
        else if (before % 4 == MAPPED)
            CHECK(map != NULL);
        else if (before % 4 == UNMAPPED)
            CHECK(map == NULL);
        w->accepted += map != NULL;
        w->refused += map == NULL;
    }
}

static void searches_are_correct_while_mappings_change(void) {
    struct fixture f;
    static struct worker workers[WRITERS + 1 + READERS];
    REQUIRE(fixture_open(&f, 4));
    device = f.device;
    memset(workers, 0, sizeof(workers));
    for (unsigned page = 0; page < PAGES; page += PERMANENT)
        map_pages(page, 1);
    atomic_store(&stop, false);
    for (unsigned i = 0; i < WRITERS + 1 + READERS; i++) {
        workers[i].run = i < WRITERS ? change_blocks : i == WRITERS ? cover_the_tail : search;
        workers[i].index = i;
        workers[i].seed = 100 + i;
        workers[i].reader = rvt_reader_register();
        REQUIRE(workers[i].reader != NULL);
        REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    nanosleep(&(struct timespec){1, 0}, NULL);
    atomic_store(&stop, true);
    uint64_t changes = 0, found = 0, missed = 0, unclear = 0;
    for (unsigned i = 0; i < WRITERS + 1 + READERS; i++) {
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
        rvt_reader_unregister(workers[i].reader);
        if (i <= WRITERS) {
            changes += workers[i].accepted;
        } else {
            found += workers[i].accepted;
            missed += workers[i].refused;
            unclear += workers[i].stale;
        }
    }
    printf("# %" PRIu64 " changes; searches: %" PRIu64 " found, %" PRIu64 " not found, %" PRIu64
           " met a change\n",
           changes, found, missed, unclear);
    CHECK(changes > 0 && found > 0 && missed > 0);
    fixture_close(&f);
}

CHECK_MAIN(TEST(searches_are_correct_while_mappings_change))
