/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/sge_copy.h"

#include <pthread.h>
#include <sched.h>

#include "fixture.h"

/* The memory of all regions, with gaps that no region covers. `shadow` holds the expected bytes. */
enum { ARENA = 64 * PAGE };
static alignas(4096) unsigned char arena[ARENA], shadow[ARENA];

static void fill_arena(uint64_t seed) {
    for (size_t i = 0; i < ARENA; i++)
        arena[i] = shadow[i] = (unsigned char)dice(&seed);
}

/* --- comparison with a naive copy --- */

enum { REGIONS = 7, REGION_BYTES = 12 * PAGE, MAX_ELEMENTS = 12 };

/* A region, with the arena index of each of its bytes. */
struct known {
    uint32_t key, length;
    uint64_t base; /* local address of the first byte */
    uint32_t place[REGION_BYTES];
};

static struct known regions[REGIONS];

static void add_bytes(struct known *known, uint64_t place, uint64_t length) {
    for (uint64_t i = 0; i < length; i++)
        known->place[known->length++] = (uint32_t)(place + i);
}

static void know_user(struct fixture *f, struct known *known, uint64_t place, uint64_t length,
                      uint64_t start) {
    known->base = start;
    known->key = fixture_key(fixture_reg(f, arena + place, length, start, start, LOCAL_WRITE));
    add_bytes(known, place, length);
}

/* Maps DMA memory at `address`, from index `place` of the arena on; key 0 reaches it. */
static void know_mapping(struct fixture *f, struct known *known, uint64_t place, uint64_t length,
                         uint64_t address) {
    fixture_dma(f, arena + place, length, address);
    known->base = address;
    known->key = 0;
    add_bytes(known, place, length);
}

static void know_list(struct fixture *f, struct known *known, const struct rvt_sg_element *list,
                      uint32_t count, const struct known *mappings) {
    struct rvt_sg_outcome outcome;
    struct rvt_mr_handle mr = fixture_mem_reg(f, 32);
    CHECK_EQ(rvt_map_mr_sg(mr, list, count, 0, PAGE, &outcome), count);
    known->key = fixture_key(mr);
    CHECK_EQ(rvt_fast_reg_mr(f->qp, mr, known->key, LOCAL_WRITE, NULL), 0);
    known->base = list[0].address;
    for (uint32_t i = 0; i < count; i++)
        for (int m = 0; m < 2; m++)
            if (list[i].address >= mappings[m].base &&
                list[i].address < mappings[m].base + mappings[m].length)
                add_bytes(known, mappings[m].place[list[i].address - mappings[m].base], list[i].length);
    CHECK_EQ(outcome.length, known->length);
}

static void know_pages(struct fixture *f, struct known *known, const uint64_t *pages, uint32_t count,
                       uint32_t shift, uint64_t iova, const struct known *mappings) {
    struct rvt_mr_handle fmr = fixture_fmr(f, LOCAL_WRITE, count, shift);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, count, iova), 0);
    known->key = fixture_key(fmr);
    known->base = iova;
    for (uint32_t i = 0; i < count; i++)
        for (int m = 0; m < 2; m++)
            if (pages[i] >= mappings[m].base && pages[i] < mappings[m].base + mappings[m].length)
                add_bytes(known, mappings[m].place[pages[i] - mappings[m].base], UINT64_C(1) << shift);
}

static void know_regions(struct fixture *f, uint64_t *seed) {
    memset(regions, 0, sizeof(regions));
    know_mapping(f, &regions[0], 2 * PAGE + 100, 7 * PAGE - 300, 0x10000);
    know_mapping(f, &regions[1], 20 * PAGE + 1, 5 * PAGE + 5, 0x80000);
    know_user(f, &regions[2], 40 * PAGE + 17, 5 * PAGE + 3, 0x7f123);
    know_user(f, &regions[3], 50 * PAGE + 8, 700, 0xfff);
    struct rvt_mr_handle dma;
    CHECK_EQ(rvt_get_dma_mr(f->pd, 0, &dma), 0);
    /* Consecutive pages first, so that SGEs coalesce, then pages that are not consecutive, in both
     * mappings. */
    struct rvt_sg_element list[] = {{0x10000, 2 * PAGE}, {0x12000, PAGE}, {0x81000, PAGE}, {0x14000, 0x900}};
    know_list(f, &regions[4], list, 4, regions);
    uint64_t pages[64];
    for (int i = 0; i < 64; i++) {
        uint64_t m = roll(seed, 2);
        pages[i] = regions[m].base + roll(seed, regions[m].length - 64);
    }
    know_pages(f, &regions[5], pages, 64, (uint32_t)roll(seed, 7), 0x5555, regions);
    uint64_t own[] = {0x10000, 0x11000, 0x12000};
    know_pages(f, &regions[6], own, 3, 12, 0x10000, regions);
}

