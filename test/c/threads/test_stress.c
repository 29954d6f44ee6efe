/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads that check, copy and put SGEs, against threads that create, map, revoke and close, on one device.
 * test_stress_contexts.c has threads that come and go.
 *
 * No access may mix two states of a region: be checked against one and use the bytes of another. So every
 * mapping has a tag. All memory of a tag is filled with it, and the addresses of a region are a function of
 * the tag. A reader requests the addresses of a tag. If the access is accepted, every byte it copies must
 * belong to the tag, or the copy must be refused as stale. Bytes are written only before they are published
 * and after they are released, so that ThreadSanitizer and AddressSanitizer detect any use in the wrong
 * order.
 *
 * Each test runs for a fixed time, independent of the machine and the sanitizer. */
#include "core/access/batch.h"
#include "stress.h"

enum { TAGS = 4, USER_SLOTS = 2, MAX_WORKERS = 16 };

static struct fixture world;

/* Two pages for each tag; never changed. */
static alignas(4096) unsigned char tagged[TAGS * 2 * PAGE];

/* --- two FMRs: one that is only mapped, one that is also unmapped --- */

static struct rvt_mr_handle mapped_only, unmapped_too;
static uint32_t mapped_only_key, unmapped_too_key;

static const uint64_t TAGGED_DMA = 0x100000;

static uint64_t fmr_address(uint64_t tag) {
    return (tag + 1) << 20;
}

static int map_tag(struct rvt_mr_handle fmr, uint64_t tag) {
    /* The second page comes first: a walk must follow the list. */
    uint64_t pages[] = {TAGGED_DMA + (2 * tag + 1) * PAGE, TAGGED_DMA + 2 * tag * PAGE};
    return rvt_map_phys_fmr(fmr, pages, 2, fmr_address(tag));
}

static void write_fmrs(struct worker *w) {
    while (going()) {
        int error = map_tag(mapped_only, roll(&w->seed, TAGS));
        CHECK(error == 0 || error == -RVT_EBUSY);
        if (roll(&w->seed, 3)) {
            error = map_tag(unmapped_too, roll(&w->seed, TAGS));
            CHECK(error == 0 || error == -RVT_EBUSY);
        } else {
            CHECK_EQ(rvt_unmap_fmr(&unmapped_too, 1), 0);
        }
        if (roll(&w->seed, 16) == 0)
            sched_yield();
    }
}

static void read_fmrs(struct worker *w) {
    uint64_t tag = roll(&w->seed, TAGS), into = roll(&w->seed, 2 * PAGE);
    uint32_t length = (uint32_t)(1 + roll(&w->seed, 2 * PAGE - into));
    bool only = roll(&w->seed, 2), remotely = roll(&w->seed, 2);
    uint32_t key = only ? mapped_only_key : unmapped_too_key;
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    int answer =
        remotely ? check_remote(w, world.qp, &sge, fmr_address(tag) + into, length, key, REMOTE_READ, &reason)
                 : check_local(w, world.pd, &sge, NULL, fmr_address(tag) + into, length, key, 0, &reason);
    if (answer == 1) {
        if (only) {
            /* While this thread holds the FMR, no thread can map it again, not even this one. */
            if (roll(&w->seed, 4) == 0)
                CHECK_EQ(map_tag(mapped_only, roll(&w->seed, TAGS)), -RVT_EBUSY);
            CHECK_EQ(read_out(w, &sge, tag), RVT_REASON_NONE);
            if (roll(&w->seed, 4) == 0)
                sched_yield();
            CHECK_EQ(read_out(w, &sge, tag), RVT_REASON_NONE);
        } else {
            reason = read_out(w, &sge, tag);
            CHECK(reason == RVT_REASON_NONE || reason == RVT_REMAPPED);
        }
        rvt_put_sge(&sge);
    } else {
        CHECK(reason == RVT_OUT_OF_BOUNDS);
    }
    /* A check without a reference reports a place of the tag, or refuses. */
    struct rvt_place place;
    struct rvt_ib_sge wanted = {fmr_address(tag) + into, length, key};
    struct rvt_retirement *of = &world.device->retirement;
    rvt_read_enter(w->reader, of);
    if (rvt_lkey_check(world.pd, &wanted, 0, &place, &reason) == 1) {
        uint64_t page = TAGGED_DMA + 2 * tag * PAGE + (into < PAGE ? PAGE : 0);
        CHECK_EQ(place.at, page + into % PAGE);
        CHECK_EQ(place.segment, into / PAGE);
    }
    rvt_read_leave(w->reader, of);
}

