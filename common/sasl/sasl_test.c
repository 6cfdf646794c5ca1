/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/sasl/base64.h"
#include "common/sasl/client.h"
#include "common/sasl/password.h"
#include "common/sasl/scram.h"

static struct slice text_of(const struct str *s)
{
	return str_slice(s);
}

static void assert_slice(struct slice got, struct slice wanted)
{
	assert_int_equal(got.len, wanted.len);
	if (wanted.len)
		assert_memory_equal(got.ptr, wanted.ptr, wanted.len);
}

/* --- base64 --- */

static void test_base64_rfc4648(void **state)
{
	static const char *const vectors[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
						  { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct str s = { 0 };

		base64_encode(slice_of(vectors[i][0]), &s);
		assert_string_equal(str_cstr(&s), vectors[i][1]);
		str_clear(&s);
		assert_true(base64_decode(slice_of(vectors[i][1]), &s));
		assert_string_equal(str_cstr(&s), vectors[i][0]);
		str_free(&s);
	}
}

static void test_base64_strict(void **state)
{
	static const char *const bad[] = { "Zg", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Zm9v ", "Zm 9", "Zm9v\n",
					   "Z-9v", "Zg==Zg==", "Z===", "Zm=v", "*" };
	struct str s = { 0 };

	str_append_text(&s, "x");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(base64_decode(slice_of(bad[i]), &s));
		assert_string_equal(str_cstr(&s), "x");
	}
	str_free(&s);
}

/* --- the client --- */

static struct sasl_client *make(const char *mechanism, const char *user, const char *secret, const char *nonce)
{
	struct sasl_credentials c = { .user = slice_of(user), .secret = slice_of(secret), .nonce = slice_of(nonce),
				      .host = SLICE("server.example.com"), .port = 143 };
	struct err err;
	struct sasl_client *client = sasl_client_create(mechanism, &c, &err);

	assert_non_null(client);
	return client;
}

static void assert_next(struct sasl_client *c, const char *challenge, const char *response)
{
	struct str out = { 0 };
	struct err err = { 0 };

	assert_true(sasl_client_next(c, slice_of(challenge), &out, &err));
	assert_string_equal(str_cstr(&out), response);
	str_free(&out);
}

static void assert_first64(struct sasl_client *c, const char *wanted)
{
	struct str out = { 0 }, text = { 0 };
	struct err err = { 0 };

	assert_int_equal(sasl_client_first(c, &out, &err), 1);
	base64_encode(text_of(&out), &text);
	assert_string_equal(str_cstr(&text), wanted);
	str_free(&out);
	str_free(&text);
}

static void test_plain_and_login(void **state)
{
	struct sasl_client *c = make("plain", "test", "test1234", NULL);
	struct str out = { 0 };
	struct err err;

	assert_first64(c, "AHRlc3QAdGVzdDEyMzQ=");
	assert_false(sasl_client_next(c, SLICE("more"), &out, &err));
	assert_true(sasl_client_finish(c, &err));
	sasl_client_free(&c);
	c = make("LOGIN", "test", "test1234", NULL);
	assert_int_equal(sasl_client_first(c, &out, &err), 0);
	assert_next(c, "Username:", "test");
	assert_next(c, "Password:", "test1234");
	assert_false(sasl_client_next(c, SLICE("Again:"), &out, &err));
	sasl_client_free(&c);
	str_free(&out);
}

static void test_cram_md5_rfc2195(void **state)
{
	struct sasl_client *c = make("CRAM-MD5", "tim", "tanstaaftanstaaf", NULL);

	assert_next(c, "<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890");
	sasl_client_free(&c);
}

static void assert_scram(struct sasl_client *c, const char *first, const char *challenge, const char *final,
			 const char *proof)
{
	struct str out = { 0 };
	struct err err = { 0 };

	assert_int_equal(sasl_client_first(c, &out, &err), 1);
	assert_string_equal(str_cstr(&out), first);
	assert_next(c, challenge, final);
	assert_false(sasl_client_finish(c, &err));
	assert_next(c, proof, "");
	assert_true(sasl_client_finish(c, &err));
	str_free(&out);
	sasl_client_free(&c);
}

