/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

/* --- findings --- */

void world_fail(const struct world *w, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "FINDING at operation %" PRIu32 " (%s): ", w->at, operation_name(w->operation.code));
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

void world_say(const struct world *w, const char *format, ...) {
    va_list arguments;
    if (!w->print)
        return;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout); /* flush, so that the output survives a crash */
}

void world_equal(const struct world *w, const char *what, uint64_t is, uint64_t should) {
    if (is != should)
        world_fail(w, "%s is %" PRId64 " (0x%" PRIx64 "), not %" PRId64 " (0x%" PRIx64 ")", what, (int64_t)is,
                   is, (int64_t)should, should);
}

bool world_starved(void) {
    bool starved = rvt_test_alloc_failed();
    if (starved)
        rvt_test_alloc_fail_after(-1);
    return starved;
}

bool world_either(struct world *w, int is, int should, int also) {
    bool starved = world_starved();
    if (starved)
        should = also = -RVT_ENOMEM;
    world_say(w, " -> %d%s", is, starved ? " (allocation failed)" : "");
    world_note(w, (uint32_t)(is < 0 ? 32 - is : is & 31));
    if (is != should && is != also)
        world_fail(w, "the result is %d, not %d", is, should);
    return !starved && is >= 0;
}

bool world_answer(struct world *w, int is, int should) {
    return world_either(w, is, should, should);
}

bool world_answer_anyway(struct world *w, int is, int should) {
    (void)world_starved();
    return world_answer(w, is, should);
}

/* libFuzzer counts these like coverage: a new outcome of an operation is a new feature. Without libFuzzer
 * they have no effect. */
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t outcomes[64 * 64];

void world_note(const struct world *w, uint32_t outcome) {
    outcomes[((uint32_t)w->operation.code * 64 + outcome % 64) % sizeof(outcomes)]++;
}

/* --- operands --- */

static int slot(const int *slots, uint8_t operand, int count) {
    return slots[operand % count];
}

int world_device(const struct world *w, uint8_t operand) {
    return slot(w->device_slot, operand, DEVICE_SLOTS);
}
int world_pd(const struct world *w, uint8_t operand) {
    return slot(w->pd_slot, operand, PD_SLOTS);
}
int world_qp(const struct world *w, uint8_t operand) {
    return slot(w->qp_slot, operand, QP_SLOTS);
}
int world_region(const struct world *w, uint8_t operand) {
    return slot(w->region_slot, operand, REGION_SLOTS);
}
int world_sge(const struct world *w, uint8_t operand) {
    return slot(w->sge_slot, operand, SGE_SLOTS);
}

int world_chosen(const struct world *w, uint8_t operand, int *device) {
    int context = operand ? slot(w->context_slot, operand - 1, CONTEXT_SLOTS) : NONE;
    if (context != NONE)
        *device = w->oracle.contexts[context].device;
    return context;
}

struct rvt_ucontext *world_context(const struct world *w, int context) {
    return context == NONE ? NULL : w->contexts[context];
}

bool world_who(const struct world *w, uint8_t who, struct asker *asker) {
    const struct oracle *o = &w->oracle;
    if (who & 8) {
        int qp = world_qp(w, who);
        if (qp != NONE)
            *asker = (struct asker){&w->qp_checkers[qp], o->qps[qp].pd, o->qps[qp].context, o->qps[qp].alive};
        return qp != NONE;
    }
    int pd = world_pd(w, who);
    if (pd != NONE)
        *asker =
            (struct asker){&w->pd_checkers[pd], o->pds[pd].root, o->pds[pd].context, oracle_pd_alive(o, pd)};
    return pd != NONE;
}

/* Returns the offset of `delta`: small steps and pages, which just meet or miss bounds. */
static uint64_t step_of(uint8_t delta) {
    if (delta < 0x40)
        return delta;
    if (delta < 0x80)
        return -(uint64_t)(delta - 0x3f);
    uint64_t n = (delta & 0x1f) + 1;
    switch (delta >> 5) {
    case 4:
        return n * RVT_PAGE_SIZE;
    case 5:
        return -n * RVT_PAGE_SIZE;
    case 6:
        return n * 512 + 3;
    default:
        return (n / 2 + 1) * RVT_PAGE_SIZE + (n % 2 ? UINT64_MAX : 1);
    }
}

