/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/lkey_table.h"

#include <pthread.h>
#include <sched.h>

#include "fixture.h"

static unsigned char bytes[PAGE];

/* A simple model of the kernel's rules for allocating slots and keys. */
struct model {
    uint32_t bits, next, generation, used;
    bool *taken;
};

static uint32_t model_key(struct model *model) {
    uint32_t max = 1u << model->bits;
    for (uint32_t i = 0; i < max; i++) {
        uint32_t slot = (model->next + i) % max;
        if (model->taken[slot])
            continue;
        model->taken[slot] = true;
        model->used++;
        model->next = (slot + 1) % max;
        model->generation++;
        uint64_t modulus = UINT64_C(1) << (24 - model->bits);
        uint64_t key =
            (uint64_t)slot * (UINT64_C(1) << (32 - model->bits)) + model->generation % modulus * 256;
        if (key == 0) {
            key = 0x100;
            model->generation++;
        }
        return (uint32_t)key;
    }
    return 0;
}

static void model_free(struct model *model, uint32_t key) {
    model->taken[(uint64_t)key >> (32 - model->bits)] = false;
    model->used--;
}

static void agrees(struct fixture *f, const struct model *model) {
    struct rvt_table_head head = fixture_head(f->device);
    CHECK_EQ(head.max, 1u << model->bits);
    CHECK_EQ(head.next, model->next);
    CHECK_EQ(head.generation, model->generation);
    CHECK_EQ(head.used, model->used);
}

static struct rvt_mr_handle take(struct fixture *f) {
    return fixture_reg(f, bytes, sizeof(bytes), 0x1000, 0x1000, ALL_ACCESS);
}

/* Registers a region. Returns 0 or -ENOMEM. */
static int try_take(struct fixture *f, struct rvt_mr_handle *mr) {
    struct rvt_memory *memory = rvt_fixed_memory(bytes, sizeof(bytes));
    int error = rvt_reg_user_mr(f->pd, memory, 0x1000, 0x1000, ALL_ACCESS, mr);
    rvt_memory_put(memory);
    return error;
}

static void the_first_keys_are_those_of_the_reference(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(fixture_key(take(&f)), 0x100);
    CHECK_EQ(fixture_key(take(&f)), 0x10000200);
    CHECK_EQ(fixture_key(take(&f)), 0x20000300);
    struct rvt_table_head head = fixture_head(f.device);
    CHECK_EQ(head.max, 16);
    CHECK_EQ(head.next, 3);
    CHECK_EQ(head.generation, 3);
    fixture_close(&f);
}

static void a_freed_slot_is_reused_after_a_full_round(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 2));
    struct rvt_mr_handle a = take(&f);
    take(&f);
    CHECK_EQ(rvt_dereg_mr(a, RVT_RELEASE), 0);
    CHECK_EQ(fixture_head(f.device).next, 2); /* freeing a slot does not move `next` */
    CHECK_EQ(fixture_key(take(&f)) >> 30, 2);
    CHECK_EQ(fixture_key(take(&f)) >> 30, 3);
    CHECK_EQ(fixture_key(take(&f)), 0x500); /* wraps around to slot 0 */
    CHECK_EQ(fixture_head(f.device).next, 1);
    fixture_close(&f);
}

static void every_kind_of_region_takes_keys_of_the_same_sequence(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 8));
    CHECK_EQ(fixture_key(take(&f)), 0x100);
    CHECK_EQ(fixture_key(fixture_mem_reg(&f, 4)), 0x01000200);
    CHECK_EQ(fixture_key(fixture_fmr(&f, 0, 4, 12)), 0x02000300);
    struct rvt_mr_handle dma;
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0); /* a DMA region takes no slot */
    CHECK_EQ(fixture_head(f.device).generation, 3);
    CHECK_EQ(fixture_key(take(&f)), 0x03000400);
    fixture_close(&f);
}

static void a_full_table_refuses_registrations(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 1));
    struct rvt_mr_handle a = take(&f), b = take(&f), c;
    (void)b;
    struct rvt_table_head before = fixture_head(f.device);
    CHECK_EQ(try_take(&f, &c), -RVT_ENOMEM);
    CHECK_EQ(rvt_alloc_mr(f.pd, RVT_MR_TYPE_MEM_REG, 1, &c), -RVT_ENOMEM);
    CHECK_EQ(rvt_alloc_fmr(f.pd, 0, &(struct rvt_fmr_attr){1, 1, 12}, &c), -RVT_ENOMEM);
    CHECK_EQ(rvt_reg_user_mr_test(f.pd, 0, 1, 0), -RVT_ENOMEM);
    struct rvt_table_head after = fixture_head(f.device);
    CHECK_BYTES_EQ(&before, &after, sizeof(before));
    CHECK_EQ(rvt_dereg_mr(a, RVT_RELEASE), 0);
    CHECK_EQ(rvt_reg_user_mr_test(f.pd, 0, 1, 0), 0);
    CHECK_EQ(try_take(&f, &c), 0);
    CHECK_EQ(fixture_key(c), 0x300);
    fixture_close(&f);
}

