/* SPDX-License-Identifier: ISC */
/* smtpd_sasl_type = table: users and their hashes are in smtpd_sasl_password_maps. */
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "common/base/log.h"
#include "common/sasl/password.h"
#include "common/sasl/scram.h"
#include "tables/table.h"

#define DECOY_SALT 16

struct backend {
	struct table_list *passwords;
	const char *mechanisms;
	const char *local_domain;
	/*
	 * What unknown users are checked against, so that they take as long as known ones: the entry
	 * that was looked up last, and at first one of postrider passwd's.
	 */
	struct str decoy;
	unsigned decoy_iterations;
	uint8_t secret[32];          /* salts of unknown users come of it: the same for the same name */
};

static const char *const offered[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256" };

static void table_close_backend(struct backend **b)
{
	if ((*b)->passwords)
		table_list_close(&(*b)->passwords);
	str_free(&(*b)->decoy);
	OPENSSL_cleanse((*b)->secret, sizeof((*b)->secret));
	free(*b);
	*b = NULL;
}

static bool is_offered(const struct backend *b, const char *name)
{
	struct slice rest = slice_of(b->mechanisms), word;

	while (slice_word(&rest, " \t\r\n,", &word))
		if (slice_eq_nocase(word, slice_of(name)))
			return true;
	return false;
}

static bool check_mechanisms(const struct backend *b, struct err *err)
{
	struct slice rest = slice_of(b->mechanisms), word;

	while (slice_word(&rest, " \t\r\n,", &word)) {
		size_t i = 0;

		while (i < sizeof(offered) / sizeof(offered[0]) && !slice_eq_nocase(word, slice_of(offered[i])))
			i++;
		if (i == sizeof(offered) / sizeof(offered[0]))
			return err_set(err, ERR_SYNTAX,
				       "smtpd_sasl_password_mechanisms: \"%.*s\" is none of PLAIN, LOGIN, SCRAM-SHA-256",
				       SLICE_FMT(word));
	}
	return true;
}

static struct backend *table_open_backend(const struct backend_settings *settings, struct err *err)
{
	struct backend *b = mem_alloc(sizeof(*b));
	uint8_t word[18];

	b->mechanisms = settings->password_mechanisms;
	b->local_domain = settings->local_domain;
	b->decoy_iterations = SCRAM_ITERATIONS;
	if (!settings->password_maps[0]) {
		err_set(err, ERR_PERMANENT, "smtpd_sasl_type = table (service %s): smtpd_sasl_password_maps is empty", settings->service);
		table_close_backend(&b);
		return NULL;
	}
	if (!check_mechanisms(b, err) || !(b->passwords = table_list_open(settings->password_maps, err)) ||
	    RAND_bytes(b->secret, sizeof(b->secret)) != 1 || RAND_bytes(word, sizeof(word)) != 1) {
		table_close_backend(&b);
		return NULL;
	}
	for (size_t i = 0; i < sizeof(word); i++)
		word[i] = (uint8_t)('a' + word[i] % 26);
	if (!password_hash("yescrypt", slice_make(word, sizeof(word)), &b->decoy, err)) {
		table_close_backend(&b);
		return NULL;
	}
	return b;
}

static bool table_mechanisms(struct backend *b, double deadline, struct arena *arena, struct auth_mechanism *list,
			     size_t *count, struct err *err)
{
	*count = 0;
	for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++) {
		if (!is_offered(b, offered[i]))
			continue;
		list[*count].name = slice_of(offered[i]);
		(void)sasl_mechanism_properties(list[*count].name, &list[*count].properties);
		(*count)++;
	}
	return true;
}

static bool table_is_changed(struct backend *b)
{
	return table_list_changed(b->passwords);
}

/* --- finding a user --- */

/*
 * The entry, and the name that it is under: as given, else in smtpd_sasl_local_domain.  Tables fold
 * the case of keys, so names that differ in it are the same user, and are told to smtpd as one.
 */
static enum table_result find_user(struct backend *b, struct login *login, struct slice name, struct slice *user,
				   struct slice *stored, struct err *err)
{
	struct str key = { 0 };
	enum table_result result = TABLE_NOT_FOUND;

