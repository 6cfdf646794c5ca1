/* SPDX-License-Identifier: ISC */
/*
 * The fast flush service: which deferred messages wait for a site (ETRN, postqueue -s).
 *
 * Each deferred message carries the hashes of its sites (fast_flush_domains only) in memory; equal hashes of
 * two sites cost an attempt too many.  What this process has not delivered yet (found at start) is read when a site
 * is asked for the first time.
 */
#ifndef POSTRIDER_QMGR_SITES_H
#define POSTRIDER_QMGR_SITES_H

#include "common/config/config.h"
#include "common/mail/message_file.h"
#include "common/proto/qmgr_proto.h"

/* Before the sandbox: opens fast_flush_domains. */
bool sites_open(const struct config *config, struct err *err) MUST_USE;
bool sites_changed(void);
/* A message has been deferred: remembers where its pending recipients are. */
void sites_note(struct slice id, const struct message_envelope *envelope);
/* Has all deferred mail for the site (a domain, or an address in []) tried now; returns at once. */
enum qmgr_flush sites_flush(struct slice site);

#endif
