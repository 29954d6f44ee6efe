/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts. A context that a program opens has a command file of its own; one that it imports shares the
 * file, and with it all objects, of the context whose file descriptor it was given. The file is what the core
 * calls a context: it owns the objects. */
#ifndef SHIM_CONTEXT_H
#define SHIM_CONTEXT_H

#include <sys/types.h>

#include "core/rvt.h"
#include "ibverbs/device.h"
#include "ibverbs/events.h"
#include "ibverbs/public_api.h"

struct shim_context;

/* An object that another context can import by its number: embedded in domains, regions, device memories. */
struct shim_importable {
    struct rvt_link in_file;
    uint32_t handle;
};

enum shim_importable_kind { SHIM_PDS, SHIM_MRS, SHIM_DMS, SHIM_IMPORTABLE_KINDS };

struct shim_file {
    struct shim_core *core;
    struct rvt_ucontext *ucontext;
    dev_t device; /* with `inode`: names the open file behind every duplicate of cmd_fd */
    ino_t inode;
    /* Protected by the lock of context.c: */
    struct rvt_link in_files;
    unsigned contexts; /* that are open */
    unsigned users;    /* structures of contexts */
    uint32_t last_handle;
    struct rvt_link *objects[SHIM_IMPORTABLE_KINDS];
};

struct shim_context {
    struct verbs_context verbs;
    struct shim_file *file;
    struct shim_event_queue async;
    _Atomic(unsigned) users; /* the open context and its objects */
};

/* Returns the context of this library that the program names by `context`, which must not be NULL. */
static inline struct shim_context *shim_context_of(struct ibv_context *context) {
    return RVT_LIST_ENTRY(context, struct shim_context, verbs.context);
}

/* Takes a reference for an object, so that the object can still be destroyed after ibv_close_device(). */
void shim_get_context(struct shim_context *context);

/* Puts a reference. The caller must be outside the gate. */
void shim_put_context(struct shim_context *context);

/* Returns what a verb that ends an object answers, from the core's result: 0 or a positive errno. The core no longer
 * has an object that ibv_close_device() has ended. The verb then succeeds, and only frees the structure. */
static inline int shim_end_error(int result) {
    return result == -RVT_EBADF ? 0 : -result;
}

/* Returns a number for an object of the context that differs from those of all others. The caller must be
 * inside the gate. */
uint32_t shim_new_handle(struct shim_context *context);

/* Gives the object a handle by which ibv_import_*() finds it. The caller must be inside the gate. */
void shim_list_importable(struct shim_context *context, enum shim_importable_kind kind,
                          struct shim_importable *object);

/* Makes the object unknown again. Does nothing if it was not listed. The caller must be inside the gate. */
void shim_unlist_importable(struct shim_importable *object);

/* Calls `visit` with each listed object of the kind, while no other thread can end it, until it returns true.
 * Returns whether it did. The caller must be inside the gate, and `visit` must not call anything of this
 * library. */
bool shim_visit_importables(struct shim_context *context, enum shim_importable_kind kind,
                            bool (*visit)(struct shim_importable *object, void *data), void *data);

#endif
