/* SPDX-License-Identifier: ISC */
#include "authn/dns.h"

#include <idn2.h>
#include <stdlib.h>

#define DOMAIN_MAX 253
#define LABEL_MAX  63

static size_t count_labels(struct slice name)
{
	size_t labels = 0, length = 0;

	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (name.len == 0 || name.len > DOMAIN_MAX)
		return 0;
	for (size_t i = 0; i <= name.len; i++) {
		if (i < name.len && name.ptr[i] != '.') {
			if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 127)
				return 0;
			length++;
			continue;
		}
		if (length == 0 || length > LABEL_MAX)
			return 0;
		labels++;
		length = 0;
	}
	return labels;
}

bool authn_domain_valid(struct slice name)
{
	return count_labels(name) > 0;
}

bool authn_domain_full(struct slice name)
{
	return count_labels(name) > 1;
}

void authn_query(const struct authn_dns *dns, struct slice name, enum dns_type type,
		 struct arena *arena, struct dns_answer *answer)
{
	*answer = (struct dns_answer){.status = DNS_NXDOMAIN};
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (authn_domain_valid(name))
		dns->query(dns->context, name, type, arena, answer);
}

bool authn_dns_failed(const struct dns_answer *answer)
{
	return answer->status == DNS_TEMPORARY || answer->status == DNS_BOGUS;
}

struct slice authn_domain(struct arena *arena, struct slice name)
{
	char *text, *ascii = NULL;

	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	text = arena_cstr(arena, name);
	for (size_t i = 0; i < name.len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] + 'a' - 'A');
	if (slice_has_eight_bit(name) && strlen(text) == name.len &&
	    idn2_lookup_u8((const uint8_t *)text, (uint8_t **)&ascii,
			   IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK) {
		text = arena_strdup(arena, ascii);
		free(ascii);
		return slice_of(text);
	}
	return slice_make(text, name.len);
}
