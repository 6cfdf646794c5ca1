/* SPDX-License-Identifier: ISC */
#include <stdio.h>

#include "common/proto/verify_proto.h"

#define ANSWER_SLACK 5.0    /* seconds that an answer may take beyond the wait that was asked for */

const struct ipc_protocol verify_protocol = { "verify", 1 };

enum field { FIELD_ADDRESS = 1, FIELD_WAIT, FIELD_STATUS, FIELD_DSN, FIELD_TEXT };

void verify_set(struct verify_result *result, enum verify_status status, struct slice dsn, struct slice text)
{
	*result = (struct verify_result){ .status = status };
	if (dsn.len < sizeof(result->dsn))
		snprintf(result->dsn, sizeof(result->dsn), "%.*s", SLICE_FMT(dsn));
	for (size_t i = 0; i < text.len && i < sizeof(result->text) - 1; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		result->text[i] = c < ' ' || c == 127 ? '?' : (char)c;
	}
}

static bool valid_address(struct slice address)
{
	if (address.len == 0 || address.len > VERIFY_ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < address.len; i++)
		if ((unsigned char)address.ptr[i] < ' ' || address.ptr[i] == 127)
			return false;
	return true;
}

static void put_outcome(struct ipc_out *m, const struct verify_result *result)
{
	ipc_put_u64(m, FIELD_STATUS, (uint64_t)result->status);
	ipc_put_text(m, FIELD_DSN, result->dsn);
	ipc_put_text(m, FIELD_TEXT, result->text);
}

/* class "." subject "." detail, of the class that goes with the status; empty when unknown. */
static bool valid_dsn(struct slice dsn, enum verify_status status)
{
	static const char classes[] = { [VERIFY_OK] = '2', [VERIFY_BAD] = '5', [VERIFY_TEMPORARY] = '4' };
	size_t dots = 0;

	if (status == VERIFY_UNKNOWN)
		return dsn.len == 0;
	if (dsn.len < 5 || dsn.len > 11 || dsn.ptr[0] != classes[status] || dsn.ptr[1] != '.')
		return false;
	for (size_t i = 0; i < dsn.len; i++) {
		if (dsn.ptr[i] == '.')
			dots++;
		else if (dsn.ptr[i] < '0' || dsn.ptr[i] > '9')
			return false;
	}
	return dots == 2;
}

static bool get_outcome(const struct ipc_in *m, struct verify_result *result)
{
	struct slice dsn, text;
	uint64_t status;

	if (!ipc_get_u64(m, FIELD_STATUS, &status) || status > VERIFY_UNKNOWN ||
	    !ipc_get_bytes(m, FIELD_DSN, &dsn) || !ipc_get_bytes(m, FIELD_TEXT, &text) ||
	    !valid_dsn(dsn, (enum verify_status)status))
		return false;
	verify_set(result, (enum verify_status)status, dsn, text);
	return true;
}

bool verify_put_query(struct ipc_out *m, uint32_t request, struct slice address, double wait)
{
	ipc_out_start(m, VERIFY_QUERY, request);
	ipc_put_bytes(m, FIELD_ADDRESS, address);
	ipc_put_u64(m, FIELD_WAIT, wait > 0 ? (uint64_t)((wait < VERIFY_WAIT_MAX ? wait : VERIFY_WAIT_MAX) * 1000) : 0);
	return !m->failed;
}

bool verify_get_query(const struct ipc_in *m, struct slice *address, double *wait, struct err *err)
{
	uint64_t milliseconds;

	if (m->type != VERIFY_QUERY || !ipc_get_bytes(m, FIELD_ADDRESS, address) || !valid_address(*address) ||
	    !ipc_get_u64(m, FIELD_WAIT, &milliseconds) || milliseconds > (uint64_t)(VERIFY_WAIT_MAX * 1000))
		return err_set(err, ERR_SYNTAX, "malformed QUERY");
	*wait = (double)milliseconds / 1000;
	return true;
}

bool verify_put_answer(struct ipc_out *m, uint32_t request, const struct verify_result *result)
{
	ipc_out_start(m, VERIFY_ANSWER, request);
	put_outcome(m, result);
	return !m->failed;
}

bool verify_get_answer(const struct ipc_in *m, struct verify_result *result, struct err *err)
{
	return (m->type == VERIFY_ANSWER && get_outcome(m, result)) ||
	       err_set(err, ERR_SYNTAX, "malformed ANSWER from verify");
}

void verify_address(struct ipc_client *client, struct slice address, double deadline, struct verify_result *result)
{
	double wait = deadline - loop_now(), until;
	struct ipc_reply reply;
	struct ipc_out m;
	struct err err;

	*result = (struct verify_result){ .status = VERIFY_UNKNOWN };
	if (!valid_address(address)) {
		verify_set(result, VERIFY_BAD, SLICE("5.1.3"), SLICE("bad address syntax"));
		return;
	}
	wait = wait > 0 ? wait : 0;
	until = loop_now() + wait + ANSWER_SLACK;
	if (!ipc_client_connect(client, until, &err) ||
	    !verify_put_query(&m, ipc_client_request(client), address, wait) ||
	    !ipc_client_call(client, &m, until, &reply, &err))
		return;
	if (!verify_get_answer(&reply.in, result, &err))
		*result = (struct verify_result){ .status = VERIFY_UNKNOWN };
	ipc_reply_free(&reply);
}
