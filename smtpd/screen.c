/* SPDX-License-Identifier: ISC */
#include "smtpd/screen.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "smtpd/screen_lists.h"

struct screen {
	struct screen_lists *lists;
	enum screen_action deny_action, dnsbl_action, action[SCREEN_TESTS];
	bool enabled[SCREEN_TESTS];
	double ttl[SCREEN_TESTS], dnsbl_min_ttl;
	double greet_wait;
	const char *banner;            /* sent before the wait; "": none */
	long threshold, allow_threshold;
	int cache;
};

/* --- the configuration --- */

static bool load_action(const struct config *c, const char *name, enum screen_action *action, struct err *err)
{
	struct slice text = slice_of(config_text(c, name));

	if (slice_eq_nocase(text, SLICE("ignore")))
		*action = SCREEN_IGNORE;
	else if (slice_eq_nocase(text, SLICE("enforce")))
		*action = SCREEN_ENFORCE;
	else if (slice_eq_nocase(text, SLICE("drop")))
		*action = SCREEN_DROP;
	else
		return err_set(err, ERR_SYNTAX, "%s: \"%.*s\" is none of ignore, enforce, drop", name, SLICE_FMT(text));
	return true;
}

bool screen_load(const struct config *c, struct screen **out, struct err *err)
{
	struct screen *s;

	*out = NULL;
	if (!config_bool(c, "postscreen_enable"))
		return true;
	s = mem_alloc(sizeof(*s));
	*out = s;
	s->greet_wait = config_time(c, "postscreen_greet_wait");
	s->banner = config_text(c, "postscreen_greet_banner");
	s->threshold = config_int(c, "postscreen_dnsbl_threshold");
	s->allow_threshold = config_int(c, "postscreen_dnsbl_allowlist_threshold");
	s->enabled[SCREEN_PREGREET] = s->greet_wait > 0;
	s->enabled[SCREEN_PIPELINING] = config_bool(c, "postscreen_pipelining_enable");
	s->enabled[SCREEN_NON_SMTP] = config_bool(c, "postscreen_non_smtp_command_enable");
	s->enabled[SCREEN_BARE_LF] = config_bool(c, "postscreen_bare_newline_enable");
	s->ttl[SCREEN_PREGREET] = config_time(c, "postscreen_greet_ttl");
	s->ttl[SCREEN_DNSBL] = config_time(c, "postscreen_dnsbl_max_ttl");
	s->dnsbl_min_ttl = config_time(c, "postscreen_dnsbl_min_ttl");
	s->ttl[SCREEN_PIPELINING] = config_time(c, "postscreen_pipelining_ttl");
	s->ttl[SCREEN_NON_SMTP] = config_time(c, "postscreen_non_smtp_command_ttl");
	s->ttl[SCREEN_BARE_LF] = config_time(c, "postscreen_bare_newline_ttl");
	if (!load_action(c, "postscreen_denylist_action", &s->deny_action, err) ||
	    !load_action(c, "postscreen_greet_action", &s->action[SCREEN_PREGREET], err) ||
	    !load_action(c, "postscreen_dnsbl_action", &s->action[SCREEN_DNSBL], err) ||
	    !load_action(c, "postscreen_pipelining_action", &s->action[SCREEN_PIPELINING], err) ||
	    !load_action(c, "postscreen_non_smtp_command_action", &s->action[SCREEN_NON_SMTP], err) ||
	    !load_action(c, "postscreen_bare_newline_action", &s->action[SCREEN_BARE_LF], err))
		return false;
	s->lists = screen_lists_load(c, err);
	if (!s->lists)
		return false;
	s->enabled[SCREEN_DNSBL] = screen_lists_has_dnsbl(s->lists);
	s->cache = screen_cache_open(config_text(c, "postscreen_cache_file"), err);
	return s->cache >= 0;
}

bool screen_changed(struct screen *s)
{
	return screen_lists_changed(s->lists);
}

/* --- what a failed test does --- */

/* False: drop it. */
static bool fail(struct screening *s, enum screen_action action, const char *dsn, const char *text)
{
	s->failed = true;
	if (action == SCREEN_IGNORE)
		return true;
	/* The first reason is the one that is told. */
	if (s->refusal.code == 0)
		reply_set(&s->refusal, 550, dsn, "%s", text);
	return action != SCREEN_DROP;
}

