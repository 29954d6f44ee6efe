/* SPDX-License-Identifier: BSD-3-Clause */
/* What libibverbs publishes for its drivers and for librdmacm: reading sysfs, and registering a driver. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ibverbs/public_api.h"

SHIM_PUBLIC const char *ibv_get_sysfs_path(void) {
    return "/sys";
}

/* Reads a file of sysfs into `buf` as a string without the newline at its end. Returns the length of what was
 * read, or -1 and sets errno. */
SHIM_PUBLIC int ibv_read_sysfs_file(const char *dir, const char *file, char *buf, size_t size) {
    char path[IBV_SYSFS_PATH_MAX];
    if (!dir || !file || !buf || !size)
        return shim_minus_one(EINVAL);
    if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
        return shim_minus_one(ENAMETOOLONG);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read(fd, buf, size);
    int error = errno;
    close(fd);
    if (length < 0)
        return shim_minus_one(error);
    if (length && buf[length - 1] == '\n')
        length--;
    /* As much as fits, and the end of the string. */
    if ((size_t)length == size)
        length--;
    buf[length] = '\0';
    return (int)length;
}

/* Drivers have registered by another function for many years. */
SHIM_PUBLIC void ibv_register_driver(const char *name, void *init) {
    (void)name, (void)init;
}
