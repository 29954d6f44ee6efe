/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/list.h"

#include "fixture.h"

struct thing {
    int number;
    struct rvt_link link;
};

static int count_links(const struct rvt_link *first) {
    int count = 0;
    for (const struct rvt_link *link = first; link; link = link->next, count++)
        CHECK(rvt_list_has(link) && *link->at == link);
    return count;
}

static void the_last_link_added_is_the_first_in_the_list(void) {
    struct thing things[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    struct rvt_link *first = NULL;
    for (int i = 0; i < 3; i++) {
        CHECK(!rvt_list_has(&things[i].link));
        rvt_list_add(&first, &things[i].link);
        CHECK_EQ(RVT_LIST_ENTRY(first, struct thing, link)->number, i);
        CHECK_EQ(count_links(first), i + 1);
    }
    int number = 2;
    for (struct rvt_link *link = first; link; link = link->next, number--)
        CHECK_PTR_EQ(RVT_LIST_ENTRY(link, struct thing, link), &things[number]);
}

/* The list head is not passed to rvt_list_remove. Removing a link that is in no list does nothing. */
static void links_are_removed_from_any_position(void) {
    enum { THINGS = 5 };
    for (int order = 0; order < THINGS * THINGS; order++) {
        struct thing things[THINGS] = {{.number = 0}};
        struct rvt_link *first = NULL, *other = NULL;
        struct thing alone = {.number = 9};
        rvt_list_add(&other, &alone.link);
        for (int i = 0; i < THINGS; i++)
            rvt_list_add(&first, &things[i].link);
        for (int i = 0; i < THINGS; i++) {
            struct rvt_link *link = &things[(order % THINGS + i * (1 + order / THINGS % 4)) % THINGS].link;
            int before = count_links(first);
            bool was_there = rvt_list_has(link);
            rvt_list_remove(link);
            CHECK(!rvt_list_has(link) && !link->next);
            CHECK_EQ(count_links(first), before - was_there);
            rvt_list_remove(link);
            CHECK_EQ(count_links(first), before - was_there);
        }
        CHECK(!first);
        CHECK_EQ(count_links(other), 1);
        rvt_list_add(&first, &things[0].link); /* a removed link can be added again */
        CHECK_EQ(count_links(first), 1);
    }
}

CHECK_MAIN(TEST(the_last_link_added_is_the_first_in_the_list), TEST(links_are_removed_from_any_position))