	str_append_lower(&key, name);
	if (key.len > 0 && key.len <= SASL_LOGIN_MAX)
		result = table_list_lookup(b->passwords, str_slice(&key), login->arena, stored, err);
	if (result == TABLE_NOT_FOUND && b->local_domain[0] && slice_find(name, '@') < 0 && key.len <= SASL_LOGIN_MAX) {
		str_append_byte(&key, '@');
		str_append_lower(&key, slice_of(b->local_domain));
		result = table_list_lookup(b->passwords, str_slice(&key), login->arena, stored, err);
	}
	*user = arena_slice(login->arena, str_slice(&key));
	str_free(&key);
	if (result != TABLE_FOUND)
		return result;
	*stored = slice_trim(*stored);
	if (password_usable(*stored))
		return TABLE_FOUND;
	err_set(err, ERR_PERMANENT, "smtpd_sasl_password_maps: the entry of %.*s is no hash of crypt(3) and no SCRAM keys",
		SLICE_FMT(*user));
	return TABLE_ERROR;
}

static void lookup_failed(const struct login *login, struct auth_answer *answer, const struct err *err)
{
	log_warning("%s", err->text);
	login_fail(login, answer, AUTH_REASON_BACKEND, "password table lookup error");
}

/* --- a password in clear --- */

struct check {
	struct slice stored, password;
	enum password_result result;
};

static void check_work(void *arg)
{
	struct check *c = arg;

	c->result = password_verify(c->stored, c->password);
}

static void check_password(struct backend *b, struct login *login, struct slice name, struct slice password,
			   struct auth_answer *answer)
{
	struct check check = { .password = password };
	struct err err = { 0 };
	struct slice user;
	enum table_result found;

	if (!login_name_sound(name) || password.len == 0 || password.len > SASL_PASSWORD_MAX) {
		login_fail(login, answer, AUTH_REASON_MALFORMED, "bad protocol / cancel");
		return;
	}
	found = find_user(b, login, name, &user, &check.stored, &err);
	if (found == TABLE_ERROR) {
		lookup_failed(login, answer, &err);
		return;
	}
	if (found == TABLE_FOUND && check.stored.ptr[0] != '!' && check.stored.ptr[0] != '*') {
		str_clear(&b->decoy);
		str_append(&b->decoy, check.stored);
	} else {
		/* Unknown or locked: as much work, and no way in. */
		found = TABLE_NOT_FOUND;
		check.stored = arena_slice(login->arena, str_slice(&b->decoy));
	}
	if (!gate_run(check_work, &check))
		login_fail(login, answer, AUTH_REASON_BUSY, "too many log-ins at a time");
	else if (found == TABLE_FOUND && check.result == PASSWORD_RIGHT)
		login_succeed(login, answer, user);
	else
		login_wrong(login, answer, name);
}

/* The first response came with AUTH, or an empty challenge asks for it. */
static bool first_response(struct login *login, struct slice *response)
{
	*response = login->start.response;
	return login->start.has_response || login->ask(login, SLICE_NONE, response);
}

static void login_plain(struct backend *b, struct login *login, struct auth_answer *answer)
{
	struct slice rest, authzid, name;

	if (!first_response(login, &rest))
		return;
	if (!slice_cut(&rest, '\0', &authzid) || !slice_cut(&rest, '\0', &name) || slice_find(rest, '\0') >= 0)
		login_fail(login, answer, AUTH_REASON_MALFORMED, "bad protocol / cancel");
	else if (authzid.len && !slice_eq_nocase(authzid, name))
		login_wrong(login, answer, name);
	else
		check_password(b, login, name, rest, answer);
}

static void login_login(struct backend *b, struct login *login, struct auth_answer *answer)
{
	struct slice name = login->start.response, password;

	if (!login->start.has_response && !login->ask(login, SLICE("Username:"), &name))
		return;
	if (login->ask(login, SLICE("Password:"), &password))
		check_password(b, login, name, password, answer);
}

