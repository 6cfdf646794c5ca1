/* SPDX-License-Identifier: ISC */
/* The messages of the queue: which are active, which wait for their time; steering them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/task.h"
#include "common/process/process.h"
#include "qmgr/qmgr.h"

#define BUCKETS    8192 /* of active messages */
#define PIECE      100  /* messages made active in a turn of the loop */
#define SCAN_PIECE 500  /* files looked at */
#define NEW_FIRST  1e10 /* seconds: what has not been tried goes before what has */

static struct {
	int directory, corrupt;
	struct queue_settings settings;
	struct deferred *deferred, *held;
	struct message *active, *buckets[BUCKETS];
	size_t active_count, active_recipients;
	struct task_group tasks;
	struct task_event due; /* something may be due, or there is room for it */
	struct task_event scan;
	bool scan_wanted;
} queue;

int queue_directory(void)
{
	return queue.directory;
}

const struct queue_settings *queue_settings(void)
{
	return &queue.settings;
}

struct deferred *queue_deferred(void)
{
	return queue.deferred;
}

struct deferred *queue_held(void)
{
	return queue.held;
}

/* --- active messages --- */

const struct message *queue_active_first(void)
{
	return queue.active;
}

static struct message **bucket_of(struct slice id)
{
	return &queue.buckets[slice_hash(id) % BUCKETS];
}

static struct message *find_active(struct slice id)
{
	struct message *m = *bucket_of(id);

	while (m && !slice_eq(m->id, id))
		m = m->hash_next;
	return m;
}

static bool has_room(void)
{
	/* A single message may have more recipients than that. */
	return queue.active_count < queue.settings.active_limit &&
	       (queue.active_recipients < queue.settings.recipient_limit || queue.active_count == 0) && !process_retiring();
}

void queue_add_active(struct message *m)
{
	struct message **bucket = bucket_of(m->id);

	m->hash_next = *bucket;
	*bucket = m;
	m->next = queue.active;
	if (queue.active)
		queue.active->prev = m;
	queue.active = m;
	queue.active_count++;
	queue.active_recipients += m->envelope.recipient_count;
}

void queue_forget_active(struct message *m)
{
	struct message **at = bucket_of(m->id);

	while (*at != m)
		at = &(*at)->hash_next;
	*at = m->hash_next;
	if (m->prev)
		m->prev->next = m->next;
	else
		queue.active = m->next;
	if (m->next)
		m->next->prev = m->prev;
	bool full = !has_room();

	queue.active_count--;
	queue.active_recipients -= m->envelope.recipient_count;
	/* Nothing new waits any more. */
	if (deferred_next_time(queue.deferred) >= loop_now() - NEW_FIRST / 2)
		control_flow(false);
	if (full)
		task_event_signal(&queue.due);
}

/* --- messages that wait --- */

void queue_wait(struct slice id, double time)
{
	bool first = time < deferred_next_time(queue.deferred);

	deferred_put(queue.deferred, id, time);
	if (first)
		task_event_signal(&queue.due);
}

static void run_due(void *arg)
{
	char id[MESSAGE_ID_SIZE];
	size_t count = 0;
	bool flushed;

	while (!task_cancelled()) {
		if (!has_room())
			task_event_wait(&queue.due, TASK_FOREVER);
		else if (!deferred_take_due(queue.deferred, loop_now(), id, &flushed))
			task_event_wait(&queue.due, deferred_next_time(queue.deferred));
		else if (message_activate(slice_of(id), flushed), ++count % PIECE == 0)
			task_yield();
	}
}

void queue_take(struct slice id)
{
	if (process_retiring() || deferred_has(queue.deferred, id) || deferred_has(queue.held, id) || find_active(id))
		return;
	if (has_room()) {
		message_activate(id, false);
	} else {
		queue_wait(id, loop_now() - NEW_FIRST);
		control_flow(true);
	}
}

/* --- steering --- */

/* A message that nobody works on. */
static void remove_file(const char *id)
{
	if (unlinkat(queue.directory, message_id_name(id), 0) != 0)
		log_warning("%s: remove queue file: %m", id);
	else
		log_info("%s: removed", id);
}

int queue_delete(struct slice id)
{
	struct message *m = find_active(id);
	char text[MESSAGE_ID_SIZE];

	if (m) {
		m->deleted = true;
		return 1;
	}
	if (!message_id_valid(id) || (!deferred_remove(queue.deferred, id) && !deferred_remove(queue.held, id)))
		return 0;
	snprintf(text, sizeof(text), "%.*s", SLICE_FMT(id));
	remove_file(text);
	return 1;
}

