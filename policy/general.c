/* SPDX-License-Identifier: ISC */
/* Restrictions that stand in any list. */
#include "common/base/task.h"
#include "policy/rules.h"

enum verdict rule_permit(struct inquiry *q, const struct rule *rule)
{
	return VERDICT_PERMIT;
}

enum verdict rule_pipelining(struct inquiry *q, const struct rule *rule)
{
	struct about about;

	if (!q->facts->out_of_turn)
		return VERDICT_DUNNO;
	(void)inquiry_about(q, ABOUT_LIST, &about);
	return refuse_about(q, &about, 503, "5.5.0", "Improper use of SMTP command pipelining");
}

enum verdict rule_reject(struct inquiry *q, const struct rule *rule)
{
	struct about about;

	(void)inquiry_about(q, ABOUT_LIST, &about);
	return refuse_about(q, &about, q->policy->codes.reject, "5.7.1", "Access denied");
}

enum verdict rule_defer(struct inquiry *q, const struct rule *rule)
{
	struct about about;

	(void)inquiry_about(q, ABOUT_LIST, &about);
	return refuse_about(q, &about, q->policy->codes.defer, "4.7.1", "Try again later");
}

enum verdict rule_defer_if(struct inquiry *q, const struct rule *rule)
{
	struct about about;

	(void)inquiry_about(q, ABOUT_LIST, &about);
	return (rule->type->detail == DEFER_IF_PERMIT ? defer_if_permit : defer_if_reject)(
		q, 450, "4.7.0", "<%.*s>: %s rejected: defer_if_%s requested", SLICE_FMT(slice_sub(about.name, 0, 256)), about.kind,
		rule->type->detail == DEFER_IF_PERMIT ? "permit" : "reject");
}

enum verdict rule_sleep(struct inquiry *q, const struct rule *rule)
{
	(void)task_sleep(rule->seconds);
	return VERDICT_DUNNO;
}

enum verdict rule_class(struct inquiry *q, const struct rule *rule)
{
	return rules_apply(q, rule->members);
}

/* A notice goes to one: who sends one to many is no mail system. */
enum verdict rule_multi_recipient_bounce(struct inquiry *q, const struct rule *rule)
{
	const struct policy_facts *f = q->facts;
	size_t recipients = f->recipient_count + (f->recipient.len && q->list_subject != ABOUT_DATA &&
						  q->list_subject != ABOUT_END_OF_DATA);
	struct about about = { SLICE("<>"), "Data command", ABOUT_DATA };

	if (!f->has_sender || f->sender.len > 0 || recipients < 2)
		return VERDICT_DUNNO;
	(void)inquiry_about(q, ABOUT_LIST, &about);
	return refuse_about(q, &about, q->policy->codes.multi_recipient_bounce, "5.5.3", "Multi-recipient bounce");
}

enum verdict rule_plaintext(struct inquiry *q, const struct rule *rule)
{
	if (q->facts->tls)
		return VERDICT_DUNNO;
	return refuse(q, q->policy->codes.plaintext, "5.7.1", "Session encryption is required");
}
