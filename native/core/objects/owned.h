/* SPDX-License-Identifier: BSD-3-Clause */
/* The head of every object that a context owns: domains, queue pairs, regions, DMA mappings, and the kinds of
 * upper rooms. Each of these structures begins with it, so that the table of kinds (object_kind.h) can list,
 * count and end objects without knowing what they are.
 *
 * Each live object is a member of two lists: its owner's, and (if its kind belongs to domains) its domain's.
 * The links are in struct rvt_membership, behind the object in its place of the pool: they change when a
 * neighbour comes or goes, and the lines that checks read must not. */
#ifndef RVT_OWNED_H
#define RVT_OWNED_H

#include <stdint.h>

#include "core/base/list.h"
#include "core/base/pool.h"

struct rvt_dev_info;

struct rvt_owned {
    struct rvt_object object;
    /* Set when the object is first used and constant in all its lives, so that a dead handle can be followed.
     * Read by anyone who holds a reference on the device. */
    struct rvt_dev_info *device;
    /* > 0, never given twice for one kind on a device. Constant from birth to death. Read under the device's
     * lock, or while a reference on the object, or a section in which it was found alive, keeps it from being
     * used again. Not through a handle that may die meanwhile: see rvt_read_serial. */
    uint64_t serial;
    /* Id of the context that owns the object, or RVT_NO_CONTEXT. Constant from birth to death; read under the
     * device's lock only. */
    uint64_t context;
};

/* Under the device's lock. Objects of kinds without domains have the first link only. */
struct rvt_membership {
    struct rvt_link in_owner;  /* of objects of the same kind and owner */
    struct rvt_link in_domain; /* of objects of the same kind and domain */
};

#endif
