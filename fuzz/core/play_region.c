/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations that create, map, change and release regions. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "world.h"

static int slot_of(uint8_t operand) {
    return operand % REGION_SLOTS;
}

/* Adds the model of a region that the core created. Its key must be the next one of the sequence. */
static void made(struct world *w, uint8_t slot, int pd, enum rvt_mr_kind kind, struct rvt_mr_handle handle,
                 uint32_t key, struct model_region fields) {
    struct oracle *o = &w->oracle;
    struct rvt_mr_attributes is;
    EXPECT(w, "query_mr of a new region", rvt_query_mr(handle, &is), 0);
    if (kind != RVT_MR_DMA && o->devices[o->pds[pd].device].random) {
        key = is.keys.lkey;
        if (!(key >> 8) || !oracle_slot_free(o, o->pds[pd].device, key))
            world_fail(w, "0x%" PRIx32 " is not a valid random key", key);
    }
    for (int i = 0; i < o->region_count; i++)
        if (o->regions[i].device == o->pds[pd].device && o->regions[i].id >= is.id)
            world_fail(w, "the id %" PRIu64 " was used before", is.id);
    int region = oracle_new_region(o, pd, kind);
    struct model_region *r = &o->regions[region];
    r->key = key;
    r->id = is.id;
    r->access = fields.access;
    r->base = fields.base;
    r->iova = r->visible = fields.iova;
    r->length = fields.length;
    r->max_segments = fields.max_segments;
    if (fields.map.shift || kind == RVT_MR_FMR)
        r->map.shift = fields.map.shift;
    w->regions[region] = handle;
    w->region_slot[slot_of(slot)] = region;
}

/* Predicts the result of a registration with valid arguments; `key`: its key. This advances the model's
 * counters; put_back restores them from *before. */
static int slot_answer(struct world *w, int pd, uint32_t *key, struct model_device *before) {
    struct oracle *o = &w->oracle;
    struct model_device *d = &o->devices[o->pds[pd].device];
    *before = *d;
    *key = 0;
    if (d->random)
        return oracle_slots_used(o, o->pds[pd].device) >> d->bits ? -RVT_ENOMEM : 0;
    *key = oracle_next_key(o, o->pds[pd].device);
    return *key ? 0 : -RVT_ENOMEM;
}

static void put_back(struct world *w, int pd, struct model_device before) {
    w->oracle.devices[w->oracle.pds[pd].device] = before;
}

static bool no_room(const struct world *w, int pd) {
    return pd == NONE || w->oracle.region_count == MAX_REGIONS;
}

static void reg_user(struct world *w) {
    struct oracle *o = &w->oracle;
    int pd = world_pd(w, operand(w, 2)), memory = w->memory_slot[(operand(w, 2) >> 4) % MEMORY_SLOTS];
    if (no_room(w, pd) || memory == NONE)
        return;
    uint64_t start = world_address(w, operand(w, 3), operand(w, 4));
    uint64_t iova = world_address(w, operand(w, 5), operand(w, 6));
    uint64_t length = o->memories[memory].length;
    uint32_t access = operand(w, 7) & 31;
    struct rvt_mr_handle handle;
    struct model_device before;
    uint32_t key;
    int should = !oracle_pd_alive(o, pd) ? -RVT_EBADF : oracle_judge_user(start, length, iova);
    int slot = slot_answer(w, pd, &key, &before);
    should = should ? should : slot;
    world_say(
        w, " region=%d pd=%d memory=%d start=0x%" PRIx64 " iova=0x%" PRIx64 " length=0x%" PRIx64 " access=%d",
        slot_of(operand(w, 1)), pd, memory, start, iova, length, access);
    if (operand(w, 7) & 0x80) {
        put_back(w, pd, before);
        world_answer(w, rvt_reg_user_mr_test(w->pds[pd], start, length, iova), should);
        return;
    }
    bool random = o->devices[o->pds[pd].device].random;
    int answer = rvt_reg_user_mr(w->pds[pd], world_memory(w, memory), start, iova, access, &handle);
    if (!world_either(w, answer, should, random && !should ? -RVT_ENOMEM : should)) {
        put_back(w, pd, before);
        return;
    }
    made(w, operand(w, 1), pd, RVT_MR_USER, handle, key,
         (struct model_region){.access = access, .base = start, .iova = iova, .length = length});
    struct model_map *map = &o->regions[o->region_count - 1].map;
    map->memory = memory;
    map->offset = start % RVT_PAGE_SIZE;
    map->segments = (start + length - 1) / RVT_PAGE_SIZE - start / RVT_PAGE_SIZE + 1;
}

