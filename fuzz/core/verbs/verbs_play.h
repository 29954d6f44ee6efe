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

/* Plays an operation that posts or carries out work requests. */
void verbs_perform_work(struct world *w);

#endif
