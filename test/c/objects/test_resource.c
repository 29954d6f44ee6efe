/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/resource.h"

#include <pthread.h>

#include "fixture.h"

static alignas(4096) unsigned char bytes[8 * PAGE];

enum { MOST = 64 };

static const uint32_t field_count[RVT_RESOURCE_KINDS] = {
    1, 4, 12, 19, 9, 5, [RVT_RESOURCE_MW] = 11}; /* none for the kinds of the engine */

struct row {
    enum rvt_resource_kind kind;
    uint64_t fields[RVT_RESOURCE_MOST_FIELDS];
};

struct report {
    uint32_t count, room;
    struct row rows[MOST];
};

static bool note_row(void *context, enum rvt_resource_kind kind, const uint64_t *fields) {
    struct report *report = context;
    if (report->count == report->room)
        return false;
    report->rows[report->count].kind = kind;
    memcpy(report->rows[report->count].fields, fields, field_count[kind] * sizeof(*fields));
    report->count++;
    return true;
}

static void ask(struct rvt_dev_info *device, struct report *report) {
    report->count = 0;
    report->room = MOST;
    rvt_resource_report(device, note_row, report);
}

/* Returns the row of that kind whose first field (its id or serial number) is `number`, or NULL. Checks that
 * there is at most one. */
static const struct row *row_of(const struct report *report, enum rvt_resource_kind kind, uint64_t number) {
    const struct row *found = NULL;
    for (uint32_t i = 0; i < report->count; i++) {
        if (report->rows[i].kind == kind && report->rows[i].fields[0] == number) {
            CHECK(!found);
            found = &report->rows[i];
        }
    }
    return found;
}

static uint32_t count_of(const struct report *report, enum rvt_resource_kind kind) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < report->count; i++)
        count += report->rows[i].kind == kind;
    return count;
}

static void each_kind_of_object_has_its_number_of_fields(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    for (unsigned kind = 0; kind < RVT_RESOURCE_KINDS; kind++) {
        CHECK_EQ(rvt_resource_fields(f.device, (enum rvt_resource_kind)kind), field_count[kind]);
        CHECK(field_count[kind] <= RVT_RESOURCE_MOST_FIELDS);
    }
    CHECK_EQ(rvt_resource_fields(f.device, RVT_RESOURCE_KINDS), 0);
    CHECK_EQ(rvt_resource_fields(f.device, (enum rvt_resource_kind)(RVT_MOST_OBJECT_KINDS - 1)), 0);
    CHECK_EQ(rvt_resource_fields(f.device, (enum rvt_resource_kind)RVT_MOST_OBJECT_KINDS), 0);
    CHECK_EQ(rvt_resource_fields(f.device, (enum rvt_resource_kind) - 1), 0);
    fixture_close(&f);
}

#define FIELDS_ARE(found_row, ...)                                                                           \
    do {                                                                                                     \
        const uint64_t wanted[] = {__VA_ARGS__};                                                             \
        const struct row *found = (found_row);                                                               \
        REQUIRE(found != NULL);                                                                              \
        CHECK_EQ(sizeof(wanted) / sizeof(wanted[0]), field_count[found->kind]);                              \
        CHECK_BYTES_EQ(found->fields, wanted, sizeof(wanted));                                               \
    } while (0)

static void the_report_of_a_new_device_lists_its_contexts(void) {
    struct rvt_dev_info *device;
    struct report report;
    struct rvt_ucontext *a, *b;
    REQUIRE(rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 4}, &device) == 0);
    ask(device, &report);
    CHECK_EQ(report.count, 0);
    REQUIRE(rvt_alloc_ucontext(device, NULL, &a) == 0 && rvt_alloc_ucontext(device, NULL, &b) == 0);
    ask(device, &report);
    CHECK_EQ(report.count, 2);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_CONTEXT, a->id), a->id);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_CONTEXT, b->id), b->id);
    CHECK_EQ(rvt_dealloc_ucontext(a, false), 0);
    ask(device, &report);
    CHECK_EQ(report.count, 1);
    CHECK_EQ(rvt_dealloc_ucontext(b, false), 0);
    ask(device, &report);
    CHECK_EQ(report.count, 0);
    rvt_free_ucontext(a);
    rvt_free_ucontext(b);
    rvt_dev_put(device);
}

