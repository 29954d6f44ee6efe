/* SPDX-License-Identifier: BSD-3-Clause */
/* Intrusive lists. Each link stores the address of the pointer that points to it, so adding and removing take
 * constant time, and a link can be removed without knowing its list. */
#ifndef RVT_LIST_H
#define RVT_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct rvt_link {
    struct rvt_link *next; /* NULL: this is the last link */
    struct rvt_link **at;  /* the pointer that points to this link; NULL: not in a list */
};

/* The structure of type `type` whose member `member` is `link`. */
#define RVT_LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Adds the link, which must not be in a list, to the front. */
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

/* Removes the link from its list. Does nothing if it is not in one. */
static inline void rvt_list_remove(struct rvt_link *link) {
    if (!link->at)
        return;
    *link->at = link->next;
    if (link->next)
        link->next->at = link->at;
    link->next = NULL;
    link->at = NULL;
}

/* A list to which links are added at the end. Its links can be traversed and tested like those of any list, but must
 * be removed with rvt_fifo_remove(). */
struct rvt_fifo {
    struct rvt_link *first; /* NULL: empty */
    struct rvt_link **end;  /* the null pointer at the end of the list */
};

static inline void rvt_fifo_init(struct rvt_fifo *fifo) {
    fifo->first = NULL;
    fifo->end = &fifo->first;
}

/* Adds the link, unless it is in the list. It must not be in another list. */
static inline void rvt_fifo_append(struct rvt_fifo *fifo, struct rvt_link *link) {
    if (link->at)
        return;
    link->next = NULL;
    link->at = fifo->end;
    *fifo->end = link;
    fifo->end = &link->next;
}

/* Removes the link. Does nothing if it is in no list. */
static inline void rvt_fifo_remove(struct rvt_fifo *fifo, struct rvt_link *link) {
    if (fifo->end == &link->next)
        fifo->end = link->at;
    rvt_list_remove(link);
}

#endif
