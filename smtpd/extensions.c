/* SPDX-License-Identifier: ISC */
/* DELIVERBY (RFC 2852) and XVERP: parameters of MAIL. */
#include "common/base/task.h"
#include "common/mail/verp.h"
#include "smtpd/session.h"

#define BY_DIGITS 9

static const char BAD_BY[] = "Bad BY parameter syntax";

static bool may_verp(const struct session *s)
{
	struct err err;

	return s->settings->verp &&
	       match_list_test_client(s->settings->verp, slice_of(s->client->name), slice_of(s->client->address), &err) ==
		       TABLE_FOUND;
}

void session_announce_extensions(struct session *s, struct str *out)
{
	if (s->settings->deliver_by)
		str_append_text(out, "250-DELIVERBY\r\n");
	if (may_verp(s))
		str_append_text(out, "250-XVERP\r\n");
}

/* "120;R", "-5;NT" (section 4). */
static const char *take_by(struct message_envelope *e, struct slice value)
{
	struct slice number, mode = value;
	uint64_t seconds;
	bool late;

	if (!slice_cut(&mode, ';', &number) || mode.len == 0)
		return BAD_BY;
	late = number.len > 0 && number.ptr[0] == '-';
	number = slice_sub(number, late || (number.len > 0 && number.ptr[0] == '+') ? 1 : 0, number.len);
	if (number.len > BY_DIGITS || !slice_to_u64(number, &seconds))
		return BAD_BY;
	e->by_return = slice_eq_nocase(slice_sub(mode, 0, 1), SLICE("R"));
	e->by_trace = slice_eq_nocase(slice_sub(mode, 1, mode.len), SLICE("T"));
	if (!(e->by_return || slice_eq_nocase(slice_sub(mode, 0, 1), SLICE("N"))) || (mode.len > 1 && !e->by_trace) ||
	    (e->by_return && (late || seconds == 0)))
		return BAD_BY;
	e->deliver_by = loop_now() + (late ? -(double)seconds : (double)seconds);
	return NULL;
}

bool session_take_extension(struct session *s, struct transaction *t, struct slice name, struct slice value,
			    const char **problem)
{
	*problem = NULL;
	if (slice_eq_nocase(name, SLICE("BY")) && s->settings->deliver_by) {
		*problem = take_by(&t->envelope, value);
		return true;
	}
	if (!slice_eq_nocase(name, SLICE("XVERP")) || !may_verp(s))
		return false;
	if (value.len == 0)
		value = slice_of(s->settings->verp_delimiters);
	if (verp_delimiters_valid(value, s->settings->verp_filter))
		t->envelope.verp = arena_slice(t->arena, value);
	else
		*problem = "Bad XVERP parameter syntax";
	return true;
}
