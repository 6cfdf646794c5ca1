/* SPDX-License-Identifier: ISC */
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/delivery_log.h"

void delivery_log_seconds(double seconds, char *out, size_t size)
{
	if (seconds < 0.005)
		snprintf(out, size, "0");
	else if (seconds < 0.095)
		snprintf(out, size, "%.2f", seconds);
	else if (seconds < 9.95)
		snprintf(out, size, "%.2g", seconds);
	else
		snprintf(out, size, "%.0f", seconds);
}

void delivery_log(const struct delivery_log *e)
{
	double setup = e->setup ? e->setup : e->end;
	double transmission = e->transmission ? e->transmission : e->end;
	double parts[] = { e->end - e->arrival, e->queued - e->arrival, setup - e->queued,
			   transmission - setup, e->end - transmission };
	char text[5][24];
	struct str line = { 0 };

	for (int i = 0; i < 5; i++)
		delivery_log_seconds(parts[i], text[i], sizeof(text[i]));
	str_printf(&line, "%.*s: to=<%.*s>, ", SLICE_FMT(e->queue_id), SLICE_FMT(e->recipient));
	if (e->original.len && !slice_eq(e->original, e->recipient))
		str_printf(&line, "orig_to=<%.*s>, ", SLICE_FMT(e->original));
	str_printf(&line, "relay=%.*s, delay=%s, delays=%s/%s/%s/%s, dsn=%.*s, status=%s (%.*s)",
		   SLICE_FMT(e->relay.len ? e->relay : SLICE("none")), text[0], text[1], text[2], text[3],
		   text[4], SLICE_FMT(e->dsn), e->status, SLICE_FMT(e->reason));
	log_info("%s", str_cstr(&line));
	str_free(&line);
}

const char *delivery_log_word(enum delivery_word word, bool probe)
{
	static const char *const words[] = { [DELIVERY_WORD_SENT] = "sent", [DELIVERY_WORD_DEFERRED] = "deferred",
					     [DELIVERY_WORD_BOUNCED] = "bounced" };

	if (probe)
		return word == DELIVERY_WORD_SENT ? "deliverable" : "undeliverable";
	return words[word];
}
