/* SPDX-License-Identifier: ISC */
/* Connecting to one address, in a task. */
#ifndef POSTRIDER_DELIVERY_SMTP_CONNECT_H
#define POSTRIDER_DELIVERY_SMTP_CONNECT_H

#include "delivery/smtp/target.h"

/* A connected, non-blocking descriptor; -1 fills *failure. */
int smtp_connect(const struct smtp_target *target, const struct smtp_settings *settings, struct arena *arena,
		 struct smtp_failure *failure);

#endif
