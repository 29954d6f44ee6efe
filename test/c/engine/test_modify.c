/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of state and attributes: every move with every attribute, against a table of its own. */
#include "verbs.h"

/* Attributes as letters, so that the table below can be compared with docs/semantics.md, V6 and V14. */
static const struct {
    char letter;
    uint32_t bit;
} letters[] = {
    {'c', RVT_QPA_CUR_STATE},
    {'e', RVT_QPA_EN_SQD_ASYNC_NOTIFY},
    {'a', RVT_QPA_ACCESS_FLAGS},
    {'k', RVT_QPA_PKEY_INDEX},
    {'o', RVT_QPA_PORT},
    {'q', RVT_QPA_QKEY},
    {'v', RVT_QPA_AV},
    {'m', RVT_QPA_PATH_MTU},
    {'t', RVT_QPA_TIMEOUT},
    {'r', RVT_QPA_RETRY_CNT},
    {'R', RVT_QPA_RNR_RETRY},
    {'p', RVT_QPA_RQ_PSN},
    {'x', RVT_QPA_MAX_RD_ATOMIC},
    {'l', RVT_QPA_ALT_PATH},
    {'n', RVT_QPA_MIN_RNR_TIMER},
    {'P', RVT_QPA_SQ_PSN},
    {'X', RVT_QPA_MAX_DEST_RD_ATOMIC},
    {'g', RVT_QPA_PATH_MIG_STATE},
    {'C', RVT_QPA_CAP},
    {'d', RVT_QPA_DEST_QPN},
};
enum { LETTERS = sizeof(letters) / sizeof(letters[0]) };

static uint32_t bits_of(const char *set) {
    uint32_t bits = 0;
    for (; *set; set++)
        for (unsigned i = 0; i < LETTERS; i++)
            if (letters[i].letter == *set)
                bits |= letters[i].bit;
    return bits;
}

/* The allowed moves: letters of the attributes that each needs, and of those that it also takes. */
static const struct {
    enum rvt_qp_state from, to;
    const char *rc_needs, *uc_needs, *ud_needs;
    const char *rc_takes, *uc_takes, *ud_takes;
} allowed[] = {
    {RVT_QPS_RESET, RVT_QPS_INIT, "koa", "koa", "koq", "", "", ""},
    {RVT_QPS_INIT, RVT_QPS_INIT, "", "", "", "koa", "koa", "koq"},
    {RVT_QPS_INIT, RVT_QPS_RTR, "vmdpXn", "vmdp", "", "lak", "lak", "kq"},
    {RVT_QPS_RTR, RVT_QPS_RTS, "trRPx", "P", "P", "clagn", "clag", "cq"},
    {RVT_QPS_RTS, RVT_QPS_RTS, "", "", "", "clagn", "clag", "cq"},
    {RVT_QPS_SQD, RVT_QPS_RTS, "", "", "", "clagn", "clag", "cq"},
    {RVT_QPS_RTS, RVT_QPS_SQD, "", "", "", "e", "e", "e"},
    {RVT_QPS_SQD, RVT_QPS_SQD, "", "", "", "vlakgotrRxXn", "vlakg", "kq"},
    {RVT_QPS_RESET, RVT_QPS_RESET, "", "", "", "", "", ""},
    {RVT_QPS_INIT, RVT_QPS_RESET, "", "", "", "", "", ""},
    {RVT_QPS_RTR, RVT_QPS_RESET, "", "", "", "", "", ""},
    {RVT_QPS_RTS, RVT_QPS_RESET, "", "", "", "", "", ""},
    {RVT_QPS_SQD, RVT_QPS_RESET, "", "", "", "", "", ""},
    {RVT_QPS_ERR, RVT_QPS_RESET, "", "", "", "", "", ""},
    {RVT_QPS_INIT, RVT_QPS_ERR, "", "", "", "", "", ""},
    {RVT_QPS_RTR, RVT_QPS_ERR, "", "", "", "", "", ""},
    {RVT_QPS_RTS, RVT_QPS_ERR, "", "", "", "", "", ""},
    {RVT_QPS_SQD, RVT_QPS_ERR, "", "", "", "", "", ""},
    {RVT_QPS_ERR, RVT_QPS_ERR, "", "", "", "", "", ""},
};

