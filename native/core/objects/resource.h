/* SPDX-License-Identifier: BSD-3-Clause */
/* What lives on a device, object by object: what `rdma resource show` tells of a kernel's, and more. */
#ifndef RVT_RESOURCE_H
#define RVT_RESOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h" /* enum rvt_resource_kind, and the fields of its rows */

struct rvt_dev_info;
struct rvt_memory;
struct rvt_ucontext;

/* Fields of the longest row. */
enum { RVT_RESOURCE_MOST_FIELDS = RVT_MR_FIELDS };

/* Fill the four fields of a row, from its MEMORY_KIND on, that tell which bytes the memory is (NULL: none).
 * Under the device's lock. */
void rvt_place_fields(const struct rvt_memory *memory, uint64_t *fields);

/* How many fields a row of that kind has; 0 when the device has no such kind. Takes no lock. */
uint32_t rvt_resource_fields(const struct rvt_dev_info *device, enum rvt_resource_kind kind);

/* Tell every live object, kind by kind in the order of their numbers, under the device's lock: one
 * moment's picture. `emit` must not call back; it returns false to give up. */
void rvt_resource_report(struct rvt_dev_info *device,
                         bool (*emit)(void *context, enum rvt_resource_kind kind, const uint64_t *fields),
                         void *context);

/* The same for a context that asks. One that is restricted to a domain is told of itself, of that domain, of what
 * is in it, and of its own objects. */
void rvt_resource_report_to(const struct rvt_ucontext *to,
                            bool (*emit)(void *context, enum rvt_resource_kind kind, const uint64_t *fields),
                            void *context);

/* The same for the objects of one kind that one context owns, the one that was made last first. Takes time
 * for these, and not for all that the device has. */
void rvt_resource_report_owned(const struct rvt_ucontext *owner, enum rvt_resource_kind kind,
                               bool (*emit)(void *context, enum rvt_resource_kind kind,
                                            const uint64_t *fields),
                               void *context);

#endif
