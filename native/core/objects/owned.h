/* SPDX-License-Identifier: BSD-3-Clause */
/* Common head of every object that a context can own: domains, queue pairs, regions, DMA mappings, and the
 * kinds that upper layers add. Each such structure begins with struct rvt_owned, so the table of kinds
 * (object_kind.h) can list, count and end objects without knowing their type.
 *
 * Each live object is on two lists: its owner's and, if its kind belongs to domains, its domain's. The links
 * are in struct rvt_membership, which the pool stores behind the object. Adding or removing a neighbor writes
 * the links, and must not write the cache lines that checks read. */
#ifndef RVT_OWNED_H
#define RVT_OWNED_H

#include <stdint.h>

#include "core/base/list.h"
#include "core/base/pool.h"

struct rvt_dev_info;

struct rvt_owned {
    struct rvt_object object;
    /* Set when the pool object is first used, then constant across all its lives, so a stale handle can still
     * be followed. Anyone who holds a reference on the device may read it. */
    struct rvt_dev_info *device;
    /* Greater than 0 and never reused for one kind on a device. Constant while the object is alive. A reader
     * must hold the device lock, or a reference on the object, or be in a section in which it found the
     * object alive. Read it through a handle that may go stale with rvt_read_serial. */
    uint64_t serial;
    /* Id of the context that owns the object, or RVT_NO_CONTEXT. Constant while the object is alive. A reader
     * must hold the device lock. */
    uint64_t context;
};

/* The list links of an object, protected by the device lock. Objects of kinds without a domain have only
 * `in_owner`. */
struct rvt_membership {
    struct rvt_link in_owner;  /* objects of the same kind and owner */
    struct rvt_link in_domain; /* objects of the same kind and domain */
};

#endif
