// SPDX-License-Identifier: BSD-3-Clause
// Blocks of shared memory in which lib encodes the work requests of postSend and postRecv, and the functions
// that post them. Raw Node-API callbacks without arguments: passing a list as arguments costs several times as
// much as posting one work request.
#ifndef RDMAVT_BINDING_POST_BLOCK_H
#define RDMAVT_BINDING_POST_BLOCK_H

#include <napi.h>

// createPostBlock(block): returns the functions of a block (see lib/internal/native.ts).
Napi::Value CreatePostBlock(const Napi::CallbackInfo &info);

#endif
