/* SPDX-License-Identifier: ISC */
/* What the test suite of RFC 7208 (tests/e2e/test_spf.py) does not ask: limits, what is told, odd
 * input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "authn/spf_record.h"
#include "tests/support/zone.h"

static const struct zone_record zone[] = {
    {"plain.test", DNS_TXT, "v=spf1 ip4:192.0.2.0/24 -all"},
    {"plain.test", DNS_TXT, "something else"},
    {"deep.test", DNS_TXT, "v=spf1 include:inner.test -all"},
    {"inner.test", DNS_TXT, "v=spf1 redirect=inner2.test"},
    {"inner2.test", DNS_TXT, "v=spf1 ip4:198.51.100.1 -all exp=why.test"},
    {"why.test", DNS_TXT, "must not be told"},
    {"loop.test", DNS_TXT, "v=spf1 include:loop.test -all"},
    {"turn.test", DNS_TXT, "v=spf1 redirect=turn.test"},
    {"six.test", DNS_TXT, "v=spf1 ip6:2001:db8::/33 a//64 ~all"},
    {"six.test", DNS_AAAA, "2001:db8:8000::1"},
    {"broken.test", DNS_TXT, NULL},
    {"needs.test", DNS_TXT, "v=spf1 include:broken.test -all"},
    {"told.test", DNS_TXT, "v=spf1 -all exp=text.test"},
    {"text.test", DNS_TXT, "%{i} is not a friend of %{o}"},
    {NULL, DNS_A, NULL},
};

static const struct authn_dns dns = {zone_query, (void *)zone};

static struct spf_answer ask(struct arena *arena, const char *address, const char *helo,
			     const char *sender)
{
	struct spf_request request = {.address = slice_of(address),
				      .helo = slice_of(helo),
				      .sender = slice_of(sender),
				      .dns = &dns};
	struct spf_answer answer;

	spf_check(&request, arena, &answer);
	return answer;
}

static void test_results(void **state)
{
	static const struct {
		const char *address, *helo, *sender;
		enum spf_result result;
	} cases[] = {
	    {"192.0.2.77", "x.test", "a@plain.test", SPF_PASS},
	    {"::ffff:192.0.2.77", "x.test", "a@plain.test", SPF_PASS},
	    {"192.0.3.1", "x.test", "a@plain.test", SPF_FAIL},
	    {"192.0.2.1", "plain.test", "", SPF_PASS},
	    {"198.51.100.1", "x.test", "a@deep.test", SPF_PASS},
	    {"198.51.100.2", "x.test", "a@deep.test", SPF_FAIL},
	    {"192.0.2.1", "x.test", "a@loop.test", SPF_PERMERROR},
	    {"192.0.2.1", "x.test", "a@turn.test", SPF_PERMERROR},
	    {"2001:db8:7fff::1", "x.test", "a@six.test", SPF_PASS},
	    {"2001:db8:8000::99", "x.test", "a@six.test", SPF_PASS},
	    {"2001:db8:8001::1", "x.test", "a@six.test", SPF_SOFTFAIL},
	    {"192.0.2.1", "x.test", "a@broken.test", SPF_TEMPERROR},
	    {"192.0.2.1", "x.test", "a@needs.test", SPF_TEMPERROR},
	    {"192.0.2.1", "x.test", "a@nothing.test", SPF_NONE},
	    {"unknown", "x.test", "a@plain.test", SPF_NONE},
	    {"192.0.2.1", "[192.0.2.1]", "", SPF_NONE},
	};
	struct arena *arena = arena_create(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct spf_answer a = ask(arena, cases[i].address, cases[i].helo, cases[i].sender);

		if (a.result != cases[i].result)
			print_error("%s from %s: %s (%.*s)\n", cases[i].sender, cases[i].address,
				    spf_result_text(a.result), SLICE_FMT(a.reason));
		assert_int_equal(a.result, cases[i].result);
		assert_true(a.reason.len > 0);
	}
	arena_free(&arena);
}

static void test_explanations(void **state)
{
	struct arena *arena = arena_create(0);
	struct spf_answer a = ask(arena, "192.0.2.1", "x.test", "a@told.test");

	assert_true(slice_eq(a.explanation, SLICE("192.0.2.1 is not a friend of told.test")) &&
		    a.own_explanation);
	a = ask(arena, "198.51.100.2", "x.test", "a@deep.test");
	assert_true(a.explanation.len > 0 && !a.own_explanation);
	a = ask(arena, "192.0.2.1", "x.test", "a@plain.test");
	assert_int_equal(a.explanation.len, 0);
	arena_free(&arena);
}

static void test_macros(void **state)
{
	struct spf_names names = {.address = {192, 0, 2, 3},
				  .sender = SLICE("strong-bad@email.example.com"),
				  .local = SLICE("strong-bad"),
				  .sender_domain = SLICE("email.example.com"),
				  .domain = SLICE("email.example.com")};
	static const char *const cases[][2] = {
	    {"%{s}", "strong-bad@email.example.com"},
	    {"%{d4}", "email.example.com"},
	    {"%{d2}", "example.com"},
	    {"%{d1}", "com"},
	    {"%{dr}", "com.example.email"},
	    {"%{d2r}", "example.email"},
	    {"%{l-}", "strong.bad"},
	    {"%{lr-}", "bad.strong"},
	    {"%{l1r-}", "strong"},
	    {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
	    {"%{S}", "strong-bad%40email.example.com"},
	    {"%{d99999999999}", "email.example.com"},
	};
	static const char *const malformed[] = {"%",      "%{", "%{}",     "%{x}", "%{d0}",
						"%{d1x}", "%a", "a\x01.b", "%{c}", "%{d.r}"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str out = {0};

		assert_true(spf_macro_expand(slice_of(cases[i][0]), SPF_MACRO_LIMB, &names, &out));
		assert_string_equal(str_cstr(&out), cases[i][1]);
		str_free(&out);
	}
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		assert_false(spf_macro_valid(slice_of(malformed[i]), SPF_MACRO_LIMB));
}

/* Whatever the macros multiply, the result has an end. */
static void test_expansion_is_bounded(void **state)
{
	struct spf_names names = {.sender =
				      SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")};
	struct str text = {0}, out = {0};

	for (int i = 0; i < 10000; i++)
		str_append_text(&text, "%{S-}");
	assert_false(spf_macro_expand(str_slice(&text), SPF_MACRO_LIMB, &names, &out));
	assert_true(out.len < SPF_EXPANSION_MAX + 1024);
	str_free(&text);
	str_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_results),
	    cmocka_unit_test(test_explanations),
	    cmocka_unit_test(test_macros),
	    cmocka_unit_test(test_expansion_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
