/* SPDX-License-Identifier: BSD-3-Clause */
/* verbs-shell DEVICE: a shell of verbs. It reads a command a line from the character device, and writes one
 * line of answer: `ok ...` or `error ERRNO`. A command is a word and name=value pairs. Numbers are decimal
 * or 0x hexadecimal; `device` names an RDMA device. Regions, windows and queue pairs have the numbers 0 to
 * 63, which the test chooses; each queue pair has a completion queue of its own, so that no completion of
 * one test is taken by another.
 *
 *   command                                answer behind `ok`, and what it does
 *   mr id= device= len= access=            addr= rkey= lkey=   a region over new memory, which is zero
 *   dereg id=                              the memory stays until `reset`
 *   fill id= off= len= seed=               byte i of the range becomes pattern(i, seed)
 *   differs id= off= len= seed=            at=                 the range's first byte that is not; -1: none
 *   set id= off= hex=
 *   get id= off= len=                      hex=
 *   sum id= off= len=                      sum=                FNV-1a, 32 bits
 *   mw id= device=                         rkey=               a memory window of type 2
 *   qp id= device= [type=rc|uc|ud] [sq= rq= inline=]
 *                                          qpn=
 *   activate id= qkey= mypsn=              a UD queue pair
 *   connect id= local=IP remote=IP qpn= psn= mypsn= [mtu= timeout= retry= rnr= rnrtimer= rd= destrd=
 *       access=]
 *   state id= [to=reset|error]             state=
 *   post id= wr= op= mr= off= len= raddr= rkey= [imm= inv= compare= swap= add= fence= solicited=
 *       inline= quiet=]                    op: write write_imm read send send_imm send_inv cas faa
 *   post id= wr= op=send|send_imm ... local=IP remote=IP dqpn= dqkey=
 *                                                              a datagram
 *   post id= wr= op=bind mw= mr= raddr= len= [access=]
 *                                          rkey=               of the window
 *   recv id= wr= [mr= off= len=]
 *   poll id= n= ms=                        WR:STATUS:LENGTH[:imm:DATA or :inv:RKEY][:from:QPN] ...; waits for n
 *   run argv=WORD,WORD,... ms=             status= text=HEX    a program, with its output; 124: it was killed after ms
 *   gids device=                           INDEX:HEX ...
 *   start id= argv=WORD,WORD,...                               starts a program, which goes on
 *   end id= ms=                            status= out=HEX     waits for its end, and kills it if it is late:
 *                                                              then the status is 256 and the signal's number
 *   reset                                  destroys everything
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    OBJECTS = 64,
    DEVICES = 4,
    WORDS = 32,
    COMPLETIONS = 512,
    MOST_BYTES = 1 << 24,  /* of a region */
    MOST_TEXT = 1 << 18,   /* of a line */
    MOST_LISTED = 1 << 16, /* bytes of `get` */
    GIDS = 64,
    POLL_PAUSE_US = 100,
    HANDLES = 256,
    MOST_OUTPUT = 1 << 16, /* bytes of a program's output that are told */
    TIMED_OUT = 124,
    MOST_TOLD = 1 << 14, /* bytes of the output of a program that was started: the last ones */
    END_PAUSE_US = 10000,
};

struct device {
    struct ibv_context *context;
    struct ibv_pd *pd;
};

struct memory {
    unsigned char *bytes;
    size_t length;
    struct ibv_mr *mr;
};

struct pair {
    struct ibv_qp *qp;
    struct ibv_cq *cq;
    struct device *device;
};

static struct device devices[DEVICES];
static struct memory memories[OBJECTS];
static struct ibv_mw *windows[OBJECTS];
static struct pair pairs[OBJECTS];
static struct ibv_ah *handles[HANDLES]; /* of the datagrams since the last `reset` */
static size_t handle_count;

/* The present command: its words, in place. */
static char *names[WORDS], *values[WORDS];
static int words;

