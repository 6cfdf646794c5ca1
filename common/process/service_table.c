/* SPDX-License-Identifier: ISC */
#include "common/process/service_table.h"

#include <stdio.h>
#include <string.h>

static const struct service_row rows[] = {
	{ "smtpd", "postrider-net", ROOT_EMPTY, SYS_BASE | SYS_ACCEPT | SYS_THREADS, COUNT_CORES,
	  SERVICE_INET | SERVICE_AT_START, "" },
	{ "cleanup", NULL, ROOT_NONE, SYS_BASE | SYS_THREADS | SYS_READ | SYS_WRITE, COUNT_ONE,
	  SERVICE_AT_START | SERVICE_ALWAYS, " smtpd pickup bounce local qmgr auth " },
	{ "qmgr", NULL, ROOT_NONE, SYS_BASE | SYS_ACCEPT | SYS_THREADS | SYS_READ | SYS_WRITE, COUNT_ONE,
	  SERVICE_AT_START | SERVICE_ALWAYS | SERVICE_LISTENS | SERVICE_EXCLUSIVE, " cleanup showq smtpd " },
	{ "bounce", NULL, ROOT_NONE, SYS_BASE | SYS_THREADS | SYS_READ, COUNT_ONE,
	  SERVICE_ALWAYS, " qmgr " },
	{ "pickup", NULL, ROOT_NONE, SYS_BASE | SYS_ACCEPT | SYS_THREADS | SYS_READ | SYS_WRITE, COUNT_ONE,
	  SERVICE_AT_START | SERVICE_ALWAYS | SERVICE_LISTENS, "" },
	{ "showq", NULL, ROOT_NONE, SYS_BASE | SYS_ACCEPT | SYS_THREADS | SYS_READ, COUNT_ONE,
	  SERVICE_ALWAYS | SERVICE_LISTENS, "" },
	{ "resolver", "postrider-dns", ROOT_EMPTY, SYS_BASE | SYS_ACCEPT | SYS_THREADS | SYS_INET, COUNT_ONE,
	  SERVICE_AT_START | SERVICE_ALWAYS | SERVICE_LISTENS, " smtpd smtp lmtp qmgr cleanup mtasts mailauth " },
	{ "mtasts", "postrider-sts", ROOT_NONE, SYS_BASE | SYS_THREADS | SYS_READ | SYS_INET, COUNT_ONE, SERVICE_ALWAYS, " smtp " },
	{ "tlsmgr", "postrider-key", ROOT_EMPTY, SYS_BASE | SYS_THREADS, COUNT_ONE, SERVICE_ALWAYS, " smtpd smtp lmtp " },
	{ "anvil", "postrider-count", ROOT_EMPTY, SYS_BASE, COUNT_ONE, SERVICE_ALWAYS, " smtpd " },
	{ "verify", "postrider-count", ROOT_EMPTY, SYS_BASE | SYS_THREADS, COUNT_ONE, SERVICE_ALWAYS, " smtpd " },
	/* Reads mail of strangers: the descriptors that it is handed, and the resolver, are all it has. */
	{ "mailauth", "postrider-auth", ROOT_EMPTY, SYS_BASE | SYS_THREADS, COUNT_CORES, SERVICE_ALWAYS, " smtpd " },
	{ "signer", "postrider-key", ROOT_EMPTY, SYS_BASE | SYS_THREADS, COUNT_ONE, SERVICE_ALWAYS, " cleanup " },
	/* What it has of these depends on smtpd_sasl_type: nothing of it for tables. */
	{ "auth", "postrider-login", ROOT_NONE, SYS_BASE | SYS_THREADS | SYS_READ | SYS_INET | SYS_UNIX, COUNT_ONE,
	  SERVICE_ALWAYS | SERVICE_GROUPS, " smtpd " },
	{ "smtp", "postrider-out", ROOT_EMPTY, SYS_BASE | SYS_THREADS | SYS_INET, COUNT_CORES,
	  SERVICE_DISTINCT, " qmgr local verify " },
	/* Next hops of lmtp are mostly Unix sockets, found by path. */
	{ "lmtp", "postrider-out", ROOT_NONE, SYS_BASE | SYS_THREADS | SYS_INET | SYS_UNIX, COUNT_CORES,
	  SERVICE_DISTINCT, " qmgr local verify " },
	/* What they do as other users, and programs, their launchers do: delivery/lib/launcher.h. */
	{ "local", "postrider-local", ROOT_NONE, SYS_BASE | SYS_THREADS | SYS_READ | SYS_NSS, COUNT_ONE,
	  SERVICE_DISTINCT, " qmgr verify " },
	{ "virtual", "postrider-local", ROOT_EMPTY, SYS_BASE | SYS_THREADS, COUNT_ONE, SERVICE_DISTINCT, " qmgr local verify " },
	{ "pipe", "postrider-local", ROOT_EMPTY, SYS_BASE | SYS_THREADS, COUNT_ONE, SERVICE_DISTINCT, " qmgr local verify " },
	{ "proxymap", "postrider-map", ROOT_NONE,
	  SYS_BASE | SYS_THREADS | SYS_READ | SYS_INET | SYS_UNIX | SYS_NSS, COUNT_ONE, SERVICE_ALWAYS,
	  " smtpd cleanup qmgr local smtp lmtp virtual pipe verify bounce pickup signer " },
	{ "error", NULL, ROOT_NONE, 0, COUNT_ONE, SERVICE_NO_PROCESS, "" },
	{ "discard", NULL, ROOT_NONE, 0, COUNT_ONE, SERVICE_NO_PROCESS, "" },
};

const struct service_row *service_row_find(const char *command)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].command, command) == 0)
			return &rows[i];
	return NULL;
}

const struct service_row *service_row_at(size_t index)
{
	return index < sizeof(rows) / sizeof(rows[0]) ? &rows[index] : NULL;
}

static bool listed(const char *list, const char *word)
{
	char padded[64];
	int len = snprintf(padded, sizeof(padded), " %s ", word);

	return len > 2 && (size_t)len < sizeof(padded) && !strchr(word, ' ') && strstr(list, padded);
}

bool service_row_allows(const struct service_row *row, const char *asker)
{
	return listed(row->askers, asker);
}

bool service_not_needed(const char *name, const char *command)
{
	static const char names[] = " defer trace flush rewrite scache proxywrite postlog retry ";
	static const char commands[] = " trivial-rewrite flush scache postlogd tlsproxy dnsblog ";

	return listed(names, name) || listed(commands, command);
}