/* --- SCRAM --- */

/* Keys for who is not there: a salt that stays the same, and a server that agrees to nothing. */
static void decoy_keys(const struct backend *b, struct slice name, struct scram_keys *keys)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	*keys = (struct scram_keys){ .hash = SCRAM_SHA_256, .iterations = b->decoy_iterations, .salt_len = DECOY_SALT };
	(void)HMAC(EVP_sha256(), b->secret, (int)sizeof(b->secret), (const uint8_t *)name.ptr, name.len, mac, &len);
	memcpy(keys->salt, mac, DECOY_SALT);
	(void)RAND_bytes(keys->stored_key, sizeof(keys->stored_key));
	(void)RAND_bytes(keys->server_key, sizeof(keys->server_key));
}

/* False: *answer says why not.  *known: the keys are the user's. */
static bool scram_lookup(struct backend *b, struct login *login, struct slice name, struct slice *user,
			 struct scram_keys *keys, bool *known, struct auth_answer *answer)
{
	struct err err = { 0 };
	struct slice stored;
	enum table_result found;

	if (!login_name_sound(name)) {
		login_fail(login, answer, AUTH_REASON_MALFORMED, "bad protocol / cancel");
		return false;
	}
	found = find_user(b, login, name, user, &stored, &err);
	if (found == TABLE_ERROR) {
		lookup_failed(login, answer, &err);
		return false;
	}
	*known = found == TABLE_FOUND && scram_keys_parse(stored, keys) && keys->hash == SCRAM_SHA_256;
	if (*known)
		b->decoy_iterations = keys->iterations;
	else
		decoy_keys(b, *user, keys);
	return true;
}

static void scram_exchange(struct backend *b, struct login *login, struct scram_server *server, struct auth_answer *answer)
{
	struct slice response, user, name;
	struct str challenge = { 0 }, last = { 0 };
	struct scram_keys keys;
	struct err err = { 0 };
	bool known, proved;

	if (!first_response(login, &response))
		return;
	if (!scram_server_first(server, response, SLICE_NONE, &err)) {
		login_fail(login, answer, AUTH_REASON_MALFORMED, err.text);
		return;
	}
	name = str_slice(&server->user);
	if (!scram_lookup(b, login, name, &user, &keys, &known, answer))
		return;
	scram_server_challenge(server, &keys, &challenge);
	OPENSSL_cleanse(&keys, sizeof(keys));
	if (login->ask(login, str_slice(&challenge), &response)) {
		proved = scram_server_final(server, response, &last, &err) && known;
		if (err.code == ERR_SYNTAX)
			login_fail(login, answer, AUTH_REASON_MALFORMED, err.text);
		else if (!proved || (server->authzid.len && !slice_eq_nocase(str_slice(&server->authzid), name)))
			login_wrong(login, answer, name);
		else if (login->ask(login, str_slice(&last), &response))
			login_succeed(login, answer, user);
	}
	str_free(&challenge);
	str_free(&last);
}

static void login_scram(struct backend *b, struct login *login, struct auth_answer *answer)
{
	struct scram_server server = { .hash = SCRAM_SHA_256 };

	scram_exchange(b, login, &server, answer);
	scram_server_clear(&server);
}

static void table_login(struct backend *b, struct login *login, struct auth_answer *answer)
{
	static void (*const run[])(struct backend *, struct login *, struct auth_answer *) = { login_plain, login_login,
											       login_scram };

	login_fail(login, answer, AUTH_REASON_MECHANISM, "Invalid authentication mechanism");
	for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++) {
		if (!is_offered(b, offered[i]) || !slice_eq_nocase(login->start.mechanism, slice_of(offered[i])))
			continue;
		login_fail(login, answer, AUTH_REASON_MALFORMED, "authentication aborted");
		run[i](b, login, answer);
	}
}

const struct backend_type backend_table = {
	.name = "table", .root = ROOT_EMPTY, .open = table_open_backend, .mechanisms = table_mechanisms,
	.login = table_login, .changed = table_is_changed, .close = table_close_backend,
};
