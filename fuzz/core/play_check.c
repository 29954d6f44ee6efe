/* SPDX-License-Identifier: BSD-3-Clause */
/* Single checks with and without a reference, and puts. */
#include <inttypes.h>

#include "world.h"

void world_check_sge(const struct world *w, const struct rvt_sge *is, const struct model_sge *should) {
    const struct oracle *o = &w->oracle;
    EXPECT(w, "the SGE is held", is->mr != NULL, should->alive);
    if (!should->alive)
        return;
    if (is->mr != w->regions[should->region].mr)
        world_fail(w, "the SGE belongs to another region than %d", should->region);
    uint64_t segment = should->mapping == NONE ? should->position >> should->shift : 0;
    EXPECT(w, "at", is->at, should->at);
    EXPECT(w, "length", is->length, should->length);
    EXPECT(w, "sge_length", is->sge_length, should->sge_length);
    EXPECT(w, "segment", rvt_sge_segment(is), segment);
    EXPECT(w, "user", is->user, should->user);
    EXPECT(w, "remote", is->remote, should->remote);
    EXPECT(w, "rights", is->rights, should->rights);
    struct rvt_map *map;
    struct rvt_retirement *section = &is->mr->owned.device->retirement;
    rvt_read_enter(w->readers[1], section);
    enum rvt_reason usable = rvt_sge_usable(is, &map);
    rvt_read_leave(w->readers[1], section);
    EXPECT(w, "usable", usable, oracle_usable(o, should, should));
}

/* Returns the retirement list of the domain's device, to enter a section. `pd` is a root. */
static struct rvt_retirement *section_of(const struct world *w, int pd) {
    return &w->devices[w->oracle.pds[pd].device]->retirement;
}

/* Builds the request that operands 2 to 6 describe. */
static struct request request_of(const struct world *w, int pd, int context, bool remote) {
    uint64_t addr = world_address(w, operand(w, 3), operand(w, 4));
    return (struct request){
        .pd = w->oracle.pds[pd].root,
        .context = context,
        .remote = remote,
        .addr = addr,
        .length = (uint32_t)world_length(w, operand(w, 5), addr, operand(w, 2)),
        .key = world_key(w, operand(w, 2)),
        .acc = operand(w, 6) & 31,
    };
}

static void tell(const struct world *w, const struct request *q) {
    world_say(w, " pd=%d addr=0x%" PRIx64 " length=0x%" PRIx32 " key=0x%" PRIx32 " acc=%" PRIu32, q->pd,
              q->addr, q->length, q->key, q->acc);
}

/* Notes the verdict and the kind of region for coverage. */
static void note(const struct world *w, enum rvt_reason reason, const struct model_sge *s) {
    uint32_t kind = reason || s->region == NONE ? 0 : (uint32_t)w->oracle.regions[s->region].kind + 1;
    world_note(w, reason ? reason : 16 + kind * 4 + (s->sge_length == 0) * 2 + (s->sge_length > s->length));
}

static void expect_reason(const struct world *w, enum rvt_reason is, enum rvt_reason should) {
    world_say(w, " %s", rvt_reason_name(is));
    if (is != should)
        world_fail(w, "the reason is %s, not %s", rvt_reason_name(is), rvt_reason_name(should));
}

/* Puts the SGE in the slot and takes an unused one for it. Returns NULL if the model is full. */
static struct rvt_sge *take_slot(struct world *w, uint8_t slot, int *index) {
    struct oracle *o = &w->oracle;
    int old = world_sge(w, slot);
    if (o->sge_count == MAX_SGES)
        return NULL;
    if (old != NONE) {
        rvt_put_sge(&w->sges[old]);
        oracle_put(o, old);
    }
    *index = o->sge_count++;
    w->sges[*index] = (struct rvt_sge){0};
    o->sges[*index] = (struct model_sge){.region = NONE, .mapping = NONE};
    w->sge_slot[slot % SGE_SLOTS] = *index;
    return &w->sges[*index];
}

/* Records an SGE that the core accepted and the oracle predicted as `s`. */
static void accepted(struct world *w, int index, struct model_sge s) {
    struct oracle *o = &w->oracle;
    s.alive = true;
    o->sges[index] = s;
    o->regions[s.region].held++;
    world_check_sge(w, &w->sges[index], &o->sges[index]);
}

