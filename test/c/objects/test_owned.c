/* SPDX-License-Identifier: BSD-3-Clause */
/* Ownership of objects by contexts and domains: each closes exactly its own objects, in any order. */
#include "core/objects/owned.h"

#include "fixture.h"

static alignas(4096) unsigned char bytes[PAGE];

/* --- a test extension: parts belong to a domain, and close together with the queue pair they name --- */

enum { PART = RVT_RESOURCE_KINDS };

struct part {
    struct rvt_owned owned;
    struct rvt_pd *pd;
    const struct rvt_qp *qp; /* NULL: the part names no queue pair */
};

static uint32_t ended_parts, asked_domains;

static void end_part(struct rvt_owned *owned) {
    rvt_tell_release(owned, PART);
    rvt_owned_death(owned, PART);
    rvt_give_owned(owned, PART);
    ended_parts++;
}

static struct rvt_pd *domain_of_part(const struct rvt_owned *owned) {
    asked_domains++;
    return ((const struct part *)owned)->pd;
}

static void fill_part_row(const void *object, uint64_t *fields) {
    fields[0] = ((const struct part *)object)->owned.serial;
}

/* Closes all parts that name the queue pair, even while the lists that contain them are being walked. */
static void end_parts_of(struct rvt_owned *owned) {
    struct rvt_owned *other;
    for (uint32_t at = 0; (other = rvt_next_object(owned->device, PART, &at));)
        if (((const struct part *)other)->qp == (const struct rvt_qp *)owned)
            end_part(other);
}

static const struct rvt_object_kind parts = {
    .number = PART,
    .row_fields = 1,
    .fill_row = fill_part_row,
    .object_size = sizeof(struct part),
    .end_order = RVT_END_QPS, /* parts end in the same step as queue pairs */
    .end = end_part,
    .domain_of = domain_of_part,
};
static const struct rvt_object_kind *const kinds[] = {&parts};
static const struct rvt_release_hook hooks[] = {{.kind = RVT_RESOURCE_QP, .releasing = end_parts_of}};
static const struct rvt_extension room = {.kinds = kinds, .kind_count = 1, .hooks = hooks, .hook_count = 1};
static const struct rvt_extension *const rooms[] = {&room};
static const struct rvt_device_options with_room = {
    .lkey_table_bits = 12, .remote_key_zero = true, .extensions = rooms, .extension_count = 1};

/* --- random objects, and a model of which are alive --- */

enum { CONTEXTS = 4, OBJECTS = 600, NOBODY = 255 };
enum what { A_DOMAIN, A_QP, A_PART, A_REGION, A_HELD_REGION, A_RELEASED_REGION, A_MAPPING, WHATS };

struct model_object {
    enum what what;
    bool alive;
    unsigned char context; /* NOBODY: created without a context */
    int domain;            /* index of its domain; -1 for a domain or a mapping */
    int qp;                /* for a part: index of its queue pair, or -1 */
    struct rvt_pd_handle pd;
    struct rvt_qp_handle queue_pair;
    struct rvt_mr_handle mr;
    struct rvt_dma_handle dma;
    struct part *part;
    uint64_t generation; /* generation of the part */
    struct rvt_sge sge;
};

static struct {
    struct fixture fixtures[CONTEXTS]; /* the contexts */
    bool gone[CONTEXTS];
    struct rvt_dev_info *device;
    struct rvt_reader *reader;
    struct model_object objects[OBJECTS];
    int count;
    uint64_t state;
} world;

static struct rvt_ucontext *context_of(unsigned char context) {
    return context == NOBODY ? NULL : world.fixtures[context].context;
}

static bool is_held(const struct model_object *object) {
    return object->what == A_HELD_REGION || object->what == A_RELEASED_REGION;
}

static bool world_open(void) {
    long live = rvt_test_alloc_live();
    memset(&world, 0, sizeof(world));
    if (!check_true(rvt_driver_mr_init(&with_room, &world.device) == 0, "a device", __FILE__, __LINE__))
        return false;
    for (int i = 0; i < CONTEXTS; i++) {
        struct fixture *f = &world.fixtures[i];
        f->live = live;
        f->device = world.device;
        f->reader = rvt_reader_register();
        rvt_dev_get(world.device);
        CHECK_EQ(rvt_alloc_ucontext(world.device, f->reader, &f->context), 0);
    }
    world.reader = world.fixtures[0].reader;
    return true;
}

/* Returns the handle of the domain for `context`. */
static struct rvt_pd_handle domain_for(int domain, unsigned char context) {
    struct rvt_pd_handle pd = world.objects[domain].pd;
    pd.context = context_of(context);
    return pd;
}