static const enum rvt_qp_state states[] = {RVT_QPS_RESET, RVT_QPS_INIT, RVT_QPS_RTR,
                                           RVT_QPS_RTS,   RVT_QPS_SQD,  RVT_QPS_ERR};

/* Finds the needs and takes of a move. Returns false if there is no such move. */
static bool find_move(enum rvt_qp_type type, uint32_t from, uint32_t to, uint32_t *needs, uint32_t *takes) {
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (allowed[i].from != from || allowed[i].to != to)
            continue;
        *needs = bits_of(type == RVT_QPT_RC   ? allowed[i].rc_needs
                         : type == RVT_QPT_UC ? allowed[i].uc_needs
                                              : allowed[i].ud_needs);
        *takes = bits_of(type == RVT_QPT_RC   ? allowed[i].rc_takes
                         : type == RVT_QPT_UC ? allowed[i].uc_takes
                                              : allowed[i].ud_takes);
        return true;
    }
    return false;
}

/* Attributes that differ from usual_attr() everywhere and are valid in every move. */
static struct rvt_qp_attr other_attr(uint32_t from, uint32_t to) {
    return (struct rvt_qp_attr){
        .state = to,
        .cur_state = from,
        .access = 0x105, /* the low 8 bits count */
        .qkey = 0x80000022,
        .dest_qpn = 0xffffff,
        .sq_psn = 0x1fffffe,
        .rq_psn = 0xff000003,
        .pkey_index = 2,
        .port = 1,
        .path_mtu = 5,
        .path_mig_state = RVT_MIG_MIGRATED,
        .timeout = 0x1ff,
        .retry_cnt = 7,
        .rnr_retry = 7,
        .min_rnr_timer = 31,
        .max_rd_atomic = 0x303,
        .max_dest_rd_atomic = 16,
        .av = {.dlid = 0xbfff, .sl = 255, .static_rate = 22, .port = 1},
        .alt_av = {.dlid = 1, .sl = 3, .static_rate = 2, .port = 1},
        .alt_pkey_index = 1,
    };
}

/* Returns what the attributes are after the move. */
static struct rvt_qp_attr after(struct rvt_qp_attr is, const struct rvt_qp_attr *set, uint32_t mask,
                                uint32_t to) {
    if (to == RVT_QPS_RESET && is.state != RVT_QPS_RESET) {
        is.dest_qpn = is.qkey = is.access = is.sq_psn = is.rq_psn = 0;
        is.path_mig_state = RVT_MIG_MIGRATED;
    }
    if (mask & RVT_QPA_ACCESS_FLAGS)
        is.access = set->access & 0xff;
    if (mask & RVT_QPA_PKEY_INDEX)
        is.pkey_index = set->pkey_index;
    if (mask & RVT_QPA_PORT)
        is.port = set->port;
    if (mask & RVT_QPA_QKEY)
        is.qkey = set->qkey;
    if (mask & RVT_QPA_AV)
        is.av = set->av;
    if (mask & RVT_QPA_PATH_MTU)
        is.path_mtu = set->path_mtu;
    if (mask & RVT_QPA_TIMEOUT)
        is.timeout = set->timeout & 0xff;
    if (mask & RVT_QPA_RETRY_CNT)
        is.retry_cnt = set->retry_cnt;
    if (mask & RVT_QPA_RNR_RETRY)
        is.rnr_retry = set->rnr_retry;
    if (mask & RVT_QPA_RQ_PSN)
        is.rq_psn = set->rq_psn % 0x1000000;
    if (mask & RVT_QPA_MAX_RD_ATOMIC)
        is.max_rd_atomic = set->max_rd_atomic & 0xff;
    if (mask & RVT_QPA_ALT_PATH) {
        is.alt_av = set->alt_av;
        is.alt_pkey_index = set->alt_pkey_index;
    }
    if (mask & RVT_QPA_MIN_RNR_TIMER)
        is.min_rnr_timer = set->min_rnr_timer;
    if (mask & RVT_QPA_SQ_PSN)
        is.sq_psn = set->sq_psn % 0x1000000;
    if (mask & RVT_QPA_MAX_DEST_RD_ATOMIC)
        is.max_dest_rd_atomic = set->max_dest_rd_atomic;
    if (mask & RVT_QPA_PATH_MIG_STATE)
        is.path_mig_state = set->path_mig_state;
    if (mask & RVT_QPA_DEST_QPN)
        is.dest_qpn = set->dest_qpn;
    is.state = is.cur_state = to;
    return is;
}

