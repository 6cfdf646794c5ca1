/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/login.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/sasl/base64.h"
#include "common/sasl/library.h"
#include "common/tls/tls_stream.h"
#include "delivery/smtp/session.h"

#define ROUNDS_MAX   16        /* challenges of one exchange */
#define COMMAND_MAX  12288u    /* RFC 4954, section 4: AUTH with its initial response */
#define BINDING_LEN  32        /* tls-exporter, RFC 9266 */
#define TEXT_MAX     4000

/* --- the configuration --- */

static bool load_options(struct sasl_options *options, const struct config *config, bool lmtp, const char *suffix,
			 struct err *err)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s_sasl_%ssecurity_options", lmtp ? "lmtp" : "smtp", suffix);
	return sasl_options_parse(config_text(config, name), name, options, err);
}

bool smtp_login_load(struct smtp_login *l, const struct config *config, bool lmtp, bool *enabled, struct err *err)
{
	const char *filter = config_text(config, lmtp ? "lmtp_sasl_mechanism_filter" : "smtp_sasl_mechanism_filter");
	const char *maps = config_text(config, lmtp ? "lmtp_sasl_password_maps" : "smtp_sasl_password_maps");

	*l = (struct smtp_login){
		.soft_bounce = config_bool(config, lmtp ? "lmtp_sasl_auth_soft_bounce" : "smtp_sasl_auth_soft_bounce"),
		.sender_dependent = config_bool(config, lmtp ? "lmtp_sender_dependent_authentication"
							     : "smtp_sender_dependent_authentication"),
		.style = { .recipient_delimiter = config_text(config, "recipient_delimiter"), .at_domain = true },
	};
	*enabled = config_bool(config, lmtp ? "lmtp_sasl_auth_enable" : "smtp_sasl_auth_enable");
	if (!*enabled)
		return true;
	if (!*maps)
		return err_set(err, ERR_SYNTAX, "%s_sasl_auth_enable = yes, but %s_sasl_password_maps is empty",
			       lmtp ? "lmtp" : "smtp", lmtp ? "lmtp" : "smtp");
	if (!load_options(&l->plain, config, lmtp, "", err) || !load_options(&l->tls, config, lmtp, "tls_", err) ||
	    !load_options(&l->verified, config, lmtp, "tls_verified_", err))
		return false;
	l->passwords = table_list_open(maps, err);
	if (!l->passwords)
		return false;
	if (*filter && !(l->filter = match_list_open(filter, MATCH_STRING, err)))
		return false;
	if (!sasl_library_prepare(err))
		return false;
	l->tokens = smtp_tokens_start(config, err);
	return l->tokens != NULL;
}

bool smtp_login_changed(const struct smtp_login *l)
{
	return table_list_changed(l->passwords) || (l->filter && match_list_changed(l->filter));
}

/* --- whose password --- */

static enum table_result look_up(const struct smtp_login *l, const struct smtp_login_key *key, struct arena *arena,
				 struct slice *value, struct err *err)
{
	enum table_result result = TABLE_NOT_FOUND;

	if (l->sender_dependent && key->sender.len > 0)
		result = table_list_lookup_address(l->passwords, key->sender, &l->style, arena, value, err);
	if (result == TABLE_NOT_FOUND)
		result = table_list_lookup(l->passwords, key->host, arena, value, err);
	if (result == TABLE_NOT_FOUND)
		result = table_list_lookup(l->passwords, key->nexthop, arena, value, err);
	return result;
}

int smtp_login_find(const struct smtp_login *l, const struct smtp_login_key *key, struct arena *arena,
		    struct smtp_account *account, struct smtp_failure *failure)
{
	struct slice value = SLICE_NONE;
	struct err err = { 0 };

	switch (look_up(l, key, arena, &value, &err)) {
	case TABLE_NOT_FOUND:
		return 0;
	case TABLE_FOUND:
		/* "user" with nothing behind a colon: nobody logs in there. */
		if (slice_ends_nocase(value, SLICE(":")))
			return 0;
		if (sasl_login_parse(value, &account->user, &account->secret))
			return 1;
		log_warning("password of %.*s: expected user:password", SLICE_FMT(key->nexthop));
		break;
	case TABLE_ERROR:
		log_warning("password of %.*s: %s", SLICE_FMT(key->nexthop), err.text);
		break;
	}
	smtp_fail(failure, arena, "4.3.0", "SASL password of %.*s cannot be looked up", SLICE_FMT(key->nexthop));
	return -1;
}

