// SPDX-License-Identifier: BSD-3-Clause
// Readers of RoCEv2 packets in capture files. A call decodes thousands of packets into rows of a shared block.
#ifndef RDMAVT_BINDING_PACKET_READER_H
#define RDMAVT_BINDING_PACKET_READER_H

#include <napi.h>

// createPacketReader(block, rows): returns the functions of a reader (see lib/internal/native.ts).
Napi::Value CreatePacketReader(const Napi::CallbackInfo &info);

#endif