static void every_field_is_reported(void) {
    struct fixture a, b;
    static struct report report;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    const uint64_t ida = a.context->id, idb = b.context->id;
    struct rvt_pd_handle user_pd, attached, nobodys;
    struct rvt_qp_handle qp;
    CHECK_EQ(rvt_alloc_pd(a.device, a.context, true, &user_pd), 0);
    CHECK_EQ(rvt_alloc_pd(a.device, NULL, false, &nobodys), 0);
    CHECK_EQ(rvt_attach_pd(b.context, rvt_pd_serial(a.pd), &attached), 0);
    CHECK_EQ(rvt_create_check_qp(attached, &qp), 0);
    fixture_dma(&a, bytes, 3 * PAGE, 0x40000);
    struct rvt_dma_handle plain = fixture_dma(&b, bytes, 5, 0x10000);
    struct rvt_mr_handle reg = fixture_reg_in(attached, bytes + 5, PAGE, 0x5005, 0x777000, ALL_ACCESS);
    struct rvt_mr_handle half = fixture_reg(&a, bytes, 100, 0x6000, 0x6000, REMOTE_READ);
    struct rvt_mr_handle inert, published, fmr, sg;
    struct rvt_sge held[3], zero;
    struct rvt_sg_outcome outcome;
    CHECK_EQ(rvt_get_dma_mr(a.pd, 7, &published), 0);
    CHECK_EQ(rvt_get_dma_mr(attached, 0, &inert), 0);
    CHECK_EQ(rvt_alloc_fmr(b.pd, REMOTE_READ, &(struct rvt_fmr_attr){5, 1, 11}, &fmr), 0);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x40000, 0x41000, 0x40100}, 3, 0x123), 0);
    CHECK_EQ(rvt_alloc_mr(a.pd, RVT_MR_TYPE_MEM_REG, 9, &sg), 0);
    CHECK_EQ(rvt_map_mr_sg(sg, &(struct rvt_sg_element){0x40000, 2 * PAGE}, 1, 8, PAGE, &outcome), 1);
    CHECK_EQ(rvt_fast_reg_mr(a.qp, sg, fixture_key(sg) | 0x42, REMOTE_WRITE, &(uint64_t){0x9008}), 0);
    CHECK_EQ(rvt_invalidate_rkey(a.qp, fixture_key(sg)), 0);
    CHECK_EQ(local(&a, &held[0], 0x6000, 8, fixture_key(half), 0), 1);
    CHECK_EQ(local(&a, &held[1], 0x6000, 8, fixture_key(half), 0), 1);
    CHECK_EQ(local(&a, &held[2], 0x5005, 8, fixture_key(reg), 0), 1);
    CHECK_EQ(local(&b, &zero, 0x42000, 8, 0, 0), 1);
    CHECK_EQ(rvt_dereg_mr(half, RVT_RELEASE), -RVT_EBUSY);
    struct rvt_device_memory *memory, *large;
    CHECK_EQ(rvt_alloc_device_memory(a.device, a.context, 77, false, &memory), 0);
    CHECK_EQ(rvt_alloc_device_memory(a.device, b.context, PAGE, true, &large), 0);
    struct rvt_memory *slices[] = {rvt_device_memory_slice(memory, 0, 1),
                                   rvt_device_memory_slice(memory, 1, 2)};

    ask(a.device, &report);
    CHECK_EQ(count_of(&report, RVT_RESOURCE_CONTEXT), 2);
    CHECK_EQ(count_of(&report, RVT_RESOURCE_PD), 4);
    CHECK_EQ(count_of(&report, RVT_RESOURCE_QP), 3);
    CHECK_EQ(count_of(&report, RVT_RESOURCE_MR), 6);
    CHECK_EQ(count_of(&report, RVT_RESOURCE_DMA), 2);
    CHECK_EQ(count_of(&report, RVT_RESOURCE_MEMORY), 2);
    for (uint32_t i = 1; i < report.count; i++) /* rows are ordered by kind */
        CHECK(report.rows[i - 1].kind <= report.rows[i].kind);
    const uint64_t pda = rvt_pd_serial(a.pd), pdb = rvt_pd_serial(b.pd);
    /* Children of a's domain: two queue pairs, reg, half, both DMA regions and sg. */
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_PD, pda), pda, ida, false, 7);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_PD, pdb), pdb, idb, false, 2);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_PD, rvt_pd_serial(user_pd)), rvt_pd_serial(user_pd), ida, true,
               0);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_PD, rvt_pd_serial(nobodys)), rvt_pd_serial(nobodys), 0, false, 0);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_QP, rvt_qp_serial(a.qp)), rvt_qp_serial(a.qp), ida, pda,
               RVT_QPT_CHECK, 0, 0, 0, 0, 0, 0, 0, 0);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_QP, rvt_qp_serial(b.qp)), rvt_qp_serial(b.qp), idb, pdb,
               RVT_QPT_CHECK, 0, 0, 0, 0, 0, 0, 0, 0);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_QP, rvt_qp_serial(qp)), rvt_qp_serial(qp), idb, pda,
               RVT_QPT_CHECK, 0, 0, 0, 0, 0, 0, 0, 0);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_MR, rvt_mr_id(reg.mr)), rvt_mr_id(reg.mr), idb, pda,
               fixture_key(reg), RVT_MR_USER, ALL_ACCESS, 3, 0x5005, 0x777000, PAGE, 2, 0, true, false,
               rvt_mr_index(reg.mr), RVT_MEMORY_KIND_OTHER, 0, 0, RVT_DETACHED_UNKNOWN);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_MR, rvt_mr_id(half.mr)), rvt_mr_id(half.mr), ida, pda,
               fixture_key(half), RVT_MR_USER, REMOTE_READ, 3, 0x6000, 0x6000, 100, 1, 0, true, true,
               rvt_mr_index(half.mr), RVT_MEMORY_KIND_OTHER, 0, 0, RVT_DETACHED_UNKNOWN);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_MR, rvt_mr_id(published.mr)), rvt_mr_id(published.mr), ida, pda,
               0, RVT_MR_DMA, 7, 4, 0, 0, 0, 0, 0, true, false, rvt_mr_index(published.mr),
               RVT_MEMORY_KIND_NONE, 0, 0, RVT_DETACHED_NO);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_MR, rvt_mr_id(inert.mr)), rvt_mr_id(inert.mr), idb, pda, 0,
               RVT_MR_DMA, 0, 2, 0, 0, 0, 0, 0, true, false, rvt_mr_index(inert.mr), RVT_MEMORY_KIND_NONE, 0,
               0, RVT_DETACHED_NO);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_MR, rvt_mr_id(fmr.mr)), rvt_mr_id(fmr.mr), idb, pdb,
               fixture_key(fmr), RVT_MR_FMR, REMOTE_READ, 2, 0x123, 0x123, 3 * 2048, 3, 5, true, false,
               rvt_mr_index(fmr.mr), RVT_MEMORY_KIND_NONE, 0, 0, RVT_DETACHED_NO);
    /* start was set by rvt_map_mr_sg, iova by rvt_fast_reg_mr. */
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_MR, rvt_mr_id(sg.mr)), rvt_mr_id(sg.mr), ida, pda,
               fixture_key(sg), RVT_MR_MEM_REG, REMOTE_WRITE, 2, 0x40008, 0x9008, 2 * PAGE - 8, 2, 9, false,
               false, rvt_mr_index(sg.mr), RVT_MEMORY_KIND_NONE, 0, 0, RVT_DETACHED_NO);
    /* Users of the mapping: two regions with page lists, and the SGE of key 0. */
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_DMA, 1), 1, ida, 0x40000, 3 * PAGE, 3, RVT_MEMORY_KIND_OTHER, 0,
               0, RVT_DETACHED_UNKNOWN);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_DMA, rvt_dma_serial(plain)), 2, idb, 0x10000, 5, 0,
               RVT_MEMORY_KIND_OTHER, 0, 0, RVT_DETACHED_UNKNOWN);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_MEMORY, memory->serial), memory->serial, 77, 2, false,
               memory->buffer);
    FIELDS_ARE(row_of(&report, RVT_RESOURCE_MEMORY, large->serial), large->serial, PAGE, 0, true,
               large->buffer);

    /* Closed objects are no longer reported. */
    for (int i = 0; i < 3; i++)
        rvt_put_sge(&held[i]);
    rvt_put_sge(&zero);
    rvt_memory_put(slices[0]);
    rvt_memory_put(slices[1]);
    CHECK_EQ(rvt_dereg_mr(half, RVT_RELEASE), 0);
    CHECK_EQ(rvt_destroy_qp(qp), 0);
    CHECK_EQ(rvt_dma_unmap(plain), 0);
    CHECK_EQ(rvt_free_device_memory(a.device, a.context, memory), 0);
    uint32_t before = report.count;
    ask(a.device, &report);
    CHECK_EQ(report.count, before - 4);
    CHECK_EQ(rvt_dealloc_ucontext(b.context, true), 0);
    ask(a.device, &report);
    for (uint32_t i = 0; i < report.count; i++) {
        const struct row *row = &report.rows[i];
        if (row->kind == RVT_RESOURCE_CONTEXT)
            CHECK_EQ(row->fields[0], ida);
        else if (row->kind != RVT_RESOURCE_MEMORY)
            CHECK(row->fields[1] == ida || row->fields[1] == RVT_NO_CONTEXT);
    }
    /* device memory belongs to the device, whichever context allocated it */
    CHECK_EQ(count_of(&report, RVT_RESOURCE_MEMORY), 1);
    CHECK_EQ(rvt_mr_exit(a.device, true, NULL), 0);
    ask(a.device, &report);
    CHECK_EQ(report.count, 1); /* context a, which is not deallocated yet */
    CHECK_EQ(rvt_dealloc_ucontext(a.context, false), 0);
    ask(a.device, &report);
    CHECK_EQ(report.count, 0);
    rvt_memory_put(&memory->memory);
    rvt_memory_put(&large->memory);
    fixture_leave(&b);
    fixture_leave_last(&a, &a);
}

