/* SPDX-License-Identifier: BSD-3-Clause */
/* Which occasions get a fault. */
#include "core/base/faults.h"

#include <pthread.h>
#include <string.h>

#include "check.h"
#include "core/base/alloc.h"

enum { MANY = 20000 };

static struct rvt_faults *with(uint64_t seed, enum rvt_fault_kind kind, struct rvt_fault_rule rule) {
    struct rvt_fault_options options = {.seed = seed};
    options.rules[kind] = rule;
    struct rvt_faults *faults = rvt_make_faults(&options);
    CHECK(faults != NULL);
    return faults;
}

/* Asks `count` times and stores the answers. Returns how many were yes. */
static unsigned ask(struct rvt_faults *faults, enum rvt_fault_kind kind, bool *answers, unsigned count) {
    unsigned made = 0;
    for (unsigned i = 0; i < count; i++) {
        answers[i] = rvt_make_fault(faults, kind);
        made += answers[i];
    }
    return made;
}

static bool one[MANY], two[MANY];

static void nothing_makes_no_faults_and_counts_nothing(void) {
    struct rvt_faults *faults = with(1, RVT_FAULT_LOST, (struct rvt_fault_rule){.value = 5, .directions = 3});
    struct rvt_fault_counts counts;
    CHECK(!rvt_make_fault(NULL, RVT_FAULT_LOST));
    CHECK(!rvt_faults_of(NULL, RVT_FAULT_LOST));
    CHECK(!rvt_faults_of(faults, RVT_FAULT_LOST));
    CHECK_EQ(ask(faults, RVT_FAULT_LOST, one, 100), 0);
    rvt_count_faults(faults, &counts);
    CHECK_EQ(counts.seed, 1);
    CHECK_EQ(counts.seen[RVT_FAULT_LOST], 0);
    rvt_free_faults(faults);
}

static void the_nth_and_each_nth(void) {
    struct rvt_faults *faults = with(1, RVT_FAULT_RNR, (struct rvt_fault_rule){.at = 3, .every = 5});
    CHECK_EQ(ask(faults, RVT_FAULT_RNR, one, 12), 3);
    for (unsigned i = 0; i < 12; i++)
        CHECK_EQ(one[i], i + 1 == 3 || i + 1 == 5 || i + 1 == 10);
    struct rvt_fault_counts counts;
    rvt_count_faults(faults, &counts);
    CHECK_EQ(counts.seen[RVT_FAULT_RNR], 12);
    CHECK_EQ(counts.made[RVT_FAULT_RNR], 3);
    CHECK_EQ(counts.seen[RVT_FAULT_FLUSH], 0);
    rvt_free_faults(faults);
}

static void probabilities_hold(void) {
    static const struct {
        double probability;
        unsigned least, most;
    } cases[] = {
        {1, MANY, MANY}, {0.5, 9700, 10300}, {0.01, 150, 250}, {1e-9, 0, 1}, {0.999999, MANY - 2, MANY}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rvt_faults *faults =
            with(77, RVT_FAULT_SLOW, (struct rvt_fault_rule){.probability = cases[i].probability});
        const unsigned made = ask(faults, RVT_FAULT_SLOW, one, MANY);
        CHECK(made >= cases[i].least && made <= cases[i].most);
        rvt_free_faults(faults);
    }
}

static void the_seed_and_the_kind_decide(void) {
    const struct rvt_fault_rule half = {.probability = 0.5};
    struct rvt_faults *a = with(4, RVT_FAULT_LATE, half), *b = with(4, RVT_FAULT_LATE, half);
    (void)ask(a, RVT_FAULT_LATE, one, MANY);
    (void)ask(b, RVT_FAULT_LATE, two, MANY);
    CHECK(!memcmp(one, two, sizeof(one)));
    rvt_free_faults(b);
    /* Neighbouring seeds and kinds differ in about half of the answers. */
    const struct {
        uint64_t seed;
        enum rvt_fault_kind kind;
    } others[] = {
        {5, RVT_FAULT_LATE}, {4, RVT_FAULT_DOUBLED}, {UINT64_MAX, RVT_FAULT_LATE}, {0, RVT_FAULT_LATE}};
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        b = with(others[i].seed, others[i].kind, half);
        (void)ask(b, others[i].kind, two, MANY);
        unsigned same = 0;
        for (unsigned k = 0; k < MANY; k++)
            same += one[k] == two[k];
        CHECK(same > 9600 && same < 10400);
        rvt_free_faults(b);
    }
    rvt_free_faults(a);
}

static void *ask_thread(void *data) {
    unsigned long made = 0;
    for (unsigned i = 0; i < MANY; i++)
        made += rvt_make_fault(data, RVT_FAULT_REFUSE);
    return (void *)made;
}

/* Whatever the order of the threads, the same number of occasions gets a fault. */
static void threads_share_the_occasions(void) {
    struct rvt_faults *faults = with(11, RVT_FAULT_REFUSE, (struct rvt_fault_rule){.probability = 0.1});
    struct rvt_faults *alone = with(11, RVT_FAULT_REFUSE, (struct rvt_fault_rule){.probability = 0.1});
    pthread_t threads[2];
    void *made[2];
    for (unsigned i = 0; i < 2; i++)
        REQUIRE(!pthread_create(&threads[i], NULL, ask_thread, faults));
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], &made[i]);
    unsigned expected = ask(alone, RVT_FAULT_REFUSE, one, MANY);
    expected += ask(alone, RVT_FAULT_REFUSE, two, MANY);
    CHECK_EQ((unsigned long)made[0] + (unsigned long)made[1], expected);
    struct rvt_fault_counts counts;
    rvt_count_faults(faults, &counts);
    CHECK_EQ(counts.seen[RVT_FAULT_REFUSE], 2 * MANY);
    CHECK_EQ(counts.made[RVT_FAULT_REFUSE], expected);
    rvt_free_faults(faults);
    rvt_free_faults(alone);
}

/* A fault that could not be made is not counted as made. */
static void asking_is_not_making(void) {
    struct rvt_faults *faults = with(1, RVT_FAULT_LOST, (struct rvt_fault_rule){.every = 1});
    struct rvt_fault_counts counts;
    CHECK(rvt_ask_fault(faults, RVT_FAULT_LOST));
    CHECK(rvt_ask_fault(faults, RVT_FAULT_LOST));
    rvt_note_fault(faults, RVT_FAULT_LOST);
    rvt_count_faults(faults, &counts);
    CHECK_EQ(counts.seen[RVT_FAULT_LOST], 2);
    CHECK_EQ(counts.made[RVT_FAULT_LOST], 1);
    rvt_free_faults(faults);
}

static void out_of_memory(void) {
    rvt_test_alloc_fail_after(0);
    CHECK_PTR_EQ(rvt_make_faults(&(struct rvt_fault_options){.seed = 1}), NULL);
    rvt_test_alloc_fail_after(-1);
}

CHECK_MAIN(TEST(nothing_makes_no_faults_and_counts_nothing), TEST(the_nth_and_each_nth),
           TEST(probabilities_hold), TEST(the_seed_and_the_kind_decide), TEST(threads_share_the_occasions),
           TEST(asking_is_not_making), TEST(out_of_memory))
