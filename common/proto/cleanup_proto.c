/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/message_codec.h"
#include "common/proto/cleanup_proto.h"

#define STOCK_MAX   32
#define STOCK_FIRST 4

const struct ipc_protocol cleanup_protocol = { "cleanup", 1 };

void cleanup_refuse(struct cleanup_refusal *refusal, int code, const char *dsn, const char *format, ...)
{
	va_list ap;

	refusal->code = code;
	snprintf(refusal->dsn, sizeof(refusal->dsn), "%s", dsn);
	va_start(ap, format);
	vsnprintf(refusal->text, sizeof(refusal->text), format, ap);
	va_end(ap);
}

static bool refuse_away(struct cleanup_refusal *refusal)
{
	cleanup_refuse(refusal, 451, "4.3.0", "Error: queue file write error");
	return false;
}

static bool valid_refusal(struct slice dsn, uint64_t code, struct slice text)
{
	if (code < 400 || code > 599 || dsn.len < 5 || dsn.len > 11 || dsn.ptr[0] != (char)('0' + code / 100))
		return false;
	for (size_t i = 0; i < dsn.len; i++)
		if (dsn.ptr[i] != '.' && (dsn.ptr[i] < '0' || dsn.ptr[i] > '9'))
			return false;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127)
			return false;
	return true;
}

static bool get_refused(const struct ipc_in *m, struct cleanup_refusal *refusal)
{
	struct slice dsn, text;
	uint64_t code;

	if (m->type != CLEANUP_REFUSED || !ipc_get_u64(m, CLEANUP_FIELD_CODE, &code) ||
	    !ipc_get_bytes(m, CLEANUP_FIELD_DSN, &dsn) || !ipc_get_bytes(m, CLEANUP_FIELD_TEXT, &text) ||
	    !valid_refusal(dsn, code, text))
		return refuse_away(refusal);
	refusal->code = (int)code;
	snprintf(refusal->dsn, sizeof(refusal->dsn), "%.*s", SLICE_FMT(dsn));
	snprintf(refusal->text, sizeof(refusal->text), "%.*s", SLICE_FMT(text));
	return false;
}

bool cleanup_put_refused(struct ipc_out *m, uint32_t request, const struct cleanup_refusal *refusal)
{
	ipc_out_start(m, CLEANUP_REFUSED, request);
	ipc_put_u64(m, CLEANUP_FIELD_CODE, (uint64_t)refusal->code);
	ipc_put_text(m, CLEANUP_FIELD_DSN, refusal->dsn);
	ipc_put_text(m, CLEANUP_FIELD_TEXT, refusal->text);
	return !m->failed;
}

/* --- files open ahead --- */

struct spare {
	char id[MESSAGE_ID_SIZE];
	int fd;
	struct ipc_link *link;   /* to the process that has it; held */
};

struct stock {
	struct stock *next;
	struct ipc_client *client;
	struct spare spares[STOCK_MAX];
	size_t count, asked; /* there, and on their way */
	size_t wanted;       /* grows when somebody had to wait */
	size_t waiting;      /* calls for one under way */
};

static struct stock *stocks;

static void drop_spare(struct spare *spare)
{
	close(spare->fd);
	ipc_link_release(&spare->link);
}

static void stock_clear(struct stock *stock)
{
	while (stock->count > 0)
		drop_spare(&stock->spares[--stock->count]);
	stock->asked = 0;
}

/* Those of a process that retires. */
static void stock_drop_old(struct stock *stock)
{
	size_t kept = 0;

	for (size_t i = 0; i < stock->count; i++) {
		if (ipc_link_current(stock->spares[i].link))
			stock->spares[kept++] = stock->spares[i];
		else
			drop_spare(&stock->spares[i]);
	}
	stock->count = kept;
}

