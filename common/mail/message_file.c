/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/mail/message_codec.h"

#define FIXED_SIZE     128
#define FIXED_CRC      (FIXED_SIZE - 4)
#define VERSION        1
#define ENVELOPE_HEAD  8                      /* crc, recipient count; the status bytes follow */
#define BLOCK_MAX      (256u << 20)           /* envelope or new header block */
#define CONTENT_MAX    (UINT64_C(3) << 30)    /* so that status offsets fit in 32 bits */
#define RESULT_HEAD    12
#define RESULT_MAX     32768
#define RESULT_TEXT    4096
#define RESULT_WINDOW  (2 * (RESULT_HEAD + RESULT_MAX))
#define CONTENT_DOTS   1
#define CONTENT_8BIT   2
#define MESSAGE_WARNED 4    /* beside them */

static const char magic[4] = "PRq1";
static const char result_magic[4] = "PRr1";

/* --- all or nothing --- */

static bool write_all(int fd, const void *data, size_t len, uint64_t offset, struct err *err)
{
	if (file_write_at(fd, slice_make(data, len), offset))
		return true;
	return err_set_errno(err, errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_NO_SPACE : ERR_TEMPORARY,
			     "write queue file");
}

/* Bytes read, which are fewer than `len` at the end of the file only; -1 on an error. */
static ssize_t read_up_to(int fd, void *data, size_t len, uint64_t offset, struct err *err)
{
	ssize_t got = file_read_at(fd, data, len, offset);

	if (got < 0)
		err_set_errno(err, ERR_TEMPORARY, "read queue file");
	return got;
}

static bool read_all(int fd, void *data, size_t len, uint64_t offset, struct err *err)
{
	ssize_t n = read_up_to(fd, data, len, offset, err);

	if (n < 0)
		return false;
	return (size_t)n == len || err_set(err, ERR_SYNTAX, "queue file is damaged: ends early");
}

/* --- fixed header --- */

static void encode_layout(uint8_t raw[FIXED_SIZE], const struct message_layout *l)
{
	struct packer p = packer_make(raw, FIXED_SIZE);

	memset(raw, 0, FIXED_SIZE);
	packer_bytes(&p, slice_make(magic, sizeof(magic)));
	packer_u8(&p, VERSION);
	packer_u8(&p, (uint8_t)l->state);
	packer_u8(&p, l->replaces_header);
	packer_u8(&p, (l->content.leading_dots ? CONTENT_DOTS : 0) | (l->content.eight_bit ? CONTENT_8BIT : 0) |
			      (l->warned ? MESSAGE_WARNED : 0));
	packer_u64(&p, l->content.length);
	packer_u64(&p, l->content.header_length);
	packer_u32(&p, l->content.longest_line);
	packer_u64(&p, l->envelope_offset);
	packer_u64(&p, l->envelope_length);
	packer_u64(&p, l->header_offset);
	packer_u64(&p, l->header_length);
	packer_u64(&p, l->results_offset);
	packer_bytes(&p, slice_make(l->id, MESSAGE_ID_SIZE));
	p.len = FIXED_CRC;
	packer_u32(&p, crc32c(0, raw, FIXED_CRC));
}

static bool layout_consistent(const struct message_layout *l, uint64_t file_size)
{
	const struct message_content *c = &l->content;

	return (l->state == MESSAGE_COMMITTED || l->state == MESSAGE_HOLD || l->state == MESSAGE_FREE) &&
	       c->length <= CONTENT_MAX && message_id_valid(slice_of(l->id)) &&
	       c->header_length <= c->length && l->envelope_offset == MESSAGE_CONTENT_OFFSET + c->length &&
	       l->envelope_length >= ENVELOPE_HEAD && l->envelope_length <= BLOCK_MAX &&
	       l->header_offset == l->envelope_offset + l->envelope_length && l->header_length <= BLOCK_MAX &&
	       l->results_offset >= message_end(l) && l->results_offset <= file_size;
}

uint64_t message_end(const struct message_layout *l)
{
	return l->header_offset + l->header_length + 4; /* its checksum */
}

