/* SPDX-License-Identifier: ISC */
#include "pickup/drop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/address.h"
#include "common/mail/maildrop.h"

#define AT_ONCE          20
#define NAMES_MAX        10000     /* of one look */
#define SUBMIT_TIMEOUT   300
#define LEFTOVER_SECONDS 86400
#define TEMPORARY_PREFIX "tmp."
#define ENVELOPE_EXTRA   (64u << 20)

struct drop {
	struct drop *next;
	char name[MESSAGE_ID_SIZE];
	bool stuck;                /* submitted, but cannot be removed: never again */
};

static struct {
	const struct drop_settings *settings;
	struct task_group tasks;
	struct drop *active;
	size_t active_count;
	bool wanted;
	struct task_event wake, finished;
} me;

/* --- one file --- */

struct copy_job {
	int in, out;
	uint64_t offset, limit;
	struct message_content content;
	struct err err;
	bool ok;
};

/* In a worker thread. */
static void copy_content(void *arg)
{
	struct copy_job *job = arg;

	job->ok = maildrop_copy(job->in, job->offset, job->out, job->limit, &job->content, &job->err);
}

/* False: nothing that can be submitted; what is no file of ours is removed, if it is no directory. */
static int open_drop(const char *name, struct stat *st)
{
	int fd = openat(me.settings->maildrop, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool odd;

	if (fd < 0) {
		if (errno != ENOENT)
			log_warning("open maildrop/%s: %s", name, strerror(errno));
		if (errno == ELOOP)
			unlinkat(me.settings->maildrop, name, 0);
		return -1;
	}
	odd = fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_nlink != 1;
	if (!odd)
		return fd;
	log_warning("maildrop/%s is no plain file with one link: removed", name);
	unlinkat(me.settings->maildrop, name, 0);
	close(fd);
	return -1;
}

static void put_aside(const char *name, const char *why)
{
	log_warning("maildrop/%s: %s: moved to corrupt", name, why);
	if (renameat(me.settings->maildrop, name, me.settings->corrupt, name) < 0)
		log_warning("move maildrop/%s to corrupt: %s", name, strerror(errno));
}

static void submit(struct drop *drop, struct copy_job *job, const struct message_envelope *envelope)
{
	double deadline = loop_now() + SUBMIT_TIMEOUT;
	struct cleanup_session session;
	struct cleanup_refusal refusal = { 0 };
	const char *name = drop->name;

	if (!cleanup_open(&session, me.settings->cleanup, deadline, &refusal)) {
		log_warning("maildrop/%s: not taken now: %s", name, refusal.text);
		return;
	}
	log_info("%s: uid=%u from=<%.*s>", session.queue_id, envelope->uid, SLICE_FMT(envelope->sender));
	job->out = session.fd;
	task_offload(copy_content, job);
	if (!job->ok) {
		cleanup_abort(&session);
		if (job->err.code == ERR_LIMIT)
			put_aside(name, job->err.text);
		else
			log_warning("maildrop/%s: %s", name, job->err.text);
		return;
	}
	if (cleanup_commit(&session, envelope, &job->content, deadline, &refusal)) {
		drop->stuck = unlinkat(me.settings->maildrop, name, 0) < 0 && errno != ENOENT;
		if (drop->stuck)
			log_warning("remove maildrop/%s: %s", name, strerror(errno));
	} else if (refusal.code >= 500) {
		put_aside(name, refusal.text);
	} else if (!task_cancelled()) {
		log_warning("maildrop/%s: not taken now: %s", name, refusal.text);
	}
}

/* Addresses decide whether the message needs SMTPUTF8. */
static bool all_ascii(const struct message_envelope *e)
{
	bool ascii = address_is_ascii(e->sender);

	for (size_t i = 0; ascii && i < e->recipient_count; i++)
		ascii = address_is_ascii(e->recipients[i].address);
	return ascii;
}

static void process_drop(struct drop *drop)
{
	const char *name = drop->name;
	struct copy_job job = { .limit = me.settings->message_size_limit };
	struct message_envelope envelope;
	struct arena *arena;
	struct stat st;

	job.in = open_drop(name, &st);
	if (job.in < 0)
		return;
	arena = arena_create(0);
	if (job.limit && (uint64_t)st.st_size > job.limit + ENVELOPE_EXTRA) {
		put_aside(name, "file is too large");
	} else if (maildrop_read(job.in, arena, &envelope, &job.offset, &job.err)) {
		envelope.uid = st.st_uid;
		envelope.rewrite_header = true;
		envelope.filter = slice_of(me.settings->content_filter ? me.settings->content_filter : "");
		/* When it was handed in, as far as that can be. */
		envelope.arrival = (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9;
		if (envelope.arrival <= 0 || envelope.arrival > loop_now())
			envelope.arrival = loop_now();
		envelope.smtputf8 = !all_ascii(&envelope);
		submit(drop, &job, &envelope);
	} else if (job.err.code == ERR_TEMPORARY) {
		log_warning("maildrop/%s: %s", name, job.err.text);
	} else {
		log_warning("maildrop/%s: %s: removed", name, job.err.text);
		unlinkat(me.settings->maildrop, name, 0);
	}
	arena_free(&arena);
	close(job.in);
}

static void forget(struct drop *drop)
{
	struct drop **at = &me.active;

	while (*at != drop)
		at = &(*at)->next;
	*at = drop->next;
	free(drop);
}

static void run_drop(void *arg)
{
	struct drop *drop = arg;

	process_drop(drop);
	if (!drop->stuck)
		forget(drop);
	me.active_count--;
	if (me.settings->busy)
		me.settings->busy(-1);
	task_event_signal(&me.finished);
}

/* --- the directory --- */

static bool is_active(const char *name)
{
	for (struct drop *d = me.active; d; d = d->next)
		if (strcmp(d->name, name) == 0)
			return true;
	return false;
}

static void start_drop(const char *name)
{
	struct drop *drop;

	while (me.active_count >= AT_ONCE && !task_cancelled())
		task_event_wait(&me.finished, TASK_FOREVER);
	if (task_cancelled() || is_active(name))
		return;
	drop = mem_alloc(sizeof(*drop));
	snprintf(drop->name, sizeof(drop->name), "%s", name);
	drop->next = me.active;
	me.active = drop;
	if (!task_spawn(&me.tasks, run_drop, drop)) {
		forget(drop);
		return;
	}
	me.active_count++;
	if (me.settings->busy)
		me.settings->busy(1);
}

/* A file whose writer died before it had its name. */
static void remove_leftover(const char *name)
{
	struct stat st;

	if (fstatat(me.settings->maildrop, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) &&
	    (double)st.st_mtime + LEFTOVER_SECONDS < loop_now()) {
		log_warning("maildrop/%s: old temporary file: removed", name);
		unlinkat(me.settings->maildrop, name, 0);
	}
}

/* All names first: the directory changes while they are worked on. */
static size_t read_names(char (*names)[MESSAGE_ID_SIZE])
{
	int fd = openat(me.settings->maildrop, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	size_t count = 0;

	if (!dir) {
		log_warning("read maildrop: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (count < NAMES_MAX && (entry = readdir(dir))) {
		if (message_id_valid(slice_of(entry->d_name)))
			snprintf(names[count++], MESSAGE_ID_SIZE, "%.*s", MESSAGE_ID_SIZE - 1, entry->d_name);
		else if (slice_starts(slice_of(entry->d_name), SLICE(TEMPORARY_PREFIX)))
			remove_leftover(entry->d_name);
	}
	closedir(dir);
	return count;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void scan(void *arg)
{
	char(*names)[MESSAGE_ID_SIZE] = mem_alloc((size_t)NAMES_MAX * MESSAGE_ID_SIZE);

	while (!task_cancelled()) {
		if (!me.wanted) {
			task_event_wait(&me.wake, TASK_FOREVER);
			continue;
		}
		me.wanted = false;
		size_t count = read_names(names);

		qsort(names, count, sizeof(*names), by_name);
		for (size_t i = 0; i < count && !task_cancelled(); i++)
			start_drop(names[i]);
		if (count == NAMES_MAX)
			me.wanted = true;
	}
	free(names);
}

void drop_start(const struct drop_settings *settings)
{
	me.settings = settings;
	me.wanted = true;
	if (!task_spawn(&me.tasks, scan, NULL))
		log_fatal("cannot start a task");
}

void drop_scan(void)
{
	me.wanted = true;
	task_event_signal(&me.wake);
}

size_t drop_active(void)
{
	return me.active_count;
}

void drop_stop(void)
{
	task_group_cancel(&me.tasks);
	task_group_run(&me.tasks);
	while (me.active)
		forget(me.active);
}
