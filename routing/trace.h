/* SPDX-License-Identifier: ISC */
/* What rewriting and routing did, step by step: heard by whoever explains it to people. */
#ifndef POSTRIDER_ROUTING_TRACE_H
#define POSTRIDER_ROUTING_TRACE_H

#include "common/base/slice.h"

struct trace_step {
	const char *what;          /* the parameter behind it: "virtual_alias_maps", "relayhost" */
	const char *table;         /* "hash:/etc/virtual", when a table answered; else NULL */
	struct slice key;          /* what the table was asked for when it answered */
	struct slice from;         /* the address before, or what was to be decided */
	const struct slice *to;    /* what it became: one address, or the members of an alias */
	size_t count;
};

struct trace {
	void (*step)(void *context, const struct trace_step *step);
	void *context;
};

#endif
