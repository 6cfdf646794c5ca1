/* SPDX-License-Identifier: ISC */
#include "common/sasl/mechanism.h"

bool sasl_options_parse(const char *text, const char *what, struct sasl_options *options, struct err *err)
{
	static const struct {
		const char *word;
		unsigned forbidden, required;
	} words[] = {
		{ "noplaintext", SASL_PLAINTEXT, 0 },   { "noactive", SASL_ACTIVE, 0 },
		{ "nodictionary", SASL_DICTIONARY, 0 }, { "noanonymous", SASL_ANONYMOUS, 0 },
		{ "forward_secrecy", 0, SASL_FORWARD_SECRECY }, { "mutual_auth", 0, SASL_MUTUAL_AUTH },
	};
	struct slice rest = slice_of(text), word;

	*options = (struct sasl_options){ 0, 0 };
	while (slice_word(&rest, " \t\r\n,", &word)) {
		size_t i = 0;

		while (i < sizeof(words) / sizeof(words[0]) && !slice_eq_nocase(word, slice_of(words[i].word)))
			i++;
		if (i == sizeof(words) / sizeof(words[0]))
			return err_set(err, ERR_SYNTAX,
				       "%s: \"%.*s\" is none of noplaintext, noactive, nodictionary, noanonymous, "
				       "forward_secrecy, mutual_auth",
				       what, SLICE_FMT(word));
		options->forbidden |= words[i].forbidden;
		options->required |= words[i].required;
	}
	return true;
}

bool sasl_options_allow(const struct sasl_options *options, unsigned properties)
{
	return !(properties & options->forbidden) && (properties & options->required) == options->required;
}

bool sasl_mechanism_valid(struct slice name)
{
	if (name.len == 0 || name.len > SASL_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return true;
}

bool sasl_mechanism_properties(struct slice name, unsigned *properties)
{
	static const struct {
		const char *name;
		unsigned properties;
	} known[] = {
		{ "PLAIN", SASL_PLAINTEXT | SASL_ACTIVE | SASL_DICTIONARY },
		{ "LOGIN", SASL_PLAINTEXT | SASL_ACTIVE | SASL_DICTIONARY },
		{ "CRAM-MD5", SASL_ACTIVE | SASL_DICTIONARY },
		{ "SCRAM-SHA-1", SASL_DICTIONARY | SASL_MUTUAL_AUTH },
		{ "SCRAM-SHA-1-PLUS", SASL_DICTIONARY | SASL_MUTUAL_AUTH },
		{ "SCRAM-SHA-256", SASL_DICTIONARY | SASL_MUTUAL_AUTH },
		{ "SCRAM-SHA-256-PLUS", SASL_DICTIONARY | SASL_MUTUAL_AUTH },
		/* A token is no password, but whoever has it is the user for a while. */
		{ "XOAUTH2", SASL_PLAINTEXT | SASL_ACTIVE },
		{ "OAUTHBEARER", SASL_PLAINTEXT | SASL_ACTIVE },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!slice_eq_nocase(name, slice_of(known[i].name)))
			continue;
		*properties = known[i].properties;
		return true;
	}
	return false;
}
