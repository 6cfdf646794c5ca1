/* SPDX-License-Identifier: ISC */
/* A configuration of its own for restriction lists, in a folder that is gone when it has been read. */
#ifndef POSTRIDER_TESTS_SUPPORT_POLICY_WORLD_H
#define POSTRIDER_TESTS_SUPPORT_POLICY_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/policy.h"

#define POLICY_WORLD                                                                                        \
	"myhostname = h.example.com\nmydestination = example.com\ninet_interfaces = loopback-only\n"             \
	"mynetworks = 127.0.0.0/8\nalias_maps =\nlocal_recipient_maps = inline:{a=x, b=x}\n"                      \
	"smtpd_restriction_classes = strict\nstrict = check_recipient_access inline:{b@example.com=REJECT}\n"

/* NULL: *err says why the file could not be read. */
static inline struct config *policy_world(const struct config_override *overrides, size_t count, struct err *err)
{
	char dir[] = "/tmp/policy-conf-XXXXXX", path[64];
	struct config *config;
	FILE *f;

	if (!mkdtemp(dir))
		abort();
	(void)snprintf(path, sizeof(path), "%s/main.cf", dir);
	f = fopen(path, "we");
	if (!f)
		abort();
	(void)fputs(POLICY_WORLD, f);
	(void)fclose(f);
	config = config_load(dir, overrides, count, err);
	(void)unlink(path);
	(void)rmdir(dir);
	return config;
}

#endif
