/* SPDX-License-Identifier: ISC */
#include "common/mail/message_codec.h"

enum tag {
	TAG_END,
	TAG_SENDER, TAG_FULL_NAME, TAG_CLIENT_NAME, TAG_CLIENT_ADDRESS, TAG_CLIENT_PORT, TAG_HELO,
	TAG_PROTOCOL, TAG_SASL_METHOD, TAG_SASL_LOGIN, TAG_ENVID, TAG_FILTER,
	TAG_REDIRECT, TAG_PREPEND, TAG_TLS, TAG_TLS_PEER,
	TAG_VERP = 24,
	TAG_ORIGIN = 32, TAG_UID, TAG_RET, TAG_FLAGS, TAG_ARRIVAL,
	TAG_DELIVER_BY = 40
};

static const struct {
	uint64_t bit;
	size_t offset;
} flags[] = {
	{ 1, offsetof(struct message_envelope, body_8bitmime) },
	{ 2, offsetof(struct message_envelope, smtputf8) },
	{ 4, offsetof(struct message_envelope, rewrite_header) },
	{ 8, offsetof(struct message_envelope, hold) },
	{ 16, offsetof(struct message_envelope, discard) },
	{ 32, offsetof(struct message_envelope, no_address_mappings) },
	{ 64, offsetof(struct message_envelope, no_header_body_checks) },
	{ 128, offsetof(struct message_envelope, show_login) },
	{ 1 << 16, offsetof(struct message_envelope, by_return) },
	{ 1 << 17, offsetof(struct message_envelope, by_trace) },
	{ 1 << 18, offsetof(struct message_envelope, foreign) },
};
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

static const struct {
	uint8_t tag;
	size_t offset;
} texts[] = {
	{ TAG_SENDER, offsetof(struct message_envelope, sender) },
	{ TAG_FULL_NAME, offsetof(struct message_envelope, sender_full_name) },
	{ TAG_CLIENT_NAME, offsetof(struct message_envelope, client_name) },
	{ TAG_CLIENT_ADDRESS, offsetof(struct message_envelope, client_address) },
	{ TAG_CLIENT_PORT, offsetof(struct message_envelope, client_port) },
	{ TAG_HELO, offsetof(struct message_envelope, helo) },
	{ TAG_PROTOCOL, offsetof(struct message_envelope, protocol) },
	{ TAG_SASL_METHOD, offsetof(struct message_envelope, sasl_method) },
	{ TAG_SASL_LOGIN, offsetof(struct message_envelope, sasl_login) },
	{ TAG_ENVID, offsetof(struct message_envelope, envid) },
	{ TAG_FILTER, offsetof(struct message_envelope, filter) },
	{ TAG_REDIRECT, offsetof(struct message_envelope, redirect) },
	{ TAG_PREPEND, offsetof(struct message_envelope, prepend) },
	{ TAG_TLS, offsetof(struct message_envelope, tls) },
	{ TAG_TLS_PEER, offsetof(struct message_envelope, tls_peer) },
	{ TAG_VERP, offsetof(struct message_envelope, verp) },
};

static void put_little(struct str *out, uint64_t v, size_t bytes)
{
	char raw[8];

	for (size_t i = 0; i < bytes; i++)
		raw[i] = (char)(v >> (8 * i));
	str_append(out, slice_make(raw, bytes));
}

void message_put_u16(struct str *out, uint16_t v)
{
	put_little(out, v, 2);
}

void message_put_u32(struct str *out, uint32_t v)
{
	put_little(out, v, 4);
}

void message_put_u64(struct str *out, uint64_t v)
{
	put_little(out, v, 8);
}

static void put_number(struct str *out, enum tag tag, uint64_t value)
{
	str_append_byte(out, (char)tag);
	message_put_u32(out, 8);
	message_put_u64(out, value);
}

static uint64_t flags_of(const struct message_envelope *e)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < FLAG_COUNT; i++)
		if (*(const bool *)((const char *)e + flags[i].offset))
			bits |= flags[i].bit;
	return bits;
}

/* Good for 290,000 years, and no foreign double comes in. */
static uint64_t microseconds(double time)
{
	return time > 0 && time < 9e12 ? (uint64_t)(time * 1e6) : 0;
}

