/* SPDX-License-Identifier: ISC */
/* The examples of RFC 6376 appendix A and RFC 8463 appendix A, what breaks them, and our own
 * signatures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/pem.h>

#include "authn/dkim.h"
#include "authn/dkim_sign.h"
#include "tests/support/zone.h"

#define ED_KEY "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define RSA_KEY                                                                                    \
	"v=DKIM1; k=rsa; "                                                                         \
	"p="                                                                                       \
	"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi" \
	"Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/"                                               \
	"8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+"                          \
	"2kryOTIKT+l/K4w3QIDAQAB"
#define OLD_KEY                                                                                    \
	"v=DKIM1; "                                                                                \
	"p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/"          \
	"zYtIxN2SnFCjxOCKG9"                                                                       \
	"v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/"                             \
	"NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPN"                                          \
	"UYckcQ2QIDAQAB"

#define TEXT                                                                                       \
	"From: Joe SixPack <joe@football.example.com>\r\n"                                         \
	"To: Suzie Q <suzie@shopping.example.net>\r\n"                                             \
	"Subject: Is dinner ready?\r\n"                                                            \
	"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"                                          \
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"                         \
	"\r\n"                                                                                     \
	"Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n"

static const char rfc6376[] = "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
			      "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
			      "      h=Received : From : To : Subject : Date : Message-ID;\r\n"
			      "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
			      "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
			      "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
			      "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
			      "      4bmp/YzhwvcubU4=;\r\n"
			      "Received: from client1.football.example.com  [192.0.2.1]\r\n"
			      "      by submitserver.example.com with SUBMISSION;\r\n"
			      "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n" TEXT;

static const char rfc8463[] =
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    " subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
    " date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
    " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
    " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n" TEXT;

static const struct zone_record zone[] = {
    {"brisbane._domainkey.example.com", DNS_TXT, OLD_KEY},
    {"brisbane._domainkey.football.example.com", DNS_TXT, ED_KEY},
    {"test._domainkey.football.example.com", DNS_TXT, RSA_KEY},
    {NULL, DNS_A, NULL},
};

/* Feeds the body in pieces of `step` bytes. */
static struct dkim_message verify(struct arena *arena, struct slice text,
				  const struct zone_record *records, size_t step)
{
	struct authn_dns dns = {zone_query, (void *)records};
	const char *blank = memmem(text.ptr, text.len, "\r\n\r\n", 4);
	size_t body_at = (size_t)(blank - text.ptr) + 4;
	struct canon_header *header = arena_alloc(arena, sizeof(*header));
	struct canon_bodies *bodies = canon_bodies_create();
	struct dkim_message m;

	canon_header_read(slice_sub(text, 0, body_at), arena, header);
	assert_true(header->complete);
	dkim_prepare(&m, header, bodies, 10, arena);
	for (size_t at = body_at; at < text.len; at += step)
		canon_bodies_feed(bodies, slice_sub(text, at, step));
	canon_bodies_finish(bodies);
	dkim_finish(&m, &dns, 1600000000);
	canon_bodies_free(&bodies);
	return m;
}

static void expect_pass(struct dkim_message m, size_t count)
{
	assert_int_equal(m.count, count);
	for (size_t i = 0; i < count; i++) {
		if (m.signature[i].result != DKIM_PASS)
			print_error("signature %zu: %s (%s)\n", i,
				    dkim_result_text(m.signature[i].result), m.signature[i].reason);
		assert_int_equal(m.signature[i].result, DKIM_PASS);
	}
}

static void test_examples(void **state)
{
	struct arena *arena = arena_create(0);

	for (size_t step = 1; step < 200; step += 7) {
		expect_pass(verify(arena, slice_of(rfc6376), zone, step), 1);
		expect_pass(verify(arena, slice_of(rfc8463), zone, step), 2);
	}
	arena_free(&arena);
}

