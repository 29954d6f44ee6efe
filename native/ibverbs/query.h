/* SPDX-License-Identifier: BSD-3-Clause */
/* Queries of the device and its port. */
#ifndef SHIM_QUERY_H
#define SHIM_QUERY_H

#include "ibverbs/public_api.h"

/* Fill the first `size` bytes of *attr, the size of the structure that the program was built with. Return 0,
 * or EINVAL: there is no such port, `input` asks for something unknown, or `attr` is NULL or too small. */
int shim_query_port(struct ibv_context *context, uint8_t port_num, struct ibv_port_attr *attr, size_t size);
int shim_query_device_ex(struct ibv_context *context, const struct ibv_query_device_ex_input *input,
                         struct ibv_device_attr_ex *attr, size_t size);

#endif
