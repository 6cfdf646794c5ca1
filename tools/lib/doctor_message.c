/* SPDX-License-Identifier: ISC */
/* postdoctor message: how a message came, and what SPF, DKIM, ARC and DMARC say of it. */
#include <arpa/inet.h>
#include <sysexits.h>
#include <time.h>

#include "authn/verify.h"
#include "tools/lib/dkim.h"
#include "tools/lib/doctor.h"

#define MESSAGE_MAX (256u << 20)
#define SIGNATURES  20
#define SLOW_HOP    300 /* seconds that a hop may take before it is pointed at */

struct body {
	struct slice rest;
};

static int read_body(void *context, struct slice *piece)
{
	struct body *body = context;

	*piece = body->rest;
	body->rest = SLICE_NONE;
	return piece->len > 0;
}

/* --- the way it came --- */

struct hop {
	struct slice from, by, with;
	char address[INET6_ADDRSTRLEN];
	time_t time; /* 0: not known */
};

static struct slice word_after(struct slice text, const char *keyword)
{
	struct slice word;
	bool wanted = false;
	int depth = 0;

	while (slice_word(&text, " \t\r\n", &word)) {
		if (wanted && depth == 0 && word.ptr[0] != '(') {
			while (word.len > 0 &&
			       (word.ptr[word.len - 1] == ';' || word.ptr[word.len - 1] == ','))
				word.len--;
			return word;
		}
		for (size_t i = 0; i < word.len; i++)
			depth += word.ptr[i] == '(' ? 1 : word.ptr[i] == ')' && depth > 0 ? -1 : 0;
		wanted = depth == 0 && slice_eq_nocase(word, slice_of(keyword));
	}
	return SLICE_NONE;
}

/* The address of the client, in brackets within "from name (name [address])". */
static void hop_address(struct slice text, char address[INET6_ADDRSTRLEN])
{
	struct slice head, inner;
	uint8_t bytes[16];

	address[0] = '\0';
	while (slice_cut(&text, '[', &head)) {
		char candidate[INET6_ADDRSTRLEN];

		if (!slice_cut(&text, ']', &inner))
			return;
		if (slice_starts_nocase(inner, SLICE("IPv6:")))
			inner = slice_sub(inner, 5, inner.len);
		if (inner.len >= sizeof(candidate) || memchr(inner.ptr, 0, inner.len))
			continue;
		memcpy(candidate, inner.ptr, inner.len);
		candidate[inner.len] = '\0';
		if (inet_pton(AF_INET, candidate, bytes) == 1 ||
		    inet_pton(AF_INET6, candidate, bytes) == 1) {
			memcpy(address, candidate, sizeof(candidate));
			return;
		}
	}
}

static time_t hop_time(struct slice value, struct arena *arena)
{
	ptrdiff_t at = slice_rfind(value, ';');
	struct str text = {0};
	struct tm tm = {0};
	const char *end;
	long zone = 0;
	time_t when;

	header_unfold(&text, slice_trim(slice_sub(value, (size_t)(at + 1), value.len)));
	const char *start = arena_cstr(arena, str_slice(&text));

	str_free(&text);
	end = strptime(start, "%a, %d %b %Y %H:%M:%S", &tm);
	if (!end)
		end = strptime(start, "%d %b %Y %H:%M:%S", &tm);
	if (at < 0 || !end)
		return 0;
	while (*end == ' ')
		end++;
	if ((*end == '+' || *end == '-') && strlen(end) >= 5) {
		uint64_t digits;

		if (slice_to_u64(slice_make(end + 1, 4), &digits))
			zone = (long)(digits / 100 * 3600 + digits % 100 * 60) *
			       (*end == '-' ? -1 : 1);
	}
	when = timegm(&tm);
	return when - zone;
}

static size_t read_hops(const struct canon_header *header, struct arena *arena, struct hop **hops)
{
	size_t count = 0;

	*hops = arena_alloc(arena, (header->count + 1) * sizeof(**hops));
	for (size_t i = 0; i < header->count; i++) {
		const struct header_field *f = &header->field[i];
		struct hop *hop = &(*hops)[count];

		if (!header_is(f, "Received"))
			continue;
		if (slice_starts_nocase(f->value, SLICE("from")))
			hop_address(f->value, hop->address);
		hop->from = word_after(f->value, "from");
		hop->by = word_after(f->value, "by");
		hop->with = word_after(f->value, "with");
		hop->time = hop_time(f->value, arena);
		count++;
	}
	return count;
}

/* --- JSON --- */

