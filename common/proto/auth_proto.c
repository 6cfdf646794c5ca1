/* SPDX-License-Identifier: ISC */
#include "common/proto/auth_proto.h"

const struct ipc_protocol auth_protocol = { "auth", 1 };

enum field {
	FIELD_SERVICE = 1, FIELD_DIALOGUE, FIELD_MECHANISM, FIELD_PROPERTIES, FIELD_RESPONSE, FIELD_CLIENT_ADDRESS,
	FIELD_CLIENT_PORT, FIELD_LOCAL_ADDRESS, FIELD_LOCAL_PORT, FIELD_SECURED, FIELD_CERTIFICATE, FIELD_CHALLENGE,
	FIELD_USER, FIELD_TEXT, FIELD_REASON, FIELD_TEMPORARY, FIELD_MESSAGES, FIELD_RECIPIENTS, FIELD_OVER, FIELD_LIMIT,
	FIELD_SECONDS
};

#define COUNT_MAX 100000

static bool is_text(struct slice text, size_t max)
{
	if (text.len > max)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127)
			return false;
	return true;
}

/* Printable and at most `max` bytes; may be empty, must be there. */
static bool get_text(const struct ipc_in *m, uint16_t field, size_t max, struct slice *value)
{
	return ipc_get_bytes(m, field, value) && is_text(*value, max);
}

static bool get_flag(const struct ipc_in *m, uint16_t field, bool *value)
{
	uint64_t number;
	bool there = ipc_get_u64(m, field, &number);

	*value = number != 0;
	return there && number <= 1;
}

static bool get_dialogue(const struct ipc_in *m, uint64_t *dialogue)
{
	return ipc_get_u64(m, FIELD_DIALOGUE, dialogue) && *dialogue != 0;
}

/* --- requests, the server's side --- */

bool auth_get_service(const struct ipc_in *m, struct slice *service)
{
	return get_text(m, FIELD_SERVICE, AUTH_TEXT_MAX, service);
}

bool auth_get_start(const struct ipc_in *m, uint64_t *dialogue, struct auth_start *start)
{
	*start = (struct auth_start){ .has_response = false };
	start->has_response = ipc_get_bytes(m, FIELD_RESPONSE, &start->response);
	return get_dialogue(m, dialogue) && auth_get_service(m, &start->service) &&
	       get_text(m, FIELD_MECHANISM, SASL_NAME_MAX, &start->mechanism) && sasl_mechanism_valid(start->mechanism) &&
	       start->response.len <= AUTH_MESSAGE_MAX &&
	       get_text(m, FIELD_CLIENT_ADDRESS, AUTH_TEXT_MAX, &start->client_address) &&
	       get_text(m, FIELD_CLIENT_PORT, AUTH_TEXT_MAX, &start->client_port) &&
	       get_text(m, FIELD_LOCAL_ADDRESS, AUTH_TEXT_MAX, &start->local_address) &&
	       get_text(m, FIELD_LOCAL_PORT, AUTH_TEXT_MAX, &start->local_port) &&
	       get_flag(m, FIELD_SECURED, &start->secured) && get_flag(m, FIELD_CERTIFICATE, &start->certificate);
}

bool auth_get_response(const struct ipc_in *m, uint64_t *dialogue, struct slice *response)
{
	return get_dialogue(m, dialogue) && ipc_get_bytes(m, FIELD_RESPONSE, response) && response->len <= AUTH_MESSAGE_MAX;
}

bool auth_get_cancel(const struct ipc_in *m, uint64_t *dialogue)
{
	return get_dialogue(m, dialogue);
}

bool auth_get_count(const struct ipc_in *m, struct auth_counting *counting)
{
	uint64_t messages, recipients;

	if (!get_text(m, FIELD_USER, SASL_LOGIN_MAX, &counting->user) || counting->user.len == 0 ||
	    !ipc_get_u64(m, FIELD_MESSAGES, &messages) || !ipc_get_u64(m, FIELD_RECIPIENTS, &recipients) ||
	    messages > COUNT_MAX || recipients > COUNT_MAX)
		return false;
	counting->messages = (uint32_t)messages;
	counting->recipients = (uint32_t)recipients;
	return true;
}

bool auth_put_mechanisms(struct ipc_out *m, uint32_t request, const struct auth_mechanism *list, size_t count)
{
	ipc_out_start(m, AUTH_MECHANISM_LIST, request);
	for (size_t i = 0; i < count; i++) {
		ipc_put_bytes(m, FIELD_MECHANISM, list[i].name);
		ipc_put_u64(m, FIELD_PROPERTIES, list[i].properties);
	}
	return !m->failed;
}

