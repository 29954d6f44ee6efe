/* SPDX-License-Identifier: BSD-3-Clause */
/* What the fuzzers have in common: programs of operations of one size, how they are mutated, and the entry points. */
#ifndef RVT_FUZZ_MUTATE_H
#define RVT_FUZZ_MUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_PROGRAM = 4096 };

/* A kind of programs. */
struct program_kind {
    /* Bytes of an operation, of which the first one is the opcode. 1: programs are bytes, not operations, and the
     * next three fields have no meaning. */
    uint32_t operation_bytes;
    uint32_t opcodes; /* opcodes are below this number */
    /* Opcodes that new operations get more often than others. */
    const uint8_t *frequent;
    uint32_t frequent_count;
    /* Plays a program; aborts if it finds an error. `print`: print every operation as it is played. */
    void (*play)(const uint8_t *bytes, size_t size, bool print);
};

/* The kind of this executable, defined by the fuzzer that it is linked with. */
extern const struct program_kind program_kind;

/* Mutates a program in place, by whole operations where possible. `other` is libFuzzer's own mutation of
 * bytes; it returns the new size. Returns the new size. */
size_t program_mutate(const struct program_kind *kind, uint8_t *bytes, size_t size, size_t max_size,
                      unsigned seed, size_t (*other)(uint8_t *bytes, size_t size, size_t max_size));

/* Combines the start of one program and the end of another, cut between operations. Returns the size of
 * `out`. */
size_t program_cross(const struct program_kind *kind, const uint8_t *a, size_t a_size, const uint8_t *b,
                     size_t b_size, uint8_t *out, size_t max_size, unsigned seed);

#endif
