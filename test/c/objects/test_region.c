/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/region.h"

#include "fixture.h"
#include "waiting.h"

static alignas(4096) unsigned char bytes[8 * PAGE];

enum { KINDS = 4 };

struct made {
    struct rvt_mr_handle mr;
    uint32_t key, own; /* own: number of references while no SGE holds the region */
};

/* Creates a region of the given kind that covers 16 bytes at 0x10000. */
static struct made make(struct fixture *f, int kind) {
    struct made made = {.own = 2};
    struct rvt_sg_outcome outcome;
    uint64_t page = 0x10000;
    switch (kind) {
    case RVT_MR_USER:
        made.mr = fixture_reg(f, bytes, PAGE, 0x10000, 0x10000, ALL_ACCESS);
        break;
    case RVT_MR_DMA:
        CHECK_EQ(rvt_get_dma_mr(f->pd, 0, &made.mr), 0);
        made.own = 3;
        break;
    case RVT_MR_MEM_REG:
        made.mr = fixture_mem_reg(f, 4);
        CHECK_EQ(rvt_map_mr_sg(made.mr, &(struct rvt_sg_element){page, PAGE}, 1, 0, PAGE, &outcome), 1);
        CHECK_EQ(rvt_fast_reg_mr(f->qp, made.mr, fixture_key(made.mr), ALL_ACCESS, NULL), 0);
        break;
    default:
        made.mr = fixture_fmr(f, ALL_ACCESS, 4, 12);
        CHECK_EQ(rvt_map_phys_fmr(made.mr, &page, 1, 0x10000), 0);
    }
    made.key = fixture_key(made.mr);
    return made;
}

static int release(int kind, struct rvt_mr_handle mr, enum rvt_release_mode mode) {
    return kind == RVT_MR_FMR ? rvt_dealloc_fmr(mr, mode) : rvt_dereg_mr(mr, mode);
}

/* A release that another thread calls while this thread is inside a section. */
struct ending {
    struct made *made;
    int kind;
    enum rvt_release_mode mode;
};

static int end_it(void *context) {
    struct ending *ending = context;
    return release(ending->kind, ending->made->mr, ending->mode);
}

static bool open_with_dma(struct fixture *f) {
    if (!fixture_open(f, 4))
        return false;
    fixture_dma(f, bytes, sizeof(bytes), 0x10000);
    return true;
}

static int hold(struct fixture *f, const struct made *made, struct rvt_sge *sge) {
    return local(f, sge, 0x10000, 16, made->key, LOCAL_WRITE);
}

/* Checks that the key no longer works, locally or remotely. */
static void check_key_is_revoked(struct fixture *f, const struct made *made) {
    struct rvt_sge sge;
    enum rvt_reason reason = made->key ? RVT_REVOKED : RVT_NO_DMA_REGION;
    CHECK_EQ(local(f, &sge, 0x10000, 16, made->key, 0), -RVT_EINVAL);
    CHECK_EQ(f->reason, reason);
    CHECK_EQ(remote(f, &sge, 0x10000, 16, made->key, REMOTE_READ), 0);
    CHECK_EQ(f->reason, reason);
}

static void checks_take_and_puts_drop_references(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        struct rvt_sge a, b, c;
        REQUIRE(open_with_dma(&f));
        struct made made = make(&f, kind);
        CHECK_EQ(fixture_refs(made.mr), made.own);
        CHECK_EQ(hold(&f, &made, &a), 1);
        CHECK_EQ(fixture_refs(made.mr), made.own + 1);
        CHECK_EQ(remote(&f, &b, 0x10000, 16, made.key, REMOTE_READ), 1);
        CHECK_EQ(fixture_refs(made.mr), made.own + 2);
        /* A refused check takes no reference. */
        CHECK_EQ(local(&f, &c, 0x10000, 8 * PAGE + 1, made.key, 0), -RVT_EINVAL);
        CHECK_EQ(remote(&f, &c, 0xfffff0000, 1, made.key, REMOTE_READ), 0);
        CHECK_EQ(fixture_refs(made.mr), made.own + 2);
        rvt_put_sge(&a);
        CHECK_EQ(fixture_refs(made.mr), made.own + 1);
        rvt_put_sge(&a); /* the SGE was put already: no effect */
        CHECK_EQ(fixture_refs(made.mr), made.own + 1);
        rvt_put_sge(&b);
        CHECK_EQ(fixture_refs(made.mr), made.own);
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE), 0);
        CHECK(fixture_dead(made.mr));
        check_key_is_revoked(&f, &made);
        fixture_close(&f);
    }
}

static void releasing_a_held_region_is_busy_until_the_last_put(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        struct rvt_sge a, b;
        unsigned char out[16];
        struct rvt_copied copied;
        REQUIRE(open_with_dma(&f));
        struct made made = make(&f, kind);
        CHECK_EQ(hold(&f, &made, &a), 1);
        CHECK_EQ(hold(&f, &made, &b), 1);
        uint32_t used = fixture_head(f.device).used;
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE), -RVT_EBUSY);
        CHECK_EQ(fixture_refs(made.mr), 3); /* two held SGEs, plus one for the region itself */
        CHECK(fixture_query(made.mr).half_dead);
        check_key_is_revoked(&f, &made);
        /* The region's slot in the key table is already free. */
        CHECK_EQ(fixture_head(f.device).used, used - (made.key != 0));
        /* SGEs that hold the region can still be used. */
        CHECK_EQ(usable(&f, &a), RVT_REASON_NONE);
        CHECK_EQ(get_bytes(&f, &a, out, 16, &copied), 0);
        /* Releasing again changes nothing, not even for a DMA region. */
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE), -RVT_EBUSY);
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE), -RVT_EBUSY);
        CHECK_EQ(fixture_refs(made.mr), 3);
        rvt_put_sge(&a);
        CHECK_EQ(fixture_refs(made.mr), 2);
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE), -RVT_EBUSY);
        CHECK_EQ(fixture_refs(made.mr), 2);
        rvt_put_sge(&b);
        CHECK(!fixture_dead(made.mr)); /* the last put does not free the region; it must be released again */
        CHECK_EQ(fixture_refs(made.mr), 1);
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE), 0);
        CHECK(fixture_dead(made.mr));
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE), -RVT_EBADF);
        fixture_close(&f);
    }
}

