/* SPDX-License-Identifier: BSD-3-Clause */
/* The entry points of libFuzzer: the input bytes are a program, which is played; any error aborts. If
 * FUZZ_PRINT is set in the environment, operations are printed as they are played. */
#include <stdlib.h>

#include "mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    program_kind.play(data, size < MAX_PROGRAM ? size : MAX_PROGRAM, getenv("FUZZ_PRINT") != NULL);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return program_mutate(&program_kind, data, size, max_size, seed, LLVMFuzzerMutate);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned seed) {
    return program_cross(&program_kind, a, a_size, b, b_size, out, max_size, seed);
}
