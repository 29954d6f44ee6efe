// SPDX-License-Identifier: BSD-3-Clause
// Addresses of hosts as text, for C++.
#ifndef RDMAVT_BINDING_HOST_ADDRESS_H
#define RDMAVT_BINDING_HOST_ADDRESS_H

#include <string>

#include "binding/wire/transport.h"

extern "C" {
#include "wire/udp/host_address.h"
}

// Reads an address as rvt_read_host_address(). A text with a zero byte would be cut there, and so taken for another address.
inline bool ReadHostAddress(const std::string &text, uint8_t address[16], uint32_t *scope) {
    return text.find('\0') == std::string::npos && rvt_read_host_address(text.c_str(), address, scope);
}

// Returns the address as text, without a zone.
inline std::string HostAddressText(const uint8_t address[16]) {
    char text[RVT_HOST_ADDRESS_TEXT];
    rvt_host_address_text(address, text);
    return text;
}

#endif
