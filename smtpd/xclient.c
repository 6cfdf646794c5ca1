/* SPDX-License-Identifier: ISC */
/*
 * XCLIENT and XFORWARD: a proxy or filter that is trusted says for whom it speaks.  XCLIENT puts another client in
 * place of this one, and the session begins anew; XFORWARD is for the log.  Postfix's XCLIENT_README, XFORWARD_README.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/mail/address.h"
#include "smtpd/session.h"

#define VALUE_MAX 255

enum attribute { NAME, ADDR, PORT, PROTO, HELO, LOGIN, DESTADDR, DESTPORT, REVERSE_NAME, IDENT, SOURCE, ATTRIBUTES };

static const struct {
	const char *name;
	bool xclient, xforward;
} attributes[ATTRIBUTES] = {
	[NAME] = { "NAME", true, true }, [ADDR] = { "ADDR", true, true }, [PORT] = { "PORT", true, true },
	[PROTO] = { "PROTO", true, true }, [HELO] = { "HELO", true, true }, [LOGIN] = { "LOGIN", true, false },
	[DESTADDR] = { "DESTADDR", true, false }, [DESTPORT] = { "DESTPORT", true, false },
	[REVERSE_NAME] = { "REVERSE_NAME", true, false }, [IDENT] = { "IDENT", false, true },
	[SOURCE] = { "SOURCE", false, true },
};

struct proxied {
	struct policy_client client;
	char text[ATTRIBUTES][VALUE_MAX + 1];  /* what client points to */
	char origin[ATTRIBUTES][VALUE_MAX + 1]; /* of XFORWARD; empty: not said */
};

/* What one command says. */
struct statement {
	bool given[ATTRIBUTES];
	bool unavailable[ATTRIBUTES], temporary[ATTRIBUTES];
	char value[ATTRIBUTES][VALUE_MAX + 1];
};

static bool allowed(const struct session *s, struct match_list *list)
{
	struct err err;

	/*
	 * The client that was put in place, not the proxy: what it sends may be passed on as it stands, and must
	 * not be able to name another one.
	 */
	return list && match_list_test_client(list, slice_of(s->client->name), slice_of(s->client->address), &err) == TABLE_FOUND;
}

bool session_is_proxy(const struct session *s)
{
	return allowed(s, s->settings->xclient);
}

static void announce(struct str *out, bool xclient)
{
	str_append_text(out, xclient ? "250-XCLIENT" : "250-XFORWARD");
	for (size_t i = 0; i < ATTRIBUTES; i++)
		if (xclient ? attributes[i].xclient : attributes[i].xforward)
			str_printf(out, " %s", attributes[i].name);
	str_append_text(out, "\r\n");
}

void session_announce_proxied(struct session *s, struct str *out)
{
	if (allowed(s, s->settings->xclient))
		announce(out, true);
	if (allowed(s, s->settings->xforward))
		announce(out, false);
}

/* --- the command --- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* xtext, also of the older form that left most characters alone; nothing but printable text. */
static bool decode(struct slice in, char out[VALUE_MAX + 1])
{
	size_t len = 0;

	for (size_t i = 0; i < in.len; i++) {
		int c = (unsigned char)in.ptr[i];

		if (c == '+' && i + 2 < in.len && hex(in.ptr[i + 1]) >= 0 && hex(in.ptr[i + 2]) >= 0) {
			c = hex(in.ptr[i + 1]) * 16 + hex(in.ptr[i + 2]);
			i += 2;
		}
		if (c < ' ' || c == 127 || len == VALUE_MAX)
			return false;
		out[len++] = (char)c;
	}
	out[len] = '\0';
	return true;
}

static bool valid_address(char *text)
{
	unsigned char bytes[16];

	if (strncasecmp(text, "IPV6:", 5) == 0) {
		memmove(text, text + 5, strlen(text + 5) + 1);
		return inet_pton(AF_INET6, text, bytes) == 1 && inet_ntop(AF_INET6, bytes, text, VALUE_MAX);
	}
	return inet_pton(AF_INET, text, bytes) == 1;
}

