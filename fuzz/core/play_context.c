/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations of several environments on one device: contexts, attached domains, tokens and device memory.
 * Also compares what a device reports: its resources and counters. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/objects/resource.h"
#include "world.h"

/* --- reports of a device --- */

struct report {
    struct world *world;
    int device;
    uint32_t rows[RVT_RESOURCE_KINDS], row_count, most;
};

static uint64_t context_id(const struct oracle *o, int context) {
    return context == NONE ? RVT_NO_CONTEXT : o->contexts[context].id;
}

static void context_row(const struct report *report, const uint64_t *fields) {
    const struct oracle *o = &report->world->oracle;
    for (int i = 0; i < o->context_count; i++)
        if (o->contexts[i].device == report->device && !o->contexts[i].gone &&
            o->contexts[i].id == fields[RVT_CONTEXT_ID])
            return;
    world_fail(report->world, "there is no context %" PRIu64, fields[RVT_CONTEXT_ID]);
}

static void pd_row(const struct report *report, const uint64_t *fields) {
    const struct world *w = report->world;
    const struct oracle *o = &w->oracle;
    int pd = oracle_find_pd(o, report->device, fields[RVT_PD_SERIAL]);
    if (pd == NONE)
        world_fail(w, "there is no domain %" PRIu64, fields[RVT_PD_SERIAL]);
    EXPECT(w, "context of a domain", fields[RVT_PD_CONTEXT], context_id(o, o->pds[pd].context));
    EXPECT(w, "user", fields[RVT_PD_USER], o->pds[pd].user);
    EXPECT(w, "children of a domain", fields[RVT_PD_CHILDREN], oracle_children(o, pd));
}

static void qp_row(const struct report *report, const uint64_t *fields) {
    const struct world *w = report->world;
    const struct oracle *o = &w->oracle;
    for (int i = 0; i < o->qp_count; i++) {
        const struct model_qp *qp = &o->qps[i];
        if (!qp->alive || o->pds[qp->pd].device != report->device || qp->serial != fields[RVT_QP_SERIAL])
            continue;
        EXPECT(w, "context of a queue pair", fields[RVT_QP_CONTEXT], context_id(o, qp->context));
        EXPECT(w, "domain of a queue pair", fields[RVT_QP_PD], o->pds[qp->pd].serial);
        return;
    }
    world_fail(w, "there is no queue pair %" PRIu64, fields[RVT_QP_SERIAL]);
}

static void mr_row(const struct report *report, const uint64_t *fields) {
    const struct world *w = report->world;
    const struct oracle *o = &w->oracle;
    for (int i = 0; i < o->region_count; i++) {
        const struct model_region *r = &o->regions[i];
        if (!r->alive || r->device != report->device || r->id != fields[RVT_MR_ID])
            continue;
        EXPECT(w, "context of a region", fields[RVT_MR_CONTEXT], context_id(o, r->context));
        EXPECT(w, "domain of a region", fields[RVT_MR_PD], o->pds[r->pd].serial);
        EXPECT(w, "key", fields[RVT_MR_KEY], r->key);
        EXPECT(w, "kind", fields[RVT_MR_KIND], r->kind);
        EXPECT(w, "access", fields[RVT_MR_ACCESS], r->access);
        EXPECT(w, "refs", fields[RVT_MR_REFS], oracle_refs(r));
        EXPECT(w, "start", fields[RVT_MR_START], r->base);
        EXPECT(w, "iova", fields[RVT_MR_IOVA], r->visible);
        EXPECT(w, "length", fields[RVT_MR_LENGTH], r->length);
        EXPECT(w, "segments", fields[RVT_MR_SEGMENTS], r->map.segments);
        EXPECT(w, "max_segments", fields[RVT_MR_MAX_SEGMENTS], r->max_segments);
        EXPECT(w, "valid", fields[RVT_MR_VALID], r->valid);
        EXPECT(w, "half_dead", fields[RVT_MR_HALF_DEAD], r->half_dead);
        return;
    }
    world_fail(w, "there is no region %" PRIu64, fields[RVT_MR_ID]);
}

