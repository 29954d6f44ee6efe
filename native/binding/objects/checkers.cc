// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/checkers.h"

uint32_t Checkers::Add(const NumberedChecker *checker) {
    const NumberedQp qp = {checker->device, checker->qp};
    if (free_.empty()) {
        checkers_.push_back(checker);
        qps_.push_back(qp);
        return static_cast<uint32_t>(checkers_.size() - 1);
    }
    uint32_t number = free_.back();
    free_.pop_back();
    checkers_[number] = checker;
    qps_[number] = qp;
    return number;
}

void Checkers::Remove(uint32_t number) {
    checkers_[number] = nullptr;
    qps_[number] = {};
    free_.push_back(number);
}

OwnChecker::OwnChecker(OpenDevice &device, rvt_pd_handle pd) : named_{&device, {}, pd, {}} {
    if (rvt_checker_of_pd(pd, &named_.checker))
        number_ = Checkers::Of(device.environment()).Add(&named_);
}

OwnChecker::OwnChecker(OpenDevice &device, rvt_qp_handle qp) : named_{&device, {}, {}, qp} {
    if (rvt_checker_of_qp(qp, &named_.checker))
        number_ = Checkers::Of(device.environment()).Add(&named_);
}

OwnChecker::~OwnChecker() {
    if (number_)
        Checkers::Of(named_.device->environment()).Remove(number_);
}
