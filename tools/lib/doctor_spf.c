/* SPDX-License-Identifier: ISC */
/* postdoctor spf: the result, and how it came about. */
#include <sysexits.h>

#include "common/mail/address.h"
#include "tools/lib/doctor.h"

void doctor_print_text(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		putchar(c < ' ' || c == 127 ? '?' : c);
	}
}

json_t *doctor_json_text(struct slice text)
{
	struct str clean = {0};
	bool utf8 = address_valid_utf8(text);
	json_t *json;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		str_append_byte(&clean, c < ' ' || c == 127 || (c > 127 && !utf8) ? '?' : (char)c);
	}
	json = json_stringn(str_cstr(&clean), clean.len);
	str_free(&clean);
	return json;
}

void doctor_print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(json);
}

json_t *doctor_spf_json(const struct spf_answer *a)
{
	json_t *json = json_object(), *trace = json_array();

	json_object_set_new(json, "result", json_string(spf_result_text(a->result)));
	json_object_set_new(json, "domain", doctor_json_text(a->domain));
	json_object_set_new(json, "mechanism", doctor_json_text(a->mechanism));
	json_object_set_new(json, "explanation", doctor_json_text(a->explanation));
	json_object_set_new(json, "explanation_from",
			    json_string(a->own_explanation   ? "domain"
					: a->explanation.len ? "default"
							     : "none"));
	json_object_set_new(json, "reason", doctor_json_text(a->reason));
	json_object_set_new(json, "record", doctor_json_text(a->record));
	json_object_set_new(json, "lookups", json_integer(a->lookups));
	json_object_set_new(json, "void_lookups", json_integer(a->voids));
	for (const struct spf_step *step = a->steps; step; step = step->next) {
		json_t *one = json_object();

		json_object_set_new(one, "depth", json_integer(step->depth));
		json_object_set_new(one, "domain", doctor_json_text(step->domain));
		json_object_set_new(one, "term", doctor_json_text(step->term));
		json_object_set_new(one, "text", doctor_json_text(step->text));
		json_object_set_new(one, "lookups", json_integer(step->lookups));
		json_array_append_new(trace, one);
	}
	json_object_set_new(json, "trace", trace);
	return json;
}

void doctor_print_spf(const struct spf_answer *a)
{
	printf("SPF: %s (", spf_result_text(a->result));
	doctor_print_text(a->reason);
	puts(")");
	for (const struct spf_step *step = a->steps; step; step = step->next) {
		printf("  %*s", (int)step->depth * 2, "");
		if (step->term.len > 0) {
			printf("  ");
			doctor_print_text(step->term);
			printf("  ");
		} else {
			doctor_print_text(step->domain);
			printf(": ");
		}
		doctor_print_text(step->text);
		putchar('\n');
	}
	printf("  %u of %d lookups used, %u found nothing\n", a->lookups, SPF_LOOKUPS_MAX,
	       a->voids);
	if (a->explanation.len > 0) {
		printf("  explanation%s: ", a->own_explanation ? " of the domain" : "");
		doctor_print_text(a->explanation);
		putchar('\n');
	}
}

void doctor_spf(struct doctor *d)
{
	const struct doctor_options *o = d->options;
	struct spf_request request = {.address = slice_of(o->ip),
				      .helo = slice_of(o->helo),
				      .sender = slice_of(o->sender),
				      .dns = &d->dns.dns};
	struct spf_answer answer;

	if (d->config)
		request.receiver = slice_of(config_text(d->config, "myhostname"));
	spf_check(&request, d->arena, &answer);
	if (o->json)
		doctor_print_json(doctor_spf_json(&answer));
	else
		doctor_print_spf(&answer);
	d->status = answer.result == SPF_TEMPERROR                                ? EX_TEMPFAIL
		    : answer.result == SPF_FAIL || answer.result == SPF_PERMERROR ? 1
										  : 0;
}