static void dma_row(const struct report *report, const uint64_t *fields) {
    const struct world *w = report->world;
    const struct oracle *o = &w->oracle;
    for (int i = 0; i < o->mapping_count; i++) {
        const struct model_mapping *m = &o->mappings[i];
        if (!m->alive || m->device != report->device || m->serial != fields[RVT_DMA_SERIAL])
            continue;
        EXPECT(w, "context of a mapping", fields[RVT_DMA_CONTEXT], context_id(o, m->context));
        EXPECT(w, "address of a mapping", fields[RVT_DMA_ADDRESS], m->address);
        EXPECT(w, "length of a mapping", fields[RVT_DMA_LENGTH], m->length);
        /* The documents do not say what counts once and what counts for each segment. */
        EXPECT(w, "a mapping has users", fields[RVT_DMA_USERS] != 0, oracle_mapping_used(o, i));
        return;
    }
    world_fail(w, "there is no mapping %" PRIu64, fields[RVT_DMA_SERIAL]);
}

static void memory_row(const struct report *report, const uint64_t *fields) {
    const struct world *w = report->world;
    const struct oracle *o = &w->oracle;
    int memory = oracle_find_memory(o, report->device, fields[RVT_MEMORY_SERIAL]);
    if (memory == NONE)
        world_fail(w, "there is no device memory %" PRIu64, fields[RVT_MEMORY_SERIAL]);
    EXPECT(w, "bytes of a device memory", fields[RVT_MEMORY_BYTES], o->device_memories[memory].length);
    EXPECT(w, "uses of a device memory", fields[RVT_MEMORY_USES], oracle_slices(o, memory));
    EXPECT(w, "huge", fields[RVT_MEMORY_HUGE], o->device_memories[memory].huge);
}

static bool compare_row(void *context, enum rvt_resource_kind kind, const uint64_t *fields) {
    static void (*const compare[RVT_RESOURCE_KINDS])(const struct report *, const uint64_t *) = {
        context_row, pd_row, qp_row, mr_row, dma_row, memory_row};
    struct report *report = context;
    compare[kind](report, fields);
    report->rows[kind]++;
    return ++report->row_count < report->most;
}

/* Compares the resource report. Every row is checked, so if the number of rows is right and none occurs
 * twice, all are there. The core walks its lists and pools in order, so a row that occurred twice would
 * repeat forever. */
static void check_resources(struct world *w, int device) {
    const struct oracle *o = &w->oracle;
    struct report report = {.world = w, .device = device, .most = UINT32_MAX};
    uint32_t should[RVT_RESOURCE_KINDS] = {0}, all = 0;
    for (int i = 0; i < o->context_count; i++)
        should[RVT_RESOURCE_CONTEXT] += o->contexts[i].device == device && !o->contexts[i].gone;
    for (int i = 0; i < o->pd_count; i++)
        should[RVT_RESOURCE_PD] += o->pds[i].device == device && o->pds[i].alive;
    for (int i = 0; i < o->qp_count; i++)
        should[RVT_RESOURCE_QP] += o->pds[o->qps[i].pd].device == device && o->qps[i].alive;
    for (int i = 0; i < o->region_count; i++)
        should[RVT_RESOURCE_MR] += o->regions[i].device == device && o->regions[i].alive;
    for (int i = 0; i < o->mapping_count; i++)
        should[RVT_RESOURCE_DMA] += o->mappings[i].device == device && o->mappings[i].alive;
    for (int i = 0; i < o->device_memory_count; i++)
        should[RVT_RESOURCE_MEMORY] += o->device_memories[i].device == device && !o->device_memories[i].freed;
    rvt_resource_report(w->devices[device], compare_row, &report);
    for (int kind = 0; kind < RVT_RESOURCE_KINDS; kind++) {
        EXPECT(w, "rows of a kind", report.rows[kind], should[kind]);
        all += should[kind];
    }
    /* Report again, with a callback that stops after half of the rows. */
    report.most = 1 + all / 2;
    report.row_count = 0;
    rvt_resource_report(w->devices[device], compare_row, &report);
    EXPECT(w, "rows to a callback that stops", report.row_count, all ? report.most : 0);
}

