/* SPDX-License-Identifier: ISC */
#include "authn/dkim.h"

#define CLOCK_SKEW 300 /* seconds that a signer's clock may be ahead */

const char *dkim_result_text(enum dkim_result result)
{
	static const char *const texts[] = {"none",    "pass",      "fail",     "policy",
					    "neutral", "temperror", "permerror"};

	return texts[result];
}

static void settle(struct signature_check *c, enum dkim_result result, const char *reason)
{
	c->result = result;
	c->reason = reason;
}

/* --- one signature --- */

static bool body_is_right(const struct signature *s, const struct canon_bodies *bodies,
			  struct signature_check *c)
{
	uint8_t digest[CANON_DIGEST];
	uint64_t length;

	if (s->body < 0)
		return true; /* a seal has none */
	canon_bodies_digest(bodies, s->body, digest, &length);
	c->partial = s->length < length;
	if (s->length != UINT64_MAX && s->length > length) {
		settle(c, DKIM_PERMERROR, "the body is shorter than l= says");
	} else if (s->bh.len != sizeof(digest) || memcmp(digest, s->bh.ptr, sizeof(digest)) != 0) {
		settle(c, DKIM_FAIL, "the body is not as it was signed");
	} else {
		return true;
	}
	c->failed = DKIM_PART_BODY;
	return false;
}

static bool key_is_usable(const struct signature *s, const struct dkim_key *key,
			  struct signature_check *c)
{
	ptrdiff_t at = slice_rfind(s->identity, '@');
	struct slice identity = slice_sub(s->identity, (size_t)(at + 1), s->identity.len);

	c->bits = key->bits;
	c->testing = key->testing;
	if (key->status == DKIM_KEY_TEMPORARY)
		settle(c, DKIM_TEMPERROR, key->reason);
	else if (key->status != DKIM_KEY_OK)
		settle(c, DKIM_PERMERROR, key->reason);
	else if (key->ed25519 != (s->algorithm == DKIM_ED25519_SHA256))
		settle(c, DKIM_PERMERROR, "the key in DNS is of another algorithm");
	else if (key->strict && s->kind == SIGNATURE_DKIM && !slice_eq_nocase(identity, s->domain))
		settle(c, DKIM_PERMERROR, "the key does not allow subdomains in i=");
	else
		return true;
	return false;
}

void signature_check(const struct signature *s, struct slice header_bytes,
		     const struct canon_bodies *bodies, const struct authn_dns *dns,
		     struct arena *arena, struct signature_check *c)
{
	struct dkim_key key = {0};

	*c = (struct signature_check){.result = DKIM_PASS};
	if (s->algorithm == DKIM_RSA_SHA1) {
		settle(c, DKIM_PERMERROR, "rsa-sha1 is not valid any more");
		return;
	}
	/* Before DNS is asked: much mail fails here. */
	if (!body_is_right(s, bodies, c))
		return;
	dkim_key_fetch(dns, s->domain, s->selector, arena, &key);
	if (key_is_usable(s, &key, c) && !dkim_key_verify(&key, header_bytes, s->b)) {
		settle(c, DKIM_FAIL,
		       "the header is not as it was signed, or the key in DNS is another");
		c->failed = DKIM_PART_HEADER;
	}
	EVP_PKEY_free(key.pkey);
}

/* --- a message --- */

static void prepare_one(struct dkim_message *m, struct dkim_signature *d, size_t field)
{
	struct err err = {0};

	d->field = field;
	d->parsed =
	    signature_parse(SIGNATURE_DKIM, &m->header->field[field], m->arena, &d->s, &err);
	if (!d->parsed) {
		d->result = DKIM_PERMERROR;
		d->reason = arena_printf(m->arena, "malformed signature: %s", err.text);
		return;
	}
	d->s.body = canon_bodies_want(m->bodies, d->s.body_form, d->s.length);
	if (d->s.body < 0) {
		d->parsed = false;
		d->result = DKIM_POLICY;
		d->reason = "signatures of too many kinds";
	}
}

void dkim_prepare(struct dkim_message *m, const struct canon_header *header,
		  struct canon_bodies *bodies, size_t limit, struct arena *arena)
{
	*m = (struct dkim_message){.header = header, .bodies = bodies, .arena = arena};
	limit = limit < DKIM_LIMIT_MAX ? limit : DKIM_LIMIT_MAX;
	m->signature = arena_alloc(arena, (limit + 1) * sizeof(*m->signature));
	for (size_t i = 0; i < header->count; i++) {
		if (!header_is(&header->field[i], "DKIM-Signature"))
			continue;
		if (m->count == limit)
			m->left_out++;
		else
			prepare_one(m, &m->signature[m->count++], i);
	}
}

/* What makes a signature worthless, whatever its key says. */
static const char *refuse_early(const struct dkim_signature *d, uint64_t now)
{
	if (d->s.expires && now > d->s.expires)
		return "the signature has expired";
	if (d->s.time && d->s.time > now + CLOCK_SKEW)
		return "the signature is from the future";
	if (signature_covers(&d->s, "From") == 0)
		return "the From field is not signed";
	return NULL;
}

static void finish_one(struct dkim_message *m, struct dkim_signature *d,
		       const struct authn_dns *dns, uint64_t now)
{
	struct signature_check c;
	struct str bytes = {0};

	d->reason = refuse_early(d, now);
	if (d->reason) {
		d->result = DKIM_PERMERROR;
		return;
	}
	signature_header_bytes(&d->s, m->header, d->field, &bytes);
	signature_check(&d->s, str_slice(&bytes), m->bodies, dns, m->arena, &c);
	str_free(&bytes);
	d->result = c.result;
	d->reason = c.reason;
	d->failed = c.failed;
	d->bits = c.bits;
	d->testing = c.testing;
	d->partial = c.partial;
	if (d->result == DKIM_PASS && d->partial) {
		d->result = DKIM_POLICY;
		d->reason = "l= leaves a part of the body unsigned";
	}
}

void dkim_finish(struct dkim_message *m, const struct authn_dns *dns, uint64_t now)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->signature[i].parsed)
			finish_one(m, &m->signature[i], dns, now);
}
