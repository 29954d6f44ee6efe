/* SPDX-License-Identifier: BSD-3-Clause */
/* How much one section does, and what happens between two sections of a long call.
 *
 * A reader that leaves a device on which something waits to be freed frees it. So a thing that is retired again each
 * time that it is freed is told of the end of every section, by the thread that leaves, while its reader is outside:
 * it can look how far the call is, and it can call verbs that wait. */
#ifndef RVT_TEST_SECTIONS_H
#define RVT_TEST_SECTIONS_H

#include "check.h"
#include "core/base/epoch.h"

struct sections {
    struct rvt_retired retired; /* first */
    struct rvt_retirement *of;
    uint64_t (*progress)(void *context); /* how much is done; may be NULL */
    void (*between)(void *context); /* called at the end of section number `when` (from 1 on); may be NULL */
    void *context;
    unsigned when;
    bool over;
    unsigned ends;       /* of sections, so far */
    uint64_t last, most; /* progress at the end of the last one; of any one */
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
