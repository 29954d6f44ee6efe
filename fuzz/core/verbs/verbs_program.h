/* SPDX-License-Identifier: BSD-3-Clause */
/* A program of verbs, decoded from bytes: 16 bytes for each operation, first its opcode, then its operands. Any
 * byte string is a program. */
#ifndef RVT_FUZZ_VERBS_PROGRAM_H
#define RVT_FUZZ_VERBS_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { VERB_BYTES = 16, VERB_OPERANDS = 15, MAX_VERBS = 256 };

/* Opcodes must never change their meaning, because the kept corpus uses them. scenes.mjs of this folder reads this
 * list, one opcode per line. Opcodes above 63 are taken modulo 64; those from VERB_COUNT on do nothing.
 *
 * Operands: objects are slot numbers; `element` is a region's slot, with bits for a wrong key, key 0 and the other
 * address of the region; `place` and `length` are codes for a place in that region. */
enum verb {
    VERB_NOTHING = 0,
    /* device options, limits, type of queue pairs, topology, options: a device with connected queue pairs */
    VERB_SCENE = 1,
    VERB_OPEN = 2,            /* operands: options, limits */
    VERB_EXIT = 3,            /* operands: cascade */
    VERB_ALLOC_CONTEXT = 4,   /* operands: context, without reader */
    VERB_DEALLOC_CONTEXT = 5, /* operands: context, cascade, drop */
    VERB_ALLOC_PD = 6,        /* operands: domain, context, user */
    VERB_ATTACH_PD = 7,       /* operands: domain, context, domain to attach */
    VERB_DEALLOC_PD = 8,      /* operands: domain, cascade */
    VERB_CREATE_CQ = 9,       /* operands: queue, context, entries, flags, vector, with a ring */
    VERB_RESIZE_CQ = 10,      /* operands: queue, entries */
    VERB_DESTROY_CQ = 11,     /* operand: queue */
    VERB_POLL_CQ = 12,        /* operands: queue, count */
    VERB_ARM_CQ = 13,         /* operands: queue, flags */
    VERB_CREATE_SRQ = 14,     /* operands: queue, domain, receives, elements, limit, type */
    VERB_MODIFY_SRQ = 15,     /* operands: queue, mask, receives, limit */
    VERB_DESTROY_SRQ = 16,    /* operand: queue */
    VERB_CREATE_AH = 17,      /* operands: address handle, domain, port, static rate, service level */
    VERB_DESTROY_AH = 18,     /* operand: address handle */
    /* queue pair, domain, type, send queue, receive queue, shared queue, sizes (4), signaling */
    VERB_CREATE_QP = 19,
    VERB_DESTROY_QP = 20, /* operand: queue pair */
    VERB_CONNECT = 21,    /* operands: two queue pairs, access, RNR retries, RNR timer, options */
    /* operands: queue pair, state | kind of mask, mask (3), values, destination, value, migration, wrong bit */
    VERB_MODIFY_QP = 22,
    /* queue pair | count, opcode, flags, elements, element, place, length, remote element, place, address handle,
     * remote queue pair, region, key, access, number */
    VERB_POST_SEND = 23,
    VERB_POST_RECV = 24,     /* operands: queue pair | count, elements, element, place, length, wrong */
    VERB_POST_SRQ_RECV = 25, /* operands: shared queue | count, elements, element, place, length, wrong */
    VERB_RUN = 26,
    VERB_KICK = 27, /* operand: queue pair */
    VERB_FIRE_TIMERS = 28,
    VERB_PROGRESS = 29,    /* operands: time that has passed (2) */
    VERB_REG_MR = 30,      /* operands: region, domain, buffer, offset, length, access, iova, owner */
    VERB_DEREG_MR = 31,    /* operands: region, mode */
    VERB_DEREG_MRS = 32,   /* operands: domain, first region, count, mode */
    VERB_ALLOC_MR = 33,    /* operands: region, domain, segments */
    VERB_MAP_MR_SG = 34,   /* operands: region, mapping, page, count, offset, length */
    VERB_FAST_REG = 35,    /* operands: queue pair, region, key, access */
    VERB_INVALIDATE = 36,  /* operands: queue pair, region, wrong */
    VERB_GET_DMA_MR = 37,  /* operands: region, domain */
    VERB_DMA_MAP = 38,     /* operands: mapping, context, buffer, length, address */
    VERB_DMA_UNMAP = 39,   /* operand: mapping */
    VERB_DETACH = 40,      /* operands: region, back */
    VERB_ENVIRONMENT = 41, /* operand: environment of the calls that follow */
    VERB_FAIL = 42,        /* operand: number of allocations of the next verb that succeed before one fails */
    VERB_QUERY = 43,       /* everything that reports, with every handle */
    VERB_CHECK_QP = 44,    /* operands: queue pair, domain; one without queues */
    VERB_COUNT_MR = 45,    /* operand: region */
    /* operands: steps of the engine, opcode, its operands: the next operation that carries out work is interrupted
     * by that one after some steps, as by another thread */
    VERB_INTERRUPT = 46,
    /* operands: queue, what, number (4): the consumer of a ring takes completions, or writes any TAIL */
    VERB_TAIL = 47,
    VERB_POST_WHOLE = 48, /* operands: as of VERB_POST_SEND; posts all work requests or none */
    /* A program that has windows has regions of their own, which only windows' keys lead to: see verbs_window.c. */
    VERB_REG_LAND = 49,   /* operands: land, domain, offset, length, access, iova, owner */
    VERB_DEREG_LAND = 50, /* operands: land, mode */
    VERB_ALLOC_MW = 51,   /* operands: window, domain, type */
    VERB_DEALLOC_MW = 52, /* operand: window */
    /* operands: queue pair, window, region (bit 7: not a land), place, length, access, key */
    VERB_BIND_MW = 53,
    /* operands: window, context, region (bit 7: not a land), place, length, access, queue pair (bit 7: none),
     * milliseconds (2) */
    VERB_LEASE_MR = 54,
    /* operands: region (bit 7: not a land), flags, buffer, offset, length, access, domain, address (bit 7: a wrong
     * one) */
    VERB_REREG_MR = 55,
    VERB_CLOCK = 56, /* operands: milliseconds that pass on the coarse clock (2) */
    /* queue pair | count, opcode, flags, elements, element, place, length, window | kind of key, place in it,
     * region, its place, length, key, access, steps of the opcode (bits 0 to 2) and whether it is whole (bit 7) */
    VERB_POST_WINDOW = 57,
    VERB_INVALIDATE_MW = 58, /* operands: queue pair, window, wrong */
    /* as VERB_INTERRUPT, with the operations on windows, leases and lands */
    VERB_INTERRUPT_WINDOW = 59,
    VERB_COUNT = 60,
};

/* Returns a name such as "post_send"; never NULL. */
const char *verb_name(unsigned code);

#endif
