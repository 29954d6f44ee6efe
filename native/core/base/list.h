/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of things that carry their own link. Each link knows the pointer that points to it, so adding and
 * removing cost the same however long the list is, and a link leaves its list without knowing which it is. */
#ifndef RVT_LIST_H
#define RVT_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct rvt_link {
    struct rvt_link *next; /* NULL: the last one */
    struct rvt_link **at;  /* the pointer that points here; NULL: in no list */
};

/* The structure of this type whose `member` the link is. */
#define RVT_LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Add the link, which is in no list, in front. */
static inline void rvt_list_add(struct rvt_link **first, struct rvt_link *link) {
    link->next = *first;
    link->at = first;
    if (link->next)
        link->next->at = &link->next;
    *first = link;
}

static inline bool rvt_list_has(const struct rvt_link *link) {
    return link->at != NULL;
}

/* Remove the link from its list. Nothing happens if it is in none. */
static inline void rvt_list_remove(struct rvt_link *link) {
    if (!link->at)
        return;
    *link->at = link->next;
    if (link->next)
        link->next->at = link->at;
    link->next = NULL;
    link->at = NULL;
}

#endif
