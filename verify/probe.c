/* SPDX-License-Identifier: ISC */
#include "verify/probe.h"

#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/address.h"
#include "common/mail/delivery_log.h"
#include "delivery/lib/handoff.h"
#include "routing/rewrite.h"
#include "routing/route.h"

static struct {
	const struct config *config;
	struct rewriter *rewriter;     /* virtual aliases, as cleanup has them */
	struct router *router;         /* with address_verify_transport_maps and kin */
	double sender_ttl;
} me;

struct probe {
	struct arena *arena;
	struct slice address;
	struct verify_result *result;
	char id[MESSAGE_ID_SIZE];
	double started;
};

bool probe_open(const struct config *config, struct err *err)
{
	me.config = config;
	me.sender_ttl = config_time(config, "address_verify_sender_ttl");
	me.rewriter = rewriter_create(config, err);
	me.router = me.rewriter ? router_create_for_probes(config, err) : NULL;
	return me.router != NULL;
}

bool probe_tables_changed(void)
{
	return router_changed(me.router) || router_changed(rewriter_router(me.rewriter));
}

/* --- what is found --- */

/* Here, without an agent: a line in the log as an agent would write it. */
static void conclude(const struct probe *p, enum verify_status status, struct slice dsn, struct slice text)
{
	verify_set(p->result, status, dsn, text);
	delivery_log(&(struct delivery_log){
		.queue_id = slice_of(p->id), .recipient = p->address, .relay = SLICE("none"), .arrival = p->started,
		.queued = p->started, .end = loop_now(), .dsn = dsn,
		.status = delivery_log_word(status == VERIFY_OK ? DELIVERY_WORD_SENT : DELIVERY_WORD_BOUNCED, true), .reason = text });
}

static void take_outcome(const struct probe *p, const struct outcome *o)
{
	static const enum verify_status status[] = { [DELIVERY_SENT] = VERIFY_OK, [DELIVERY_DEFERRED] = VERIFY_TEMPORARY,
						     [DELIVERY_BOUNCED] = VERIFY_BAD };

	verify_set(p->result, status[o->outcome], slice_of(o->dsn), slice_of(o->text));
}

/* --- the message that is not sent --- */

/* address_verify_sender; with a time to live its local part ends in a word that changes. */
static struct slice sender_of(const struct probe *p)
{
	struct slice sender = slice_of(config_text(me.config, "address_verify_sender")), local, domain;

	if (slice_eq(sender, SLICE("<>")))
		return SLICE("");
	if (sender.len == 0)
		return sender;
	address_split(sender, &local, &domain);
	if (domain.len == 0)
		domain = slice_of(config_text(me.config, "myorigin"));
	if (me.sender_ttl <= 0)
		return slice_of(arena_printf(p->arena, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(domain)));
	return slice_of(arena_printf(p->arena, "%.*st%llx@%.*s", SLICE_FMT(local),
				     (unsigned long long)((double)time(NULL) / me.sender_ttl), SLICE_FMT(domain)));
}

/* A whole message in memory, as agents read messages from files. */
static int make_message(const struct probe *p, struct message_envelope *envelope, struct message_layout *layout, struct err *err)
{
	struct str header = { 0 };
	int fd = memfd_create("probe", MFD_CLOEXEC);
	bool ok;

	if (fd < 0) {
		err_set_errno(err, ERR_TEMPORARY, "memfd_create");
		return -1;
	}
	str_printf(&header, "From: <%.*s>\r\nTo: <%.*s>\r\nSubject: Mail delivery status probe\r\n\r\n", SLICE_FMT(envelope->sender),
		   SLICE_FMT(address_quote(p->arena, p->address)));
	*layout = (struct message_layout){ .state = MESSAGE_COMMITTED, .replaces_header = true };
	(void)snprintf(layout->id, sizeof(layout->id), "%s", p->id);
	ok = message_write(fd, envelope, layout, str_slice(&header), err);
	str_free(&header);
	if (ok)
		return fd;
	close(fd);
	return -1;
}

static void ask_agent(struct probe *p, const struct route *route, struct slice sender)
{
	static const uint32_t index[] = { 0 };
	struct message_recipient recipient = { .address = route->address, .original = p->address, .status = RECIPIENT_PENDING };
	struct delivery_job job = { .queue_id = slice_of(p->id), .nexthop = route->nexthop, .index = index, .queued = p->started,
				    .probe = true };
	struct outcome o = { 0 };
	struct err err;

	job.envelope = (struct message_envelope){ .origin = ORIGIN_LOCAL, .sender = sender, .arrival = p->started,
						  .recipients = &recipient, .recipient_count = 1,
						  .smtputf8 = !address_is_ascii(route->address) };
	job.fd = make_message(p, &job.envelope, &job.layout, &err);
	if (job.fd < 0) {
		conclude(p, VERIFY_TEMPORARY, SLICE("4.3.0"), slice_of(err.text));
		return;
	}
	if (handoff(arena_cstr(p->arena, route->transport), &job, &o))
		take_outcome(p, &o);
	else
		conclude(p, VERIFY_TEMPORARY, slice_of(o.dsn), slice_of(o.text));
	close(job.fd);
}

/* --- where it goes --- */

static void follow_route(struct probe *p, const struct route *route, struct slice sender)
{
	struct slice dsn, text;

	if (slice_eq(route->transport, SLICE("error"))) {
		text = route_split_text(route->nexthop, "5.0.0", &dsn);
		conclude(p, dsn.ptr[0] == '4' ? VERIFY_TEMPORARY : VERIFY_BAD, dsn, text);
	} else if (slice_eq(route->transport, SLICE("retry"))) {
		text = route_split_text(route->nexthop, "4.0.0", &dsn);
		conclude(p, VERIFY_TEMPORARY, dsn, text);
	} else if (slice_eq(route->transport, SLICE("discard"))) {
		conclude(p, VERIFY_OK, SLICE("2.0.0"), route->nexthop);
	} else {
		ask_agent(p, route, sender);
	}
}

static void find_out(struct probe *p)
{
	struct rewriter *held = rewriter_hold(me.rewriter);
	struct rewrite rw = { .rewriter = held, .arena = p->arena };
	struct rewrite_input input = { .place = REWRITE_ENVELOPE_RECIPIENT, .address = p->address };
	struct rewrite_list list = { 0 };
	struct slice canonical, sender = sender_of(p);
	struct route route;
	struct err err = { 0 };

	if (!rewrite_address(&rw, &input, &canonical, &err) || !rewrite_aliases(&rw, canonical, &list, &err))
		conclude(p, VERIFY_TEMPORARY, SLICE("4.3.0"), slice_of(err.text));
	else if (list.count != 1)
		conclude(p, VERIFY_OK, SLICE("2.0.0"), SLICE("aliased to multiple recipients"));
	else if (!router_resolve(me.router, list.address[0], sender, p->arena, &route, &err))
		conclude(p, VERIFY_TEMPORARY, SLICE("4.3.0"), slice_of(err.text));
	else
		follow_route(p, &route, sender);
	rewriter_free(&held);
}

void probe_address(struct slice address, struct verify_result *result)
{
	struct arena *arena = arena_create(2048);
	struct probe p = { .arena = arena, .address = arena_slice(arena, address), .result = result, .started = loop_now() };
	char name[MESSAGE_NAME_SIZE];

	message_name_make(name);
	message_id_make(p.id, name);
	find_out(&p);
	arena_free(&arena);
}
