/* SPDX-License-Identifier: ISC */
/* Asking the resolver of a running mail system: postrider dns, and the counters of postrider status. */
#ifndef POSTRIDER_TOOLS_LIB_DNS_H
#define POSTRIDER_TOOLS_LIB_DNS_H

#include "common/config/config.h"

/*
 * Arguments: a name, or an address for its PTR record, and a type (default A).  Prints a record a
 * line.  Exit status: 0 records, 1 there are none, 75 no answer now, 64 usage.
 */
int dns_command(const struct config *config, int argc, char **argv);
/* One line on standard output; nothing when the resolver does not answer. */
void dns_show_counters(const struct config *config);

#endif
