/* SPDX-License-Identifier: BSD-3-Clause */
/* A test extension with two kinds of objects that the core does not know: widgets, which belong to a domain,
 * and gadgets, which do not. */
#include "core/objects/object_kind.h"

#include <pthread.h>

#include "fixture.h"

static alignas(4096) unsigned char bytes[2 * PAGE];

enum { WIDGET = RVT_RESOURCE_KINDS, GADGET = RVT_MOST_OBJECT_KINDS - 1 };
enum { WIDGET_SERIAL, WIDGET_CONTEXT, WIDGET_PD, WIDGET_COLOUR, WIDGET_FIELDS };

struct widget {
    struct rvt_owned owned;
    struct rvt_pd *pd;
    uint64_t colour;
    bool in_error; /* a region of its domain was deregistered */
};

struct gadget {
    struct rvt_owned owned;
};

/* --- objects that ended, in order, noted by release hooks and by the extension's own kinds --- */

enum { MOST_EVENTS = 64 };

static struct {
    uint32_t count, kind[MOST_EVENTS];
    uint64_t serial[MOST_EVENTS];
} events;

static void note_release(struct rvt_owned *object, uint32_t kind) {
    CHECK(rvt_object_alive(&object->object)); /* hooks run before the object's handles become invalid */
    if (events.count < MOST_EVENTS) {
        events.kind[events.count] = kind;
        events.serial[events.count] = object->serial;
    }
    events.count++;
}

static uint32_t count_events(uint32_t kind) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < events.count && i < MOST_EVENTS; i++)
        count += events.kind[i] == kind;
    return count;
}

#define EVENTS_ARE(...)                                                                                      \
    do {                                                                                                     \
        const uint32_t wanted[] = {__VA_ARGS__};                                                             \
        CHECK_EQ(events.count, sizeof(wanted) / sizeof(wanted[0]));                                          \
        CHECK_BYTES_EQ(events.kind, wanted, sizeof(wanted));                                                 \
        events.count = 0;                                                                                    \
    } while (0)

/* --- the extension --- */

static struct widget *take_widget(struct rvt_pd_handle in, uint64_t colour) {
    struct rvt_dev_info *device = in.pd->owned.device;
    rvt_mutex_lock(&device->lock);
    struct widget *widget = NULL;
    if (rvt_pd_live(in))
        widget = (struct widget *)rvt_take_owned(device, WIDGET, in.context);
    if (widget) {
        widget->pd = in.pd;
        widget->colour = colour;
        widget->in_error = false;
        rvt_owned_birth(&widget->owned, WIDGET);
    }
    rvt_mutex_unlock(&device->lock);
    return widget;
}

static void end_widget(struct rvt_owned *owned) {
    rvt_tell_release(owned, WIDGET);
    rvt_owned_death(owned, WIDGET);
    rvt_give_owned(owned, WIDGET);
}

static struct rvt_pd *domain_of_widget(const struct rvt_owned *owned) {
    return ((const struct widget *)owned)->pd;
}

static void fill_widget_row(const void *object, uint64_t *fields) {
    const struct widget *widget = object;
    fields[WIDGET_SERIAL] = widget->owned.serial;
    fields[WIDGET_CONTEXT] = widget->owned.context;
    fields[WIDGET_PD] = widget->pd->owned.serial;
    fields[WIDGET_COLOUR] = widget->colour;
}

static const struct rvt_object_kind widgets = {
    .number = WIDGET,
    .row_fields = WIDGET_FIELDS,
    .fill_row = fill_widget_row,
    .object_size = sizeof(struct widget),
    .end_order = RVT_END_QPS + 1, /* widgets end after queue pairs and before regions */
    .end = end_widget,
    .domain_of = domain_of_widget,
};

static struct gadget *take_gadget(struct rvt_dev_info *device, struct rvt_ucontext *context) {
    rvt_mutex_lock(&device->lock);
    struct rvt_owned *owned = rvt_take_owned(device, GADGET, context);
    if (owned)
        rvt_owned_birth(owned, GADGET);
    rvt_mutex_unlock(&device->lock);
    return (struct gadget *)owned;
}

static void end_gadget(struct rvt_owned *owned) {
    rvt_tell_release(owned, GADGET);
    rvt_owned_death(owned, GADGET);
    rvt_give_owned(owned, GADGET);
}

