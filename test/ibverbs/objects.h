/* SPDX-License-Identifier: BSD-3-Clause */
/* Opens a device and makes verbs objects for a test. A world remembers what was made with it and destroys
 * that in reverse order at its end, and checks that each destruction answers 0. Only the public interface of
 * libibverbs is used, so the tests would also run on another device. */
#ifndef RVT_TEST_IBVERBS_OBJECTS_H
#define RVT_TEST_IBVERBS_OBJECTS_H

#include <errno.h>
#include <stdlib.h>

#include <infiniband/verbs.h>

#include "check.h"

enum { MOST_OBJECTS = 256, PORT = 1, QKEY = 0x11223344 };

enum object_kind { PD, MR, CQ, QP, SRQ, AH, CHANNEL, BYTES, CONTEXT };

struct world {
    struct ibv_context *context;
    struct ibv_pd *pd, *other_pd;
    struct {
        enum object_kind kind;
        void *object;
    } made[MOST_OBJECTS];
    size_t count;
};

static inline int destroy_object(enum object_kind kind, void *object) {
    switch (kind) {
    case PD:
        return ibv_dealloc_pd(object);
    case MR:
        return ibv_dereg_mr(object);
    case CQ:
        return ibv_destroy_cq(object);
    case QP:
        return ibv_destroy_qp(object);
    case SRQ:
        return ibv_destroy_srq(object);
    case AH:
        return ibv_destroy_ah(object);
    case CHANNEL:
        return ibv_destroy_comp_channel(object);
    case CONTEXT:
        return ibv_close_device(object);
    case BYTES:
        free(object);
        return 0;
    }
    return EINVAL;
}

/* Lets the world destroy the object at its end. Returns whether there is an object. */
static inline bool world_keep(struct world *w, enum object_kind kind, void *object) {
    if (!check_true(object != NULL, "the object was created", __FILE__, __LINE__))
        return false;
    if (!check_true(w->count < MOST_OBJECTS, "the world has room for the object", __FILE__, __LINE__))
        return false;
    w->made[w->count].kind = kind;
    w->made[w->count++].object = object;
    return true;
}

/* Destroys an object of the world before the world's end. Returns the verb's answer; on failure the object
 * stays. */
static inline int world_destroy(struct world *w, void *object) {
    for (size_t i = w->count; i-- > 0;) {
        if (w->made[i].object != object)
            continue;
        int answer = destroy_object(w->made[i].kind, object);
        if (answer == 0) {
            memmove(&w->made[i], &w->made[i + 1], (w->count - i - 1) * sizeof(w->made[0]));
            w->count--;
        }
        return answer;
    }
    return ENOENT;
}

/* Forgets an object that the test itself destroys. */
static inline void world_forget(struct world *w, const void *object) {
    for (size_t i = 0; i < w->count; i++)
        if (w->made[i].object == object) {
            memmove(&w->made[i], &w->made[i + 1], (w->count - i - 1) * sizeof(w->made[0]));
            w->count--;
            return;
        }
}

/* Opens the first device of the list; NULL if there is none. */
static inline struct ibv_context *open_first_device(void) {
    struct ibv_device **list = ibv_get_device_list(NULL);
    struct ibv_context *context = list && list[0] ? ibv_open_device(list[0]) : NULL;
    if (list)
        ibv_free_device_list(list);
    return context;
}

static inline bool world_open(struct world *w) {
    *w = (struct world){.context = open_first_device()};
    if (!world_keep(w, CONTEXT, w->context))
        return false;
    w->pd = ibv_alloc_pd(w->context);
    w->other_pd = ibv_alloc_pd(w->context);
    return world_keep(w, PD, w->pd) && world_keep(w, PD, w->other_pd);
}

static inline void world_close(struct world *w) {
    while (w->count) {
        w->count--;
        int answer = destroy_object(w->made[w->count].kind, w->made[w->count].object);
        if (answer)
            printf("# destroying object %zu, of kind %d\n", w->count, (int)w->made[w->count].kind);
        CHECK_EQ(answer, 0);
    }
}

/* --- memory --- */

/* Registered bytes. Around them are bytes of the same allocation that are not registered. */
struct memory {
    unsigned char *bytes;
    size_t length;
    struct ibv_mr *mr;
};

enum { MARGIN = 64 };

enum {
    ALL_RIGHTS =
        IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC
};

