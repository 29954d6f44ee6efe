/* SPDX-License-Identifier: BSD-3-Clause */
/* The operations on memory windows, leases and re-registration, and what must hold for them.
 *
 * Lands are regions in a buffer of their own. They are in no slot of regions, and their addresses are far from
 * all others, so that no element leads to them: their bytes change only through windows. For each byte that
 * changed there must be a work request that writes it by the key of a window that lets it, as the windows are at
 * that moment. So bytes are compared before each bind and invalidation, which the linker redirects to this file,
 * also those that the engine carries out in the middle of an operation. */
#include <inttypes.h>

#include "core/engine/engine_qp.h"
#include "verbs_play.h"

enum { REMOTE = RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_READ | RVT_ACCESS_REMOTE_ATOMIC };
enum { WRITING = RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_ATOMIC };
#define LAND_ADDRESS UINT64_C(0x7f0000000000)

/* --- the model --- */

static bool expired(const struct world *w, const struct mw *mw) {
    return mw->lease && mw->deadline <= w->clock;
}

static void unbind(struct mw *mw) {
    mw->mr = mw->qp = NONE;
    mw->addr = mw->length = 0;
    mw->access = 0;
}

static void end_window(struct mw *mw) {
    mw->alive = false;
    unbind(mw);
}

uint32_t verbs_windows_of(const struct world *w, int mr) {
    uint32_t count = 0;
    for (int i = 0; i < w->mw_count; i++)
        count += w->mws[i].alive && w->mws[i].mr == mr && !expired(w, &w->mws[i]);
    return count;
}

static int find_mr(const struct world *w, struct rvt_mr_handle mr) {
    for (int i = 0; i < w->mr_count; i++)
        if (w->mrs[i].core.mr == mr.mr && w->mrs[i].core.generation == mr.generation)
            return i;
    return NONE;
}

static int find_mw(const struct world *w, struct rvt_mw_handle mw) {
    for (int i = 0; i < w->mw_count; i++)
        if (w->mws[i].core.mw == mw.mw && w->mws[i].core.generation == mw.generation)
            return i;
    return NONE;
}

static int find_qp(const struct world *w, struct rvt_qp_handle qp) {
    for (int i = 0; i < w->qp_count; i++)
        if (w->qps[i].core.qp == qp.qp && w->qps[i].core.generation == qp.generation)
            return i;
    return NONE;
}

/* --- bytes --- */

struct span {
    uint64_t from, to; /* in the buffer of the lands */
};

static uint32_t right_of(const struct work *work) {
    switch (work->opcode) {
    case RVT_WR_RDMA_WRITE:
    case RVT_WR_RDMA_WRITE_WITH_IMM:
        return RVT_ACCESS_REMOTE_WRITE;
    case RVT_WR_ATOMIC_CMP_AND_SWP:
    case RVT_WR_ATOMIC_FETCH_AND_ADD:
        return RVT_ACCESS_REMOTE_ATOMIC;
    default:
        return 0;
    }
}

/* Whether the peer of the queue pair that has posted the work may use the window. */
static bool is_for(const struct world *w, const struct mw *mw, const struct work *work) {
    const struct rvt_engine_qp *poster = verbs_engine_qp(w, work->qp);
    if (!poster || w->qps[work->qp].device != mw->device)
        return false;
    for (int i = 0; i < w->qp_count; i++) {
        const struct rvt_engine_qp *peer = verbs_engine_qp(w, i);
        if (peer && w->qps[i].device == mw->device && w->qps[i].qpn == poster->attr.dest_qpn &&
            (mw->qp == NONE || mw->qp == i) && peer->pd == w->pds[mw->pd].core.pd)
            return true;
    }
    return false;
}