static void check_counts(const struct world *w, int device, int context) {
    struct rvt_counts is,
        should = context == NONE ? oracle_counts(&w->oracle, device) : w->oracle.contexts[context].counts;
    rvt_read_counters(w->devices[device], world_context(w, context), &is);
    EXPECT(w, "accepted", is.accepted, should.accepted);
    EXPECT(w, "bytes copied", is.bytes, should.bytes);
    for (int reason = 0; reason < RVT_REASON_COUNT; reason++)
        EXPECT(w, rvt_reason_name((enum rvt_reason)reason), is.refused[reason], should.refused[reason]);
}

void world_check_device(struct world *w, int device) {
    const struct oracle *o = &w->oracle;
    rvt_reclaim(&w->devices[device]->retirement);
    check_resources(w, device);
    check_counts(w, device, NONE);
    for (int i = 0; i < o->context_count; i++) {
        const struct model_context *c = &o->contexts[i];
        if (c->device != device)
            continue;
        check_counts(w, device, i);
        EXPECT(w, "ucontext_live", rvt_ucontext_live(w->contexts[i]),
               o->devices[device].open && !c->gone ? 0 : -RVT_EBADF);
    }
    for (int i = 0; i < o->pd_count; i++) {
        EXPECT(w, "the domain's handle is live", rvt_pd_live(w->pds[i]) != NULL, oracle_pd_alive(o, i));
        EXPECT(w, "a domain can check", rvt_checker_live(&w->pd_checkers[i]), oracle_pd_alive(o, i));
    }
    for (int i = 0; i < o->qp_count; i++) {
        EXPECT(w, "the queue pair's handle is live", rvt_qp_live(w->qps[i]) != NULL, o->qps[i].alive);
        EXPECT(w, "a queue pair can check", rvt_checker_live(&w->qp_checkers[i]), o->qps[i].alive);
    }
}

/* --- contexts --- */

static void count_wake(void *data) {
    ++*(uint32_t *)data;
}

static void make_context(struct world *w, int device, uint8_t slot) {
    struct oracle *o = &w->oracle;
    if (device == NONE || o->context_count == MAX_CONTEXTS)
        return;
    int context = o->context_count;
    world_say(w, " device=%d context=%d (%d)", device, context, slot % CONTEXT_SLOTS);
    if (!world_answer(w, rvt_alloc_ucontext(w->devices[device], w->readers[1], &w->contexts[context]),
                      o->devices[device].open ? 0 : -RVT_EBADF))
        return;
    uint64_t id = w->contexts[context]->id;
    for (int i = 0; i < context; i++)
        if (o->contexts[i].device == device && o->contexts[i].id >= id)
            world_fail(w, "the context's id %" PRIu64 " was used before", id);
    if (id == RVT_NO_CONTEXT)
        world_fail(w, "a context has the reserved id RVT_NO_CONTEXT");
    o->contexts[context] = (struct model_context){.device = device, .id = id};
    o->context_count++;
    w->wakes[context] = 0;
    rvt_on_put(w->contexts[context], count_wake, &w->wakes[context]);
    w->context_slot[slot % CONTEXT_SLOTS] = context;
}

void world_end_context(struct world *w, int context, enum context_end how) {
    struct oracle *o = &w->oracle;
    int device = o->contexts[context].device, should = 0, answer;
    bool gone = o->contexts[context].gone, inside = o->lingering == device || o->lingering == EVERY;
    if (gone)
        should = -RVT_EBADF;
    else if (how == END_PLAIN && oracle_owns(o, context))
        should = -RVT_EBUSY;
    world_say(w, " context=%d how=%d", context, how);
    if (how == END_DROP) { /* does not wait, so a lingering reader stays */
        rvt_drop_ucontext(w->contexts[context]);
        answer = gone ? -RVT_EBADF : 0;
    } else {
        world_step_aside(w, device);
        answer = rvt_dealloc_ucontext(w->contexts[context], how == END_CASCADE);
    }
    bool starved = world_starved(); /* the context closes even without memory */
    if (world_answer(w, answer, should)) {
        oracle_end_context(o, context);
        if (how != END_DROP || !inside)
            world_nothing_waits(w, device);
    }
    world_note(w, starved ? 62 : o->devices[device].open ? 61 : 60);
    world_check_device(w, device);
    for (int i = 0; i < o->region_count; i++)
        world_check_region(w, i);
    for (int i = 0; i < o->sge_count; i++)
        if (o->sges[i].alive)
            world_check_sge(w, &w->sges[i], &o->sges[i]);
}

