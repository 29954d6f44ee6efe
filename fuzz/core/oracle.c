/* SPDX-License-Identifier: BSD-3-Clause */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

static const exact TWO_64 = (exact)1 << 64;

void oracle_begin(struct oracle *o) {
    o->device_count = o->pd_count = o->qp_count = o->memory_count = o->mapping_count = 0;
    o->context_count = o->device_memory_count = o->region_count = o->sge_count = o->emptied_count = 0;
    o->maps_made = 0;
    o->lingering = NONE;
}

void oracle_end(struct oracle *o) {
    for (int i = 0; i < o->region_count; i++)
        oracle_drop_map(&o->regions[i].map);
    for (int i = 0; i < o->memory_count; i++)
        if (o->memories[i].device_memory == NONE)
            free(o->memories[i].shadow);
    for (int i = 0; i < o->device_memory_count; i++)
        free(o->device_memories[i].shadow);
}

/* --- slots and keys --- */

static uint32_t index_of(const struct oracle *o, int device, uint32_t key) {
    return key >> (32 - o->devices[device].bits);
}

/* Returns the region in a slot of the device's key table, or NONE. */
static int in_slot(const struct oracle *o, int device, uint32_t index) {
    for (int i = 0; i < o->region_count; i++) {
        const struct model_region *r = &o->regions[i];
        if (r->device == device && r->published && r->kind != RVT_MR_DMA &&
            index_of(o, device, r->key) == index)
            return i;
    }
    return NONE;
}

bool oracle_slot_free(const struct oracle *o, int device, uint32_t key) {
    return in_slot(o, device, index_of(o, device, key)) == NONE;
}

uint32_t oracle_slots_used(const struct oracle *o, int device) {
    uint32_t used = 0;
    for (int i = 0; i < o->region_count; i++)
        used += o->regions[i].device == device && o->regions[i].published && o->regions[i].kind != RVT_MR_DMA;
    return used;
}

uint32_t oracle_next_key(struct oracle *o, int device) {
    struct model_device *d = &o->devices[device];
    uint32_t slots = UINT32_C(1) << d->bits;
    if (oracle_slots_used(o, device) == slots)
        return 0;
    uint32_t slot = d->next;
    while (in_slot(o, device, slot) != NONE)
        slot = (slot + 1) % slots;
    d->next = (slot + 1) % slots;
    d->generation++;
    uint32_t key = slot << (32 - d->bits) | (d->generation % (UINT32_C(1) << (24 - d->bits))) << 8;
    if (!key) {
        key = 0x100;
        d->generation++;
    }
    return key;
}

/* --- regions --- */

int oracle_new_region(struct oracle *o, int pd, enum rvt_mr_kind kind) {
    if (o->region_count == MAX_REGIONS)
        return NONE;
    struct model_region *r = &o->regions[o->region_count];
    *r = (struct model_region){.device = o->pds[pd].device,
                               .pd = o->pds[pd].root,
                               .context = o->pds[pd].context,
                               .kind = kind,
                               .alive = true,
                               .published = true,
                               .was_published = true,
                               .valid = true,
                               .map = {.id = ++o->maps_made, .shift = RVT_PAGE_SHIFT, .memory = NONE}};
    if (kind == RVT_MR_DMA) {
        struct model_device *d = &o->devices[r->device];
        r->published = r->was_published = d->published == NONE;
        if (r->published)
            d->published = o->region_count;
    }
    return o->region_count++;
}

uint32_t oracle_refs(const struct model_region *r) {
    uint32_t own = r->kind == RVT_MR_DMA && r->was_published ? 3 : 2;
    return (r->half_dead ? 1 : own) + r->held;
}

void oracle_drop_map(struct model_map *map) {
    free(map->address);
    free(map->mapping);
    map->address = NULL;
    map->mapping = NULL;
    map->segments = 0;
    map->memory = NONE;
}