/* Fills what work requests may write through windows now. */
static uint32_t list_spans(const struct world *w, struct span *spans, uint32_t most) {
    uint32_t count = 0;
    for (int i = 0; i < w->mw_count; i++) {
        const struct mw *mw = &w->mws[i];
        if (!mw->alive || mw->mr == NONE || expired(w, mw) || !(mw->access & WRITING))
            continue;
        const struct mr *mr = &w->mrs[mw->mr];
        if (!mr->alive || mr->window == NONE || w->windows[mr->window].buffer != LAND_BUFFER)
            continue;
        const uint64_t base = w->windows[mr->window].offset - mr->last.iova;
        for (int k = 0; k < w->work_count && count < most; k++) {
            const struct work *work = &w->works[k];
            const uint32_t right = right_of(work);
            if (work->qp == NONE || work->receive || work->left || work->dropped || work->rkey != mw->key ||
                !(right & mw->access) || !is_for(w, mw, work))
                continue;
            const uint64_t bytes = right == RVT_ACCESS_REMOTE_ATOMIC ? 8 : work->length;
            if (work->remote_addr < mw->addr || work->remote_addr - mw->addr > mw->length ||
                bytes > mw->length - (work->remote_addr - mw->addr))
                continue; /* such a request fails as a whole */
            spans[count++] = (struct span){base + work->remote_addr, base + work->remote_addr + bytes};
        }
    }
    return count;
}

void verbs_check_land(struct world *w) {
    enum { MOST_SPANS = 4096 };
    static struct span spans[MOST_SPANS];
    const unsigned char *is = w->buffers[LAND_BUFFER];
    unsigned char *was = w->shadows[LAND_BUFFER];
    const size_t size = verbs_buffer_size(LAND_BUFFER);
    if (!w->moves || memcmp(is, was, size) == 0)
        return; /* what changes in an operation that moves nothing is found with the other buffers */
    const uint32_t count = list_spans(w, spans, MOST_SPANS);
    for (size_t i = 0; i < size; i++) {
        bool allowed = false;
        if (is[i] == was[i])
            continue;
        for (uint32_t k = 0; k < count && !allowed; k++)
            allowed = i >= spans[k].from && i < spans[k].to;
        if (!allowed || !verbs_may_change(w, LAND_BUFFER, i))
            verbs_fail(w, "byte %zu of the lands changed, but no window lets a work request write it", i);
        was[i] = is[i];
    }
    verbs_note(15200);
}

/* --- binds and invalidations, wherever they are carried out --- */

static bool inside(const struct rvt_mr_attributes *region, const struct rvt_bind *bind) {
    const uint64_t into = bind->addr - region->iova;
    return bind->length && bind->addr >= region->iova && into <= region->length &&
           bind->length <= region->length - into;
}

/* Whether a region can be bound for a domain. */
static bool can_be_bound(const struct rvt_bind *bind, const struct rvt_pd *pd) {
    struct rvt_mr_attributes region;
    return !rvt_query_mr(bind->mr, &region) && bind->mr.mr->pd == pd && region.kind == RVT_MR_USER &&
           !region.half_dead && region.valid && !(bind->access & ~(uint32_t)REMOTE) &&
           (!(bind->access & WRITING) || region.access & RVT_ACCESS_LOCAL_WRITE) && inside(&region, bind);
}

static bool can_bind(const struct world *w, int mw, struct rvt_qp_handle qp, const struct rvt_bind *bind) {
    const struct mw *model = &w->mws[mw];
    struct rvt_mr_attributes region;
    if (!rvt_qp_live(qp) || !model->alive || model->lease || w->pds[model->pd].core.pd != rvt_qp_pd(qp.qp) ||
        (model->type == RVT_MW_TYPE_TWO && model->mr != NONE) || (bind->key ^ model->key) & ~UINT32_C(0xff) ||
        w->qps[find_qp(w, qp)].device != model->device)
        return false;
    if (bind->mr.mr && w->mrs[find_mr(w, bind->mr)].device != model->device)
        return false;
    if (model->type == RVT_MW_TYPE_ONE && !bind->length)
        return true;
    return can_be_bound(bind, rvt_qp_pd(qp.qp)) && !rvt_query_mr(bind->mr, &region) &&
           region.access & RVT_ACCESS_MW_BIND;
}