/* Returns an offset from a serial number: a few up or down, or a single bit. */
static uint64_t steps_of(uint8_t code) {
    if (code & 0x80)
        return UINT64_C(1) << (code & 63);
    return code & 0x40 ? (uint64_t)0 - (code & 63) - 1 : code;
}

static void attach(struct world *w, uint8_t slot, int context, int pd, uint8_t steps) {
    struct oracle *o = &w->oracle;
    if (context == NONE || o->pd_count == MAX_PDS)
        return;
    int index = o->pd_count, device = o->contexts[context].device;
    uint64_t serial = (pd == NONE ? 0 : o->pds[pd].serial) + steps_of(steps);
    int root = oracle_find_pd(o, device, serial);
    int should = root == NONE ? -RVT_EINVAL : 0, also = should;
    if (!o->devices[device].open || oracle_gone(o, context)) {
        should = -RVT_EBADF;
        also = also ? also : should;
    }
    world_say(w, " context=%d number=%" PRIu64 " pd=%d", context, serial, slot % PD_SLOTS);
    if (!world_either(w, rvt_attach_pd(w->contexts[context], serial, &w->pds[index]), should, also))
        return;
    if (w->pds[index].pd != w->pds[root].pd)
        world_fail(w, "another domain was attached");
    world_add_pd(w, slot,
                 (struct model_pd){
                     .device = device,
                     .root = root,
                     .context = context,
                     .user = o->pds[root].user,
                     .serial = serial,
                 });
}

/* --- sharing --- */

static void share(struct world *w, int device) {
    struct model_device *d = &w->oracle.devices[device];
    struct rvt_share_token token;
    int should = !d->open ? -RVT_EBADF : w->random_refused && !d->shared ? -RVT_ENOMEM : 0;
    if (!world_answer(w, rvt_share_device(w->devices[device], &token), should))
        return;
    if (d->shared && memcmp(&token, &w->tokens[device], sizeof(token)) != 0)
        world_fail(w, "the device has another token now");
    w->tokens[device] = token;
    d->shared = true;
}

/* Looks up a device by its token or, with how 2 or 3, by a token with one bit changed. */
static void find_shared(struct world *w, int device, uint8_t how, uint8_t bit) {
    const struct oracle *o = &w->oracle;
    struct rvt_share_token token = w->tokens[device];
    struct rvt_dev_info *found = NULL;
    int should = -RVT_ENODEV;
    if (!o->devices[device].shared)
        return;
    if (how == 2)
        token.bytes[bit / 8 % RVT_TOKEN_BYTES] ^= (unsigned char)(1 << bit % 8);
    if (how == 3)
        token.core[bit / 8 % RVT_CORE_ID_BYTES] ^= (unsigned char)(1 << bit % 8);
    /* Random numbers can repeat; then any device with the same token may be found. */
    for (int i = 0; how != 3 && i < o->device_count; i++)
        if (o->devices[i].open && o->devices[i].shared &&
            memcmp(token.bytes, w->tokens[i].bytes, sizeof(token.bytes)) == 0)
            should = 0;
    if (how == 3)
        should = -RVT_EXDEV;
    if (!world_answer(w, rvt_find_shared(&token, &found, NULL), should))
        return;
    int index = 0;
    while (index < o->device_count && w->devices[index] != found)
        index++;
    if (index == o->device_count || !o->devices[index].open || !o->devices[index].shared ||
        memcmp(token.bytes, w->tokens[index].bytes, sizeof(token.bytes)) != 0)
        world_fail(w, "another device was found");
    rvt_dev_put(found);
}

/* --- memory of the device --- */

