/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/forward.h"

#define VALUE_MAX 255u   /* of an attribute, as Postfix has it */

void smtp_put_xtext(struct str *out, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c > 32 && c < 127 && c != '+' && c != '=')
			str_append_byte(out, (char)c);
		else
			str_printf(out, "+%02X", c);
	}
}

struct attribute {
	const char *name;
	unsigned feature;
	struct slice value;
};

static struct slice make_command(const struct attribute *list, size_t count, unsigned features, struct arena *arena)
{
	struct str out = { 0 };
	struct slice made = SLICE_NONE;

	for (size_t i = 0; i < count; i++) {
		if (!(features & list[i].feature))
			continue;
		str_printf(&out, "%s %s=", out.len > 0 ? "" : "XFORWARD", list[i].name);
		if (list[i].value.len > 0)
			smtp_put_xtext(&out, slice_sub(list[i].value, 0, VALUE_MAX));
		else
			str_append_text(&out, "[UNAVAILABLE]");
	}
	if (out.len > 0) {
		str_append_text(&out, "\r\n");
		made = arena_slice(arena, str_slice(&out));
	}
	str_free(&out);
	return made;
}

size_t smtp_forward_commands(const struct smtp_delivery *d, unsigned features, struct slice command[SMTP_FORWARD_MAX])
{
	const struct message_envelope *e = &d->job->envelope;
	bool local = e->origin != ORIGIN_SMTP;
	struct slice address = slice_find(e->client_address, ':') < 0 ? e->client_address :
				       slice_of(arena_printf(d->arena, "IPv6:%.*s", SLICE_FMT(e->client_address)));
	const struct attribute who[] = {
		{ "NAME", SMTP_XF_NAME, local ? SLICE("localhost") : e->client_name },
		{ "ADDR", SMTP_XF_ADDR, local ? SLICE("127.0.0.1") : address },
		{ "PORT", SMTP_XF_PORT, e->client_port },
	};
	/* SMTP and ESMTP are all that the attribute knows. */
	const struct attribute how[] = {
		{ "PROTO", SMTP_XF_PROTO, local ? SLICE_NONE : slice_eq(e->protocol, SLICE("SMTP")) ? e->protocol : SLICE("ESMTP") },
		{ "HELO", SMTP_XF_HELO, e->helo },
		{ "IDENT", SMTP_XF_IDENT, d->job->queue_id },
		{ "SOURCE", SMTP_XF_SOURCE, local || e->rewrite_header ? SLICE("LOCAL") : SLICE("REMOTE") },
	};
	size_t count = 0;

	command[count] = make_command(who, sizeof(who) / sizeof(who[0]), features, d->arena);
	count += command[count].len > 0;
	command[count] = make_command(how, sizeof(how) / sizeof(how[0]), features, d->arena);
	return count + (command[count].len > 0);
}
