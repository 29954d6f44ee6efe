/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads that check, copy and put against threads that make, map, revoke and close, on one device.
 *
 * What must never happen is a mixture: an access that was judged by one state of a region and uses the bytes
 * of another. So every mapping has a tag. All memory under a tag is filled with it, and the addresses under
 * which a region answers are a function of the tag. A reader asks for the addresses of a tag; if it is let
 * in, what it copies out must be that tag to the last byte, or be refused as stale. Bytes are only written
 * before they are published and after they are let go, so ThreadSanitizer and AddressSanitizer see any use
 * that is out of order.
 *
 * Each test runs for a fixed time, whatever the machine and the sanitizer make of it. */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "access_batch.h"
#include "fixture.h"

enum { TAGS = 4, USER_SLOTS = 2, MAX_WORKERS = 16 };

static struct fixture world;
static atomic_bool stop;

/* Two pages a tag, never changed. */
static alignas(4096) unsigned char tagged[TAGS * 2 * PAGE];

static unsigned char fill_of(uint64_t tag) {
    return (unsigned char)(0x40 + tag);
}

struct worker {
    pthread_t thread;
    void (*run)(struct worker *);
    struct rvt_reader *reader;
    uint64_t seed;
    unsigned index;
    uint64_t accepted, refused, stale;
};

static bool going(void) {
    return !atomic_load_explicit(&stop, memory_order_relaxed);
}

/* --- what readers do with what they were given --- */

/* Copy all of it out: every byte that was moved has the tag. The answer is the reason that stopped it. */
static enum rvt_reason read_out(struct worker *w, struct rvt_sge *sge, uint64_t tag) {
    unsigned char out[3 * PAGE];
    struct rvt_sge_state ss;
    struct rvt_data_call call;
    struct rvt_copied copied = {0, RVT_REASON_NONE};
    rvt_data_call_begin(&call, w->reader, NULL);
    CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){sge}, 1), 0);
    int error = rvt_copy_sge_out(&call, &ss, out, sge->sge_length, false, &copied);
    CHECK_EQ(error, copied.reason ? -RVT_EACCES : 0);
    CHECK(copied.reason || copied.bytes == sge->sge_length);
    for (uint64_t i = 0; i < copied.bytes; i++) {
        if (out[i] != fill_of(tag)) {
            CHECK_EQ(out[i], fill_of(tag));
            break;
        }
    }
    w->stale += copied.reason != RVT_REASON_NONE;
    return copied.reason;
}

static int check_local(struct worker *w, struct rvt_pd_handle pd, struct rvt_sge *sge, struct rvt_sge *last,
                       uint64_t addr, uint32_t length, uint32_t key, uint32_t acc, enum rvt_reason *reason) {
    struct rvt_ib_sge wanted = {addr, length, key};
    rvt_read_enter(w->reader);
    int answer = rvt_lkey_ok(pd, sge, last, &wanted, acc, reason);
    rvt_read_leave(w->reader);
    w->accepted += answer >= 0;
    w->refused += answer < 0;
    return answer;
}

static int check_remote(struct worker *w, struct rvt_qp_handle qp, struct rvt_sge *sge, uint64_t addr,
                        uint32_t length, uint32_t key, uint32_t acc, enum rvt_reason *reason) {
    rvt_read_enter(w->reader);
    int answer = rvt_rkey_ok(qp, sge, length, addr, key, acc, reason);
    rvt_read_leave(w->reader);
    w->accepted += answer == 1;
    w->refused += answer != 1;
    return answer;
}

/* --- FMRs: one that is only mapped, one that is unmapped too --- */

static struct rvt_mr_handle mapped_only, unmapped_too;
static uint32_t mapped_only_key, unmapped_too_key;

static const uint64_t TAGGED_DMA = 0x100000;

static uint64_t fmr_address(uint64_t tag) {
    return (tag + 1) << 20;
}

static int map_tag(struct rvt_mr_handle fmr, uint64_t tag) {
    /* The second page first: the walk must go by the list. */
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
            /* Held by this thread: nobody maps it anew, this thread included. */
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
    /* The verdict without a reference tells a place of the tag, or none. */
    struct rvt_place place;
    struct rvt_ib_sge wanted = {fmr_address(tag) + into, length, key};
    rvt_read_enter(w->reader);
    if (rvt_lkey_check(world.pd, &wanted, 0, &place, &reason) == 1) {
        uint64_t page = TAGGED_DMA + 2 * tag * PAGE + (into < PAGE ? PAGE : 0);
        CHECK_EQ(place.at, page + into % PAGE);
        CHECK_EQ(place.n, into / PAGE);
    }
    rvt_read_leave(w->reader);
}

/* --- a scatter region: mapped, registered under a key of the tag, invalidated --- */

static struct rvt_mr_handle scatter;
static uint32_t scatter_key; /* its upper 24 bits */

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

