/* SPDX-License-Identifier: ISC */
#include "authn/author.h"

#include "authn/dns.h"
#include "common/mail/address.h"
#include "common/mail/address_scan.h"

#define ADDRESSES_MAX 100

static bool is_host_name(struct slice name)
{
	if (!authn_domain_full(name))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
		      c == '.'))
			return false;
	}
	return true;
}

static bool has_control(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if ((c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 127)
			return true;
	}
	return false;
}

static const char *add_domain(struct author *author, struct slice domain)
{
	for (size_t i = 0; i < author->count; i++)
		if (slice_eq(author->domain[i], domain))
			return NULL;
	if (author->count == AUTHOR_DOMAINS_MAX)
		return "the From field has too many domains";
	author->domain[author->count++] = domain;
	return NULL;
}

static const char *add_address(struct author *author, const struct address_place *place,
			       struct arena *arena)
{
	struct slice local, domain, name;

	address_split(place->address, &local, &domain);
	if (place->null || local.len == 0 || domain.len == 0)
		return "an address of the From field has no domain";
	name = authn_domain(arena, domain);
	if (!is_host_name(name))
		return "the domain of the From field is malformed";
	/* What some readers cut at, and others do not. */
	if (!place->quoted && (slice_find(local, '@') >= 0 || slice_find(local, ' ') >= 0))
		return "an address of the From field is malformed";
	if (author->address.len == 0)
		author->address = place->address;
	return add_domain(author, name);
}

static const char *read_field(struct author *author, struct slice value, struct arena *arena)
{
	struct address_scan scan = {.rest = value};
	struct address_place place;
	size_t addresses = 0;
	const char *fault = NULL;
	int more = 0;

	if (has_control(value))
		return "the From field has control characters";
	while (!fault && (more = address_scan_next(&scan, arena, &place)) > 0) {
		fault = add_address(author, &place, arena);
		if (!fault && ++addresses > ADDRESSES_MAX)
			fault = "the From field has too many addresses";
	}
	if (!fault && more < 0)
		fault = "the From field is malformed";
	if (!fault && addresses == 0)
		fault = "the From field has no address";
	return fault;
}

void author_read(const struct canon_header *header, struct arena *arena, struct author *author)
{
	const struct header_field *from = NULL;
	size_t fields = 0;

	*author = (struct author){0};
	for (size_t i = 0; i < header->count; i++)
		if (header_is(&header->field[i], "From")) {
			from = &header->field[i];
			fields++;
		}
	if (fields == 0)
		author->fault = "there is no From field";
	else if (fields > 1)
		author->fault = "there are several From fields";
	else if (slice_trim(from->name).len != from->name.len ||
		 from->whole.ptr[from->name.len] != ':')
		author->fault = "white space before the colon of the From field";
	else
		author->fault = read_field(author, from->value, arena);
	if (author->fault)
		author->count = 0;
}
