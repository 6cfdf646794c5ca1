/* SPDX-License-Identifier: ISC */
/* DMARC aggregate reports (RFC 7489 appendix C) that others send: XML, plain, by gzip, or in a zip file. */
#ifndef POSTRIDER_TOOLS_LIB_DMARC_REPORT_H
#define POSTRIDER_TOOLS_LIB_DMARC_REPORT_H

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/str.h"

#define REPORT_XML_MAX  (64u << 20) /* bytes when unpacked */
#define REPORT_ROWS_MAX 100000

struct report_row {
	struct slice source;           /* address */
	uint64_t count;
	struct slice disposition;      /* none, quarantine, reject */
	struct slice dkim, spf;        /* aligned or not: pass, fail */
	struct slice header_from, envelope_from;
	struct slice dkim_domain, dkim_result, spf_domain, spf_result; /* of the last of each kind */
};

struct dmarc_report {
	struct slice organisation, id, domain, policy;
	uint64_t begin, end;           /* seconds since the epoch */
	struct report_row *row;
	size_t count;
};

/* Appends the XML.  False: damaged, or larger than REPORT_XML_MAX. */
bool report_unpack(struct slice file, struct str *xml, struct err *err) MUST_USE;
/* Memory is the arena's.  False with ERR_SYNTAX that names the line. */
bool report_parse(struct slice xml, struct arena *arena, struct dmarc_report *report, struct err *err) MUST_USE;

#endif