static void lkey_ok(struct world *w) {
    struct oracle *o = &w->oracle;
    int pd = world_pd(w, operand(w, 1)), last = NONE, index;
    if (pd == NONE)
        return;
    struct request q = request_of(w, pd, o->pds[pd].context, false);
    struct model_sge s;
    enum rvt_reason reason = RVT_REASON_NONE;
    if (operand(w, 7) & 0x80)
        last = world_sge(w, operand(w, 1) >> 3);
    if (last != NONE && last == world_sge(w, operand(w, 7)))
        last = NONE; /* the slot's old SGE is put before the check, so it cannot be `last` */
    struct rvt_sge *sge = take_slot(w, operand(w, 7), &index);
    if (!sge)
        return;
    tell(w, &q);
    world_say(w, " sge=%d last=%d", index, last);
    bool alive = oracle_pd_alive(o, pd);
    enum rvt_reason verdict = alive ? oracle_judge(o, &q, &s) : RVT_CLOSED;
    bool merge = !verdict && last != NONE && oracle_merges(o, &o->sges[last], &q, &s);
    int should = verdict ? -RVT_EINVAL : merge ? 0 : 1;
    struct rvt_ib_sge wanted = {q.addr, q.length, q.key};
    struct rvt_retirement *section = section_of(w, o->pds[pd].root);
    rvt_read_enter(w->readers[1], section);
    int answer = rvt_lkey_ok(w->pds[pd], sge, last == NONE ? NULL : &w->sges[last], &wanted, q.acc, &reason);
    (void)world_starved(); /* after a failed allocation the references are counted in the region itself */
    rvt_read_leave(w->readers[1], section);
    world_answer(w, answer, should);
    if (alive)
        oracle_count(o, &q, verdict);
    else
        oracle_count_closed(o, q.context, 1);
    if (answer == -RVT_EINVAL)
        expect_reason(w, reason, verdict);
    if (answer == 1)
        accepted(w, index, s);
    else
        EXPECT(w, "the SGE is held", sge->mr != NULL, false);
    if (answer == 0) {
        oracle_merge(&o->sges[last], &q);
        world_check_sge(w, &w->sges[last], &o->sges[last]);
    }
    note(w, verdict, &s);
}

static void rkey_ok(struct world *w) {
    struct oracle *o = &w->oracle;
    int qp = world_qp(w, operand(w, 1)), index;
    if (qp == NONE)
        return;
    struct request q = request_of(w, o->qps[qp].pd, o->qps[qp].context, true);
    struct model_sge s;
    enum rvt_reason reason = RVT_REASON_NONE;
    struct rvt_sge *sge = take_slot(w, operand(w, 7), &index);
    if (!sge)
        return;
    tell(w, &q);
    world_say(w, " sge=%d", index);
    bool alive = o->qps[qp].alive;
    enum rvt_reason verdict = alive ? oracle_judge(o, &q, &s) : RVT_CLOSED;
    int should = verdict ? 0 : 1;
    struct rvt_retirement *section = section_of(w, o->qps[qp].pd);
    rvt_read_enter(w->readers[1], section);
    int answer = rvt_rkey_ok(w->qps[qp], sge, q.length, q.addr, q.key, q.acc, &reason);
    (void)world_starved(); /* after a failed allocation the references are counted in the region itself */
    rvt_read_leave(w->readers[1], section);
    world_answer(w, answer, should);
    if (alive)
        oracle_count(o, &q, verdict);
    else
        oracle_count_closed(o, q.context, 1);
    if (answer == 0)
        expect_reason(w, reason, verdict);
    if (answer == 1)
        accepted(w, index, s);
    else
        EXPECT(w, "the SGE is held", sge->mr != NULL, false);
    note(w, verdict, &s);
}

static void check(struct world *w, bool remote) {
    struct oracle *o = &w->oracle;
    int who = remote ? world_qp(w, operand(w, 1)) : world_pd(w, operand(w, 1));
    if (who == NONE)
        return;
    bool alive = remote ? o->qps[who].alive : oracle_pd_alive(o, who);
    struct request q = request_of(w, remote ? o->qps[who].pd : who,
                                  remote ? o->qps[who].context : o->pds[who].context, remote);
    struct model_sge s;
    struct rvt_place place;
    enum rvt_reason reason = RVT_REASON_NONE, verdict = alive ? oracle_judge(o, &q, &s) : RVT_CLOSED;
    struct rvt_ib_sge wanted = {q.addr, q.length, q.key};
    tell(w, &q);
    struct rvt_retirement *section = section_of(w, q.pd);
    rvt_read_enter(w->readers[1], section);
    int answer = remote ? rvt_rkey_check(w->qps[who], q.length, q.addr, q.key, q.acc, &place, &reason)
                        : rvt_lkey_check(w->pds[who], &wanted, q.acc, &place, &reason);
    rvt_read_leave(w->readers[1], section);
    world_answer(w, answer, verdict ? 0 : 1);
    note(w, verdict, &s);
    if (alive)
        oracle_count(o, &q, verdict);
    else
        oracle_count_closed(o, q.context, 1);
    if (answer == 0)
        expect_reason(w, reason, verdict);
    if (answer != 1)
        return;
    uint64_t segment = s.mapping == NONE ? s.position >> s.shift : 0;
    EXPECT(w, "at", place.at, s.at);
    EXPECT(w, "length", place.length, s.length);
    EXPECT(w, "segment", place.segment, segment);
    EXPECT(w, "user", place.user, s.user);
    /* The check left no reference behind. */
    world_check_region(w, s.region);
}

static void put(struct world *w) {
    int sge = world_sge(w, operand(w, 1));
    if (sge == NONE)
        return;
    int region = w->oracle.sges[sge].region;
    world_say(w, " sge=%d", sge);
    rvt_put_sge(&w->sges[sge]);
    oracle_put(&w->oracle, sge);
    EXPECT(w, "the SGE is held", w->sges[sge].mr != NULL, false);
    if (region != NONE)
        world_check_region(w, region);
}

void play_check(struct world *w) {
    switch (w->operation.code) {
    case OP_LKEY_OK:
        lkey_ok(w);
        break;
    case OP_RKEY_OK:
        rkey_ok(w);
        break;
    case OP_LKEY_CHECK:
        check(w, false);
        break;
    case OP_RKEY_CHECK:
        check(w, true);
        break;
    case OP_PUT:
        put(w);
        break;
    default:
        break;
    }
}
