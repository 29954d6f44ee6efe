/* SPDX-License-Identifier: BSD-3-Clause */
/* The connections of a connection manager, and how they are found. */
#include <string.h>

#include "core/base/platform.h"
#include "wire/bytes.h"
#include "wire/cm/cm_state.h"

static const uint32_t index_mask = (1u << RVT_CM_INDEX_BITS) - 1;

_Static_assert(RVT_CM_MOST_CONNECTIONS == 1 << RVT_CM_INDEX_BITS, "an index fills its bits");

static struct rvt_link **bucket_of(struct rvt_cm *cm, struct rvt_link **buckets, const uint8_t *address,
                                   uint32_t number) {
    uint64_t hash = number;
    if (address)
        hash ^= (rvt_load_be64(address) ^ rvt_load_be64(address + 8) * cm->hash_key) << 7;
    hash *= cm->hash_key;
    return &buckets[(hash ^ hash >> 29) * cm->hash_key >> 54];
}

_Static_assert(RVT_CM_BUCKETS == 1 << (64 - 54), "a hash names a bucket");

static bool same_address(const struct rvt_cm_entry *entry, const uint8_t address[16]) {
    return !memcmp(entry->peer.address, address, sizeof(entry->peer.address));
}

/* Ends the entry that has waited longest for late packets and has nothing to tell. */
static void evict(struct rvt_cm *cm) {
    for (struct rvt_link *link = cm->lingering.first; link; link = link->next) {
        struct rvt_cm_entry *entry = RVT_LIST_ENTRY(link, struct rvt_cm_entry, in_lingering);
        if (entry->events || entry->due)
            continue;
        rvt_cm_free_entry(cm, entry);
        return;
    }
}

struct rvt_cm_entry *rvt_cm_take_entry(struct rvt_cm *cm) {
    struct rvt_cm_entry *entry;
    uint32_t drawn;
    if (!rvt_random_bytes(&drawn, sizeof(drawn)))
        return NULL;
    if (!cm->free && cm->used == RVT_CM_MOST_CONNECTIONS)
        evict(cm);
    if (cm->free) {
        entry = RVT_LIST_ENTRY(cm->free, struct rvt_cm_entry, in_free);
        rvt_list_remove(&entry->in_free);
    } else if (cm->used < RVT_CM_MOST_CONNECTIONS) {
        entry = &cm->entries[cm->used++];
    } else {
        return NULL;
    }
    memset(entry, 0, sizeof(*entry));
    /* A random part, so that a stranger cannot name a connection; never 0. */
    entry->local_id = (drawn | 1u << RVT_CM_INDEX_BITS) & ~index_mask;
    entry->local_id |= (uint32_t)(entry - cm->entries);
    entry->deadline = UINT64_MAX;
    cm->counters.open++;
    return entry;
}

void rvt_cm_free_entry(struct rvt_cm *cm, struct rvt_cm_entry *entry) {
    rvt_list_remove(&entry->by_remote_id);
    rvt_cm_forget_queue_pairs(entry);
    rvt_fifo_remove(&cm->output, &entry->in_output);
    rvt_fifo_remove(&cm->events, &entry->in_events);
    rvt_fifo_remove(&cm->lingering, &entry->in_lingering);
    entry->local_id = 0;
    entry->state = RVT_CM_FREE;
    entry->deadline = UINT64_MAX;
    rvt_list_add(&cm->free, &entry->in_free);
    cm->counters.open--;
}

struct rvt_cm_entry *rvt_cm_find(struct rvt_cm *cm, uint32_t local_id) {
    struct rvt_cm_entry *entry = &cm->entries[local_id & index_mask];
    return local_id && entry->local_id == local_id ? entry : NULL;
}

struct rvt_cm_entry *rvt_cm_find_remote_id(struct rvt_cm *cm, const uint8_t address[16], uint32_t remote_id) {
    for (struct rvt_link *link = *bucket_of(cm, cm->by_remote_id, address, remote_id); link;
         link = link->next) {
        struct rvt_cm_entry *entry = RVT_LIST_ENTRY(link, struct rvt_cm_entry, by_remote_id);
        if (entry->remote_id == remote_id && same_address(entry, address))
            return entry;
    }
    return NULL;
}

struct rvt_cm_entry *rvt_cm_find_remote_qp(struct rvt_cm *cm, const uint8_t address[16], uint32_t qpn) {
    for (struct rvt_link *link = *bucket_of(cm, cm->by_remote_qp, address, qpn); link; link = link->next) {
        struct rvt_cm_entry *entry = RVT_LIST_ENTRY(link, struct rvt_cm_entry, by_remote_qp);
        if (entry->theirs.qpn == qpn && same_address(entry, address))
            return entry;
    }
    return NULL;
}

struct rvt_cm_entry *rvt_cm_find_local_qp(struct rvt_cm *cm, uint32_t qpn) {
    for (struct rvt_link *link = *bucket_of(cm, cm->by_local_qp, NULL, qpn); link; link = link->next) {
        struct rvt_cm_entry *entry = RVT_LIST_ENTRY(link, struct rvt_cm_entry, by_local_qp);
        if (entry->own.qpn == qpn)
            return entry;
    }
    return NULL;
}

void rvt_cm_add_remote_id(struct rvt_cm *cm, struct rvt_cm_entry *entry) {
    entry->knows_remote_id = true;
    rvt_list_add(bucket_of(cm, cm->by_remote_id, entry->peer.address, entry->remote_id),
                 &entry->by_remote_id);
}

void rvt_cm_add_remote_qp(struct rvt_cm *cm, struct rvt_cm_entry *entry) {
    rvt_list_add(bucket_of(cm, cm->by_remote_qp, entry->peer.address, entry->theirs.qpn),
                 &entry->by_remote_qp);
}

void rvt_cm_add_local_qp(struct rvt_cm *cm, struct rvt_cm_entry *entry) {
    rvt_list_add(bucket_of(cm, cm->by_local_qp, NULL, entry->own.qpn), &entry->by_local_qp);
}

void rvt_cm_forget_queue_pairs(struct rvt_cm_entry *entry) {
    rvt_list_remove(&entry->by_remote_qp);
    rvt_list_remove(&entry->by_local_qp);
}

struct rvt_cm_listener *rvt_cm_find_listener(struct rvt_cm *cm, uint32_t id) {
    for (uint32_t i = 0; id && i < RVT_CM_MOST_LISTENERS; i++)
        if (cm->listeners[i].id == id)
            return &cm->listeners[i];
    return NULL;
}

struct rvt_cm_listener *rvt_cm_find_service(struct rvt_cm *cm, uint64_t service) {
    for (uint32_t i = 0; i < RVT_CM_MOST_LISTENERS; i++)
        if (cm->listeners[i].id && cm->listeners[i].service == service)
            return &cm->listeners[i];
    return NULL;
}