static char answer[MOST_TEXT];
static size_t answered;

/* --- commands and answers as text --- */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(answer + answered, sizeof(answer) - answered, format, arguments);
    va_end(arguments);
    if (length > 0)
        answered += (size_t)length;
    if (answered >= sizeof(answer))
        answered = sizeof(answer) - 1;
}

/* Splits a line at its spaces. */
static void split(char *line) {
    words = 0;
    for (char *word = strtok(line, " \n"); word != NULL && words < WORDS; word = strtok(NULL, " \n")) {
        names[words] = word;
        values[words] = strchr(word, '=');
        if (values[words] != NULL)
            *values[words]++ = 0;
        words++;
    }
}

static const char *text(const char *name, const char *otherwise) {
    for (int i = 1; i < words; i++)
        if (strcmp(names[i], name) == 0 && values[i] != NULL)
            return values[i];
    return otherwise;
}

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *value = text(name, NULL);
    return value == NULL ? otherwise : strtoull(value, NULL, 0);
}

static uint32_t word32(const char *name, uint32_t otherwise) {
    return (uint32_t)number(name, otherwise);
}

static uint8_t byte(const char *name, uint8_t otherwise) {
    return (uint8_t)number(name, otherwise);
}

/* Returns the error number of a call that returns -1 and sets errno, or an error number. */
static int errno_of(int result) {
    return result < 0 ? errno : result;
}

/* --- objects by their number --- */

static bool object(const char *name, size_t *id) {
    *id = (size_t)number(name, 0);
    return *id < OBJECTS;
}

static struct device *device_named(const char *name) {
    for (int i = 0; i < DEVICES; i++)
        if (devices[i].context != NULL && strcmp(ibv_get_device_name(devices[i].context->device), name) == 0)
            return &devices[i];
    return NULL;
}

static struct device *the_device(void) {
    return device_named(text("device", ""));
}

static struct pair *the_pair(void) {
    size_t id;
    return object("id", &id) && pairs[id].qp != NULL ? &pairs[id] : NULL;
}

/* Returns the bytes that `off` and `len` name in a memory, or NULL if they leave it. */
static unsigned char *range(const struct memory *memory, size_t *length) {
    size_t offset = (size_t)number("off", 0);
    *length = (size_t)number("len", 0);
    if (memory->bytes == NULL || offset > memory->length || *length > memory->length - offset)
        return NULL;
    return memory->bytes + offset;
}

static unsigned char *the_range(size_t *length) {
    size_t id;
    return object("id", &id) ? range(&memories[id], length) : NULL;
}

/* --- memory --- */

static int new_region(void) {
    struct device *device = the_device();
    size_t id, length = (size_t)number("len", 0);
    if (device == NULL || !object("id", &id) || length == 0 || length > MOST_BYTES)
        return EINVAL;
    struct memory *memory = &memories[id];
    if (memory->bytes != NULL)
        return EEXIST;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (length + page - 1) / page * page;
    unsigned char *bytes = aligned_alloc(page, room);
    if (bytes == NULL)
        return ENOMEM;
    memset(bytes, 0, room);
    struct ibv_mr *mr = ibv_reg_mr(device->pd, bytes, length, (int)number("access", 0));
    if (mr == NULL) {
        int error = errno;
        free(bytes);
        return error;
    }
    *memory = (struct memory){bytes, length, mr};
    say(" addr=%" PRIuPTR " rkey=%u lkey=%u", (uintptr_t)bytes, mr->rkey, mr->lkey);
    return 0;
}

static int deregister(void) {
    size_t id;
    if (!object("id", &id) || memories[id].mr == NULL)
        return EINVAL;
    int error = errno_of(ibv_dereg_mr(memories[id].mr));
    if (error == 0)
        memories[id].mr = NULL;
    return error;
}