static void send_abort(struct ipc_link *link, const char *id)
{
	struct ipc_out m;

	ipc_out_start(&m, CLEANUP_ABORT, 0);
	ipc_put_text(&m, CLEANUP_FIELD_ID, id);
	ipc_link_send(link, &m);
}

static void stock_add(struct stock *stock, struct ipc_link *link, struct ipc_in *m)
{
	char id[MESSAGE_ID_SIZE];
	struct ipc_field f;
	size_t pos = 0;
	int index = 0;

	while (m->type == CLEANUP_OPENED && ipc_next(m, &pos, &f)) {
		if (f.field != CLEANUP_FIELD_ID || f.kind != 's')
			continue;
		int fd = ipc_take_fd(m, index++);

		if (fd < 0)
			continue;
		if (!message_id_valid(f.bytes)) {
			close(fd);
			continue;
		}
		snprintf(id, sizeof(id), "%.*s", SLICE_FMT(f.bytes));
		if (stock->count == STOCK_MAX) {
			close(fd);
			send_abort(link, id);
			continue;
		}
		struct spare *spare = &stock->spares[stock->count++];

		memcpy(spare->id, id, sizeof(spare->id));
		spare->fd = fd;
		spare->link = ipc_link_hold(link);
	}
}

static void on_event(struct ipc_in *m, void *context)
{
	struct stock *stock = context;
	struct err err;
	/* Events come over the present connection: this does not wait. */
	struct ipc_link *link = ipc_client_hold(stock->client, 0, &err);

	if (link && (m->type == CLEANUP_OPENED || m->type == CLEANUP_REFUSED)) {
		stock->asked -= stock->asked < IPC_FDS ? stock->asked : IPC_FDS;
		stock_add(stock, link, m);
	}
	ipc_link_release(&link);
}

/* cleanup has forgotten these files, or is a new process. */
static void on_lost(void *context)
{
	stock_clear(context);
}

static struct stock *stock_of(struct ipc_client *client)
{
	struct stock *stock;

	for (stock = stocks; stock; stock = stock->next)
		if (stock->client == client)
			return stock;
	stock = mem_alloc(sizeof(*stock));
	stock->client = client;
	stock->wanted = STOCK_FIRST;
	stock->next = stocks;
	stocks = stock;
	ipc_client_on_event(client, on_event, stock);
	ipc_client_on_lost(client, on_lost, stock);
	return stock;
}

void cleanup_forget(struct ipc_client *client)
{
	for (struct stock **at = &stocks; *at; at = &(*at)->next) {
		struct stock *stock = *at;

		if (stock->client != client)
			continue;
		stock_clear(stock);
		ipc_client_on_event(client, NULL, NULL);
		ipc_client_on_lost(client, NULL, NULL);
		*at = stock->next;
		free(stock);
		return;
	}
}

static void build_open(struct ipc_out *m, uint32_t request, unsigned count)
{
	ipc_out_start(m, CLEANUP_OPEN, request);
	ipc_put_u64(m, CLEANUP_FIELD_COUNT, count);
}

static void stock_refill(struct stock *stock)
{
	struct ipc_out m;

	while (stock->count + stock->asked + IPC_FDS <= stock->wanted) {
		build_open(&m, 0, IPC_FDS);
		if (!ipc_client_send(stock->client, &m))
			return;
		stock->asked += IPC_FDS;
	}
}

/* --- a submission --- */

static bool take_spare(struct stock *stock, struct cleanup_session *session)
{
	if (stock->count == 0)
		return false;
	/* The oldest first: IDs then come in the order of time. */
	struct spare spare = stock->spares[0];

	memmove(stock->spares, stock->spares + 1, --stock->count * sizeof(spare));
	memcpy(session->queue_id, spare.id, sizeof(spare.id));
	session->fd = spare.fd;
	session->link = spare.link;
	stock_refill(stock);
	return true;
}

