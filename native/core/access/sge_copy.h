/* SPDX-License-Identifier: BSD-3-Clause */
/* The data path: copies bytes into and out of accepted elements, with the rights they were accepted with. */
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

/* State of one native call in one environment. Caches the addresses of the few memories that the call meets,
 * so that each is looked up once per section. The addresses are stable because no JavaScript runs until the
 * call ends. */
struct rvt_data_call {
    struct rvt_reader *reader;
    struct rvt_retirement *section_of; /* the device whose section is open */
    /* Work done in this section: bytes moved, but at least RVT_ELEMENT_BYTES per element. */
    uint64_t in_section;
    void *environment;            /* passed to rvt_memory_ops.resolve */
    struct rvt_ucontext *context; /* context whose counters are updated; initially NULL: none */
    struct {
        struct rvt_memory *memory;
        unsigned char *data;
    } known[RVT_CALL_MEMORIES];
    unsigned next;
};

/* Initializes the state of a call. `reader` must be the calling thread's and outside any section, so that a
 * long copy can leave its section and let waiting threads proceed. */
void rvt_data_call_begin(struct rvt_data_call *call, struct rvt_reader *reader, void *environment);

/* An element counts as this many bytes, so that a section judges at most 4,096 elements or moves at most 64
 * KiB. */
enum { RVT_ELEMENT_BYTES = RVT_SECTION_BYTES / RVT_SECTION_ELEMENTS };

/* Enters a section of the call, on one device (or on rvt_every_device). Cached addresses are valid in one
 * section only: between sections, another thread may end a region, its memory may be freed, and a new memory
 * may be created at the same address. */
void rvt_data_call_enter(struct rvt_data_call *call, struct rvt_retirement *of);
void rvt_data_call_leave(struct rvt_data_call *call);

/* Leaves and re-enters the section during a long copy, so that waiting threads can proceed. Everything looked
 * up before must be looked up again. */
void rvt_data_call_renew(struct rvt_data_call *call);

/* Returns how many bytes this section may still move. */
static inline uint64_t rvt_data_call_room(const struct rvt_data_call *call) {
    return call->in_section < RVT_SECTION_BYTES ? RVT_SECTION_BYTES - call->in_section : 0;
}

/* Accounts for one judged element and `bytes` bytes moved from or to it. */
static inline void rvt_data_call_spend(struct rvt_data_call *call, uint64_t bytes) {
    call->in_section += bytes > RVT_ELEMENT_BYTES ? bytes : (uint64_t)RVT_ELEMENT_BYTES;
}

/* Asks the memory's owner for the address of its bytes, and keeps the answer in `known`. For
 * rvt_data_call_resolve(). */
enum rvt_reason rvt_data_call_ask(struct rvt_data_call *call, struct rvt_memory *memory,
                                  unsigned char **data);

/* Finds the address of the memory's bytes for this call; asks the memory's owner once per section. The caller
 * must be in the call's section. Returns RVT_REASON_NONE and sets *data, or returns why the bytes cannot be
 * used. */
static inline enum rvt_reason rvt_data_call_resolve(struct rvt_data_call *call, struct rvt_memory *memory,
                                                    unsigned char **data) {
    for (unsigned i = 0; i < RVT_CALL_MEMORIES; i++) {
        if (call->known[i].memory == memory) {
            *data = call->known[i].data;
            return RVT_REASON_NONE;
        }
    }
    return rvt_data_call_ask(call, memory, data);
}

/* Returns a set of access bits; an element must have been accepted with at least one of them. To write into
 * the element (`write`): local or remote write. To read from an element that a remote check accepted: remote
 * read. */
static inline uint32_t rvt_rights_wanted(bool write) {
    return write ? RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_REMOTE_WRITE : RVT_ACCESS_REMOTE_READ;
}

/* Returns RVT_ACCESS_DENIED unless an element accepted with `rights` may be written (`write`) or read.
 * Elements accepted by a local check may always be read. */
