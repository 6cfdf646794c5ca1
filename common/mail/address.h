/* SPDX-License-Identifier: ISC */
/*
 * Mail addresses.  Inside Postrider an address is in internal form: local
 * part unquoted, '@', domain (as Postfix does); quoted again where it leaves for SMTP or a header.
 */
#ifndef POSTRIDER_COMMON_MAIL_ADDRESS_H
#define POSTRIDER_COMMON_MAIL_ADDRESS_H

#include "common/base/arena.h"
#include "common/base/err.h"

/*
 * An RFC 5321 path as it follows MAIL FROM: or RCPT TO: — "<a@b>", "<>",
 * "<@r1,@r2:a@b>" (source route: dropped), "<\"quoted local\"@b>"; without brackets when
 * `strict` is false.  *rest is what follows the path (parameters).  UTF-8 only with `utf8`.
 */
bool address_parse_path(struct slice input, bool strict, bool utf8, struct arena *arena,
			struct slice *address, struct slice *rest, struct err *err) MUST_USE;
/* Splits at the last '@': local part and domain (empty without '@'). */
void address_split(struct slice address, struct slice *local, struct slice *domain);
/* "user+ext" → user, ext; delimiters is recipient_delimiter (a set).  Special names as Postfix (owner-, double-bounce, -request) do not split. False without an extension. */
bool address_split_extension(struct slice local, const char *delimiters, struct slice *user, struct slice *extension);
/* Internal form → RFC 5321 form: local part quoted where needed. */
struct slice address_quote(struct arena *arena, struct slice address);
/* Addresses of a header field's value (RFC 5322 mailbox and group lists, comments, quoted strings, encoded words untouched, obsolete routes), internal form. */
struct address_list { struct slice *address; struct slice *phrase; size_t count; };
bool address_parse_list(struct slice value, struct arena *arena, struct address_list *list, struct err *err) MUST_USE;
bool address_is_ascii(struct slice text);
bool address_valid_utf8(struct slice text);
/* RFC 5321 domain or "[1.2.3.4]", "[IPv6:…]"; labels, lengths. */
bool address_valid_hostname(struct slice name);
bool address_valid_literal(struct slice text);

#endif