/* --- a scatter region: mapped, registered with a key of the tag, invalidated --- */

static struct rvt_mr_handle scatter;
static uint32_t scatter_key; /* the upper 24 bits of its key */

static uint64_t scatter_base(uint64_t tag) {
    return TAGGED_DMA + 2 * tag * PAGE;
}
static uint32_t scatter_length(uint64_t tag) {
    return (uint32_t)(PAGE + 64 + 64 * tag);
}
static uint64_t scatter_iova(uint64_t tag) {
    return UINT64_C(0x70000000) + (tag << 20);
}
static uint32_t scatter_access(uint64_t tag) {
    return REMOTE_READ | (tag & 1 ? REMOTE_WRITE : 0);
}

/* Only one thread writes, because a registration must follow the mapping of the same tag. */
static void write_scatter(struct worker *w) {
    while (going()) {
        uint64_t tag = roll(&w->seed, TAGS), iova = scatter_iova(tag);
        struct rvt_sg_element element = {scatter_base(tag), scatter_length(tag)};
        struct rvt_sg_outcome outcome;
        CHECK_EQ(rvt_map_mr_sg(scatter, &element, 1, 0, PAGE, &outcome), 1);
        CHECK_EQ(rvt_fast_reg_mr(world.qp, scatter, scatter_key | (uint32_t)tag, scatter_access(tag), &iova),
                 0);
        if (roll(&w->seed, 4) == 0)
            CHECK_EQ(rvt_invalidate_rkey(world.qp, scatter_key | (uint32_t)tag), 0);
        if (roll(&w->seed, 8) == 0)
            sched_yield();
    }
}

static void read_scatter(struct worker *w) {
    uint64_t tag = roll(&w->seed, TAGS);
    uint32_t key = scatter_key | (uint32_t)roll(&w->seed, TAGS), over = (uint32_t)roll(&w->seed, 2);
    struct rvt_sge sge, next;
    enum rvt_reason reason = RVT_REASON_NONE;
    /* Local: base and length are those of the tag, to the byte, whichever key is current. */
    if (check_local(w, world.pd, &sge, NULL, scatter_base(tag), scatter_length(tag) + over, key, 0,
                    &reason) == 1) {
        CHECK_EQ(over, 0);
        reason = read_out(w, &sge, tag);
        CHECK(reason == RVT_REASON_NONE || reason == RVT_REMAPPED);
        rvt_put_sge(&sge);
    } else {
        CHECK(reason == RVT_STALE_KEY || reason == RVT_INVALIDATED || reason == RVT_OUT_OF_BOUNDS);
    }
    /* Remote: key, iova and access rights change in a single step. */
    tag = roll(&w->seed, TAGS);
    if (check_remote(w, world.qp, &sge, scatter_iova(tag), scatter_length(tag), scatter_key | (uint32_t)tag,
                     REMOTE_READ | REMOTE_WRITE, &reason) == 1) {
        CHECK_EQ(sge.rights, scatter_access(tag));
        reason = read_out(w, &sge, tag);
        CHECK(reason == RVT_REASON_NONE || reason == RVT_REMAPPED);
        rvt_put_sge(&sge);
    }
    /* Coalescing across the page boundary: both parts are of one mapping, or are not coalesced. */
    if (check_local(w, world.pd, &sge, NULL, scatter_base(tag) + PAGE - 16, 16, key, 0, &reason) == 1) {
        int answer = check_local(w, world.pd, &next, &sge, scatter_base(tag) + PAGE, 64, key, 0, &reason);
        if (answer == 0) {
            CHECK_EQ(sge.sge_length, 80);
        } else if (answer == 1) {
            reason = read_out(w, &next, tag);
            CHECK(reason == RVT_REASON_NONE || reason == RVT_REMAPPED);
            rvt_put_sge(&next);
        }
        reason = read_out(w, &sge, tag);
        CHECK(reason == RVT_REASON_NONE || reason == RVT_REMAPPED);
        rvt_put_sge(&sge);
    }
}

