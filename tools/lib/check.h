/* SPDX-License-Identifier: ISC */
/* postrider check: what is wrong with a configuration, and what in it has no effect. */
#ifndef POSTRIDER_TOOLS_LIB_CHECK_H
#define POSTRIDER_TOOLS_LIB_CHECK_H

#include "common/base/str.h"

/*
 * Reads main.cf and master.cf of `dir` (NULL: the usual one).  False when they
 * cannot be used.  The report gets a line a mistake, with file and line, and a line for each
 * parameter and program that Postrider does not have, with what that changes.
 */
bool check_files(const char *dir, struct str *report);
/* Makes missing directories; reports wrong owners and users that do not exist. */
bool check_directories(const char *dir, struct str *report);

#endif