static void unpublish(struct oracle *o, int region) {
    struct model_region *r = &o->regions[region];
    if (!r->published)
        return;
    r->published = false;
    if (r->kind == RVT_MR_DMA) {
        o->devices[r->device].published = NONE;
        return;
    }
    o->emptied[o->emptied_count].device = r->device;
    o->emptied[o->emptied_count].index = index_of(o, r->device, r->key);
    o->emptied[o->emptied_count].key = r->key;
    o->emptied_count++;
}

static void finish(struct oracle *o, int region) {
    struct model_region *r = &o->regions[region];
    r->alive = r->half_dead = r->awaited = false;
    oracle_let_go(o, r->device, r->map.memory);
    oracle_drop_map(&r->map);
}

int oracle_release(struct oracle *o, int region, enum rvt_release_mode mode) {
    struct model_region *r = &o->regions[region];
    unpublish(o, region);
    r->half_dead = true;
    r->awaited |= mode == RVT_RELEASE_AWAIT;
    r->forced |= mode == RVT_RELEASE_FORCE;
    if (r->held && mode != RVT_RELEASE_FORCE)
        return -RVT_EBUSY;
    finish(o, region);
    return 0;
}

void oracle_put(struct oracle *o, int sge) {
    struct model_sge *s = &o->sges[sge];
    if (!s->alive)
        return;
    s->alive = false;
    struct model_region *r = &o->regions[s->region];
    r->held--;
    if (r->awaited && r->context != NONE && !oracle_gone(o, r->context))
        o->contexts[r->context].wakes_due++;
}

uint32_t oracle_children(const struct oracle *o, int pd) {
    uint32_t children = 0;
    for (int i = 0; i < o->qp_count; i++)
        children += o->qps[i].alive && o->qps[i].pd == pd;
    for (int i = 0; i < o->region_count; i++)
        children += o->regions[i].alive && o->regions[i].pd == pd;
    return children;
}

void oracle_end_pd(struct oracle *o, int pd) {
    for (int i = 0; i < o->qp_count; i++)
        if (o->qps[i].pd == pd)
            o->qps[i].alive = false;
    for (int i = 0; i < o->region_count; i++)
        if (o->regions[i].alive && o->regions[i].pd == pd)
            oracle_release(o, i, RVT_RELEASE_FORCE);
    o->pds[pd].alive = false;
}

void oracle_let_go(struct oracle *o, int device, int memory) {
    if (memory != NONE && (o->lingering == device || o->lingering == EVERY))
        o->memories[memory].limbo = true;
}

void oracle_end_mapping(struct oracle *o, int mapping) {
    struct model_mapping *m = &o->mappings[mapping];
    if (m->alive)
        oracle_let_go(o, m->device, m->memory);
    m->alive = false;
}

int oracle_judge_user(uint64_t start, uint64_t length, uint64_t virt_addr) {
    exact end = (exact)start + length;
    exact page_end = (end + RVT_PAGE_SIZE - 1) / RVT_PAGE_SIZE * RVT_PAGE_SIZE;
    exact pages = page_end / RVT_PAGE_SIZE - start / RVT_PAGE_SIZE;
    if (!length || end >= TWO_64 || page_end >= TWO_64 || (exact)virt_addr + length > TWO_64 ||
        pages > UINT32_MAX)
        return -RVT_EINVAL;
    return 0;
}

/* --- DMA mappings and page lists --- */

int oracle_mapping_at(const struct oracle *o, int device, uint64_t address, uint64_t length, bool *begins) {
    *begins = false;
    for (int i = 0; i < o->mapping_count; i++) {
        const struct model_mapping *m = &o->mappings[i];
        if (!m->alive || m->device != device || address < m->address ||
            (exact)address >= (exact)m->address + m->length)
            continue;
        *begins = true;
        return (exact)address + length <= (exact)m->address + m->length ? i : NONE;
    }
    return NONE;
}

static int holding(const struct oracle *o, int device, uint64_t address, uint64_t length) {
    bool begins;
    return oracle_mapping_at(o, device, address, length, &begins);
}

bool oracle_mapping_used(const struct oracle *o, int mapping) {
    for (int i = 0; i < o->sge_count; i++)
        if (o->sges[i].alive && o->sges[i].mapping == mapping)
            return true;
    for (int i = 0; i < o->region_count; i++) {
        const struct model_map *map = &o->regions[i].map;
        for (uint64_t s = 0; map->mapping && s < map->segments; s++)
            if (map->mapping[s] == mapping)
                return true;
    }
    return false;
}