static const uint64_t landmarks[32] = {
    0,
    1,
    4095,
    4096,
    0x1000000,
    UINT32_MAX,
    UINT64_C(1) << 32,
    UINT64_C(1) << 33,
    UINT64_C(1) << 48,
    UINT64_MAX >> 1,
    UINT64_C(1) << 63,
    UINT64_MAX,
    UINT64_MAX - 4095,
    UINT64_MAX - 8191,
    UINT64_MAX - 4096 * 16 + 1,
    UINT64_MAX - UINT32_MAX,
    0x10000,
    0x20000,
    0x30000,
    0x40000,
    0x50000,
    0x60000,
    0x70000,
    0x80000,
    0x90000,
    0xa0000,
    0xb0000,
    0xc0000,
    0xd0000,
    0xe0000,
    0xf0000,
    0x100000,
};

static uint64_t anchor(const struct world *w, uint8_t where) {
    const struct oracle *o = &w->oracle;
    const struct model_region *r = NULL;
    int region = world_region(w, where);
    switch (where >> 5) {
    case 0:
        return w->numbers[where % NUMBERS];
    case 5: {
        int mapping = slot(w->mapping_slot, where & 15, MAPPING_SLOTS);
        if (mapping == NONE)
            return 0;
        const struct model_mapping *m = &o->mappings[mapping];
        return m->address + (where & 16 ? m->length : 0);
    }
    case 6: { /* the end of the SGE, which is the address of its neighbor */
        int sge = world_sge(w, where);
        return sge == NONE ? 0 : o->sges[sge].request + o->sges[sge].sge_length;
    }
    case 7:
        return landmarks[where & 31];
    default:
        if (region == NONE)
            return 0;
        r = &o->regions[region];
        switch (where >> 5) {
        case 1:
            return r->base;
        case 2:
            return r->base + r->length;
        case 3:
            return r->iova;
        default:
            return r->iova + r->length;
        }
    }
}

uint64_t world_address(const struct world *w, uint8_t where, uint8_t delta) {
    return anchor(w, where) + step_of(delta);
}

uint64_t world_length(const struct world *w, uint8_t code, uint64_t address, uint8_t key) {
    static const uint64_t lengths[32] = {
        100,
        127,
        128,
        255,
        256,
        257,
        511,
        512,
        513,
        1000,
        2048,
        3000,
        4095,
        4096,
        4097,
        5000,
        8191,
        8192,
        12288,
        16384,
        UINT32_MAX,
        UINT32_MAX - 1,
        UINT32_MAX - 4095,
        UINT64_C(1) << 31,
        (UINT64_C(1) << 31) - 1,
        65535,
        65536,
        65537,
        1 << 20,
        (1 << 20) + 1,
        UINT64_C(1) << 32,
        UINT64_MAX,
    };
    if (code < 0x60)
        return code;
    if (code < 0x80)
        return lengths[code & 31];
    if (code < 0x90)
        return w->numbers[code & 15];
    if (code < 0xa0) {
        uint64_t page_rest = RVT_PAGE_SIZE - address % RVT_PAGE_SIZE;
        return page_rest + (uint64_t)(code & 15) - 8;
    }
    int region = world_region(w, key);
    if (region == NONE)
        return code;
    const struct model_region *r = &w->oracle.regions[region];
    uint64_t n = (uint64_t)(code & 15) - 8;
    switch (code >> 4) {
    case 0xa:
        return r->length + n;
    case 0xb: /* up to the end, by local addresses */
        return r->base + r->length - address + n;
    case 0xc: /* up to the end, by remote addresses */
        return r->iova + r->length - address + n;
    case 0xd:
        return r->length / 2 + n;
    case 0xe:
        return 0 - address + n; /* up to 2^64 */
    default:
        return (uint64_t)(code & 15) * RVT_PAGE_SIZE;
    }
}

uint32_t world_key(const struct world *w, uint8_t key) {
    int region = world_region(w, key);
    uint32_t named = region == NONE ? 0x100 : w->oracle.regions[region].key;
    switch (key >> 5) {
    case 1:
        return named ^ 1;
    case 2:
        return named + 0x100;
    case 3:
        return 0;
    case 4:
        return (uint32_t)w->numbers[key % NUMBERS];
    case 5:
        return named ^ UINT32_C(0x80000000);
    case 6:
        return named ^ (UINT32_C(1) << (key & 31));
    case 7:
        return UINT32_C(0xffffffff) << (key & 31);
    default:
        return named;
    }
}

