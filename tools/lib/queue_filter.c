/* SPDX-License-Identifier: ISC */
#include "tools/lib/queue_filter.h"

#include <regex.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/str.h"

#define DEPTH_MAX 100
#define NODES_MAX 1000

enum kind { KIND_OR, KIND_AND, KIND_NOT, KIND_TEST };
enum field { ID, QUEUE, FROM, TO, DOMAIN, REASON, CLIENT, LOGIN, SIZE, AGE, NEXT, ATTEMPTS, RECIPIENTS, FIELDS };
enum operator { EQUAL, UNEQUAL, MATCH, NO_MATCH, LESS, AT_MOST, MORE, AT_LEAST };
enum unit { UNIT_TEXT, UNIT_BYTES, UNIT_TIME, UNIT_COUNT };

static const struct {
	const char *name;
	enum unit unit;
} fields[FIELDS] = {
	[ID] = { "id", UNIT_TEXT }, [QUEUE] = { "queue", UNIT_TEXT }, [FROM] = { "from", UNIT_TEXT }, [TO] = { "to", UNIT_TEXT },
	[DOMAIN] = { "domain", UNIT_TEXT }, [REASON] = { "reason", UNIT_TEXT }, [CLIENT] = { "client", UNIT_TEXT },
	[LOGIN] = { "login", UNIT_TEXT }, [SIZE] = { "size", UNIT_BYTES }, [AGE] = { "age", UNIT_TIME }, [NEXT] = { "next", UNIT_TIME },
	[ATTEMPTS] = { "attempts", UNIT_COUNT }, [RECIPIENTS] = { "recipients", UNIT_COUNT },
};

static const struct {
	const char *text;
	enum operator op;
} operators[] = { /* the longer ones first */
	{ "!=", UNEQUAL }, { "!~", NO_MATCH }, { "<=", AT_MOST }, { ">=", AT_LEAST }, { "==", EQUAL }, { "=", EQUAL }, { "~", MATCH },
	{ "<", LESS }, { ">", MORE },
};

struct node {
	enum kind kind;
	struct node *a, *b;
	enum field field;
	enum operator op;
	char *text;
	double number;
	regex_t regex;
	bool has_regex;
};

struct queue_filter {
	struct node *root;
};

static void free_node(struct node *n)
{
	if (!n)
		return;
	free_node(n->a);
	free_node(n->b);
	if (n->has_regex)
		regfree(&n->regex);
	free(n->text);
	free(n);
}

void queue_filter_free(struct queue_filter **filter)
{
	if (!*filter)
		return;
	free_node((*filter)->root);
	free(*filter);
	*filter = NULL;
}

/* --- parsing --- */

struct parser {
	struct slice all, rest;
	unsigned depth;
	size_t nodes;
	struct err *err;
};

static struct node *parse_or(struct parser *p);

static struct node *fail(struct parser *p, const char *expected)
{
	err_set(p->err, ERR_SYNTAX, "column %zu: %s", p->all.len - p->rest.len + 1, expected);
	return NULL;
}

static void skip_blanks(struct parser *p)
{
	while (p->rest.len > 0 && strchr(" \t\r\n", p->rest.ptr[0]))
		p->rest = slice_sub(p->rest, 1, p->rest.len);
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool take_text(struct parser *p, const char *text)
{
	struct slice word = slice_of(text);

	skip_blanks(p);
	if (p->rest.len < word.len || !slice_eq_nocase(slice_sub(p->rest, 0, word.len), word) ||
	    (is_name(text[0]) && p->rest.len > word.len && is_name(p->rest.ptr[word.len])))
		return false;
	p->rest = slice_sub(p->rest, word.len, p->rest.len);
	return true;
}

static struct node *make(struct parser *p, enum kind kind, struct node *a, struct node *b)
{
	struct node *n;

	if (++p->nodes > NODES_MAX) {
		free_node(a);
		free_node(b);
		return fail(p, "the expression is too long");
	}
	n = mem_alloc(sizeof(*n));
	n->kind = kind;
	n->a = a;
	n->b = b;
	return n;
}

static bool take_field(struct parser *p, enum field *field)
{
	struct slice name;
	size_t len = 0;

	while (len < p->rest.len && is_name(p->rest.ptr[len]))
		len++;
	name = slice_sub(p->rest, 0, len);
	for (size_t i = 0; i < FIELDS; i++) {
		if (!slice_eq_nocase(name, slice_of(fields[i].name)))
			continue;
		*field = (enum field)i;
		p->rest = slice_sub(p->rest, len, p->rest.len);
		return true;
	}
	return false;
}

static bool take_operator(struct parser *p, enum operator *op)
{
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		*op = operators[i].op;
		if (take_text(p, operators[i].text))
			return true;
	}
	return false;
}

