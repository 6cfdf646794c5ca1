/* SPDX-License-Identifier: ISC */
#include <unistd.h>

#include "common/mail/message_codec.h"
#include "common/proto/delivery_proto.h"

#define RECIPIENTS_MAX (IPC_MAX / MESSAGE_RECIPIENT_MIN)
#define LAYOUT_SIZE    72
#define TEXT_MAX       4096 /* of a result's texts: the rest is cut off */

const struct ipc_protocol delivery_protocol = { "delivery", 1 };

bool delivery_put_ready(struct ipc_out *m, uint32_t slots)
{
	ipc_out_start(m, DELIVERY_READY, 0);
	ipc_put_u64(m, DELIVERY_FIELD_SLOTS, slots);
	return !m->failed;
}

bool delivery_get_ready(const struct ipc_in *m, uint32_t *slots, struct err *err)
{
	uint64_t value;

	if (m->type != DELIVERY_READY || !ipc_get_u64(m, DELIVERY_FIELD_SLOTS, &value) || value > UINT32_MAX)
		return err_set(err, ERR_SYNTAX, "malformed READY");
	*slots = (uint32_t)value;
	return true;
}

/* --- job --- */

static void put_layout(struct ipc_out *m, const struct message_layout *l)
{
	uint8_t raw[LAYOUT_SIZE];
	struct packer p = packer_make(raw, sizeof(raw));

	packer_u8(&p, (uint8_t)l->state);
	packer_u8(&p, l->replaces_header);
	packer_u8(&p, l->content.leading_dots);
	packer_u8(&p, l->content.eight_bit);
	packer_u32(&p, l->content.longest_line);
	packer_u64(&p, l->content.length);
	packer_u64(&p, l->content.header_length);
	packer_u64(&p, l->envelope_offset);
	packer_u64(&p, l->envelope_length);
	packer_u64(&p, l->header_offset);
	packer_u64(&p, l->header_length);
	packer_u64(&p, l->results_offset);
	ipc_put_bytes(m, DELIVERY_FIELD_LAYOUT, slice_make(raw, p.len));
}

static bool get_layout(struct slice raw, struct message_layout *l)
{
	struct cursor c = cursor_make(raw.ptr, raw.len);

	l->state = (enum message_state)cursor_u8(&c);
	l->replaces_header = cursor_u8(&c) != 0;
	l->content.leading_dots = cursor_u8(&c) != 0;
	l->content.eight_bit = cursor_u8(&c) != 0;
	l->content.longest_line = cursor_u32(&c);
	l->content.length = cursor_u64(&c);
	l->content.header_length = cursor_u64(&c);
	l->envelope_offset = cursor_u64(&c);
	l->envelope_length = cursor_u64(&c);
	l->header_offset = cursor_u64(&c);
	l->header_length = cursor_u64(&c);
	l->results_offset = cursor_u64(&c);
	return !c.failed && cursor_left(&c) == 0 && l->content.length < INT64_MAX / 4 &&
	       l->content.header_length <= l->content.length &&
	       l->envelope_offset == MESSAGE_CONTENT_OFFSET + l->content.length &&
	       l->envelope_length < INT64_MAX / 4 && l->header_offset == l->envelope_offset + l->envelope_length &&
	       l->header_length < INT64_MAX / 4 && l->results_offset >= l->header_offset + l->header_length;
}

bool delivery_put_job(struct ipc_out *m, const struct delivery_job *job, size_t *next)
{
	struct str record = { 0 };
	size_t first = *next;
	bool ok;

	ipc_out_start(m, DELIVERY_JOB, job->id);
	ipc_put_bytes(m, DELIVERY_FIELD_ID, job->queue_id);
	ipc_put_bytes(m, DELIVERY_FIELD_NEXTHOP, job->nexthop);
	put_layout(m, &job->layout);
	ipc_put_u64(m, DELIVERY_FIELD_QUEUED, job->queued > 0 && job->queued < 9e12 ? (uint64_t)(job->queued * 1e6) : 0);
	ipc_put_u64(m, DELIVERY_FIELD_PROBE, job->probe);
	ipc_put_fd(m, job->fd);
	ok = message_envelope_encode(&record, &job->envelope);
	ipc_put_bytes(m, DELIVERY_FIELD_ENVELOPE, str_slice(&record));
	while (ok && *next < job->envelope.recipient_count) {
		str_clear(&record);
		message_put_u32(&record, job->index[*next]);
		ok = message_recipient_encode(&record, &job->envelope.recipients[*next]);
		if (!ok || record.len > ipc_out_room(m))
			break;
		ipc_put_bytes(m, DELIVERY_FIELD_RECIPIENT, str_slice(&record));
		++*next;
	}
	str_free(&record);
	if (ok && !m->failed && *next > first)
		return true;
	*next = first;
	return false;
}