/* Registers `length` new bytes, which all have the value `fill`. Their address is a multiple of 64. */
static inline bool make_memory(struct world *w, struct ibv_pd *pd, size_t length, unsigned char fill,
                               int access, struct memory *m) {
    size_t whole = (length + 2 * MARGIN + MARGIN - 1) / MARGIN * MARGIN;
    unsigned char *bytes = aligned_alloc(MARGIN, whole);
    *m = (struct memory){0};
    if (!world_keep(w, BYTES, bytes))
        return false;
    memset(bytes, 0xee, whole);
    *m = (struct memory){.bytes = bytes + MARGIN, .length = length};
    memset(m->bytes, fill, length);
    m->mr = ibv_reg_mr(pd, m->bytes, length, access);
    return world_keep(w, MR, m->mr);
}

/* Returns whether `length` bytes from `bytes` on all have this value. */
static inline bool all_bytes_are(const unsigned char *bytes, size_t length, unsigned char value) {
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

/* An SGE for a part of the memory, or for a range beside it. */
static inline struct ibv_sge part(const struct memory *m, int64_t offset, uint32_t length) {
    return (struct ibv_sge){
        .addr = (uintptr_t)m->bytes + (uint64_t)offset, .length = length, .lkey = m->mr->lkey};
}

static inline uint64_t address(const struct memory *m, int64_t offset) {
    return (uintptr_t)m->bytes + (uint64_t)offset;
}

/* --- queue pairs --- */

/* How queue pairs are made. Numbers that are 0 get a default, see filled_in(). */
struct qp_options {
    enum ibv_qp_type type;            /* RC */
    struct ibv_srq *srq;              /* of the second queue pair of a scene */
    uint64_t send_ops;                /* IBV_QP_EX_WITH_*; of the first queue pair of a scene */
    uint32_t send_wr, recv_wr;        /* 16 */
    uint32_t send_sge, recv_sge;      /* 4 */
    uint32_t inline_data;             /* bytes */
    uint32_t cqe;                     /* of each completion queue; 64 */
    bool all_signaled;                /* sq_sig_all */
    int access;                       /* access flags; ALL_RIGHTS */
    bool no_access;                   /* the access flags are 0 */
    uint8_t rnr_retry;                /* of RC; 7 is without end */
    uint8_t min_rnr_timer;            /* 1, which is 10 microseconds */
    struct ibv_comp_channel *channel; /* of both completion queues */
};

static inline struct qp_options filled_in(struct qp_options o) {
    o.type = o.type ? o.type : IBV_QPT_RC;
    o.send_wr = o.send_wr ? o.send_wr : 16;
    o.recv_wr = o.recv_wr ? o.recv_wr : 16;
    o.send_sge = o.send_sge ? o.send_sge : 4;
    o.recv_sge = o.recv_sge ? o.recv_sge : 4;
    o.cqe = o.cqe ? o.cqe : 64;
    o.access = o.no_access ? 0 : o.access ? o.access : ALL_RIGHTS;
    o.min_rnr_timer = o.min_rnr_timer ? o.min_rnr_timer : 1;
    return o;
}

/* A queue pair with a completion queue for sends and one for receives. */
struct end {
    struct ibv_qp *qp;
    struct ibv_cq *scq, *rcq;
    struct qp_options options;
    enum ibv_qp_type type;
};

static inline bool make_channel(struct world *w, struct ibv_comp_channel **channel) {
    *channel = ibv_create_comp_channel(w->context);
    return world_keep(w, CHANNEL, *channel);
}

/* Makes a shared receive queue whose srq_context is the world. */
static inline bool make_srq(struct world *w, struct ibv_pd *pd, uint32_t max_wr, uint32_t max_sge,
                            struct ibv_srq **srq) {
    struct ibv_srq_init_attr init = {.srq_context = w, .attr = {.max_wr = max_wr, .max_sge = max_sge}};
    *srq = ibv_create_srq(pd, &init);
    return world_keep(w, SRQ, *srq);
}

static inline bool make_cq(struct world *w, int cqe, struct ibv_comp_channel *channel, struct ibv_cq **cq) {
    *cq = ibv_create_cq(w->context, cqe, NULL, channel, 0);
    return world_keep(w, CQ, *cq);
}

/* Makes a queue pair in RESET on completion queues that exist. */
static inline bool make_qp(struct world *w, struct ibv_pd *pd, struct qp_options options, struct end *end) {
    options = filled_in(options);
    struct ibv_qp_init_attr_ex init = {
        .qp_context = end,
        .send_cq = end->scq,
        .recv_cq = end->rcq,
        .srq = options.srq,
        .cap = {.max_send_wr = options.send_wr,
                .max_recv_wr = options.srq ? 0 : options.recv_wr,
                .max_send_sge = options.send_sge,
                .max_recv_sge = options.srq ? 0 : options.recv_sge,
                .max_inline_data = options.inline_data},
        .qp_type = options.type,
        .sq_sig_all = options.all_signaled,
        .comp_mask = IBV_QP_INIT_ATTR_PD | (options.send_ops ? IBV_QP_INIT_ATTR_SEND_OPS_FLAGS : 0),
        .pd = pd,
        .send_ops_flags = options.send_ops,
    };
    /* With no more than a domain, this inline function of the header calls ibv_create_qp(). */
    end->qp = ibv_create_qp_ex(w->context, &init);
    end->options = options;
    end->type = options.type;
    return world_keep(w, QP, end->qp);
}

/* Makes a queue pair in RESET, and its completion queues. */
static inline bool make_end(struct world *w, struct ibv_pd *pd, struct qp_options options, struct end *end) {
    options = filled_in(options);
    *end = (struct end){0};
    return make_cq(w, (int)options.cqe, options.channel, &end->scq) &&
           make_cq(w, (int)options.cqe, options.channel, &end->rcq) && make_qp(w, pd, options, end);
}

/* The address of the device's own port, by GID 0, so that it works on every link layer. */
static inline struct ibv_ah_attr own_port(struct ibv_context *context) {
    struct ibv_port_attr port = {0};
    struct ibv_ah_attr attr = {.is_global = 1, .port_num = PORT, .grh = {.sgid_index = 0, .hop_limit = 1}};
    CHECK_EQ(ibv_query_port(context, PORT, &port), 0);
    CHECK_EQ(ibv_query_gid(context, PORT, 0, &attr.grh.dgid), 0);
    attr.dlid = port.lid;
    return attr;
}

/* Makes an address handle of the device's own port. */
static inline bool make_ah(struct world *w, struct ibv_pd *pd, struct ibv_ah **ah) {
    struct ibv_ah_attr attr = own_port(w->context);
    *ah = ibv_create_ah(pd, &attr);
    return world_keep(w, AH, *ah);
}

/* Each of these returns the answer of ibv_modify_qp(). */

static inline int to_init(struct end *end) {
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT,
                               .pkey_index = 0,
                               .port_num = PORT,
                               .qp_access_flags = (unsigned)end->options.access};
    int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
    if (end->type == IBV_QPT_UD) {
        mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY;
        attr.qkey = QKEY;
    }
    return ibv_modify_qp(end->qp, &attr, mask);
}