bool message_envelope_encode(struct str *out, const struct message_envelope *e)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const struct slice *text = (const void *)((const char *)e + texts[i].offset);

		if (text->len > MESSAGE_TEXT_MAX)
			return false;
		if (text->len == 0)
			continue;
		str_append_byte(out, (char)texts[i].tag);
		message_put_u32(out, (uint32_t)text->len);
		str_append(out, *text);
	}
	put_number(out, TAG_ORIGIN, (uint8_t)e->origin);
	put_number(out, TAG_UID, e->uid);
	put_number(out, TAG_RET, (uint64_t)e->ret);
	put_number(out, TAG_FLAGS, flags_of(e));
	put_number(out, TAG_ARRIVAL, microseconds(e->arrival));
	if (e->deliver_by > 0)
		put_number(out, TAG_DELIVER_BY, microseconds(e->deliver_by));
	str_append_byte(out, TAG_END);
	return true;
}

static struct slice keep(struct arena *arena, struct slice s)
{
	return arena ? arena_slice(arena, s) : s;
}

static bool valid_origin(uint64_t v)
{
	return v == ORIGIN_SMTP || v == ORIGIN_LOCAL || v == ORIGIN_BOUNCE || v == ORIGIN_FORWARD;
}

/* False when the value cannot be. */
static bool store_number(struct message_envelope *e, enum tag tag, uint64_t v)
{
	switch (tag) {
	case TAG_ORIGIN:
		e->origin = (enum message_origin)v;
		return valid_origin(v);
	case TAG_UID:
		e->uid = (uint32_t)v;
		return v <= UINT32_MAX;
	case TAG_RET:
		e->ret = (enum message_ret)(v <= RET_HDRS ? v : 0);
		return v <= RET_HDRS;
	case TAG_FLAGS:
		for (size_t i = 0; i < FLAG_COUNT; i++)
			*(bool *)((char *)e + flags[i].offset) = v & flags[i].bit;
		return true;
	case TAG_ARRIVAL:
	case TAG_DELIVER_BY:
		*(tag == TAG_ARRIVAL ? &e->arrival : &e->deliver_by) = (double)v / 1e6;
		return v <= UINT64_C(9000000000000) * 1000000;
	default:
		return true; /* of a later version */
	}
}

static bool store_text(struct message_envelope *e, uint8_t tag, struct slice value, struct arena *arena)
{
	if (value.len > MESSAGE_TEXT_MAX)
		return false;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].tag == tag)
			*(struct slice *)((char *)e + texts[i].offset) = keep(arena, value);
	return true;
}

bool message_envelope_decode(struct cursor *c, struct arena *arena, struct message_envelope *e)
{
	*e = (struct message_envelope){ 0 };
	for (;;) {
		uint8_t tag = cursor_u8(c);

		if (tag == TAG_END)
			return !c->failed && valid_origin((uint64_t)e->origin);
		struct slice value = cursor_bytes(c, cursor_u32(c));

		if (c->failed)
			return false;
		if (tag < TAG_ORIGIN) {
			if (!store_text(e, tag, value, arena))
				return false;
			continue;
		}
		struct cursor number = cursor_make(value.ptr, value.len);

		if (value.len != 8 || !store_number(e, (enum tag)tag, cursor_u64(&number)))
			return false;
	}
}

bool message_recipient_encode(struct str *out, const struct message_recipient *r)
{
	if (r->address.len > MESSAGE_TEXT_MAX || r->original.len > MESSAGE_TEXT_MAX ||
	    r->orcpt.len > MESSAGE_TEXT_MAX)
		return false;
	str_append_byte(out, (char)r->notify);
	message_put_u16(out, (uint16_t)r->address.len);
	message_put_u16(out, (uint16_t)r->original.len);
	message_put_u16(out, (uint16_t)r->orcpt.len);
	str_append(out, r->address);
	str_append(out, r->original);
	str_append(out, r->orcpt);
	return true;
}

bool message_recipient_decode(struct cursor *c, struct arena *arena, struct message_recipient *r)
{
	*r = (struct message_recipient){ .status = RECIPIENT_PENDING };
	r->notify = cursor_u8(c);
	uint16_t address = cursor_u16(c), original = cursor_u16(c), orcpt = cursor_u16(c);

	r->address = cursor_bytes(c, address);
	r->original = cursor_bytes(c, original);
	r->orcpt = cursor_bytes(c, orcpt);
	if (c->failed || address > MESSAGE_TEXT_MAX || original > MESSAGE_TEXT_MAX || orcpt > MESSAGE_TEXT_MAX ||
	    r->notify > (NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY))
		return false;
	r->address = keep(arena, r->address);
	r->original = keep(arena, r->original);
	r->orcpt = keep(arena, r->orcpt);
	return true;
}