static void path_is(const struct rvt_ah_attr *is, const struct rvt_ah_attr *expected) {
    CHECK_EQ(is->dlid, expected->dlid);
    CHECK_EQ(is->sl, expected->sl);
    CHECK_EQ(is->static_rate, expected->static_rate);
    CHECK_EQ(is->port, expected->port);
}

static void attr_is(const struct vqp *qp, const struct rvt_qp_attr *expected) {
    const struct rvt_qp_attr is = query_qp(qp).attr;
#define SAME(member) CHECK_EQ(is.member, expected->member)
    SAME(state);
    SAME(cur_state);
    SAME(access);
    SAME(qkey);
    SAME(dest_qpn);
    SAME(sq_psn);
    SAME(rq_psn);
    SAME(pkey_index);
    SAME(port);
    SAME(path_mtu);
    SAME(path_mig_state);
    SAME(timeout);
    SAME(retry_cnt);
    SAME(rnr_retry);
    SAME(min_rnr_timer);
    SAME(max_rd_atomic);
    SAME(max_dest_rd_atomic);
    SAME(alt_pkey_index);
#undef SAME
    path_is(&is.av, &expected->av);
    path_is(&is.alt_av, &expected->alt_av);
}

/* A queue pair that was taken to `state`. */
static struct vqp make_in(struct verbs *v, enum rvt_qp_type type, enum rvt_qp_state state,
                          struct rvt_cq_handle cq) {
    struct vqp qp = make_qp_with(v, v->pd, (struct rvt_qp_init){.type = type, .send_cq = cq, .recv_cq = cq});
    if (state != RVT_QPS_RESET)
        bring_to(&qp, usual_attr(2), state);
    return qp;
}

/* One change with one mask: is it allowed as the table says, and is the result right? */
static void try_change(struct verbs *v, struct rvt_cq_handle cq, enum rvt_qp_type type,
                       enum rvt_qp_state from, uint32_t to, uint32_t mask) {
    struct vqp qp = make_in(v, type, from, cq);
    struct rvt_qp_attr set = other_attr(from, to), is = query_qp(&qp).attr;
    uint32_t needs = 0, takes = 0;
    const bool exists = find_move(type, from, to, &needs, &takes);
    const uint32_t forbidden = mask & ~(needs | takes | RVT_QPA_STATE), missing = needs & ~mask;
    int answer = rvt_modify_qp(qp.handle, &set, mask);
    if (!exists) {
        FAILS_WITH(answer, RVT_EINVAL, RVT_CAUSE_QP_MOVE, to, from, 0);
    } else if (forbidden) {
        FAILS_WITH(answer, RVT_EINVAL, RVT_CAUSE_QP_FORBIDS, forbidden, to, from);
    } else if (missing) {
        FAILS_WITH(answer, RVT_EINVAL, RVT_CAUSE_QP_NEEDS, missing, to, from);
    } else {
        CHECK_EQ(answer, 0);
        is = after(is, &set, mask, to);
    }
    attr_is(&qp, &is);
    CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
}

static void every_move_needs_and_takes_what_the_table_says(enum rvt_qp_type type) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 64);
    for (unsigned f = 0; f < 6; f++) {
        for (uint32_t to = 0; to < 9; to++) { /* also SQE, and states that do not exist */
            uint32_t needs = 0, takes = 0;
            (void)find_move(type, states[f], to, &needs, &takes);
            const uint32_t state = RVT_QPA_STATE;
            try_change(&v, cq, type, states[f], to, state);
            try_change(&v, cq, type, states[f], to, state | needs);
            try_change(&v, cq, type, states[f], to, state | needs | takes);
            for (unsigned i = 0; i < LETTERS; i++) {
                const uint32_t bit = letters[i].bit;
                try_change(&v, cq, type, states[f], to, state | bit);
                try_change(&v, cq, type, states[f], to, state | needs | bit);
                try_change(&v, cq, type, states[f], to, (state | needs | takes) & ~bit);
                try_change(&v, cq, type, states[f], to, state | needs | takes | bit);
            }
            for (uint32_t bit = UINT32_C(1) << 21; bit; bit <<= 1) /* bits that mean nothing */
                try_change(&v, cq, type, states[f], to, state | needs | bit);
        }
        /* Without `state` the queue pair stays where it is. */
        try_change(&v, cq, type, states[f], states[f], 0);
        for (unsigned i = 0; i < LETTERS; i++)
            try_change(&v, cq, type, states[f], states[f], letters[i].bit);
    }
    NO_EVENT(&v);
    verbs_close(&v);
}

