/* SPDX-License-Identifier: ISC */
/* A question to a directory: the search, its entries, and what they refer to. */
#include <stdlib.h>
#include <sys/time.h>

#include "tables/servers/ldap_table.h"

#define SEARCHES_MAX 100000   /* of one question */
#define DONE_BUCKETS 256

/* One that is to be made: the question's own, or what an entry refers to. */
struct search {
	struct search *next;
	const char *base, *filter;
	int scope;
	char **attributes;        /* of a URL: only these; NULL: all of the table */
	long depth;
};

/* A reference that was followed: groups may contain each other. */
struct followed {
	struct followed *next;
	const char *text;
};

struct asking {
	LDAP *ld;
	const struct server_table *table;
	const struct ldap_own *own;
	struct server_question *question;
	struct arena *arena;
	struct search *first, **last;
	struct followed *done[DONE_BUCKETS];
	size_t searches;
	double deadline;
	struct err *err;
};

/* --- quoting --- */

/* A backslash and two digits serve in both, for any byte. */
static void quote_bytes(struct slice text, const char *special, struct str *out)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c < 32 || c == 127 || strchr(special, c))
			str_printf(out, "\\%02x", c);
		else
			str_append_byte(out, (char)c);
	}
}

static bool quote_filter(void *context, struct slice text, struct str *out, struct err *err)
{
	quote_bytes(text, "*()\\", out);
	return true;
}

static bool quote_dn(void *context, struct slice text, struct str *out, struct err *err)
{
	quote_bytes(text, " ,+\"\\<>;=#", out);
	return true;
}

/* --- references --- */

/* True the first time. */
static bool is_new(struct asking *a, struct slice reference)
{
	struct followed **bucket = &a->done[slice_hash_nocase(reference) % DONE_BUCKETS], *f;

	for (f = *bucket; f; f = f->next)
		if (slice_eq_nocase(slice_of(f->text), reference))
			return false;
	f = arena_alloc(a->arena, sizeof(*f));
	*f = (struct followed){ *bucket, arena_cstr(a->arena, reference) };
	*bucket = f;
	return true;
}

static struct search *add_search(struct asking *a, const char *base, const char *filter, int scope, long depth)
{
	struct search *s = arena_alloc(a->arena, sizeof(*s));

	*s = (struct search){ NULL, base, filter, scope, NULL, depth };
	*a->last = s;
	a->last = &s->next;
	a->searches++;
	return s;
}

/*
 * Attributes of the URL that the table has too.  An option (";lang-en") that only one of the two
 * has is asked for.
 */
static char **common_attributes(struct asking *a, char *const *wanted)
{
	char **list = arena_alloc(a->arena, (LDAP_ATTRIBUTES_MAX + 1) * sizeof(char *));
	size_t n = 0;

	for (; *wanted; wanted++) {
		struct slice w = slice_of(*wanted), w_name = w;
		bool w_option = slice_find(w, ';') >= 0;

		w_name.len = w_option ? (size_t)slice_find(w, ';') : w.len;
		for (size_t i = 0; n < LDAP_ATTRIBUTES_MAX && i < a->own->attribute_count; i++) {
			struct slice t = slice_of(a->own->names[i]), t_name = t;
			bool t_option = slice_find(t, ';') >= 0;

			t_name.len = t_option ? (size_t)slice_find(t, ';') : t.len;
			if (slice_eq_nocase(w, t) || slice_eq_nocase(w, SLICE("*")))
				list[n++] = arena_cstr(a->arena, t);
			else if (w_option != t_option && slice_eq_nocase(w_name, t_name))
				list[n++] = arena_cstr(a->arena, w_option ? w : t);
		}
	}
	return n > 0 ? list : NULL;
}

