/* SPDX-License-Identifier: BSD-3-Clause */
/* The access checks: whether a protection domain (lkey), or the peer of a queue pair (rkey), may access a
 * range of bytes.
 *
 * Unless noted otherwise, the caller must be in a section of its thread's reader (rvt_read_enter). The checks
 * take no lock and never wait. Each verdict comes from one consistent snapshot of the key's record.
 *
 * If the domain or queue pair is closed, its context has ended or its device is closed, every access is
 * refused with RVT_CLOSED; that is a verdict, not an error. */
#ifndef RVT_ACCESS_CHECK_H
#define RVT_ACCESS_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/sge.h"
#include "core/base/pool.h"
#include "core/base/reason.h"
#include "core/objects/pd.h"
#include "core/objects/qp.h"
#include "core/objects/ucontext.h"

/* The party on whose behalf an access is judged: a domain (local checks, against the base address), or the
 * peer of a queue pair (remote checks, against the iova). A checker is made from a live handle and is valid
 * as long as that handle is live. */
struct rvt_checker {
    struct rvt_dev_info *device;
    const struct rvt_object *object; /* the domain or queue pair */
    uint64_t generation;             /* generation of its handle */
    uint32_t pd;                     /* id of the domain, as in the key table */
    bool user;                       /* a user domain: key 0 is refused */
    bool remote;
    struct rvt_ucontext *context; /* context whose counters are updated; may be NULL */
};

/* Fills *checker for a domain (local checks) or a queue pair (remote checks). Returns false if the handle is
 * stale. */
bool rvt_checker_of_pd(struct rvt_pd_handle pd, struct rvt_checker *checker);
bool rvt_checker_of_qp(struct rvt_qp_handle qp, struct rvt_checker *checker);

/* Returns whether the checker's domain or queue pair and its context are still live. */
static inline bool rvt_checker_live(const struct rvt_checker *checker) {
    return rvt_object_generation(checker->object) == checker->generation &&
           !rvt_ucontext_gone(checker->context);
}

/* Returns the checker's domain. The object's address is stable; it stays that domain as long as the checker
 * is live. */
const struct rvt_pd *rvt_checker_pd(const struct rvt_checker *checker);

/* Where the bytes of an accepted access are. Holds no reference. */
struct rvt_place {
    uint64_t at;      /* offset in the user buffer, or DMA address */
    uint32_t length;  /* bytes left in the segment */
    uint32_t segment; /* index of the segment; the kernel splits it as m * RVT_SEGSZ + n */
    bool user;        /* `at` is an offset in the user buffer */
};

/* Judges a local access and takes a reference, like the kernel's rvt_lkey_ok(). The region must grant all
 * bits of `acc` (0 always passes).
 *   1        accepted: *isge holds one reference until it is put
 *   0        coalesced into *last (may be NULL), which has grown; *isge is untouched, no reference was taken
 *   -EINVAL  refused, *reason says why
 *   -ENOMEM  the region is held 2^32 - 1 times
 * It coalesces only if the new element passes every check by itself, lies in the same region as `last` under
 * the same mapping, begins where last's request ends and, as in the kernel, at the DMA address where last's
 * segment ends, and if no length exceeds 2^32 - 1. The merged element keeps only the rights that both
 * accesses were granted. */
int rvt_lkey_ok(struct rvt_pd_handle pd, struct rvt_sge *isge, struct rvt_sge *last,
                const struct rvt_ib_sge *sge, uint32_t acc, enum rvt_reason *reason);

/* Judges a remote access by iova and takes a reference, like the kernel's rvt_rkey_ok(). The region must
 * grant at least one bit of `acc` (0 never passes). Key 0 is refused unless the device allows it for peers.
 * `length` is in bytes.
 *   1       accepted: *sge holds one reference until it is put
 *   0       refused, *reason says why
 *   -ENOMEM the region is held 2^32 - 1 times */
int rvt_rkey_ok(struct rvt_qp_handle qp, struct rvt_sge *sge, uint32_t length, uint64_t vaddr, uint32_t rkey,
                uint32_t acc, enum rvt_reason *reason);

/* Judges one access for an existing checker and takes a reference: a local check for a domain's checker, a
 * remote check for a queue pair's checker (`last` must then be NULL). rvt_lkey_ok() and rvt_rkey_ok() call
 * this.
 *   1        accepted: *sge holds one reference until it is put
 *   0        coalesced into *last
 *   -EINVAL  refused, *reason says why
 *   -ENOMEM  the region is held 2^32 - 1 times */
int rvt_acquire_one(const struct rvt_checker *checker, const struct rvt_ib_sge *asked, uint32_t acc,
                    struct rvt_sge *last, struct rvt_sge *sge, enum rvt_reason *reason);

/* Judges one access like rvt_acquire_one(), but takes no reference: *sge holds until the caller's section ends
 * and must not be put. With `again`, judges the rest of an access that was accepted and counted in an earlier
 * section, and counts nothing: the caller counts a refusal.
 *   1       accepted
 *   0       refused, *reason says why */
int rvt_view_one(const struct rvt_checker *checker, const struct rvt_ib_sge *asked, uint32_t acc, bool again,
                 struct rvt_sge *sge, enum rvt_reason *reason);

/* Judges one access like rvt_acquire_one(), but takes no reference.
 *   1       accepted: *place says where the bytes are
 *   0       refused, *reason says why */
int rvt_place_one(const struct rvt_checker *checker, const struct rvt_ib_sge *asked, uint32_t acc,
                  struct rvt_place *place, enum rvt_reason *reason);

/* Judges the access again, to explain an earlier refusal. Returns the current reason, or RVT_REASON_NONE if
 * the access would be accepted now. Counts nothing. */
enum rvt_reason rvt_judge_again(const struct rvt_checker *checker, const struct rvt_ib_sge *asked,
                                uint32_t acc);

/* Returns the sequence number of the key's record (RVT_SLOT_SEQUENCE), or 0 for key 0. Needs no reader
 * section. */
uint64_t rvt_record_sequence(const struct rvt_checker *checker, uint32_t key);

/* Judge an access like rvt_lkey_ok() and rvt_rkey_ok(), but without coalescing and without taking a
 * reference.
 *   1       accepted: *place says where the bytes are
 *   0       refused, *reason says why */
int rvt_lkey_check(struct rvt_pd_handle pd, const struct rvt_ib_sge *sge, uint32_t acc,
                   struct rvt_place *place, enum rvt_reason *reason);
int rvt_rkey_check(struct rvt_qp_handle qp, uint32_t length, uint64_t vaddr, uint32_t rkey, uint32_t acc,
                   struct rvt_place *place, enum rvt_reason *reason);

/* Returns a number greater than 0 that stays the same while the key names the same unchanged region of the
 * checker's domain; 0 if the key names none there, was invalidated, or its record is being changed. Reads one
 * cache line and takes no lock, for callers that ask before every use of a region that they keep: if the region
 * was as they want it (rvt_find_mr_place) after they read a stamp, it still is while the stamp is the same.
 * Another stamp says nothing: counting the accesses of a region changes it, too. A stamp comes back after 2^31
 * changes of one slot of the key table. */
uint32_t rvt_key_stamp(const struct rvt_checker *checker, uint32_t key);

#endif