static void make_part(struct model_object *object, struct rvt_pd_handle pd) {
    rvt_mutex_lock(&world.device->lock);
    object->part = (struct part *)rvt_take_owned(world.device, PART, pd.context);
    if (object->part) {
        object->part->pd = pd.pd;
        object->part->qp = object->qp < 0 ? NULL : world.objects[object->qp].queue_pair.qp;
        object->generation = rvt_owned_birth(&object->part->owned, PART);
    }
    rvt_mutex_unlock(&world.device->lock);
    CHECK(object->part != NULL);
}

static void make_held(struct model_object *object, struct rvt_pd_handle pd) {
    struct fixture *f = &world.fixtures[0];
    object->mr = fixture_reg_in(pd, bytes, PAGE, 0x1000, 0x1000, ALL_ACCESS);
    pd.context = NULL;
    CHECK_EQ(local_in(f, pd, &object->sge, NULL, 0x1000, 8, fixture_key(object->mr), 0), 1);
    if (object->what == A_RELEASED_REGION)
        CHECK_EQ(rvt_dereg_mr(object->mr, RVT_RELEASE), -RVT_EBUSY);
}

/* Returns a random live object of a kind, or -1. */
static int pick(enum what what) {
    for (int tries = 0; tries < 50 && world.count; tries++) {
        int i = (int)roll(&world.state, (uint64_t)world.count);
        if (world.objects[i].alive && world.objects[i].what == what)
            return i;
    }
    return -1;
}

static void make_one(void) {
    if (world.count == OBJECTS)
        return;
    struct model_object *object = &world.objects[world.count];
    *object = (struct model_object){.what = (enum what)roll(&world.state, WHATS), .alive = true, .qp = -1};
    object->context = (unsigned char)roll(&world.state, CONTEXTS + 1);
    if (object->context == CONTEXTS)
        object->context = NOBODY;
    else if (world.gone[object->context])
        return;
    if (object->what == A_DOMAIN || object->what == A_MAPPING) {
        object->domain = -1;
    } else {
        object->domain = pick(A_DOMAIN);
        if (object->domain < 0)
            return;
    }
    struct rvt_pd_handle pd = {0};
    if (object->domain >= 0)
        pd = domain_for(object->domain, object->context);
    switch (object->what) {
    case A_DOMAIN:
        CHECK_EQ(rvt_alloc_pd(world.device, context_of(object->context), false, &object->pd), 0);
        break;
    case A_QP:
        CHECK_EQ(rvt_create_check_qp(pd, &object->queue_pair), 0);
        break;
    case A_PART:
        object->qp = pick(A_QP);
        make_part(object, pd);
        break;
    case A_REGION:
        CHECK_EQ(rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 1, &object->mr), 0);
        break;
    case A_HELD_REGION:
    case A_RELEASED_REGION:
        make_held(object, pd);
        break;
    default: {
        struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE);
        uint64_t address;
        CHECK_EQ(
            rvt_dma_map(world.device, context_of(object->context), memory, false, &address, &object->dma), 0);
        rvt_memory_put(memory);
    }
    }
    world.count++;
}

/* Marks an object as closed in the model, with all objects that close together with it. */
static void mark_ended(int index) {
    struct model_object *object = &world.objects[index];
    if (!object->alive)
        return;
    object->alive = false;
    for (int i = 0; i < world.count; i++) {
        const struct model_object *other = &world.objects[i];
        if ((object->what == A_DOMAIN && other->domain == index) ||
            (object->what == A_QP && other->what == A_PART && other->qp == index))
            mark_ended(i);
    }
    if (is_held(object))
        rvt_put_sge(&object->sge); /* an SGE may hold a region until after the region ended */
}

static bool is_alive(const struct model_object *object) {
    switch (object->what) {
    case A_DOMAIN:
        return rvt_object_generation(&object->pd.pd->owned.object) == object->pd.generation;
    case A_QP:
        return rvt_object_generation(&object->queue_pair.qp->owned.object) == object->queue_pair.generation;
    case A_PART:
        return rvt_object_generation(&object->part->owned.object) == object->generation;
    case A_MAPPING:
        return rvt_object_generation(&object->dma.map->owned.object) == object->dma.generation;
    default:
        return rvt_mr_live(object->mr) != NULL;
    }
}

