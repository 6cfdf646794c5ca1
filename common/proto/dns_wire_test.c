/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cursor.h"
#include "common/proto/dns_wire.h"

#define ID   77
#define NAME "mail.example.com"

enum { RESPONSE = 0x8000, TRUNCATED = 0x0200, AD = 0x0020, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5 };
enum { SOA = 6, OPT = 41 };

/* --- building packets --- */

static uint8_t packet[65536];
static struct packer p;
static size_t counts_at;

static void put_name(const char *name)
{
	struct slice rest = slice_of(name), label;
	bool more = rest.len > 0;

	while (more) {
		more = slice_cut(&rest, '.', &label);
		packer_u8(&p, (uint8_t)label.len);
		packer_bytes(&p, label);
	}
	packer_u8(&p, 0);
}

static void start(unsigned flags, const char *name, enum dns_type type)
{
	p = packer_make(packet, sizeof(packet));
	packer_u16_be(&p, ID);
	packer_u16_be(&p, (uint16_t)flags);
	packer_u16_be(&p, 1);
	counts_at = p.len;
	for (int i = 0; i < 3; i++)
		packer_u16_be(&p, 0);
	put_name(name);
	packer_u16_be(&p, (uint16_t)type);
	packer_u16_be(&p, 1);
}

/* In section 0 (answer), 1 (authority), 2 (additional); `name` NULL: a pointer to the question's. */
static void add(int section, const char *name, int type, uint32_t ttl, const void *data, size_t len)
{
	packet[counts_at + 2 * (size_t)section + 1]++;
	if (!packet[counts_at + 2 * (size_t)section + 1])
		packet[counts_at + 2 * (size_t)section]++;
	if (name) {
		put_name(name);
	} else {
		packer_u8(&p, 0xc0);
		packer_u8(&p, 12);
	}
	packer_u16_be(&p, (uint16_t)type);
	packer_u16_be(&p, 1);
	packer_u8(&p, (uint8_t)(ttl >> 24));
	packer_u8(&p, (uint8_t)(ttl >> 16));
	packer_u16_be(&p, (uint16_t)ttl);
	packer_u16_be(&p, (uint16_t)len);
	packer_bytes(&p, slice_make(data, len));
}

#define ADD(section, name, type, ttl, text) add(section, name, type, ttl, text, sizeof(text) - 1)

static struct arena *arena;
static struct dns_answer answer;
static uint32_t ttl;

static enum wire_result take(enum dns_type type)
{
	assert_false(p.failed);
	return wire_answer(slice_make(packet, p.len), ID, SLICE(NAME), type, true, arena, &answer, &ttl);
}

static int setup(void **state)
{
	arena = arena_create(0);
	return 0;
}

static int teardown(void **state)
{
	arena_free(&arena);
	return 0;
}

/* --- queries --- */

