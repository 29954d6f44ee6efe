// SPDX-License-Identifier: BSD-3-Clause
// The wrapper of endpoints of the wire.
#ifndef RDMAVT_BINDING_ENDPOINT_H
#define RDMAVT_BINDING_ENDPOINT_H

#include <napi.h>

#include "binding/environment/environment.h"

void DefineEndpoint(Environment &environment, Napi::Env env);

// createEndpoint(device, address, port, refusals, flags): opens an endpoint (see lib/internal/native.ts). Returns
// -EOPNOTSUPP where endpoints have no sockets.
Napi::Value CreateEndpoint(const Napi::CallbackInfo &info);

// readHostAddress(text, out): stores the address of one host in `out`, 16 bytes. Returns 0; -EINVAL if the text is none;
// -EOPNOTSUPP where endpoints have no sockets.
Napi::Value ReadHost(const Napi::CallbackInfo &info);

#endif
