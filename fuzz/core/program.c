/* SPDX-License-Identifier: BSD-3-Clause */
#include "program.h"

#include <string.h>

#include "world.h"

uint32_t program_count(size_t size) {
    size_t count = (size + OPERATION_BYTES - 1) / OPERATION_BYTES;
    return count < MAX_OPERATIONS ? (uint32_t)count : MAX_OPERATIONS;
}

struct operation program_at(const uint8_t *bytes, size_t size, uint32_t index) {
    uint8_t raw[OPERATION_BYTES] = {0};
    size_t at = (size_t)index * OPERATION_BYTES;
    size_t there = size > at ? size - at : 0;
    memcpy(raw, bytes + at, there < sizeof(raw) ? there : sizeof(raw));
    struct operation operation = {.code = (enum opcode)(raw[0] % OP_COUNT)};
    memcpy(operation.operand, raw + 1, OPERANDS);
    return operation;
}

const char *operation_name(enum opcode code) {
    static const char *const names[OP_COUNT] = {
        [OP_NOTHING] = "nothing",
        [OP_SCENE] = "scene",
        [OP_NUMBER] = "number",
        [OP_PUSH] = "push",
        [OP_FAIL] = "fail",
        [OP_OPEN] = "open",
        [OP_EXIT] = "exit",
        [OP_ALLOC_PD] = "alloc_pd",
        [OP_DEALLOC_PD] = "dealloc_pd",
        [OP_CREATE_QP] = "create_qp",
        [OP_DESTROY_QP] = "destroy_qp",
        [OP_MEMORY] = "memory",
        [OP_MEMORY_STATE] = "memory_state",
        [OP_DMA_MAP] = "dma_map",
        [OP_DMA_UNMAP] = "dma_unmap",
        [OP_REG_USER] = "reg_user_mr",
        [OP_GET_DMA_MR] = "get_dma_mr",
        [OP_ALLOC_MR] = "alloc_mr",
        [OP_MAP_SG] = "map_mr_sg",
        [OP_FAST_REG] = "fast_reg_mr",
        [OP_INVALIDATE] = "invalidate_rkey",
        [OP_ALLOC_FMR] = "alloc_fmr",
        [OP_MAP_FMR] = "map_phys_fmr",
        [OP_UNMAP_FMR] = "unmap_fmr",
        [OP_RELEASE] = "release",
        [OP_LKEY_OK] = "lkey_ok",
        [OP_RKEY_OK] = "rkey_ok",
        [OP_LKEY_CHECK] = "lkey_check",
        [OP_RKEY_CHECK] = "rkey_check",
        [OP_CHECK_BATCH] = "check_batch",
        [OP_CHECK_ONE] = "check_one",
        [OP_ACQUIRE_BATCH] = "acquire_batch",
        [OP_RELEASE_BATCH] = "release_batch",
        [OP_GATHER] = "gather_batch",
        [OP_SCATTER] = "scatter_batch",
        [OP_COPY_BATCH] = "copy_batch",
        [OP_PUT] = "put_sge",
        [OP_SS_INIT] = "ss_init",
        [OP_SS_UPDATE] = "update_sge",
        [OP_SS_SKIP] = "skip_sge",
        [OP_SS_LOOK] = "ss_look",
        [OP_SS_PUT] = "put_ss",
        [OP_WALK] = "walk",
        [OP_COPY_IN] = "copy_sge",
        [OP_COPY_OUT] = "copy_sge_out",
        [OP_WRITE] = "write",
        [OP_READ] = "read",
        [OP_FETCH_ADD] = "fetch_add",
        [OP_COMPARE_SWAP] = "compare_swap",
        [OP_QUERY] = "query_mr",
        [OP_TABLE] = "table",
        [OP_PICK_START] = "pick_user_start",
        [OP_LINGER] = "linger",
        [OP_RECLAIM] = "reclaim",
        [OP_RANDOM] = "random",
        [OP_NOBODY] = "nobody",
        [OP_ALLOC_CONTEXT] = "alloc_ucontext",
        [OP_DEALLOC_CONTEXT] = "dealloc_ucontext",
        [OP_ATTACH_PD] = "attach_pd",
        [OP_SHARE] = "share",
        [OP_DEVICE_MEMORY] = "device_memory",
        [OP_SLICE] = "slice",
        [OP_COUNT_MR] = "count_mr",
        [OP_DEREG_MRS] = "dereg_mrs",
    };
    return code < OP_COUNT ? names[code] : "nothing";
}

/* Checks and copies are more interesting than opening and closing. */
static const uint8_t frequent[] = {OP_PUSH,     OP_PUSH,      OP_PUSH,          OP_LKEY_OK,
                                   OP_LKEY_OK,  OP_RKEY_OK,   OP_CHECK_BATCH,   OP_ACQUIRE_BATCH,
                                   OP_MAP_FMR,  OP_MAP_SG,    OP_REG_USER,      OP_RELEASE,
                                   OP_WRITE,    OP_READ,      OP_SS_INIT,       OP_SS_UPDATE,
                                   OP_SS_SKIP,  OP_SS_LOOK,   OP_WALK,          OP_COPY_IN,
                                   OP_COPY_OUT, OP_GATHER,    OP_SCATTER,       OP_COPY_BATCH,
                                   OP_PUT,      OP_FETCH_ADD, OP_COMPARE_SWAP,  OP_ALLOC_PD,
                                   OP_DMA_MAP,  OP_ATTACH_PD, OP_ALLOC_CONTEXT, OP_DEALLOC_CONTEXT,
                                   OP_SLICE,    OP_DEREG_MRS};

static void play_program(const uint8_t *bytes, size_t size, bool print) {
    static struct world world; /* large; its parts are initialized before use */
    play(&world, bytes, size, print);
}

const struct program_kind program_kind = {
    .operation_bytes = OPERATION_BYTES,
    .opcodes = OP_COUNT,
    .frequent = frequent,
    .frequent_count = sizeof(frequent),
    .play = play_program,
};