static void key_zero_is_never_issued(void) {
    /* With 12 bits the generation part has 12 bits, too: the 4096th region has generation part 0, but is not
     * in slot 0. */
    struct fixture f;
    REQUIRE(fixture_open(&f, 12));
    struct rvt_mr_handle mr, first = take(&f);
    for (uint32_t i = 2; i < 4096; i++) {
        CHECK_EQ(try_take(&f, &mr), 0);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0xfff00000);
    /* One round later slot 0 is taken, so the search finds slot 1 first, and meets slot 0 with the next
     * generation. */
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0x00100100);
    CHECK_EQ(rvt_dereg_mr(first, RVT_RELEASE), 0);
    /* Slots 2 to 4094 (4095 is held), then slot 0. */
    for (uint32_t i = 2; i < 4095; i++) {
        CHECK_EQ(try_take(&f, &mr), 0);
        CHECK_EQ(fixture_key(mr) >> 20, i);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    CHECK_EQ(fixture_head(f.device).generation, 4097 + 4093);
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0xfff00); /* slot 0 with generation 8191 */
    /* A refused call does not advance the generation. */
    CHECK_EQ(rvt_alloc_mr(f.pd, RVT_MR_TYPE_SG_GAPS, 1, &mr), -RVT_EINVAL);
    CHECK_EQ(fixture_head(f.device).generation, 8191);
    fixture_close(&f);

    REQUIRE(fixture_open(&f, 23));
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0x100); /* slot 0, generation 1 */
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0x200); /* slot 1, generation 2: its one bit is 0 */
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0x500); /* slot 2, generation 3 */
    fixture_close(&f);
}

static void the_generation_advances_twice_to_avoid_key_zero(void) {
    /* Sets the counters directly; with public calls this would take 2^23 registrations. */
    struct fixture f;
    struct rvt_mr_handle mr;
    REQUIRE(fixture_open(&f, 23));
    f.device->lkey_table.generation = 1;
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0x100);
    CHECK_EQ(fixture_head(f.device).generation, 3);
    CHECK_EQ(fixture_head(f.device).next, 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    f.device->lkey_table.next = 0;
    CHECK_EQ(try_take(&f, &mr), 0); /* generation 4 would give key 0, so it advances again */
    CHECK_EQ(fixture_key(mr), 0x100);
    CHECK_EQ(fixture_head(f.device).generation, 5);
    fixture_close(&f);

    REQUIRE(fixture_open(&f, 4));
    f.device->lkey_table.generation = UINT32_MAX; /* the counter has 32 bits */
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0x100);
    CHECK_EQ(fixture_head(f.device).generation, 1);
    f.device->lkey_table.next = 0;
    f.device->lkey_table.generation = (1u << 20) - 1;
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0x100);
    CHECK_EQ(fixture_head(f.device).generation, (1u << 20) + 1);
    /* In a slot other than 0, generation part 0 is valid and is not skipped. */
    f.device->lkey_table.generation = (1u << 20) - 1;
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), 0x10000000);
    CHECK_EQ(fixture_head(f.device).generation, 1u << 20);
    fixture_close(&f);
}

static void the_last_slot_of_the_widest_table_has_a_valid_key(void) {
    struct fixture f;
    struct rvt_mr_handle mr, next;
    REQUIRE(fixture_open(&f, 23));
    f.device->lkey_table.next = (1u << 23) - 1;
    CHECK_EQ(try_take(&f, &mr), 0);
    CHECK_EQ(fixture_key(mr), UINT32_C(0xffffff00)); /* slot 2^23 - 1, generation 1 */
    CHECK_EQ(fixture_head(f.device).next, 0);
    struct rvt_sge sge;
    CHECK_EQ(local(&f, &sge, 0x1000, 16, UINT32_C(0xffffff00), 0), 1);
    rvt_put_sge(&sge);
    CHECK_EQ(try_take(&f, &next), 0);
    CHECK_EQ(fixture_key(next), 0x100);
    fixture_close(&f);
}

static void sequential_keys_match_a_model(void) {
    static const uint32_t widths[] = {1, 2, 5, 6, 7, 9, 12};
    for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
        struct fixture f;
        REQUIRE(fixture_open(&f, widths[w]));
        uint32_t max = 1u << widths[w], count = 0;
        struct rvt_mr_handle *live = calloc(max, sizeof(*live));
        struct model model = {.bits = widths[w], .taken = calloc(max, 1)};
        REQUIRE(live && model.taken);
        uint64_t seed = widths[w];
        for (int i = 0; i < 6000; i++) {
            /* Alternates between phases of growing and shrinking, so that the table is sometimes full and
             * sometimes nearly empty. */
            bool fill = roll(&seed, 100) < (i / 700 % 2 ? 25u : 75u);
            if (fill) {
                struct rvt_mr_handle mr;
                uint32_t key = model_key(&model);
                int error = try_take(&f, &mr);
                CHECK_EQ(error, key ? 0 : -RVT_ENOMEM);
                if (!error) {
                    CHECK_EQ(fixture_key(mr), key);
                    live[count++] = mr;
                }
            } else if (count) {
                uint32_t at = (uint32_t)roll(&seed, count);
                uint32_t key = fixture_key(live[at]);
                CHECK_EQ(rvt_dereg_mr(live[at], RVT_RELEASE), 0);
                live[at] = live[--count];
                model_free(&model, key);
            }
            if (i % 16 == 0)
                agrees(&f, &model);
        }
        agrees(&f, &model);
        free(live);
        free(model.taken);
        fixture_close(&f);
    }
}