static void copies_of_sge_lists_match_a_naive_copy(void) {
    static unsigned char data[MAX_ELEMENTS * 3 * PAGE + 64];
    static uint32_t places[MAX_ELEMENTS * 3 * PAGE];
    uint64_t seed = 77, merged = 0;
    for (int world = 0; world < 8; world++) {
        struct fixture f;
        REQUIRE(fixture_open(&f, 4));
        fill_arena(seed);
        know_regions(&f, &seed);
        for (int round = 0; round < random_rounds(500); round++) {
            struct rvt_sge sge[MAX_ELEMENTS], *list[MAX_ELEMENTS];
            uint32_t asked = 1 + (uint32_t)roll(&seed, MAX_ELEMENTS), count = 0, total = 0;
            uint64_t r = 0, off = 0, length = 0;
            for (uint32_t i = 0; i < asked; i++) {
                if (i && off + length < regions[r].length && roll(&seed, 2)) {
                    off += length; /* the SGE starts where the previous one ends */
                } else {
                    r = roll(&seed, REGIONS);
                    off = roll(&seed, 2) ? roll(&seed, regions[r].length)
                                         : roll(&seed, regions[r].length) / PAGE * PAGE;
                }
                static const uint64_t limits[] = {1, 9, 200, PAGE + 1, 2 * PAGE};
                length = roll(&seed, 2) ? roll(&seed, limits[roll(&seed, 5)])
                                        : PAGE - (regions[r].base + off) % PAGE; /* up to a page's end */
                if (length > regions[r].length - off)
                    length = regions[r].length - off;
                int answer = local_in(&f, f.pd, &sge[count], count ? &sge[count - 1] : NULL,
                                      regions[r].base + off, (uint32_t)length, regions[r].key, LOCAL_WRITE);
                CHECK(answer == 1 || (answer == 0 && count));
                merged += answer == 0;
                if (answer == 1) {
                    list[count] = &sge[count];
                    count++;
                }
                for (uint64_t k = 0; k < length; k++)
                    places[total++] = regions[r].place[off + k];
            }
            struct rvt_sge_state ss;
            struct rvt_data_call call;
            struct rvt_copied copied;
            bool in = roll(&seed, 2), ordered = roll(&seed, 2), release = roll(&seed, 2);
            rvt_data_call_begin(&call, f.reader, NULL);
            CHECK_EQ(rvt_ss_init(&ss, list, count), 0);
            CHECK_EQ(rvt_ss_total_len(&ss), total);
            memset(data, 0xee, sizeof(data));
            for (uint32_t at = 0; at < total;) {
                uint32_t step = roll(&seed, 2) ? total - at : 1 + (uint32_t)roll(&seed, total - at);
                unsigned char *mine = data + 32; /* guard bytes before and after */
                if (in) {
                    for (uint32_t k = 0; k < step; k++)
                        mine[k] = (unsigned char)dice(&seed);
                    CHECK_EQ(rvt_copy_sge(&call, &ss, mine, step, release, ordered, &copied), 0);
                    for (uint32_t k = 0; k < step; k++)
                        shadow[places[at + k]] = mine[k];
                } else {
                    CHECK_EQ(rvt_copy_sge_out(&call, &ss, mine, step, release, &copied), 0);
                    for (uint32_t k = 0; k < step; k++)
                        if (mine[k] != shadow[places[at + k]])
                            CHECK_EQ(mine[k], shadow[places[at + k]]);
                    for (uint32_t k = 0; k < 32; k++) {
                        CHECK_EQ(data[k], 0xee);
                        CHECK_EQ(mine[step + k], 0xee);
                    }
                    memset(data, 0xee, step + 64);
                }
                CHECK_EQ(copied.bytes, step);
                CHECK_EQ(copied.reason, RVT_REASON_NONE);
                at += step;
                CHECK_EQ(rvt_ss_total_len(&ss), total - at);
            }
            CHECK_EQ(rvt_copy_sge_out(&call, &ss, data, 1, release, &copied), -RVT_EINVAL);
            CHECK_BYTES_EQ(arena, shadow, ARENA); /* compare all bytes, even those that no region covers */
            for (uint32_t i = 0; i < count; i++) {
                /* SGEs that were consumed are put, if `release` is set. The walk never reaches empty SGEs at
                 * the end. */
                if (sge[i].sge_length && total)
                    CHECK_EQ(sge[i].mr == NULL, release);
                rvt_put_sge(&sge[i]);
            }
            if (atomic_load(&check_failures)) {
                printf("# world %d round %d\n", world, round);
                return;
            }
        }
        struct rvt_table_head head = fixture_head(f.device);
        CHECK_EQ(head.used, 5);
        fixture_close(&f);
    }
    CHECK(merged > 100);
}

/* --- lengths and access rights --- */

