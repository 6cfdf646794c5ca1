/* SPDX-License-Identifier: ISC */
/*
 * tlsrpt: reports to domains on how sessions with their servers were encrypted (RFC 8460).  smtp tells of each
 * session; once a period the domains that have asked for it (_smtp._tls) get a mail.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/log.h"
#include "common/process/process.h"
#include "common/proto/cleanup_proto.h"
#include "common/proto/resolver_proto.h"
#include "tlsrpt/letter.h"
#include "tlsrpt/tally.h"

#define LOOK_SECONDS  1.0        /* between looks at the clock */
#define SAVE_SECONDS  5.0
#define DNS_SECONDS   30.0
#define SEND_SECONDS  60.0
#define STATE_MAX     (64 << 20)
#define DAY           86400.0
#define TRIES         3          /* at a report that cannot be sent now, a period each */

static struct {
	const char *hostname, *organization, *contact, *sender;
	double interval;
	struct tally *tally;
	bool changed;
	int file;
	unsigned long reports;
	struct ipc_client *resolver, *cleanup;
	struct task_group background;
} me = { .file = -1 };

/* --- the file of what is counted --- */

static void load(struct str *text)
{
	struct stat st;

	if (me.file < 0 || fstat(me.file, &st) != 0 || st.st_size <= 0 || st.st_size > STATE_MAX)
		return;
	str_reserve(text, (size_t)st.st_size);
	ssize_t n = pread(me.file, text->data, (size_t)st.st_size, 0);

	text->len = n > 0 ? (size_t)n : 0;
}

static void save(void)
{
	struct str text = { 0 };

	if (!me.changed || me.file < 0)
		return;
	me.changed = false;
	tally_save(me.tally, &text);
	if (pwrite(me.file, text.data, text.len, 0) != (ssize_t)text.len || ftruncate(me.file, (off_t)text.len) != 0)
		log_warning("tlsrpt_state_file cannot be written");
	str_free(&text);
}

/* --- a report --- */

static void describe(struct slice text, struct message_content *content)
{
	uint32_t line = 0;

	*content = (struct message_content){ .length = text.len };
	for (size_t i = 0; i < text.len; i++) {
		line = text.ptr[i] == '\n' ? 0 : line + 1;
		content->longest_line = line > content->longest_line ? line : content->longest_line;
		if (content->header_length == 0 && i >= 3 && memcmp(text.ptr + i - 3, "\r\n\r\n", 4) == 0)
			content->header_length = i + 1;
	}
}

static bool submit(struct slice to, const char *domain, struct slice text, struct err *err)
{
	struct message_recipient r = { .address = to, .status = RECIPIENT_PENDING, .notify = NOTIFY_NEVER };
	struct message_envelope e = { .origin = ORIGIN_BOUNCE, .sender = slice_of(me.sender), .recipients = &r, .recipient_count = 1,
				      .arrival = loop_now() };
	struct cleanup_refusal refusal = { 0 };
	struct cleanup_session session;
	struct message_content content;

	if (!cleanup_open(&session, me.cleanup, loop_now() + SEND_SECONDS, &refusal))
		return err_set(err, ERR_TEMPORARY, "%s", refusal.text);
	if (pwrite(session.fd, text.ptr, text.len, MESSAGE_CONTENT_OFFSET) != (ssize_t)text.len) {
		cleanup_abort(&session);
		return err_set_errno(err, ERR_TEMPORARY, "write report");
	}
	describe(text, &content);
	log_info("%s: report on TLS sessions with %s to <%.*s>", session.queue_id, domain, SLICE_FMT(to));
	return cleanup_commit(&session, &e, &content, loop_now() + SEND_SECONDS, &refusal) ||
	       err_set(err, ERR_TEMPORARY, "%s", refusal.text);
}

/* False: not now.  *count 0: the domain wants none. */
static bool find_addresses(const char *domain, struct arena *arena, struct slice address[LETTER_ADDRESSES_MAX], size_t *count)
{
	const char *name = arena_printf(arena, "_smtp._tls.%s", domain);
	struct dns_answer answer;
	const struct dns_record *found = NULL;
	size_t records = 0;

	*count = 0;
	resolver_query(me.resolver, slice_of(name), DNS_TXT, loop_now() + DNS_SECONDS, arena, &answer);
	for (size_t i = 0; answer.status == DNS_OK && i < answer.count; i++) {
		if (answer.records[i].type != DNS_TXT || !letter_is_record(answer.records[i].data))
			continue;
		records++;
		found = &answer.records[i];
	}
	if (records == 1)
		*count = letter_addresses(found->data, arena_alloc(arena, found->data.len + 1), address);
	return answer.status != DNS_TEMPORARY;
}

