/* SPDX-License-Identifier: ISC */
/* Restrictions by SPF, DMARC and DKIM. */
#include "authn/mailauth_proto.h"
#include "policy/rules.h"

/* At the end of data it is known; before, mailauth is asked. */
static const struct mailauth_answer *spf_answer(struct inquiry *q)
{
	const struct policy_facts *f = q->facts;
	struct mailauth_question question = {.address = slice_of(f->client->address),
					     .client_name = slice_of(f->client->name),
					     .helo = f->helo,
					     .sender = f->sender};
	struct mailauth_answer *answer;

	if (f->authentication)
		return f->authentication;
	answer = arena_alloc(q->arena, sizeof(*answer));
	mailauth_ask(q->policy->mailauth, &question, -1, loop_now() + q->policy->mailauth_wait,
		     q->arena, answer);
	return answer;
}

enum verdict rule_spf_fail(struct inquiry *q, const struct rule *rule)
{
	const struct mailauth_answer *a;
	struct about about;

	if (!q->facts->has_sender)
		return VERDICT_DUNNO;
	a = spf_answer(q);
	(void)inquiry_about(q, ABOUT_SENDER, &about);
	if (a->spf == SPF_TEMPERROR)
		return defer_if_permit(q, 450, "4.7.24",
				       "<%.*s>: Sender address rejected: SPF cannot be checked now",
				       SLICE_FMT(slice_sub(about.name, 0, 256)));
	if (a->spf != SPF_FAIL)
		return VERDICT_DUNNO;
	return refuse_about(q, &about, 550, "5.7.23", "SPF validation failed: %.*s",
			    SLICE_FMT(slice_sub(a->spf_explanation, 0, 256)));
}

/* What is known of a message before its end is nothing. */
enum verdict rule_dmarc_fail(struct inquiry *q, const struct rule *rule)
{
	const struct mailauth_answer *a = q->facts->authentication;
	struct about about;

	if (!a || a->dmarc_override.len > 0)
		return VERDICT_DUNNO;
	(void)inquiry_about(q, ABOUT_LIST, &about);
	if (a->dmarc == DMARC_TEMPERROR)
		return defer_if_permit(q, 450, "4.7.24",
				       "<%.*s>: %s rejected: DMARC cannot be checked now",
				       SLICE_FMT(slice_sub(about.name, 0, 256)), about.kind);
	if (a->dmarc != DMARC_FAIL && a->dmarc != DMARC_PERMERROR)
		return VERDICT_DUNNO;
	return refuse_about(q, &about, 550, "5.7.1", "DMARC check failed: %.*s",
			    SLICE_FMT(slice_sub(a->dmarc_reason, 0, 256)));
}

enum verdict rule_dkim_domain(struct inquiry *q, const struct rule *rule)
{
	const struct mailauth_answer *a = q->facts->authentication;
	struct slice value;
	struct err err;

	for (size_t i = 0; a && i < a->passed_count; i++)
		switch (table_list_lookup(rule->table, a->passed[i], q->arena, &value, &err)) {
		case TABLE_FOUND:
			return VERDICT_PERMIT;
		case TABLE_ERROR:
			return lookup_failed(q, a->passed[i], &err);
		case TABLE_NOT_FOUND:
			break;
		}
	return VERDICT_DUNNO;
}
