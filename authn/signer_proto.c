/* SPDX-License-Identifier: ISC */
#include "authn/signer_proto.h"

const struct ipc_protocol signer_protocol = {"signer", 1};

/* A key is these three, in this order. */
enum field {
	FIELD_DOMAIN = 1,
	FIELD_SELECTOR,
	FIELD_ED25519,
	FIELD_ADDRESS,
	FIELD_DIGEST,
	FIELD_SIGNATURE,
	FIELD_TEXT
};

static void put_key(struct ipc_out *m, const struct signer_key *key)
{
	ipc_put_bytes(m, FIELD_DOMAIN, key->domain);
	ipc_put_bytes(m, FIELD_SELECTOR, key->selector);
	ipc_put_u64(m, FIELD_ED25519, key->ed25519);
}

static bool is_name(struct slice name)
{
	return name.len <= SIGNER_NAME_MAX && authn_domain_valid(name);
}

/* Base64 alone may go into a header. */
static bool is_base64(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '+' || c == '/' || c == '='))
			return false;
	}
	return text.len > 0 && text.len <= DKIM_RSA_MAX / 4;
}

/* --- the server's side --- */

bool signer_get_find(const struct ipc_in *m, struct slice *address)
{
	return m->type == SIGNER_FIND && ipc_get_bytes(m, FIELD_ADDRESS, address) &&
	       address->len > 0 && address->len <= SIGNER_ADDRESS_MAX;
}

bool signer_get_sign(const struct ipc_in *m, struct signer_key *key, uint8_t digest[CANON_DIGEST])
{
	struct slice bytes;
	uint64_t ed25519;

	if (m->type != SIGNER_SIGN || !ipc_get_bytes(m, FIELD_DOMAIN, &key->domain) ||
	    !is_name(key->domain) || !ipc_get_bytes(m, FIELD_SELECTOR, &key->selector) ||
	    !is_name(key->selector) || !ipc_get_u64(m, FIELD_ED25519, &ed25519) ||
	    !ipc_get_bytes(m, FIELD_DIGEST, &bytes) || bytes.len != CANON_DIGEST)
		return false;
	key->ed25519 = ed25519 != 0;
	memcpy(digest, bytes.ptr, CANON_DIGEST);
	return true;
}

bool signer_put_keys(struct ipc_out *m, uint32_t request, const struct signer_key *keys,
		     size_t count)
{
	ipc_out_start(m, SIGNER_KEYS, request);
	for (size_t i = 0; i < count && i < SIGNER_KEYS_MAX; i++)
		put_key(m, &keys[i]);
	return !m->failed;
}

bool signer_put_signed(struct ipc_out *m, uint32_t request, struct slice base64)
{
	ipc_out_start(m, SIGNER_SIGNED, request);
	ipc_put_bytes(m, FIELD_SIGNATURE, base64);
	return !m->failed;
}

bool signer_put_refused(struct ipc_out *m, uint32_t request, const char *text)
{
	ipc_out_start(m, SIGNER_REFUSED, request);
	ipc_put_text(m, FIELD_TEXT, text);
	return !m->failed;
}

/* --- the client's side --- */

static bool refused(const struct ipc_in *m, struct err *err)
{
	struct slice text = SLICE("malformed answer from signer");

	if (m->type == SIGNER_REFUSED)
		(void)ipc_get_bytes(m, FIELD_TEXT, &text);
	return err_set(err, ERR_TEMPORARY, "%.*s", SLICE_FMT(slice_sub(text, 0, 200)));
}

bool signer_get_keys(const struct ipc_in *m, struct arena *arena,
		     struct signer_key keys[SIGNER_KEYS_MAX], size_t *count)
{
	struct ipc_field domain, selector, kind;
	size_t pos = 0;

	*count = 0;
	if (m->type != SIGNER_KEYS)
		return false;
	while (ipc_next(m, &pos, &domain)) {
		if (*count == SIGNER_KEYS_MAX || !ipc_next(m, &pos, &selector) ||
		    !ipc_next(m, &pos, &kind) || domain.field != FIELD_DOMAIN ||
		    domain.kind != 's' || !is_name(domain.bytes) ||
		    selector.field != FIELD_SELECTOR || selector.kind != 's' ||
		    !is_name(selector.bytes) || kind.field != FIELD_ED25519 || kind.kind != 'u')
			return false;
		keys[(*count)++] =
		    (struct signer_key){arena_slice(arena, domain.bytes),
					arena_slice(arena, selector.bytes), kind.number != 0};
	}
	return true;
}

bool signer_find(struct ipc_client *client, struct slice address, double deadline,
		 struct arena *arena, struct signer_key keys[SIGNER_KEYS_MAX], size_t *count,
		 struct err *err)
{
	struct ipc_reply reply;
	struct ipc_out m;
	bool ok;

	*count = 0;
	if (address.len == 0 || address.len > SIGNER_ADDRESS_MAX)
		return true; /* no key signs for such an address */
	if (!ipc_client_connect(client, deadline, err))
		return false;
	ipc_out_start(&m, SIGNER_FIND, ipc_client_request(client));
	ipc_put_bytes(&m, FIELD_ADDRESS, address);
	if (!ipc_client_call(client, &m, deadline, &reply, err))
		return false;
	ok = signer_get_keys(&reply.in, arena, keys, count) || refused(&reply.in, err);
	ipc_reply_free(&reply);
	return ok;
}

bool signer_sign(struct ipc_client *client, const struct signer_request *r, double deadline,
		 struct str *base64, struct err *err)
{
	struct ipc_reply reply;
	struct ipc_out m;
	struct slice text;
	bool ok;

	if (!ipc_client_connect(client, deadline, err))
		return false;
	ipc_out_start(&m, SIGNER_SIGN, ipc_client_request(client));
	put_key(&m, r->key);
	ipc_put_bytes(&m, FIELD_DIGEST, slice_make(r->digest, CANON_DIGEST));
	if (!ipc_client_call(client, &m, deadline, &reply, err))
		return false;
	ok = reply.in.type == SIGNER_SIGNED && ipc_get_bytes(&reply.in, FIELD_SIGNATURE, &text) &&
	     is_base64(text);
	if (ok)
		str_append(base64, text);
	else
		(void)refused(&reply.in, err);
	ipc_reply_free(&reply);
	return ok;
}