int __real_rvt_bind_mw(struct rvt_qp_handle qp, struct rvt_mw_handle mw, const struct rvt_bind *bind);
int __wrap_rvt_bind_mw(struct rvt_qp_handle qp, struct rvt_mw_handle mw, const struct rvt_bind *bind);
int __wrap_rvt_bind_mw(struct rvt_qp_handle qp, struct rvt_mw_handle mw, const struct rvt_bind *bind) {
    struct world *w = verbs_current();
    const int window = find_mw(w, mw);
    verbs_check_land(w);
    const bool should = can_bind(w, window, qp, bind);
    const int answer = __real_rvt_bind_mw(qp, mw, bind);
    if (should != !answer)
        verbs_fail(w, "a bind is answered with %d, but it %s", answer, should ? "is allowed" : "is not");
    verbs_note(15300 + (uint32_t)-answer % 128);
    if (answer)
        return answer;
    struct mw *model = &w->mws[window];
    unbind(model);
    model->old_key = model->key;
    model->key = bind->key;
    if (model->type == RVT_MW_TYPE_ONE && !bind->length)
        return 0;
    model->mr = find_mr(w, bind->mr);
    model->qp = model->type == RVT_MW_TYPE_TWO ? find_qp(w, qp) : NONE;
    model->addr = bind->addr;
    model->length = bind->length;
    model->access = bind->access;
    return 0;
}

int __real_rvt_invalidate_rkey(struct rvt_qp_handle qp, uint32_t key);
int __wrap_rvt_invalidate_rkey(struct rvt_qp_handle qp, uint32_t key);
int __wrap_rvt_invalidate_rkey(struct rvt_qp_handle qp, uint32_t key) {
    struct world *w = verbs_current();
    const int user = find_qp(w, qp);
    int window = NONE;
    verbs_check_land(w);
    for (int i = 0; i < w->mw_count && user != NONE; i++)
        if (rvt_mw_live(w->mws[i].core) && w->mws[i].device == w->qps[user].device && w->mws[i].key == key)
            window = i;
    struct mw *model = window == NONE ? NULL : &w->mws[window];
    const bool should = model && rvt_qp_live(qp) && model->mr != NONE && model->type == RVT_MW_TYPE_TWO &&
                        (model->qp == NONE || model->qp == user) &&
                        w->pds[model->pd].core.pd == rvt_qp_pd(qp.qp);
    const int answer = __real_rvt_invalidate_rkey(qp, key);
    if (!model)
        return answer;
    verbs_note(15500 + (uint32_t)-answer % 128);
    if (should != !answer)
        verbs_fail(w, "an invalidation is answered with %d, but it %s", answer,
                   should ? "is allowed" : "is not");
    if (answer)
        return answer;
    if (model->lease)
        end_window(model);
    else
        unbind(model);
    return 0;
}

/* --- invariants --- */

void verbs_settle_windows(struct world *w) {
    for (int i = 0; i < w->mw_count; i++) {
        struct mw *mw = &w->mws[i];
        const bool lives = rvt_mw_live(mw->core) != NULL;
        if (!mw->alive && lives)
            verbs_fail(w, "a window that had ended is alive");
        if (mw->alive && !lives) {
            if (!w->ends && !expired(w, mw))
                verbs_fail(w, "a window ended in an operation that ends nothing");
            end_window(mw);
        }
        if (mw->alive && mw->mr != NONE && !rvt_mr_live(w->mrs[mw->mr].core)) {
            if (mw->lease)
                verbs_fail(w, "a lease has outlived its region");
            unbind(mw);
        }
    }
}

static void check_window(const struct world *w, const struct mw *mw) {
    struct rvt_mw_attributes is;
    const bool bound = mw->mr != NONE;
    EXPECT(w, "query_mw", rvt_query_mw(mw->core, &is), mw->alive ? 0 : -RVT_EBADF);
    if (!mw->alive)
        return;
    EXPECT(w, "the key of a window", is.key, mw->key);
    EXPECT(w, "whether a window is bound", is.bound, bound);
    EXPECT(w, "whether a window is a lease", is.lease, mw->lease);
    EXPECT(w, "whether a window has expired", is.expired, bound && expired(w, mw));
    EXPECT(w, "the type of a window", is.type, mw->type);
    EXPECT(w, "the region of a window", is.region, bound ? w->mrs[mw->mr].last.id : 0);
    EXPECT(w, "the address of a window", is.addr, mw->addr);
    EXPECT(w, "the length of a window", is.length, mw->length);
    EXPECT(w, "the access of a window", is.access, mw->access);
    EXPECT(w, "the queue pair of a window", is.qp, mw->qp == NONE ? 0 : w->qps[mw->qp].serial);
}

