/* SPDX-License-Identifier: ISC */
/* Mail exchangers of a domain (RFC 5321 §5) and addresses of a host, by the resolver. */
#ifndef POSTRIDER_DELIVERY_SMTP_MX_H
#define POSTRIDER_DELIVERY_SMTP_MX_H

#include "common/proto/resolver_proto.h"
#include "delivery/smtp/target.h"

/*
 * Fills *list in the order to try: by preference, equals at random, at most
 * settings->address_limit.  `use_mx` false: the name is a host.  Failures: 5.1.10 null MX (RFC
 * 7505), 5.4.4 no such domain, 5.4.6 the mail would come back to us, 4.4.3 anything temporary.
 */
bool smtp_mx_find(struct ipc_client *resolver, const struct smtp_nexthop *nexthop,
		  const struct smtp_settings *settings, struct arena *arena, struct smtp_target_list *list,
		  struct smtp_failure *failure) MUST_USE;

#endif
