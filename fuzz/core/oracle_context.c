/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle's rules for contexts (ownership, cascades, counters) and for device memory. */
#include "oracle.h"

/* --- contexts --- */

bool oracle_gone(const struct oracle *o, int context) {
    return context != NONE && o->contexts[context].gone;
}

bool oracle_pd_alive(const struct oracle *o, int pd) {
    const struct model_pd *handle = &o->pds[pd];
    return o->pds[handle->root].alive && !oracle_gone(o, handle->context);
}

int oracle_find_pd(const struct oracle *o, int device, uint64_t serial) {
    for (int i = 0; i < o->pd_count; i++)
        if (o->pds[i].device == device && o->pds[i].alive && o->pds[i].serial == serial)
            return i;
    return NONE;
}

bool oracle_owns(const struct oracle *o, int context) {
    for (int i = 0; i < o->pd_count; i++)
        if (o->pds[i].alive && o->pds[i].context == context)
            return true;
    for (int i = 0; i < o->qp_count; i++)
        if (o->qps[i].alive && o->qps[i].context == context)
            return true;
    for (int i = 0; i < o->region_count; i++)
        if (o->regions[i].alive && o->regions[i].context == context)
            return true;
    for (int i = 0; i < o->mapping_count; i++)
        if (o->mappings[i].alive && o->mappings[i].context == context)
            return true;
    return false;
}

/* Removes a mapping that may be in use: page lists that contain it become empty. */
static void take_mapping(struct oracle *o, int mapping) {
    for (int i = 0; i < o->region_count; i++) {
        struct model_region *r = &o->regions[i];
        bool names = false;
        for (uint64_t s = 0; r->alive && r->map.mapping && s < r->map.segments; s++)
            names |= r->map.mapping[s] == mapping;
        if (!names)
            continue;
        if (r->half_dead) {
            oracle_release(o, i, RVT_RELEASE_FORCE);
        } else {
            oracle_set_map(o, i, NULL);
            r->base = r->iova = r->visible = r->length = 0;
        }
    }
    oracle_end_mapping(o, mapping);
}

void oracle_close(struct oracle *o, int device) {
    for (int i = 0; i < o->pd_count; i++)
        if (o->pds[i].device == device && o->pds[i].alive)
            oracle_end_pd(o, i);
    for (int i = 0; i < o->mapping_count; i++)
        if (o->mappings[i].device == device)
            oracle_end_mapping(o, i);
    for (int i = 0; i < o->device_memory_count; i++)
        if (o->device_memories[i].device == device)
            o->device_memories[i].freed = true;
    o->devices[device].open = false;
}

void oracle_end_context(struct oracle *o, int context) {
    int device = o->contexts[context].device;
    for (int i = 0; i < o->qp_count; i++)
        if (o->qps[i].context == context)
            o->qps[i].alive = false;
    for (int i = 0; i < o->region_count; i++)
        if (o->regions[i].alive && o->regions[i].context == context)
            oracle_release(o, i, RVT_RELEASE_FORCE);
    for (int i = 0; i < o->pd_count; i++)
        if (o->pds[i].alive && o->pds[i].context == context)
            oracle_end_pd(o, i);
    for (int i = 0; i < o->mapping_count; i++) {
        const struct model_mapping *m = &o->mappings[i];
        if (m->alive && m->context == context)
            take_mapping(o, i);
    }
    o->contexts[context].gone = true;
    for (int i = 0; i < o->context_count; i++)
        if (o->contexts[i].device == device && !o->contexts[i].gone)
            return;
    oracle_close(o, device); /* the last context closes the device */
}

/* --- device memory --- */

int oracle_find_memory(const struct oracle *o, int device, uint64_t serial) {
    for (int i = 0; i < o->device_memory_count; i++) {
        const struct model_device_memory *m = &o->device_memories[i];
        if (m->device == device && !m->freed && m->serial == serial)
            return i;
    }
    return NONE;
}

uint32_t oracle_memory_refs(const struct oracle *o, int memory) {
    const struct model_memory *m = &o->memories[memory];
    uint32_t references = m->device_memory == NONE || m->held;
    for (int i = 0; i < o->region_count; i++)
        references += o->regions[i].alive && o->regions[i].map.memory == memory;
    for (int i = 0; i < o->mapping_count; i++)
        references += o->mappings[i].alive && o->mappings[i].memory == memory;
    return references;
}

bool oracle_slice_there(const struct oracle *o, int memory) {
    return o->memories[memory].limbo || oracle_memory_refs(o, memory);
}

uint32_t oracle_slices(const struct oracle *o, int device_memory) {
    uint32_t slices = 0;
    for (int i = 0; i < o->memory_count; i++)
        slices += o->memories[i].device_memory == device_memory && oracle_slice_there(o, i);
    return slices;
}

uint32_t oracle_device_memory_refs(const struct oracle *o, int device_memory) {
    const struct model_device_memory *m = &o->device_memories[device_memory];
    return !m->freed + m->views + oracle_slices(o, device_memory);
}

/* --- counting --- */

void oracle_count_for(struct oracle *o, int context, enum rvt_reason reason, uint64_t more) {
    if (context == NONE)
        return;
    struct rvt_counts *counts = &o->contexts[context].counts;
    if (reason)
        counts->refused[reason] += more;
    else
        counts->accepted += more;
}

void oracle_count_closed(struct oracle *o, int context, uint64_t more) {
    if (context != NONE && !o->contexts[context].gone)
        oracle_count_for(o, context, RVT_CLOSED, more);
}

void oracle_count_region(struct oracle *o, int region, enum rvt_reason reason) {
    struct model_region *r = &o->regions[region];
    r->accepted += r->counted && !reason;
    r->refused += r->counted && reason;
}

void oracle_count_bytes(struct oracle *o, int region, uint64_t bytes) {
    struct model_region *r = &o->regions[region];
    r->bytes += r->counted ? bytes : 0;
}

void oracle_count(struct oracle *o, const struct request *q, enum rvt_reason reason) {
    int region = oracle_asked(o, q);
    oracle_count_for(o, q->context, reason, 1);
    if (region != NONE)
        oracle_count_region(o, region, reason);
}

struct rvt_counts oracle_counts(const struct oracle *o, int device) {
    struct rvt_counts sum = {0};
    for (int i = 0; i < o->context_count; i++) {
        const struct rvt_counts *counts = &o->contexts[i].counts;
        if (o->contexts[i].device != device)
            continue;
        sum.accepted += counts->accepted;
        sum.bytes += counts->bytes;
        for (int reason = 0; reason < RVT_REASON_COUNT; reason++)
            sum.refused[reason] += counts->refused[reason];
    }
    return sum;
}
