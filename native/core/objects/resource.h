/* SPDX-License-Identifier: BSD-3-Clause */
/* What lives on a device, object by object: what `rdma resource show` tells of a kernel's, and more. */
#ifndef RVT_RESOURCE_H
#define RVT_RESOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct rvt_dev_info;

enum rvt_resource_kind {
    RVT_RESOURCE_CONTEXT,
    RVT_RESOURCE_PD,
    RVT_RESOURCE_QP,
    RVT_RESOURCE_MR,
    RVT_RESOURCE_DMA,
    RVT_RESOURCE_MEMORY,
    RVT_RESOURCE_KINDS
};

/* Fields of a row, by kind; the binding hands them on as they are. */
enum { RVT_CONTEXT_ID, RVT_CONTEXT_FIELDS };
enum { RVT_PD_SERIAL, RVT_PD_CONTEXT, RVT_PD_USER, RVT_PD_CHILDREN, RVT_PD_FIELDS };
enum { RVT_QP_SERIAL, RVT_QP_CONTEXT, RVT_QP_PD, RVT_QP_FIELDS };
enum {
    RVT_MR_ID,
    RVT_MR_CONTEXT,
    RVT_MR_PD,
    RVT_MR_KEY,
    RVT_MR_KIND,
    RVT_MR_ACCESS,
    RVT_MR_REFS,
    RVT_MR_START,
    RVT_MR_IOVA,
    RVT_MR_LENGTH,
    RVT_MR_SEGMENTS,
    RVT_MR_MAX_SEGMENTS,
    RVT_MR_VALID,
    RVT_MR_HALF_DEAD,
    RVT_MR_FIELDS
};
enum { RVT_DMA_SERIAL, RVT_DMA_CONTEXT, RVT_DMA_ADDRESS, RVT_DMA_LENGTH, RVT_DMA_USERS, RVT_DMA_FIELDS };
enum { RVT_MEMORY_SERIAL, RVT_MEMORY_BYTES, RVT_MEMORY_USES, RVT_MEMORY_HUGE, RVT_MEMORY_FIELDS };
enum { RVT_RESOURCE_MOST_FIELDS = RVT_MR_FIELDS };

/* How many fields a row of that kind has; 0 when the device has no such kind. Takes no lock. */
uint32_t rvt_resource_fields(const struct rvt_dev_info *device, enum rvt_resource_kind kind);

/* Tell every live object, kind by kind in the order of their numbers, under the device's lock: one
 * moment's picture. `emit` must not call back; it returns false to give up. */
void rvt_resource_report(struct rvt_dev_info *device,
                         bool (*emit)(void *context, enum rvt_resource_kind kind, const uint64_t *fields),
                         void *context);

#endif
