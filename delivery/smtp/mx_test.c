/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/proto/resolver_proto.h"
#include "delivery/smtp/mx.h"

/* The zone: what is not here does not exist. */
static const struct {
	const char *name;
	enum dns_type type;
	enum dns_status status;
	unsigned preference;
	const char *target;  /* MX: host; A: four numbers; AAAA: the last of its 16 bytes */
} zone[] = {
	{ "plain.test", DNS_MX, DNS_OK, 20, "b.test" },
	{ "plain.test", DNS_MX, DNS_OK, 10, "a.test" },
	{ "plain.test", DNS_MX, DNS_OK, 30, "c.test" },
	{ "a.test", DNS_A, DNS_OK, 0, "\x0a\0\0\x01" },
	{ "a.test", DNS_A, DNS_OK, 0, "\x0a\0\0\x02" },
	{ "a.test", DNS_AAAA, DNS_OK, 0, "\x01" },
	{ "b.test", DNS_A, DNS_OK, 0, "\x0a\0\0\x03" },
	{ "c.test", DNS_A, DNS_OK, 0, "\x0a\0\0\x04" },
	{ "null.test", DNS_MX, DNS_OK, 0, "." },
	{ "own.test", DNS_A, DNS_OK, 0, "\x0a\0\0\x05" },
	{ "later.test", DNS_MX, DNS_TEMPORARY, 0, NULL },
	{ "forged.test", DNS_MX, DNS_BOGUS, 0, NULL },
	{ "halflater.test", DNS_MX, DNS_OK, 10, "gone.test" },
	{ "halflater.test", DNS_MX, DNS_OK, 20, "laterhost.test" },
	{ "laterhost.test", DNS_A, DNS_TEMPORARY, 0, NULL },
	{ "lost.test", DNS_MX, DNS_OK, 10, "gone.test" },
	{ "empty.test", DNS_TXT, DNS_OK, 0, "" },
	{ "loop.test", DNS_MX, DNS_OK, 10, "a.test" },
	{ "loop.test", DNS_MX, DNS_OK, 20, "me.test" },
	{ "loop.test", DNS_MX, DNS_OK, 20, "b.test" },
	{ "loop.test", DNS_MX, DNS_OK, 30, "c.test" },
	{ "me.test", DNS_A, DNS_OK, 0, "\x0a\0\0\x09" },
	{ "alias.test", DNS_A, DNS_OK, 0, "\x0a\0\0\x63" },
	{ "equal.test", DNS_MX, DNS_OK, 10, "b.test" },
	{ "equal.test", DNS_MX, DNS_OK, 10, "c.test" },
	{ "short.test", DNS_A, DNS_OK, 0, "" },
	{ "xn--bcher-kva.test", DNS_A, DNS_OK, 0, "\x0a\0\0\x06" },
};

static void ask(void *context, struct slice name, int type, struct arena *arena, struct dns_answer *answer)
{
	*answer = (struct dns_answer){ .status = DNS_NXDOMAIN };
	answer->records = arena_alloc(arena, 10 * sizeof(*answer->records));
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		if (!slice_eq_nocase(name, slice_of(zone[i].name)))
			continue;
		if (answer->status == DNS_NXDOMAIN)
			answer->status = DNS_NODATA;
		if ((int)zone[i].type != type)
			continue;
		answer->status = zone[i].status;
		if (!zone[i].target)
			continue;
		struct dns_record *r = &answer->records[answer->count++];

		r->type = zone[i].type;
		r->preference = (uint16_t)zone[i].preference;
		if (type == DNS_MX) {
			r->name = slice_of(zone[i].target);
		} else {
			char *data = arena_alloc(arena, 16);

			r->data = slice_make(data, type == DNS_A ? 4 : 16);
			if (type == DNS_AAAA)
				data[15] = zone[i].target[0];
			else if (strcmp(zone[i].name, "short.test") == 0)
				r->data.len = 3;
			else
				memcpy(data, zone[i].target, 4);
		}
	}
}

static const char *const own[] = { "10.0.0.99" };
static struct smtp_settings settings;