/* Each change of what is signed is seen; in relaxed form, changes of white space are none. */
static void test_changes(void **state)
{
	static const struct {
		const char *from, *to;
		enum dkim_result result;
	} changes[] = {
	    {"lost the game. Are", "won the game. Are", DKIM_FAIL},
	    {"lost the game. Are", "lost the game. \t Are", DKIM_PASS},
	    {"Joe.\r\n", "Joe.  \r\n\r\n\r\n", DKIM_PASS},
	    {"Joe.\r\n", "Joe.\r\nP.S.\r\n", DKIM_FAIL},
	    {"Joe.\r\n", "Joe.", DKIM_PASS},
	    {"Subject: Is dinner", "SUBJECT  :   Is\r\n dinner", DKIM_PASS},
	    {"Subject: Is dinner", "Subject: Is supper", DKIM_FAIL},
	    {"To: Suzie", "Subject: another\r\nTo: Suzie", DKIM_FAIL}, /* oversigned */
	    {"To: Suzie", "From: mallory@example.org\r\nTo: Suzie", DKIM_FAIL},
	    {"To: Suzie", "X-Other: something\r\nTo: Suzie", DKIM_PASS},
	    {"t=1528637909", "t=1528637908", DKIM_FAIL},
	    {"t=1528637909", "t=1928637909", DKIM_PERMERROR},
	    {"t=1528637909", "x=1528637909", DKIM_PERMERROR},
	    {"v=1;", "v=2;", DKIM_PERMERROR},
	    {"v=1;", "", DKIM_PERMERROR},
	    {"q=dns/txt", "q=http", DKIM_PERMERROR},
	    {"i=@football.example.com", "i=@example.com", DKIM_PERMERROR},
	    {"d=football.example.com", "d=football.example.com; d=x.example.com", DKIM_PERMERROR},
	    {"h=from : to", "h=to : to", DKIM_FAIL},
	    {"a=rsa-sha256", "a=rsa-sha1", DKIM_PERMERROR},
	    {"s=test", "s=gone", DKIM_PERMERROR},
	    {"s=test", "s=brisbane", DKIM_PERMERROR}, /* a key of the other algorithm */
	    {"c=relaxed/relaxed", "c=relaxed",
	     DKIM_FAIL}, /* simple body by default; c= itself is signed */
	    {"c=relaxed/relaxed", "c=strict", DKIM_PERMERROR},
	    {"q=dns/txt", "q=dns/txt; l=5", DKIM_FAIL},
	    {"q=dns/txt", "q=dns/txt; l=500", DKIM_PERMERROR},
	};
	struct arena *arena = arena_create(0);

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		/* The second signature alone, RSA. */
		const char *start = strstr(rfc8463, "DKIM-Signature: v=1; a=rsa"),
			   *at = strstr(start, changes[i].from);
		struct str text = {0};

		assert_non_null(at);
		str_append(&text, slice_make(start, (size_t)(at - start)));
		str_append_text(&text, changes[i].to);
		str_append_text(&text, at + strlen(changes[i].from));
		struct dkim_message m = verify(arena, str_slice(&text), zone, 1000);

		if (m.signature[0].result != changes[i].result)
			print_error("%s → %s: %s (%s)\n", changes[i].from, changes[i].to,
				    dkim_result_text(m.signature[0].result), m.signature[0].reason);
		assert_int_equal(m.signature[0].result, changes[i].result);
		str_free(&text);
	}
	arena_free(&arena);
}

static void test_keys(void **state)
{
	static const struct {
		const char *record;
		enum dkim_key_status status;
	} cases[] = {
	    {RSA_KEY, DKIM_KEY_OK},
	    {ED_KEY, DKIM_KEY_OK},
	    {"p=", DKIM_KEY_REVOKED},
	    {"v=DKIM1; k=rsa; p=", DKIM_KEY_REVOKED},
	    {"v=DKIM2; p=AAAA", DKIM_KEY_MALFORMED},
	    {"k=rsa; v=DKIM1; p=AAAA", DKIM_KEY_MALFORMED},
	    {"v=DKIM1; k=dsa; p=AAAA", DKIM_KEY_MALFORMED},
	    {"v=DKIM1; k=ed25519; p=AAAA", DKIM_KEY_MALFORMED},
	    {"v=DKIM1; k=ed25519; h=sha1; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
	     DKIM_KEY_MALFORMED},
	    {"v=DKIM1; k=ed25519; h=sha1:sha256; s=email; "
	     "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
	     DKIM_KEY_OK},
	    {"v=DKIM1; k=ed25519; s=tlsrpt; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
	     DKIM_KEY_MALFORMED},
	    {"v=DKIM1; k=rsa; p=not base64!", DKIM_KEY_MALFORMED},
	    {"v=DKIM1", DKIM_KEY_MALFORMED},
	    {"", DKIM_KEY_MALFORMED},
	    {"v=DKIM1; "
	     "p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANmBe10IgY+u7h3enWTukkqtUD5PR52Tb/"
	     "mPfjC0QJTocVBq6Za/PlzfV+"
	     "Py92VaCak19F4WrbVTK5Gg5tW220MCAwEAAQ==",
	     DKIM_KEY_MALFORMED}, /* 512 bits */
	};
	struct arena *arena = arena_create(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dkim_key key;

		dkim_key_parse(slice_of(cases[i].record), arena, &key);
		assert_int_equal(key.status, cases[i].status);
		assert_true((key.pkey != NULL) == (key.status == DKIM_KEY_OK) &&
			    (key.reason != NULL) == !key.pkey);
		EVP_PKEY_free(key.pkey);
	}
	arena_free(&arena);
}