static void alloc_memory(struct world *w, uint8_t slot, int device, int context) {
    static const uint64_t sizes[16] = {
        4096,  8192, 12288,     1,          100,
        4095,  4097, 4104,      6000,       24,
        16384, 65,   12288 + 8, UINT64_MAX, UINT64_MAX - 2097151,
        0,
    };
    struct oracle *o = &w->oracle;
    if (device == NONE || o->device_memory_count == MAX_DEVICE_MEMORIES)
        return;
    int index = o->device_memory_count;
    uint64_t length = sizes[operand(w, 4) % 16];
    bool huge = operand(w, 5) & 1;
    int should = !length ? -RVT_EINVAL : length > UINT32_MAX ? -RVT_ENOMEM : 0, also = should;
    if (!o->devices[device].open || oracle_gone(o, context)) {
        should = -RVT_EBADF;
        also = also ? also : should; /* the documents do not say which of the two errors takes precedence */
    }
    world_say(w, " alloc device=%d context=%d length=0x%" PRIx64 " huge=%d: %d", device, context, length,
              huge, index);
    int answer = rvt_alloc_device_memory(w->devices[device], world_context(w, context), length, huge,
                                         &w->device_memories[index]);
    if (!world_either(w, answer, should, also))
        return;
    const struct rvt_device_memory *memory = w->device_memories[index];
    for (int i = 0; i < index; i++)
        if (o->device_memories[i].device == device && o->device_memories[i].serial >= memory->serial)
            world_fail(w, "the memory's serial number %" PRIu64 " was used before", memory->serial);
    if ((uintptr_t)memory->pages.data % RVT_PAGE_SIZE)
        world_fail(w, "device memory does not begin at a page");
    EXPECT(w, "length of a device memory", memory->memory.length, length);
    o->device_memories[index] = (struct model_device_memory){
        .device = device,
        .serial = memory->serial,
        .length = length,
        .huge = huge,
        .views = 1,
        .shadow = calloc(1, length), /* zeroed, as the core's memory must be */
    };
    if (!o->device_memories[index].shadow)
        abort();
    o->device_memory_count++;
    w->device_memory_slot[slot % DEVICE_MEMORY_SLOTS] = index;
    world_check_bytes(w);
}

static void find_memory(struct world *w, uint8_t slot, int device, int context) {
    struct oracle *o = &w->oracle;
    int named = w->device_memory_slot[operand(w, 4) % DEVICE_MEMORY_SLOTS];
    uint64_t serial = (named == NONE ? 0 : o->device_memories[named].serial) + steps_of(operand(w, 7));
    struct rvt_device_memory *found = NULL;
    if (device == NONE)
        return;
    int index = oracle_find_memory(o, device, serial);
    int should = index == NONE ? -RVT_EINVAL : 0, also = should;
    if (!o->devices[device].open || oracle_gone(o, context)) {
        should = -RVT_EBADF;
        also = also ? also : should;
    }
    world_say(w, " find device=%d context=%d number=%" PRIu64, device, context, serial);
    int answer = rvt_find_device_memory(w->devices[device], world_context(w, context), serial, &found);
    if (!world_either(w, answer, should, also))
        return;
    if (found != w->device_memories[index])
        world_fail(w, "another memory was found");
    o->device_memories[index].views++;
    w->device_memory_slot[slot % DEVICE_MEMORY_SLOTS] = index;
}

static void free_memory(struct world *w, int index, int context) {
    struct oracle *o = &w->oracle;
    struct model_device_memory *m = &o->device_memories[index];
    if (context != NONE && o->contexts[context].device != m->device)
        context = NONE;
    world_step_aside(w, m->device); /* first, because a use of a slice may end when the reader leaves */
    int should = m->freed ? -RVT_EBADF : oracle_slices(o, index) ? -RVT_EBUSY : 0, also = should;
    if (oracle_gone(o, context)) {
        should = -RVT_EBADF;
        also = also ? also : should;
    }
    world_say(w, " free context=%d: %d", context, index);
    int answer =
        rvt_free_device_memory(w->devices[m->device], world_context(w, context), w->device_memories[index]);
    (void)world_starved(); /* the index of serial numbers may fail to shrink */
    if (world_either(w, answer, should, also)) {
        m->freed = true;
        world_nothing_waits(w, m->device);
    }
    world_check_bytes(w); /* views must still see the old content */
}

