/* SPDX-License-Identifier: ISC */
/* What a policy service, a table, or a DNS list's filter says may be anything. */
#include "policy/rules.h"
#include "tests/support/fuzz.h"
#include "tests/support/policy_world.h"

static struct policy *policy;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct err err;
	struct config *config = policy_world(NULL, 0, &err);

	policy = config ? policy_create(config, &err) : NULL;
	FUZZ_CHECK(policy != NULL);
	return 0;
}

static bool mentions(struct slice text, struct slice word)
{
	for (size_t i = 0; i + word.len <= text.len; i++)
		if (slice_eq_nocase(slice_sub(text, i, word.len), word))
			return true;
	return false;
}

/* Those that would ask other processes, which are not there, or wait. */
static bool would_wait(struct slice text)
{
	return mentions(text, SLICE("sleep")) || mentions(text, SLICE("un")) || mentions(text, SLICE("l_"));
}

static void ask_list(struct slice text, struct arena *arena)
{
	struct dnsbl_zone zone;
	const unsigned char octets[4] = { 127, 0, 0, 2 };
	struct err err;

	if (dnsbl_parse(text, arena, &zone, &err))
		(void)dnsbl_filter_matches(&zone, octets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct policy_client client = { "c.test", "c.test", POLICY_NAME_KNOWN, POLICY_NAME_KNOWN, "192.0.2.1", "9", "127.0.0.1",
						     "25" };
	struct slice text = slice_make((const char *)data, size);
	struct policy_facts facts = { .client = &client, .command = "RCPT", .protocol = "ESMTP", .queue_id = "NOQUEUE",
				      .sender = SLICE("s@far.test"), .has_sender = true, .recipient = SLICE("a@example.com") };
	struct about about = { SLICE("s@far.test"), "Sender address", ABOUT_SENDER };
	struct policy_memory memory = { 0 };
	struct policy_deferral doubt = { 0 };
	struct smtp_reply reply = { 0 };
	struct arena *arena = arena_create(0);
	struct inquiry q = { .policy = policy, .facts = &facts, .memory = &memory, .arena = arena, .reply = &reply,
			     .list_subject = ABOUT_RECIPIENT, .if_permit = &doubt };

	if (!would_wait(text) && access_result(&q, text, "table", &about) == VERDICT_REJECT)
		FUZZ_CHECK(reply.code >= 400 && reply.code <= 599 && reply.dsn[0] == '0' + reply.code / 100);
	ask_list(text, arena);
	arena_free(&arena);
	return 0;
}
