/* SPDX-License-Identifier: ISC */
/* postcat: shows a message of the queue: envelope, header, body. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/message_file.h"
#include "tools/lib/connect.h"

static bool want_envelope, want_header, want_body;

/* CRLF lines as LF lines. */
static void print_text(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] != '\r' || i + 1 >= text.len || text.ptr[i + 1] != '\n')
			putchar(text.ptr[i]);
}

static void print_range(int fd, uint64_t from, uint64_t to)
{
	char buf[65537];

	while (from < to) {
		size_t want = to - from < 65536 ? (size_t)(to - from) : 65536;
		ssize_t got = pread(fd, buf, want, (off_t)(MESSAGE_CONTENT_OFFSET + from));

		if (got <= 0)
			log_fatal("read message: %m");
		/* Never cut between CR and LF. */
		if (buf[got - 1] == '\r' && got > 1)
			got--;
		print_text(slice_make(buf, (size_t)got));
		from += (uint64_t)got;
	}
}

static void print_envelope(const char *id, const struct message_layout *layout, const struct message_envelope *e)
{
	printf("*** ENVELOPE RECORDS %s ***\n", id);
	printf("message_size: %llu %zu\n", (unsigned long long)layout->content.length, e->recipient_count);
	printf("message_arrival_time: %.6f\n", e->arrival);
	printf("sender: %.*s\n", SLICE_FMT(e->sender));
	if (e->client_address.len)
		printf("client: %.*s[%.*s] helo=%.*s proto=%.*s\n", SLICE_FMT(e->client_name),
		       SLICE_FMT(e->client_address), SLICE_FMT(e->helo), SLICE_FMT(e->protocol));
	for (size_t i = 0; i < e->recipient_count; i++) {
		static const char *const words[256] = { ['P'] = "recipient", ['D'] = "done_recipient",
							['F'] = "failed_recipient", ['R'] = "returned_recipient" };
		const char *word = words[(uint8_t)e->recipients[i].status];

		printf("%s: %.*s\n", word ? word : "recipient", SLICE_FMT(e->recipients[i].address));
	}
}

/* `id` NULL: whatever message is in the file. */
static void show(const char *path, const char *id)
{
	struct arena *arena = arena_create(0);
	struct message_layout layout;
	struct message_envelope envelope;
	struct slice header;
	struct err err;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		log_fatal("open %s: %m", path);
	if (!message_read_layout(fd, &layout, &err) || !message_read_envelope(fd, &layout, arena, &envelope, &err) ||
	    !message_read_new_header(fd, &layout, arena, &header, &err))
		log_fatal("%s: %s", path, err.text);
	if (id && strcmp(layout.id, id) != 0)
		log_fatal("%s: no such message", id);
	id = layout.id;
	if (want_envelope)
		print_envelope(id, &layout, &envelope);
	if (want_envelope && (want_header || want_body))
		printf("*** MESSAGE CONTENTS %s ***\n", id);
	if (want_header) {
		print_text(header);
		if (!layout.replaces_header)
			print_range(fd, 0, layout.content.header_length);
	}
	if (want_body)
		print_range(fd, layout.content.header_length, layout.content.length);
	if (want_envelope)
		printf("*** MESSAGE FILE END %s ***\n", id);
	close(fd);
	arena_free(&arena);
}

int main(int argc, char **argv)
{
	const char *dir = NULL;
	struct config *config;
	bool by_id = false;
	int option;

	while ((option = getopt(argc, argv, "c:qbehodrv")) > 0) {
		switch (option) {
		case 'c':
			dir = optarg;
			break;
		case 'q':
			by_id = true;
			break;
		case 'b':
			want_body = true;
			break;
		case 'e':
			want_envelope = true;
			break;
		case 'h':
			want_header = true;
			break;
		case '?':
			fprintf(stderr, "usage: postcat [-c dir] [-beh] -q queue_id … | file …\n");
			return 64;
		}
	}
	if (!want_body && !want_envelope && !want_header)
		want_body = want_envelope = want_header = true;
	config = tool_config(dir);
	for (int i = optind; i < argc; i++) {
		char path[4096];

		if (by_id && !message_id_valid(slice_of(argv[i])))
			log_fatal("%s: not a queue ID", argv[i]);
		if (by_id)
			snprintf(path, sizeof(path), "%s/queue/%s", config_text(config, "queue_directory"),
				 message_id_name(argv[i]));
		else
			snprintf(path, sizeof(path), "%s", argv[i]);
		show(path, by_id ? argv[i] : NULL);
	}
	config_free(&config);
	return 0;
}
