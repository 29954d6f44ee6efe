/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/device.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "ibverbs/event_source.h"

/* Locally administered, as nobody has assigned it. */
static const uint64_t GUID = UINT64_C(0x020000fffe000001);
static const uint64_t LINK_LOCAL_PREFIX = UINT64_C(0xfe80000000000000);

/* The limits of an adapter that uses the kernel's rdmavt library. */
const struct rvt_limits shim_limits = {
    .of =
        {
            [RVT_LIMIT_MAX_QP] = 16384,
            [RVT_LIMIT_MAX_QP_WR] = 16383,
            [RVT_LIMIT_MAX_SEND_SGE] = 96,
            [RVT_LIMIT_MAX_RECV_SGE] = 96,
            [RVT_LIMIT_MAX_CQ] = 131071,
            [RVT_LIMIT_MAX_CQE] = 196607,
            [RVT_LIMIT_MAX_SRQ] = 1024,
            [RVT_LIMIT_MAX_SRQ_WR] = 131071,
            [RVT_LIMIT_MAX_SRQ_SGE] = 128,
            [RVT_LIMIT_MAX_PD] = 65535,
            [RVT_LIMIT_MAX_RDMA_ATOMIC] = 16,
            [RVT_LIMIT_NPKEYS] = SHIM_PKEYS,
            [RVT_LIMIT_MAX_AH] = 65535,
        },
};

/* --- what the program sees --- */

/* The library of the system and its drivers put private data behind a struct ibv_device, and decide by it
 * whether a device is one of theirs (mlx5dv_is_supported(), for example). They must find zeros behind this
 * one. */
static struct {
    struct ibv_device device;
    unsigned char zeros[512];
} only = {
    .device =
        {
            .node_type = IBV_NODE_CA,
            .transport_type = IBV_TRANSPORT_IB,
            .name = "rdmavt0",
            .dev_name = "uverbs_rdmavt0",
            .dev_path = "/sys/class/infiniband_verbs/uverbs_rdmavt0",
            .ibdev_path = "/sys/class/infiniband/rdmavt0",
        },
};

struct ibv_device *shim_only_device(void) {
    return &only.device;
}

__be64 shim_guid(void) {
    return htobe64(GUID);
}

bool shim_has_gid(unsigned index) {
    return index == 0;
}

union ibv_gid shim_gid(const struct shim_core *core, unsigned index) {
    union ibv_gid gid = {.raw = {0}};
    if (shim_has_gid(index) && core->wire.used) {
        memcpy(gid.raw, core->wire.address, sizeof(gid.raw));
    } else if (shim_has_gid(index)) {
        gid.global.subnet_prefix = htobe64(LINK_LOCAL_PREFIX);
        gid.global.interface_id = shim_guid();
    }
    return gid;
}

SHIM_PUBLIC struct ibv_device **ibv_get_device_list(int *num_devices) {
    struct ibv_device **list = calloc(2, sizeof(*list));
    if (num_devices)
        *num_devices = list ? 1 : 0;
    if (!list)
        return shim_null(ENOMEM);
    list[0] = shim_only_device();
    return list;
}

SHIM_PUBLIC void ibv_free_device_list(struct ibv_device **list) {
    free(list);
}

SHIM_PUBLIC const char *ibv_get_device_name(struct ibv_device *device) {
    return device ? device->name : shim_null(EINVAL);
}

/* The kernel knows no such device, so it has no index. */
SHIM_PUBLIC int ibv_get_device_index(struct ibv_device *device) {
    (void)device;
    return -1;
}

SHIM_PUBLIC __be64 ibv_get_device_guid(struct ibv_device *device) {
    return device ? shim_guid() : 0;
}

/* --- the device of the core --- */

/* Protects `present` and the counts of users. Taken inside the gate only. */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static struct shim_core *present; /* the device that new contexts use, NULL if there is none */

/* What the core reports, with its engine lock held. */
static void report(enum rvt_event_kind kind, uint64_t object, void *user, void *data) {
    struct shim_core *core = data;
    (void)object;
    if (kind == RVT_EVENT_TIMER)
        shim_timer_due(&core->timer);
    else
        shim_report_event(kind, user);
}

/* Creates the device without a network. Returns 0 or a positive errno. */
static int create_core(struct shim_core **created) {
    struct shim_core *core = calloc(1, sizeof(*core));
    if (!core)
        return ENOMEM;
    const struct rvt_device_options options = {.lkey_table_bits = SHIM_LKEY_TABLE_BITS, .random_keys = true};
    /* Two processes may exchange queue pair numbers, but cannot reach each other without a network. With numbers that
     * count from the same start, a request would find a queue pair of its own process, and seem to succeed. */
    const struct rvt_engine_options engine = {
        .limits = shim_limits, .host = {report, core}, .random_qp_numbers = true};
    int error = -rvt_register_device(&options, &engine, &core->device);
    if (error) {
        free(core);
        return error;
    }
    error = shim_wire_init(&core->wire, core->device);
    if (error) {
        (void)rvt_mr_exit(core->device, true, NULL);
        rvt_dev_put(core->device);
        free(core);
        return error;
    }
    shim_timer_init(&core->timer, core->device);
    *created = core;
    return 0;
}

/* The caller must be outside the gate, or the device must never have had a thread. */
static void free_core(struct shim_core *core) {
    shim_timer_end(&core->timer);
    shim_wire_end(&core->wire);
    shim_enter();
    rvt_dev_put(core->device);
    shim_leave();
    free(core);
}

/* Opens the first context of a new device. Its thread is started last: nothing that fails afterwards would have to wait
 * for it. Returns 0 or a positive errno. */
static int open_first(struct shim_core **core, struct rvt_ucontext **context) {
    struct shim_core *made = NULL;
    int error = create_core(&made);
    if (error)
        return error;
    error = -rvt_alloc_ucontext(made->device, NULL, context);
    if (error) {
        (void)rvt_mr_exit(made->device, true, NULL);
    } else {
        error = shim_wire_open(&made->wire);
        if (error) {
            (void)rvt_dealloc_ucontext(*context, true);
            rvt_free_ucontext(*context);
        }
    }
    if (error)
        free_core(made);
    else
        *core = made;
    return error;
}

int shim_open_core(struct shim_core **core, struct rvt_ucontext **context) {
    pthread_mutex_lock(&opening);
    *core = present;
    int error = present ? -rvt_alloc_ucontext(present->device, NULL, context) : open_first(core, context);
    if (!error) {
        present = *core;
        present->users++;
    }
    pthread_mutex_unlock(&opening);
    return error;
}

void shim_close_core(struct shim_core *core, struct rvt_ucontext *context) {
    pthread_mutex_lock(&opening);
    shim_wire_settle(&core->wire);
    (void)rvt_dealloc_ucontext(context, true); /* the core closes the device with its last context */
    if (rvt_device_closed(core->device)) {
        shim_wire_close(&core->wire);
        if (present == core)
            present = NULL;
    }
    pthread_mutex_unlock(&opening);
}

void shim_put_core(struct shim_core *core, struct rvt_ucontext *context) {
    shim_enter();
    rvt_free_ucontext(context);
    pthread_mutex_lock(&opening);
    bool last = !--core->users;
    pthread_mutex_unlock(&opening);
    shim_leave();
    if (last)
        free_core(core);
}