/* A word, or a text in quotes of either kind. */
static bool take_value(struct parser *p, struct slice *value)
{
	size_t len = 0;
	char quote;

	skip_blanks(p);
	if (p->rest.len == 0)
		return false;
	quote = p->rest.ptr[0];
	if (quote == '"' || quote == '\'') {
		p->rest = slice_sub(p->rest, 1, p->rest.len);
		while (len < p->rest.len && p->rest.ptr[len] != quote)
			len++;
		if (len == p->rest.len)
			return false;
		*value = slice_sub(p->rest, 0, len);
		p->rest = slice_sub(p->rest, len + 1, p->rest.len);
		return true;
	}
	while (len < p->rest.len && !strchr(" \t\r\n()", p->rest.ptr[len]))
		len++;
	*value = slice_sub(p->rest, 0, len);
	p->rest = slice_sub(p->rest, len, p->rest.len);
	return len > 0;
}

static double factor_of(char unit, enum unit kind)
{
	switch (unit) {
	case 'k': case 'K': return kind == UNIT_BYTES ? 1024 : 0;
	case 'M': return kind == UNIT_BYTES ? 1024.0 * 1024 : kind == UNIT_TIME ? 60 : 0;
	case 'G': return kind == UNIT_BYTES ? 1024.0 * 1024 * 1024 : 0;
	case 's': return kind == UNIT_TIME ? 1 : 0;
	case 'm': return kind == UNIT_TIME ? 60 : kind == UNIT_BYTES ? 1024.0 * 1024 : 0;
	case 'h': return kind == UNIT_TIME ? 3600 : 0;
	case 'd': return kind == UNIT_TIME ? 86400 : 0;
	case 'w': return kind == UNIT_TIME ? 7 * 86400.0 : 0;
	default: return 0;
	}
}

/* "2", "1.5", "2h", "10k": of age without a unit seconds, of size bytes. */
static bool parse_number(struct slice text, enum unit unit, double *number)
{
	char copy[32], *end;
	double factor = 1;

	if (text.len == 0 || text.len >= sizeof(copy) || text.ptr[0] < '0' || text.ptr[0] > '9')
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	if (copy[strspn(copy, "0123456789.")] && strspn(copy, "0123456789.") != text.len - 1)
		return false;
	*number = strtod(copy, &end);
	if (*end)
		factor = factor_of(*end, unit);
	*number *= factor;
	return factor > 0;
}

static struct node *finish_test(struct parser *p, struct node *n, struct slice value)
{
	bool is_text = fields[n->field].unit == UNIT_TEXT;
	char message[128];
	int code;

	n->text = mem_slicedup(value);
	if (is_text && n->op >= LESS)
		fail(p, "this field is a text: =, !=, ~ or !~ goes with it");
	else if (!is_text && (n->op == MATCH || n->op == NO_MATCH))
		fail(p, "this field is a number: =, !=, <, <=, > or >= goes with it");
	else if (!is_text && !parse_number(value, fields[n->field].unit, &n->number))
		fail(p, fields[n->field].unit == UNIT_TIME ? "expected a time like 90, 5m, 2h, 3d in front of here" :
			fields[n->field].unit == UNIT_BYTES ? "expected a size like 500, 10k, 2M in front of here" :
							      "expected a number in front of here");
	else if ((n->op == MATCH || n->op == NO_MATCH) &&
		 (code = regcomp(&n->regex, n->text, REG_EXTENDED | REG_ICASE | REG_NOSUB)) != 0) {
		(void)regerror(code, NULL, message, sizeof(message));
		fail(p, message);
	} else {
		n->has_regex = n->op == MATCH || n->op == NO_MATCH;
		return n;
	}
	free_node(n);
	return NULL;
}

static struct node *parse_test(struct parser *p)
{
	struct node *n;
	enum field field;
	enum operator op;
	struct slice value;

	skip_blanks(p);
	if (!take_field(p, &field))
		return fail(p, "expected a field: id, queue, from, to, domain, reason, client, login, size, age, next, attempts, recipients");
	if (!take_operator(p, &op))
		return fail(p, "expected one of = != ~ !~ < <= > >=");
	if (!take_value(p, &value))
		return fail(p, "expected a value");
	n = make(p, KIND_TEST, NULL, NULL);
	if (!n)
		return NULL;
	n->field = field;
	n->op = op;
	return finish_test(p, n, value);
}

static struct node *parse_factor(struct parser *p)
{
	struct node *inner;

