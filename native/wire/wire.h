/* SPDX-License-Identifier: BSD-3-Clause */
/* The RoCEv2 codec's interface: includes every header of native/wire that others may use. */
#ifndef RVT_WIRE_H
#define RVT_WIRE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "wire/capture.h"
#include "wire/crc32.h"
#include "wire/frame.h"
#include "wire/icrc.h"
#include "wire/rows.h"
#include "wire/transport.h"

#ifdef __cplusplus
}
#endif

#endif
