/* SPDX-License-Identifier: ISC */
#include "common/proto/tlsmgr_proto.h"

const struct ipc_protocol tlsmgr_protocol = { "tlsmgr", 1 };

enum field {
	FIELD_KEY = 1, FIELD_DIGEST_NAME, FIELD_DIGEST, FIELD_PSS, FIELD_SIGNATURE, FIELD_NAME, FIELD_PEM, FIELD_TEXT,
	/* A ticket key is these four, in this order. */
	FIELD_TICKET_NAME, FIELD_TICKET_CIPHER, FIELD_TICKET_MAC, FIELD_TICKET_UNTIL
};

static bool is_host_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_';
}

/* --- the client's side --- */

/* A reply of the wanted type is the caller's to free. */
static bool check(struct ipc_reply *reply, uint16_t wanted, struct err *err)
{
	struct slice text = SLICE("malformed answer from tlsmgr");

	if (reply->in.type == wanted)
		return true;
	if (reply->in.type == TLSMGR_REFUSED)
		(void)ipc_get_bytes(&reply->in, FIELD_TEXT, &text);
	err_set(err, ERR_PERMANENT, "%.*s", SLICE_FMT(text));
	ipc_reply_free(reply);
	return false;
}

static bool take_bytes(struct ipc_reply *reply, uint16_t field, struct arena *arena, struct slice *value,
		       struct err *err)
{
	bool ok = ipc_get_bytes(&reply->in, field, value);

	if (ok)
		*value = arena_slice(arena, *value);
	ipc_reply_free(reply);
	return ok || err_set(err, ERR_SYNTAX, "malformed answer from tlsmgr");
}

static bool call(struct ipc_client *client, struct ipc_out *m, uint16_t wanted, double deadline,
		 struct ipc_reply *reply, struct err *err)
{
	return ipc_client_call(client, m, deadline, reply, err) && check(reply, wanted, err);
}

bool tlsmgr_sign(struct ipc_client *client, struct ipc_link *link, const struct tlsmgr_sign *sign, double deadline,
		 struct arena *arena, struct slice *signature, struct err *err)
{
	struct ipc_reply reply;
	struct ipc_out m;

	ipc_out_start(&m, TLSMGR_SIGN, ipc_client_request(client));
	ipc_put_bytes(&m, FIELD_KEY, sign->key);
	ipc_put_bytes(&m, FIELD_DIGEST_NAME, sign->digest_name);
	ipc_put_bytes(&m, FIELD_DIGEST, sign->digest);
	ipc_put_u64(&m, FIELD_PSS, sign->pss);
	return ipc_link_call(link, &m, deadline, &reply, err) && check(&reply, TLSMGR_SIGNED, err) &&
	       take_bytes(&reply, FIELD_SIGNATURE, arena, signature, err);
}

bool tlsmgr_chain(struct ipc_client *client, struct slice server_name, double deadline, struct arena *arena,
		  struct slice *pem, struct err *err)
{
	struct ipc_reply reply;
	struct ipc_out m;

	if (!ipc_client_connect(client, deadline, err))
		return false;
	ipc_out_start(&m, TLSMGR_CHAIN, ipc_client_request(client));
	ipc_put_bytes(&m, FIELD_NAME, server_name);
	return call(client, &m, TLSMGR_CHAINED, deadline, &reply, err) &&
	       take_bytes(&reply, FIELD_PEM, arena, pem, err);
}

static bool take_key(const struct ipc_in *in, size_t *pos, struct slice name, struct tlsmgr_ticket_key *key)
{
	struct ipc_field f[3];

	for (size_t i = 0; i < 3; i++)
		if (!ipc_next(in, pos, &f[i]) || f[i].field != FIELD_TICKET_CIPHER + i)
			return false;
	if (name.len != sizeof(key->name) || f[0].bytes.len != sizeof(key->cipher) ||
	    f[1].bytes.len != sizeof(key->mac) || f[2].kind != 'u' || f[2].number > UINT64_C(1) << 50)
		return false;
	memcpy(key->name, name.ptr, sizeof(key->name));
	memcpy(key->cipher, f[0].bytes.ptr, sizeof(key->cipher));
	memcpy(key->mac, f[1].bytes.ptr, sizeof(key->mac));
	key->until = (double)f[2].number;
	return true;
}