bool cleanup_open(struct cleanup_session *session, struct ipc_client *client, double deadline,
		  struct cleanup_refusal *refusal)
{
	struct stock *stock = stock_of(client);
	struct ipc_link *link;
	struct ipc_reply reply;
	struct ipc_out m;
	struct err err = { 0 };

	*session = (struct cleanup_session){ .client = client, .fd = -1 };
	if (take_spare(stock, session))
		return true;
	if (stock->wanted < STOCK_MAX)
		stock->wanted *= 2;
	link = ipc_client_hold(client, deadline, &err);
	if (!link) {
		log_warning("connect to the cleanup service: %s", err.text);
		return refuse_away(refusal);
	}
	/* One of those who wait asks for more than its own. */
	build_open(&m, ipc_client_request(client), stock->waiting == 0 ? IPC_FDS : 1);
	stock->waiting++;
	bool answered = ipc_link_call(link, &m, deadline, &reply, &err);

	stock->waiting--;
	if (answered)
		stock_add(stock, link, &reply.in);
	ipc_link_release(&link);
	if (!answered) {
		if (err.code != ERR_CANCELLED)
			log_warning("cleanup service: %s", err.text);
		ipc_reply_free(&reply);
		return refuse_away(refusal);
	}
	bool opened = reply.in.type == CLEANUP_OPENED;

	if (!opened)
		get_refused(&reply.in, refusal);
	ipc_reply_free(&reply);
	if (!opened)
		return false;
	opened = take_spare(stock, session) || refuse_away(refusal);
	stock_drop_old(stock);
	return opened;
}

static void close_file(struct cleanup_session *session)
{
	if (session->fd >= 0)
		close(session->fd);
	session->fd = -1;
}

static bool send_commit(struct cleanup_session *session, const struct ipc_out *m, double deadline,
			struct ipc_reply *reply)
{
	struct err err = { 0 };
	bool ok = ipc_link_call(session->link, m, deadline, reply, &err);

	if (!ok)
		log_warning("%s: cleanup service: %s", session->queue_id, err.text);
	ipc_link_release(&session->link);
	return ok;
}

/* Puts recipients that fit; *next moves on. */
static bool put_recipients(struct ipc_out *m, const struct message_envelope *envelope, size_t *next)
{
	struct str record = { 0 };
	bool ok = true;

	for (; ok && *next < envelope->recipient_count; ++*next) {
		str_clear(&record);
		ok = message_recipient_encode(&record, &envelope->recipients[*next]);
		if (!ok || record.len > ipc_out_room(m))
			break;
		ipc_put_bytes(m, CLEANUP_FIELD_RECIPIENT, str_slice(&record));
	}
	str_free(&record);
	return ok;
}

static void build_commit(struct ipc_out *m, const struct cleanup_session *session, uint32_t request,
			 struct slice envelope, const struct message_content *content)
{
	ipc_out_start(m, CLEANUP_COMMIT, request);
	ipc_put_text(m, CLEANUP_FIELD_ID, session->queue_id);
	ipc_put_bytes(m, CLEANUP_FIELD_ENVELOPE, envelope);
	ipc_put_u64(m, CLEANUP_FIELD_LENGTH, content->length);
	ipc_put_u64(m, CLEANUP_FIELD_HEADER_LENGTH, content->header_length);
	ipc_put_u64(m, CLEANUP_FIELD_LONGEST_LINE, content->longest_line);
	ipc_put_u64(m, CLEANUP_FIELD_DOTS, content->leading_dots);
	ipc_put_u64(m, CLEANUP_FIELD_EIGHT_BIT, content->eight_bit);
}

