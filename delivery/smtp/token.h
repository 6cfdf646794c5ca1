/* SPDX-License-Identifier: ISC */
/*
 * OAuth tokens that stand in a file, or that a program prints (smtp_sasl_password_maps with {token-file}
 * and {token-command}).  The agent can neither open files nor start programs: a process that is split off
 * before the sandbox closes does that, as smtp_sasl_token_user, for what lies below
 * smtp_sasl_token_directory and for nothing else.
 */
#ifndef POSTRIDER_DELIVERY_SMTP_TOKEN_H
#define POSTRIDER_DELIVERY_SMTP_TOKEN_H

#include "common/config/config.h"
#include "common/sasl/client.h"

struct smtp_tokens;
/*
 * Before privileges are dropped.  Without the folder nothing is split off, and each question is answered
 * with an error.  NULL: the user does not exist, or no process could be made.
 */
struct smtp_tokens *smtp_tokens_start(const struct config *config, struct err *err) MUST_USE;
/*
 * In a task.  A file is read each time; what a program printed is kept till shortly before it
 * expires (five minutes when it does not say).  False: ERR_TEMPORARY or ERR_SYNTAX.
 */
bool smtp_tokens_get(struct smtp_tokens *tokens, const struct sasl_secret *secret, struct str *token,
		     struct err *err) MUST_USE;
/* The server refused it: the next one asks the program again. */
void smtp_tokens_forget(struct smtp_tokens *tokens, const struct sasl_secret *secret);

#endif
