/* SPDX-License-Identifier: ISC */
/*
 * What becomes of addresses on their way into the queue: the order and the rules of cleanup(8).
 * canonical_maps, masquerade_domains, virtual_alias_maps, the tables of copies.  A lookup may suspend
 * the calling task; one that fails, and an alias without end, is ERR_TEMPORARY: the message is not taken.
 */
#ifndef POSTRIDER_ROUTING_REWRITE_H
#define POSTRIDER_ROUTING_REWRITE_H

#include "routing/route.h"

/* Where an address stands; what canonical_classes and masquerade_classes list. */
enum rewrite_place {
	REWRITE_ENVELOPE_SENDER = 1, REWRITE_ENVELOPE_RECIPIENT = 2, REWRITE_HEADER_SENDER = 4, REWRITE_HEADER_RECIPIENT = 8
};

struct rewriter;
/* With a router of its own. */
struct rewriter *rewriter_create(const struct config *config, struct err *err) MUST_USE;
/* As router_create_again. */
struct rewriter *rewriter_create_again(const struct rewriter *before, struct err *err) MUST_USE;
/* One more owner: lives until each has freed it. */
struct rewriter *rewriter_hold(struct rewriter *rewriter);
void rewriter_free(struct rewriter **rewriter);
struct router *rewriter_router(struct rewriter *rewriter);

/* What all calls for a message share. */
struct rewrite {
	struct rewriter *rewriter;
	struct arena *arena;
	bool form_only;            /* no_address_mappings: no table is asked */
	bool remote;               /* header addresses are completed with remote_header_rewrite_domain */
};

/* An address before its tables; `literal`: its local part stood in quotes. */
struct rewrite_input {
	enum rewrite_place place;
	struct slice address;      /* internal form */
	bool literal;
};
/* Form, canonical tables, masquerading. */
bool rewrite_address(const struct rewrite *rw, const struct rewrite_input *input, struct slice *result,
		     struct err *err) MUST_USE;

struct rewrite_list {
	struct slice *address;
	size_t count, room;
};
/* What virtual_alias_maps make of a recipient: itself when they do not have it.  Appends to *list. */
bool rewrite_aliases(const struct rewrite *rw, struct slice recipient, struct rewrite_list *list,
		     struct err *err) MUST_USE;

/* Who gets a copy of a sender's or a recipient's mail: as many as there are, appended. */
bool rewrite_sender_bcc(const struct rewrite *rw, struct slice sender, struct rewrite_list *list,
			struct err *err) MUST_USE;
bool rewrite_recipient_bcc(const struct rewrite *rw, struct slice recipient, struct rewrite_list *list,
			   struct err *err) MUST_USE;
void rewrite_list_add(const struct rewrite *rw, struct rewrite_list *list, struct slice address);

/*
 * A table's result as addresses: all of it, completed; "@domain" takes the local part of `from`, and
 * `extension` ("+ext" or empty) is put behind each local part.
 */
struct rewrite_result {
	struct slice value, from, extension;
};
void rewrite_crunch(const struct rewrite *rw, const struct rewrite_result *result, struct rewrite_list *list);

#endif
