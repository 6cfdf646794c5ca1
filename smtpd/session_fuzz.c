/* SPDX-License-Identifier: ISC */
/*
 * The SMTP server as a whole: the input is what a client sends.  Each dialogue runs twice, read
 * whole and in pieces, and must come out the same; what the engine asks of its operations
 * is checked against what it was told.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "smtpd/smtpd.h"
#include "tests/support/fuzz.h"
#include "tests/support/memory_stream.h"

#define RECIPIENTS 16

struct smtpd_file {
	bool committed;
};

/* What the operations have seen of one dialogue. */
struct world {
	struct smtpd_file file;
	bool open;                       /* the engine has the file */
	size_t opened, ended;
	char sender[600];
	char recipient[RECIPIENTS][600]; /* accepted since the file was opened */
	size_t accepted;
	char asked[600];                 /* the last that was accepted */
	bool pending;                    /* it is not known yet whether it is kept */
	struct str commits;
};

static struct world *world;
static int content = -1;

static void copy(char *to, size_t size, struct slice text)
{
	FUZZ_CHECK(text.len < size && fuzz_printable(text));
	snprintf(to, size, "%.*s", SLICE_FMT(text));
	FUZZ_CHECK(strlen(to) == text.len);
}

static bool ask(void *context, const struct policy_question *question, struct smtp_reply *reply)
{
	const struct policy_facts *facts = question->facts;

	if (question->stage != POLICY_RECIPIENT)
		return true;
	FUZZ_CHECK(facts->recipient.len > 0 && fuzz_printable(facts->helo));
	if (facts->asked_only) {
		*reply = (struct smtp_reply){ 550, "5.1.1", "no such user" };
		return facts->recipient.ptr[0] != 'x';
	}
	if (world->open)
		FUZZ_CHECK(slice_eq(slice_of(world->sender), facts->sender));
	copy(world->sender, sizeof(world->sender), facts->sender);
	copy(world->asked, sizeof(world->asked), facts->recipient);
	if (facts->recipient.ptr[0] == 'x') {
		*reply = (struct smtp_reply){ 550, "5.1.1", "no such user" };
		return false;
	}
	world->pending = true;
	if (!world->open)
		return true;
	FUZZ_CHECK(world->accepted < RECIPIENTS);
	copy(world->recipient[world->accepted++], sizeof(world->recipient[0]), facts->recipient);
	return true;
}

static struct smtpd_file *open_file(void *context, struct smtp_reply *reply)
{
	FUZZ_CHECK(!world->open && world->pending);
	if (world->asked[0] == 'y') {
		*reply = (struct smtp_reply){ 452, "4.3.1", "full" };
		return NULL;
	}
	FUZZ_CHECK(ftruncate(content, 0) == 0);
	world->open = true;
	world->opened++;
	snprintf(world->recipient[0], sizeof(world->recipient[0]), "%s", world->asked);
	world->accepted = 1;
	return &world->file;
}

static const char *queue_id(const struct smtpd_file *file)
{
	FUZZ_CHECK(world->open && file == &world->file);
	return "4abcdefz1";
}

static int descriptor(const struct smtpd_file *file)
{
	FUZZ_CHECK(world->open && file == &world->file);
	return content;
}

static void end_file(struct smtpd_file **file)
{
	FUZZ_CHECK(world->open && *file == &world->file);
	*file = NULL;
	world->open = world->pending = false;
	world->ended++;
}

static void check_content(const struct message_content *c)
{
	static char stored[1 << 18];
	ssize_t n = pread(content, stored, sizeof(stored), MESSAGE_CONTENT_OFFSET);

	FUZZ_CHECK(n >= 0 && (uint64_t)n == c->length && c->header_length <= c->length);
	for (ssize_t i = 0; i < n; i++) {
		FUZZ_CHECK(stored[i] != '\r' || (i + 1 < n && stored[i + 1] == '\n'));
		FUZZ_CHECK(stored[i] != '\n' || (i > 0 && stored[i - 1] == '\r'));
	}
	FUZZ_CHECK(n == 0 || stored[n - 1] == '\n');
	str_append(&world->commits, slice_make(stored, (size_t)n));
}