static void get_dma(struct world *w) {
    struct oracle *o = &w->oracle;
    int pd = world_pd(w, operand(w, 2));
    if (no_room(w, pd))
        return;
    struct rvt_mr_handle handle;
    uint32_t access = operand(w, 3) & 31;
    int should = !oracle_pd_alive(o, pd) ? -RVT_EBADF : o->pds[pd].user ? -RVT_EPERM : 0;
    world_say(w, " region=%d pd=%d access=%d", slot_of(operand(w, 1)), pd, access);
    if (world_answer(w, rvt_get_dma_mr(w->pds[pd], access, &handle), should))
        made(w, operand(w, 1), pd, RVT_MR_DMA, handle, 0, (struct model_region){.access = access});
}

static void alloc_region(struct world *w) {
    static const uint32_t counts[16] = {0,  1,  2,   3,   4,         8,           16,          32,
                                        64, 88, 255, 256, INT32_MAX, 0x80000000u, 0xffffff01u, UINT32_MAX};
    struct oracle *o = &w->oracle;
    int pd = world_pd(w, operand(w, 2));
    if (no_room(w, pd))
        return;
    struct rvt_mr_handle handle;
    struct model_device before;
    uint32_t key, count = operand(w, 4) & 0x80 ? operand(w, 4) & 0x7f : counts[operand(w, 4) % 16];
    enum rvt_mr_type type = (enum rvt_mr_type)(operand(w, 3) % 6);
    int should = !oracle_pd_alive(o, pd)                                      ? -RVT_EBADF
                 : type != RVT_MR_TYPE_MEM_REG || count > (uint32_t)INT32_MAX ? -RVT_EINVAL
                                                                              : 0;
    int slot = slot_answer(w, pd, &key, &before);
    should = should ? should : slot;
    world_say(w, " region=%d pd=%d type=%d max_num_sg=%" PRIu32, slot_of(operand(w, 1)), pd, type, count);
    bool random = o->devices[o->pds[pd].device].random;
    if (world_either(w, rvt_alloc_mr(w->pds[pd], type, count, &handle), should,
                     random && !should ? -RVT_ENOMEM : should))
        made(w, operand(w, 1), pd, RVT_MR_MEM_REG, handle, key, (struct model_region){.max_segments = count});
    else
        put_back(w, pd, before);
}

static void alloc_fmr(struct world *w) {
    static const int64_t counts[16] = {
        0, 1, 2, 3, 4, 8, 16, 32, 64, 256, 512, INT32_MAX, INT64_C(1) << 31, -1, -1000, INT64_MIN};
    struct oracle *o = &w->oracle;
    int pd = world_pd(w, operand(w, 2));
    if (no_room(w, pd))
        return;
    struct rvt_mr_handle handle;
    struct model_device before;
    uint32_t key, access = operand(w, 3) & 31;
    struct rvt_fmr_attr attr = {
        .max_pages = operand(w, 4) & 0x80 ? operand(w, 4) & 0x7f : counts[operand(w, 4) % 16],
        .max_maps = operand(w, 3),
        .page_shift = operand(w, 5) < 64 ? operand(w, 5) : RVT_PAGE_SHIFT,
    };
    int should = !oracle_pd_alive(o, pd)                                                    ? -RVT_EBADF
                 : attr.page_shift > 30 || attr.max_pages < 0 || attr.max_pages > INT32_MAX ? -RVT_EINVAL
                                                                                            : 0;
    int slot = slot_answer(w, pd, &key, &before);
    should = should ? should : slot;
    world_say(w, " region=%d pd=%d access=%d max_pages=%" PRId64 " shift=%" PRIu32, slot_of(operand(w, 1)),
              pd, access, attr.max_pages, attr.page_shift);
    bool random = o->devices[o->pds[pd].device].random;
    if (world_either(w, rvt_alloc_fmr(w->pds[pd], access, &attr, &handle), should,
                     random && !should ? -RVT_ENOMEM : should))
        made(w, operand(w, 1), pd, RVT_MR_FMR, handle, key,
             (struct model_region){.access = access,
                                   .max_segments = (uint32_t)attr.max_pages,
                                   .map = {.shift = attr.page_shift}});
    else
        put_back(w, pd, before);
}