/* --- memory that is created and released all the time --- */

struct tagged_memory {
    struct rvt_memory memory;
    unsigned char *data;
};

static enum rvt_reason tagged_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment;
    *data = ((struct tagged_memory *)memory)->data;
    return RVT_REASON_NONE;
}

static void tagged_release(struct rvt_memory *memory) {
    struct tagged_memory *own = (struct tagged_memory *)memory;
    memset(own->data, 0xdd, own->memory.length);
    rvt_free(own->data);
    rvt_free(own);
}

static const struct rvt_memory_ops tagged_ops = {tagged_resolve, tagged_release, NULL};

static struct rvt_memory *new_tagged(uint64_t tag, uint64_t length) {
    struct tagged_memory *own = rvt_malloc(sizeof(*own));
    unsigned char *data = rvt_malloc(length);
    if (!own || !data)
        abort();
    memset(data, fill_of(tag), length);
    own->data = data;
    rvt_memory_init(&own->memory, &tagged_ops, length);
    return &own->memory;
}

/* Repeats the release until no SGE holds the region. */
static void release_for_good(struct rvt_mr_handle mr, enum rvt_release_mode mode) {
    for (;;) {
        int error = rvt_dereg_mr(mr, mode);
        if (!error)
            return;
        CHECK_EQ(error, -RVT_EBUSY);
        CHECK(mode != RVT_RELEASE_FORCE);
        if (error != -RVT_EBUSY || mode == RVT_RELEASE_FORCE)
            return;
        sched_yield();
    }
}

/* --- user regions: registered, and released in every mode --- */

/* key << 32 | mode << 8 | tag of the writer's current or last region */
static _Atomic(uint64_t) user_slot[USER_SLOTS];

static uint64_t user_start(uint64_t tag) {
    return (tag << 20) + 0x123;
}
static uint64_t user_iova(uint64_t tag) {
    return (tag << 24) + UINT64_C(0x4000000001);
}
static uint32_t user_length(uint64_t tag) {
    return (uint32_t)(PAGE + 333 * tag);
}

static void write_user_regions(struct worker *w) {
    while (going()) {
        uint64_t tag = roll(&w->seed, TAGS);
        enum rvt_release_mode mode = (enum rvt_release_mode)roll(&w->seed, 3);
        struct rvt_memory *memory = new_tagged(tag, user_length(tag));
        struct rvt_mr_handle mr;
        int error = rvt_reg_user_mr(world.pd, memory, user_start(tag), user_iova(tag), ALL_ACCESS, &mr);
        CHECK_EQ(error, 0);
        rvt_memory_put(memory);
        if (error)
            return;
        atomic_store_explicit(&user_slot[w->index % USER_SLOTS],
                              (uint64_t)fixture_key(mr) << 32 | (uint64_t)mode << 8 | tag,
                              memory_order_release);
        if (roll(&w->seed, 2))
            sched_yield();
        release_for_good(mr, mode);
    }
}

static void read_user_regions(struct worker *w) {
    uint64_t known = atomic_load_explicit(&user_slot[roll(&w->seed, USER_SLOTS)], memory_order_acquire);
    if (!known)
        return;
    uint64_t tag = known & 0xff;
    enum rvt_release_mode mode = (enum rvt_release_mode)(known >> 8 & 0xff);
    uint32_t key = (uint32_t)(known >> 32);
    bool remotely = roll(&w->seed, 2);
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    int answer = remotely ? check_remote(w, world.qp, &sge, user_iova(tag), user_length(tag), key,
                                         REMOTE_READ, &reason)
                          : check_local(w, world.pd, &sge, NULL, user_start(tag), user_length(tag), key,
                                        LOCAL_WRITE, &reason);
    if (answer == 1) {
        for (int i = 0; i < 2; i++) {
            reason = read_out(w, &sge, tag);
            /* SGEs that hold the region stay usable, unless it is released by force. */
            CHECK(reason == RVT_REASON_NONE || (reason == RVT_REGION_REVOKED && mode == RVT_RELEASE_FORCE));
            if (roll(&w->seed, 8) == 0)
                sched_yield();
        }
        rvt_put_sge(&sge);
    } else {
        CHECK(reason == RVT_REVOKED || reason == RVT_NO_SUCH_KEY || reason == RVT_STALE_KEY);
    }
    /* One byte too many is never accepted. */
    CHECK(check_local(w, world.pd, &sge, NULL, user_start(tag), user_length(tag) + 1, key, 0, &reason) != 1);
}

