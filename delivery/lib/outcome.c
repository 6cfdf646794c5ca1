/* SPDX-License-Identifier: ISC */
#include "delivery/lib/outcome.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/str.h"

static void set(struct outcome *o, const char *dsn, const char *format, va_list ap)
{
	snprintf(o->dsn, sizeof(o->dsn), "%s", dsn);
	vsnprintf(o->text, sizeof(o->text), format, ap);
	/* One line, whatever a program wrote or a path holds. */
	for (char *c = o->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = ' ';
}

void outcome_set(struct outcome *o, enum delivery_outcome outcome, const char *dsn, const char *format, ...)
{
	va_list ap;

	o->outcome = outcome;
	o->action = ACTION_DELIVERED;
	va_start(ap, format);
	set(o, dsn, format, ap);
	va_end(ap);
}

static enum delivery_outcome of_class(char class_)
{
	return class_ == '2' ? DELIVERY_SENT : class_ == '5' ? DELIVERY_BOUNCED : DELIVERY_DEFERRED;
}

void outcome_set_dsn(struct outcome *o, const char *dsn, const char *format, ...)
{
	va_list ap;

	o->outcome = of_class(dsn[0]);
	o->action = ACTION_DELIVERED;
	va_start(ap, format);
	set(o, dsn, format, ap);
	va_end(ap);
}

void outcome_set_errno(struct outcome *o, const char *format, ...)
{
	int saved = errno;
	const char *dsn = saved == EDQUOT || saved == EFBIG ? "5.2.2" :
			  saved == ENOSPC || saved == EMFILE || saved == ENFILE || saved == ENOMEM ? "4.3.0" : "4.2.0";
	char what[600];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	outcome_set_dsn(o, dsn, "%s: %s", what, strerror(saved));
}

static bool take_digits(struct slice *text, size_t most)
{
	size_t n = 0;

	while (n < text->len && text->ptr[n] >= '0' && text->ptr[n] <= '9')
		n++;
	*text = slice_sub(*text, n, text->len);
	return n > 0 && n <= most;
}

static bool take_dot(struct slice *text)
{
	bool dot = text->len > 0 && text->ptr[0] == '.';

	*text = slice_sub(*text, 1, text->len);
	return dot;
}

bool outcome_find_dsn(struct slice text, struct slice *dsn, struct slice *rest)
{
	struct slice at = slice_trim(text), start = at;

	if (at.len == 0 || !strchr("245", at.ptr[0]) || !take_digits(&at, 1) || !take_dot(&at) || !take_digits(&at, 3) ||
	    !take_dot(&at) || !take_digits(&at, 3) || (at.len > 0 && !strchr(" \t\r\n", at.ptr[0])))
		return false;
	*dsn = slice_sub(start, 0, start.len - at.len);
	*rest = slice_trim(at);
	return true;
}

static const struct {
	int status;
	const char *dsn, *text;
} exits[] = {
	{ EX_USAGE, "5.3.0", "command line usage error" },
	{ EX_DATAERR, "5.6.0", "data format error" },
	{ EX_NOINPUT, "5.3.0", "cannot open input" },
	{ EX_NOUSER, "5.1.1", "user unknown" },
	{ EX_NOHOST, "5.1.2", "host name unknown" },
	{ EX_UNAVAILABLE, "5.3.0", "service unavailable" },
	{ EX_SOFTWARE, "5.3.0", "internal software error" },
	{ EX_OSERR, "4.3.0", "system resource problem" },
	{ EX_OSFILE, "5.3.0", "critical OS file missing" },
	{ EX_CANTCREAT, "5.2.0", "can't create user output file" },
	{ EX_IOERR, "5.3.0", "input/output error" },
	{ EX_TEMPFAIL, "4.3.0", "temporary failure" },
	{ EX_PROTOCOL, "5.5.0", "remote error in protocol" },
	{ EX_NOPERM, "5.7.0", "permission denied" },
	{ EX_CONFIG, "5.3.5", "local configuration error" },
};

void outcome_set_exit(struct outcome *o, int status, struct slice output, const char *command, const char *success)
{
	const char *colon = output.len > 0 ? ". Command output: " : "";
	struct slice dsn, rest;
	char code[16];

	output = slice_trim(output);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		outcome_set_dsn(o, "2.0.0", output.len > 0 ? "%s (%.*s)" : "%s%.*s", success, SLICE_FMT(output));
		return;
	}
	if (WIFSIGNALED(status)) {
		outcome_set_dsn(o, "4.3.0", "Command died with signal %d: \"%s\"%s%.*s", WTERMSIG(status), command, colon,
				SLICE_FMT(output));
		return;
	}
	if (outcome_find_dsn(output, &dsn, &rest) && dsn.ptr[0] != '2') {
		snprintf(code, sizeof(code), "%.*s", SLICE_FMT(dsn));
		outcome_set_dsn(o, code, "%.*s", SLICE_FMT(rest));
		return;
	}
	for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
		if (exits[i].status != WEXITSTATUS(status))
			continue;
		outcome_set_dsn(o, exits[i].dsn, "%s%s%.*s", exits[i].text, colon, SLICE_FMT(output));
		return;
	}
	outcome_set_dsn(o, "5.3.0", "Command died with status %d: \"%s\"%s%.*s", WEXITSTATUS(status), command, colon,
			SLICE_FMT(output));
}

bool outcome_write(const struct outcome *o, int fd)
{
	char line[1100];
	int len = snprintf(line, sizeof(line), "%d %s %s", (int)o->outcome, o->dsn, o->text);

	return len > 0 && (size_t)len < sizeof(line) && write(fd, line, (size_t)len) == len;
}

bool outcome_parse(struct outcome *o, struct slice line)
{
	struct slice word, dsn;
	uint64_t outcome;

	if (!slice_word(&line, " ", &word) || !slice_to_u64(word, &outcome) || outcome < DELIVERY_SENT ||
	    outcome > DELIVERY_BOUNCED || !slice_word(&line, " ", &dsn))
		return false;
	o->outcome = (enum delivery_outcome)outcome;
	o->action = ACTION_DELIVERED;
	snprintf(o->dsn, sizeof(o->dsn), "%.*s", SLICE_FMT(dsn));
	snprintf(o->text, sizeof(o->text), "%.*s", SLICE_FMT(slice_trim(line)));
	return true;
}