static void end_gadgets(struct rvt_dev_info *device, struct rvt_ucontext *context) {
    rvt_end_each(device, GADGET, context, end_gadget);
}

static void fill_gadget_row(const void *object, uint64_t *fields) {
    fields[0] = ((const struct gadget *)object)->owned.serial;
}

static const struct rvt_object_kind gadgets = {
    .number = GADGET,
    .row_fields = 1,
    .fill_row = fill_gadget_row,
    .object_size = sizeof(struct gadget),
    .end_order = RVT_END_DMA_MAPS + 1, /* gadgets end last */
    .end_all = end_gadgets,
};

/* Release hook of regions: puts the widgets of the region's domain in error, as queue pairs would be. */
static void stop_widgets(struct rvt_owned *owned) {
    const struct rvt_mregion *mr = (const struct rvt_mregion *)owned;
    const struct rvt_dev_info *device = owned->device;
    note_release(owned, RVT_RESOURCE_MR);
    CHECK(!mr->half_dead);
    if (mr->kind != RVT_MR_DMA) { /* the region can still be found by its key */
        struct rvt_lkey_entry entry;
        CHECK(mr->lkey_published);
        rvt_record_read(&device->lkey_table, rvt_lkey_record(&device->lkey_table, rvt_mr_key(mr)),
                        rvt_mr_key(mr), &entry);
        CHECK_EQ(entry.key, rvt_mr_key(mr));
    }
    struct rvt_owned *other;
    for (uint32_t at = 0; (other = rvt_next_object(device, WIDGET, &at));) {
        struct widget *widget = (struct widget *)other;
        if (widget->pd == mr->pd)
            widget->in_error = true;
    }
}

static void note_pd(struct rvt_owned *owned) {
    note_release(owned, RVT_RESOURCE_PD);
}
static void note_qp(struct rvt_owned *owned) {
    note_release(owned, RVT_RESOURCE_QP);
}
static void note_map(struct rvt_owned *owned) {
    note_release(owned, RVT_RESOURCE_DMA);
}
static void note_widget(struct rvt_owned *owned) {
    note_release(owned, WIDGET);
}
static void note_gadget(struct rvt_owned *owned) {
    note_release(owned, GADGET);
}

static const struct rvt_object_kind *const kinds[] = {&gadgets, &widgets};
/* How often a region was released again while it was half-dead. */
static uint32_t released_again;

static void note_again(struct rvt_owned *owned) {
    CHECK(((const struct rvt_mregion *)owned)->half_dead);
    released_again++;
}

#define HOOK(watched, function)                                                                              \
    { .kind = (watched), .releasing = (function) }
static const struct rvt_release_hook hooks[] = {
    {.kind = RVT_RESOURCE_MR, .releasing = stop_widgets, .releasing_again = note_again},
    HOOK(RVT_RESOURCE_PD, note_pd),
    HOOK(RVT_RESOURCE_QP, note_qp),
    HOOK(RVT_RESOURCE_DMA, note_map),
    HOOK(GADGET, note_gadget),
};
static const struct rvt_extension room = {
    .kinds = kinds, .kind_count = 2, .hooks = hooks, .hook_count = sizeof(hooks) / sizeof(hooks[0])};
/* A second extension that only has a hook. It comes first, and its hook names a kind of the next
 * extension. */
static const struct rvt_release_hook other_hooks[] = {HOOK(WIDGET, note_widget)};
static const struct rvt_extension other_room = {.hooks = other_hooks, .hook_count = 1};
static const struct rvt_extension *const rooms[] = {&other_room, &room};

static const struct rvt_device_options with_rooms = {
    .lkey_table_bits = 4, .remote_key_zero = true, .extensions = rooms, .extension_count = 2};

static bool open_with_rooms(struct fixture *f) {
    events.count = 0;
    return fixture_open_with(f, with_rooms);
}

/* Two environments on one device with both extensions. */
static bool join_with_rooms(struct fixture *a, struct fixture *b) {
    long live = rvt_test_alloc_live();
    struct rvt_dev_info *device;
    events.count = 0;
    if (!check_true(rvt_driver_mr_init(&with_rooms, &device) == 0, "a device", __FILE__, __LINE__))
        return false;
    bool ok = fixture_join(a, device) && fixture_join(b, device);
    a->live = live;
    rvt_dev_put(device);
    return ok;
}