void verbs_check_windows(struct world *w) {
    verbs_settle_windows(w);
    for (int i = 0; i < w->mw_count; i++)
        check_window(w, &w->mws[i]);
    for (int i = 0; i < w->mr_count; i++) {
        const struct rvt_mregion *mr = rvt_mr_live(w->mrs[i].core);
        uint32_t is = 0, should = 0;
        for (const struct rvt_link *link = mr ? mr->windows : NULL; link; link = link->next)
            is++;
        for (int k = 0; k < w->mw_count; k++)
            should += w->mws[k].alive && w->mws[k].mr == i;
        EXPECT(w, "windows in the list of a region", is, should);
        if (mr && mr->half_dead && should)
            verbs_fail(w, "a region is half-dead with windows");
    }
    for (int i = 0; i < w->device_count; i++) {
        uint32_t leases = 0;
        for (int k = 0; k < w->mw_count; k++)
            leases += w->mws[k].device == i && w->mws[k].alive && w->mws[k].lease;
        EXPECT(w, "leases of a device", w->devices[i].core->leases, leases);
    }
}

/* --- operations --- */

#define PD(n) verbs_slot(w->pd_slot, w->operand[n], PD_SLOTS)
#define QP(n) verbs_slot(w->qp_slot, w->operand[n], QP_SLOTS)
#define MW(n) verbs_slot(w->mw_slot, w->operand[n], MW_SLOTS)

/* A region: bit 7 of the operand selects one that is no land. */
static int region_of(const struct world *w, uint8_t operand) {
    return operand & 0x80 ? verbs_slot(w->mr_slot, operand & 0x7f, MR_SLOTS)
                          : verbs_slot(w->land_slot, operand, LAND_SLOTS);
}

/* Some place in a region, and some length. */
static void fill_range(const struct mr *mr, uint8_t place, uint8_t length, uint64_t *addr, uint64_t *bytes) {
    const uint64_t all = mr ? mr->last.length : 64, base = mr ? mr->last.iova : 0x1000;
    const uint64_t into = place == 0xff   ? UINT64_MAX
                          : place == 0xfe ? all
                          : place == 0xfd ? all + 1
                                          : place * UINT64_C(8);
    *addr = base + into;
    *bytes = length == 0xff   ? all - into
             : length == 0xfe ? all - into + 1
             : length == 0xfd ? UINT64_MAX
                              : length;
}

static struct rvt_bind bind_of(const struct world *w, int mr, uint8_t place, uint8_t length, uint32_t access,
                               uint32_t key) {
    struct rvt_bind bind = {.access = access, .key = key};
    if (mr != NONE)
        bind.mr = w->mrs[mr].core;
    fill_range(mr == NONE ? NULL : &w->mrs[mr], place, length, &bind.addr, &bind.length);
    return bind;
}

/* The key of a window with another variant; `code` 0xff: the key of another slot. */
static uint32_t next_key(const struct mw *mw, uint8_t code) {
    return code == 0xff ? mw->key ^ 0x100 : (mw->key & ~UINT32_C(0xff)) | ((mw->key + code) & 0xff);
}

static void reg_land(struct world *w) {
    static const uint64_t lengths[8] = {0, 64, 4096, 100, 8, 1000, 256, 70000};
    int pd = PD(2);
    if (pd == NONE || w->mr_count == MOST_OBJECTS)
        return;
    int window = verbs_new_window(w, LAND_BUFFER, w->operand[3] * UINT64_C(8),
                                  lengths[w->operand[4] % 8] + w->operand[4] / 8,
                                  w->operand[7] % 8 < ENVIRONMENTS ? w->operand[7] % 8 : 0);
    if (window == NONE)
        return;
    struct mr mr = {.device = w->pds[pd].device, .window = window, .alive = true};
    const uint64_t start =
        LAND_ADDRESS + (w->operand[1] % LAND_SLOTS) * UINT64_C(0x1000000) + w->operand[3] * UINT64_C(8);
    const uint64_t iova = start + (w->operand[6] & 0x7f) * UINT64_C(0x1000);
    verbs_before_call(w);
    int answer = verbs_after_call(
        w, rvt_reg_user_mr(w->pds[pd].core, &w->windows[window].memory, start, iova, w->operand[5], &mr.core),
        false);
    if (answer)
        return;
    EXPECT(w, "query_mr", rvt_query_mr(mr.core, &mr.last), 0);
    w->mrs[w->mr_count] = mr;
    w->land_slot[w->operand[1] % LAND_SLOTS] = w->mr_count++;
}

