/* SPDX-License-Identifier: BSD-3-Clause */
/* A program of operations, read out of bytes: 8 bytes an operation, the first its code, the others its
 * operands. Every string of bytes is a program (an incomplete last operation is filled up with zeros), and
 * operations have one size, so that inserting, removing and exchanging whole ones leaves the rest what it
 * was. */
#ifndef RVT_FUZZ_PROGRAM_H
#define RVT_FUZZ_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { OPERATION_BYTES = 8, OPERANDS = 7, MAX_OPERATIONS = 512, MAX_PROGRAM = 4096 };

/* Numbers never change their meaning: the kept corpus speaks of them. program.mjs reads this
 * list, one code a line. Higher codes than 63 are taken modulo 64.
 * `context` as an operand: 0 is none, n the one in slot n - 1; it decides on the device if it is there. */
enum opcode {
    OP_NOTHING = 0,
    OP_SCENE = 1,         /* device, bits, options: a device with domains, QPs, memories, mappings */
    OP_NUMBER = 2,        /* register | how << 4, six bytes */
    OP_PUSH = 3,          /* key, where, delta, length, count, stride, slot: onto the list */
    OP_FAIL = 4,          /* allocations to let through */
    OP_OPEN = 5,          /* device, bits, options */
    OP_EXIT = 6,          /* device, cascade */
    OP_ALLOC_PD = 7,      /* device, domain, user, context */
    OP_DEALLOC_PD = 8,    /* domain, cascade */
    OP_CREATE_QP = 9,     /* domain, queue pair */
    OP_DESTROY_QP = 10,   /* queue pair */
    OP_MEMORY = 11,       /* memory, size, alignment, owner */
    OP_MEMORY_STATE = 12, /* memory, state */
    OP_DMA_MAP = 13,      /* device, mapping, memory, fixed, where, delta, context */
    OP_DMA_UNMAP = 14,    /* mapping */
    OP_REG_USER = 15,     /* region, domain | memory << 4, where, delta, where, delta, access */
    OP_GET_DMA_MR = 16,   /* region, domain, access */
    OP_ALLOC_MR = 17,     /* region, domain, type, segments */
    OP_MAP_SG = 18,       /* region, offset, page size, keep */
    OP_FAST_REG = 19,     /* region, queue pair, key, access, where, delta, with iova */
    OP_INVALIDATE = 20,   /* queue pair, key */
    OP_ALLOC_FMR = 21,    /* region, domain, access, pages, shift */
    OP_MAP_FMR = 22,      /* region, where, delta, keep */
    OP_UNMAP_FMR = 23,    /* keep */
    OP_RELEASE = 24,      /* region, mode (0: plain, 1 and 2: force, 3: await), wrong verb */
    OP_LKEY_OK = 25,      /* domain | last << 3, key, where, delta, length, access, element | use last << 7 */
    OP_RKEY_OK = 26,      /* queue pair, key, where, delta, length, access, element */
    OP_LKEY_CHECK = 27,   /* domain, key, where, delta, length, access */
    OP_RKEY_CHECK = 28,   /* queue pair, key, where, delta, length, access */
    OP_CHECK_BATCH = 29,  /* who, access, columns, alignment, keep */
    OP_CHECK_ONE = 30,    /* who, access, alignment, keep */
    /* who, access, columns, alignment, keep, seed | use seed << 6 | coalesce << 7, element | busy << 7 */
    OP_ACQUIRE_BATCH = 31,
    OP_RELEASE_BATCH = 32, /* element, count */
    OP_GATHER = 33,        /* who, access, length, alignment, keep, environment */
    OP_SCATTER = 34,       /* who, access, length, alignment, keep, environment */
    OP_COPY_BATCH = 35,    /* who, access, who, access, elements of the first, keep, environment */
    OP_PUT = 36,           /* element */
    OP_SS_INIT = 37,       /* walk, keep */
    OP_SS_UPDATE = 38,     /* walk, length, release */
    OP_SS_SKIP = 39,       /* walk, length, release */
    OP_SS_LOOK = 40,       /* walk, length, key */
    OP_SS_PUT = 41,        /* walk */
    OP_WALK = 42,          /* walk, release, keep */
    OP_COPY_IN = 43,       /* walk, length, release, ordered, environment, -, context */
    OP_COPY_OUT = 44,      /* walk, length, release, -, environment, -, context */
    OP_WRITE = 45,         /* element, length, release, ordered, environment, -, context */
    OP_READ = 46,          /* element, length, release, -, environment, -, context */
    OP_FETCH_ADD = 47,     /* element, number, environment, -, -, -, context */
    OP_COMPARE_SWAP = 48,  /* element, number, number, environment, -, -, context */
    OP_QUERY = 49,         /* region */
    OP_TABLE = 50,         /* device: its keys, and all else that it tells of itself */
    OP_PICK_START = 51,    /* device, where, delta */
    OP_LINGER = 52,        /* a reader that stays inside (or goes): device, of all devices */
    OP_RECLAIM = 53,
    OP_RANDOM = 54,          /* give, or refuse, random numbers */
    OP_NOBODY = 55,          /* every verb with a handle that never was one */
    OP_ALLOC_CONTEXT = 56,   /* device, context slot */
    OP_DEALLOC_CONTEXT = 57, /* context slot, cascade, drop */
    OP_ATTACH_PD = 58,       /* domain, context slot, domain it is to be, steps off its number */
    OP_SHARE = 59,           /* device, how, bit */
    OP_DEVICE_MEMORY = 60,   /* device memory, how, device, size, huge, context, steps off its number */
    OP_SLICE = 61,           /* memory, device memory, offset, length, let go */
    OP_COUNT_MR = 62,        /* region */
    OP_DEREG_MRS = 63,       /* domain, mode, keep */
    OP_COUNT = 64,
};

struct operation {
    enum opcode code;
    uint8_t operand[OPERANDS];
};

/* Operations in `size` bytes; what is beyond the limit is not there. */
uint32_t program_count(size_t size);
struct operation program_at(const uint8_t *bytes, size_t size, uint32_t index);

/* "lkey_ok"; never NULL. */
const char *operation_name(enum opcode code);

/* Change a program in place, operation by operation where that is possible. `other` supplies changes that
 * know nothing of operations (libFuzzer's own); it answers the new size. Returns the new size. */
size_t program_mutate(uint8_t *bytes, size_t size, size_t max_size, unsigned seed,
                      size_t (*other)(uint8_t *bytes, size_t size, size_t max_size));

/* A part of one and a part of another program, cut between operations. Returns the size of `out`. */
size_t program_cross(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
                     size_t max_size, unsigned seed);

#endif