/* --- reports --- */

struct report {
    uint32_t count;
    uint32_t kind[MOST_EVENTS];
    uint64_t fields[MOST_EVENTS][WIDGET_FIELDS];
};

static bool note_row(void *context, enum rvt_resource_kind kind, const uint64_t *fields) {
    struct report *report = context;
    if (report->count == MOST_EVENTS)
        return false;
    report->kind[report->count] = (uint32_t)kind;
    if ((uint32_t)kind == WIDGET)
        memcpy(report->fields[report->count], fields, sizeof(report->fields[0]));
    report->count++;
    return true;
}

static void reports_include_the_kinds_of_extensions(void) {
    static struct report report;
    struct fixture a, b;
    REQUIRE(join_with_rooms(&a, &b));
    struct widget *red = take_widget(a.pd, 7), *blue = take_widget(b.pd, 8);
    struct gadget *gadget = take_gadget(a.device, NULL);
    REQUIRE(red && blue && gadget);
    CHECK_EQ(rvt_resource_fields(a.device, (enum rvt_resource_kind)WIDGET), WIDGET_FIELDS);
    CHECK_EQ(rvt_resource_fields(a.device, (enum rvt_resource_kind)GADGET), 1);
    CHECK_EQ(rvt_resource_fields(a.device, (enum rvt_resource_kind)(WIDGET + 1)), 0);
    report.count = 0;
    rvt_resource_report(a.device, note_row, &report);
    const uint32_t wanted[] = {
        RVT_RESOURCE_CONTEXT,
        RVT_RESOURCE_CONTEXT,
        RVT_RESOURCE_PD,
        RVT_RESOURCE_PD,
        RVT_RESOURCE_QP,
        RVT_RESOURCE_QP,
        WIDGET,
        WIDGET,
        GADGET,
    };
    CHECK_EQ(report.count, sizeof(wanted) / sizeof(wanted[0]));
    CHECK_BYTES_EQ(report.kind, wanted, sizeof(wanted));
    CHECK_BYTES_EQ(report.fields[6], ((uint64_t[]){1, a.context->id, rvt_pd_serial(a.pd), 7}), 4 * 8);
    CHECK_BYTES_EQ(report.fields[7], ((uint64_t[]){2, b.context->id, rvt_pd_serial(b.pd), 8}), 4 * 8);
    fixture_leave(&b);
    report.count = 0;
    rvt_resource_report(a.device, note_row, &report);
    CHECK_EQ(report.count, 5); /* b's context, domain, queue pair and widget are closed */
    fixture_leave_last(&a, &a);
}

static void taking_an_object_fills_its_common_header(void) {
    struct fixture f;
    REQUIRE(open_with_rooms(&f));
    struct widget *first = take_widget(f.pd, 1), *second = take_widget(f.pd, 2);
    REQUIRE(first && second);
    CHECK_PTR_EQ(first->owned.device, f.device);
    CHECK_EQ(first->owned.serial, 1);
    CHECK_EQ(second->owned.serial, 2);
    CHECK_EQ(first->owned.context, RVT_NO_CONTEXT);
    uint64_t generation = rvt_object_generation(&first->owned.object);
    CHECK_EQ(rvt_read_serial(&first->owned, generation), 1);
    rvt_mutex_lock(&f.device->lock);
    end_widget(&first->owned);
    rvt_mutex_unlock(&f.device->lock);
    CHECK_EQ(rvt_read_serial(&first->owned, generation), 0); /* the handle is invalid */
    CHECK_PTR_EQ(first->owned.device, f.device); /* the device can still be read through the stale handle */
    struct widget *again = take_widget(f.pd, 3);
    CHECK_PTR_EQ(again, first);
    CHECK_EQ(again->owned.serial, 3); /* serial numbers are never reused */
    CHECK_EQ(rvt_read_serial(&again->owned, generation), 0);
    fixture_close(&f);
}

