/* SPDX-License-Identifier: ISC */
#include "common/base/log.h"
#include "smtpd/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first line is AUTH's arguments, the others what the client says then; the backend asks on and on. */
struct script {
	struct slice rest;
	int rounds;
	bool open;                       /* a dialogue is */
};

static enum auth_read read_line(void *context, size_t limit, struct slice *line)
{
	struct script *s = context;

	if (s->rest.len == 0)
		return AUTH_READ_GONE;
	slice_cut(&s->rest, '\n', line);
	return line->len > limit ? AUTH_READ_TOO_LONG : AUTH_READ_LINE;
}

static void take_reply(void *context, int code, const char *dsn, const char *text)
{
	/* A reply is one line, and its class is one that AUTH has. */
	for (const char *at = text; *at; at++)
		if (*at == '\r' || *at == '\n')
			__builtin_trap();
	if (code != 235 && code != 334 && (code < 400 || code > 599))
		__builtin_trap();
}

static bool list_mechanisms(void *context, struct arena *arena, struct auth_mechanism *list, size_t *count)
{
	list[0] = (struct auth_mechanism){ SLICE("PLAIN"), SASL_PLAINTEXT };
	*count = 1;
	return true;
}

static void respond(void *context, struct slice response, struct arena *arena, struct auth_answer *answer)
{
	struct script *s = context;

	if (!s->open)
		__builtin_trap();
	s->open = s->rounds++ < 3;
	*answer = s->open ? (struct auth_answer){ .type = AUTH_CHALLENGE, .text = arena_slice(arena, response) } :
		  response.len % 2 ? (struct auth_answer){ .type = AUTH_OK, .text = SLICE("u") } :
				     (struct auth_answer){ .type = AUTH_FAIL, .temporary = response.len % 4 };
}

static void begin(void *context, struct auth_start *start, struct arena *arena, struct auth_answer *answer)
{
	((struct script *)context)->open = true;
	respond(context, start->response, arena, answer);
}

static void cancel(void *context)
{
	((struct script *)context)->open = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct auth_settings settings = { .response_limit = 64 };
	struct script script = { .rest = slice_make(data, size) };
	struct auth_ops ops = { &script, read_line, take_reply, list_mechanisms, NULL, begin, respond, cancel };
	struct auth_facts facts = { .greeted = true, .enabled = true, .client_name = "unknown", .client_address = "192.0.2.7",
				    .client_port = "1", .local_address = "", .local_port = "", .service = "" };
	struct auth_state state = { { 0 }, { 0 } };
	struct slice args;

	log_open("fuzz", 1000, false);
	slice_cut(&script.rest, '\n', &args);
	(void)auth_parameter_valid(args);
	if (auth_run(&state, &settings, &ops, &facts, slice_trim(args)) != (state.user.len > 0) || script.open)
		__builtin_trap();
	auth_reset(&state);
	return 0;
}