/* Only this thread knows the key of its region, so the reference count is exact at any time. */
static void hold_and_release(struct worker *w) {
    while (going()) {
        uint64_t tag = roll(&w->seed, TAGS);
        struct rvt_memory *memory = new_tagged(tag, user_length(tag));
        struct rvt_mr_handle mr;
        struct rvt_sge sge;
        enum rvt_reason reason;
        int error = rvt_reg_user_mr(world.pd, memory, user_start(tag), user_iova(tag), ALL_ACCESS, &mr);
        CHECK_EQ(error, 0);
        rvt_memory_put(memory);
        if (error)
            return;
        uint32_t key = fixture_key(mr);
        CHECK_EQ(check_local(w, world.pd, &sge, NULL, user_start(tag), 100, key, 0, &reason), 1);
        CHECK_EQ(fixture_refs(mr), 3);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
        CHECK_EQ(fixture_refs(mr), 2);
        CHECK_EQ(read_out(w, &sge, tag), RVT_REASON_NONE);
        rvt_put_sge(&sge);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
        CHECK_EQ(check_local(w, world.pd, &sge, NULL, user_start(tag), 100, key, 0, &reason), -RVT_EINVAL);
    }
}

/* --- DMA mappings and key 0 --- */

/* Set by a test that never releases DMA regions by force. */
static bool no_force;

static uint64_t mapping_address(uint64_t tag) {
    return (tag + 100) << 20;
}

static void write_mappings(struct worker *w) {
    while (going()) {
        uint64_t tag = roll(&w->seed, TAGS), address = mapping_address(tag);
        struct rvt_memory *memory = new_tagged(tag, user_length(tag));
        struct rvt_dma_handle dma;
        struct rvt_sg_outcome outcome;
        CHECK_EQ(rvt_dma_map(world.device, NULL, memory, true, &address, &dma), 0);
        rvt_memory_put(memory);
        struct rvt_mr_handle list;
        bool listed = roll(&w->seed, 2) && rvt_alloc_mr(world.other_pd, RVT_MR_TYPE_MEM_REG, 2, &list) == 0;
        if (listed) {
            struct rvt_sg_element element = {address, PAGE};
            CHECK_EQ(rvt_map_mr_sg(list, &element, 1, 0, PAGE, &outcome), 1);
            CHECK_EQ(rvt_dma_unmap(dma), -RVT_EBUSY);
            CHECK_EQ(rvt_dereg_mr(list, RVT_RELEASE), 0);
        }
        if (roll(&w->seed, 2))
            sched_yield();
        for (;;) {
            int error = rvt_dma_unmap(dma);
            if (!error)
                break;
            CHECK_EQ(error, -RVT_EBUSY);
            if (error != -RVT_EBUSY)
                return;
            sched_yield();
        }
    }
}

static void write_dma_regions(struct worker *w) {
    while (going()) {
        struct rvt_mr_handle mr;
        CHECK_EQ(rvt_get_dma_mr(world.other_pd, 0, &mr), 0);
        if (roll(&w->seed, 2))
            sched_yield();
        release_for_good(mr, (enum rvt_release_mode)roll(&w->seed, no_force ? 2 : 3));
    }
}

static void read_key_zero(struct worker *w) {
    uint64_t tag = roll(&w->seed, TAGS), into = roll(&w->seed, user_length(tag));
    uint32_t length = (uint32_t)(1 + roll(&w->seed, user_length(tag) - into));
    bool remotely = roll(&w->seed, 2);
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    int answer =
        remotely
            ? check_remote(w, world.qp, &sge, mapping_address(tag) + into, length, 0, REMOTE_READ, &reason)
            : check_local(w, world.pd, &sge, NULL, mapping_address(tag) + into, length, 0, 0, &reason);
    if (answer == 1) {
        /* While an SGE holds it, the mapping and its bytes stay. */
        for (int i = 0; i < 2; i++) {
            reason = read_out(w, &sge, tag);
            CHECK(reason == RVT_REASON_NONE || (reason == RVT_REGION_REVOKED && !no_force));
            if (roll(&w->seed, 8) == 0)
                sched_yield();
        }
        rvt_put_sge(&sge);
    } else {
        CHECK(reason == RVT_NO_DMA_REGION || reason == RVT_UNMAPPED);
    }
}