/* --- mappings --- */

static void map_sg(struct world *w) {
    static const uint32_t page_sizes[8] = {0, 1, 2048, 4097, 8192, 65536, 1u << 31, UINT32_MAX};
    struct oracle *o = &w->oracle;
    int region = world_region(w, operand(w, 1));
    if (region == NONE)
        return;
    struct model_region *r = &o->regions[region];
    uint64_t offset = world_length(w, operand(w, 2), 0, operand(w, 1));
    uint32_t page_size = operand(w, 3) < 0xf8 ? RVT_PAGE_SIZE : page_sizes[operand(w, 3) % 8];
    struct rvt_sg_element *list = malloc((w->item_count + 1) * sizeof(*list));
    exact pages = 0;
    if (!list)
        abort();
    for (uint32_t i = 0; i < w->item_count; i++) {
        list[i] = (struct rvt_sg_element){w->items[i].address, w->items[i].length};
        pages += list[i].length / RVT_PAGE_SIZE + 2;
    }
    world_say(w, " region=%d elements=%" PRIu32 " sg_offset=%" PRIu64 " page_size=%" PRIu32, region,
              w->item_count, offset, page_size);
    /* A list of gigabytes tests nothing new, but takes as long as a thousand programs. */
    if (pages < 4096 || r->max_segments < 4096) {
        struct model_map map = {.memory = NONE};
        struct rvt_sg_outcome outcome;
        uint64_t length = 0;
        int should = -RVT_EBADF;
        if (r->alive)
            should = oracle_lay_out(o, region, list, w->item_count, offset, page_size, &map, &length);
        /* Two documents differ about a region without segments and an offset beyond the first element. */
        int also = r->alive && !r->max_segments && w->item_count && offset > list[0].length &&
                           should == -RVT_EINVAL && r->kind == RVT_MR_MEM_REG
                       ? -RVT_ENOMEM
                       : should;
        world_step_aside(w, r->device);
        int answer = rvt_map_mr_sg(w->regions[region], list, w->item_count, offset, page_size, &outcome);
        bool starved = rvt_test_alloc_failed();
        world_either(w, answer, should, also);
        /* -ENOMEM for too few segments removes the old mapping, too. */
        if (answer >= 0 || (answer == -RVT_ENOMEM && !starved)) {
            world_nothing_waits(w, r->device);
            oracle_set_map(o, region, &map);
            r->base = r->iova = r->visible = list[0].address + offset;
            r->length = length;
        } else {
            oracle_drop_map(&map);
        }
        if (r->alive) {
            EXPECT(w, "outcome.iova", outcome.iova, r->visible);
            EXPECT(w, "outcome.length", outcome.length, r->length);
        }
        world_check_region(w, region);
    }
    free(list);
    world_list_used(w, operand(w, 4));
}

static void map_fmr(struct world *w) {
    struct oracle *o = &w->oracle;
    int region = world_region(w, operand(w, 1));
    if (region == NONE)
        return;
    struct model_region *r = &o->regions[region];
    uint64_t iova = world_address(w, operand(w, 2), operand(w, 3)), length = 0;
    uint64_t *pages = malloc(w->item_count * sizeof(*pages) + !w->item_count);
    struct model_map map = {.memory = NONE};
    if (!pages)
        abort();
    for (uint32_t i = 0; i < w->item_count; i++)
        pages[i] = w->items[i].address;
    world_say(w, " region=%d pages=%" PRIu32 " first=0x%" PRIx64 " iova=0x%" PRIx64, region, w->item_count,
              w->item_count ? pages[0] : 0, iova);
    int should = -RVT_EBADF;
    if (r->alive)
        should = oracle_map_pages(o, region, pages, w->item_count, iova, &map, &length);
    world_step_aside(w, r->device);
    if (world_answer(w, rvt_map_phys_fmr(w->regions[region], pages, w->item_count, iova), should)) {
        world_nothing_waits(w, r->device);
        oracle_set_map(o, region, &map);
        r->base = r->iova = r->visible = iova;
        r->length = length;
    } else {
        oracle_drop_map(&map);
    }
    world_check_region(w, region);
    free(pages);
    world_list_used(w, operand(w, 4));
}

