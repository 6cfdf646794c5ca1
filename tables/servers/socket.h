/* SPDX-License-Identifier: ISC */
/* A connection to a server with a small protocol of its own (socketmap, tcp): in worker threads, with deadlines. */
#ifndef POSTRIDER_TABLES_SERVERS_SOCKET_H
#define POSTRIDER_TABLES_SERVERS_SOCKET_H

#include "common/base/str.h"
#include "tables/servers/pool.h"

struct server_socket;
/* `until` is in seconds of server_clock().  NULL: ERR_TEMPORARY or ERR_TIMEOUT. */
struct server_socket *server_socket_connect(const struct server_host *host, double until, struct err *err) MUST_USE;
void server_socket_close(void *connection);
/* The descriptor, which is the caller's now; nothing may have been received. */
int server_socket_release(struct server_socket **s);
/* What came before a new question is no answer to it: false with ERR_CLOSED when something did. */
bool server_socket_send(struct server_socket *s, struct slice text, double until, struct err *err) MUST_USE;
/* Takes what stands before the next `end`, `max` bytes at most; or exactly `len` bytes.  Valid until the next call. */
bool server_socket_take_until(struct server_socket *s, char end, size_t max, struct slice *text, double until,
			      struct err *err) MUST_USE;
bool server_socket_take(struct server_socket *s, size_t len, struct slice *text, double until, struct err *err) MUST_USE;

#endif
