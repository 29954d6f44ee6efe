/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "wire/udp/interface.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/udp/host_address.h"

enum { LOOPBACK_MTU = 65536 };

static bool has_address(const struct ifaddrs *entry, const uint8_t address[16]) {
    struct rvt_wire_peer peer;
    union rvt_socket_address of;
    if (!entry->ifa_addr)
        return false;
    memset(&of, 0, sizeof(of));
    switch (entry->ifa_addr->sa_family) {
    case AF_INET:
        memcpy(&of.ipv4, entry->ifa_addr, sizeof(of.ipv4));
        break;
    case AF_INET6:
        memcpy(&of.ipv6, entry->ifa_addr, sizeof(of.ipv6));
        break;
    default:
        return false;
    }
    rvt_from_socket_address(&of, &peer);
    return !memcmp(peer.address, address, sizeof(peer.address));
}

/* Returns the MTU of the interface, or 0. */
static uint32_t mtu_of(const char *name) {
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    const bool known = ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0;
    close(fd);
    return known ? (uint32_t)request.ifr_mtu : 0;
}

void rvt_find_interface(const uint8_t address[16], uint32_t *index, uint32_t *mtu) {
    struct ifaddrs *all;
    *index = 0;
    *mtu = LOOPBACK_MTU;
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *entry = all; entry; entry = entry->ifa_next) {
        const uint32_t found = has_address(entry, address) ? mtu_of(entry->ifa_name) : 0;
        if (found) {
            *index = if_nametoindex(entry->ifa_name);
            *mtu = found;
            break;
        }
    }
    freeifaddrs(all);
}