static bool follow_url(struct asking *a, const char *url, long depth)
{
	LDAPURLDesc *d = NULL;

	if (ldap_url_parse(url, &d) != LDAP_URL_SUCCESS)
		return err_set(a->err, ERR_TEMPORARY, "malformed URL in the directory: %.80s", url);

	const char *base = arena_strdup(a->arena, d->lud_dn ? d->lud_dn : "");
	const char *filter = arena_strdup(a->arena, d->lud_filter ? d->lud_filter : "(objectclass=*)");
	bool selects = d->lud_attrs && d->lud_attrs[0];
	char **attributes = selects ? common_attributes(a, d->lud_attrs) : NULL;

	/* The server that the URL names is not asked: the table's servers are. */
	if (!selects || attributes)
		add_search(a, base, filter, d->lud_scope == LDAP_SCOPE_DEFAULT ? LDAP_SCOPE_BASE : d->lud_scope, depth)
			->attributes = attributes;
	ldap_free_urldesc(d);
	return true;
}

static bool follow(struct asking *a, struct slice reference, long depth)
{
	const char *text;

	if (reference.len == 0 || memchr(reference.ptr, '\0', reference.len) || !is_new(a, reference))
		return true;
	if (depth > a->own->recursion_limit)
		return err_set(a->err, ERR_TEMPORARY, "recursion_limit exceeded");
	if (a->searches >= SEARCHES_MAX)
		return err_set(a->err, ERR_TEMPORARY, "more than %d references", SEARCHES_MAX);
	text = arena_cstr(a->arena, reference);
	if (ldap_is_ldap_url(text))
		return follow_url(a, text, depth);
	add_search(a, text, "(objectclass=*)", LDAP_SCOPE_BASE, depth);
	return true;
}

/* --- entries --- */

/* What the table has the attribute for; an option of the entry's beyond the table's does not matter. */
static unsigned use_of(const struct ldap_own *own, const char *name)
{
	struct slice whole = slice_of(name), plain = whole;
	ptrdiff_t option = slice_find(whole, ';');
	unsigned use = 0;

	if (option >= 0)
		plain.len = (size_t)option;
	for (size_t i = 0; i < own->attribute_count; i++)
		if (slice_eq_nocase(slice_of(own->names[i]), whole) || slice_eq_nocase(slice_of(own->names[i]), plain))
			use |= own->attributes[i].use;
	return use;
}

/* The uses of all attributes of an entry that have values. */
static unsigned uses_of_entry(struct asking *a, LDAPMessage *entry)
{
	BerElement *ber = NULL;
	unsigned uses = 0;

	for (char *name = ldap_first_attribute(a->ld, entry, &ber); name; name = ldap_next_attribute(a->ld, entry, ber)) {
		uses |= use_of(a->own, name);
		ldap_memfree(name);
	}
	ber_free(ber, 0);
	return uses;
}

/* Terminal attributes exclude all others; where something is to follow, leaf attributes are excluded. */
static bool is_wanted(unsigned use, unsigned uses_of_entry)
{
	if (uses_of_entry & LDAP_TERMINAL)
		return use & LDAP_TERMINAL;
	if (uses_of_entry & LDAP_SPECIAL)
		return !(use & LDAP_LEAF);
	return use != 0;
}

static bool take_attribute(struct asking *a, LDAPMessage *entry, const char *name, unsigned use, long depth)
{
	struct berval **values = ldap_get_values_len(a->ld, entry, name);
	bool special = (use & LDAP_SPECIAL) && !(use & LDAP_TERMINAL), ok = true;

	for (size_t i = 0; ok && values && values[i]; i++) {
		struct slice value = slice_make(values[i]->bv_val, values[i]->bv_len);

		ok = special ? follow(a, value, depth + 1) : server_question_add(a->question, a->table, value, a->err);
	}
	ldap_value_free_len(values);
	return ok;
}

static bool take_entry(struct asking *a, LDAPMessage *entry, long depth)
{
	unsigned uses = uses_of_entry(a, entry);
	char *dn = ldap_get_dn(a->ld, entry);
	BerElement *ber = NULL;
	bool ok = true;

	if (dn && depth == 0)
		(void)is_new(a, slice_of(dn));
	ldap_memfree(dn);

	for (char *name = ldap_first_attribute(a->ld, entry, &ber); name; name = ldap_next_attribute(a->ld, entry, ber)) {
		unsigned use = use_of(a->own, name);

		if (ok && is_wanted(use, uses))
			ok = take_attribute(a, entry, name, use, depth);
		ldap_memfree(name);
	}
	ber_free(ber, 0);
	return ok;
}

