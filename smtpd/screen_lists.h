/* SPDX-License-Identifier: ISC */
/* Whom screening knows from lists: postscreen_access_list, and DNS lists with weights. */
#ifndef POSTRIDER_SMTPD_SCREEN_LISTS_H
#define POSTRIDER_SMTPD_SCREEN_LISTS_H

#include "common/config/config.h"
#include "common/net/ipc.h"

enum screen_action { SCREEN_IGNORE, SCREEN_ENFORCE, SCREEN_DROP };
enum screen_access { SCREEN_ACCESS_DUNNO, SCREEN_ACCESS_PERMIT, SCREEN_ACCESS_REJECT };

struct screen_lists;
/* Before the sandbox; stays for good. */
struct screen_lists *screen_lists_load(const struct config *config, struct err *err) MUST_USE;
bool screen_lists_changed(struct screen_lists *lists);
bool screen_lists_has_dnsbl(const struct screen_lists *lists);
/* A list that cannot be asked says nothing (a warning is in the log). */
enum screen_access screen_lists_access(struct screen_lists *lists, const char *address);

/* Questions to all DNS lists, side by side, each in a task of its own. */
struct screen_inquiry;
struct screen_inquiry *screen_inquiry_begin(struct screen_lists *lists, const char *address, struct ipc_client *resolver);
/*
 * Waits for the answers, at most postscreen_dnsbl_timeout from the beginning.  The sum of the weights; `text` says
 * which list was the first: "Service unavailable; client [address] blocked using list".
 */
long screen_inquiry_end(struct screen_inquiry *inquiry, const char *address, char *text, size_t size);
/* Some list has not answered. */
bool screen_inquiry_unsure(const struct screen_inquiry *inquiry);
/* Its tasks end by themselves. */
void screen_inquiry_free(struct screen_inquiry **inquiry);

#endif
