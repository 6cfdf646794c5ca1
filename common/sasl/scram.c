/* SPDX-License-Identifier: ISC */
#include "common/sasl/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "common/base/task.h"
#include "common/sasl/base64.h"

#define NONCE_BYTES 18
#define NONCE_MAX   512

static const EVP_MD *digest_of(enum scram_hash hash)
{
	return hash == SCRAM_SHA_1 ? EVP_sha1() : EVP_sha256();
}

size_t scram_hash_size(enum scram_hash hash)
{
	return hash == SCRAM_SHA_1 ? 20 : 32;
}

static bool hmac(enum scram_hash hash, const uint8_t *key, struct slice text, uint8_t *out)
{
	unsigned len;

	return HMAC(digest_of(hash), key, (int)scram_hash_size(hash), (const uint8_t *)text.ptr, text.len, out, &len) != NULL;
}

static bool digest(enum scram_hash hash, const uint8_t *bytes, uint8_t *out)
{
	unsigned len;

	return EVP_Digest(bytes, scram_hash_size(hash), out, &len, digest_of(hash), NULL) == 1;
}

/* SaltedPassword, and the keys that come of it. */
static bool derive(const struct scram_keys *k, struct slice password, uint8_t *client_key, uint8_t *server_key)
{
	uint8_t salted[SCRAM_HASH_MAX];
	const char *text = password.len ? password.ptr : "";
	bool ok = PKCS5_PBKDF2_HMAC(text, (int)password.len, k->salt, (int)k->salt_len, (int)k->iterations,
				    digest_of(k->hash), (int)scram_hash_size(k->hash), salted) == 1 &&
		  hmac(k->hash, salted, SLICE("Client Key"), client_key) &&
		  hmac(k->hash, salted, SLICE("Server Key"), server_key);

	OPENSSL_cleanse(salted, sizeof(salted));
	return ok;
}

bool scram_keys_derive(struct scram_keys *keys, struct slice password)
{
	uint8_t client_key[SCRAM_HASH_MAX];
	bool ok = derive(keys, password, client_key, keys->server_key) &&
		  digest(keys->hash, client_key, keys->stored_key);

	OPENSSL_cleanse(client_key, sizeof(client_key));
	return ok;
}

/* --- stored keys --- */

static bool decode_exactly(struct slice text, uint8_t *out, size_t min, size_t max, size_t *len)
{
	struct str bytes = { 0 };
	bool ok = base64_decode(text, &bytes) && bytes.len >= min && bytes.len <= max;

	if (ok) {
		memcpy(out, bytes.data, bytes.len);
		if (len)
			*len = bytes.len;
	}
	str_free(&bytes);
	return ok;
}

bool scram_keys_parse(struct slice text, struct scram_keys *keys)
{
	struct slice name, iterations, salt, stored;
	uint64_t count;
	size_t size;

	if (!slice_cut(&text, '$', &name) || !slice_cut(&text, ':', &iterations) || !slice_cut(&text, '$', &salt) ||
	    !slice_cut(&text, ':', &stored))
		return false;
	if (slice_eq(name, SLICE("SCRAM-SHA-256")))
		keys->hash = SCRAM_SHA_256;
	else if (slice_eq(name, SLICE("SCRAM-SHA-1")))
		keys->hash = SCRAM_SHA_1;
	else
		return false;
	size = scram_hash_size(keys->hash);
	if (!slice_to_u64(iterations, &count) || count == 0 || count > SCRAM_ITERATIONS_MAX)
		return false;
	keys->iterations = (unsigned)count;
	return decode_exactly(salt, keys->salt, 1, SCRAM_SALT_MAX, &keys->salt_len) &&
	       decode_exactly(stored, keys->stored_key, size, size, NULL) &&
	       decode_exactly(text, keys->server_key, size, size, NULL);
}

void scram_keys_format(const struct scram_keys *keys, struct str *out)
{
	size_t size = scram_hash_size(keys->hash);

	str_printf(out, "%s$%u:", keys->hash == SCRAM_SHA_1 ? "SCRAM-SHA-1" : "SCRAM-SHA-256", keys->iterations);
	base64_encode(slice_make(keys->salt, keys->salt_len), out);
	str_append_byte(out, '$');
	base64_encode(slice_make(keys->stored_key, size), out);
	str_append_byte(out, ':');
	base64_encode(slice_make(keys->server_key, size), out);
}

