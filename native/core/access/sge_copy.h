/* SPDX-License-Identifier: BSD-3-Clause */
/* The data path: bytes in and out of accepted elements, with the rights that were proven. */
#ifndef RVT_SGE_COPY_H
#define RVT_SGE_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/sge.h"
#include "core/base/counters.h"
#include "core/base/epoch.h"
#include "core/base/reason.h"
#include "core/objects/region.h"

enum { RVT_CALL_MEMORIES = 4 };

/* One native call of one environment. Remembers where the few memories that it meets lie now, so that each is
 * looked up once a section; no JavaScript runs before the call ends, so they stay there. */
struct rvt_data_call {
    struct rvt_reader *reader;
    struct rvt_retirement *section_of; /* the device of the present section */
    uint64_t in_section;               /* bytes that it has moved, and RVT_ELEMENT_BYTES for each element */
    void *environment;                 /* handed to rvt_memory_ops.resolve */
    struct rvt_ucontext *context;      /* that is counted for; NULL to begin with */
    struct {
        struct rvt_memory *memory;
        unsigned char *data;
    } known[RVT_CALL_MEMORIES];
    unsigned next;
};

/* Begin a call. The reader must be the calling thread's and outside any section, so that long copies can let
 * reclaimers pass. */
void rvt_data_call_begin(struct rvt_data_call *call, struct rvt_reader *reader, void *environment);

/* A section may judge 4,096 elements, or move 64 KiB: an element counts as so many bytes. */
enum { RVT_ELEMENT_BYTES = RVT_SECTION_BYTES / RVT_SECTION_ELEMENTS };

/* Enter a section of the call, on one device (or rvt_every_device). What is remembered is good for one
 * section only: outside of all sections another thread may end a region, its memory is freed, and the next
 * one may be made at the same address. */
void rvt_data_call_enter(struct rvt_data_call *call, struct rvt_retirement *of);
void rvt_data_call_leave(struct rvt_data_call *call);

/* In the middle of a long piece of work, inside the section: let those who wait go on. Everything that was
 * looked up must be looked up again. */
void rvt_data_call_renew(struct rvt_data_call *call);

/* How many bytes this section may still move. */
static inline uint64_t rvt_data_call_room(const struct rvt_data_call *call) {
    return call->in_section < RVT_SECTION_BYTES ? RVT_SECTION_BYTES - call->in_section : 0;
}

/* An element was judged, and so many bytes of it were moved. */
static inline void rvt_data_call_spend(struct rvt_data_call *call, uint64_t bytes) {
    call->in_section += bytes > RVT_ELEMENT_BYTES ? bytes : (uint64_t)RVT_ELEMENT_BYTES;
}

/* Where the memory's bytes are, for this call; its owner is asked once a section. Inside a section. */
enum rvt_reason rvt_data_call_resolve(struct rvt_data_call *call, struct rvt_memory *memory,
                                      unsigned char **data);

/* May bytes be written to, or read from, an element proven with these rights? An element keeps the rights it
 * was proven with: writing wants local or remote write, reading a remote one wants remote read. */
static inline uint32_t rvt_rights_wanted(bool write) {
    return write ? RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_REMOTE_WRITE : RVT_ACCESS_REMOTE_READ;
}
static inline enum rvt_reason rvt_judge_rights(uint32_t rights, bool remote, bool write) {
    return (!write && !remote) || (rights & rvt_rights_wanted(write)) ? RVT_REASON_NONE : RVT_ACCESS_DENIED;
}

struct rvt_copied {
    uint64_t bytes; /* moved, and consumed from the state */
    enum rvt_reason reason;
};

/* rvt_copy_sge: write `length` bytes of `data` into the elements of `ss`, consuming them (references of
 * consumed elements are put if `release`). `data` may lie in the same memory: one element in
 * one piece of memory is then moved as memmove does; where several pieces lie across it, their bytes may end
 * as any bytes of the two. With `copy_last`
 * all but the last min(8, length) bytes are moved first, then those singly and ascending, each by a release
 * store: who polls the last byte sees the whole.
 *   0        all bytes moved
 *   -EINVAL  the elements hold fewer bytes, or, with `release`, one is in the list twice; nothing moved
 *   -EACCES  copied->reason: an element was not proven for writing, or cannot be used now. Nothing moved,
 *            unless another thread revoked an element in the middle (copied->bytes tells how much; of an
 *            element that overlaps `data` those may be its last bytes, and then none are consumed) */
int rvt_copy_sge(struct rvt_data_call *call, struct rvt_sge_state *ss, const void *data, uint64_t length,
                 bool release, bool copy_last, struct rvt_copied *copied);

/* rvt_copy_sge_out: the other direction, `length` bytes of the elements into `data`. Remote elements must
 * have been proven for remote read; local ones may always be read.
 *   0        all bytes moved
 *   -EINVAL  as rvt_copy_sge
 *   -EACCES  as rvt_copy_sge, for reading */
int rvt_copy_sge_out(struct rvt_data_call *call, struct rvt_sge_state *ss, void *data, uint64_t length,
                     bool release, struct rvt_copied *copied);

/* The bytes of one element alone, from `offset` on: rvt_copy_sge (`write`) and rvt_copy_sge_out of a walk
 * over it that begins there, and puts nothing. For the common case, an element that lies in one piece of
 * memory, without a walk.
 *   0        all bytes moved
 *   -EINVAL  the element has fewer bytes from there on; nothing moved
 *   -EACCES  as rvt_copy_sge
 *   -EBADF   the element is dead */
int rvt_copy_one(struct rvt_data_call *call, struct rvt_sge *sge, uint32_t offset, void *data,
                 uint64_t length, bool write, bool copy_last, struct rvt_copied *copied);

/* Count what a call has answered. */
static inline void rvt_data_call_count(const struct rvt_data_call *call, uint64_t bytes,
                                       enum rvt_reason reason) {
    if (!call->context)
        return;
    rvt_count(&call->context->counters.bytes, bytes);
    if (reason)
        rvt_count(&call->context->counters.refused[reason], 1);
}

/* Whether moving `length` bytes from `from` to `to` first byte first, in more than one step, would destroy
 * bytes that are still to be moved. */
static inline bool rvt_overlaps_forwards(const unsigned char *from, const unsigned char *to,
                                         uint64_t length) {
    return (uintptr_t)to > (uintptr_t)from && (uintptr_t)to - (uintptr_t)from < length;
}

/* Where up to `want` bytes at the element's position lie in memory; *run tells how many of them in one piece.
 * Inside a section of the call's reader, for a usable element and the mapping rvt_sge_usable gave. */
enum rvt_reason rvt_sge_pointer(struct rvt_data_call *call, const struct rvt_sge *sge,
                                const struct rvt_map *map, uint64_t want, unsigned char **data,
                                uint64_t *run);

#endif
