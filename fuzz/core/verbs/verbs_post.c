/* SPDX-License-Identifier: BSD-3-Clause */
/* The operations that post work requests and carry them out. */
#include <inttypes.h>

#include "core/engine/engine_qp.h"
#include "verbs_play.h"

/* --- elements --- */

/* Returns a length; `left` is the number of bytes from the place to the end of the region. */
static uint32_t length_of(uint8_t code, uint64_t left) {
    switch (code) {
    case 0:
        return 8;
    case 1:
        return 0;
    case 2:
        return 1;
    case 3:
        return (uint32_t)left;
    case 4:
        return (uint32_t)(left + 1);
    case 5:
        return (uint32_t)(left - 1);
    case 6:
        return 64;
    case 7:
        return 40;
    case 8:
        return 48;
    case 9:
        return 4096;
    case 10:
        return UINT32_C(1) << 31;
    case 11:
        return UINT32_MAX;
    case 12:
        return 4097;
    case 13:
        return 70000;
    default:
        return code;
    }
}

static uint64_t place_of(uint8_t code, uint64_t length) {
    switch (code) {
    case 1:
        return 8;
    case 2:
        return length / 2;
    case 3:
        return length - 8;
    case 4:
        return length;
    case 5:
        return length + 1;
    case 6:
        return UINT64_MAX;
    case 7:
        return 1;
    case 8:
        return UINT64_MAX - 7;
    default:
        return code < 0x80 ? code * UINT64_C(16) : code * UINT64_C(256);
    }
}

/* Returns an element of a region. Bits of `element`: 0x10 key 0 and a DMA address, 0x20 the wrong kind of
 * address, 0x40 a wrong generation, 0x80 a key that no region has. */
static struct rvt_ib_sge element_of(const struct world *w, uint8_t element, uint8_t place, uint8_t length,
                                    bool remote) {
    int mr = verbs_slot(w->mr_slot, element, MR_SLOTS), dma = w->dma_slot[element % DMA_SLOTS];
    uint64_t base = 0x1000, bytes = 64;
    uint32_t key = 0x12345678;
    if (element & 0x10 && dma != NONE) {
        base = w->dmas[dma].address;
        bytes = w->dmas[dma].length;
        key = 0;
    } else if (mr != NONE) {
        const struct rvt_mr_attributes *is = &w->mrs[mr].last;
        base = remote != !!(element & 0x20) ? is->iova : is->start;
        bytes = is->length;
        key = is->keys.lkey;
    }
    if (element & 0x40)
        key ^= 0x100;
    if (element & 0x80)
        key = 0xfedcba00 + length;
    uint64_t at = place_of(place, bytes);
    return (struct rvt_ib_sge){base + at, length_of(length, bytes - at), key};
}

/* Fills `count` elements: the first as the operands say, each other one behind the one before, so that they are
 * joined, or of the next region (bit 3 of `elements`). */
static uint32_t fill_elements(const struct world *w, struct rvt_ib_sge *sges, uint8_t elements,
                              uint8_t element, uint8_t place, uint8_t length) {
    uint32_t count = elements % 8 < MOST_ELEMENTS ? elements % 8 : MOST_ELEMENTS;
    for (uint32_t i = 0; i < count; i++) {
        if (i && !(elements & 8)) {
            sges[i] = sges[i - 1];
            sges[i].addr += sges[i].length;
        } else {
            sges[i] =
                element_of(w, (uint8_t)((element & 0xf0) | ((element + i) & 0xf)), place, length, false);
        }
    }
    return count;
}

static uint32_t sum_of(const struct rvt_ib_sge *sges, uint32_t count) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += sges[i].length;
    return sum;
}

/* --- posting --- */

/* Returns a new work request, or NONE if the program has had too many. */
static int new_work(struct world *w, int qp, int srq) {
    if (w->work_count == MOST_WORKS)
        return NONE;
    w->works[w->work_count] = (struct work){.qp = qp, .srq = srq, .next = NONE};
    return w->work_count++;
}

/* Checks the index of the first work request that was refused, and returns how many were accepted. */
static uint32_t accepted_of(struct world *w, int answer, uint32_t bad, uint32_t count, bool alive) {
    if (!alive && answer != -RVT_EBADF)
        verbs_fail(w, "the result for a stale handle is %d", answer);
    if (!answer)
        return count;
    if (!alive || bad == RVT_NO_BAD_WR)
        return 0;
    if (bad >= count)
        verbs_fail(w, "the bad work request is %" PRIu32 " of %" PRIu32, bad, count);
    verbs_note(12000 + (uint32_t)-answer % 128);
    return bad;
}

