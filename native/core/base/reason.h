/* SPDX-License-Identifier: BSD-3-Clause */
/* Why an access was refused: the vocabulary that checks and the data path share. */
#ifndef RVT_REASON_H
#define RVT_REASON_H

/* The first group judges names (a check); it is told in this order: the first test that fails gives the
 * reason. The second group judges bytes (the data path), when an SGE that was accepted is used. The numbers
 * are part of the binding's interface: 0 is "no refusal", and a number never changes its meaning. */
enum rvt_reason {
    RVT_REASON_NONE = 0,
    RVT_KEY_ZERO_DENIED = 1, /* key 0 from a user domain, or from a peer while the device forbids it */
    RVT_NO_DMA_REGION = 2,   /* key 0, but no DMA region is published */
    RVT_NO_SUCH_KEY = 3,     /* the slot is empty */
    RVT_REVOKED = 4,         /* the slot is empty and last held exactly this key */
    RVT_STALE_KEY = 5,       /* the slot lives under another key */
    RVT_INVALIDATED = 6,     /* rvt_invalidate_rkey came first */
    RVT_WRONG_PD = 7,
    RVT_OUT_OF_BOUNDS = 8,
    RVT_ACCESS_DENIED = 9,
    RVT_UNMAPPED = 10, /* inside the bounds, but no segment or DMA mapping lies there */

    RVT_MEMORY_DETACHED = 11,   /* the owner's buffer was transferred or replaced */
    RVT_MEMORY_SHRUNK = 12,     /* the owner's buffer no longer holds all registered bytes */
    RVT_REMAPPED = 13,          /* the SGE was proven under an older mapping */
    RVT_REGION_REVOKED = 14,    /* the region was ended by force, or its parent closed */
    RVT_OTHER_ENVIRONMENT = 15, /* the bytes can only be used where they were registered */
    RVT_REASON_COUNT = 16,
};

/* The reason's name as users see it ("OutOfBounds"), or "None"; never NULL, also for a number
 * out of range. */
const char *rvt_reason_name(enum rvt_reason reason);

#endif
