/* SPDX-License-Identifier: ISC */
#include "authn/arc.h"

#include "common/sasl/base64.h"

const char *arc_result_text(enum arc_result result)
{
	static const char *const texts[] = {"none", "pass", "fail", "temperror"};

	return texts[result];
}

static void broken(struct arc_message *m, size_t instance, const char *reason)
{
	if (m->answer.result != ARC_NONE)
		return;
	m->answer.result = ARC_FAIL;
	m->answer.failed = instance;
	m->answer.reason = reason;
}

/* --- reading --- */

/* "i=N;" at the front of ARC-Authentication-Results. */
static bool results_instance(struct slice value, uint64_t *instance, struct slice *text)
{
	struct slice head, name;

	if (!slice_cut(&value, ';', &head) || !slice_cut(&head, '=', &name) ||
	    !slice_eq_nocase(slice_trim(name), SLICE("i")))
		return false;
	*text = slice_trim(value);
	return slice_to_u64(slice_trim(head), instance);
}

static struct arc_set *place(struct arc_message *m, uint64_t instance)
{
	if (instance < 1 || instance > ARC_SETS_MAX) {
		broken(m, 0, "a set has no usable number");
		return NULL;
	}
	if (instance > m->answer.count)
		m->answer.count = (size_t)instance;
	return &m->answer.set[instance - 1];
}

static void take_results(struct arc_message *m, const struct header_field *f)
{
	struct arc_set *set;
	struct slice text = SLICE_NONE;
	uint64_t instance = 0;

	if (!results_instance(f->value, &instance, &text))
		instance = 0;
	set = place(m, instance);
	if (set && set->results)
		broken(m, (size_t)instance, "a set has two ARC-Authentication-Results");
	if (set) {
		set->results = f;
		set->results_text = text;
	}
}

static void take_signature(struct arc_message *m, size_t field, enum signature_kind kind)
{
	struct signature s;
	struct err err;
	struct arc_set *set;
	bool *has;

	if (!signature_parse(kind, &m->header->field[field], m->arena, &s, &err)) {
		broken(m, (size_t)s.instance,
		       arena_printf(m->arena, "a malformed field: %s", err.text));
		return;
	}
	set = place(m, s.instance);
	if (!set)
		return;
	has = kind == SIGNATURE_ARC_SEAL ? &set->has_seal : &set->has_message;
	if (*has)
		broken(m, (size_t)s.instance, "a set has a field twice");
	*has = true;
	if (kind == SIGNATURE_ARC_SEAL) {
		set->seal = s;
	} else {
		set->message = s;
		set->message_field = field;
	}
}

/* What can be seen without keys: all there, and every seal but the first says that the chain was
 * whole. */
static void check_form(struct arc_message *m)
{
	struct arc_answer *a = &m->answer;

	for (size_t i = 0; i < a->count; i++) {
		const struct arc_set *set = &a->set[i];
		bool first = i == 0;

		if (!set->results || !set->has_message || !set->has_seal) {
			broken(m, i + 1, "a set is not complete");
			return;
		}
		if (slice_eq_nocase(set->seal.cv, SLICE("fail"))) {
			a->ended = a->ended || i + 1 == a->count;
			broken(m, i + 1, "a seal says that the chain was broken before it");
		} else if (!slice_eq_nocase(set->seal.cv, first ? SLICE("none") : SLICE("pass"))) {
			broken(m, i + 1, "a seal has a cv= that cannot be");
		}
		if (signature_covers(&set->message, "ARC-Seal") > 0)
			broken(m, i + 1, "an ARC-Message-Signature signs a seal");
	}
}