/* --- memory --- */

enum { GUARD = 0xa5 };

static struct world *current; /* the memory callbacks have no world argument */

static enum rvt_reason resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    struct block *block = (struct block *)memory;
    enum rvt_reason reason = oracle_memory(&current->oracle, block->index, *(int *)environment);
    if (block->released)
        world_fail(current, "a released memory was used");
    if (!reason)
        *data = block->start + block->before;
    return reason;
}

static void release(struct rvt_memory *memory) {
    struct block *block = (struct block *)memory;
    if (block->released)
        world_fail(current, "a memory was released twice");
    block->released = true;
}

static const struct rvt_memory_ops ops = {resolve, release, NULL};

struct rvt_memory *world_memory(const struct world *w, int memory) {
    return w->memories[memory] ? &w->memories[memory]->memory : w->slices[memory];
}

unsigned char *world_bytes(const struct world *w, int memory) {
    const struct model_memory *m = &w->oracle.memories[memory];
    if (w->memories[memory])
        return w->memories[memory]->start + w->memories[memory]->before;
    return w->device_memories[m->device_memory]->pages.data +
           (m->shadow - w->oracle.device_memories[m->device_memory].shadow);
}

void world_take_memory_slot(struct world *w, uint8_t slot, int memory) {
    int *taken = &w->memory_slot[slot % MEMORY_SLOTS], old = *taken;
    *taken = memory;
    if (old != NONE && w->oracle.memories[old].held) {
        w->oracle.memories[old].held = false;
        rvt_memory_put(w->slices[old]);
    }
}

/* Copies the memory's bytes into a new block. */
static void place(struct block *block, const struct model_memory *m) {
    block->start = malloc(block->before + m->length);
    if (!block->start)
        abort();
    memset(block->start, GUARD, block->before);
    memcpy(block->start + block->before, m->shadow, m->length);
}

enum { LARGEST = 65536, PATTERNS = 256 };

/* Bytes that identify their memory and offset; each memory uses the pattern with a different shift. */
static const unsigned char *pattern(void) {
    static unsigned char bytes[LARGEST + PATTERNS];
    static bool made;
    for (unsigned i = 0; !made && i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 7 + (i >> 8) * 13 + 1);
    made = true;
    return bytes;
}

int world_new_memory(struct world *w, uint8_t size, uint8_t before, int owner) {
    /* The last three sizes have no bytes and are never whole; only their lengths matter. */
    static const uint64_t sizes[16] = {
        4096,  8192,  12288, 1,    8,    100, 4095,     4097,
        12289, 16384, 65536, 4104, 6000, 0,   64 << 20, UINT64_C(1) << 37,
    };
    struct oracle *o = &w->oracle;
    if (o->memory_count == MAX_MEMORIES)
        return NONE;
    int index = o->memory_count++;
    struct model_memory *m = &o->memories[index];
    uint64_t length = size & 0x80 ? w->numbers[size % NUMBERS] : sizes[size % 16];
    /* Large memories have no bytes, to save time. */
    *m = (struct model_memory){
        .length = length, .real = length <= LARGEST, .owner = owner, .device_memory = NONE};
    struct block *block = calloc(1, sizeof(*block));
    m->shadow = m->real ? malloc(length ? length : 1) : NULL;
    if (!block || (m->real && !m->shadow))
        abort();
    w->memories[index] = block;
    rvt_memory_init(&block->memory, &ops, length);
    block->index = index;
    block->before = before % 16;
    if (m->real) {
        memcpy(m->shadow, pattern() + index * 37 % PATTERNS, length);
        place(block, m);
    } else {
        m->state = MEMORY_SHRUNK;
    }
    return index;
}

void world_set_memory(struct world *w, int memory, uint8_t state) {
    struct model_memory *m = &w->oracle.memories[memory];
    struct block *block = w->memories[memory];
    if (!m->real || !block)
        return;
    /* The bytes always move or disappear, so that a stale pointer is detected. */
    unsigned char *old = block->start;
    m->state = (enum memory_state)(state % 3);
    block->start = NULL;
    if (m->state == MEMORY_WHOLE)
        place(block, m);
    free(old);
}

