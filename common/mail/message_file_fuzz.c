/* SPDX-License-Identifier: ISC */
#include <sys/mman.h>
#include <unistd.h>

#include "common/mail/message_codec.h"
#include "tests/support/fuzz.h"

#define FIXED_CRC 124 /* where the fixed header's checksum stands */
#define KEPT      256 /* bytes of the input that stand for the first 4096 of the file */

static int file = -1;

static void put(const void *data, size_t len, uint64_t offset)
{
	FUZZ_CHECK(pwrite(file, data, len, (off_t)offset) == (ssize_t)len);
}

/*
 * The file: the input's start at 0, the rest from 4096 on; checksums are made right, or nothing
 * behind them would ever be reached.
 */
static void make_file(const uint8_t *data, size_t size, bool mend)
{
	uint8_t start[MESSAGE_CONTENT_OFFSET] = { 0 };
	size_t head = size < KEPT ? size : KEPT;
	struct packer p = packer_make(start + FIXED_CRC, 4);

	memcpy(start, data, head);
	if (mend)
		packer_u32(&p, crc32c(0, start, FIXED_CRC));
	FUZZ_CHECK(ftruncate(file, 0) == 0);
	put(start, sizeof(start), 0);
	put(data + head, size - head, MESSAGE_CONTENT_OFFSET);
}

/* The envelope's and the header block's checksums. */
static void mend_blocks(const struct message_layout *l)
{
	static uint8_t block[65536];
	struct packer p;
	uint32_t count, crc;

	if (l->envelope_length < 8 || l->envelope_length > sizeof(block) || l->header_length > sizeof(block) - 4 ||
	    pread(file, block, l->envelope_length, (off_t)l->envelope_offset) != (ssize_t)l->envelope_length)
		return;
	struct cursor c = cursor_make(block + 4, 4);

	count = cursor_u32(&c);
	if (count <= l->envelope_length - 8) {
		crc = crc32c(0, block + 4, 4);
		crc = crc32c(crc, block + 8 + count, l->envelope_length - 8 - count);
		p = packer_make(block, 4);
		packer_u32(&p, crc);
		put(block, 4, l->envelope_offset);
	}
	if (pread(file, block, l->header_length, (off_t)l->header_offset) != (ssize_t)l->header_length)
		return;
	crc = crc32c(0, block, l->header_length);
	p = packer_make(block, 4);
	packer_u32(&p, crc);
	put(block, 4, l->header_offset + l->header_length);
}

static void read_all(const struct message_layout *l, struct arena *arena)
{
	struct message_envelope envelope;
	struct message_result *results;
	struct slice header;
	struct err err;

	if (message_read_envelope(file, l, arena, &envelope, &err)) {
		for (size_t i = 0; i < envelope.recipient_count; i++)
			FUZZ_CHECK(envelope.recipients[i].status_offset > MESSAGE_CONTENT_OFFSET);
		(void)message_read_results(file, l, envelope.recipient_count, arena, &results, &err);
	}
	(void)message_read_new_header(file, l, arena, &header, &err);
	(void)message_read_results(file, l, 3, arena, &results, &err);
}

/* The first byte: what is mended.  The rest: a queue file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message_envelope envelope;
	struct message_layout layout;
	struct arena *arena;
	struct cursor c;
	struct err err;

	if (file < 0)
		file = memfd_create("fuzz", MFD_CLOEXEC);
	if (size < 1)
		return 0;
	arena = arena_create(0);
	make_file(data + 1, size - 1, data[0] & 1);
	if (message_read_layout(file, &layout, &err)) {
		FUZZ_CHECK(layout.content.header_length <= layout.content.length);
		FUZZ_CHECK(message_end(&layout) <= layout.results_offset);
		if (data[0] & 2)
			mend_blocks(&layout);
		read_all(&layout, arena);
	}
	c = cursor_make(data, size);
	(void)message_envelope_decode(&c, arena, &envelope);
	arena_free(&arena);
	return 0;
}
