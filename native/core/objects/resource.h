/* SPDX-License-Identifier: BSD-3-Clause */
/* Reports what lives on a device, object by object, like `rdma resource show` does for a kernel device. */
#ifndef RVT_RESOURCE_H
#define RVT_RESOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h" /* enum rvt_resource_kind, and the fields of its rows */

struct rvt_dev_info;
struct rvt_memory;
struct rvt_ucontext;

/* Number of fields in the longest row. */
enum { RVT_RESOURCE_MOST_FIELDS = RVT_MR_FIELDS };

/* Fills the four fields of a row that describe its memory (NULL: none), of which `fields` is the first,
 * MEMORY_KIND. The caller must hold the device lock. */
void rvt_place_fields(const struct rvt_memory *memory, uint64_t *fields);

/* Returns the number of fields in a row of this kind, or 0 if the device has no such kind. Takes no lock. */
uint32_t rvt_resource_fields(const struct rvt_dev_info *device, enum rvt_resource_kind kind);

/* Reports every live object, kind by kind in ascending order of kind numbers. Holds the device lock
 * throughout, so the report is a consistent snapshot and `emit` must not call the core. `emit` returns false
 * to stop. */
void rvt_resource_report(struct rvt_dev_info *device,
                         bool (*emit)(void *context, enum rvt_resource_kind kind, const uint64_t *fields),
                         void *context);

/* Reports the objects that the context `to` may see. A context that is restricted to a domain sees itself,
 * that domain, the objects in it, and its own objects. */
void rvt_resource_report_to(const struct rvt_ucontext *to,
                            bool (*emit)(void *context, enum rvt_resource_kind kind, const uint64_t *fields),
                            void *context);

/* Reports the objects of one kind that one context owns, the newest first. Takes time proportional to their
 * number, not to the number of objects on the device. */
void rvt_resource_report_owned(const struct rvt_ucontext *owner, enum rvt_resource_kind kind,
                               bool (*emit)(void *context, enum rvt_resource_kind kind,
                                            const uint64_t *fields),
                               void *context);

#endif