static bool valid_value(enum attribute a, char *text)
{
	uint64_t number;

	switch (a) {
	case NAME:
	case REVERSE_NAME:
		return address_valid_hostname(slice_of(text));
	case ADDR:
	case DESTADDR:
		return valid_address(text);
	case PORT:
	case DESTPORT:
		return slice_to_u64(slice_of(text), &number) && number <= 65535;
	case PROTO:
		return strcasecmp(text, "SMTP") == 0 || strcasecmp(text, "ESMTP") == 0;
	case SOURCE:
		return strcasecmp(text, "LOCAL") == 0 || strcasecmp(text, "REMOTE") == 0;
	default:
		return address_valid_utf8(slice_of(text));
	}
}

/* "NAME=value".  False: the client has been told what is wrong. */
static bool take_attribute(struct session *s, struct slice word, bool xclient, struct statement *st)
{
	struct slice name, value = word;
	size_t a = 0;

	if (!slice_cut(&value, '=', &name)) {
		reply(s, 501, "5.5.4", "Error: attribute=value expected");
		return false;
	}
	while (a < ATTRIBUTES && !(slice_eq_nocase(name, slice_of(attributes[a].name)) &&
				   (xclient ? attributes[a].xclient : attributes[a].xforward)))
		a++;
	if (a == ATTRIBUTES) {
		reply(s, 501, "5.5.4", "Bad %s attribute name: %.*s", xclient ? "XCLIENT" : "XFORWARD", SLICE_FMT(slice_sub(name, 0, 100)));
		return false;
	}
	st->given[a] = true;
	st->temporary[a] = slice_eq_nocase(value, SLICE("[TEMPUNAVAIL]"));
	st->unavailable[a] = st->temporary[a] || slice_eq_nocase(value, SLICE("[UNAVAILABLE]"));
	if (st->unavailable[a])
		return true;
	if (decode(value, st->value[a]) && valid_value((enum attribute)a, st->value[a]))
		return true;
	reply(s, 501, "5.5.4", "Bad %s syntax: %.*s", attributes[a].name, SLICE_FMT(slice_sub(value, 0, 100)));
	return false;
}

static bool take_statement(struct session *s, struct slice args, bool xclient, struct statement *st)
{
	struct slice word;

	if (args.len == 0) {
		reply(s, 501, "5.5.4", "Syntax: %s attribute=value...", xclient ? "XCLIENT" : "XFORWARD");
		return false;
	}
	while (slice_word(&args, " \t", &word))
		if (!take_attribute(s, word, xclient, st))
			return false;
	return true;
}

static struct proxied *proxied_of(struct session *s)
{
	if (!s->proxied) {
		s->proxied = mem_alloc(sizeof(*s->proxied));
		s->proxied->client = *s->client;
	}
	return s->proxied;
}

/* --- XCLIENT --- */

static const char *keep(struct proxied *p, const struct statement *st, enum attribute a, const char *otherwise)
{
	snprintf(p->text[a], sizeof(p->text[a]), "%s", st->unavailable[a] ? otherwise : st->value[a]);
	return p->text[a];
}

static enum policy_name_status status_of(const struct statement *st, enum attribute a)
{
	return st->temporary[a] ? POLICY_NAME_TEMPORARY : st->unavailable[a] ? POLICY_NAME_NONE : POLICY_NAME_KNOWN;
}

