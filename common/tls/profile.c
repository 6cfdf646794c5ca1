/* SPDX-License-Identifier: ISC */
#include "common/tls/profile.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/str.h"

static const char *parameter(const struct config *config, const char *prefix, const char *name)
{
	char whole[96];

	snprintf(whole, sizeof(whole), "%s%s", prefix, name);
	return config_text(config, whole);
}

struct tls_profile tls_profile_of(const struct config *config, const char *prefix, bool mandatory)
{
	return (struct tls_profile){
		.protocols = parameter(config, prefix, mandatory ? "mandatory_protocols" : "protocols"),
		.grade = parameter(config, prefix, mandatory ? "mandatory_ciphers" : "ciphers"),
		.exclude = parameter(config, prefix, mandatory ? "mandatory_exclude_ciphers" : "exclude_ciphers"),
	};
}

/* --- protocols --- */

static const struct {
	const char *name;
	int version;
	uint64_t off;
} protocols[] = {
	/* What is older does not exist in OpenSSL any more: to exclude it costs nothing. */
	{ "SSLv2", 0, 0 },
	{ "SSLv3", SSL3_VERSION, SSL_OP_NO_SSLv3 },
	{ "TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1 },
	{ "TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1 },
	{ "TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2 },
	{ "TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3 },
};
#define PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

static size_t find_protocol(struct slice word)
{
	size_t i = 0;

	while (i < PROTOCOLS && !slice_eq_nocase(word, slice_of(protocols[i].name)))
		i++;
	return i;
}

/* ">=TLSv1.2", "<=TLSv1.3": false when it is neither. */
static bool take_bound(SSL_CTX *ctx, struct slice word, bool *known)
{
	bool least = slice_starts(word, SLICE(">=")), most = slice_starts(word, SLICE("<="));
	size_t i;

	if (!least && !most)
		return false;
	i = find_protocol(slice_sub(word, 2, word.len));
	*known = i < PROTOCOLS;
	if (*known && least)
		SSL_CTX_set_min_proto_version(ctx, protocols[i].version);
	else if (*known)
		SSL_CTX_set_max_proto_version(ctx, protocols[i].version);
	return true;
}

static bool set_protocols(SSL_CTX *ctx, const char *list, struct err *err)
{
	struct slice rest = slice_of(list), word;
	uint64_t wanted = 0, all = 0;

	for (size_t i = 0; i < PROTOCOLS; i++)
		all |= protocols[i].off;
	while (slice_word(&rest, ", :\t\r\n", &word)) {
		bool known, negated = word.ptr[0] == '!';

		if (!take_bound(ctx, word, &known)) {
			size_t i = find_protocol(slice_sub(word, negated, word.len));

			known = i < PROTOCOLS;
			if (known && negated)
				SSL_CTX_set_options(ctx, protocols[i].off);
			else if (known)
				wanted |= protocols[i].off;
		}
		if (!known)
			return err_set(err, ERR_SYNTAX, "\"%.*s\" is no TLS protocol", SLICE_FMT(word));
	}
	if (wanted)
		SSL_CTX_set_options(ctx, all & ~wanted);
	return true;
}

/* --- ciphers --- */

static const char *grade_list(const struct config *config, const char *grade)
{
	static const char *const grades[] = { "high", "medium", "low", "export", "null" };
	static const char *const lists[] = { "tls_high_cipherlist", "tls_medium_cipherlist", "tls_medium_cipherlist",
					     "tls_medium_cipherlist", "tls_null_cipherlist" };

	for (size_t i = 0; i < sizeof(grades) / sizeof(grades[0]); i++)
		if (slice_eq_nocase(slice_of(grade), slice_of(grades[i])))
			return config_text(config, lists[i]);
	return NULL;
}

static bool set_ciphers(SSL_CTX *ctx, const struct config *config, const struct tls_profile *profile, struct err *err)
{
	const char *list = grade_list(config, profile->grade);
	struct slice rest = slice_of(profile->exclude), word;
	struct str text = { 0 };
	bool ok;

	if (!list)
		return err_set(err, ERR_SYNTAX, "\"%s\" is no cipher grade: high, medium or null", profile->grade);
	str_append_text(&text, list);
	while (slice_word(&rest, ", :\t\r\n", &word))
		str_printf(&text, ":!%.*s", SLICE_FMT(word));
	ok = SSL_CTX_set_cipher_list(ctx, str_cstr(&text)) == 1;
	if (!ok)
		err_set(err, ERR_SYNTAX, "OpenSSL knows no cipher of \"%s\"", str_cstr(&text));
	str_free(&text);
	return ok;
}

static bool set_groups(SSL_CTX *ctx, const struct config *config, struct err *err)
{
	struct slice rest = slice_of(config_text(config, "tls_eecdh_auto_curves")), word;
	struct str text = { 0 };

	/* One by one: what this OpenSSL does not know is left out. */
	while (slice_word(&rest, ", :\t\r\n", &word)) {
		size_t before = text.len;

		str_printf(&text, "%s%.*s", text.len ? ":" : "", SLICE_FMT(word));
		if (SSL_CTX_set1_groups_list(ctx, str_cstr(&text)) != 1)
			str_truncate(&text, before);
	}
	bool ok = text.len == 0 || SSL_CTX_set1_groups_list(ctx, str_cstr(&text)) == 1;

	str_free(&text);
	return ok || err_set(err, ERR_SYNTAX, "tls_eecdh_auto_curves: OpenSSL does not take it");
}

bool tls_profile_apply(const struct tls_profile *profile, const struct config *config, SSL_CTX *ctx, struct err *err)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_SINGLE_DH_USE |
				      SSL_OP_SINGLE_ECDH_USE);
	if (config_bool(config, "tls_preempt_cipherlist"))
		SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_dh_auto(ctx, 1);
	/* An end without close_notify is for the protocol above to judge: it counts commands and dots. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	return set_protocols(ctx, profile->protocols, err) && set_ciphers(ctx, config, profile, err) &&
	       set_groups(ctx, config, err);
}