static void test_scram_sha1_rfc5802(void **state)
{
	assert_scram(make("SCRAM-SHA-1", "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL"), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
		     "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
		     "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		     "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
}

static void test_scram_sha256_rfc7677(void **state)
{
	assert_scram(make("SCRAM-SHA-256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO"), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
		     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		     "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		     "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

static void test_scram_hostile_server(void **state)
{
	static const char *const bad[] = { "", "r=", "r=abc,s=QSXCR+Q6sek8bf92,i=4096", "r=xyz,s=QSXCR+Q6sek8bf92,i=4096",
					   "r=abcd,s=QSXCR+Q6sek8bf92,i=0", "r=abcd,s=QSXCR+Q6sek8bf92,i=99999999999",
					   "r=abcd,s=,i=4096", "r=abcd,s=!!!!,i=4096", "m=ext,r=abcd,s=QSXCR+Q6sek8bf92,i=4096",
					   "r=abcd,i=4096", "e=other-error" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sasl_client *c = make("SCRAM-SHA-256", "user", "pencil", "abc");
		struct str out = { 0 };
		struct err err;

		assert_int_equal(sasl_client_first(c, &out, &err), 1);
		assert_false(sasl_client_next(c, slice_of(bad[i]), &out, &err));
		str_free(&out);
		sasl_client_free(&c);
	}

	/* It takes our proof and answers with one of its own that is wrong. */
	struct sasl_client *c = make("SCRAM-SHA-256", "user", "pencil", "abc");
	struct str out = { 0 };
	struct err err;

	assert_int_equal(sasl_client_first(c, &out, &err), 1);
	assert_true(sasl_client_next(c, SLICE("r=abcd,s=QSXCR+Q6sek8bf92,i=10"), &out, &err));
	assert_false(sasl_client_next(c, SLICE("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), &out, &err));
	assert_false(sasl_client_finish(c, &err));
	str_free(&out);
	sasl_client_free(&c);
}

static void test_scram_channel_binding(void **state)
{
	struct sasl_credentials cr = { .user = SLICE("u,=s"), .secret = SLICE("p"), .binding = SLICE("0123"), .nonce = SLICE("n") };
	struct str out = { 0 };
	struct err err;
	struct sasl_client *c = sasl_client_create("SCRAM-SHA-256-PLUS", &cr, &err);

	assert_int_equal(sasl_client_first(c, &out, &err), 1);
	assert_string_equal(str_cstr(&out), "p=tls-exporter,,n=u=2C=3Ds,r=n");
	str_clear(&out);
	assert_true(sasl_client_next(c, SLICE("r=nn,s=QSXCR+Q6sek8bf92,i=1"), &out, &err));
	/* "p=tls-exporter,,0123" */
	assert_true(slice_starts(text_of(&out), SLICE("c=cD10bHMtZXhwb3J0ZXIsLDAxMjM=,r=nn,p=")));
	sasl_client_free(&c);
	cr.binding = SLICE_NONE;
	assert_null(sasl_client_create("SCRAM-SHA-256-PLUS", &cr, &err));
	cr.could_bind = true;
	c = sasl_client_create("SCRAM-SHA-256", &cr, &err);
	str_clear(&out);
	assert_int_equal(sasl_client_first(c, &out, &err), 1);
	assert_true(slice_starts(text_of(&out), SLICE("y,,n=")));
	sasl_client_free(&c);
	str_free(&out);
}

static void test_oauth(void **state)
{
	struct sasl_client *c = make("OAUTHBEARER", "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", NULL);
	struct str out = { 0 };
	struct err err;

	/* RFC 7628 §4.1 */
	assert_first64(c, "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWR"
			  "mdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB");
	assert_next(c, "{\"status\":\"invalid_token\"}", "\001");
	assert_string_equal(sasl_client_error(c), "{\"status\":\"invalid_token\"}");
	assert_false(sasl_client_next(c, SLICE("again"), &out, &err));
	sasl_client_free(&c);
	/* Google's example */
	c = make("XOAUTH2", "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", NULL);
	assert_first64(c, "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1sem"
			  "RHRXVZMjl0Q2cBAQ==");
	assert_next(c, "{\"status\":\"401\"}", "");
	sasl_client_free(&c);
	str_free(&out);
}

static void test_refused_credentials(void **state)
{
	struct sasl_credentials c = { .user = SLICE("a\001b"), .secret = SLICE("p") };
	struct err err;

	assert_null(sasl_client_create("XOAUTH2", &c, &err));
	c = (struct sasl_credentials){ .user = SLICE("a"), .secret = slice_make("p\0q", 3) };
	assert_null(sasl_client_create("PLAIN", &c, &err));
	c.secret = SLICE_NONE;
	assert_null(sasl_client_create("PLAIN", &c, &err));
	c.secret = SLICE("p");
	assert_null(sasl_client_create("GSSAPI", &c, &err));
}

/* --- choice --- */

static bool allows(void *context, const char *mechanism)
{
	return strstr(context, mechanism) != NULL;
}

static void test_choice(void **state)
{
	static char oauth[] = "XOAUTH2", login[] = "LOGIN PLAIN";
	struct sasl_choice c = { .offered = SLICE("LOGIN PLAIN XOAUTH2 SCRAM-SHA-256-PLUS scram-sha-256 CRAM-MD5"), .allows = allows };
	struct err err;

	assert_string_equal(sasl_client_choose(&c), "SCRAM-SHA-256");
	c.can_bind = true;
	assert_string_equal(sasl_client_choose(&c), "SCRAM-SHA-256-PLUS");
	c.filtered = true;
	c.context = login;
	assert_string_equal(sasl_client_choose(&c), "PLAIN");
	assert_true(sasl_options_parse("noplaintext, noanonymous", "x", &c.options, &err));
	assert_null(sasl_client_choose(&c));
	c.filtered = false;
	c.offered = SLICE("CRAM-MD5 PLAIN");
	assert_string_equal(sasl_client_choose(&c), "CRAM-MD5");
	assert_true(sasl_options_parse("mutual_auth", "x", &c.options, &err));
	assert_null(sasl_client_choose(&c));
	c.options = (struct sasl_options){ 0, 0 };
	c.offered = SLICE("XOAUTH2 PLAINX");
	assert_null(sasl_client_choose(&c));
	c.token = true;
	assert_string_equal(sasl_client_choose(&c), "XOAUTH2");
	c.token = false;
	c.filtered = true;
	c.context = oauth;
	assert_string_equal(sasl_client_choose(&c), "XOAUTH2");
	assert_false(sasl_options_parse("noplaintext sometimes", "smtp_sasl_security_options", &c.options, &err));
	assert_non_null(strstr(err.text, "smtp_sasl_security_options"));
}

static void test_secrets(void **state)
{
	struct sasl_secret s;
	struct slice user;

	assert_true(sasl_login_parse(SLICE("bob:se:cret"), &user, &s));
	assert_slice(user, SLICE("bob"));
	assert_slice(s.text, SLICE("se:cret"));
	assert_int_equal(s.kind, SASL_SECRET_PASSWORD);
	assert_true(sasl_login_parse(SLICE("bob:{token-file}/etc/token"), &user, &s));
	assert_int_equal(s.kind, SASL_SECRET_TOKEN_FILE);
	assert_slice(s.text, SLICE("/etc/token"));
	assert_true(sasl_login_parse(SLICE("bob:{token-command} /bin/t x"), &user, &s));
	assert_int_equal(s.kind, SASL_SECRET_TOKEN_COMMAND);
	assert_slice(s.text, SLICE("/bin/t x"));
	assert_true(sasl_login_parse(SLICE("bob:{token}ya29"), &user, &s));
	assert_int_equal(s.kind, SASL_SECRET_TOKEN);
	assert_false(sasl_login_parse(SLICE("bob"), &user, &s));
	assert_false(sasl_login_parse(SLICE(":x"), &user, &s));
	assert_false(sasl_login_parse(SLICE("bob:"), &user, &s));
	assert_false(sasl_login_parse(SLICE("bob:{token}"), &user, &s));
}

static void test_token(void **state)
{
	struct str token = { 0 };
	double expires;
	struct err err;

	assert_true(sasl_token_parse(SLICE("ya29.abc\nrest\n"), 1000, &token, &expires, &err));
	assert_string_equal(str_cstr(&token), "ya29.abc");
	assert_true(expires == 0);
	str_clear(&token);
	assert_true(sasl_token_parse(SLICE("{\"access_token\":\"t\",\"expires_in\":3599}"), 1000, &token, &expires, &err));
	assert_string_equal(str_cstr(&token), "t");
	assert_true(expires == 4599);
	str_clear(&token);
	assert_true(sasl_token_parse(SLICE("{\"access_token\":\"t\",\"expiry\":\"77\"}"), 1000, &token, &expires, &err));
	assert_true(expires == 77);
	str_clear(&token);
	assert_false(sasl_token_parse(SLICE("{\"error\":1}"), 1000, &token, &expires, &err));
	assert_false(sasl_token_parse(SLICE("{"), 1000, &token, &expires, &err));
	assert_false(sasl_token_parse(SLICE(""), 1000, &token, &expires, &err));
	assert_false(sasl_token_parse(SLICE("a\001b"), 1000, &token, &expires, &err));
	str_free(&token);
}

/* --- stored passwords --- */

static void test_password_forms(void **state)
{
	static const char *const schemes[] = { "yescrypt", "bcrypt", "sha512", "scram-sha-256" };
	struct str hash = { 0 }, other = { 0 };
	struct err err;

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		str_clear(&hash);
		str_clear(&other);
		assert_true(password_hash(schemes[i], SLICE("s3cret"), &hash, &err));
		assert_true(password_hash(schemes[i], SLICE("s3cret"), &other, &err));
		assert_string_not_equal(str_cstr(&hash), str_cstr(&other));
		assert_int_equal(password_verify(text_of(&hash), SLICE("s3cret")), PASSWORD_RIGHT);
		assert_int_equal(password_verify(text_of(&hash), SLICE("s3cres")), PASSWORD_WRONG);
		assert_int_equal(password_verify(text_of(&hash), SLICE_NONE), PASSWORD_WRONG);
		assert_int_equal(password_verify(text_of(&hash), slice_make("s3cret\0x", 8)), PASSWORD_WRONG);
	}
	str_free(&hash);
	str_free(&other);
	assert_int_equal(password_verify(SLICE("secret"), SLICE("secret")), PASSWORD_UNUSABLE);
	assert_int_equal(password_verify(SLICE(""), SLICE("")), PASSWORD_UNUSABLE);
	assert_int_equal(password_verify(SLICE("SCRAM-SHA-256$4096:x$y:z"), SLICE("x")), PASSWORD_UNUSABLE);
	assert_int_equal(password_verify(SLICE("!$y$j9T$x"), SLICE("x")), PASSWORD_WRONG);
	assert_false(password_hash("md5", SLICE("x"), &hash, &err));
	assert_false(password_hash("yescrypt", SLICE(""), &hash, &err));
}

/* --- SCRAM's server against its client --- */

static bool exchange(const char *stored_password, const char *password, struct str *user)
{
	struct scram_keys keys = { .hash = SCRAM_SHA_256, .iterations = 16, .salt_len = 4, .salt = "salt" };
	struct scram_server server = { .hash = SCRAM_SHA_256 };
	struct sasl_client *client = make("SCRAM-SHA-256", "bo,b", password, NULL);
	struct str a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, e = { 0 };
	struct err err;
	bool ok;

	assert_true(scram_keys_derive(&keys, slice_of(stored_password)));
	assert_int_equal(sasl_client_first(client, &a, &err), 1);
	assert_true(scram_server_first(&server, text_of(&a), SLICE_NONE, &err));
	str_append(user, text_of(&server.user));
	scram_server_challenge(&server, &keys, &b);
	assert_true(sasl_client_next(client, text_of(&b), &c, &err));
	ok = scram_server_final(&server, text_of(&c), &d, &err);
	if (ok) {
		assert_true(sasl_client_next(client, text_of(&d), &e, &err));
		assert_true(sasl_client_finish(client, &err));
	} else {
		assert_int_equal(err.code, ERR_PERMANENT);
	}
	/* The same proof again, with one letter changed. */
	c.data[c.len - 3] = c.data[c.len - 3] == 'A' ? 'B' : 'A';
	assert_false(scram_server_final(&server, text_of(&c), &e, &err));
	scram_server_clear(&server);
	sasl_client_free(&client);
	str_free(&a);
	str_free(&b);
	str_free(&c);
	str_free(&d);
	str_free(&e);
	return ok;
}

static void test_scram_server(void **state)
{
	struct str user = { 0 };

	assert_true(exchange("secret", "secret", &user));
	assert_string_equal(str_cstr(&user), "bo,b");
	assert_false(exchange("secret", "Secret", &user));
	str_free(&user);
}

static void test_scram_server_malformed(void **state)
{
	static const char *const bad[] = { "", "n,", "n,,", "n,,n=,r=abc", "n,,n=a", "n,,n=a,r=", "p=tls-unique,,n=a,r=b", "x,,n=a,r=b",
					   "n,b=,n=a,r=b", "n,,m=x,n=a,r=b", "n,,n=a=2,r=b", "n,,n=a=,r=b", "n,,n=a,r=\x01" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct scram_server server = { .hash = SCRAM_SHA_256 };
		struct err err;

		assert_false(scram_server_first(&server, slice_of(bad[i]), SLICE_NONE, &err));
		assert_int_equal(err.code, ERR_SYNTAX);
		scram_server_clear(&server);
	}
}

static void test_scram_keys_text(void **state)
{
	struct scram_keys keys;
	struct str text = { 0 };
	static const char good[] = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
				   "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

	/* RFC 7677's user */
	assert_true(scram_keys_parse(slice_of(good), &keys));
	scram_keys_format(&keys, &text);
	assert_string_equal(str_cstr(&text), good);
	assert_int_equal(password_verify(slice_of(good), SLICE("pencil")), PASSWORD_RIGHT);
	str_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64_rfc4648), cmocka_unit_test(test_base64_strict),
		cmocka_unit_test(test_plain_and_login), cmocka_unit_test(test_cram_md5_rfc2195),
		cmocka_unit_test(test_scram_sha1_rfc5802), cmocka_unit_test(test_scram_sha256_rfc7677),
		cmocka_unit_test(test_scram_hostile_server), cmocka_unit_test(test_scram_channel_binding),
		cmocka_unit_test(test_oauth), cmocka_unit_test(test_refused_credentials), cmocka_unit_test(test_choice),
		cmocka_unit_test(test_secrets), cmocka_unit_test(test_token), cmocka_unit_test(test_password_forms),
		cmocka_unit_test(test_scram_server), cmocka_unit_test(test_scram_server_malformed),
		cmocka_unit_test(test_scram_keys_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