bool auth_put_answer(struct ipc_out *m, uint32_t request, const struct auth_answer *answer)
{
	ipc_out_start(m, answer->type, request);
	if (answer->type == AUTH_CHALLENGE) {
		ipc_put_bytes(m, FIELD_CHALLENGE, answer->text);
	} else if (answer->type == AUTH_OK) {
		ipc_put_bytes(m, FIELD_USER, answer->text);
	} else {
		ipc_put_bytes(m, FIELD_TEXT, slice_sub(answer->text, 0, AUTH_TEXT_MAX));
		ipc_put_bytes(m, FIELD_USER, answer->user);
		ipc_put_u64(m, FIELD_REASON, answer->reason);
		ipc_put_u64(m, FIELD_TEMPORARY, answer->temporary);
	}
	return !m->failed;
}

bool auth_put_counted(struct ipc_out *m, uint32_t request, const struct auth_verdict *verdict)
{
	ipc_out_start(m, AUTH_COUNTED, request);
	ipc_put_u64(m, FIELD_OVER, verdict->over);
	ipc_put_u64(m, FIELD_LIMIT, verdict->limit);
	ipc_put_u64(m, FIELD_SECONDS, verdict->seconds);
	return !m->failed;
}

bool auth_put_refused(struct ipc_out *m, uint32_t request, const char *text)
{
	ipc_out_start(m, AUTH_REFUSED, request);
	ipc_put_text(m, FIELD_TEXT, text);
	return !m->failed;
}

/* --- answers, the client's side --- */

bool auth_get_answer(const struct ipc_in *m, struct auth_answer *answer)
{
	uint64_t reason;

	*answer = (struct auth_answer){ .type = m->type };
	switch (m->type) {
	case AUTH_CHALLENGE:
		return ipc_get_bytes(m, FIELD_CHALLENGE, &answer->text) && answer->text.len <= AUTH_MESSAGE_MAX;
	case AUTH_OK:
		return get_text(m, FIELD_USER, SASL_LOGIN_MAX, &answer->text) && answer->text.len > 0;
	case AUTH_FAIL:
		if (!get_text(m, FIELD_TEXT, AUTH_TEXT_MAX, &answer->text) ||
		    !get_text(m, FIELD_USER, SASL_LOGIN_MAX, &answer->user) || !ipc_get_u64(m, FIELD_REASON, &reason) ||
		    reason >= AUTH_REASON_COUNT || !get_flag(m, FIELD_TEMPORARY, &answer->temporary))
			return false;
		answer->reason = (enum auth_reason)reason;
		return true;
	default:
		return false;
	}
}

bool auth_get_mechanisms(const struct ipc_in *m, struct auth_mechanism *list, size_t *count)
{
	struct ipc_field name, properties;
	size_t pos = 0;

	*count = 0;
	while (ipc_next(m, &pos, &name)) {
		if (*count == AUTH_MECHANISMS_MAX || name.field != FIELD_MECHANISM || name.kind != 's' ||
		    !sasl_mechanism_valid(name.bytes) || !ipc_next(m, &pos, &properties) ||
		    properties.field != FIELD_PROPERTIES || properties.kind != 'u' || properties.number > 0xffff)
			return false;
		list[(*count)++] = (struct auth_mechanism){ name.bytes, (unsigned)properties.number };
	}
	return true;
}

bool auth_get_counted(const struct ipc_in *m, struct auth_verdict *verdict)
{
	uint64_t over;

	if (!ipc_get_u64(m, FIELD_OVER, &over) || over > AUTH_OVER_RECIPIENTS ||
	    !ipc_get_u64(m, FIELD_LIMIT, &verdict->limit) || !ipc_get_u64(m, FIELD_SECONDS, &verdict->seconds))
		return false;
	verdict->over = (enum auth_over)over;
	return true;
}

void auth_cancel(struct auth_dialogue *d)
{
	struct ipc_out m;

	if (d->number == 0)
		return;
	ipc_out_start(&m, AUTH_CANCEL, 0);
	ipc_put_u64(&m, FIELD_DIALOGUE, d->number);
	(void)ipc_client_send(d->client, &m);
	d->number = 0;
}

/* In Postfix's words, which fail2ban's filters know to leave alone. */
static void lost(struct auth_dialogue *d, struct auth_answer *answer)
{
	auth_cancel(d);
	*answer = (struct auth_answer){ .type = AUTH_FAIL, .reason = AUTH_REASON_BACKEND, .temporary = true,
					.text = SLICE("Connection lost to authentication server") };
}

static bool ask(struct auth_dialogue *d, const struct ipc_out *m, double deadline, struct arena *arena,
		struct auth_answer *answer)
{
	struct ipc_reply reply;
	struct err err;
	bool ok;

	if (!ipc_client_call(d->client, m, deadline, &reply, &err))
		return false;
	ok = auth_get_answer(&reply.in, answer);
	answer->text = arena_slice(arena, answer->text);
	answer->user = arena_slice(arena, answer->user);
	ipc_reply_free(&reply);
	if (ok && answer->type != AUTH_CHALLENGE)
		d->number = 0;
	return ok;
}

static bool begin(struct auth_dialogue *d, const struct auth_start *start, double deadline, struct arena *arena,
		  struct auth_answer *answer)
{
	struct ipc_out m;
	uint32_t request;
	struct err err;

