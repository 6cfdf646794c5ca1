/* SPDX-License-Identifier: ISC */
/* A session: greeting, the command loop, the commands without mail in them, the farewell. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/task.h"
#include "common/mail/address.h"
#include "smtpd/session.h"

/* The rest of a line that is too long: so much is read, that the client sees the answer. */
#define SKIP_MAX ((size_t)64 << 20)

static const char *const verb_names[VERB_COUNT] = {
	[VERB_HELO] = "helo", [VERB_EHLO] = "ehlo", [VERB_STARTTLS] = "starttls", [VERB_AUTH] = "auth", [VERB_MAIL] = "mail", [VERB_RCPT] = "rcpt",
	[VERB_DATA] = "data", [VERB_BDAT] = "bdat", [VERB_RSET] = "rset", [VERB_NOOP] = "noop",
	[VERB_XCLIENT] = "xclient", [VERB_XFORWARD] = "xforward", [VERB_QUIT] = "quit", [VERB_VRFY] = "vrfy", [VERB_ETRN] = "etrn", [VERB_HELP] = "help", [VERB_UNKNOWN] = "unknown",
};

/* --- replies --- */

static void send_line(struct session *s, const struct smtp_reply *r, const char *dash, const char *text)
{
	if (stream_printf(s->stream, "%d%s%s%s%s\r\n", r->code, dash, r->dsn, r->dsn[0] ? " " : "", text) != STREAM_OK)
		s->quit = true;
}

/* smtpd_reject_footer: "\\c" puts it on the same line, "\\n" begins another. */
static bool send_with_footer(struct session *s, const struct smtp_reply *r, const char *text)
{
	struct str footer = { 0 };
	struct slice rest, line;
	bool more = session_footer(s, r, text, &footer), given = more;

	rest = str_slice(&footer);
	if (more && slice_starts(rest, SLICE("\\c"))) {
		rest = slice_sub(rest, 2, rest.len);
		slice_cut(&rest, '\n', &line);
		more = rest.len > 0;
		struct str first = { 0 };

		str_printf(&first, "%s%.*s", text, SLICE_FMT(line));
		send_line(s, r, more ? "-" : " ", str_cstr(&first));
		str_free(&first);
	} else if (more) {
		send_line(s, r, "-", text);
	}
	while (more) {
		more = slice_cut(&rest, '\n', &line) && rest.len > 0;
		char *copy = mem_slicedup(line);

		send_line(s, r, more ? "-" : " ", copy);
		free(copy);
	}
	str_free(&footer);
	return given;
}

void reply_with(struct session *s, const struct smtp_reply *r)
{
	/* What a client sent comes back in some texts: never as a line of its own. */
	char line[sizeof(r->text)];

	snprintf(line, sizeof(line), "%s", r->text);
	for (char *at = line; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 127)
			*at = '?';
	/* RFC 5321 §3.8, RFC 7504: after these the channel is closed. */
	if (r->code == 421 || r->code == 521)
		s->quit = true;
	if (r->code >= 400) {
		s->errors++;
		s->failed = true;
	}
	if (r->code < 400 || !send_with_footer(s, r, line))
		send_line(s, r, " ", line);
}

void reply(struct session *s, int code, const char *dsn, const char *format, ...)
{
	struct smtp_reply r = { .code = code };
	va_list ap;

	snprintf(r.dsn, sizeof(r.dsn), "%s", dsn);
	va_start(ap, format);
	vsnprintf(r.text, sizeof(r.text), format, ap);
	va_end(ap);
	reply_with(s, &r);
}

/* RFC 3848, RFC 6531 §4.3. */
const char *protocol_name(const struct session *s)
{
	static const char *const esmtp[] = { "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" };
	static const char *const utf8[] = { "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" };
	size_t kind = (s->tls ? 1 : 0) + (s->login.user.len ? 2 : 0);

	if (!s->esmtp)
		return "SMTP";
	return s->transaction && s->transaction->envelope.smtputf8 ? utf8[kind] : esmtp[kind];
}

const char *session_queue_id(const struct session *s)
{
	struct transaction *t = s->transaction;

	return t && t->file ? s->ops->queue_id(t->file) : "NOQUEUE";
}