static void dereg_land(struct world *w) {
    int mr = verbs_slot(w->land_slot, w->operand[1], LAND_SLOTS);
    if (mr != NONE)
        verbs_dereg(w, mr, (enum rvt_release_mode)(w->operand[2] % 3));
}

static void add_mw(struct world *w, struct mw mw) {
    if (find_mw(w, mw.core) != NONE)
        verbs_fail(w, "a handle of a window is used again");
    mw.alive = true;
    mw.old_key = mw.key;
    w->mws[w->mw_count] = mw;
    w->mw_slot[w->operand[1] % MW_SLOTS] = w->mw_count++;
}

static void alloc_mw(struct world *w) {
    int pd = PD(2);
    if (pd == NONE || w->mw_count == MOST_OBJECTS)
        return;
    struct mw mw = {.device = w->pds[pd].device, .pd = pd, .context = NONE, .mr = NONE, .qp = NONE};
    mw.type = w->operand[3] < 2 ? RVT_MW_TYPE_TWO - w->operand[3] : w->operand[3];
    const bool right = mw.type == RVT_MW_TYPE_ONE || mw.type == RVT_MW_TYPE_TWO;
    const bool alive = rvt_pd_live(w->pds[pd].core) != NULL;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_alloc_mw(w->pds[pd].core, mw.type, &mw.core, &mw.key), true);
    if (!answer && (!right || !alive))
        verbs_fail(w, "a window was allocated that must not be");
    if (answer && right && alive && answer != -RVT_ENOMEM)
        verbs_fail(w, "the result is %d", answer);
    if (!answer)
        add_mw(w, mw);
}

static void dealloc_mw(struct world *w) {
    int mw = MW(1);
    if (mw == NONE)
        return;
    struct mw *model = &w->mws[mw];
    if (expired(w, model) && !rvt_mw_live(model->core))
        end_window(model); /* its slot was needed */
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_dealloc_mw(model->core), false);
    verbs_expect_alive(w, answer, model->alive);
    if (model->alive)
        EXPECT(w, "the result", answer, 0);
    end_window(model);
}

static void bind_mw(struct world *w) {
    int qp = QP(1), mw = MW(2), mr = region_of(w, w->operand[3]);
    if (qp == NONE || mw == NONE)
        return;
    const struct rvt_bind bind =
        bind_of(w, mr, w->operand[4], w->operand[5], w->operand[6], next_key(&w->mws[mw], w->operand[7]));
    verbs_before_call(w);
    (void)verbs_after_call(w, __wrap_rvt_bind_mw(w->qps[qp].core, w->mws[mw].core, &bind), false);
}

static void invalidate_mw(struct world *w) {
    int qp = QP(1), mw = MW(2);
    if (qp == NONE || mw == NONE)
        return;
    const struct mw *model = &w->mws[mw];
    const uint32_t key = w->operand[3] % 4 == 1   ? model->old_key
                         : w->operand[3] % 4 == 2 ? model->key ^ 0x100
                                                  : model->key;
    verbs_before_call(w);
    int answer = verbs_after_call(w, __wrap_rvt_invalidate_rkey(w->qps[qp].core, key), false);
    verbs_expect_alive(w, answer, rvt_qp_live(w->qps[qp].core) != NULL);
}

static void lease_mr(struct world *w) {
    int mr = region_of(w, w->operand[3]), qp = w->operand[7] & 0x80 ? NONE : QP(7), device;
    int context = verbs_chosen_context(w, w->operand[2], &device);
    if (mr == NONE || w->mw_count == MOST_OBJECTS || (context != NONE && device != w->mrs[mr].device))
        return;
    struct mw mw = {.device = w->mrs[mr].device, .context = context, .lease = true, .type = RVT_MW_TYPE_TWO};
    const struct rvt_bind bind = bind_of(w, mr, w->operand[4], w->operand[5], w->operand[6], 0);
    const uint64_t ms = w->operand[9] == 0xff ? UINT64_MAX : w->operand[8] + w->operand[9] * UINT64_C(256);
    struct rvt_ucontext *owner = context == NONE ? NULL : w->contexts[context].core;
    struct rvt_qp_handle *only = qp == NONE ? NULL : &w->qps[qp].core;
    struct rvt_mr_attributes region;
    const bool should =
        !rvt_query_mr(bind.mr, &region) && can_be_bound(&bind, bind.mr.mr->pd) && bind.access &&
        !(bind.access & ~region.access) && !(owner && rvt_ucontext_gone(owner)) &&
        (!only ||
         (w->qps[qp].device == mw.device && rvt_qp_live(*only) && rvt_qp_pd(only->qp) == bind.mr.mr->pd));
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_lease_mr(owner, &bind, only, ms, &mw.core, &mw.key), false);
    if ((!answer && !should) || (answer && should && answer != -RVT_ENOMEM))
        verbs_fail(w, "a lease is answered with %d, but it %s", answer, should ? "is allowed" : "is not");
    if (answer)
        return;
    mw.mr = mr;
    mw.qp = qp;
    mw.addr = bind.addr;
    mw.length = bind.length;
    mw.access = bind.access;
    mw.deadline = ms < UINT64_MAX - w->clock ? w->clock + ms : UINT64_MAX;
    mw.pd = NONE;
    for (int i = 0; i < w->pd_count; i++)
        if (rvt_pd_live(w->pds[i].core) && w->pds[i].core.pd == bind.mr.mr->pd)
            mw.pd = i;
    add_mw(w, mw);
}

