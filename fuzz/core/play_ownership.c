/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations on devices, domains, queue pairs, memory and DMA mappings, and those that prepare input for
 * others: numbers, the list, failing allocations. */
#include <inttypes.h>

#include "core/base/alloc.h"
#include "world.h"

/* --- devices --- */

static void open_device(struct world *w, uint8_t slot, uint8_t bits_code, uint8_t options) {
    static const uint32_t bits_table[16] = {4, 1, 2, 3, 5, 6, 7, 8, 10, 12, 16, 22, 23, 24, UINT32_MAX, 0};
    struct oracle *o = &w->oracle;
    uint32_t bits = bits_table[bits_code % 16];
    int open = world_device(w, slot);
    if (o->device_count == MAX_DEVICES || (open != NONE && o->devices[open].open))
        return;
    struct rvt_device_options wanted = {
        .lkey_table_bits = bits, .random_keys = options & 2, .remote_key_zero = !(options & 1)};
    struct rvt_dev_info *device = NULL;
    world_say(w, " device=%d bits=%" PRIu32 " random=%d remote_key_zero=%d", slot % DEVICE_SLOTS, bits,
              wanted.random_keys, wanted.remote_key_zero);
    if (!world_answer(w, rvt_driver_mr_init(&wanted, &device), bits ? 0 : -RVT_EINVAL))
        return;
    int index = o->device_count++;
    o->devices[index] = (struct model_device){.open = true,
                                              .random = wanted.random_keys,
                                              .remote_key_zero = wanted.remote_key_zero,
                                              .bits = bits > 23 ? 23 : bits,
                                              .published = NONE};
    EXPECT(w, "bits in use", device->lkey_table.bits, o->devices[index].bits);
    w->devices[index] = device;
    w->device_slot[slot % DEVICE_SLOTS] = index;
}

static void exit_device(struct world *w, int device, bool cascade) {
    struct oracle *o = &w->oracle;
    struct model_device *d = &o->devices[device];
    bool busy = false, leaked = false, published = d->published != NONE;
    for (int i = 0; i < o->pd_count; i++)
        busy |= o->pds[i].device == device && o->pds[i].alive;
    for (int i = 0; i < o->mapping_count; i++)
        busy |= o->mappings[i].device == device && o->mappings[i].alive;
    world_say(w, " device=%d cascade=%d", device, cascade);
    int should = !d->open ? -RVT_EBADF : busy && !cascade ? -RVT_EBUSY : 0;
    world_step_aside(w, device);
    if (!world_answer_anyway(w, rvt_mr_exit(w->devices[device], cascade, &leaked), should))
        return;
    world_nothing_waits(w, device);
    EXPECT(w, "dma_mr_leaked", leaked, published);
    oracle_close(o, device);
}

/* --- domains and queue pairs --- */

void world_add_pd(struct world *w, uint8_t slot, struct model_pd pd) {
    struct oracle *o = &w->oracle;
    int index = o->pd_count++;
    o->pds[index] = pd;
    if (!rvt_checker_of_pd(w->pds[index], &w->pd_checkers[index]))
        world_fail(w, "a new handle of a domain is not live");
    w->pd_slot[slot % PD_SLOTS] = index;
}

static void make_pd(struct world *w, int device, int context, uint8_t slot, bool user) {
    struct oracle *o = &w->oracle;
    if (device == NONE || o->pd_count == MAX_PDS)
        return;
    int pd = o->pd_count;
    world_say(w, " device=%d context=%d pd=%d user=%d", device, context, slot % PD_SLOTS, user);
    int answer = rvt_alloc_pd(w->devices[device], world_context(w, context), user, &w->pds[pd]);
    if (!world_answer(w, answer, o->devices[device].open && !oracle_gone(o, context) ? 0 : -RVT_EBADF))
        return;
    uint64_t serial = rvt_pd_serial(w->pds[pd]);
    for (int i = 0; i < pd; i++)
        if (o->pds[i].device == device && o->pds[i].serial >= serial)
            world_fail(w, "the domain's serial number %" PRIu64 " was used before", serial);
    world_add_pd(w, slot,
                 (struct model_pd){
                     .device = device,
                     .root = pd,
                     .context = context,
                     .alive = true,
                     .user = user,
                     .serial = serial,
                 });
}

