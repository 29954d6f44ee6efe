/* SPDX-License-Identifier: BSD-3-Clause */
/* Measures how much work each read section of a long call does, and runs code between two of its sections.
 *
 * A reader that leaves a device frees the objects that were retired there. So an object that is retired again
 * each time it is freed is notified at the end of every section, by the leaving thread, outside the section:
 * there it can measure the progress of the call, and can call verbs that wait for readers. */
#ifndef RVT_TEST_SECTIONS_H
#define RVT_TEST_SECTIONS_H

#include "check.h"
#include "core/base/epoch.h"

struct sections {
    struct rvt_retired retired; /* must be the first member */
    struct rvt_retirement *of;
    uint64_t (*progress)(void *context); /* returns the amount of work done so far; may be NULL */
    void (*between)(void *context); /* called at the end of section `when` (counted from 1); may be NULL */
    void *context;
    unsigned when;
    bool over;
    unsigned ends;       /* number of sections ended so far */
    uint64_t last, most; /* progress at the end of the last section; most progress in one section */
};

static inline void note_section(struct rvt_retired *retired) {
    struct sections *s = (struct sections *)retired;
    if (s->over)
        return;
    s->ends++;
    if (s->progress) {
        uint64_t now = s->progress(s->context);
        if (now - s->last > s->most)
            s->most = now - s->last;
        s->last = now;
    }
    if (s->between && s->ends == s->when)
        s->between(s->context);
    rvt_retire(s->of, &s->retired, note_section);
}

static inline void begin_sections(struct sections *s, struct rvt_retirement *of) {
    s->of = of;
    s->over = false;
    s->ends = 0;
    s->last = s->most = 0;
    rvt_retire(of, &s->retired, note_section);
}

static inline void end_sections(struct sections *s) {
    s->over = true;
    rvt_settle(s->of);
    CHECK(!rvt_reclaim_pending(s->of));
}

#endif