/* One writer only: registration follows the mapping of the same tag. */
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
    /* Locally: base and length are the tag's, whatever key was the last. The length to the byte. */
    if (check_local(w, world.pd, &sge, NULL, scatter_base(tag), scatter_length(tag) + over, key, 0,
                    &reason) == 1) {
        CHECK_EQ(over, 0);
        reason = read_out(w, &sge, tag);
        CHECK(reason == RVT_REASON_NONE || reason == RVT_REMAPPED);
        rvt_put_sge(&sge);
    } else {
        CHECK(reason == RVT_STALE_KEY || reason == RVT_INVALIDATED || reason == RVT_OUT_OF_BOUNDS);
    }
    /* Remotely: key, iova and access are set in one step. */
    tag = roll(&w->seed, TAGS);
    if (check_remote(w, world.qp, &sge, scatter_iova(tag), scatter_length(tag), scatter_key | (uint32_t)tag,
                     REMOTE_READ | REMOTE_WRITE, &reason) == 1) {
        CHECK_EQ(sge.rights, scatter_access(tag));
        reason = read_out(w, &sge, tag);
        CHECK(reason == RVT_REASON_NONE || reason == RVT_REMAPPED);
        rvt_put_sge(&sge);
    }
    /* Merged over the page's edge: of one mapping, or not merged. */
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

/* --- memory that is made and let go all the time --- */

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

static const struct rvt_memory_ops tagged_ops = {tagged_resolve, tagged_release};

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

/* A release that waits for its readers, as its caller has to. */
static void release_for_good(struct rvt_mr_handle mr, enum rvt_release_mode mode) {
    for (;;) {
        int error = rvt_dereg_mr(mr, mode);
        if (!error)
            return;
        CHECK_EQ(error, -RVT_EBUSY);
        CHECK_EQ(mode, RVT_RELEASE);
        if (error != -RVT_EBUSY || mode != RVT_RELEASE)
            return;
        sched_yield();
    }
}

/* --- user regions: registered and released in every way --- */

/* key << 32 | mode << 8 | tag of the region that is, or was last, in a writer's hands */
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
            /* Held elements stay good, but for force. */
            CHECK(reason == RVT_REASON_NONE || (reason == RVT_REGION_REVOKED && mode == RVT_RELEASE_FORCE));
            if (roll(&w->seed, 8) == 0)
                sched_yield();
        }
        rvt_put_sge(&sge);
    } else {
        CHECK(reason == RVT_REVOKED || reason == RVT_NO_SUCH_KEY || reason == RVT_STALE_KEY);
    }
    /* A byte more than there is: never. */
    CHECK(check_local(w, world.pd, &sge, NULL, user_start(tag), user_length(tag) + 1, key, 0, &reason) != 1);
}

/* A region whose key nobody else knows: its counts are exact in the middle of everything. */
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

/* Set for a test in which DMA regions are never ended by force. */
static bool gentle;

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
        release_for_good(mr, (enum rvt_release_mode)roll(&w->seed, gentle ? 2 : 3));
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
        /* While it is held the mapping stays, so its bytes do. */
        for (int i = 0; i < 2; i++) {
            reason = read_out(w, &sge, tag);
            CHECK(reason == RVT_REASON_NONE || (reason == RVT_REGION_REVOKED && !gentle));
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
        CHECK_EQ(rvt_create_qp(pd, &qp), 0);
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
    } else if (answer != -RVT_EBADF) {
        CHECK_EQ(answer, remotely ? 0 : -RVT_EINVAL);
    }
    /* Never by another domain. */
    CHECK(check_local(w, world.pd, &sge, NULL, user_start(tag), 200, key, 0, &reason) != 1);
    CHECK(check_remote(w, world.qp, &sge, user_iova(tag), 200, key, REMOTE_READ, &reason) != 1);
}

/* --- putting it together --- */

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

static void *work(void *argument) {
    struct worker *w = argument;
    w->run(w);
    return NULL;
}

/* Queries tell what is at rest: no thread is left when this is called. */
static void all_counts_are_home(void) {
    struct rvt_mr_handle lasting[] = {mapped_only, unmapped_too, scatter};
    for (int i = 0; i < 3; i++)
        CHECK_EQ(fixture_refs(lasting[i]), 2);
    CHECK_EQ(fixture_head(world.device).used, 3);
    /* And nothing but the lasting ones is in the domains. */
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

    for (; runs[count]; count++) {
        workers[count] = (struct worker){.run = runs[count], .seed = count, .index = count};
        workers[count].reader = rvt_reader_register();
        REQUIRE(workers[count].reader != NULL);
    }
    for (unsigned i = 0; i < count; i++)
        REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    nanosleep(&time, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < count; i++) {
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
        rvt_reader_unregister(workers[i].reader);
        accepted += workers[i].accepted;
        if (workers[i].accepted + workers[i].refused)
            printf("# worker %u: %" PRIu64 " accepted, %" PRIu64 " refused, %" PRIu64 " stale\n", i,
                   workers[i].accepted, workers[i].refused, workers[i].stale);
    }
    CHECK(accepted > 0); /* or nothing was tested */
    all_counts_are_home();
    fixture_close(&world);
}