static const struct rvt_send_wr *read_wr(void *data, uint32_t index) {
    return (const struct rvt_send_wr *)data + index;
}

/* A list of which nothing was posted must leave no trace in the queue pair: the model of its queue says that nothing
 * was queued. */
static void check_nothing_posted(struct world *w, int qp, uint32_t psn, uint32_t delayed) {
    const struct rvt_engine_qp *core = verbs_engine_qp(w, qp);
    if (!core || w->interrupt.done)
        return;
    EXPECT(w, "sq_psn after a refused list", core->attr.sq_psn, psn);
    if (core->delayed_invs > delayed)
        verbs_fail(w, "a refused list has left delayed LOCAL_INVs");
}

static void post_send(struct world *w) {
    static const uint8_t opcodes[32] = {
        RVT_WR_SEND,
        RVT_WR_RDMA_WRITE,
        RVT_WR_RDMA_READ,
        RVT_WR_SEND_WITH_IMM,
        RVT_WR_RDMA_WRITE_WITH_IMM,
        RVT_WR_ATOMIC_FETCH_AND_ADD,
        RVT_WR_ATOMIC_CMP_AND_SWP,
        RVT_WR_SEND_WITH_INV,
        RVT_WR_LOCAL_INV,
        RVT_WR_REG_MR,
        RVT_WR_SEND,
        RVT_WR_RDMA_WRITE,
        RVT_WR_RDMA_READ,
        RVT_WR_SEND,
        RVT_WR_SEND_WITH_IMM,
        RVT_WR_RDMA_WRITE_WITH_IMM,
        RVT_WR_ATOMIC_FETCH_AND_ADD,
        RVT_WR_LOCAL_INV,
        RVT_WR_REG_MR,
        RVT_WR_SEND_WITH_INV,
        RVT_WR_SEND,
        RVT_WR_RDMA_WRITE,
        RVT_WR_RDMA_READ,
        RVT_WR_BIND_MW,
        RVT_WR_LSO,
        RVT_WR_RDMA_READ_WITH_INV,
        RVT_WR_MASKED_ATOMIC_CMP_AND_SWP,
        RVT_WR_MASKED_ATOMIC_FETCH_AND_ADD,
        RVT_WR_REG_MR_INTEGRITY,
        99,
        255,
        RVT_WR_SEND,
    };
    const uint8_t *o = w->operand;
    struct rvt_send_wr wrs[MOST_WRS];
    struct rvt_ib_sge sges[MOST_WRS][MOST_ELEMENTS];
    int works[MOST_WRS];
    int qp = verbs_slot(w->qp_slot, o[1], QP_SLOTS), mr = verbs_slot(w->mr_slot, o[12], MR_SLOTS);
    int ah = verbs_slot(w->ah_slot, o[10], AH_SLOTS), peer = verbs_slot(w->qp_slot, o[11], QP_SLOTS);
    uint32_t count = 1 + (o[1] >> 4) % MOST_WRS, bad = 77;
    if (qp == NONE)
        return;
    struct qp *model = &w->qps[qp];
    for (uint32_t i = 0; i < count; i++) {
        uint8_t element = (uint8_t)((o[5] & 0xf0) | ((o[5] + i * (o[15] & 1)) & 0xf));
        struct rvt_ib_sge remote = element_of(w, o[8], o[9], 0, true);
        works[i] = new_work(w, qp, NONE);
        if (works[i] == NONE)
            return;
        wrs[i] = (struct rvt_send_wr){
            .wr_id = WR_ID(works[i]),
            .sges = sges[i],
            .num_sge = fill_elements(w, sges[i], o[4], element, o[6], o[7]),
            .opcode = opcodes[(o[2] + i * (o[15] >> 1 & 3)) % 32],
            .flags = o[3] % 16,
            .imm = 0x1234,
            .remote_addr = remote.addr,
            /* Of a strict device, sometimes the lkey. */
            .rkey =
                o[14] == 0x55 ? remote.lkey : rvt_other_key(w->devices[w->qps[qp].device].core, remote.lkey),
            .invalidate_rkey = mr == NONE ? 5 : w->mrs[mr].last.keys.rkey ^ (o[13] == 0x77),
            .compare_add = o[15],
            .swap = 99,
            .mr = mr == NONE ? (struct rvt_mr_handle){0} : w->mrs[mr].core,
            .key =
                mr == NONE ? 0 : (w->mrs[mr].last.keys.rkey & ~(uint32_t)RVT_KEY_VARIANT_MASK) | (o[13] + i),
            .access = o[14],
            .ah = ah == NONE ? NULL : &w->ahs[ah].core,
            .remote_qpn = peer == NONE ? 3 : w->qps[peer].qpn,
            .remote_qkey = o[13] & 0x80 ? 0x80000000 : 0x11,
        };
        if (w->code == VERB_POST_WINDOW)
            verbs_fill_window_wr(w, i, &wrs[i]);
        w->works[works[i]].opcode = wrs[i].opcode;
        w->works[works[i]].length = sum_of(sges[i], wrs[i].num_sge);
        w->works[works[i]].remote_addr = wrs[i].remote_addr;
        w->works[works[i]].rkey = wrs[i].rkey;
    }
    const struct rvt_engine_qp *core = verbs_engine_qp(w, qp);
    const bool whole = w->code == VERB_POST_WHOLE || (w->code == VERB_POST_WINDOW && o[15] & 0x80);
    uint32_t delayed = core ? core->delayed_invs : 0, psn = core ? core->attr.sq_psn : 0;
    w->moves = true;
    verbs_before_call(w);
    const struct rvt_send_source source = {read_wr, wrs};
    int answer = whole ? rvt_post_send_whole(model->core, &source, count, &bad)
                       : rvt_post_send(model->core, wrs, count, &bad);
    answer = verbs_after_call(w, answer, false);
    uint32_t accepted = accepted_of(w, answer, bad, count, model->alive);
    if (whole && answer) {
        accepted = 0;
        check_nothing_posted(w, qp, psn, delayed);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct work *work = &w->works[works[i]];
        bool signaled = wrs[i].flags & RVT_SEND_SIGNALED;
        bool is_inv = wrs[i].opcode == RVT_WR_LOCAL_INV || wrs[i].opcode == RVT_WR_BIND_MW;
        bool is_delayed = is_inv && (whole || wrs[i].flags & RVT_SEND_FENCE || delayed);
        bool at_once = (is_inv && !is_delayed) || wrs[i].opcode == RVT_WR_REG_MR;
        work->must_complete = signaled || model->sig_type == RVT_SIGNAL_ALL_WR;
        verbs_say(w,
                  "\n      %s %" PRIu32 ": opcode %" PRIu32 ", flags %" PRIu32 ", %" PRIu32
                  " elements, %" PRIu32 " bytes",
                  i < accepted ? "accepted" : "refused", (uint32_t)works[i], work->opcode, wrs[i].flags,
                  wrs[i].num_sge, work->length);
        if (i >= accepted || (at_once && !signaled)) {
            work->dropped = true; /* it is not queued, so it must never complete */
            continue;
        }
        delayed += is_delayed;
        verbs_accept(w, &model->sends, works[i]);
    }
}

