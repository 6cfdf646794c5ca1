/* SPDX-License-Identifier: ISC */
/* Puts messages into the queue of a mail system that is down: queue_fill DIRECTORY COUNT.  A tenth has two recipients. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/message_file.h"

static const char content[] = "Subject: fill\r\n\r\nbody\r\n";
#define HEADER_LENGTH 17

static void make_message(int dir, uint64_t number, const struct stat *owner)
{
	char name[MESSAGE_NAME_SIZE], sender[64], to[2][64];
	struct message_recipient recipients[2] = { 0 };
	struct message_envelope envelope = { .origin = ORIGIN_SMTP, .client_name = SLICE("unknown"),
					     .client_address = SLICE("192.0.2.1"), .protocol = SLICE("ESMTP") };
	struct message_layout layout = { .state = MESSAGE_COMMITTED };
	struct err err;
	int fd;

	do { /* names are short: two may be the same */
		message_name_make(name);
		fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	} while (fd < 0 && errno == EEXIST);
	message_id_make(layout.id, name);
	snprintf(sender, sizeof(sender), "sender%u@from.test", (unsigned)(number % 100));
	for (unsigned i = 0; i < 2; i++) {
		snprintf(to[i], sizeof(to[i]), "user%llu@d%u.test", (unsigned long long)number, (unsigned)((number + i) % 1000));
		recipients[i] = (struct message_recipient){ .address = slice_of(to[i]), .status = RECIPIENT_PENDING };
	}
	envelope.sender = slice_of(sender);
	envelope.arrival = (double)time(NULL);
	envelope.recipients = recipients;
	envelope.recipient_count = number % 10 ? 1 : 2;
	layout.content.length = sizeof(content) - 1;
	layout.content.header_length = HEADER_LENGTH;
	layout.content.longest_line = 13;
	if (fd < 0 || pwrite(fd, content, sizeof(content) - 1, MESSAGE_CONTENT_OFFSET) < 0 ||
	    fchown(fd, owner->st_uid, owner->st_gid) < 0)
		log_fatal("%s: %m", name);
	if (!message_write(fd, &envelope, &layout, SLICE("Received: by fill\r\n"), &err))
		log_fatal("%s: %s", name, err.text);
	close(fd);
}

int main(int argc, char **argv)
{
	int dir = argc == 3 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct stat owner;
	uint64_t count;

	if (dir < 0 || fstat(dir, &owner) < 0 || !slice_to_u64(slice_of(argv[2]), &count)) {
		fprintf(stderr, "usage: queue_fill DIRECTORY COUNT\n");
		return 64;
	}
	for (uint64_t i = 0; i < count; i++)
		make_message(dir, i, &owner);
	close(dir);
	return 0;
}