/* --- messages --- */

/* Takes "x=value" off the front, up to the comma or the end. */
static bool take_attribute(struct slice *rest, char name, struct slice *value)
{
	if (rest->len < 2 || rest->ptr[0] != name || rest->ptr[1] != '=')
		return false;
	(void)slice_cut(rest, ',', value);
	*value = slice_sub(*value, 2, value->len);
	return true;
}

/* "=2C" is a comma and "=3D" an equals sign (RFC 5802 §5.1). */
static bool decode_name(struct slice text, struct str *out)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '=') {
			struct slice code = slice_sub(text, i + 1, 2);

			if (slice_eq(code, SLICE("2C")))
				c = ',';
			else if (slice_eq(code, SLICE("3D")))
				c = '=';
			else
				return false;
			i += 2;
		}
		if (c == '\0')
			return false;
		str_append_byte(out, c);
	}
	return out->len > 0;
}

static void encode_name(struct slice name, struct str *out)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == ',')
			str_append_text(out, "=2C");
		else if (name.ptr[i] == '=')
			str_append_text(out, "=3D");
		else
			str_append_byte(out, name.ptr[i]);
	}
}

static bool is_nonce(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < '!' || text.ptr[i] > '~' || text.ptr[i] == ',')
			return false;
	return text.len > 0 && text.len <= NONCE_MAX;
}

static bool append_nonce(struct slice given, struct str *out)
{
	uint8_t random[NONCE_BYTES];

	if (given.len) {
		str_append(out, given);
		return true;
	}
	if (RAND_bytes(random, sizeof(random)) != 1)
		return false;
	base64_encode(slice_make(random, sizeof(random)), out);
	return true;
}

static void auth_message(struct str *out, const struct str *bare, struct slice server_first, struct slice final)
{
	str_append(out, str_slice(bare));
	str_append_byte(out, ',');
	str_append(out, server_first);
	str_append_byte(out, ',');
	str_append(out, final);
}

/* --- the server --- */

void scram_server_clear(struct scram_server *s)
{
	str_free(&s->user);
	str_free(&s->authzid);
	str_free(&s->gs2);
	str_free(&s->client_first_bare);
	str_free(&s->server_first);
	str_free(&s->nonce);
	OPENSSL_cleanse(&s->keys, sizeof(s->keys));
}

bool scram_server_first(struct scram_server *s, struct slice message, struct slice nonce, struct err *err)
{
	struct slice rest = message, flag, authzid, name, client_nonce;

	if (message.len > SCRAM_MESSAGE_MAX || !slice_cut(&rest, ',', &flag) || !slice_cut(&rest, ',', &authzid))
		return err_set(err, ERR_SYNTAX, "malformed first message");
	if (flag.len && flag.ptr[0] == 'p')
		return err_set(err, ERR_SYNTAX, "channel binding is not offered");
	if (flag.len != 1 || (flag.ptr[0] != 'n' && flag.ptr[0] != 'y'))
		return err_set(err, ERR_SYNTAX, "malformed first message");
	str_append(&s->gs2, slice_make(message.ptr, message.len - rest.len));
	str_append(&s->client_first_bare, rest);
	if (authzid.len && (!slice_starts(authzid, SLICE("a=")) || !decode_name(slice_sub(authzid, 2, authzid.len), &s->authzid)))
		return err_set(err, ERR_SYNTAX, "malformed authorization identity");
	if (!take_attribute(&rest, 'n', &name) || !decode_name(name, &s->user) || !take_attribute(&rest, 'r', &client_nonce) ||
	    !is_nonce(client_nonce))
		return err_set(err, ERR_SYNTAX, "malformed first message");
	str_append(&s->nonce, client_nonce);
	return append_nonce(nonce, &s->nonce) || err_set(err, ERR_TEMPORARY, "no random numbers");
}

