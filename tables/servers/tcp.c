/* SPDX-License-Identifier: ISC */
/*
 * tcp:host:port, as tcp_table(5) describes it: "get KEY", and "200 VALUE", "500 not there" or "400 failure";
 * KEY, VALUE and texts with %XX for what is not printable, and for '%'.
 */
#include <stdlib.h>

#include "tables/servers/servers.h"
#include "tables/servers/small_protocol.h"
#include "tables/servers/socket.h"

#define LINE_MAX_LEN 4096

static void *connect_host(const void *settings, const struct server_host *host, double deadline, struct err *err)
{
	return server_socket_connect(host, server_clock() + server_time_left(deadline, SMALL_TIMEOUT), err);
}

static void encode(struct slice text, struct str *out)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c <= ' ' || c >= 127 || c == '%')
			str_printf(out, "%%%02X", c);
		else
			str_append_byte(out, (char)c);
	}
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static bool decode(struct slice text, struct str *out)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] != '%') {
			str_append_byte(out, text.ptr[i]);
			continue;
		}
		if (i + 2 >= text.len || hex(text.ptr[i + 1]) < 0 || hex(text.ptr[i + 2]) < 0)
			return false;
		str_append_byte(out, (char)(hex(text.ptr[i + 1]) * 16 + hex(text.ptr[i + 2])));
		i += 2;
	}
	return true;
}

static enum server_result take_answer(struct slice line, struct small_question *q, struct err *err)
{
	struct slice code;

	q->found = false;
	str_clear(&q->value);
	slice_cut(&line, ' ', &code);
	if (slice_eq(code, SLICE("500")))
		return SERVER_DONE;
	if (slice_eq(code, SLICE("200"))) {
		q->found = true;
		if (decode(line, &q->value))
			return SERVER_DONE;
	}
	if (slice_eq(code, SLICE("400"))) {
		err_set(err, ERR_TEMPORARY, "%.*s", SLICE_FMT(slice_sub(line, 0, 100)));
		return SERVER_REFUSED;
	}
	err_set(err, ERR_CLOSED, "malformed answer");
	return SERVER_LOST;
}

static enum server_result ask(void *connection, const void *settings, void *question, double deadline, struct err *err)
{
	struct small_question *q = question;
	double until = server_clock() + server_time_left(deadline, SMALL_TIMEOUT);
	struct str text = { 0 };
	struct slice line;
	bool ok;

	str_append_text(&text, "get ");
	encode(q->key, &text);
	str_append_byte(&text, '\n');
	ok = server_socket_send(connection, str_slice(&text), until, err) &&
	     server_socket_take_until(connection, '\n', LINE_MAX_LEN, &line, until, err);
	str_free(&text);
	return ok ? take_answer(line, q, err) : SERVER_LOST;
}

static const struct server_kind kind = { .connect = connect_host, .disconnect = server_socket_close, .ask = ask };

static void *open_table(const char *name, struct err *err)
{
	struct str server = { 0 };
	struct small_table *t = NULL;

	if (!strrchr(name, ':')) {
		err_set(err, ERR_SYNTAX, "expected tcp:host:port");
	} else {
		str_printf(&server, "inet:%s", name);
		t = small_table_open(&kind, str_cstr(&server), NULL, err);
	}
	str_free(&server);
	return t;
}

const struct table_type table_tcp = {
	.name = "tcp", .folds = false, .whole_keys = true, .outside = true, .open = open_table,
	.close = small_table_close, .lookup = small_table_lookup,
};