static bool drop(struct screening *s, struct stream *stream)
{
	stream_set_timeout(stream, 5);
	(void)stream_printf(stream, "521 %s %s\r\n", s->refusal.dsn, s->refusal.text);
	(void)stream_flush(stream);
	return false;
}

static void log_end(const struct screening *s)
{
	log_info("DISCONNECT [%s]:%s", s->client->address, s->client->port);
}

/* --- before the greeting --- */

/* As Postfix writes it: 0, 0.02, 1.5 */
static double seconds_since(double start)
{
	double seconds = loop_now() - start;

	return seconds < 0.01 ? 0 : seconds;
}

static void log_text(const struct screening *s, double since, struct slice early)
{
	struct str text = { 0 };

	for (size_t i = 0; i < early.len && i < 100; i++) {
		unsigned char c = (unsigned char)early.ptr[i];

		if (c == '\r' || c == '\n')
			str_append_text(&text, c == '\r' ? "\\r" : "\\n");
		else if (c < ' ' || c > 126)
			str_printf(&text, "\\%03o", c);
		else
			str_append_byte(&text, (char)c);
	}
	log_info("PREGREET %zu after %.2g from [%s]:%s: %s", early.len, seconds_since(since), s->client->address, s->client->port,
		 str_cstr(&text));
	str_free(&text);
}

/* Whoever speaks now does not listen.  False: dropped, or gone. */
static bool wait_greeting(struct screening *s, struct stream *stream)
{
	double started = loop_now();
	struct slice early;
	enum stream_status status;

	if (*s->screen->banner) {
		stream_set_timeout(stream, s->screen->greet_wait);
		if (stream_printf(stream, "220-%s\r\n", s->screen->banner) != STREAM_OK || stream_flush(stream) != STREAM_OK)
			return false;
	}
	stream_set_deadline(stream, started + s->screen->greet_wait);
	status = stream_peek(stream, &early);
	if (status == STREAM_TIMEOUT) {
		s->passed.until[SCREEN_PREGREET] = loop_now() + s->screen->ttl[SCREEN_PREGREET];
		return true;
	}
	if (status != STREAM_OK) {
		if (status != STREAM_CANCELLED)
			log_info("HANGUP after %.2g from [%s]:%s in tests before SMTP handshake", seconds_since(started),
				 s->client->address, s->client->port);
		return false;
	}
	log_text(s, started, early);
	return fail(s, s->screen->action[SCREEN_PREGREET], "5.5.1", "Protocol error") || drop(s, stream);
}

static bool judge_dnsbl(struct screening *s, struct stream *stream, struct screen_inquiry *inquiry)
{
	const struct screen *screen = s->screen;
	char text[300];
	long score = screen_inquiry_end(inquiry, s->client->address, text, sizeof(text));

	if (score >= screen->threshold) {
		log_info("DNSBL rank %ld for [%s]:%s", score, s->client->address, s->client->port);
		return fail(s, screen->action[SCREEN_DNSBL], "5.7.1", text) || drop(s, stream);
	}
	s->passed.until[SCREEN_DNSBL] =
		loop_now() + (screen_inquiry_unsure(inquiry) ? screen->dnsbl_min_ttl : screen->ttl[SCREEN_DNSBL]);
	/* Well spoken of: what it might still be tested for is passed. */
	for (int t = 0; screen->allow_threshold < 0 && score <= screen->allow_threshold && t < SCREEN_TESTS; t++)
		s->passed.until[t] = loop_now() + screen->ttl[t];
	return true;
}

static bool all_passed(const struct screening *s)
{
	for (int t = 0; t < SCREEN_TESTS; t++)
		if (s->screen->enabled[t] && s->passed.until[t] <= loop_now())
			return false;
	return true;
}

/* What is passed for now is kept; who has passed all is told of. */
static void keep_passed(struct screening *s)
{
	if (s->failed || s->told)
		return;
	screen_cache_store(s->screen->cache, s->client->address, &s->passed, loop_now());
	if (!all_passed(s))
		return;
	s->told = true;
	log_info("PASS NEW [%s]:%s", s->client->address, s->client->port);
}

static bool check_access(struct screening *s, struct stream *stream)
{
	switch (screen_lists_access(s->screen->lists, s->client->address)) {
	case SCREEN_ACCESS_PERMIT:
		log_info("ALLOWLISTED [%s]:%s", s->client->address, s->client->port);
		s->exempt = true;
		return true;
	case SCREEN_ACCESS_REJECT:
		log_info("DENYLISTED [%s]:%s", s->client->address, s->client->port);
		return fail(s, s->screen->deny_action, "5.3.2", "Service currently unavailable") || drop(s, stream);
	case SCREEN_ACCESS_DUNNO:
		break;
	}
	return true;
}

