/* SPDX-License-Identifier: ISC */
/* Packets of smtpd and of mailauth, of cleanup and of signer. */
#include "authn/mailauth_proto.h"
#include "authn/signer_proto.h"
#include "tests/support/fuzz.h"

static void check_mailauth(const struct ipc_in *m, struct arena *arena)
{
	struct mailauth_question question;
	struct mailauth_answer answer;

	if (mailauth_get_question(m, &question))
		FUZZ_CHECK(question.sender.len <= MAILAUTH_TEXT_MAX && question.length < (uint64_t)1
											     << 50);
	if (mailauth_get_answer(m, arena, &answer)) {
		struct slice rest = answer.header;
		struct header_field f;

		while (header_next(&rest, &f))
			FUZZ_CHECK(f.name.len > 0);
		FUZZ_CHECK(rest.len == 0 && answer.passed_count <= MAILAUTH_DOMAINS_MAX);
	}
}

static void check_signer(const struct ipc_in *m, struct arena *arena)
{
	struct signer_key keys[SIGNER_KEYS_MAX], key;
	uint8_t digest[CANON_DIGEST];
	struct slice address;
	size_t count;

	if (signer_get_find(m, &address))
		FUZZ_CHECK(address.len > 0 && address.len <= SIGNER_ADDRESS_MAX);
	if (signer_get_sign(m, &key, digest))
		FUZZ_CHECK(authn_domain_valid(key.domain) && authn_domain_valid(key.selector));
	if (signer_get_keys(m, arena, keys, &count))
		FUZZ_CHECK(count <= SIGNER_KEYS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_create(0);

	if (ipc_valid(data, size)) {
		struct cursor c = cursor_make(data, size);
		struct ipc_in m = {.data = data, .len = size};

		m.type = cursor_u16(&c);
		m.request = cursor_u32(&c);
		check_mailauth(&m, arena);
		m.fd_count = 1;
		check_mailauth(&m, arena);
		check_signer(&m, arena);
	}
	arena_free(&arena);
	return 0;
}