void arc_prepare(struct arc_message *m, const struct canon_header *header,
		 struct canon_bodies *bodies, struct arena *arena)
{
	*m = (struct arc_message){.header = header, .bodies = bodies, .arena = arena};
	for (size_t i = 0; i < header->count; i++) {
		const struct header_field *f = &header->field[i];

		if (f->name.len < 8 || !slice_starts_nocase(f->name, SLICE("ARC-")))
			continue;
		if (!m->answer.set)
			m->answer.set = arena_alloc(arena, ARC_SETS_MAX * sizeof(struct arc_set));
		if (header_is(f, "ARC-Authentication-Results"))
			take_results(m, f);
		else if (header_is(f, "ARC-Message-Signature"))
			take_signature(m, i, SIGNATURE_ARC_MESSAGE);
		else if (header_is(f, "ARC-Seal"))
			take_signature(m, i, SIGNATURE_ARC_SEAL);
	}
	check_form(m);
	if (m->answer.count == 0 || m->answer.result != ARC_NONE)
		return;
	/* Earlier ones need not hold any more: whoever sealed later may have changed the message.
	 */
	struct signature *last = &m->answer.set[m->answer.count - 1].message;

	last->body = canon_bodies_want(bodies, last->body_form, last->length);
	if (last->body < 0)
		broken(m, m->answer.count, "signatures of too many kinds");
}

/* --- verifying --- */

static bool settle(struct arc_message *m, size_t instance, const char *field,
		   const struct signature_check *c)
{
	if (c->result == DKIM_PASS)
		return true;
	m->answer.result = c->result == DKIM_TEMPERROR ? ARC_TEMPERROR : ARC_FAIL;
	m->answer.failed = instance;
	m->answer.reason = arena_printf(m->arena, "%s of set %zu: %s", field, instance, c->reason);
	return false;
}

static void seal_bytes(const struct arc_answer *a, size_t count, struct str *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct arc_set *set = &a->set[i];

		canon_field(CANON_RELAXED, set->results->whole, out);
		canon_field(CANON_RELAXED, set->message.whole, out);
		if (i + 1 < count)
			canon_field(CANON_RELAXED, set->seal.whole, out);
	}
	canon_signature(CANON_RELAXED, a->set[count - 1].seal.whole, a->set[count - 1].seal.b_raw,
			out);
}

static bool check_last_message(struct arc_message *m, const struct authn_dns *dns)
{
	const struct arc_set *last = &m->answer.set[m->answer.count - 1];
	struct signature_check c;
	struct str bytes = {0};

	signature_header_bytes(&last->message, m->header, last->message_field, &bytes);
	signature_check(&last->message, str_slice(&bytes), m->bodies, dns, m->arena, &c);
	str_free(&bytes);
	if (c.result == DKIM_PASS && c.partial) {
		c.result = DKIM_FAIL;
		c.reason = "l= leaves a part of the body unsigned";
	}
	return settle(m, m->answer.count, "ARC-Message-Signature", &c);
}

void arc_finish(struct arc_message *m, const struct authn_dns *dns)
{
	if (m->answer.count == 0 || m->answer.result != ARC_NONE || !check_last_message(m, dns))
		return;
	for (size_t i = m->answer.count; i > 0; i--) {
		struct signature_check c;
		struct str bytes = {0};

		seal_bytes(&m->answer, i, &bytes);
		signature_check(&m->answer.set[i - 1].seal, str_slice(&bytes), m->bodies, dns,
				m->arena, &c);
		str_free(&bytes);
		if (!settle(m, i, "ARC-Seal", &c))
			return;
	}
	m->answer.result = ARC_PASS;
}

/* --- sealing --- */

struct sealing {
	const struct arc_seal *seal;
	const struct arc_message *chain;
	size_t instance;
	const char *cv, *algorithm;
	struct str results, message, ours;
};