static void expect_same(const struct world *w, const struct rvt_mr_attributes *is,
                        const struct rvt_mr_attributes *was) {
    EXPECT(w, "the start after a refused rereg_mr", is->start, was->start);
    EXPECT(w, "the iova after a refused rereg_mr", is->iova, was->iova);
    EXPECT(w, "the length after a refused rereg_mr", is->length, was->length);
    EXPECT(w, "the access after a refused rereg_mr", is->access, was->access);
}

/* Re-registers a region. A land stays one: its memory is in the same buffer, at an address of lands. */
static void rereg_mr(struct world *w) {
    const bool land = !(w->operand[1] & 0x80);
    int mr = region_of(w, w->operand[1]), pd = PD(7);
    if (mr == NONE)
        return;
    struct mr *model = &w->mrs[mr];
    const uint64_t start = w->operand[8] & 0x80 ? UINT64_MAX - 100
                           : land               ? LAND_ADDRESS + (8 + w->operand[8] % 8) * UINT64_C(0x1000000)
                                                : UINT64_C(0x4000000) + w->operand[8] * UINT64_C(0x20000);
    const uint64_t iova = start + (w->operand[8] & 0x40 ? 0x3000 : 0);
    struct rvt_rereg change = {.flags = w->operand[2] % 16, .access = w->operand[6], .start = &start};
    int window = NONE;
    if (change.flags & RVT_REREG_TRANSLATION) {
        static const uint64_t lengths[8] = {0, 64, 4096, 100, 8, 1000, 256, 70000};
        window = verbs_new_window(w, land ? LAND_BUFFER : w->operand[3] % LAND_BUFFER,
                                  w->operand[4] * UINT64_C(8), lengths[w->operand[5] % 8], 0);
        if (window == NONE)
            return;
        change.memory = &w->windows[window].memory;
        change.virt_addr = w->operand[8] & 0x20 ? NULL : &iova;
    }
    if (change.flags & RVT_REREG_PD && pd == NONE)
        return;
    if (pd != NONE)
        change.pd = w->pds[pd].core;
    struct rvt_mr_attributes was, is;
    const bool alive = !rvt_query_mr(model->core, &was);
    const bool input = change.flags && change.flags < 8 && alive && was.kind == RVT_MR_USER &&
                       !was.half_dead && was.valid && !verbs_windows_of(w, mr) && was.refs == 2 &&
                       (!(change.flags & RVT_REREG_PD) ||
                        (w->pds[pd].device == model->device && rvt_pd_live(w->pds[pd].core)));
    const bool should = input && !(change.flags & RVT_REREG_TRANSLATION && w->operand[8] & 0x80);
    bool lost;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_rereg_mr(model->core, &change, NULL, &lost), false);
    if ((!answer && !should) || (answer && should && answer != -RVT_ENOMEM))
        verbs_fail(w, "rereg_mr is answered with %d, but it %s", answer, should ? "is allowed" : "is not");
    if (lost && (!answer || !input))
        verbs_fail(w, "a registration was lost because of its input");
    if (!alive || rvt_query_mr(model->core, &is))
        return;
    model->last = is;
    EXPECT(w, "the id after rereg_mr", is.id, was.id);
    if (answer) {
        expect_same(w, &is, &was);
        EXPECT(w, "whether a region is valid after rereg_mr", is.valid, was.valid && !lost);
        return;
    }
    if (window != NONE) {
        EXPECT(w, "the start after rereg_mr", is.start, start);
        EXPECT(w, "the iova after rereg_mr", is.iova, w->operand[8] & 0x20 ? start : iova);
        EXPECT(w, "the length after rereg_mr", is.length, w->windows[window].memory.length);
        model->window = window; /* no byte of the old memory changes any more */
    }
    if (change.flags & RVT_REREG_ACCESS)
        EXPECT(w, "the access after rereg_mr", is.access, change.access);
    if (change.flags & RVT_REREG_PD && model->core.mr->pd != change.pd.pd)
        verbs_fail(w, "a region is not in its new domain");
    const bool new_key = change.flags & (RVT_REREG_PD | RVT_REREG_TRANSLATION);
    if ((is.keys.rkey != was.keys.rkey) != new_key)
        verbs_fail(w, "the key after rereg_mr is wrong");
}