/* The attributes for the move to RTR, and their mask. */
static inline int rtr_attributes(const struct end *end, uint32_t dest_qpn, struct ibv_qp_attr *attr) {
    *attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR};
    if (end->type == IBV_QPT_UD)
        return IBV_QP_STATE;
    attr->path_mtu = IBV_MTU_1024;
    attr->dest_qp_num = dest_qpn;
    attr->ah_attr = own_port(end->qp->context);
    int mask = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
    if (end->type == IBV_QPT_RC) {
        attr->max_dest_rd_atomic = 1;
        attr->min_rnr_timer = end->options.min_rnr_timer;
        mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
    }
    return mask;
}

static inline int to_rtr(struct end *end, uint32_t dest_qpn) {
    struct ibv_qp_attr attr;
    int mask = rtr_attributes(end, dest_qpn, &attr);
    return ibv_modify_qp(end->qp, &attr, mask);
}

/* The attributes for the move to RTS, and their mask. */
static inline int rts_attributes(const struct end *end, struct ibv_qp_attr *attr) {
    *attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS};
    if (end->type != IBV_QPT_RC)
        return IBV_QP_STATE | IBV_QP_SQ_PSN;
    attr->timeout = 14;
    attr->retry_cnt = 7;
    attr->rnr_retry = end->options.rnr_retry;
    attr->max_rd_atomic = 1;
    return IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
           IBV_QP_MAX_QP_RD_ATOMIC;
}

