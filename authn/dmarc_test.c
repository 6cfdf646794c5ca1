/* SPDX-License-Identifier: ISC */
/* DMARC by a table of cases: what From, SPF and DKIM say, and what must come of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "authn/dmarc.h"
#include "tests/support/zone.h"

static const struct zone_record zone[] = {
    {"_dmarc.reject.test", DNS_TXT, "v=DMARC1; p=reject; rua=mailto:r@reject.test"},
    {"mail.reject.test", DNS_A, "192.0.2.1"},
    {"_dmarc.quarantine.test", DNS_TXT, "v=DMARC1; p=quarantine"},
    {"_dmarc.none.test", DNS_TXT, "v=DMARC1; p=none"},
    {"_dmarc.strict.test", DNS_TXT, "v=DMARC1; p=reject; adkim=s; aspf=s"},
    {"_dmarc.sub.test", DNS_TXT, "v=DMARC1; p=reject; sp=none"},
    {"_dmarc.own.sub.test", DNS_TXT, "v=DMARC1;p=quarantine"},
    {"_dmarc.np.test", DNS_TXT, "v=DMARC1; p=none; sp=quarantine; np=reject"},
    {"real.np.test", DNS_A, "192.0.2.1"},
    {"_dmarc.half.test", DNS_TXT, "v=DMARC1; p=reject; pct=50"},
    {"_dmarc.zero.test", DNS_TXT, "v=DMARC1; p=quarantine; pct=0"},
    {"_dmarc.badpct.test", DNS_TXT, "v=DMARC1; p=reject; pct=101"},
    {"_dmarc.trial.test", DNS_TXT, "v=DMARC1; p=reject; t=y"},
    {"_dmarc.two.test", DNS_TXT, "v=DMARC1; p=reject"},
    {"_dmarc.two.test", DNS_TXT, "v=DMARC1; p=none"},
    {"_dmarc.mixed.test", DNS_TXT, "some other text"},
    {"_dmarc.mixed.test", DNS_TXT, "v=DMARC1; p=reject"},
    {"_dmarc.nop.test", DNS_TXT, "v=DMARC1; rua=mailto:x@nop.test"},
    {"_dmarc.nothing.test", DNS_TXT, "v=DMARC1; adkim=s"},
    {"_dmarc.badp.test", DNS_TXT, "v=DMARC1; p=destroy"},
    {"_dmarc.order.test", DNS_TXT, "p=reject; v=DMARC1"},
    {"_dmarc.version.test", DNS_TXT, "v=DMARC2; p=reject"},
    {"_dmarc.lower.test", DNS_TXT, "v=dmarc1; p=reject"},
    {"_dmarc.spaces.test", DNS_TXT, "v = DMARC1 ; p = reject ; aspf = s"},
    {"_dmarc.upper.test", DNS_TXT, "v=DMARC1; p=REJECT"},
    {"_dmarc.junk.test", DNS_TXT, "v=DMARC1; p=reject; ;; nonsense; x=1"},
    {"_dmarc.suffix.test", DNS_TXT, "v=DMARC10; p=reject"},
    {"_dmarc.away.test", DNS_TXT, NULL},
    {"_dmarc.xn--bcher-kva.test", DNS_TXT, "v=DMARC1; p=reject"},
    {"_dmarc.example.co.uk", DNS_TXT, "v=DMARC1; p=reject"},
    {"_dmarc.psd.uk.com", DNS_TXT, "v=DMARC1; p=reject; psd=y"},
    {"_dmarc.co.jp", DNS_TXT, "v=DMARC1; p=reject; psd=y"},
    {"_dmarc.walk.test", DNS_TXT, "v=DMARC1; p=reject; psd=n"},
    {"_dmarc.mid.walk.test", DNS_TXT, "v=DMARC1; p=quarantine"},
    {"_dmarc.a.b.c.d.e.deep.test", DNS_TXT, "v=DMARC1; p=none"},
    {"_dmarc.deep.test", DNS_TXT, "v=DMARC1; p=reject"},
    {NULL, DNS_A, NULL},
};

#define NONE DMARC_POLICY_NONE
#define QUAR DMARC_POLICY_QUARANTINE
#define REJ  DMARC_POLICY_REJECT

struct test_case {
	const char *header; /* From fields, whole */
	enum spf_result spf;
	const char *spf_domain;
	enum dkim_result dkim;
	const char *dkim_domain; /* NULL: no signature */
	enum dmarc_result result;
	enum dmarc_policy disposition;
	bool walk;
};