static void random_keys_are_unique_and_in_no_order(void) {
    static const uint32_t widths[] = {1, 4, 7, 16, 23};
    for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
        struct fixture f;
        uint32_t bits = widths[w];
        REQUIRE(
            fixture_open_with(&f, (struct rvt_device_options){.lkey_table_bits = bits, .random_keys = true}));
        uint32_t wanted = bits < 9 ? 1u << bits : 512;
        static uint32_t keys[512];
        uint32_t in_order = 0, low_bits = 0;
        for (uint32_t i = 0; i < wanted; i++) {
            struct rvt_mr_handle mr = take(&f);
            keys[i] = fixture_key(mr);
            CHECK(keys[i] >> 8 != 0);
            low_bits |= keys[i] & 0xff;
            CHECK((uint64_t)keys[i] >> (32 - bits) < (UINT64_C(1) << bits));
            for (uint32_t j = 0; j < i; j++)
                /* Each key has its own slot, so keys are unique. */
                CHECK(keys[i] >> (32 - bits) != keys[j] >> (32 - bits));
            in_order += keys[i] >> (32 - bits) == i;
            struct rvt_sge sge;
            CHECK_EQ(local(&f, &sge, 0x1000, 16, keys[i], 0), 1);
            rvt_put_sge(&sge);
        }
        if (bits >= 7) {
            CHECK(in_order < wanted / 2);
            CHECK_EQ(low_bits, 0xff); /* the low byte is random, too */
        }
        if (bits < 9) { /* the table is full; a refused call changes nothing */
            struct rvt_mr_handle mr;
            CHECK_EQ(try_take(&f, &mr), -RVT_ENOMEM);
        }
        CHECK_EQ(fixture_head(f.device).used, wanted);
        fixture_close(&f);
    }
}

static bool open_random(struct fixture *f, uint32_t bits) {
    return fixture_open_with(f, (struct rvt_device_options){.lkey_table_bits = bits, .random_keys = true});
}

/* The key of a deregistered region must not reach the next region in its slot: in an empty table, a half full
 * one, and one with a single free slot, whatever the consumer did with the low byte of the key. */
static void random_keys_do_not_repeat_at_once_in_a_slot(void) {
    for (uint32_t bits = 1; bits <= 16; bits++) {
        for (int fill = 0; fill < 3; fill++) {
            struct fixture f;
            REQUIRE(open_random(&f, bits));
            uint32_t max = 1u << bits, taken = fill == 0 ? 0 : fill == 1 ? max / 2 : max - 1;
            uint32_t *last = calloc(max, sizeof(*last));
            REQUIRE(last);
            for (uint32_t i = 0; i < taken; i++)
                (void)fixture_mem_reg(&f, 1);
            int again = 0, rounds = bits == 12 ? 200000 : 2000;
            for (int i = 0; i < rounds; i++) {
                struct rvt_mr_handle mr = fixture_mem_reg(&f, 1);
                uint32_t key = fixture_key(mr), slot = key >> (32 - bits);
                again += last[slot] == key >> 8;
                last[slot] = key >> 8;
                if (i % 2)
                    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key ^ (uint32_t)(i & 0xff), ALL_ACCESS, NULL), 0);
                CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
            }
            CHECK_EQ(again, 0);
            free(last);
            fixture_close(&f);
        }
    }
}

/* Returns how uneven `counts` is: the squared deviation of the chi-square sum, in units of its variance. */
static double unevenness(const uint32_t *counts, uint32_t of) {
    double all = 0, sum = 0;
    for (uint32_t i = 0; i < of; i++)
        all += counts[i];
    for (uint32_t i = 0; i < of; i++)
        sum += (counts[i] - all / of) * (counts[i] - all / of) / (all / of);
    double far = sum - (of - 1), deviation_squared = 2.0 * (of - 1);
    return far * far / deviation_squared; /* squared, which avoids a square root */
}

/* Free slots are equally likely, no matter how many taken slots lie before them: in a table with some free
 * slots (which are drawn at random) and in one with few (which are counted). */
static void every_free_slot_is_equally_likely(void) {
    static const struct {
        uint32_t bits, step; /* every `step`-th slot is free, and the first three */
    } tables[] = {{8, 8}, {8, 200}, {16, 40000}};
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        struct fixture f;
        REQUIRE(open_random(&f, tables[t].bits));
        uint32_t max = 1u << tables[t].bits, free_slots = 0;
        static uint32_t counts[1u << 16], dense[1u << 8];
        memset(counts, 0, sizeof(counts));
        struct rvt_mr_handle *live = calloc(max, sizeof(*live));
        REQUIRE(live);
        for (uint32_t i = 0; i < max; i++) {
            struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
            live[fixture_key(mr) >> (32 - tables[t].bits)] = mr;
        }
        for (uint32_t i = 0; i < max; i++)
            if (i < 3 || i % tables[t].step == 0)
                CHECK_EQ(rvt_dereg_mr(live[i], RVT_RELEASE), 0);
        for (int i = 0; i < 40000; i++) {
            struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
            counts[fixture_key(mr) >> (32 - tables[t].bits)]++;
            CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
        }
        for (uint32_t i = 0; i < max; i++) {
            if (i < 3 || i % tables[t].step == 0)
                dense[free_slots++] = counts[i];
            else
                CHECK_EQ(counts[i], 0);
        }
        CHECK(unevenness(dense, free_slots) < 36); /* six standard deviations */
        free(live);
        fixture_close(&f);
    }
}

