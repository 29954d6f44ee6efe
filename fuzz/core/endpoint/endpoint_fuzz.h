/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the fuzzer of endpoints share. */
#ifndef RVT_ENDPOINT_FUZZ_H
#define RVT_ENDPOINT_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/address.h"

struct rvt_endpoint;

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "FINDING %s:%d: %s\n", __FILE__, __LINE__, #condition);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum {
    ENDS = 2,
    PUBLIC = 0x11,  /* bytes that may leave */
    SECRET = 0xee,  /* bytes that may not */
    MADE_UP = 0x77, /* bytes that the program makes up */
};

/* --- the connection manager (cm_play.c) --- */

/* Where an operation of the connection manager is done. */
struct cm_place {
    unsigned end;
    struct rvt_endpoint *endpoint;
    struct rvt_wire_peer peer; /* the other end */
    uint64_t now;
    bool print;
};

/* Forgets everything: a new program. */
void cm_begin(void);

/* The endpoint was closed, and its connections with it. */
void cm_forget(unsigned end);

/* Does one operation of a program: listens, asks, takes events, answers, ends. `qpn`: of a queue pair of this end. */
void cm_play(const struct cm_place *place, uint32_t qpn, const uint8_t *operands);

/* A queue pair of this end is about to be reset, or to leave its endpoint. */
void cm_note_queue_pair_gone(const struct cm_place *place, uint32_t qpn);

/* Compares what the connection manager stores twice. */
void cm_check(const struct cm_place *place);

/* A message leaves for queue pair 1: it is one, and has no bytes that are nobody's business. */
void cm_look_at_message(const unsigned char *bytes, uint32_t length);

/* Makes up a message to an end, from what a peer can know, and what it cannot. `bytes`: RVT_MAD_BYTES. */
void cm_make_message(const struct cm_place *to, uint32_t qpn, const uint8_t *operands, unsigned char *bytes);

#endif
