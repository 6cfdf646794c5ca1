/* SPDX-License-Identifier: ISC */
/*
 * What `postrider status` shows: a stream socket at queue_directory/private/master
 * on which each connection gets the state as text, for root and mail_owner (rootless: ourselves).
 */
#ifndef POSTRIDER_MASTER_STATUS_H
#define POSTRIDER_MASTER_STATUS_H

#include "common/config/config.h"

bool status_open(const struct config *config, bool rootless, struct err *err) MUST_USE;
void status_close(void);

#endif
