/* SPDX-License-Identifier: ISC */
#include "common/sasl/client.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "common/sasl/scram.h"

#define CHALLENGE_MAX 12288
#define TOKEN_MAX     8192
#define ERROR_SHOWN   300
#define BINDING_TYPE  "tls-exporter"

struct sasl_client {
	const struct mechanism *mechanism;
	struct str user, authzid, secret, host;
	unsigned port;
	int step;                 /* challenges answered */
	bool proved;              /* the server has shown that it knows the password */
	struct scram_client scram;
	struct str nonce;
	struct str error;
};

struct mechanism {
	const char *name;
	bool token;               /* the secret is an OAuth token */
	bool bound;               /* needs channel binding */
	bool scram;
	enum scram_hash hash;
	int (*first)(struct sasl_client *c, struct str *out, struct err *err);
	bool (*next)(struct sasl_client *c, struct slice challenge, struct str *out, struct err *err);
};

static bool unexpected(struct err *err)
{
	return err_set(err, ERR_SYNTAX, "a challenge that the mechanism does not have");
}

/* --- PLAIN (RFC 4616) --- */

static int plain_first(struct sasl_client *c, struct str *out, struct err *err)
{
	str_append(out, str_slice(&c->authzid));
	str_append_byte(out, '\0');
	str_append(out, str_slice(&c->user));
	str_append_byte(out, '\0');
	str_append(out, str_slice(&c->secret));
	return 1;
}

static bool plain_next(struct sasl_client *c, struct slice challenge, struct str *out, struct err *err)
{
	return unexpected(err);
}

/* --- LOGIN: two prompts, whose words differ from server to server --- */

static int server_first(struct sasl_client *c, struct str *out, struct err *err)
{
	return 0;
}

static bool login_next(struct sasl_client *c, struct slice challenge, struct str *out, struct err *err)
{
	if (c->step > 1)
		return unexpected(err);
	str_append(out, str_slice(c->step == 0 ? &c->user : &c->secret));
	return true;
}

/* --- CRAM-MD5 (RFC 2195) --- */

static bool cram_md5_next(struct sasl_client *c, struct slice challenge, struct str *out, struct err *err)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (c->step > 0)
		return unexpected(err);
	if (!HMAC(EVP_md5(), str_cstr(&c->secret), (int)c->secret.len, (const unsigned char *)challenge.ptr, challenge.len, mac,
		  &len))
		return err_set(err, ERR_PERMANENT, "MD5 is not to be had");
	str_append(out, str_slice(&c->user));
	str_append_byte(out, ' ');
	for (unsigned i = 0; i < len; i++)
		str_printf(out, "%02x", mac[i]);
	return true;
}

/* --- SCRAM --- */

static int scram_first(struct sasl_client *c, struct str *out, struct err *err)
{
	if (!scram_client_first(&c->scram, str_slice(&c->user), str_slice(&c->authzid), str_slice(&c->nonce), out)) {
		err_set(err, ERR_TEMPORARY, "no random numbers");
		return -1;
	}
	return 1;
}

static bool scram_next(struct sasl_client *c, struct slice challenge, struct str *out, struct err *err)
{
	if (c->step == 0)
		return scram_client_respond(&c->scram, challenge, str_slice(&c->secret), out, err);
	if (c->step > 1)
		return unexpected(err);
	c->proved = scram_client_verify(&c->scram, challenge, err);
	return c->proved;
}

/* --- XOAUTH2 (Google, Microsoft) and OAUTHBEARER (RFC 7628) --- */

static int xoauth2_first(struct sasl_client *c, struct str *out, struct err *err)
{
	str_printf(out, "user=%s\001auth=Bearer %s\001\001", str_cstr(&c->user), str_cstr(&c->secret));
	return 1;
}

static void append_name(struct slice name, struct str *out)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == ',' || name.ptr[i] == '=')
			str_append_text(out, name.ptr[i] == ',' ? "=2C" : "=3D");
		else
			str_append_byte(out, name.ptr[i]);
	}
}

static int oauthbearer_first(struct sasl_client *c, struct str *out, struct err *err)
{
	str_append_text(out, "n,a=");
	append_name(str_slice(c->authzid.len ? &c->authzid : &c->user), out);
	str_append_text(out, ",\001");
	if (c->host.len)
		str_printf(out, "host=%s\001", str_cstr(&c->host));
	if (c->port)
		str_printf(out, "port=%u\001", c->port);
	str_printf(out, "auth=Bearer %s\001\001", str_cstr(&c->secret));
	return 1;
}