/* The period of sequential keys: in an otherwise empty table a key repeats after max(2^bits, 2^(24 - bits))
 * registrations, and not earlier. */
static void sequential_keys_have_a_period(void) {
    static const struct {
        uint32_t bits, period;
    } tables[] = {{8, 1u << 16}, {10, 1u << 14}, {12, 1u << 12}, {16, 1u << 16}, {18, 1u << 18}};
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        struct fixture f;
        REQUIRE(fixture_open(&f, tables[t].bits));
        unsigned char *seen = calloc(1u << 24, 1); /* indexed by the upper 24 bits of the key */
        REQUIRE(seen);
        uint32_t period = 0, first = 0;
        for (uint32_t i = 0; !period && i <= tables[t].period; i++) {
            struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
            uint32_t key = fixture_key(mr);
            if (!first)
                first = key;
            if (seen[key >> 8])
                period = i;
            seen[key >> 8] = 1;
            CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
            if (period)
                CHECK_EQ(key, first);
        }
        CHECK_EQ(period, tables[t].period);
        free(seen);
        fixture_close(&f);
    }
}

/* The table fetches many random numbers at once. Each number makes one key and is then wiped. */
static void each_random_number_is_used_once(void) {
    struct fixture f;
    static const uint32_t zeros[RVT_RANDOM_NUMBERS];
    uint32_t first[RVT_RANDOM_NUMBERS] = {0};
    REQUIRE(open_random(&f, 1));
    struct rvt_lkey_table *table = &f.device->lkey_table;
    CHECK_EQ(table->random_left, 0); /* none are fetched before they are needed */
    for (uint32_t i = 0; i < 3 * RVT_RANDOM_NUMBERS; i++) {
        const uint32_t left = table->random_left ? table->random_left - 1 : RVT_RANDOM_NUMBERS - 1;
        const uint32_t number = table->random_left ? table->random_numbers[left] : 0;
        struct rvt_mr_handle mr = take(&f);
        /* A number whose slot is taken would be skipped. Here no slot is taken. */
        CHECK_EQ(table->random_left, left);
        if (number)
            CHECK_EQ(fixture_key(mr), number);
        CHECK_BYTES_EQ(table->random_numbers + left, zeros, (RVT_RANDOM_NUMBERS - left) * sizeof(*zeros));
        if (i % RVT_RANDOM_NUMBERS == 0) {
            CHECK(memcmp(table->random_numbers, first, left * sizeof(*first)) != 0);
            memcpy(first, table->random_numbers, sizeof(first));
        }
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    take(&f);
    CHECK(table->random_left != 0);
    rvt_dev_get(f.device);
    CHECK_EQ(rvt_mr_exit(f.device, true, NULL), 0);
    CHECK_EQ(table->random_left, 0);
    CHECK_BYTES_EQ(table->random_numbers, zeros, sizeof(zeros));
    rvt_dev_put(f.device);
    rvt_dev_put(f.device);
    rvt_reader_unregister(f.reader);
    CHECK_EQ(rvt_test_alloc_live(), f.live);
}

/* Fills the table except for `count` slots, which would take millions of registrations with public calls. */
static void leave_free(struct rvt_lkey_table *table, const uint32_t *slots, uint32_t count) {
    memset(table->occupied, 0xff, table->max / 8);
    table->used = table->max - count;
    for (uint32_t block = 0; block < table->max >> RVT_LKEY_BLOCK_BITS; block++)
        table->used_in[block] = RVT_LKEY_BLOCK_SLOTS;
    for (uint32_t i = 0; i < count; i++) {
        table->occupied[slots[i] / 64] &= ~(UINT64_C(1) << (slots[i] % 64));
        table->used_in[slots[i] >> RVT_LKEY_BLOCK_BITS]--;
    }
}

/* Restores the table after leave_free. */
static void leave_all_free(struct rvt_lkey_table *table) {
    memset(table->occupied, 0, table->max / 8);
    memset(table->used_in, 0, sizeof(table->used_in));
    table->used = 0;
}

/* With 23 bits a slot has two keys, apart from the low byte. It uses them in turn. */
static void the_two_keys_of_a_slot_alternate_in_the_widest_table(void) {
    static const uint32_t slots[] = {1, 5, 63, 64, 0x7fff, 0x8000, 0x123456, 0x7fffff};
    struct fixture f;
    REQUIRE(open_random(&f, 23));
    struct rvt_lkey_table *table = &f.device->lkey_table;
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        leave_free(table, &slots[i], 1);
        uint32_t last = 0;
        for (int k = 0; k < 30; k++) {
            struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
            uint32_t key = fixture_key(mr);
            CHECK_EQ(key >> 9, slots[i]);
            CHECK(k == 0 || key >> 8 == (last >> 8 ^ 1));
            last = key ^ 0x5a;
            CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, last, ALL_ACCESS, NULL), 0);
            CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
        }
    }
    leave_all_free(table);
    fixture_close(&f);
}

/* Slot 0 of the widest table has one key, because its other key would be 0. After that key was used, another
 * slot is taken; if there is none, the table is full. */