static void every_move_of_an_rc_queue_pair(void) {
    every_move_needs_and_takes_what_the_table_says(RVT_QPT_RC);
}
static void every_move_of_a_uc_queue_pair(void) {
    every_move_needs_and_takes_what_the_table_says(RVT_QPT_UC);
}
static void every_move_of_a_ud_queue_pair(void) {
    every_move_needs_and_takes_what_the_table_says(RVT_QPT_UD);
}

/* All values of cur_state in all states: only the present one is accepted, and only where it is taken. */
static void cur_state_must_be_the_present_state(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 64);
    for (unsigned f = 0; f < 6; f++) {
        for (uint32_t cur = 0; cur < 9; cur++) {
            for (uint32_t to = 0; to < 7; to++) {
                struct vqp qp = make_in(&v, RVT_QPT_RC, states[f], cq);
                struct rvt_qp_attr set = other_attr(cur, to);
                uint32_t needs = 0, takes = 0;
                const bool exists = find_move(RVT_QPT_RC, states[f], to, &needs, &takes);
                int answer = rvt_modify_qp(qp.handle, &set, RVT_QPA_STATE | RVT_QPA_CUR_STATE | needs);
                if (cur != states[f])
                    FAILS_WITH(answer, RVT_EINVAL, RVT_CAUSE_CUR_STATE, cur, states[f], 0);
                else
                    CHECK_EQ(answer, exists && takes & RVT_QPA_CUR_STATE ? 0 : -RVT_EINVAL);
                if (answer)
                    CHECK_EQ(state_of(&qp), states[f]);
                CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
            }
        }
    }
    verbs_close(&v);
}

