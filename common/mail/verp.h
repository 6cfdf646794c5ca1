/* SPDX-License-Identifier: ISC */
/* Variable envelope return paths: a sender that tells for whom the message was. */
#ifndef POSTRIDER_COMMON_MAIL_VERP_H
#define POSTRIDER_COMMON_MAIL_VERP_H

#include "common/base/str.h"

/* Two printable characters of `filter` (verp_delimiter_filter). */
bool verp_delimiters_valid(struct slice delimiters, const char *filter);
/*
 * owner@list.example and user@site.example with "+=": owner+user=site.example@list.example.  Empty
 * stays empty.
 */
void verp_sender(struct str *out, struct slice delimiters, struct slice sender, struct slice recipient);

#endif
