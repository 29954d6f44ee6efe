/* SPDX-License-Identifier: BSD-3-Clause */
#include "mutate.h"

#include <string.h>

enum { MAX_UNIT = 16 };

static uint32_t roll(unsigned *state, uint32_t below) {
    *state = *state * 1664525u + 1013904223u;
    return below ? (uint32_t)(((uint64_t)(*state >> 1) * below) >> 31) : 0;
}

/* Returns a byte that is meaningful as an operand: a limit of the tables in world.c, or any byte. */
static uint8_t interesting(unsigned *state) {
    static const uint8_t values[] = {0,    1,    2,    3,    7,    8,    0x10, 0x20, 0x40,
                                     0x5f, 0x60, 0x61, 0x62, 0x63, 0x64, 0x68, 0x70, 0x7f,
                                     0x80, 0x81, 0x9f, 0xa0, 0xc0, 0xe0, 0xff};
    return roll(state, 2) ? values[roll(state, sizeof(values))] : (uint8_t)roll(state, 256);
}

static void invent(const struct program_kind *kind, uint8_t *operation, unsigned *state) {
    operation[0] = roll(state, 2) ? kind->frequent[roll(state, kind->frequent_count)]
                                  : (uint8_t)roll(state, kind->opcodes);
    for (uint32_t i = 1; i < kind->operation_bytes; i++)
        operation[i] = interesting(state);
}

size_t program_mutate(const struct program_kind *kind, uint8_t *bytes, size_t size, size_t max_size,
                      unsigned seed, size_t (*other)(uint8_t *bytes, size_t size, size_t max_size)) {
    const size_t unit = kind->operation_bytes;
    unsigned state = seed;
    size_t count = size / unit, most = max_size / unit;
    if (!count || unit == 1 || roll(&state, 4) == 0)
        return other(bytes, size, max_size);
    size = count * unit;
    for (uint32_t changes = 1 + roll(&state, 3); changes; changes--) {
        size_t at = roll(&state, (uint32_t)count) * unit;
        switch (roll(&state, 8)) {
        case 0: /* insert a new operation */
        case 1: /* or a copy of an existing one */
            if (count == most)
                break;
            {
                uint8_t copy[MAX_UNIT];
                if (roll(&state, 2))
                    invent(kind, copy, &state);
                else
                    memcpy(copy, bytes + roll(&state, (uint32_t)count) * unit, unit);
                memmove(bytes + at + unit, bytes + at, size - at);
                memcpy(bytes + at, copy, unit);
                size += unit;
                count++;
            }
            break;
        case 2: /* remove one */
            if (count < 2)
                break;
            memmove(bytes + at, bytes + at + unit, size - at - unit);
            size -= unit;
            count--;
            break;
        case 3: /* swap two */
        {
            size_t to = roll(&state, (uint32_t)count) * unit;
            uint8_t copy[MAX_UNIT];
            memcpy(copy, bytes + at, unit);
            memmove(bytes + at, bytes + to, unit);
            memcpy(bytes + to, copy, unit);
            break;
        }
        case 4: /* replace the opcode, keep the operands */
            bytes[at] = (uint8_t)roll(&state, kind->opcodes);
            break;
        case 5: /* increment or decrement an operand */
            bytes[at + 1 + roll(&state, (uint32_t)unit - 1)] += roll(&state, 2) ? 1 : 255;
            break;
        default:
            bytes[at + 1 + roll(&state, (uint32_t)unit - 1)] = interesting(&state);
            break;
        }
    }
    return size;
}

size_t program_cross(const struct program_kind *kind, const uint8_t *a, size_t a_size, const uint8_t *b,
                     size_t b_size, uint8_t *out, size_t max_size, unsigned seed) {
    const size_t unit = kind->operation_bytes;
    unsigned state = seed;
    size_t head = roll(&state, (uint32_t)(a_size / unit + 1)) * unit;
    size_t from = roll(&state, (uint32_t)(b_size / unit + 1)) * unit;
    size_t most = max_size / unit * unit;
    if (head > most)
        head = most;
    size_t tail = b_size - from;
    if (tail > most - head)
        tail = most - head;
    memcpy(out, a, head);
    memcpy(out + head, b + from, tail);
    return head + tail;
}