void scram_server_challenge(struct scram_server *s, const struct scram_keys *keys, struct str *out)
{
	s->keys = *keys;
	str_printf(&s->server_first, "r=%s,s=", str_cstr(&s->nonce));
	base64_encode(slice_make(keys->salt, keys->salt_len), &s->server_first);
	str_printf(&s->server_first, ",i=%u", keys->iterations);
	str_append(out, str_slice(&s->server_first));
}

static bool proof_is_right(const struct scram_server *s, struct slice text, struct slice proof, uint8_t *signature)
{
	enum scram_hash hash = s->keys.hash;
	size_t size = scram_hash_size(hash);
	uint8_t mine[SCRAM_HASH_MAX], client_key[SCRAM_HASH_MAX], stored[SCRAM_HASH_MAX];

	if (proof.len != size || !hmac(hash, s->keys.stored_key, text, mine) ||
	    !hmac(hash, s->keys.server_key, text, signature))
		return false;
	for (size_t i = 0; i < size; i++)
		client_key[i] = (uint8_t)proof.ptr[i] ^ mine[i];
	return digest(hash, client_key, stored) && CRYPTO_memcmp(stored, s->keys.stored_key, size) == 0;
}

/* "c=…,r=…[,extensions],p=…": the proof covers what stands before it. */
bool scram_server_final(struct scram_server *s, struct slice message, struct str *out, struct err *err)
{
	struct slice rest = message, binding, nonce, proof_text;
	ptrdiff_t comma = slice_rfind(message, ',');
	struct str header = { 0 }, proof = { 0 }, text = { 0 };
	uint8_t signature[SCRAM_HASH_MAX];
	bool formed, ok = false;

	proof_text = slice_sub(message, comma < 0 ? message.len : (size_t)comma + 1, message.len);
	formed = message.len <= SCRAM_MESSAGE_MAX && take_attribute(&rest, 'c', &binding) && base64_decode(binding, &header) &&
		 take_attribute(&rest, 'r', &nonce) && take_attribute(&proof_text, 'p', &rest) && base64_decode(rest, &proof);
	if (!formed) {
		err_set(err, ERR_SYNTAX, "malformed final message");
	} else if (!slice_eq(str_slice(&header), str_slice(&s->gs2)) || !slice_eq(nonce, str_slice(&s->nonce))) {
		err_set(err, ERR_PERMANENT, "final message does not belong to the first");
	} else {
		auth_message(&text, &s->client_first_bare, str_slice(&s->server_first), slice_make(message.ptr, (size_t)comma));
		ok = proof_is_right(s, str_slice(&text), str_slice(&proof), signature) ||
		     err_set(err, ERR_PERMANENT, "authentication failure");
	}
	if (ok) {
		str_append_text(out, "v=");
		base64_encode(slice_make(signature, scram_hash_size(s->keys.hash)), out);
	}
	str_free(&header);
	str_free(&proof);
	str_free(&text);
	return ok;
}

/* --- the client --- */

void scram_client_clear(struct scram_client *c)
{
	str_free(&c->gs2);
	str_free(&c->binding);
	str_free(&c->bare);
	str_free(&c->nonce);
	OPENSSL_cleanse(c->server_signature, sizeof(c->server_signature));
}

void scram_client_bind(struct scram_client *c, struct slice binding_type, struct slice data)
{
	str_clear(&c->gs2);
	str_printf(&c->gs2, "p=%.*s,", SLICE_FMT(binding_type));
	str_append(&c->binding, data);
}

void scram_client_could_bind(struct scram_client *c)
{
	str_clear(&c->gs2);
	str_append_text(&c->gs2, "y,");
}

bool scram_client_first(struct scram_client *c, struct slice user, struct slice authzid, struct slice nonce, struct str *out)
{
	if (c->gs2.len == 0)
		str_append_text(&c->gs2, "n,");
	if (authzid.len) {
		str_append_text(&c->gs2, "a=");
		encode_name(authzid, &c->gs2);
	}
	str_append_byte(&c->gs2, ',');
	if (!append_nonce(nonce, &c->nonce))
		return false;
	str_append_text(&c->bare, "n=");
	encode_name(user, &c->bare);
	str_printf(&c->bare, ",r=%s", str_cstr(&c->nonce));
	str_append(out, str_slice(&c->gs2));
	str_append(out, str_slice(&c->bare));
	return true;
}