/* --- domains that are closed with everything in them --- */

static pthread_mutex_t domain_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct rvt_pd_handle pd;
    struct rvt_qp_handle qp;
    uint32_t key;
    uint64_t tag;
} domain;

static void write_domains(struct worker *w) {
    while (going()) {
        uint64_t tag = roll(&w->seed, TAGS);
        struct rvt_pd_handle pd;
        struct rvt_qp_handle qp;
        struct rvt_mr_handle mr;
        struct rvt_memory *memory = new_tagged(tag, user_length(tag));
        CHECK_EQ(rvt_alloc_pd(world.device, NULL, false, &pd), 0);
        CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
        CHECK_EQ(rvt_reg_user_mr(pd, memory, user_start(tag), user_iova(tag), ALL_ACCESS, &mr), 0);
        rvt_memory_put(memory);
        pthread_mutex_lock(&domain_lock);
        domain.pd = pd;
        domain.qp = qp;
        domain.key = fixture_key(mr);
        domain.tag = tag;
        pthread_mutex_unlock(&domain_lock);
        if (roll(&w->seed, 2))
            sched_yield();
        if (roll(&w->seed, 2))
            CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
        CHECK_EQ(rvt_dealloc_pd(pd, true), 0);
    }
}

static void read_domains(struct worker *w) {
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    pthread_mutex_lock(&domain_lock);
    struct rvt_pd_handle pd = domain.pd;
    struct rvt_qp_handle qp = domain.qp;
    uint32_t key = domain.key;
    uint64_t tag = domain.tag;
    pthread_mutex_unlock(&domain_lock);
    if (!pd.pd)
        return;
    bool remotely = roll(&w->seed, 2);
    int answer = remotely ? check_remote(w, qp, &sge, user_iova(tag), 200, key, REMOTE_READ, &reason)
                          : check_local(w, pd, &sge, NULL, user_start(tag), 200, key, 0, &reason);
    if (answer == 1) {
        reason = read_out(w, &sge, tag);
        CHECK(reason == RVT_REASON_NONE || reason == RVT_REGION_REVOKED);
        rvt_put_sge(&sge);
    } else {
        CHECK_EQ(answer, remotely ? 0 : -RVT_EINVAL);
    }
    /* Another domain never accepts the key. */
    CHECK(check_local(w, world.pd, &sge, NULL, user_start(tag), 200, key, 0, &reason) != 1);
    CHECK(check_remote(w, world.qp, &sge, user_iova(tag), 200, key, REMOTE_READ, &reason) != 1);
}

/* --- the tests --- */

static void loop_fmrs(struct worker *w) {
    while (going())
        read_fmrs(w);
}

static void loop_scatter(struct worker *w) {
    while (going())
        read_scatter(w);
}

static void loop_user_regions(struct worker *w) {
    while (going())
        read_user_regions(w);
}

static void loop_key_zero(struct worker *w) {
    while (going())
        read_key_zero(w);
}

static void loop_domains(struct worker *w) {
    while (going())
        read_domains(w);
}

static void loop_everything(struct worker *w) {
    static void (*const readers[])(struct worker *) = {read_fmrs, read_scatter, read_user_regions,
                                                       read_key_zero, read_domains};
    while (going())
        readers[roll(&w->seed, 5)](w);
}

/* Checks the reference counts at rest; all threads have ended. */
static void check_counts_at_rest(void) {
    struct rvt_mr_handle lasting[] = {mapped_only, unmapped_too, scatter};
    for (int i = 0; i < 3; i++)
        CHECK_EQ(fixture_refs(lasting[i]), 2);
    CHECK_EQ(fixture_head(world.device).used, 3);
    /* The domains contain only the long-lived regions. */
    CHECK_EQ(world.pd.pd->children, 4);
    CHECK_EQ(world.other_pd.pd->children, 1);
}