/* --- signing --- */

static struct str sign(struct slice text, const struct dkim_sign *options, struct arena *arena)
{
	const char *blank = memmem(text.ptr, text.len, "\r\n\r\n", 4);
	size_t body_at = (size_t)(blank - text.ptr) + 4;
	struct canon_bodies *bodies = canon_bodies_create();
	struct canon_header header;
	struct str out = {0};
	struct err err;
	int body;

	canon_header_read(slice_sub(text, 0, body_at), arena, &header);
	body = dkim_sign_prepare(options, bodies);
	canon_bodies_feed(bodies, slice_sub(text, body_at, text.len));
	canon_bodies_finish(bodies);
	assert_true(dkim_sign_finish(options, &header, bodies, body, &out, &err));
	str_append(&out, text);
	canon_bodies_free(&bodies);
	return out;
}

static void test_signing(void **state)
{
	static const char text[] =
	    "From: a@sign.test\r\nTo: b@x.test\r\nsubject:  folded\r\n\t here \r\n"
	    "List-Unsubscribe: <mailto:x@sign.test>\r\n\r\nText \r\n\r\n.\r\n\r\n";
	static const char hostile[] = "From: other@sign.test\r\n";
	struct arena *arena = arena_create(0);

	for (int i = 0; i < 8; i++) {
		struct dkim_private_key key = {.ed25519 = i & 1};
		struct dkim_sign options = {.key = &key,
					    .domain = SLICE("sign.test"),
					    .selector = SLICE("s1"),
					    .headers = SLICE("From, To, Subject, List-Unsubscribe"),
					    .oversigned = SLICE("From"),
					    .time = 1500000000,
					    .header_form = i & 2 ? CANON_RELAXED : CANON_SIMPLE,
					    .body_form = i & 4 ? CANON_RELAXED : CANON_SIMPLE};
		struct zone_record records[] = {{"s1._domainkey.sign.test", DNS_TXT, NULL},
						{NULL, DNS_A, NULL}};
		struct str record = {0}, out, attacked = {0};
		struct err err;

		key.pkey = key.ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
				       : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
		assert_true(dkim_private_key_record(&key, &record, &err));
		records[0].data = str_cstr(&record);
		out = sign(slice_of(text), &options, arena);
		expect_pass(verify(arena, str_slice(&out), records, 3), 1);
		str_append_text(&attacked, hostile);
		str_append(&attacked, str_slice(&out));
		assert_int_equal(
		    verify(arena, str_slice(&attacked), records, 3).signature[0].result, DKIM_FAIL);
		str_free(&attacked);
		str_free(&out);
		str_free(&record);
		dkim_private_key_free(&key);
	}
	arena_free(&arena);
}

static void test_limit(void **state)
{
	struct arena *arena = arena_create(0);
	struct str text = {0};

	for (int i = 0; i < 30; i++)
		str_append_text(&text, "DKIM-Signature: v=1; nonsense\r\n");
	str_append_text(&text, TEXT);
	struct dkim_message m = verify(arena, str_slice(&text), zone, 1000);

	assert_int_equal(m.count, 10);
	assert_int_equal(m.left_out, 20);
	str_free(&text);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_examples), cmocka_unit_test(test_changes),
	    cmocka_unit_test(test_keys),     cmocka_unit_test(test_signing),
	    cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