static uint32_t count_owned(struct rvt_ucontext *context) {
    static const uint32_t numbers[] = {RVT_RESOURCE_PD, RVT_RESOURCE_QP, PART, RVT_RESOURCE_MR,
                                       RVT_RESOURCE_DMA};
    uint32_t count = 0;
    rvt_mutex_lock(&world.device->lock);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const struct rvt_owned *owned = NULL;
        while ((owned = rvt_next_owned(world.device, numbers[i], context, owned))) {
            CHECK(rvt_object_alive(&owned->object));
            CHECK_EQ(owned->context, rvt_ucontext_id(context));
            count++;
        }
    }
    rvt_mutex_unlock(&world.device->lock);
    return count;
}

static void check_world(void) {
    uint32_t owned[256] = {0}, all = 0;
    for (int i = 0; i < world.count; i++) {
        const struct model_object *object = &world.objects[i];
        CHECK_EQ(is_alive(object), object->alive);
        owned[object->context] += object->alive;
        if (!object->alive || object->what != A_DOMAIN)
            continue;
        uint32_t children = 0;
        for (int k = 0; k < world.count; k++)
            children += world.objects[k].alive && world.objects[k].domain == i;
        CHECK_EQ(object->pd.pd->children, children);
    }
    for (unsigned char i = 0; i < CONTEXTS; i++) {
        all += owned[i];
        CHECK_EQ(count_owned(world.fixtures[i].context), owned[i]);
        rvt_mutex_lock(&world.device->lock);
        CHECK_EQ(rvt_owns_anything(world.device, world.fixtures[i].context), owned[i] != 0);
        rvt_mutex_unlock(&world.device->lock);
    }
    all += owned[NOBODY];
    CHECK_EQ(count_owned(NULL), owned[NOBODY]);
    rvt_mutex_lock(&world.device->lock);
    CHECK_EQ(rvt_owns_anything(world.device, NULL), all != 0);
    rvt_mutex_unlock(&world.device->lock);
}

static void end_one(void) {
    int index = pick((enum what)roll(&world.state, WHATS));
    if (index < 0)
        return;
    struct model_object *object = &world.objects[index];
    switch (object->what) {
    case A_DOMAIN:
        CHECK_EQ(rvt_dealloc_pd(domain_for(index, NOBODY), true), 0);
        break;
    case A_QP:
        CHECK_EQ(rvt_destroy_qp(
                     (struct rvt_qp_handle){object->queue_pair.qp, object->queue_pair.generation, NULL}),
                 0);
        break;
    case A_PART:
        rvt_mutex_lock(&world.device->lock);
        end_part(&object->part->owned);
        rvt_mutex_unlock(&world.device->lock);
        break;
    case A_MAPPING:
        CHECK_EQ(rvt_dma_unmap(object->dma), 0);
        break;
    default:
        CHECK_EQ(rvt_dereg_mr(object->mr, RVT_RELEASE_FORCE), 0);
    }
    mark_ended(index);
}

static void end_context(unsigned char context) {
    CHECK_EQ(rvt_dealloc_ucontext(world.fixtures[context].context, true), 0);
    world.gone[context] = true;
    for (int i = 0; i < world.count; i++)
        if (world.objects[i].context == context)
            mark_ended(i);
}

static void world_close(void) {
    for (unsigned char i = 0; i < CONTEXTS; i++)
        fixture_leave(&world.fixtures[i]);
    CHECK(!rvt_reclaim_pending(&world.device->retirement));
    rvt_dev_put(world.device);
    CHECK_EQ(rvt_test_alloc_live(), world.fixtures[0].live);
}

static void contexts_and_domains_close_their_objects_in_any_order(void) {
    static const unsigned char orders[][CONTEXTS] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 3, 0, 2}};
    for (uint64_t round = 0; round < 40; round++) {
        REQUIRE(world_open());
        world.state = round;
        for (unsigned i = 0; i < CONTEXTS; i++) {
            for (int k = 0; k < 120; k++) {
                make_one();
                if (roll(&world.state, 3) == 0)
                    end_one();
            }
            check_world();
            /* The last context closes the device, including objects without an owner. */
            if (i < CONTEXTS - 1)
                end_context(orders[round % 4][i]);
            check_world();
        }
        CHECK_EQ(rvt_dealloc_ucontext(world.fixtures[orders[round % 4][CONTEXTS - 1]].context, true), 0);
        for (int i = 0; i < world.count; i++)
            mark_ended(i);
        check_world();
        world_close();
    }
}

