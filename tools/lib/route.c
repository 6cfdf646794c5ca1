/* SPDX-License-Identifier: ISC */
#include "tools/lib/route.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/str.h"
#include "common/mail/address.h"
#include "routing/form.h"
#include "routing/rewrite.h"

static const char *const class_names[] = {
	[ROUTE_LOCAL] = "local", [ROUTE_VIRTUAL_ALIAS] = "virtual alias", [ROUTE_VIRTUAL_MAILBOX] = "virtual mailbox",
	[ROUTE_RELAY] = "relay", [ROUTE_DEFAULT] = "default",
};

struct question {
	struct rewriter *rewriter;
	struct router *router;
	struct slice sender;
	struct arena *arena;
	json_t *steps;             /* those of now are put here */
};

/* Bytes that are no UTF-8 become '?': JSON has no other text. */
static json_t *text_json(struct slice s)
{
	json_t *text = json_stringn(s.ptr ? s.ptr : "", s.len);

	if (text)
		return text;
	char *copy = mem_slicedup(s);

	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)copy[i] > 127)
			copy[i] = '?';
	text = json_stringn(copy, s.len);
	free(copy);
	return text;
}

static void on_step(void *context, const struct trace_step *step)
{
	struct question *q = context;
	json_t *one = json_object(), *to = json_array();

	json_object_set_new(one, "what", json_string(step->what));
	if (step->table) {
		json_object_set_new(one, "table", json_string(step->table));
		json_object_set_new(one, "key", text_json(step->key));
	}
	json_object_set_new(one, "from", text_json(step->from));
	for (size_t i = 0; i < step->count; i++)
		json_array_append_new(to, text_json(step->to[i]));
	json_object_set_new(one, "to", to);
	json_array_append_new(q->steps, one);
}

/* Starts a list of steps in `object`. */
static void listen(struct question *q, json_t *object)
{
	q->steps = json_array();
	json_object_set_new(object, "steps", q->steps);
}

static void put_error(json_t *object, const struct err *err)
{
	json_object_set_new(object, "error", text_json(slice_of(err->text)));
}

/* --- asking --- */

/* Would smtpd take mail for it? */
static bool put_acceptance(struct question *q, const struct route *route, json_t *object, struct err *err)
{
	struct route_refusal refusal;
	int exists = router_check_recipient(q->router, route, q->arena, &refusal, err);
	json_t *refused;

	if (exists < 0)
		return false;
	json_object_set_new(object, "exists", json_boolean(exists));
	if (exists)
		return true;
	refused = json_object();
	json_object_set_new(refused, "code", json_integer(refusal.code));
	json_object_set_new(refused, "status", text_json(refusal.dsn));
	json_object_set_new(refused, "text", text_json(refusal.text));
	json_object_set_new(object, "refused", refused);
	return true;
}

static bool put_route(struct question *q, struct slice address, bool check, json_t *object, struct err *err)
{
	struct route route;

	listen(q, object);
	if (!router_resolve(q->router, address, q->sender, q->arena, &route, err))
		return false;
	json_object_set_new(object, "address", text_json(route.address));
	json_object_set_new(object, "class", json_string(class_names[route.class_]));
	json_object_set_new(object, "transport", text_json(route.transport));
	json_object_set_new(object, "nexthop", text_json(route.nexthop));
	if (route.routed)
		json_object_set_new(object, "routed", json_true());
	return !check || put_acceptance(q, &route, object, err);
}

static bool put_deliveries(struct question *q, const struct rewrite_list *list, json_t *into, struct err *err)
{
	for (size_t i = 0; i < list->count; i++) {
		json_t *one = json_object();

		json_array_append_new(into, one);
		json_object_set_new(one, "recipient", text_json(list->address[i]));
		if (!put_route(q, list->address[i], false, one, err))
			return false;
	}
	return true;
}

static bool is_literal(struct slice address)
{
	ptrdiff_t at = slice_rfind(address, '@');

	return form_is_text(at < 0 ? address : slice_sub(address, 0, (size_t)at));
}

/* A copy's own address is rewritten, too. */
static bool expand_copies(const struct rewrite *rw, const struct rewrite_list *found, struct rewrite_list *all,
			  struct err *err)
{
	for (size_t i = 0; i < found->count; i++) {
		struct rewrite_input input = { REWRITE_ENVELOPE_RECIPIENT, found->address[i],
					       is_literal(found->address[i]) };
		struct slice to;

		if (!rewrite_address(rw, &input, &to, err) || !rewrite_aliases(rw, to, all, err))
			return false;
	}
	return true;
}

static bool put_all(struct question *q, struct slice given, json_t *object, struct err *err)
{
	struct rewrite rw = { .rewriter = q->rewriter, .arena = q->arena };
	struct rewrite_input input = { REWRITE_ENVELOPE_RECIPIENT, given, is_literal(given) };
	struct rewrite_list members = { 0 }, found = { 0 }, copies = { 0 };
	json_t *arrival = json_object(), *deliveries = json_array(), *copied = json_array();
	struct slice canonical;

	json_object_set_new(object, "arrival", arrival);
	if (!put_route(q, given, true, arrival, err))
		return false;
	listen(q, object);
	if (!rewrite_address(&rw, &input, &canonical, err) || !rewrite_aliases(&rw, canonical, &members, err) ||
	    !rewrite_recipient_bcc(&rw, canonical, &found, err) || !expand_copies(&rw, &found, &copies, err))
		return false;
	json_object_set_new(object, "deliveries", deliveries);
	json_object_set_new(object, "copies", copied);
	return put_deliveries(q, &members, deliveries, err) && put_deliveries(q, &copies, copied, err);
}

