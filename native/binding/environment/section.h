// SPDX-License-Identifier: BSD-3-Clause
// A reader's section for the length of a scope: what the checks look at is not freed in it.
#ifndef RDMAVT_SECTION_H
#define RDMAVT_SECTION_H

#include "binding/environment/environment.h"

class Section {
public:
    explicit Section(Environment &environment) : reader_(environment.reader()) {
        rvt_read_enter(reader_);
    }
    ~Section() {
        rvt_read_leave(reader_);
    }
    Section(const Section &) = delete;
    Section &operator=(const Section &) = delete;

private:
    rvt_reader *reader_;
};

#endif
