/* SPDX-License-Identifier: ISC */
/* The life of an active message: answers, notices, deferral, removal.  See STATES.md. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/task.h"
#include "common/mail/delivery_log.h"
#include "qmgr/qmgr.h"
#include "qmgr/sites.h"

/* --- the end of a message's time in memory --- */

static void message_close(struct message *m)
{
	struct arena *arena = m->arena;

	queue_forget_active(m);
	if (m->fd >= 0)
		close(m->fd);
	arena_free(&arena);
}

/* Says in the file that its message has gone: from here on nobody delivers it again. */
static bool mark_free(struct message *m)
{
	struct err err;

	if (m->layout.state != MESSAGE_FREE && !message_set_state(m->fd, &m->layout, MESSAGE_FREE, &err))
		log_warning("%s: %s", m->id.ptr, err.text);
	return m->layout.state == MESSAGE_FREE;
}

static void message_remove(struct message *m)
{
	bool reusable = !m->has_results && message_end(&m->layout) <= MESSAGE_REUSE_MAX && mark_free(m);

	log_info("%s: removed", m->id.ptr);
	/* Before another process is told: it wants to be the only one that has it open. */
	close(m->fd);
	m->fd = -1;
	if (!(reusable && control_give_back(m->name)) && unlinkat(queue_directory(), m->name, 0) != 0 &&
	    errno != ENOENT)
		log_warning("%s: remove queue file: %m", m->id.ptr);
	message_close(m);
}

static void message_defer(struct message *m)
{
	const struct queue_settings *settings = queue_settings();
	double now = loop_now(), wait;
	struct err err;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { 0 } };

	if (m->held) {
		if (message_set_state(m->fd, &m->layout, MESSAGE_HOLD, &err) && fdatasync(m->fd) == 0) {
			log_info("%s: placed on hold", m->id.ptr);
			queue_put_on_hold(m->id);
			message_close(m);
			return;
		}
		log_warning("%s: cannot be put on hold", m->id.ptr);
	}
	wait = backoff_pause(&settings->backoff, m->backoff, m->hint, now - m->envelope.arrival);
	/* At its deadline the sender is told, or the message returned. */
	if (m->envelope.deliver_by > now && m->envelope.deliver_by < now + wait)
		wait = m->envelope.deliver_by - now + 1;
	times[1].tv_sec = (time_t)(now + wait);
	if (futimens(m->fd, times) != 0)
		log_warning("%s: set time of next attempt: %m", m->id.ptr);
	queue_wait(m->id, now + wait);
	sites_note(m->id, &m->envelope);
	message_close(m);
}

static bool is_done(const struct message *m)
{
	return m->pending == 0 && m->failed == 0 && m->to_tell == 0;
}

static void set_status(struct message *m, struct message_recipient *r, enum recipient_status status)
{
	struct err err;

	m->pending -= r->status == RECIPIENT_PENDING;
	m->failed -= r->status == RECIPIENT_FAILED;
	m->to_tell -= recipient_is_to_tell(r->status);
	m->failed += status == RECIPIENT_FAILED;
	m->to_tell += recipient_is_to_tell(status);
	r->status = status;
	/* With the last recipient the whole message goes. */
	if (is_done(m) && mark_free(m))
		return;
	if (!message_set_status(m->fd, r, status, &err))
		log_warning("%s: %s", m->id.ptr, err.text);
}

/* --- what the sender is told --- */

static bool is_late(const struct message *m)
{
	const struct message_envelope *e = &m->envelope;
	double limit = queue_settings()->delay_warning, now = loop_now();

	if (m->layout.warned || e->sender.len == 0)
		return false;
	return (limit > 0 && now - e->arrival > limit) || (e->deliver_by > 0 && !e->by_return && now >= e->deliver_by);
}

/* 0: nothing. */
static enum qmgr_notice next_notice(const struct message *m)
{
	if (m->notice_failed)
		return 0;
	return m->failed > 0 ? NOTICE_FAILURE : m->to_tell > 0 ? NOTICE_SUCCESS :
	       m->pending > 0 && is_late(m) ? NOTICE_DELAY : 0;
}