/* Changes from page to page and from packet to packet, so that packets that are swapped show. */
static unsigned char pattern(size_t i, unsigned seed) {
    return (unsigned char)(i * 7 + (i >> 8) * 13 + seed);
}

static int fill(void) {
    size_t length;
    unsigned char *bytes = the_range(&length);
    if (bytes == NULL)
        return EINVAL;
    unsigned seed = word32("seed", 0);
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(i, seed);
    return 0;
}

static int differs(void) {
    size_t length, i = 0;
    const unsigned char *bytes = the_range(&length);
    if (bytes == NULL)
        return EINVAL;
    unsigned seed = word32("seed", 0);
    while (i < length && bytes[i] == pattern(i, seed))
        i++;
    say(" at=%ld", i < length ? (long)i : -1L);
    return 0;
}

static int set_bytes(void) {
    size_t id, offset = (size_t)number("off", 0);
    const char *hex = text("hex", "");
    size_t length = strlen(hex) / 2;
    if (!object("id", &id) || memories[id].bytes == NULL || offset > memories[id].length ||
        length > memories[id].length - offset)
        return EINVAL;
    for (size_t i = 0; i < length; i++) {
        unsigned value;
        if (sscanf(hex + 2 * i, "%2x", &value) != 1)
            return EINVAL;
        memories[id].bytes[offset + i] = (unsigned char)value;
    }
    return 0;
}

static int get_bytes(void) {
    size_t length;
    const unsigned char *bytes = the_range(&length);
    if (bytes == NULL || length > MOST_LISTED)
        return EINVAL;
    say(" hex=");
    for (size_t i = 0; i < length; i++)
        say("%02x", bytes[i]);
    return 0;
}

static int sum_bytes(void) {
    size_t length;
    const unsigned char *bytes = the_range(&length);
    if (bytes == NULL)
        return EINVAL;
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ bytes[i]) * 16777619u;
    say(" sum=%u", sum);
    return 0;
}

static int new_window(void) {
    struct device *device = the_device();
    size_t id;
    if (device == NULL || !object("id", &id) || windows[id] != NULL)
        return EINVAL;
    windows[id] = ibv_alloc_mw(device->pd, IBV_MW_TYPE_2);
    if (windows[id] == NULL)
        return errno;
    say(" rkey=%u", windows[id]->rkey);
    return 0;
}

/* --- queue pairs --- */

static int new_pair(void) {
    struct device *device = the_device();
    size_t id;
    if (device == NULL || !object("id", &id) || pairs[id].qp != NULL)
        return EINVAL;
    struct ibv_cq *cq = ibv_create_cq(device->context, COMPLETIONS, NULL, NULL, 0);
    if (cq == NULL)
        return errno;
    struct ibv_qp_init_attr attributes = {
        .send_cq = cq,
        .recv_cq = cq,
        .cap = {.max_send_wr = word32("sq", 64),
                .max_recv_wr = word32("rq", 64),
                .max_send_sge = 1,
                .max_recv_sge = 1,
                .max_inline_data = word32("inline", 0)},
        .qp_type = strcmp(text("type", "rc"), "uc") == 0   ? IBV_QPT_UC
                   : strcmp(text("type", "rc"), "ud") == 0 ? IBV_QPT_UD
                                                           : IBV_QPT_RC,
    };
    struct ibv_qp *qp = ibv_create_qp(device->pd, &attributes);
    if (qp == NULL) {
        int error = errno;
        ibv_destroy_cq(cq);
        return error;
    }
    pairs[id] = (struct pair){qp, cq, device};
    say(" qpn=%u", qp->qp_num);
    return 0;
}

/* Reads an address; IPv4 becomes ::ffff:a.b.c.d, as the GIDs of RoCEv2 are. */
static bool gid_of(const char *address, union ibv_gid *gid) {
    memset(gid, 0, sizeof(*gid));
    if (strchr(address, ':') != NULL)
        return inet_pton(AF_INET6, address, gid->raw) == 1;
    gid->raw[10] = gid->raw[11] = 0xff;
    return inet_pton(AF_INET, address, gid->raw + 12) == 1;
}