static void a_released_but_held_region_cannot_be_changed(void) {
    struct fixture f;
    struct rvt_sge sge[3];
    struct rvt_sg_outcome outcome;
    uint64_t page = 0x11000;
    REQUIRE(open_with_dma(&f));
    struct made sg = make(&f, RVT_MR_MEM_REG), fmr = make(&f, RVT_MR_FMR), user = make(&f, RVT_MR_USER);
    CHECK_EQ(hold(&f, &sg, &sge[0]), 1);
    CHECK_EQ(hold(&f, &fmr, &sge[1]), 1);
    CHECK_EQ(hold(&f, &user, &sge[2]), 1);
    CHECK_EQ(rvt_dereg_mr(sg.mr, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_fmr(fmr.mr, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(rvt_dereg_mr(user.mr, RVT_RELEASE), -RVT_EBUSY);

    /* Their slots go to other regions, which must not change through the old handles. */
    struct rvt_mr_handle others[16];
    for (int i = 0; i < 16; i++)
        others[i] = fixture_reg(&f, bytes, PAGE, 0x10000, 0x10000, ALL_ACCESS);
    for (int put = 0; put < 2; put++) {
        CHECK_EQ(rvt_map_mr_sg(sg.mr, &(struct rvt_sg_element){page, PAGE}, 1, 0, PAGE, &outcome),
                 -RVT_EINVAL);
        CHECK_EQ(rvt_fast_reg_mr(f.qp, sg.mr, sg.key | 1, ALL_ACCESS, NULL), -RVT_EINVAL);
        CHECK_EQ(rvt_map_phys_fmr(fmr.mr, &page, 1, 0x10000), -RVT_EBUSY);
        /* Refused before the page list is checked. */
        CHECK_EQ(rvt_map_phys_fmr(fmr.mr, &page, 1000, 0x10000), -RVT_EBUSY);
        CHECK_EQ(rvt_unmap_fmr(&fmr.mr, 1), -RVT_EBUSY);
        CHECK_EQ(rvt_invalidate_rkey(f.qp, sg.key), -RVT_EINVAL);
        for (int i = 0; i < 3 && !put; i++) {
            CHECK_EQ(usable(&f, &sge[i]), RVT_REASON_NONE);
            rvt_put_sge(&sge[i]); /* the region is no longer held, but not deregistered yet */
        }
    }
    for (int i = 0; i < 16; i++) {
        struct rvt_sge other;
        CHECK_EQ(local(&f, &other, 0x10000, PAGE, fixture_key(others[i]), LOCAL_WRITE), 1);
        rvt_put_sge(&other);
    }
    CHECK_EQ(rvt_dereg_mr(sg.mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dealloc_fmr(fmr.mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dereg_mr(user.mr, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void count_wakes(void *data) {
    atomic_fetch_add((atomic_int *)data, 1);
}

/* RVT_RELEASE_AWAIT works like RVT_RELEASE, and each put also wakes the context that made the region. */
static void an_awaited_release_wakes_the_context_at_each_put(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        struct rvt_sge a, b, c;
        atomic_int wakes = 0;
        REQUIRE(fixture_open_joined(&f, 4));
        fixture_dma(&f, bytes, sizeof(bytes), 0x10000);
        rvt_on_put(f.context, count_wakes, &wakes);
        struct made made = make(&f, kind);
        /* No SGE holds the region, so it ends at once. */
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE_AWAIT), 0);
        CHECK(fixture_dead(made.mr));
        made = make(&f, kind);
        CHECK_EQ(hold(&f, &made, &a), 1);
        CHECK_EQ(hold(&f, &made, &b), 1);
        CHECK_EQ(hold(&f, &made, &c), 1);
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE), -RVT_EBUSY);
        atomic_store(&wakes, 0);
        rvt_put_sge(&c); /* no context awaits the region yet */
        CHECK_EQ(atomic_load(&wakes), 0);
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE_AWAIT), -RVT_EBUSY);
        check_key_is_revoked(&f, &made);
        CHECK(fixture_query(made.mr).half_dead);
        CHECK_EQ(usable(&f, &a), RVT_REASON_NONE); /* SGEs can still be used */
        CHECK_EQ(atomic_load(&wakes), 0);
        rvt_put_sge(&a);
        CHECK_EQ(atomic_load(&wakes), 1);
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE_AWAIT), -RVT_EBUSY);
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE),
                 -RVT_EBUSY); /* a release without waiting does not cancel the wait */
        rvt_put_sge(&b);
        CHECK_EQ(atomic_load(&wakes), 2);
        CHECK(!fixture_dead(made.mr)); /* the waiter must release the region again */
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE), 0);
        CHECK(fixture_dead(made.mr));

        /* Whatever else releases the region must wake the waiter, so that it does not wait forever. */
        for (int how = 0; how < 2; how++) {
            made = make(&f, kind);
            CHECK_EQ(hold(&f, &made, &a), 1);
            CHECK_EQ(release(kind, made.mr, RVT_RELEASE_AWAIT), -RVT_EBUSY);
            atomic_store(&wakes, 0);
            if (how) {
                CHECK_EQ(rvt_destroy_qp(f.qp), 0);
                CHECK_EQ(rvt_dealloc_pd(f.pd, true), 0);
            } else {
                CHECK_EQ(release(kind, made.mr, RVT_RELEASE_FORCE), 0);
            }
            CHECK_EQ(atomic_load(&wakes), 1);
            CHECK_EQ(usable(&f, &a), RVT_REGION_REVOKED);
            rvt_put_sge(&a);
            CHECK_EQ(atomic_load(&wakes), 1); /* the region is no longer awaited */
        }
        rvt_on_put(f.context, NULL, NULL);
        fixture_leave_last(&f, &f);
    }
}