static void note_told(struct message *m, enum qmgr_notice kind)
{
	struct err err;

	for (size_t i = 0; i < m->envelope.recipient_count; i++) {
		struct message_recipient *r = &m->envelope.recipients[i];

		if (kind == NOTICE_FAILURE && r->status == RECIPIENT_FAILED)
			set_status(m, r, RECIPIENT_RETURNED);
		else if (kind == NOTICE_SUCCESS && recipient_is_to_tell(r->status))
			set_status(m, r, RECIPIENT_DELIVERED);
	}
	if (kind == NOTICE_DELAY && !message_set_warned(m->fd, &m->layout, &err))
		log_warning("%s: %s", m->id.ptr, err.text);
}

void message_noticed(struct message *m, enum qmgr_notice kind, bool done)
{
	if (done)
		note_told(m, kind);
	/* Once a round: what could not be noted is not told again at once. */
	m->notice_failed = !done || next_notice(m) == kind;
	message_settle(m);
}

void message_settle(struct message *m)
{
	enum qmgr_notice kind = next_notice(m);

	if (m->deleted || is_done(m))
		message_remove(m);
	else if (kind)
		notice_send(m, kind);
	else
		message_defer(m);
}

/* --- answers --- */

static const char *status_word(enum delivery_outcome outcome)
{
	return outcome == DELIVERY_SENT ? "sent" : outcome == DELIVERY_BOUNCED ? "bounced" : "deferred";
}

/* Of this success. */
static bool wants_to_know(const struct message *m, const struct message_recipient *r, enum delivery_action action)
{
	if (m->envelope.sender.len == 0 || action == ACTION_PASSED)
		return false;
	return action == ACTION_TRACED ? !(r->notify & NOTIFY_NEVER) : (r->notify & NOTIFY_SUCCESS) != 0;
}

static void note_backoff(struct message *m, const struct delivery_result *result)
{
	double hint;
	enum backoff_reason reason = backoff_reason_of(result->dsn, result->remote, &hint);

	if (reason > m->backoff)
		m->backoff = reason;
	if (hint > m->hint)
		m->hint = hint;
}

void message_answer(struct message *m, const struct delivery_result *result, bool log)
{
	struct message_recipient *r = &m->envelope.recipients[result->index];
	struct message_result kept = { result->index, loop_now(), result->dsn, result->relay, result->text,
				       result->remote };
	enum delivery_outcome outcome = result->outcome;
	struct err err;

	if (outcome == DELIVERY_BOUNCED && queue_settings()->soft_bounce)
		outcome = DELIVERY_DEFERRED;
	if (log)
		delivery_log(&(struct delivery_log){
			.queue_id = m->id, .recipient = r->address, .original = r->original,
			.relay = result->relay, .arrival = m->envelope.arrival, .queued = m->queued,
			.end = loop_now(), .dsn = result->dsn, .status = status_word(outcome),
			.reason = result->text });
	if (outcome == DELIVERY_SENT && !wants_to_know(m, r, result->action)) {
		set_status(m, r, RECIPIENT_DELIVERED);
		return;
	}
	m->has_results = true;
	if (!message_append_result(m->fd, &kept, &err))
		log_warning("%s: %s", m->id.ptr, err.text);
	if (outcome == DELIVERY_SENT) {
		set_status(m, r, result->action == ACTION_DELIVERED ? RECIPIENT_TELL_DELIVERED :
				 result->action == ACTION_EXPANDED ? RECIPIENT_TELL_EXPANDED : RECIPIENT_TELL_RELAYED);
		return;
	}
	if (outcome == DELIVERY_DEFERRED)
		note_backoff(m, result);
	if (outcome == DELIVERY_DEFERRED && m->expired) {
		log_info("%s: from=<%.*s>, status=expired, returned to sender", m->id.ptr,
			 SLICE_FMT(m->envelope.sender));
		outcome = DELIVERY_BOUNCED;
	}
	if (outcome == DELIVERY_BOUNCED)
		set_status(m, r, RECIPIENT_FAILED);
}

void message_job_done(struct job *job)
{
	struct message *m = job->message;

	if (--m->jobs == 0)
		message_settle(m);
}

void message_fail_job(struct job *job, enum delivery_outcome outcome, const char *dsn, const char *text)
{
	struct message *m = job->message;

	for (uint32_t i = 0; i < job->count; i++) {
		struct delivery_result result = { job->recipients[i], outcome, slice_of(dsn), SLICE("none"),
						  slice_of(text), SLICE_NONE, ACTION_DELIVERED };

		if (job->is_answered[i])
			continue;
		job->is_answered[i] = true;
		job->answered++;
		message_answer(m, &result, true);
	}
	message_job_done(job);
}
