/* SPDX-License-Identifier: ISC */
#include "cleanup/submission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup/commit.h"
#include "common/base/log.h"

#define BUCKETS        256
#define RECIPIENTS_MAX 200000
#define FILES_MAX      20000     /* of one peer, not committed; and as many asked for */
#define HELD_MAX       (256u << 20) /* bytes of recipients of one peer, not committed */
#define ARENA_FIRST    4096

/* A file that was handed out. */
struct file {
	struct file *next;
	char id[MESSAGE_ID_SIZE];
	int fd;
	uint64_t room;
	struct arena *arena;                   /* when recipients came */
	struct message_recipient *recipients;
	size_t count, allocated;
	bool too_many;
};

struct peer {
	struct peer *next, **at;
	struct ipc_channel *channel;           /* NULL: gone */
	enum message_origin origin;
	struct file *files[BUCKETS];
	size_t file_count;
	size_t openings;                       /* that wait */
	size_t held;                           /* bytes in the arenas of its files */
	size_t users;                          /* commits under way */
};

/* An OPEN that waits for spares. */
struct opening {
	struct opening *next;
	struct peer *peer;
	uint32_t request;
	unsigned count;
};

struct job {
	struct peer *peer;
	uint32_t request;
	struct commit commit;
};

static struct {
	const struct submission_settings *settings;
	struct peer *peers;
	size_t peer_count, file_count;
	struct opening *first, **last;
	struct task_group commits;
} me;

/* Who may submit what: by the name that master gives, never by what the peer says. */
static const struct {
	const char *role;
	enum message_origin origin;
} roles[] = {
	{ "smtpd", ORIGIN_SMTP },
	{ "pickup", ORIGIN_LOCAL },
	{ "bounce", ORIGIN_BOUNCE },
	{ "local", ORIGIN_FORWARD },
};

static void busy(int change)
{
	if (me.settings->busy)
		me.settings->busy(change);
}

/* --- files --- */

static struct file **file_place(struct peer *peer, struct slice id)
{
	struct file **at = &peer->files[slice_hash(id) % BUCKETS];

	while (*at && !slice_eq(slice_of((*at)->id), id))
		at = &(*at)->next;
	return at;
}

static void file_add(struct peer *peer, const struct spare_file *spare)
{
	struct file *file = mem_alloc(sizeof(*file));
	struct file **at = &peer->files[slice_hash(slice_of(spare->id)) % BUCKETS];

	memcpy(file->id, spare->id, sizeof(file->id));
	file->fd = spare->fd;
	file->room = spare->room;
	file->next = *at;
	*at = file;
	peer->file_count++;
	me.file_count++;
}

/* Takes it off the peer: whatever comes later for this ID finds nothing. */
static struct file *file_take(struct peer *peer, struct slice id)
{
	struct file **at = file_place(peer, id), *file = *at;

	if (file) {
		*at = file->next;
		peer->file_count--;
		me.file_count--;
		peer->held -= file->arena ? arena_used(file->arena) : 0;
	}
	return file;
}

static void file_free(struct file *file)
{
	arena_free(&file->arena);
	free(file);
}

static void file_discard(struct file *file)
{
	spares_discard(file->id, file->fd);
	file_free(file);
}

/* --- peers --- */

static void peer_release(struct peer *peer)
{
	if (peer->channel || peer->users > 0)
		return;
	if (peer->next)
		peer->next->at = peer->at;
	*peer->at = peer->next;
	free(peer);
	me.peer_count--;
	busy(-1);
}

static void peer_end(struct peer *peer)
{
	ipc_channel_free(&peer->channel);
	for (size_t i = 0; i < BUCKETS; i++) {
		while (peer->files[i]) {
			struct file *file = peer->files[i];

			peer->files[i] = file->next;
			me.file_count--;
			file_discard(file);
		}
	}
	peer->file_count = peer->held = 0;
	for (struct opening *o = me.first; o; o = o->next)
		if (o->peer == peer)
			o->peer = NULL;
	peer_release(peer);
}

static void send_refusal(struct peer *peer, uint32_t request, const struct cleanup_refusal *refusal)
{
	struct ipc_out out;

	if (peer->channel && cleanup_put_refused(&out, request, refusal))
		ipc_send(peer->channel, &out);
}

/* --- OPEN --- */