void oracle_set_map(struct oracle *o, int region, const struct model_map *map) {
    struct model_map *old = &o->regions[region].map;
    uint32_t shift = old->shift;
    oracle_drop_map(old);
    *old = map ? *map : (struct model_map){.memory = NONE};
    old->shift = shift;
    old->id = ++o->maps_made;
}

static void add_segment(struct model_map *map, uint64_t address, int mapping) {
    if ((map->segments & (map->segments - 1)) == 0) {
        uint64_t room = map->segments ? 2 * map->segments : 1;
        map->address = realloc(map->address, room * sizeof(*map->address));
        map->mapping = realloc(map->mapping, room * sizeof(*map->mapping));
        if (!map->address || !map->mapping)
            abort();
    }
    map->address[map->segments] = address;
    map->mapping[map->segments++] = mapping;
}

/* Lays out a list by the rules of docs/semantics.md, 5. Returns the result of rvt_map_mr_sg, unless the list
 * is refused completely. */
static int lay_out(const struct oracle *o, const struct model_region *r, const struct rvt_sg_element *list,
                   uint32_t count, uint64_t sg_offset, struct model_map *map, exact *total) {
    uint64_t capacity = r->max_segments;
    exact previous = 0;
    *total = 0;
    for (uint32_t i = 0; i < count; i++) {
        exact start = (exact)list[i].address + (i ? 0 : sg_offset);
        exact end = (exact)list[i].address + list[i].length;
        exact page = start / RVT_PAGE_SIZE * RVT_PAGE_SIZE, last = start;
        if (i && (previous % RVT_PAGE_SIZE || start % RVT_PAGE_SIZE)) {
            if (previous != start)
                return (int)i;
            page += RVT_PAGE_SIZE;
        }
        for (; page < end; page += RVT_PAGE_SIZE) {
            if (map->segments == capacity) {
                /* The last page that fitted does not count; the length is never negative. */
                if (last > start)
                    *total += last - start;
                return i == 0 && last == (exact)list[0].address ? -RVT_ENOMEM : (int)i;
            }
            add_segment(map, (uint64_t)page, holding(o, r->device, list[i].address, list[i].length));
            last = page;
        }
        *total += end - start;
        previous = end;
    }
    return (int)count;
}

int oracle_lay_out(const struct oracle *o, int region, const struct rvt_sg_element *list, uint32_t count,
                   uint64_t sg_offset, uint32_t page_size, struct model_map *map, uint64_t *length) {
    const struct model_region *r = &o->regions[region];
    *map = (struct model_map){.memory = NONE};
    *length = 0;
    if (r->kind != RVT_MR_MEM_REG || r->half_dead || page_size != RVT_PAGE_SIZE || !count ||
        sg_offset > list[0].length)
        return -RVT_EINVAL;
    for (uint32_t i = 0; i < count; i++)
        if (!list[i].length || holding(o, r->device, list[i].address, list[i].length) == NONE)
            return -RVT_EINVAL;
    if (!r->max_segments)
        return -RVT_ENOMEM;
    if (sg_offset == list[0].length)
        return -RVT_EINVAL;
    exact total;
    int answer = lay_out(o, r, list, count, sg_offset, map, &total);
    uint64_t base = list[0].address + sg_offset;
    if (total && (exact)base + total > TWO_64) {
        oracle_drop_map(map);
        return -RVT_EINVAL;
    }
    map->offset = map->segments ? base % RVT_PAGE_SIZE : 0;
    *length = (uint64_t)total;
    return answer;
}

