/* SPDX-License-Identifier: ISC */
/* A header of the PROXY protocol: what is read of it stays in its bounds, and what is taken can be printed. */
#include "common/net/proxy_header.h"

#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_make(data, size);
	struct proxy_header h;
	size_t have = 0, wants;

	while ((wants = proxy_header_wants(slice_sub(all, 0, have))) > 0 && have + wants <= size) {
		have += wants;
		FUZZ_CHECK(have <= PROXY_HEADER_MAX);
	}
	if (wants > 0)
		return 0;
	/* Read from a copy of its own size, so that a byte too much is seen. */
	char *copy = malloc(have + 1);

	FUZZ_CHECK(copy);
	memcpy(copy, all.ptr, have);
	if (proxy_header_parse(slice_make(copy, have), &h) && h.proxied) {
		FUZZ_CHECK(h.client.address[0] && h.server.address[0] && h.client.port < 65536 && h.server.port < 65536);
		FUZZ_CHECK(fuzz_printable(slice_of(h.client.address)) && fuzz_printable(slice_of(h.server.address)));
	}
	free(copy);
	return 0;
}
