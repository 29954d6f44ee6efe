/* SPDX-License-Identifier: BSD-3-Clause */
/* Moves the bytes of one request between the elements of the requester and those of the responder. The caller
 * must hold the engine lock, with the engine's reader outside any section. */
#ifndef RVT_ENGINE_COPY_H
#define RVT_ENGINE_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/sge.h"
#include "core/base/reason.h"
#include "core/engine/wr.h"

struct rvt_engine_qp;
struct rvt_swqe;

/* A peer's access to memory of the responder. It takes no reference: a copy that needs several sections judges
 * the rest of it in each, so that a verb that revokes the region waits for one step of the copy only. */
struct rvt_remote_access {
    struct rvt_ib_sge asked;
    uint32_t right;
    struct rvt_sge sge; /* the accepted access, valid in one section of the engine's reader */
    uint64_t section;   /* the number of that section (rvt_engine.section) */
};

/* A list of accepted elements, and the queue pair that they belong to. */
struct rvt_elements {
    struct rvt_sge *sges;
    uint32_t count;
    struct rvt_engine_qp *qp;
    /* The remote access that is the only element; NULL: the elements hold references. */
    const struct rvt_remote_access *remote;
};

/* Judges a remote access to the memory of `qp` for the first time. Returns false and fills *refused if it is
 * refused; otherwise fills access->sge. `access` must have `asked` and `right`. */
bool rvt_accept_remote(struct rvt_engine_qp *qp, struct rvt_remote_access *access,
                       struct rvt_refused_access *refused);

/* Judges the rest of a remote access whose beginning was accepted and counted before: counts only a refusal. */
bool rvt_accept_remote_again(struct rvt_engine_qp *qp, struct rvt_remote_access *access,
                             struct rvt_refused_access *refused);

enum rvt_moved {
    RVT_MOVED,
    RVT_MOVE_REFUSED_FROM, /* the bytes of an element of `from` cannot be used: *refused says why */
    RVT_MOVE_REFUSED_TO,   /* the same of `to` */
    RVT_MOVE_STOPPED,      /* one of the queue pairs was flushed, reset or destroyed between two steps */
};

/* Copies `length` bytes from the elements of `from` into those of `to`, from `skip` bytes of `to` on. Both
 * lists must have that many. Between steps of 64 KiB the engine lock is released if another thread waits for
 * it. If the two lists overlap, the result is as if all bytes had been read first; of more than 64 MiB, or if memory
 * is short, overlapping elements may get bytes of either side. Puts no reference. */
enum rvt_moved rvt_move_bytes(const struct rvt_elements *from, const struct rvt_elements *to, uint64_t skip,
                              uint64_t length, struct rvt_refused_access *refused);

/* Copies `length` bytes (at most 4096) between elements and memory of the caller, which is not registered. `to` not NULL:
 * reads the elements and writes to `to`. `to` NULL: reads `from` and writes to the elements. The copy begins `skip` bytes
 * into the elements, which must have that many and `length` more. It is one step: the engine lock is not released. Puts no
 * reference. Returns false and fills *refused if bytes of the elements cannot be used; the bytes before them may have been
 * copied. */
bool rvt_move_piece(const struct rvt_elements *elements, uint64_t skip, unsigned char *to,
                    const unsigned char *from, uint32_t length, struct rvt_refused_access *refused);

/* Tests whether the bytes of all elements can be read now. Returns false and fills *refused for the first that
 * cannot. */
bool rvt_can_read_bytes(const struct rvt_elements *elements, struct rvt_refused_access *refused);

/* Carries out an atomic operation on the 8 bytes of `word` as rvt_apply_atomic() does, and stores the old value in
 * *old. Returns false and fills *refused if the bytes cannot be used. */
bool rvt_apply_atomic_to(const struct rvt_elements *word, uint32_t opcode, uint64_t compare_add,
                         uint64_t swap, uint64_t *old, struct rvt_refused_access *refused);

/* Carries out an atomic operation on the 8 bytes of `word`, an element of the responder, and stores the old
 * value in the first 8 bytes of `result`, of the requester. Both can be unaligned or lie in two pieces: the
 * operation is then indivisible only among this device's atomics, which the engine lock serializes. Otherwise
 * it is indivisible among all atomic accesses to these bytes. */
enum rvt_moved rvt_apply_atomic(const struct rvt_elements *word, const struct rvt_elements *result,
                                const struct rvt_swqe *wqe, struct rvt_refused_access *refused);

#endif