static void run_workers(void (*const *runs)(struct worker *), unsigned milliseconds) {
    static struct worker workers[MAX_WORKERS];
    unsigned count = 0;
    uint64_t accepted = 0;
    REQUIRE(fixture_open(&world, 4));
    for (size_t i = 0; i < sizeof(tagged); i++)
        tagged[i] = fill_of(i / (2 * PAGE));
    fixture_dma(&world, tagged, sizeof(tagged), TAGGED_DMA);
    mapped_only = fixture_fmr(&world, ALL_ACCESS, 2, 12);
    unmapped_too = fixture_fmr(&world, ALL_ACCESS, 2, 12);
    scatter = fixture_mem_reg(&world, 2);
    mapped_only_key = fixture_key(mapped_only);
    unmapped_too_key = fixture_key(unmapped_too);
    scatter_key = fixture_key(scatter);
    memset(&domain, 0, sizeof(domain));
    for (int i = 0; i < USER_SLOTS; i++)
        atomic_store(&user_slot[i], 0);
    atomic_store(&stop, false);

    for (; runs[count]; count++)
        workers[count] = (struct worker){.run = runs[count], .seed = count, .index = count};
    for (unsigned i = 0; i < count; i++)
        REQUIRE(pthread_create(&workers[i].thread, NULL, work_as_reader, &workers[i]) == 0);
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    nanosleep(&time, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < count; i++) {
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
        accepted += workers[i].accepted;
        if (workers[i].accepted + workers[i].refused)
            printf("# worker %u: %" PRIu64 " accepted, %" PRIu64 " refused, %" PRIu64 " stale\n", i,
                   workers[i].accepted, workers[i].refused, workers[i].stale);
    }
    CHECK(accepted > 0); /* the workers must have tested something */
    check_counts_at_rest();
    fixture_close(&world);
}

#define WORKERS(...) ((void (*const[])(struct worker *)){__VA_ARGS__, NULL})

static void fmrs_mapped_while_threads_read(void) {
    run_workers(WORKERS(write_fmrs, write_fmrs, loop_fmrs, loop_fmrs, loop_fmrs), 600);
}

static void scatter_regions_registered_while_threads_read(void) {
    run_workers(WORKERS(write_scatter, loop_scatter, loop_scatter, loop_scatter), 600);
}

static void user_regions_released_while_threads_read(void) {
    run_workers(WORKERS(write_user_regions, write_user_regions, hold_and_release, loop_user_regions,
                        loop_user_regions, loop_user_regions),
                600);
}

static void dma_mappings_removed_while_threads_use_key_zero(void) {
    no_force = true;
    run_workers(WORKERS(write_mappings, write_dma_regions, loop_key_zero, loop_key_zero), 400);
    no_force = false;
    run_workers(WORKERS(write_mappings, write_dma_regions, write_dma_regions, loop_key_zero, loop_key_zero),
                400);
}

static void domains_closed_while_threads_read(void) {
    run_workers(WORKERS(write_domains, loop_domains, loop_domains), 400);
}

static void every_kind_of_change_while_threads_read(void) {
    no_force = false;
    run_workers(WORKERS(write_fmrs, write_scatter, write_user_regions, write_user_regions, write_mappings,
                        write_dma_regions, write_domains, hold_and_release, loop_everything, loop_everything,
                        loop_everything),
                1200);
}

/* --- batches, which have a fast path of their own --- */

static struct rvt_mr_handle short_or_long;

static const uint64_t SHORT_MAPPING = 0x400000, LONG_MAPPING = 0x800000;

static void map_short_and_long(struct worker *w) {
    (void)w;
    uint64_t pages[] = {TAGGED_DMA, TAGGED_DMA + PAGE, TAGGED_DMA + 2 * PAGE};
    while (going()) {
        CHECK_EQ(rvt_map_phys_fmr(short_or_long, pages, 1, SHORT_MAPPING), 0);
        CHECK_EQ(rvt_map_phys_fmr(short_or_long, pages, 3, LONG_MAPPING), 0);
    }
}

/* Checks an address that lies behind the short mapping and before the long one: only the address of one with
 * the length of the other would accept it. One element in 16 is inside the long mapping. */
