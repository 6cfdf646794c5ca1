/* SPDX-License-Identifier: ISC */
/* master.cf, as master(5) of Postfix: whole syntax, one entry a service. */
#ifndef POSTRIDER_COMMON_CONFIG_MASTER_CF_H
#define POSTRIDER_COMMON_CONFIG_MASTER_CF_H

#include "common/base/err.h"
#include "common/config/config.h"

enum master_type { MASTER_INET, MASTER_UNIX, MASTER_FIFO, MASTER_PASS, MASTER_UNIX_DGRAM };
enum master_tristate { MASTER_DEFAULT = -1, MASTER_NO = 0, MASTER_YES = 1 };

struct master_entry {
	const char *name;              /* "smtp", "127.0.0.1:2525", "cleanup" */
	enum master_type type;
	enum master_tristate private_; /* the columns as written; '-' is MASTER_DEFAULT */
	enum master_tristate unpriv;
	enum master_tristate chroot;
	int wakeup;                    /* seconds; -1 '-'; */
	bool wakeup_if_used;           /* '?' suffix */
	int maxproc;                   /* -1 '-', 0 no limit */
	const char *command;           /* "smtpd" */
	const char *const *argv;       /* arguments after the command, without -o pairs of it; NULL-terminated */
	const struct config_override *overrides; /* -o name=value and -o { name = value } */
	size_t override_count;
	int line;                      /* in master.cf */
};

struct master_cf;
/* Reads FILE.  NULL on error with file and line in the text. */
struct master_cf *master_cf_load(const char *path, struct err *err) MUST_USE;
void master_cf_free(struct master_cf **cf);
size_t master_cf_count(const struct master_cf *cf);
const struct master_entry *master_cf_entry(const struct master_cf *cf, size_t index);
/* By name and type; NULL when there is none. */
const struct master_entry *master_cf_find(const struct master_cf *cf, const char *name, enum master_type type);

#endif