static bool get_recipients(const struct ipc_in *m, struct arena *arena, struct delivery_job *job)
{
	struct ipc_field f;
	size_t pos = 0, count = 0, i = 0;

	while (ipc_next(m, &pos, &f))
		count += f.field == DELIVERY_FIELD_RECIPIENT && f.kind == 's';
	if (count == 0 || count > RECIPIENTS_MAX)
		return false;
	struct message_recipient *recipients = arena_alloc(arena, count * sizeof(*recipients));
	uint32_t *index = arena_alloc(arena, count * sizeof(*index));

	for (pos = 0; i < count && ipc_next(m, &pos, &f);) {
		if (f.field != DELIVERY_FIELD_RECIPIENT || f.kind != 's')
			continue;
		struct cursor c = cursor_make(f.bytes.ptr, f.bytes.len);

		index[i] = cursor_u32(&c);
		if (!message_recipient_decode(&c, arena, &recipients[i]) || cursor_left(&c) != 0)
			return false;
		i++;
	}
	job->envelope.recipients = recipients;
	job->envelope.recipient_count = count;
	job->index = index;
	return true;
}

bool delivery_get_job(struct ipc_in *m, struct arena *arena, struct delivery_job *job, struct err *err)
{
	struct slice id, nexthop, layout, envelope;
	uint64_t queued, probe;

	*job = (struct delivery_job){ .fd = -1, .id = m->request };
	if (m->type != DELIVERY_JOB || !ipc_get_bytes(m, DELIVERY_FIELD_ID, &id) || !message_id_valid(id) ||
	    !ipc_get_bytes(m, DELIVERY_FIELD_NEXTHOP, &nexthop) || !ipc_get_bytes(m, DELIVERY_FIELD_LAYOUT, &layout) ||
	    !ipc_get_bytes(m, DELIVERY_FIELD_ENVELOPE, &envelope) || !ipc_get_u64(m, DELIVERY_FIELD_QUEUED, &queued) ||
	    !ipc_get_u64(m, DELIVERY_FIELD_PROBE, &probe) || probe > 1 ||
	    !get_layout(layout, &job->layout))
		return err_set(err, ERR_SYNTAX, "malformed JOB");
	struct cursor c = cursor_make(envelope.ptr, envelope.len);

	if (!message_envelope_decode(&c, arena, &job->envelope) || cursor_left(&c) != 0 ||
	    !get_recipients(m, arena, job))
		return err_set(err, ERR_SYNTAX, "malformed envelope in JOB");
	job->queue_id = arena_slice(arena, id);
	job->nexthop = arena_slice(arena, nexthop);
	job->queued = (double)queued / 1e6;
	job->probe = probe;
	job->fd = ipc_take_fd(m, 0);
	if (job->fd < 0)
		return err_set(err, ERR_SYNTAX, "JOB without a descriptor");
	return true;
}

/* --- result --- */

/* A remote reply may be long; a result must always fit. */
static void put_cut(struct ipc_out *m, enum delivery_field field, struct slice text)
{
	ipc_put_bytes(m, field, slice_sub(text, 0, TEXT_MAX));
}