	if (!ipc_client_connect(d->client, deadline, &err))
		return false;
	request = ipc_client_request(d->client);
	d->number = request;
	ipc_out_start(&m, AUTH_START, request);
	ipc_put_u64(&m, FIELD_DIALOGUE, d->number);
	ipc_put_bytes(&m, FIELD_SERVICE, start->service);
	ipc_put_bytes(&m, FIELD_MECHANISM, start->mechanism);
	if (start->has_response)
		ipc_put_bytes(&m, FIELD_RESPONSE, start->response);
	ipc_put_bytes(&m, FIELD_CLIENT_ADDRESS, start->client_address);
	ipc_put_bytes(&m, FIELD_CLIENT_PORT, start->client_port);
	ipc_put_bytes(&m, FIELD_LOCAL_ADDRESS, start->local_address);
	ipc_put_bytes(&m, FIELD_LOCAL_PORT, start->local_port);
	ipc_put_u64(&m, FIELD_SECURED, start->secured);
	ipc_put_u64(&m, FIELD_CERTIFICATE, start->certificate);
	return ask(d, &m, deadline, arena, answer);
}

void auth_begin(struct auth_dialogue *d, struct ipc_client *client, const struct auth_start *start, double deadline,
		struct arena *arena, struct auth_answer *answer)
{
	*d = (struct auth_dialogue){ .client = client };
	/* A second time: auth retires when its tables change, and nothing has happened yet. */
	if (!begin(d, start, deadline, arena, answer) && !begin(d, start, deadline, arena, answer))
		lost(d, answer);
}

void auth_respond(struct auth_dialogue *d, struct slice response, double deadline, struct arena *arena,
		  struct auth_answer *answer)
{
	struct ipc_out m;
	struct err err;

	if (d->number == 0 || !ipc_client_connect(d->client, deadline, &err)) {
		lost(d, answer);
		return;
	}
	ipc_out_start(&m, AUTH_CONTINUE, ipc_client_request(d->client));
	ipc_put_u64(&m, FIELD_DIALOGUE, d->number);
	ipc_put_bytes(&m, FIELD_RESPONSE, response);
	if (!ask(d, &m, deadline, arena, answer))
		lost(d, answer);
}

/* Another answer than the one that was asked for: what it says, as an error. */
static bool refused(struct ipc_reply *reply, struct err *err)
{
	struct slice text = SLICE("malformed answer from auth");

	if (reply->in.type == AUTH_REFUSED && !get_text(&reply->in, FIELD_TEXT, AUTH_TEXT_MAX, &text))
		text = SLICE("malformed refusal from auth");
	err_set(err, ERR_TEMPORARY, "%.*s", SLICE_FMT(text));
	ipc_reply_free(reply);
	return false;
}

static bool call_mechanisms(struct ipc_client *client, struct slice service, double deadline, struct ipc_reply *reply,
			    struct err *err)
{
	struct ipc_out m;

	if (!ipc_client_connect(client, deadline, err))
		return false;
	ipc_out_start(&m, AUTH_MECHANISMS, ipc_client_request(client));
	ipc_put_bytes(&m, FIELD_SERVICE, service);
	return ipc_client_call(client, &m, deadline, reply, err);
}

bool auth_mechanisms(struct ipc_client *client, struct slice service, double deadline, struct arena *arena,
		     struct auth_mechanism *list, size_t *count, struct err *err)
{
	struct ipc_reply reply;

	*count = 0;
	if (!call_mechanisms(client, service, deadline, &reply, err) &&
	    !call_mechanisms(client, service, deadline, &reply, err))
		return false;
	if (reply.in.type != AUTH_MECHANISM_LIST || !auth_get_mechanisms(&reply.in, list, count)) {
		*count = 0;
		return refused(&reply, err);
	}
	for (size_t i = 0; i < *count; i++)
		list[i].name = arena_slice(arena, list[i].name);
	ipc_reply_free(&reply);
	return true;
}

static bool call_count(struct ipc_client *client, const struct auth_counting *counting, double deadline,
		       struct ipc_reply *reply, struct err *err)
{
	struct ipc_out m;

	if (!ipc_client_connect(client, deadline, err))
		return false;
	ipc_out_start(&m, AUTH_COUNT, ipc_client_request(client));
	ipc_put_bytes(&m, FIELD_USER, counting->user);
	ipc_put_u64(&m, FIELD_MESSAGES, counting->messages);
	ipc_put_u64(&m, FIELD_RECIPIENTS, counting->recipients);
	return ipc_client_call(client, &m, deadline, reply, err);
}

bool auth_count(struct ipc_client *client, const struct auth_counting *counting, double deadline,
		struct auth_verdict *verdict, struct err *err)
{
	struct ipc_reply reply;

	if (!call_count(client, counting, deadline, &reply, err) && !call_count(client, counting, deadline, &reply, err))
		return false;
	if (reply.in.type != AUTH_COUNTED || !auth_get_counted(&reply.in, verdict))
		return refused(&reply, err);
	ipc_reply_free(&reply);
	return true;
}