static inline enum rvt_reason rvt_judge_rights(uint32_t rights, bool remote, bool write) {
    return (!write && !remote) || (rights & rvt_rights_wanted(write)) ? RVT_REASON_NONE : RVT_ACCESS_DENIED;
}

struct rvt_copied {
    uint64_t bytes; /* bytes moved and consumed from the state */
    enum rvt_reason reason;
};

/* Copies `length` bytes from `data` into the elements of `ss` and consumes them, like the kernel's
 * rvt_copy_sge(). Puts the references of consumed elements if `release`. `data` may lie in the same memory:
 * an element in one piece of memory is then copied as by memmove; if several pieces overlap `data`, the
 * resulting bytes may come from either side. With `copy_last`, all but the last min(8, length) bytes are
 * copied first, then the last bytes one by one in ascending order, each with a release store, so that a
 * thread that polls the last byte sees the whole message.
 *   0        all bytes moved
 *   -EINVAL  the elements hold fewer bytes; or, with `release`, an element is in the list twice; nothing
 *            moved
 *   -EACCES  copied->reason: an element was not accepted for writing, or cannot be used now. Nothing moved,
 *            unless another thread revoked an element during the copy: copied->bytes is then the number
 *            moved. If that element overlaps `data`, the bytes moved may be its last ones; the state then
 *            does not advance over them */
int rvt_copy_sge(struct rvt_data_call *call, struct rvt_sge_state *ss, const void *data, uint64_t length,
                 bool release, bool copy_last, struct rvt_copied *copied);

/* Copies `length` bytes from the elements into `data`; the counterpart of rvt_copy_sge(). Elements accepted
 * by a remote check must have been accepted for remote read; local elements may always be read.
 *   0        all bytes moved
 *   -EINVAL  as rvt_copy_sge()
 *   -EACCES  as rvt_copy_sge(), for reading */
int rvt_copy_sge_out(struct rvt_data_call *call, struct rvt_sge_state *ss, void *data, uint64_t length,
                     bool release, struct rvt_copied *copied);

/* Copies `length` bytes between `data` and one element, from byte `offset` of the element on: into the
 * element if `write`, as rvt_copy_sge() does, else out of it, as rvt_copy_sge_out() does. Puts no reference.
 * An element in one piece of memory, the common case, is copied without setting up a walk.
 *   0        all bytes moved
 *   -EINVAL  the element has fewer bytes from `offset` on; nothing moved
 *   -EACCES  as rvt_copy_sge()
 *   -EBADF   the element is released */
int rvt_copy_one(struct rvt_data_call *call, struct rvt_sge *sge, uint32_t offset, void *data,
                 uint64_t length, bool write, bool copy_last, struct rvt_copied *copied);

/* Counts the outcome of a call for its context: `bytes` moved, and a refusal if `reason` is set. */
static inline void rvt_data_call_count(const struct rvt_data_call *call, uint64_t bytes,
                                       enum rvt_reason reason) {
    if (!call->context)
        return;
    rvt_count(&call->context->counters.bytes, bytes);
    if (reason)
        rvt_count(&call->context->counters.refused[reason], 1);
}

/* Returns whether copying `length` bytes forwards in several steps would overwrite source bytes that are
 * still to be copied. */
static inline bool rvt_overlaps_forwards(const unsigned char *from, const unsigned char *to,
                                         uint64_t length) {
    return (uintptr_t)to > (uintptr_t)from && (uintptr_t)to - (uintptr_t)from < length;
}

/* Finds the memory of up to `want` bytes at the element's position: *data points to them and *run is how many
 * are contiguous. The caller must be in a section of the call's reader; the element must be usable, and `map`
 * must come from rvt_sge_usable(). */
enum rvt_reason rvt_sge_pointer(struct rvt_data_call *call, const struct rvt_sge *sge,
                                const struct rvt_map *map, uint64_t want, unsigned char **data,
                                uint64_t *run);

#endif