/* False when there is no spare now. */
static bool answer_open(struct peer *peer, uint32_t request, unsigned count, struct cleanup_refusal *refusal)
{
	struct spare_file spare;
	struct ipc_out out;

	if (peer->file_count >= FILES_MAX) {
		cleanup_refuse(refusal, 451, "4.3.0", "Error: too many open messages");
		return false;
	}
	if (!commit_has_room(me.settings, refusal) || !spares_take(&spare, refusal))
		return false;
	ipc_out_start(&out, CLEANUP_OPENED, request);
	do {
		file_add(peer, &spare);
		ipc_put_text(&out, CLEANUP_FIELD_ID, spare.id);
		ipc_put_fd(&out, spare.fd);
	} while (--count > 0 && spares_take(&spare, refusal));
	ipc_send(peer->channel, &out);
	return true;
}

static void on_open(struct peer *peer, const struct ipc_in *m)
{
	struct cleanup_refusal refusal = { 0 };
	uint64_t count = 1;

	ipc_get_u64(m, CLEANUP_FIELD_COUNT, &count);
	if (count < 1 || count > IPC_FDS)
		count = 1;
	/* Behind those who wait already. */
	if (!me.first && answer_open(peer, m->request, (unsigned)count, &refusal))
		return;
	if (!refusal.code && peer->openings >= FILES_MAX)
		cleanup_refuse(&refusal, 451, "4.3.0", "Error: too many open messages");
	if (refusal.code) {
		send_refusal(peer, m->request, &refusal);
		return;
	}
	peer->openings++;
	struct opening *o = mem_alloc(sizeof(*o));

	*o = (struct opening){ .peer = peer, .request = m->request, .count = (unsigned)count };
	*me.last = o;
	me.last = &o->next;
}

void submission_spares_changed(const struct cleanup_refusal *why)
{
	while (me.first) {
		struct opening *o = me.first;
		struct cleanup_refusal refusal = { 0 };

		if (why)
			refusal = *why;
		if (o->peer && !why && !answer_open(o->peer, o->request, o->count, &refusal) && !refusal.code)
			return;
		if (o->peer && refusal.code)
			send_refusal(o->peer, o->request, &refusal);
		if (o->peer)
			o->peer->openings--;
		me.first = o->next;
		if (!me.first)
			me.last = &me.first;
		free(o);
	}
}

/* --- recipients and COMMIT --- */

/* False: malformed. */
static bool add_recipients(struct file *file, const struct ipc_in *m)
{
	struct message_recipient r;
	size_t pos = 0;
	int more;

	if (!file->arena)
		file->arena = arena_create(ARENA_FIRST);
	while ((more = cleanup_get_recipient(m, &pos, file->arena, &r)) > 0) {
		if (file->count == RECIPIENTS_MAX) {
			file->too_many = true;
			return true;
		}
		if (file->count == file->allocated) {
			size_t room = file->allocated ? file->allocated * 2 : 8;
			struct message_recipient *all = arena_alloc(file->arena, room * sizeof(*all));

			if (file->count)
				memcpy(all, file->recipients, file->count * sizeof(*all));
			file->recipients = all;
			file->allocated = room;
		}
		file->recipients[file->count++] = r;
	}
	return more == 0;
}

static void run_commit(void *arg)
{
	struct job *job = arg;
	struct peer *peer = job->peer;
	struct cleanup_refusal refusal = { 0 };
	bool ok;
	struct ipc_out out;

	/* Whoever sends is slowed down; what is taken already need not wait longer for it. */
	if (me.settings->flooded && me.settings->flow_delay > 0 && me.settings->flooded())
		(void)task_sleep(me.settings->flow_delay);
	ok = commit_message(&job->commit, me.settings, &refusal);
	if (ok && !job->commit.envelope.discard)
		me.settings->committed(job->commit.id);
	if (ok && peer->channel) {
		ipc_out_start(&out, CLEANUP_COMMITTED, job->request);
		ipc_send(peer->channel, &out);
	} else if (!ok) {
		send_refusal(peer, job->request, &refusal);
	}
	arena_free(&job->commit.arena);
	free(job);
	peer->users--;
	peer_release(peer);
}

static void start_commit(struct peer *peer, struct file *file, const struct ipc_in *m,
			 const struct message_envelope *envelope, const struct message_content *content)
{
	struct cleanup_refusal refusal;
	struct job *job = mem_alloc(sizeof(*job));

	job->peer = peer;
	job->request = m->request;
	job->commit = (struct commit){ .fd = file->fd, .room = file->room, .arena = file->arena,
				       .envelope = *envelope, .content = *content };
	memcpy(job->commit.id, file->id, sizeof(file->id));
	job->commit.envelope.recipients = file->recipients;
	job->commit.envelope.recipient_count = file->count;
	if (task_spawn(&me.commits, run_commit, job)) {
		peer->users++;
		free(file);
		return;
	}
	free(job);
	spares_refusal(ENOMEM, &refusal);
	send_refusal(peer, m->request, &refusal);
	file_discard(file);
}

