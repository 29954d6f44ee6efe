// SPDX-License-Identifier: BSD-3-Clause
// A reader's section on one device for the lifetime of a scope. Inside it, the core frees nothing that a
// check may read.
#ifndef RDMAVT_SECTION_H
#define RDMAVT_SECTION_H

#include "binding/environment/environment.h"
#include "binding/environment/open_device.h"

class Section {
public:
    explicit Section(const OpenDevice &device)
        : reader_(device.environment().reader()), of_(&device.get()->retirement) {
        rvt_read_enter(reader_, of_);
    }
    ~Section() {
        rvt_read_leave(reader_, of_);
    }
    Section(const Section &) = delete;
    Section &operator=(const Section &) = delete;

private:
    rvt_reader *reader_;
    rvt_retirement *of_;
};

#endif
