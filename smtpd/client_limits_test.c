/* SPDX-License-Identifier: ISC */
/* Which clients are counted together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtpd/client_limits.h"

static void is(const char *address, unsigned ipv4_bits, unsigned ipv6_bits, const char *expected)
{
	char network[64];

	client_network(address, ipv4_bits, ipv6_bits, network, sizeof(network));
	assert_string_equal(network, expected);
}

static void test_networks(void **state)
{
	is("192.0.2.1", 32, 64, "192.0.2.1");
	is("192.0.2.130", 25, 64, "192.0.2.128/25");
	is("192.0.2.130", 24, 64, "192.0.2.0/24");
	is("192.0.2.130", 0, 64, "0.0.0.0/0");
	is("2001:db8::1", 32, 128, "2001:db8::1");
	is("2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::/64");
	is("2001:db8:1:ffff::6", 32, 52, "2001:db8:1:f000::/52");
	is("unknown", 24, 64, "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_networks) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