static void unmap_fmrs(struct world *w) {
    struct oracle *o = &w->oracle;
    struct rvt_mr_handle *list = malloc((w->item_count + 1) * sizeof(*list));
    int *regions = malloc((w->item_count + 1) * sizeof(*regions));
    uint32_t count = 0;
    int should = 0;
    bool dead = false, foreign = false, other = false, half_dead = false;
    if (!list || !regions)
        abort();
    for (uint32_t i = 0; i < w->item_count; i++) {
        int region = world_region(w, w->items[i].slot);
        if (region == NONE)
            continue;
        const struct model_region *r = &o->regions[region];
        world_say(w, " %d", region);
        regions[count] = region;
        list[count++] = w->regions[region];
        dead |= !r->alive;
        foreign |= r->device != o->regions[regions[0]].device;
        other |= r->kind != RVT_MR_FMR;
        half_dead |= r->half_dead;
    }
    /* If several handles are wrong, the error depends on their order in the list. */
    bool wrong = dead || foreign || other || half_dead;
    should = dead ? -RVT_EBADF : foreign || other ? -RVT_EINVAL : half_dead ? -RVT_EBUSY : 0;
    if (count)
        world_step_aside(w, o->regions[regions[0]].device);
    int answer = rvt_unmap_fmr(list, count);
    if (dead + (foreign || other) + half_dead > 1) {
        if (answer != -RVT_EBADF && answer != -RVT_EINVAL && answer != -RVT_EBUSY)
            world_fail(w, "the answer is %d", answer);
    } else {
        world_answer(w, answer, should);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct model_region *r = &o->regions[regions[i]];
        if (!wrong) {
            world_nothing_waits(w, r->device);
            oracle_set_map(o, regions[i], NULL);
            r->base = r->iova = r->visible = r->length = 0;
        }
        world_check_region(w, regions[i]);
    }
    free(list);
    free(regions);
    world_list_used(w, operand(w, 1));
}

/* --- keys --- */

static void fast_reg(struct world *w) {
    struct oracle *o = &w->oracle;
    int region = world_region(w, operand(w, 1)), qp = world_qp(w, operand(w, 2));
    if (region == NONE || qp == NONE)
        return;
    struct model_region *r = &o->regions[region];
    uint32_t key = world_key(w, operand(w, 3)) ^ (operand(w, 4) & 0x40 ? 0x42 : 0),
             access = operand(w, 4) & 31;
    uint64_t iova = world_address(w, operand(w, 5), operand(w, 6));
    bool with_iova = operand(w, 7) & 1, foreign = o->pds[o->qps[qp].pd].device != r->device;
    world_say(w, " region=%d qp=%d key=0x%" PRIx32 " access=%d", region, qp, key, access);
    if (with_iova)
        world_say(w, " iova=0x%" PRIx64, iova);
    int should = 0;
    bool live = r->alive && o->qps[qp].alive;
    if (live && !foreign && with_iova)
        r->visible = iova;
    if (!live)
        should = -RVT_EBADF;
    else if (foreign)
        should = -RVT_EINVAL;
    else if (o->qps[qp].pd != r->pd)
        should = -RVT_EACCES;
    else if (r->kind != RVT_MR_MEM_REG || r->half_dead || key >> 8 != r->key >> 8 ||
             (exact)r->visible + r->length > (exact)UINT64_MAX + 1)
        should = -RVT_EINVAL;
    int also = foreign ? -RVT_EINVAL : should;
    world_step_aside(w, r->device);
    if (world_either(w,
                     rvt_fast_reg_mr(w->qps[qp], w->regions[region], key, access, with_iova ? &iova : NULL),
                     should, also)) {
        world_nothing_waits(w, r->device);
        r->key = key;
        r->access = access;
        r->iova = r->visible;
        r->valid = true;
    }
    world_check_region(w, region);
}

static void invalidate(struct world *w) {
    struct oracle *o = &w->oracle;
    int qp = world_qp(w, operand(w, 1));
    if (qp == NONE)
        return;
    uint32_t key = world_key(w, operand(w, 2));
    int named = NONE;
    for (int i = 0; i < o->region_count; i++) {
        const struct model_region *r = &o->regions[i];
        if (r->published && r->kind != RVT_MR_DMA && r->pd == o->qps[qp].pd && r->key == key)
            named = i;
    }
    world_say(w, " qp=%d key=0x%" PRIx32, qp, key);
    int should = !o->qps[qp].alive ? -RVT_EBADF : named == NONE ? -RVT_EINVAL : 0;
    int device = o->pds[o->qps[qp].pd].device;
    world_step_aside(w, device);
    if (world_answer(w, rvt_invalidate_rkey(w->qps[qp], key), should)) {
        world_nothing_waits(w, device);
        o->regions[named].valid = false;
    }
    if (named != NONE)
        world_check_region(w, named);
}