/* A later region in the same object is not awaited. */
static void a_later_region_in_the_same_object_is_not_awaited(void) {
    struct fixture f;
    struct rvt_sge sge;
    atomic_int wakes = 0;
    REQUIRE(fixture_open_joined(&f, 4));
    rvt_on_put(f.context, count_wakes, &wakes);
    struct rvt_mregion *object = NULL;
    for (int life = 0; life < 3; life++) {
        struct made made = make(&f, RVT_MR_USER);
        CHECK(!object || object == made.mr.mr);
        object = made.mr.mr;
        CHECK_EQ(hold(&f, &made, &sge), 1);
        if (life == 1) {
            rvt_put_sge(&sge);
            CHECK_EQ(rvt_dereg_mr(made.mr, RVT_RELEASE), 0);
            CHECK_EQ(atomic_load(&wakes), 0);
            continue;
        }
        CHECK_EQ(rvt_dereg_mr(made.mr, RVT_RELEASE_AWAIT), -RVT_EBUSY);
        CHECK_EQ(atomic_load(&f.device->watched), 1);
        rvt_put_sge(&sge);
        CHECK_EQ(rvt_dereg_mr(made.mr, RVT_RELEASE), 0);
        CHECK_EQ(atomic_load(&f.device->watched), 0);
        atomic_store(&wakes, 0);
    }
    fixture_leave_last(&f, &f);
}

/* Every release waits for readers inside. Meanwhile the region has no key, but its handle still finds it,
 * unless it was released by force. */
static void every_release_waits_for_readers(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        for (int mode = RVT_RELEASE; mode <= RVT_RELEASE_FORCE; mode++) {
            for (int renewed = 0; renewed < 2; renewed++) {
                struct fixture f;
                struct waiting w;
                REQUIRE(open_with_dma(&f));
                struct made made = make(&f, kind);
                struct ending ending = {&made, kind, (enum rvt_release_mode)mode};
                read_enter(&f);
                CHECK(begin_waiting(&w, end_it, &ending));
                CHECK_EQ(fixture_dead(made.mr), mode == RVT_RELEASE_FORCE);
                CHECK(mode == RVT_RELEASE_FORCE || fixture_query(made.mr).half_dead);
                check_key_is_revoked(&f, &made);
                if (renewed)
                    rvt_read_renew(f.reader, &f.device->retirement);
                else
                    read_leave(&f);
                /* The release returns even if the reader is in its next section. */
                CHECK_EQ(end_waiting(&w), 0);
                CHECK(fixture_dead(made.mr));
                CHECK(!rvt_reclaim_pending(&f.device->retirement));
                if (renewed)
                    read_leave(&f);
                fixture_close(&f);
            }
        }
    }
}

/* Two releases wait for the same readers. One releases the region, the other finds it released. */
static void two_releases_at_once_both_succeed(void) {
    struct fixture f;
    struct waiting w[2];
    REQUIRE(open_with_dma(&f));
    for (int mode = RVT_RELEASE; mode <= RVT_RELEASE_FORCE; mode++) {
        struct made made = make(&f, RVT_MR_USER);
        struct ending first = {&made, RVT_MR_USER, RVT_RELEASE}, second = {&made, RVT_MR_USER, mode};
        read_enter(&f);
        CHECK(begin_waiting(&w[0], end_it, &first));
        CHECK(begin_waiting(&w[1], end_it, &second));
        read_leave(&f);
        CHECK_EQ(end_waiting(&w[0]), 0);
        CHECK_EQ(end_waiting(&w[1]), 0);
        CHECK(fixture_dead(made.mr));
    }
    fixture_close(&f);
}

static void a_forced_release_ends_a_held_region(void) {
    static const enum rvt_release_mode before[] = {RVT_RELEASE_FORCE, RVT_RELEASE, RVT_RELEASE_AWAIT};
    for (int kind = 0; kind < KINDS; kind++) {
        for (int first = 0; first < 3; first++) {
            struct fixture f;
            struct rvt_sge a, b;
            unsigned char out[16] = "unchanged bytes";
            struct rvt_copied copied;
            REQUIRE(open_with_dma(&f));
            struct made made = make(&f, kind);
            CHECK_EQ(hold(&f, &made, &a), 1);
            CHECK_EQ(hold(&f, &made, &b), 1);
            if (before[first] != RVT_RELEASE_FORCE)
                release(kind, made.mr, before[first]);
            CHECK_EQ(release(kind, made.mr, RVT_RELEASE_FORCE), 0);
            CHECK(fixture_dead(made.mr)); /* the region ends at once, although SGEs hold it */
            check_key_is_revoked(&f, &made);
            CHECK_EQ(usable(&f, &a), RVT_REGION_REVOKED);
            CHECK_EQ(get_bytes(&f, &a, out, 16, &copied), -RVT_EACCES);
            CHECK_EQ(copied.reason, RVT_REGION_REVOKED);
            CHECK_EQ(put_bytes(&f, &b, out, 16, &copied), -RVT_EACCES);
            CHECK_EQ(copied.reason, RVT_REGION_REVOKED);
            CHECK_BYTES_EQ(out, "unchanged bytes", 16);
            CHECK_EQ(release(kind, made.mr, RVT_RELEASE_FORCE), -RVT_EBADF);
            /* SGEs of the old region must not affect the next one. */
            struct made next = make(&f, kind);
            struct rvt_sge c;
            CHECK_EQ(hold(&f, &next, &c), 1);
            CHECK(next.mr.mr != made.mr.mr);
            CHECK(made.mr.mr->lingering);
            rvt_put_sge(&a);
            CHECK(made.mr.mr->lingering);
            CHECK_EQ(atomic_load(&f.device->watched), 1);
            rvt_put_sge(&b); /* the last put recycles the object */
            CHECK(!made.mr.mr->lingering);
            CHECK_EQ(atomic_load(&f.device->watched), 0);
            CHECK_EQ(fixture_refs(next.mr), next.own + 1);
            CHECK_EQ(usable(&f, &c), RVT_REASON_NONE);
            rvt_put_sge(&c);
            CHECK_EQ(release(kind, next.mr, RVT_RELEASE), 0);
            /* Both objects can be reused. */
            struct rvt_mregion *objects[] = {make(&f, kind).mr.mr, make(&f, kind).mr.mr};
            for (int i = 0; i < 2; i++)
                CHECK(objects[i] == made.mr.mr || objects[i] == next.mr.mr);
            fixture_close(&f);
        }
    }
}