bool tlsmgr_tickets(struct ipc_client *client, double deadline, struct tlsmgr_ticket_key keys[TLSMGR_TICKET_KEYS],
		    size_t *count, struct err *err)
{
	struct ipc_reply reply;
	struct ipc_out m;
	struct ipc_field f;
	size_t pos = 0;
	bool ok = true;

	*count = 0;
	if (!ipc_client_connect(client, deadline, err))
		return false;
	ipc_out_start(&m, TLSMGR_TICKETS, ipc_client_request(client));
	if (!call(client, &m, TLSMGR_KEYS, deadline, &reply, err))
		return false;
	while (ok && *count < TLSMGR_TICKET_KEYS && ipc_next(&reply.in, &pos, &f)) {
		ok = f.field == FIELD_TICKET_NAME && f.kind == 's' && take_key(&reply.in, &pos, f.bytes, &keys[*count]);
		*count += ok;
	}
	ipc_reply_free(&reply);
	return ok || err_set(err, ERR_SYNTAX, "malformed ticket keys from tlsmgr");
}

/* --- the server's side --- */

bool tlsmgr_get_sign(const struct ipc_in *m, struct tlsmgr_sign *sign)
{
	uint64_t pss;

	if (!ipc_get_bytes(m, FIELD_KEY, &sign->key) || sign->key.len != TLSMGR_KEY_ID ||
	    !ipc_get_bytes(m, FIELD_DIGEST_NAME, &sign->digest_name) || sign->digest_name.len == 0 ||
	    sign->digest_name.len > 32 || !ipc_get_bytes(m, FIELD_DIGEST, &sign->digest) || sign->digest.len == 0 ||
	    sign->digest.len > TLSMGR_DIGEST_MAX || !ipc_get_u64(m, FIELD_PSS, &pss))
		return false;
	sign->pss = pss != 0;
	return true;
}

bool tlsmgr_get_chain(const struct ipc_in *m, struct slice *server_name)
{
	if (!ipc_get_bytes(m, FIELD_NAME, server_name) || server_name->len == 0 || server_name->len > TLSMGR_NAME_MAX)
		return false;
	for (size_t i = 0; i < server_name->len; i++)
		if (!is_host_byte(server_name->ptr[i]))
			return false;
	return true;
}

bool tlsmgr_put_signed(struct ipc_out *m, uint32_t request, struct slice signature)
{
	ipc_out_start(m, TLSMGR_SIGNED, request);
	ipc_put_bytes(m, FIELD_SIGNATURE, signature);
	return !m->failed;
}

bool tlsmgr_put_chained(struct ipc_out *m, uint32_t request, struct slice pem)
{
	ipc_out_start(m, TLSMGR_CHAINED, request);
	ipc_put_bytes(m, FIELD_PEM, pem);
	return !m->failed;
}

bool tlsmgr_put_keys(struct ipc_out *m, uint32_t request, const struct tlsmgr_ticket_key *keys, size_t count)
{
	ipc_out_start(m, TLSMGR_KEYS, request);
	for (size_t i = 0; i < count; i++) {
		ipc_put_bytes(m, FIELD_TICKET_NAME, slice_make(keys[i].name, sizeof(keys[i].name)));
		ipc_put_bytes(m, FIELD_TICKET_CIPHER, slice_make(keys[i].cipher, sizeof(keys[i].cipher)));
		ipc_put_bytes(m, FIELD_TICKET_MAC, slice_make(keys[i].mac, sizeof(keys[i].mac)));
		ipc_put_u64(m, FIELD_TICKET_UNTIL, (uint64_t)keys[i].until);
	}
	return !m->failed;
}

bool tlsmgr_put_refused(struct ipc_out *m, uint32_t request, const char *text)
{
	ipc_out_start(m, TLSMGR_REFUSED, request);
	ipc_put_text(m, FIELD_TEXT, text);
	return !m->failed;
}
