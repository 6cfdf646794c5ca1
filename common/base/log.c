/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"

#define LINE_MAX_BYTES 2000

static struct {
	char name[128];
	char host[128];
	int fd;
	bool opened;
	bool syslog;
	bool to_stderr;
	int verbose;
} sink = { .fd = -1 };

void log_open(const char *name, int fd, bool syslog)
{
	char *dot;

	snprintf(sink.name, sizeof(sink.name), "%s", name);
	if (gethostname(sink.host, sizeof(sink.host) - 1) != 0)
		snprintf(sink.host, sizeof(sink.host), "localhost");
	dot = strchr(sink.host, '.');
	if (dot)
		*dot = '\0';
	tzset();
	sink.fd = fd;
	sink.syslog = syslog;
	sink.opened = true;
}

void log_replace_fd(int fd, bool syslog)
{
	if (sink.fd > STDERR_FILENO && sink.fd != fd)
		close(sink.fd);
	sink.fd = fd;
	sink.syslog = syslog;
}

const char *log_name(void)
{
	return sink.name[0] ? sink.name : program_invocation_short_name;
}

void log_to_stderr(bool also)
{
	sink.to_stderr = also;
}

void log_set_verbose(int level)
{
	sink.verbose = level;
}

int log_verbose(void)
{
	return sink.verbose;
}

/* Length of the UTF-8 sequence at `at`, 0 when it is not well formed (RFC 3629). */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	size_t len = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 :
		     (at[0] & 0xf0) == 0xe0 ? 3 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return len;
}

/* C1 controls (U+0080 to U+009F) steer terminals too. */
static bool is_control(const unsigned char *at, size_t len)
{
	return (len == 1 && (at[0] < 0x20 || at[0] == 0x7f)) ||
	       (len == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

static void make_printable(char *text, size_t len)
{
	unsigned char *at = (unsigned char *)text;

	for (size_t i = 0; i < len;) {
		size_t unit = utf8_length(at + i, len - i);

		if (unit == 0 || is_control(at + i, unit)) {
			memset(at + i, '?', unit ? unit : 1);
			i += unit ? unit : 1;
		} else {
			i += unit;
		}
	}
}

static size_t write_stamp(char *line, size_t size)
{
	static time_t last = -1;
	static char stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	if (now != last && localtime_r(&now, &tm)) {
		strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
		last = now;
	}
	return (size_t)snprintf(line, size, "%s %s ", stamp, sink.host);
}

/* There is no one left to tell of a failure. */
static void write_line(int fd, const char *line, size_t len)
{
	if (!file_write(fd, slice_make(line, len)))
		return;
}

static void emit(int priority, const char *prefix, const char *format, va_list ap)
{
	char line[LINE_MAX_BYTES + 512];
	size_t len = 0, text;
	int written;

	if (sink.syslog)
		len = (size_t)snprintf(line, sizeof(line), "<%d>", LOG_MAIL | priority);
	else if (sink.opened && sink.fd >= 0)
		len = write_stamp(line, sizeof(line));
	text = len;
	if (sink.opened)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s[%d]: %s", log_name(),
					(int)getpid(), prefix);
	else
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s: %s", log_name(), prefix);
	written = vsnprintf(line + len, LINE_MAX_BYTES, format, ap);
	if (written < 0)
		return;
	size_t body = (size_t)written < LINE_MAX_BYTES ? (size_t)written : LINE_MAX_BYTES - 1;

	make_printable(line + len, body);
	len += body;
	line[len] = '\n';
	if (sink.opened && sink.fd >= 0 && sink.syslog)
		(void)!send(sink.fd, line, len, MSG_NOSIGNAL);
	else if (sink.opened && sink.fd >= 0)
		write_line(sink.fd, line, len + 1);
	if (!sink.opened || sink.to_stderr) {
		write_line(STDERR_FILENO, line + text, len + 1 - text);
	}
}

#define EMIT(priority, prefix)                      \
	va_list ap;                                 \
	int saved = errno;                          \
						    \
	va_start(ap, format);                       \
	emit(priority, prefix, format, ap);         \
	va_end(ap);                                 \
	errno = saved

void log_info(const char *format, ...)
{
	EMIT(LOG_INFO, "");
}

void log_warning(const char *format, ...)
{
	EMIT(LOG_WARNING, "warning: ");
}

void log_error(const char *format, ...)
{
	EMIT(LOG_ERR, "error: ");
}

void log_debug(int level, const char *format, ...)
{
	if (level > sink.verbose)
		return;
	EMIT(LOG_INFO, "");
}

void log_fatal(const char *format, ...)
{
	EMIT(LOG_CRIT, "fatal: ");
	if (sink.opened)
		sleep(1);
	exit(1);
}

void log_panic(const char *format, ...)
{
	EMIT(LOG_CRIT, "panic: ");
	abort();
}
