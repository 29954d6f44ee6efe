/* SPDX-License-Identifier: BSD-3-Clause */
/* Walks over accepted SGEs, copies, and atomics. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* Checks that the core's SGE state and the model's walk agree. */
static void check_walk(const struct world *w, const struct rvt_sge_state *ss, const struct model_walk *walk,
                       uint32_t length) {
    const struct oracle *o = &w->oracle;
    EXPECT(w, "SGEs left", ss->num_sge, walk->left);
    EXPECT(w, "total_len", rvt_ss_total_len(ss), oracle_walk_total(o, walk));
    EXPECT(w, "sge_length", rvt_get_sge_length(ss, length), oracle_walk_length(o, walk, length));
    for (uint32_t i = 0; i < walk->count; i++)
        EXPECT(w, "an SGE of the walk is held", w->sges[walk->list[i]].mr != NULL,
               o->sges[walk->list[i]].alive);
}

/* Returns how far to walk: a length as in world_length, or relative to the end of the segment, or
 * everything. */
static uint64_t length_of(const struct world *w, const struct model_walk *model, uint8_t code) {
    if (code >= 0x90 && code < 0xa0)
        return (uint64_t)model->sge.length + (code & 15) - 8;
    return code == 0xff ? oracle_walk_total(&w->oracle, model) : world_length(w, code, 0, 0);
}

static void init(struct world *w) {
    struct oracle *o = &w->oracle;
    uint8_t slot = operand(w, 1) % WALK_SLOTS;
    struct rvt_sge *list[MAX_WALK + 1];
    int elements[MAX_WALK + 1];
    uint32_t count = 0;
    bool dead = false;
    for (uint32_t i = 0; i < w->item_count && count < MAX_WALK; i++) {
        int sge = world_sge(w, w->items[i].slot);
        if (sge == NONE)
            continue;
        dead |= !o->sges[sge].alive;
        elements[count] = sge;
        list[count++] = &w->sges[sge];
        world_say(w, " %d", sge);
    }
    int should = !count || count > 255 ? -RVT_EINVAL : dead ? -RVT_EBADF : 0;
    /* The list must outlive the walk. If rvt_ss_init fails, there is no walk. */
    w->walks[slot].begun = false;
    memcpy(w->state_lists[slot], list, count * sizeof(*list));
    if (world_answer(w, rvt_ss_init(&w->states[slot], w->state_lists[slot], count), should)) {
        oracle_walk_init(o, &w->walks[slot], elements, count);
        check_walk(w, &w->states[slot], &w->walks[slot], UINT32_MAX);
    }
    world_list_used(w, operand(w, 2));
}

/* Arguments of walk_fragments. */
struct telling {
    struct world *world;
    struct model_walk walk;
    const uint32_t *steps;
    uint32_t count, step, into; /* current step, and the bytes done in it */
    bool release;
};

/* Checks that the fragment is exactly the next one the model predicts. */
static void walk_fragment(struct telling *t, const struct rvt_fragment *fragment) {
    struct world *w = t->world;
    struct oracle *o = &w->oracle;
    while (t->step < t->count && t->into == t->steps[t->step]) {
        t->step++;
        t->into = 0;
    }
    EXPECT(w, "step", fragment->step, t->step);
    oracle_walk_pass_empty(o, &t->walk, t->release);
    uint32_t length = oracle_walk_length(o, &t->walk, t->steps[t->step] - t->into);
    const struct model_sge *s = &t->walk.sge;
    uint64_t at = s->position;
    if (s->mapping == NONE) {
        uint64_t size = UINT64_C(1) << s->shift;
        at = s->user ? s->position - s->offset
                     : o->regions[s->region].map.address[s->position / size] + s->position % size;
    }
    EXPECT(w, "fragment length", fragment->length, length);
    EXPECT(w, "fragment at", fragment->at, at);
    EXPECT(w, "fragment user", fragment->user, s->user);
    EXPECT(w, "fragment region", fragment->region, o->regions[s->region].id);
    oracle_walk_update(o, &t->walk, length, t->release);
    t->into += length;
}

static bool walk_fragments(void *context, const struct rvt_fragment *fragments, uint32_t count) {
    struct telling *t = context;
    if (!count)
        world_fail(t->world, "the callback got no fragments");
    if (t->world->readers[1]->depth)
        world_fail(t->world, "the callback ran inside a section");
    for (uint32_t i = 0; i < count; i++)
        walk_fragment(t, &fragments[i]);
    return true;
}

