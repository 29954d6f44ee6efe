/* SPDX-License-Identifier: BSD-3-Clause */
/* rxe-link NAME NETDEV: makes a soft-RoCE device on a network device, as `rdma link add NAME type rxe netdev
 * NETDEV` of iproute2 does. In the guest this saves iproute2 and its libraries. */
#include <errno.h>
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 256 };

struct request {
    struct nlmsghdr header;
    char attributes[ROOM];
};

/* Appends an attribute that holds a text. Returns false if there is no room. */
static int add_text(struct request *request, unsigned short type, const char *text) {
    size_t length = strlen(text) + 1;
    size_t used = NLMSG_ALIGN(request->header.nlmsg_len) - sizeof(request->header);
    if (used + NLA_HDRLEN + NLA_ALIGN(length) > sizeof(request->attributes))
        return 0;
    struct nlattr attribute = {.nla_len = (unsigned short)(NLA_HDRLEN + length), .nla_type = type};
    memcpy(request->attributes + used, &attribute, sizeof(attribute));
    memcpy(request->attributes + used + NLA_HDRLEN, text, length);
    request->header.nlmsg_len = (unsigned)(sizeof(request->header) + used + NLA_HDRLEN + NLA_ALIGN(length));
    return 1;
}

int main(int count, char **values) {
    struct request request = {
        .header = {.nlmsg_len = sizeof(struct nlmsghdr),
                   .nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_NEWLINK),
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
                   .nlmsg_seq = 1},
    };
    if (count != 3 || !add_text(&request, RDMA_NLDEV_ATTR_DEV_NAME, values[1]) ||
        !add_text(&request, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe") ||
        !add_text(&request, RDMA_NLDEV_ATTR_NDEV_NAME, values[2])) {
        fprintf(stderr, "rxe-link NAME NETDEV\n");
        return 2;
    }
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);
    if (netlink < 0 || send(netlink, &request, request.header.nlmsg_len, 0) < 0) {
        perror("rxe-link: netlink");
        return 1;
    }
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[ROOM];
    } answer;
    ssize_t length = recv(netlink, &answer, sizeof(answer), 0);
    close(netlink);
    if (length < (ssize_t)(sizeof(answer.header) + sizeof(answer.error.error)) ||
        answer.header.nlmsg_type != NLMSG_ERROR) {
        fprintf(stderr, "rxe-link: no answer from the kernel\n");
        return 1;
    }
    if (answer.error.error != 0) {
        fprintf(stderr, "rxe-link: %s on %s: %s\n", values[1], values[2], strerror(-answer.error.error));
        return 1;
    }
    return 0;
}
