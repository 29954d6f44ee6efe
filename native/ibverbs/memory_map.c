/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/memory_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads /proc/self/maps: a line for each mapping, in ascending order, that begins with "START-END rwxp ".
 * Uses no memory but the stack, since a program may register memory while it holds the locks of its
 * allocator. */
struct maps {
    int fd;
    size_t length, at; /* bytes in the buffer, and how many of them were used */
    char bytes[4096];
};

struct mapping {
    uint64_t start, end;
    bool readable, writable;
};

/* Returns the next character, or -1 at the end. */
static int next_character(struct maps *maps) {
    if (maps->at == maps->length) {
        ssize_t got;
        do {
            got = read(maps->fd, maps->bytes, sizeof(maps->bytes));
        } while (got < 0 && errno == EINTR);
        if (got <= 0)
            return -1;
        maps->length = (size_t)got;
        maps->at = 0;
    }
    return (unsigned char)maps->bytes[maps->at++];
}

/* Reads a hexadecimal number and the character after it. */
static uint64_t read_number(struct maps *maps) {
    uint64_t number = 0;
    for (;;) {
        int character = next_character(maps);
        if (character >= '0' && character <= '9')
            number = number << 4 | (uint64_t)(character - '0');
        else if (character >= 'a' && character <= 'f')
            number = number << 4 | (uint64_t)(character - 'a' + 10);
        else
            return number;
    }
}

/* Returns false at the end. */
static bool next_mapping(struct maps *maps, struct mapping *mapping) {
    mapping->start = read_number(maps);
    mapping->end = read_number(maps);
    mapping->readable = next_character(maps) == 'r';
    mapping->writable = next_character(maps) == 'w';
    int character;
    do {
        character = next_character(maps);
    } while (character >= 0 && character != '\n');
    return character >= 0;
}

int shim_judge_range(uint64_t start, uint64_t length, bool write) {
    if (start > UINT64_MAX - length)
        return EFAULT;
    const uint64_t end = start + length;
    struct maps maps = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    if (maps.fd < 0)
        return 0;
    struct mapping mapping;
    uint64_t good = start; /* all bytes below are */
    while (good < end && next_mapping(&maps, &mapping)) {
        if (mapping.end <= good)
            continue;
        if (mapping.start > good || !mapping.readable || (write && !mapping.writable))
            break;
        good = mapping.end;
    }
    close(maps.fd);
    return good < end ? EFAULT : 0;
}
