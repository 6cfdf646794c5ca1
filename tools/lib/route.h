/* SPDX-License-Identifier: ISC */
/* postrider route, sendmail -bv: what becomes of an address, step by step, and where it goes. */
#ifndef POSTRIDER_TOOLS_LIB_ROUTE_H
#define POSTRIDER_TOOLS_LIB_ROUTE_H

#include "common/config/config.h"

/*
 * [--json] [--sender ADDRESS] [--] ADDRESS…; "-" reads addresses from standard input, a line each.
 * Returns the exit status: 0 when all could be resolved, also where the answer is a refusal.
 */
int route_command(const struct config *config, int argc, char **argv);

#endif