bool delivery_put_result(struct ipc_out *m, uint32_t job, const struct delivery_result *r)
{
	ipc_out_start(m, DELIVERY_RESULT, job);
	ipc_put_u64(m, DELIVERY_FIELD_INDEX, r->index);
	ipc_put_u64(m, DELIVERY_FIELD_OUTCOME, (uint64_t)r->outcome);
	put_cut(m, DELIVERY_FIELD_DSN, r->dsn);
	put_cut(m, DELIVERY_FIELD_RELAY, r->relay);
	put_cut(m, DELIVERY_FIELD_TEXT, r->text);
	put_cut(m, DELIVERY_FIELD_REMOTE, r->remote);
	if (r->action != ACTION_DELIVERED)
		ipc_put_u64(m, DELIVERY_FIELD_ACTION, (uint64_t)r->action);
	return !m->failed;
}

/* class "." subject "." detail */
static bool valid_dsn(struct slice dsn, enum delivery_outcome outcome)
{
	static const char classes[] = "?245";
	size_t dots = 0;

	if (dsn.len < 5 || dsn.len > 9 || dsn.ptr[0] != classes[outcome] || dsn.ptr[1] != '.')
		return false;
	for (size_t i = 0; i < dsn.len; i++) {
		if (dsn.ptr[i] == '.')
			dots++;
		else if (dsn.ptr[i] < '0' || dsn.ptr[i] > '9')
			return false;
	}
	return dots == 2;
}

bool delivery_get_result(const struct ipc_in *m, struct delivery_result *r, struct err *err)
{
	uint64_t index, outcome, action = ACTION_DELIVERED;

	*r = (struct delivery_result){ 0 };
	if (m->type != DELIVERY_RESULT || !ipc_get_u64(m, DELIVERY_FIELD_INDEX, &index) || index > UINT32_MAX ||
	    !ipc_get_u64(m, DELIVERY_FIELD_OUTCOME, &outcome) || outcome < DELIVERY_SENT ||
	    outcome > DELIVERY_BOUNCED || !ipc_get_bytes(m, DELIVERY_FIELD_DSN, &r->dsn) ||
	    !ipc_get_bytes(m, DELIVERY_FIELD_RELAY, &r->relay) || !ipc_get_bytes(m, DELIVERY_FIELD_TEXT, &r->text) ||
	    !ipc_get_bytes(m, DELIVERY_FIELD_REMOTE, &r->remote))
		return err_set(err, ERR_SYNTAX, "malformed RESULT");
	if (ipc_get_u64(m, DELIVERY_FIELD_ACTION, &action) && action > ACTION_TRACED)
		return err_set(err, ERR_SYNTAX, "RESULT with an unknown action");
	r->index = (uint32_t)index;
	r->outcome = (enum delivery_outcome)outcome;
	r->action = (enum delivery_action)action;
	r->relay = slice_sub(r->relay, 0, TEXT_MAX);
	r->text = slice_sub(r->text, 0, TEXT_MAX);
	r->remote = slice_sub(r->remote, 0, TEXT_MAX);
	/* The outcome decides; a status of another class would mislead log and notice. */
	if (!valid_dsn(r->dsn, r->outcome))
		r->dsn = outcome == DELIVERY_SENT ? SLICE("2.0.0") :
			 outcome == DELIVERY_DEFERRED ? SLICE("4.0.0") : SLICE("5.0.0");
	return true;
}

bool delivery_put_done(struct ipc_out *m, uint32_t job, bool connection_kept, bool destination_dead)
{
	ipc_out_start(m, DELIVERY_DONE, job);
	ipc_put_u64(m, DELIVERY_FIELD_KEPT, connection_kept);
	ipc_put_u64(m, DELIVERY_FIELD_DEAD, destination_dead);
	return !m->failed;
}

bool delivery_get_done(const struct ipc_in *m, bool *connection_kept, bool *destination_dead, struct err *err)
{
	uint64_t kept, dead;

	if (m->type != DELIVERY_DONE || !ipc_get_u64(m, DELIVERY_FIELD_KEPT, &kept) ||
	    !ipc_get_u64(m, DELIVERY_FIELD_DEAD, &dead) || kept > 1 || dead > 1)
		return err_set(err, ERR_SYNTAX, "malformed DONE");
	*connection_kept = kept;
	*destination_dead = dead;
	return true;
}
