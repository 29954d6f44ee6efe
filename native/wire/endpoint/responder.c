/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/endpoint/responder.h"

#include "wire/endpoint/connection.h"

void rvt_responder_start(struct rvt_connection *connection) {
    (void)connection;
}
void rvt_responder_stop(struct rvt_connection *connection, bool reset) {
    (void)connection;
    (void)reset;
}
void rvt_responder_receive(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    (void)connection;
    (void)packet;
}
bool rvt_responder_send(struct rvt_connection *connection, struct rvt_packet *packet, uint64_t now) {
    (void)connection;
    (void)packet;
    (void)now;
    return false;
}