static void make_qp(struct world *w, int pd, uint8_t slot) {
    struct oracle *o = &w->oracle;
    if (pd == NONE || o->qp_count == MAX_QPS)
        return;
    int qp = o->qp_count;
    world_say(w, " pd=%d qp=%d", pd, slot % QP_SLOTS);
    if (!world_answer(w, rvt_create_check_qp(w->pds[pd], &w->qps[qp]),
                      oracle_pd_alive(o, pd) ? 0 : -RVT_EBADF))
        return;
    o->qps[qp] = (struct model_qp){o->pds[pd].root, o->pds[pd].context, true, rvt_qp_serial(w->qps[qp])};
    o->qp_count++;
    if (!rvt_checker_of_qp(w->qps[qp], &w->qp_checkers[qp]))
        world_fail(w, "a new queue pair is not live");
    w->qp_slot[slot % QP_SLOTS] = qp;
}

static void end_pd(struct world *w, int pd, bool cascade) {
    struct oracle *o = &w->oracle;
    if (pd == NONE)
        return;
    world_say(w, " pd=%d cascade=%d", pd, cascade);
    int root = o->pds[pd].root, should = 0;
    if (!oracle_pd_alive(o, pd))
        should = -RVT_EBADF;
    else if (oracle_children(o, root) && !cascade)
        should = -RVT_EBUSY;
    world_step_aside(w, o->pds[pd].device);
    if (!world_answer_anyway(w, rvt_dealloc_pd(w->pds[pd], cascade), should))
        return;
    world_nothing_waits(w, o->pds[pd].device);
    oracle_end_pd(o, root);
    struct rvt_checker checker;
    if (rvt_checker_of_pd(w->pds[pd], &checker))
        world_fail(w, "a closed domain can check");
}

static void end_qp(struct world *w, int qp) {
    struct oracle *o = &w->oracle;
    if (qp == NONE)
        return;
    int device = o->pds[o->qps[qp].pd].device;
    world_say(w, " qp=%d", qp);
    world_step_aside(w, device);
    if (!world_answer(w, rvt_destroy_qp(w->qps[qp]), o->qps[qp].alive ? 0 : -RVT_EBADF))
        return;
    world_nothing_waits(w, device);
    o->qps[qp].alive = false;
    struct rvt_checker checker;
    if (rvt_checker_of_qp(w->qps[qp], &checker))
        world_fail(w, "a destroyed queue pair can check");
}

/* --- memory and DMA mappings --- */

static void make_memory(struct world *w, uint8_t slot, uint8_t size, uint8_t before, int owner) {
    int memory = world_new_memory(w, size, before, owner);
    if (memory == NONE)
        return;
    world_take_memory_slot(w, slot, memory);
    world_say(w, " memory=%d (%d) length=0x%" PRIx64 " owner=%d", slot % MEMORY_SLOTS, memory,
              w->oracle.memories[memory].length, owner);
}

static bool overlaps(const struct oracle *o, int device, uint64_t address, uint64_t length) {
    for (int i = 0; i < o->mapping_count; i++) {
        const struct model_mapping *m = &o->mappings[i];
        if (m->alive && m->device == device && (exact)address < (exact)m->address + m->length &&
            (exact)m->address < (exact)address + length)
            return true;
    }
    return false;
}

/* Returns whether the upper half of the address space is free, so that any chosen address has room. */
static bool roomy(const struct oracle *o, int device) {
    for (int i = 0; i < o->mapping_count; i++) {
        const struct model_mapping *m = &o->mappings[i];
        if (m->device == device && (exact)m->address + m->length > (exact)1 << 63)
            return false;
    }
    return true;
}

static void make_mapping(struct world *w, int device, int context, uint8_t slot, int memory, bool fixed,
                         uint64_t address) {
    struct oracle *o = &w->oracle;
    if (device == NONE || memory == NONE || o->mapping_count == MAX_MAPPINGS)
        return;
    int mapping = o->mapping_count;
    uint64_t length = o->memories[memory].length, wanted = address;
    bool possible = length;
    if (fixed)
        possible = length && address % RVT_PAGE_SIZE == 0 &&
                   (exact)address + length <= (exact)UINT64_MAX + 1 && !overlaps(o, device, address, length);
    int should = possible ? 0 : -RVT_EINVAL, also = should;
    if (!o->devices[device].open || oracle_gone(o, context)) {
        should = -RVT_EBADF;
        /* The documents do not say which of the two errors takes precedence. */
        also = length ? should : -RVT_EINVAL;
    } else if (!fixed && length && (length >= UINT64_C(1) << 62 || !roomy(o, device))) {
        also = -RVT_EINVAL; /* the documents do not say how much room must be left */
    }
    world_say(w, " device=%d context=%d mapping=%d memory=%d fixed=%d address=0x%" PRIx64, device, context,
              slot % MAPPING_SLOTS, memory, fixed, address);
    int answer = rvt_dma_map(w->devices[device], world_context(w, context), world_memory(w, memory), fixed,
                             &address, &w->mappings[mapping]);
    if (!world_either(w, answer, should, also))
        return;
    if (fixed)
        EXPECT(w, "address", address, wanted);
    else if (!address || address % RVT_PAGE_SIZE || (exact)address + length > (exact)UINT64_MAX + 1 ||
             overlaps(o, device, address, length))
        world_fail(w, "a bad address was chosen: 0x%" PRIx64, address);
    o->mappings[mapping] = (struct model_mapping){
        .device = device,
        .memory = memory,
        .address = address,
        .length = length,
        .alive = true,
        .context = context,
        .serial = rvt_dma_serial(w->mappings[mapping]),
    };
    o->mapping_count++;
    w->mapping_slot[slot % MAPPING_SLOTS] = mapping;
}

