/* SPDX-License-Identifier: ISC */
#include "common/tls/tls_stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/base/str.h"

struct layer {
	struct stream *stream;
	SSL *ssl;
	int wants;      /* what the last operation that would block waits for */
	bool broken;    /* no close_notify after an error (SSL_shutdown(3)) */
};

/* Sets errno as read(2) and write(2) do; 0 is the end. */
static ssize_t failed(struct layer *l, int result)
{
	switch (SSL_get_error(l->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		l->wants = TASK_READ;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_WRITE:
		l->wants = TASK_WRITE;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		l->broken = true;
		if (errno == 0 || errno == EAGAIN)
			errno = ECONNRESET;
		return -1;
	default:
		l->broken = true;
		errno = EPROTO;
		return -1;
	}
}

static ssize_t layer_read(void *backend, void *buf, size_t len)
{
	struct layer *l = backend;
	int got;

	ERR_clear_error();
	errno = 0;
	got = SSL_read(l->ssl, buf, len > INT32_MAX ? INT32_MAX : (int)len);
	return got > 0 ? got : failed(l, got);
}

static ssize_t layer_write(void *backend, const void *buf, size_t len)
{
	struct layer *l = backend;
	int sent;

	ERR_clear_error();
	errno = 0;
	sent = SSL_write(l->ssl, buf, len > INT32_MAX ? INT32_MAX : (int)len);
	if (sent > 0)
		return sent;
	ssize_t result = failed(l, sent);

	if (result == 0) /* the other side has said farewell: nobody reads */
		errno = EPIPE;
	return -1;
}

static int layer_wait(void *backend, int events, double deadline)
{
	struct layer *l = backend;
	int wants = l->wants ? l->wants : events;

	/* A record may be decrypted, or in OpenSSL's buffer, with nothing left in the socket. */
	if (events == TASK_READ && SSL_has_pending(l->ssl) && !l->wants)
		return TASK_READY;
	l->wants = 0;
	return (int)stream_wait_fd(l->stream, wants, deadline);
}

static void layer_close(void *backend)
{
	struct layer *l = backend;

	if (!l->broken)
		(void)SSL_shutdown(l->ssl);
	ERR_clear_error();
	SSL_free(l->ssl);
	free(l);
}

static const struct stream_ops layer_ops = { layer_read, layer_write, layer_wait, NULL, layer_close };

SSL *tls_of(const struct stream *s)
{
	struct layer *l = stream_backend(s, &layer_ops);

	return l ? l->ssl : NULL;
}

void tls_say(struct stream *s, struct slice text)
{
	struct layer *l = stream_backend(s, &layer_ops);

	if (l && !l->broken)
		(void)layer_write(l, text.ptr, text.len);
	else if (!l && stream_fd(s) >= 0)
		(void)!send(stream_fd(s), text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The reason in OpenSSL's words, as short as it gets. */
static bool handshake_error(struct err *err, SSL *ssl, int result)
{
	int kind = SSL_get_error(ssl, result);
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (kind == SSL_ERROR_SYSCALL && !code)
		return err_set(err, ERR_CLOSED, "lost connection");
	return err_set(err, ERR_PERMANENT, "%s", reason ? reason : "TLS handshake failed");
}

bool tls_start(struct stream *s, SSL *ssl, size_t *dropped, struct err *err)
{
	struct layer *l = mem_alloc(sizeof(*l));
	enum task_wait wait = TASK_READY;
	size_t thrown;

	l->stream = s;
	l->ssl = ssl;
	SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_set_app_data(ssl, s);
	thrown = stream_replace(s, &layer_ops, l);
	if (dropped)
		*dropped = thrown;
	if (stream_fd(s) < 0 || SSL_set_fd(ssl, stream_fd(s)) != 1) {
		l->broken = true;
		return err_set(err, ERR_PERMANENT, "TLS needs a socket");
	}
	while (wait == TASK_READY) {
		ERR_clear_error();
		errno = 0;
		int result = SSL_do_handshake(ssl);

		if (result == 1)
			return true;
		int kind = SSL_get_error(ssl, result);

		if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE) {
			l->broken = true;
			return handshake_error(err, ssl, result);
		}
		wait = stream_wait_fd(s, kind == SSL_ERROR_WANT_READ ? TASK_READ : TASK_WRITE, stream_deadline(s));
	}
	l->broken = true;
	return err_set(err, wait == TASK_TIMEOUT ? ERR_TIMEOUT : ERR_CANCELLED, "%s",
		       wait == TASK_TIMEOUT ? "handshake timed out" : "shutting down");
}