static void test_query(void **state)
{
	static const char want[] = "\x00\x4d\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01"
				   "\x04mail\x07" "example\x03" "com\x00\x00\x0f\x00\x01"
				   "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
	uint8_t out[WIRE_QUERY_MAX];

	assert_int_equal(wire_query(ID, SLICE(NAME), DNS_MX, out), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
	assert_int_equal(wire_query(ID, SLICE(NAME "."), DNS_MX, out), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
}

static void test_names_that_are_none(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a..b", ".a", "a..", };
	uint8_t out[WIRE_QUERY_MAX];
	char label[70], name[300];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(wire_query(1, slice_of(bad[i]), DNS_A, out), 0);
	memset(label, 'x', sizeof(label));
	assert_true(wire_query(1, slice_make(label, 63), DNS_A, out) > 0);
	assert_int_equal(wire_query(1, slice_make(label, 64), DNS_A, out), 0);
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '.' : 'a';
	assert_true(wire_query(1, slice_make(name, 253), DNS_A, out) > 0);
	assert_int_equal(wire_query(1, slice_make(name, 255), DNS_A, out), 0);
}

/* --- answers --- */

static void test_records_of_each_type(void **state)
{
	start(RESPONSE | AD, NAME, DNS_A);
	ADD(0, NULL, DNS_A, 300, "\x01\x02\x03\x04");
	ADD(0, "MAIL.example.COM", DNS_A, 200, "\x05\x06\x07\x08");
	assert_int_equal(take(DNS_A), WIRE_OK);
	assert_int_equal(answer.status, DNS_OK);
	assert_true(answer.secure);
	assert_int_equal(answer.count, 2);
	assert_int_equal(ttl, 200);
	assert_memory_equal(answer.records[1].data.ptr, "\x05\x06\x07\x08", 4);

	start(RESPONSE, NAME, DNS_MX);
	ADD(0, NULL, DNS_MX, 60, "\x00\x0a\x02MX\xc0\x11");
	ADD(0, NULL, DNS_MX, 60, "\x00\x00\x00");
	assert_int_equal(take(DNS_MX), WIRE_OK);
	assert_false(answer.secure);
	assert_int_equal(answer.count, 2);
	assert_int_equal(answer.records[0].preference, 10);
	assert_true(slice_eq(answer.records[0].name, SLICE("mx.example.com")));
	assert_true(slice_eq(answer.records[1].name, SLICE(".")));

	start(RESPONSE, NAME, DNS_TXT);
	ADD(0, NULL, DNS_TXT, 60, "\x06v=spf1\x00\x05 -all");
	assert_int_equal(take(DNS_TXT), WIRE_OK);
	assert_true(slice_eq(answer.records[0].data, SLICE("v=spf1 -all")));

	start(RESPONSE, NAME, DNS_AAAA);
	ADD(0, NULL, DNS_AAAA, 60, "0123456789abcdef");
	assert_int_equal(take(DNS_AAAA), WIRE_OK);
	assert_int_equal(answer.records[0].data.len, 16);

	start(RESPONSE, NAME, DNS_PTR);
	ADD(0, NULL, DNS_PTR, 60, "\x04Host\x00");
	assert_int_equal(take(DNS_PTR), WIRE_OK);
	assert_true(slice_eq(answer.records[0].name, SLICE("host")));

	start(RESPONSE, NAME, DNS_TLSA);
	ADD(0, NULL, DNS_TLSA, 60, "\x03\x01\x01hash");
	ADD(0, NULL, DNS_TLSA, 60, "\x03\x01\x01");
	assert_int_equal(take(DNS_TLSA), WIRE_OK);
	assert_int_equal(answer.count, 1);
}

/* Malformed records are left out, and do not take the others along. */
static void test_malformed_records(void **state)
{
	start(RESPONSE, NAME, DNS_MX);
	ADD(0, NULL, DNS_MX, 60, "\x00");
	ADD(0, NULL, DNS_MX, 60, "\x00\x0a");
	ADD(0, NULL, DNS_MX, 60, "\x00\x0a\xc0\xff");
	ADD(0, NULL, DNS_A, 60, "\x01\x02\x03\x04");
	ADD(0, "other.example.com", DNS_MX, 60, "\x00\x0a\x01x\x00");
	ADD(0, NULL, DNS_MX, 60, "\x00\x14\x02mx\x00");
	assert_int_equal(take(DNS_MX), WIRE_OK);
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.records[0].preference, 20);
	start(RESPONSE, NAME, DNS_TXT);
	ADD(0, NULL, DNS_TXT, 60, "\x09toolong");
	assert_int_equal(take(DNS_TXT), WIRE_OK);
	assert_int_equal(answer.status, DNS_NODATA);
	/* A name that points at itself, and one that is too long. */
	start(RESPONSE, NAME, DNS_PTR);
	uint8_t self[2] = { (uint8_t)(0xc0 | (p.len + 12) >> 8), (uint8_t)(p.len + 12) };

	add(0, NULL, DNS_PTR, 60, self, 2);
	assert_int_equal(take(DNS_PTR), WIRE_OK);
	assert_int_equal(answer.count, 0);
}

static void test_cnames(void **state)
{
	start(RESPONSE, NAME, DNS_A);
	ADD(0, "b.example.com", DNS_A, 500, "\x01\x02\x03\x04"); /* before the names that lead to it */
	ADD(0, "a.example.com", DNS_CNAME, 40, "\x01" "B\xc0\x11");
	ADD(0, NULL, DNS_CNAME, 50, "\x01" "a\xc0\x11");
	assert_int_equal(take(DNS_A), WIRE_OK);
	assert_int_equal(answer.count, 1);
	assert_int_equal(ttl, 40);
	assert_true(slice_eq(answer.canonical, SLICE("b.example.com")));
	/* A circle ends. */
	start(RESPONSE, NAME, DNS_A);
	ADD(0, NULL, DNS_CNAME, 50, "\x01" "a\xc0\x11");
	ADD(0, "a.example.com", DNS_CNAME, 50, "\xc0\x0c");
	assert_int_equal(take(DNS_A), WIRE_OK);
	assert_int_equal(answer.status, DNS_NODATA);
	/* What stands beside the chain is not the answer. */
	start(RESPONSE, NAME, DNS_A);
	ADD(0, NULL, DNS_CNAME, 50, "\x01" "a\xc0\x11");
	ADD(0, NULL, DNS_A, 50, "\x06\x06\x06\x06");
	assert_int_equal(take(DNS_A), WIRE_OK);
	assert_int_equal(answer.count, 0);
}

static void test_negative_answers(void **state)
{
	static const char soa[] = "\x00\x00" "0123" "4567" "89ab" "cdef" "\x00\x00\x00\x1e";

	start(RESPONSE | NXDOMAIN, NAME, DNS_A);
	add(1, "example.com", SOA, 900, soa, sizeof(soa) - 1);
	assert_int_equal(take(DNS_A), WIRE_OK);
	assert_int_equal(answer.status, DNS_NXDOMAIN);
	assert_int_equal(ttl, 30);
	start(RESPONSE, NAME, DNS_A);
	add(1, "example.com", SOA, 20, soa, sizeof(soa) - 1);
	assert_int_equal(take(DNS_A), WIRE_OK);
	assert_int_equal(answer.status, DNS_NODATA);
	assert_int_equal(ttl, 20);
	start(RESPONSE, NAME, DNS_A);
	ADD(1, "example.com", SOA, 20, "short");
	assert_int_equal(take(DNS_A), WIRE_OK);
	assert_int_equal(ttl, 60);
}

/* What a forger sends who does not see our question, and answers to others. */
static void test_not_ours(void **state)
{
	start(RESPONSE, NAME, DNS_A);
	ADD(0, NULL, DNS_A, 1, "\x01\x02\x03\x04");
	packet[1]++;
	assert_int_equal(take(DNS_A), WIRE_NOT_OURS);
	start(0, NAME, DNS_A);
	assert_int_equal(take(DNS_A), WIRE_NOT_OURS);
	start(RESPONSE, "mail.example.org", DNS_A);
	assert_int_equal(take(DNS_A), WIRE_NOT_OURS);
	start(RESPONSE, NAME, DNS_AAAA);
	assert_int_equal(take(DNS_A), WIRE_NOT_OURS);
	start(RESPONSE, NAME, DNS_A);
	packet[5] = 0;
	assert_int_equal(take(DNS_A), WIRE_NOT_OURS);
	start(RESPONSE, NAME, DNS_A);
	ADD(0, NULL, DNS_A, 1, "\x01\x02\x03\x04");
	for (size_t len = 0; len < p.len; len++)
		assert_int_equal(wire_answer(slice_make(packet, len), ID, SLICE(NAME), DNS_A, true, arena, &answer, &ttl),
				 WIRE_NOT_OURS);
}

static void test_truncated_and_errors(void **state)
{
	start(RESPONSE | TRUNCATED, NAME, DNS_A);
	assert_int_equal(take(DNS_A), WIRE_TRUNCATED);
	start(RESPONSE | SERVFAIL, NAME, DNS_A);
	assert_int_equal(take(DNS_A), WIRE_SERVER);
	start(RESPONSE | REFUSED, NAME, DNS_A);
	assert_int_equal(take(DNS_A), WIRE_SERVER);
	/* Extended errors of DNSSEC: forged; others: the server's trouble. */
	start(RESPONSE | SERVFAIL, NAME, DNS_A);
	ADD(2, "", OPT, 0, "\x00\x0a\x00\x02xx\x00\x0f\x00\x02\x00\x06");
	assert_int_equal(take(DNS_A), WIRE_OK);
	assert_int_equal(answer.status, DNS_BOGUS);
	start(RESPONSE | SERVFAIL, NAME, DNS_A);
	ADD(2, "", OPT, 0, "\x00\x0f\x00\x02\x00\x16");
	assert_int_equal(take(DNS_A), WIRE_SERVER);
	start(RESPONSE | SERVFAIL, NAME, DNS_A);
	ADD(2, "", OPT, 0, "\x00\x0f\xff\xff\x00\x06");
	assert_int_equal(take(DNS_A), WIRE_SERVER);
}

/* AD counts only from a server that we trust. */
static void test_ad(void **state)
{
	start(RESPONSE | AD, NAME, DNS_A);
	ADD(0, NULL, DNS_A, 1, "\x01\x02\x03\x04");
	assert_int_equal(wire_answer(slice_make(packet, p.len), ID, SLICE(NAME), DNS_A, false, arena, &answer, &ttl),
			 WIRE_OK);
	assert_false(answer.secure);
}

static void test_many_records(void **state)
{
	start(RESPONSE, NAME, DNS_A);
	for (int i = 0; i < 1000; i++)
		ADD(0, NULL, DNS_A, 60, "\x01\x02\x03\x04");
	assert_int_equal(take(DNS_A), WIRE_OK);
	assert_int_equal(answer.count, 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_names_that_are_none),
		cmocka_unit_test(test_records_of_each_type),
		cmocka_unit_test(test_malformed_records),
		cmocka_unit_test(test_cnames),
		cmocka_unit_test(test_negative_answers),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_truncated_and_errors),
		cmocka_unit_test(test_ad),
		cmocka_unit_test(test_many_records),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