/* --- searching --- */

static enum server_result failed(struct asking *a, int rc)
{
	ldap_say(a->err, "search", rc);
	switch (rc) {
	case LDAP_SIZELIMIT_EXCEEDED:
	case LDAP_FILTER_ERROR:
	case LDAP_INVALID_DN_SYNTAX:
		return SERVER_FAILED;
	case LDAP_SERVER_DOWN:
	case LDAP_TIMEOUT:
	case LDAP_BUSY:
	case LDAP_UNAVAILABLE:
	case LDAP_CONNECT_ERROR:
	case LDAP_DECODING_ERROR:
	case LDAP_ENCODING_ERROR:
	case LDAP_LOCAL_ERROR:
		return SERVER_LOST;
	default:
		return SERVER_REFUSED;
	}
}

static enum server_result run_search(struct asking *a, const struct search *s)
{
	struct timeval limit = ldap_timeval(server_time_left(a->deadline, (double)a->table->timeout));
	char **attributes = s->attributes ? s->attributes : (char **)(uintptr_t)a->own->names;
	LDAPMessage *answer = NULL;
	int id, rc, status = LDAP_OTHER;

	rc = ldap_search_ext(a->ld, s->base, s->scope, s->filter, attributes, 0, NULL, NULL, &limit,
			     (int)a->own->size_limit, &id);
	if (rc != LDAP_SUCCESS)
		return failed(a, rc);
	rc = ldap_result(a->ld, id, LDAP_MSG_ALL, &limit, &answer);
	if (rc <= 0) {
		ldap_msgfree(answer);
		return failed(a, rc == 0 ? LDAP_TIMEOUT : LDAP_SERVER_DOWN);
	}
	rc = ldap_parse_result(a->ld, answer, &status, NULL, NULL, NULL, NULL, 0);
	if (rc == LDAP_SUCCESS)
		rc = status;
	/* A base that the key decides, or a reference to what is gone: nothing is there. */
	if (rc == LDAP_NO_SUCH_OBJECT && (s->depth > 0 || a->own->base_varies))
		rc = LDAP_SUCCESS;
	enum server_result outcome = rc == LDAP_SUCCESS ? SERVER_DONE : failed(a, rc);

	for (LDAPMessage *e = ldap_first_entry(a->ld, answer); outcome == SERVER_DONE && e;
	     e = ldap_next_entry(a->ld, e))
		if (!take_entry(a, e, s->depth))
			outcome = SERVER_FAILED;
	ldap_msgfree(answer);
	return outcome;
}

static enum server_result run_searches(struct asking *a, const char *base, const char *filter)
{
	enum server_result outcome = SERVER_DONE;

	a->last = &a->first;
	add_search(a, base, filter, a->own->scope, 0);
	for (; outcome == SERVER_DONE && a->first; a->first = a->first->next) {
		if (a->searches > 1 && server_clock() >= a->deadline) {
			ldap_say(a->err, "search", LDAP_TIMEOUT);
			return SERVER_LOST;
		}
		outcome = run_search(a, a->first);
	}
	return outcome;
}

enum server_result ldap_table_ask(void *connection, const void *settings, void *question, double deadline,
				  struct err *err)
{
	const struct server_table *t = settings;
	struct asking a = { .ld = connection, .table = t, .own = t->own, .question = question, .deadline = deadline,
			    .err = err };
	struct str base = { 0 }, filter = { 0 };
	enum server_result outcome = SERVER_FAILED;

	a.arena = arena_create(0);
	server_question_restart(a.question);
	if (table_query_expand(t->query, LDAP_TEMPLATE_FILTER, a.question->key, quote_filter, NULL, &filter, err) &&
	    table_query_expand(t->query, LDAP_TEMPLATE_BASE, a.question->key, quote_dn, NULL, &base, err))
		outcome = run_searches(&a, str_cstr(&base), str_cstr(&filter));
	str_free(&base);
	str_free(&filter);
	arena_free(&a.arena);
	return outcome;
}