/* --- the exchange --- */

struct exchange {
	const struct smtp_login *login;
	struct smtp_session *s;
	const struct smtp_account *account;
	double timeout;
	struct arena *arena;
	struct smtp_failure *failure;
	struct sasl_client *client;
	const char *mechanism;
	unsigned char binding[BINDING_LEN];
	bool can_bind;
	bool filter_failed;
};

static bool fail(struct exchange *x, const char *dsn, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool fail(struct exchange *x, const char *dsn, const char *format, ...)
{
	struct str text = { 0 };
	va_list ap;

	va_start(ap, format);
	str_vprintf(&text, format, ap);
	va_end(ap);
	smtp_fail(x->failure, x->arena, dsn, "SASL authentication failed; %s", str_cstr(&text));
	x->failure->relay = arena_slice(x->arena, slice_of(x->s->relay));
	str_free(&text);
	return false;
}

static bool mechanism_allowed(void *context, const char *mechanism)
{
	struct exchange *x = context;
	struct err err = { 0 };
	enum table_result result = match_list_test(x->login->filter, slice_of(mechanism), &err);

	if (result == TABLE_ERROR) {
		log_warning("SASL mechanism filter: %s", err.text);
		x->filter_failed = true;
	}
	return result == TABLE_FOUND;
}

/* RFC 9266; with TLS 1.2 only where the master secret is bound to the handshake (RFC 7627). */
static bool export_binding(struct exchange *x)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	SSL *ssl = tls_of(x->s->stream);

	return ssl && (SSL_version(ssl) >= TLS1_3_VERSION || SSL_get_extms_support(ssl) == 1) &&
	       SSL_export_keying_material(ssl, x->binding, sizeof(x->binding), label, sizeof(label) - 1,
					  (const unsigned char *)"", 0, 1) == 1;
}

static bool choose(struct exchange *x)
{
	const struct smtp_login *l = x->login;
	struct sasl_choice choice = {
		.offered = slice_of(x->s->mechanisms),
		.options = x->s->verified ? l->verified : x->s->encrypted ? l->tls : l->plain,
		.token = x->account->secret.kind != SASL_SECRET_PASSWORD,
		.filtered = l->filter != NULL, .allows = mechanism_allowed, .context = x,
	};

	x->can_bind = export_binding(x);
	choice.can_bind = x->can_bind;
	x->mechanism = sasl_client_choose(&choice);
	if (x->filter_failed)
		return fail(x, "4.3.0", "the mechanism filter cannot be looked up");
	if (!x->mechanism)
		return fail(x, "4.7.0", "cannot authenticate to server %s: no mechanism available", x->s->name);
	return true;
}

static bool make_client(struct exchange *x, struct slice secret)
{
	struct sasl_credentials c = {
		.user = x->account->user, .secret = secret, .host = slice_of(x->s->host), .port = x->s->port,
		/* Said only where the server is not known to be able: it takes that for an attack otherwise. */
		.could_bind = x->can_bind && !strstr(x->s->mechanisms, "-PLUS"),
	};
	struct err err = { 0 };

	if (x->can_bind)
		c.binding = slice_make(x->binding, sizeof(x->binding));
	x->client = sasl_client_create(x->mechanism, &c, &err);
	return x->client || fail(x, "4.7.0", "cannot authenticate to server %s: %s", x->s->name, err.text);
}

/* A password, or the token that stands for it. */
static bool prepare(struct exchange *x)
{
	const struct sasl_secret *secret = &x->account->secret;
	struct str token = { 0 };
	struct err err = { 0 };
	bool ok;

	if (secret->kind != SASL_SECRET_TOKEN_FILE && secret->kind != SASL_SECRET_TOKEN_COMMAND)
		return make_client(x, secret->text);
	ok = smtp_tokens_get(x->login->tokens, secret, &token, &err);
	if (!ok) {
		log_warning("token for %s: %s", x->s->name, err.text);
		(void)fail(x, "4.7.0", "the token for server %s is not to be had", x->s->name);
	} else {
		ok = make_client(x, str_slice(&token));
	}
	if (token.data)
		OPENSSL_cleanse(token.data, token.cap);
	str_free(&token);
	return ok;
}