/* Finds the index of a GID, which depends on the order in which the kernel saw the addresses. */
static bool gid_index(struct ibv_context *context, const union ibv_gid *wanted, uint8_t *index) {
    for (int i = 0; i < GIDS; i++) {
        union ibv_gid gid;
        if (ibv_query_gid(context, 1, i, &gid) == 0 && memcmp(&gid, wanted, sizeof(gid)) == 0) {
            *index = (uint8_t)i;
            return true;
        }
    }
    return false;
}

static int list_gids(void) {
    struct device *device = the_device();
    if (device == NULL)
        return EINVAL;
    for (int i = 0; i < GIDS; i++) {
        union ibv_gid gid;
        if (ibv_query_gid(device->context, 1, i, &gid) != 0)
            break;
        if (gid.global.interface_id == 0 && gid.global.subnet_prefix == 0)
            continue;
        say(" %d:", i);
        for (size_t k = 0; k < sizeof(gid.raw); k++)
            say("%02x", gid.raw[k]);
    }
    return 0;
}

static enum ibv_mtu path_mtu(uint32_t bytes) {
    for (enum ibv_mtu mtu = IBV_MTU_256; mtu <= IBV_MTU_4096; mtu++)
        if (128u << mtu == bytes)
            return mtu;
    return 0;
}

static int connect_pair(void) {
    struct pair *pair = the_pair();
    union ibv_gid local, remote;
    uint8_t index;
    if (pair == NULL || !gid_of(text("local", ""), &local) || !gid_of(text("remote", ""), &remote))
        return EINVAL;
    if (!gid_index(pair->device->context, &local, &index))
        return EADDRNOTAVAIL;
    bool reliable = pair->qp->qp_type == IBV_QPT_RC;

    struct ibv_qp_attr attributes = {
        .qp_state = IBV_QPS_INIT,
        .port_num = 1,
        .qp_access_flags =
            word32("access", IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC),
    };
    int error = ibv_modify_qp(pair->qp, &attributes,
                              IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    if (error != 0)
        return errno_of(error);

    attributes = (struct ibv_qp_attr){
        .qp_state = IBV_QPS_RTR,
        .path_mtu = path_mtu(word32("mtu", 1024)),
        .dest_qp_num = word32("qpn", 0),
        .rq_psn = word32("psn", 0),
        .max_dest_rd_atomic = byte("destrd", 16),
        .min_rnr_timer = byte("rnrtimer", 12),
        .ah_attr = {.is_global = 1,
                    .port_num = 1,
                    .grh = {.dgid = remote, .sgid_index = index, .hop_limit = 64}},
    };
    int mask = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
    if (reliable)
        mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
    error = ibv_modify_qp(pair->qp, &attributes, mask);
    if (error != 0)
        return errno_of(error);

    attributes = (struct ibv_qp_attr){
        .qp_state = IBV_QPS_RTS,
        .timeout = byte("timeout", 17),
        .retry_cnt = byte("retry", 7),
        .rnr_retry = byte("rnr", 7),
        .sq_psn = word32("mypsn", 0),
        .max_rd_atomic = byte("rd", 16),
    };
    mask = IBV_QP_STATE | IBV_QP_SQ_PSN;
    if (reliable)
        mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
    return errno_of(ibv_modify_qp(pair->qp, &attributes, mask));
}

static int activate(void) {
    struct pair *pair = the_pair();
    if (pair == NULL)
        return EINVAL;
    struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = word32("qkey", 0)};
    int error =
        ibv_modify_qp(pair->qp, &attributes, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
    attributes = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR};
    if (error == 0)
        error = ibv_modify_qp(pair->qp, &attributes, IBV_QP_STATE);
    attributes = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .sq_psn = word32("mypsn", 0)};
    if (error == 0)
        error = ibv_modify_qp(pair->qp, &attributes, IBV_QP_STATE | IBV_QP_SQ_PSN);
    return errno_of(error);
}