/* Fills the receives of an operation. Returns false if the program has had too many work requests. */
static bool fill_receives(struct world *w, struct rvt_recv_wr *wrs, struct rvt_ib_sge sges[][MOST_ELEMENTS],
                          int *works, uint32_t count, int qp, int srq) {
    const uint8_t *o = w->operand;
    for (uint32_t i = 0; i < count; i++) {
        works[i] = new_work(w, qp, srq);
        if (works[i] == NONE)
            return false;
        w->works[works[i]].receive = w->works[works[i]].must_complete = true;
        wrs[i] = (struct rvt_recv_wr){
            .wr_id = WR_ID(works[i]),
            .sges = sges[i],
            .num_sge = fill_elements(w, sges[i], o[2], o[3], o[4], o[5] ? o[5] : 3),
        };
    }
    return true;
}

static void accept_receives(struct world *w, struct works *queue, const int *works, uint32_t count,
                            uint32_t accepted) {
    for (uint32_t i = 0; i < count; i++)
        if (i < accepted)
            verbs_accept(w, queue, works[i]);
        else
            w->works[works[i]].dropped = true;
}

static void post_recv(struct world *w) {
    struct rvt_recv_wr wrs[MOST_WRS];
    struct rvt_ib_sge sges[MOST_WRS][MOST_ELEMENTS];
    int works[MOST_WRS], qp = verbs_slot(w->qp_slot, w->operand[1], QP_SLOTS);
    uint32_t count = 1 + (w->operand[1] >> 4) % MOST_WRS, bad = 77;
    if (qp == NONE || !fill_receives(w, wrs, sges, works, count, qp, NONE))
        return;
    struct qp *model = &w->qps[qp];
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_post_recv(model->core, wrs, count, &bad), false);
    uint32_t accepted = accepted_of(w, answer, bad, count, model->alive);
    accept_receives(w, &model->receives, works, count, accepted);
}