#define WORKERS(...) ((void (*const[])(struct worker *)){__VA_ARGS__, NULL})

static void fmrs(void) {
    run_workers(WORKERS(write_fmrs, write_fmrs, loop_fmrs, loop_fmrs, loop_fmrs), 600);
}

static void scatter_regions(void) {
    run_workers(WORKERS(write_scatter, loop_scatter, loop_scatter, loop_scatter), 600);
}

static void user_regions(void) {
    run_workers(WORKERS(write_user_regions, write_user_regions, hold_and_release, loop_user_regions,
                        loop_user_regions, loop_user_regions),
                600);
}

static void key_zero(void) {
    gentle = true;
    run_workers(WORKERS(write_mappings, write_dma_regions, loop_key_zero, loop_key_zero), 400);
    gentle = false;
    run_workers(WORKERS(write_mappings, write_dma_regions, write_dma_regions, loop_key_zero, loop_key_zero),
                400);
}

static void domains(void) {
    run_workers(WORKERS(write_domains, loop_domains, loop_domains), 400);
}

static void everything_at_once(void) {
    gentle = false;
    run_workers(WORKERS(write_fmrs, write_scatter, write_user_regions, write_user_regions, write_mappings,
                        write_dma_regions, write_domains, hold_and_release, loop_everything, loop_everything,
                        loop_everything),
                1200);
}

/* A device that is closed by cascade while threads use it: they find their handles dead, and what they hold.
 */
static void use_until_closed(struct worker *w) {
    int closed = 0;
    while (!closed) {
        struct rvt_sge sge;
        enum rvt_reason reason;
        uint64_t tag = roll(&w->seed, TAGS);
        int answer =
            check_local(w, world.pd, &sge, NULL, fmr_address(tag), 2 * PAGE, mapped_only_key, 0, &reason);
        closed = answer == -RVT_EBADF;
        if (answer != 1)
            continue;
        reason = read_out(w, &sge, tag);
        CHECK(reason == RVT_REASON_NONE || reason == RVT_REGION_REVOKED);
        rvt_put_sge(&sge);
    }
}

static void closing_under_use(void) {
    for (int round = 0; round < 40; round++) {
        static struct worker workers[3];
        REQUIRE(fixture_open(&world, 4));
        fixture_dma(&world, tagged, sizeof(tagged), TAGGED_DMA);
        mapped_only = fixture_fmr(&world, ALL_ACCESS, 2, 12);
        mapped_only_key = fixture_key(mapped_only);
        CHECK_EQ(map_tag(mapped_only, (uint64_t)round % TAGS), 0);
        for (unsigned i = 0; i < 3; i++) {
            workers[i] = (struct worker){.run = use_until_closed, .seed = i, .index = i};
            workers[i].reader = rvt_reader_register();
            rvt_dev_get(world.device);
            REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
        }
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        CHECK_EQ(rvt_mr_exit(world.device, true, NULL), 0);
        for (unsigned i = 0; i < 3; i++) {
            REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
            rvt_reader_unregister(workers[i].reader);
            rvt_dev_put(world.device);
        }
        rvt_dev_put(world.device);
        rvt_reader_unregister(world.reader);
        CHECK_EQ(rvt_test_alloc_live(), world.live);
    }
}

/* --- environments that come and go on one device ---
 *
 * Each thread is an environment with a heap of its own, which it registers, maps and shows to the others. It
 * ends as a worker does: context, rvt_synchronize, rvt_reclaim, and then its heap is written over and freed
 * by itself, whoever may still have a name of it. */

enum { ENVIRONMENTS = 4, HEAP = 3 * PAGE, HELD = 3, MEMORIES = 2 };

struct environment {
    struct worker w; /* thread, reader, seed, index */
    struct rvt_ucontext *context;
    struct rvt_pd_handle pd, common;
    struct rvt_checker checker;
    unsigned char *heap, *scratch; /* what the others read; and what only this thread reads and writes */
    struct rvt_mr_handle region, fmr, scratch_mr;
    uint32_t fmr_key, scratch_key;
    struct rvt_dma_handle dma;
    struct rvt_sge held[HELD]; /* on the others', over the end of this one */
    unsigned holds;
    uint64_t lives, accepted, refused, bytes;
};

static struct rvt_dev_info *common_device;
static uint64_t common_domain;                       /* a serial number */
static _Atomic(uint32_t) known_key[ENVIRONMENTS];    /* of its region, or of its last one */
static _Atomic(uint64_t) known_domain[ENVIRONMENTS]; /* a serial number, likewise */
static _Atomic(uint64_t) known_memory[MEMORIES];

