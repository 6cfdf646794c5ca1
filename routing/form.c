/* SPDX-License-Identifier: ISC */
#include "routing/form.h"

#include "common/mail/address.h"

static void common_style(struct form_style *style, const struct config *config)
{
	*style = (struct form_style){ .percent = config_bool(config, "allow_percent_hack"),
				      .bang = config_bool(config, "swap_bangpath") };
}

void form_style_local(struct form_style *style, const struct config *config)
{
	common_style(style, config);
	if (config_bool(config, "append_at_myorigin"))
		style->origin = slice_of(config_text(config, "myorigin"));
	if (config_bool(config, "append_dot_mydomain"))
		style->domain = slice_of(config_text(config, "mydomain"));
}

void form_style_remote(struct form_style *style, const struct config *config)
{
	common_style(style, config);
	if (config_bool(config, "append_at_myorigin"))
		style->origin = slice_of(config_text(config, "remote_header_rewrite_domain"));
	if (config_bool(config, "append_dot_mydomain"))
		style->domain = slice_of(config_text(config, "remote_header_rewrite_domain"));
}

bool form_is_text(struct slice local)
{
	for (size_t i = 0; i < local.len; i++) {
		unsigned char c = (unsigned char)local.ptr[i];

		if (c <= ' ' || c == 127 || strchr("()<>[]:;@\\,\"", c))
			return true;
		if (c == '.' && (i == 0 || i == local.len - 1 || local.ptr[i - 1] == '.'))
			return true;
	}
	return local.len == 0;
}

bool form_is_route(const struct form_style *style, struct slice local)
{
	return slice_find(local, '@') >= 0 || (style->bang && slice_find(local, '!') >= 0) ||
	       (style->percent && slice_find(local, '%') >= 0);
}

static struct slice join(struct slice local, struct slice domain, struct arena *arena)
{
	return slice_of(arena_printf(arena, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(domain)));
}

static struct slice before(struct slice s, ptrdiff_t at)
{
	return slice_sub(s, 0, (size_t)at);
}

static struct slice behind(struct slice s, ptrdiff_t at)
{
	return slice_sub(s, (size_t)at + 1, s.len);
}

/* An address without '@' gets one, if there is anything to put behind it. */
static struct slice complete(const struct form_style *style, struct slice address, bool literal, struct arena *arena)
{
	ptrdiff_t at;

	if (!literal && style->bang && (at = slice_find(address, '!')) >= 0)
		return join(behind(address, at), before(address, at), arena);
	if (!literal && style->percent && (at = slice_rfind(address, '%')) >= 0)
		return join(before(address, at), behind(address, at), arena);
	return style->origin.len > 0 ? join(address, style->origin, arena) : address;
}

struct slice form_address(const struct form_style *style, struct slice address, bool literal, struct arena *arena)
{
	struct slice local, domain;
	ptrdiff_t at = slice_rfind(address, '@');

	if (address.len == 0 || slice_eq(address, SLICE("@")))
		return SLICE("");
	if (at < 0) {
		address = complete(style, address, literal, arena);
		at = slice_rfind(address, '@');
	}
	if (at < 0)
		return address;
	local = before(address, at);
	domain = behind(address, at);
	/* "user@" stays: it is plain then what is wrong with it. */
	if (style->domain.len > 0 && domain.len > 0 && domain.ptr[0] != '[' && slice_find(domain, '.') < 0)
		return join(local, slice_of(arena_printf(arena, "%.*s.%.*s", SLICE_FMT(domain),
							 SLICE_FMT(style->domain))), arena);
	if (domain.len > 1 && domain.ptr[domain.len - 1] == '.' && domain.ptr[domain.len - 2] != '.')
		return slice_sub(address, 0, address.len - 1);
	return address;
}
