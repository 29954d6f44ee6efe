/* SPDX-License-Identifier: BSD-3-Clause */
/* Address handles: where a datagram goes. Work requests copy the attributes, so an address handle may be
 * destroyed while they are queued. */
#ifndef RVT_ENGINE_AH_H
#define RVT_ENGINE_AH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/objects/object_kind.h"
#include "core/objects/owned.h"
#include "core/objects/pd.h"

/* The address of a path (struct rdma_ah_attr). */
struct rvt_ah_attr {
    uint32_t dlid;
    uint8_t sl, static_rate, port;
};

/* A host on an IP network, and the UDP port at which it receives packets. */
struct rvt_host_address {
    uint8_t ip[16];    /* IPv4 as ::ffff:a.b.c.d */
    uint16_t udp_port; /* 0: there is no address */
};

struct rvt_ah {
    struct rvt_owned owned;
    /* Constant while the object is alive: */
    struct rvt_pd *pd;
    struct rvt_ah_attr attr;
    struct rvt_host_address host; /* for queue pairs whose carrier is a network; without one for loopback */
};

struct rvt_ah_handle {
    struct rvt_ah *ah;
    uint64_t generation;
    struct rvt_ucontext *context;
};

static inline struct rvt_ah *rvt_ah_live(struct rvt_ah_handle handle) {
    return handle.ah && rvt_object_generation(&handle.ah->owned.object) == handle.generation &&
                   !rvt_ucontext_gone(handle.context)
               ? handle.ah
               : NULL;
}

/* Checks the port and the static rate of an address. `attribute` is the RVT_QPA_* bit of the queue pair's
 * attribute that has the address, for the failure; 0 for the address of an address handle.
 *   0        valid
 *   -EINVAL  the port is not 1; or static_rate is neither 0 nor 2..22 */
int rvt_judge_ah_attr(const struct rvt_ah_attr *attr, uint32_t attribute);

/* Creates an address handle in the domain, like the kernel's rvt_create_ah(). Takes the engine lock and the
 * device lock.
 *   0            *handle names it, and the domain has one more child
 *   -EINVAL      as rvt_judge_ah_attr()
 *   -EOPNOTSUPP  the device has no engine
 *   -ENOMEM      max_ah address handles exist, or no memory
 *   -EBADF       the domain's handle is stale */
int rvt_create_ah(struct rvt_pd_handle pd, const struct rvt_ah_attr *attr, struct rvt_ah_handle *handle);

/* Creates an address handle that leads to a host of a network: for UD queue pairs whose carrier is one (as the GRH of
 * struct rdma_ah_attr does in the kernel). `host->udp_port` is not 0. Otherwise as rvt_create_ah(). */
int rvt_create_host_ah(struct rvt_pd_handle pd, const struct rvt_ah_attr *attr,
                       const struct rvt_host_address *host, struct rvt_ah_handle *handle);

/* Destroys the address handle, like the kernel's rvt_destroy_ah(). Work requests that were posted with it are
 * carried out as posted. Takes the engine lock and the device lock.
 *   0       destroyed
 *   -EBADF  the handle is stale */
int rvt_destroy_ah(struct rvt_ah_handle handle);

extern const struct rvt_object_kind rvt_ah_objects;

#endif