int oracle_map_pages(const struct oracle *o, int region, const uint64_t *pages, uint32_t count, uint64_t iova,
                     struct model_map *map, uint64_t *length) {
    const struct model_region *r = &o->regions[region];
    *map = (struct model_map){.memory = NONE};
    if (r->kind != RVT_MR_FMR)
        return -RVT_EINVAL;
    if (r->half_dead || r->held)
        return -RVT_EBUSY;
    uint64_t page = UINT64_C(1) << r->map.shift;
    exact total = (exact)count * page;
    if (count > r->max_segments || total > UINT32_MAX || (count && (exact)iova + total > TWO_64))
        return -RVT_EINVAL;
    for (uint32_t i = 0; i < count; i++)
        if (holding(o, r->device, pages[i], page) == NONE)
            return -RVT_EINVAL;
    for (uint32_t i = 0; i < count; i++)
        add_segment(map, pages[i], holding(o, r->device, pages[i], page));
    *length = (uint64_t)total;
    return 0;
}

/* --- checks --- */

static enum rvt_reason judge_key_zero(const struct oracle *o, const struct request *q, struct model_sge *s) {
    const struct model_pd *pd = &o->pds[q->pd];
    const struct model_device *d = &o->devices[pd->device];
    bool begins;
    if (pd->user || (q->remote && !d->remote_key_zero))
        return RVT_KEY_ZERO_DENIED;
    if (d->published == NONE)
        return RVT_NO_DMA_REGION;
    s->mapping = oracle_mapping_at(o, pd->device, q->addr, q->length, &begins);
    if (s->mapping == NONE)
        return begins ? RVT_OUT_OF_BOUNDS : RVT_UNMAPPED;
    s->region = d->published;
    s->position = s->at = q->addr;
    s->length = q->length;
    s->rights = q->acc;
    return RVT_REASON_NONE;
}

/* Returns the reason if the slot holds no live region: revoked for the slot's last key, otherwise no such
 * key. */
static enum rvt_reason judge_absent(const struct oracle *o, int device, uint32_t key) {
    for (int i = o->emptied_count; i-- > 0;)
        if (o->emptied[i].device == device && o->emptied[i].index == index_of(o, device, key))
            return o->emptied[i].key == key ? RVT_REVOKED : RVT_NO_SUCH_KEY;
    return RVT_NO_SUCH_KEY;
}

enum rvt_reason oracle_judge(const struct oracle *o, const struct request *q, struct model_sge *s) {
    *s = (struct model_sge){
        .region = NONE, .mapping = NONE, .request = q->addr, .sge_length = q->length, .remote = q->remote};
    if (!q->key)
        return judge_key_zero(o, q, s);
    int device = o->pds[q->pd].device;
    int region = in_slot(o, device, index_of(o, device, q->key));
    if (region == NONE)
        return judge_absent(o, device, q->key);
    const struct model_region *r = &o->regions[region];
    if (r->key != q->key)
        return RVT_STALE_KEY;
    if (!r->valid)
        return RVT_INVALIDATED;
    if (r->pd != q->pd)
        return RVT_WRONG_PD;
    exact into = (exact)q->addr - (q->remote ? r->iova : r->base);
    if (into < 0 || into + q->length > (exact)r->length)
        return RVT_OUT_OF_BOUNDS;
    uint32_t granted = r->access & q->acc;
    if (q->remote ? granted == 0 : granted != q->acc)
        return RVT_ACCESS_DENIED;
    uint64_t size = UINT64_C(1) << r->map.shift, position = (uint64_t)into + r->map.offset;
    if (position / size >= r->map.segments)
        return RVT_UNMAPPED;
    s->region = region;
    s->map_id = r->map.id;
    s->position = position;
    s->user = r->map.memory != NONE;
    s->at = s->user ? (uint64_t)into : r->map.address[position / size] + position % size;
    s->length = (uint32_t)(size - position % size);
    s->rights = granted;
    s->offset = r->map.offset;
    s->shift = r->map.shift;
    return RVT_REASON_NONE;
}

int oracle_asked(const struct oracle *o, const struct request *q) {
    const struct model_pd *pd = &o->pds[q->pd];
    const struct model_device *d = &o->devices[pd->device];
    if (!q->key)
        return pd->user || (q->remote && !d->remote_key_zero) ? NONE : d->published;
    int region = in_slot(o, pd->device, index_of(o, pd->device, q->key));
    return region != NONE && o->regions[region].key == q->key ? region : NONE;
}