/* "10.0.0.1 10.0.0.2", or "5.4.4 text". */
static const char *find(const char *nexthop, struct arena *arena)
{
	struct smtp_lookup lookup = { .query = ask, .settings = &settings, .arena = arena };
	struct smtp_target_list list;
	struct smtp_failure failure;
	char *text = arena_strdup(arena, "");

	if (!smtp_targets_find(&lookup, slice_of(nexthop), &list, &failure))
		return arena_printf(arena, "%s %.*s", failure.dsn, SLICE_FMT(failure.text));
	for (size_t i = 0; i < list.count; i++)
		text = arena_printf(arena, "%s%s%.*s", text, i ? " " : "", SLICE_FMT(list.target[i].text));
	return text;
}

#define NOT_FOUND "Host or domain name not found. Name service error for name="

static void test_lookups(void **state)
{
	static const struct {
		const char *nexthop, *want;
	} table[] = {
		{ "plain.test", "10.0.0.1 ::1 10.0.0.2 10.0.0.3 10.0.0.4" },
		{ "[a.test]:2525", "10.0.0.1 ::1 10.0.0.2" },
		{ "own.test", "10.0.0.5" },
		{ "null.test", "5.1.10 Domain null.test does not accept mail (nullMX)" },
		{ "gone.test", "5.4.4 " NOT_FOUND "gone.test type=MX: Host not found" },
		{ "[gone.test]", "5.4.4 " NOT_FOUND "gone.test type=A: Host not found" },
		{ "later.test", "4.4.3 " NOT_FOUND "later.test type=MX: Host not found, try again" },
		{ "forged.test", "4.4.3 " NOT_FOUND "forged.test type=MX: Host not found, DNSSEC validation failed" },
		{ "halflater.test", "4.4.3 " NOT_FOUND "laterhost.test type=A: Host not found, try again" },
		{ "lost.test", "5.4.4 " NOT_FOUND "gone.test type=A: Host not found" },
		{ "empty.test", "5.4.4 " NOT_FOUND "empty.test type=A: Host found but no data record of requested type" },
		{ "loop.test", "10.0.0.1 ::1 10.0.0.2" },
		{ "me.test", "5.4.6 mail for me.test loops back to myself" },
		{ "alias.test", "5.4.6 mail for alias.test loops back to myself" },
		{ "alias.test:2525", "10.0.0.99" },
		{ "[short.test]", "5.4.4 " NOT_FOUND "short.test type=A: Host found but no data record of requested type" },
		{ "localhost:2525", "127.0.0.1 ::1" },
		{ "[127.0.0.1]:25", "127.0.0.1" },
		{ "[IPv6:::1]", "::1" },
		{ "b\xc3\xbc" "cher.test", "10.0.0.6" },
		{ "[", "4.3.5 malformed next hop: [" },
	};
	struct arena *arena = arena_create(0);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_string_equal(find(table[i].nexthop, arena), table[i].want);
	settings.ipv6 = false;
	assert_string_equal(find("[a.test]", arena), "10.0.0.1 10.0.0.2");
	settings.ipv6 = true;
	settings.preference = SMTP_PREFER_IPV6;
	assert_string_equal(find("[a.test]", arena), "::1 10.0.0.1 10.0.0.2");
	settings.preference = SMTP_PREFER_IPV4;
	settings.lmtp = true;
	assert_string_equal(find("plain.test", arena), "5.4.4 " NOT_FOUND
			    "plain.test type=A: Host found but no data record of requested type");
	settings.lmtp = false;
	arena_free(&arena);
}

static void test_equals_are_shuffled(void **state)
{
	struct arena *arena = arena_create(0);
	int b_first = 0;

	for (int i = 0; i < 200; i++)
		b_first += strcmp(find("equal.test", arena), "10.0.0.3 10.0.0.4") == 0;
	assert_in_range(b_first, 50, 150);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_equals_are_shuffled),
	};

	settings = (struct smtp_settings){ .tcp_port = 25, .ipv4 = true, .ipv6 = true, .myhostname = "me.test",
					   .preference = SMTP_PREFER_IPV4, .own = own, .own_count = 1 };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