/* Sends a line that may hold a secret, and reads the answer to it. */
static bool say(struct exchange *x, struct str *line)
{
	str_append(line, SLICE("\r\n"));
	stream_set_timeout(x->s->stream, x->timeout);
	(void)stream_write(x->s->stream, str_slice(line));
	OPENSSL_cleanse(line->data, line->len);
	str_free(line);
	return smtp_session_reply(x->s, "performing SASL authentication", x->timeout, x->arena, x->failure);
}

static bool begin(struct exchange *x)
{
	struct str line = { 0 }, response = { 0 }, coded = { 0 };
	struct err err = { 0 };
	int first = sasl_client_first(x->client, &response, &err);
	bool later;

	if (first < 0)
		return fail(x, "4.7.0", "cannot authenticate to server %s: %s", x->s->name, err.text);
	base64_encode(str_slice(&response), &coded);
	str_printf(&line, "AUTH %s", x->mechanism);
	later = first > 0 && line.len + coded.len + 3 > COMMAND_MAX;
	if (first > 0 && !later)
		str_printf(&line, " %s", response.len > 0 ? str_cstr(&coded) : "=");
	bool ok = say(x, &line);

	/* Too long for the command: it is asked for, and follows by itself. */
	if (ok && later && x->s->reply.code == 334) {
		str_append(&line, str_slice(&coded));
		ok = say(x, &line);
	}
	if (response.data)
		OPENSSL_cleanse(response.data, response.cap);
	if (coded.data)
		OPENSSL_cleanse(coded.data, coded.cap);
	str_free(&response);
	str_free(&coded);
	return ok;
}

/* One challenge, one response.  False: *failure; the server has been told "*". */
static bool respond(struct exchange *x)
{
	struct str challenge = { 0 }, response = { 0 }, line = { 0 };
	struct slice text = slice_trim(slice_sub(str_slice(&x->s->reply.text), 4, x->s->reply.text.len));
	struct err err = { 0 };
	bool ok = true;

	if (!slice_eq(text, SLICE("=")) && !base64_decode(text, &challenge))
		ok = err_set(&err, ERR_SYNTAX, "its challenge is not base64");
	ok = ok && sasl_client_next(x->client, str_slice(&challenge), &response, &err);
	str_free(&challenge);
	if (ok) {
		base64_encode(str_slice(&response), &line);
	} else {
		str_append(&line, SLICE("*"));
	}
	if (response.data)
		OPENSSL_cleanse(response.data, response.cap);
	str_free(&response);
	if (!say(x, &line))
		return false;
	return ok || fail(x, "4.7.0", "cannot authenticate to server %s: %s", x->s->name, err.text);
}

static bool refused(struct exchange *x)
{
	const char *told = sasl_client_error(x->client);
	struct slice text = smtp_reply_text(&x->s->reply, TEXT_MAX, x->arena);
	bool permanent = x->s->reply.code / 100 == 5 && !x->login->soft_bounce;

	if (*told)
		log_info("server %s on the refused token: %s", x->s->name, told);
	if (x->account->secret.kind == SASL_SECRET_TOKEN_COMMAND)
		smtp_tokens_forget(x->login->tokens, &x->account->secret);
	(void)fail(x, permanent ? x->s->reply.dsn : "4.7.0", "server %s said: %.*s", x->s->name, SLICE_FMT(text));
	x->failure->remote = text;
	return false;
}

static bool converse(struct exchange *x)
{
	struct err err = { 0 };

	if (!begin(x))
		return false;
	for (int round = 0; x->s->reply.code == 334; round++) {
		if (round == ROUNDS_MAX) {
			x->s->broken = true;
			return fail(x, "4.7.0", "server %s does not stop asking", x->s->name);
		}
		if (!respond(x))
			return false;
	}
	if (x->s->reply.code / 100 != 2)
		return refused(x);
	if (!sasl_client_finish(x->client, &err)) {
		x->s->broken = true;
		return fail(x, "4.7.0", "server %s: %s", x->s->name, err.text);
	}
	return true;
}

bool smtp_login_perform(const struct smtp_login *login, struct smtp_session *s, const struct smtp_account *account,
			double timeout, struct arena *arena, struct smtp_failure *failure)
{
	struct exchange x = { .login = login, .s = s, .account = account, .timeout = timeout, .arena = arena,
			      .failure = failure };
	bool ok = choose(&x) && prepare(&x) && converse(&x);

	sasl_client_free(&x.client);
	OPENSSL_cleanse(x.binding, sizeof(x.binding));
	s->logged_in = ok;
	return ok;
}
