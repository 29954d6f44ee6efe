/* SPDX-License-Identifier: BSD-3-Clause */
/* The remote target of a request whose key or region ends in the middle: after the verb has returned, no byte
 * moves under the old key, and the request fails at its next step. The verb waits for the present step of the
 * copy, not for the whole request. */
#include "sections.h"
#include "verbs.h"
#include "waiting.h"

enum { STEP = RVT_SECTION_BYTES, LONG = 4 * STEP, SHORT = 100, MOST_SECTIONS = 64 };

static alignas(4096) unsigned char near_bytes[LONG], far_bytes[LONG], seen[LONG];

static const struct way {
    uint32_t opcode, length;
} ways[] = {
    {RVT_WR_RDMA_WRITE, SHORT}, {RVT_WR_RDMA_WRITE, LONG},        {RVT_WR_RDMA_READ, SHORT},
    {RVT_WR_RDMA_READ, LONG},   {RVT_WR_ATOMIC_FETCH_AND_ADD, 8},
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

/* A request from `a` to `far`, a region in b's domain. */
struct request {
    struct verbs v;
    struct vqp a, b;
    struct vmr near_mr, far_mr;
    const struct way *way;
    struct sections sections;
    int answer; /* of the verb; 1: not called */
    struct waiting waiting;
};

static unsigned char *changing_bytes(const struct request *r) {
    return r->way->opcode == RVT_WR_RDMA_WRITE ? far_bytes : near_bytes;
}

static bool open_request(struct request *r, const struct way *way) {
    memset(r, 0, sizeof(*r));
    if (!verbs_open(&r->v, AT_ONCE))
        return false;
    r->way = way;
    r->answer = 1;
    count_up(near_bytes, LONG, 1);
    count_up(far_bytes, LONG, 2);
    memset(changing_bytes(r), 0, LONG);
    make_pair(&r->v, RVT_QPT_RC, &r->a, &r->b);
    r->near_mr = make_mr(&r->v, near_bytes, LONG);
    r->far_mr = make_mr(&r->v, far_bytes, LONG);
    return true;
}

static void post_request(struct request *r) {
    const struct rvt_ib_sge sge = sge_at(&r->near_mr, 0, r->way->length);
    CHECK_EQ(post(&r->a, SEND_WR(.wr_id = 1, .opcode = r->way->opcode, .sges = &sge, .num_sge = 1,
                                 .remote_addr = r->far_mr.addr, .rkey = r->far_mr.key, .compare_add = 1)),
             0);
}

/* --- the end of the key --- */

static void invalidate(void *context) {
    struct request *r = context;
    r->answer = rvt_invalidate_rkey(r->b.handle, r->far_mr.key);
    memcpy(seen, changing_bytes(r), LONG);
}

/* Invalidates the key at the end of section number `when` of the call. Returns false if the call has fewer
 * sections. */
static bool invalidate_after_section(const struct way *way, unsigned when) {
    struct request r;
    struct rvt_wc wc;
    if (!open_request(&r, way))
        return false;
    r.sections = (struct sections){.between = invalidate, .context = &r, .when = when};
    begin_sections(&r.sections, &r.v.device->retirement);
    post_request(&r);
    end_sections(&r.sections);
    const bool called = r.answer != 1;
    CHECK_EQ(rvt_poll_cq(r.a.scq, 1, &wc), 1);
    if (called) {
        CHECK_EQ(r.answer, 0);
        CHECK_BYTES_EQ(changing_bytes(&r), seen, LONG);
        if (wc.status) {
            CHECK_EQ(wc.status, RVT_WC_STATUS_REM_ACCESS_ERR);
            CHECK_EQ(wc.refused.reason, RVT_INVALIDATED);
        }
    } else {
        CHECK_EQ(wc.status, RVT_WC_STATUS_SUCCESS);
    }
    AT_REST(r.far_mr);
    AT_REST(r.near_mr);
    verbs_close(&r.v);
    return called;
}

static void no_byte_moves_after_the_key_was_invalidated(void) {
    for (unsigned i = 0; i < WAYS; i++) {
        unsigned when = 1;
        while (when < MOST_SECTIONS && invalidate_after_section(&ways[i], when))
            when++;
        /* A short request needs one section, a long one several. */
        CHECK(when > (ways[i].length == LONG ? 2 : 1) && when < MOST_SECTIONS);
    }
}

/* --- the end of the region --- */

static int dereg(void *context) {
    const struct request *r = context;
    return rvt_dereg_mr(r->far_mr.mr, RVT_RELEASE);
}

/* Lets another thread deregister the region when the first step has moved its bytes. Called at the end of each
 * section, with the engine lock held. Returns when the verb waits for the lock or has returned. */
static uint64_t dereg_after_first_step(void *context) {
    struct request *r = context;
    if (r->waiting.verb || !changing_bytes(r)[STEP - 1])
        return 0;
    r->waiting.verb = dereg;
    r->waiting.argument = r;
    if (pthread_create(&r->waiting.thread, NULL, call_waiting_verb, &r->waiting))
        abort();
    while (!atomic_load(&r->v.device->engine->waiting) && !atomic_load(&r->waiting.over))
        rvt_yield();
    return 0;
}

static void dereg_waits_for_the_present_step_alone(void) {
    for (unsigned i = 0; i < WAYS; i++) {
        struct request r;
        if (ways[i].length != LONG)
            continue;
        REQUIRE(open_request(&r, &ways[i]));
        r.sections = (struct sections){.progress = dereg_after_first_step, .context = &r};
        begin_sections(&r.sections, &r.v.device->retirement);
        post_request(&r);
        r.sections.over = true;
        REQUIRE(r.waiting.verb != NULL);
        CHECK_EQ(end_waiting(&r.waiting), 0);
        end_sections(&r.sections);
        const struct rvt_wc wc = WC(
            r.a.scq, .wr_id = 1, .qp_num = r.a.qpn, .status = RVT_WC_STATUS_REM_ACCESS_ERR,
            .opcode = ways[i].opcode == RVT_WR_RDMA_READ ? RVT_WC_OPCODE_RDMA_READ : RVT_WC_OPCODE_RDMA_WRITE,
            .byte_len = LONG, .cause = RVT_WHY_REMOTE_REFUSED, .refused.reason = RVT_REVOKED);
        CHECK_EQ(wc.refused.key, r.far_mr.key);
        CHECK_EQ(atomic_load(&r.v.device->engine->context->counters.refused[RVT_REVOKED]), 1);
        CHECK_EQ(state_of(&r.a), RVT_QPS_ERR);
        CHECK_EQ(state_of(&r.b), RVT_QPS_ERR);
        /* The steps that would come after the verb have not moved a byte. */
        for (unsigned k = LONG - STEP; k < LONG; k++) {
            if (changing_bytes(&r)[k]) {
                CHECK_EQ(changing_bytes(&r)[k], 0);
                break;
            }
        }
        CHECK(fixture_dead(r.far_mr.mr));
        AT_REST(r.near_mr);
        verbs_close(&r.v);
    }
}

CHECK_MAIN(TEST(no_byte_moves_after_the_key_was_invalidated), TEST(dereg_waits_for_the_present_step_alone))