static void closing_the_device_closes_every_object_once(void) {
    for (uint64_t round = 0; round < 10; round++) {
        REQUIRE(world_open());
        world.state = 100 + round;
        for (int k = 0; k < 400; k++)
            make_one();
        check_world();
        ended_parts = 0;
        uint32_t wanted = 0;
        for (int i = 0; i < world.count; i++)
            wanted += world.objects[i].what == A_PART && world.objects[i].alive;
        CHECK_EQ(rvt_mr_exit(world.device, true, NULL), 0);
        /* Each part closes only once, although hooks close some of them, too. */
        CHECK_EQ(ended_parts, wanted);
        for (int i = 0; i < world.count; i++)
            mark_ended(i);
        check_world();
        world_close();
    }
}

/* Counts how often objects are visited. Closing a domain or a context must visit only its own objects,
 * instead of searching all objects of the device. */
static void closing_visits_only_the_objects_that_close(void) {
    enum { DOMAINS = 300 };
    REQUIRE(world_open());
    static struct rvt_pd_handle pds[2][DOMAINS];
    struct model_object object = {.what = A_PART, .qp = -1};
    for (int i = 0; i < DOMAINS; i++) {
        for (int k = 0; k < 2; k++) {
            REQUIRE(rvt_alloc_pd(world.device, world.fixtures[k].context, false, &pds[k][i]) == 0);
            make_part(&object, pds[k][i]);
        }
    }
    asked_domains = 0;
    CHECK_EQ(rvt_dealloc_pd(pds[0][7], true), 0);
    CHECK_EQ(asked_domains, 1);
    CHECK_EQ(rvt_dealloc_ucontext(world.fixtures[0].context, true), 0);
    CHECK_EQ(asked_domains, DOMAINS);
    CHECK_EQ(rvt_mr_exit(world.device, true, NULL), 0);
    CHECK_EQ(asked_domains, 2 * DOMAINS);
    world_close();
}

/* --- the number of child kinds that a domain supports --- */

static void a_domain_supports_a_limited_number_of_child_kinds(void) {
    enum { MORE = RVT_MOST_CHILD_KINDS - 3 }; /* besides queue pairs, regions and windows */
    struct rvt_object_kind more[MORE + 1];
    const struct rvt_object_kind *list[MORE + 1];
    for (uint32_t i = 0; i <= MORE; i++) {
        more[i] = parts;
        more[i].number = PART + i;
        list[i] = &more[i];
    }
    for (uint32_t count = MORE; count <= MORE + 1; count++) {
        const struct rvt_extension extension = {.kinds = list, .kind_count = count};
        const struct rvt_extension *const extensions[] = {&extension};
        struct rvt_dev_info *device = NULL;
        int error = rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 4,
                                                                    .extensions = extensions,
                                                                    .extension_count = 1},
                                       &device);
        CHECK_EQ(error, count == MORE ? 0 : -RVT_EINVAL);
        if (error)
            continue;
        /* One object of each kind in one domain. */
        struct rvt_pd_handle pd;
        CHECK_EQ(rvt_alloc_pd(device, NULL, false, &pd), 0);
        rvt_mutex_lock(&device->lock);
        for (uint32_t i = 0; i < MORE; i++) {
            struct part *part = (struct part *)rvt_take_owned(device, PART + i, NULL);
            REQUIRE(part != NULL);
            part->pd = pd.pd;
            rvt_owned_birth(&part->owned, PART + i);
        }
        CHECK_EQ(pd.pd->children, MORE);
        for (uint32_t i = 0; i < MORE; i++) {
            struct rvt_owned *owned = (struct rvt_owned *)rvt_next_owned(device, PART + i, NULL, NULL);
            REQUIRE(owned != NULL);
            rvt_owned_death(owned, PART + i);
            rvt_give_owned(owned, PART + i);
            CHECK_EQ(pd.pd->children, MORE - 1 - i);
        }
        rvt_mutex_unlock(&device->lock);
        CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
        rvt_dev_put(device);
    }
}

/* An object that is taken and given back unused leaves no trace. */
static void an_unused_object_leaves_no_trace(void) {
    struct fixture f;
    REQUIRE(fixture_open_with(&f, with_room));
    rvt_mutex_lock(&f.device->lock);
    struct rvt_owned *owned = rvt_take_owned(f.device, PART, NULL);
    REQUIRE(owned != NULL);
    rvt_give_owned(owned, PART);
    CHECK(rvt_next_owned(f.device, PART, NULL, NULL) == NULL);
    rvt_mutex_unlock(&f.device->lock);
    fixture_close(&f);
}

CHECK_MAIN(TEST(contexts_and_domains_close_their_objects_in_any_order),
           TEST(closing_the_device_closes_every_object_once),
           TEST(closing_visits_only_the_objects_that_close),
           TEST(a_domain_supports_a_limited_number_of_child_kinds), TEST(an_unused_object_leaves_no_trace))