/* False: the peer talks rubbish. */
static bool on_commit(struct peer *peer, const struct ipc_in *m, struct slice id, struct err *err)
{
	struct cleanup_refusal refusal = { 0 };
	struct message_envelope envelope;
	struct message_content content;
	struct file *file = file_take(peer, id);

	if (!file) {
		/* Of a cleanup process before this one. */
		spares_refusal(EIO, &refusal);
		send_refusal(peer, m->request, &refusal);
		return true;
	}
	if (!add_recipients(file, m) || !cleanup_get_commit(m, file->arena, &envelope, &content, err)) {
		file_discard(file);
		return false;
	}
	if (envelope.origin != peer->origin) {
		file_discard(file);
		return err_set(err, ERR_SYNTAX, "message of a foreign origin");
	}
	if (file->too_many) {
		cleanup_refuse(&refusal, 452, "4.5.3", "Error: too many recipients");
		send_refusal(peer, m->request, &refusal);
		file_discard(file);
		return true;
	}
	start_commit(peer, file, m, &envelope, &content);
	return true;
}

/* Recipients that come before their COMMIT.  False: malformed, or more than anybody needs. */
static bool on_recipients(struct peer *peer, const struct ipc_in *m, struct slice id, struct err *err)
{
	struct file *file = *file_place(peer, id);
	size_t before = file && file->arena ? arena_used(file->arena) : 0;

	if (!file)
		return true;
	if (!add_recipients(file, m))
		return err_set(err, ERR_SYNTAX, "malformed recipients");
	peer->held += arena_used(file->arena) - before;
	return peer->held <= HELD_MAX || err_set(err, ERR_LIMIT, "too many recipients of messages not committed");
}

static bool dispatch(struct peer *peer, const struct ipc_in *m, struct err *err)
{
	struct slice id;
	struct file *file;

	if (m->type == CLEANUP_OPEN) {
		on_open(peer, m);
		return true;
	}
	if (!ipc_get_bytes(m, CLEANUP_FIELD_ID, &id) || !message_id_valid(id))
		return err_set(err, ERR_SYNTAX, "message without a queue ID");
	switch (m->type) {
	case CLEANUP_RECIPIENTS:
		return on_recipients(peer, m, id, err);
	case CLEANUP_COMMIT:
		return on_commit(peer, m, id, err);
	case CLEANUP_ABORT:
		file = file_take(peer, id);
		if (file)
			file_discard(file);
		return true;
	default:
		return err_set(err, ERR_SYNTAX, "unknown message type %u", m->type);
	}
}

static void on_close(struct ipc_channel *ch, void *context)
{
	peer_end(context);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct err err = { 0 };

	if (!dispatch(context, m, &err)) {
		log_warning("malformed request: %s", err.text);
		peer_end(context);
	}
}

/* --- life --- */

void submission_start(const struct submission_settings *settings)
{
	me.settings = settings;
	me.last = &me.first;
}

void submission_peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct peer *peer;
	size_t i = 0;

	while (i < sizeof(roles) / sizeof(roles[0]) && strcmp(roles[i].role, role) != 0)
		i++;
	if (i == sizeof(roles) / sizeof(roles[0])) {
		log_warning("%s may not submit mail", role);
		close(fd);
		return;
	}
	peer = mem_alloc(sizeof(*peer));
	peer->origin = roles[i].origin;
	peer->next = me.peers;
	peer->at = &me.peers;
	if (peer->next)
		peer->next->at = &peer->next;
	me.peers = peer;
	me.peer_count++;
	busy(1);
	peer->channel = ipc_channel_create(fd, &cleanup_protocol, &handler, peer);
	if (!peer->channel)
		peer_release(peer);
}

size_t submission_peers(void)
{
	return me.peer_count;
}

size_t submission_open_files(void)
{
	return me.file_count;
}

void submission_stop(void)
{
	for (struct peer *peer = me.peers, *next; peer; peer = next) {
		next = peer->next;
		if (peer->channel)
			peer_end(peer);
	}
	task_group_run(&me.commits);
	submission_spares_changed(NULL);
}
