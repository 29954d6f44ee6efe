// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_HELD_SGES_H
#define RDMAVT_HELD_SGES_H

#include <cstdint>

#include "binding/environment/environment.h"
#include "core/rvt.h"

// The elements that a batch holds references on. As much memory as was needed so far, and the engine is told
// of it. For the environment's own thread.
class HeldSges {
public:
    explicit HeldSges(Environment &environment) : environment_(environment) {}
    // Puts what is held.
    ~HeldSges();
    HeldSges(const HeldSges &) = delete;
    HeldSges &operator=(const HeldSges &) = delete;

    // Make room for `count` elements, at most `most` of which will ever be needed. False: no memory, and
    // nothing has changed. The elements may move.
    bool Reserve(uint32_t count, uint32_t most);
    uint32_t capacity() const {
        return capacity_;
    }
    const rvt_sge *data() const {
        return elements_;
    }
    // The elements there is room for; nullptr: none.
    rvt_sge *data() {
        return elements_;
    }
    // Puts the references of the first `count` elements; returns how many there were.
    uint32_t Put(uint32_t count);
    // Moves the reference of element `index` to *sge. False: it has none.
    bool Take(uint32_t index, rvt_sge *sge);

private:
    Environment &environment_;
    rvt_sge *elements_ = nullptr;
    uint32_t capacity_ = 0;
};

#endif
