/* SPDX-License-Identifier: BSD-3-Clause */
/* A datagram of many short elements that needs two sections, because requests before it have used up most of the
 * first one. Between the two, another thread destroys or resets the sender or the receiver. */
#include "sections.h"
#include "verbs.h"
#include "waiting.h"

enum { GRH = 40, QKEY = 0x11, UD_MTU = 4096, FILLERS = 16, PIECES = 8, SPLIT = 2 * UD_MTU };

static alignas(4096) unsigned char from_bytes[UD_MTU], to_bytes[3 * UD_MTU];

enum end { DESTROY_RECEIVER, RESET_RECEIVER, DESTROY_SENDER, RESET_SENDER, ENDS };

struct split {
    struct verbs v;
    struct vqp a, b;
    struct vmr from, to;
    struct rvt_ah_handle ah;
    enum end end;
    struct sections sections;
    struct waiting waiting;
};

static bool open_split(struct split *s, enum end end) {
    struct rvt_qp_init init = {
        .type = RVT_QPT_UD, .max_send_wr = 64, .max_recv_wr = 64, .max_send_sge = PIECES};
    memset(s, 0, sizeof(*s));
    if (!verbs_open(&s->v, AT_ONCE))
        return false;
    s->end = end;
    init.send_cq = init.recv_cq = make_cq(&s->v, 64);
    s->a = make_qp_with(&s->v, s->v.pd, init);
    init.send_cq = init.recv_cq = make_cq(&s->v, 64);
    s->b = make_qp_with(&s->v, s->v.pd, init);
    connect_qp(&s->a, 0);
    connect_qp(&s->b, 0);
    memset(from_bytes, 0x11, sizeof(from_bytes));
    memset(to_bytes, 0, sizeof(to_bytes));
    s->from = make_mr(&s->v, from_bytes, sizeof(from_bytes));
    s->to = make_mr(&s->v, to_bytes, sizeof(to_bytes));
    CHECK_EQ(rvt_create_ah(s->v.pd, &(struct rvt_ah_attr){.dlid = 9, .port = 1}, &s->ah), 0);
    return true;
}

static int end_queue_pair(void *context) {
    const struct split *s = context;
    const struct vqp *qp = s->end == DESTROY_SENDER || s->end == RESET_SENDER ? &s->a : &s->b;
    return s->end == DESTROY_SENDER || s->end == DESTROY_RECEIVER ? rvt_destroy_qp(qp->handle)
                                                                  : move_qp(qp, usual_attr(0), RVT_QPS_RESET);
}

/* Called at the end of each section. If the message is half there, ends the queue pair in another thread, and
 * returns when that thread waits for the engine lock. */
static uint64_t end_between_steps(void *context) {
    struct split *s = context;
    if (s->waiting.verb || !to_bytes[SPLIT + GRH] || to_bytes[SPLIT + GRH + PIECES - 1])
        return 0;
    s->waiting.verb = end_queue_pair;
    s->waiting.argument = s;
    if (pthread_create(&s->waiting.thread, NULL, call_waiting_verb, &s->waiting))
        abort();
    while (!atomic_load(&s->v.device->engine->waiting) && !atomic_load(&s->waiting.over))
        rvt_yield();
    return 0;
}

/* Posts messages that use up most of a section, the last of them of `rest` bytes, then one of short elements. */
static void post_messages(struct split *s, uint32_t rest) {
    struct rvt_send_wr wrs[FILLERS + 1];
    const struct rvt_ib_sge full = sge_at(&s->from, 0, UD_MTU), last = sge_at(&s->from, 0, rest);
    const struct rvt_ib_sge room = sge_at(&s->to, 0, UD_MTU + GRH),
                            split_room = sge_at(&s->to, SPLIT, GRH + PIECES);
    struct rvt_ib_sge pieces[PIECES];
    uint32_t bad;
    for (uint32_t i = 0; i < PIECES; i++)
        pieces[i] = sge_at(&s->from, 2 * i, 1);
    for (uint32_t i = 0; i <= FILLERS; i++) {
        CHECK_EQ(post_receive(&s->b, i, i < FILLERS ? &room : &split_room, 1), 0);
        wrs[i] = SEND_WR(.wr_id = i, .opcode = RVT_WR_SEND, .sges = i < FILLERS - 1 ? &full : &last,
                         .num_sge = 1, .ah = &s->ah, .remote_qpn = s->b.qpn, .remote_qkey = QKEY);
    }
    wrs[FILLERS].sges = pieces;
    wrs[FILLERS].num_sge = PIECES;
    CHECK_EQ(rvt_post_send(s->a.handle, wrs, FILLERS + 1, &bad), 0);
}

/* Returns whether the queue pair ended between the two sections of the message. The engine may get the lock back
 * before the other thread does. */
static bool try_rest(enum end end, uint32_t rest) {
    struct split s;
    struct rvt_wc wcs[64];
    if (!open_split(&s, end))
        return true;
    s.sections = (struct sections){.progress = end_between_steps, .context = &s};
    begin_sections(&s.sections, &s.v.device->retirement);
    post_messages(&s, rest);
    if (s.waiting.verb)
        CHECK_EQ(end_waiting(&s.waiting), 0);
    end_sections(&s.sections);
    const bool was_split = s.waiting.verb && !to_bytes[SPLIT + GRH + PIECES - 1];
    if (was_split) {
        /* The sender has lost its message if it was reset; otherwise it is told of success, as always. */
        const bool sender_ended = end == DESTROY_SENDER || end == RESET_SENDER;
        CHECK_EQ(rvt_poll_cq(s.a.scq, 64, wcs), FILLERS + !sender_ended);
        for (int i = 0; i < FILLERS + !sender_ended; i++)
            CHECK_EQ(wcs[i].status, RVT_WC_STATUS_SUCCESS);
        CHECK_EQ(rvt_poll_cq(s.b.rcq, 64, wcs), FILLERS);
        if (end != DESTROY_SENDER)
            CHECK_EQ(query_qp(&s.a).sends, 0);
    }
    AT_REST(s.from);
    if (end == DESTROY_RECEIVER || end == RESET_RECEIVER)
        AT_REST(s.to);
    verbs_close(&s.v);
    return was_split;
}

static void a_queue_pair_ends_between_two_steps(void) {
    for (enum end end = 0; end < ENDS; end++) {
        bool was_split = false;
        for (unsigned attempt = 0; attempt < 100 && !was_split; attempt++)
            for (uint32_t rest = 16; rest < UD_MTU && !was_split; rest += 16)
                was_split = try_rest(end, rest);
        CHECK(was_split);
    }
}

CHECK_MAIN(TEST(a_queue_pair_ends_between_two_steps))
