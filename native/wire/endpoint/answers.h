/* SPDX-License-Identifier: BSD-3-Clause */
/* The answers of a responder that carry data: responses to READs, and old values of atomic operations. Which are due,
 * in the order of their PSNs, and the last READs and atomic operations that were carried out: only these can come again. Of a
 * fixed size, whatever the peer asks for. No reference to memory is held: the bytes of a READ are read, and judged,
 * when a response is written. */
#ifndef RVT_WIRE_ANSWERS_H
#define RVT_WIRE_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h"

/* Most READs and atomic operations of a peer that can be open at a time. */
enum { RVT_MOST_ANSWERS = RVT_MOST_INCOMING_READS };

struct rvt_answer {
    uint64_t addr;       /* READ: of the next byte */
    uint64_t value;      /* atomic operation: the old value */
    uint32_t rest, rkey; /* READ: bytes from `addr` on */
    uint32_t psn;        /* of the next response */
    uint32_t end;        /* the PSN behind the last response */
    uint32_t msn;
    bool atomic;
    bool begun;    /* READ: its first response was sent */
    bool repeated; /* the peer asked for it again after all of it had been sent */
};

/* A READ or an atomic operation that was carried out. */
struct rvt_asked {
    uint64_t addr;         /* READ */
    uint64_t value;        /* atomic operation: the old value */
    uint32_t length, rkey; /* READ */
    uint32_t psn, psns;    /* psns: how many PSNs its responses have */
    bool atomic;
};

struct rvt_answers {
    struct rvt_answer due[RVT_MOST_ANSWERS];  /* the first `count`, in the order of their PSNs */
    struct rvt_asked asked[RVT_MOST_ANSWERS]; /* a ring of the last `kept` requests */
    uint8_t count, repeated;                  /* repeated: how many of `due` are */
    uint8_t kept, newest;                     /* newest: index of the last request, if there is one */
};

/* Returns whether an answer to a new request can be due beside the present ones, if the peer may have `depth` (1 to
 * RVT_MOST_ANSWERS) requests open. Repeated ones do not count: the peer may have given them up. */
bool rvt_answers_have_room(const struct rvt_answers *answers, uint32_t depth);

/* Appends the answer to a new request; there must be room. */
void rvt_answers_append(struct rvt_answers *answers, const struct rvt_answer *answer);

/* Inserts the answer to a request that came again: in the place of the present one, or where its PSN belongs. Drops it
 * if `depth` answers are due. The PSNs are within 2^23 in front of `expected_psn`. */
void rvt_answers_repeat(struct rvt_answers *answers, const struct rvt_answer *answer, uint32_t depth,
                        uint32_t expected_psn);

/* Removes the first answer, which must be there: it was sent. */
void rvt_answers_shift(struct rvt_answers *answers);

/* Removes the answers whose next response has this PSN or a later one. */
void rvt_answers_cut(struct rvt_answers *answers, uint32_t psn, uint32_t expected_psn);

/* Removes all answers that are due. */
void rvt_answers_clear(struct rvt_answers *answers);

/* Stores a request that was carried out, over the oldest if there are `depth`. */
void rvt_answers_keep(struct rvt_answers *answers, const struct rvt_asked *asked, uint32_t depth);

/* Returns the request to whose responses this PSN belongs, or NULL if it is not kept any more. */
const struct rvt_asked *rvt_answers_find(const struct rvt_answers *answers, uint32_t psn);

/* Returns how many of the newest requests that are kept come one after the other, without another request between, right in
 * front of the PSN *psn, and stores the first PSN of the first of them there. */
uint32_t rvt_answers_at_end(const struct rvt_answers *answers, uint32_t *psn);

#endif
