/* SPDX-License-Identifier: ISC */
/* What cleanup does to a message's header: the new header block. */
#ifndef POSTRIDER_CLEANUP_HEADERS_H
#define POSTRIDER_CLEANUP_HEADERS_H

#include "common/mail/header.h"
#include "routing/rewrite.h"

struct headers_settings {
	const char *hostname;       /* myhostname */
	const char *origin;         /* myorigin */
	const char *mail_name;
	const char *undisclosed;    /* undisclosed_recipients_header: a whole field, or "" */
	bool always_add_missing;    /* always_add_missing_headers */
	const char *authserv_id;    /* fields that speak in this name are removed; NULL: they stay */
	struct slice *drop;         /* message_drop_headers: names */
	size_t drop_count;
	struct rewriter *rewriter;  /* NULL: header addresses stay as they are */
	bool form_only;             /* receive_override_options = no_address_mappings */
	bool rewrite_remote;        /* remote_header_rewrite_domain is set: others' mail is completed too */
	size_t address_limit;       /* header_address_token_limit */
};

struct headers_result {
	struct str block;           /* new header block */
	bool replaces;              /* it stands for the content's header too */
	uint64_t header_length;     /* of the content, with the empty line; only if `complete` */
	bool complete;              /* the whole header was in what was given */
	struct str message_id;      /* value of Message-ID, in one line; empty: none */
	struct str resent_message_id;
	long hops;                  /* Received fields in the content */
	bool failed;                /* a table did not answer: *err; nothing else is usable */
	struct err err;
};

/*
 * `start` is the content's beginning; `all` tells that it is the whole content.  The
 * caller frees with headers_free.  Suspends the task when addresses are looked up.
 */
void headers_build(struct headers_result *result, struct slice start, bool all,
		   const struct message_envelope *envelope, const char *queue_id,
		   const struct headers_settings *settings, struct arena *arena);
void headers_free(struct headers_result *result);

#endif
