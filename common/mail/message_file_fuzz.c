/* SPDX-License-Identifier: ISC */
#include <sys/mman.h>
#include <unistd.h>

#include "common/mail/message_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a queue file, and as an encoded envelope. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_create(0);
	struct cursor c = cursor_make(data, size);
	struct message_layout layout;
	struct message_envelope envelope;
	struct message_result *results;
	struct slice header;
	struct err err;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, data, size) == (ssize_t)size) {
		/* Past the checksum too: the layout's numbers straight from the input. */
		if (!message_read_layout(fd, &layout, &err) && size >= 40) {
			struct cursor n = cursor_make(data, 40);

			layout.envelope_offset = cursor_u64(&n);
			layout.envelope_length = cursor_u64(&n) & 0xffff;
			layout.header_offset = cursor_u64(&n);
			layout.header_length = cursor_u64(&n) & 0xffff;
			layout.results_offset = cursor_u64(&n);
		}
		if (message_read_envelope(fd, &layout, arena, &envelope, &err))
			(void)message_read_results(fd, &layout, envelope.recipient_count, arena, &results, &err);
		(void)message_read_new_header(fd, &layout, arena, &header, &err);
		(void)message_read_results(fd, &layout, 3, arena, &results, &err);
	}
	(void)message_envelope_decode(&c, arena, &envelope);
	close(fd);
	arena_free(&arena);
	return 0;
}