void log_bad_address(const struct session *s, struct slice text)
{
	log_warning("Illegal address syntax from %s[%s] in %s command: %.*s", s->client->name, s->client->address,
		    s->where, SLICE_FMT(slice_sub(text, 0, 300)));
}

void log_reject(struct session *s, const char *stage, const struct smtp_reply *r, struct slice recipient)
{
	struct policy_facts facts;
	struct str text = { 0 };

	session_fill_facts(s, &facts);
	facts.command = stage;
	facts.recipient = recipient;
	str_printf(&text, "%d %s %s", r->code, r->dsn, r->text);
	policy_log(&facts, "reject", str_cstr(&text));
	str_free(&text);
}

void transaction_free(struct session *s)
{
	struct transaction *t = s->transaction;

	if (!t)
		return;
	if (t->file)
		s->ops->abort(&t->file);
	str_free(&t->out);
	struct arena *arena = t->arena;

	s->transaction = NULL;
	arena_free(&arena);
}

/* --- simple commands --- */

static bool valid_helo(struct slice name)
{
	if (name.len == 0 || name.len > 255 || !address_valid_utf8(name))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] <= ' ' || name.ptr[i] == 127)
			return false;
	return true;
}

static bool greet(struct session *s, struct slice args, bool esmtp)
{
	struct slice name;

	if (!slice_word(&args, " \t", &name) || !valid_helo(name)) {
		reply(s, 501, "", "Syntax: %s hostname", esmtp ? "EHLO" : "HELO");
		return false;
	}
	transaction_free(s);
	session_forget_helo(s);
	s->bdat_failed = false;
	str_clear(&s->helo);
	str_append(&s->helo, name);
	s->esmtp = esmtp;
	if (s->settings->delay_reject || session_ask(s, POLICY_HELO, SLICE_NONE))
		return true;
	str_clear(&s->helo);
	return false;
}

static void command_helo(struct session *s, struct slice args)
{
	if (greet(s, args, false))
		reply(s, 250, "", "%s", s->settings->myhostname);
}

static bool is_discarded(const struct session *s, struct slice keyword)
{
	struct slice list = slice_of(s->settings->discard_ehlo_keywords), word;

	while (slice_word(&list, ", \t\r\n", &word))
		if (slice_eq_nocase(word, keyword))
			return true;
	return false;
}

/* The lines without those of smtpd_discard_ehlo_keywords; the last with a space for its dash. */
static void send_keywords(struct session *s, struct slice lines)
{
	struct str out = { 0 };
	struct slice line, keyword, rest;
	size_t last = 0;

	while (slice_cut(&lines, '\n', &line)) {
		rest = slice_sub(line, 4, line.len);
		if (out.len > 0 && slice_word(&rest, " =\r", &keyword) && is_discarded(s, keyword))
			continue;
		last = out.len;
		str_append(&out, line);
		str_append_byte(&out, '\n');
	}
	out.data[last + 3] = ' ';
	if (stream_write(s->stream, str_slice(&out)) != STREAM_OK)
		s->quit = true;
	str_free(&out);
}

static void command_ehlo(struct session *s, struct slice args)
{
	const struct smtpd_settings *set = s->settings;
	struct str text = { 0 };

	if (!greet(s, args, true))
		return;
	str_printf(&text, "250-%s\r\n250-PIPELINING\r\n", set->myhostname);
	if (set->message_size_limit)
		str_printf(&text, "250-SIZE %llu\r\n", (unsigned long long)set->message_size_limit);
	else
		str_append_text(&text, "250-SIZE\r\n");
	if (set->vrfy)
		str_append_text(&text, "250-VRFY\r\n");
	if (s->ops->flush)
		str_append_text(&text, "250-ETRN\r\n");
	if (set->tls && !s->tls)
		str_append_text(&text, "250-STARTTLS\r\n");
	session_announce_auth(s, &text);
	session_announce_proxied(s, &text);
	session_announce_extensions(s, &text);
	str_append_text(&text, "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n");
	if (set->smtputf8)
		str_append_text(&text, "250-SMTPUTF8\r\n");
	str_append_text(&text, "250-CHUNKING\r\n");
	send_keywords(s, str_slice(&text));
	str_free(&text);
}

