/* SPDX-License-Identifier: ISC */
#include "delivery/lib/agent.h"

#include <ev.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/delivery_log.h"

#define RETIRE_DELAY 0.5 /* jobs that were on their way when qmgr heard of it */

struct peer {
	struct peer *next;
	struct ipc_channel *channel;  /* NULL: gone */
	size_t jobs;
	bool probes;                  /* verify: whatever it says, nothing is delivered for it */
};

struct running {
	struct agent_job job;
	struct peer *peer;
};

static struct {
	const struct agent_ops *ops;
	struct peer *peers;
	struct task_group tasks;
	uint32_t slots;
	ev_timer leave;
	bool soft_bounce;
} me;

static void release(struct peer *peer)
{
	struct peer **at = &me.peers;

	if (peer->channel || peer->jobs > 0)
		return;
	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	free(peer);
}

/* --- results --- */

static struct peer *peer_of(struct agent_job *job)
{
	return ((struct running *)job)->peer; /* job is its first member */
}

/* soft_bounce: nothing is returned, it is tried again. */
static struct outcome softened(const struct outcome *o)
{
	struct outcome soft = *o;

	if (me.soft_bounce && soft.outcome == DELIVERY_BOUNCED) {
		soft.outcome = DELIVERY_DEFERRED;
		soft.dsn[0] = '4';
	}
	return soft;
}

void agent_answer(struct agent_job *job, size_t i, const struct outcome *o)
{
	struct outcome soft = softened(o);
	struct delivery_result result = { job->job.index[i], soft.outcome, slice_of(soft.dsn), slice_of(me.ops->relay),
					  slice_of(soft.text), SLICE_NONE, soft.action };
	struct ipc_channel *channel = peer_of(job)->channel;
	struct ipc_out packet;

	if (channel && !(delivery_put_result(&packet, job->job.id, &result) && ipc_send(channel, &packet)))
		log_warning("%.*s: result could not be reported", SLICE_FMT(job->job.queue_id));
}

void agent_log(const struct agent_job *job, struct slice recipient, struct slice original, const struct outcome *o,
	       double started)
{
	static const enum delivery_word words[] = { [DELIVERY_SENT] = DELIVERY_WORD_SENT,
						    [DELIVERY_DEFERRED] = DELIVERY_WORD_DEFERRED,
						    [DELIVERY_BOUNCED] = DELIVERY_WORD_BOUNCED };
	struct outcome soft = softened(o);

	delivery_log(&(struct delivery_log){
		.queue_id = job->job.queue_id, .recipient = recipient, .original = original,
		.relay = slice_of(me.ops->relay), .arrival = job->job.envelope.arrival, .queued = job->job.queued,
		.setup = started, .transmission = started, .end = loop_now(), .dsn = slice_of(soft.dsn),
		.status = delivery_log_word(words[soft.outcome], job->job.probe), .reason = slice_of(soft.text) });
}

void agent_conclude(struct agent_job *job, size_t i, const struct outcome *o, double started)
{
	const struct message_recipient *r = &job->job.envelope.recipients[i];

	agent_log(job, r->address, r->original, o, started);
	agent_answer(job, i, o);
}

/* --- jobs --- */

static void run_job(void *arg)
{
	struct running *r = arg;
	struct arena *arena = r->job.arena;
	struct peer *peer = r->peer;
	struct delivery_job *job = &r->job.job;
	struct ipc_out packet;
	struct err err;

	if (content_open(&r->job.content, job->fd, arena, &err))
		me.ops->deliver(&r->job);
	else
		log_warning("%.*s: %s", SLICE_FMT(job->queue_id), err.text);
	close(job->fd);
	/* Recipients without a result are deferred by qmgr. */
	if (peer->channel && delivery_put_done(&packet, job->id, false, false))
		(void)ipc_send(peer->channel, &packet);
	arena_free(&arena);
	peer->jobs--;
	release(peer);
	process_busy(-1);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct arena *arena = arena_create(4096);
	struct running *r = arena_alloc(arena, sizeof(*r));
	struct ipc_out packet;
	struct err err = { 0 };

	r->job.arena = arena;
	r->peer = context;
	if (m->type != DELIVERY_JOB || !delivery_get_job(m, arena, &r->job.job, &err)) {
		log_warning("queue manager sent something else than a job: %s", err.text);
		arena_free(&arena);
		return;
	}
	r->job.job.probe |= r->peer->probes;
	r->peer->jobs++;
	process_busy(1);
	if (task_spawn(&me.tasks, run_job, r))
		return;
	close(r->job.job.fd);
	if (delivery_put_done(&packet, r->job.job.id, false, false))
		(void)ipc_send(ch, &packet);
	r->peer->jobs--;
	arena_free(&arena);
	process_busy(-1);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct peer *peer = context;

	/* What has begun goes on to its end: a half of it could not be taken back. */
	ipc_channel_free(&peer->channel);
	release(peer);
}

void agent_peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct peer *peer = mem_alloc(sizeof(*peer));
	struct ipc_out packet;

	peer->probes = strcmp(role, "verify") == 0;
	peer->next = me.peers;
	me.peers = peer;
	peer->channel = ipc_channel_create(fd, &delivery_protocol, &handler, peer);
	if (delivery_put_ready(&packet, me.slots))
		(void)ipc_send(peer->channel, &packet);
}

static void on_leave(struct ev_loop *loop, ev_timer *w, int events)
{
	process_busy(-1);
}

void agent_retire(void)
{
	struct ipc_out packet;

	for (struct peer *peer = me.peers; peer; peer = peer->next)
		if (peer->channel && delivery_put_ready(&packet, 0))
			(void)ipc_send(peer->channel, &packet);
	process_busy(1);
	ev_timer_init(&me.leave, on_leave, RETIRE_DELAY, 0);
	ev_timer_start(loop_get(), &me.leave);
}

void agent_start(const struct agent_ops *ops, const struct process_info *info)
{
	long limit = info->process_limit > 0 ? info->process_limit : config_int(info->config, "default_process_limit");

	me.ops = ops;
	me.soft_bounce = config_bool(info->config, "soft_bounce");
	me.slots = (uint32_t)limit;
}
