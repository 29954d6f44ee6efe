/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/endpoint/answers.h"

#include <string.h>

#include "wire/endpoint/connection.h"

static void remove_at(struct rvt_answers *answers, uint32_t index) {
    answers->repeated -= answers->due[index].repeated;
    answers->count--;
    memmove(&answers->due[index], &answers->due[index + 1],
            (answers->count - index) * sizeof(answers->due[0]));
}

static void insert_at(struct rvt_answers *answers, uint32_t index, const struct rvt_answer *answer) {
    memmove(&answers->due[index + 1], &answers->due[index],
            (answers->count - index) * sizeof(answers->due[0]));
    answers->due[index] = *answer;
    answers->count++;
    answers->repeated += answer->repeated;
}

bool rvt_answers_have_room(const struct rvt_answers *answers, uint32_t depth) {
    return (uint32_t)answers->count - answers->repeated < depth;
}

void rvt_answers_append(struct rvt_answers *answers, const struct rvt_answer *answer) {
    /* The array can be full only because of repeated ones. The peer has gone on: the oldest of them is the one that it
     * needs least, and if it does need it, it asks once more. */
    for (uint32_t i = 0; answers->count == RVT_MOST_ANSWERS && i < answers->count; i++)
        if (answers->due[i].repeated)
            remove_at(answers, i);
    insert_at(answers, answers->count, answer);
}

void rvt_answers_repeat(struct rvt_answers *answers, const struct rvt_answer *answer, uint32_t depth,
                        uint32_t expected_psn) {
    const int32_t begin = rvt_psn_distance(answer->psn, expected_psn);
    uint32_t index = 0;
    /* A READ that is resumed ends where the READ ended, wherever it begins now. */
    for (uint32_t i = 0; i < answers->count; i++) {
        if (answers->due[i].end != answer->end)
            continue;
        const bool repeated = answers->due[i].repeated;
        answers->due[i] = *answer;
        answers->due[i].repeated = repeated;
        return;
    }
    if (answers->count >= depth)
        return;
    while (index < answers->count && rvt_psn_distance(answers->due[index].psn, expected_psn) < begin)
        index++;
    insert_at(answers, index, answer);
    answers->due[index].repeated = true;
    answers->repeated++;
}

void rvt_answers_shift(struct rvt_answers *answers) {
    remove_at(answers, 0);
}

void rvt_answers_cut(struct rvt_answers *answers, uint32_t psn, uint32_t expected_psn) {
    const int32_t from = rvt_psn_distance(psn, expected_psn);
    while (answers->count && rvt_psn_distance(answers->due[answers->count - 1].psn, expected_psn) >= from)
        remove_at(answers, answers->count - 1u);
}

void rvt_answers_clear(struct rvt_answers *answers) {
    answers->count = 0;
    answers->repeated = 0;
}

void rvt_answers_keep(struct rvt_answers *answers, const struct rvt_asked *asked, uint32_t depth) {
    /* A ring of its full size, of which `depth` are looked at: a peer that has `depth` requests open can repeat only
     * these. */
    answers->newest = (uint8_t)((answers->newest + 1u) % RVT_MOST_ANSWERS);
    answers->asked[answers->newest] = *asked;
    answers->kept = (uint8_t)(answers->kept < depth ? answers->kept + 1u : depth);
}

/* Returns the newest request for 0, the one before it for 1, and so on. */
static const struct rvt_asked *asked_before(const struct rvt_answers *answers, uint32_t i) {
    return &answers->asked[(answers->newest + RVT_MOST_ANSWERS - i) % RVT_MOST_ANSWERS];
}

uint32_t rvt_answers_at_end(const struct rvt_answers *answers, uint32_t *psn) {
    uint32_t count = 0;
    for (; count < answers->kept; count++) {
        const struct rvt_asked *asked = asked_before(answers, count);
        if (rvt_psn_after(asked->psn, asked->psns) != *psn)
            break;
        *psn = asked->psn;
    }
    return count;
}

const struct rvt_asked *rvt_answers_find(const struct rvt_answers *answers, uint32_t psn) {
    for (uint32_t i = 0; i < answers->kept; i++) { /* from the newest on: PSNs come around */
        const struct rvt_asked *asked = asked_before(answers, i);
        if (((psn - asked->psn) & 0xffffff) < asked->psns)
            return asked;
    }
    return NULL;
}
