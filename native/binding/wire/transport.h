// SPDX-License-Identifier: BSD-3-Clause
// The transport of native/wire/endpoint, for C++.
#ifndef RDMAVT_BINDING_TRANSPORT_H
#define RDMAVT_BINDING_TRANSPORT_H

#include "core/rvt.h"

extern "C" {
#include "wire/address.h"
#include "wire/cm/cm.h"
#include "wire/endpoint/endpoint.h"
#include "wire/udp/udp_socket.h"
}

#endif
