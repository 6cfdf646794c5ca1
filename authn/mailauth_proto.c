/* SPDX-License-Identifier: ISC */
#include "authn/mailauth_proto.h"

#include "common/mail/message_file.h"

const struct ipc_protocol mailauth_protocol = {"mailauth", 1};

enum field {
	FIELD_ID = 1,
	FIELD_ADDRESS,
	FIELD_HELO,
	FIELD_SENDER,
	FIELD_CLIENT_NAME,
	FIELD_LENGTH,
	FIELD_HEADER,
	FIELD_SPF,
	FIELD_SPF_DOMAIN,
	FIELD_SPF_REASON,
	FIELD_SPF_EXPLANATION,
	FIELD_SIGNATURES,
	FIELD_DKIM_FAILED,
	FIELD_DKIM_TEMPORARY,
	FIELD_PASSED,
	FIELD_DMARC,
	FIELD_POLICY,
	FIELD_DISPOSITION,
	FIELD_DMARC_DOMAIN,
	FIELD_DMARC_REASON,
	FIELD_DMARC_OVERRIDE
};

/* --- the question --- */

static bool get_text(const struct ipc_in *m, uint16_t field, size_t max, struct slice *text)
{
	return ipc_get_bytes(m, field, text) && text->len <= max;
}

static bool put_question(struct ipc_out *m, uint32_t request, const struct mailauth_question *q,
			 int fd)
{
	ipc_out_start(m, fd < 0 ? MAILAUTH_CHECK_SPF : MAILAUTH_VERIFY, request);
	ipc_put_bytes(m, FIELD_ID, q->id);
	ipc_put_bytes(m, FIELD_ADDRESS, slice_sub(q->address, 0, MAILAUTH_TEXT_MAX));
	ipc_put_bytes(m, FIELD_HELO, slice_sub(q->helo, 0, MAILAUTH_TEXT_MAX));
	ipc_put_bytes(m, FIELD_SENDER, slice_sub(q->sender, 0, MAILAUTH_TEXT_MAX));
	ipc_put_bytes(m, FIELD_CLIENT_NAME, slice_sub(q->client_name, 0, MAILAUTH_TEXT_MAX));
	ipc_put_u64(m, FIELD_LENGTH, q->length);
	if (fd >= 0)
		ipc_put_fd(m, fd);
	return !m->failed;
}

bool mailauth_get_question(const struct ipc_in *m, struct mailauth_question *q)
{
	*q = (struct mailauth_question){0};
	if (m->type != MAILAUTH_VERIFY && m->type != MAILAUTH_CHECK_SPF)
		return false;
	if ((m->fd_count == 1) != (m->type == MAILAUTH_VERIFY))
		return false;
	return get_text(m, FIELD_ID, MESSAGE_ID_SIZE, &q->id) &&
	       get_text(m, FIELD_ADDRESS, MAILAUTH_TEXT_MAX, &q->address) &&
	       get_text(m, FIELD_HELO, MAILAUTH_TEXT_MAX, &q->helo) &&
	       get_text(m, FIELD_SENDER, MAILAUTH_TEXT_MAX, &q->sender) &&
	       get_text(m, FIELD_CLIENT_NAME, MAILAUTH_TEXT_MAX, &q->client_name) &&
	       ipc_get_u64(m, FIELD_LENGTH, &q->length) && q->length < (uint64_t)1 << 50;
}

/* --- the answer --- */

static void put_dkim(struct ipc_out *m, const struct verify_answer *v)
{
	bool temporary = false;
	size_t passed = 0;

	for (size_t i = 0; i < v->dkim.count; i++) {
		const struct dkim_signature *d = &v->dkim.signature[i];

		temporary = temporary || d->result == DKIM_TEMPERROR;
		if (d->result == DKIM_PASS && passed++ < MAILAUTH_DOMAINS_MAX)
			ipc_put_bytes(m, FIELD_PASSED, d->s.domain);
	}
	ipc_put_u64(m, FIELD_SIGNATURES, v->dkim.count);
	ipc_put_u64(m, FIELD_DKIM_FAILED, v->dkim.count > 0 && passed == 0 && !temporary);
	ipc_put_u64(m, FIELD_DKIM_TEMPORARY, passed == 0 && temporary);
}

bool mailauth_put_answer(struct ipc_out *m, uint32_t request, const struct verify_answer *v,
			 struct slice header)
{
	ipc_out_start(m, MAILAUTH_VERIFIED, request);
	ipc_put_bytes(m, FIELD_HEADER, header);
	ipc_put_u64(m, FIELD_SPF, v->results.spf ? v->spf.result : SPF_NONE);
	ipc_put_bytes(m, FIELD_SPF_DOMAIN, slice_sub(v->spf.domain, 0, MAILAUTH_TEXT_MAX));
	ipc_put_bytes(m, FIELD_SPF_REASON, slice_sub(v->spf.reason, 0, MAILAUTH_TEXT_MAX));
	ipc_put_bytes(m, FIELD_SPF_EXPLANATION,
		      slice_sub(v->spf.explanation, 0, MAILAUTH_TEXT_MAX));
	put_dkim(m, v);
	ipc_put_u64(m, FIELD_DMARC, v->results.dmarc ? v->dmarc.result : DMARC_NONE);
	ipc_put_u64(m, FIELD_POLICY, v->dmarc.policy);
	ipc_put_u64(m, FIELD_DISPOSITION, v->dmarc.disposition);
	ipc_put_bytes(m, FIELD_DMARC_DOMAIN, v->dmarc.domain);
	ipc_put_text(m, FIELD_DMARC_REASON, v->dmarc.reason ? v->dmarc.reason : "");
	ipc_put_text(m, FIELD_DMARC_OVERRIDE,
		     v->results.dmarc_override ? v->results.dmarc_override : "");
	return !m->failed;
}

