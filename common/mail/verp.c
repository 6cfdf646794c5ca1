/* SPDX-License-Identifier: ISC */
#include "common/mail/verp.h"

bool verp_delimiters_valid(struct slice delimiters, const char *filter)
{
	return delimiters.len == 2 && slice_find(slice_of(filter), delimiters.ptr[0]) >= 0 &&
	       slice_find(slice_of(filter), delimiters.ptr[1]) >= 0;
}

/* Before and after the last '@'. */
static void split(struct slice address, struct slice *local, struct slice *domain)
{
	ptrdiff_t at = slice_rfind(address, '@');

	*local = at < 0 ? address : slice_sub(address, 0, (size_t)at);
	*domain = at < 0 ? SLICE_NONE : slice_sub(address, (size_t)at + 1, address.len);
}

void verp_sender(struct str *out, struct slice delimiters, struct slice sender, struct slice recipient)
{
	struct slice owner, origin, user, site;

	if (sender.len == 0 || delimiters.len != 2)
		return;
	split(sender, &owner, &origin);
	split(recipient, &user, &site);
	str_append(out, owner);
	str_append_byte(out, delimiters.ptr[0]);
	str_append(out, user);
	if (site.len > 0) {
		str_append_byte(out, delimiters.ptr[1]);
		str_append(out, site);
	}
	if (origin.len > 0) {
		str_append_byte(out, '@');
		str_append(out, origin);
	}
}