void world_check_memory(const struct world *w, int memory) {
    const struct model_memory *m = &w->oracle.memories[memory];
    const struct block *block = w->memories[memory];
    if (!block || !block->start)
        return;
    for (unsigned i = 0; i < block->before; i++)
        if (block->start[i] != GUARD)
            world_fail(w, "memory %d: a byte in front of it was written", memory);
    const unsigned char *data = block->start + block->before;
    if (memcmp(data, m->shadow, m->length) == 0)
        return;
    uint64_t i = 0;
    while (data[i] == m->shadow[i])
        i++;
    world_fail(w, "memory %d: byte %" PRIu64 " is 0x%02x, not 0x%02x", memory, i, data[i], m->shadow[i]);
}

/* Also checks that the bytes behind the memory, to the end of the page, are unchanged. */
static void check_device_memory(const struct world *w, int memory) {
    const struct model_device_memory *m = &w->oracle.device_memories[memory];
    if (!oracle_device_memory_refs(&w->oracle, memory))
        return;
    const unsigned char *data = w->device_memories[memory]->pages.data;
    for (uint64_t i = memcmp(data, m->shadow, m->length) ? 0 : m->length; i < m->length; i++)
        if (data[i] != m->shadow[i])
            world_fail(w, "device memory %d: byte %" PRIu64 " is 0x%02x, not 0x%02x", memory, i, data[i],
                       m->shadow[i]);
    for (uint64_t i = m->length; i % RVT_PAGE_SIZE; i++)
        if (data[i])
            world_fail(w, "device memory %d: a byte behind it was written", memory);
}

void world_check_bytes(const struct world *w) {
    for (int i = 0; i < w->oracle.memory_count; i++)
        world_check_memory(w, i);
    for (int i = 0; i < w->oracle.device_memory_count; i++)
        check_device_memory(w, i);
}

void world_check_references(const struct world *w) {
    const struct oracle *o = &w->oracle;
    for (int i = 0; i < o->memory_count; i++)
        if (w->memories[i] || oracle_slice_there(o, i))
            EXPECT(w, "references on a memory", atomic_load(&world_memory(w, i)->references),
                   oracle_memory_refs(o, i));
    for (int i = 0; i < o->device_memory_count; i++) {
        uint32_t references = oracle_device_memory_refs(o, i);
        if (!references)
            continue;
        const struct rvt_device_memory *memory = w->device_memories[i];
        EXPECT(w, "references on a device memory", atomic_load(&memory->memory.references), references);
        EXPECT(w, "a device memory is freed", rvt_device_memory_freed(memory), o->device_memories[i].freed);
    }
}

/* --- random numbers --- */

/* The linker redirects calls to this function, so that findings can be reproduced. */
bool __wrap_rvt_random_bytes(void *out, size_t bytes);
bool __wrap_rvt_random_bytes(void *out, size_t bytes) {
    unsigned char *to = out;
    for (size_t i = 0; i < bytes; i++) {
        current->random_state = current->random_state * UINT64_C(6364136223846793005) + 1;
        to[i] = (unsigned char)(current->random_state >> 56);
    }
    return !current->random_refused;
}

/* --- the lingering reader --- */

static struct rvt_retirement *section_of(const struct world *w, int where) {
    return where == EVERY ? &rvt_every_device : &w->devices[where]->retirement;
}

void world_start_lingering(struct world *w, int where) {
    rvt_read_enter(w->readers[0], section_of(w, where));
    w->oracle.lingering = where;
}

void world_stop_lingering(struct world *w) {
    struct oracle *o = &w->oracle;
    int where = o->lingering;
    if (where == NONE)
        return;
    rvt_read_leave(w->readers[0], section_of(w, where));
    o->lingering = NONE;
    if (where == EVERY) /* leaving every device frees nothing by itself */
        for (int i = 0; i < o->device_count; i++)
            rvt_reclaim(&w->devices[i]->retirement);
    else
        world_nothing_waits(w, where);
    for (int i = 0; i < o->memory_count; i++)
        o->memories[i].limbo = false;
}

void world_step_aside(struct world *w, int device) {
    int where = w->oracle.lingering;
    if (where != device && where != EVERY)
        return;
    w->aside = where;
    world_stop_lingering(w);
}

void world_come_back(struct world *w) {
    if (w->aside != NONE)
        world_start_lingering(w, w->aside);
    w->aside = NONE;
}

