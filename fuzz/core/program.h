/* SPDX-License-Identifier: BSD-3-Clause */
/* A program of operations, decoded from bytes: 8 bytes for each operation, first its opcode, then its
 * operands. Any byte string is a program (an incomplete last operation is filled up with zeros). All
 * operations have the same size, so that inserting, removing and swapping operations does not affect the
 * others. */
#ifndef RVT_FUZZ_PROGRAM_H
#define RVT_FUZZ_PROGRAM_H

#include "mutate.h"

enum { OPERATION_BYTES = 8, OPERANDS = 7, MAX_OPERATIONS = 512 };

/* Opcodes must never change their meaning, because the kept corpus uses them. program.mjs reads this list,
 * one opcode per line. Opcodes above 63 are taken modulo 64.
 *
 * Operands: objects are slot numbers; `anchor` and `delta` form an address (world_address); `length` is a
 * code (world_length); `checker` is a domain or, with bit 3, a queue pair; `keep` keeps the list; `context`
 * is 0 for none, or a slot number plus 1, and then selects the device, too. */
enum opcode {
    OP_NOTHING = 0,
    /* device, bits, options: opens a device with domains, queue pairs, memories and mappings */
    OP_SCENE = 1,
    OP_NUMBER = 2,        /* operands: register | how << 4, then six bytes of the number */
    OP_PUSH = 3,          /* operands: key, anchor, delta, length, count, stride, slot; appends to the list */
    OP_FAIL = 4,          /* operand: number of allocations that succeed before one fails */
    OP_OPEN = 5,          /* operands: device, bits, options */
    OP_EXIT = 6,          /* operands: device, cascade */
    OP_ALLOC_PD = 7,      /* operands: device, domain, user, context */
    OP_DEALLOC_PD = 8,    /* operands: domain, cascade */
    OP_CREATE_QP = 9,     /* operands: domain, queue pair */
    OP_DESTROY_QP = 10,   /* operand: queue pair */
    OP_MEMORY = 11,       /* operands: memory, size, alignment, owner */
    OP_MEMORY_STATE = 12, /* operands: memory, state */
    OP_DMA_MAP = 13,      /* operands: device, mapping, memory, fixed, anchor, delta, context */
    OP_DMA_UNMAP = 14,    /* operand: mapping */
    OP_REG_USER = 15,     /* operands: region, domain | memory << 4, anchor, delta, anchor, delta, access */
    OP_GET_DMA_MR = 16,   /* operands: region, domain, access */
    OP_ALLOC_MR = 17,     /* operands: region, domain, type, segments */
    OP_MAP_SG = 18,       /* operands: region, offset, page size, keep */
    OP_FAST_REG = 19,     /* operands: region, queue pair, key, access, anchor, delta, with iova */
    OP_INVALIDATE = 20,   /* operands: queue pair, key */
    OP_ALLOC_FMR = 21,    /* operands: region, domain, access, pages, shift */
    OP_MAP_FMR = 22,      /* operands: region, anchor, delta, keep */
    OP_UNMAP_FMR = 23,    /* operand: keep */
    OP_RELEASE = 24,      /* operands: region, mode (0: plain, 1 and 2: force, 3: await), wrong verb */
    /* operands: domain | last << 3, key, anchor, delta, length, access, SGE | use last << 7 */
    OP_LKEY_OK = 25,
    OP_RKEY_OK = 26,     /* operands: queue pair, key, anchor, delta, length, access, SGE */
    OP_LKEY_CHECK = 27,  /* operands: domain, key, anchor, delta, length, access */
    OP_RKEY_CHECK = 28,  /* operands: queue pair, key, anchor, delta, length, access */
    OP_CHECK_BATCH = 29, /* operands: checker, access, columns, alignment, keep */
    OP_CHECK_ONE = 30,   /* operands: checker, access, alignment, keep */
    /* operands: checker, access, columns, alignment, keep, seed | use seed << 6 | coalesce << 7, SGE | busy
     * << 7 */
    OP_ACQUIRE_BATCH = 31,
    OP_RELEASE_BATCH = 32, /* operands: SGE, count */
    OP_GATHER = 33,        /* operands: checker, access, length, alignment, keep, environment */
    OP_SCATTER = 34,       /* operands: checker, access, length, alignment, keep, environment */
    /* operands: checker, access, checker, access, number of SGEs in the first list, keep, environment */
    OP_COPY_BATCH = 35,
    OP_PUT = 36,          /* operand: SGE */
    OP_SS_INIT = 37,      /* operands: walk, keep */
    OP_SS_UPDATE = 38,    /* operands: walk, length, release */
    OP_SS_SKIP = 39,      /* operands: walk, length, release */
    OP_SS_LOOK = 40,      /* operands: walk, length, key */
    OP_SS_PUT = 41,       /* operand: walk */
    OP_WALK = 42,         /* operands: walk, release, keep */
    OP_COPY_IN = 43,      /* operands: walk, length, release, ordered, environment, -, context */
    OP_COPY_OUT = 44,     /* operands: walk, length, release, -, environment, -, context */
    OP_WRITE = 45,        /* operands: SGE, length, release, ordered, environment, -, context */
    OP_READ = 46,         /* operands: SGE, length, release, -, environment, -, context */
    OP_FETCH_ADD = 47,    /* operands: SGE, number, environment, -, -, -, context */
    OP_COMPARE_SWAP = 48, /* operands: SGE, number, number, environment, -, -, context */
    OP_QUERY = 49,        /* operand: region */
    OP_TABLE = 50,        /* operand: device; checks its key table and everything else it reports */
    OP_PICK_START = 51,   /* operands: device, anchor, delta */
    OP_LINGER = 52,       /* operands: device, all devices; a reader enters and stays inside, or leaves */
    OP_RECLAIM = 53,
    OP_RANDOM = 54,          /* operands: refuse random numbers, state */
    OP_NOBODY = 55,          /* every verb with an empty handle */
    OP_ALLOC_CONTEXT = 56,   /* operands: device, context slot */
    OP_DEALLOC_CONTEXT = 57, /* operands: context slot, cascade, drop */
    /* operands: slot of the new handle, context slot, domain to attach, offset from its serial number */
    OP_ATTACH_PD = 58,
    OP_SHARE = 59, /* operands: device, how, bit */
    /* operands: device memory, how, device, size, huge, context, offset from its serial number */
    OP_DEVICE_MEMORY = 60,
    OP_SLICE = 61,     /* operands: memory, device memory, offset, length, put instead */
    OP_COUNT_MR = 62,  /* operand: region */
    OP_DEREG_MRS = 63, /* operands: domain, mode, keep */
    OP_COUNT = 64,
};

struct operation {
    enum opcode code;
    uint8_t operand[OPERANDS];
};

/* Returns the number of operations in `size` bytes, at most MAX_OPERATIONS. */
uint32_t program_count(size_t size);
struct operation program_at(const uint8_t *bytes, size_t size, uint32_t index);

/* Returns a name such as "lkey_ok"; never NULL. */
const char *operation_name(enum opcode code);

#endif
