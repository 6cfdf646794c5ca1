/* SPDX-License-Identifier: ISC */
/* The life of a message in the queue: activation, answers, deferral, removal.  See STATES.md. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/mail/delivery_log.h"
#include "common/process/process.h"
#include "qmgr/qmgr.h"

static struct {
	int queue_fd, corrupt_fd;
	struct router *router;
	const struct config *config;
	struct queue_settings settings;
	struct deferred *deferred;
	struct message *active;
	size_t active_count;
} queue;

void queue_open(const struct config *config, int queue_fd, int corrupt_fd, struct router *router)
{
	queue.config = config;
	queue.queue_fd = queue_fd;
	queue.corrupt_fd = corrupt_fd;
	queue.router = router;
	queue.deferred = deferred_create();
	queue.settings = (struct queue_settings){
		.minimal_backoff = config_time(config, "minimal_backoff_time"),
		.maximal_backoff = config_time(config, "maximal_backoff_time"),
		.lifetime = config_time(config, "maximal_queue_lifetime"),
		.bounce_lifetime = config_time(config, "bounce_queue_lifetime"),
		.active_limit = (size_t)config_int(config, "qmgr_message_active_limit"),
		.soft_bounce = config_bool(config, "soft_bounce"),
	};
}

struct deferred *queue_deferred(void)
{
	return queue.deferred;
}

size_t queue_active_count(void)
{
	return queue.active_count;
}

const struct message *queue_active_first(void)
{
	return queue.active;
}

static struct message *find_active(struct slice id)
{
	for (struct message *m = queue.active; m; m = m->next)
		if (slice_eq(m->id, id))
			return m;
	return NULL;
}

/* --- the end of a message's time in memory --- */

static void message_close(struct message *m)
{
	struct arena *arena = m->arena;

	if (m->prev)
		m->prev->next = m->next;
	else
		queue.active = m->next;
	if (m->next)
		m->next->prev = m->prev;
	queue.active_count--;
	if (m->fd >= 0)
		close(m->fd);
	arena_free(&arena);
}

static void message_remove(struct message *m)
{
	if (unlinkat(queue.queue_fd, m->id.ptr, 0) != 0 && errno != ENOENT)
		log_warning("%s: remove queue file: %m", m->id.ptr);
	else
		log_info("%s: removed", m->id.ptr);
	message_close(m);
}

static size_t count_status(const struct message *m, enum recipient_status status)
{
	size_t count = 0;

	for (size_t i = 0; i < m->envelope.recipient_count; i++)
		count += m->envelope.recipients[i].status == status;
	return count;
}

/* The older a message, the longer its pauses, between the two bounds. */
static void message_defer(struct message *m)
{
	double now = loop_now(), wait = now - m->envelope.arrival;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { 0 } };

	if (wait > queue.settings.maximal_backoff)
		wait = queue.settings.maximal_backoff;
	if (wait < queue.settings.minimal_backoff)
		wait = queue.settings.minimal_backoff;
	times[1].tv_sec = (time_t)(now + wait);
	if (futimens(m->fd, times) != 0)
		log_warning("%s: set time of next attempt: %m", m->id.ptr);
	deferred_put(queue.deferred, m->id, now + wait);
	message_close(m);
}

static void set_status(struct message *m, struct message_recipient *r, enum recipient_status status)
{
	struct err err;

	r->status = status;
	if (!message_set_status(m->fd, r, status, &err))
		log_warning("%s: %s", m->id.ptr, err.text);
}

void message_noticed(struct message *m, bool done)
{
	for (size_t i = 0; done && i < m->envelope.recipient_count; i++)
		if (m->envelope.recipients[i].status == RECIPIENT_FAILED)
			set_status(m, &m->envelope.recipients[i], RECIPIENT_RETURNED);
	if (count_status(m, RECIPIENT_PENDING) > 0 || !done)
		message_defer(m);
	else
		message_remove(m);
}

