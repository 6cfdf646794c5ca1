/* SPDX-License-Identifier: ISC */
/* Messages from anywhere, as keys: each byte of a key can be read, and a body line holds no line break. */
#include "tools/lib/message_keys.h"

#include "tests/support/fuzz.h"

static void on_key(struct slice key, void *context)
{
	const struct message_keys *keys = context;
	uint64_t hash = slice_hash(key);

	FUZZ_CHECK(hash == slice_hash(key));
	FUZZ_CHECK(keys->headers || slice_find(key, '\n') < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message_keys keys = { .on_key = on_key, .context = &keys };
	FILE *file;

	if (size < 2)
		return 0;
	keys.headers = data[0] & 1;
	keys.body = data[0] & 2;
	keys.mime = data[0] & 4;
	file = fmemopen((void *)(uintptr_t)(data + 1), size - 1, "r");
	FUZZ_CHECK(file);
	FUZZ_CHECK(message_keys_read(&keys, file));
	fclose(file);
	return 0;
}