static bool decode_layout(const uint8_t raw[FIXED_SIZE], struct message_layout *l)
{
	struct cursor c = cursor_make(raw, FIXED_SIZE);
	struct slice word = cursor_bytes(&c, sizeof(magic));
	uint8_t version = cursor_u8(&c), flags;

	*l = (struct message_layout){ .state = (enum message_state)cursor_u8(&c) };
	l->replaces_header = cursor_u8(&c);
	flags = cursor_u8(&c);
	l->content.leading_dots = flags & CONTENT_DOTS;
	l->content.eight_bit = flags & CONTENT_8BIT;
	l->warned = flags & MESSAGE_WARNED;
	l->content.length = cursor_u64(&c);
	l->content.header_length = cursor_u64(&c);
	l->content.longest_line = cursor_u32(&c);
	l->envelope_offset = cursor_u64(&c);
	l->envelope_length = cursor_u64(&c);
	l->header_offset = cursor_u64(&c);
	l->header_length = cursor_u64(&c);
	l->results_offset = cursor_u64(&c);
	memcpy(l->id, cursor_bytes(&c, MESSAGE_ID_SIZE).ptr, MESSAGE_ID_SIZE);
	l->id[MESSAGE_ID_SIZE - 1] = '\0';
	cursor_seek(&c, FIXED_CRC);
	return cursor_u32(&c) == crc32c(0, raw, FIXED_CRC) && version == VERSION &&
	       slice_eq(word, slice_make(magic, sizeof(magic)));
}

bool message_write_open(int fd, struct err *err)
{
	const struct message_layout layout = { .state = MESSAGE_OPEN };
	uint8_t raw[MESSAGE_CONTENT_OFFSET] = { 0 };

	encode_layout(raw, &layout);
	return write_all(fd, raw, sizeof(raw), 0, err);
}

bool message_read_layout(int fd, struct message_layout *layout, struct err *err)
{
	static const uint8_t nothing[FIXED_SIZE];
	uint8_t raw[FIXED_SIZE] = { 0 };
	struct stat st;

	*layout = (struct message_layout){ .state = MESSAGE_NONE };
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, ERR_TEMPORARY, "fstat queue file");
	if (read_up_to(fd, raw, sizeof(raw), 0, err) < 0)
		return false;
	if (memcmp(raw, nothing, sizeof(raw)) == 0)
		return err_set(err, ERR_NOT_FOUND, "message was not committed");
	bool whole = decode_layout(raw, layout);

	if (whole && layout->state == MESSAGE_OPEN)
		return err_set(err, ERR_NOT_FOUND, "message was not committed");
	if (!whole || !layout_consistent(layout, (uint64_t)st.st_size)) {
		*layout = (struct message_layout){ .state = MESSAGE_NONE };
		return err_set(err, ERR_SYNTAX, "queue file is damaged: header");
	}
	return layout->state != MESSAGE_FREE || err_set(err, ERR_NOT_FOUND, "message has gone");
}

bool message_set_state(int fd, struct message_layout *layout, enum message_state state, struct err *err)
{
	struct message_layout changed = *layout;
	uint8_t raw[FIXED_SIZE];

	changed.state = state;
	encode_layout(raw, &changed);
	if (!write_all(fd, raw, sizeof(raw), 0, err))
		return false;
	layout->state = state;
	return true;
}

bool message_set_warned(int fd, struct message_layout *layout, struct err *err)
{
	struct message_layout changed = *layout;
	uint8_t raw[FIXED_SIZE];

	changed.warned = true;
	encode_layout(raw, &changed);
	if (!write_all(fd, raw, sizeof(raw), 0, err))
		return false;
	layout->warned = true;
	return true;
}

/* --- envelope --- */

/* What does not change: the count, and all that follows the status bytes. */
static uint32_t envelope_crc(const char *block, size_t len, size_t count)
{
	uint32_t crc = crc32c(0, block + 4, 4);

	return crc32c(crc, block + ENVELOPE_HEAD + count, len - ENVELOPE_HEAD - count);
}

static void patch_u32(char *at, uint32_t v)
{
	struct packer p = packer_make(at, 4);

	packer_u32(&p, v);
}

static bool encode_block(struct str *out, const struct message_envelope *e)
{
	message_put_u32(out, 0);
	message_put_u32(out, (uint32_t)e->recipient_count);
	for (size_t i = 0; i < e->recipient_count; i++)
		str_append_byte(out, (char)(e->recipients[i].status ? e->recipients[i].status : RECIPIENT_PENDING));
	if (!message_envelope_encode(out, e))
		return false;
	for (size_t i = 0; i < e->recipient_count; i++)
		if (!message_recipient_encode(out, &e->recipients[i]))
			return false;
	patch_u32(out->data, envelope_crc(out->data, out->len, e->recipient_count));
	return true;
}

bool message_write(int fd, const struct message_envelope *envelope, struct message_layout *layout,
		   struct slice new_header, struct err *err)
{
	struct str block = { 0 };
	uint8_t raw[FIXED_SIZE];
	struct stat st;
	bool ok = false;

