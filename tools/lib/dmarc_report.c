/* SPDX-License-Identifier: ISC */
#include "tools/lib/dmarc_report.h"

#include <expat.h>
#include <stdlib.h>
#include <zlib.h>

#include "common/base/cursor.h"

#define DEPTH_MAX   16
#define TEXT_MAX    1024
#define PIECE       65536
#define ZIP_HEADER  0x04034b50u
#define ZIP_STORED  0
#define ZIP_DEFLATE 8

/* --- unpacking --- */

static bool inflate_into(struct slice data, int window, struct str *xml, struct err *err)
{
	z_stream z = { .next_in = (Bytef *)data.ptr, .avail_in = (uInt)data.len };
	char *piece = malloc(PIECE);
	int status = piece && inflateInit2(&z, window) == Z_OK ? Z_OK : Z_MEM_ERROR;

	while (status == Z_OK && xml->len <= REPORT_XML_MAX) {
		z.next_out = (Bytef *)piece;
		z.avail_out = PIECE;
		status = inflate(&z, Z_NO_FLUSH);
		if (status == Z_OK || status == Z_STREAM_END)
			str_append(xml, slice_make(piece, PIECE - z.avail_out));
		if (status == Z_OK && z.avail_in == 0 && z.avail_out == PIECE)
			status = Z_BUF_ERROR;
	}
	inflateEnd(&z);
	free(piece);
	if (xml->len > REPORT_XML_MAX)
		return err_set(err, ERR_LIMIT, "the report is too large when unpacked");
	return status == Z_STREAM_END || err_set(err, ERR_SYNTAX, "the report is packed, and damaged");
}

/* The first file in it; its length may stand behind it, so deflate's own end is what counts. */
static bool unzip(struct slice file, struct str *xml, struct err *err)
{
	struct cursor c = cursor_make(file.ptr, file.len);
	uint16_t method, name, extra;
	uint32_t packed;
	struct slice rest;

	cursor_skip(&c, 8);
	method = cursor_u16(&c);
	cursor_skip(&c, 8);
	packed = cursor_u32(&c);
	cursor_skip(&c, 4);
	name = cursor_u16(&c);
	extra = cursor_u16(&c);
	cursor_skip(&c, (size_t)name + extra);
	if (c.failed)
		return err_set(err, ERR_SYNTAX, "the zip file is damaged");
	rest = slice_sub(file, c.pos, file.len);
	if (method == ZIP_DEFLATE)
		return inflate_into(rest, -MAX_WBITS, xml, err);
	if (method != ZIP_STORED || packed > rest.len)
		return err_set(err, ERR_SYNTAX, "the zip file is packed in an unknown way, or damaged");
	str_append(xml, slice_sub(rest, 0, packed));
	return true;
}

bool report_unpack(struct slice file, struct str *xml, struct err *err)
{
	struct cursor c = cursor_make(file.ptr, file.len);

	if (file.len > REPORT_XML_MAX)
		return err_set(err, ERR_LIMIT, "the report is too large");
	if (file.len > 4 && cursor_u32(&c) == ZIP_HEADER)
		return unzip(file, xml, err);
	if (slice_starts(file, SLICE("\x1f\x8b")))
		return inflate_into(file, MAX_WBITS + 16, xml, err);
	str_append(xml, file);
	return true;
}

/* --- XML --- */

struct parsing {
	XML_Parser parser;
	struct arena *arena;
	struct dmarc_report *report;
	struct err *err;
	size_t room;
	bool failed;
	int depth;
	char path[512];                /* "/feedback/record/row/source_ip" */
	size_t ends[DEPTH_MAX];
	struct str text;
};

static void stop(struct parsing *p, const char *why)
{
	if (!p->failed)
		err_set(p->err, ERR_SYNTAX, "line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(p->parser), why);
	p->failed = true;
	XML_StopParser(p->parser, XML_FALSE);
}

static struct report_row *add_row(struct parsing *p)
{
	struct dmarc_report *r = p->report;

	if (r->count == REPORT_ROWS_MAX) {
		stop(p, "too many records");
		return NULL;
	}
	if (r->count == p->room) {
		size_t room = p->room ? p->room * 2 : 16;
		struct report_row *rows = arena_alloc(p->arena, room * sizeof(*rows));

		if (r->count)
			memcpy(rows, r->row, r->count * sizeof(*rows));
		r->row = rows;
		p->room = room;
	}
	return &r->row[r->count++];
}

static void XMLCALL on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
	struct parsing *p = context;
	const char *local = strrchr(name, ':') ? strrchr(name, ':') + 1 : name;
	size_t at = p->depth ? p->ends[p->depth - 1] : 0, len = strlen(local);

	if (p->depth == DEPTH_MAX || at + len + 2 > sizeof(p->path)) {
		stop(p, "elements are nested too deep");
		return;
	}
	p->path[at] = '/';
	memcpy(p->path + at + 1, local, len + 1);
	p->ends[p->depth++] = at + 1 + len;
	str_clear(&p->text);
	if (strcmp(p->path, "/feedback/record") == 0)
		(void)add_row(p);
}

