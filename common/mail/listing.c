/* SPDX-License-Identifier: ISC */
#include "common/mail/listing.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static unsigned long long size_of(const struct listing *l)
{
	return (unsigned long long)(l->layout.content.length + l->layout.header_length);
}

static bool is_waiting(const struct message_recipient *r)
{
	return r->status == RECIPIENT_PENDING || r->status == RECIPIENT_FAILED;
}

void listing_text(const struct listing *l, struct str *out)
{
	time_t arrival = (time_t)l->envelope.arrival;
	struct slice reason = SLICE_NONE;
	char stamp[40], id[MESSAGE_ID_SIZE + 1];
	struct tm tm;

	strftime(stamp, sizeof(stamp), "%a %b %e %H:%M:%S", localtime_r(&arrival, &tm));
	snprintf(id, sizeof(id), "%s%c", l->id, strcmp(l->queue, "active") == 0 ? '*' :
		 strcmp(l->queue, "hold") == 0 ? '!' : ' ');
	str_printf(out, "%-17s %8llu %s  %.*s\n", id, size_of(l), stamp,
		   SLICE_FMT(l->envelope.sender.len ? l->envelope.sender : SLICE("MAILER-DAEMON")));
	for (size_t i = 0; i < l->envelope.recipient_count; i++) {
		if (!is_waiting(&l->envelope.recipients[i]))
			continue;
		if (l->results[i].text.len && !slice_eq(l->results[i].text, reason)) {
			reason = l->results[i].text;
			str_printf(out, "%*s(%.*s)\n", reason.len < 75 ? (int)(75 - reason.len) : 0, "", SLICE_FMT(reason));
		}
		str_printf(out, "%41s%.*s\n", "", SLICE_FMT(l->envelope.recipients[i].address));
	}
	str_append_byte(out, '\n');
}

static json_t *text(struct slice s)
{
	json_t *value = json_stringn(s.ptr ? s.ptr : "", s.len);

	return value ? value : json_string("");
}

/* Beyond what Postfix tells. */
static void put_origin(json_t *root, const struct listing *l)
{
	const struct message_envelope *e = &l->envelope;
	char client[512];

	if (l->next_attempt > 0)
		json_object_set_new(root, "next_attempt", json_integer((json_int_t)l->next_attempt));
	if (e->client_address.len > 0) {
		snprintf(client, sizeof(client), "%.*s[%.*s]", SLICE_FMT(slice_sub(e->client_name, 0, 255)), SLICE_FMT(e->client_address));
		json_object_set_new(root, "client", text(slice_of(client)));
	}
	if (e->sasl_login.len > 0)
		json_object_set_new(root, "sasl_username", text(e->sasl_login));
	if (e->tls.len > 0)
		json_object_set_new(root, "tls", text(e->tls));
}

void listing_json(const struct listing *l, struct str *out)
{
	json_t *root = json_object(), *recipients = json_array();

	json_object_set_new(root, "queue_name", json_string(l->queue));
	json_object_set_new(root, "queue_id", json_string(l->id));
	json_object_set_new(root, "arrival_time", json_integer((json_int_t)l->envelope.arrival));
	json_object_set_new(root, "message_size", json_integer((json_int_t)size_of(l)));
	json_object_set_new(root, "forced_expire", json_false());
	json_object_set_new(root, "sender", text(l->envelope.sender));
	put_origin(root, l);
	for (size_t i = 0; i < l->envelope.recipient_count; i++) {
		json_t *r = json_object();

		if (is_waiting(&l->envelope.recipients[i])) {
			json_object_set_new(r, "address", text(l->envelope.recipients[i].address));
			if (l->results[i].text.len)
				json_object_set_new(r, "delay_reason", text(l->results[i].text));
			if (l->results[i].text.len)
				json_object_set_new(r, "last_attempt", json_integer((json_int_t)l->results[i].time));
			json_object_set_new(r, "attempts", json_integer(l->results[i].attempts));
			json_array_append_new(recipients, r);
		} else {
			json_decref(r);
		}
	}
	json_object_set_new(root, "recipients", recipients);
	char *line = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);

	if (line)
		str_append_text(out, line);
	str_append_byte(out, '\n');
	free(line);
	json_decref(root);
}

void listing_start(struct str *out)
{
	str_append_text(out, "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n");
}

void listing_add(int queue_fd, const char *id, const char *queue, bool json, struct listing_sum *sum, struct str *out)
{
	struct arena *arena = arena_create(4096);
	struct listing l = { .id = id, .queue = queue };
	int fd = openat(queue_fd, message_id_name(id), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	struct err err;

	/* Gone meanwhile: delivered. */
	if (fd >= 0 && strcmp(queue, "deferred") == 0 && fstat(fd, &st) == 0)
		l.next_attempt = (double)st.st_mtim.tv_sec;
	if (fd >= 0 && message_read_layout(fd, &l.layout, &err) && strcmp(l.layout.id, id) == 0 &&
	    message_read_envelope(fd, &l.layout, arena, &l.envelope, &err) &&
	    message_read_results(fd, &l.layout, l.envelope.recipient_count, arena, &l.results, &err)) {
		(json ? listing_json : listing_text)(&l, out);
		sum->messages++;
		sum->bytes += size_of(&l);
	}
	if (fd >= 0)
		close(fd);
	arena_free(&arena);
}

void listing_end(const struct listing_sum *sum, struct str *out)
{
	if (sum->messages == 0)
		str_append_text(out, "Mail queue is empty\n");
	else
		str_printf(out, "-- %llu Kbytes in %zu Request%s.\n", (unsigned long long)sum->bytes / 1024, sum->messages,
			   sum->messages == 1 ? "" : "s");
}