	if (envelope->recipient_count > BLOCK_MAX / 64 || new_header.len > BLOCK_MAX ||
	    layout->content.length > CONTENT_MAX || layout->content.header_length > layout->content.length)
		return err_set(err, ERR_LIMIT, "message is too large for a queue file");
	str_reserve(&block, 512 + new_header.len + envelope->recipient_count * 64);
	if (!encode_block(&block, envelope) || block.len > BLOCK_MAX) {
		err_set(err, ERR_LIMIT, "envelope is too large for a queue file");
		goto out;
	}
	layout->envelope_offset = MESSAGE_CONTENT_OFFSET + layout->content.length;
	layout->envelope_length = block.len;
	layout->header_offset = layout->envelope_offset + block.len;
	layout->header_length = new_header.len;
	str_append(&block, new_header);
	message_put_u32(&block, crc32c(0, new_header.ptr, new_header.len));
	/* A file that was used before may be longer than its message: what stands there is nobody's. */
	layout->results_offset = layout->envelope_offset + block.len;
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size > layout->results_offset)
		layout->results_offset = (uint64_t)st.st_size;
	encode_layout(raw, layout);
	ok = write_all(fd, block.data, block.len, layout->envelope_offset, err) &&
	     write_all(fd, raw, sizeof(raw), 0, err);
out:
	str_free(&block);
	return ok;
}

static bool valid_status(char c)
{
	return c == RECIPIENT_PENDING || c == RECIPIENT_DELIVERED || c == RECIPIENT_FAILED || c == RECIPIENT_RETURNED ||
	       recipient_is_to_tell((enum recipient_status)c);
}

static bool decode_recipients(struct cursor *c, struct slice status, uint64_t status_offset, struct arena *arena,
			      struct message_envelope *e)
{
	e->recipient_count = status.len;
	e->recipients = arena_alloc(arena, (status.len + 1) * sizeof(*e->recipients));
	for (size_t i = 0; i < status.len; i++) {
		/* The memory that the slices point into is the arena's already. */
		if (!message_recipient_decode(c, NULL, &e->recipients[i]) || !valid_status(status.ptr[i]))
			return false;
		e->recipients[i].status = (enum recipient_status)status.ptr[i];
		e->recipients[i].status_offset = (uint32_t)(status_offset + i);
	}
	return true;
}

bool message_read_envelope(int fd, const struct message_layout *layout, struct arena *arena,
			   struct message_envelope *envelope, struct err *err)
{
	size_t len = (size_t)layout->envelope_length;

	*envelope = (struct message_envelope){ 0 };
	if (len < ENVELOPE_HEAD || len > BLOCK_MAX)
		return err_set(err, ERR_SYNTAX, "queue file is damaged: envelope length");
	char *block = arena_alloc(arena, len + 1);

	if (!read_all(fd, block, len, layout->envelope_offset, err))
		return false;
	struct cursor c = cursor_make(block, len);
	uint32_t crc = cursor_u32(&c), count = cursor_u32(&c);

	if (count > cursor_left(&c) / (MESSAGE_RECIPIENT_MIN + 1) || crc != envelope_crc(block, len, count))
		return err_set(err, ERR_SYNTAX, "queue file is damaged: envelope checksum");
	struct slice status = cursor_bytes(&c, count);

	if (!message_envelope_decode(&c, NULL, envelope) ||
	    !decode_recipients(&c, status, layout->envelope_offset + ENVELOPE_HEAD, arena, envelope) ||
	    cursor_left(&c) != 0) {
		*envelope = (struct message_envelope){ 0 };
		return err_set(err, ERR_SYNTAX, "queue file is damaged: envelope");
	}
	return true;
}

bool message_read_new_header(int fd, const struct message_layout *layout, struct arena *arena,
			     struct slice *header, struct err *err)
{
	size_t len = (size_t)layout->header_length;

	*header = SLICE_NONE;
	if (len > BLOCK_MAX)
		return err_set(err, ERR_SYNTAX, "queue file is damaged: header block length");
	char *block = arena_alloc(arena, len + 4);

	if (!read_all(fd, block, len + 4, layout->header_offset, err))
		return false;
	struct cursor c = cursor_make(block + len, 4);

	if (cursor_u32(&c) != crc32c(0, block, len))
		return err_set(err, ERR_SYNTAX, "queue file is damaged: header block checksum");
	block[len] = '\0';
	*header = slice_make(block, len);
	return true;
}

bool message_set_status(int fd, const struct message_recipient *recipient, enum recipient_status status,
			struct err *err)
{
	char byte = (char)status;

	if (recipient->status_offset < MESSAGE_CONTENT_OFFSET)
		return err_set(err, ERR_PERMANENT, "recipient has no place in a queue file");
	return write_all(fd, &byte, 1, recipient->status_offset, err);
}