/* An address that RCPT would refuse is refused in the same words. */
static void verify(struct session *s, struct slice args, struct arena *arena)
{
	struct policy_memory unused = { 0 };
	struct policy_facts facts;
	struct policy_question question = { POLICY_RECIPIENT, &facts, &s->policy, &unused, arena };
	struct smtp_reply refusal = { 0 };
	struct slice rest;
	struct err err;

	session_fill_facts(s, &facts);
	facts.asked_only = true;
	if (!address_parse_path(args, false, s->settings->smtputf8, arena, &facts.recipient, &rest, &err) ||
	    facts.recipient.len == 0 || (rest.len > 0 && !slice_eq_nocase(rest, SLICE("SMTPUTF8")))) {
		log_bad_address(s, args);
		reply(s, 501, "5.1.3", "Bad recipient address syntax");
		return;
	}
	facts.smtputf8 = rest.len > 0;
	if (!s->ops->ask(s->ops->context, &question, &refusal)) {
		reply_with(s, &refusal);
		return;
	}
	reply(s, 252, "2.0.0", "%.*s", SLICE_FMT(slice_trim(slice_sub(args, 0, args.len - rest.len))));
}

static void command_vrfy(struct session *s, struct slice args)
{
	struct arena *arena;

	if (!s->settings->vrfy) {
		reply(s, 502, "5.5.1", "VRFY command is disabled");
	} else if (args.len == 0) {
		reply(s, 501, "5.5.4", "Syntax: VRFY address%s", s->settings->smtputf8 ? " [SMTPUTF8]" : "");
	} else {
		arena = arena_create(0);
		verify(s, args, arena);
		arena_free(&arena);
	}
}

static void command_rset(struct session *s, struct slice args)
{
	if (args.len > 0) {
		reply(s, 501, "5.5.4", "Syntax: RSET");
		return;
	}
	transaction_free(s);
	s->bdat_failed = false;
	reply(s, 250, "2.0.0", "Ok");
}

static void command_noop(struct session *s, struct slice args)
{
	reply(s, 250, "2.0.0", "Ok");
}

static void command_help(struct session *s, struct slice args)
{
	reply(s, 214, "2.0.0", "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY: see RFC 5321");
}

static void command_quit(struct session *s, struct slice args)
{
	reply(s, 221, "2.0.0", "Bye");
	s->quit = true;
}

static void command_unknown(struct session *s, struct slice args)
{
	reply(s, 500, "5.5.2", "Error: command not recognized");
}

/* --- the loop --- */

struct command {
	const char *name;
	enum verb verb;
	void (*run)(struct session *s, struct slice args);
	bool junk;       /* does nothing: counted against junk_command_limit */
	bool last;       /* must be the last of a pipelined group (RFC 2920 §3.1) */
};

static const struct command commands[] = {
	{ "HELO", VERB_HELO, command_helo, false, true }, { "EHLO", VERB_EHLO, command_ehlo, false, true },
	{ "MAIL", VERB_MAIL, command_mail, false, false }, { "RCPT", VERB_RCPT, command_rcpt, false, false },
	{ "DATA", VERB_DATA, command_data, false, true },  { "BDAT", VERB_BDAT, command_bdat, false, false },
	{ "RSET", VERB_RSET, command_rset, true, false },  { "NOOP", VERB_NOOP, command_noop, true, true },
	{ "QUIT", VERB_QUIT, command_quit, false, false },  { "VRFY", VERB_VRFY, command_vrfy, true, true },
	{ "HELP", VERB_HELP, command_help, true, true },
	{ "STARTTLS", VERB_STARTTLS, command_starttls, false, true },
	{ "AUTH", VERB_AUTH, command_auth, false, true },
	{ "ETRN", VERB_ETRN, command_etrn, true, false },
	{ "XCLIENT", VERB_XCLIENT, command_xclient, false, true },
	{ "XFORWARD", VERB_XFORWARD, command_xforward, false, false },
};
static const struct command unknown = { "UNKNOWN", VERB_UNKNOWN, command_unknown, false, false };

static const struct command *find_command(struct slice verb)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (slice_eq_nocase(verb, slice_of(commands[i].name)))
			return &commands[i];
	return &unknown;
}

/* A line that is no command at all. */
static void bad_line(struct session *s, const char *text)
{
	s->where = unknown.name;
	s->total[VERB_UNKNOWN]++;
	reply(s, 500, "5.5.2", "%s", text);
}

