/* SPDX-License-Identifier: BSD-3-Clause */
/* Plays programs without libFuzzer, with any compiler:
 * 
 *     replay FILE...           each file is one program
 *     replay --packed FILE...  each file has many programs, each preceded by its length
 *                              (16 bits, little-endian)
 * 
 * If FUZZ_PRINT is set in the environment, the operations are printed. A finding aborts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutate.h"

static unsigned char *read_file(const char *name, size_t *size) {
    FILE *file = fopen(name, "rb");
    size_t room = 1 << 16;
    unsigned char *bytes = malloc(room);
    *size = 0;
    while (file && bytes && !feof(file) && !ferror(file)) {
        if (*size == room)
            bytes = realloc(bytes, room *= 2);
        if (bytes)
            *size += fread(bytes + *size, 1, room - *size, file);
    }
    if (!file || !bytes || ferror(file)) {
        fprintf(stderr, "replay: cannot read %s\n", name);
        exit(2);
    }
    fclose(file);
    return bytes;
}

int main(int argc, char **argv) {
    bool packed = argc > 1 && strcmp(argv[1], "--packed") == 0, print = getenv("FUZZ_PRINT") != NULL;
    unsigned long played = 0;
    for (int i = packed ? 2 : 1; i < argc; i++) {
        size_t size, at = 0;
        unsigned char *bytes = read_file(argv[i], &size);
        if (!packed) {
            program_kind.play(bytes, size < MAX_PROGRAM ? size : MAX_PROGRAM, print);
            played++;
        }
        while (packed && size - at >= 2) {
            size_t length = bytes[at] | (size_t)bytes[at + 1] << 8;
            at += 2;
            if (length > size - at) {
                fprintf(stderr, "replay: %s ends in the middle of a program\n", argv[i]);
                return 2;
            }
            /* In a block of its own, so that AddressSanitizer detects reads beyond its end. */
            unsigned char *program = malloc(length + !length);
            if (!program)
                return 2;
            memcpy(program, bytes + at, length);
            program_kind.play(program, length < MAX_PROGRAM ? length : MAX_PROGRAM, print);
            free(program);
            at += length;
            played++;
        }
        free(bytes);
    }
    printf("%lu programs played\n", played);
    return 0;
}