static void XMLCALL on_text(void *context, const XML_Char *text, int len)
{
	struct parsing *p = context;

	if (p->text.len < TEXT_MAX)
		str_append(&p->text, slice_sub(slice_make(text, (size_t)len), 0, TEXT_MAX - p->text.len));
}

/* Where the text of an element goes. */
static struct slice *text_place(struct parsing *p, const char *path)
{
	struct dmarc_report *r = p->report;
	struct report_row *row = r->count ? &r->row[r->count - 1] : NULL;
	const struct {
		const char *path;
		struct slice *place;
	} places[] = {
		{ "/feedback/report_metadata/org_name", &r->organisation },
		{ "/feedback/report_metadata/report_id", &r->id },
		{ "/feedback/policy_published/domain", &r->domain },
		{ "/feedback/policy_published/p", &r->policy },
		{ "/feedback/record/row/source_ip", row ? &row->source : NULL },
		{ "/feedback/record/row/policy_evaluated/disposition", row ? &row->disposition : NULL },
		{ "/feedback/record/row/policy_evaluated/dkim", row ? &row->dkim : NULL },
		{ "/feedback/record/row/policy_evaluated/spf", row ? &row->spf : NULL },
		{ "/feedback/record/identifiers/header_from", row ? &row->header_from : NULL },
		{ "/feedback/record/identifiers/envelope_from", row ? &row->envelope_from : NULL },
		{ "/feedback/record/auth_results/dkim/domain", row ? &row->dkim_domain : NULL },
		{ "/feedback/record/auth_results/dkim/result", row ? &row->dkim_result : NULL },
		{ "/feedback/record/auth_results/spf/domain", row ? &row->spf_domain : NULL },
		{ "/feedback/record/auth_results/spf/result", row ? &row->spf_result : NULL },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (strcmp(path, places[i].path) == 0)
			return places[i].place;
	return NULL;
}

static void take_number(struct parsing *p, const char *path, struct slice text)
{
	struct dmarc_report *r = p->report;
	uint64_t value;

	if (!slice_to_u64(text, &value))
		return;
	if (strcmp(path, "/feedback/report_metadata/date_range/begin") == 0)
		r->begin = value;
	else if (strcmp(path, "/feedback/report_metadata/date_range/end") == 0)
		r->end = value;
	else if (strcmp(path, "/feedback/record/row/count") == 0 && r->count)
		r->row[r->count - 1].count = value < (uint64_t)1 << 40 ? value : 0;
}

static void XMLCALL on_end(void *context, const XML_Char *name)
{
	struct parsing *p = context;
	struct slice text = slice_trim(str_slice(&p->text));
	struct slice *place = text_place(p, p->path);

	if (place && text.len > 0)
		*place = arena_slice(p->arena, text);
	take_number(p, p->path, text);
	str_clear(&p->text);
	p->depth--;
	p->path[p->depth ? p->ends[p->depth - 1] : 0] = '\0';
}

/* Entities are what makes a small file a large one; no report needs them. */
static void XMLCALL on_doctype(void *context, const XML_Char *name, const XML_Char *system, const XML_Char *public, int subset)
{
	stop(context, "a report has no document type declaration");
}

bool report_parse(struct slice xml, struct arena *arena, struct dmarc_report *report, struct err *err)
{
	struct parsing p = { .parser = XML_ParserCreate(NULL), .arena = arena, .report = report, .err = err };
	bool ok;

	*report = (struct dmarc_report){ 0 };
	if (!p.parser)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	XML_SetUserData(p.parser, &p);
	XML_SetElementHandler(p.parser, on_start, on_end);
	XML_SetCharacterDataHandler(p.parser, on_text);
	XML_SetStartDoctypeDeclHandler(p.parser, on_doctype);
	ok = xml.len <= REPORT_XML_MAX && XML_Parse(p.parser, xml.ptr, (int)xml.len, XML_TRUE) == XML_STATUS_OK;
	if (!ok && !p.failed)
		err_set(err, ERR_SYNTAX, "line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(p.parser),
			XML_ErrorString(XML_GetErrorCode(p.parser)));
	XML_ParserFree(p.parser);
	str_free(&p.text);
	if (ok && report->domain.len == 0)
		return err_set(err, ERR_SYNTAX, "this is no DMARC aggregate report");
	return ok;
}
