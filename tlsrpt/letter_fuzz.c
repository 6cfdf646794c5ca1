/* SPDX-License-Identifier: ISC */
/* A record of TLSRPT: addresses that can be printed and have a domain. */
#include "common/mail/address.h"
#include "tests/support/fuzz.h"
#include "tlsrpt/letter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice address[LETTER_ADDRESSES_MAX], local, domain;
	char *room = malloc(size + 1);
	size_t count;

	FUZZ_CHECK(room);
	count = letter_addresses(slice_make(data, size), room, address);
	FUZZ_CHECK(count <= LETTER_ADDRESSES_MAX);
	for (size_t i = 0; i < count; i++) {
		address_split(address[i], &local, &domain);
		FUZZ_CHECK(fuzz_inside(address[i], room, size) && fuzz_printable(address[i]) && local.len > 0 &&
			   address_valid_hostname(domain));
	}
	free(room);
	return 0;
}
