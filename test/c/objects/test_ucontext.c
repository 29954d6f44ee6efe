/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/ucontext.h"

#include "core/access/batch.h"
#include "fixture.h"
#include "waiting.h"

static alignas(4096) unsigned char bytes[8 * PAGE];

static int end(struct fixture *f, bool cascade) {
    return rvt_dealloc_ucontext(f->context, cascade);
}

/* Returns a handle, obtained through `f`, of a domain that another context created. */
static struct rvt_pd_handle attach(struct fixture *f, struct rvt_pd_handle pd) {
    struct rvt_pd_handle attached = {0};
    CHECK_EQ(rvt_attach_pd(f->context, rvt_pd_serial(pd), &attached), 0);
    return attached;
}

static struct rvt_mr_handle mem_reg_in(struct rvt_pd_handle pd) {
    struct rvt_mr_handle mr = {0};
    CHECK_EQ(rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 4, &mr), 0);
    return mr;
}

static struct rvt_mr_handle fmr_in(struct rvt_pd_handle pd) {
    struct rvt_mr_handle mr = {0};
    CHECK_EQ(rvt_alloc_fmr(pd, ALL_ACCESS, &(struct rvt_fmr_attr){4, 1, 12}, &mr), 0);
    return mr;
}

static struct rvt_mr_handle dma_mr_in(struct rvt_pd_handle pd) {
    struct rvt_mr_handle mr = {0};
    CHECK_EQ(rvt_get_dma_mr(pd, 0, &mr), 0);
    return mr;
}

static bool qp_closed(struct rvt_qp_handle qp) {
    return rvt_object_generation(&qp.qp->owned.object) != qp.generation;
}

static bool pd_closed(struct rvt_pd_handle pd) {
    return rvt_object_generation(&pd.pd->owned.object) != pd.generation;
}

static bool dma_closed(struct rvt_dma_handle dma) {
    return rvt_object_generation(&dma.map->owned.object) != dma.generation;
}

static void context_ids_are_unique(void) {
    struct fixture keeper;
    REQUIRE(fixture_open_joined(&keeper, 4));
    CHECK_EQ(keeper.context->id, 1);
    uint64_t last = 1;
    for (int i = 0; i < 20; i++) {
        struct rvt_ucontext *a, *b;
        CHECK_EQ(fixture_contexts(keeper.device), 1);
        REQUIRE(rvt_alloc_ucontext(keeper.device, NULL, &a) == 0 &&
                rvt_alloc_ucontext(keeper.device, NULL, &b) == 0);
        CHECK_EQ(fixture_contexts(keeper.device), 3);
        CHECK_EQ((uintptr_t)a % RVT_CACHE_LINE, 0);
        CHECK_PTR_EQ(a->device, keeper.device);
        CHECK(a->id > last && b->id > a->id);
        CHECK_EQ(rvt_ucontext_live(a), 0);
        CHECK_EQ(rvt_ucontext_id(a), a->id);
        last = b->id;
        /* Deallocated in both orders, which removes from the middle and from the end of the list. */
        CHECK_EQ(rvt_dealloc_ucontext(i % 2 ? a : b, false), 0);
        CHECK_EQ(rvt_ucontext_live(i % 2 ? a : b), -RVT_EBADF);
        CHECK_EQ(rvt_ucontext_live(i % 2 ? b : a), 0);
        CHECK_EQ(rvt_dealloc_ucontext(i % 2 ? b : a, false), 0);
        rvt_free_ucontext(a);
        rvt_free_ucontext(b);
    }
    rvt_free_ucontext(NULL);
    CHECK_EQ(rvt_ucontext_id(NULL), RVT_NO_CONTEXT);
    CHECK(!rvt_ucontext_gone(NULL));
    fixture_leave_last(&keeper, &keeper);
}

static void a_closed_device_allocates_no_context(void) {
    struct fixture f;
    struct rvt_ucontext *context = NULL;
    REQUIRE(fixture_open(&f, 4));
    rvt_dev_get(f.device);
    CHECK_EQ(rvt_mr_exit(f.device, true, NULL), 0);
    long live = rvt_test_alloc_live();
    CHECK_EQ(rvt_alloc_ucontext(f.device, NULL, &context), -RVT_EBADF);
    CHECK(context == NULL);
    CHECK_EQ(rvt_test_alloc_live(), live);
    CHECK_EQ(fixture_contexts(f.device), 0);
    rvt_dev_put(f.device);
    rvt_dev_put(f.device);
    rvt_reader_unregister(f.reader);
    CHECK_EQ(rvt_test_alloc_live(), f.live);
}

static void allocating_a_context_fails_without_memory(void) {
    struct fixture f;
    struct rvt_ucontext *context = NULL;
    REQUIRE(fixture_open(&f, 4));
    uint64_t made = f.device->contexts_made;
    rvt_test_alloc_fail_after(0);
    CHECK_EQ(rvt_alloc_ucontext(f.device, NULL, &context), -RVT_ENOMEM);
    CHECK(rvt_test_alloc_failed());
    rvt_test_alloc_fail_after(-1);
    CHECK(context == NULL);
    CHECK_EQ(fixture_contexts(f.device), 0);
    CHECK_EQ(f.device->contexts_made, made);
    fixture_close(&f);
}

