// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_HELD_SGES_H
#define RDMAVT_HELD_SGES_H

#include <cstdint>

#include "binding/environment/environment.h"
#include "core/rvt.h"

// The elements on which a batch holds references. Grows to the largest number needed so far, and reports its
// memory to the garbage collector. Used only on the environment's own thread.
class HeldSges {
public:
    explicit HeldSges(Environment &environment) : environment_(environment) {}
    // Puts all held elements.
    ~HeldSges();
    HeldSges(const HeldSges &) = delete;
    HeldSges &operator=(const HeldSges &) = delete;

    // Makes room for `count` elements; `most` is the largest number that will ever be needed. Returns false,
    // and changes nothing, if memory is short. The elements may move.
    bool Reserve(uint32_t count, uint32_t most);
    uint32_t capacity() const {
        return capacity_;
    }
    const rvt_sge *data() const {
        return elements_;
    }
    // Returns the first of capacity() elements, or nullptr if there is no room yet.
    rvt_sge *data() {
        return elements_;
    }
    // Puts the references of the first `count` elements, and returns how many there were.
    uint32_t Put(uint32_t count);
    // Moves the reference of element `index` to *sge. Returns false if it has none.
    bool Take(uint32_t index, rvt_sge *sge);

private:
    Environment &environment_;
    rvt_sge *elements_ = nullptr;
    uint32_t capacity_ = 0;
};

#endif
