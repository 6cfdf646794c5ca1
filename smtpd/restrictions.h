/* SPDX-License-Identifier: ISC */
/* smtpd_relay_restrictions and smtpd_recipient_restrictions: parsed once, asked at each recipient. */
#ifndef POSTRIDER_SMTPD_RESTRICTIONS_H
#define POSTRIDER_SMTPD_RESTRICTIONS_H

#include "common/config/config.h"
#include "routing/route.h"
#include "smtpd/smtpd.h"

struct restrictions;
/*
 * NULL with an error that names parameter and word: an unknown restriction, or
 * lists by which strangers could relay.
 */
struct restrictions *restrictions_create(const struct config *config, struct err *err) MUST_USE;
/* The recipient operation of struct smtpd_ops; `context` is the struct restrictions. */
bool restrictions_recipient(void *context, const struct smtpd_facts *facts, struct arena *arena,
			    struct smtpd_reply *reply);
bool restrictions_changed(struct restrictions *r);

#endif