static void check_batches_behind_the_short_mapping(struct worker *w) {
    enum { COUNT = 4096 };
    static unsigned char packed[COUNT * RVT_PACKED_SGE_BYTES];
    static uint32_t verdict[COUNT];
    struct rvt_checker checker;
    CHECK(rvt_checker_of_pd(world.pd, &checker));
    uint32_t length = 8, key = fixture_key(short_or_long);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint64_t addr = i % 16 ? SHORT_MAPPING + 2 * PAGE : LONG_MAPPING;
        memcpy(packed + RVT_PACKED_SGE_BYTES * i, &addr, 8);
        memcpy(packed + RVT_PACKED_SGE_BYTES * i + 8, &length, 4);
        memcpy(packed + RVT_PACKED_SGE_BYTES * i + 12, &key, 4);
    }
    const struct rvt_batch batch = {&checker, packed, COUNT, 0, NULL, false};
    const struct rvt_batch_columns columns = {.verdict = verdict};
    struct rvt_batch_result result;
    while (going()) {
        CHECK_EQ(rvt_check_batch(w->reader, &batch, &columns, &result), 0);
        for (uint32_t i = 0; i < COUNT; i++) {
            w->accepted += i % 16 == 0 && !verdict[i];
            w->stale += i % 16 != 0 && !verdict[i];
        }
    }
}

static void batch_checks_never_mix_two_mappings(void) {
    static struct worker workers[2];
    workers[0] = (struct worker){.run = map_short_and_long};
    workers[1] = (struct worker){.run = check_batches_behind_the_short_mapping};
    REQUIRE(fixture_open(&world, 4));
    fixture_dma(&world, tagged, sizeof(tagged), TAGGED_DMA);
    short_or_long = fixture_fmr(&world, ALL_ACCESS, 3, 12);
    atomic_store(&stop, false);
    for (unsigned i = 0; i < 2; i++)
        REQUIRE(pthread_create(&workers[i].thread, NULL, work_as_reader, &workers[i]) == 0);
    nanosleep(&(struct timespec){1, 0}, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
    CHECK_EQ(workers[1].stale, 0);
    CHECK(workers[1].accepted > 0);
    fixture_close(&world);
}

/* A device closes by cascade while threads use it. They find their handles closed, and the SGEs they hold
 * revoked. */
static void use_until_closed(struct worker *w) {
    int closed = 0;
    while (!closed) {
        struct rvt_sge sge;
        enum rvt_reason reason;
        uint64_t tag = roll(&w->seed, TAGS);
        int answer =
            check_local(w, world.pd, &sge, NULL, fmr_address(tag), 2 * PAGE, mapped_only_key, 0, &reason);
        closed = answer != 1 && reason == RVT_CLOSED;
        if (answer != 1)
            continue;
        reason = read_out(w, &sge, tag);
        CHECK(reason == RVT_REASON_NONE || reason == RVT_REGION_REVOKED);
        rvt_put_sge(&sge);
    }
}

static void devices_closed_while_threads_read(void) {
    for (int round = 0; round < 40; round++) {
        static struct worker workers[3];
        REQUIRE(fixture_open(&world, 4));
        fixture_dma(&world, tagged, sizeof(tagged), TAGGED_DMA);
        mapped_only = fixture_fmr(&world, ALL_ACCESS, 2, 12);
        mapped_only_key = fixture_key(mapped_only);
        CHECK_EQ(map_tag(mapped_only, (uint64_t)round % TAGS), 0);
        for (unsigned i = 0; i < 3; i++) {
            workers[i] = (struct worker){.run = use_until_closed, .seed = i, .index = i};
            rvt_dev_get(world.device);
            REQUIRE(pthread_create(&workers[i].thread, NULL, work_as_reader, &workers[i]) == 0);
        }
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        CHECK_EQ(rvt_mr_exit(world.device, true, NULL), 0);
        for (unsigned i = 0; i < 3; i++) {
            REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
            rvt_dev_put(world.device);
        }
        rvt_dev_put(world.device);
        rvt_reader_unregister(world.reader);
        CHECK_EQ(rvt_test_alloc_live(), world.live);
    }
}

CHECK_MAIN(TEST(fmrs_mapped_while_threads_read), TEST(scatter_regions_registered_while_threads_read),
           TEST(user_regions_released_while_threads_read),
           TEST(dma_mappings_removed_while_threads_use_key_zero), TEST(domains_closed_while_threads_read),
           TEST(every_kind_of_change_while_threads_read), TEST(batch_checks_never_mix_two_mappings),
           TEST(devices_closed_while_threads_read))