/* --- telling --- */

static void print_steps(const json_t *object, const char *indent)
{
	size_t index, i;
	json_t *step, *to;

	json_array_foreach(json_object_get(object, "steps"), index, step)
	{
		const char *table = json_string_value(json_object_get(step, "table"));

		printf("%s%s", indent, json_string_value(json_object_get(step, "what")));
		if (table)
			printf(" (%s: %s)", table, json_string_value(json_object_get(step, "key")));
		printf(": %s ->", json_string_value(json_object_get(step, "from")));
		json_array_foreach(json_object_get(step, "to"), i, to)
			printf("%s %s", i ? "," : "", json_string_value(to));
		putchar('\n');
	}
}

static void print_route(const json_t *one, const char *indent)
{
	const char *nexthop = json_string_value(json_object_get(one, "nexthop"));

	if (!nexthop)
		return;
	printf("%stransport %s, next hop %s (class: %s)\n", indent,
	       json_string_value(json_object_get(one, "transport")), nexthop[0] ? nexthop : "\"\"",
	       json_string_value(json_object_get(one, "class")));
}

static void print_deliveries(const json_t *list, const char *title)
{
	size_t index;
	json_t *one;

	json_array_foreach(list, index, one)
	{
		printf("  %s %s\n", title, json_string_value(json_object_get(one, "recipient")));
		print_steps(one, "    ");
		print_route(one, "    ");
	}
}

static void print_answer(const json_t *object)
{
	const json_t *arrival = json_object_get(object, "arrival"), *refused = json_object_get(arrival, "refused");
	const char *error = json_string_value(json_object_get(object, "error"));

	printf("%s\n", json_string_value(json_object_get(object, "given")));
	if (refused)
		printf("  refused on arrival: %d %s %s\n", (int)json_integer_value(json_object_get(refused, "code")),
		       json_string_value(json_object_get(refused, "status")),
		       json_string_value(json_object_get(refused, "text")));
	if (json_is_true(json_object_get(arrival, "routed")))
		puts("  refused on arrival from strangers: the local part says a way on");
	print_steps(object, "  ");
	print_deliveries(json_object_get(object, "deliveries"), "delivered to");
	print_deliveries(json_object_get(object, "copies"), "copied to");
	if (error)
		printf("  deferred: %s\n", error);
}

static bool answer(struct question *q, const char *text, bool json)
{
	json_t *object = json_object();
	struct slice given = slice_of(text), rest;
	struct err err = { 0 };
	bool ok;

	q->arena = arena_create(4096);
	/* As it is written in mail; what is not well formed is asked for as it stands. */
	if (!address_parse_path(given, false, true, q->arena, &given, &rest, &err) || rest.len > 0)
		given = slice_of(text);
	json_object_set_new(object, "given", text_json(slice_of(text)));
	ok = put_all(q, given, object, &err);
	if (!ok)
		put_error(object, &err);
	if (json) {
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_answer(object);
	}
	json_decref(object);
	arena_free(&q->arena);
	return ok;
}

static bool answer_lines(struct question *q, bool json)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	bool ok = true;

	while ((n = getline(&line, &room, stdin)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		ok = answer(q, line, json) && ok;
		fflush(stdout);
	}
	free(line);
	return ok;
}

static int complain(const char *text)
{
	fprintf(stderr, "postrider: fatal: %s\n", text);
	return 1;
}

static bool answer_all(struct question *q, bool json, int argc, char **argv)
{
	const struct trace trace = { on_step, q };
	bool ok = true;

	router_set_trace(q->router, &trace);
	router_set_trace(rewriter_router(q->rewriter), &trace);
	for (int i = 0; i < argc; i++)
		ok = (strcmp(argv[i], "-") == 0 ? answer_lines(q, json) : answer(q, argv[i], json)) && ok;
	return ok;
}

int route_command(const struct config *config, int argc, char **argv)
{
	struct question q = { 0 };
	struct err err = { 0 };
	bool json = false, ok = false;
	int at = 0;

	for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
		if (strcmp(argv[at], "--json") == 0) {
			json = true;
		} else if (strcmp(argv[at], "--sender") == 0 && at + 1 < argc) {
			q.sender = slice_of(argv[++at]);
		} else if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		} else {
			return complain("usage: postrider route [--json] [--sender address] [--] address ... | -");
		}
	}
	if (at == argc)
		return complain("usage: postrider route [--json] [--sender address] [--] address ... | -");
	q.router = router_create(config, &err);
	q.rewriter = q.router ? rewriter_create(config, &err) : NULL;
	if (q.rewriter)
		ok = answer_all(&q, json, argc - at, argv + at);
	else
		complain(err.text);
	rewriter_free(&q.rewriter);
	router_free(&q.router);
	return ok ? 0 : 1;
}