static void a_report_ends_when_its_callback_returns_false(void) {
    struct fixture a, b;
    static struct report report;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    fixture_dma(&a, bytes, PAGE, 0x10000);
    fixture_dma(&a, bytes, PAGE, 0x20000);
    fixture_fmr(&a, 0, 1, 12);
    fixture_fmr(&b, 0, 1, 12);
    struct rvt_device_memory *memory[2];
    for (int i = 0; i < 2; i++)
        CHECK_EQ(rvt_alloc_device_memory(a.device, NULL, 1, false, &memory[i]), 0);
    ask(a.device, &report);
    const uint32_t all = report.count;
    CHECK_EQ(all, 12);
    for (uint32_t room = 0; room <= all; room++) {
        static struct report part;
        part.count = 0;
        part.room = room;
        /* note_row refuses the row after `room`. If it were called again, it would count more rows. */
        rvt_resource_report(a.device, note_row, &part);
        CHECK_EQ(part.count, room);
        for (uint32_t i = 0; i < room; i++)
            CHECK_EQ(part.rows[i].kind, report.rows[i].kind);
    }
    for (int i = 0; i < 2; i++)
        rvt_memory_put(&memory[i]->memory);
    fixture_leave(&b);
    fixture_leave_last(&a, &a);
}

struct refusals {
    uint32_t asked, after;
};