static void a_copy_longer_than_the_sge_is_refused(void) {
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_copied copied = {99, RVT_REMAPPED};
    unsigned char data[64] = {0};
    REQUIRE(fixture_open(&f, 4));
    fill_arena(1);
    struct rvt_mr_handle mr = fixture_reg(&f, arena, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    CHECK_EQ(local(&f, &sge, 0x5000, 16, fixture_key(mr), LOCAL_WRITE), 1);
    CHECK_EQ(put_bytes(&f, &sge, data, 17, &copied), -RVT_EINVAL);
    CHECK_EQ(copied.bytes, 0);
    CHECK_EQ(put_bytes(&f, &sge, data, UINT64_MAX, &copied), -RVT_EINVAL);
    CHECK_EQ(put_bytes(&f, &sge, data, (UINT64_C(1) << 32) + 1, &copied), -RVT_EINVAL);
    CHECK_EQ(get_bytes(&f, &sge, data, 17, &copied), -RVT_EINVAL);
    CHECK_BYTES_EQ(arena, shadow, ARENA);
    CHECK_EQ(put_bytes(&f, &sge, data, 0, &copied), 0);
    CHECK_EQ(copied.bytes, 0);
    CHECK_EQ(put_bytes(&f, &sge, data, 16, &copied), 0);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static void a_copy_needs_the_matching_right(void) {
    struct fixture f;
    REQUIRE(
        fixture_open_with(&f, (struct rvt_device_options){.lkey_table_bits = 4, .remote_key_zero = true}));
    fill_arena(2);
    fixture_dma(&f, arena, PAGE, 0x10000);
    struct rvt_mr_handle mr = fixture_reg(&f, arena, PAGE, 0x10000, 0x10000, ALL_ACCESS), dma;
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    for (int zero = 0; zero < 2; zero++) {
        uint32_t key = zero ? 0 : fixture_key(mr);
        for (uint32_t acc = 0; acc < 16; acc++) {
            struct rvt_sge sge;
            struct rvt_copied copied;
            unsigned char data[16] = {0};
            bool writes = acc & (LOCAL_WRITE | REMOTE_WRITE);
            for (int remotely = 0; remotely < 2; remotely++) {
                if (remotely && !acc && !zero)
                    continue; /* a remote check without rights is never accepted */
                CHECK_EQ(remotely ? remote(&f, &sge, 0x10000, 16, key, acc)
                                  : local(&f, &sge, 0x10000, 16, key, acc),
                         1);
                fill_arena(2);
                CHECK_EQ(put_bytes(&f, &sge, data, 16, &copied), writes ? 0 : -RVT_EACCES);
                CHECK_EQ(copied.reason, writes ? RVT_REASON_NONE : RVT_ACCESS_DENIED);
                CHECK_EQ(copied.bytes, writes ? 16 : 0);
                if (writes)
                    memset(shadow, 0, 16);
                CHECK_BYTES_EQ(arena, shadow, ARENA);
                bool reads = !remotely || acc & REMOTE_READ;
                memset(data, 0x77, 16);
                CHECK_EQ(get_bytes(&f, &sge, data, 16, &copied), reads ? 0 : -RVT_EACCES);
                CHECK_EQ(copied.reason, reads ? RVT_REASON_NONE : RVT_ACCESS_DENIED);
                CHECK_EQ(data[0], reads ? shadow[0] : 0x77);
                rvt_put_sge(&sge);
            }
        }
    }
    /* An SGE has only the rights that its check found: both were requested, and the region grants one. */
    struct rvt_mr_handle reader = fixture_reg(&f, arena, PAGE, 0x5000, 0x5000, REMOTE_READ);
    struct rvt_sge sge;
    struct rvt_copied copied;
    CHECK_EQ(remote(&f, &sge, 0x5000, 16, fixture_key(reader), REMOTE_READ | REMOTE_WRITE), 1);
    CHECK_EQ(put_bytes(&f, &sge, "0123456789abcdef", 16, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_ACCESS_DENIED);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* If a later SGE is refused, the bytes of the earlier ones stay unchanged. An SGE that the copy does not
 * reach is not checked. */
static void a_refused_copy_moves_nothing(void) {
    struct fixture f;
    struct rvt_sge a, b;
    struct rvt_sge_state ss, before;
    struct rvt_data_call call;
    struct rvt_copied copied;
    unsigned char data[32] = {0};
    memset(&ss, 0, sizeof(ss)); /* padding is compared, too */
    REQUIRE(fixture_open(&f, 4));
    fill_arena(3);
    fixture_dma(&f, arena + 8 * PAGE, 4 * PAGE, 0x10000);
    struct rvt_mr_handle user = fixture_reg(&f, arena, PAGE, 0x5000, 0x5000, ALL_ACCESS),
                         fmr = fixture_fmr(&f, ALL_ACCESS, 2, 12);
    CHECK_EQ(rvt_map_phys_fmr(fmr, &(uint64_t){0x10000}, 1, 0), 0);
    CHECK_EQ(local(&f, &a, 0x5000, 16, fixture_key(user), LOCAL_WRITE), 1);
    struct rvt_sge *list[] = {&a, &b};
    for (int how = 0; how < 4; how++) {
        enum rvt_reason want = RVT_ACCESS_DENIED;
        if (how == 2 || how == 3) {
            CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), 0);
            fmr = fixture_fmr(&f, ALL_ACCESS, 2, 12);
            CHECK_EQ(rvt_map_phys_fmr(fmr, &(uint64_t){0x10000}, 1, 0), 0);
        }
        CHECK_EQ(local(&f, &b, 0, 16, fixture_key(fmr), how ? LOCAL_WRITE : 0), 1);
        if (how == 1) {
            want = RVT_REMAPPED;
            CHECK_EQ(rvt_unmap_fmr(&fmr, 1), 0);
        } else if (how == 2) {
            want = RVT_REGION_REVOKED;
            CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE_FORCE), 0);
        } else if (how == 3) {
            want = RVT_REGION_REVOKED; /* put after the SGE list was set up */
            CHECK_EQ(rvt_ss_init(&ss, list, 2), 0);
            rvt_put_sge(&b);
        }
        rvt_data_call_begin(&call, f.reader, NULL);
        if (how != 3)
            CHECK_EQ(rvt_ss_init(&ss, list, 2), 0);
        before = ss;
        CHECK_EQ(rvt_copy_sge(&call, &ss, data, 17, true, how & 1, &copied), -RVT_EACCES);
        CHECK_EQ(copied.reason, want);
        CHECK_EQ(copied.bytes, 0);
        CHECK_BYTES_EQ(&ss, &before, sizeof(ss));
        CHECK_BYTES_EQ(arena, shadow, ARENA);
        CHECK_EQ(fixture_refs(user), 3);
        /* A copy that ends with the first SGE succeeds. */
        CHECK_EQ(rvt_copy_sge(&call, &ss, shadow, 16, false, false, &copied), 0);
        rvt_put_sge(&b);
        if (how == 2)
            fmr = fixture_fmr(&f, ALL_ACCESS, 2, 12);
        if (how != 2)
            CHECK_EQ(rvt_map_phys_fmr(fmr, &(uint64_t){0x10000}, 1, 0), 0);
    }
    /* Put the SGE while the state still holds a copy of it. */
    rvt_data_call_begin(&call, f.reader, NULL);
    CHECK_EQ(rvt_ss_init(&ss, list, 1), 0);
    rvt_put_sge(&a);
    CHECK_EQ(rvt_copy_sge(&call, &ss, data, 8, false, false, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_REGION_REVOKED);
    CHECK_EQ(rvt_copy_sge_out(&call, &ss, data, 8, false, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_REGION_REVOKED);
    CHECK_BYTES_EQ(arena, shadow, ARENA);
    fixture_close(&f);
}

static void mapping_the_region_again_refuses_older_sges(void) {
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_copied copied;
    struct rvt_sg_outcome outcome;
    unsigned char data[16] = {0};
    REQUIRE(fixture_open(&f, 4));
    fill_arena(4);
    fixture_dma(&f, arena, 4 * PAGE, 0x10000);
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 4);
    struct rvt_sg_element one = {0x10000, PAGE}, other = {0x12000, PAGE};
    CHECK_EQ(rvt_map_mr_sg(mr, &one, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, fixture_key(mr), ALL_ACCESS, NULL), 0);
    CHECK_EQ(remote(&f, &sge, 0x10000, 16, fixture_key(mr), REMOTE_WRITE), 1);
    CHECK_EQ(rvt_map_mr_sg(mr, &other, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(put_bytes(&f, &sge, data, 16, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_REMAPPED);
    /* Mapping the first list again does not help: it is a new mapping. */
    CHECK_EQ(rvt_map_mr_sg(mr, &one, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(put_bytes(&f, &sge, data, 16, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_REMAPPED);
    CHECK_BYTES_EQ(arena, shadow, ARENA);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* --- copies ask the memory's owner for its bytes --- */

struct owned {
    struct rvt_memory memory;
    unsigned char *data;
    enum rvt_reason answer;
    void *environment; /* the only environment that may use the memory; NULL: any */
    int asked, released;
    int refuse_from;            /* number of calls of resolve() that succeed before it refuses */
    struct rvt_retired *retire; /* the first call of resolve() retires this item in `of` */
    struct rvt_retirement *of;
};

static atomic_int retired_freed;

static void free_nothing(struct rvt_retired *retired) {
    (void)retired;
    atomic_fetch_add(&retired_freed, 1);
}

static enum rvt_reason owned_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    struct owned *owned = (struct owned *)memory;
    owned->asked++;
    if (owned->retire) {
        if (owned->asked == 1)
            rvt_retire(owned->of, owned->retire, free_nothing);
        rvt_reclaim(owned->of);
    }
    if (owned->environment && owned->environment != environment)
        return RVT_OTHER_ENVIRONMENT;
    if (owned->answer && owned->asked > owned->refuse_from)
        return owned->answer;
    *data = owned->data;
    return RVT_REASON_NONE;
}

static void owned_release(struct rvt_memory *memory) {
    ((struct owned *)memory)->released++;
}

static const struct rvt_memory_ops owned_ops = {owned_resolve, owned_release, NULL};

static struct rvt_mr_handle reg_owned(struct fixture *f, struct owned *owned, unsigned char *data,
                                      uint64_t length, uint64_t start) {
    struct rvt_mr_handle mr = {0};
    *owned = (struct owned){.data = data};
    rvt_memory_init(&owned->memory, &owned_ops, length);
    CHECK_EQ(rvt_reg_user_mr(f->pd, &owned->memory, start, start, ALL_ACCESS, &mr), 0);
    rvt_memory_put(&owned->memory);
    return mr;
}

static void a_copy_is_refused_if_user_memory_is_unusable(void) {
    static const enum rvt_reason answers[] = {RVT_MEMORY_DETACHED, RVT_MEMORY_SHRUNK, RVT_OTHER_ENVIRONMENT};
    struct fixture f;
    struct owned first, owned;
    unsigned char data[32] = {0};
    int mine = 0;
    REQUIRE(fixture_open(&f, 4));
    fill_arena(5);
    struct rvt_mr_handle before = reg_owned(&f, &first, arena, PAGE, 0x5000),
                         mr = reg_owned(&f, &owned, arena + 4 * PAGE, PAGE, 0x9000);
    for (int i = 0; i < 4; i++) {
        struct rvt_sge sge[2], *list[] = {&sge[0], &sge[1]};
        struct rvt_sge_state ss;
        struct rvt_data_call call;
        struct rvt_copied copied;
        enum rvt_reason want = i < 3 ? answers[i] : RVT_OTHER_ENVIRONMENT;
        owned.answer = i < 3 ? answers[i] : RVT_REASON_NONE;
        owned.environment = i < 3 ? NULL : &mine;
        /* A check looks only at keys, addresses and rights, so it accepts the access. */
        CHECK_EQ(remote(&f, &sge[0], 0x5000, 16, fixture_key(before), REMOTE_WRITE | REMOTE_READ), 1);
        CHECK_EQ(remote(&f, &sge[1], 0x9000, 16, fixture_key(mr), REMOTE_WRITE | REMOTE_READ), 1);
        CHECK_EQ(rvt_ss_init(&ss, list, 2), 0);
        rvt_data_call_begin(&call, f.reader, &first);
        CHECK_EQ(rvt_copy_sge(&call, &ss, data, 32, false, true, &copied), -RVT_EACCES);
        CHECK_EQ(copied.reason, want);
        CHECK_EQ(copied.bytes, 0);
        CHECK_EQ(rvt_copy_sge_out(&call, &ss, data, 32, false, &copied), -RVT_EACCES);
        CHECK_EQ(copied.reason, want);
        CHECK_EQ(copied.bytes, 0);
        CHECK_BYTES_EQ(arena, shadow, ARENA);
        if (i == 3) { /* the environment that registered the memory can use it */
            rvt_data_call_begin(&call, f.reader, &mine);
            CHECK_EQ(rvt_copy_sge(&call, &ss, shadow, 16, false, false, &copied), 0);
            CHECK_EQ(rvt_copy_sge(&call, &ss, shadow + 4 * PAGE, 16, false, false, &copied), 0);
            CHECK_BYTES_EQ(arena, shadow, ARENA);
        }
        rvt_put_sge(&sge[0]);
        rvt_put_sge(&sge[1]);
    }
    fixture_close(&f);
    CHECK_EQ(owned.released, 1);
}

static void a_copy_is_refused_if_dma_memory_is_unusable(void) {
    struct fixture f;
    struct owned owned = {.data = arena};
    struct rvt_dma_handle dma;
    struct rvt_mr_handle mr;
    struct rvt_sg_outcome outcome;
    uint64_t address = 0x20000;
    REQUIRE(fixture_open(&f, 4));
    fill_arena(6);
    fixture_dma(&f, arena + 8 * PAGE, 2 * PAGE, 0x10000);
    rvt_memory_init(&owned.memory, &owned_ops, 2 * PAGE);
    CHECK_EQ(rvt_dma_map(f.device, NULL, &owned.memory, true, &address, &dma), 0);
    rvt_memory_put(&owned.memory);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &mr), 0);
    struct rvt_mr_handle sg = fixture_mem_reg(&f, 4), fmr = fixture_fmr(&f, ALL_ACCESS, 4, 12);
    struct rvt_sg_element list[] = {{0x10000, PAGE}, {0x20000, PAGE}};
    CHECK_EQ(rvt_map_mr_sg(sg, list, 2, 0, PAGE, &outcome), 2);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x20000, 0x21000}, 2, 0x5000), 0);
    struct rvt_sge sge[3];
    CHECK_EQ(local(&f, &sge[0], 0x20000, 16, 0, LOCAL_WRITE), 1);
    /* The second half of the SGE lies in the refusing memory. */
    CHECK_EQ(local(&f, &sge[1], 0x10ff0, 0x20, fixture_key(sg), 0), 1);
    CHECK_EQ(local(&f, &sge[2], 0x5000, 2 * PAGE, fixture_key(fmr), LOCAL_WRITE), 1);
    owned.answer = RVT_MEMORY_DETACHED;
    for (int i = 0; i < 3; i++) {
        unsigned char data[2 * PAGE];
        struct rvt_copied copied;
        memset(data, 0x31, sizeof(data));
        CHECK_EQ(get_bytes(&f, &sge[i], data, sge[i].sge_length, &copied), -RVT_EACCES);
        CHECK_EQ(copied.reason, RVT_MEMORY_DETACHED);
        CHECK_EQ(copied.bytes, 0);
        CHECK_EQ(data[0], 0x31);
        if (i == 1)
            CHECK_EQ(get_bytes(&f, &sge[i], data, 16, &copied), 0); /* the first half of the SGE is usable */
        rvt_put_sge(&sge[i]);
    }
    fixture_close(&f);
}

static void a_copy_resolves_each_memory_once(void) {
    struct fixture f;
    struct owned owned[3];
    struct rvt_mr_handle mr[3];
    struct rvt_sge sge[30], *list[30];
    struct rvt_sge_state ss;
    struct rvt_data_call call;
    struct rvt_copied copied;
    static unsigned char data[30 * 2000];
    REQUIRE(fixture_open(&f, 4));
    fill_arena(7);
    for (int i = 0; i < 3; i++)
        mr[i] = reg_owned(&f, &owned[i], arena + 4 * i * PAGE, 4 * PAGE, 0x10000 * (uint64_t)(i + 1));
    for (int i = 0; i < 30; i++) {
        uint64_t at = 0x10000 * (uint64_t)(i % 3 + 1) + (uint64_t)i * 100;
        CHECK_EQ(local(&f, &sge[i], at, 2000, fixture_key(mr[i % 3]), LOCAL_WRITE), 1);
        list[i] = &sge[i];
    }
    for (int out = 0; out < 2; out++) {
        for (int i = 0; i < 3; i++)
            owned[i].asked = 0;
        rvt_data_call_begin(&call, f.reader, NULL);
        CHECK_EQ(rvt_ss_init(&ss, list, 30), 0);
        CHECK_EQ(out ? rvt_copy_sge_out(&call, &ss, data, sizeof(data), false, &copied)
                     : rvt_copy_sge(&call, &ss, data, sizeof(data), false, true, &copied),
                 0);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(owned[i].asked, 1);
    }
    for (int i = 0; i < 30; i++)
        rvt_put_sge(&sge[i]);
    fixture_close(&f);
}

/* Between two copies with the same rvt_data_call another thread may free a memory, and the next one may get
 * the same address: a cached answer for the first must not be used for the second. */
static void each_copy_resolves_its_memory_anew(void) {
    struct fixture f;
    struct owned owned;
    struct rvt_sge sge;
    struct rvt_sge_state ss;
    struct rvt_data_call call;
    struct rvt_copied copied;
    unsigned char data[16] = "now in the other";
    REQUIRE(fixture_open(&f, 4));
    fill_arena(8);
    rvt_data_call_begin(&call, f.reader, NULL);
    struct rvt_mr_handle mr = reg_owned(&f, &owned, arena, PAGE, 0x5000);
    CHECK_EQ(local(&f, &sge, 0x5000, 16, fixture_key(mr), LOCAL_WRITE), 1);
    CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
    CHECK_EQ(rvt_copy_sge(&call, &ss, shadow, 16, true, false, &copied), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(owned.released, 1); /* the memory's bytes may be reused from here on */

    mr = reg_owned(&f, &owned, arena + 4 * PAGE, PAGE, 0x5000);
    CHECK_EQ(local(&f, &sge, 0x5000, 16, fixture_key(mr), LOCAL_WRITE), 1);
    CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
    CHECK_EQ(rvt_copy_sge(&call, &ss, data, 16, true, false, &copied), 0);
    memcpy(shadow + 4 * PAGE, data, 16);
    CHECK_BYTES_EQ(arena, shadow, ARENA);
    fixture_close(&f);
}

static void an_sge_listed_twice_cannot_be_released(void) {
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_sge_state ss;
    struct rvt_data_call call;
    struct rvt_copied copied;
    unsigned char data[32] = {0};
    REQUIRE(fixture_open(&f, 4));
    fill_arena(9);
    struct rvt_mr_handle mr = fixture_reg(&f, arena, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    CHECK_EQ(local(&f, &sge, 0x5000, 16, fixture_key(mr), LOCAL_WRITE), 1);
    struct rvt_sge *list[] = {&sge, &sge};
    /* The SGE has one reference to release, so the copy is refused before it moves anything, as a walk would
     * be. */
    rvt_data_call_begin(&call, f.reader, NULL);
    CHECK_EQ(rvt_ss_init(&ss, list, 2), 0);
    CHECK_EQ(rvt_copy_sge(&call, &ss, data, 32, true, false, &copied), -RVT_EINVAL);
    CHECK_EQ(copied.bytes, 0);
    CHECK_BYTES_EQ(arena, shadow, ARENA);
    CHECK_EQ(fixture_refs(mr), 3);
    CHECK_EQ(rvt_copy_sge(&call, &ss, data, 32, false, false, &copied),
             0); /* without release an SGE may be listed twice, and is written twice */
    rvt_put_sge(&sge);
    CHECK_EQ(fixture_refs(mr), 2);
    fixture_close(&f);
}

/* --- copies longer than a section --- */

enum { LONG = (5 << 20) / 2 };
static unsigned char long_region[LONG + 64], long_data[LONG + 64];

static void long_copies_do_not_hold_up_reclaim(void) {
    struct fixture f;
    struct owned owned;
    struct rvt_sge sge;
    struct rvt_copied copied;
    struct rvt_retired item;
    uint64_t seed = 10;
    const int freed = atomic_load(&retired_freed);
    REQUIRE(fixture_open(&f, 4));
    memset(long_region, 0x11, sizeof(long_region));
    for (size_t i = 0; i < LONG; i++)
        long_data[i] = (unsigned char)dice(&seed);
    struct rvt_mr_handle mr = reg_owned(&f, &owned, long_region + 32, LONG, 0x5000);
    CHECK_EQ(local(&f, &sge, 0x5000, LONG, fixture_key(mr), LOCAL_WRITE), 1);
    owned.retire = &item;
    owned.of = &f.device->retirement;
    CHECK_EQ(put_bytes(&f, &sge, long_data, LONG, &copied), 0);
    CHECK_EQ(copied.bytes, LONG);
    CHECK_BYTES_EQ(long_region + 32, long_data, LONG);
    for (int i = 0; i < 32; i++)
        CHECK(long_region[i] == 0x11 && long_region[32 + LONG + i] == 0x11);
    /* The object retired in the first section was freed before the last section. */
    CHECK_EQ(atomic_load(&retired_freed), freed + 1);
    owned.retire = NULL;

    /* The memory is detached in the middle of a copy. The bytes copied so far are reported. */
    owned.asked = 0;
    owned.answer = RVT_MEMORY_DETACHED;
    owned.refuse_from = 1;
    memset(long_region, 0x11, sizeof(long_region));
    CHECK_EQ(put_bytes(&f, &sge, long_data, LONG, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_MEMORY_DETACHED);
    CHECK(copied.bytes > 0 && copied.bytes < LONG);
    CHECK_BYTES_EQ(long_region + 32, long_data, copied.bytes);
    CHECK_EQ(long_region[32 + copied.bytes], 0x11);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* --- ordered copies --- */

static atomic_bool go;

struct message {
    _Alignas(64) unsigned char bytes[128];
};

static struct message mailbox;

static void *poll_last_byte(void *argument) {
    size_t length = *(size_t *)argument;
    _Atomic(unsigned char) *last = (_Atomic(unsigned char) *)&mailbox.bytes[length - 1];
    for (unsigned char turn = 1; turn <= 200; turn++) {
        while (atomic_load_explicit(last, memory_order_acquire) != turn)
            sched_yield(); /* valgrind runs one thread at a time and schedules unfairly */
        /* A thread that sees the last byte must see all bytes. Plain loads, so that ThreadSanitizer checks
         * the ordering, too. */
        for (size_t i = 0; i < length; i++)
            CHECK_EQ(mailbox.bytes[i], turn);
        atomic_store_explicit(&go, true, memory_order_release);
    }
    return NULL;
}

static void an_ordered_copy_writes_the_last_byte_last(void) {
    static const size_t lengths[] = {1, 2, 7, 8, 9, 64, 100};
    for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
        struct fixture f;
        struct rvt_sge sge[2], *list[] = {&sge[0], &sge[1]};
        size_t length = lengths[l];
        pthread_t poller;
        REQUIRE(fixture_open(&f, 4));
        memset(&mailbox, 0, sizeof(mailbox));
        struct rvt_mr_handle mr =
            fixture_reg(&f, mailbox.bytes, sizeof(mailbox.bytes), 0x5000, 0x5000, ALL_ACCESS);
        /* Two SGEs, so that both contain some of the last eight bytes. */
        uint32_t first = (uint32_t)(length > 4 ? length - 4 : length - 1);
        CHECK_EQ(local(&f, &sge[0], 0x5000, first, fixture_key(mr), LOCAL_WRITE), 1);
        CHECK_EQ(local(&f, &sge[1], 0x5000 + first, (uint32_t)length - first, fixture_key(mr), LOCAL_WRITE),
                 1);
        REQUIRE(pthread_create(&poller, NULL, poll_last_byte, &length) == 0);
        for (unsigned char turn = 1; turn <= 200; turn++) {
            struct rvt_sge_state ss;
            struct rvt_data_call call;
            struct rvt_copied copied;
            unsigned char data[128];
            memset(data, turn, sizeof(data));
            atomic_store(&go, false);
            rvt_data_call_begin(&call, f.reader, NULL);
            CHECK_EQ(rvt_ss_init(&ss, list, 2), 0);
            CHECK_EQ(rvt_copy_sge(&call, &ss, data, length, false, true, &copied), 0);
            CHECK_EQ(copied.bytes, length);
            while (!atomic_load_explicit(&go, memory_order_acquire))
                sched_yield(); /* valgrind runs one thread at a time and schedules unfairly */
        }
        REQUIRE(pthread_join(poller, NULL) == 0);
        rvt_put_sge(&sge[0]);
        rvt_put_sge(&sge[1]);
        fixture_close(&f);
    }
}

/* --- counters --- */

/* Every byte copied counts for the call's context and for its region. The checks were counted when the SGEs
 * were acquired. */
static void copied_bytes_count_for_the_context_and_the_region(void) {
    static unsigned char data[LONG], region_bytes[LONG];
    struct fixture f;
    struct looked own = {.accepted = 0}, at[3] = {{.accepted = 0}};
    REQUIRE(fixture_open_joined(&f, 4));
    fixture_dma(&f, arena, 4 * PAGE, 0x40000);
    struct rvt_mr_handle mr[3] = {fixture_reg(&f, region_bytes, LONG, 0, 0, ALL_ACCESS),
                                  fixture_fmr(&f, ALL_ACCESS, 4, 12),
                                  fixture_reg(&f, arena + 8 * PAGE, PAGE, 0, 0, ALL_ACCESS)},
                         plain;
    plain = fixture_reg(&f, arena + 8 * PAGE, PAGE, 0, 0, ALL_ACCESS);
    CHECK_EQ(rvt_map_phys_fmr(mr[1], (uint64_t[]){0x43000, 0x41000, 0x40000}, 3, 0), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(rvt_count_mr(mr[i]), 0);
    struct rvt_sge sge[4], *list[] = {&sge[0], &sge[1], &sge[3], &sge[2]};
    static const uint32_t lengths[] = {100, 2 * PAGE + 7, 50};
    struct rvt_data_call call;
    struct rvt_sge_state ss;
    struct rvt_copied copied;
    rvt_data_call_begin(&call, f.reader, NULL);
    CHECK(call.context == NULL);
    for (int counting = 0; counting < 2; counting++) {
        call.context = counting ? f.context : NULL;
        for (int way = 0; way < 3; way++) { /* copy out, copy in, ordered copy in */
            for (int i = 0; i < 3; i++)
                CHECK_EQ(local(&f, &sge[i], 0, lengths[i], fixture_key(mr[i]), LOCAL_WRITE), 1);
            CHECK_EQ(local(&f, &sge[3], 0, 30, fixture_key(plain), LOCAL_WRITE), 1);
            own.counts = fixture_counts(f.device, f.context);
            for (int i = 0; i < 3; i++)
                MR_COUNTED(mr[i], &at[i], 1, 0, 0);
            CHECK_EQ(rvt_ss_init(&ss, list, 4), 0);
            /* Three parts: the first ends inside an SGE, the second ends inside the last SGE, the third is
             * the rest. */
            const uint64_t parts[] = {60, 40 + 2 * PAGE + 7 + 30 + 45, 5};
            for (int part = 0; part < 3; part++) {
                CHECK_EQ(way ? rvt_copy_sge(&call, &ss, data, parts[part], true, way == 2, &copied)
                             : rvt_copy_sge_out(&call, &ss, data, parts[part], true, &copied),
                         0);
                COUNTED(&f, &own, 0, counting ? parts[part] : 0, 0, 0);
                MR_COUNTED(mr[0], &at[0], 0, 0, part == 0 ? 60 : part == 1 ? 40 : 0);
                MR_COUNTED(mr[1], &at[1], 0, 0, part == 1 ? 2 * PAGE + 7 : 0);
                MR_COUNTED(mr[2], &at[2], 0, 0, part == 1 ? 45 : part == 2 ? 5 : 0);
            }
            CHECK_EQ(rvt_copy_sge_out(&call, &ss, data, 1, true, &copied), -RVT_EINVAL);
            CHECK_EQ(rvt_copy_sge_out(&call, &ss, data, 0, true, &copied), 0);
            COUNTED(&f, &own, 0, 0, 0, 0);
        }
    }
    /* A copy of several sections. */
    CHECK_EQ(local(&f, &sge[0], 0, LONG, fixture_key(mr[0]), LOCAL_WRITE), 1);
    COUNTED(&f, &own, 1, 0, 0, 0);
    CHECK_EQ(rvt_ss_init(&ss, list, 1), 0);
    CHECK_EQ(rvt_copy_sge(&call, &ss, data, LONG, true, false, &copied), 0);
    COUNTED(&f, &own, 0, LONG, 0, 0);
    MR_COUNTED(mr[0], &at[0], 1, 0, LONG);
    /* A walk without a copy counts no bytes. */
    struct fragments fragments;
    CHECK_EQ(local(&f, &sge[1], 0, 2 * PAGE, fixture_key(mr[1]), LOCAL_WRITE), 1);
    CHECK_EQ(walk_whole(&f, &sge[1], &fragments), 0);
    COUNTED(&f, &own, 1, 0, 0, 0);
    MR_COUNTED(mr[1], &at[1], 1, 0, 0);
    rvt_put_sge(&sge[1]);
    CHECK(!fixture_query(plain).counted);
    fixture_leave_last(&f, &f);
}

/* Each refused copy counts once, with its reason. */
static void each_refused_copy_is_counted_with_its_reason(void) {
    static const enum rvt_reason answers[] = {RVT_MEMORY_DETACHED, RVT_MEMORY_SHRUNK, RVT_OTHER_ENVIRONMENT};
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_copied copied;
    struct owned owned;
    struct looked own = {.accepted = 0}, region = {.accepted = 0};
    unsigned char data[16] = {0};
    REQUIRE(fixture_open_joined(&f, 4));
    fixture_dma(&f, arena, 4 * PAGE, 0x40000);
    struct rvt_mr_handle mr = reg_owned(&f, &owned, arena, PAGE, 0x5000),
                         fmr = fixture_fmr(&f, ALL_ACCESS, 2, 12);
    CHECK_EQ(rvt_count_mr(mr), 0);
    CHECK_EQ(local(&f, &sge, 0x5000, 16, fixture_key(mr), LOCAL_WRITE), 1);
    COUNTED(&f, &own, 1, 0, 0, 0);
    MR_COUNTED(mr, &region, 1, 0, 0);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        owned.answer = answers[i];
        CHECK_EQ(put_bytes(&f, &sge, data, 16, &copied), -RVT_EACCES);
        COUNTED(&f, &own, 0, 0, answers[i], 1);
        CHECK_EQ(get_bytes(&f, &sge, data, 16, &copied), -RVT_EACCES);
        COUNTED(&f, &own, 0, 0, answers[i], 1);
    }
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    MR_COUNTED(mr, &region, 0, 0, 0); /* the refusals were no checks of the region */
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), 0);
    CHECK_EQ(get_bytes(&f, &sge, data, 16, &copied), -RVT_EACCES);
    COUNTED(&f, &own, 0, 0, RVT_REGION_REVOKED, 1);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x40000}, 1, 0x5000), 0);
    CHECK_EQ(local(&f, &sge, 0x5000, 16, fixture_key(fmr), 0), 1);
    COUNTED(&f, &own, 1, 0, 0, 0);
    CHECK_EQ(put_bytes(&f, &sge, data, 16, &copied), -RVT_EACCES);
    COUNTED(&f, &own, 0, 0, RVT_ACCESS_DENIED, 1);
    CHECK_EQ(rvt_unmap_fmr(&fmr, 1), 0);
    CHECK_EQ(get_bytes(&f, &sge, data, 16, &copied), -RVT_EACCES);
    COUNTED(&f, &own, 0, 0, RVT_REMAPPED, 1);
    rvt_put_sge(&sge);
    fixture_leave_last(&f, &f);
}

