/* SPDX-License-Identifier: ISC */
/* TLS on top of a stream's socket. */
#ifndef POSTRIDER_COMMON_TLS_TLS_STREAM_H
#define POSTRIDER_COMMON_TLS_TLS_STREAM_H

#include <openssl/ssl.h>

#include "common/net/stream.h"

/*
 * Shakes hands over the stream's socket (by its deadline, suspending the task), then all that is read and
 * written goes through `ssl`, which is the stream's from here on whatever the result.  The side is
 * set already (SSL_set_accept_state, SSL_set_connect_state).  Unread plain-text input is thrown
 * away; *dropped (may be NULL) tells how much.  Closing the stream says farewell (close_notify) without
 * waiting for the other side's.  False: the connection is of no use any more.
 */
bool tls_start(struct stream *s, SSL *ssl, size_t *dropped, struct err *err) MUST_USE;
/* Writes once, without waiting; what does not go out at once is lost.  Also for streams without TLS. */
void tls_say(struct stream *s, struct slice text);
/* The SSL of a stream that tls_start was called for, else NULL. */
SSL *tls_of(const struct stream *s);

#endif