static void let_time_pass(struct world *w) {
    verbs_check_land(w); /* what moved so far did so before */
    w->clock += w->operand[1] + w->operand[2] * UINT64_C(256);
}

void verbs_fill_window_wr(const struct world *w, uint32_t index, struct rvt_send_wr *wr) {
    static const uint8_t opcodes[8] = {
        RVT_WR_RDMA_WRITE,          RVT_WR_RDMA_READ,         RVT_WR_BIND_MW,
        RVT_WR_LOCAL_INV,           RVT_WR_SEND_WITH_INV,     RVT_WR_ATOMIC_FETCH_AND_ADD,
        RVT_WR_RDMA_WRITE_WITH_IMM, RVT_WR_ATOMIC_CMP_AND_SWP};
    const uint8_t *o = w->operand;
    const int window = MW(8), mr = region_of(w, o[10]);
    const struct mw none = {.mr = NONE};
    const struct mw *mw = window == NONE ? &none : &w->mws[window];
    wr->opcode = opcodes[(o[2] + index * (o[15] & 7u)) % 8];
    const uint32_t key = o[8] & 0x80   ? mw->old_key
                         : o[8] & 0x40 ? mw->key ^ 0x100
                         : o[8] & 0x20 ? mw->key ^ 1
                                       : mw->key;
    wr->rkey = wr->invalidate_rkey = key;
    /* `addr` of a window is where a bind in the same list puts it, unless it is bound already. */
    const struct rvt_bind bind = bind_of(w, mr, o[11], o[12], o[14], next_key(mw, o[13]));
    const uint64_t base = mw->mr == NONE ? bind.addr : mw->addr,
                   bytes = mw->mr == NONE ? bind.length : mw->length;
    wr->remote_addr = base + (o[9] == 0xff   ? UINT64_MAX
                              : o[9] == 0xfe ? bytes
                              : o[9] == 0xfd ? bytes - 8
                                             : o[9] * UINT64_C(8));
    if (o[8] & 0x10) /* by the key that a bind before it gives the window */
        wr->rkey = wr->invalidate_rkey = bind.key;
    if (wr->opcode != RVT_WR_BIND_MW)
        return;
    wr->mr = bind.mr;
    wr->mw = mw->core;
    wr->remote_addr = bind.addr;
    wr->bind_length = bind.length;
    wr->access = bind.access;
    wr->key = bind.key;
    if (!(o[4] & 0x10)) {
        wr->num_sge = 0;
        wr->sges = NULL;
    }
}

bool verbs_perform_window(struct world *w) {
    switch ((enum verb)w->code) {
    case VERB_REG_LAND:
        reg_land(w);
        return true;
    case VERB_DEREG_LAND:
        dereg_land(w);
        return true;
    case VERB_ALLOC_MW:
        alloc_mw(w);
        return true;
    case VERB_DEALLOC_MW:
        dealloc_mw(w);
        return true;
    case VERB_BIND_MW:
        bind_mw(w);
        return true;
    case VERB_LEASE_MR:
        lease_mr(w);
        return true;
    case VERB_REREG_MR:
        rereg_mr(w);
        return true;
    case VERB_CLOCK:
        let_time_pass(w);
        return true;
    case VERB_INVALIDATE_MW:
        invalidate_mw(w);
        return true;
    default:
        return false;
    }
}