/* --- results --- */

static void put_short_text(struct str *out, struct slice text)
{
	struct slice cut = slice_sub(text, 0, RESULT_TEXT);

	message_put_u16(out, (uint16_t)cut.len);
	str_append(out, cut);
}

bool message_append_result(int fd, const struct message_result *r, struct err *err)
{
	struct str out = { 0 };
	struct stat st;
	bool ok;

	if (fstat(fd, &st) < 0)
		return err_set_errno(err, ERR_TEMPORARY, "fstat queue file");
	str_append(&out, slice_make(result_magic, sizeof(result_magic)));
	message_put_u32(&out, 0);
	message_put_u32(&out, 0);
	message_put_u32(&out, r->recipient);
	message_put_u64(&out, r->time > 0 && r->time < 9e12 ? (uint64_t)(r->time * 1e6) : 0);
	put_short_text(&out, r->dsn);
	put_short_text(&out, r->relay);
	put_short_text(&out, r->text);
	put_short_text(&out, r->remote);
	patch_u32(out.data + 4, (uint32_t)(out.len - RESULT_HEAD));
	patch_u32(out.data + 8, crc32c(0, out.data + RESULT_HEAD, out.len - RESULT_HEAD));
	ok = write_all(fd, out.data, out.len, (uint64_t)st.st_size, err);
	str_free(&out);
	return ok;
}

/* Takes one whole record off the cursor; false at the end or at damage. */
static bool next_result(struct cursor *c, struct message_result *r)
{
	struct slice word = cursor_bytes(c, sizeof(result_magic));
	uint32_t len = cursor_u32(c), crc = cursor_u32(c);

	if (c->failed || len > RESULT_MAX || !slice_eq(word, slice_make(result_magic, sizeof(result_magic))))
		return false;
	struct slice payload = cursor_bytes(c, len);

	if (c->failed || crc32c(0, payload.ptr, payload.len) != crc)
		return false;
	struct cursor p = cursor_make(payload.ptr, payload.len);

	*r = (struct message_result){ .recipient = cursor_u32(&p) };
	r->time = (double)cursor_u64(&p) / 1e6;
	r->dsn = cursor_bytes(&p, cursor_u16(&p));
	r->relay = cursor_bytes(&p, cursor_u16(&p));
	r->text = cursor_bytes(&p, cursor_u16(&p));
	r->remote = cursor_bytes(&p, cursor_u16(&p));
	return !p.failed;
}

struct place {
	uint64_t newest;   /* record of a recipient; 0: none */
	uint32_t count;
};

static bool find_results(int fd, uint64_t at, char *window, struct place *places, size_t count, struct err *err)
{
	for (;;) {
		ssize_t n = read_up_to(fd, window, RESULT_WINDOW, at, err);
		struct message_result r;
		size_t taken = 0;

		if (n < 0)
			return false;
		struct cursor c = cursor_make(window, (size_t)n);

		while (next_result(&c, &r)) {
			if (r.recipient < count) {
				places[r.recipient].newest = at + taken;
				places[r.recipient].count++;
			}
			taken = c.pos;
		}
		if (taken == 0)
			return true;
		at += taken;
	}
}

static bool load_result(int fd, uint64_t place, char *window, struct arena *arena, struct message_result *r,
			struct err *err)
{
	ssize_t n = read_up_to(fd, window, RESULT_HEAD + RESULT_MAX, place, err);
	struct message_result found;

	if (n < 0)
		return false;
	struct cursor c = cursor_make(window, (size_t)n);

	if (!next_result(&c, &found))
		return true;
	*r = found;
	r->dsn = arena_slice(arena, found.dsn);
	r->relay = arena_slice(arena, found.relay);
	r->text = arena_slice(arena, found.text);
	r->remote = arena_slice(arena, found.remote);
	return true;
}

bool message_read_results(int fd, const struct message_layout *layout, size_t recipient_count,
			  struct arena *arena, struct message_result **results, struct err *err)
{
	struct place *places = mem_alloc((recipient_count + 1) * sizeof(*places));
	char *window = mem_alloc(RESULT_WINDOW);
	bool ok = find_results(fd, layout->results_offset, window, places, recipient_count, err);

	*results = arena_alloc(arena, (recipient_count + 1) * sizeof(**results));
	for (size_t i = 0; ok && i < recipient_count; i++) {
		(*results)[i].recipient = (uint32_t)i;
		if (places[i].newest)
			ok = load_result(fd, places[i].newest, window, arena, &(*results)[i], err);
		(*results)[i].attempts = places[i].count;
	}
	free(places);
	free(window);
	return ok;
}