static void objects_belong_to_the_context_of_the_handle(void) {
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_pd_handle through_b = attach(&b, a.pd), nobodys;
    CHECK_PTR_EQ(through_b.pd, a.pd.pd);
    CHECK_EQ(through_b.generation, a.pd.generation);
    CHECK_PTR_EQ(through_b.context, b.context);
    CHECK_EQ(a.pd.pd->owned.context, a.context->id); /* attaching does not change the owner */
    const struct {
        struct rvt_pd_handle pd;
        uint64_t owner;
    } rows[] = {{a.pd, a.context->id}, {through_b, b.context->id}, {b.pd, b.context->id}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rvt_qp_handle qp;
        CHECK_EQ(rvt_create_check_qp(rows[i].pd, &qp), 0);
        CHECK_EQ(qp.qp->owned.context, rows[i].owner);
        CHECK_PTR_EQ(qp.context, rows[i].pd.context);
        CHECK_EQ(fixture_reg_in(rows[i].pd, bytes, PAGE, 0, 0, 0).mr->owned.context, rows[i].owner);
        CHECK_EQ(mem_reg_in(rows[i].pd).mr->owned.context, rows[i].owner);
        CHECK_EQ(fmr_in(rows[i].pd).mr->owned.context, rows[i].owner);
        CHECK_EQ(dma_mr_in(rows[i].pd).mr->owned.context, rows[i].owner);
    }
    CHECK_EQ(fixture_dma(&a, bytes, PAGE, 0x10000).map->owned.context, a.context->id);
    CHECK_EQ(fixture_dma(&b, bytes, PAGE, 0x20000).map->owned.context, b.context->id);
    CHECK_EQ(rvt_alloc_pd(a.device, NULL, false, &nobodys), 0);
    CHECK_EQ(nobodys.pd->owned.context, RVT_NO_CONTEXT);
    CHECK_EQ(mem_reg_in(nobodys).mr->owned.context, RVT_NO_CONTEXT);
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
}

/* Each kind of object alone keeps a context from being deallocated without cascade. */
static void dealloc_without_cascade_is_busy_for_each_kind_of_object(void) {
    enum { A_PD, A_QP, A_USER, A_DMA, A_MEM_REG, A_FMR, A_BUSY_DEREG, AN_AWAITED_DEREG, A_MAPPING, KINDS };
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture a, b;
        REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
        CHECK_EQ(rvt_destroy_qp(b.qp), 0);
        CHECK_EQ(rvt_dealloc_pd(b.pd, false), 0);
        struct rvt_pd_handle pd = attach(&b, a.pd);
        struct rvt_qp_handle qp;
        struct rvt_mr_handle mr = {0};
        struct rvt_dma_handle dma;
        struct rvt_sge sge = {0};
        if (kind == A_PD)
            CHECK_EQ(rvt_alloc_pd(b.device, b.context, true, &pd), 0);
        else if (kind == A_QP)
            CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
        else if (kind == A_DMA)
            mr = dma_mr_in(pd);
        else if (kind == A_MEM_REG)
            mr = mem_reg_in(pd);
        else if (kind == A_FMR)
            mr = fmr_in(pd);
        else if (kind == A_MAPPING)
            dma = fixture_dma(&b, bytes, PAGE, 0x10000);
        else
            mr = fixture_reg_in(pd, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
        if (kind == A_BUSY_DEREG || kind == AN_AWAITED_DEREG) {
            CHECK_EQ(local(&a, &sge, 0x5000, 8, fixture_key(mr), 0), 1);
            CHECK_EQ(rvt_dereg_mr(mr, kind == AN_AWAITED_DEREG ? RVT_RELEASE_AWAIT : RVT_RELEASE),
                     -RVT_EBUSY);
        }
        for (int again = 0; again < 2; again++) {
            CHECK_EQ(end(&b, false), -RVT_EBUSY);
            CHECK_EQ(rvt_ucontext_live(b.context), 0);
            CHECK_EQ(fixture_contexts(a.device), 2);
        }
        /* The refusal changed nothing: the object can be released on its own, and then the context can be
         * deallocated. */
        if (kind == A_PD)
            CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
        else if (kind == A_QP)
            CHECK_EQ(rvt_destroy_qp(qp), 0);
        else if (kind == A_FMR)
            CHECK_EQ(rvt_dealloc_fmr(mr, RVT_RELEASE), 0);
        else if (kind == A_MAPPING)
            CHECK_EQ(rvt_dma_unmap(dma), 0);
        if (kind == A_BUSY_DEREG || kind == AN_AWAITED_DEREG) {
            CHECK_EQ(usable(&a, &sge), RVT_REASON_NONE);
            rvt_put_sge(&sge);
        }
        if (kind == A_BUSY_DEREG || kind == AN_AWAITED_DEREG)
            CHECK_EQ(end(&b, false), -RVT_EBUSY); /* the region is no longer held, but not deregistered yet */
        if (mr.mr && kind != A_FMR)
            CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
        CHECK_EQ(end(&b, false), 0);
        CHECK_EQ(fixture_contexts(a.device), 1);
        fixture_leave(&b);
        fixture_leave_last(&a, &a);
    }
}

/* The objects that one context has on the device, in its own domain and in the other context's domain. */
struct belongings {
    struct rvt_pd_handle pd, theirs;
    struct rvt_qp_handle qp, qp_theirs;
    struct rvt_mr_handle user, user_theirs, mem_reg, mem_reg_theirs, fmr, fmr_theirs, half_dead;
    struct rvt_dma_handle dma;
    struct rvt_sge held, held_theirs, held_half_dead; /* SGEs that the other context holds */
};

