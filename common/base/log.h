/* SPDX-License-Identifier: ISC */
/*
 * The log, in Postfix's line form: "postfix/smtpd[123]: text".  Control
 * characters and invalid UTF-8 are replaced by '?' here, in one place, so
 * that nothing from the network can forge a line.  Lines are cut at 2000 bytes.
 */
#ifndef POSTRIDER_COMMON_BASE_LOG_H
#define POSTRIDER_COMMON_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

/*
 * Sets the name ("postfix/smtpd") and where lines go: a descriptor of a file
 * or terminal (lines get "Mon dd hh:mm:ss host name[pid]: "), or, with `syslog`
 * true, a connected datagram socket of syslog's.  Before the first call lines
 * go to standard error with the program's name alone, as commands do.
 */
void log_open(const char *name, int fd, bool syslog);
/* Replaces the descriptor; the old one is closed.  For log rotation. */
void log_replace_fd(int fd, bool syslog);
const char *log_name(void);
/* Also copies each line to standard error (commands, foreground). */
void log_to_stderr(bool also);
/* 0: nothing extra.  log_debug lines are dropped above this level. */
void log_set_verbose(int level);
int log_verbose(void);

void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));   /* "warning: …" */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));     /* "error: …" */
void log_debug(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "fatal: …", then exit status 1 after a second (as Postfix, so that master does not spin). */
void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Our own bug: "panic: …" and abort.  Never reachable by input. */
void log_panic(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define BUG_IF(condition)                                                                  \
	((condition) ? log_panic("%s:%d: %s: %s", __FILE__, __LINE__, __func__, #condition) \
		     : (void)0)

#endif