static void walk(struct world *w, uint8_t slot) {
    struct oracle *o = &w->oracle;
    struct rvt_sge_state *ss = &w->states[slot];
    struct model_walk *model = &w->walks[slot];
    bool release = operand(w, 2) & 1;
    uint32_t *steps = malloc((w->item_count + 1) * sizeof(*steps)), fragments = 0;
    uint64_t total = 0;
    if (!steps)
        abort();
    for (uint32_t i = 0; i < w->item_count; i++) {
        steps[i] = (uint32_t)w->items[i].length;
        total += steps[i];
        world_say(w, " %" PRIu32, steps[i]);
    }
    /* Segments may be single bytes and SGEs gigabytes long, so skip walks of too many fragments. */
    for (uint32_t i = 0; i < model->left; i++) {
        const struct model_sge *s = i ? &o->sges[model->list[model->next + i - 1]] : &model->sge;
        fragments += s->mapping == NONE ? (uint32_t)(s->sge_length >> s->shift >> 3) : 0;
    }
    if (fragments < 1 << 15) {
        enum rvt_reason reason, why = RVT_REASON_NONE;
        int should = 0;
        if (total > oracle_walk_total(o, model) || (release && oracle_walk_twice(model)))
            should = -RVT_EINVAL;
        else if ((why = oracle_walk_judge(o, model, total, false, false, 0)))
            should = -RVT_EINVAL;
        struct telling t = {w, *model, steps, w->item_count, 0, 0, release};
        int answer = rvt_walk(w->readers[1], ss, steps, w->item_count, release, &reason, walk_fragments, &t);
        world_answer(w, answer, should);
        EXPECT(w, "reason", reason, why);
        while (t.step < t.count && t.into == t.steps[t.step]) {
            t.step++;
            t.into = 0;
        }
        EXPECT(w, "steps walked", t.step, should ? (w->item_count && !steps[0] ? t.step : 0) : w->item_count);
        *model = t.walk;
        check_walk(w, ss, model, 5000);
    }
    free(steps);
    world_list_used(w, operand(w, 3));
}

/* Chooses the context that the call counts for, in core and model. A closed context makes no calls. */
static int for_context(const struct world *w, struct rvt_data_call *call) {
    int device, context = world_chosen(w, operand(w, 7), &device);
    if (oracle_gone(&w->oracle, context))
        context = NONE;
    call->context = world_context(w, context);
    return context;
}

static void count(struct oracle *o, int context, uint64_t bytes, enum rvt_reason refused) {
    if (context != NONE)
        o->contexts[context].counts.bytes += bytes;
    if (refused)
        oracle_count_for(o, context, refused, 1);
}

/* Copies between a walk and a buffer. */
static void copy(struct world *w, struct rvt_sge_state *ss, struct model_walk *model, bool write) {
    struct oracle *o = &w->oracle;
    bool release = operand(w, 3) & 1, ordered = write && operand(w, 4) & 1;
    int environment = 1 + (operand(w, 5) & 1);
    uint64_t total = oracle_walk_total(o, model);
    uint64_t length = length_of(w, model, operand(w, 2));
    if (length > (1 << 20) + 2 * 65536)
        return;
    unsigned char *data = malloc(length + !length), *expected = malloc(length + !length);
    if (!data || !expected)
        abort();
    for (uint64_t i = 0; i < length; i++)
        data[i] = expected[i] = (unsigned char)(i * 5 + w->at * 11 + 1);
    world_say(w, " length=%" PRIu64 " of %" PRIu64 " release=%d ordered=%d environment=%d", length, total,
              release, ordered, environment);
    enum rvt_reason why = RVT_REASON_NONE;
    int should = 0;
    if (length > total || (release && oracle_walk_twice(model)))
        should = -RVT_EINVAL;
    else if ((why = oracle_walk_judge(o, model, length, true, write, environment)))
        should = -RVT_EACCES;
    struct rvt_data_call call;
    struct rvt_copied copied = {0};
    rvt_data_call_begin(&call, w->readers[environment], &environment);
    int context = for_context(w, &call);
    int answer = write ? rvt_copy_sge(&call, ss, data, length, release, ordered, &copied)
                       : rvt_copy_sge_out(&call, ss, data, length, release, &copied);
    world_answer(w, answer, should);
    EXPECT(w, "reason", copied.reason, why);
    EXPECT(w, "bytes", copied.bytes, should ? 0 : length);
    world_note(w, 16 + why);
    if (!should) {
        oracle_walk_move(o, model, expected, length, write, release);
        count(o, context, length, RVT_REASON_NONE);
    } else {
        count(o, context, 0, why);
    }
    if (memcmp(data, expected, length) != 0)
        world_fail(w, "the copy read wrong bytes");
    world_check_bytes(w);
    check_walk(w, ss, model, UINT32_MAX);
    free(data);
    free(expected);
}

/* Copies one SGE from its start. */
static void copy_element(struct world *w, bool write) {
    int sge = world_sge(w, operand(w, 1));
    struct rvt_sge_state ss;
    struct model_walk model;
    if (sge == NONE)
        return;
    world_say(w, " sge=%d", sge);
    bool alive = w->oracle.sges[sge].alive;
    if (!world_answer(w, rvt_ss_init(&ss, (struct rvt_sge *[]){&w->sges[sge]}, 1), alive ? 0 : -RVT_EBADF))
        return;
    oracle_walk_init(&w->oracle, &model, &sge, 1);
    copy(w, &ss, &model, write);
}