static void end_mapping(struct world *w, int mapping) {
    struct oracle *o = &w->oracle;
    if (mapping == NONE)
        return;
    world_say(w, " mapping=%d", mapping);
    int should = !o->mappings[mapping].alive ? -RVT_EBADF : oracle_mapping_used(o, mapping) ? -RVT_EBUSY : 0;
    world_step_aside(w, o->mappings[mapping].device);
    if (!world_answer_anyway(w, rvt_dma_unmap(w->mappings[mapping]), should))
        return;
    world_nothing_waits(w, o->mappings[mapping].device);
    oracle_end_mapping(o, mapping);
}

/* --- a device with objects, to start with --- */

/* Opens a device with three domains (two kernel, one user), a queue pair in each, memories, and two DMA
 * mappings. */
static void scene(struct world *w, uint8_t slot, uint8_t bits, uint8_t options) {
    int before = w->oracle.device_count;
    open_device(w, slot, bits, options);
    if (w->oracle.device_count == before)
        return;
    uint8_t first = slot % DEVICE_SLOTS * 4, memory = slot % DEVICE_SLOTS * 8;
    int device = world_device(w, slot);
    for (uint8_t i = 0; i < 3; i++) {
        make_pd(w, device, NONE, first + i, i == 2);
        make_qp(w, world_pd(w, first + i), first + i);
    }
    make_memory(w, memory, 2, options >> 4, 0); /* a memory of 3 pages */
    make_memory(w, memory + 1, 12, 3, 1);       /* a memory of 6000 bytes, owned by environment 1 */
    make_memory(w, memory + 2, 10, 0, 0);       /* a memory of 16 pages, mapped at 0x10000 */
    make_memory(w, memory + 3, 9, 0, 0);        /* a memory of 4 pages, mapped directly behind the other */
    make_mapping(w, device, NONE, memory, w->memory_slot[memory + 2], true, 0x10000);
    make_mapping(w, device, NONE, memory + 1, w->memory_slot[memory + 3], true, 0x20000);
}

/* --- input of other operations --- */

static void set_number(struct world *w) {
    uint64_t value = 0;
    uint64_t *number = &w->numbers[operand(w, 1) % NUMBERS];
    for (int i = 0; i < 6; i++)
        value |= (uint64_t)operand(w, 2 + i) << (8 * i);
    switch (operand(w, 1) >> 4) {
    case 1:
        value |= UINT64_C(0xffff) << 48;
        break;
    case 2: /* sets the high bits of the register's current number */
        value = (*number & (UINT64_MAX >> 16)) | value << 48;
        break;
    default:
        break;
    }
    *number = value;
    world_say(w, " %d = 0x%" PRIx64, operand(w, 1) % NUMBERS, value);
}

static void push(struct world *w) {
    static const int64_t strides[16] = {0,    4096, -4096, 512, 8192, 1,       -1,         100,
                                        4095, 4097, 1024,  64,  8,    1 << 16, -(1 << 16), 12288};
    uint64_t address = world_address(w, operand(w, 2), operand(w, 3));
    uint64_t length = world_length(w, operand(w, 4), address, operand(w, 1));
    uint32_t count = 1 + operand(w, 5) % 64;
    if (operand(w, 5) >= 0xc0)
        count *= 5; /* more than the 256 segments of a block */
    uint8_t stride = operand(w, 6);
    world_say(w, " key=0x%" PRIx32 " address=0x%" PRIx64 " length=0x%" PRIx64 " count=%" PRIu32 " slot=%d",
              world_key(w, operand(w, 1)), address, length, count, operand(w, 7));
    for (uint32_t i = 0; i < count && w->item_count < MAX_ITEMS; i++) {
        w->items[w->item_count++] =
            (struct item){address, length, world_key(w, operand(w, 1)), (uint8_t)(operand(w, 7) + i)};
        /* Advance by a stride from the table, or by the length, which makes the pieces adjacent. */
        address += stride & 0x80 ? length : (uint64_t)strides[stride % 16];
    }
}

