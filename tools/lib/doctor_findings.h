/* SPDX-License-Identifier: ISC */
/* What postdoctor has found about a domain: a list of verdicts, shown as text, JSON or Markdown. */
#ifndef POSTRIDER_TOOLS_LIB_DOCTOR_FINDINGS_H
#define POSTRIDER_TOOLS_LIB_DOCTOR_FINDINGS_H

#include "tools/lib/doctor.h"

enum verdict { VERDICT_OK, VERDICT_WARNING, VERDICT_FAULT };

struct finding {
	struct finding *next;
	const char *check; /* "SPF" */
	enum verdict verdict;
	const char *found;
	const char *why;  /* receivers mind; "" when it is ok */
	const char *mend; /* the record or setting; "" when there is nothing to do */
};

struct findings {
	struct arena *arena;
	struct finding *first, **last;
};

void findings_start(struct findings *f, struct arena *arena);
/* Appends; later calls of findings_why and findings_mend are about it.  `found` is a format. */
void findings_add(struct findings *f, const char *check, enum verdict verdict, const char *found,
		  ...) __attribute__((format(printf, 4, 5)));
void findings_why(struct findings *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void findings_mend(struct findings *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Shows all as the options want it.  Returns 0, 1 (a warning) or 2 (a fault). */
int findings_show(const struct findings *f, const struct doctor_options *options);

#endif