/* Too many errors: out.  False: the session ends. */
static bool within_limits(struct session *s)
{
	if (s->errors >= s->settings->hard_error_limit) {
		reply(s, 421, "4.7.0", "%s Error: too many errors", s->settings->myhostname);
		log_info("too many errors after %s from %s[%s]", s->where, s->client->name, s->client->address);
		return false;
	}
	return true;
}

/* Input that comes before its turn: the client does not speak SMTP, or speaks with somebody else's voice. */
static bool out_of_turn(struct session *s)
{
	struct slice early;

	if (!s->settings->forbid_unauth_pipelining) {
		s->spoke_early = s->spoke_early || stream_input_ready(s->stream);
		return false;
	}
	if (!stream_input_ready(s->stream) || stream_peek(s->stream, &early) != STREAM_OK)
		return false;
	log_info("improper command pipelining after %s from %s[%s]: %.*s", s->where, s->client->name,
		 s->client->address, SLICE_FMT(slice_sub(early, 0, 100)));
	reply(s, 554, "5.5.0", "Error: SMTP protocol synchronization");
	s->quit = true;
	return true;
}

/* A mail header, or a command of HTTP: not to be taken for a client that errs. */
static bool is_foreign(const struct session *s, struct slice verb)
{
	struct slice list = slice_of(s->settings->forbidden_commands), word;
	char first = verb.ptr[0];

	if (!((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z')) || slice_find(verb, ':') >= 0)
		return true;
	while (slice_word(&list, ", \t\r\n", &word))
		if (slice_eq_nocase(word, verb))
			return true;
	return false;
}

/* smtpd_tls_security_level = encrypt: nothing but the way to TLS goes in plain text. */
static bool needs_tls(const struct session *s, enum verb verb)
{
	return s->settings->tls && s->settings->tls->required && !s->tls && verb != VERB_HELO && verb != VERB_EHLO &&
	       verb != VERB_STARTTLS && verb != VERB_NOOP && verb != VERB_HELP && verb != VERB_QUIT;
}

/* False: the client has been sent away. */
static bool bear(struct session *s, enum smtpd_oddity oddity, struct slice text)
{
	struct smtp_reply r = { 0 };

	if (!s->ops->oddity || s->ops->oddity(s->ops->context, oddity, s->where, text, &r))
		return true;
	reply_with(s, &r);
	s->quit = true;
	return false;
}

/* Commands that must not be followed by another before they are answered. */
static bool heard_early(struct session *s)
{
	struct slice early;

	return s->ops->oddity && stream_input_ready(s->stream) && stream_peek(s->stream, &early) == STREAM_OK &&
	       !bear(s, ODDITY_PIPELINING, early);
}

static void run_command(struct session *s, struct slice line)
{
	struct slice rest = line, verb;
	const struct command *command;

	if (!slice_word(&rest, " \t", &verb)) {
		bad_line(s, "Error: bad syntax");
		return;
	}
	command = find_command(verb);
	if (command == &unknown && is_foreign(s, verb) && !bear(s, ODDITY_NON_SMTP, line))
		return;
	s->where = command->name;
	s->total[command->verb]++;
	s->failed = false;
	if (command == &unknown && is_foreign(s, verb)) {
		log_warning("non-SMTP command from %s[%s]: %.*s", s->client->name, s->client->address,
			    SLICE_FMT(slice_sub(line, 0, 100)));
		reply(s, 221, "2.7.0", "Error: I can break rules, too. Goodbye.");
		s->quit = true;
		return;
	}
	if (command->junk && s->junk++ > s->settings->junk_command_limit)
		s->errors++;
	if ((!s->esmtp || command->last) && (heard_early(s) || out_of_turn(s)))
		return;
	if (s->denied && command->verb != VERB_QUIT)
		reply(s, 503, "5.7.0", "Error: access denied for %s[%s]", s->client->name, s->client->address);
	else if (needs_tls(s, command->verb))
		reply(s, 530, "5.7.0", "Must issue a STARTTLS command first");
	else
		command->run(s, slice_trim(rest));
	if (!s->failed)
		s->good[command->verb]++;
	else if (s->errors > s->settings->soft_error_limit && s->settings->error_sleep > 0)
		(void)task_sleep(s->settings->error_sleep);
}

static enum stream_status next_command(struct session *s)
{
	struct slice line;
	enum stream_status status;
	bool bare = false;

	stream_set_timeout(s->stream, s->settings->timeout);
	status = stream_read_line(s->stream, s->settings->line_limit, &line, &bare);
	if (status == STREAM_TOO_LONG) {
		log_warning("%s[%s]: request longer than %zu: %.*s...", s->client->name, s->client->address,
			    s->settings->line_limit, SLICE_FMT(slice_sub(line, 0, 30)));
		bad_line(s, "Error: line too long");
		return stream_skip_line(s->stream, SKIP_MAX);
	}
	if (status != STREAM_OK)
		return status;
	if (bare && !bear(s, ODDITY_BARE_LF, SLICE_NONE))
		return STREAM_OK;
	if (slice_find(line, '\0') >= 0 || !address_valid_utf8(line)) {
		bad_line(s, slice_find(line, '\0') >= 0 ? "Error: bad syntax" : "Error: bad UTF-8 syntax");
		return STREAM_OK;
	}
	/* The commands read on: the line must not move under them. */
	char *copy = mem_slicedup(line);

	run_command(s, slice_make(copy, line.len));
	free(copy);
	return s->status;
}

static void log_farewell(struct session *s, enum stream_status status)
{
	struct str line = { 0 };
	unsigned total = 0, good = 0;

	if (status == STREAM_TIMEOUT)
		log_info("timeout after %s from %s[%s]", s->where, s->client->name, s->client->address);
	else if (status != STREAM_OK && status != STREAM_CANCELLED)
		log_info("lost connection after %s from %s[%s]", s->where, s->client->name,
			 s->client->address);
	str_printf(&line, "disconnect from %s[%s]", s->client->name, s->client->address);
	for (int v = 0; v < VERB_COUNT; v++) {
		if (!s->total[v])
			continue;
		total += s->total[v];
		good += s->good[v];
		if (s->good[v] == s->total[v])
			str_printf(&line, " %s=%u", verb_names[v], s->total[v]);
		else
			str_printf(&line, " %s=%u/%u", verb_names[v], s->good[v], s->total[v]);
	}
	if (good == total)
		str_printf(&line, " commands=%u", total);
	else
		str_printf(&line, " commands=%u/%u", good, total);
	log_info("%s", str_cstr(&line));
	str_free(&line);
}

/* smtpd_delay_reject = no: refused already now, and told so at each command that follows. */
static bool admit(struct session *s)
{
	s->denied = !s->settings->delay_reject && !session_ask(s, POLICY_CLIENT, SLICE_NONE);
	return !s->denied;
}

void smtpd_serve(struct stream *stream, const struct smtpd_settings *settings, const struct smtpd_ops *ops,
		 const struct policy_client *client)
{
	struct session s = { .stream = stream, .settings = settings, .ops = ops, .client = client,
			     .peer = client, .where = "CONNECT" };
	enum stream_status status = STREAM_OK;

	log_info("connect from %s[%s]", client->name, client->address);
	stream_set_timeout(stream, settings->timeout);
	if (settings->tls && settings->tls->wrapper && !session_start_tls(&s))
		status = s.status;
	else if (!out_of_turn(&s) && session_count(&s, EVENT_CONNECT) && admit(&s))
		reply(&s, 220, "", "%s", settings->banner);
	while (status == STREAM_OK && !s.quit && within_limits(&s))
		status = next_command(&s);
	if (status == STREAM_TIMEOUT) {
		stream_set_timeout(stream, 5);
		reply(&s, 421, "4.4.2", "%s Error: timeout exceeded", settings->myhostname);
	} else if (status == STREAM_CANCELLED) {
		reply(&s, 421, "4.3.2", "%s Error: service shutting down", settings->myhostname);
	}
	(void)stream_flush(stream);
	transaction_free(&s);
	log_farewell(&s, status);
	auth_cancel(&s.dialogue);
	str_free(&s.helo);
	str_free(&s.login.user);
	str_free(&s.login.method);
	free(s.tls);
	session_proxied_free(&s);
	if (s.connect_arena)
		arena_free(&s.connect_arena);
	if (s.helo_arena)
		arena_free(&s.helo_arena);
	stream_free(&stream);
}
