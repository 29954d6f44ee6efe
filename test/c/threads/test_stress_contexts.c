/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts are created and deallocated while other contexts check, copy and hold their objects, and devices
 * close with their last context. Each test runs for a fixed time, as in test_stress.c. */
#include "core/access/batch.h"
#include "stress.h"

/* --- environments that come and go on one device ---
 *
 * Each thread is an environment with its own heap, which it registers, maps and announces to the others. It
 * ends as a worker thread does: it deallocates its context, and then overwrites and frees its heap, although
 * other threads may still know its keys. */

enum { ENVIRONMENTS = 4, HEAP = 3 * PAGE, HELD = 3, MEMORIES = 2 };

struct environment {
    struct worker w; /* must be the first member: thread, reader, seed, index */
    struct rvt_ucontext *context;
    struct rvt_pd_handle pd, common;
    struct rvt_checker checker;
    /* The heap is read by other threads; scratch is used only by this thread. */
    unsigned char *heap, *scratch;
    struct rvt_mr_handle region, fmr, scratch_mr;
    uint32_t fmr_key, scratch_key;
    struct rvt_dma_handle dma;
    struct rvt_sge held[HELD]; /* SGEs on other environments' regions, which may outlive those environments */
    unsigned holds;
    uint64_t lives, accepted, refused, bytes;
};

static struct rvt_dev_info *common_device;
/* Serial number of the domain that all environments attach. */
static uint64_t common_domain;
static _Atomic(uint32_t) known_key[ENVIRONMENTS];    /* key of each environment's current or last region */
static _Atomic(uint64_t) known_domain[ENVIRONMENTS]; /* serial number of its current or last domain */
static _Atomic(uint64_t) known_memory[MEMORIES];

static uint64_t heap_start(uint64_t whose) {
    return (whose + 1) << 32;
}
static uint64_t heap_dma(uint64_t whose) {
    return (whose + 1) << 40;
}

struct heap_memory {
    struct rvt_memory memory;
    unsigned char *data; /* belongs to the environment; not freed with this struct */
};

static enum rvt_reason heap_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    static _Thread_local unsigned calls;
    (void)environment;
    *data = ((struct heap_memory *)memory)->data;
    /* Yield after the address was resolved: a verb that takes the memory must wait until the bytes are
     * copied. */
    if (++calls % 4 == 0)
        sched_yield();
    return RVT_REASON_NONE;
}

static void heap_release(struct rvt_memory *memory) {
    rvt_free(memory);
}

static const struct rvt_memory_ops heap_ops = {heap_resolve, heap_release, NULL};

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
    CHECK_EQ(rvt_alloc_ucontext(common_device, e->w.reader, &e->context), 0);
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
    atomic_store(&known_domain[e->w.index], rvt_pd_serial(e->pd));
    e->lives++;
}

