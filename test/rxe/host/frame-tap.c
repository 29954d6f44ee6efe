/* SPDX-License-Identifier: BSD-3-Clause */
/* frame-tap NAME: makes a tap device, and exchanges its Ethernet frames with the test, which holds the other
 * end of the link. The device goes when the process ends. It writes an empty record when the device is
 * there. */
#include "records.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

static int tap;

static void to_tap(const unsigned char *frame, size_t length) {
    /* A device that is down refuses frames, as a cable does that is not connected. */
    if (length > 0 && write(tap, frame, length) < 0 && errno != EIO) {
        perror("frame-tap: write");
        exit(1);
    }
}

int main(int count, char **values) {
    static struct records input;
    static unsigned char frame[RECORD_ROOM];
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (count != 2 || strlen(values[1]) >= sizeof(request.ifr_name)) {
        fprintf(stderr, "frame-tap NAME\n");
        return 2;
    }
    memcpy(request.ifr_name, values[1], strlen(values[1]));
    tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) != 0) {
        perror("frame-tap: /dev/net/tun");
        return 1;
    }
    records_write("", 0, "", 0);
    struct pollfd files[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = tap, .events = POLLIN}};
    for (;;) {
        if (poll(files, 2, -1) < 0 && errno != EINTR)
            return 1;
        if (files[0].revents != 0) {
            if (!records_read(&input))
                return 0;
            records_each(&input, to_tap);
        }
        if (files[1].revents != 0) {
            ssize_t length = read(tap, frame, sizeof(frame));
            if (length > 0)
                records_write(frame, (size_t)length, "", 0);
        }
    }
}
