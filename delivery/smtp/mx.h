/* SPDX-License-Identifier: ISC */
/*
 * Names to addresses: RFC 5321 section 5.  MX hosts in order of preference,
 * equals in random order; a domain without MX is its own host; null MX (RFC 7505); mail that
 * would come back to ourselves; temporary and permanent failures apart.
 */
#ifndef POSTRIDER_DELIVERY_SMTP_MX_H
#define POSTRIDER_DELIVERY_SMTP_MX_H

#include "delivery/smtp/target.h"

/*
 * Both: false fills *failure: 5.1.10 null MX, 5.4.4 no such name, 5.4.6 the mail
 * would come back to us, 4.4.3 anything temporary.
 */
bool smtp_mx_domain(const struct smtp_lookup *lookup, struct slice domain, struct smtp_target_list *list,
			struct smtp_failure *failure) MUST_USE;
bool smtp_mx_host(const struct smtp_lookup *lookup, struct slice host, struct smtp_target_list *list,
		      struct smtp_failure *failure) MUST_USE;

#endif
