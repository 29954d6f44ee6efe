/* SPDX-License-Identifier: BSD-3-Clause */
/* The access checks: may this domain, or this queue pair's peer, use these bytes under this key?
 *
 * All of them must be called inside a section of the calling thread's reader (rvt_read_enter), take no lock
 * and wait for nobody. They answer from one consistent reading of the key's record.
 *
 * A domain or queue pair that is closed (or whose context has ended, or whose device is closed) is refused
 * everything, with RVT_CLOSED: to judge is no error, whoever asks. */
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

/* In whose name an access is judged: a domain's own (local checks, by base), or a peer's over a queue pair
 * (remote checks, by iova). Made from a live handle, and good as long as that handle lives. */
struct rvt_checker {
    struct rvt_dev_info *device;
    const struct rvt_object *object; /* the domain or queue pair, */
    uint64_t generation;             /* and of its handle */
    uint32_t pd;                     /* id of the domain */
    bool user;                       /* a user process's domain */
    bool remote;
    struct rvt_ucontext *context; /* that asks, and is counted for; may be NULL */
};

/* False if the handle is dead. */
bool rvt_checker_of_pd(struct rvt_pd_handle pd, struct rvt_checker *checker);
bool rvt_checker_of_qp(struct rvt_qp_handle qp, struct rvt_checker *checker);

static inline bool rvt_checker_live(const struct rvt_checker *checker) {
    return rvt_object_generation(checker->object) == checker->generation &&
           !rvt_ucontext_gone(checker->context);
}

/* The domain in whose name the checker asks. Its object stays where it is; it is that domain as long as the
 * checker is live. */
const struct rvt_pd *rvt_checker_pd(const struct rvt_checker *checker);

/* A verdict's place without a reference: where the bytes would be. */
struct rvt_place {
    uint64_t at;      /* byte in the user's buffer, or DMA address */
    uint32_t length;  /* bytes left in the segment */
    uint32_t segment; /* its index; the reference counts it as m * RVT_SEGSZ + n */
    bool user;        /* `at` is a byte of the user's buffer */
};

/* rvt_lkey_ok: the local check. Wants all bits of `acc` (0 always passes).
 *   1        accepted: *isge holds one reference until it is put
 *   0        coalesced into *last (may be NULL), which has grown; *isge is untouched, no reference was taken
 *   -EINVAL  refused, *reason says why
 *   -ENOMEM  the region is held 2^32 - 1 times
 * It coalesces only if the new element passes every check by itself, lies in last's region under the same
 * mapping, begins where last's request ends, the reference's own condition holds, and no length
 * passes 2^32 - 1. The result has the rights that both were proven with. */
int rvt_lkey_ok(struct rvt_pd_handle pd, struct rvt_sge *isge, struct rvt_sge *last,
                const struct rvt_ib_sge *sge, uint32_t acc, enum rvt_reason *reason);

/* rvt_rkey_ok: the remote check, by iova. Wants any bit of `acc` (0 never passes); key 0 is refused unless
 * the device allows it.
 *   1       accepted: *sge holds one reference until it is put
 *   0       refused, *reason says why
 *   -ENOMEM the region is held 2^32 - 1 times */
int rvt_rkey_ok(struct rvt_qp_handle qp, struct rvt_sge *sge, uint32_t length, uint64_t vaddr, uint32_t rkey,
                uint32_t acc, enum rvt_reason *reason);

/* What both are made of, for a checker that was made before: the local check by a domain's checker, the
 * remote one by a queue pair's (`last` must be NULL then).
 *   1        accepted: *sge holds one reference until it is put
 *   0        coalesced into *last
 *   -EINVAL  refused, *reason says why
 *   -ENOMEM  the region is held 2^32 - 1 times */
int rvt_acquire_one(const struct rvt_checker *checker, const struct rvt_ib_sge *asked, uint32_t acc,
                    struct rvt_sge *last, struct rvt_sge *sge, enum rvt_reason *reason);

/* The same verdict without a reference.
 *   1       accepted: *place says where the bytes are
 *   0       refused, *reason says why */
int rvt_place_one(const struct rvt_checker *checker, const struct rvt_ib_sge *asked, uint32_t acc,
                  struct rvt_place *place, enum rvt_reason *reason);

/* The verdict of rvt_place_one alone: why the access is refused now, RVT_REASON_NONE if it is accepted. Nothing
 * is counted: for those who ask why an access was refused. */
enum rvt_reason rvt_judge_again(const struct rvt_checker *checker, const struct rvt_ib_sge *asked,
                                uint32_t acc);

/* The sequence of the record that the key names (RVT_SLOT_SEQUENCE); of key 0: 0. Needs no section. */
uint64_t rvt_record_sequence(const struct rvt_checker *checker, uint32_t key);

/* The same verdicts without a reference.
 *   1       accepted: *place says where the bytes are
 *   0       refused, *reason says why */
int rvt_lkey_check(struct rvt_pd_handle pd, const struct rvt_ib_sge *sge, uint32_t acc,
                   struct rvt_place *place, enum rvt_reason *reason);
int rvt_rkey_check(struct rvt_qp_handle qp, uint32_t length, uint64_t vaddr, uint32_t rkey, uint32_t acc,
                   struct rvt_place *place, enum rvt_reason *reason);

#endif