static inline int to_rts(struct end *end) {
    struct ibv_qp_attr attr;
    int mask = rts_attributes(end, &attr);
    return ibv_modify_qp(end->qp, &attr, mask);
}

static inline int to_state(struct end *end, enum ibv_qp_state state) {
    struct ibv_qp_attr attr = {.qp_state = state};
    return ibv_modify_qp(end->qp, &attr, IBV_QP_STATE);
}

static inline enum ibv_qp_state state_of(const struct end *end) {
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_UNKNOWN};
    struct ibv_qp_init_attr init;
    CHECK_EQ(ibv_query_qp(end->qp, &attr, IBV_QP_STATE, &init), 0);
    return attr.qp_state;
}

/* The change is refused, and the state stays. */
static inline void refuses(struct end *end, const struct ibv_qp_attr *attr, int mask) {
    struct ibv_qp_attr copy = *attr;
    enum ibv_qp_state before = state_of(end);
    CHECK_EQ(ibv_modify_qp(end->qp, &copy, mask), EINVAL);
    CHECK_EQ(state_of(end), before);
}

/* Each attribute of the mask is required: the change is refused if any one of them is missing. */
static inline void refuses_without_each(struct end *end, const struct ibv_qp_attr *attr, int mask) {
    for (int bit = 1; bit <= mask; bit <<= 1)
        if ((mask & bit) && bit != IBV_QP_STATE)
            refuses(end, attr, mask & ~bit);
}

/* Brings a queue pair from RESET to RTS. */
static inline bool bring_up(struct end *end, uint32_t dest_qpn) {
    CHECK_EQ(to_init(end), 0);
    CHECK_EQ(to_rtr(end, dest_qpn), 0);
    CHECK_EQ(to_rts(end), 0);
    return state_of(end) == IBV_QPS_RTS;
}

static inline bool connect_ends(struct end *a, struct end *b) {
    return bring_up(a, b->qp->qp_num) && bring_up(b, a->qp->qp_num);
}

/* --- scenes --- */

enum { SCENE_BYTES = 4096, LOCAL_FILL = 0xa5, REMOTE_FILL = 0x5a };

/* Two queue pairs that are connected to each other, and memory of each with all rights. In the tests `a`
 * requests and `b` responds. */
struct scene {
    struct world w;
    struct end a, b;
    struct memory local, remote;
};

/* Makes the objects of a scene whose world is open, with queue pairs in RESET. Only a uses options.send_ops, and
 * only b options.srq. */
static inline bool make_scene(struct scene *s, struct qp_options options) {
    struct qp_options of_a = options, of_b = options;
    of_a.srq = NULL;
    of_b.send_ops = 0;
    return make_memory(&s->w, s->w.pd, SCENE_BYTES, LOCAL_FILL, ALL_RIGHTS, &s->local) &&
           make_memory(&s->w, s->w.pd, SCENE_BYTES, REMOTE_FILL, ALL_RIGHTS, &s->remote) &&
           make_end(&s->w, s->w.pd, of_a, &s->a) && make_end(&s->w, s->w.pd, of_b, &s->b);
}

static inline bool scene_open_in_reset(struct scene *s, struct qp_options options) {
    return world_open(&s->w) && make_scene(s, options);
}

/* Opens a scene in which b is in RTS, but a only in RTR: for tests that give its move to RTS attributes of
 * their own. */
static inline bool scene_open_in_rtr(struct scene *s) {
    if (!scene_open_in_reset(s, (struct qp_options){0}) || !bring_up(&s->b, s->a.qp->qp_num))
        return false;
    CHECK_EQ(to_init(&s->a), 0);
    CHECK_EQ(to_rtr(&s->a, s->b.qp->qp_num), 0);
    return true;
}

static inline bool scene_open_with(struct scene *s, struct qp_options options) {
    return scene_open_in_reset(s, options) && connect_ends(&s->a, &s->b);
}

static inline bool scene_open(struct scene *s) {
    return scene_open_with(s, (struct qp_options){0});
}

/* Opens a scene and a channel to which all its completion queues report. */
static inline bool scene_open_with_channel(struct scene *s, struct ibv_comp_channel **channel) {
    return world_open(&s->w) && make_channel(&s->w, channel) &&
           make_scene(s, (struct qp_options){.channel = *channel}) && connect_ends(&s->a, &s->b);
}

static inline void scene_close(struct scene *s) {
    world_close(&s->w);
}

#endif
