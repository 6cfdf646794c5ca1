/* SPDX-License-Identifier: ISC */
#include "qmgr/backoff.h"

#define HINT_MAX 7200.0

static bool has_word(struct slice text, const char *word)
{
	struct slice w = slice_of(word);

	for (size_t i = 0; i + w.len <= text.len; i++)
		if (slice_eq_nocase(slice_sub(text, i, w.len), w))
			return true;
	return false;
}

static bool has_one(struct slice text, const char *const *words)
{
	for (; *words; words++)
		if (has_word(text, *words))
			return true;
	return false;
}

/* "300 seconds", "in 5 minutes", "00:04:59 left" is not understood. */
static double find_hint(struct slice text)
{
	struct slice word, before = SLICE_NONE;
	uint64_t number;

	while (slice_word(&text, " \t(),;.", &word)) {
		double unit = slice_starts_nocase(word, SLICE("sec")) ? 1 : slice_starts_nocase(word, SLICE("min")) ? 60 : 0;

		if (unit > 0 && before.len > 0 && before.len < 6 && slice_to_u64(before, &number) && number > 0 &&
		    (double)number * unit <= HINT_MAX)
			return (double)number * unit;
		before = word;
	}
	return 0;
}

enum backoff_reason backoff_reason_of(struct slice dsn, struct slice reply, double *hint)
{
	static const char *const grey[] = { "greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list", NULL };
	static const char *const rate[] = { "rate limit", "ratelimit", "rate-limit", "too many", "throttl", "too fast",
					    "exceeded", "unusual rate", "sending rate", NULL };

	*hint = 0;
	if (reply.len == 0)
		return BACKOFF_PLAIN;
	if (has_one(reply, grey)) {
		*hint = find_hint(reply);
		return BACKOFF_GREYLISTED;
	}
	/* Codes of these words: security and policy (4.7), network congestion (4.4.5), delivery limits (4.5.3 is recipients). */
	if (slice_starts(dsn, SLICE("4.7.")) || slice_eq(dsn, SLICE("4.4.5")) || slice_starts(dsn, SLICE("4.2."))
	    || slice_starts(dsn, SLICE("4.3.")) || slice_starts(dsn, SLICE("4.0."))) {
		if (has_one(reply, rate)) {
			*hint = find_hint(reply);
			return BACKOFF_RATE_LIMITED;
		}
	}
	return BACKOFF_PLAIN;
}

double backoff_pause(const struct backoff_settings *s, enum backoff_reason reason, double hint, double age)
{
	/* The older a message, the longer its pauses, between the two bounds. */
	double pause = age < s->minimal ? s->minimal : age > s->maximal ? s->maximal : age;

	switch (reason) {
	case BACKOFF_PLAIN:
		break;
	case BACKOFF_GREYLISTED:
		if (age < 3600)
			pause = s->minimal;
		if (hint > 0 && age < 3600)
			pause = hint + 1;
		break;
	case BACKOFF_RATE_LIMITED:
		pause = pause * 2 > s->maximal ? s->maximal : pause * 2;
		if (hint > pause)
			pause = hint + 1;
		break;
	}
	return pause;
}