static bool commit(struct smtpd_file **file, const struct message_envelope *e, const struct message_content *c,
		   struct smtp_reply *reply)
{
	FUZZ_CHECK(slice_eq(e->sender, slice_of(world->sender)));
	FUZZ_CHECK(e->recipient_count == world->accepted && e->recipient_count > 0);
	for (size_t i = 0; i < e->recipient_count; i++) {
		FUZZ_CHECK(slice_eq(e->recipients[i].address, slice_of(world->recipient[i])));
		FUZZ_CHECK(fuzz_printable(e->recipients[i].orcpt) && e->recipients[i].notify <= 15);
		str_printf(&world->commits, "<%s>", world->recipient[i]);
	}
	FUZZ_CHECK(fuzz_printable(e->helo) && fuzz_printable(e->envid) && fuzz_printable(e->protocol));
	check_content(c);
	end_file(file);
	if (world->recipient[0][0] == 'z') {
		*reply = (struct smtp_reply){ 451, "4.3.0", "not now" };
		return false;
	}
	return true;
}

static void abort_file(struct smtpd_file **file)
{
	end_file(file);
}

/* Whole lines, each with a code, no control character inside. */
static void check_replies(struct slice out)
{
	struct slice line;

	while (out.len > 0) {
		FUZZ_CHECK(slice_cut(&out, '\n', &line));
		FUZZ_CHECK(line.len >= 5 && line.ptr[line.len - 1] == '\r');
		line.len--;
		FUZZ_CHECK(line.ptr[0] >= '2' && line.ptr[0] <= '5' && (line.ptr[3] == ' ' || line.ptr[3] == '-'));
		FUZZ_CHECK(fuzz_printable(line) && line.len < 600);
	}
}

static void run(struct world *w, struct memory_stream *m, uint8_t options)
{
	static const struct policy_client client = { .name = "unknown", .reverse_name = "unknown", .address = "192.0.2.1",
						      .port = "1", .server_address = "", .server_port = "" };
	struct smtpd_settings settings = {
		.myhostname = "mx.example.com", .banner = "mx.example.com ESMTP", .message_size_limit = 200,
		.line_limit = 2048, .recipient_limit = 5, .recipient_overshoot_limit = 3, .soft_error_limit = 10,
		.hard_error_limit = 20, .junk_command_limit = 20, .timeout = 300, .smtputf8 = options & 1,
		.helo_required = options & 2, .vrfy = options & 4, .strict_envelopes = options & 8,
		.bare_lf = (enum bare_lf)((options >> 4) % 3), .forbid_unauth_pipelining = options & 64,
	};
	struct smtpd_ops ops = { .ask = ask, .open = open_file, .queue_id = queue_id, .descriptor = descriptor,
				 .commit = commit, .abort = abort_file };

	world = w;
	if (options & 128)
		settings.message_size_limit = 0;
	smtpd_serve(memory_stream_open(m), &settings, &ops, &client);
	FUZZ_CHECK(m->closed && !w->open && w->opened == w->ended);
	check_replies(str_slice(&m->output));
}

/* Options, sizes of pieces, then the client's bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_stream whole = { 0 }, pieces = { 0 };
	struct world first = { 0 }, second = { 0 };

	if (size < 2 || size > 100000)
		return 0;
	if (content < 0) {
		fuzz_quiet();
		content = memfd_create("content", MFD_CLOEXEC);
	}
	whole.input = pieces.input = slice_make(data + 2, size - 2);
	/* Pipelining before its turn is what this looks for: the same for both only line by line. */
	whole.by_line = pieces.by_line = data[0] & 64;
	whole.end = pieces.end = (enum memory_end)(data[1] & 3);
	pieces.piece = 1 + (data[1] >> 3);
	pieces.stutter = data[1] & 4;
	run(&first, &whole, data[0]);
	run(&second, &pieces, data[0]);
	FUZZ_CHECK(slice_eq(str_slice(&whole.output), str_slice(&pieces.output)));
	FUZZ_CHECK(slice_eq(str_slice(&first.commits), str_slice(&second.commits)));
	str_free(&whole.output);
	str_free(&pieces.output);
	str_free(&first.commits);
	str_free(&second.commits);
	return 0;
}
