/* SPDX-License-Identifier: ISC */
#include "common/base/str.h"
#include "common/config/main_cf.h"
#include "common/mail/address.h"
#include "delivery/pipe/pipe.h"

struct expansion {
	const struct pipe_message *m;
	struct arena *arena;
	const struct message_recipient *recipient;
	bool each;                    /* some macro was one of a recipient */
	bool unknown;
};

static struct slice fold(const struct expansion *x, struct slice text, unsigned flag)
{
	struct str out = { 0 };

	if (!(x->m->attributes->flags & flag))
		return text;
	str_append_lower(&out, text);
	text = arena_slice(x->arena, str_slice(&out));
	str_free(&out);
	return text;
}

static struct slice local_part(const struct expansion *x)
{
	struct slice local, domain;

	address_split(x->recipient->address, &local, &domain);
	return fold(x, local, PIPE_FOLD_USER);
}

static struct slice domain_part(const struct expansion *x)
{
	struct slice local, domain;

	address_split(x->recipient->address, &local, &domain);
	return fold(x, domain, PIPE_FOLD_DOMAIN);
}

static struct slice whole(const struct expansion *x, struct slice address)
{
	struct slice local, domain;
	bool quote = x->m->attributes->flags & PIPE_QUOTE;

	address_split(address, &local, &domain);
	if (domain.len > 0)
		address = slice_of(arena_printf(x->arena, "%.*s@%.*s", SLICE_FMT(fold(x, local, PIPE_FOLD_USER)),
						SLICE_FMT(fold(x, domain, PIPE_FOLD_DOMAIN))));
	else
		address = fold(x, address, PIPE_FOLD_USER);
	return quote ? address_quote(x->arena, address) : address;
}

static bool of_recipient(struct expansion *x, struct slice name, struct slice *value)
{
	const struct message_recipient *r = x->recipient;
	struct slice user, extension;

	if (slice_eq(name, SLICE("recipient"))) {
		*value = whole(x, r->address);
	} else if (slice_eq(name, SLICE("original_recipient"))) {
		*value = whole(x, r->original.len > 0 ? r->original : r->address);
	} else if (slice_eq(name, SLICE("mailbox"))) {
		*value = local_part(x);
	} else if (slice_eq(name, SLICE("domain"))) {
		*value = domain_part(x);
	} else if (slice_eq(name, SLICE("user")) || slice_eq(name, SLICE("extension"))) {
		bool split = address_split_extension(local_part(x), x->m->recipient_delimiter, &user, &extension);

		*value = slice_eq(name, SLICE("user")) ? user : split ? extension : SLICE("");
	} else {
		return false;
	}
	return x->each = true;
}

static struct slice sender(const struct expansion *x)
{
	struct slice address = x->m->job->envelope.sender;

	if (address.len == 0)
		address = slice_of(x->m->attributes->null_sender);
	return x->m->attributes->flags & PIPE_QUOTE && address.len > 0 ? address_quote(x->arena, address) : address;
}

static bool of_message(struct expansion *x, struct slice name, struct slice *value)
{
	const struct message_envelope *e = &x->m->job->envelope;
	const struct { const char *name; struct slice value; } known[] = {
		{ "nexthop", fold(x, x->m->job->nexthop, PIPE_FOLD_DOMAIN) }, { "sender", sender(x) },
		{ "queue_id", x->m->job->queue_id }, { "client_address", e->client_address },
		{ "client_helo", e->helo }, { "client_hostname", e->client_name }, { "client_port", e->client_port },
		{ "client_protocol", e->protocol }, { "sasl_method", e->sasl_method },
		{ "sasl_username", e->sasl_login }, { "sasl_sender", SLICE("") }, { "envid", e->envid },
		{ "size", slice_of(arena_printf(x->arena, "%llu", (unsigned long long)x->m->size)) },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!slice_eq(name, slice_of(known[i].name)))
			continue;
		*value = known[i].value;
		return true;
	}
	return false;
}

static const char *lookup(void *context, struct slice name)
{
	struct expansion *x = context;
	struct slice value;

	if (of_recipient(x, name, &value) || of_message(x, name, &value))
		return arena_cstr(x->arena, value);
	x->unknown = true;
	return NULL;
}

static const char *expand(struct expansion *x, const char *word, struct err *err)
{
	struct str out = { 0 };
	const char *result = NULL;

	if (main_cf_expand(slice_of(word), lookup, x, &out, err)) {
		if (x->unknown)
			err_set(err, ERR_SYNTAX, "argv= has a macro that is not known: %s", word);
		else
			result = arena_strdup(x->arena, str_cstr(&out));
	}
	str_free(&out);
	return result;
}

const char *const *pipe_arguments(const struct pipe_message *m, struct arena *arena, struct err *err)
{
	struct expansion x = { .m = m, .arena = arena };
	const char **list = arena_alloc(arena, (PIPE_ARGUMENTS_MAX + 1) * sizeof(*list));
	size_t count = 0;

	for (const char *const *word = m->attributes->argv; *word; word++) {
		x.each = false;
		for (size_t i = 0; i == 0 || (x.each && i < m->job->envelope.recipient_count); i++) {
			x.recipient = &m->job->envelope.recipients[i];
			if (count == PIPE_ARGUMENTS_MAX) {
				err_set(err, ERR_LIMIT, "more than %d arguments", PIPE_ARGUMENTS_MAX);
				return NULL;
			}
			list[count] = expand(&x, *word, err);
			if (!list[count++])
				return NULL;
		}
	}
	return list;
}
