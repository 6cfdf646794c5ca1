/* SPDX-License-Identifier: ISC */
#include "common/proto/tlsrpt_proto.h"

#include "common/mail/address.h"

#define TELL_SECONDS 2.0

const struct ipc_protocol tlsrpt_protocol = { "tlsrpt", 1 };

enum field { FIELD_DOMAIN = 1, FIELD_POLICY, FIELD_STRING, FIELD_MX, FIELD_HOST, FIELD_ADDRESS, FIELD_RESULT, FIELD_REASON };

const char *tlsrpt_policy_text(enum tlsrpt_policy policy)
{
	static const char *const text[] = { [TLSRPT_NO_POLICY] = "no-policy-found", [TLSRPT_TLSA] = "tlsa", [TLSRPT_STS] = "sts" };

	return text[policy];
}

const char *tlsrpt_result_text(enum tlsrpt_result result)
{
	static const char *const text[] = {
		[TLSRPT_SUCCESS] = "success", [TLSRPT_NOT_SUPPORTED] = "starttls-not-supported",
		[TLSRPT_HOST_MISMATCH] = "certificate-host-mismatch", [TLSRPT_NOT_TRUSTED] = "certificate-not-trusted",
		[TLSRPT_VALIDATION_FAILURE] = "validation-failure", [TLSRPT_DNSSEC_INVALID] = "dnssec-invalid",
	};

	return text[result];
}

static void put_text(struct ipc_out *m, enum field field, struct slice text)
{
	char clean[TLSRPT_TEXT_MAX];
	size_t len = text.len < sizeof(clean) ? text.len : sizeof(clean);

	for (size_t i = 0; i < len; i++)
		clean[i] = text.ptr[i] < 32 || text.ptr[i] > 126 ? '?' : text.ptr[i];
	ipc_put_bytes(m, field, slice_make(clean, len));
}

bool tlsrpt_put_event(struct ipc_out *m, const struct tlsrpt_event *e)
{
	ipc_out_start(m, TLSRPT_EVENT, 0);
	put_text(m, FIELD_DOMAIN, e->domain);
	ipc_put_u64(m, FIELD_POLICY, e->policy);
	for (size_t i = 0; i < e->string_count; i++)
		put_text(m, FIELD_STRING, e->strings[i]);
	for (size_t i = 0; i < e->mx_count; i++)
		put_text(m, FIELD_MX, e->mx[i]);
	put_text(m, FIELD_HOST, e->host);
	put_text(m, FIELD_ADDRESS, e->address);
	ipc_put_u64(m, FIELD_RESULT, e->result);
	put_text(m, FIELD_REASON, e->reason);
	return !m->failed;
}

static bool valid_text(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < 32 || text.ptr[i] > 126)
			return false;
	return text.len <= TLSRPT_TEXT_MAX;
}

static bool add(struct slice list[TLSRPT_LIST_MAX], size_t *count, struct slice text)
{
	if (*count == TLSRPT_LIST_MAX)
		return false;
	list[(*count)++] = text;
	return true;
}

static bool take_field(struct tlsrpt_event *e, const struct ipc_field *f)
{
	if (f->kind == 's' && !valid_text(f->bytes))
		return false;
	switch (f->field) {
	case FIELD_STRING:
		return f->kind == 's' && add(e->strings, &e->string_count, f->bytes);
	case FIELD_MX:
		return f->kind == 's' && add(e->mx, &e->mx_count, f->bytes);
	default:
		return true;
	}
}

bool tlsrpt_get_event(const struct ipc_in *m, struct tlsrpt_event *e, struct err *err)
{
	uint64_t policy, result;
	struct ipc_field f;
	size_t pos = 0;
	bool ok;

	*e = (struct tlsrpt_event){ 0 };
	ok = m->type == TLSRPT_EVENT && ipc_get_bytes(m, FIELD_DOMAIN, &e->domain) && address_valid_hostname(e->domain) &&
	     ipc_get_u64(m, FIELD_POLICY, &policy) && policy < TLSRPT_POLICIES && ipc_get_u64(m, FIELD_RESULT, &result) &&
	     result < TLSRPT_RESULTS && ipc_get_bytes(m, FIELD_HOST, &e->host) && ipc_get_bytes(m, FIELD_ADDRESS, &e->address) &&
	     ipc_get_bytes(m, FIELD_REASON, &e->reason);
	while (ok && ipc_next(m, &pos, &f))
		ok = take_field(e, &f);
	if (!ok)
		return err_set(err, ERR_SYNTAX, "malformed EVENT");
	e->policy = (enum tlsrpt_policy)policy;
	e->result = (enum tlsrpt_result)result;
	return true;
}

void tlsrpt_tell(struct ipc_client *client, const struct tlsrpt_event *event)
{
	struct ipc_out m;
	struct err err;

	if (ipc_client_connect(client, loop_now() + TELL_SECONDS, &err) && tlsrpt_put_event(&m, event))
		(void)ipc_client_send(client, &m);
}