struct derivation {
	struct scram_keys keys;
	struct slice password;
	uint8_t client_key[SCRAM_HASH_MAX];
	bool ok;
};

static void derive_work(void *arg)
{
	struct derivation *d = arg;

	d->ok = derive(&d->keys, d->password, d->client_key, d->keys.server_key) &&
		digest(d->keys.hash, d->client_key, d->keys.stored_key);
}

/* "r=…,s=…,i=…" */
static bool parse_challenge(const struct scram_client *c, struct slice message, struct scram_keys *keys, struct slice *nonce,
			    struct err *err)
{
	struct slice rest = message, salt, count;
	uint64_t iterations;

	if (message.len > SCRAM_MESSAGE_MAX || !take_attribute(&rest, 'r', nonce) || !is_nonce(*nonce) ||
	    !take_attribute(&rest, 's', &salt) || !take_attribute(&rest, 'i', &count) || !slice_to_u64(count, &iterations) ||
	    !decode_exactly(salt, keys->salt, 1, SCRAM_SALT_MAX, &keys->salt_len))
		return err_set(err, ERR_SYNTAX, "malformed SCRAM challenge");
	/* A server without a share in the nonce could replay an old exchange. */
	if (!slice_starts(*nonce, str_slice(&c->nonce)) || nonce->len == c->nonce.len)
		return err_set(err, ERR_PERMANENT, "the server's nonce does not extend ours");
	if (iterations == 0 || iterations > SCRAM_ITERATIONS_MAX)
		return err_set(err, ERR_PERMANENT, "the server asks for %llu iterations; at most %d are done",
			       (unsigned long long)iterations, SCRAM_ITERATIONS_MAX);
	keys->iterations = (unsigned)iterations;
	return true;
}

bool scram_client_respond(struct scram_client *c, struct slice message, struct slice password, struct str *out,
			  struct err *err)
{
	struct derivation d = { .keys.hash = c->hash, .password = password };
	size_t size = scram_hash_size(c->hash);
	struct str header = { 0 }, final = { 0 }, text = { 0 };
	uint8_t signature[SCRAM_HASH_MAX];
	struct slice nonce;

	if (!parse_challenge(c, message, &d.keys, &nonce, err))
		return false;
	if (task_current())
		task_offload(derive_work, &d);
	else
		derive_work(&d);
	str_append(&header, str_slice(&c->gs2));
	str_append(&header, str_slice(&c->binding));
	str_append_text(&final, "c=");
	base64_encode(str_slice(&header), &final);
	str_printf(&final, ",r=%.*s", SLICE_FMT(nonce));
	auth_message(&text, &c->bare, message, str_slice(&final));
	d.ok = d.ok && hmac(c->hash, d.keys.stored_key, str_slice(&text), signature) &&
	       hmac(c->hash, d.keys.server_key, str_slice(&text), c->server_signature);
	for (size_t i = 0; i < size; i++)
		d.client_key[i] ^= signature[i];
	str_append(out, str_slice(&final));
	str_append_text(out, ",p=");
	base64_encode(slice_make(d.client_key, size), out);
	str_free(&header);
	str_free(&final);
	str_free(&text);
	OPENSSL_cleanse(&d.keys, sizeof(d.keys));
	return d.ok || err_set(err, ERR_TEMPORARY, "cannot derive SCRAM keys");
}

bool scram_client_verify(struct scram_client *c, struct slice message, struct err *err)
{
	size_t size = scram_hash_size(c->hash);
	struct slice rest = message, value;
	struct str signature = { 0 };
	bool ok = false;

	if (take_attribute(&rest, 'e', &value)) {
		err_set(err, ERR_PERMANENT, "the server says: %.*s", SLICE_FMT(slice_sub(value, 0, 100)));
	} else if (message.len > SCRAM_MESSAGE_MAX || !take_attribute(&rest, 'v', &value) || !base64_decode(value, &signature)) {
		err_set(err, ERR_SYNTAX, "malformed SCRAM answer");
	} else {
		ok = (signature.len == size && CRYPTO_memcmp(signature.data, c->server_signature, size) == 0) ||
		     err_set(err, ERR_PERMANENT, "the server does not know the password");
	}
	str_free(&signature);
	return ok;
}