void world_nothing_waits(const struct world *w, int device) {
    if (rvt_reclaim_pending(&w->devices[device]->retirement))
        world_fail(w, "something retired still waits on device %d", device);
}

/* --- start and end --- */

static void clear(int *slots, int count) {
    for (int i = 0; i < count; i++)
        slots[i] = NONE;
}

/* The core makes a random id once per process. Make it now, so that programs do not depend on earlier
 * ones. */
static void make_core_id(struct world *w) {
    static bool made;
    struct rvt_dev_info *device, *found;
    struct rvt_share_token token = {{0}, {0}};
    if (made)
        return;
    made = true;
    if (rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 1}, &device))
        abort();
    EXPECT(w, "find before a device was shared", rvt_find_shared(&token, &found, NULL), -RVT_EXDEV);
    w->random_refused = true;
    EXPECT(w, "share without random numbers", rvt_share_device(device, &token), -RVT_ENOMEM);
    EXPECT(w, "find after sharing failed", rvt_find_shared(&token, &found, NULL), -RVT_EXDEV);
    w->random_refused = false;
    EXPECT(w, "share", rvt_share_device(device, &token), 0);
    EXPECT(w, "exit", rvt_mr_exit(device, false, NULL), 0);
    EXPECT(w, "find after the device closed", rvt_find_shared(&token, &found, NULL), -RVT_ENODEV);
    rvt_dev_put(device);
    w->random_state = 0;
}

void world_begin(struct world *w, bool print) {
    current = w;
    w->at = 0;
    w->operation.code = OP_NOTHING;
    rvt_test_alloc_fail_after(-1);
    oracle_begin(&w->oracle);
    clear(w->device_slot, DEVICE_SLOTS);
    clear(w->context_slot, CONTEXT_SLOTS);
    clear(w->device_memory_slot, DEVICE_MEMORY_SLOTS);
    clear(w->pd_slot, PD_SLOTS);
    clear(w->qp_slot, QP_SLOTS);
    clear(w->memory_slot, MEMORY_SLOTS);
    clear(w->mapping_slot, MAPPING_SLOTS);
    clear(w->region_slot, REGION_SLOTS);
    clear(w->sge_slot, SGE_SLOTS);
    for (int i = 0; i < WALK_SLOTS; i++)
        w->walks[i].begun = false;
    memset(w->numbers, 0, sizeof(w->numbers));
    w->item_count = 0;
    w->print = print;
    w->random_refused = false;
    w->random_state = 0;
    w->aside = NONE;
    make_core_id(w);
    w->live = rvt_test_alloc_live();
    for (int i = 0; i <= ENVIRONMENTS; i++)
        if (!(w->readers[i] = rvt_reader_register()))
            abort();
}

void world_check_region(const struct world *w, int region) {
    const struct model_region *r = &w->oracle.regions[region];
    struct rvt_mr_attributes is;
    int answer = rvt_query_mr(w->regions[region], &is);
    EXPECT(w, "query_mr", answer, r->alive ? 0 : -RVT_EBADF);
    if (answer)
        return;
    EXPECT(w, "id", is.id, r->id);
    EXPECT(w, "lkey", is.keys.lkey, r->key);
    EXPECT(w, "rkey", is.keys.rkey, r->key);
    EXPECT(w, "kind", is.kind, r->kind);
    EXPECT(w, "access", is.access, r->access);
    EXPECT(w, "refs", is.refs, oracle_refs(r));
    EXPECT(w, "start", is.start, r->base);
    EXPECT(w, "iova", is.iova, r->visible);
    EXPECT(w, "length", is.length, r->length);
    EXPECT(w, "segments", is.segments, r->map.segments);
    EXPECT(w, "max_segments", is.max_segments, r->max_segments);
    EXPECT(w, "valid", is.valid, r->valid);
    EXPECT(w, "half_dead", is.half_dead, r->half_dead);
    EXPECT(w, "counted", is.counted, r->counted);
    EXPECT(w, "accepted by the region", is.accepted, r->accepted);
    EXPECT(w, "refused by the region", is.refused, r->refused);
    EXPECT(w, "bytes of the region", is.bytes, r->bytes);
}

