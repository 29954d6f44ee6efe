/* SPDX-License-Identifier: BSD-3-Clause */
/* The work requests of a queue pair between ibv_wr_start() and ibv_wr_complete(), with copies of their
 * elements and of their inline data. */
#ifndef SHIM_WR_LIST_H
#define SHIM_WR_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rvt.h"

struct shim_built_wr {
    struct rvt_send_wr wr; /* its `sges` are filled in when it is posted */
    uint32_t first_sge;    /* index in the list's elements */
    size_t first_byte;     /* index in the list's bytes; with is_inline */
    uint32_t bytes;
    bool is_inline;
};

struct shim_wr_list {
    struct shim_built_wr *wrs;
    struct rvt_ib_sge *sges;
    unsigned char *bytes;
    size_t wr_count, sge_count, byte_count; /* used */
    size_t wr_room, sge_room, byte_room;
    int error; /* the first error, a positive errno; work requests that follow it are dropped */
};

/* Empties the list, and keeps its memory for the next session. */
void shim_wr_list_clear(struct shim_wr_list *list);
void shim_wr_list_free(struct shim_wr_list *list);

/* Keeps the first error. */
void shim_wr_list_fail(struct shim_wr_list *list, int error);

/* Add an empty work request, elements of the last one, and bytes of the last one. Return NULL and keep ENOMEM
 * if there is no memory. `count` may be 0; what is returned then must not be used. */
struct shim_built_wr *shim_wr_list_add(struct shim_wr_list *list);
struct rvt_ib_sge *shim_wr_list_add_sges(struct shim_wr_list *list, size_t count);
unsigned char *shim_wr_list_add_bytes(struct shim_wr_list *list, size_t count);

#endif