static void slot_0_of_the_widest_table_has_one_key(void) {
    struct fixture f;
    REQUIRE(open_random(&f, 23));
    struct rvt_lkey_table *table = &f.device->lkey_table;
    leave_free(table, (const uint32_t[]){0}, 1);
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
    CHECK_EQ(fixture_key(mr) >> 8, 1);
    CHECK_EQ(rvt_alloc_mr(f.pd, RVT_MR_TYPE_MEM_REG, 0, &mr), -RVT_ENOMEM);
    leave_all_free(table);
    table->used = 1;
    table->occupied[0] = 1;
    table->used_in[0] = 1;
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);

    leave_free(table, (const uint32_t[]){0}, 1);
    CHECK(!rvt_lkey_available(f.device));
    CHECK_EQ(try_take(&f, &mr), -RVT_ENOMEM);
    CHECK_EQ(rvt_reg_user_mr_test(f.pd, 0, 1, 0), -RVT_ENOMEM);
    leave_free(table, (const uint32_t[]){0, 0x654321}, 2);
    CHECK(rvt_lkey_available(f.device));
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(try_take(&f, &mr), 0);
        CHECK_EQ(fixture_key(mr) >> 9, 0x654321);
        struct rvt_mr_handle none;
        CHECK_EQ(try_take(&f, &none), -RVT_ENOMEM);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    leave_all_free(table);
    fixture_close(&f);

    /* Sequential keys may repeat, as in the kernel. */
    REQUIRE(fixture_open(&f, 23));
    table = &f.device->lkey_table;
    leave_free(table, (const uint32_t[]){0}, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(try_take(&f, &mr), 0);
        CHECK_EQ(fixture_key(mr), 0x100);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    leave_all_free(table);
    fixture_close(&f);
}

struct rows {
    uint32_t count;
    struct rvt_table_row row[8];
};

static void note_row(void *context, const struct rvt_table_row *row) {
    struct rows *rows = context;
    if (rows->count < 8)
        rows->row[rows->count] = *row;
    rows->count++;
}

static void the_report_lists_occupied_slots_in_order(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 9));
    struct rvt_mr_handle mr[300];
    for (int i = 0; i < 300; i++)
        mr[i] = take(&f);
    struct rvt_mr_handle dma;
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0); /* a DMA region has no slot */
    struct rvt_sge sge;
    CHECK_EQ(local(&f, &sge, 0x1000, 1, fixture_key(mr[77]), 0), 1);
    static const int keep[] = {0, 63, 64, 128, 299};
    for (int i = 0; i < 300; i++) {
        bool kept = false;
        for (size_t k = 0; k < 5; k++)
            kept |= keep[k] == i;
        if (!kept) /* region 77 is held: dereg returns -EBUSY, but frees the slot */
            CHECK_EQ(rvt_dereg_mr(mr[i], RVT_RELEASE), i == 77 ? -RVT_EBUSY : 0);
    }
    struct rows rows = {0};
    struct rvt_table_head head;
    rvt_table_report(f.device, &head, note_row, &rows);
    REQUIRE(rows.count == 5);
    CHECK_EQ(head.used, 5);
    CHECK_EQ(head.next, 300);
    CHECK_EQ(head.generation, 300);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(rows.row[i].index, keep[i]);
        CHECK_EQ(rows.row[i].lkey, (uint32_t)keep[i] << 23 | ((uint32_t)keep[i] + 1) << 8);
        CHECK_PTR_EQ(rows.row[i].mr, mr[keep[i]].mr);
    }
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* --- the latch of a record, without a device --- */

static struct rvt_lkey_record record;
static struct rvt_lkey_shadow shadow;
static const struct rvt_lkey_table latch = {.records = &record, .shadows = &shadow};
static atomic_bool stop;

static struct rvt_lkey_entry entry_of(uint64_t n) {
    return (struct rvt_lkey_entry){
        .key = 0x100,
        .pd = (uint32_t)n,
        .access = (uint32_t)n + 1,
        .shape = (uint32_t)n + 2,
        .base = n + 3,
        .iova = n + 4,
        .length = n + 5,
        .map = (struct rvt_map *)(uintptr_t)(n * 8 + 8),
        .region = (uint32_t)n + 6,
    };
}

static void *read_records(void *argument) {
    uint64_t last = 0;
    (void)argument;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        struct rvt_lkey_entry got = {0};
        rvt_record_read(&latch, &record, 0x100, &got);
        struct rvt_lkey_entry want = entry_of(got.base - 3);
        CHECK_EQ(got.key, want.key);
        CHECK_EQ(got.pd, want.pd);
        CHECK_EQ(got.access, want.access);
        CHECK_EQ(got.shape, want.shape);
        CHECK_EQ(got.iova, want.iova);
        CHECK_EQ(got.length, want.length);
        CHECK_PTR_EQ(got.map, want.map);
        CHECK_EQ(got.region, want.region);
        CHECK(got.base >= last); /* a reader never sees an older version than before */
        last = got.base;
    }
    return NULL;
}

static void a_reader_never_mixes_two_versions_of_a_record(void) {
    pthread_t readers[3];
    memset(&record, 0, sizeof(record));
    struct rvt_lkey_entry entry = entry_of(0);
    rvt_record_replace(&latch, &record, &entry);
    atomic_store(&stop, false);
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&readers[i], NULL, read_records, NULL) == 0);
    for (uint64_t n = 1; n < 100000; n++) {
        entry = entry_of(n);
        rvt_record_replace(&latch, &record, &entry);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_join(readers[i], NULL) == 0);
}

