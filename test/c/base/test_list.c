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

/* Links are removed from the front, the middle and the end, and added again behind the others. */
static void a_fifo_keeps_the_order_in_which_links_were_added(void) {
    enum { THINGS = 5 };
    for (int removed = 0; removed < THINGS; removed++) {
        struct thing things[THINGS];
        struct rvt_fifo fifo;
        rvt_fifo_init(&fifo);
        for (int i = 0; i < THINGS; i++) {
            things[i] = (struct thing){.number = i};
            rvt_fifo_append(&fifo, &things[i].link);
            rvt_fifo_append(&fifo, &things[0].link); /* is in the list already */
            CHECK_EQ(count_links(fifo.first), i + 1);
        }
        rvt_fifo_remove(&fifo, &things[removed].link);
        rvt_fifo_remove(&fifo, &things[removed].link); /* is in no list */
        CHECK(!rvt_list_has(&things[removed].link));
        CHECK_EQ(count_links(fifo.first), THINGS - 1);
        rvt_fifo_append(&fifo, &things[removed].link);
        int expected = 0, count = 0;
        for (struct rvt_link *link = fifo.first; link; link = link->next, count++) {
            expected += expected == removed;
            const int number = count < THINGS - 1 ? expected++ : removed;
            CHECK_EQ(RVT_LIST_ENTRY(link, struct thing, link)->number, number);
        }
        CHECK_EQ(count, THINGS);
        while (fifo.first)
            rvt_fifo_remove(&fifo, fifo.first);
        CHECK_PTR_EQ(fifo.end, &fifo.first);
    }
}

CHECK_MAIN(TEST(the_last_link_added_is_the_first_in_the_list), TEST(links_are_removed_from_any_position),
           TEST(a_fifo_keeps_the_order_in_which_links_were_added))