/* Ends with a complete COMMIT in *m; what does not fit in it has been sent before. */
static bool build_all(struct ipc_out *m, const struct cleanup_session *session, uint32_t request,
		      const struct message_envelope *envelope, const struct message_content *content)
{
	struct str encoded = { 0 };
	bool ok = message_envelope_encode(&encoded, envelope);
	size_t next = 0;

	for (;;) {
		size_t before = next;

		build_commit(m, session, request, str_slice(&encoded), content);
		ok = ok && put_recipients(m, envelope, &next) && !m->failed;
		if (!ok || next == envelope->recipient_count)
			break;
		next = before;
		ipc_out_start(m, CLEANUP_RECIPIENTS, 0);
		ipc_put_text(m, CLEANUP_FIELD_ID, session->queue_id);
		ok = put_recipients(m, envelope, &next) && next > before && ipc_link_send(session->link, m);
		if (!ok)
			break;
	}
	str_free(&encoded);
	return ok;
}

bool cleanup_commit(struct cleanup_session *session, const struct message_envelope *envelope,
		    const struct message_content *content, double deadline, struct cleanup_refusal *refusal)
{
	struct ipc_reply reply;
	struct ipc_out m;
	bool ok;

	if (session->fd < 0)
		return refuse_away(refusal);
	close_file(session);
	if (!build_all(&m, session, ipc_client_request(session->client), envelope, content)) {
		cleanup_abort(session);
		return refuse_away(refusal);
	}
	if (!send_commit(session, &m, deadline, &reply)) {
		ipc_reply_free(&reply);
		return refuse_away(refusal);
	}
	ok = reply.in.type == CLEANUP_COMMITTED || get_refused(&reply.in, refusal);
	ipc_reply_free(&reply);
	return ok;
}

void cleanup_abort(struct cleanup_session *session)
{
	close_file(session);
	if (session->link && session->queue_id[0])
		send_abort(session->link, session->queue_id);
	ipc_link_release(&session->link);
	session->queue_id[0] = '\0';
}

/* --- the server's side --- */

bool cleanup_get_commit(const struct ipc_in *m, struct arena *arena, struct message_envelope *envelope,
			struct message_content *content, struct err *err)
{
	uint64_t length, header, longest, dots, eight;
	struct slice encoded;

	*envelope = (struct message_envelope){ 0 };
	*content = (struct message_content){ 0 };
	if (!ipc_get_bytes(m, CLEANUP_FIELD_ENVELOPE, &encoded) || !ipc_get_u64(m, CLEANUP_FIELD_LENGTH, &length) ||
	    !ipc_get_u64(m, CLEANUP_FIELD_HEADER_LENGTH, &header) ||
	    !ipc_get_u64(m, CLEANUP_FIELD_LONGEST_LINE, &longest) || !ipc_get_u64(m, CLEANUP_FIELD_DOTS, &dots) ||
	    !ipc_get_u64(m, CLEANUP_FIELD_EIGHT_BIT, &eight))
		return err_set(err, ERR_SYNTAX, "COMMIT lacks a field");
	if (header > length || length > INT64_MAX || longest > UINT32_MAX || dots > 1 || eight > 1)
		return err_set(err, ERR_SYNTAX, "COMMIT with impossible lengths");
	struct cursor c = cursor_make(encoded.ptr, encoded.len);

	if (!message_envelope_decode(&c, arena, envelope) || cursor_left(&c) != 0)
		return err_set(err, ERR_SYNTAX, "COMMIT with a malformed envelope");
	content->length = length;
	content->header_length = header;
	content->longest_line = (uint32_t)longest;
	content->leading_dots = dots;
	content->eight_bit = eight;
	return true;
}

int cleanup_get_recipient(const struct ipc_in *m, size_t *pos, struct arena *arena,
			  struct message_recipient *recipient)
{
	struct ipc_field f;

	while (ipc_next(m, pos, &f)) {
		if (f.field != CLEANUP_FIELD_RECIPIENT)
			continue;
		struct cursor c = cursor_make(f.bytes.ptr, f.bytes.len);

		if (f.kind != 's' || !message_recipient_decode(&c, arena, recipient) || cursor_left(&c) != 0)
			return -1;
		return 1;
	}
	return 0;
}