static void end_life(struct environment *e) {
    struct rvt_sge late = {0};
    enum rvt_reason reason;
    if (roll(&e->w.seed, 4) == 0)
        CHECK_EQ(rvt_dealloc_ucontext(e->context, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_ucontext(e->context, true), 0);
    /* ThreadSanitizer reports a race with any thread that still reads the heap */
    memset(e->heap, 0xdd, HEAP);
    free(e->heap);
    free(e->scratch);
    CHECK_EQ(
        check_local(&e->w, e->common, &late, NULL, heap_start(0), 1, atomic_load(&known_key[0]), 0, &reason),
        -RVT_EINVAL);
    CHECK_EQ(reason, RVT_CLOSED);
    CHECK_EQ(rvt_dealloc_ucontext(e->context, true), -RVT_EBADF);
    while (e->holds)
        rvt_put_sge(&e->held[--e->holds]);
    rvt_free_ucontext(e->context);
    rvt_reader_unregister(e->w.reader);
    /* Stay closed for a while, so that other environments try the keys of the closed one. */
    for (uint64_t absent = roll(&e->w.seed, 8); absent; absent--)
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

/* Reads through an accepted SGE: the bytes belong to the owner, or the copy reports the allowed reason. */
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

/* Key 0: the DMA region belongs to the test's own context and stays; the mapping is removed with its
 * environment. */
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

/* Maps a page list over the heap of another environment, or over two heaps. */
static void use_fmr(struct environment *e) {
    uint64_t whose = roll(&e->w.seed, ENVIRONMENTS), other = roll(&e->w.seed, 2) ? whose : e->w.index;
    uint64_t pages[] = {heap_dma(whose) + PAGE, heap_dma(other) + 2 * PAGE};
    struct rvt_sge sge;
    enum rvt_reason reason = RVT_REASON_NONE;
    int error = rvt_map_phys_fmr(e->fmr, pages, 2, heap_start(whose));
    CHECK(error == 0 || error == -RVT_EINVAL); /* the DMA mapping does not exist at the moment */
    int answer =
        check_local(&e->w, e->common, &sge, NULL, heap_start(whose) + 16, PAGE - 16, e->fmr_key, 0, &reason);
    e->accepted += answer == 1;
    e->refused += answer != 1;
    if (answer == 1) {
        use_element(e, &sge, whose, RVT_REMAPPED);
        /* The FMR is held, so it cannot be mapped again; but it may have lost its list. */
        CHECK_EQ(rvt_map_phys_fmr(e->fmr, pages, 2, 0), -RVT_EBUSY);
        rvt_put_sge(&sge);
    } else {
        CHECK_EQ(reason, RVT_OUT_OF_BOUNDS);
    }
}

enum { ELEMENTS = 6, PIECE = 500 };

/* Packs a list of pieces of any environment's heap; whose[i] is the owner of piece i. */
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
    struct rvt_batch batch = {&e->checker, packed, ELEMENTS, LOCAL_WRITE, NULL, false};
    struct rvt_batch target = {&e->checker, own, 1, LOCAL_WRITE, NULL, false};
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
        rvt_put_sges(held, ELEMENTS);
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

/* Uses a domain of another environment, which may close at any time together with the objects of this one. */
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
    e->accepted += answer == 1;
    e->refused += answer != 1; /* also if refused as closed: this context is open and counts the refusal */
    if (answer == 1) {
        use_element(e, &sge, e->w.index, RVT_REGION_REVOKED);
        rvt_put_sge(&sge);
    }
    error = rvt_dereg_mr(mr, RVT_RELEASE_FORCE);
    CHECK(error == 0 || error == -RVT_EBADF);
}

static void use_device_memory(struct environment *e) {
    _Atomic(uint64_t) *known = &known_memory[roll(&e->w.seed, MEMORIES)];
    struct rvt_device_memory *memory;
    int error;
    if (roll(&e->w.seed, 3) == 0) {
        CHECK_EQ(rvt_alloc_device_memory(common_device, e->context, PAGE, false, &memory), 0);
        memset(memory->pages.data, fill_of(e->w.index), PAGE);
        /* Tells readers how the rest of the page is filled. */
        memory->pages.data[0] = (unsigned char)e->w.index;
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
    CHECK(memory->pages.data[0] < ENVIRONMENTS); /* readable even if another thread has freed it */
    rvt_memory_put(&memory->memory);
}

static void run_environment_once(struct environment *e) {
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
        default: /* revokes the region and registers it again, or starts counting it while it is in use */
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

static void repeat_environment(struct worker *w) {
    while (going())
        run_environment_once((struct environment *)w);
}

static struct environment environments[ENVIRONMENTS];

static void environments_come_and_go_while_others_use_their_memory(void) {
    struct fixture keeper;
    struct rvt_mr_handle dma_mr;
    REQUIRE(fixture_open_joined(&keeper, 7));
    CHECK_EQ(rvt_get_dma_mr(keeper.pd, 0, &dma_mr), 0);
    common_device = keeper.device;
    common_domain = rvt_pd_serial(keeper.pd);
    memset(environments, 0, sizeof(environments));
    for (int i = 0; i < ENVIRONMENTS; i++) {
        atomic_store(&known_key[i], 0xffffff00u);
        atomic_store(&known_domain[i], 0);
    }
    for (int i = 0; i < MEMORIES; i++)
        atomic_store(&known_memory[i], 0);
    atomic_store(&stop, false);
    for (unsigned i = 0; i < ENVIRONMENTS; i++) {
        environments[i].w = (struct worker){.run = repeat_environment, .seed = i, .index = i};
        REQUIRE(pthread_create(&environments[i].w.thread, NULL, work, &environments[i].w) == 0);
    }
    /* Counters and contexts are read all the time. */
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
    printf("# %" PRIu64 " contexts: %" PRIu64 " accepted, %" PRIu64 " refused, %" PRIu64 " stale\n", lives,
           accepted, refused, stale);
    CHECK(lives > ENVIRONMENTS && accepted > 0);
    /* The counters equal the sum of all results exactly. */
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

/* --- a device closes with its last context, and a thread that comes too late opens another device --- */

static pthread_mutex_t token_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rvt_share_token current_token;
static atomic_uint opened_devices, attached_devices;
static alignas(4096) unsigned char page[PAGE];

static void come_in_and_leave(struct worker *w) {
    while (going()) {
        struct rvt_dev_info *device = NULL;
        struct rvt_ucontext *context = NULL;
        struct rvt_share_token token;
        pthread_mutex_lock(&token_lock);
        token = current_token;
        pthread_mutex_unlock(&token_lock);
        int error = rvt_find_shared(&token, &device, NULL);
        CHECK(error == 0 || error == -RVT_ENODEV || error == -RVT_EXDEV);
        if (!error) {
            error = rvt_alloc_ucontext(device, NULL, &context);
            CHECK(error == 0 || error == -RVT_EBADF); /* the device closed in between */
            if (error) {
                rvt_dev_put(device);
                continue;
            }
            atomic_fetch_add(&attached_devices, 1);
        } else {
            struct rvt_device_options options = {.lkey_table_bits = 2};
            CHECK_EQ(rvt_driver_mr_init(&options, &device), 0);
            CHECK_EQ(rvt_alloc_ucontext(device, NULL, &context), 0);
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
        /* Any of these calls may fail, because another thread may close the device. */
        bool open = rvt_alloc_pd(device, context, false, &pd) == 0;
        if (open && rvt_attach_pd(context, 1, &first) == 0 && !roll(&w->seed, 3))
            rvt_alloc_mr(first, RVT_MR_TYPE_MEM_REG, 1, &mr);
        struct rvt_memory *map = rvt_fixed_memory(page, PAGE);
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

static void devices_close_with_their_last_context(void) {
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
    printf("# %u devices opened, %u times attached\n", atomic_load(&opened_devices),
           atomic_load(&attached_devices));
    struct rvt_dev_info *found;
    int error = rvt_find_shared(&current_token, &found, NULL);
    CHECK_EQ(error, -RVT_ENODEV);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

CHECK_MAIN(TEST(environments_come_and_go_while_others_use_their_memory),
           TEST(devices_close_with_their_last_context))