static void settle_in(struct fixture *f, struct belongings *own, struct fixture *other, uint64_t at) {
    memset(own, 0, sizeof(*own));
    own->pd = f->pd;
    own->qp = f->qp;
    own->theirs = attach(f, other->pd);
    struct rvt_pd_handle they = attach(other, f->pd);
    CHECK_EQ(rvt_create_check_qp(own->theirs, &own->qp_theirs), 0);
    own->user = fixture_reg(f, bytes, PAGE, at, at, ALL_ACCESS);
    own->user_theirs = fixture_reg_in(own->theirs, bytes, PAGE, at, at, ALL_ACCESS);
    own->half_dead = fixture_reg_in(own->theirs, bytes, PAGE, at, at, ALL_ACCESS);
    own->mem_reg = mem_reg_in(own->pd);
    own->mem_reg_theirs = mem_reg_in(own->theirs);
    own->fmr = fmr_in(own->pd);
    own->fmr_theirs = fmr_in(own->theirs);
    own->dma = fixture_dma(f, bytes, PAGE, at);
    CHECK_EQ(local_in(other, they, &own->held, NULL, at, 8, fixture_key(own->user), 0), 1);
    CHECK_EQ(local(other, &own->held_theirs, at, 8, fixture_key(own->user_theirs), 0), 1);
    CHECK_EQ(local(other, &own->held_half_dead, at, 8, fixture_key(own->half_dead), 0), 1);
    CHECK_EQ(rvt_dereg_mr(own->half_dead, RVT_RELEASE), -RVT_EBUSY);
}

static void put_all(struct belongings *own) {
    rvt_put_sge(&own->held);
    rvt_put_sge(&own->held_theirs);
    rvt_put_sge(&own->held_half_dead);
}