static bool send_report(const struct tally *t, const char *domain, double end, struct err *err)
{
	struct arena *arena = arena_create(2048);
	struct slice address[LETTER_ADDRESSES_MAX];
	struct str report = { 0 }, text = { 0 };
	const char *id = arena_printf(arena, "%.0f.%d.%lu", end, (int)getpid(), ++me.reports);
	struct tally_reporter reporter = { me.organization, me.contact, id, end };
	size_t count;
	bool ok = find_addresses(domain, arena, address, &count) || err_set(err, ERR_TEMPORARY, "no answer from DNS");

	if (count > 0)
		tally_report(t, domain, &reporter, &report);
	for (size_t i = 0; ok && i < count; i++) {
		struct letter letter = { .domain = domain, .hostname = me.hostname, .from = me.sender, .id = id,
					 .start = tally_start(t), .end = end, .to = address[i], .report = str_slice(&report) };

		str_clear(&text);
		ok = letter_compose(&letter, &text, err) && submit(address[i], domain, str_slice(&text), err);
	}
	str_free(&report);
	str_free(&text);
	arena_free(&arena);
	return ok;
}

/* All domains of a period that has ended. */
static void send_all(struct tally *t, double end)
{
	const char *name;
	struct err err = { 0 };

	while (tally_first(t, &name) && !task_cancelled()) {
		bool sent = false;

		for (int i = 0; !sent && i < TRIES; i++) {
			sent = send_report(t, name, end, &err);
			if (!sent && i + 1 < TRIES && task_sleep(SEND_SECONDS) != TASK_READY)
				break;
		}
		if (!sent)
			log_warning("report on TLS sessions with %s cannot be sent: %s", name, err.text);
		tally_remove(t, name);
	}
}

/* Days end at midnight UTC (section 4.1), other periods when they are over. */
static double end_of_period(void)
{
	double start = tally_start(me.tally);

	return me.interval == DAY ? (floor(start / DAY) + 1) * DAY : start + me.interval;
}

static void keep_time(void *arg)
{
	double saved = loop_now();

	while (task_sleep(LOOK_SECONDS) == TASK_READY && !process_retiring()) {
		if (loop_now() >= end_of_period()) {
			struct tally *past = me.tally;
			double end = end_of_period();

			/* Sent without waiting for a copy on disk: a report that is lost in a crash is lost. */
			me.tally = tally_create(SLICE_NONE, loop_now());
			me.changed = true;
			save();
			send_all(past, end < loop_now() ? end : loop_now());
			tally_free(&past);
		}
		if (loop_now() - saved >= SAVE_SECONDS) {
			save();
			saved = loop_now();
		}
	}
	save();
}

/* --- events --- */

static void on_close(struct ipc_channel *ch, void *context)
{
	ipc_channel_free(&ch);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	static struct tlsrpt_event event;
	struct err err;

	if (!tlsrpt_get_event(m, &event, &err)) {
		log_warning("%s", err.text);
		return;
	}
	tally_add(me.tally, &event);
	me.changed = true;
}

static void peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };

	(void)ipc_channel_create(fd, &tlsrpt_protocol, &handler, NULL);
}

/* --- the process --- */

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;
	const char *path = config_text(c, "tlsrpt_state_file");
	struct str text = { 0 };

	me.hostname = config_text(c, "myhostname");
	me.organization = config_text(c, "tlsrpt_organization");
	me.contact = config_text(c, "tlsrpt_contact");
	me.sender = config_text(c, "tlsrpt_sender");
	me.interval = config_time(c, "tlsrpt_interval");
	/* Not through a link: the folder is not root's. */
	me.file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (me.file < 0)
		return err_set_errno(err, ERR_TEMPORARY, "tlsrpt_state_file: open %s", path);
	/* jansson takes random numbers at first use, from a file that the sandbox does not show. */
	json_object_seed(0);
	load(&text);
	me.tally = tally_create(str_slice(&text), loop_now());
	str_free(&text);
	return true;
}

static void start(const struct process_info *info)
{
	me.resolver = ipc_client_create("resolver", &resolver_protocol, process_connect);
	me.cleanup = ipc_client_create("cleanup", &cleanup_protocol, process_connect);
	task_spawn(&me.background, keep_time, NULL);
}

static void retire(void)
{
	save();
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = peer, .retire = retire };

	return process_main(argc, argv, &ops);
}