void world_end(struct world *w) {
    struct oracle *o = &w->oracle;
    w->operation.code = OP_NOTHING;
    world_say(w, "end\n");
    rvt_test_alloc_fail_after(-1);
    world_stop_lingering(w);
    for (int i = 0; i < o->region_count; i++)
        world_check_region(w, i);
    for (int i = 0; i < o->device_count; i++)
        world_check_device(w, i);
    world_check_bytes(w);
    /* Half of the SGEs are put before their device closes, half of them after. */
    for (int i = 0; i < o->sge_count; i++) {
        EXPECT(w, "the SGE is held", w->sges[i].mr != NULL, o->sges[i].alive);
        if (i % 2) {
            rvt_put_sge(&w->sges[i]);
            oracle_put(o, i);
        }
    }
    /* Half of the contexts are deallocated before the device closes. */
    for (int i = 0; i < o->context_count; i += 2)
        world_end_context(w, i, i % 4 ? END_DROP : END_CASCADE);
    for (int i = 0; i < o->device_count; i++) {
        bool leaked = false;
        int answer = rvt_mr_exit(w->devices[i], true, &leaked);
        EXPECT(w, "exit", answer, o->devices[i].open ? 0 : -RVT_EBADF);
        if (!answer)
            EXPECT(w, "dma_mr_leaked", leaked, o->devices[i].published != NONE);
        world_nothing_waits(w, i);
        oracle_close(o, i);
    }
    for (int i = 0; i < o->context_count; i++)
        world_end_context(w, i, END_PLAIN);
    for (int i = 0; i < o->sge_count; i++)
        rvt_put_sge(&w->sges[i]);
    for (int i = 0; i < o->context_count; i++)
        rvt_free_ucontext(w->contexts[i]);
    for (int i = 0; i < o->device_count; i++) {
        world_nothing_waits(w, i);
        rvt_dev_put(w->devices[i]);
    }
    world_check_references(w);
    world_check_bytes(w);
    for (int i = 0; i < MEMORY_SLOTS; i++)
        world_take_memory_slot(w, (uint8_t)i, NONE);
    for (int i = 0; i < o->device_memory_count; i++)
        for (; o->device_memories[i].views; o->device_memories[i].views--)
            rvt_memory_put(&w->device_memories[i]->memory);
    for (int i = 0; i <= ENVIRONMENTS; i++)
        rvt_reader_unregister(w->readers[i]);
    for (int i = 0; i < o->memory_count; i++) {
        struct block *block = w->memories[i];
        if (!block)
            continue;
        EXPECT(w, "references on a memory", atomic_load(&block->memory.references), 1);
        rvt_memory_put(&block->memory);
        if (!block->released)
            world_fail(w, "a memory was not released");
        free(block->start);
        free(block);
    }
    EXPECT(w, "allocations left behind", rvt_test_alloc_live() - w->live, 0);
    oracle_end(o);
}

/* --- playing --- */

/* Each put on an awaited region must wake the context that made it. Additional wakes are harmless. */
static void check_wakes(struct world *w) {
    for (int i = 0; i < w->oracle.context_count; i++) {
        struct model_context *c = &w->oracle.contexts[i];
        if (w->wakes[i] < c->wakes_due)
            world_fail(w, "context %d was woken %" PRIu32 " times, not %" PRIu32, i, w->wakes[i],
                       c->wakes_due);
        w->wakes[i] = c->wakes_due = 0;
    }
}

void play(struct world *w, const uint8_t *bytes, size_t size, bool print) {
    uint32_t count = program_count(size);
    world_begin(w, print);
    for (w->at = 0; w->at < count; w->at++) {
        w->operation = program_at(bytes, size, w->at);
        enum opcode code = w->operation.code;
        if (code == OP_NOTHING)
            continue;
        world_say(w, "%3" PRIu32 " %s", w->at, operation_name(code));
        if (code == OP_DEREG_MRS)
            play_region(w);
        else if (code >= OP_ALLOC_CONTEXT)
            play_context(w);
        else if (code <= OP_DMA_UNMAP || code >= OP_TABLE)
            play_ownership(w);
        else if (code <= OP_RELEASE || code == OP_QUERY)
            play_region(w);
        else if (code <= OP_RKEY_CHECK || code == OP_PUT)
            play_check(w);
        else if (code <= OP_COPY_BATCH)
            play_batch(w);
        else
            play_data(w);
        world_come_back(w);
        check_wakes(w);
        world_say(w, "\n");
        if (print)
            world_check_bytes(w);
    }
    world_end(w);
}
