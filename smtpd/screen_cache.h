/* SPDX-License-Identifier: ISC */
/*
 * Clients that have passed tests: a file of fixed size that all smtpd processes share and that outlives them.
 * Entries are found by address; one that was written half is none.
 */
#ifndef POSTRIDER_SMTPD_SCREEN_CACHE_H
#define POSTRIDER_SMTPD_SCREEN_CACHE_H

#include "common/base/err.h"

enum screen_test { SCREEN_PREGREET, SCREEN_DNSBL, SCREEN_PIPELINING, SCREEN_NON_SMTP, SCREEN_BARE_LF, SCREEN_TESTS };

struct screen_passed {
	double until[SCREEN_TESTS];    /* wall clock; 0: not passed */
};

/* Before the sandbox.  −1: *err. */
int screen_cache_open(const char *path, struct err *err) MUST_USE;
/* All 0 when the address is not known. */
void screen_cache_find(int fd, const char *address, struct screen_passed *passed);
/* A time of 0 leaves what is there.  In place of whoever's passes end first. */
void screen_cache_store(int fd, const char *address, const struct screen_passed *passed, double now);

#endif
