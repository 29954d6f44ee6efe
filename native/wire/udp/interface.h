/* SPDX-License-Identifier: BSD-3-Clause */
/* The network interface that has an address. */
#ifndef RVT_WIRE_UDP_INTERFACE_H
#define RVT_WIRE_UDP_INTERFACE_H

#include <stdint.h>

/* Finds the interface: *index is its number, *mtu the most bytes of an IP packet that it carries. An address that no
 * interface lists (all of 127.0.0.0/8 is the loopback interface's, which lists one of them) has the index 0 and the MTU of
 * the loopback interface. */
void rvt_find_interface(const uint8_t address[16], uint32_t *index, uint32_t *mtu);

#endif