static void readers_never_wait_for_a_writer(void) {
    /* Wherever a writer is interrupted, a reader finishes and sees either the old or the new version. */
    struct rvt_lkey_entry old = entry_of(1), new = entry_of(2), got = {0};
    memset(&record, 0, sizeof(record));
    rvt_record_replace(&latch, &record, &old);
    rvt_record_stage(&latch, &record, &new);
    uint64_t sequence = rvt_record_read(&latch, &record, 0x100, &got);
    CHECK_EQ(got.base, old.base);
    rvt_record_flip(&record);
    CHECK(rvt_record_read(&latch, &record, 0x100, &got) != sequence);
    CHECK_EQ(got.base, new.base);
    CHECK_PTR_EQ(got.map, new.map);
    rvt_record_flip(&record); /* no effect: a reader may already have flipped the record */
    rvt_record_read(&latch, &record, 0x100, &got);
    CHECK_EQ(got.base, new.base);
    rvt_record_settle(&record, &new);
    rvt_record_read(&latch, &record, 0x100, &got);
    CHECK_EQ(got.base, new.base);
    /* With another key, only the stored key is defined. */
    rvt_record_read(&latch, &record, 0x200, &got);
    CHECK_EQ(got.key, 0x100);
}

/* A slot is filled, emptied and filled again with the same key (one generation bit). A reader must see
 * domain, base and length of the same region. */
static void *read_through_reuse(void *argument) {
    struct fixture *f = argument;
    struct rvt_reader *reader = rvt_reader_register();
    const struct rvt_lkey_record *slot = rvt_lkey_record(&f->device->lkey_table, 0x100);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        struct rvt_lkey_entry got = {0};
        rvt_read_enter(reader, &f->device->retirement);
        rvt_record_read(&f->device->lkey_table, slot, 0x100, &got);
        if (got.key == 0x100) {
            CHECK_EQ(got.iova, got.base + 1);
            CHECK_EQ(got.access, (uint32_t)(got.base & 15));
            CHECK_EQ(got.length, got.base % 16 + 1);
        } else {
            CHECK_EQ(got.key, 0);
        }
        rvt_read_leave(reader, &f->device->retirement);
        sched_yield(); /* valgrind runs one thread at a time and schedules unfairly */
    }
    rvt_reader_unregister(reader);
    return NULL;
}

static void a_reader_never_mixes_two_regions_of_a_slot(void) {
    struct fixture f;
    pthread_t readers[2];
    REQUIRE(fixture_open(&f, 23));
    /* The next region with the same key has a higher sequence. Only the sequence tells a reader that it saw
     * parts of both regions. */
    const struct rvt_lkey_record *slot = rvt_lkey_record(&f.device->lkey_table, 0x100);
    uint64_t last = 0;
    for (int life = 0; life < 3; life++) {
        struct rvt_lkey_entry got = {0};
        f.device->lkey_table.next = 0;
        struct rvt_mr_handle mr = take(&f);
        uint64_t sequence = rvt_record_read(&f.device->lkey_table, slot, 0x100, &got);
        CHECK_EQ(got.key, 0x100);
        CHECK(!life || sequence > last);
        last = sequence;
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    atomic_store(&stop, false);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&readers[i], NULL, read_through_reuse, &f) == 0);
    for (uint64_t base = 0; base < 20000; base++) {
        f.device->lkey_table.next = 0; /* this thread is the only writer */
        struct rvt_mr_handle mr =
            fixture_reg(&f, bytes, base % 16 + 1, base, base + 1, (uint32_t)(base & 15));
        CHECK_EQ(fixture_key(mr), 0x100);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(readers[i], NULL) == 0);
    fixture_close(&f);
}

static void a_shape_packs_offset_shift_and_flags(void) {
    for (uint32_t valid = 0; valid < 2; valid++) {
        uint32_t shape = rvt_shape(0xfff, 12, valid), counted = rvt_shape_counted(shape);
        CHECK_EQ(rvt_shape_offset(shape), 0xfff);
        CHECK_EQ(rvt_shape_shift(shape), 12);
        CHECK_EQ(rvt_shape_valid(shape), valid);
        CHECK_EQ(!!(shape & RVT_SHAPE_PLAIN), valid);
        CHECK(!(shape & RVT_SHAPE_COUNTED));
        CHECK_EQ(rvt_shape_offset(counted), 0xfff);
        CHECK_EQ(rvt_shape_shift(counted), 12);
        CHECK_EQ(rvt_shape_valid(counted), valid);
        CHECK(!(counted & RVT_SHAPE_PLAIN));
        CHECK(counted & RVT_SHAPE_COUNTED);
        CHECK_EQ(rvt_shape_counted(counted), counted);
    }
    CHECK_EQ(rvt_shape_offset(rvt_shape(0xffff, 0xff, true)), 0xffff);
    CHECK_EQ(rvt_shape_shift(rvt_shape(0xffff, 0xff, true)), 0xff);
}

/* --- memory use --- */

/* Returns the bytes that the pages of the table hold. */
static uint64_t table_bytes(const struct fixture *f) {
    uint64_t pools = 0;
    for (uint32_t i = 0; i < f->device->kinds.end_count; i++) {
        const struct rvt_pool *pool = &f->device->kinds.slots[f->device->kinds.end_order[i]].pool;
        pools += pool->count * pool->object_size;
    }
    uint64_t indexes = (f->device->pds_by_serial.capacity + f->device->memories_by_serial.capacity) *
                       sizeof(struct rvt_serial_entry);
    return rvt_held_bytes(f->device) - sizeof(*f->device) - pools - indexes;
}

