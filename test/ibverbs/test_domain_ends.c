/* SPDX-License-Identifier: BSD-3-Clause */
/* Domains that one thread ends while another one destroys the last object in them. The thread that ends the
 * domain may find out by EBUSY that it is too early. */
#include "threads.h"

enum { ROUNDS = 300 };

/* Domains, each with a last object. */
struct domains {
    struct ibv_context *context;
    struct ibv_pd *pds[ROUNDS];
    struct ibv_mr *mrs[ROUNDS];
    char bytes[64];
    atomic_int ended; /* regions that the other thread is about to end, or has ended */
};

static void end_regions(void *argument) {
    struct domains *d = argument;
    for (int i = 0; i < ROUNDS; i++) {
        atomic_store_explicit(&d->ended, i + 1, memory_order_relaxed);
        CHECK_EQ(ibv_dereg_mr(d->mrs[i]), 0);
    }
}

static void wait_for(const struct domains *d, int round) {
    while (atomic_load_explicit(&d->ended, memory_order_relaxed) <= round)
        ;
}

static bool fill(struct domains *d, struct ibv_pd *of) {
    for (int i = 0; i < ROUNDS; i++) {
        d->pds[i] = of ? ibv_import_pd(d->context, of->handle) : ibv_alloc_pd(d->context);
        if (!d->pds[i])
            return false;
        d->mrs[i] = ibv_reg_mr(d->pds[i], d->bytes, sizeof(d->bytes), 0);
        if (!d->mrs[i])
            return false;
    }
    return true;
}

static void a_domain_can_be_deallocated_when_its_last_region_ends(void) {
    struct domains d = {.context = open_first_device()};
    struct task task;
    REQUIRE(d.context != NULL);
    REQUIRE(fill(&d, NULL));
    REQUIRE(start(&task, end_regions, &d));
    for (int i = 0; i < ROUNDS; i++) {
        int answer;
        wait_for(&d, i);
        do {
            answer = ibv_dealloc_pd(d.pds[i]);
        } while (answer == EBUSY);
        CHECK_EQ(answer, 0);
    }
    finish(&task);
    CHECK_EQ(ibv_close_device(d.context), 0);
}

static void an_import_can_end_when_its_last_region_ends(void) {
    struct domains d = {.context = open_first_device()};
    struct task task;
    REQUIRE(d.context != NULL);
    struct ibv_pd *pd = ibv_alloc_pd(d.context);
    REQUIRE(pd != NULL);
    REQUIRE(fill(&d, pd));
    REQUIRE(start(&task, end_regions, &d));
    for (int i = 0; i < ROUNDS; i++) {
        wait_for(&d, i);
        ibv_unimport_pd(d.pds[i]);
    }
    finish(&task);
    CHECK_EQ(ibv_dealloc_pd(pd), 0);
    CHECK_EQ(ibv_close_device(d.context), 0);
}

CHECK_MAIN(TEST(a_domain_can_be_deallocated_when_its_last_region_ends),
           TEST(an_import_can_end_when_its_last_region_ends))
