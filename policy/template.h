/* SPDX-License-Identifier: ISC */
/* Texts with $names of the session in them: default_rbl_reply, rbl_reply_maps, smtpd_reject_footer. */
#ifndef POSTRIDER_POLICY_TEMPLATE_H
#define POSTRIDER_POLICY_TEMPLATE_H

#include "common/base/str.h"
#include "policy/policy.h"

struct template_extra {                    /* names beyond those of the session; ended by NULL */
	const char *name;
	const char *value;
};

/* False with ERR_SYNTAX: malformed.  A name that is not known, and what is not known yet, is empty. */
bool template_expand(struct str *out, const char *text, const struct policy_facts *facts, const char *server_name,
		     const struct template_extra *extra, struct err *err) MUST_USE;

#endif
