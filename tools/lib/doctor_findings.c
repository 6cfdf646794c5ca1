/* SPDX-License-Identifier: ISC */
#include "tools/lib/doctor_findings.h"

static const char *const verdict_texts[] = {"ok", "warning", "fault"};

void findings_start(struct findings *f, struct arena *arena)
{
	*f = (struct findings){.arena = arena};
	f->last = &f->first;
}

static const char *format_text(struct arena *arena, const char *format, va_list ap)
{
	struct str text = {0};
	const char *copy;

	str_vprintf(&text, format, ap);
	copy = arena_cstr(arena, str_slice(&text));
	str_free(&text);
	return copy;
}

static struct finding *newest(const struct findings *f)
{
	struct finding *one = f->first;

	while (one && one->next)
		one = one->next;
	return one;
}

void findings_add(struct findings *f, const char *check, enum verdict verdict, const char *found,
		  ...)
{
	struct finding *one = arena_alloc(f->arena, sizeof(*one));
	va_list ap;

	va_start(ap, found);
	*one = (struct finding){.check = check,
				.verdict = verdict,
				.found = format_text(f->arena, found, ap),
				.why = "",
				.mend = ""};
	va_end(ap);
	*f->last = one;
	f->last = &one->next;
}

void findings_why(struct findings *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	newest(f)->why = format_text(f->arena, format, ap);
	va_end(ap);
}

void findings_mend(struct findings *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	newest(f)->mend = format_text(f->arena, format, ap);
	va_end(ap);
}

static void show_json(const struct findings *f)
{
	json_t *list = json_array(), *all = json_object();
	enum verdict worst = VERDICT_OK;

	for (const struct finding *one = f->first; one; one = one->next) {
		json_t *j = json_object();

		json_object_set_new(j, "check", json_string(one->check));
		json_object_set_new(j, "verdict", json_string(verdict_texts[one->verdict]));
		json_object_set_new(j, "found", doctor_json_text(slice_of(one->found)));
		json_object_set_new(j, "why", doctor_json_text(slice_of(one->why)));
		json_object_set_new(j, "mend", doctor_json_text(slice_of(one->mend)));
		json_array_append_new(list, j);
		worst = one->verdict > worst ? one->verdict : worst;
	}
	json_object_set_new(all, "verdict", json_string(verdict_texts[worst]));
	json_object_set_new(all, "checks", list);
	doctor_print_json(all);
}

static void show_text(const struct findings *f, bool color)
{
	static const char *const colors[] = {"\033[32m", "\033[33m", "\033[31m"};

	for (const struct finding *one = f->first; one; one = one->next) {
		printf("%s%-7s%s %s: ", color ? colors[one->verdict] : "",
		       verdict_texts[one->verdict], color ? "\033[0m" : "", one->check);
		doctor_print_text(slice_of(one->found));
		putchar('\n');
		if (*one->why) {
			fputs("        why:  ", stdout);
			doctor_print_text(slice_of(one->why));
			putchar('\n');
		}
		if (*one->mend) {
			fputs("        mend: ", stdout);
			doctor_print_text(slice_of(one->mend));
			putchar('\n');
		}
	}
}

/* In a cell of a table. */
static void print_cell(const char *text)
{
	for (const char *c = text; *c; c++) {
		if (*c == '|' || *c == '\\')
			putchar('\\');
		putchar((unsigned char)*c < ' ' || *c == 127 ? ' ' : *c);
	}
}

static void show_markdown(const struct findings *f)
{
	puts("| verdict | check | found | why it matters | what mends it |\n|---|---|---|---|---|");
	for (const struct finding *one = f->first; one; one = one->next) {
		const char *cells[] = {verdict_texts[one->verdict], one->check, one->found,
				       one->why, one->mend};

		for (size_t i = 0; i < 5; i++) {
			fputs("| ", stdout);
			print_cell(cells[i]);
			putchar(' ');
		}
		puts("|");
	}
}

int findings_show(const struct findings *f, const struct doctor_options *o)
{
	enum verdict worst = VERDICT_OK;

	for (const struct finding *one = f->first; one; one = one->next)
		worst = one->verdict > worst ? one->verdict : worst;
	if (o->json)
		show_json(f);
	else if (o->markdown)
		show_markdown(f);
	else
		show_text(f, o->color);
	return (int)worst;
}
