/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/endpoint/requester.h"

#include "wire/endpoint/connection.h"

bool rvt_requester_init(struct rvt_connection *connection) {
    (void)connection;
    return true;
}
void rvt_requester_free(struct rvt_connection *connection) {
    (void)connection;
}
void rvt_requester_start(struct rvt_connection *connection) {
    (void)connection;
}
void rvt_requester_stop(struct rvt_connection *connection) {
    (void)connection;
}
void rvt_requester_work(struct rvt_connection *connection) {
    (void)connection;
}
void rvt_requester_receive(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    (void)connection;
    (void)packet;
}
bool rvt_requester_send(struct rvt_connection *connection, struct rvt_packet *packet, uint64_t now) {
    (void)connection;
    (void)packet;
    (void)now;
    return false;
}
void rvt_requester_tick(struct rvt_connection *connection, uint64_t now) {
    (void)connection;
    (void)now;
}
