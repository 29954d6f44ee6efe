// SPDX-License-Identifier: BSD-3-Clause
#include "binding/batch/held_sges.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

HeldSges::~HeldSges() {
    Put(capacity_);
    std::free(elements_);
    environment_.AccountFor(-static_cast<int64_t>(capacity_ * sizeof(rvt_sge)));
}

bool HeldSges::Reserve(uint32_t count, uint32_t most) {
    if (count <= capacity_)
        return true;
    // At least double the capacity, so that growing one by one does not copy each time.
    uint32_t capacity = std::min(most, std::max(count, capacity_ < most / 2 ? capacity_ * 2 : most));
    // calloc does not touch pages that the system provides zeroed.
    auto *elements = static_cast<rvt_sge *>(std::calloc(capacity, sizeof(rvt_sge)));
    if (!elements)
        return false;
    if (elements_)
        std::memcpy(elements, elements_, capacity_ * sizeof(rvt_sge));
    std::free(elements_);
    elements_ = elements;
    uint32_t more = capacity - capacity_;
    capacity_ = capacity;
    environment_.AccountFor(static_cast<int64_t>(more * sizeof(rvt_sge)));
    return true;
}

uint32_t HeldSges::Put(uint32_t count) {
    return rvt_put_sges(elements_, std::min(count, capacity_));
}

bool HeldSges::Take(uint32_t index, rvt_sge *sge) {
    if (index >= capacity_ || !elements_[index].mr)
        return false;
    *sge = elements_[index];
    elements_[index].mr = nullptr;
    return true;
}