/* No job is left: tell the sender what failed, then remove or wait. */
static void message_settle(struct message *m)
{
	if (m->deleted) {
		message_remove(m);
		return;
	}
	if (count_status(m, RECIPIENT_FAILED) == 0) {
		if (count_status(m, RECIPIENT_PENDING) > 0)
			message_defer(m);
		else
			message_remove(m);
		return;
	}
	if (m->envelope.sender.len == 0) {
		log_info("%s: a notice or a message from nobody: no sender to tell", m->id.ptr);
		message_noticed(m, true);
		return;
	}
	notice_send(m);
}

/* --- answers --- */

static const char *status_word(enum delivery_outcome outcome)
{
	return outcome == DELIVERY_SENT ? "sent" : outcome == DELIVERY_BOUNCED ? "bounced" : "deferred";
}

void message_answer(struct message *m, const struct delivery_result *result, bool log)
{
	struct message_recipient *r = &m->envelope.recipients[result->index];
	struct message_result kept = { result->index, loop_now(), result->dsn, result->relay, result->text,
				       result->remote };
	enum delivery_outcome outcome = result->outcome;
	struct err err;

	if (outcome == DELIVERY_BOUNCED && queue.settings.soft_bounce)
		outcome = DELIVERY_DEFERRED;
	if (log)
		delivery_log(&(struct delivery_log){
			.queue_id = m->id, .recipient = r->address, .original = r->original,
			.relay = result->relay, .arrival = m->envelope.arrival, .queued = m->queued,
			.end = loop_now(), .dsn = result->dsn, .status = status_word(outcome),
			.reason = result->text });
	if (outcome == DELIVERY_SENT) {
		set_status(m, r, RECIPIENT_DELIVERED);
		return;
	}
	if (!message_append_result(m->fd, &kept, &err))
		log_warning("%s: %s", m->id.ptr, err.text);
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
						  slice_of(text), SLICE_NONE };

		if (job->is_answered[i])
			continue;
		job->is_answered[i] = true;
		job->answered++;
		message_answer(m, &result, true);
	}
	message_job_done(job);
}

/* --- activation --- */

static struct job *open_job(struct message *m, struct destination *d, struct job *jobs, long limit)
{
	for (struct job *job = jobs; job; job = job->next)
		if (job->destination == d && (limit <= 0 || job->count < (uint32_t)limit))
			return job;
	return NULL;
}

static void add_recipient(struct message *m, struct job **jobs, struct destination *d, uint32_t index, long limit)
{
	struct job *job = open_job(m, d, *jobs, limit);

	if (!job) {
		size_t room = m->envelope.recipient_count;

		if (limit > 0 && room > (size_t)limit)
			room = (size_t)limit;
		job = arena_alloc(m->arena, sizeof(*job));
		job->message = m;
		job->destination = d;
		job->recipients = arena_alloc(m->arena, room * sizeof(uint32_t));
		job->is_answered = arena_alloc(m->arena, room * sizeof(bool));
		job->next = *jobs;
		*jobs = job;
		m->jobs++;
	}
	job->recipients[job->count++] = index;
}

/* "5.1.1 text": the status in front of the text, if there is one. */
static struct slice take_dsn(struct slice text, const char *fallback, struct slice *dsn)
{
	struct slice rest = text, word;

	*dsn = slice_of(fallback);
	if (slice_word(&rest, " ", &word) && word.len >= 5 && (word.ptr[0] == '4' || word.ptr[0] == '5') &&
	    word.ptr[1] == '.') {
		*dsn = word;
		return slice_trim(rest);
	}
	return text;
}

/* error, retry and discard need no process.  False: not one of them. */
static bool deliver_inside(struct message *m, uint32_t index, const struct route *route)
{
	struct delivery_result result = { .index = index, .relay = SLICE("none") };

	if (slice_eq(route->transport, SLICE("error"))) {
		result.outcome = DELIVERY_BOUNCED;
		result.text = take_dsn(route->nexthop, "5.0.0", &result.dsn);
	} else if (slice_eq(route->transport, SLICE("retry"))) {
		result.outcome = DELIVERY_DEFERRED;
		result.text = take_dsn(route->nexthop, "4.0.0", &result.dsn);
	} else if (slice_eq(route->transport, SLICE("discard"))) {
		result.outcome = DELIVERY_SENT;
		result.dsn = SLICE("2.0.0");
		result.text = route->nexthop;
	} else {
		return false;
	}
	message_answer(m, &result, true);
	return true;
}

