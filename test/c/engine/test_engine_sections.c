/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine's section is bounded also by requests that look at no memory: it ends after at most 4,096 of them, so
 * that a verb that waits for readers does not wait for a whole queue. */
#include "core/engine/engine_qp.h"
#include "sections.h"
#include "verbs.h"

enum { MANY = 3 * RVT_SECTION_ELEMENTS };

static alignas(4096) unsigned char from_bytes[PAGE], to_bytes[PAGE];

static struct verbs v;
static struct vqp a, b;
static struct vmr from, to;

static bool open_long_queues(enum rvt_qp_type type) {
    struct rvt_limits limits = usual_limits();
    limits.of[RVT_LIMIT_MAX_QP_WR] = limits.of[RVT_LIMIT_MAX_CQE] = 2 * MANY;
    struct rvt_qp_init init = {.type = type, .max_send_wr = MANY + 2, .max_recv_wr = MANY + 2};
    if (!verbs_open_with(&v, limits, MANUAL))
        return false;
    init.send_cq = init.recv_cq = make_cq(&v, 2 * MANY);
    a = make_qp_with(&v, v.pd, init);
    init.send_cq = init.recv_cq = make_cq(&v, 2 * MANY);
    b = make_qp_with(&v, v.pd, init);
    connect_qp(&a, b.qpn);
    connect_qp(&b, a.qpn);
    from = make_mr(&v, from_bytes, PAGE);
    to = make_mr(&v, to_bytes, PAGE);
    return true;
}

static uint64_t completions(void *context) {
    (void)context;
    uint64_t sum = 0;
    for (int i = 0; i < RVT_WC_STATUS_COUNT; i++)
        sum += v.device->engine->completions.by_status[i];
    return sum;
}

static uint64_t queued(void *context) {
    (void)context;
    const struct rvt_engine_qp *qp = atomic_load(&a.handle.qp->engine);
    return qp->sq.count;
}

static void post_many(uint32_t num_sge) {
    const struct rvt_ib_sge bytes = sge_at(&from, 0, 8), empty = sge_at(&from, 0, 0);
    static struct rvt_send_wr wrs[MANY];
    uint32_t bad;
    for (uint32_t i = 0; i < MANY; i++)
        wrs[i] = SEND_WR(.wr_id = i, .opcode = RVT_WR_RDMA_WRITE, .sges = i ? &empty : &bytes,
                         .num_sge = i ? num_sge : 1, .remote_addr = to.addr, .rkey = to.key);
    CHECK_EQ(rvt_post_send(a.handle, wrs, MANY, &bad), 0);
}

static uint64_t most_in_section(uint64_t (*progress)(void *), void (*act)(uint32_t), uint32_t argument) {
    struct sections sections = {.progress = progress};
    begin_sections(&sections, &v.device->retirement);
    sections.last = progress(NULL);
    act(argument);
    end_sections(&sections);
    return sections.most;
}

static void run(uint32_t argument) {
    (void)argument;
    CHECK_EQ(rvt_run_engine(v.device), 0);
}

static void empty_requests_are_posted_in_bounded_sections(void) {
    for (uint32_t num_sge = 0; num_sge < 2; num_sge++) {
        REQUIRE(open_long_queues(RVT_QPT_RC));
        CHECK(most_in_section(queued, post_many, num_sge) <= RVT_SECTION_ELEMENTS);
        verbs_close(&v);
    }
}

static void empty_requests_are_carried_out_in_bounded_sections(void) {
    REQUIRE(open_long_queues(RVT_QPT_RC));
    post_many(0);
    CHECK(most_in_section(completions, run, 0) <= RVT_SECTION_ELEMENTS);
    CHECK_EQ(query_cq(a.scq).held, MANY);
    verbs_close(&v);
}

/* A request with memory opens the section and fails; the receives of its queue pair are flushed. */
static void receives_are_flushed_outside_the_section(void) {
    REQUIRE(open_long_queues(RVT_QPT_RC));
    for (uint32_t i = 0; i < MANY; i++)
        CHECK_EQ(post_receive(&a, i, NULL, 0), 0);
    const struct rvt_ib_sge sge = sge_at(&from, 0, 8);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .sges = &sge, .num_sge = 1, .remote_addr = to.addr,
                              .rkey = to.key + 1)),
             0);
    CHECK(most_in_section(completions, run, 0) <= RVT_SECTION_ELEMENTS);
    verbs_close(&v);
}

CHECK_MAIN(TEST(empty_requests_are_posted_in_bounded_sections),
           TEST(empty_requests_are_carried_out_in_bounded_sections),
           TEST(receives_are_flushed_outside_the_section))
