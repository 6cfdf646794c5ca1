/* SPDX-License-Identifier: ISC */
/*
 * Message content on its way in: line endings made CRLF, dots undone, the end
 * found.  A pure state machine over pieces of any size.
 *
 * The end of DATA is CRLF.CRLF and nothing else (RFC 5321 §4.1.1.4): a line that ends in a
 * bare LF is a line, but it never ends the message, neither before nor behind
 * the dot.  A CR that no LF follows becomes a space.
 */
#ifndef POSTRIDER_SMTPD_DATA_SCAN_H
#define POSTRIDER_SMTPD_DATA_SCAN_H

#include "common/base/str.h"
#include "common/mail/message_file.h"

struct data_scan {
	bool dots;            /* DATA: undo dots and find the end; false for BDAT */
	uint8_t state;
	bool after_crlf;      /* the line before ended in CRLF (or there was none) */
	bool header_done;
	bool bare_lf;         /* a bare LF was seen */
	uint32_t line;        /* bytes of the present line so far, in the output */
	struct message_content content;
};

void data_scan_start(struct data_scan *scan, bool dots);
/*
 * Takes input, appends what is to be stored to *out (at most twice as much).
 * Returns the bytes taken: all of it, unless the end was found (*end).
 */
size_t data_scan_feed(struct data_scan *scan, struct slice in, struct str *out, bool *end);
/* End of a BDAT message: completes the last line. */
void data_scan_finish(struct data_scan *scan, struct str *out);

#endif