static int state(void) {
    struct pair *pair = the_pair();
    const char *to = text("to", NULL);
    if (pair == NULL)
        return EINVAL;
    struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_ERR};
    struct ibv_qp_init_attr created;
    if (to != NULL) {
        if (strcmp(to, "reset") == 0)
            attributes.qp_state = IBV_QPS_RESET;
        else if (strcmp(to, "error") != 0)
            return EINVAL;
        int error = ibv_modify_qp(pair->qp, &attributes, IBV_QP_STATE);
        if (error != 0)
            return errno_of(error);
    }
    int error = ibv_query_qp(pair->qp, &attributes, IBV_QP_STATE, &created);
    if (error == 0)
        say(" state=%d", attributes.qp_state);
    return errno_of(error);
}

/* --- work requests --- */

static const struct {
    const char *name;
    enum ibv_wr_opcode opcode;
} operations[] = {
    {"write", IBV_WR_RDMA_WRITE},       {"write_imm", IBV_WR_RDMA_WRITE_WITH_IMM},
    {"read", IBV_WR_RDMA_READ},         {"send", IBV_WR_SEND},
    {"send_imm", IBV_WR_SEND_WITH_IMM}, {"send_inv", IBV_WR_SEND_WITH_INV},
    {"cas", IBV_WR_ATOMIC_CMP_AND_SWP}, {"faa", IBV_WR_ATOMIC_FETCH_AND_ADD},
    {"bind", IBV_WR_BIND_MW},
};

static int post_bind(struct pair *pair, struct ibv_send_wr *request) {
    size_t window, memory;
    struct ibv_send_wr *bad;
    if (!object("mw", &window) || windows[window] == NULL || !object("mr", &memory) ||
        memories[memory].mr == NULL)
        return EINVAL;
    uint32_t rkey = ibv_inc_rkey(windows[window]->rkey);
    request->bind_mw.mw = windows[window];
    request->bind_mw.rkey = rkey;
    request->bind_mw.bind_info = (struct ibv_mw_bind_info){
        .mr = memories[memory].mr,
        .addr = number("raddr", 0),
        .length = number("len", 0),
        .mw_access_flags =
            word32("access", IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC),
    };
    int error = errno_of(ibv_post_send(pair->qp, request, &bad));
    if (error == 0)
        say(" rkey=%u", rkey);
    return error;
}

/* Makes the address handle of a datagram, and fills in where it goes. */
static int address_datagram(struct pair *pair, struct ibv_send_wr *request) {
    union ibv_gid local, remote;
    uint8_t index;
    if (!gid_of(text("local", ""), &local) || !gid_of(text("remote", ""), &remote))
        return EINVAL;
    if (!gid_index(pair->device->context, &local, &index))
        return EADDRNOTAVAIL;
    if (handle_count == HANDLES)
        return ENOMEM;
    struct ibv_ah_attr attributes = {
        .is_global = 1, .port_num = 1, .grh = {.dgid = remote, .sgid_index = index, .hop_limit = 64}};
    struct ibv_ah *handle = ibv_create_ah(pair->device->pd, &attributes);
    if (handle == NULL)
        return errno;
    handles[handle_count++] = handle;
    request->wr.ud.ah = handle;
    request->wr.ud.remote_qpn = word32("dqpn", 0);
    request->wr.ud.remote_qkey = word32("dqkey", 0);
    return 0;
}