/* The bounds of every value, tried in a move that takes the attribute. */
static void values_are_checked(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 64);
    const struct {
        enum rvt_qp_state from, to;
        uint32_t bit;
        size_t offset; /* of the member in struct rvt_qp_attr */
        uint32_t good[3], bad[3], limit;
    } values[] = {
#define MEMBER(name) offsetof(struct rvt_qp_attr, name)
        {RVT_QPS_INIT,
         RVT_QPS_INIT,
         RVT_QPA_PKEY_INDEX,
         MEMBER(pkey_index),
         {0, 1, 2},
         {3, 4, UINT32_MAX},
         2},
        {RVT_QPS_INIT, RVT_QPS_INIT, RVT_QPA_PORT, MEMBER(port), {1, 1, 1}, {0, 2, UINT32_MAX}, 1},
        {RVT_QPS_SQD,
         RVT_QPS_SQD,
         RVT_QPA_MIN_RNR_TIMER,
         MEMBER(min_rnr_timer),
         {0, 1, 31},
         {32, 33, UINT32_MAX},
         31},
        {RVT_QPS_INIT,
         RVT_QPS_RTR,
         RVT_QPA_DEST_QPN,
         MEMBER(dest_qpn),
         {0, 1, 0xffffff},
         {0x1000000, 0x1000001, UINT32_MAX},
         0xffffff},
        {RVT_QPS_SQD, RVT_QPS_SQD, RVT_QPA_RETRY_CNT, MEMBER(retry_cnt), {0, 1, 7}, {8, 9, UINT32_MAX}, 7},
        {RVT_QPS_SQD, RVT_QPS_SQD, RVT_QPA_RNR_RETRY, MEMBER(rnr_retry), {0, 1, 7}, {8, 9, UINT32_MAX}, 7},
        {RVT_QPS_INIT, RVT_QPS_RTR, RVT_QPA_PATH_MTU, MEMBER(path_mtu), {1, 3, 5}, {0, 6, UINT32_MAX}, 5},
        {RVT_QPS_SQD,
         RVT_QPS_SQD,
         RVT_QPA_MAX_DEST_RD_ATOMIC,
         MEMBER(max_dest_rd_atomic),
         {0, 1, 16},
         {17, 18, UINT32_MAX},
         16},
        {RVT_QPS_SQD,
         RVT_QPS_SQD,
         RVT_QPA_MAX_RD_ATOMIC,
         MEMBER(max_rd_atomic),
         {0, 255, UINT32_MAX},
         {0},
         0},
        {RVT_QPS_SQD, RVT_QPS_SQD, RVT_QPA_TIMEOUT, MEMBER(timeout), {0, 32, UINT32_MAX}, {0}, 0},
        {RVT_QPS_SQD, RVT_QPS_SQD, RVT_QPA_ACCESS_FLAGS, MEMBER(access), {0, 255, UINT32_MAX}, {0}, 0},
        {RVT_QPS_INIT, RVT_QPS_RTR, RVT_QPA_RQ_PSN, MEMBER(rq_psn), {0, 0x1000000, UINT32_MAX}, {0}, 0},
        {RVT_QPS_RTR, RVT_QPS_RTS, RVT_QPA_SQ_PSN, MEMBER(sq_psn), {0, 0x1000000, UINT32_MAX}, {0}, 0},
#undef MEMBER
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        for (int k = 0; k < 6; k++) {
            const bool bad = k >= 3;
            const uint32_t value = bad ? values[i].bad[k - 3] : values[i].good[k];
            if (bad && !values[i].limit)
                continue;
            struct vqp qp = make_in(&v, RVT_QPT_RC, values[i].from, cq);
            struct rvt_qp_attr set = usual_attr(2), is = query_qp(&qp).attr;
            uint32_t needs = 0, takes = 0;
            CHECK(find_move(RVT_QPT_RC, values[i].from, values[i].to, &needs, &takes));
            set.state = values[i].to;
            memcpy((char *)&set + values[i].offset, &value, sizeof(value));
            const uint32_t mask = RVT_QPA_STATE | needs | values[i].bit;
            int answer = rvt_modify_qp(qp.handle, &set, mask);
            if (bad) {
                FAILS_WITH(answer, RVT_EINVAL, RVT_CAUSE_QP_ATTRIBUTE, value, values[i].limit, values[i].bit);
            } else {
                CHECK_EQ(answer, 0);
                is = after(is, &set, mask, values[i].to);
            }
            attr_is(&qp, &is);
            CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
        }
    }
    verbs_close(&v);
}

static void paths_are_checked(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 64);
    struct vqp qp = make_in(&v, RVT_QPT_RC, RVT_QPS_SQD, cq);
    for (int alt = 0; alt < 2; alt++) {
        const uint32_t mask = alt ? RVT_QPA_ALT_PATH : RVT_QPA_AV;
        const struct rvt_qp_attr was = query_qp(&qp).attr;
        const struct {
            struct rvt_ah_attr av;
            enum rvt_cause cause;
            uint32_t value, limit;
        } bad[] = {
            {{0xc000, 0, 0, 1}, RVT_CAUSE_PATH_DLID, 0xc000, 0xbfff},
            {{UINT32_MAX, 0, 1, 0}, RVT_CAUSE_PATH_DLID, UINT32_MAX, 0xbfff},
            {{0xbfff, 0, 0, 0}, RVT_CAUSE_PATH_PORT, 0, 1},
            {{0, 0, 1, 2}, RVT_CAUSE_PATH_PORT, 2, 1},
            {{0, 0, 1, 1}, RVT_CAUSE_PATH_RATE, 1, 22},
            {{0, 0, 23, 1}, RVT_CAUSE_PATH_RATE, 23, 22},
        };
        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            const struct rvt_qp_attr set = {.av = bad[i].av, .alt_av = bad[i].av};
            FAILS_WITH(rvt_modify_qp(qp.handle, &set, mask), RVT_EINVAL, bad[i].cause, bad[i].value,
                       bad[i].limit, mask);
            attr_is(&qp, &was);
        }
        for (uint32_t rate = 0; rate < 30; rate++) {
            const struct rvt_ah_attr av = {0xbfff, 9, (uint8_t)rate, 1};
            const struct rvt_qp_attr set = {.av = av, .alt_av = av};
            const bool good = rate == 0 || (rate >= 2 && rate <= 22);
            CHECK_EQ(rvt_modify_qp(qp.handle, &set, mask), good ? 0 : -RVT_EINVAL);
        }
    }
    const struct rvt_qp_attr set = {.alt_av = {.port = 1}, .alt_pkey_index = 3};
    FAILS_WITH(rvt_modify_qp(qp.handle, &set, RVT_QPA_ALT_PATH), RVT_EINVAL, RVT_CAUSE_QP_ATTRIBUTE, 3, 2,
               RVT_QPA_ALT_PATH);
    verbs_close(&v);
}