bool oracle_merges(const struct oracle *o, const struct model_sge *last, const struct request *q,
                   const struct model_sge *s) {
    (void)o;
    if (!last->alive || last->remote || q->remote || s->region != last->region)
        return false;
    if (q->key == 0 ? last->mapping != s->mapping : last->mapping != NONE || last->map_id != s->map_id)
        return false;
    if (s->user || (exact)last->sge_length + q->length > UINT32_MAX)
        return false;
    return (exact)last->request + last->sge_length == (exact)q->addr &&
           (exact)last->at + last->length == (exact)q->addr;
}

void oracle_merge(struct model_sge *last, const struct request *q) {
    last->sge_length += q->length;
    if (q->key == 0)
        last->length += q->length;
    last->rights &= q->acc;
}

/* --- bytes --- */

enum rvt_reason oracle_usable(const struct oracle *o, const struct model_sge *s,
                              const struct model_sge *owner) {
    if (!owner->alive || o->regions[s->region].forced)
        return RVT_REGION_REVOKED;
    if (s->mapping != NONE)
        return o->mappings[s->mapping].alive ? RVT_REASON_NONE : RVT_REGION_REVOKED;
    return o->regions[s->region].map.id == s->map_id ? RVT_REASON_NONE : RVT_REMAPPED;
}

enum rvt_reason oracle_rights(const struct model_sge *s, bool write) {
    bool may = write ? s->rights & (RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_REMOTE_WRITE)
                     : !s->remote || s->rights & RVT_ACCESS_REMOTE_READ;
    return may ? RVT_REASON_NONE : RVT_ACCESS_DENIED;
}

enum rvt_reason oracle_memory(const struct oracle *o, int memory, int environment) {
    const struct model_memory *m = &o->memories[memory];
    if (m->owner && m->owner != environment)
        return RVT_OTHER_ENVIRONMENT;
    if (m->state == MEMORY_DETACHED)
        return RVT_MEMORY_DETACHED;
    return m->state == MEMORY_SHRUNK ? RVT_MEMORY_SHRUNK : RVT_REASON_NONE;
}

struct run oracle_run(const struct oracle *o, const struct model_sge *s, uint64_t want) {
    const struct model_map *map = s->mapping == NONE ? &o->regions[s->region].map : NULL;
    if (map && map->memory != NONE)
        return (struct run){map->memory, s->position - s->offset, want};
    int mapping = s->mapping;
    uint64_t address = s->position;
    if (map) {
        uint64_t size = UINT64_C(1) << s->shift, segment = s->position / size;
        mapping = map->mapping[segment];
        address = map->address[segment] + s->position % size;
        if (want > size - s->position % size)
            want = size - s->position % size;
    }
    const struct model_mapping *m = &o->mappings[mapping];
    return (struct run){m->memory, address - m->address, want};
}

static void advance(struct model_sge *s, uint32_t length) {
    s->position += length;
    s->sge_length -= length;
    if (s->mapping != NONE) {
        s->length -= length;
    } else {
        uint64_t size = UINT64_C(1) << s->shift;
        s->length = (uint32_t)(size - s->position % size);
    }
}

/* --- walks --- */

static void begin_element(const struct oracle *o, struct model_walk *w) {
    w->owner = w->list[w->next++];
    w->sge = o->sges[w->owner];
}

void oracle_walk_init(const struct oracle *o, struct model_walk *w, const int *list, uint32_t count) {
    memcpy(w->list, list, count * sizeof(*list));
    w->begun = true;
    w->count = w->left = count;
    w->next = 0;
    begin_element(o, w);
}

/* Returns SGE number i of the remaining ones: the current one as far as it was consumed, the others in their
 * current state. */
static const struct model_sge *element(const struct oracle *o, const struct model_walk *w, uint32_t i) {
    return i ? &o->sges[w->list[w->next + i - 1]] : &w->sge;
}
static int owner_of(const struct model_walk *w, uint32_t i) {
    return i ? w->list[w->next + i - 1] : w->owner;
}

uint64_t oracle_walk_total(const struct oracle *o, const struct model_walk *w) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < w->left; i++)
        total += element(o, w, i)->sge_length;
    return total;
}