struct report {
    struct world *world;
    int device;
    uint32_t rows, index;
};

static void compare_row(void *context, const struct rvt_table_row *row) {
    struct report *report = context;
    const struct oracle *o = &report->world->oracle;
    if (report->rows++ && row->index <= report->index)
        world_fail(report->world, "the table is out of order");
    report->index = row->index;
    for (int i = 0; i < o->region_count; i++) {
        const struct model_region *r = &o->regions[i];
        if (r->device == report->device && r->published && r->kind != RVT_MR_DMA &&
            r->key >> (32 - o->devices[r->device].bits) == row->index) {
            EXPECT(report->world, "key in the table", row->lkey, r->key);
            if (row->mr != report->world->regions[i].mr)
                world_fail(report->world, "another region is in slot %" PRIu32, row->index);
            return;
        }
    }
    world_fail(report->world, "slot %" PRIu32 " should be empty", row->index);
}

static void show_table(struct world *w, int device) {
    if (device == NONE)
        return;
    const struct model_device *d = &w->oracle.devices[device];
    struct report report = {w, device, 0, 0};
    struct rvt_table_head head;
    rvt_table_report(w->devices[device], &head, compare_row, &report);
    EXPECT(w, "rows", report.rows, oracle_slots_used(&w->oracle, device));
    EXPECT(w, "used", head.used, report.rows);
    EXPECT(w, "max", head.max, UINT32_C(1) << d->bits);
    if (!d->random) {
        EXPECT(w, "next", head.next, d->next);
        EXPECT(w, "gen", head.generation, d->generation);
    }
}

static void pick_start(struct world *w, int device, uint64_t length) {
    if (device == NONE)
        return;
    struct model_device *d = &w->oracle.devices[device];
    uint64_t start = 0;
    int answer = rvt_pick_user_start(w->devices[device], length, &start);
    world_say(w, " device=%d length=0x%" PRIx64 " -> %d 0x%" PRIx64, device, length, answer, start);
    if (answer) {
        EXPECT(w, "answer", answer, -RVT_EINVAL);
        if (length < UINT64_C(1) << 62 && d->last_start < UINT64_C(1) << 62)
            world_fail(w, "no start although there is room");
        return;
    }
    if (start % RVT_PAGE_SIZE || start < d->last_start || (exact)start + length > (exact)UINT64_MAX)
        world_fail(w, "a bad start was chosen: 0x%" PRIx64, start);
    d->last_start = start + length;
}

static void linger(struct world *w, int device, bool everywhere) {
    if (w->oracle.lingering != NONE) {
        world_say(w, " no more");
        world_stop_lingering(w);
    } else if (everywhere || device != NONE) {
        world_say(w, " device=%d", everywhere ? EVERY : device);
        world_start_lingering(w, everywhere ? EVERY : device);
    }
}

/* On devices without a lingering reader nothing may wait to be freed. If there is no lingering reader at all,
 * every reference to a memory must be known to the oracle. */
static void reclaim(struct world *w) {
    const struct oracle *o = &w->oracle;
    for (int i = 0; i < o->device_count; i++) {
        rvt_reclaim(&w->devices[i]->retirement);
        if (o->lingering != i && o->lingering != EVERY)
            world_nothing_waits(w, i);
    }
    if (o->lingering == NONE)
        world_check_references(w);
}

