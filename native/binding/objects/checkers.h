// SPDX-License-Identifier: BSD-3-Clause
// Numbers for protection domains and queue pairs, so that a call can name one in the command block.
#ifndef RDMAVT_CHECKERS_H
#define RDMAVT_CHECKERS_H

#include <vector>

#include "binding/environment/environment.h"
#include "binding/environment/open_device.h"
#include "core/rvt.h"

// The domain or queue pair that a number names.
struct NumberedChecker {
    OpenDevice *device;
    rvt_checker checker;
    rvt_pd_handle pd; // {} in a queue pair's checker
    rvt_qp_handle qp; // {} in a domain's checker
};

// What a posting needs of a numbered queue pair. Kept side by side, so that a posting to one of many queue pairs
// touches one cache line of it.
struct NumberedQp {
    OpenDevice *device;
    rvt_qp_handle qp; // {} if the number does not name a queue pair
};

// The numbered checkers of an environment. Used only on its own thread.
class Checkers : public EnvironmentPart {
public:
    static void Start(Environment &environment) {
        environment.Keep(kCheckersPart, std::make_unique<Checkers>());
    }
    static Checkers &Of(const Environment &environment) {
        return static_cast<Checkers &>(environment.part(kCheckersPart));
    }

    // Returns a number greater than 0, valid until Remove().
    uint32_t Add(const NumberedChecker *checker);
    void Remove(uint32_t number);

    // Returns the checker with this number, or nullptr if the number is unused. JavaScript may pass any
    // number.
    const NumberedChecker *Find(uint32_t number) const {
        return number < checkers_.size() ? checkers_[number] : nullptr;
    }

    // Returns the queue pair with this number, or nullptr if the number names none.
    const NumberedQp *FindQp(uint32_t number) const {
        return number < qps_.size() && qps_[number].qp.qp ? &qps_[number] : nullptr;
    }

    void End() override {}

private:
    std::vector<const NumberedChecker *> checkers_{nullptr}; // nullptr: the number is free
    std::vector<NumberedQp> qps_{{}};                        // by the same numbers
    std::vector<uint32_t> free_;
};

// Owns the number of a domain or queue pair for the lifetime of its wrapper.
class OwnChecker {
public:
    // The number is 0, which names nothing, if another thread has already ended the domain or queue pair.
    OwnChecker(OpenDevice &device, rvt_pd_handle pd);
    OwnChecker(OpenDevice &device, rvt_qp_handle qp);
    ~OwnChecker();
    OwnChecker(const OwnChecker &) = delete;
    OwnChecker &operator=(const OwnChecker &) = delete;

    uint32_t number() const {
        return number_;
    }

private:
    NumberedChecker named_;
    uint32_t number_ = 0;
};

#endif
