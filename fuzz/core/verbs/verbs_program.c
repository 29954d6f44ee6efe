/* SPDX-License-Identifier: BSD-3-Clause */
#include "../mutate.h"
#include "verbs_world.h"

/* Work requests are more interesting than opening and closing. */
static const uint8_t frequent[] = {
    VERB_POST_SEND,  VERB_POST_SEND,     VERB_POST_SEND,     VERB_POST_SEND,  VERB_POST_SEND,
    VERB_POST_RECV,  VERB_POST_RECV,     VERB_POST_SRQ_RECV, VERB_CONNECT,    VERB_MODIFY_QP,
    VERB_MODIFY_QP,  VERB_RUN,           VERB_RUN,           VERB_POLL_CQ,    VERB_CREATE_QP,
    VERB_DEREG_MR,   VERB_REG_MR,        VERB_ARM_CQ,        VERB_DESTROY_QP, VERB_FIRE_TIMERS,
    VERB_POST_WHOLE, VERB_POST_WINDOW,   VERB_POST_WINDOW,   VERB_BIND_MW,    VERB_LEASE_MR,
    VERB_REREG_MR,   VERB_INVALIDATE_MW,
};

static void play_program(const uint8_t *bytes, size_t size, bool print) {
    static struct world world; /* large; its parts are initialized before use */
    verbs_play(&world, bytes, size, print);
}

const struct program_kind program_kind = {
    .operation_bytes = VERB_BYTES,
    .opcodes = VERB_COUNT,
    .frequent = frequent,
    .frequent_count = sizeof(frequent),
    .play = play_program,
};
