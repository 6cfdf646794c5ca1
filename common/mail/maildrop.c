/* SPDX-License-Identifier: ISC */
#include "common/mail/maildrop.h"
#include "common/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_SIZE 65536

/* --- envelope --- */

static bool put_line(struct str *out, char letter, struct slice value)
{
	if (value.len >= MAILDROP_LINE_MAX - 2)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if ((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 127)
			return false;
	str_append_byte(out, letter);
	str_append(out, value);
	str_append_byte(out, '\n');
	return true;
}

bool maildrop_encode(struct str *out, const struct message_envelope *e)
{
	bool ok;
	uint8_t notify = 0;

	str_append_text(out, "PRm1\n");
	ok = put_line(out, 'S', e->sender);
	if (e->sender_full_name.len > 0)
		ok = ok && put_line(out, 'F', e->sender_full_name);
	if (e->envid.len > 0)
		ok = ok && put_line(out, 'V', e->envid);
	if (e->verp.len > 0)
		ok = ok && put_line(out, 'X', e->verp);
	if (e->ret != RET_NONE)
		ok = ok && put_line(out, 'T', e->ret == RET_FULL ? SLICE("FULL") : SLICE("HDRS"));
	if (e->body_8bitmime)
		ok = ok && put_line(out, 'B', SLICE("8BITMIME"));
	for (size_t i = 0; ok && i < e->recipient_count; i++) {
		if (e->recipients[i].notify != notify) {
			notify = e->recipients[i].notify;
			str_printf(out, "N%u\n", notify);
		}
		ok = put_line(out, 'R', e->recipients[i].address);
	}
	str_append_byte(out, '\n');
	return ok;
}

/* Lines of a file, of bounded length. */
struct reader {
	int fd;
	uint64_t next;          /* offset of what is read next */
	size_t at, end;
	char buffer[MAILDROP_LINE_MAX * 2];
};

static bool fill(struct reader *r, struct err *err)
{
	ssize_t n;

	memmove(r->buffer, r->buffer + r->at, r->end - r->at);
	r->end -= r->at;
	r->at = 0;
	n = file_read_at(r->fd, r->buffer + r->end, sizeof(r->buffer) - r->end, r->next);
	if (n < 0)
		return err_set_errno(err, ERR_TEMPORARY, "read");
	if (n == 0)
		return err_set(err, ERR_SYNTAX, "envelope ends early");
	r->end += (size_t)n;
	r->next += (uint64_t)n;
	return true;
}

/* Without its LF; valid until the next call. */
static bool next_line(struct reader *r, struct slice *line, struct err *err)
{
	for (;;) {
		struct slice have = slice_make(r->buffer + r->at, r->end - r->at);
		ptrdiff_t end = slice_find(have, '\n');

		if (end >= 0 && end < MAILDROP_LINE_MAX) {
			*line = slice_sub(have, 0, (size_t)end);
			r->at += (size_t)end + 1;
			return true;
		}
		if (have.len >= MAILDROP_LINE_MAX)
			return err_set(err, ERR_LIMIT, "envelope line is too long");
		if (!fill(r, err))
			return false;
	}
}

struct parse {
	struct arena *arena;
	struct message_envelope *envelope;
	size_t room;
	uint8_t notify;
	bool sender;
};

static bool add_recipient(struct parse *p, struct slice address, struct err *err)
{
	struct message_envelope *e = p->envelope;

	if (e->recipient_count == MAILDROP_RECIPIENTS_MAX)
		return err_set(err, ERR_LIMIT, "too many recipients");
	if (address.len == 0)
		return err_set(err, ERR_SYNTAX, "empty recipient");
	if (e->recipient_count == p->room) {
		size_t room = p->room ? p->room * 2 : 8;
		struct message_recipient *all = arena_alloc(p->arena, room * sizeof(*all));

		if (p->room)
			memcpy(all, e->recipients, p->room * sizeof(*all));
		e->recipients = all;
		p->room = room;
	}
	e->recipients[e->recipient_count++] = (struct message_recipient){
		.address = arena_slice(p->arena, address), .notify = p->notify, .status = RECIPIENT_PENDING };
	return true;
}

static bool take_notify(struct parse *p, struct slice value)
{
	uint64_t bits;

	if (!slice_to_u64(value, &bits) || bits > (NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY))
		return false;
	p->notify = (uint8_t)bits;
	return true;
}

static bool take_line(struct parse *p, char letter, struct slice value, struct err *err)
{
	struct message_envelope *e = p->envelope;

	for (size_t i = 0; i < value.len; i++)
		if ((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 127)
			return err_set(err, ERR_SYNTAX, "control character in envelope");
	switch (letter) {
	case 'S':
		e->sender = arena_slice(p->arena, value);
		p->sender = true;
		return true;
	case 'F':
		e->sender_full_name = arena_slice(p->arena, value);
		return true;
	case 'V':
		e->envid = arena_slice(p->arena, value);
		return true;
	case 'X':
		e->verp = arena_slice(p->arena, value);
		return value.len == 2 || err_set(err, ERR_SYNTAX, "malformed VERP delimiters");
	case 'T':
		e->ret = slice_eq(value, SLICE("FULL")) ? RET_FULL : RET_HDRS;
		return true;
	case 'B':
		e->body_8bitmime = slice_eq(value, SLICE("8BITMIME"));
		return true;
	case 'N':
		return take_notify(p, value) || err_set(err, ERR_SYNTAX, "malformed notify bits");
	case 'R':
		return add_recipient(p, value, err);
	default:
		return err_set(err, ERR_SYNTAX, "unknown envelope line");
	}
}

bool maildrop_read(int fd, struct arena *arena, struct message_envelope *envelope, uint64_t *content,
		   struct err *err)
{
	struct parse p = { .arena = arena, .envelope = envelope };
	struct reader *r = mem_alloc(sizeof(*r));
	struct slice line;
	bool ok;

	*envelope = (struct message_envelope){ .origin = ORIGIN_LOCAL };
	r->fd = fd;
	ok = next_line(r, &line, err) &&
	     (slice_eq(line, SLICE("PRm1")) || err_set(err, ERR_SYNTAX, "not a maildrop file"));
	while (ok && (ok = next_line(r, &line, err)) && line.len > 0)
		ok = take_line(&p, line.ptr[0], slice_sub(line, 1, line.len), err);
	if (ok && (!p.sender || envelope->recipient_count == 0))
		ok = err_set(err, ERR_SYNTAX, "no sender or no recipients");
	*content = r->next - (r->end - r->at);
	free(r);
	return ok;
}

/* --- content --- */

struct copy {
	int out;
	uint64_t limit, offset;     /* where the next write goes */
	size_t used;
	bool after_cr;              /* a CR came, and what follows is not known */
	bool in_body;
	uint32_t line;              /* bytes of the present line */
	struct message_content *content;
	struct err *err;
	char buffer[READ_SIZE];
};

static bool flush(struct copy *c)
{
	if (!file_write_at(c->out, slice_make(c->buffer, c->used), c->offset))
		return err_set_errno(c->err, errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_TEMPORARY,
				     "write queue file");
	c->offset += c->used;
	c->used = 0;
	return true;
}

static bool put(struct copy *c, char byte)
{
	if (c->used == sizeof(c->buffer) && !flush(c))
		return false;
	if (c->limit && c->content->length >= c->limit)
		return err_set(c->err, ERR_LIMIT, "message is larger than message_size_limit");
	c->buffer[c->used++] = byte;
	c->content->length++;
	return true;
}

static bool put_text(struct copy *c, char byte)
{
	if (c->line == 0 && byte == '.')
		c->content->leading_dots = true;
	if ((unsigned char)byte > 127)
		c->content->eight_bit = true;
	if (c->line < UINT32_MAX)
		c->line++;
	return put(c, byte);
}

static bool put_line_end(struct copy *c)
{
	if (!put(c, '\r') || !put(c, '\n'))
		return false;
	if (c->line == 0 && !c->in_body) {
		c->in_body = true;
		c->content->header_length = c->content->length;
	}
	if (c->line > c->content->longest_line)
		c->content->longest_line = c->line;
	c->line = 0;
	return true;
}

static bool copy_byte(struct copy *c, char byte)
{
	if (c->after_cr && byte != '\n' && !put_text(c, ' '))
		return false;
	c->after_cr = byte == '\r';
	if (c->after_cr)
		return true;
	return byte == '\n' ? put_line_end(c) : put_text(c, byte);
}

static bool copy_all(struct copy *c, int in, uint64_t offset)
{
	char input[16384];

	for (;;) {
		ssize_t n = file_read_at(in, input, sizeof(input), offset);

		if (n < 0)
			return err_set_errno(c->err, ERR_TEMPORARY, "read maildrop file");
		if (n == 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			if (!copy_byte(c, input[i]))
				return false;
		offset += (uint64_t)n;
	}
	if (c->after_cr && !put_text(c, ' '))
		return false;
	return (c->line == 0 || put_line_end(c)) && flush(c);
}

bool maildrop_copy(int in, uint64_t offset, int out, uint64_t limit, struct message_content *content, struct err *err)
{
	struct copy *c = mem_alloc(sizeof(*c));
	bool ok;

	*content = (struct message_content){ 0 };
	c->out = out;
	c->limit = limit;
	c->offset = MESSAGE_CONTENT_OFFSET;
	c->content = content;
	c->err = err;
	ok = copy_all(c, in, offset);
	if (!c->in_body)
		content->header_length = content->length;
	free(c);
	return ok;
}
