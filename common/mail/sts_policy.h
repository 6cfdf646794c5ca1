/* SPDX-License-Identifier: ISC */
/* MTA-STS (RFC 8461): the TXT record, and the policy that is fetched by HTTPS.  Both come from strangers. */
#ifndef POSTRIDER_COMMON_MAIL_STS_POLICY_H
#define POSTRIDER_COMMON_MAIL_STS_POLICY_H

#include "common/base/err.h"
#include "common/base/slice.h"

#define STS_ID_MAX     32
#define STS_MX_MAX     64          /* servers of a policy */
#define STS_POLICY_MAX 65536       /* bytes of its text (section 3.3 advises 64 KiB) */
#define STS_AGE_MAX    31557600u   /* a year */

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };
const char *sts_mode_text(enum sts_mode mode);

struct sts_policy {
	enum sts_mode mode;
	uint64_t max_age;              /* seconds */
	struct slice mx[STS_MX_MAX];   /* "mail.example.com", "*.example.net"; into the text */
	size_t mx_count;
};

/* Is it a record of MTA-STS ("v=STSv1; …")?  Others at the same name do not count. */
bool sts_record_is(struct slice txt);
/* Its id.  False: malformed. */
bool sts_record_parse(struct slice txt, struct slice *id) MUST_USE;
bool sts_policy_parse(struct slice text, struct sts_policy *policy, struct err *err) MUST_USE;
/* Does a pattern of the policy have this host?  "*." stands for exactly one label. */
bool sts_pattern_has(struct slice pattern, struct slice host);

#endif
