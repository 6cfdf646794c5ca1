/* SPDX-License-Identifier: ISC */
/* smtp_header_checks (header_checks(5)): fields of the header are changed or left out as the message leaves. */
#ifndef POSTRIDER_DELIVERY_SMTP_HEADER_CHECKS_H
#define POSTRIDER_DELIVERY_SMTP_HEADER_CHECKS_H

#include "delivery/smtp/content.h"
#include "tables/table.h"

/*
 * Asks the tables for each field.  DUNNO, IGNORE and STRIP, REPLACE, PREPEND, INFO, WARN; another action is passed over
 * with a warning.  False: a table cannot be asked (*err).  May suspend.
 */
bool smtp_header_checks_apply(struct table_list *checks, struct content *content, const struct delivery_job *job,
			      struct arena *arena, struct err *err) MUST_USE;

#endif
