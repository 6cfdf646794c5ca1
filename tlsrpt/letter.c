/* SPDX-License-Identifier: ISC */
#include "tlsrpt/letter.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/base/task.h"
#include "common/mail/address.h"
#include "common/mail/header.h"
#include "common/sasl/base64.h"

#define GZIP_WINDOW (15 + 16)
#define LINE        76

/* --- the record --- */

bool letter_is_record(struct slice txt)
{
	struct slice version;

	(void)slice_cut(&txt, ';', &version);
	return slice_eq(slice_trim(version), SLICE("v=TLSRPTv1"));
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "mailto:user%2Bx@example.com?…" to an address in `room`. */
static bool take_mailto(struct slice uri, char *room, struct slice *address)
{
	struct slice text, local, domain;
	size_t len = 0;

	uri = slice_trim(uri);
	if (!slice_starts_nocase(uri, SLICE("mailto:")))
		return false;
	uri = slice_sub(uri, 7, uri.len);
	(void)slice_cut(&uri, '?', &text);
	for (size_t i = 0; i < text.len; i++) {
		int c = text.ptr[i];

		if (c == '%') {
			if (i + 2 >= text.len || hex(text.ptr[i + 1]) < 0 || hex(text.ptr[i + 2]) < 0)
				return false;
			c = hex(text.ptr[i + 1]) * 16 + hex(text.ptr[i + 2]);
			i += 2;
		}
		if (c <= 32 || c > 126)
			return false;
		room[len++] = (char)c;
	}
	*address = slice_make(room, len);
	address_split(*address, &local, &domain);
	return local.len > 0 && local.len <= 64 && address_valid_hostname(domain);
}

size_t letter_addresses(struct slice txt, char *room, struct slice address[LETTER_ADDRESSES_MAX])
{
	struct slice field, name, uri;
	size_t count = 0;
	bool more = true;

	if (!letter_is_record(txt))
		return 0;
	while (more) {
		more = slice_cut(&txt, ';', &field);
		if (!slice_cut(&field, '=', &name) || !slice_eq(slice_trim(name), SLICE("rua")))
			continue;
		for (bool next = true; next && count < LETTER_ADDRESSES_MAX;) {
			next = slice_cut(&field, ',', &uri);
			if (take_mailto(uri, room, &address[count]))
				room += address[count++].len;
		}
	}
	return count;
}

/* --- the mail --- */

static bool compress_text(struct slice text, struct str *out, struct err *err)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)text.ptr, .avail_in = (unsigned)text.len };
	bool ok;

	if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return err_set(err, ERR_TEMPORARY, "zlib cannot be used");
	str_reserve(out, deflateBound(&z, text.len));
	z.next_out = (unsigned char *)out->data;
	z.avail_out = (unsigned)out->cap;
	ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
	out->len = z.total_out;
	(void)deflateEnd(&z);
	return ok || err_set(err, ERR_TEMPORARY, "report cannot be compressed");
}

static void put_base64(struct str *out, struct slice bytes)
{
	struct str text = { 0 };

	base64_encode(bytes, &text);
	for (size_t at = 0; at < text.len; at += LINE) {
		str_append(out, slice_sub(str_slice(&text), at, LINE));
		str_append(out, SLICE("\r\n"));
	}
	str_free(&text);
}

bool letter_compose(const struct letter *l, struct str *out, struct err *err)
{
	struct str packed = { 0 };
	char date[HEADER_DATE_SIZE];
	bool ok = compress_text(l->report, &packed, err);

	header_date(loop_now(), date);
	str_printf(out, "From: %s\r\nTo: %.*s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\n", l->from, SLICE_FMT(l->to), date, l->id,
		   l->hostname);
	str_printf(out, "Subject: Report Domain: %s Submitter: %s\r\n Report-ID: <%s@%s>\r\n", l->domain, l->hostname, l->id,
		   l->hostname);
	str_printf(out, "TLS-Report-Domain: %s\r\nTLS-Report-Submitter: %s\r\n", l->domain, l->hostname);
	/* It may tell that the way there is broken (RFC 8460, section 3). */
	str_append_text(out, "TLS-Required: No\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
	str_printf(out, "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"report-%s\"\r\n\r\n", l->id);
	str_printf(out, "--report-%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n", l->id);
	str_printf(out, "This is a report on TLS sessions of %s with servers of %s.\r\n\r\n", l->hostname, l->domain);
	str_printf(out, "--report-%s\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n", l->id);
	str_printf(out, "Content-Disposition: attachment;\r\n\tfilename=\"%s!%s!%.0f!%.0f!%s.json.gz\"\r\n\r\n", l->hostname, l->domain,
		   l->start, l->end, l->id);
	put_base64(out, str_slice(&packed));
	str_printf(out, "\r\n--report-%s--\r\n", l->id);
	str_free(&packed);
	return ok;
}
