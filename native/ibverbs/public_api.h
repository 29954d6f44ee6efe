/* SPDX-License-Identifier: BSD-3-Clause */
/* The public header of libibverbs as this library's own files need it: without the macros that stand in front
 * of functions which the library defines, and with declarations of the exported functions that it does not
 * have. */
#ifndef SHIM_PUBLIC_API_H
#define SHIM_PUBLIC_API_H

#include <errno.h>
#include <infiniband/sa.h>
#include <infiniband/verbs.h>
#include <rdma/ib_user_sa.h>
#include <rdma/ib_user_verbs.h>
#include <stddef.h>
#include <stdint.h>

#undef ibv_query_port
#undef ibv_reg_mr
#undef ibv_reg_mr_iova

/* Everything else in the library is hidden (-fvisibility=hidden). */
#define SHIM_PUBLIC __attribute__((visibility("default")))

/* What sysfs calls the type of a GID. The header of the system's library does not publish it, but ibv_devinfo
 * and pyverbs call ibv_query_gid_type(). */
enum ibv_gid_type_sysfs {
    IBV_GID_TYPE_SYSFS_IB_ROCE_V1,
    IBV_GID_TYPE_SYSFS_ROCE_V2,
};

int ibv_query_gid_type(struct ibv_context *context, uint8_t port_num, unsigned int index,
                       enum ibv_gid_type_sysfs *type);
int ibv_dontfork_range(void *base, size_t size);
int ibv_dofork_range(void *base, size_t size);
const char *ibv_get_sysfs_path(void);
int ibv_read_sysfs_file(const char *dir, const char *file, char *buf, size_t size);
void ibv_register_driver(const char *name, void *init);
void ibv_copy_ah_attr_from_kern(struct ibv_ah_attr *to, struct ib_uverbs_ah_attr *from);
void ibv_copy_qp_attr_from_kern(struct ibv_qp_attr *to, struct ib_uverbs_qp_attr *from);
void ibv_copy_path_rec_from_kern(struct ibv_sa_path_rec *to, struct ib_user_path_rec *from);
void ibv_copy_path_rec_to_kern(struct ib_user_path_rec *to, struct ibv_sa_path_rec *from);

/* Sets errno and returns NULL, for verbs that return a pointer. `error` is a positive errno. */
static inline void *shim_null(int error) {
    errno = error;
    return NULL;
}

/* Sets errno and returns -1, for verbs that return -1. */
static inline int shim_minus_one(int error) {
    errno = error;
    return -1;
}

#endif
