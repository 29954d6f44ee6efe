/* SPDX-License-Identifier: BSD-3-Clause */
/* What the responder's work on a packet costs: decoding, finding the queue pair, checking the ICRC, judging the access
 * and copying the payload of a WRITE, beside the ICRC of the same packet alone. Not a test: scripts/receive-cost.mjs
 * builds it with the libraries of the release build and prints what it measures, as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The fixtures compare counts of allocations, which the release build does not make. */
long rvt_test_alloc_live(void);
long rvt_test_alloc_live(void) {
    return 0;
}

#include "requests.h"
#include "wire/icrc.h"

enum { PAYLOAD = 1024, BATCH = 64, ROUNDS = 301 };

static struct packet packets[BATCH];
static struct rvt_datagram datagrams[BATCH];

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof(*values), by_value);
    return values[ROUNDS / 2];
}

/* The packets of a batch: WRITEs of one packet each, with the PSNs from `psn` on. */
static void make_batch(const struct responding *r, uint32_t psn) {
    for (uint32_t i = 0; i < BATCH; i++) {
        const struct request request = {.opcode = RVT_BTH_RC_WRITE_ONLY,
                                        .ack = i == BATCH - 1,
                                        .psn = psn + i,
                                        .addr = r->mr.addr + i % 4 * PAYLOAD,
                                        .rkey = r->mr.key,
                                        .length = PAYLOAD,
                                        .bytes = PAYLOAD};
        make_request(r, &request, &packets[i]);
        datagrams[i] = (struct rvt_datagram){.bytes = packets[i].bytes + packets[i].bth_at,
                                             .length = (uint32_t)(packets[i].length - packets[i].bth_at),
                                             .has_ip_id = true,
                                             .ip_id = 0x1234};
        datagrams[i].from.port = 0xc012;
        store_ipv4(datagrams[i].from.address, 15);
    }
}

static uint32_t icrcs_of_batch(void) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < BATCH; i++) {
        const struct packet *p = &packets[i];
        const size_t body = p->bth_at + 12;
        sum += rvt_icrc(p->bytes + p->ip_at, 20, p->bytes + body, p->length - 4 - body);
    }
    return sum;
}

int main(void) {
    static struct responding r;
    static double received[ROUNDS], checked[ROUNDS];
    struct rvt_qp_attr attr = responder_attr();
    volatile uint32_t sink = 0;
    uint32_t psn = FIRST_PSN;
    attr.path_mtu = 3; /* 1024 */
    if (!responding_open_with(&r, (struct responding_options){.attr = attr}))
        return 1;
    for (int round = 0; round < ROUNDS; round++, psn += BATCH) {
        make_batch(&r, psn);
        sink += icrcs_of_batch(); /* the packets are in the cache for both */
        const uint64_t begin = nanoseconds();
        sink += icrcs_of_batch();
        const uint64_t middle = nanoseconds();
        rvt_endpoint_receive(r.endpoint, datagrams, BATCH, 0);
        checked[round] = (double)(middle - begin) / BATCH;
        received[round] = (double)(nanoseconds() - middle) / BATCH;
        struct answer answer;
        while (next_packet(&r, &answer))
            ;
    }
    const bool arrived = counters_of(&r).bytes_received == (uint64_t)ROUNDS * BATCH * PAYLOAD;
    const double packet = median(received), icrc = median(checked);
    printf("{\"packet\":%.1f,\"icrc\":%.1f,\"ratio\":%.3f}\n", packet, icrc, packet / icrc);
    responding_close(&r);
    return arrived ? 0 : 1;
}