/* A challenge is the reason of a failure, in JSON; the reply 535 comes when it is acknowledged. */
static bool oauth_next(struct sasl_client *c, struct slice challenge, struct str *out, struct err *err)
{
	if (c->step > 0)
		return unexpected(err);
	str_append(&c->error, slice_sub(challenge, 0, ERROR_SHOWN));
	if (strcmp(c->mechanism->name, "OAUTHBEARER") == 0)
		str_append_byte(out, '\001');
	return true;
}

/* --- the mechanisms, the best first --- */

static const struct mechanism mechanisms[] = {
	{ "SCRAM-SHA-256-PLUS", false, true, true, SCRAM_SHA_256, scram_first, scram_next },
	{ "SCRAM-SHA-1-PLUS", false, true, true, SCRAM_SHA_1, scram_first, scram_next },
	{ "SCRAM-SHA-256", false, false, true, SCRAM_SHA_256, scram_first, scram_next },
	{ "SCRAM-SHA-1", false, false, true, SCRAM_SHA_1, scram_first, scram_next },
	{ "CRAM-MD5", false, false, false, 0, server_first, cram_md5_next },
	{ "PLAIN", false, false, false, 0, plain_first, plain_next },
	{ "LOGIN", false, false, false, 0, server_first, login_next },
	{ "OAUTHBEARER", true, false, false, 0, oauthbearer_first, oauth_next },
	{ "XOAUTH2", true, false, false, 0, xoauth2_first, oauth_next },
};
#define MECHANISM_COUNT (sizeof(mechanisms) / sizeof(mechanisms[0]))

static bool is_offered(struct slice offered, const char *name)
{
	struct slice word;

	while (slice_word(&offered, " \t", &word))
		if (slice_eq_nocase(word, slice_of(name)))
			return true;
	return false;
}

static bool is_wanted(const struct sasl_choice *choice, const struct mechanism *m)
{
	unsigned properties = 0;

	if (choice->token && !m->token)
		return false;
	/* A password is sent as a token only where the filter says that it is one. */
	if (m->token && !choice->token && !choice->filtered)
		return false;
	if (m->bound && !choice->can_bind)
		return false;
	return sasl_mechanism_properties(slice_of(m->name), &properties) &&
	       sasl_options_allow(&choice->options, properties) && is_offered(choice->offered, m->name) &&
	       (!choice->filtered || choice->allows(choice->context, m->name));
}

const char *sasl_client_choose(const struct sasl_choice *choice)
{
	for (size_t i = 0; i < MECHANISM_COUNT; i++)
		if (is_wanted(choice, &mechanisms[i]))
			return mechanisms[i].name;
	return NULL;
}

/* --- exchange --- */

static bool has_control(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127)
			return true;
	return false;
}

struct sasl_client *sasl_client_create(const char *mechanism, const struct sasl_credentials *credentials, struct err *err)
{
	const struct mechanism *m = mechanisms;
	struct sasl_client *c;

	while (m < mechanisms + MECHANISM_COUNT && !slice_eq_nocase(slice_of(m->name), slice_of(mechanism)))
		m++;
	if (m == mechanisms + MECHANISM_COUNT) {
		err_set(err, ERR_PERMANENT, "SASL mechanism %s is not known", mechanism);
		return NULL;
	}
	if (credentials->user.len == 0 || has_control(credentials->user) || has_control(credentials->authzid) ||
	    credentials->secret.len == 0 || has_control(credentials->secret)) {
		err_set(err, ERR_PERMANENT, "user and password must not be empty or have control characters");
		return NULL;
	}
	if (m->bound && credentials->binding.len == 0) {
		err_set(err, ERR_PERMANENT, "SASL mechanism %s needs the TLS session", mechanism);
		return NULL;
	}
	c = mem_alloc(sizeof(*c));
	c->mechanism = m;
	c->port = credentials->port;
	c->proved = !m->scram;
	str_append(&c->user, credentials->user);
	str_append(&c->authzid, credentials->authzid);
	str_append(&c->secret, credentials->secret);
	str_append(&c->host, credentials->host);
	str_append(&c->nonce, credentials->nonce);
	c->scram.hash = m->hash;
	if (m->bound)
		scram_client_bind(&c->scram, SLICE(BINDING_TYPE), credentials->binding);
	else if (m->scram && credentials->could_bind)
		scram_client_could_bind(&c->scram);
	return c;
}

