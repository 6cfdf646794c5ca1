/* SPDX-License-Identifier: ISC */
#include <arpa/nameser.h>
#include <resolv.h>

#include "common/base/cursor.h"
#include "common/proto/dns_wire.h"

#define CHAIN_MAX       10
#define RECORDS_MAX     256
#define NEGATIVE_TTL    60
#define TYPE_OPT        41
#define TYPE_SOA        6
#define OPTION_EDE      15
#define FLAG_RD         0x0100
#define FLAG_AD         0x0020

/* --- queries --- */

static bool put_name(struct packer *p, struct slice name)
{
	struct slice label;
	bool more = true;

	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name = slice_sub(name, 0, name.len - 1);
	if (name.len == 0 || name.len > 253)
		return false;
	while (more) {
		more = slice_cut(&name, '.', &label);
		if (label.len == 0 || label.len > 63)
			return false;
		packer_u8(p, (uint8_t)label.len);
		packer_bytes(p, label);
	}
	packer_u8(p, 0);
	return !p->failed;
}

size_t wire_query(uint16_t id, struct slice name, enum dns_type type, uint8_t out[WIRE_QUERY_MAX])
{
	static const uint16_t counts[4] = { 1, 0, 0, 1 };
	struct packer p = packer_make(out, WIRE_QUERY_MAX);

	packer_u16_be(&p, id);
	packer_u16_be(&p, FLAG_RD | FLAG_AD);
	for (int i = 0; i < 4; i++)
		packer_u16_be(&p, counts[i]);
	if (!put_name(&p, name))
		return 0;
	packer_u16_be(&p, (uint16_t)type);
	packer_u16_be(&p, 1);
	packer_u8(&p, 0); /* EDNS: the root's OPT record */
	packer_u16_be(&p, TYPE_OPT);
	packer_u16_be(&p, WIRE_UDP_SIZE);
	packer_u32(&p, 0);
	packer_u16_be(&p, 0);
	return p.failed ? 0 : p.len;
}

/* --- answers --- */

/* Lower case, without the last dot; the root is ".". */
static struct slice clean_name(const char *text, struct arena *arena)
{
	size_t len = strlen(text);
	char *copy = arena_alloc(arena, len + 2);