static json_t *hops_json(const struct hop *hops, size_t count)
{
	json_t *list = json_array();

	for (size_t i = count; i-- > 0;) {
		json_t *one = json_object();

		json_object_set_new(one, "from", doctor_json_text(hops[i].from));
		json_object_set_new(one, "address", json_string(hops[i].address));
		json_object_set_new(one, "by", doctor_json_text(hops[i].by));
		json_object_set_new(one, "with", doctor_json_text(hops[i].with));
		if (hops[i].time)
			json_object_set_new(one, "time", json_integer(hops[i].time));
		if (i + 1 < count && hops[i].time && hops[i + 1].time)
			json_object_set_new(one, "delay",
					    json_integer(hops[i].time - hops[i + 1].time));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *dkim_json(const struct dkim_message *m)
{
	static const char *const parts[] = {"", "body", "header"};
	json_t *list = json_array();

	for (size_t i = 0; i < m->count; i++) {
		const struct dkim_signature *d = &m->signature[i];
		json_t *one = json_object();

		json_object_set_new(one, "result", json_string(dkim_result_text(d->result)));
		json_object_set_new(one, "reason", json_string(d->reason ? d->reason : ""));
		json_object_set_new(one, "domain", doctor_json_text(d->s.domain));
		json_object_set_new(one, "selector", doctor_json_text(d->s.selector));
		json_object_set_new(one, "identity", doctor_json_text(d->s.identity));
		json_object_set_new(one, "algorithm",
				    json_string(dkim_algorithm_text(d->s.algorithm)));
		json_object_set_new(one, "bits", json_integer(d->bits));
		json_object_set_new(one, "differs", json_string(parts[d->failed]));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *arc_json(const struct arc_answer *a)
{
	json_t *one = json_object();

	json_object_set_new(one, "result", json_string(arc_result_text(a->result)));
	json_object_set_new(one, "reason", json_string(a->reason ? a->reason : ""));
	json_object_set_new(one, "sets", json_integer((json_int_t)a->count));
	return one;
}

static json_t *dmarc_json(const struct verify_answer *v)
{
	const struct dmarc_answer *a = &v->dmarc;
	json_t *one = json_object();

	json_object_set_new(one, "result", json_string(dmarc_result_text(a->result)));
	json_object_set_new(one, "reason", json_string(a->reason ? a->reason : ""));
	json_object_set_new(one, "domain", doctor_json_text(a->domain));
	json_object_set_new(one, "record", doctor_json_text(a->record.text));
	json_object_set_new(one, "record_domain", doctor_json_text(a->record_domain));
	json_object_set_new(one, "policy", json_string(dmarc_policy_text(a->policy)));
	json_object_set_new(one, "disposition", json_string(dmarc_policy_text(a->disposition)));
	json_object_set_new(one, "spf_aligned", json_boolean(a->spf_aligned));
	json_object_set_new(one, "dkim_aligned", json_boolean(a->dkim_aligned));
	return one;
}

/* --- for people --- */

static void print_hops(const struct hop *hops, size_t count)
{
	puts("The way it came:");
	for (size_t i = count; i-- > 0;) {
		long delay = i + 1 < count && hops[i].time && hops[i + 1].time
				 ? (long)(hops[i].time - hops[i + 1].time)
				 : 0;

		fputs("  ", stdout);
		doctor_print_text(hops[i].from.len ? hops[i].from : SLICE("(local)"));
		if (hops[i].address[0])
			printf(" [%s]", hops[i].address);
		fputs(" -> ", stdout);
		doctor_print_text(hops[i].by);
		if (hops[i].with.len) {
			fputs(" by ", stdout);
			doctor_print_text(hops[i].with);
		}
		if (delay)
			printf(", after %ld s%s", delay,
			       delay > SLOW_HOP ? " (slow)"
			       : delay < 0      ? " (clocks differ)"
						: "");
		putchar('\n');
	}
}

/*
 * Why a signature fails: z= has the fields as they were, and the first that is another now is
 * named; else the usual suspects are.
 */
static void explain_signature(const struct dkim_signature *d)
{
	if (d->failed == DKIM_PART_BODY) {
		puts("    The text was changed after signing: by a mailing list's footer, a "
		     "filter, or a gateway that re-encodes.");
	} else if (d->failed == DKIM_PART_HEADER) {
		fputs("    The text is as it was; one of these fields is not, or the key was "
		      "replaced:\n    ",
		      stdout);
		doctor_print_text(d->s.headers);
		putchar('\n');
	}
}

static void print_dkim(const struct dkim_message *m)
{
	if (m->count == 0)
		puts("DKIM: none (the message has no signature)");
	for (size_t i = 0; i < m->count; i++) {
		const struct dkim_signature *d = &m->signature[i];

		printf("DKIM: %s, ", dkim_result_text(d->result));
		doctor_print_text(d->s.domain);
		printf(" selector ");
		doctor_print_text(d->s.selector);
		printf(" (%s%s%s)\n", dkim_algorithm_text(d->s.algorithm), d->reason ? ": " : "",
		       d->reason ? d->reason : "");
		explain_signature(d);
	}
	if (m->left_out)
		printf("  %zu more signatures were not looked at\n", m->left_out);
}

static void print_dmarc(const struct verify_answer *v)
{
	const struct dmarc_answer *a = &v->dmarc;

	printf("DMARC: %s", dmarc_result_text(a->result));
	if (a->domain.len) {
		fputs(" for ", stdout);
		doctor_print_text(a->domain);
	}
	printf(" (%s)\n", a->reason ? a->reason : "");
	if (a->record_domain.len) {
		fputs("  record of ", stdout);
		doctor_print_text(a->record_domain);
		fputs(": ", stdout);
		doctor_print_text(a->record.text);
		printf(
		    "\n  SPF is %saligned, DKIM is %saligned; the policy for such mail is %s%s\n",
		    a->spf_aligned ? "" : "not ", a->dkim_aligned ? "" : "not ",
		    dmarc_policy_text(a->policy),
		    a->sampled_out ? ", made milder by pct= or t=" : "");
	}
	if (a->result == DMARC_FAIL && v->spf.result == SPF_PASS && !a->spf_aligned) {
		fputs("  The envelope's sender is of ", stdout);
		doctor_print_text(v->spf.domain);
		fputs(", From of ", stdout);
		doctor_print_text(a->domain);
		puts(": use an envelope sender in the From domain, or sign by DKIM with d= of that "
		     "domain.");
	}
}

static void print_all(const struct verify_answer *v, const struct hop *hops, size_t count,
		      bool has_client)
{
	print_hops(hops, count);
	if (has_client)
		doctor_print_spf(&v->spf);
	else
		puts("SPF: not checked (no Received field names a client; give --ip, --helo and "
		     "--sender)");
	print_dkim(&v->dkim);
	printf("ARC: %s%s%s%s", arc_result_text(v->arc.answer.result),
	       v->arc.answer.reason ? " (" : "", v->arc.answer.reason ? v->arc.answer.reason : "",
	       v->arc.answer.reason ? ")\n" : "\n");
	print_dmarc(v);
	if (v->results.dmarc_override)
		printf("  overridden by a %s\n", v->results.dmarc_override);
}

/* --- the message --- */

static struct slice return_path(const struct canon_header *header)
{
	for (size_t i = 0; i < header->count; i++)
		if (header_is(&header->field[i], "Return-Path")) {
			struct slice value = header->field[i].value;

			if (value.len > 1 && value.ptr[0] == '<' && value.ptr[value.len - 1] == '>')
				value = slice_sub(value, 1, value.len - 2);
			return value;
		}
	return SLICE_NONE;
}

/* The newest hop that names a client: who handed it to us. */
static const struct hop *entry_hop(const struct hop *hops, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (hops[i].address[0] && strcmp(hops[i].address, "127.0.0.1") != 0 &&
		    strcmp(hops[i].address, "::1") != 0)
			return &hops[i];
	return NULL;
}

static void explain(struct doctor *d, struct slice message)
{
	const struct doctor_options *o = d->options;
	struct verify_settings settings = {
	    .authserv_id = d->config ? config_text(d->config, "myhostname") : "localhost",
	    .signature_limit = SIGNATURES,
	    .dkim = true,
	    .dmarc = true};
	size_t at = body_start(message), hop_count;
	struct body body = {slice_sub(message, at, message.len)};
	struct verify_request r = {.settings = &settings,
				   .dns = &d->dns.dns,
				   .header = slice_sub(message, 0, at),
				   .read_body = read_body,
				   .context = &body,
				   .now = (uint64_t)time(NULL)};
	struct dmarc_suffixes *suffixes = dmarc_suffixes_open();
	struct verify_answer v;
	struct canon_header header;
	const struct hop *entry;
	struct hop *hops;

	settings.suffixes = suffixes;
	canon_header_read(r.header, d->arena, &header);
	hop_count = read_hops(&header, d->arena, &hops);
	entry = entry_hop(hops, hop_count);
	r.address = o->ip ? slice_of(o->ip) : entry ? slice_of(entry->address) : SLICE_NONE;
	r.helo = o->helo ? slice_of(o->helo) : entry ? entry->from : SLICE_NONE;
	r.sender = o->sender ? slice_of(o->sender) : return_path(&header);
	if (!verify_message(&r, d->arena, &v)) {
		d->status = EX_IOERR;
	} else if (o->json) {
		json_t *json = json_object();

		json_object_set_new(json, "spf", doctor_spf_json(&v.spf));
		json_object_set_new(json, "dkim", dkim_json(&v.dkim));
		json_object_set_new(json, "arc", arc_json(&v.arc.answer));
		json_object_set_new(json, "dmarc", dmarc_json(&v));
		json_object_set_new(json, "hops", hops_json(hops, hop_count));
		doctor_print_json(json);
	} else {
		print_all(&v, hops, hop_count, r.address.len > 0);
	}
	if (v.dmarc.result == DMARC_TEMPERROR)
		d->status = EX_TEMPFAIL;
	else if (v.dmarc.result == DMARC_FAIL || v.dmarc.result == DMARC_PERMERROR)
		d->status = 1;
	verify_free(&v);
	dmarc_suffixes_close(&suffixes);
}

void doctor_message(struct doctor *d)
{
	struct str text = {0}, message = {0};
	struct err err;

	if (read_whole(d->options->subject, MESSAGE_MAX, &text, &err)) {
		make_crlf(str_slice(&text), &message);
		explain(d, str_slice(&message));
	} else {
		fprintf(stderr, "postdoctor: %s\n", err.text);
		d->status = EX_NOINPUT;
	}
	str_free(&text);
	str_free(&message);
}