/* Calls every verb with an empty handle. */
static void nobody(struct world *w) {
    struct rvt_pd_handle pd = {0};
    struct rvt_qp_handle qp = {0};
    struct rvt_mr_handle mr = {0};
    struct rvt_checker checker;
    struct rvt_mr_attributes attributes;
    struct rvt_sg_element element = {0};
    struct rvt_sg_outcome outcome;
    uint64_t page = 0;
    EXPECT(w, "dealloc_pd", rvt_dealloc_pd(pd, true), -RVT_EBADF);
    EXPECT(w, "create_qp", rvt_create_check_qp(pd, &qp), -RVT_EBADF);
    EXPECT(w, "destroy_qp", rvt_destroy_qp(qp), -RVT_EBADF);
    EXPECT(w, "dma_unmap", rvt_dma_unmap((struct rvt_dma_handle){0}), -RVT_EBADF);
    EXPECT(w, "reg_user_mr_test", rvt_reg_user_mr_test(pd, 0, 1, 0), -RVT_EBADF);
    EXPECT(w, "get_dma_mr", rvt_get_dma_mr(pd, 0, &mr), -RVT_EBADF);
    EXPECT(w, "alloc_mr", rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 1, &mr), -RVT_EBADF);
    EXPECT(w, "alloc_fmr", rvt_alloc_fmr(pd, 0, &(struct rvt_fmr_attr){1, 1, 12}, &mr), -RVT_EBADF);
    EXPECT(w, "dereg_mr", rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBADF);
    EXPECT(w, "dealloc_fmr", rvt_dealloc_fmr(mr, RVT_RELEASE_FORCE), -RVT_EBADF);
    EXPECT(w, "dereg_mrs", rvt_dereg_mrs(pd, &mr, 1, RVT_RELEASE_FORCE), -RVT_EBADF);
    EXPECT(w, "query_mr", rvt_query_mr(mr, &attributes), -RVT_EBADF);
    EXPECT(w, "map_mr_sg", rvt_map_mr_sg(mr, &element, 1, 0, RVT_PAGE_SIZE, &outcome), -RVT_EBADF);
    EXPECT(w, "map_phys_fmr", rvt_map_phys_fmr(mr, &page, 1, 0), -RVT_EBADF);
    EXPECT(w, "unmap_fmr", rvt_unmap_fmr(&mr, 1), -RVT_EBADF);
    EXPECT(w, "count_mr", rvt_count_mr(mr), -RVT_EBADF);
    rvt_free_ucontext(NULL);
    EXPECT(w, "fast_reg_mr", rvt_fast_reg_mr(qp, mr, 0x100, 0, NULL), -RVT_EBADF);
    EXPECT(w, "invalidate_rkey", rvt_invalidate_rkey(qp, 0x100), -RVT_EBADF);
    if (rvt_checker_of_pd(pd, &checker) || rvt_checker_of_qp(qp, &checker))
        world_fail(w, "an empty handle can check");
}

void play_ownership(struct world *w) {
    uint8_t a = operand(w, 1), b = operand(w, 2), c = operand(w, 3);
    switch (w->operation.code) {
    case OP_SCENE:
        scene(w, a, b, c);
        break;
    case OP_NUMBER:
        set_number(w);
        break;
    case OP_PUSH:
        push(w);
        break;
    case OP_FAIL:
        world_say(w, " after %d", a % 8);
        rvt_test_alloc_fail_after(a % 8);
        break;
    case OP_OPEN:
        open_device(w, a, b, c);
        break;
    case OP_EXIT:
        if (world_device(w, a) != NONE)
            exit_device(w, world_device(w, a), b & 1);
        break;
    case OP_ALLOC_PD: {
        int device = world_device(w, a), context = world_chosen(w, operand(w, 4), &device);
        make_pd(w, device, context, b, c & 1);
        break;
    }
    case OP_DEALLOC_PD:
        end_pd(w, world_pd(w, a), b & 1);
        break;
    case OP_CREATE_QP:
        make_qp(w, world_pd(w, a), b);
        break;
    case OP_DESTROY_QP:
        end_qp(w, world_qp(w, a));
        break;
    case OP_MEMORY:
        make_memory(w, a, b, c, operand(w, 4) % 4 % (ENVIRONMENTS + 1));
        break;
    case OP_MEMORY_STATE:
        if (w->memory_slot[a % MEMORY_SLOTS] != NONE) {
            world_say(w, " memory=%d state=%d", w->memory_slot[a % MEMORY_SLOTS], b % 3);
            world_set_memory(w, w->memory_slot[a % MEMORY_SLOTS], b);
        }
        break;
    case OP_DMA_MAP: {
        int device = world_device(w, a), context = world_chosen(w, operand(w, 7), &device);
        make_mapping(w, device, context, b, w->memory_slot[c % MEMORY_SLOTS], !(operand(w, 4) & 1),
                     world_address(w, operand(w, 5), operand(w, 6)));
        break;
    }
    case OP_DMA_UNMAP:
        end_mapping(w, w->mapping_slot[a % MAPPING_SLOTS]);
        break;
    case OP_TABLE:
        show_table(w, world_device(w, a));
        if (world_device(w, a) != NONE)
            world_check_device(w, world_device(w, a));
        break;
    case OP_PICK_START:
        pick_start(w, world_device(w, a), world_address(w, b, c));
        break;
    case OP_LINGER:
        linger(w, world_device(w, a), b & 1);
        break;
    case OP_RECLAIM:
        reclaim(w);
        break;
    case OP_RANDOM:
        w->random_refused = a & 1;
        w->random_state = b;
        break;
    case OP_NOBODY:
        nobody(w);
        break;
    default:
        break;
    }
}
