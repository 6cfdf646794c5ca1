/* SPDX-License-Identifier: ISC */
/* postdoctor report: who has sent in a domain's name, and what of it was not aligned. */
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "tools/lib/dkim.h"
#include "tools/lib/dmarc_report.h"
#include "tools/lib/doctor.h"

static bool passes(struct slice result)
{
	return slice_eq_nocase(result, SLICE("pass"));
}

static int by_count(const void *a, const void *b)
{
	const struct report_row *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : slice_compare(x->source, y->source);
}

/* In words: why DMARC has failed for this source, or what it passed by. */
static const char *explain(const struct report_row *row, struct arena *arena)
{
	bool dkim = passes(row->dkim), spf = passes(row->spf);

	if (dkim || spf)
		return dkim && spf ? "aligned by SPF and DKIM" : dkim ? "aligned by DKIM" : "aligned by SPF";
	if (passes(row->spf_result) && passes(row->dkim_result))
		return arena_printf(arena, "SPF passed for %.*s and DKIM for %.*s, neither is the From domain",
				    SLICE_FMT(row->spf_domain), SLICE_FMT(row->dkim_domain));
	if (passes(row->spf_result))
		return arena_printf(arena, "SPF passed for %.*s, which is not the From domain; no good signature",
				    SLICE_FMT(row->spf_domain));
	if (passes(row->dkim_result))
		return arena_printf(arena, "signed by %.*s, which is not the From domain; SPF %.*s", SLICE_FMT(row->dkim_domain),
				    SLICE_FMT(row->spf_result.len ? row->spf_result : SLICE("none")));
	return arena_printf(arena, "SPF %.*s for %.*s, DKIM %.*s: somebody else, or a server that the SPF record lacks",
			    SLICE_FMT(row->spf_result.len ? row->spf_result : SLICE("none")),
			    SLICE_FMT(row->spf_domain.len ? row->spf_domain : row->header_from),
			    SLICE_FMT(row->dkim_result.len ? row->dkim_result : SLICE("none")));
}

static json_t *row_json(const struct report_row *row, struct arena *arena)
{
	json_t *j = json_object();

	json_object_set_new(j, "source", doctor_json_text(row->source));
	json_object_set_new(j, "count", json_integer((json_int_t)row->count));
	json_object_set_new(j, "disposition", doctor_json_text(row->disposition));
	json_object_set_new(j, "dkim_aligned", json_boolean(passes(row->dkim)));
	json_object_set_new(j, "spf_aligned", json_boolean(passes(row->spf)));
	json_object_set_new(j, "header_from", doctor_json_text(row->header_from));
	json_object_set_new(j, "envelope_from", doctor_json_text(row->envelope_from));
	json_object_set_new(j, "dkim_domain", doctor_json_text(row->dkim_domain));
	json_object_set_new(j, "spf_domain", doctor_json_text(row->spf_domain));
	json_object_set_new(j, "why", doctor_json_text(slice_of(explain(row, arena))));
	return j;
}

static void show_json(const struct dmarc_report *r, uint64_t total, uint64_t failed, struct arena *arena)
{
	json_t *all = json_object(), *rows = json_array();

	json_object_set_new(all, "organisation", doctor_json_text(r->organisation));
	json_object_set_new(all, "id", doctor_json_text(r->id));
	json_object_set_new(all, "domain", doctor_json_text(r->domain));
	json_object_set_new(all, "policy", doctor_json_text(r->policy));
	json_object_set_new(all, "begin", json_integer((json_int_t)r->begin));
	json_object_set_new(all, "end", json_integer((json_int_t)r->end));
	json_object_set_new(all, "messages", json_integer((json_int_t)total));
	json_object_set_new(all, "not_aligned", json_integer((json_int_t)failed));
	for (size_t i = 0; i < r->count; i++)
		json_array_append_new(rows, row_json(&r->row[i], arena));
	json_object_set_new(all, "sources", rows);
	doctor_print_json(all);
}

static void print_day(uint64_t when)
{
	time_t t = (time_t)when;
	char text[32];
	struct tm tm;

	if (when && when < UINT64_C(1) << 40 && gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm))
		fputs(text, stdout);
	else
		fputs("?", stdout);
}

static void show_text(const struct dmarc_report *r, uint64_t total, uint64_t failed, struct arena *arena)
{
	fputs("Report of ", stdout);
	doctor_print_text(r->organisation);
	fputs(" about ", stdout);
	doctor_print_text(r->domain);
	fputs(" (p=", stdout);
	doctor_print_text(r->policy);
	fputs("), ", stdout);
	print_day(r->begin);
	fputs(" to ", stdout);
	print_day(r->end);
	printf(" UTC: %llu messages, %llu not aligned\n\n", (unsigned long long)total, (unsigned long long)failed);
	printf("%-39s %8s %-11s %s\n", "source", "messages", "was", "why");
	for (size_t i = 0; i < r->count; i++) {
		const struct report_row *row = &r->row[i];
		int width = (int)(row->source.len < 39 ? 39 - row->source.len : 0);

		doctor_print_text(slice_sub(row->source, 0, 39));
		printf("%*s %8llu ", width, "", (unsigned long long)row->count);
		doctor_print_text(slice_sub(row->disposition.len ? row->disposition : SLICE("?"), 0, 11));
		printf("%*s ", (int)(row->disposition.len < 11 ? 11 - (row->disposition.len ? row->disposition.len : 1) : 0), "");
		doctor_print_text(slice_of(explain(row, arena)));
		putchar('\n');
	}
}

static void show(struct doctor *d, struct dmarc_report *r)
{
	uint64_t total = 0, failed = 0;

	if (r->count > 1)
		qsort(r->row, r->count, sizeof(*r->row), by_count);
	for (size_t i = 0; i < r->count; i++) {
		total += r->row[i].count;
		if (!passes(r->row[i].dkim) && !passes(r->row[i].spf))
			failed += r->row[i].count;
	}
	if (d->options->json)
		show_json(r, total, failed, d->arena);
	else
		show_text(r, total, failed, d->arena);
	d->status = failed > 0;
}

void doctor_report(struct doctor *d)
{
	struct str file = { 0 }, xml = { 0 };
	struct dmarc_report report;
	struct err err;

	if (read_whole(d->options->subject, REPORT_XML_MAX, &file, &err) && report_unpack(str_slice(&file), &xml, &err) &&
	    report_parse(str_slice(&xml), d->arena, &report, &err)) {
		show(d, &report);
	} else {
		fprintf(stderr, "postdoctor: %s\n", err.text);
		d->status = EX_DATAERR;
	}
	str_free(&file);
	str_free(&xml);
}