	if (len == 0 || strcmp(text, ".") == 0) {
		copy[0] = '.';
		return slice_make(copy, 1);
	}
	if (text[len - 1] == '.')
		len--;
	for (size_t i = 0; i < len; i++)
		copy[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
	return slice_make(copy, len);
}

/* A name inside rdata that starts `skip` bytes in. */
static bool rdata_name(ns_msg *msg, const ns_rr *rr, size_t skip, struct arena *arena, struct slice *name)
{
	char text[NS_MAXDNAME];

	if (ns_rr_rdlen(*rr) <= skip ||
	    dn_expand(ns_msg_base(*msg), ns_msg_end(*msg), ns_rr_rdata(*rr) + skip, text, sizeof(text)) < 0)
		return false;
	*name = clean_name(text, arena);
	return true;
}

/* TXT: the strings joined. */
static bool take_txt(const ns_rr *rr, struct arena *arena, struct dns_record *r)
{
	struct cursor c = cursor_make(ns_rr_rdata(*rr), ns_rr_rdlen(*rr));
	char *text = arena_alloc(arena, ns_rr_rdlen(*rr) + 1u);
	size_t len = 0;

	while (cursor_left(&c) > 0) {
		struct slice piece = cursor_bytes(&c, cursor_u8(&c));

		if (piece.len)
			memcpy(text + len, piece.ptr, piece.len);
		len += piece.len;
	}
	r->data = slice_make(text, len);
	return !c.failed;
}

/* False: malformed; such a record is left out. */
static bool take_record(ns_msg *msg, const ns_rr *rr, struct arena *arena, struct dns_record *r)
{
	struct cursor c = cursor_make(ns_rr_rdata(*rr), ns_rr_rdlen(*rr));

	*r = (struct dns_record){ .type = (enum dns_type)ns_rr_type(*rr), .ttl = ns_rr_ttl(*rr) };
	switch (r->type) {
	case DNS_A:
	case DNS_AAAA:
		r->data = arena_slice(arena, slice_make(c.base, c.len));
		return c.len == (r->type == DNS_A ? 4 : 16);
	case DNS_MX:
		r->preference = cursor_u16_be(&c);
		return !c.failed && rdata_name(msg, rr, 2, arena, &r->name);
	case DNS_PTR:
	case DNS_NS:
	case DNS_CNAME:
		return rdata_name(msg, rr, 0, arena, &r->name);
	case DNS_TXT:
		return take_txt(rr, arena, r);
	case DNS_TLSA:
		r->data = arena_slice(arena, slice_make(c.base, c.len));
		return c.len > 3;
	}
	return false;
}

/* The library writes bytes like a space as \032, a dot in a label as "\.": back to what they are, in place. */
static void undo_escapes(char *text)
{
	char *to = text;

	for (const char *c = text; *c; c++) {
		if (c[0] == '\\' && c[1] >= '0' && c[1] <= '9' && c[2] && c[3]) {
			*to++ = (char)((c[1] - '0') * 100 + (c[2] - '0') * 10 + (c[3] - '0'));
			c += 3;
		} else {
			if (c[0] == '\\' && c[1])
				c++;
			*to++ = *c;
		}
	}
	*to = '\0';
}

static bool same_name(const char *a, struct slice b)
{
	char plain[NS_MAXDNAME];
	struct slice s = slice_of(a);

	if (slice_find(s, '\\') >= 0 && s.len < sizeof(plain) && slice_find(b, '\\') < 0) {
		memcpy(plain, a, s.len + 1);
		undo_escapes(plain);
		s = slice_of(plain);
	}

	if (s.len > 0 && s.ptr[s.len - 1] == '.')
		s = slice_sub(s, 0, s.len - 1);
	if (b.len > 0 && b.ptr[b.len - 1] == '.')
		b = slice_sub(b, 0, b.len - 1);
	return slice_eq_nocase(s, b);
}

static bool question_is_ours(ns_msg *msg, struct slice name, enum dns_type type)
{
	ns_rr rr;

	return ns_msg_count(*msg, ns_s_qd) == 1 && ns_parserr(msg, ns_s_qd, 0, &rr) == 0 &&
	       same_name(ns_rr_name(rr), name) && (int)ns_rr_type(rr) == (int)type;
}

/* Follows CNAMEs from the question's name as far as the answer goes. */
static struct slice follow_cnames(ns_msg *msg, struct slice name, struct arena *arena, uint32_t *ttl)
{
	for (int steps = 0; steps < CHAIN_MAX; steps++) {
		bool moved = false;
		ns_rr rr;

		for (int i = 0; i < ns_msg_count(*msg, ns_s_an) && !moved; i++) {
			if (ns_parserr(msg, ns_s_an, i, &rr) != 0 || ns_rr_type(rr) != ns_t_cname ||
			    !same_name(ns_rr_name(rr), name) || !rdata_name(msg, &rr, 0, arena, &name))
				continue;
			if (ns_rr_ttl(rr) < *ttl)
				*ttl = ns_rr_ttl(rr);
			moved = true;
		}
		if (!moved)
			break;
	}
	return name;
}

/* RFC 2308: the SOA's TTL and its minimum field, whichever is less. */
static uint32_t negative_ttl(ns_msg *msg)
{
	ns_rr rr;

	for (int i = 0; i < ns_msg_count(*msg, ns_s_ns); i++) {
		if (ns_parserr(msg, ns_s_ns, i, &rr) != 0 || ns_rr_type(rr) != TYPE_SOA || ns_rr_rdlen(rr) < 22)
			continue;
		struct cursor c = cursor_make(ns_rr_rdata(rr) + ns_rr_rdlen(rr) - 4, 4);
		uint32_t minimum = cursor_u32_be(&c);

		return minimum < ns_rr_ttl(rr) ? minimum : ns_rr_ttl(rr);
	}
	return NEGATIVE_TTL;
}

/* SERVFAIL with an extended error (RFC 8914) of DNSSEC: 6 to 10. */
static bool is_bogus(ns_msg *msg)
{
	ns_rr rr;

	for (int i = 0; i < ns_msg_count(*msg, ns_s_ar); i++) {
		if (ns_parserr(msg, ns_s_ar, i, &rr) != 0 || ns_rr_type(rr) != TYPE_OPT)
			continue;
		struct cursor c = cursor_make(ns_rr_rdata(rr), ns_rr_rdlen(rr));

		while (cursor_left(&c) >= 4) {
			uint16_t option = cursor_u16_be(&c);
			struct slice data = cursor_bytes(&c, cursor_u16_be(&c));
			struct cursor code = cursor_make(data.ptr, data.len);
			uint16_t info = cursor_u16_be(&code);

			if (option == OPTION_EDE && !code.failed && info >= 6 && info <= 10)
				return true;
		}
	}
	return false;
}

static void take_records(ns_msg *msg, enum dns_type type, struct arena *arena, struct dns_answer *answer,
			 uint32_t *ttl)
{
	int count = ns_msg_count(*msg, ns_s_an);
	ns_rr rr;

	answer->records = arena_alloc(arena, RECORDS_MAX * sizeof(*answer->records));
	for (int i = 0; i < count && answer->count < RECORDS_MAX; i++) {
		if (ns_parserr(msg, ns_s_an, i, &rr) != 0 || (int)ns_rr_type(rr) != (int)type ||
		    !same_name(ns_rr_name(rr), answer->canonical) ||
		    !take_record(msg, &rr, arena, &answer->records[answer->count]))
			continue;
		if (ns_rr_ttl(rr) < *ttl)
			*ttl = ns_rr_ttl(rr);
		answer->count++;
	}
}

enum wire_result wire_answer(struct slice packet, uint16_t id, struct slice name, enum dns_type type, bool trusted,
			     struct arena *arena, struct dns_answer *answer, uint32_t *ttl)
{
	ns_msg msg;
	int code;

