/* SPDX-License-Identifier: ISC */
/* postrider passwd: the users of smtpd_sasl_type = table. */
#ifndef POSTRIDER_TOOLS_LIB_PASSWD_H
#define POSTRIDER_TOOLS_LIB_PASSWD_H

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/config/config.h"

/*
 * Arguments: [-m type:file] [-s scheme] add USER | del USER | list | verify USER.  The table is that of
 * smtpd_sasl_password_maps, or -m's.  Passwords come from the terminal without echo, else from the
 * first line of standard input.  Exit status: 0; 1 no such user, wrong password, or an error; 64 usage.
 */
int passwd_command(const struct config *config, int argc, char **argv);

/*
 * The text of a source file with the entry of `user` replaced by `value`, added, or (value empty) taken
 * out; comments and other entries stay as they are.  Returns whether there was an entry.
 */
bool passwd_edit(struct slice text, struct slice user, struct slice value, struct str *out);

#endif