void sasl_client_free(struct sasl_client **client)
{
	struct sasl_client *c = *client;

	if (!c)
		return;
	if (c->secret.data)
		OPENSSL_cleanse(c->secret.data, c->secret.cap);
	str_free(&c->secret);
	str_free(&c->user);
	str_free(&c->authzid);
	str_free(&c->host);
	str_free(&c->nonce);
	str_free(&c->error);
	scram_client_clear(&c->scram);
	free(c);
	*client = NULL;
}

int sasl_client_first(struct sasl_client *client, struct str *out, struct err *err)
{
	return client->mechanism->first(client, out, err);
}

bool sasl_client_next(struct sasl_client *client, struct slice challenge, struct str *out, struct err *err)
{
	if (challenge.len > CHALLENGE_MAX)
		return err_set(err, ERR_LIMIT, "challenge of more than %d bytes", CHALLENGE_MAX);
	if (!client->mechanism->next(client, challenge, out, err))
		return false;
	client->step++;
	return true;
}

bool sasl_client_finish(const struct sasl_client *client, struct err *err)
{
	return client->proved || err_set(err, ERR_PERMANENT, "the server did not prove that it knows the password");
}

const char *sasl_client_error(const struct sasl_client *client)
{
	return client->error.len ? client->error.data : "";
}

/* --- secrets --- */

bool sasl_login_parse(struct slice value, struct slice *user, struct sasl_secret *secret)
{
	static const struct {
		struct slice prefix;
		enum sasl_secret_kind kind;
	} kinds[] = {
		{ { "{token}", 7 }, SASL_SECRET_TOKEN },
		{ { "{token-file}", 12 }, SASL_SECRET_TOKEN_FILE },
		{ { "{token-command}", 15 }, SASL_SECRET_TOKEN_COMMAND },
	};

	if (!slice_cut(&value, ':', user) || user->len == 0 || user->len > SASL_LOGIN_MAX || has_control(*user) ||
	    value.len == 0 || has_control(value))
		return false;
	*secret = (struct sasl_secret){ SASL_SECRET_PASSWORD, value };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (slice_starts(value, kinds[i].prefix))
			*secret = (struct sasl_secret){ kinds[i].kind,
							slice_trim(slice_sub(value, kinds[i].prefix.len, value.len)) };
	return secret->text.len > 0;
}

/* A number, or a string of digits as some tools write it. */
static double json_seconds(const json_t *value)
{
	uint64_t number;

	if (json_is_number(value))
		return json_number_value(value);
	if (json_is_string(value) && slice_to_u64(slice_of(json_string_value(value)), &number))
		return (double)number;
	return 0;
}

static bool parse_json(struct slice text, double now, struct str *token, double *expires, struct err *err)
{
	json_error_t where;
	json_t *root = json_loadb(text.ptr, text.len, 0, &where);
	const char *value = json_string_value(json_object_get(root, "access_token"));
	double lasts = json_seconds(json_object_get(root, "expires_in"));

	if (value)
		str_append_text(token, value);
	*expires = lasts > 0 ? now + lasts : json_seconds(json_object_get(root, "expiry"));
	json_decref(root);
	return value || err_set(err, ERR_SYNTAX, "token: a JSON object without access_token");
}

bool sasl_token_parse(struct slice text, double now, struct str *token, double *expires, struct err *err)
{
	struct slice line;

	*expires = 0;
	text = slice_trim(text);
	if (text.len > 2 * TOKEN_MAX)
		return err_set(err, ERR_LIMIT, "token: longer than %d bytes", 2 * TOKEN_MAX);
	if (text.len && text.ptr[0] == '{') {
		if (!parse_json(text, now, token, expires, err))
			return false;
	} else {
		(void)slice_cut(&text, '\n', &line);
		str_append(token, slice_trim(line));
	}
	if (token->len == 0 || token->len > TOKEN_MAX || has_control(str_slice(token)))
		return err_set(err, ERR_SYNTAX, "token: empty, too long, or with control characters");
	return true;
}