	*answer = (struct dns_answer){ .status = DNS_TEMPORARY };
	*ttl = UINT32_MAX;
	if (packet.len < NS_HFIXEDSZ || packet.len > 65535 ||
	    ns_initparse((const unsigned char *)packet.ptr, (int)packet.len, &msg) != 0)
		return WIRE_NOT_OURS;
	if (ns_msg_id(msg) != id || !ns_msg_getflag(msg, ns_f_qr) || !question_is_ours(&msg, name, type))
		return WIRE_NOT_OURS;
	if (ns_msg_getflag(msg, ns_f_tc))
		return WIRE_TRUNCATED;
	code = ns_msg_getflag(msg, ns_f_rcode);
	if (code == ns_r_servfail && is_bogus(&msg)) {
		answer->status = DNS_BOGUS;
		*ttl = NEGATIVE_TTL;
		return WIRE_OK;
	}
	if (code != ns_r_noerror && code != ns_r_nxdomain)
		return WIRE_SERVER;
	answer->secure = trusted && ns_msg_getflag(msg, ns_f_ad);
	answer->canonical = follow_cnames(&msg, name, arena, ttl);
	take_records(&msg, type, arena, answer, ttl);
	answer->status = answer->count ? DNS_OK : code == ns_r_nxdomain ? DNS_NXDOMAIN : DNS_NODATA;
	if (answer->count == 0) {
		uint32_t negative = negative_ttl(&msg);

		*ttl = negative < *ttl ? negative : *ttl;
	}
	return WIRE_OK;
}
