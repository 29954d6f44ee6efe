/* SPDX-License-Identifier: BSD-3-Clause */
/* What the engine adds to the memory layer: kinds of objects, and how regions and queue pairs end. */
#ifndef RVT_ENGINE_EXTENSION_H
#define RVT_ENGINE_EXTENSION_H

#include "core/objects/object_kind.h"

/* Between the kinds of the memory layer: an object ends before the objects it uses. */
enum { RVT_END_SRQS = 120, RVT_END_AHS = 130, RVT_END_CQS = 150 };

extern const struct rvt_extension rvt_engine_extension;

/* Acts on what the release hooks have marked: frees the engine's part of objects that have ended, puts queue
 * pairs into error whose queued work requests hold a region that was released, and works until no queue pair
 * is ready. Takes the engine lock, so it must be called with no lock held. */
void rvt_drain_engine(struct rvt_dev_info *device);

#endif