static bool make_message_signature(struct sealing *s, int body, struct err *err)
{
	const struct dkim_sign *sign = &s->seal->sign;
	struct str names = {0}, bytes = {0}, b = {0};
	uint8_t digest[CANON_DIGEST];
	uint64_t length;
	bool ok;

	dkim_sign_names(sign, s->chain->header, &names);
	canon_bodies_digest(s->chain->bodies, body, digest, &length);
	str_printf(&s->message,
		   "ARC-Message-Signature: i=%zu; a=%s; c=relaxed/%s;\r\n\td=%.*s; "
		   "s=%.*s;\r\n\tt=%llu; bh=",
		   s->instance, s->algorithm,
		   sign->body_form == CANON_RELAXED ? "relaxed" : "simple", SLICE_FMT(sign->domain),
		   SLICE_FMT(sign->selector), (unsigned long long)sign->time);
	base64_encode(slice_make(digest, sizeof(digest)), &s->message);
	str_printf(&s->message, ";\r\n\th=%s;\r\n\tb=", str_cstr(&names));

	struct signature signature = {.whole = str_slice(&s->message),
				      .headers = str_slice(&names),
				      .header_form = CANON_RELAXED,
				      .b_raw = slice_make(s->message.data + s->message.len, 0)};

	signature_header_bytes(&signature, s->chain->header, SIZE_MAX, &bytes);
	ok = dkim_private_key_sign(sign->key, str_slice(&bytes), &b, err);
	dkim_fold_base64(&s->message, str_slice(&b));
	str_append_text(&s->message, "\r\n");
	str_free(&names);
	str_free(&bytes);
	str_free(&b);
	return ok;
}

static bool make_seal(struct sealing *s, struct err *err)
{
	const struct dkim_sign *sign = &s->seal->sign;
	const struct arc_answer *a = &s->chain->answer;
	struct str bytes = {0}, b = {0};
	/* A seal on a broken chain covers its own set alone. */
	size_t sets = strcmp(s->cv, "fail") == 0 ? 0 : a->count;
	bool ok;

	str_printf(&s->ours,
		   "ARC-Seal: i=%zu; a=%s; cv=%s;\r\n\td=%.*s; s=%.*s;\r\n\tt=%llu;\r\n\tb=",
		   s->instance, s->algorithm, s->cv, SLICE_FMT(sign->domain),
		   SLICE_FMT(sign->selector), (unsigned long long)sign->time);
	for (size_t i = 0; i < sets; i++) {
		canon_field(CANON_RELAXED, a->set[i].results->whole, &bytes);
		canon_field(CANON_RELAXED, a->set[i].message.whole, &bytes);
		canon_field(CANON_RELAXED, a->set[i].seal.whole, &bytes);
	}
	canon_field(CANON_RELAXED, str_slice(&s->results), &bytes);
	canon_field(CANON_RELAXED, str_slice(&s->message), &bytes);
	canon_signature(CANON_RELAXED, str_slice(&s->ours),
			slice_make(s->ours.data + s->ours.len, 0), &bytes);
	ok = dkim_private_key_sign(sign->key, str_slice(&bytes), &b, err);
	dkim_fold_base64(&s->ours, str_slice(&b));
	str_append_text(&s->ours, "\r\n");
	str_free(&bytes);
	str_free(&b);
	return ok;
}

bool arc_seal(const struct arc_seal *seal, const struct arc_message *chain, int body,
	      struct str *fields, struct err *err)
{
	const struct arc_answer *a = &chain->answer;
	struct sealing s = {.seal = seal,
			    .chain = chain,
			    .instance = a->count + 1,
			    .algorithm = seal->sign.key->ed25519 ? "ed25519-sha256" : "rsa-sha256",
			    .cv = a->result == ARC_NONE   ? "none"
				  : a->result == ARC_PASS ? "pass"
							  : "fail"};
	bool ok;

	if (body < 0)
		return err_set(err, ERR_LIMIT, "the message has signatures of too many kinds");
	if (a->ended || a->count >= ARC_SETS_MAX)
		return err_set(err, ERR_LIMIT, "nothing can be added to the ARC chain");
	if (a->result == ARC_TEMPERROR)
		return err_set(err, ERR_TEMPORARY, "the ARC chain could not be verified");
	str_printf(&s.results, "ARC-Authentication-Results: i=%zu; %.*s\r\n", s.instance,
		   SLICE_FMT(seal->results));
	ok = make_message_signature(&s, body, err) && make_seal(&s, err);
	if (ok) {
		str_append(fields, str_slice(&s.ours));
		str_append(fields, str_slice(&s.message));
		str_append(fields, str_slice(&s.results));
	}
	str_free(&s.results);
	str_free(&s.message);
	str_free(&s.ours);
	return ok;
}