static void route_recipient(struct message *m, struct job **jobs, uint32_t index)
{
	struct message_recipient *r = &m->envelope.recipients[index];
	struct delivery_result failed = { index, DELIVERY_DEFERRED, SLICE("4.3.0"), SLICE("none"),
					  SLICE("address resolution failed: temporary lookup failure"), SLICE_NONE };
	struct route route;
	struct err err;

	if (!router_resolve(queue.router, r->address, m->envelope.sender, m->arena, &route, &err)) {
		log_warning("%s: %s", m->id.ptr, err.text);
		message_answer(m, &failed, true);
		return;
	}
	if (deliver_inside(m, index, &route))
		return;
	struct schedule *s = agents_schedule();
	struct transport *t = schedule_transport(s, route.transport, agents_limits);
	long limit = config_transport_int(queue.config, t->name, "_destination_recipient_limit");
	/* With one recipient a delivery, the window counts for each recipient, not for the site. */
	struct slice nexthop = limit == 1 ? route.address : route.nexthop;
	struct destination *d = schedule_destination(s, t, nexthop);

	add_recipient(m, jobs, d, index, limit);
}

static void start_jobs(struct message *m, struct job *jobs)
{
	m->jobs++; /* held until all are handed over */
	while (jobs) {
		struct job *job = jobs;
		struct destination *d = job->destination;

		jobs = job->next;
		if (schedule_is_dead(d, loop_now())) {
			message_fail_job(job, DELIVERY_DEFERRED, "4.4.1",
					 d->dead_reason ? d->dead_reason : "destination unreachable");
			continue;
		}
		schedule_add(d, job);
		agents_dispatch(d->transport);
	}
	if (--m->jobs == 0)
		message_settle(m);
}

static void move_to_corrupt(const char *id, const char *why)
{
	log_warning("%s: %s: moved to corrupt", id, why);
	if (renameat(queue.queue_fd, id, queue.corrupt_fd, id) != 0)
		log_warning("%s: move to corrupt: %m", id);
}

/* Opens and reads; NULL when there is nothing to deliver. */
static struct message *message_open(struct slice id)
{
	struct arena *arena = arena_create(1024);
	struct message *m = arena_alloc(arena, sizeof(*m));
	struct err err;