static void cascade_closes_exactly_the_objects_of_the_context(void) {
    struct fixture a, b, c;
    struct belongings as, bs;
    REQUIRE(fixture_open_joined(&a, 6) && fixture_join(&b, a.device) && fixture_join(&c, a.device));
    settle_in(&a, &as, &b, 0x10000);
    settle_in(&b, &bs, &a, 0x20000);
    struct rvt_mr_handle cs = fixture_reg(&c, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    struct rvt_mr_handle c_in_a = fixture_reg_in(attach(&c, a.pd), bytes, PAGE, 0x5000, 0, ALL_ACCESS);
    struct rvt_sge held = {0}, held_in_a = {0};
    CHECK_EQ(local(&c, &held, 0x5000, 8, fixture_key(cs), 0), 1);
    CHECK_EQ(local_in(&c, attach(&c, a.pd), &held_in_a, NULL, 0x5000, 8, fixture_key(c_in_a), 0), 1);

    CHECK_EQ(end(&a, false), -RVT_EBUSY);
    CHECK_EQ(usable(&b, &as.held), RVT_REASON_NONE);
    CHECK_EQ(end(&a, true), 0);

    /* The context's own objects are closed, in every domain: */
    CHECK(pd_closed(as.pd) && qp_closed(as.qp) && qp_closed(as.qp_theirs) && dma_closed(as.dma));
    CHECK(fixture_dead(as.user) && fixture_dead(as.user_theirs) && fixture_dead(as.mem_reg) &&
          fixture_dead(as.mem_reg_theirs) && fixture_dead(as.fmr) && fixture_dead(as.fmr_theirs) &&
          fixture_dead(as.half_dead));
    CHECK_EQ(usable(&b, &as.held), RVT_REGION_REVOKED);
    CHECK_EQ(usable(&b, &as.held_theirs), RVT_REGION_REVOKED);
    CHECK_EQ(usable(&b, &as.held_half_dead), RVT_REGION_REVOKED);
    /* The objects of other contexts in its domain are closed, too: */
    CHECK(qp_closed(bs.qp_theirs) && fixture_dead(bs.user_theirs) && fixture_dead(bs.mem_reg_theirs) &&
          fixture_dead(bs.fmr_theirs) && fixture_dead(bs.half_dead) && fixture_dead(c_in_a));
    CHECK_EQ(usable(&a, &bs.held_theirs), RVT_REGION_REVOKED);
    CHECK_EQ(usable(&a, &bs.held_half_dead), RVT_REGION_REVOKED);
    CHECK_EQ(usable(&c, &held_in_a), RVT_REGION_REVOKED);
    unsigned char out[8];
    struct rvt_copied copied;
    CHECK_EQ(get_bytes(&b, &as.held_theirs, out, 8, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_REGION_REVOKED);
    /* All other objects stay: */
    CHECK(!pd_closed(bs.pd) && !qp_closed(bs.qp) && !dma_closed(bs.dma));
    CHECK(!fixture_dead(bs.user) && !fixture_dead(bs.mem_reg) && !fixture_dead(bs.fmr) && !fixture_dead(cs));
    CHECK_EQ(usable(&a, &bs.held), RVT_REASON_NONE);
    CHECK_EQ(usable(&c, &held), RVT_REASON_NONE);
    CHECK_EQ(b.pd.pd->children, 4); /* children left: its queue pair and three regions */
    CHECK_EQ(fixture_contexts(b.device), 2);
    CHECK_EQ(fixture_head(b.device).used, 4);
    CHECK_EQ(rvt_ucontext_live(b.context), 0);
    struct rvt_sge sge = {0};
    CHECK_EQ(local(&b, &sge, 0x20000, 8, fixture_key(bs.user), LOCAL_WRITE), 1);
    rvt_put_sge(&sge);
    put_all(&as);
    put_all(&bs);
    rvt_put_sge(&held);
    rvt_put_sge(&held_in_a);
    fixture_leave(&a);
    fixture_leave(&c);
    fixture_leave_last(&b, &a);
}

static void pack(unsigned char *at, uint64_t addr, uint32_t length, uint32_t key) {
    memcpy(at, &addr, 8);
    memcpy(at + 8, &length, 4);
    memcpy(at + 12, &key, 4);
}

/* Every verb, check and batch through handles whose context is closed, while the domain stays open. */
static void handles_of_a_closed_context_are_refused(void) {
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_pd_handle pd = attach(&b, a.pd), more;
    struct rvt_qp_handle qp, created;
    CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
    struct rvt_mr_handle mr = fixture_reg(&a, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS), made;
    struct rvt_mr_handle own = mem_reg_in(pd), own_fmr = fmr_in(pd);
    struct rvt_dma_handle dma = fixture_dma(&b, bytes, PAGE, 0x10000);
    struct rvt_device_memory *memory, *another;
    CHECK_EQ(rvt_alloc_device_memory(b.device, b.context, PAGE, false, &memory), 0);
    const uint64_t serial = memory->serial;
    struct rvt_checker by_pd, by_qp, as_pd;
    CHECK(rvt_checker_of_pd(pd, &by_pd) && rvt_checker_of_qp(qp, &by_qp) && rvt_checker_of_pd(a.pd, &as_pd));
    CHECK_PTR_EQ(by_pd.context, b.context);
    CHECK_PTR_EQ(by_qp.context, b.context);
    uint32_t key = fixture_key(mr);

    CHECK_EQ(end(&b, true), 0);
    CHECK(rvt_pd_live(pd) == NULL && rvt_qp_live(qp) == NULL);
    CHECK(!pd_closed(pd)); /* the domain itself is open */
    CHECK_PTR_EQ(rvt_pd_live(a.pd), a.pd.pd);
    CHECK(!rvt_checker_live(&by_pd) && !rvt_checker_live(&by_qp) && rvt_checker_live(&as_pd));

    struct rvt_memory *fixed = rvt_fixed_memory(bytes, PAGE);
    uint64_t address = 0x30000, iova = 0;
    struct rvt_dma_handle mapped;
    struct rvt_sg_outcome outcome;
    struct rvt_sg_element element = {0x10000, PAGE};
    REQUIRE(fixed != NULL);
    CHECK_EQ(rvt_reg_user_mr_test(pd, 0, PAGE, 0), -RVT_EBADF);
    CHECK_EQ(rvt_reg_user_mr(pd, fixed, 0, 0, 0, &made), -RVT_EBADF);
    CHECK_EQ(rvt_get_dma_mr(pd, 0, &made), -RVT_EBADF);
    CHECK_EQ(rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 1, &made), -RVT_EBADF);
    CHECK_EQ(rvt_alloc_fmr(pd, 0, &(struct rvt_fmr_attr){1, 1, 12}, &made), -RVT_EBADF);
    CHECK_EQ(rvt_create_check_qp(pd, &created), -RVT_EBADF);
    CHECK_EQ(rvt_destroy_qp(qp), -RVT_EBADF);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBADF);
    CHECK_EQ(rvt_dealloc_pd(pd, true), -RVT_EBADF);
    CHECK_EQ(rvt_alloc_pd(b.device, b.context, false, &more), -RVT_EBADF);
    CHECK_EQ(rvt_attach_pd(b.context, rvt_pd_serial(a.pd), &more), -RVT_EBADF);
    CHECK_EQ(rvt_dma_map(b.device, b.context, fixed, true, &address, &mapped), -RVT_EBADF);
    CHECK_EQ(rvt_dma_unmap(dma), -RVT_EBADF);
    CHECK_EQ(rvt_alloc_device_memory(b.device, b.context, PAGE, false, &another), -RVT_EBADF);
    CHECK_EQ(rvt_find_device_memory(b.device, b.context, serial, &another), -RVT_EBADF);
    CHECK_EQ(rvt_free_device_memory(b.device, b.context, memory), -RVT_EBADF);
    CHECK_EQ(rvt_fast_reg_mr(qp, mr, key, 0, &iova), -RVT_EBADF);
    CHECK_EQ(rvt_invalidate_rkey(qp, key), -RVT_EBADF);
    CHECK_EQ(rvt_dereg_mr(own, RVT_RELEASE), -RVT_EBADF);
    CHECK_EQ(rvt_dealloc_fmr(own_fmr, RVT_RELEASE), -RVT_EBADF);
    CHECK_EQ(rvt_map_mr_sg(own, &element, 1, 0, PAGE, &outcome), -RVT_EBADF);
    CHECK_EQ(rvt_map_phys_fmr(own_fmr, &address, 1, 0), -RVT_EBADF);
    CHECK_EQ(rvt_unmap_fmr(&own_fmr, 1), -RVT_EBADF);
    CHECK_EQ(rvt_count_mr(own), -RVT_EBADF);

    struct rvt_sge sge = {0};
    struct rvt_place place;
    enum rvt_reason reason;
    struct rvt_ib_sge wanted = {0x5000, 8, key};
    CHECK_EQ(local_in(&b, pd, &sge, NULL, 0x5000, 8, key, 0), -RVT_EINVAL);
    CHECK_EQ(b.reason, RVT_CLOSED);
    CHECK_EQ(remote_in(&b, qp, &sge, 0x5000, 8, key, REMOTE_READ), 0);
    CHECK_EQ(b.reason, RVT_CLOSED);
    read_enter(&b);
    CHECK_EQ(rvt_lkey_check(pd, &wanted, 0, &place, &reason), 0);
    CHECK_EQ(reason, RVT_CLOSED);
    CHECK_EQ(rvt_rkey_check(qp, 8, 0x5000, key, REMOTE_READ, &place, &reason), 0);
    CHECK_EQ(reason, RVT_CLOSED);
    read_leave(&b);
    CHECK(!rvt_checker_of_pd(pd, &(struct rvt_checker){0}) &&
          !rvt_checker_of_qp(qp, &(struct rvt_checker){0}));

    /* Batches with checkers made before the context closed, and with a valid, an invalid and an empty SGE. */
    unsigned char list[3 * 16], data[64] = {0}, before[64];
    uint32_t verdict[3];
    uint64_t at[3];
    pack(list, 0x5000, 8, key);
    pack(list + 16, 0x5000, 8, key ^ 0x100);
    pack(list + 32, 0x5000, 0, key);
    memcpy(before, bytes, sizeof(before));
    for (int side = 0; side < 2; side++) {
        const struct rvt_checker *checker = side ? &by_qp : &by_pd;
        struct rvt_batch batch = {checker, list, 3, side ? REMOTE_READ | REMOTE_WRITE : LOCAL_WRITE,
                                  NULL,    false};
        struct rvt_batch good = {&as_pd, list, 1, LOCAL_WRITE, NULL, false};
        struct rvt_batch_columns verdicts = {.verdict = verdict}, places = {.verdict = verdict, .at = at};
        struct rvt_batch_result result, other;
        struct rvt_sge held[3] = {{0}};
        struct rvt_data_call call;
        for (int way = 0; way < 2; way++) {
            memset(verdict, 0, sizeof(verdict));
            CHECK_EQ(rvt_check_batch(b.reader, &batch, way ? &places : &verdicts, &result), 0);
            CHECK_EQ(result.reason, RVT_CLOSED);
            CHECK_EQ(result.passed + result.first_refused, 0);
            for (int i = 0; i < 3; i++)
                CHECK_EQ(verdict[i], RVT_CLOSED);
        }
        for (uint32_t i = 0; i < 3; i++) {
            struct rvt_batch one = {checker, list + 16 * i, 1, batch.acc, NULL, false};
            CHECK_EQ(rvt_check_one(b.reader, &one), RVT_CLOSED);
        }
        CHECK_EQ(rvt_acquire_batch(b.reader, &batch, true, NULL, held, &places, &result), 0);
        CHECK_EQ(result.reason, RVT_CLOSED);
        CHECK_EQ(rvt_put_sges(held, 3), 0);
        batch.count = 0;
        CHECK_EQ(rvt_acquire_batch(b.reader, &batch, true, NULL, held, &places, &result), 0);
        CHECK_EQ(result.reason, RVT_CLOSED);
        batch.count = 3;
        for (uint32_t i = 0; i < 3; i++) { /* start with each SGE in turn: valid, invalid, empty */
            struct rvt_batch from = {checker, list + 16 * i, 3 - i, batch.acc, NULL, false};
            rvt_data_call_begin(&call, b.reader, NULL);
            CHECK_EQ(rvt_gather_batch(&call, &from, data, sizeof(data), &result), 0);
            CHECK_EQ(result.reason, RVT_CLOSED);
            CHECK_EQ(result.bytes, 0);
            CHECK_EQ(rvt_scatter_batch(&call, &from, data, sizeof(data), &result), 0);
            CHECK_EQ(result.reason, RVT_CLOSED);
            CHECK_EQ(result.bytes, 0);
            CHECK_EQ(rvt_copy_batch(&call, &from, &good, &result, &other), 0);
            CHECK_EQ(result.reason, RVT_CLOSED);
            CHECK_EQ(result.bytes + other.bytes, 0);
            CHECK_EQ(rvt_copy_batch(&call, &good, &from, &result, &other), 0);
            CHECK_EQ(other.reason, RVT_CLOSED);
            CHECK_EQ(result.bytes + other.bytes, 0);
        }
    }
    CHECK_BYTES_EQ(bytes, before, sizeof(before));
    /* None of these calls was counted, neither for context b, which is closed, nor for the device. */
    struct rvt_counts none = {0}, counts = fixture_counts(b.device, b.context);
    CHECK_BYTES_EQ(&counts, &none, sizeof(none));

    /* Context a can use its domain as before. */
    CHECK_EQ(local(&a, &sge, 0x5000, 8, key, LOCAL_WRITE), 1);
    rvt_put_sge(&sge);
    rvt_memory_put(fixed);
    CHECK(!rvt_device_memory_freed(memory));
    CHECK_EQ(rvt_free_device_memory(a.device, a.context, memory), 0);
    rvt_memory_put(&memory->memory);
    fixture_leave(&b);
    fixture_leave_last(&a, &a);
}

