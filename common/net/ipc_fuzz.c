/* SPDX-License-Identifier: ISC */
#include "common/net/ipc.h"
#include "tests/support/fuzz.h"

/* Takes all fields off; builds the same message again. */
static void walk(const struct ipc_in *in, size_t size)
{
	struct ipc_field f, first;
	struct ipc_out out;
	struct slice bytes;
	uint64_t number;
	size_t pos = 0, again;

	ipc_out_start(&out, in->type, in->request);
	while (ipc_next(in, &pos, &f)) {
		FUZZ_CHECK(pos <= size);
		FUZZ_CHECK(f.kind == 'u' || f.kind == 's');
		FUZZ_CHECK(fuzz_inside(f.bytes, in->data, size));
		/* The getters give the first of a number, of its kind alone. */
		again = 0;
		while (ipc_next(in, &again, &first) && first.field != f.field)
			;
		FUZZ_CHECK(ipc_get_u64(in, f.field, &number) == (first.kind == 'u'));
		FUZZ_CHECK(number == (first.kind == 'u' ? first.number : 0));
		FUZZ_CHECK(ipc_get_bytes(in, f.field, &bytes) == (first.kind == 's'));
		FUZZ_CHECK(slice_eq(bytes, first.kind == 's' ? first.bytes : SLICE_NONE));
		if (f.kind == 'u')
			ipc_put_u64(&out, f.field, f.number);
		else
			ipc_put_bytes(&out, f.field, f.bytes);
	}
	FUZZ_CHECK(ipc_valid(in->data, size) == (pos == size || (pos == 0 && size == 6)));
	if (pos == size) {
		FUZZ_CHECK(!out.failed && out.len == size);
		FUZZ_CHECK(memcmp(out.data + 6, in->data + 6, size - 6) == 0);
	}
}

/* The input as a packet. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_in in = { .data = data, .len = size };

	if (size < 6)
		FUZZ_CHECK(!ipc_valid(data, size));
	else if (size <= IPC_MAX)
		walk(&in, size);
	return 0;
}