#define FROM(a) "From: " a "\r\n"
static const struct test_case cases[] = {
    /* Alignment of SPF. */
    {FROM("a@reject.test"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PASS, NONE, false},
    {FROM("a@reject.test"), SPF_PASS, "REJECT.test", DKIM_NONE, NULL, DMARC_PASS, NONE, false},
    {FROM("a@reject.test"), SPF_PASS, "bounce.reject.test", DKIM_NONE, NULL, DMARC_PASS, NONE,
     false},
    {FROM("a@mail.reject.test"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PASS, NONE, false},
    {FROM("a@mail.reject.test"), SPF_PASS, "other.reject.test", DKIM_NONE, NULL, DMARC_PASS, NONE,
     false},
    {FROM("a@reject.test"), SPF_PASS, "relay.test", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_PASS, "notreject.test", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_PASS, "reject.test.evil.test", DKIM_NONE, NULL, DMARC_FAIL, REJ,
     false},
    {FROM("a@reject.test"), SPF_PASS, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_FAIL, "reject.test", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_SOFTFAIL, "reject.test", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_NEUTRAL, "reject.test", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_PERMERROR, "reject.test", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_NONE, "reject.test", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@strict.test"), SPF_PASS, "strict.test", DKIM_NONE, NULL, DMARC_PASS, NONE, false},
    {FROM("a@strict.test"), SPF_PASS, "mail.strict.test", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    /* Of DKIM. */
    {FROM("a@reject.test"), SPF_FAIL, "x.test", DKIM_PASS, "reject.test", DMARC_PASS, NONE, false},
    {FROM("a@reject.test"), SPF_FAIL, "x.test", DKIM_PASS, "s.reject.test", DMARC_PASS, NONE,
     false},
    {FROM("a@reject.test"), SPF_FAIL, "x.test", DKIM_PASS, "x.test", DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_FAIL, "x.test", DKIM_FAIL, "reject.test", DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_FAIL, "x.test", DKIM_POLICY, "reject.test", DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_FAIL, "x.test", DKIM_PERMERROR, "reject.test", DMARC_FAIL, REJ,
     false},
    {FROM("a@strict.test"), SPF_FAIL, "x.test", DKIM_PASS, "s.strict.test", DMARC_FAIL, REJ, false},
    {FROM("a@strict.test"), SPF_FAIL, "x.test", DKIM_PASS, "strict.test", DMARC_PASS, NONE, false},
    {FROM("a@reject.test"), SPF_PASS, "reject.test", DKIM_PASS, "reject.test", DMARC_PASS, NONE,
     false},
    /* No answer now. */
    {FROM("a@reject.test"), SPF_TEMPERROR, "reject.test", DKIM_NONE, NULL, DMARC_TEMPERROR, NONE,
     false},
    {FROM("a@reject.test"), SPF_TEMPERROR, "x.test", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_FAIL, "x.test", DKIM_TEMPERROR, "reject.test", DMARC_TEMPERROR,
     NONE, false},
    {FROM("a@reject.test"), SPF_FAIL, "x.test", DKIM_TEMPERROR, "x.test", DMARC_FAIL, REJ, false},
    {FROM("a@reject.test"), SPF_TEMPERROR, "reject.test", DKIM_PASS, "reject.test", DMARC_PASS,
     NONE, false},
    {FROM("a@away.test"), SPF_PASS, "x.test", DKIM_NONE, NULL, DMARC_TEMPERROR, NONE, false},
    /* Policies. */
    {FROM("a@quarantine.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, QUAR, false},
    {FROM("a@none.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, NONE, false},
    {FROM("a@unknown.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_NONE, NONE, false},
    {FROM("a@sub.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@x.sub.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, NONE, false},
    {FROM("a@own.sub.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, QUAR, false},
    {FROM("a@x.own.sub.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, NONE, false},
    {FROM("a@np.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, NONE, false},
    {FROM("a@real.np.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, QUAR, false},
    {FROM("a@made-up.np.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@half.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, QUAR, false},
    {FROM("a@zero.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, NONE, false},
    {FROM("a@badpct.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@trial.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, QUAR, false},
    /* Records. */
    {FROM("a@two.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_NONE, NONE, false},
    {FROM("a@mixed.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@nop.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, NONE, false},
    {FROM("a@nothing.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_NONE, NONE, false},
    {FROM("a@badp.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_NONE, NONE, false},
    {FROM("a@order.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_NONE, NONE, false},
    {FROM("a@version.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_NONE, NONE, false},
    {FROM("a@lower.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_NONE, NONE, false},
    {FROM("a@upper.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@junk.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@suffix.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_NONE, NONE, false},
    /* Organisational domains. */
    {FROM("a@example.co.uk"), SPF_PASS, "other.co.uk", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@example.co.uk"), SPF_PASS, "co.uk", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@www.example.co.uk"), SPF_PASS, "m.example.co.uk", DKIM_NONE, NULL, DMARC_PASS, NONE,
     false},
    {FROM("a@shop.co.jp"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@mid.walk.test"), SPF_PASS, "walk.test", DKIM_NONE, NULL, DMARC_PASS, NONE, true},
    {FROM("a@x.y.walk.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, true},
    {FROM("a@x.y.walk.test"), SPF_PASS, "z.walk.test", DKIM_NONE, NULL, DMARC_PASS, NONE, true},
    {FROM("a@x.shop.co.jp"), SPF_PASS, "shop.co.jp", DKIM_NONE, NULL, DMARC_PASS, NONE, true},
    {FROM("a@x.shop.co.jp"), SPF_PASS, "other.co.jp", DKIM_NONE, NULL, DMARC_FAIL, REJ, true},
    {FROM("a@1.2.3.a.b.c.d.e.deep.test"), SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, true},
    /* What From may look like. */
    {FROM("\"Reject, Inc.\" <a@reject.test>"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PASS,
     NONE, false},
    {FROM("a@reject.test (Mister A)"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PASS, NONE,
     false},
    {FROM("=?utf-8?q?J=C3=BCrgen?= <a@reject.test>"), SPF_PASS, "reject.test", DKIM_NONE, NULL,
     DMARC_PASS, NONE, false},
    {FROM("Folded\r\n <a@reject.test>"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PASS, NONE,
     false},
    {FROM("us: a@reject.test;"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PASS, NONE, false},
    {FROM("a@REJECT.Test."), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PASS, NONE, false},
    {FROM("a@b\xc3\xbc"
	  "cher.test"),
     SPF_PASS, "xn--bcher-kva.test", DKIM_NONE, NULL, DMARC_PASS, NONE, false},
    {FROM("a@B\xc3\x9c"
	  "cher.test"),
     SPF_FAIL, "", DKIM_NONE, NULL, DMARC_FAIL, REJ, false},
    {FROM("a@xn--bcher-kva.test"), SPF_PASS,
     "b\xc3\xbc"
     "cher.test",
     DKIM_NONE, NULL, DMARC_PASS, NONE, false},
    {FROM("a@reject.test, b@reject.test"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PASS,
     NONE, false},
    {FROM("a@reject.test, b@none.test"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_FAIL, NONE,
     false},
    {FROM("a@none.test, b@reject.test"), SPF_PASS, "none.test", DKIM_NONE, NULL, DMARC_FAIL, REJ,
     false},
    /* Tricks: none of them may pass for the name that is shown. */
    {FROM("a@evil.test") FROM("b@reject.test"), SPF_PASS, "evil.test", DKIM_PASS, "evil.test",
     DMARC_PERMERROR, NONE, false},
    {FROM("b@reject.test") FROM("a@evil.test"), SPF_PASS, "evil.test", DKIM_PASS, "evil.test",
     DMARC_PERMERROR, NONE, false},
    {FROM("b@reject.test") FROM("b@reject.test"), SPF_PASS, "reject.test", DKIM_NONE, NULL,
     DMARC_PERMERROR, NONE, false},
    {"From : a@reject.test\r\n", SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE,
     false},
    {"Subject: none\r\n", SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE, false},
    {FROM(""), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE, false},
    {FROM("<>"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE, false},
    {FROM("somebody"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE, false},
    {FROM("nobody:;"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE, false},
    {FROM("a@[192.0.2.1]"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE, false},
    {FROM("a@localhost"), SPF_PASS, "localhost", DKIM_NONE, NULL, DMARC_PERMERROR, NONE, false},
    {FROM("a@reject.test <b@evil.test>"), SPF_PASS, "evil.test", DKIM_NONE, NULL, DMARC_NONE, NONE,
     false},
    {FROM("\"a@evil.test\" <b@reject.test>"), SPF_PASS, "evil.test", DKIM_NONE, NULL, DMARC_FAIL,
     REJ, false},
    {FROM("a@evil.test b@reject.test"), SPF_PASS, "evil.test", DKIM_NONE, NULL, DMARC_FAIL, REJ,
     false},
    {FROM("<@evil.test:b@reject.test>"), SPF_PASS, "evil.test", DKIM_NONE, NULL, DMARC_FAIL, REJ,
     false},
    {FROM("(a@evil.test) b@reject.test"), SPF_PASS, "evil.test", DKIM_NONE, NULL, DMARC_FAIL, REJ,
     false},
    {FROM("b@reject.test(.evil.test)"), SPF_PASS, "evil.test", DKIM_NONE, NULL, DMARC_FAIL, REJ,
     false},
    {FROM("b@reject.test\x01@evil.test"), SPF_PASS, "evil.test", DKIM_NONE, NULL, DMARC_PERMERROR,
     NONE, false},
    {FROM("b@reject.test@evil.test"), SPF_PASS, "evil.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE,
     false},
    {FROM("<b@reject.test"), SPF_PASS, "evil.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE, false},
    {FROM("=?utf-8?q?b=40reject.test?="), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PERMERROR,
     NONE, false},
    {FROM("b@reject..test"), SPF_PASS, "reject.test", DKIM_NONE, NULL, DMARC_PERMERROR, NONE,
     false},
};

static struct dmarc_answer run(const struct test_case *t, const struct dmarc_suffixes *suffixes,
			       struct arena *arena)
{
	struct authn_dns dns = {zone_query, (void *)zone};
	struct canon_header header;
	struct author author;
	struct dkim_signature signature = {.result = t->dkim, .s.domain = slice_of(t->dkim_domain)};
	struct dkim_message dkim = {.signature = &signature, .count = t->dkim_domain ? 1 : 0};
	struct dmarc_input in = {.author = &author,
				 .spf = t->spf,
				 .spf_domain = slice_of(t->spf_domain),
				 .dkim = &dkim,
				 .dns = &dns,
				 .suffixes = suffixes,
				 .tree_walk = t->walk,
				 .sample = 70};
	struct dmarc_answer answer;

	canon_header_read(slice_of(t->header), arena, &header);
	author_read(&header, arena, &author);
	dmarc_check(&in, arena, &answer);
	return answer;
}

static void test_cases(void **state)
{
	struct dmarc_suffixes *suffixes = dmarc_suffixes_open();
	struct arena *arena = arena_create(0);
	size_t wrong = 0;

	assert_non_null(suffixes);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dmarc_answer a = run(&cases[i], suffixes, arena);

		assert_non_null(a.reason);
		if (a.result == cases[i].result && a.disposition == cases[i].disposition)
			continue;
		wrong++;
		print_error("case %zu, %s SPF %s of %s, DKIM of %s: %s, %s (%s)\n", i,
			    cases[i].header, spf_result_text(cases[i].spf), cases[i].spf_domain,
			    cases[i].dkim_domain ? cases[i].dkim_domain : "none",
			    dmarc_result_text(a.result), dmarc_policy_text(a.disposition),
			    a.reason);
	}
	assert_int_equal(wrong, 0);
	assert_true(sizeof(cases) / sizeof(cases[0]) >= 60);
	arena_free(&arena);
	dmarc_suffixes_close(&suffixes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