uint32_t oracle_walk_length(const struct oracle *o, const struct model_walk *w, uint32_t length) {
    for (uint32_t i = 0; i < w->left; i++) {
        const struct model_sge *s = element(o, w, i);
        if (!s->sge_length)
            continue;
        if (length > s->length)
            length = s->length;
        return length < s->sge_length ? length : s->sge_length;
    }
    return 0;
}

static void finish_element(struct oracle *o, struct model_walk *w, bool release) {
    if (release)
        oracle_put(o, w->owner);
    if (--w->left)
        begin_element(o, w);
}

void oracle_walk_pass_empty(struct oracle *o, struct model_walk *w, bool release) {
    while (w->left > 1 && !w->sge.sge_length)
        finish_element(o, w, release);
}

int oracle_walk_update(struct oracle *o, struct model_walk *w, uint32_t length, bool release) {
    uint32_t first = 0;
    if (!length)
        return 0;
    while (first < w->left && !element(o, w, first)->sge_length)
        first++;
    if (first == w->left || length > element(o, w, first)->sge_length)
        return -RVT_EINVAL;
    oracle_walk_pass_empty(o, w, release);
    advance(&w->sge, length);
    if (!w->sge.sge_length)
        finish_element(o, w, release);
    return 0;
}

int oracle_walk_skip(struct oracle *o, struct model_walk *w, uint64_t length, bool release) {
    if (length > oracle_walk_total(o, w))
        return -RVT_EINVAL;
    while (length) {
        oracle_walk_pass_empty(o, w, release);
        uint32_t step = w->sge.sge_length < length ? w->sge.sge_length : (uint32_t)length;
        oracle_walk_update(o, w, step, release);
        length -= step;
    }
    return 0;
}

void oracle_walk_put(struct oracle *o, struct model_walk *w) {
    while (w->left)
        finish_element(o, w, true);
}

bool oracle_walk_twice(const struct model_walk *w) {
    for (uint32_t i = 0; i < w->left; i++)
        for (uint32_t j = i + 1; j < w->left; j++)
            if (owner_of(w, i) == owner_of(w, j))
                return true;
    return false;
}

bool oracle_walk_has_key(const struct oracle *o, const struct model_walk *w, uint32_t key) {
    for (uint32_t i = 0; i < w->left; i++) {
        const struct model_sge *s = &o->sges[owner_of(w, i)];
        if (s->alive && o->regions[s->region].key == key)
            return true;
    }
    return false;
}

enum rvt_reason oracle_walk_judge(const struct oracle *o, const struct model_walk *w, uint64_t length,
                                  bool move, bool write, int environment) {
    for (uint32_t i = 0; length && i < w->left; i++) {
        struct model_sge s = *element(o, w, i);
        uint64_t part = s.sge_length < length ? s.sge_length : length;
        if (!part)
            continue;
        length -= part;
        enum rvt_reason reason = move ? oracle_rights(&s, write) : RVT_REASON_NONE;
        if (!reason)
            reason = oracle_usable(o, &s, &o->sges[owner_of(w, i)]);
        while (!reason && move && part) {
            struct run run = oracle_run(o, &s, part);
            reason = oracle_memory(o, run.memory, environment);
            s.position += run.length;
            part -= run.length;
        }
        if (reason)
            return reason;
    }
    return RVT_REASON_NONE;
}

void oracle_walk_move(struct oracle *o, struct model_walk *w, unsigned char *data, uint64_t length,
                      bool write, bool release) {
    while (length) {
        oracle_walk_pass_empty(o, w, release);
        struct run run = oracle_run(o, &w->sge, w->sge.sge_length < length ? w->sge.sge_length : length);
        unsigned char *region = o->memories[run.memory].shadow + run.into;
        if (write)
            memcpy(region, data, run.length);
        else
            memcpy(data, region, run.length);
        oracle_count_bytes(o, w->sge.region, run.length);
        oracle_walk_update(o, w, (uint32_t)run.length, release);
        data += run.length;
        length -= run.length;
    }
}