static void an_object_keeps_its_domain_context_and_device_busy(void) {
    struct fixture a, b;
    struct rvt_pd_handle pd;
    REQUIRE(join_with_rooms(&a, &b));
    CHECK_EQ(rvt_destroy_qp(b.qp), 0);
    CHECK_EQ(rvt_dealloc_pd(b.pd, false), 0);
    CHECK_EQ(rvt_attach_pd(b.context, rvt_pd_serial(a.pd), &pd), 0);
    struct widget *widget = take_widget(pd, 1); /* owned by context b, in a domain of context a */
    REQUIRE(widget != NULL);
    CHECK_EQ(rvt_destroy_qp(a.qp), 0);
    CHECK_EQ(rvt_dealloc_pd(a.pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_ucontext(b.context, false), -RVT_EBUSY);
    CHECK_EQ(rvt_mr_exit(a.device, false, NULL), -RVT_EBUSY);
    CHECK(rvt_object_alive(&widget->owned.object));
    events.count = 0;
    rvt_mutex_lock(&a.device->lock);
    end_widget(&widget->owned);
    rvt_mutex_unlock(&a.device->lock);
    EVENTS_ARE(WIDGET);
    CHECK_EQ(rvt_dealloc_pd(a.pd, false), 0);
    /* An object without domain and context still keeps the device busy. */
    REQUIRE(take_gadget(a.device, NULL) != NULL);
    CHECK_EQ(rvt_mr_exit(a.device, false, NULL), -RVT_EBUSY);
    struct gadget *gadget = take_gadget(a.device, b.context);
    REQUIRE(gadget != NULL);
    CHECK_EQ(rvt_dealloc_ucontext(b.context, false), -RVT_EBUSY);
    fixture_leave(&b);
    CHECK(!rvt_object_alive(&gadget->owned.object));
    fixture_leave_last(&a, &a);
}

static void a_domain_closes_its_objects_in_order(void) {
    struct fixture f;
    REQUIRE(open_with_rooms(&f));
    struct widget *mine = take_widget(f.pd, 1), *others = take_widget(f.other_pd, 2);
    struct gadget *gadget = take_gadget(f.device, NULL);
    REQUIRE(mine && others && gadget);
    fixture_mem_reg(&f, 1);
    CHECK_EQ(rvt_dealloc_pd(f.pd, false), -RVT_EBUSY);
    struct rvt_failure why;
    rvt_take_failure(&why);
    CHECK_EQ(why.numbers[RVT_FAILURE_CAUSE], RVT_CAUSE_PD_IN_USE);
    uint64_t all = 0;
    for (uint32_t i = 0; i < RVT_MOST_OBJECT_KINDS; i++)
        all += why.numbers[RVT_FAILURE_COUNTS + i];
    CHECK_EQ(all, f.pd.pd->children); /* the counts of all kinds add up to the domain's children */
    CHECK(why.numbers[RVT_FAILURE_COUNTS + WIDGET] > 0);
    CHECK_EQ(events.count, 0); /* no hook runs if nothing is closed */
    CHECK_EQ(rvt_dealloc_pd(f.pd, true), 0);
    EVENTS_ARE(RVT_RESOURCE_PD, RVT_RESOURCE_QP, WIDGET, RVT_RESOURCE_MR);
    CHECK(!rvt_object_alive(&mine->owned.object));
    CHECK(rvt_object_alive(&others->owned.object) && !others->in_error);
    CHECK(rvt_object_alive(&gadget->owned.object));
    fixture_close(&f);
}

/* Creates two objects of every kind in environment a, and one of every kind in environment b. */
static void fill_both(struct fixture *a, struct fixture *b) {
    for (int i = 0; i < 2; i++) {
        struct rvt_mr_handle mr;
        CHECK_EQ(rvt_alloc_mr(a->pd, RVT_MR_TYPE_MEM_REG, 1, &mr), 0);
        fixture_dma(a, bytes, PAGE, 0x10000 + (uint64_t)i * PAGE);
        CHECK(take_widget(a->pd, 1) && take_gadget(a->device, a->context));
    }
    CHECK_EQ(rvt_create_check_qp(a->pd, &a->new_qp), 0);
    CHECK_EQ(rvt_alloc_pd(a->device, a->context, true, &a->new_pd), 0);
    fixture_mem_reg(b, 1);
    fixture_dma(b, bytes, PAGE, 0x80000);
    CHECK(take_widget(b->pd, 2) && take_gadget(b->device, b->context));
}

static void a_context_closes_its_objects_in_order(void) {
    struct fixture a, b;
    REQUIRE(join_with_rooms(&a, &b));
    fill_both(&a, &b);
    CHECK_EQ(events.count, 0);
    CHECK_EQ(rvt_dealloc_ucontext(a.context, true), 0);
    EVENTS_ARE(RVT_RESOURCE_QP, RVT_RESOURCE_QP, WIDGET, WIDGET, RVT_RESOURCE_MR, RVT_RESOURCE_MR,
               RVT_RESOURCE_PD, RVT_RESOURCE_PD, RVT_RESOURCE_DMA, RVT_RESOURCE_DMA, GADGET, GADGET);
    /* The objects of b stay. */
    const uint32_t both[] = {WIDGET, GADGET};
    for (int i = 0; i < 2; i++) {
        uint32_t at = 0;
        const struct rvt_owned *owned = rvt_next_owned(b.device, both[i], b.context, NULL);
        REQUIRE(owned != NULL);
        CHECK(rvt_next_owned(b.device, both[i], b.context, owned) == NULL);
        CHECK_PTR_EQ(rvt_next_object(b.device, both[i], &at), owned);
        CHECK(rvt_next_object(b.device, both[i], &at) == NULL);
    }
    CHECK(rvt_qp_live(b.qp) != NULL);
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
    EVENTS_ARE(RVT_RESOURCE_QP, WIDGET, RVT_RESOURCE_MR, RVT_RESOURCE_PD, RVT_RESOURCE_DMA, GADGET);
}

static void a_device_closes_its_objects_in_order(void) {
    struct fixture a, b;
    REQUIRE(join_with_rooms(&a, &b));
    fill_both(&a, &b);
    CHECK_EQ(rvt_mr_exit(a.device, false, NULL), -RVT_EBUSY);
    CHECK_EQ(events.count, 0);
    CHECK_EQ(rvt_mr_exit(a.device, true, NULL), 0);
    EVENTS_ARE(RVT_RESOURCE_QP, RVT_RESOURCE_QP, RVT_RESOURCE_QP, WIDGET, WIDGET, WIDGET, RVT_RESOURCE_MR,
               RVT_RESOURCE_MR, RVT_RESOURCE_MR, RVT_RESOURCE_PD, RVT_RESOURCE_PD, RVT_RESOURCE_PD,
               RVT_RESOURCE_DMA, RVT_RESOURCE_DMA, RVT_RESOURCE_DMA, GADGET, GADGET, GADGET);
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
    CHECK_EQ(events.count, 0);
}

static void the_release_hook_runs_once_for_each_region(void) {
    struct fixture f;
    struct rvt_sge sge;
    REQUIRE(open_with_rooms(&f));
    struct widget *widget = take_widget(f.pd, 1), *other = take_widget(f.other_pd, 1);
    REQUIRE(widget && other);

    /* Deregistered while it is held: the hook runs at once, when the key is revoked, and only once. */
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, ALL_ACCESS);
    uint64_t id = fixture_query(mr).id;
    CHECK_EQ(local(&f, &sge, 0x1000, 8, fixture_key(mr), 0), 1);
    CHECK(!widget->in_error);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    CHECK(widget->in_error && !other->in_error);
    CHECK_EQ(events.serial[0], id);
    released_again = 0;
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(released_again, 1); /* the hook for regions that are released again runs instead */
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(released_again, 2);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBADF);
    EVENTS_ARE(RVT_RESOURCE_MR);

    /* The other release modes, with each kind of region. */
    for (int mode = RVT_RELEASE; mode <= RVT_RELEASE_FORCE; mode++) {
        struct rvt_mr_handle fmr = fixture_fmr(&f, 0, 1, 12), sg = fixture_mem_reg(&f, 1), dma;
        CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
        CHECK_EQ(rvt_dereg_mr(fmr, RVT_RELEASE), -RVT_EINVAL); /* dereg refuses an FMR and releases nothing */
        CHECK_EQ(events.count, 0);
        CHECK_EQ(rvt_dealloc_fmr(fmr, (enum rvt_release_mode)mode), 0);
        CHECK_EQ(rvt_dereg_mr(sg, (enum rvt_release_mode)mode), 0);
        CHECK_EQ(rvt_dereg_mr(dma, (enum rvt_release_mode)mode), 0);
        EVENTS_ARE(RVT_RESOURCE_MR, RVT_RESOURCE_MR, RVT_RESOURCE_MR);
        mr = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, ALL_ACCESS);
        CHECK_EQ(local(&f, &sge, 0x1000, 8, fixture_key(mr), 0), 1);
        CHECK_EQ(rvt_dereg_mr(mr, (enum rvt_release_mode)mode), mode == RVT_RELEASE_FORCE ? 0 : -RVT_EBUSY);
        EVENTS_ARE(RVT_RESOURCE_MR);
        rvt_put_sge(&sge); /* the last put recycles a region released by force; the hook does not run again */
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), mode == RVT_RELEASE_FORCE ? -RVT_EBADF : 0);
        CHECK_EQ(events.count, 0);
    }

    /* When a domain closes with a half-dead region in it, the hook does not run again: it ran at the
     * dereg. */
    mr = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, ALL_ACCESS);
    CHECK_EQ(local(&f, &sge, 0x1000, 8, fixture_key(mr), 0), 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_pd(f.pd, true), 0);
    CHECK_EQ(count_events(RVT_RESOURCE_MR), 1);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static void release_hooks_run_only_for_objects_that_end(void) {
    struct fixture f;
    struct rvt_sge sge;
    REQUIRE(open_with_rooms(&f));
    CHECK_EQ(rvt_destroy_qp(f.qp), 0);
    EVENTS_ARE(RVT_RESOURCE_QP);
    CHECK_EQ(rvt_destroy_qp(f.qp), -RVT_EBADF);
    CHECK_EQ(rvt_dealloc_pd(f.pd, false), 0);
    EVENTS_ARE(RVT_RESOURCE_PD);
    struct rvt_dma_handle dma = fixture_dma(&f, bytes, PAGE, 0x10000);
    struct rvt_mr_handle mr;
    CHECK_EQ(rvt_get_dma_mr(f.other_pd, 0, &mr), 0);
    CHECK_EQ(local_in(&f, f.other_pd, &sge, NULL, 0x10000, 8, 0, 0), 1);
    CHECK_EQ(rvt_dma_unmap(dma), -RVT_EBUSY); /* the mapping stays, so no hook runs */
    CHECK_EQ(events.count, 0);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dma_unmap(dma), 0);
    EVENTS_ARE(RVT_RESOURCE_DMA);
    /* A region that could not be created has no release. */
    for (int i = 0; i < 16; i++)
        CHECK_EQ(rvt_alloc_mr(f.other_pd, RVT_MR_TYPE_MEM_REG, 1, &mr), 0);
    CHECK_EQ(rvt_alloc_mr(f.other_pd, RVT_MR_TYPE_MEM_REG, 1, &mr), -RVT_ENOMEM);
    CHECK_EQ(events.count, 0);
    fixture_close(&f);
}