static void pages_count_when_they_are_first_touched(void) {
    const uint64_t page = rvt_page_bytes();
    const uint32_t slots_a_page = (uint32_t)(page / sizeof(struct rvt_lkey_record));
    struct fixture f;
    REQUIRE(fixture_open(&f, 16));
    CHECK_EQ(table_bytes(&f), 0);
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
    /* One page each for records, owners, the bitmap of slots and the bitmap of pages. */
    CHECK_EQ(table_bytes(&f), 4 * page);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    for (uint32_t i = 1; i < slots_a_page; i++) /* use up the other slots of the first page */
        CHECK_EQ(rvt_dereg_mr(fixture_mem_reg(&f, 0), RVT_RELEASE), 0);
    CHECK_EQ(table_bytes(&f), 4 * page);
    mr = fixture_mem_reg(&f, 0);
    CHECK_EQ(table_bytes(&f), 5 * page);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(table_bytes(&f), 5 * page); /* the page stays: its slots are reused */
    /* Changing a live record needs its shadow. */
    mr = fixture_mem_reg(&f, 0);
    CHECK_EQ(table_bytes(&f), 5 * page);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key ^ 1, 0, NULL), 0);
    CHECK_EQ(table_bytes(&f), 6 * page);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, 0, NULL), 0);
    CHECK_EQ(table_bytes(&f), 6 * page);
    fixture_close(&f);
}

static void a_small_table_uses_two_pages(void) {
    for (uint32_t bits = 1; bits <= 4; bits++) {
        struct fixture f;
        REQUIRE(fixture_open(&f, bits));
        for (uint32_t i = 0; i < 1u << bits; i++) {
            struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
            CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, fixture_key(mr) ^ 1, 0, NULL), 0);
        }
        CHECK_EQ(table_bytes(&f), 2 * rvt_page_bytes());
        fixture_close(&f);
    }
}

static void random_keys_touch_a_page_each(void) {
    struct fixture f;
    REQUIRE(fixture_open_with(&f, (struct rvt_device_options){.lkey_table_bits = 23, .random_keys = true}));
    enum { REGIONS = 100 };
    for (int i = 0; i < REGIONS; i++)
        (void)fixture_mem_reg(&f, 0);
    uint64_t pages = table_bytes(&f) / rvt_page_bytes();
    CHECK(pages > 2 * REGIONS); /* record, owner, and bitmap pages that several slots may share */
    CHECK(pages < 4 * REGIONS);
    CHECK_EQ(f.device->lkey_table.memory.huge_bytes, 0);
    fixture_close(&f);
}

/* Huge pages are requested when 1/8 of the slots is in use, or 2^18 slots in a larger table. */
static void huge_pages_are_requested_only_for_well_filled_tables(void) {
    static const struct {
        uint32_t bits, from;
    } rows[] = {{15, UINT32_MAX}, {16, 1 << 13}, {17, 1 << 14}, {21, 1 << 18}, {22, 1 << 18}, {23, 1 << 18}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        REQUIRE(fixture_open(&f, rows[i].bits));
        CHECK_EQ(f.device->lkey_table.huge_from, rows[i].from);
        fixture_close(&f);
    }
    struct fixture f;
    REQUIRE(fixture_open(&f, 16));
    struct rvt_lkey_table *table = &f.device->lkey_table;
    for (uint32_t i = 0; i < 1 << 13; i++) {
        CHECK_EQ(table->memory.huge_bytes, 0);
        (void)fixture_mem_reg(&f, 0);
    }
    uint64_t before = table_bytes(&f);
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
    CHECK_EQ(table->huge_from, UINT32_MAX); /* requested only once */
    if (table->memory.huge_bytes) {         /* otherwise the system has no huge pages */
        CHECK_EQ(table->memory.huge_bytes, (1u << 16) * sizeof(struct rvt_lkey_record));
        /* The first huge page now counts in full, instead of the part in use. One more page of owners is in
         * use. */
        CHECK_EQ(table_bytes(&f) - before,
                 RVT_HUGE_PAGE_BYTES - (1u << 13) * sizeof(struct rvt_lkey_record) + rvt_page_bytes());
    }
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    for (uint32_t i = 1 << 13; i < 3 << 14; i++)
        (void)fixture_mem_reg(&f, 0);
    if (table->memory.huge_bytes)
        CHECK(table_bytes(&f) > 2 * RVT_HUGE_PAGE_BYTES);
    struct rvt_mr_handle last = fixture_mem_reg(&f, 0);
    CHECK(!fixture_dead(last));
    fixture_close(&f);
}

/* The table of a closed device has no memory left, but reading it is still safe. */
static void the_table_of_a_closed_device_reads_as_zeros(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 16));
    enum { REGIONS = 200 };
    uint32_t keys[REGIONS];
    for (int i = 0; i < REGIONS; i++) {
        struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
        keys[i] = fixture_key(mr);
        CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, keys[i] ^ 1, 0, NULL), 0);
        CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, keys[i], 0, NULL), 0);
    }
    struct rvt_sge held;
    static unsigned char bytes[8];
    struct rvt_mr_handle user = fixture_reg(&f, bytes, sizeof(bytes), 0x1000, 0x1000, 0);
    CHECK_EQ(local(&f, &held, 0x1000, 8, fixture_key(user), 0), 1);
    struct rvt_dev_info *device = f.device;
    CHECK(!rvt_device_closed(device));
    CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
    CHECK(rvt_device_closed(device));
    const struct rvt_lkey_table *table = &device->lkey_table;
    for (int i = 0; i < REGIONS; i++) {
        struct rvt_lkey_entry entry;
        (void)rvt_record_read(table, rvt_lkey_record(table, keys[i]), keys[i], &entry);
        CHECK_EQ(entry.key, 0);
    }