static bool refuse_at(void *context, enum rvt_resource_kind kind, const uint64_t *fields) {
    struct refusals *refusals = context;
    (void)kind;
    (void)fields;
    return refusals->asked++ < refusals->after;
}

static void the_callback_is_not_called_again_after_it_returned_false(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_device_memory *memory;
    CHECK_EQ(rvt_alloc_device_memory(f.device, NULL, 1, false, &memory), 0);
    for (uint32_t after = 0; after < 7; after++) {
        struct refusals refusals = {0, after};
        rvt_resource_report(f.device, refuse_at, &refusals);
        CHECK_EQ(refusals.asked, after + 1);
    }
    rvt_memory_put(&memory->memory);
    fixture_close(&f);
}

/* --- a report is a consistent snapshot while objects change --- */

static atomic_bool stop;
static struct fixture world;

/* Creates and closes domains with a queue pair and a region. */
static void *make_and_end(void *argument) {
    (void)argument;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        struct rvt_ucontext *context;
        struct rvt_pd_handle pd;
        struct rvt_qp_handle qp;
        struct rvt_mr_handle mr;
        CHECK_EQ(rvt_alloc_ucontext(world.device, NULL, &context), 0);
        CHECK_EQ(rvt_alloc_pd(world.device, context, false, &pd), 0);
        CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
        CHECK_EQ(rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 1, &mr), 0);
        CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
        rvt_free_ucontext(context);
    }
    return NULL;
}

