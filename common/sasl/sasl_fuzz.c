/* SPDX-License-Identifier: ISC */
#include "common/sasl/base64.h"
#include "common/sasl/client.h"
#include "common/sasl/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_base64(struct slice text)
{
	struct str bytes = { 0 }, again = { 0 };

	if (base64_decode(text, &bytes)) {
		base64_encode(str_slice(&bytes), &again);
		/* One text for the same bytes. */
		if (!slice_eq(str_slice(&again), text))
			__builtin_trap();
	}
	str_free(&bytes);
	str_free(&again);
}

/* First and final message of a hostile client. */
static void fuzz_server(struct slice first, struct slice final)
{
	struct scram_server server = { .hash = SCRAM_SHA_256 };
	struct scram_keys keys = { .hash = SCRAM_SHA_256, .iterations = 1, .salt_len = 4 };
	struct str out = { 0 };
	struct err err;

	if (scram_server_first(&server, first, SLICE("nonce"), &err)) {
		scram_server_challenge(&server, &keys, &out);
		(void)scram_server_final(&server, final, &out, &err);
	}
	scram_server_clear(&server);
	str_free(&out);
}

/* Two challenges of a hostile server, to each mechanism. */
static void fuzz_client(struct slice one, struct slice two)
{
	static const char *const names[] = { "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "XOAUTH2", "OAUTHBEARER" };
	struct sasl_credentials c = { .user = SLICE("u"), .secret = SLICE("p"), .nonce = SLICE("n") };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct str out = { 0 };
		struct err err;
		struct sasl_client *client = sasl_client_create(names[i], &c, &err);

		(void)sasl_client_first(client, &out, &err);
		/* Iterations cost time, which tells the fuzzer nothing. */
		if (i != 3 || one.len < 30)
			(void)(sasl_client_next(client, one, &out, &err) && sasl_client_next(client, two, &out, &err));
		sasl_client_free(&client);
		str_free(&out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make(data, size), one;
	struct scram_keys keys;
	struct sasl_secret secret;
	struct slice user;
	struct str token = { 0 };
	double expires;
	struct err err;

	fuzz_base64(rest);
	(void)scram_keys_parse(rest, &keys);
	(void)sasl_login_parse(rest, &user, &secret);
	(void)sasl_token_parse(rest, 0, &token, &expires, &err);
	str_free(&token);
	slice_cut(&rest, '\n', &one);
	fuzz_server(one, rest);
	fuzz_client(one, rest);
	return 0;
}
