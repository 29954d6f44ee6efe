/* SPDX-License-Identifier: BSD-3-Clause */
/* The entry points of libFuzzer: the input bytes are a program, which is played; any error aborts. If
 * FUZZ_PRINT is set in the environment, operations are printed as they are played. */
#include <stdlib.h>

#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct world world; /* large; its parts are initialized before use */
    play(&world, data, size < MAX_PROGRAM ? size : MAX_PROGRAM, getenv("FUZZ_PRINT") != NULL);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return program_mutate(data, size, max_size, seed, LLVMFuzzerMutate);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned seed) {
    return program_cross(a, a_size, b, b_size, out, max_size, seed);
}