static void a_forced_release_works_without_holders(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        REQUIRE(open_with_dma(&f));
        struct made made = make(&f, kind);
        CHECK_EQ(release(kind, made.mr, RVT_RELEASE_FORCE), 0);
        CHECK(fixture_dead(made.mr));
        fixture_close(&f);
    }
}

static void objects_are_reused_after_every_kind_of_release(void) {
    /* Objects are reused after every kind of release, so many regions need the memory of few. */
    struct fixture f;
    REQUIRE(open_with_dma(&f));
    for (int warm = 0; warm < 2; warm++) {
        long live = rvt_test_alloc_live();
        for (int i = 0; i < 500; i++) {
            struct rvt_sge sge;
            struct made made = make(&f, i % KINDS);
            CHECK_EQ(hold(&f, &made, &sge), 1);
            switch (i / KINDS % 4) {
            case 0:
                rvt_put_sge(&sge);
                CHECK_EQ(release(i % KINDS, made.mr, RVT_RELEASE), 0);
                break;
            case 1:
                CHECK_EQ(release(i % KINDS, made.mr, RVT_RELEASE_AWAIT), -RVT_EBUSY);
                rvt_put_sge(&sge);
                CHECK_EQ(release(i % KINDS, made.mr, RVT_RELEASE_AWAIT), 0);
                break;
            case 2:
                CHECK_EQ(release(i % KINDS, made.mr, RVT_RELEASE_FORCE), 0);
                rvt_put_sge(&sge);
                break;
            default:
                CHECK_EQ(release(i % KINDS, made.mr, RVT_RELEASE), -RVT_EBUSY);
                rvt_put_sge(&sge);
                CHECK_EQ(release(i % KINDS, made.mr, RVT_RELEASE), 0);
            }
        }
        if (warm)
            CHECK_EQ(rvt_test_alloc_live(), live);
    }
    fixture_close(&f);
}

static void a_second_dma_region_is_not_used_by_key_zero(void) {
    struct fixture f;
    struct rvt_mr_handle first, second, third;
    struct rvt_sge sge;
    REQUIRE(open_with_dma(&f));
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &first), 0);
    CHECK_EQ(rvt_get_dma_mr(f.other_pd, ALL_ACCESS, &second), 0);
    /* Key 0 uses the first region, in every domain. */
    CHECK_EQ(local_in(&f, f.other_pd, &sge, NULL, 0x10000, 16, 0, 0), 1);
    CHECK_PTR_EQ(sge.mr, first.mr);
    CHECK_EQ(fixture_refs(first), 4);
    CHECK_EQ(fixture_refs(second), 2);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dereg_mr(first, RVT_RELEASE), 0);
    /* The second DMA region does not replace the first: key 0 no longer works. */
    CHECK_EQ(local_in(&f, f.other_pd, &sge, NULL, 0x10000, 16, 0, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_NO_DMA_REGION);
    CHECK_EQ(fixture_refs(second), 2);
    /* A third DMA region is published, because the published one was deregistered. */
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &third), 0);
    CHECK_EQ(fixture_refs(third), 3);
    CHECK_EQ(local(&f, &sge, 0x10000, 16, 0, 0), 1);
    CHECK_PTR_EQ(sge.mr, third.mr);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dereg_mr(second, RVT_RELEASE), 0); /* does not affect the third region */
    CHECK_EQ(local(&f, &sge, 0x10000, 16, 0, 0), 1);
    CHECK_EQ(rvt_dereg_mr(third, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(fixture_refs(third), 2);
    /* While a released region is still held, a new one can be published. */
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &first), 0);
    CHECK_EQ(fixture_refs(first), 3);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dereg_mr(third, RVT_RELEASE), 0);
    CHECK_EQ(local(&f, &sge, 0x10000, 16, 0, 0), 1);
    CHECK_PTR_EQ(sge.mr, first.mr);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* --- when a region releases its memory --- */

struct watched {
    struct rvt_memory memory;
    atomic_int released;
};

static enum rvt_reason watched_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)memory, (void)environment;
    *data = bytes;
    return RVT_REASON_NONE;
}

static void watched_release(struct rvt_memory *memory) {
    ((struct watched *)memory)->released++;
}

static const struct rvt_memory_ops watched_ops = {watched_resolve, watched_release, NULL};

static struct rvt_mr_handle reg_watched(struct fixture *f, struct watched *watched) {
    struct rvt_mr_handle mr = {0};
    atomic_store(&watched->released, 0);
    rvt_memory_init(&watched->memory, &watched_ops, PAGE);
    CHECK_EQ(rvt_reg_user_mr(f->pd, &watched->memory, 0x10000, 0x10000, ALL_ACCESS, &mr), 0);
    rvt_memory_put(&watched->memory);
    CHECK_EQ(atomic_load(&watched->released), 0);
    return mr;
}