	m->arena = arena;
	m->id = arena_slice(arena, id);
	m->fd = openat(queue.queue_fd, m->id.ptr, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (m->fd < 0) {
		if (errno != ENOENT) {
			log_warning("%s: open queue file: %m", m->id.ptr);
			deferred_put(queue.deferred, id, loop_now() + queue.settings.minimal_backoff);
		}
		arena_free(&arena);
		return NULL;
	}
	if (!message_read_layout(m->fd, &m->layout, &err) ||
	    !message_read_envelope(m->fd, &m->layout, arena, &m->envelope, &err)) {
		if (err.code == ERR_SYNTAX)
			move_to_corrupt(m->id.ptr, err.text);
		else if (err.code != ERR_NOT_FOUND)
			deferred_put(queue.deferred, id, loop_now() + queue.settings.minimal_backoff);
		close(m->fd);
		arena_free(&arena);
		return NULL;
	}
	return m;
}

static void activate(struct slice id)
{
	struct message *m = message_open(id);
	struct job *jobs = NULL;
	double lifetime;

	if (!m)
		return;
	if (m->layout.state == MESSAGE_HOLD) {
		close(m->fd);
		arena_free(&(struct arena *){ m->arena });
		return;
	}
	m->queued = loop_now();
	m->next = queue.active;
	if (queue.active)
		queue.active->prev = m;
	queue.active = m;
	queue.active_count++;
	lifetime = m->envelope.sender.len ? queue.settings.lifetime : queue.settings.bounce_lifetime;
	m->expired = loop_now() - m->envelope.arrival > lifetime;
	log_info("%s: from=<%.*s>, size=%llu, nrcpt=%zu (queue active)", m->id.ptr,
		 SLICE_FMT(m->envelope.sender),
		 (unsigned long long)(m->layout.content.length + m->layout.header_length),
		 count_status(m, RECIPIENT_PENDING));
	for (uint32_t i = 0; i < m->envelope.recipient_count; i++)
		if (m->envelope.recipients[i].status == RECIPIENT_PENDING)
			route_recipient(m, &jobs, i);
	start_jobs(m, jobs);
}

void queue_take(struct slice id)
{
	if (process_retiring() || deferred_has(queue.deferred, id) || find_active(id))
		return;
	if (queue.active_count >= queue.settings.active_limit)
		deferred_put(queue.deferred, id, loop_now());
	else
		activate(id);
}

void queue_activate_due(void)
{
	char id[MESSAGE_ID_SIZE];

	for (int i = 0; i < 100 && queue.active_count < queue.settings.active_limit && !process_retiring(); i++) {
		if (!deferred_take_due(queue.deferred, loop_now(), id))
			return;
		activate(slice_of(id));
	}
}

/* --- steering --- */

int queue_delete(struct slice id)
{
	struct message *m = find_active(id);
	char name[MESSAGE_ID_SIZE];

	if (m) {
		m->deleted = true;
		return 1;
	}
	if (!message_id_valid(id) || !deferred_remove(queue.deferred, id))
		return 0;
	snprintf(name, sizeof(name), "%.*s", SLICE_FMT(id));
	if (unlinkat(queue.queue_fd, name, 0) != 0)
		log_warning("%s: remove queue file: %m", name);
	else
		log_info("%s: removed", name);
	return 1;
}

size_t queue_delete_all(void)
{
	size_t count = 0;

	for (struct message *m = queue.active; m; m = m->next, count++)
		m->deleted = true;
	while (deferred_at(queue.deferred, 0)) {
		char id[MESSAGE_ID_SIZE];

		snprintf(id, sizeof(id), "%s", deferred_at(queue.deferred, 0)->id);
		count += (size_t)queue_delete(slice_of(id));
	}
	return count;
}

size_t queue_flush(void)
{
	size_t count = deferred_count(queue.deferred);
	double now = loop_now();

	for (struct transport *t = schedule_transports(agents_schedule()); t; t = t->next) {
		struct destination *d = t->first;

		for (size_t i = 0; i < t->destinations; i++, d = d->next)
			d->dead_until = 0;
	}
	for (size_t i = 0; i < count; i++)
		((struct deferred_message *)(uintptr_t)deferred_at(queue.deferred, i))->time = now;
	queue_activate_due();
	return count;
}

/* --- start --- */

/* A file that nobody writes any more and that was never committed: never acknowledged. */
static void sweep_leftover(const char *name, int fd)
{
	struct stat st;

	if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0)
		return;
	if (st.st_size > MESSAGE_CONTENT_OFFSET)
		move_to_corrupt(name, "not committed, its writer is gone");
	else if (unlinkat(queue.queue_fd, name, 0) != 0)
		log_warning("%s: remove leftover: %m", name);
}

void queue_scan_file(const char *name)
{
	struct message_layout layout;
	struct stat st;
	struct err err;
	int fd;

	if (!message_id_valid(slice_of(name)) || deferred_has(queue.deferred, slice_of(name)) ||
	    find_active(slice_of(name)))
		return;
	fd = openat(queue.queue_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	if (message_read_layout(fd, &layout, &err)) {
		if (layout.state == MESSAGE_COMMITTED && fstat(fd, &st) == 0)
			deferred_put(queue.deferred, slice_of(name), (double)st.st_mtim.tv_sec);
	} else if (err.code == ERR_NOT_FOUND) {
		sweep_leftover(name, fd);
	} else if (err.code == ERR_SYNTAX) {
		move_to_corrupt(name, err.text);
	}
	close(fd);
}
