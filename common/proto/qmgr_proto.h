/* SPDX-License-Identifier: ISC */
/*
 * What the queue manager is told and asked: by cleanup (NEW), by commands over public/qmgr
 * (uid checked), by showq, and the notice service bounce.
 */
#ifndef POSTRIDER_COMMON_PROTO_QMGR_PROTO_H
#define POSTRIDER_COMMON_PROTO_QMGR_PROTO_H

#include "common/net/ipc.h"

extern const struct ipc_protocol qmgr_protocol;      /* "qmgr", 1 */

enum qmgr_type {
	QMGR_NEW = 1,     /* cleanup: FIELD_ID; no answer */
	QMGR_FLUSH,       /* postqueue -f */
	QMGR_FLUSH_ID,    /* postqueue -i: FIELD_ID */
	QMGR_FLUSH_SITE,  /* postqueue -s, smtpd: FIELD_SITE; answered with an enum qmgr_flush in FIELD_COUNT */
	QMGR_DELETE,      /* postsuper -d: FIELD_ID or "ALL"; root and mail_owner only */
	QMGR_LIST,        /* showq: answered with QMGR_ENTRIES packets (FIELD_ID, FIELD_QUEUE repeated) and QMGR_END */
	QMGR_ENTRIES,
	QMGR_END,
	QMGR_RESULT,      /* to a command: FIELD_COUNT, FIELD_TEXT */
	QMGR_NOTICE,      /* to bounce: FIELD_ID, FIELD_COUNT an enum qmgr_notice, + fd of the message */
	QMGR_NOTICE_DONE, /* from bounce: FIELD_COUNT 1 done, 0 try later */
	QMGR_RETURNED,    /* to cleanup: FIELD_FILE repeated: files whose messages have gone */
	QMGR_HOLD,        /* postsuper -h, -H: FIELD_ID or "ALL"; root and mail_owner only */
	QMGR_RELEASE,
	QMGR_FLOW = 64    /* to cleanup: FIELD_COUNT 1: mail comes faster than it goes; 0: no longer */
};
enum qmgr_flush { FLUSH_STARTED, FLUSH_NOT_ELIGIBLE, FLUSH_MALFORMED, FLUSH_LATER };
/* What a sender is told. */
enum qmgr_notice {
	NOTICE_FAILURE = 1, /* of recipients that failed */
	NOTICE_SUCCESS,     /* of those that are done and whose sender wants to know */
	NOTICE_DELAY        /* of those that are still pending */
};
enum qmgr_field { QMGR_FIELD_ID = 1, QMGR_FIELD_SITE, QMGR_FIELD_QUEUE, QMGR_FIELD_COUNT, QMGR_FIELD_TEXT, QMGR_FIELD_FILE };

#endif
