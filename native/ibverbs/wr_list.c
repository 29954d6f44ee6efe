/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/wr_list.h"

#include <errno.h>
#include <stdlib.h>

void shim_wr_list_clear(struct shim_wr_list *list) {
    list->wr_count = list->sge_count = list->byte_count = 0;
    list->error = 0;
}

void shim_wr_list_free(struct shim_wr_list *list) {
    free(list->wrs);
    free(list->sges);
    free(list->bytes);
    *list = (struct shim_wr_list){0};
}

void shim_wr_list_fail(struct shim_wr_list *list, int error) {
    if (!list->error)
        list->error = error;
}

/* Makes room for `more` members of an array that has `count` of them. Returns the array, or NULL if out of
 * memory. */
static void *make_room(struct shim_wr_list *list, void *array, size_t *room, size_t count, size_t more,
                       size_t size) {
    enum { LEAST = 16 };
    if (array && more <= *room - count)
        return array;
    size_t wanted = count + more > 2 * count ? count + more : 2 * count;
    if (wanted < LEAST)
        wanted = LEAST;
    void *larger = reallocarray(array, wanted, size);
    if (larger)
        *room = wanted;
    else
        shim_wr_list_fail(list, ENOMEM);
    return larger;
}

struct shim_built_wr *shim_wr_list_add(struct shim_wr_list *list) {
    struct shim_built_wr *wrs =
        make_room(list, list->wrs, &list->wr_room, list->wr_count, 1, sizeof(*list->wrs));
    if (!wrs)
        return NULL;
    list->wrs = wrs;
    struct shim_built_wr *added = &wrs[list->wr_count++];
    *added = (struct shim_built_wr){.first_sge = (uint32_t)list->sge_count, .first_byte = list->byte_count};
    return added;
}

struct rvt_ib_sge *shim_wr_list_add_sges(struct shim_wr_list *list, size_t count) {
    struct rvt_ib_sge *sges =
        make_room(list, list->sges, &list->sge_room, list->sge_count, count, sizeof(*list->sges));
    if (!sges)
        return NULL;
    list->sges = sges;
    list->sge_count += count;
    return &sges[list->sge_count - count];
}

unsigned char *shim_wr_list_add_bytes(struct shim_wr_list *list, size_t count) {
    unsigned char *bytes = make_room(list, list->bytes, &list->byte_room, list->byte_count, count, 1);
    if (!bytes)
        return NULL;
    list->bytes = bytes;
    list->byte_count += count;
    return &bytes[list->byte_count - count];
}
