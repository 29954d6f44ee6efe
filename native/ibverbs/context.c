/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/context.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ibverbs/verbs_table.h"

/* Protects the list of files and their members. Taken inside the gate only. */
static pthread_mutex_t listing = PTHREAD_MUTEX_INITIALIZER;
static struct rvt_link *files;

/* --- files --- */

/* Returns the file behind the descriptor, or NULL. The caller must hold the lock. */
static struct shim_file *find_file(const struct stat *status) {
    for (struct rvt_link *link = files; link; link = link->next) {
        struct shim_file *file = RVT_LIST_ENTRY(link, struct shim_file, in_files);
        if (file->device == status->st_dev && file->inode == status->st_ino)
            return file;
    }
    return NULL;
}

/* Opens a file for a new context, which is its first user. Returns 0 or a positive errno. */
static int open_file(int fd, struct shim_file **opened) {
    struct stat status;
    struct shim_file *file = calloc(1, sizeof(*file));
    int error = !file ? ENOMEM : fstat(fd, &status) ? errno : 0;
    if (!error)
        error = shim_open_core(&file->core, &file->ucontext);
    if (error) {
        free(file);
        return error;
    }
    file->device = status.st_dev;
    file->inode = status.st_ino;
    file->contexts = file->users = 1;
    pthread_mutex_lock(&listing);
    rvt_list_add(&files, &file->in_files);
    pthread_mutex_unlock(&listing);
    *opened = file;
    return 0;
}

/* Uses the file behind a duplicate of a context's descriptor. Returns 0 or a positive errno. */
static int share_file(int fd, struct shim_file **shared) {
    struct stat status;
    if (fstat(fd, &status))
        return errno;
    pthread_mutex_lock(&listing);
    struct shim_file *file = find_file(&status);
    if (file) {
        file->contexts++;
        file->users++;
    }
    pthread_mutex_unlock(&listing);
    *shared = file;
    return file ? 0 : EINVAL;
}

/* A context of the file was closed. With the last one, all objects end. */
static void close_file(struct shim_file *file) {
    pthread_mutex_lock(&listing);
    bool last = !--file->contexts;
    if (last)
        rvt_list_remove(&file->in_files);
    pthread_mutex_unlock(&listing);
    if (last)
        shim_close_core(file->core, file->ucontext);
}

/* The structure of a context was freed. The caller must be outside the gate. */
static void put_file(struct shim_file *file) {
    shim_enter();
    pthread_mutex_lock(&listing);
    bool last = !--file->users;
    pthread_mutex_unlock(&listing);
    shim_leave();
    if (!last)
        return;
    shim_put_core(file->core, file->ucontext);
    free(file);
}

/* --- contexts --- */

/* Opens a context on the file that `find` makes or finds for the command descriptor. A context that is opened
 * owns the descriptor. Returns NULL and sets errno if it fails. */
static struct ibv_context *open_context(int fd, int (*find)(int fd, struct shim_file **file)) {
    struct shim_context *context = calloc(1, sizeof(*context));
    if (!context)
        return shim_null(ENOMEM);
    int error = shim_events_open(&context->async);
    if (error) {
        free(context);
        return shim_null(error);
    }
    shim_enter();
    error = find(fd, &context->file);
    shim_leave();
    if (error) {
        shim_events_close(&context->async);
        free(context);
        return shim_null(error);
    }
    atomic_init(&context->users, 1);
    shim_fill_verbs(&context->verbs);
    struct ibv_context *opened = &context->verbs.context;
    opened->device = shim_only_device();
    opened->cmd_fd = fd;
    opened->async_fd = context->async.fd;
    opened->num_comp_vectors = SHIM_COMP_VECTORS;
    pthread_mutex_init(&opened->mutex, NULL);
    return opened;
}

SHIM_PUBLIC struct ibv_context *ibv_open_device(struct ibv_device *device) {
    if (device != shim_only_device())
        return shim_null(device ? ENODEV : EINVAL);
    /* A descriptor with an inode of its own, by which ibv_import_device() finds the file of a duplicate. */
    int fd = memfd_create("rdmavt", MFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct ibv_context *context = open_context(fd, open_file);
    if (!context) {
        int error = errno;
        close(fd);
        return shim_null(error);
    }
    return context;
}

SHIM_PUBLIC struct ibv_context *ibv_import_device(int cmd_fd) {
    return open_context(cmd_fd, share_file);
}

SHIM_PUBLIC int ibv_close_device(struct ibv_context *closed) {
    if (!closed)
        return EINVAL;
    struct shim_context *context = shim_context_of(closed);
    shim_enter();
    close_file(context->file);
    shim_leave();
    shim_events_close(&context->async);
    close(closed->cmd_fd);
    shim_put_context(context);
    return 0;
}

void shim_get_context(struct shim_context *context) {
    atomic_fetch_add_explicit(&context->users, 1, memory_order_relaxed);
}

void shim_put_context(struct shim_context *context) {
    /* acq_rel: all uses by other threads happen before the context is freed. */
    if (atomic_fetch_sub_explicit(&context->users, 1, memory_order_acq_rel) != 1)
        return;
    put_file(context->file);
    pthread_mutex_destroy(&context->verbs.context.mutex);
    free(context);
}

/* --- objects that can be imported --- */

uint32_t shim_new_handle(struct shim_context *context) {
    pthread_mutex_lock(&listing);
    uint32_t handle = context->file->last_handle++;
    pthread_mutex_unlock(&listing);
    return handle;
}

void shim_list_importable(struct shim_context *context, enum shim_importable_kind kind,
                          struct shim_importable *object) {
    struct shim_file *file = context->file;
    pthread_mutex_lock(&listing);
    object->handle = file->last_handle++;
    rvt_list_add(&file->objects[kind], &object->in_file);
    pthread_mutex_unlock(&listing);
}

void shim_unlist_importable(struct shim_importable *object) {
    pthread_mutex_lock(&listing);
    rvt_list_remove(&object->in_file);
    pthread_mutex_unlock(&listing);
}

bool shim_visit_importables(struct shim_context *context, enum shim_importable_kind kind,
                            bool (*visit)(struct shim_importable *object, void *data), void *data) {
    bool found = false;
    pthread_mutex_lock(&listing);
    for (struct rvt_link *link = context->file->objects[kind]; link && !found; link = link->next)
        found = visit(RVT_LIST_ENTRY(link, struct shim_importable, in_file), data);
    pthread_mutex_unlock(&listing);
    return found;
}