#ifndef _WIN32
    for (size_t at = 0; at < table->max * sizeof(*table->records); at += 8)
        CHECK_EQ(*(const uint64_t *)((const char *)table->records + at), 0);
    CHECK_EQ(table_bytes(&f), 0);
#endif
    CHECK_EQ(rvt_invalidate_rkey(f.qp, keys[0]), -RVT_EBADF);
    rvt_put_sge(&held);
    rvt_reclaim(&device->retirement);
    rvt_dev_put(device);
    rvt_reader_unregister(f.reader);
    CHECK_EQ(rvt_test_alloc_live(), f.live);
}

/* Threads read records while the device closes: they find a region completely or not at all, even if the
 * memory of the record is given back between two of their loads. */
enum { CLOSED_SLOTS = 64 };

struct closing_readers {
    const struct rvt_lkey_table *table;
    uint32_t keys[CLOSED_SLOTS];
    atomic_bool closed;
    atomic_uint found;
};

static void *look_until_closed(void *argument) {
    struct closing_readers *looks = argument;
    for (bool closed = false; !closed;) {
        closed = atomic_load(&looks->closed);
        for (int i = 0; i < CLOSED_SLOTS; i++) {
            uint32_t key = looks->keys[i];
            struct rvt_lkey_entry entry;
            uint64_t sequence =
                rvt_record_read(looks->table, rvt_lkey_record(looks->table, key), key, &entry);
            if (entry.key != key) {
                CHECK_EQ(entry.key, 0);
                continue;
            }
            CHECK(!closed);
            CHECK(sequence != 0);
            CHECK(entry.map != NULL);
            CHECK_EQ(entry.base, 0x1000);
            CHECK_EQ(entry.iova, 0x2000);
            CHECK_EQ(entry.length, 8);
            CHECK(entry.region < CLOSED_SLOTS);
            CHECK(rvt_shape_valid(entry.shape));
            atomic_fetch_add(&looks->found, 1);
        }
    }
    return NULL;
}

static void readers_are_safe_while_a_device_closes(void) {
    static unsigned char bytes[8];
    uint32_t found = 0;
    for (int round = 0; round < 100; round++) {
        struct fixture f;
        /* The first use of each slot, when no write has changed the sequences yet. */
        REQUIRE(fixture_open(&f, 6));
        static struct closing_readers looks;
        looks.table = &f.device->lkey_table;
        atomic_store(&looks.closed, false);
        atomic_store(&looks.found, 0);
        for (int i = 0; i < CLOSED_SLOTS; i++)
            looks.keys[i] = fixture_key(fixture_reg(&f, bytes, sizeof(bytes), 0x1000, 0x2000, 0));
        pthread_t threads[2];
        for (int i = 0; i < 2; i++)
            REQUIRE(pthread_create(&threads[i], NULL, look_until_closed, &looks) == 0);
        while (!atomic_load(&looks.found))
            rvt_yield();
        struct rvt_dev_info *device = f.device; /* the structure outlives the readers */
        CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
        atomic_store(&looks.closed, true);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        found += atomic_load(&looks.found);
        rvt_dev_put(device);
        rvt_reader_unregister(f.reader);
        CHECK_EQ(rvt_test_alloc_live(), f.live);
    }
    CHECK(found > 100);
}

CHECK_MAIN(TEST(the_first_keys_are_those_of_the_reference), TEST(a_freed_slot_is_reused_after_a_full_round),
           TEST(every_kind_of_region_takes_keys_of_the_same_sequence),
           TEST(a_full_table_refuses_registrations), TEST(key_zero_is_never_issued),
           TEST(the_generation_advances_twice_to_avoid_key_zero),
           TEST(the_last_slot_of_the_widest_table_has_a_valid_key), TEST(sequential_keys_match_a_model),
           TEST(random_keys_are_unique_and_in_no_order), TEST(random_keys_do_not_repeat_at_once_in_a_slot),
           TEST(each_random_number_is_used_once), TEST(the_two_keys_of_a_slot_alternate_in_the_widest_table),
           TEST(slot_0_of_the_widest_table_has_one_key), TEST(every_free_slot_is_equally_likely),
           TEST(sequential_keys_have_a_period), TEST(the_report_lists_occupied_slots_in_order),
           TEST(a_reader_never_mixes_two_versions_of_a_record), TEST(readers_never_wait_for_a_writer),
           TEST(a_reader_never_mixes_two_regions_of_a_slot), TEST(a_shape_packs_offset_shift_and_flags),
           TEST(pages_count_when_they_are_first_touched), TEST(a_small_table_uses_two_pages),
           TEST(random_keys_touch_a_page_each), TEST(huge_pages_are_requested_only_for_well_filled_tables),
           TEST(the_table_of_a_closed_device_reads_as_zeros), TEST(readers_are_safe_while_a_device_closes))
