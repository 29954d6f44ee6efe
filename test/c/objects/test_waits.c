/* SPDX-License-Identifier: BSD-3-Clause */
/* Every verb that revokes something waits for the readers inside its device, for no others, and then frees
 * the objects that were retired. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/objects/rereg.h"
#include "fixture.h"
#include "waiting.h"

static alignas(4096) unsigned char bytes[4 * PAGE];

/* One object of each kind, in a context of its own that joined another context's device. */
struct scene {
    struct fixture keeper, f;
    struct rvt_pd_handle pd; /* a second domain that contains the regions */
    struct rvt_qp_handle qp;
    struct rvt_mr_handle user, sg, fmr;
    struct rvt_dma_handle dma, spare;
    struct rvt_device_memory *memory;
    int (*verb)(struct scene *);
};

static bool open_scene(struct scene *s) {
    struct rvt_sg_outcome outcome;
    memset(s, 0, sizeof(*s));
    if (!fixture_open_joined(&s->keeper, 4) || !fixture_join(&s->f, s->keeper.device))
        return false;
    CHECK_EQ(rvt_alloc_pd(s->f.device, s->f.context, false, &s->pd), 0);
    CHECK_EQ(rvt_create_check_qp(s->pd, &s->qp), 0);
    s->dma = fixture_dma(&s->f, bytes, 2 * PAGE, 0x10000);
    s->spare = fixture_dma(&s->f, bytes, PAGE, 0x20000);
    s->user = fixture_reg_in(s->pd, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    CHECK_EQ(rvt_alloc_mr(s->pd, RVT_MR_TYPE_MEM_REG, 1, &s->sg), 0);
    CHECK_EQ(rvt_map_mr_sg(s->sg, &(struct rvt_sg_element){0x10000, PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_alloc_fmr(s->pd, ALL_ACCESS, &(struct rvt_fmr_attr){2, 1, 12}, &s->fmr), 0);
    CHECK_EQ(rvt_map_phys_fmr(s->fmr, &(uint64_t){0x10000}, 1, 0), 0);
    CHECK_EQ(rvt_alloc_device_memory(s->f.device, s->f.context, PAGE, false, &s->memory), 0);
    return true;
}

static void close_scene(struct scene *s) {
    rvt_memory_put(&s->memory->memory);
    fixture_leave(&s->f);
    fixture_leave_last(&s->keeper, &s->keeper);
}

static int dereg(struct scene *s) {
    return rvt_dereg_mr(s->user, RVT_RELEASE);
}
static int dereg_awaited(struct scene *s) {
    return rvt_dereg_mr(s->user, RVT_RELEASE_AWAIT);
}
static int dereg_by_force(struct scene *s) {
    return rvt_dereg_mr(s->user, RVT_RELEASE_FORCE);
}
static int dereg_list(struct scene *s) {
    return rvt_dereg_mrs(s->pd, (struct rvt_mr_handle[]){s->user, s->sg, s->fmr}, 3, RVT_RELEASE);
}
static int rereg(struct scene *s) {
    bool lost;
    return rvt_rereg_mr(s->user, &(struct rvt_rereg){.flags = RVT_REREG_ACCESS}, NULL, &lost);
}
static int dealloc_fmr(struct scene *s) {
    return rvt_dealloc_fmr(s->fmr, RVT_RELEASE);
}
static int unmap_fmr(struct scene *s) {
    return rvt_unmap_fmr(&s->fmr, 1);
}
static int map_fmr_over(struct scene *s) {
    return rvt_map_phys_fmr(s->fmr, &(uint64_t){0x11000}, 1, 0);
}
static int map_fmr_to_nothing(struct scene *s) {
    return rvt_map_phys_fmr(s->fmr, &(uint64_t){0x11000}, 0, 0);
}
static int map_sg_over(struct scene *s) {
    struct rvt_sg_outcome outcome;
    return rvt_map_mr_sg(s->sg, &(struct rvt_sg_element){0x11000, PAGE}, 1, 0, PAGE, &outcome) == 1 ? 0 : -1;
}
/* The call is refused, but still removes the old mapping. */
static int map_sg_that_does_not_fit(struct scene *s) {
    struct rvt_sg_outcome outcome;
    int answer = rvt_map_mr_sg(s->sg, &(struct rvt_sg_element){0x10000, 2 * PAGE}, 1, 0, PAGE, &outcome);
    return answer == -RVT_ENOMEM && outcome.length == 0 ? 0 : -1;
}
static int fast_reg(struct scene *s) {
    return rvt_fast_reg_mr(s->qp, s->sg, fixture_key(s->sg) ^ 1, ALL_ACCESS, NULL);
}
static int invalidate(struct scene *s) {
    return rvt_invalidate_rkey(s->qp, fixture_key(s->user));
}
static int destroy_qp(struct scene *s) {
    return rvt_destroy_qp(s->qp);
}
static int dealloc_pd(struct scene *s) {
    return rvt_dealloc_pd(s->pd, true);
}
static int dma_unmap(struct scene *s) {
    return rvt_dma_unmap(s->spare);
}
static int free_memory(struct scene *s) {
    return rvt_free_device_memory(s->f.device, s->f.context, s->memory);
}
static int dealloc_ucontext(struct scene *s) {
    return rvt_dealloc_ucontext(s->f.context, true);
}
static int close_device(struct scene *s) {
    return rvt_mr_exit(s->f.device, true, NULL);
}

#define VERB(verb)                                                                                           \
    { #verb, verb }
static const struct {
    const char *name;
    int (*verb)(struct scene *);
} verbs[] = {
    VERB(dereg),
    VERB(dereg_awaited),
    VERB(dereg_by_force),
    VERB(dereg_list),
    VERB(rereg),
    VERB(dealloc_fmr),
    VERB(unmap_fmr),
    VERB(map_fmr_over),
    VERB(map_sg_over),
    VERB(map_sg_that_does_not_fit),
    VERB(fast_reg),
    VERB(invalidate),
    VERB(map_fmr_to_nothing),
    VERB(destroy_qp),
    VERB(dealloc_pd),
    VERB(dma_unmap),
    VERB(free_memory),
    VERB(dealloc_ucontext),
    VERB(close_device),
};
enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static int call_verb(void *context) {
    struct scene *s = context;
    return s->verb(s);
}

static void every_verb_waits_for_readers_inside_the_device(void) {
    for (int v = 0; v < VERBS; v++) {
        for (int everywhere = 0; everywhere < 2; everywhere++) {
            for (int renews = 0; renews < 2; renews++) {
                struct scene s;
                struct waiting w;
                REQUIRE(open_scene(&s));
                struct rvt_retirement *inside = everywhere ? &rvt_every_device : &s.keeper.device->retirement;
                s.verb = verbs[v].verb;
                rvt_read_enter(s.keeper.reader, inside);
                bool waits = begin_waiting(&w, call_verb, &s);
                if (renews) /* the renewed section no longer sees the old state, so the verb returns */
                    rvt_read_renew(s.keeper.reader, inside);
                else
                    rvt_read_leave(s.keeper.reader, inside);
                int answer = end_waiting(&w);
                CHECK(waits);
                CHECK_EQ(answer, 0);
                CHECK(!rvt_reclaim_pending(&s.f.device->retirement));
                if (!waits || answer)
                    printf("# %s\n", verbs[v].name);
                if (renews)
                    rvt_read_leave(s.keeper.reader, inside);
                close_scene(&s);
            }
        }
    }
}

/* This thread's own reader is inside another device. A verb that waited for it would abort the process. */
static void no_verb_waits_for_readers_of_another_device(void) {
    for (int v = 0; v < VERBS; v++) {
        struct scene s;
        struct fixture other;
        REQUIRE(open_scene(&s) && fixture_open(&other, 4));
        read_enter(&other);
        CHECK_EQ(verbs[v].verb(&s), 0);
        CHECK(!rvt_reclaim_pending(&s.f.device->retirement));
        read_leave(&other);
        fixture_close_one(&other);
        close_scene(&s);
    }
}

/* The next verb of any kind frees what a finalizer retired. */
static void every_verb_frees_retired_objects(void) {
    for (int v = 0; v < VERBS; v++) {
        struct scene s;
        struct fixture dropped;
        struct rvt_mr_handle mr;
        REQUIRE(open_scene(&s) && fixture_join(&dropped, s.f.device));
        mr = fixture_reg(&dropped, bytes, PAGE, 0, 0, 0);
        read_enter(&s.keeper);
        rvt_drop_ucontext(dropped.context);
        CHECK(fixture_dead(mr));
        /* Clear the slot by hand, because rvt_read_leave would free the items. */
        s.keeper.reader->depth = 0;
        atomic_store_explicit(&s.keeper.reader->slot, 0, memory_order_release);
        CHECK(rvt_reclaim_pending(&s.f.device->retirement));
        CHECK_EQ(verbs[v].verb(&s), 0);
        CHECK(!rvt_reclaim_pending(&s.f.device->retirement));
        fixture_leave(&dropped);
        close_scene(&s);
    }
}

/* If the calling thread's own reader is inside the device, the wait would never end, so the process
 * aborts. */
static void calling_a_verb_inside_a_section_aborts_the_process(void) {
    for (int v = 0; v < VERBS; v++) {
        struct scene s;
        REQUIRE(open_scene(&s));
        fflush(stdout);
        pid_t child = fork();
        if (!child) {
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            alarm(20);
            read_enter(&s.f);
            (void)verbs[v].verb(&s);
            _exit(0);
        }
        int status = 0;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        if (!WIFSIGNALED(status))
            printf("# %s\n", verbs[v].name);
        close_scene(&s);
    }
}

/* Calls every verb that revokes nothing while a reader is inside. */
static void verbs_that_take_nothing_away_do_not_wait(void) {
    struct scene s;
    REQUIRE(open_scene(&s));
    struct rvt_pd_handle pd;
    struct rvt_qp_handle qp;
    struct rvt_mr_handle mr;
    struct rvt_ucontext *context;
    struct rvt_device_memory *memory;
    read_enter(&s.f);
    CHECK_EQ(rvt_alloc_ucontext(s.f.device, NULL, &context), 0);
    CHECK_EQ(rvt_alloc_pd(s.f.device, context, false, &pd), 0);
    CHECK_EQ(rvt_attach_pd(context, rvt_pd_serial(s.pd), &pd), 0);
    CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
    CHECK_EQ(rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 2, &mr), 0);
    CHECK_EQ(rvt_alloc_fmr(pd, 0, &(struct rvt_fmr_attr){2, 1, 12}, &mr), 0);
    CHECK_EQ(rvt_get_dma_mr(pd, 0, &mr), 0);
    fixture_reg_in(pd, bytes, PAGE, 0, 0, 0);
    /* Replaces part of the table of DMA mappings; the old part waits to be freed. */
    fixture_dma(&s.f, bytes, PAGE, 0x40000);
    CHECK(rvt_reclaim_pending(&s.f.device->retirement));
    CHECK_EQ(rvt_count_mr(s.user), 0);
    CHECK_EQ(fixture_refs(s.user), 2);
    CHECK_EQ(rvt_alloc_device_memory(s.f.device, context, PAGE, false, &memory), 0);
    CHECK_EQ(rvt_ucontext_live(context), 0);
    read_leave(&s.f);
    CHECK(!rvt_reclaim_pending(&s.f.device->retirement));
    rvt_memory_put(&memory->memory);
    CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
    rvt_free_ucontext(context);
    close_scene(&s);
}

CHECK_MAIN(TEST(every_verb_waits_for_readers_inside_the_device),
           TEST(no_verb_waits_for_readers_of_another_device), TEST(every_verb_frees_retired_objects),
           TEST(calling_a_verb_inside_a_section_aborts_the_process),
           TEST(verbs_that_take_nothing_away_do_not_wait))