/* Every migration state to every other, where moves take it. */
static void path_migration_states(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 64);
    static const struct {
        enum rvt_qp_state from, to;
    } moves[] = {{RVT_QPS_RTR, RVT_QPS_RTS},
                 {RVT_QPS_RTS, RVT_QPS_RTS},
                 {RVT_QPS_SQD, RVT_QPS_RTS},
                 {RVT_QPS_SQD, RVT_QPS_SQD}};
    for (int i = 0; i < 4; i++) {
        for (uint32_t was = 0; was < 2; was++) { /* MIGRATED, REARM */
            for (uint32_t wanted = 0; wanted < 4; wanted++) {
                if (was && moves[i].from == RVT_QPS_RTR)
                    continue; /* it cannot be REARM there */
                struct vqp qp = make_in(&v, RVT_QPT_UC, RVT_QPS_RTR, cq);
                struct rvt_qp_attr set = usual_attr(2);
                if (moves[i].from != RVT_QPS_RTR) {
                    set.path_mig_state = was;
                    set.state = RVT_QPS_RTS;
                    CHECK_EQ(rvt_modify_qp(qp.handle, &set,
                                           RVT_QPA_STATE | RVT_QPA_SQ_PSN | RVT_QPA_PATH_MIG_STATE),
                             0);
                    if (moves[i].from == RVT_QPS_SQD)
                        CHECK_EQ(move_qp(&qp, set, RVT_QPS_SQD), 0);
                }
                CHECK_EQ(query_qp(&qp).attr.path_mig_state, was);
                set.path_mig_state = wanted;
                set.state = moves[i].to;
                const bool good = (wanted == RVT_MIG_REARM && moves[i].to == RVT_QPS_RTS) ||
                                  (wanted == RVT_MIG_MIGRATED && was != RVT_MIG_REARM);
                const uint32_t psn = moves[i].from == RVT_QPS_RTR ? RVT_QPA_SQ_PSN : 0;
                int answer = rvt_modify_qp(qp.handle, &set, RVT_QPA_STATE | RVT_QPA_PATH_MIG_STATE | psn);
                if (good)
                    CHECK_EQ(answer, 0);
                else
                    FAILS_WITH(answer, RVT_EINVAL, RVT_CAUSE_PATH_MIG, wanted, moves[i].to, 0);
                CHECK_EQ(query_qp(&qp).attr.path_mig_state, good ? wanted : was);
                CHECK_EQ(move_qp(&qp, set, RVT_QPS_RESET), 0);
                CHECK_EQ(query_qp(&qp).attr.path_mig_state, RVT_MIG_MIGRATED);
                CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
            }
        }
    }
    verbs_close(&v);
}

static void without_pkeys_no_queue_pair_leaves_reset(void) {
    struct verbs v;
    struct rvt_limits limits = usual_limits();
    limits.of[RVT_LIMIT_NPKEYS] = 0;
    REQUIRE(verbs_open_with(&v, limits, AT_ONCE));
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    FAILS_WITH(move_qp(&qp, usual_attr(2), RVT_QPS_INIT), RVT_EINVAL, RVT_CAUSE_QP_ATTRIBUTE, 0, UINT64_MAX,
               RVT_QPA_PKEY_INDEX);
    verbs_close(&v);
}

CHECK_MAIN(TEST(every_move_of_an_rc_queue_pair), TEST(every_move_of_a_uc_queue_pair),
           TEST(every_move_of_a_ud_queue_pair), TEST(cur_state_must_be_the_present_state),
           TEST(values_are_checked), TEST(paths_are_checked), TEST(path_migration_states),
           TEST(without_pkeys_no_queue_pair_leaves_reset))