static void memory_is_released_with_its_region(void) {
    struct fixture f;
    struct watched watched;
    struct rvt_sge sge;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = reg_watched(&f, &watched);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(atomic_load(&watched.released), 1);

    mr = reg_watched(&f, &watched);
    CHECK_EQ(local(&f, &sge, 0x10000, 16, fixture_key(mr), 0), 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    rvt_put_sge(&sge);
    CHECK_EQ(atomic_load(&watched.released), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(atomic_load(&watched.released), 1);

    mr = reg_watched(&f, &watched);
    CHECK_EQ(local(&f, &sge, 0x10000, 16, fixture_key(mr), 0), 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_AWAIT), -RVT_EBUSY);
    rvt_put_sge(&sge);
    CHECK_EQ(atomic_load(&watched.released), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_AWAIT), 0);
    CHECK_EQ(atomic_load(&watched.released), 1);

    /* A forced release releases the memory at once, although an SGE holds the region. */
    mr = reg_watched(&f, &watched);
    CHECK_EQ(local(&f, &sge, 0x10000, 16, fixture_key(mr), 0), 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), 0);
    CHECK_EQ(atomic_load(&watched.released), 1);
    rvt_put_sge(&sge);
    CHECK_EQ(atomic_load(&watched.released), 1);

    /* A forced release does not release the memory while a reader is inside. */
    mr = reg_watched(&f, &watched);
    struct made made = {.mr = mr};
    struct ending ending = {&made, RVT_MR_USER, RVT_RELEASE_FORCE};
    struct waiting w;
    read_enter(&f);
    CHECK(begin_waiting(&w, end_it, &ending));
    CHECK_EQ(atomic_load(&watched.released), 0);
    read_leave(&f);
    CHECK_EQ(end_waiting(&w), 0);
    CHECK_EQ(atomic_load(&watched.released), 1);

    mr = reg_watched(&f, &watched);
    CHECK_EQ(rvt_dealloc_pd(f.pd, true), 0);
    CHECK_EQ(atomic_load(&watched.released), 1);
    fixture_close(&f);
}

static void sges_become_unusable_only_when_the_mapping_changes(void) {
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_map *map;
    struct rvt_sg_outcome outcome;
    REQUIRE(open_with_dma(&f));
    struct made sg = make(&f, RVT_MR_MEM_REG), fmr = make(&f, RVT_MR_FMR);

    CHECK_EQ(hold(&f, &sg, &sge), 1);
    read_enter(&f);
    CHECK_EQ(rvt_mr_usable(sge.mr, sge.map_generation, &map), RVT_REASON_NONE);
    CHECK(map != NULL);
    CHECK_EQ(map->generation, sge.map_generation);
    read_leave(&f);
    /* Mapping the same list again makes a new mapping. */
    CHECK_EQ(rvt_map_mr_sg(sg.mr, &(struct rvt_sg_element){0x10000, PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(usable(&f, &sge), RVT_REMAPPED);
    CHECK_EQ(fixture_refs(sg.mr), 3); /* the SGE still holds the region, but cannot be used */
    rvt_put_sge(&sge);

    CHECK_EQ(hold(&f, &fmr, &sge), 1);
    CHECK_EQ(rvt_unmap_fmr(&fmr.mr, 1), 0);
    CHECK_EQ(usable(&f, &sge), RVT_REMAPPED);
    rvt_put_sge(&sge);

    /* A new key, new rights and an invalidation keep the mapping, so older SGEs stay usable. */
    CHECK_EQ(hold(&f, &sg, &sge), 1);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, sg.mr, sg.key | 7, 0, NULL), 0);
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, sg.key | 7), 0);
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* --- taking a reference, step by step: what a reader sees when the writer is interrupted --- */

struct mapping {
    struct rvt_mr_handle fmr;
    uint64_t page, iova;
};

static int map_it(void *context) {
    const struct mapping *mapping = context;
    return rvt_map_phys_fmr(mapping->fmr, &mapping->page, 1, mapping->iova);
}

static void a_reference_is_taken_only_under_the_mapping_that_was_read(void) {
    struct fixture f;
    struct rvt_lkey_entry entry = {0};
    struct waiting w;
    REQUIRE(open_with_dma(&f));
    struct made fmr = make(&f, RVT_MR_FMR);
    struct rvt_lkey_record *record = rvt_lkey_record(&f.device->lkey_table, fmr.key);
    struct mapping mapping = {fmr.mr, 0x11000, 0x20000};
    read_enter(&f);
    uint64_t sequence = rvt_record_read(&f.device->lkey_table, record, fmr.key, &entry);
    /* The region is mapped again after the record was read: no reference is taken, and reading again shows
     * the new mapping. */
    CHECK(begin_waiting(&w, map_it, &mapping));
    CHECK_EQ(rvt_mr_acquire(record, sequence, entry.map), RVT_RETRY);
    CHECK_EQ(fixture_refs(fmr.mr), 2);
    sequence = rvt_record_read(&f.device->lkey_table, record, fmr.key, &entry);
    CHECK_EQ(entry.base, 0x20000);
    CHECK_EQ(rvt_mr_acquire(record, sequence, entry.map), RVT_ACQUIRED);
    CHECK_EQ(fixture_refs(fmr.mr), 3);
    rvt_put_mr(fmr.mr.mr);
    rvt_read_renew(f.reader, &f.device->retirement);
    CHECK_EQ(end_waiting(&w), 0);
    /* The key is revoked after the record was read: no reference is taken. */
    struct ending ending = {&fmr, RVT_MR_FMR, RVT_RELEASE};
    sequence = rvt_record_read(&f.device->lkey_table, record, fmr.key, &entry);
    CHECK(begin_waiting(&w, end_it, &ending));
    CHECK_EQ(rvt_mr_acquire(record, sequence, entry.map), RVT_RETRY);
    rvt_record_read(&f.device->lkey_table, record, fmr.key, &entry);
    CHECK_EQ(entry.key, 0);
    read_leave(&f);
    CHECK_EQ(end_waiting(&w), 0);
    fixture_close(&f);
}

/* The region's word holds the low 29 bits of the mapping generation, which repeat after 2^29 mappings. Even
 * then no reference may be taken under the old mapping. */