static bool run_tests(struct screening *s, struct stream *stream, bool speaks_first, struct ipc_client *resolver)
{
	const struct screen *screen = s->screen;
	struct screen_inquiry *inquiry = NULL;
	bool listed = screen->enabled[SCREEN_DNSBL] && s->passed.until[SCREEN_DNSBL] <= loop_now();
	bool wait = screen->enabled[SCREEN_PREGREET] && s->passed.until[SCREEN_PREGREET] <= loop_now();
	bool ok = true;

	/* The lists are asked while we wait. */
	if (listed)
		inquiry = screen_inquiry_begin(screen->lists, s->client->address, resolver);
	if (wait && speaks_first)
		s->passed.until[SCREEN_PREGREET] = loop_now() + screen->ttl[SCREEN_PREGREET];
	else if (wait)
		ok = wait_greeting(s, stream);
	if (ok && inquiry)
		ok = judge_dnsbl(s, stream, inquiry);
	if (inquiry)
		screen_inquiry_free(&inquiry);
	if (ok)
		keep_passed(s);
	return ok;
}

bool screen_client(struct screen *screen, struct stream *stream, const struct policy_client *client, bool speaks_first,
		   struct ipc_client *resolver, struct screening *s)
{
	bool ok;

	*s = (struct screening){ .screen = screen, .client = client };
	log_info("CONNECT from [%s]:%s to [%s]:%s", client->address, client->port, client->server_address, client->server_port);
	ok = check_access(s, stream);
	if (ok && !s->exempt) {
		screen_cache_find(screen->cache, client->address, &s->passed);
		if (!s->failed && all_passed(s)) {
			log_info("PASS OLD [%s]:%s", client->address, client->port);
			s->exempt = true;
		}
	}
	if (ok && !s->exempt)
		ok = run_tests(s, stream, speaks_first, resolver);
	if (!ok)
		log_end(s);
	return ok;
}

/* --- in the session --- */

bool screen_event(struct screening *s, enum smtpd_oddity oddity, const char *after, struct slice text, struct smtp_reply *reply)
{
	static const struct {
		enum screen_test test;
		const char *name, *said;
	} oddities[] = {
		[ODDITY_PIPELINING] = { SCREEN_PIPELINING, "COMMAND PIPELINING", "Protocol error" },
		[ODDITY_NON_SMTP] = { SCREEN_NON_SMTP, "NON-SMTP COMMAND", "Protocol error" },
		[ODDITY_BARE_LF] = { SCREEN_BARE_LF, "BARE NEWLINE", "Protocol error" },
	};
	enum screen_test test = oddities[oddity].test;
	bool ok;

	if (s->exempt || !s->screen->enabled[test] || s->passed.until[test] > loop_now())
		return true;
	text = slice_sub(text, 0, 100);
	log_info("%s from [%s]:%s after %s%s%.*s", oddities[oddity].name, s->client->address, s->client->port, after,
		 text.len > 0 ? ": " : "", SLICE_FMT(text));
	ok = fail(s, s->screen->action[test], "5.5.1", oddities[oddity].said);
	*reply = s->refusal;
	reply->code = 521;
	return ok;
}

bool screen_recipient(struct screening *s, const struct policy_facts *facts, struct smtp_reply *reply)
{
	double now = loop_now();

	if (s->refusal.code) {
		*reply = s->refusal;
		log_info("NOQUEUE: reject: RCPT from [%s]:%s: %d %s %s; from=<%.*s>, to=<%.*s>, proto=%s, helo=<%.*s>",
			 s->client->address, s->client->port, reply->code, reply->dsn, reply->text, SLICE_FMT(facts->sender),
			 SLICE_FMT(facts->recipient), facts->protocol, SLICE_FMT(facts->helo));
		return false;
	}
	if (s->exempt || s->failed || s->told)
		return true;
	/* It has come as far as this without an oddity. */
	for (int t = SCREEN_PIPELINING; t < SCREEN_TESTS; t++)
		if (s->screen->enabled[t] && s->passed.until[t] <= now)
			s->passed.until[t] = now + s->screen->ttl[t];
	keep_passed(s);
	return true;
}