	if (++p->depth > DEPTH_MAX)
		return fail(p, "nested too deep");
	if (take_text(p, "not") || take_text(p, "!")) {
		inner = parse_factor(p);
		inner = inner ? make(p, KIND_NOT, inner, NULL) : NULL;
	} else if (take_text(p, "(")) {
		inner = parse_or(p);
		if (inner && !take_text(p, ")")) {
			free_node(inner);
			inner = fail(p, "expected )");
		}
	} else {
		inner = parse_test(p);
	}
	p->depth--;
	return inner;
}

static struct node *parse_and(struct parser *p)
{
	struct node *left = parse_factor(p), *right;

	while (left && (take_text(p, "and") || take_text(p, "&&"))) {
		right = parse_factor(p);
		if (!right) {
			free_node(left);
			return NULL;
		}
		left = make(p, KIND_AND, left, right);
	}
	return left;
}

static struct node *parse_or(struct parser *p)
{
	struct node *left = parse_and(p), *right;

	while (left && (take_text(p, "or") || take_text(p, "||"))) {
		right = parse_and(p);
		if (!right) {
			free_node(left);
			return NULL;
		}
		left = make(p, KIND_OR, left, right);
	}
	return left;
}

struct queue_filter *queue_filter_parse(const char *text, struct err *err)
{
	struct parser p = { .all = slice_of(text), .rest = slice_of(text), .err = err };
	struct queue_filter *filter;
	struct node *root = parse_or(&p);

	if (!root)
		return NULL;
	skip_blanks(&p);
	if (p.rest.len > 0) {
		free_node(root);
		fail(&p, "expected and, or, or the end");
		return NULL;
	}
	filter = mem_alloc(sizeof(*filter));
	filter->root = root;
	return filter;
}

/* --- asking --- */

const char *queue_domain(const char *address)
{
	const char *at = strrchr(address, '@');

	return at ? at + 1 : "";
}

/* Of =, ~: does it hold?  != and !~ are their contrary. */
static bool text_is(const struct node *n, const char *value)
{
	if (n->has_regex)
		return regexec(&n->regex, value, 0, NULL, 0) == 0;
	return strcasecmp(value, n->text) == 0;
}

static bool compare(const struct node *n, double value)
{
	switch (n->op) {
	case EQUAL: return value >= n->number && value <= n->number;
	case UNEQUAL: return value < n->number || value > n->number;
	case LESS: return value < n->number;
	case AT_MOST: return value <= n->number;
	case MORE: return value > n->number;
	case AT_LEAST: return value >= n->number;
	case MATCH:
	case NO_MATCH: break;
	}
	return false;
}

static bool some_recipient_is(const struct node *n, const struct queue_entry *e)
{
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct queue_recipient *r = &e->recipients[i];

		if (text_is(n, n->field == TO ? r->address : n->field == REASON ? r->reason : queue_domain(r->address)))
			return true;
	}
	return false;
}

static double most_attempts(const struct queue_entry *e)
{
	double most = 0;

	for (size_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].attempts > most)
			most = e->recipients[i].attempts;
	return most;
}

static bool test(const struct node *n, const struct queue_entry *e, double now)
{
	bool contrary = n->op == UNEQUAL || n->op == NO_MATCH;

	switch (n->field) {
	case ID: return text_is(n, e->id) != contrary;
	case QUEUE: return text_is(n, e->queue) != contrary;
	case FROM: return text_is(n, e->from) != contrary;
	case CLIENT: return text_is(n, e->client) != contrary;
	case LOGIN: return text_is(n, e->login) != contrary;
	case TO:
	case DOMAIN:
	case REASON: return some_recipient_is(n, e) != contrary;
	case SIZE: return compare(n, e->size);
	case AGE: return compare(n, now - e->arrival);
	case NEXT: return compare(n, e->next > now ? e->next - now : 0);
	case ATTEMPTS: return compare(n, most_attempts(e));
	case RECIPIENTS: return compare(n, (double)e->recipient_count);
	case FIELDS: break;
	}
	return false;
}

static bool holds(const struct node *n, const struct queue_entry *e, double now)
{
	switch (n->kind) {
	case KIND_OR: return holds(n->a, e, now) || holds(n->b, e, now);
	case KIND_AND: return holds(n->a, e, now) && holds(n->b, e, now);
	case KIND_NOT: return !holds(n->a, e, now);
	case KIND_TEST: return test(n, e, now);
	}
	return false;
}

bool queue_filter_matches(const struct queue_filter *filter, const struct queue_entry *entry, double now)
{
	return holds(filter->root, entry, now);
}