static void no_reference_is_taken_when_mapping_generations_wrap(void) {
    struct fixture f;
    struct rvt_lkey_entry entry = {0};
    struct waiting w;
    REQUIRE(open_with_dma(&f));
    struct made fmr = make(&f, RVT_MR_FMR);
    struct rvt_lkey_record *record = rvt_lkey_record(&f.device->lkey_table, fmr.key);
    struct mapping mapping = {fmr.mr, 0x11000, 0x20000};
    read_enter(&f);
    uint64_t sequence = rvt_record_read(&f.device->lkey_table, record, fmr.key, &entry);
    f.device->map_generation = entry.map->generation + (UINT64_C(1) << 29);
    CHECK(begin_waiting(&w, map_it, &mapping));
    CHECK_EQ(rvt_mr_acquire(record, sequence, entry.map), RVT_RETRY);
    CHECK_EQ(fixture_refs(fmr.mr), 2);
    read_leave(&f);
    CHECK_EQ(end_waiting(&w), 0);
    fixture_close(&f);
}

/* Does the first steps of a mapping by hand, like a writer that is interrupted then. The old mapping accepts
 * no references any more, so a check must use the new one, and the SGE it accepts must be usable. */
static void checks_do_not_wait_for_an_interrupted_mapping(void) {
    struct fixture f;
    struct rvt_lkey_entry entry = {0};
    struct rvt_sge sge;
    struct rvt_copied copied;
    unsigned char out[16];
    REQUIRE(open_with_dma(&f));
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i / PAGE);
    struct made fmr = make(&f, RVT_MR_FMR);
    struct rvt_mregion *mr = fmr.mr.mr;
    struct rvt_lkey_record *record = rvt_lkey_record(&f.device->lkey_table, fmr.key);
    struct rvt_map *old = rvt_mr_map(mr), *new = rvt_map_list(mr, 1, false);
    REQUIRE(new != NULL);
    new->addresses[0] = 0x13000;
    new->mapping = old->mapping;
    rvt_mr_entry(mr, &entry);
    entry.map = new;
    entry.base = entry.iova = 0x20000;
    rvt_record_stage(&f.device->lkey_table, record, &entry);
    CHECK_EQ(hold(&f, &fmr, &sge), 1); /* the old mapping still accepts references */
    rvt_put_sge(&sge);
    atomic_store(&mr->staged, new);
    atomic_store(&mr->word, new->generation << RVT_MR_MAP_SHIFT);

    CHECK_EQ(local(&f, &sge, 0x10000, 16, fmr.key, LOCAL_WRITE), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    CHECK_EQ(remote(&f, &sge, 0x20000, 16, fmr.key, REMOTE_READ), 1);
    CHECK_EQ(get_bytes(&f, &sge, out, 16, &copied), 0);
    CHECK_EQ(out[0], 3);
    CHECK_EQ(out[15], 3);

    /* The writer continues. */
    atomic_store(&mr->map, new);
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    atomic_store(&mr->staged, NULL);
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    rvt_record_flip(record);
    rvt_record_settle(record, &entry);
    mr->base = mr->iova = mr->visible_iova = 0x20000;
    rvt_map_discard(old); /* no reader is inside, so the old map can be freed */
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_map_phys_fmr(fmr.mr, &(uint64_t){0x10000}, 1, 0x10000), 0);
    CHECK_EQ(hold(&f, &fmr, &sge), 1);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* --- the last put and a release at the same time --- */

enum { RACES = 2000 };

struct race {
    pthread_barrier_t start, end;
    struct rvt_sge sge[2];
    struct rvt_mr_handle mr;
    enum rvt_release_mode mode;
};

static void *put_first(void *argument) {
    struct race *race = argument;
    for (int i = 0; i < RACES; i++) {
        pthread_barrier_wait(&race->start);
        rvt_put_sge(&race->sge[0]);
        pthread_barrier_wait(&race->end);
    }
    return NULL;
}

static void *put_second(void *argument) {
    struct race *race = argument;
    for (int i = 0; i < RACES; i++) {
        pthread_barrier_wait(&race->start);
        rvt_put_sge(&race->sge[1]);
        pthread_barrier_wait(&race->end);
    }
    return NULL;
}

static void the_last_put_can_race_with_a_release(void) {
    struct fixture f;
    static struct race race;
    pthread_t threads[2];
    REQUIRE(open_with_dma(&f));
    REQUIRE(pthread_barrier_init(&race.start, NULL, 3) == 0);
    REQUIRE(pthread_barrier_init(&race.end, NULL, 3) == 0);
    REQUIRE(pthread_create(&threads[0], NULL, put_first, &race) == 0);
    REQUIRE(pthread_create(&threads[1], NULL, put_second, &race) == 0);
    for (int i = 0; i < RACES; i++) {
        struct made made = make(&f, i % KINDS);
        CHECK_EQ(hold(&f, &made, &race.sge[0]), 1);
        CHECK_EQ(hold(&f, &made, &race.sge[1]), 1);
        enum rvt_release_mode mode = (enum rvt_release_mode)(i / KINDS % 3);
        if (i / 16 % 2)
            CHECK_EQ(release(i % KINDS, made.mr, RVT_RELEASE_AWAIT), -RVT_EBUSY);
        pthread_barrier_wait(&race.start);
        int error = release(i % KINDS, made.mr, mode);
        pthread_barrier_wait(&race.end);
        CHECK(error == 0 || (error == -RVT_EBUSY && mode != RVT_RELEASE_FORCE));
        if (error)
            CHECK_EQ(release(i % KINDS, made.mr, RVT_RELEASE), 0);
        CHECK(fixture_dead(made.mr)); /* whichever of the two ran first */
        CHECK(!made.mr.mr->lingering);
        CHECK_EQ(atomic_load(&f.device->watched), 0);
    }
    REQUIRE(pthread_join(threads[0], NULL) == 0);
    REQUIRE(pthread_join(threads[1], NULL) == 0);
    pthread_barrier_destroy(&race.start);
    pthread_barrier_destroy(&race.end);
    fixture_close(&f);
}

