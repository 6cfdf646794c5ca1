/* SPDX-License-Identifier: ISC */
/*
 * SCRAM (RFC 5802, RFC 7677): the keys that a server stores, and both sides of the exchange as
 * functions from message to message.  Names and passwords are taken as the bytes that they are:
 * no SASLprep.
 */
#ifndef POSTRIDER_COMMON_SASL_SCRAM_H
#define POSTRIDER_COMMON_SASL_SCRAM_H

#include "common/base/err.h"
#include "common/base/str.h"

#define SCRAM_HASH_MAX       32
#define SCRAM_SALT_MAX       64
#define SCRAM_ITERATIONS     4096          /* RFC 7677 §4: at least */
#define SCRAM_ITERATIONS_MAX 1000000       /* a peer names the figure, we do the work */
#define SCRAM_MESSAGE_MAX    8192

enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256 };

struct scram_keys {
	enum scram_hash hash;
	unsigned iterations;
	size_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored_key[SCRAM_HASH_MAX], server_key[SCRAM_HASH_MAX];
};

size_t scram_hash_size(enum scram_hash hash);
/* From a password; costs time: for worker threads.  keys->hash, iterations and salt are set by the caller. */
bool scram_keys_derive(struct scram_keys *keys, struct slice password) MUST_USE;
/* "SCRAM-SHA-256$4096:salt$stored:server", in base64 (RFC 5803). */
bool scram_keys_parse(struct slice text, struct scram_keys *keys) MUST_USE;
void scram_keys_format(const struct scram_keys *keys, struct str *out);

/* --- the server: first(), challenge(), final() --- */

struct scram_server {
	enum scram_hash hash;
	struct str user;             /* as the client named it, decoded */
	struct str authzid;
	struct str gs2, client_first_bare, server_first;
	struct str nonce;            /* the client's and ours */
	struct scram_keys keys;
};

/* `nonce`: ours, printable without comma; 18 random bytes in base64 when empty.  False: malformed, or asks for channel binding. */
bool scram_server_first(struct scram_server *s, struct slice message, struct slice nonce, struct err *err) MUST_USE;
void scram_server_challenge(struct scram_server *s, const struct scram_keys *keys, struct str *out);
/* ERR_PERMANENT: the proof is wrong; ERR_SYNTAX: malformed. */
bool scram_server_final(struct scram_server *s, struct slice message, struct str *out, struct err *err) MUST_USE;
void scram_server_clear(struct scram_server *s);

/* --- the client: first(), respond(), verify() --- */

struct scram_client {
	enum scram_hash hash;
	struct str gs2;              /* header: "n,," */
	struct str binding;          /* channel binding data */
	struct str bare, nonce;
	uint8_t server_signature[SCRAM_HASH_MAX];
};

/* Before first(), one of them or none: channel binding ("tls-exporter"), or that we could and the server does not. */
void scram_client_bind(struct scram_client *c, struct slice binding_type, struct slice data);
void scram_client_could_bind(struct scram_client *c);
/* `nonce`: as for the server.  False: no random numbers. */
bool scram_client_first(struct scram_client *c, struct slice user, struct slice authzid, struct slice nonce,
			struct str *out) MUST_USE;
/* Derives keys: in a worker thread when called by a task. */
bool scram_client_respond(struct scram_client *c, struct slice message, struct slice password, struct str *out,
			  struct err *err) MUST_USE;
/* The server's last message: has it the password too? */
bool scram_client_verify(struct scram_client *c, struct slice message, struct err *err) MUST_USE;
void scram_client_clear(struct scram_client *c);

#endif