/* Copies a part of one SGE, starting at any offset, and compares it with the known places of its bytes. */
static void copies_within_one_sge_match_a_naive_copy(void) {
    static unsigned char data[3 * PAGE + 64];
    uint64_t seed = 78, pieces = 0;
    for (int world = 0; world < 4; world++) {
        struct fixture f;
        REQUIRE(fixture_open(&f, 4));
        fill_arena(seed);
        know_regions(&f, &seed);
        for (int round = 0; round < random_rounds(1500); round++) {
            struct rvt_sge sge;
            struct rvt_data_call call;
            struct rvt_copied copied;
            const struct known *in = &regions[roll(&seed, REGIONS)];
            const uint64_t first = roll(&seed, in->length), most = in->length - first;
            const uint64_t length = roll(&seed, most < 3 * PAGE ? most + 1 : 3 * PAGE);
            const uint32_t offset = (uint32_t)roll(&seed, length + 1);
            const uint64_t step = roll(&seed, length - offset + 1);
            const bool write = roll(&seed, 2), ordered = write && roll(&seed, 2);
            unsigned char *mine = data + 32; /* guard bytes before and after */
            CHECK_EQ(local(&f, &sge, in->base + first, (uint32_t)length, in->key, LOCAL_WRITE), 1);
            pieces += sge.length < length;
            memset(data, 0xee, sizeof(data));
            if (write) {
                for (uint64_t k = 0; k < step; k++)
                    shadow[in->place[first + offset + k]] = mine[k] = (unsigned char)dice(&seed);
            }
            rvt_data_call_begin(&call, f.reader, NULL);
            CHECK_EQ(rvt_copy_one(&call, &sge, offset, mine, length - offset + 1, write, ordered, &copied),
                     -RVT_EINVAL);
            CHECK_EQ(rvt_copy_one(&call, &sge, (uint32_t)length + 1, mine, 0, write, ordered, &copied),
                     -RVT_EINVAL);
            CHECK_EQ(rvt_copy_one(&call, &sge, offset, mine, step, write, ordered, &copied), 0);
            CHECK_EQ(copied.bytes, step);
            CHECK_EQ(copied.reason, RVT_REASON_NONE);
            CHECK_EQ(sge.sge_length, length); /* the SGE does not advance */
            if (!write) {
                for (uint64_t k = 0; k < step; k++)
                    if (mine[k] != shadow[in->place[first + offset + k]])
                        CHECK_EQ(mine[k], shadow[in->place[first + offset + k]]);
                for (uint64_t k = step; k < step + 32; k++)
                    CHECK_EQ(mine[k], 0xee);
            }
            CHECK_BYTES_EQ(arena, shadow, ARENA);
            rvt_put_sge(&sge);
            CHECK_EQ(rvt_copy_one(&call, &sge, 0, mine, 0, write, ordered, &copied), -RVT_EBADF);
            if (atomic_load(&check_failures)) {
                printf("# world %d round %d\n", world, round);
                return;
            }
        }
        fixture_close(&f);
    }
    CHECK(pieces > 100);
}

