/* SPDX-License-Identifier: ISC */
/*
 * The SMTP and LMTP client: the input is what the server says, from the greeting on.  Whatever
 * that is, each recipient comes to an outcome or has a reason, nobody is told of a delivery that
 * no 2xx reply confirmed, and what goes out is whole lines.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/task.h"
#include "delivery/smtp/client.h"
#include "tests/support/fuzz.h"
#include "tests/support/memory_stream.h"

#define RECIPIENTS 3
#define ROUNDS     2

struct run {
	struct smtp_settings settings;
	struct delivery_job job;
	struct message_recipient recipients[RECIPIENTS];
	uint32_t index[RECIPIENTS];
	struct smtp_delivery d;
	size_t decided;
	struct str story;    /* what happened, to compare */
};

static int file = -1;
static struct message_layout layout;

static void make_message(void)
{
	static const char text[] = "To: b\r\nSubject: s\r\n\r\n.dot\r\nlonger than twenty bytes, this line\r\n";
	struct message_recipient r = { .address = SLICE("a@x"), .status = RECIPIENT_PENDING };
	struct message_envelope e = { .origin = ORIGIN_SMTP, .recipients = &r, .recipient_count = 1 };
	struct err err;

	file = memfd_create("message", MFD_CLOEXEC);
	layout = (struct message_layout){ .state = MESSAGE_COMMITTED, .id = "4abcdefz1" };
	layout.content = (struct message_content){ sizeof(text) - 1, 21, 36, true, false };
	FUZZ_CHECK(pwrite(file, text, sizeof(text) - 1, MESSAGE_CONTENT_OFFSET) == sizeof(text) - 1);
	FUZZ_CHECK(message_write(file, &e, &layout, SLICE("Received: by x\r\n"), &err));
}

static void on_decided(struct smtp_delivery *d, size_t index)
{
	struct run *r = d->context;
	const struct smtp_recipient *to = &d->recipient[index];

	r->decided++;
	FUZZ_CHECK(to->decided && to->outcome >= DELIVERY_SENT && to->outcome <= DELIVERY_BOUNCED);
	FUZZ_CHECK(to->failure.dsn[0] == "?245"[to->outcome] && fuzz_printable(to->failure.text));
	if (to->outcome == DELIVERY_SENT)
		FUZZ_CHECK(d->session && d->session->reply.code / 100 == 2 && to->accepted);
	str_printf(&r->story, "%zu %d %s %.*s\n", index, to->outcome, to->failure.dsn, SLICE_FMT(to->failure.text));
}

static void prepare(struct run *r, uint8_t options, struct arena *arena)
{
	static const char *const addresses[RECIPIENTS] = { "a@x", "a b@x", "\xc3\xa9@x" };
	struct err err;

	*r = (struct run){ .settings = { .lmtp = options & 1, .helo_name = "me", .myhostname = "me",
					 .line_limit = options & 2 ? 20 : 998, .skip_5xx_greeting = options & 4 } };
	r->job = (struct delivery_job){ .id = 1, .queue_id = SLICE("4abcdefz1"), .nexthop = SLICE("x"), .fd = file,
					.layout = layout, .index = r->index };
	r->job.layout.content.leading_dots = !(options & 8);
	r->job.envelope = (struct message_envelope){ .origin = ORIGIN_SMTP, .sender = SLICE("s@x"),
						     .envid = SLICE("e+=1"), .recipients = r->recipients,
						     .recipient_count = RECIPIENTS, .smtputf8 = options & 16,
						     .body_8bitmime = true, .ret = RET_HDRS };
	r->d = (struct smtp_delivery){ .job = &r->job, .settings = &r->settings, .arena = arena,
				       .on_decided = on_decided, .context = r, .count = RECIPIENTS,
				       .undecided = RECIPIENTS };
	r->d.sender = r->job.envelope.sender;
	r->d.recipient = arena_alloc(arena, RECIPIENTS * sizeof(*r->d.recipient));
	for (size_t i = 0; i < RECIPIENTS; i++) {
		r->recipients[i] = (struct message_recipient){ .address = slice_of(addresses[i]), .notify = NOTIFY_FAILURE,
							       .orcpt = SLICE("rfc822;q@x"), .status = RECIPIENT_PENDING };
		r->d.recipient[i].recipient = &r->recipients[i];
		r->d.recipient[i].wire = r->recipients[i].address;
		r->index[i] = (uint32_t)i;
	}
	FUZZ_CHECK(content_open(&r->d.content, &r->job, r->settings.line_limit, arena, &err));
}

static void talk(struct run *r, struct memory_stream *m, struct arena *arena)
{
	struct smtp_target target = { .host = SLICE("mx"), .text = SLICE("192.0.2.1"), .port = 25 };
	struct smtp_session *s = smtp_session_create(memory_stream_open(m), &target, SLICE("x"));
	static const struct smtp_policy plain = { .level = TLS_NONE };
	struct smtp_failure failure = { 0 };

	if (smtp_session_greet(s, &r->settings, &plain, arena, &failure) == SMTP_GREETED) {
		for (int i = 0; i < ROUNDS && r->d.undecided > 0 && !s->broken; i++)
			smtp_transaction(&r->d, s);
		for (size_t i = 0; i < RECIPIENTS; i++) {
			const struct smtp_recipient *to = &r->d.recipient[i];

			FUZZ_CHECK(to->decided || to->tried || r->d.failed_session);
			FUZZ_CHECK(!to->tried || to->decided || to->failure.dsn[0] == '4');
		}
	} else {
		FUZZ_CHECK(failure.dsn[0] == '4' || failure.dsn[0] == '5');
		FUZZ_CHECK(fuzz_printable(failure.text) && fuzz_printable(failure.remote));
		str_printf(&r->story, "%s %.*s\n", failure.dsn, SLICE_FMT(failure.text));
	}
	FUZZ_CHECK(r->decided + r->d.undecided == RECIPIENTS);
	smtp_session_free(&s);
	FUZZ_CHECK(m->closed);
}

static void check_wire(struct slice out)
{
	for (size_t i = 0; i < out.len; i++) {
		FUZZ_CHECK(out.ptr[i] != '\n' || (i > 0 && out.ptr[i - 1] == '\r'));
		FUZZ_CHECK(out.ptr[i] != '\r' || i + 1 == out.len || out.ptr[i + 1] == '\n');
	}
}

/* Options, sizes of pieces, then the server's bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_stream whole = { 0 }, pieces = { 0 };
	struct arena *arena = arena_create(0);
	struct run first, second;

	if (file < 0) {
		fuzz_quiet();
		make_message();
	}
	if (size >= 2) {
		whole.input = pieces.input = slice_make(data + 2, size - 2);
		whole.end = pieces.end = (enum memory_end)(data[1] & 3);
		pieces.piece = 1 + (data[1] >> 3);
		pieces.stutter = data[1] & 4;
		prepare(&first, data[0], arena);
		talk(&first, &whole, arena);
		prepare(&second, data[0], arena);
		talk(&second, &pieces, arena);
		/* What was not flushed yet when the conversation broke was never sent. */
		FUZZ_CHECK(slice_starts(str_slice(&whole.output), str_slice(&pieces.output)) ||
			   slice_starts(str_slice(&pieces.output), str_slice(&whole.output)));
		FUZZ_CHECK(slice_eq(str_slice(&first.story), str_slice(&second.story)));
		check_wire(str_slice(&whole.output));
		str_free(&first.story);
		str_free(&second.story);
	}
	str_free(&whole.output);
	str_free(&pieces.output);
	arena_free(&arena);
	return 0;
}