static int post(void) {
    struct pair *pair = the_pair();
    const char *name = text("op", "");
    size_t i = 0, id, length;
    while (i < sizeof(operations) / sizeof(*operations) && strcmp(operations[i].name, name) != 0)
        i++;
    if (pair == NULL || i == sizeof(operations) / sizeof(*operations))
        return EINVAL;
    struct ibv_send_wr request = {.wr_id = number("wr", 0), .opcode = operations[i].opcode}, *bad;
    if (!number("quiet", 0))
        request.send_flags |= IBV_SEND_SIGNALED;
    if (number("fence", 0))
        request.send_flags |= IBV_SEND_FENCE;
    if (number("solicited", 0))
        request.send_flags |= IBV_SEND_SOLICITED;
    if (number("inline", 0))
        request.send_flags |= IBV_SEND_INLINE;
    if (request.opcode == IBV_WR_BIND_MW)
        return post_bind(pair, &request);

    if (!object("mr", &id))
        return EINVAL;
    const struct memory *memory = &memories[id];
    unsigned char *bytes = range(memory, &length);
    if (number("len", 0) != 0 && bytes == NULL)
        return EINVAL;
    struct ibv_sge element = {.addr = (uintptr_t)bytes,
                              .length = (uint32_t)length,
                              .lkey = word32("lkey", memory->mr == NULL ? 0 : memory->mr->lkey)};
    if (number("len", 0) != 0) {
        request.sg_list = &element;
        request.num_sge = 1;
    }
    if (request.opcode == IBV_WR_SEND_WITH_INV)
        request.invalidate_rkey = word32("inv", 0);
    else
        request.imm_data = htonl(word32("imm", 0));
    bool is_swap = request.opcode == IBV_WR_ATOMIC_CMP_AND_SWP;
    if (is_swap || request.opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
        request.wr.atomic.remote_addr = number("raddr", 0);
        request.wr.atomic.rkey = word32("rkey", 0);
        request.wr.atomic.compare_add = number(is_swap ? "compare" : "add", 0);
        request.wr.atomic.swap = number("swap", 0);
    } else if (pair->qp->qp_type == IBV_QPT_UD) {
        int error = address_datagram(pair, &request);
        if (error != 0)
            return error;
    } else {
        request.wr.rdma.remote_addr = number("raddr", 0);
        request.wr.rdma.rkey = word32("rkey", 0);
    }
    return errno_of(ibv_post_send(pair->qp, &request, &bad));
}

static int receive(void) {
    struct pair *pair = the_pair();
    size_t id, length;
    if (pair == NULL || !object("mr", &id))
        return EINVAL;
    struct ibv_recv_wr request = {.wr_id = number("wr", 0)}, *bad;
    unsigned char *bytes = range(&memories[id], &length);
    if (number("len", 0) != 0 && (bytes == NULL || memories[id].mr == NULL))
        return EINVAL;
    struct ibv_sge element = {.addr = (uintptr_t)bytes, .length = (uint32_t)length};
    if (number("len", 0) != 0) {
        element.lkey = memories[id].mr->lkey;
        request.sg_list = &element;
        request.num_sge = 1;
    }
    return errno_of(ibv_post_recv(pair->qp, &request, &bad));
}

static uint64_t milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static int take_completions(void) {
    struct pair *pair = the_pair();
    if (pair == NULL)
        return EINVAL;
    uint64_t wanted = number("n", 1), end = milliseconds() + number("ms", 0);
    for (uint64_t taken = 0; taken < wanted;) {
        struct ibv_wc wc;
        int got = ibv_poll_cq(pair->cq, 1, &wc);
        if (got < 0)
            return EIO;
        if (got == 0) {
            if (milliseconds() >= end)
                break;
            usleep(POLL_PAUSE_US);
            continue;
        }
        taken++;
        /* Soft-RoCE of Linux 6.1 marks an invalidation by the kernel's bit, here IBV_WC_IP_CSUM_OK. */
        bool succeeded = wc.status == IBV_WC_SUCCESS;
        bool invalidated = succeeded && wc.wc_flags & (IBV_WC_WITH_INV | IBV_WC_IP_CSUM_OK);
        bool immediate = succeeded && wc.wc_flags & IBV_WC_WITH_IMM;
        say(" %" PRIu64 ":%d:%u", wc.wr_id, wc.status, succeeded ? wc.byte_len : 0);
        if (invalidated)
            say(":inv:%u", wc.invalidated_rkey);
        else if (immediate)
            say(":imm:%u", ntohl(wc.imm_data));
        /* It also says of messages of UC that they have a GRH. */
        if (succeeded && wc.wc_flags & IBV_WC_GRH && pair->qp->qp_type == IBV_QPT_UD)
            say(":from:%u", wc.src_qp);
    }
    return 0;
}