/* --- a counted region never takes the fast path, whatever happens to its record --- */

static uint32_t flags_of(struct fixture *f, struct rvt_mr_handle mr) {
    struct rvt_lkey_entry entry = {0};
    const struct rvt_lkey_table *table = &f->device->lkey_table;
    uint32_t key = fixture_key(mr);
    rvt_record_read(table, rvt_lkey_record(table, key), key, &entry);
    CHECK_EQ(entry.key, key);
    CHECK(entry.map && entry.map->mr == mr.mr);
    CHECK_EQ((entry.shape & RVT_SHAPE_ONE_WORD) != 0, mr.mr->kind == RVT_MR_FMR);
    return entry.shape & (RVT_SHAPE_VALID | RVT_SHAPE_PLAIN | RVT_SHAPE_COUNTED);
}

static void a_counted_region_stays_counted(void) {
    const uint32_t plain = RVT_SHAPE_VALID | RVT_SHAPE_PLAIN;
    struct fixture f;
    struct rvt_sg_outcome outcome;
    REQUIRE(open_with_dma(&f));
    for (int counted = 0; counted < 2; counted++) {
        const uint32_t good = counted ? RVT_SHAPE_VALID | RVT_SHAPE_COUNTED : plain;
        const uint32_t invalid = counted ? RVT_SHAPE_COUNTED : 0;
        struct rvt_mr_handle user = make(&f, RVT_MR_USER).mr, sg = make(&f, RVT_MR_MEM_REG).mr,
                             fmr = make(&f, RVT_MR_FMR).mr, empty = fixture_mem_reg(&f, 1);
        struct rvt_mr_handle all[] = {user, sg, fmr, empty};
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(flags_of(&f, all[i]), plain);
            struct rvt_mr_attributes was = fixture_query(all[i]);
            if (counted)
                CHECK_EQ(rvt_count_mr(all[i]), 0);
            CHECK_EQ(flags_of(&f, all[i]), good);
            struct rvt_mr_attributes is = fixture_query(all[i]);
            CHECK_EQ(is.start, was.start);
            CHECK_EQ(is.iova, was.iova);
            CHECK_EQ(is.length, was.length);
            CHECK_EQ(is.access, was.access);
            CHECK_EQ(rvt_invalidate_rkey(f.qp, is.keys.rkey), 0);
            CHECK_EQ(flags_of(&f, all[i]), invalid);
        }
        CHECK_EQ(rvt_fast_reg_mr(f.qp, sg, fixture_key(sg) ^ 0x33, REMOTE_READ, &(uint64_t){0x123}), 0);
        CHECK_EQ(flags_of(&f, sg), good);
        CHECK_EQ(rvt_map_mr_sg(sg, &(struct rvt_sg_element){0x11008, 100}, 1, 8, PAGE, &outcome), 1);
        CHECK_EQ(flags_of(&f, sg), good);
        CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x12000, 0x11000}, 2, 0x77), 0);
        CHECK_EQ(flags_of(&f, fmr), invalid); /* mapping does not make the key valid again */
        CHECK_EQ(rvt_unmap_fmr(&fmr, 1), 0);
        CHECK_EQ(flags_of(&f, fmr), invalid);
        struct rvt_place place;
        struct looked last = {.accepted = 0};
        CHECK_EQ(remote_check(&f, &place, 0x11010, 1, fixture_key(sg), REMOTE_READ), 1);
        CHECK_EQ(remote_check(&f, &place, 0x11010, 93, fixture_key(sg), REMOTE_READ), 0);
        CHECK_EQ(local_check(&f, &place, 0x11010, 1, fixture_key(sg), 0), 1);
        if (counted)
            MR_COUNTED(sg, &last, 2, 1, 0);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(release(all[i].mr->kind, all[i], RVT_RELEASE), 0);
    }
    fixture_close(&f);
}

/* A reader that checked the region inside a section still counts there after the region was released; an SGE
 * that holds it still counts bytes. */
static void counters_stay_until_every_reader_has_left(void) {
    struct fixture f;
    struct rvt_sge sge;
    REQUIRE(open_with_dma(&f));
    enum { UNHELD, PUT_INSIDE, PUT_AFTER, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct made made = make(&f, RVT_MR_USER);
        struct ending ending = {&made, RVT_MR_USER, RVT_RELEASE_FORCE};
        struct waiting w;
        long before = rvt_test_alloc_live();
        CHECK_EQ(rvt_count_mr(made.mr), 0);
        const struct rvt_mregion *mr = made.mr.mr;
        const struct rvt_mr_counters *counters = rvt_mr_counters_of(mr);
        CHECK(counters != NULL);
        CHECK_EQ(rvt_test_alloc_live(), before + 1);
        if (way != UNHELD)
            CHECK_EQ(hold(&f, &made, &sge), 1);
        read_enter(&f);
        CHECK(begin_waiting(&w, end_it, &ending));
        CHECK_PTR_EQ(rvt_mr_counters_of(mr), counters);
        CHECK_EQ(atomic_load(&counters->accepted), way != UNHELD); /* the counters can still be read */
        if (way == PUT_INSIDE)
            rvt_put_sge(&sge);
        rvt_reclaim(&f.device->retirement);
        CHECK_PTR_EQ(rvt_mr_counters_of(mr), counters);
        read_leave(&f);
        CHECK_EQ(end_waiting(&w), 0);
        if (way == PUT_AFTER) {
            CHECK_PTR_EQ(rvt_mr_counters_of(mr), counters);
            rvt_put_sge(&sge);
        }
        CHECK(rvt_mr_counters_of(mr) == NULL);
        CHECK(rvt_test_alloc_live() < before);
    }
    fixture_close(&f);
}

/* When the DMA mapping under a region is unmapped, the region loses its list but keeps key, rights and
 * address. test_dma.c covers all ways in which this happens. */