static void atomic(struct world *w, bool swap) {
    struct oracle *o = &w->oracle;
    int index = world_sge(w, operand(w, 1)), environment = 1 + (operand(w, swap ? 4 : 3) & 1);
    if (index == NONE)
        return;
    const struct model_sge *s = &o->sges[index];
    uint64_t first = w->numbers[operand(w, 2) % NUMBERS], second = w->numbers[operand(w, 3) % NUMBERS],
             old = 0;
    enum rvt_reason reason, why = RVT_REASON_NONE;
    int should = 0;
    unsigned char *word = NULL;
    if (!s->alive) {
        should = -RVT_EBADF;
    } else if (!(s->rights & RVT_ACCESS_REMOTE_ATOMIC)) {
        should = -RVT_EACCES;
        why = RVT_ACCESS_DENIED;
    } else if (s->sge_length != 8 || s->request % 8) {
        should = -RVT_EINVAL;
    } else if ((why = oracle_usable(o, s, s))) {
        should = -RVT_EACCES;
    } else {
        struct run run = oracle_run(o, s, 8);
        if ((why = oracle_memory(o, run.memory, environment)))
            should = -RVT_EACCES;
        else if (run.length < 8 || ((uintptr_t)world_bytes(w, run.memory) + run.into) % 8)
            should = -RVT_EINVAL;
        else
            word = o->memories[run.memory].shadow + run.into;
    }
    uint64_t expected = 0;
    if (word) {
        memcpy(&expected, word, 8);
        /* Random numbers seldom equal the memory's content, so register 15 stands for the current value. */
        if (swap && operand(w, 2) % NUMBERS == 15)
            first = expected;
        uint64_t next = !swap ? expected + first : expected == first ? second : expected;
        memcpy(word, &next, 8);
    }
    world_say(w, " sge=%d", index);
    struct rvt_data_call call;
    rvt_data_call_begin(&call, w->readers[environment], &environment);
    count(o, for_context(w, &call), 0, why);
    int answer = swap ? rvt_sge_compare_swap(&call, &w->sges[index], first, second, &old, &reason)
                      : rvt_sge_fetch_add(&call, &w->sges[index], first, &old, &reason);
    world_answer(w, answer, should);
    EXPECT(w, "reason", reason, why);
    if (word)
        EXPECT(w, "the old value", old, expected);
    world_note(w, 16 + why);
    world_check_bytes(w);
}

/* Operations on a walk that was started. */
static void step(struct world *w) {
    struct oracle *o = &w->oracle;
    uint8_t slot = operand(w, 1) % WALK_SLOTS;
    struct rvt_sge_state *ss = &w->states[slot];
    struct model_walk *model = &w->walks[slot];
    bool release = operand(w, 3) & 1;
    if (!model->begun)
        return;
    uint64_t length = length_of(w, model, operand(w, 2));
    switch (w->operation.code) {
    case OP_SS_UPDATE:
        world_say(w, " length=%" PRIu32 " release=%d", (uint32_t)length, release);
        world_answer(w, rvt_update_sge(ss, (uint32_t)length, release),
                     oracle_walk_update(o, model, (uint32_t)length, release));
        break;
    case OP_SS_SKIP:
        world_say(w, " length=%" PRIu64 " release=%d", length, release);
        world_answer(w, rvt_skip_sge(ss, length, release), oracle_walk_skip(o, model, length, release));
        break;
    case OP_SS_LOOK: {
        uint32_t key = world_key(w, operand(w, 3));
        world_say(w, " length=%" PRIu64 " key=0x%" PRIx32, length, key);
        EXPECT(w, "has_lkey", rvt_ss_has_lkey(ss, key), oracle_walk_has_key(o, model, key));
        /* Also the keys of all SGEs that are or were in the walk. */
        for (uint32_t i = 0; i < model->count; i++) {
            int region = o->sges[model->list[i]].region;
            key = region == NONE ? 0 : o->regions[region].key;
            EXPECT(w, "has_lkey", rvt_ss_has_lkey(ss, key), oracle_walk_has_key(o, model, key));
        }
        EXPECT(w, "any_twice", rvt_ss_find_twice(ss) != 0, oracle_walk_twice(model));
        break;
    }
    case OP_SS_PUT:
        rvt_put_ss(ss);
        oracle_walk_put(o, model);
        break;
    case OP_WALK:
        walk(w, slot);
        break;
    case OP_COPY_IN:
        copy(w, ss, model, true);
        break;
    case OP_COPY_OUT:
        copy(w, ss, model, false);
        break;
    default:
        break;
    }
    check_walk(w, ss, model, (uint32_t)length);
}

void play_data(struct world *w) {
    switch (w->operation.code) {
    case OP_SS_INIT:
        init(w);
        break;
    case OP_WRITE:
        copy_element(w, true);
        break;
    case OP_READ:
        copy_element(w, false);
        break;
    case OP_FETCH_ADD:
        atomic(w, false);
        break;
    case OP_COMPARE_SWAP:
        atomic(w, true);
        break;
    default:
        step(w);
        break;
    }
}
