/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files with the operations share. */
#ifndef RVT_FUZZ_VERBS_PLAY_H
#define RVT_FUZZ_VERBS_PLAY_H

#include <string.h>

#include "verbs_world.h"

/* Must stand around each verb: they make an allocation fail if an operation before has asked for that. A verb that
 * fails then must fail with -ENOMEM; `strict`: it must fail. verbs_after_call returns `is`. */
void verbs_before_call(struct world *w);
int verbs_after_call(struct world *w, int is, bool strict);

int verbs_slot(const int *slots, uint8_t operand, int count);

/* A stale handle must be found to be one. */
void verbs_expect_alive(const struct world *w, int is, bool alive);
/* Returns the context that an operand selects, or NONE: no context. Sets *device to its device, or the latest. */
int verbs_chosen_context(const struct world *w, uint8_t operand, int *device);

/* Deregisters a region. */
void verbs_dereg(struct world *w, int mr, enum rvt_release_mode mode);

/* Plays an operation on windows, leases and lands. Returns false if it is none. */
bool verbs_perform_window(struct world *w);
/* Fills the parts of a work request that concern the windows of VERB_POST_WINDOW. */
void verbs_fill_window_wr(const struct world *w, uint32_t index, struct rvt_send_wr *wr);

/* Plays an operation that posts or carries out work requests. */
void verbs_perform_work(struct world *w);

#endif
