/* SPDX-License-Identifier: ISC */
#include "cleanup/sign.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "authn/author.h"
#include "authn/signer_proto.h"
#include "authn/tags.h"
#include "common/base/file.h"
#include "common/base/log.h"

#define PIECE 32768u

/* One message on its way through signer. */
struct signing {
	const struct sign_settings *settings;
	struct arena *arena;
	struct canon_header header;
	struct canon_bodies *bodies;
	int body;
	const struct signer_key *key;
};

static bool is_ours(const struct message_envelope *e)
{
	/* What goes to a filter first comes back, perhaps as another text. */
	if (e->filter.len > 0)
		return false;
	switch (e->origin) {
	case ORIGIN_SMTP:
		return !e->foreign || e->sasl_login.len > 0;
	case ORIGIN_LOCAL:
	case ORIGIN_BOUNCE:
		return true;
	case ORIGIN_FORWARD:
		break;
	}
	return false;
}

static bool read_exactly(int fd, char *to, size_t len, uint64_t at)
{
	return file_read_at(fd, to, len, MESSAGE_CONTENT_OFFSET + at) == (ssize_t)len;
}

/* What will be sent as header: our block, and behind it the content's own unless the block replaces
 * that. */
static bool read_header(struct signing *s, const struct headers_result *result, int fd)
{
	struct str text = {0};
	bool ok = true;

	str_append(&text, str_slice(&result->block));
	if (!result->replaces && result->header_length > 0) {
		size_t len = (size_t)result->header_length;

		str_reserve(&text, len);
		ok = read_exactly(fd, text.data + text.len, len, 0);
		text.len += ok ? len : 0;
		text.data[text.len] = '\0';
	}
	canon_header_read(arena_slice(s->arena, str_slice(&text)), s->arena, &s->header);
	str_free(&text);
	return ok;
}

static bool hash_body(struct signing *s, const struct message_content *content, uint64_t from,
		      int fd)
{
	char *piece = mem_alloc(PIECE);
	bool ok = true;

	for (uint64_t at = from; ok && at < content->length;) {
		size_t len = content->length - at < PIECE ? (size_t)(content->length - at) : PIECE;

		ok = read_exactly(fd, piece, len, at);
		if (ok)
			canon_bodies_feed(s->bodies, slice_make(piece, len));
		at += len;
	}
	free(piece);
	canon_bodies_finish(s->bodies);
	return ok;
}

static bool ask_signer(void *context, const uint8_t digest[CANON_DIGEST], struct str *base64,
		       struct err *err)
{
	struct signing *s = context;
	struct signer_request request = {s->key, digest};

	return signer_sign(s->settings->signer, &request, loop_now() + s->settings->timeout, base64,
			   err);
}

/* A message that passes through us a second time has its signature already. */
static bool is_signed(const struct signing *s, const struct signer_key *key)
{
	for (size_t i = 0; i < s->header.count; i++) {
		struct tags tags;

		if (header_is(&s->header.field[i], "DKIM-Signature") &&
		    tags_parse(s->header.field[i].value, &tags, NULL) &&
		    slice_eq_nocase(tags_get(&tags, "d"), key->domain) &&
		    slice_eq_nocase(tags_get(&tags, "s"), key->selector))
			return true;
	}
	return false;
}

static bool add_signature(struct signing *s, const struct signer_key *key, struct str *fields,
			  struct err *err)
{
	struct dkim_private_key remote = {
	    .ed25519 = key->ed25519, .remote = ask_signer, .context = s};
	struct dkim_sign sign = {.key = &remote,
				 .domain = key->domain,
				 .selector = key->selector,
				 .headers = s->settings->headers,
				 .oversigned = s->settings->oversigned,
				 .header_form = CANON_RELAXED,
				 .body_form = CANON_RELAXED,
				 .time = (uint64_t)loop_now()};

	if (is_signed(s, key))
		return true;
	s->key = key;
	if (s->settings->expire > 0)
		sign.expires = sign.time + (uint64_t)s->settings->expire;
	return dkim_sign_finish(&sign, &s->header, s->bodies, s->body, fields, err);
}

static bool sign_with(struct signing *s, const struct signer_key *keys, size_t count,
		      struct headers_result *result, struct err *err)
{
	struct str fields = {0};
	bool ok = true;

	for (size_t i = 0; ok && i < count; i++)
		ok = add_signature(s, &keys[i], &fields, err);
	if (ok && fields.len > 0) {
		str_append(&fields, str_slice(&result->block));
		str_clear(&result->block);
		str_append(&result->block, str_slice(&fields));
	}
	str_free(&fields);
	return ok;
}

static bool sign_in(struct signing *s, const struct message_content *content, int fd,
		    struct headers_result *result)
{
	struct signer_key keys[SIGNER_KEYS_MAX];
	struct author author;
	size_t count = 0;
	struct err err = {0};
	bool ok;

	if (!read_header(s, result, fd))
		return false;
	author_read(&s->header, s->arena, &author);
	if (author.fault)
		return true; /* nobody to sign for */
	ok = signer_find(s->settings->signer, author.address, loop_now() + s->settings->timeout,
			 s->arena, keys, &count, &err);
	if (ok && count > 0) {
		s->bodies = canon_bodies_create();
		s->body = canon_bodies_want(s->bodies, CANON_RELAXED, UINT64_MAX);
		ok = hash_body(s, content, result->header_length, fd) &&
		     sign_with(s, keys, count, result, &err);
		canon_bodies_free(&s->bodies);
	}
	if (!ok)
		log_warning("signing: %s", err.code ? err.text : "the queue file cannot be read");
	return ok;
}

bool sign_message(const struct sign_settings *settings, const struct message_envelope *envelope,
		  const struct message_content *content, int fd, struct headers_result *header)
{
	struct signing s = {.settings = settings};
	bool ok;

	if (!settings->signer || !is_ours(envelope) || !header->complete)
		return true;
	s.arena = arena_create(8192);
	ok = sign_in(&s, content, fd, header);
	arena_free(&s.arena);
	return ok;
}
