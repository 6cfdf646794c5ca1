/* SPDX-License-Identifier: ISC */
#include "common/proto/mtasts_proto.h"

#include "common/mail/address.h"

const struct ipc_protocol mtasts_protocol = { "mtasts", 1 };

enum field { FIELD_DOMAIN = 1, FIELD_MODE, FIELD_MX };

bool mtasts_put_query(struct ipc_out *m, uint32_t request, struct slice domain)
{
	ipc_out_start(m, MTASTS_QUERY, request);
	ipc_put_bytes(m, FIELD_DOMAIN, domain);
	return !m->failed;
}

bool mtasts_get_query(const struct ipc_in *m, struct slice *domain, struct err *err)
{
	return (m->type == MTASTS_QUERY && ipc_get_bytes(m, FIELD_DOMAIN, domain) && address_is_ascii(*domain) &&
		address_valid_hostname(*domain)) ||
	       err_set(err, ERR_SYNTAX, "malformed QUERY");
}

bool mtasts_put_answer(struct ipc_out *m, uint32_t request, const struct sts_policy *policy)
{
	ipc_out_start(m, MTASTS_ANSWER, request);
	ipc_put_u64(m, FIELD_MODE, policy->mode);
	for (size_t i = 0; i < policy->mx_count; i++)
		ipc_put_bytes(m, FIELD_MX, policy->mx[i]);
	return !m->failed;
}

bool mtasts_get_answer(const struct ipc_in *m, struct sts_policy *policy, struct err *err)
{
	struct ipc_field f;
	uint64_t mode;
	size_t pos = 0;

	*policy = (struct sts_policy){ 0 };
	if (m->type != MTASTS_ANSWER || !ipc_get_u64(m, FIELD_MODE, &mode) || mode > STS_ENFORCE)
		return err_set(err, ERR_SYNTAX, "malformed ANSWER from mtasts");
	policy->mode = (enum sts_mode)mode;
	while (ipc_next(m, &pos, &f)) {
		if (f.field != FIELD_MX)
			continue;
		if (f.kind != 's' || policy->mx_count == STS_MX_MAX)
			return err_set(err, ERR_SYNTAX, "malformed ANSWER from mtasts");
		policy->mx[policy->mx_count++] = f.bytes;
	}
	return true;
}

bool mtasts_ask(struct ipc_client *client, struct slice domain, double deadline, struct arena *arena,
		struct sts_policy *policy, struct err *err)
{
	struct ipc_reply reply;
	struct ipc_out m;
	bool ok;

	if (!ipc_client_connect(client, deadline, err))
		return false;
	if (!mtasts_put_query(&m, ipc_client_request(client), domain))
		return err_set(err, ERR_LIMIT, "domain is too long");
	if (!ipc_client_call(client, &m, deadline, &reply, err))
		return false;
	ok = mtasts_get_answer(&reply.in, policy, err);
	for (size_t i = 0; ok && i < policy->mx_count; i++)
		policy->mx[i] = arena_slice(arena, policy->mx[i]);
	ipc_reply_free(&reply);
	return ok;
}