static uint64_t heap_start(uint64_t whose) {
    return (whose + 1) << 32;
}
static uint64_t heap_dma(uint64_t whose) {
    return (whose + 1) << 40;
}

struct heap_memory {
    struct rvt_memory memory;
    unsigned char *data; /* the environment's: nothing is freed with this */
};

static enum rvt_reason heap_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    static _Thread_local unsigned calls;
    (void)environment;
    *data = ((struct heap_memory *)memory)->data;
    /* With the place in hand: whoever ends now must wait for the bytes to be moved. */
    if (++calls % 4 == 0)
        sched_yield();
    return RVT_REASON_NONE;
}

static void heap_release(struct rvt_memory *memory) {
    rvt_free(memory);
}

static const struct rvt_memory_ops heap_ops = {heap_resolve, heap_release};

static struct rvt_memory *heap_memory(unsigned char *data, uint64_t length) {
    struct heap_memory *own = rvt_malloc(sizeof(*own));
    if (!own)
        abort();
    own->data = data;
    rvt_memory_init(&own->memory, &heap_ops, length);
    return &own->memory;
}

static struct rvt_mr_handle register_heap(struct rvt_pd_handle pd, unsigned char *data, uint64_t length,
                                          uint64_t start, int *error) {
    struct rvt_mr_handle mr = {0};
    struct rvt_memory *memory = heap_memory(data, length);
    *error = rvt_reg_user_mr(pd, memory, start, start, ALL_ACCESS, &mr);
    rvt_memory_put(memory);
    return mr;
}

static void show_region(struct environment *e) {
    int error;
    e->region = register_heap(e->common, e->heap, HEAP, heap_start(e->w.index), &error);
    CHECK_EQ(error, 0);
    if (roll(&e->w.seed, 2))
        CHECK_EQ(rvt_count_mr(e->region), 0);
    atomic_store_explicit(&known_key[e->w.index], fixture_key(e->region), memory_order_release);
}

static void begin_life(struct environment *e) {
    int error;
    e->w.reader = rvt_reader_register();
    e->heap = malloc(HEAP);
    e->scratch = malloc(HEAP);
    if (!e->w.reader || !e->heap || !e->scratch)
        abort();
    memset(e->heap, fill_of(e->w.index), HEAP);
    memset(e->scratch, 0, HEAP);
    CHECK_EQ(rvt_alloc_ucontext(common_device, &e->context), 0);
    CHECK_EQ(rvt_alloc_pd(common_device, e->context, false, &e->pd), 0);
    CHECK_EQ(rvt_attach_pd(e->context, common_domain, &e->common), 0);
    CHECK(rvt_checker_of_pd(e->common, &e->checker));
    struct rvt_memory *memory = heap_memory(e->heap, HEAP);
    uint64_t address = heap_dma(e->w.index);
    CHECK_EQ(rvt_dma_map(common_device, e->context, memory, true, &address, &e->dma), 0);
    rvt_memory_put(memory);
    CHECK_EQ(rvt_alloc_fmr(e->common, ALL_ACCESS, &(struct rvt_fmr_attr){2, 1, 12}, &e->fmr), 0);
    e->fmr_key = fixture_key(e->fmr);
    e->scratch_mr = register_heap(e->common, e->scratch, HEAP, 0, &error);
    CHECK_EQ(error, 0);
    e->scratch_key = fixture_key(e->scratch_mr);
    e->holds = 0;
    show_region(e);
    atomic_store(&known_domain[e->w.index], e->pd.pd->serial);
    e->lives++;
}

