/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/memory.h"

#include "core/base/alloc.h"

void rvt_memory_init(struct rvt_memory *memory, const struct rvt_memory_ops *ops, uint64_t length) {
    memory->ops = ops;
    memory->length = length;
    atomic_init(&memory->references, 1);
}

void rvt_memory_get(struct rvt_memory *memory) {
    /* relaxed: the caller already has a reference, or holds the lock that keeps one in place. */
    atomic_fetch_add_explicit(&memory->references, 1, memory_order_relaxed);
}

void rvt_memory_put(struct rvt_memory *memory) {
    /* acq_rel: all uses by other threads happen before the release. */
    if (atomic_fetch_sub_explicit(&memory->references, 1, memory_order_acq_rel) == 1)
        memory->ops->release(memory);
}

uint64_t rvt_new_buffer_number(void) {
    static _Atomic(uint64_t) given;
    return atomic_fetch_add_explicit(&given, 1, memory_order_relaxed) + 1;
}

struct rvt_memory_place rvt_place_of_memory(const struct rvt_memory *memory) {
    struct rvt_memory_place place = {memory ? RVT_MEMORY_KIND_OTHER : RVT_MEMORY_KIND_NONE, 0, 0};
    if (memory && memory->ops->place)
        memory->ops->place(memory, &place);
    return place;
}

struct fixed_memory {
    struct rvt_memory memory;
    unsigned char *data;
};

static enum rvt_reason fixed_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment;
    *data = ((struct fixed_memory *)memory)->data;
    return RVT_REASON_NONE;
}

static void fixed_release(struct rvt_memory *memory) {
    rvt_free(memory);
}

static const struct rvt_memory_ops fixed_ops = {fixed_resolve, fixed_release, NULL};

struct rvt_memory *rvt_fixed_memory(void *data, uint64_t length) {
    struct fixed_memory *fixed = rvt_zalloc(1, sizeof(*fixed));
    if (!fixed)
        return NULL;
    rvt_memory_init(&fixed->memory, &fixed_ops, length);
    fixed->data = data;
    return &fixed->memory;
}

static _Thread_local void *thread_environment;

void rvt_set_thread_environment(void *environment) {
    thread_environment = environment;
}

void *rvt_thread_environment(void) {
    return thread_environment;
}