/* The same tests, with copies that walk an SGE state. */
#define BY_WALK(test)                                                                                        \
    static void test##_by_walk(void) {                                                                       \
        by_walk = true;                                                                                      \
        test();                                                                                              \
        by_walk = false;                                                                                     \
    }
BY_WALK(a_copy_longer_than_the_sge_is_refused)
BY_WALK(a_copy_needs_the_matching_right)
BY_WALK(a_refused_copy_moves_nothing)
BY_WALK(mapping_the_region_again_refuses_older_sges)
BY_WALK(a_copy_is_refused_if_user_memory_is_unusable)
BY_WALK(a_copy_is_refused_if_dma_memory_is_unusable)
BY_WALK(a_copy_resolves_each_memory_once)
BY_WALK(each_copy_resolves_its_memory_anew)
BY_WALK(long_copies_do_not_hold_up_reclaim)
BY_WALK(copied_bytes_count_for_the_context_and_the_region)
BY_WALK(each_refused_copy_is_counted_with_its_reason)

CHECK_MAIN(TEST(copies_of_sge_lists_match_a_naive_copy), TEST(copies_within_one_sge_match_a_naive_copy),
           TEST(a_copy_longer_than_the_sge_is_refused), TEST(a_copy_needs_the_matching_right),
           TEST(a_refused_copy_moves_nothing), TEST(mapping_the_region_again_refuses_older_sges),
           TEST(a_copy_is_refused_if_user_memory_is_unusable),
           TEST(a_copy_is_refused_if_dma_memory_is_unusable), TEST(a_copy_resolves_each_memory_once),
           TEST(each_copy_resolves_its_memory_anew), TEST(an_sge_listed_twice_cannot_be_released),
           TEST(long_copies_do_not_hold_up_reclaim), TEST(an_ordered_copy_writes_the_last_byte_last),
           TEST(copied_bytes_count_for_the_context_and_the_region),
           TEST(each_refused_copy_is_counted_with_its_reason),
           TEST(a_copy_longer_than_the_sge_is_refused_by_walk), TEST(a_copy_needs_the_matching_right_by_walk),
           TEST(a_refused_copy_moves_nothing_by_walk),
           TEST(mapping_the_region_again_refuses_older_sges_by_walk),
           TEST(a_copy_is_refused_if_user_memory_is_unusable_by_walk),
           TEST(a_copy_is_refused_if_dma_memory_is_unusable_by_walk),
           TEST(a_copy_resolves_each_memory_once_by_walk), TEST(each_copy_resolves_its_memory_anew_by_walk),
           TEST(long_copies_do_not_hold_up_reclaim_by_walk),
           TEST(copied_bytes_count_for_the_context_and_the_region_by_walk),
           TEST(each_refused_copy_is_counted_with_its_reason_by_walk))