static void domains_are_attached_by_serial_number(void) {
    struct fixture a, b, elsewhere;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    REQUIRE(fixture_open_joined(&elsewhere, 4));
    struct rvt_pd_handle user, attached, old;
    struct rvt_mr_handle mr;
    CHECK_EQ(rvt_alloc_pd(a.device, a.context, true, &user), 0);
    CHECK(rvt_pd_serial(user) > rvt_pd_serial(b.pd) && rvt_pd_serial(b.pd) > rvt_pd_serial(a.pd) &&
          rvt_pd_serial(a.pd) > 0);
    CHECK_EQ(rvt_attach_pd(b.context, rvt_pd_serial(user), &attached), 0);
    CHECK_EQ(rvt_get_dma_mr(attached, 0, &mr), -RVT_EPERM); /* an attached user domain stays a user domain */
    attached = attach(&b, a.pd);
    CHECK_EQ(rvt_get_dma_mr(attached, 0, &mr), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    attached = attach(&a, a.pd); /* a context can attach its own domain */
    CHECK_EQ(attached.generation, a.pd.generation);

    static const uint64_t wrong[] = {0, 4, 100, UINT64_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_EQ(rvt_attach_pd(b.context, wrong[i], &attached), -RVT_EINVAL);
    CHECK_EQ(rvt_attach_pd(elsewhere.context, rvt_pd_serial(user), &attached), -RVT_EINVAL);

    /* A serial number is never reused, even when the object is. */
    const uint64_t serial = rvt_pd_serial(user);
    old = attach(&b, user);
    CHECK_EQ(rvt_dealloc_pd(user, false), 0);
    CHECK_EQ(rvt_attach_pd(b.context, serial, &attached), -RVT_EINVAL);
    CHECK_EQ(rvt_alloc_pd(a.device, a.context, false, &attached), 0);
    CHECK_PTR_EQ(attached.pd, user.pd);
    CHECK(rvt_pd_serial(attached) > serial);
    CHECK_EQ(rvt_attach_pd(b.context, serial, &attached), -RVT_EINVAL);
    CHECK(rvt_pd_live(old) == NULL);
    CHECK_EQ(rvt_alloc_mr(old, RVT_MR_TYPE_MEM_REG, 1, &mr), -RVT_EBADF);

    CHECK_EQ(rvt_mr_exit(a.device, true, NULL), 0);
    CHECK_EQ(rvt_attach_pd(b.context, a.pd.pd->owned.serial, &attached), -RVT_EBADF);
    fixture_leave(&a);
    fixture_leave(&b);
    fixture_leave(&elsewhere);
    CHECK_EQ(rvt_test_alloc_live(), a.live);
}

static void the_last_context_closes_the_device(void) {
    for (int cascade = 0; cascade < 2; cascade++) {
        struct fixture a, b;
        REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
        struct rvt_dev_info *device = a.device, *found = NULL;
        struct rvt_share_token token;
        struct rvt_device_memory *memory;
        struct rvt_pd_handle nobodys, more;
        struct rvt_mr_handle mr;
        struct rvt_ucontext *late = NULL;
        CHECK_EQ(rvt_share_device(device, &token), 0);
        CHECK_EQ(rvt_alloc_device_memory(device, a.context, PAGE, false, &memory), 0);
        CHECK_EQ(rvt_alloc_pd(device, NULL, false, &nobodys), 0);
        mr = mem_reg_in(nobodys);
        CHECK_EQ(end(&a, true), 0);
        CHECK_EQ(rvt_find_shared(&token, &found, NULL), 0); /* the device stays open while b uses it */
        rvt_dev_put(found);
        CHECK(!rvt_device_memory_freed(memory));
        CHECK(!fixture_dead(mr));
        if (!cascade) {
            CHECK_EQ(rvt_destroy_qp(b.qp), 0);
            CHECK_EQ(rvt_dealloc_pd(b.pd, false), 0);
        }
        CHECK_EQ(end(&b, cascade), 0);
        CHECK(device->closed);
        CHECK_EQ(rvt_find_shared(&token, &found, NULL), -RVT_ENODEV);
        CHECK(rvt_device_memory_freed(memory));
        CHECK_EQ(atomic_load(&memory->memory.references), 1); /* the reference of this test */
        CHECK(fixture_dead(mr) && rvt_pd_live(nobodys) == NULL);
        CHECK_EQ(rvt_alloc_ucontext(device, NULL, &late), -RVT_EBADF);
        CHECK_EQ(rvt_alloc_pd(device, NULL, false, &more), -RVT_EBADF);
        CHECK_EQ(rvt_share_device(device, &token), -RVT_EBADF);
        CHECK_EQ(rvt_mr_exit(device, true, NULL), -RVT_EBADF);
        CHECK_EQ(rvt_ucontext_live(a.context), -RVT_EBADF);
        rvt_memory_put(&memory->memory);
        fixture_leave(&a);
        fixture_leave_last(&b, &a);
    }
}

static void a_device_can_close_before_its_contexts(void) {
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_mr_handle mr = fixture_reg(&b, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    struct rvt_dma_handle dma = fixture_dma(&b, bytes, PAGE, 0x10000);
    struct rvt_sge sge = {0};
    CHECK_EQ(local(&b, &sge, 0x5000, 8, fixture_key(mr), 0), 1);
    CHECK_EQ(rvt_mr_exit(a.device, false, NULL), -RVT_EBUSY);
    CHECK_EQ(rvt_ucontext_live(b.context), 0);
    CHECK_EQ(rvt_mr_exit(a.device, true, NULL), 0); /* context a closes the device for all */
    CHECK_EQ(rvt_ucontext_live(a.context), -RVT_EBADF);
    CHECK_EQ(rvt_ucontext_live(b.context), -RVT_EBADF);
    CHECK(!rvt_ucontext_gone(b.context));
    CHECK_EQ(fixture_contexts(a.device), 2);
    CHECK(fixture_dead(mr) && dma_closed(dma));
    CHECK_EQ(usable(&b, &sge), RVT_REGION_REVOKED);
    CHECK_EQ(end(&a, false), 0); /* none of its objects is left */
    CHECK_EQ(end(&a, false), -RVT_EBADF);
    CHECK_EQ(end(&a, true), -RVT_EBADF);
    CHECK_EQ(end(&b, true), 0);
    CHECK_EQ(end(&b, true), -RVT_EBADF);
    CHECK_EQ(fixture_contexts(a.device), 0);
    rvt_put_sge(&sge);
    fixture_leave(&b);
    fixture_leave_last(&a, &a);
}

static void device_totals_keep_the_counts_of_closed_contexts(void) {
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_mr_handle mr = fixture_reg(&b, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    struct rvt_place place;
    for (int i = 0; i < 5; i++)
        CHECK_EQ(local_check(&b, &place, 0x5000, 8, fixture_key(mr), 0), 1);
    CHECK_EQ(local_check(&b, &place, 0x5000, PAGE + 1, fixture_key(mr), 0), 0);
    CHECK_EQ(local_check(&a, &place, 0x5000, 8, fixture_key(mr), 0), 0);
    struct rvt_counts all = fixture_counts(a.device, NULL), then;
    CHECK_EQ(all.accepted, 5);
    CHECK_EQ(all.refused[RVT_OUT_OF_BOUNDS], 1);
    CHECK_EQ(all.refused[RVT_WRONG_PD], 1);
    CHECK_EQ(end(&b, false), -RVT_EBUSY); /* a refused call adds nothing to the device's totals */
    then = fixture_counts(a.device, NULL);
    CHECK_BYTES_EQ(&then, &all, sizeof(all));
    CHECK_EQ(end(&b, true), 0);
    then = fixture_counts(a.device, NULL);
    CHECK_BYTES_EQ(&then, &all, sizeof(all));
    CHECK_EQ(end(&b, true), -RVT_EBADF); /* the counters are added to the totals only once */
    then = fixture_counts(a.device, NULL);
    CHECK_BYTES_EQ(&then, &all, sizeof(all));
    then = fixture_counts(a.device, b.context); /* the context's own counters can still be read */
    CHECK_EQ(then.accepted, 5);
    fixture_leave(&b);
    CHECK_EQ(rvt_mr_exit(a.device, true, NULL), 0);
    CHECK_EQ(end(&a, true), 0);
    then = fixture_counts(a.device, NULL);
    CHECK_BYTES_EQ(&then, &all, sizeof(all));
    fixture_leave_last(&a, &a);
}

/* --- calls that wait for readers, and the finalizers' call, which does not --- */

static int end_it(void *context) {
    return rvt_dealloc_ucontext(context, true);
}

static void dealloc_waits_for_readers_of_the_device(void) {
    for (int last = 0; last < 2; last++) {
        struct fixture a, b;
        struct waiting w;
        REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
        struct rvt_mr_handle mr = fixture_reg(&b, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
        if (last)
            CHECK_EQ(end(&a, true), 0);
        read_enter(&a);
        CHECK(begin_waiting(&w, end_it, b.context));
        CHECK(fixture_dead(mr));
        CHECK_EQ(rvt_ucontext_live(b.context), -RVT_EBADF);
        CHECK(rvt_reclaim_pending(&a.device->retirement));
        read_leave(&a);
        CHECK_EQ(end_waiting(&w), 0);
        CHECK(!rvt_reclaim_pending(&a.device->retirement));
        CHECK_EQ(rvt_dealloc_ucontext(b.context, true), -RVT_EBADF);
        fixture_leave(&b);
        fixture_leave_last(&a, &a);
    }
}

static void dropping_a_context_does_not_wait_for_readers(void) {
    struct fixture a, b;
    struct belongings bs;
    REQUIRE(fixture_open_joined(&a, 6) && fixture_join(&b, a.device));
    settle_in(&b, &bs, &a, 0x20000);
    read_enter(&a);
    rvt_drop_ucontext(b.context); /* must not wait, because this thread itself is inside a section */
    CHECK(fixture_dead(bs.user) && fixture_dead(bs.user_theirs) && fixture_dead(bs.fmr) &&
          dma_closed(bs.dma));
    CHECK_EQ(usable(&a, &bs.held), RVT_REGION_REVOKED);
    CHECK_EQ(rvt_ucontext_live(b.context), -RVT_EBADF);
    CHECK(rvt_reclaim_pending(&a.device->retirement));
    rvt_drop_ucontext(b.context); /* dropping a closed context has no effect */
    CHECK_EQ(end(&b, true), -RVT_EBADF);
    read_leave(&a); /* the end of the section frees the retired objects */
    CHECK(!rvt_reclaim_pending(&a.device->retirement));
    put_all(&bs);
    fixture_leave(&b);
    /* Without readers inside, memory is freed at once. */
    REQUIRE(fixture_join(&b, a.device));
    fixture_reg(&b, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    rvt_drop_ucontext(b.context);
    CHECK(!rvt_reclaim_pending(&a.device->retirement));
    fixture_leave(&b);
    /* Dropping the last context closes the device. */
    rvt_drop_ucontext(a.context);
    CHECK(a.device->closed);
    fixture_leave_last(&a, &a);
}

static void count_wakes(void *data) {
    ++*(int *)data;
}

/* Wakes the context that made the region, and no other. */
static void a_put_wakes_the_context_that_made_the_region(void) {
    struct fixture a, b;
    struct rvt_sge sge[4];
    int woken_a = 0, woken_b = 0;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    rvt_on_put(a.context, count_wakes, &woken_a);
    rvt_on_put(b.context, count_wakes, &woken_b);
    struct rvt_mr_handle mr = fixture_reg_in(attach(&b, a.pd), bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(local(&a, &sge[i], 0x5000, 8, fixture_key(mr), 0), 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_AWAIT), -RVT_EBUSY);
    rvt_put_sge(&sge[0]);
    CHECK_EQ(woken_a, 0);
    CHECK_EQ(woken_b, 1);
    rvt_on_put(b.context, NULL, NULL);
    rvt_put_sge(&sge[1]);
    CHECK_EQ(woken_b, 1);
    rvt_on_put(b.context, count_wakes, &woken_b);
    rvt_put_sge(&sge[2]);
    CHECK_EQ(woken_b, 2);
    CHECK_EQ(end(&b, true), 0); /* ends the awaited region, and wakes no context afterwards */
    const int last = woken_b;
    rvt_put_sge(&sge[3]);
    CHECK_EQ(woken_b, last);
    CHECK_EQ(woken_a, 0);
    fixture_leave(&b);
    fixture_leave_last(&a, &a);
}

/* Contexts with objects of all kinds. Any single allocation may fail. */
static void use_two_contexts(void) {
    struct rvt_dev_info *device;
    struct rvt_reader *reader = rvt_reader_register();
    if (!reader || rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 3}, &device)) {
        rvt_reader_unregister(reader);
        return;
    }
    struct rvt_ucontext *context[2] = {NULL, NULL};
    struct rvt_pd_handle pd = {0};
    struct rvt_mr_handle fmr = {0};
    struct rvt_dma_handle dma[2] = {{0}};
    uint64_t address[2] = {0x10000, 0x20000};
    struct rvt_memory *memory = rvt_fixed_memory(bytes, 2 * PAGE);
    struct rvt_device_memory *own = NULL;
    for (int i = 0; i < 2; i++) {
        int error = rvt_alloc_ucontext(device, NULL, &context[i]);
        CHECK(error == 0 || error == -RVT_ENOMEM);
        if (context[i] && memory) {
            error = rvt_dma_map(device, context[i], memory, true, &address[i], &dma[i]);
            CHECK(error == 0 || error == -RVT_ENOMEM);
        }
    }
    if (context[0] && rvt_alloc_pd(device, context[0], false, &pd) == 0 &&
        rvt_alloc_fmr(pd, 0, &(struct rvt_fmr_attr){2, 1, 12}, &fmr) == 0 && dma[0].map && dma[1].map) {
        int error = rvt_map_phys_fmr(fmr, address, 2, 0);
        CHECK(error == 0 || error == -RVT_ENOMEM);
        error = rvt_count_mr(fmr);
        CHECK(error == 0 || error == -RVT_ENOMEM);
    }
    if (context[1]) {
        int error = rvt_alloc_device_memory(device, context[1], PAGE, false, &own);
        CHECK(error == 0 || error == -RVT_ENOMEM);
    }
    for (int i = 1; i >= 0; i--) {
        if (!context[i])
            continue;
        CHECK_EQ(rvt_dealloc_ucontext(context[i], true), 0); /* succeeds even without memory */
        if (i && fmr.mr)
            CHECK_EQ(fixture_query(fmr).length, 0);
        rvt_free_ucontext(context[i]);
    }
    if (!context[0] && !context[1])
        CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
    CHECK(device->closed);
    CHECK(!rvt_reclaim_pending(&device->retirement));
    if (own)
        rvt_memory_put(&own->memory);
    if (memory)
        rvt_memory_put(memory);
    rvt_dev_put(device);
    rvt_reader_unregister(reader);
}

static void contexts_close_cleanly_when_any_allocation_fails(void) {
    long live = rvt_test_alloc_live();
    int failures = 0;
    for (long n = 0;; n++) {
        rvt_test_alloc_fail_after(n);
        use_two_contexts();
        bool failed = rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        CHECK_EQ(rvt_test_alloc_live(), live);
        if (!failed)
            break;
        failures++;
    }
    CHECK(failures > 15);
}

CHECK_MAIN(TEST(context_ids_are_unique), TEST(a_closed_device_allocates_no_context),
           TEST(allocating_a_context_fails_without_memory), TEST(objects_belong_to_the_context_of_the_handle),
           TEST(dealloc_without_cascade_is_busy_for_each_kind_of_object),
           TEST(cascade_closes_exactly_the_objects_of_the_context),
           TEST(handles_of_a_closed_context_are_refused), TEST(domains_are_attached_by_serial_number),
           TEST(the_last_context_closes_the_device), TEST(a_device_can_close_before_its_contexts),
           TEST(device_totals_keep_the_counts_of_closed_contexts),
           TEST(dealloc_waits_for_readers_of_the_device), TEST(dropping_a_context_does_not_wait_for_readers),
           TEST(a_put_wakes_the_context_that_made_the_region),
           TEST(contexts_close_cleanly_when_any_allocation_fails))