static void put_client_in_place(struct session *s, const struct statement *st)
{
	struct proxied *p = proxied_of(s);
	struct policy_client *c = &p->client;

	if (st->given[NAME]) {
		c->name = keep(p, st, NAME, "unknown");
		c->name_status = status_of(st, NAME);
	}
	if (st->given[REVERSE_NAME]) {
		c->reverse_name = keep(p, st, REVERSE_NAME, "unknown");
		c->reverse_status = status_of(st, REVERSE_NAME);
	} else if (st->given[NAME]) {
		/* As Postfix: what is confirmed is the reverse name, too. */
		c->reverse_name = c->name;
		c->reverse_status = c->name_status;
	}
	if (st->given[ADDR])
		c->address = keep(p, st, ADDR, "unknown");
	if (st->given[PORT])
		c->port = keep(p, st, PORT, "unknown");
	if (st->given[DESTADDR])
		c->server_address = keep(p, st, DESTADDR, "unknown");
	if (st->given[DESTPORT])
		c->server_port = keep(p, st, DESTPORT, "unknown");
	s->client = c;
}

static void begin_anew(struct session *s, const struct statement *st)
{
	str_clear(&s->helo);
	s->esmtp = s->bdat_failed = false;
	s->at_connect = (struct policy_memory){ 0 };
	session_forget_helo(s);
	auth_reset(&s->login);
	if (st->given[HELO] && !st->unavailable[HELO])
		str_append_text(&s->helo, st->value[HELO]);
	if (st->given[PROTO] && !st->unavailable[PROTO])
		s->esmtp = strcasecmp(st->value[PROTO], "ESMTP") == 0;
	if (st->given[LOGIN] && !st->unavailable[LOGIN]) {
		str_append_text(&s->login.user, st->value[LOGIN]);
		str_append_text(&s->login.method, "XCLIENT");
	}
}

void command_xclient(struct session *s, struct slice args)
{
	struct statement *st;

	if (!allowed(s, s->settings->xclient)) {
		reply(s, 550, "5.7.0", "Error: insufficient authorization");
		return;
	}
	if (s->transaction) {
		reply(s, 503, "5.5.1", "Error: MAIL transaction in progress");
		return;
	}
	st = mem_alloc(sizeof(*st));
	if (take_statement(s, args, true, st)) {
		log_info("connect from %s[%s], XCLIENT from %s[%s]", st->given[NAME] ? st->value[NAME] : s->client->name,
			 st->given[ADDR] ? st->value[ADDR] : s->client->address, s->peer->name, s->peer->address);
		put_client_in_place(s, st);
		begin_anew(s, st);
		s->denied = !session_count(s, EVENT_CONNECT) ||
			    (!s->settings->delay_reject && !session_ask(s, POLICY_CLIENT, SLICE_NONE));
		if (!s->denied)
			reply(s, 220, "", "%s", s->settings->banner);
	}
	free(st);
}

/* --- XFORWARD --- */

void command_xforward(struct session *s, struct slice args)
{
	struct statement *st;

	if (!allowed(s, s->settings->xforward)) {
		reply(s, 550, "5.7.0", "Error: insufficient authorization");
		return;
	}
	if (s->transaction) {
		reply(s, 503, "5.5.1", "Error: MAIL transaction in progress");
		return;
	}
	st = mem_alloc(sizeof(*st));
	if (take_statement(s, args, false, st)) {
		struct proxied *p = proxied_of(s);

		for (size_t i = 0; i < ATTRIBUTES; i++)
			if (st->given[i])
				snprintf(p->origin[i], sizeof(p->origin[i]), "%s", st->unavailable[i] ? "unknown" : st->value[i]);
		reply(s, 250, "2.0.0", "Ok");
	}
	free(st);
}

void session_describe_origin(const struct session *s, struct str *out)
{
	const struct proxied *p = s->proxied;

	if (p && p->origin[IDENT][0])
		str_printf(out, ", orig_queue_id=%s", p->origin[IDENT]);
	if (p && p->origin[ADDR][0])
		str_printf(out, ", orig_client=%s[%s]", p->origin[NAME][0] ? p->origin[NAME] : "unknown", p->origin[ADDR]);
}

void session_proxied_free(struct session *s)
{
	free(s->proxied);
	s->proxied = NULL;
}