/* --- extensions that are refused --- */

static const void *no_next(const struct rvt_dev_info *device, const void *previous) {
    (void)device;
    (void)previous;
    return NULL;
}

static int init_with(const struct rvt_object_kind *kind, const struct rvt_release_hook *hook) {
    const struct rvt_object_kind *const one[] = {kind};
    const struct rvt_extension extension = {
        .kinds = one, .kind_count = kind ? 1 : 0, .hooks = hook, .hook_count = hook ? 1 : 0};
    const struct rvt_extension *const list[] = {&extension};
    struct rvt_dev_info *device = NULL;
    int error = rvt_driver_mr_init(
        &(struct rvt_device_options){.lkey_table_bits = 4, .extensions = list, .extension_count = 1},
        &device);
    CHECK_EQ(device != NULL, error == 0);
    if (!error) {
        CHECK_EQ(rvt_mr_exit(device, false, NULL), 0);
        rvt_dev_put(device);
    }
    return error;
}

static void invalid_kinds_and_hooks_are_refused(void) {
    long live = rvt_test_alloc_live();
    struct rvt_object_kind kind;
    CHECK_EQ(init_with(&widgets, NULL), 0);
    CHECK_EQ(init_with(&gadgets, NULL), 0);

#define REFUSED(change)                                                                                      \
    do {                                                                                                     \
        kind = widgets;                                                                                      \
        change;                                                                                              \
        CHECK_EQ(init_with(&kind, NULL), -RVT_EINVAL);                                                       \
    } while (0)
    for (uint32_t number = 0; number < RVT_RESOURCE_CQ; number++)
        REFUSED(kind.number = number); /* a kind of the memory layer */
    REFUSED(kind.number = RVT_MOST_OBJECT_KINDS);
    REFUSED(kind.number = UINT32_MAX);
    REFUSED(kind.row_fields = 0);
    REFUSED(kind.row_fields = RVT_RESOURCE_MOST_FIELDS + 1);
    REFUSED(kind.fill_row = NULL);
    REFUSED(kind.object_size = sizeof(struct rvt_owned) - 1);
    REFUSED(kind.end = NULL);
    REFUSED(kind.end_all = end_gadgets);
    REFUSED(kind.next = no_next);
    REFUSED({
        kind.end = NULL;
        kind.end_all = end_gadgets; /* a domain closes its children one by one */
    });
    REFUSED({
        kind.object_size = 0;
        kind.next = no_next;
    });
    REFUSED({
        kind.object_size = 0;
        kind.end = NULL;
        kind.domain_of = NULL;
    });
#undef REFUSED

    const struct rvt_release_hook nobody = HOOK(RVT_RESOURCE_MR, NULL), unknown = HOOK(WIDGET, note_widget),
                                  large = HOOK(UINT32_MAX, note_widget),
                                  list = HOOK(RVT_RESOURCE_CONTEXT, note_widget);
    CHECK_EQ(init_with(NULL, &nobody), -RVT_EINVAL);
    CHECK_EQ(init_with(NULL, &unknown), -RVT_EINVAL);
    CHECK_EQ(init_with(NULL, &large), -RVT_EINVAL);
    CHECK_EQ(init_with(NULL, &list), -RVT_EINVAL);
    CHECK_EQ(init_with(&widgets, &unknown), 0);

    /* Two extensions define the same kind. */
    const struct rvt_extension *const twice[] = {&room, &room};
    struct rvt_dev_info *device = NULL;
    struct rvt_device_options options = {.lkey_table_bits = 4, .extensions = twice, .extension_count = 2};
    CHECK_EQ(rvt_driver_mr_init(&options, &device), -RVT_EINVAL);
    CHECK(device == NULL);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

/* A kind that is a list instead of a pool appears in reports, but keeps nothing busy and is not closed. */
static uint64_t listed[3] = {5, 6, 7};
static const void *next_listed(const struct rvt_dev_info *device, const void *previous) {
    (void)device;
    const uint64_t *at = previous ? (const uint64_t *)previous + 1 : listed;
    return at < listed + 3 ? at : NULL;
}
static void fill_listed_row(const void *object, uint64_t *fields) {
    fields[0] = *(const uint64_t *)object;
    fields[1] = fields[2] = fields[3] = 0;
}

static void a_kind_can_be_a_list_without_objects(void) {
    static struct report report;
    static const struct rvt_object_kind kind = {
        .number = WIDGET, .row_fields = WIDGET_FIELDS, .fill_row = fill_listed_row, .next = next_listed};
    static const struct rvt_object_kind *const one[] = {&kind};
    static const struct rvt_extension extension = {.kinds = one, .kind_count = 1};
    static const struct rvt_extension *const list[] = {&extension};
    struct rvt_dev_info *device;
    REQUIRE(rvt_driver_mr_init(
                &(struct rvt_device_options){.lkey_table_bits = 4, .extensions = list, .extension_count = 1},
                &device) == 0);
    report.count = 0;
    rvt_resource_report(device, note_row, &report);
    CHECK_EQ(report.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(report.fields[i][0], listed[i]);
    CHECK_EQ(rvt_mr_exit(device, false, NULL), 0);
    rvt_dev_put(device);
}

static int take_many(struct fixture *f) {
    for (int i = 0; i < 100; i++)
        if (!take_widget(f->pd, 1))
            return -RVT_ENOMEM;
    return 0;
}

static void taking_objects_fails_cleanly_without_memory(void) {
    int failures = 0;
    for (long n = 0; n < 100; n++) {
        struct fixture f;
        REQUIRE(open_with_rooms(&f));
        rvt_test_alloc_fail_after(n);
        int error = take_many(&f);
        bool failed = rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        CHECK_EQ(error, failed ? -RVT_ENOMEM : 0);
        struct widget *next = take_widget(f.pd, 1);
        REQUIRE(next != NULL);
        /* A serial number that could not be used is not lost. */
        CHECK_EQ(next->owned.serial, f.pd.pd->children - 1);
        fixture_close(&f);
        failures += failed;
        if (!failed)
            break;
    }
    CHECK(failures >= 2);
}

/* --- serial numbers are read without the lock --- */

static struct fixture shared_world;
static struct rvt_pd_handle their_pd;
static struct rvt_qp_handle their_qp;
static atomic_int round_made, round_ended;
enum { ROUNDS = 3000 };

/* Closes the other thread's objects and at once creates new ones in the same slots. */
static void *end_and_replace(void *argument) {
    (void)argument;
    for (int round = 1; round <= ROUNDS; round++) {
        struct rvt_pd_handle pd;
        struct rvt_qp_handle qp;
        while (atomic_load_explicit(&round_made, memory_order_acquire) != round)
            rvt_yield();
        CHECK_EQ(rvt_dealloc_pd(their_pd, true), 0);
        CHECK_EQ(rvt_alloc_pd(shared_world.device, NULL, false, &pd), 0);
        CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
        CHECK_PTR_EQ(pd.pd, their_pd.pd);
        CHECK_PTR_EQ(qp.qp, their_qp.qp);
        CHECK_EQ(rvt_dealloc_pd(pd, true), 0);
        atomic_store_explicit(&round_ended, round, memory_order_release);
    }
    return NULL;
}

static void a_handle_never_reads_the_serial_of_a_later_object(void) {
    pthread_t thread;
    REQUIRE(fixture_open(&shared_world, 4));
    atomic_store(&round_made, 0);
    atomic_store(&round_ended, 0);
    REQUIRE(pthread_create(&thread, NULL, end_and_replace, NULL) == 0);
    for (int round = 1; round <= ROUNDS; round++) {
        CHECK_EQ(rvt_alloc_pd(shared_world.device, NULL, false, &their_pd), 0);
        CHECK_EQ(rvt_create_check_qp(their_pd, &their_qp), 0);
        const struct rvt_pd_handle pd = their_pd;
        const struct rvt_qp_handle qp = their_qp;
        const uint64_t pd_serial = rvt_pd_serial(pd), qp_serial = rvt_qp_serial(qp);
        CHECK(pd_serial > 0 && qp_serial > 0);
        atomic_store_explicit(&round_made, round, memory_order_release);
        bool ended;
        do {
            ended = atomic_load_explicit(&round_ended, memory_order_acquire) == round;
            uint64_t now = rvt_pd_serial(pd);
            CHECK(now == pd_serial || now == 0);
            now = rvt_qp_serial(qp);
            CHECK(now == qp_serial || now == 0);
        } while (!ended);
        CHECK_EQ(rvt_pd_serial(pd), 0);
        CHECK_EQ(rvt_qp_serial(qp), 0);
    }
    REQUIRE(pthread_join(thread, NULL) == 0);
    CHECK_EQ(rvt_pd_serial((struct rvt_pd_handle){0}), 0);
    CHECK_EQ(rvt_qp_serial((struct rvt_qp_handle){0}), 0);
    CHECK_EQ(rvt_dma_serial((struct rvt_dma_handle){0}), 0);
    fixture_close(&shared_world);
}

CHECK_MAIN(TEST(reports_include_the_kinds_of_extensions), TEST(taking_an_object_fills_its_common_header),
           TEST(an_object_keeps_its_domain_context_and_device_busy),
           TEST(a_domain_closes_its_objects_in_order), TEST(a_context_closes_its_objects_in_order),
           TEST(a_device_closes_its_objects_in_order), TEST(the_release_hook_runs_once_for_each_region),
           TEST(release_hooks_run_only_for_objects_that_end), TEST(invalid_kinds_and_hooks_are_refused),
           TEST(a_kind_can_be_a_list_without_objects), TEST(taking_objects_fails_cleanly_without_memory),
           TEST(a_handle_never_reads_the_serial_of_a_later_object))
