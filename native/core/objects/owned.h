/* SPDX-License-Identifier: BSD-3-Clause */
/* The head of every object that a context owns: domains, queue pairs, regions, DMA mappings, and the kinds of
 * upper rooms. Each of these structures begins with it, so that the table of kinds (object_kind.h) can list,
 * count and end objects without knowing what they are. */
#ifndef RVT_OWNED_H
#define RVT_OWNED_H

#include "core/base/rvt_atomic.h"
#include <stdint.h>

#include "core/base/pool.h"

struct rvt_dev_info;

struct rvt_owned {
    struct rvt_object object;
    /* Set when the object is first used and constant in all its lives, so that a dead handle can be followed.
     * Read by anyone who holds a reference on the device. */
    struct rvt_dev_info *device;
    /* > 0, never given twice for one kind on a device. Constant from birth to death. Atomic, because a handle
     * that has just died may still read it while the next life of the object begins. */
    _Atomic(uint64_t) serial;
    /* Id of the context that owns the object, or RVT_NO_CONTEXT. Constant from birth to death; read under the
     * device's lock only. */
    uint64_t context;
};

/* The serial number of an object that cannot die meanwhile: under the device's lock, or while a reference on
 * the object is held, or inside the section in which it was found alive. */
static inline uint64_t rvt_owned_serial(const struct rvt_owned *owned) {
    return atomic_load_explicit(&owned->serial, memory_order_relaxed);
}

/* The serial number of the object of a handle, or 0 when the handle is dead. Takes no lock.
 * acquire: whoever reads a successor's number also sees the death that came before it, and answers 0. */
static inline uint64_t rvt_owned_serial_of(const struct rvt_owned *owned, uint64_t generation) {
    uint64_t serial = atomic_load_explicit(&owned->serial, memory_order_acquire);
    return rvt_object_generation(&owned->object) == generation ? serial : 0;
}

#endif
