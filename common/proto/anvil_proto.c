/* SPDX-License-Identifier: ISC */
#include "common/proto/anvil_proto.h"

const struct ipc_protocol anvil_protocol = { "anvil", 1 };

enum field { FIELD_SERVICE = 1, FIELD_CLIENT, FIELD_EVENT, FIELD_CONNECTIONS, FIELD_RATE };

static void put_who(struct ipc_out *m, const struct anvil_who *who)
{
	ipc_put_bytes(m, FIELD_SERVICE, slice_sub(who->service, 0, ANVIL_NAME_MAX));
	ipc_put_bytes(m, FIELD_CLIENT, slice_sub(who->client, 0, ANVIL_NAME_MAX));
}

static bool valid_name(struct slice name)
{
	if (name.len == 0 || name.len > ANVIL_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] <= ' ' || (unsigned char)name.ptr[i] >= 127)
			return false;
	return true;
}

static bool get_who(const struct ipc_in *m, struct anvil_who *who)
{
	return ipc_get_bytes(m, FIELD_SERVICE, &who->service) && valid_name(who->service) &&
	       ipc_get_bytes(m, FIELD_CLIENT, &who->client) && valid_name(who->client);
}

bool anvil_put_count(struct ipc_out *m, uint32_t request, const struct anvil_who *who, enum anvil_event event)
{
	ipc_out_start(m, ANVIL_COUNT, request);
	put_who(m, who);
	ipc_put_u64(m, FIELD_EVENT, (uint64_t)event);
	return !m->failed;
}

bool anvil_get_count(const struct ipc_in *m, struct anvil_who *who, enum anvil_event *event, struct err *err)
{
	uint64_t number;

	if (m->type != ANVIL_COUNT || !get_who(m, who) || !ipc_get_u64(m, FIELD_EVENT, &number) || number >= ANVIL_EVENTS)
		return err_set(err, ERR_SYNTAX, "malformed COUNT");
	*event = (enum anvil_event)number;
	return true;
}

bool anvil_put_counted(struct ipc_out *m, uint32_t request, const struct anvil_counts *counts)
{
	ipc_out_start(m, ANVIL_COUNTED, request);
	ipc_put_u64(m, FIELD_CONNECTIONS, counts->connections);
	ipc_put_u64(m, FIELD_RATE, counts->rate);
	return !m->failed;
}

bool anvil_get_counted(const struct ipc_in *m, struct anvil_counts *counts, struct err *err)
{
	return (m->type == ANVIL_COUNTED && ipc_get_u64(m, FIELD_CONNECTIONS, &counts->connections) &&
		ipc_get_u64(m, FIELD_RATE, &counts->rate)) ||
	       err_set(err, ERR_SYNTAX, "malformed COUNTED from anvil");
}

bool anvil_put_leave(struct ipc_out *m, const struct anvil_who *who)
{
	ipc_out_start(m, ANVIL_LEAVE, 0);
	put_who(m, who);
	return !m->failed;
}

bool anvil_get_leave(const struct ipc_in *m, struct anvil_who *who, struct err *err)
{
	return (m->type == ANVIL_LEAVE && get_who(m, who)) || err_set(err, ERR_SYNTAX, "malformed LEAVE");
}

bool anvil_count(struct ipc_client *client, const struct anvil_who *who, enum anvil_event event, double deadline,
		 struct anvil_counts *counts, struct err *err)
{
	struct ipc_reply reply;
	struct ipc_out m;
	bool ok;

	if (!ipc_client_connect(client, deadline, err))
		return false;
	if (!anvil_put_count(&m, ipc_client_request(client), who, event))
		return err_set(err, ERR_SYNTAX, "too long for anvil");
	if (!ipc_client_call(client, &m, deadline, &reply, err))
		return false;
	ok = anvil_get_counted(&reply.in, counts, err);
	ipc_reply_free(&reply);
	return ok;
}

void anvil_leave(struct ipc_client *client, const struct anvil_who *who)
{
	struct ipc_out m;

	if (anvil_put_leave(&m, who))
		(void)ipc_client_send(client, &m);
}