static void a_report_is_a_consistent_snapshot(void) {
    static struct report report;
    pthread_t threads[2];
    REQUIRE(fixture_open_joined(&world, 4));
    atomic_store(&stop, false);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, make_and_end, NULL) == 0);
    for (int round = 0; round < 500; round++) {
        ask(world.device, &report);
        uint32_t children = 0;
        for (uint32_t i = 0; i < report.count; i++) {
            const struct row *row = &report.rows[i];
            if (row->kind == RVT_RESOURCE_PD)
                children += (uint32_t)row->fields[RVT_PD_CHILDREN];
            /* The report also contains the domain of each child and the context of each object. */
            if (row->kind == RVT_RESOURCE_QP)
                CHECK(row_of(&report, RVT_RESOURCE_PD, row->fields[RVT_QP_PD]) != NULL);
            if (row->kind == RVT_RESOURCE_MR)
                CHECK(row_of(&report, RVT_RESOURCE_PD, row->fields[RVT_MR_PD]) != NULL);
            if (row->kind != RVT_RESOURCE_CONTEXT)
                CHECK(row_of(&report, RVT_RESOURCE_CONTEXT, row->fields[1]) != NULL);
        }
        CHECK_EQ(children, count_of(&report, RVT_RESOURCE_QP) + count_of(&report, RVT_RESOURCE_MR));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    ask(world.device, &report);
    CHECK_EQ(report.count, 3); /* the context, domain and queue pair of the test itself */
    fixture_leave_last(&world, &world);
}

/* The report of one context has the same rows as the whole report, and no rows of other contexts. */
static void a_report_of_one_context_has_only_its_own_rows(void) {
    static struct report whole, part;
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_mr_handle mr[3];
    for (int i = 0; i < 3; i++) {
        mr[i] = fixture_mem_reg(&a, (uint32_t)i + 1);
        fixture_mem_reg(&b, 9);
    }
    ask(a.device, &whole);
    part.count = 0;
    part.room = MOST;
    rvt_resource_report_owned(a.context, RVT_RESOURCE_MR, note_row, &part);
    CHECK_EQ(part.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct row *row = row_of(&whole, RVT_RESOURCE_MR, rvt_mr_id(mr[2 - i].mr)); /* newest first */
        REQUIRE(row != NULL);
        CHECK_EQ(part.rows[i].kind, RVT_RESOURCE_MR);
        CHECK_BYTES_EQ(part.rows[i].fields, row->fields, sizeof(row->fields));
    }
    part.count = 0;
    part.room = 2;
    rvt_resource_report_owned(a.context, RVT_RESOURCE_MR, note_row, &part);
    CHECK_EQ(part.count, 2); /* the callback is not called again after it returned false */
    part.count = 0;
    rvt_resource_report_owned(a.context, RVT_RESOURCE_DMA, note_row, &part);
    CHECK_EQ(part.count, 0);
    fixture_leave(&b);
    fixture_leave_last(&a, &a);
}

CHECK_MAIN(TEST(each_kind_of_object_has_its_number_of_fields),
           TEST(the_report_of_a_new_device_lists_its_contexts), TEST(every_field_is_reported),
           TEST(a_report_ends_when_its_callback_returns_false),
           TEST(the_callback_is_not_called_again_after_it_returned_false),
           TEST(a_report_is_a_consistent_snapshot), TEST(a_report_of_one_context_has_only_its_own_rows))