static void unmapping_a_list_keeps_key_rights_and_address(void) {
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    fixture_dma(&a, bytes, PAGE, 0x10000);
    fixture_dma(&b, bytes, PAGE, 0x20000);
    struct rvt_mr_handle mr[3] = {fixture_fmr(&b, REMOTE_READ, 2, 11), fixture_mem_reg(&b, 3),
                                  fixture_fmr(&b, 0, 2, 11)};
    struct rvt_sg_outcome outcome;
    struct looked last = {.accepted = 0};
    struct rvt_place place;
    CHECK_EQ(rvt_map_phys_fmr(mr[0], (uint64_t[]){0x10000, 0x20000}, 2, 0x5000), 0);
    CHECK_EQ(rvt_map_mr_sg(mr[1], &(struct rvt_sg_element){0x10000, PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_map_phys_fmr(mr[2], (uint64_t[]){0x20000}, 1, 0x5000), 0);
    CHECK_EQ(rvt_count_mr(mr[0]), 0);
    rvt_mutex_lock(&b.device->lock);
    rvt_mr_unmap_lists(b.device, 99); /* the id of no existing context */
    rvt_mr_unmap_lists(b.device, RVT_NO_CONTEXT);
    rvt_mutex_unlock(&b.device->lock);
    CHECK_EQ(fixture_query(mr[0]).segments, 2);
    CHECK_EQ(fixture_query(mr[1]).segments, 1);
    rvt_mutex_lock(&b.device->lock);
    rvt_mr_unmap_lists(b.device, a.context->id);
    rvt_mutex_unlock(&b.device->lock);
    for (int i = 0; i < 2; i++) {
        struct rvt_mr_attributes is = fixture_query(mr[i]);
        CHECK_EQ(is.segments + is.length + is.start + is.iova, 0);
        CHECK_EQ(is.access, i ? 0 : REMOTE_READ);
        CHECK_EQ(is.max_segments, i ? 3 : 2);
        CHECK_EQ(is.refs, 2);
        CHECK(is.valid && !is.half_dead);
    }
    CHECK_EQ(fixture_query(mr[2]).segments, 1);
    CHECK_EQ(flags_of(&b, mr[0]), RVT_SHAPE_VALID | RVT_SHAPE_COUNTED);
    CHECK_EQ(local_check(&b, &place, 0x5000, 1, fixture_key(mr[0]), 0), 0);
    CHECK_EQ(local_check(&b, &place, 0, 0, fixture_key(mr[0]), 0), 0);
    CHECK_EQ(b.reason, RVT_UNMAPPED);
    MR_COUNTED(mr[0], &last, 0, 2, 0);
    rvt_mutex_lock(&b.device->lock);
    rvt_mr_unmap_lists(b.device, RVT_EVERY_CONTEXT);
    rvt_mutex_unlock(&b.device->lock);
    CHECK_EQ(fixture_query(mr[2]).segments, 0);
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
}

/* The bytes that the device reports as held return to their old value. */
static void held_bytes_return_to_their_old_value(void) {
    struct fixture f;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle mr = fixture_fmr(&f, 0, 4, 12), user;
    user = make(&f, RVT_MR_USER).mr; /* allocates the chunks and slots */
    CHECK_EQ(rvt_dereg_mr(user, RVT_RELEASE), 0);
    const uint64_t before = rvt_held_bytes(f.device);
    CHECK(before > sizeof(struct rvt_dev_info));
    for (int round = 0; round < 3; round++) {
        uint64_t pages[] = {0x10000, 0x11000, 0x12000};
        CHECK_EQ(rvt_map_phys_fmr(mr, pages, 3, 0), 0);
        CHECK_EQ(rvt_held_bytes(f.device) - before, sizeof(struct rvt_map) + 3 * sizeof(uint64_t));
        CHECK_EQ(rvt_unmap_fmr(&mr, 1), 0); /* the block is kept for the next mapping */
        CHECK_EQ(rvt_held_bytes(f.device) - before, sizeof(struct rvt_map) + 3 * sizeof(uint64_t));
    }
    CHECK_EQ(rvt_map_phys_fmr(mr, (uint64_t[]){0x10000, 1}, 2, 0), -RVT_EINVAL);
    CHECK_EQ(rvt_dealloc_fmr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_held_bytes(f.device), before);
    /* An extent is part of the region's record, and the slots were in use before. */
    user = make(&f, RVT_MR_USER).mr;
    CHECK_EQ(rvt_held_bytes(f.device), before);
    CHECK_EQ(rvt_dereg_mr(user, RVT_RELEASE), 0);
    fixture_close(&f);
}

CHECK_MAIN(TEST(checks_take_and_puts_drop_references),
           TEST(releasing_a_held_region_is_busy_until_the_last_put),
           TEST(a_released_but_held_region_cannot_be_changed),
           TEST(an_awaited_release_wakes_the_context_at_each_put),
           TEST(a_later_region_in_the_same_object_is_not_awaited), TEST(every_release_waits_for_readers),
           TEST(two_releases_at_once_both_succeed), TEST(a_forced_release_ends_a_held_region),
           TEST(a_forced_release_works_without_holders), TEST(objects_are_reused_after_every_kind_of_release),
           TEST(a_second_dma_region_is_not_used_by_key_zero), TEST(memory_is_released_with_its_region),
           TEST(sges_become_unusable_only_when_the_mapping_changes),
           TEST(a_reference_is_taken_only_under_the_mapping_that_was_read),
           TEST(no_reference_is_taken_when_mapping_generations_wrap),
           TEST(checks_do_not_wait_for_an_interrupted_mapping), TEST(the_last_put_can_race_with_a_release),
           TEST(a_counted_region_stays_counted), TEST(counters_stay_until_every_reader_has_left),
           TEST(unmapping_a_list_keeps_key_rights_and_address), TEST(held_bytes_return_to_their_old_value))