/* --- programs --- */

static pid_t programs[OBJECTS];

static const char *output_of(uint32_t id) {
    static char name[32];
    snprintf(name, sizeof(name), "/tmp/program-%" PRIu32, id);
    return name;
}

static int start_program(void) {
    const uint32_t id = word32("id", 0);
    char *list = strdup(text("argv", ""));
    char *arguments[WORDS + 1] = {0};
    int count = 0;
    if (list == NULL || id >= OBJECTS || programs[id] != 0)
        return EINVAL;
    for (char *word = strtok(list, ","); word != NULL && count < WORDS; word = strtok(NULL, ","))
        arguments[count++] = word;
    if (count == 0)
        return EINVAL;
    const pid_t child = fork();
    if (child < 0)
        return errno;
    if (child == 0) {
        const int file = open(output_of(id), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(file, STDOUT_FILENO);
        dup2(file, STDERR_FILENO);
        execvp(arguments[0], arguments);
        _exit(127);
    }
    free(list);
    programs[id] = child;
    return 0;
}

static int end_program(void) {
    static unsigned char bytes[MOST_TOLD];
    const uint32_t id = word32("id", 0);
    uint64_t left = number("ms", 0) * 1000 / END_PAUSE_US;
    int status = 0;
    if (id >= OBJECTS || programs[id] == 0)
        return EINVAL;
    while (waitpid(programs[id], &status, WNOHANG) == 0) {
        if (left-- == 0)
            kill(programs[id], SIGKILL);
        if (left == UINT64_MAX) {
            waitpid(programs[id], &status, 0);
            break;
        }
        usleep(END_PAUSE_US);
    }
    programs[id] = 0;
    FILE *file = fopen(output_of(id), "r");
    if (file == NULL)
        return errno;
    if (fseek(file, -MOST_TOLD, SEEK_END) != 0)
        rewind(file);
    const size_t length = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    say(" status=%d out=", WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status));
    for (size_t i = 0; i < length; i++)
        say("%02x", bytes[i]);
    return 0;
}

/* Reads the output of a program until it ends or the time is up; the rest behind MOST_OUTPUT is thrown away. */
static size_t read_output(int file, uint64_t end, unsigned char *output) {
    size_t length = 0;
    for (;;) {
        unsigned char piece[4096];
        uint64_t now = milliseconds();
        struct pollfd wait = {.fd = file, .events = POLLIN};
        if (now >= end || poll(&wait, 1, (int)(end - now)) <= 0)
            return length;
        ssize_t got = read(file, piece, sizeof(piece));
        if (got <= 0)
            return length;
        size_t taken = (size_t)got < MOST_OUTPUT - length ? (size_t)got : MOST_OUTPUT - length;
        memcpy(output + length, piece, taken);
        length += taken;
    }
}

static int run(void) {
    static unsigned char output[MOST_OUTPUT];
    char *argv[WORDS + 1] = {NULL}, line[1024];
    int ends[2], status = 0, count = 0;
    uint64_t end = milliseconds() + number("ms", 0);
    snprintf(line, sizeof(line), "%s", text("argv", ""));
    for (char *word = strtok(line, ","); word != NULL && count < WORDS; word = strtok(NULL, ","))
        argv[count++] = word;
    if (count == 0)
        return EINVAL;
    if (pipe(ends) != 0)
        return errno;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], argv);
        perror(argv[0]);
        _exit(127);
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return EAGAIN;
    }
    size_t length = read_output(ends[0], end, output);
    close(ends[0]);
    bool late = milliseconds() >= end;
    if (late)
        kill(child, SIGKILL);
    waitpid(child, &status, 0);
    say(" status=%d text=", late                ? TIMED_OUT
                            : WIFEXITED(status) ? WEXITSTATUS(status)
                                                : 128 + WTERMSIG(status));
    for (size_t i = 0; i < length; i++)
        say("%02x", output[i]);
    return 0;
}