size_t queue_delete_all(void)
{
	size_t count = 0;

	for (struct message *m = queue.active; m; m = m->next, count++)
		m->deleted = true;
	struct deferred *sets[] = { queue.deferred, queue.held };

	for (size_t i = 0; i < 2; i++) {
		while (deferred_at(sets[i], 0)) {
			char id[MESSAGE_ID_SIZE];

			snprintf(id, sizeof(id), "%s", deferred_at(sets[i], 0)->id);
			count += (size_t)queue_delete(slice_of(id));
		}
	}
	return count;
}

/* Of a message that nobody works on. */
static bool change_state(const char *id, enum message_state state)
{
	struct message_layout layout;
	struct err err = { 0 };
	int fd = openat(queue.directory, message_id_name(id), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	bool ok = fd >= 0 && message_read_layout(fd, &layout, &err) && strcmp(layout.id, id) == 0 &&
		  message_set_state(fd, &layout, state, &err) && fdatasync(fd) == 0;

	if (!ok)
		log_warning("%s: change queue file: %s", id, err.text[0] ? err.text : strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

void queue_put_on_hold(struct slice id)
{
	deferred_put(queue.held, id, TASK_FOREVER);
}

static size_t hold_one(struct slice id)
{
	struct message *m = find_active(id);
	char text[MESSAGE_ID_SIZE];

	if (m) {
		m->held = true;
		return 1;
	}
	if (!message_id_valid(id) || !deferred_has(queue.deferred, id))
		return 0;
	snprintf(text, sizeof(text), "%.*s", SLICE_FMT(id));
	if (!change_state(text, MESSAGE_HOLD))
		return 0;
	deferred_remove(queue.deferred, slice_of(text));
	queue_put_on_hold(slice_of(text));
	log_info("%s: placed on hold", text);
	return 1;
}

size_t queue_hold(struct slice id)
{
	size_t count = 0, left = deferred_count(queue.deferred);

	if (!slice_eq(id, SLICE("ALL")))
		return hold_one(id);
	for (struct message *m = queue.active; m; m = m->next, count++)
		m->held = true;
	for (; left > 0 && deferred_at(queue.deferred, 0); left--)
		count += hold_one(slice_of(deferred_at(queue.deferred, 0)->id));
	return count;
}

static size_t release_one(struct slice id)
{
	struct message *m = find_active(id);
	char text[MESSAGE_ID_SIZE];

	if (m && m->held) {
		m->held = false;
		return 1;
	}
	if (!message_id_valid(id) || !deferred_has(queue.held, id))
		return 0;
	snprintf(text, sizeof(text), "%.*s", SLICE_FMT(id));
	if (!change_state(text, MESSAGE_COMMITTED))
		return 0;
	deferred_remove(queue.held, slice_of(text));
	log_info("%s: released from hold", text);
	queue_take(slice_of(text));
	return 1;
}

size_t queue_release(struct slice id)
{
	size_t count = 0, left = deferred_count(queue.held);

	if (!slice_eq(id, SLICE("ALL")))
		return release_one(id);
	for (; left > 0 && deferred_at(queue.held, 0); left--)
		count += release_one(slice_of(deferred_at(queue.held, 0)->id));
	return count;
}

size_t queue_flush(void)
{
	schedule_revive(agents_schedule());
	deferred_all_due(queue.deferred, loop_now());
	task_event_signal(&queue.due);
	return deferred_count(queue.deferred);
}

bool queue_flush_message(struct slice id)
{
	bool found = deferred_flush(queue.deferred, id, loop_now());

	if (found)
		task_event_signal(&queue.due);
	return found;
}

size_t queue_flush_site(uint32_t hash)
{
	size_t count = deferred_flush_site(queue.deferred, hash, loop_now());

	if (count > 0)
		task_event_signal(&queue.due);
	return count;
}

/* --- what lies in the directory --- */

void queue_move_to_corrupt(const char *name, const char *why)
{
	log_warning("queue file %s: %s: moved to corrupt", name, why);
	if (renameat(queue.directory, name, queue.corrupt, name) != 0)
		log_warning("queue file %s: move to corrupt: %m", name);
}

static bool has_content(int fd)
{
	char start[512];
	ssize_t n = file_read_at(fd, start, sizeof(start), MESSAGE_CONTENT_OFFSET);

	for (ssize_t i = 0; i < n; i++)
		if (start[i])
			return true;
	return false;
}

/*
 * A file that nobody writes any more and that has no message: gone, or nobody was told yes for it.  Without
 * a header that says so its content is for an administrator to see.
 */
static void sweep_leftover(const char *name, int fd, enum message_state state)
{
	if (state == MESSAGE_NONE && has_content(fd))
		queue_move_to_corrupt(name, "no header");
	else if (unlinkat(queue.directory, name, 0) != 0)
		log_warning("queue file %s: remove leftover: %m", name);
}

static void take_up(const char *name, int fd, const struct message_layout *layout)
{
	struct slice id = slice_of(layout->id);
	struct stat st;

	if (strcmp(message_id_name(layout->id), name) != 0)
		queue_move_to_corrupt(name, "the message in it has another name");
	else if (layout->state == MESSAGE_HOLD && !find_active(id))
		queue_put_on_hold(id);
	else if (layout->state == MESSAGE_COMMITTED && !deferred_has(queue.deferred, id) && !find_active(id) &&
		 fstat(fd, &st) == 0)
		queue_wait(id, (double)st.st_mtim.tv_sec);
}

static void scan_open_file(const char *name, int fd)
{
	struct message_layout layout;
	struct err err;
	bool found = message_read_layout(fd, &layout, &err);

	/*
	 * Not committed when we looked, or half.  Its writer may have let go since: what counts
	 * is what is there now that nobody else can.
	 */
	if (!found && err.code != ERR_TEMPORARY) {
		if (flock(fd, LOCK_EX | LOCK_NB) != 0)
			return;
		found = message_read_layout(fd, &layout, &err);
	}
	if (found)
		take_up(name, fd, &layout);
	else if (err.code == ERR_NOT_FOUND)
		sweep_leftover(name, fd, layout.state);
	else if (err.code == ERR_SYNTAX)
		queue_move_to_corrupt(name, err.text);
}

/* Waits for its next attempt, as its time says: known already. */
static bool is_deferred(const char *name)
{
	struct stat st;

	return fstatat(queue.directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (double)st.st_mtim.tv_sec > loop_now();
}

static void scan_file(const char *name, bool all)
{
	int fd;

	if (!message_id_valid(slice_of(name)) || (!all && is_deferred(name)))
		return;
	fd = openat(queue.directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	scan_open_file(name, fd);
	close(fd);
}

/* A piece a turn, so that new mail is not held up. */
static void scan_once(bool all)
{
	DIR *dir = fdopendir(openat(queue.directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *entry;
	size_t count = 0;

	if (!dir) {
		log_warning("read queue: %m");
		return;
	}
	while ((entry = readdir(dir))) {
		scan_file(entry->d_name, all);
		if (++count % SCAN_PIECE == 0 && task_yield() != TASK_READY)
			break;
	}
	closedir(dir);
}

static void scan(void *arg)
{
	bool all = true;

	while (!task_cancelled()) {
		queue.scan_wanted = false;
		scan_once(all);
		all = false;
		if (!queue.scan_wanted)
			task_event_wait(&queue.scan, TASK_FOREVER);
	}
}

void queue_scan(void)
{
	queue.scan_wanted = true;
	task_event_signal(&queue.scan);
}

void queue_open(const struct config *config, int directory, int corrupt)
{
	queue.directory = directory;
	queue.corrupt = corrupt;
	queue.held = deferred_create();
	queue.deferred = deferred_create();
	queue.settings = (struct queue_settings){
		.backoff = { config_time(config, "minimal_backoff_time"), config_time(config, "maximal_backoff_time") },
		.lifetime = config_time(config, "maximal_queue_lifetime"),
		.bounce_lifetime = config_time(config, "bounce_queue_lifetime"),
		.recipient_limit = (size_t)config_int(config, "qmgr_message_recipient_limit"),
		.active_limit = (size_t)config_int(config, "qmgr_message_active_limit"),
		.delay_warning = config_time(config, "delay_warning_time"),
		.soft_bounce = config_bool(config, "soft_bounce"),
	};
	if (!task_spawn(&queue.tasks, run_due, NULL) || !task_spawn(&queue.tasks, scan, NULL))
		log_fatal("cannot start a task");
}