static void end_life(struct environment *e) {
    struct rvt_sge late = {0};
    enum rvt_reason reason;
    if (roll(&e->w.seed, 4) == 0)
        CHECK_EQ(rvt_dealloc_ucontext(e->context, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_ucontext(e->context, true), 0);
    rvt_synchronize();
    rvt_reclaim();
    memset(e->heap, 0xdd, HEAP); /* who still looks now races, and ThreadSanitizer tells */
    free(e->heap);
    free(e->scratch);
    CHECK_EQ(
        check_local(&e->w, e->common, &late, NULL, heap_start(0), 1, atomic_load(&known_key[0]), 0, &reason),
        -RVT_EBADF);
    CHECK_EQ(rvt_dealloc_ucontext(e->context, true), -RVT_EBADF);
    while (e->holds)
        rvt_put_sge(&e->held[--e->holds]);
    rvt_free_ucontext(e->context);
    rvt_reader_unregister(e->w.reader);
    for (uint64_t absent = roll(&e->w.seed, 8); absent; absent--) /* its names are known all the while */
        sched_yield();
}

static void tally(struct environment *e, const struct rvt_batch_result *result) {
    e->accepted += result->passed;
    e->refused += result->reason != RVT_REASON_NONE;
}

static bool all_are(const unsigned char *data, uint64_t length, unsigned char fill) {
    for (uint64_t i = 0; i < length; i++)
        if (data[i] != fill)
            return false;
    return true;
}

/* An element that was accepted: its bytes are the owner's, or it says why not. */
static void use_element(struct environment *e, struct rvt_sge *sge, uint64_t whose, enum rvt_reason allowed) {
    for (int i = 0; i < 2; i++) {
        enum rvt_reason reason = read_out(&e->w, sge, whose);
        CHECK(reason == RVT_REASON_NONE || reason == allowed);
        if (roll(&e->w.seed, 2))
            sched_yield();
    }
}

static void use_regions(struct environment *e) {
    uint64_t whose = roll(&e->w.seed, ENVIRONMENTS), into = roll(&e->w.seed, HEAP);
    uint32_t length = (uint32_t)roll(&e->w.seed, HEAP - into) + 1;
    uint32_t key = atomic_load_explicit(&known_key[whose], memory_order_acquire);
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    int answer = check_local(&e->w, e->common, &sge, NULL, heap_start(whose) + into, length, key, 0, &reason);
    e->accepted += answer == 1;
    e->refused += answer != 1;
    if (answer != 1) {
        CHECK_EQ(answer, -RVT_EINVAL);
        CHECK(reason == RVT_REVOKED || reason == RVT_NO_SUCH_KEY || reason == RVT_STALE_KEY);
        return;
    }
    use_element(e, &sge, whose, RVT_REGION_REVOKED);
    if (e->holds < HELD && roll(&e->w.seed, 4) == 0)
        e->held[e->holds++] = sge;
    else
        rvt_put_sge(&sge);
}

/* By key 0: the DMA region is the first one's and stays; the mapping under it goes. */
static void use_key_zero(struct environment *e) {
    uint64_t whose = roll(&e->w.seed, ENVIRONMENTS);
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    int answer = check_local(&e->w, e->common, &sge, NULL, heap_dma(whose), HEAP, 0, 0, &reason);
    e->accepted += answer == 1;
    e->refused += answer != 1;
    if (answer == 1) {
        use_element(e, &sge, whose, RVT_REGION_REVOKED);
        if (e->holds < HELD && roll(&e->w.seed, 4) == 0)
            e->held[e->holds++] = sge;
        else
            rvt_put_sge(&sge);
    } else {
        CHECK_EQ(reason, RVT_UNMAPPED);
    }
}

/* A page list over another's heap, or over two of them. */
static void use_fmr(struct environment *e) {
    uint64_t whose = roll(&e->w.seed, ENVIRONMENTS), other = roll(&e->w.seed, 2) ? whose : e->w.index;
    uint64_t pages[] = {heap_dma(whose) + PAGE, heap_dma(other) + 2 * PAGE};
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    int error = rvt_map_phys_fmr(e->fmr, pages, 2, heap_start(whose));
    CHECK(error == 0 || error == -RVT_EINVAL); /* its mapping is away for the moment */
    int answer =
        check_local(&e->w, e->common, &sge, NULL, heap_start(whose) + 16, PAGE - 16, e->fmr_key, 0, &reason);
    e->accepted += answer == 1;
    e->refused += answer != 1;
    if (answer == 1) {
        use_element(e, &sge, whose, RVT_REMAPPED);
        /* Held, so nobody else's end maps it anew; but it may map nothing by now. */
        CHECK_EQ(rvt_map_phys_fmr(e->fmr, pages, 2, 0), -RVT_EBUSY);
        rvt_put_sge(&sge);
    } else {
        CHECK_EQ(reason, RVT_OUT_OF_BOUNDS);
    }
}

enum { ELEMENTS = 6, PIECE = 500 };

/* A list of pieces of anybody's heap; whose[i] is the owner. */
static void any_pieces(struct environment *e, unsigned char *packed, uint64_t *whose) {
    for (int i = 0; i < ELEMENTS; i++) {
        whose[i] = roll(&e->w.seed, ENVIRONMENTS);
        const bool zero = roll(&e->w.seed, 6) == 0;
        uint64_t addr = zero ? heap_dma(whose[i]) : heap_start(whose[i]);
        uint32_t length = PIECE, key = zero ? 0 : atomic_load(&known_key[whose[i]]);
        addr += roll(&e->w.seed, HEAP - PIECE);
        memcpy(packed + 16 * i, &addr, 8);
        memcpy(packed + 16 * i + 8, &length, 4);
        memcpy(packed + 16 * i + 12, &key, 4);
    }
}

static void use_batches(struct environment *e) {
    unsigned char packed[ELEMENTS * 16], own[16], data[ELEMENTS * PIECE];
    uint64_t whose[ELEMENTS], at[ELEMENTS], into = 0;
    uint32_t verdict[ELEMENTS], all = ELEMENTS * PIECE;
    struct rvt_batch batch = {&e->checker, packed, ELEMENTS, LOCAL_WRITE};
    struct rvt_batch target = {&e->checker, own, 1, LOCAL_WRITE};
    struct rvt_batch_columns columns = {.verdict = verdict};
    struct rvt_batch_result result, other;
    struct rvt_data_call call;
    any_pieces(e, packed, whose);
    memcpy(own, &into, 8);
    memcpy(own + 8, &all, 4);
    memcpy(own + 12, &e->scratch_key, 4);
    rvt_data_call_begin(&call, e->w.reader, NULL);
    call.context = e->context;
    switch (roll(&e->w.seed, 6)) {
    case 0:
        columns.at = at;
        /* fall through */
    case 1:
        CHECK_EQ(rvt_check_batch(e->w.reader, &batch, &columns, &result), 0);
        e->accepted += result.passed;
        e->refused += ELEMENTS - result.passed;
        return;
    case 2: {
        int one = rvt_check_one(e->w.reader, &batch);
        CHECK(one >= 0);
        e->accepted += one == 0;
        e->refused += one != 0;
        return;
    }
    case 3: {
        struct rvt_sge held[ELEMENTS];
        memset(held, 0, sizeof(held));
        CHECK_EQ(rvt_acquire_batch(e->w.reader, &batch, true, NULL, held, &columns, &result), 0);
        e->accepted += result.passed;
        e->refused += ELEMENTS - result.passed;
        for (int i = 0; i < ELEMENTS; i++)
            if (held[i].mr)
                use_element(e, &held[i], whose[i], RVT_REGION_REVOKED);
        rvt_release_batch(held, ELEMENTS);
        return;
    }
    case 4:
        CHECK_EQ(rvt_gather_batch(&call, &batch, data, sizeof(data), &result), 0);
        tally(e, &result);
        e->bytes += result.bytes;
        for (uint64_t i = 0; i < result.bytes / PIECE; i++)
            CHECK(all_are(data + i * PIECE, PIECE, fill_of(whose[i])));
        memset(data, 0x99, sizeof(data));
        CHECK_EQ(rvt_scatter_batch(&call, &target, data, sizeof(data), &result), 0);
        tally(e, &result);
        e->bytes += result.bytes;
        CHECK_EQ(result.bytes, sizeof(data));
        CHECK(all_are(e->scratch, sizeof(data), 0x99));
        return;
    default:
        CHECK_EQ(rvt_copy_batch(&call, &batch, &target, &result, &other), 0);
        tally(e, &result);
        tally(e, &other);
        e->bytes += result.bytes;
        CHECK_EQ(other.bytes, result.bytes);
        for (uint64_t i = 0; i < result.bytes / PIECE; i++)
            CHECK(all_are(e->scratch + i * PIECE, PIECE, fill_of(whose[i])));
    }
}

/* In another's domain, which may end at any moment and takes this along. */
static void settle_with_another(struct environment *e) {
    uint64_t serial = atomic_load(&known_domain[roll(&e->w.seed, ENVIRONMENTS)]);
    struct rvt_pd_handle theirs;
    struct rvt_sge sge;
    enum rvt_reason reason;
    int error = rvt_attach_pd(e->context, serial, &theirs);
    CHECK(error == 0 || error == -RVT_EINVAL);
    if (error)
        return;
    struct rvt_mr_handle mr = register_heap(theirs, e->heap, HEAP, heap_start(e->w.index), &error);
    CHECK(error == 0 || error == -RVT_EBADF);
    struct rvt_mr_attributes attributes;
    if (error || rvt_query_mr(mr, &attributes))
        return;
    int answer = check_local(&e->w, theirs, &sge, NULL, heap_start(e->w.index), HEAP, attributes.keys.lkey, 0,
                             &reason);
    if (answer != -RVT_EBADF) {
        e->accepted += answer == 1;
        e->refused += answer != 1;
    }
    if (answer == 1) {
        use_element(e, &sge, e->w.index, RVT_REGION_REVOKED);
        rvt_put_sge(&sge);
    }
    error = rvt_dereg_mr(mr, RVT_RELEASE_DISPOSE);
    CHECK(error == 0 || error == -RVT_EBADF);
}

static void use_device_memory(struct environment *e) {
    _Atomic(uint64_t) *known = &known_memory[roll(&e->w.seed, MEMORIES)];
    struct rvt_device_memory *memory;
    int error;
    if (roll(&e->w.seed, 3) == 0) {
        CHECK_EQ(rvt_alloc_device_memory(common_device, e->context, PAGE, false, &memory), 0);
        memset(memory->pages.data, fill_of(e->w.index), PAGE);
        memory->pages.data[0] = (unsigned char)e->w.index; /* which fill it has */
        atomic_store_explicit(known, memory->serial, memory_order_release);
        rvt_memory_put(&memory->memory);
        return;
    }
    error = rvt_find_device_memory(common_device, e->context,
                                   atomic_load_explicit(known, memory_order_acquire), &memory);
    CHECK(error == 0 || error == -RVT_EINVAL);
    if (error)
        return;
    struct rvt_memory *slice = rvt_device_memory_slice(memory, 1, PAGE - 1);
    if (slice) {
        struct rvt_mr_handle mr;
        struct rvt_sge sge;
        enum rvt_reason reason;
        CHECK_EQ(rvt_reg_user_mr(e->common, slice, 0, 0, 0, &mr), 0);
        rvt_memory_put(slice);
        CHECK_EQ(rvt_free_device_memory(common_device, e->context, memory), -RVT_EBUSY);
        CHECK_EQ(check_local(&e->w, e->common, &sge, NULL, 0, PAGE - 1, fixture_key(mr), 0, &reason), 1);
        e->accepted++;
        CHECK_EQ(read_out(&e->w, &sge, memory->pages.data[0]), RVT_REASON_NONE);
        rvt_put_sge(&sge);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    } else {
        CHECK(rvt_device_memory_freed(memory));
    }
    if (roll(&e->w.seed, 2)) {
        error = rvt_free_device_memory(common_device, e->context, memory);
        CHECK(error == 0 || error == -RVT_EBUSY || error == -RVT_EBADF);
    }
    CHECK(memory->pages.data[0] < ENVIRONMENTS); /* whoever has freed it */
    rvt_memory_put(&memory->memory);
}

static void live_once(struct environment *e) {
    begin_life(e);
    for (uint64_t acts = roll(&e->w.seed, 30); acts && going(); acts--) {
        if (roll(&e->w.seed, 4) == 0)
            sched_yield();
        switch (roll(&e->w.seed, 10)) {
        case 0:
        case 1:
            use_regions(e);
            break;
        case 2:
        case 3:
        case 4:
            use_batches(e);
            break;
        case 5:
            use_fmr(e);
            break;
        case 6:
            use_key_zero(e);
            break;
        case 7:
            settle_with_another(e);
            break;
        case 8:
            use_device_memory(e);
            break;
        default: /* taken back from all who use it, and shown again; counted while it is used */
            if (roll(&e->w.seed, 2)) {
                CHECK_EQ(rvt_dereg_mr(e->region, RVT_RELEASE_FORCE), 0);
                show_region(e);
            } else {
                CHECK_EQ(rvt_count_mr(e->region), 0);
            }
        }
    }
    end_life(e);
}

static void live_again_and_again(struct worker *w) {
    while (going())
        live_once((struct environment *)w);
}

static struct environment environments[ENVIRONMENTS];

static void environments_come_and_go(void) {
    struct fixture keeper;
    struct rvt_mr_handle dma_mr;
    REQUIRE(fixture_open_joined(&keeper, 7));
    CHECK_EQ(rvt_get_dma_mr(keeper.pd, 0, &dma_mr), 0);
    common_device = keeper.device;
    common_domain = keeper.pd.pd->serial;
    memset(environments, 0, sizeof(environments));
    for (int i = 0; i < ENVIRONMENTS; i++) {
        atomic_store(&known_key[i], 0xffffff00u);
        atomic_store(&known_domain[i], 0);
    }
    for (int i = 0; i < MEMORIES; i++)
        atomic_store(&known_memory[i], 0);
    atomic_store(&stop, false);
    for (unsigned i = 0; i < ENVIRONMENTS; i++) {
        environments[i].w = (struct worker){.run = live_again_and_again, .seed = i, .index = i};
        REQUIRE(pthread_create(&environments[i].w.thread, NULL, work, &environments[i].w) == 0);
    }
    /* Counters and resources are looked at all the while. */
    struct rvt_counts last = {0};
    for (int i = 0; i < 90; i++) {
        struct rvt_counts now = fixture_counts(common_device, NULL);
        CHECK(now.accepted >= last.accepted && now.bytes >= last.bytes);
        for (unsigned reason = 0; reason < RVT_REASON_COUNT; reason++)
            CHECK(now.refused[reason] >= last.refused[reason]);
        last = now;
        CHECK(fixture_contexts(common_device) <= ENVIRONMENTS + 1);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    atomic_store(&stop, true);
    uint64_t accepted = 0, refused = 0, moved = 0, lives = 0, told = 0, stale = 0;
    for (int i = 0; i < ENVIRONMENTS; i++) {
        REQUIRE(pthread_join(environments[i].w.thread, NULL) == 0);
        accepted += environments[i].accepted;
        refused += environments[i].refused;
        moved += environments[i].bytes;
        lives += environments[i].lives;
        stale += environments[i].w.stale;
    }
    printf("# %" PRIu64 " lives: %" PRIu64 " accepted, %" PRIu64 " refused, %" PRIu64 " stale\n", lives,
           accepted, refused, stale);
    CHECK(lives > ENVIRONMENTS && accepted > 0);
    /* To the last one: what was counted is what was answered. */
    last = fixture_counts(common_device, NULL);
    CHECK_EQ(last.accepted, accepted);
    CHECK_EQ(last.bytes, moved);
    for (unsigned reason = 0; reason < RVT_REASON_COUNT; reason++)
        told += last.refused[reason];
    CHECK_EQ(told, refused);
    CHECK_EQ(fixture_refs(dma_mr), 3);
    CHECK_EQ(fixture_head(common_device).used, 0);
    CHECK_EQ(fixture_contexts(common_device), 1);
    CHECK(atomic_load(&common_device->dma.table) == NULL);
    fixture_leave_last(&keeper, &keeper);
}

/* --- a device that nobody keeps: it closes with the last who leaves, and who comes too late opens another
 * --- */

static pthread_mutex_t token_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rvt_share_token current_token;
static atomic_uint opened_devices, attached_devices;

static void come_in_and_leave(struct worker *w) {
    while (going()) {
        struct rvt_dev_info *device = NULL;
        struct rvt_ucontext *context = NULL;
        struct rvt_share_token token;
        pthread_mutex_lock(&token_lock);
        token = current_token;
        pthread_mutex_unlock(&token_lock);
        int error = rvt_find_shared(&token, &device);
        CHECK(error == 0 || error == -RVT_ENODEV || error == -RVT_EXDEV);
        if (!error) {
            error = rvt_alloc_ucontext(device, &context);
            CHECK(error == 0 || error == -RVT_EBADF); /* it closed in between */
            if (error) {
                rvt_dev_put(device);
                continue;
            }
            atomic_fetch_add(&attached_devices, 1);
        } else {
            struct rvt_device_options options = {.lkey_table_bits = 2};
            CHECK_EQ(rvt_driver_mr_init(&options, &device), 0);
            CHECK_EQ(rvt_alloc_ucontext(device, &context), 0);
            CHECK_EQ(rvt_share_device(device, &token), 0);
            pthread_mutex_lock(&token_lock);
            current_token = token;
            pthread_mutex_unlock(&token_lock);
            atomic_fetch_add(&opened_devices, 1);
        }
        struct rvt_pd_handle pd, first;
        struct rvt_mr_handle mr;
        struct rvt_device_memory *memory;
        struct rvt_counts counts;
        uint64_t address = 0;
        struct rvt_dma_handle dma;
        /* What any of them may answer while another one closes the device for all. */
        bool open = rvt_alloc_pd(device, context, false, &pd) == 0;
        if (open && rvt_attach_pd(context, 1, &first) == 0 && !roll(&w->seed, 3))
            rvt_alloc_mr(first, RVT_MR_TYPE_MEM_REG, 1, &mr);
        struct rvt_memory *map = rvt_fixed_memory(tagged, PAGE);
        if (open && rvt_dma_map(device, context, map, false, &address, &dma) == 0 && roll(&w->seed, 2))
            rvt_dma_unmap(dma);
        rvt_memory_put(map);
        if (open && rvt_alloc_device_memory(device, context, 1, false, &memory) == 0) {
            if (roll(&w->seed, 2))
                rvt_free_device_memory(device, context, memory);
            rvt_memory_put(&memory->memory);
        }
        rvt_read_counters(device, NULL, &counts);
        for (uint64_t others = roll(&w->seed, 4); others; others--)
            sched_yield();
        if (roll(&w->seed, 20) == 0) {
            error = rvt_mr_exit(device, true, NULL);
            CHECK(error == 0 || error == -RVT_EBADF);
            CHECK_EQ(rvt_share_device(device, &token), -RVT_EBADF);
        }
        CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
        rvt_free_ucontext(context);
        rvt_dev_put(device);
    }
}

static void devices_close_behind_the_last(void) {
    long live = rvt_test_alloc_live();
    static struct worker workers[4];
    atomic_store(&stop, false);
    memset(&current_token, 0, sizeof(current_token));
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){.run = come_in_and_leave, .seed = i, .index = i};
        REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    nanosleep(&(struct timespec){0, 700000000}, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 4; i++)
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
    rvt_reclaim();
    printf("# %u devices opened, %u times attached\n", atomic_load(&opened_devices),
           atomic_load(&attached_devices));
    struct rvt_dev_info *found;
    int error = rvt_find_shared(&current_token, &found);
    CHECK_EQ(error, -RVT_ENODEV);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

CHECK_MAIN(TEST(fmrs), TEST(scatter_regions), TEST(user_regions), TEST(key_zero), TEST(domains),
           TEST(everything_at_once), TEST(closing_under_use), TEST(environments_come_and_go),
           TEST(devices_close_behind_the_last))