static void post_srq_recv(struct world *w) {
    struct rvt_recv_wr wrs[MOST_WRS];
    struct rvt_ib_sge sges[MOST_WRS][MOST_ELEMENTS];
    int works[MOST_WRS], srq = verbs_slot(w->srq_slot, w->operand[1], SRQ_SLOTS);
    uint32_t count = 1 + (w->operand[1] >> 4) % MOST_WRS, bad = 77;
    if (srq == NONE || !fill_receives(w, wrs, sges, works, count, NONE, srq))
        return;
    struct srq *model = &w->srqs[srq];
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_post_srq_recv(model->core, wrs, count, &bad), false);
    uint32_t accepted = accepted_of(w, answer, bad, count, model->alive);
    accept_receives(w, &model->works, works, count, accepted);
}

/* --- carrying out --- */

static void kick(struct world *w) {
    int qp = verbs_slot(w->qp_slot, w->operand[1], QP_SLOTS);
    if (qp == NONE)
        return;
    w->moves = true;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_kick_qp(w->qps[qp].core), false);
    if ((answer == -RVT_EBADF) == w->qps[qp].alive)
        verbs_fail(w, "the result is %d", answer);
}

static void note_fired(void *data, uint64_t qp, uint32_t usec) {
    const struct world *w = data;
    (void)qp;
    if (usec < 10 || usec > 655360)
        verbs_fail(w, "a timer was set to %" PRIu32 " microseconds", usec);
}

/* Timers that are not due must not fire. */
static void progress(struct world *w) {
    struct rvt_dev_info *device = w->devices[w->device].core;
    uint64_t deadlines[MOST_OBJECTS] = {0};
    w->now += w->operand[1] + ((uint64_t)w->operand[2] << 8);
    for (int i = 0; i < w->qp_count; i++) {
        const struct rvt_engine_qp *core = w->qps[i].device == w->device ? verbs_engine_qp(w, i) : NULL;
        if (core && rvt_list_has(&core->in_timers) && core->timer_counts && core->timer_deadline > w->now)
            deadlines[i] = core->timer_deadline;
    }
    w->moves = true;
    verbs_before_call(w);
    uint64_t next = rvt_progress(device, w->now);
    (void)verbs_after_call(w, 0, false);
    if (next != UINT64_MAX && (next <= w->now || next - w->now > 655360))
        verbs_fail(w, "the next timer is due at %" PRIu64 ", now is %" PRIu64, next, w->now);
    for (int i = 0; i < w->qp_count; i++) {
        if (!deadlines[i] || w->interrupt.done)
            continue;
        if (!rvt_list_has(&verbs_engine_qp(w, i)->in_timers))
            verbs_fail(w, "a timer fired before it was due");
        if (next > deadlines[i])
            verbs_fail(w, "the next timer is due at %" PRIu64 ", not at %" PRIu64, next, deadlines[i]);
    }
}

void verbs_perform_work(struct world *w) {
    switch ((enum verb)w->code) {
    case VERB_POST_SEND:
    case VERB_POST_WHOLE:
    case VERB_POST_WINDOW:
        post_send(w);
        break;
    case VERB_POST_RECV:
        post_recv(w);
        break;
    case VERB_POST_SRQ_RECV:
        post_srq_recv(w);
        break;
    case VERB_KICK:
        kick(w);
        break;
    case VERB_RUN:
    case VERB_FIRE_TIMERS:
    case VERB_PROGRESS:
        if (w->device == NONE)
            break;
        w->moves = true;
        if (w->code == VERB_PROGRESS) {
            progress(w);
        } else if (w->code == VERB_RUN) {
            verbs_before_call(w);
            EXPECT(w, "the result", verbs_after_call(w, rvt_run_engine(w->devices[w->device].core), false),
                   0);
        } else {
            verbs_before_call(w);
            (void)verbs_after_call(w, (int)rvt_fire_timers(w->devices[w->device].core, note_fired, w), false);
        }
        break;
    default:
        break;
    }
}
