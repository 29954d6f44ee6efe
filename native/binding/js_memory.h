// SPDX-License-Identifier: BSD-3-Clause
// Memory that JavaScript owns, as the core's rvt_memory: kept alive by a strong reference, looked up anew in
// every call because it can be detached, moved or shrunk at any time in between.
#ifndef RDMAVT_JS_MEMORY_H
#define RDMAVT_JS_MEMORY_H

#include <napi.h>

#include "core.h"
#include "environment.h"

// The bytes of a Uint8Array as memory, with one reference for the caller to put. nullptr: not a Uint8Array,
// or no memory.
rvt_memory *NewJsMemory(const std::shared_ptr<Environment> &environment, const Napi::Value &array);

#endif