/* --- the end of objects --- */

static int reset(void) {
    int first = 0;
    for (size_t i = 0; i < OBJECTS; i++) {
        int error = 0;
        if (pairs[i].qp != NULL)
            error = errno_of(ibv_destroy_qp(pairs[i].qp));
        if (error == 0 && pairs[i].cq != NULL)
            error = errno_of(ibv_destroy_cq(pairs[i].cq));
        if (error == 0)
            pairs[i] = (struct pair){0};
        else if (first == 0)
            first = error;
    }
    while (handle_count > 0 && ibv_destroy_ah(handles[handle_count - 1]) == 0)
        handle_count--;
    /* Windows in front of the regions that they are bound to. */
    for (size_t i = 0; i < OBJECTS; i++) {
        int error = windows[i] == NULL ? 0 : errno_of(ibv_dealloc_mw(windows[i]));
        if (error == 0)
            windows[i] = NULL;
        else if (first == 0)
            first = error;
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        int error = memories[i].mr == NULL ? 0 : errno_of(ibv_dereg_mr(memories[i].mr));
        if (error == 0) {
            free(memories[i].bytes);
            memories[i] = (struct memory){0};
        } else if (first == 0) {
            first = error;
        }
    }
    return first;
}

/* --- the loop --- */

static const struct {
    const char *name;
    int (*run)(void);
} commands[] = {
    {"mr", new_region},        {"dereg", deregister},      {"fill", fill},
    {"differs", differs},      {"set", set_bytes},         {"get", get_bytes},
    {"sum", sum_bytes},        {"mw", new_window},         {"qp", new_pair},
    {"connect", connect_pair}, {"state", state},           {"post", post},
    {"recv", receive},         {"poll", take_completions}, {"gids", list_gids},
    {"reset", reset},          {"activate", activate},     {"run", run},
    {"start", start_program},  {"end", end_program},
};

static int obey(char *line) {
    split(line);
    answered = 0;
    say("ok");
    for (size_t i = 0; words > 0 && i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(commands[i].name, names[0]) == 0)
            return commands[i].run();
    return ENOSYS;
}

static bool open_devices(void) {
    int count = 0;
    struct ibv_device **list = ibv_get_device_list(&count);
    for (int i = 0; list != NULL && i < count && i < DEVICES; i++) {
        devices[i].context = ibv_open_device(list[i]);
        devices[i].pd = devices[i].context == NULL ? NULL : ibv_alloc_pd(devices[i].context);
        if (devices[i].pd == NULL)
            return false;
    }
    if (list != NULL)
        ibv_free_device_list(list);
    return count > 0;
}

static bool write_all(int file, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(file, bytes, length);
        if (written < 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

int main(int count, char **arguments) {
    int output = count == 2 ? open(arguments[1], O_RDWR) : -1;
    FILE *input = output < 0 ? NULL : fdopen(dup(output), "r");
    if (input == NULL || !open_devices()) {
        perror("verbs-shell DEVICE");
        return 2;
    }
    char *line = NULL;
    size_t room = 0;
    if (!write_all(output, "ready\n", 6))
        return 3;
    while (getline(&line, &room, input) > 0) {
        int error = obey(line);
        if (error != 0) {
            answered = 0;
            say("error %d", error);
        }
        say("\n");
        if (!write_all(output, answer, answered))
            return 3;
    }
    return 0;
}