static void device_memory(struct world *w) {
    struct oracle *o = &w->oracle;
    uint8_t slot = operand(w, 1);
    int index = w->device_memory_slot[slot % DEVICE_MEMORY_SLOTS];
    int device = world_device(w, operand(w, 3)), context = world_chosen(w, operand(w, 6), &device);
    switch (operand(w, 2) % 4) {
    case 0:
        alloc_memory(w, slot, device, context);
        break;
    case 1:
        find_memory(w, slot, device, context);
        break;
    case 2:
        if (index != NONE && o->device_memories[index].views)
            free_memory(w, index, context);
        break;
    default:
        /* The slot keeps its serial number, so that the memory can be found again. */
        if (index != NONE && o->device_memories[index].views) {
            world_say(w, " let go: %d", index);
            o->device_memories[index].views--;
            rvt_memory_put(&w->device_memories[index]->memory);
        }
        break;
    }
}

/* Puts a slice into a memory slot, where regions and mappings can use it like any memory. */
static void slice(struct world *w) {
    struct oracle *o = &w->oracle;
    uint8_t slot = operand(w, 1);
    int whole = w->device_memory_slot[operand(w, 2) % DEVICE_MEMORY_SLOTS],
        old = w->memory_slot[slot % MEMORY_SLOTS], index = o->memory_count;
    if (operand(w, 5) & 1) {
        if (old != NONE && o->memories[old].held) {
            world_say(w, " let go: %d", old);
            world_take_memory_slot(w, slot, NONE);
        }
        return;
    }
    if (whole == NONE || !o->device_memories[whole].views || index == MAX_MEMORIES)
        return;
    const struct model_device_memory *m = &o->device_memories[whole];
    uint64_t offset = world_length(w, operand(w, 3), 0, 0) % (m->length + 1), rest = m->length - offset;
    uint64_t length = operand(w, 4) == 0xff ? rest : world_length(w, operand(w, 4), offset, 0) % (rest + 1);
    world_say(w, " memory=%d (%d) of %d offset=%" PRIu64 " length=%" PRIu64, slot % MEMORY_SLOTS, index,
              whole, offset, length);
    struct rvt_memory *made = rvt_device_memory_slice(w->device_memories[whole], offset, length);
    if (!world_answer(w, made ? 0 : -RVT_ENOMEM, m->freed ? -RVT_ENOMEM : 0))
        return;
    EXPECT(w, "length of a slice", made->length, length);
    o->memories[index] = (struct model_memory){
        .length = length,
        .real = true,
        .shadow = m->shadow + offset,
        .device_memory = whole,
        .held = true,
    };
    o->memory_count++;
    w->memories[index] = NULL;
    w->slices[index] = made;
    world_take_memory_slot(w, slot, index);
}

/* --- counters --- */

static void count_region(struct world *w, int region) {
    struct model_region *r = &w->oracle.regions[region];
    world_say(w, " region=%d", region);
    if (world_answer(w, rvt_count_mr(w->regions[region]), r->alive ? 0 : -RVT_EBADF))
        r->counted = true;
    world_check_region(w, region);
}

void play_context(struct world *w) {
    uint8_t a = operand(w, 1), b = operand(w, 2), c = operand(w, 3);
    switch (w->operation.code) {
    case OP_ALLOC_CONTEXT:
        make_context(w, world_device(w, a), b);
        break;
    case OP_DEALLOC_CONTEXT:
        if (w->context_slot[a % CONTEXT_SLOTS] != NONE)
            world_end_context(w, w->context_slot[a % CONTEXT_SLOTS],
                              c & 1   ? END_DROP
                              : b & 1 ? END_CASCADE
                                      : END_PLAIN);
        break;
    case OP_ATTACH_PD:
        attach(w, a, w->context_slot[b % CONTEXT_SLOTS], world_pd(w, c), operand(w, 4));
        break;
    case OP_SHARE: {
        int device = world_device(w, a);
        if (device == NONE)
            break;
        world_say(w, " device=%d how=%d bit=%d", device, b % 4, c);
        if (b % 4)
            find_shared(w, device, b % 4, c);
        else
            share(w, device);
        break;
    }
    case OP_DEVICE_MEMORY:
        device_memory(w);
        break;
    case OP_SLICE:
        slice(w);
        break;
    case OP_COUNT_MR:
        if (world_region(w, a) != NONE)
            count_region(w, world_region(w, a));
        break;
    default:
        break;
    }
}