static enum rvt_release_mode mode_of(uint8_t code) {
    static const enum rvt_release_mode modes[4] = {RVT_RELEASE, RVT_RELEASE_FORCE, RVT_RELEASE_FORCE,
                                                   RVT_RELEASE_AWAIT};
    return modes[code % 4];
}

static void release(struct world *w) {
    struct oracle *o = &w->oracle;
    int region = world_region(w, operand(w, 1));
    if (region == NONE)
        return;
    struct model_region *r = &o->regions[region];
    enum rvt_release_mode mode = mode_of(operand(w, 2));
    bool as_fmr = (r->kind == RVT_MR_FMR) != (operand(w, 3) == 0xff);
    world_say(w, " region=%d mode=%d as_fmr=%d", region, mode, as_fmr);
    /* Let the lingering reader leave before the oracle runs: the oracle frees the region's memory at once. */
    world_step_aside(w, r->device);
    int should = !r->alive                           ? -RVT_EBADF
                 : as_fmr != (r->kind == RVT_MR_FMR) ? -RVT_EINVAL
                                                     : oracle_release(o, region, mode);
    int answer = as_fmr ? rvt_dealloc_fmr(w->regions[region], mode) : rvt_dereg_mr(w->regions[region], mode);
    if (world_answer(w, answer, should))
        world_nothing_waits(w, r->device);
    world_check_region(w, region);
}

/* Releases a list of regions with one wait. */
static void release_all(struct world *w) {
    struct oracle *o = &w->oracle;
    int pd = world_pd(w, operand(w, 1)), regions[MAX_ITEMS];
    enum rvt_release_mode mode = mode_of(operand(w, 2));
    struct rvt_mr_handle list[MAX_ITEMS];
    uint32_t count = 0;
    if (pd == NONE)
        return;
    int device = o->pds[pd].device, should = oracle_pd_alive(o, pd) ? 0 : -RVT_EBADF;
    world_say(w, " pd=%d mode=%d:", pd, mode);
    for (uint32_t i = 0; i < w->item_count; i++) {
        int region = world_region(w, w->items[i].slot);
        if (region == NONE)
            continue;
        const struct model_region *r = &o->regions[region];
        world_say(w, " %d", region);
        if (!should && (r->device != device || (r->alive && r->pd != o->pds[pd].root)))
            should = -RVT_EINVAL;
        regions[count] = region;
        list[count++] = w->regions[region];
    }
    world_step_aside(w, device);
    for (uint32_t i = 0; i < count && (!should || should == -RVT_EBUSY); i++)
        if (o->regions[regions[i]].alive && oracle_release(o, regions[i], mode))
            should = -RVT_EBUSY;
    if (world_answer(w, rvt_dereg_mrs(w->pds[pd], list, count, mode), should))
        world_nothing_waits(w, device);
    for (uint32_t i = 0; i < count; i++)
        world_check_region(w, regions[i]);
    world_list_used(w, operand(w, 3));
}

void play_region(struct world *w) {
    switch (w->operation.code) {
    case OP_REG_USER:
        reg_user(w);
        break;
    case OP_GET_DMA_MR:
        get_dma(w);
        break;
    case OP_ALLOC_MR:
        alloc_region(w);
        break;
    case OP_MAP_SG:
        map_sg(w);
        break;
    case OP_FAST_REG:
        fast_reg(w);
        break;
    case OP_INVALIDATE:
        invalidate(w);
        break;
    case OP_ALLOC_FMR:
        alloc_fmr(w);
        break;
    case OP_MAP_FMR:
        map_fmr(w);
        break;
    case OP_UNMAP_FMR:
        unmap_fmrs(w);
        break;
    case OP_RELEASE:
        release(w);
        break;
    case OP_DEREG_MRS:
        release_all(w);
        break;
    case OP_QUERY:
        if (world_region(w, operand(w, 1)) != NONE)
            world_check_region(w, world_region(w, operand(w, 1)));
        break;
    default:
        break;
    }
}