/* Whole fields: each line is a field's first or folded, and ends in CRLF. */
static bool is_header(struct slice text)
{
	struct slice rest = text;
	struct header_field f;

	while (header_next(&rest, &f))
		if (f.name.len == 0 || memchr(f.whole.ptr, 0, f.whole.len))
			return false;
	return rest.len == 0 && (text.len == 0 || text.ptr[text.len - 1] == '\n');
}

static bool take_text(const struct ipc_in *m, uint16_t field, struct arena *arena,
		      struct slice *text)
{
	struct slice value;

	if (!get_text(m, field, MAILAUTH_TEXT_MAX, &value))
		return false;
	*text = arena_slice(arena, value);
	return true;
}

static bool take_passed(const struct ipc_in *m, struct arena *arena, struct mailauth_answer *a)
{
	struct ipc_field f;
	size_t pos = 0;

	while (ipc_next(m, &pos, &f)) {
		if (f.field != FIELD_PASSED || f.kind != 's')
			continue;
		if (a->passed_count == MAILAUTH_DOMAINS_MAX || !authn_domain_valid(f.bytes))
			return false;
		a->passed[a->passed_count++] = arena_slice(arena, f.bytes);
	}
	return true;
}

static bool take_numbers(const struct ipc_in *m, struct mailauth_answer *a)
{
	uint64_t spf, signatures, failed, temporary, dmarc, policy, disposition;

	if (!ipc_get_u64(m, FIELD_SPF, &spf) || spf > SPF_PERMERROR ||
	    !ipc_get_u64(m, FIELD_SIGNATURES, &signatures) ||
	    !ipc_get_u64(m, FIELD_DKIM_FAILED, &failed) ||
	    !ipc_get_u64(m, FIELD_DKIM_TEMPORARY, &temporary) ||
	    !ipc_get_u64(m, FIELD_DMARC, &dmarc) || dmarc > DMARC_PERMERROR ||
	    !ipc_get_u64(m, FIELD_POLICY, &policy) || policy > DMARC_POLICY_REJECT ||
	    !ipc_get_u64(m, FIELD_DISPOSITION, &disposition) || disposition > DMARC_POLICY_REJECT)
		return false;
	a->spf = (enum spf_result)spf;
	a->signatures = (size_t)signatures;
	a->dkim_failed = failed != 0;
	a->dkim_temporary = temporary != 0;
	a->dmarc = (enum dmarc_result)dmarc;
	a->policy = (enum dmarc_policy)policy;
	a->disposition = (enum dmarc_policy)disposition;
	return true;
}

bool mailauth_get_answer(const struct ipc_in *m, struct arena *arena, struct mailauth_answer *a)
{
	struct slice header;

	*a = (struct mailauth_answer){0};
	if (m->type != MAILAUTH_VERIFIED ||
	    !get_text(m, FIELD_HEADER, MAILAUTH_HEADER_MAX, &header) || !is_header(header) ||
	    !take_numbers(m, a) || !take_passed(m, arena, a) ||
	    !take_text(m, FIELD_SPF_DOMAIN, arena, &a->spf_domain) ||
	    !take_text(m, FIELD_SPF_REASON, arena, &a->spf_reason) ||
	    !take_text(m, FIELD_SPF_EXPLANATION, arena, &a->spf_explanation) ||
	    !take_text(m, FIELD_DMARC_DOMAIN, arena, &a->dmarc_domain) ||
	    !take_text(m, FIELD_DMARC_REASON, arena, &a->dmarc_reason) ||
	    !take_text(m, FIELD_DMARC_OVERRIDE, arena, &a->dmarc_override))
		return false;
	a->header = arena_slice(arena, header);
	a->known = true;
	return true;
}

/* --- the stub --- */

void mailauth_ask(struct ipc_client *client, const struct mailauth_question *q, int fd,
		  double deadline, struct arena *arena, struct mailauth_answer *a)
{
	struct ipc_reply reply;
	struct ipc_out m;
	struct err err;
	bool ok = false;

	if (ipc_client_connect(client, deadline, &err) &&
	    put_question(&m, ipc_client_request(client), q, fd) &&
	    ipc_client_call(client, &m, deadline, &reply, &err)) {
		ok = mailauth_get_answer(&reply.in, arena, a);
		ipc_reply_free(&reply);
	}
	if (!ok)
		*a = (struct mailauth_answer){.spf = SPF_TEMPERROR,
					      .dkim_temporary = true,
					      .dmarc = DMARC_TEMPERROR,
					      .spf_reason = SLICE("mailauth does not answer"),
					      .dmarc_reason = SLICE("mailauth does not answer")};
}
