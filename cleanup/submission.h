/* SPDX-License-Identifier: ISC */
/*
 * Those who submit mail: one peer a connection, many messages in each.  The server's side
 * of common/proto/cleanup_proto.h.
 */
#ifndef POSTRIDER_CLEANUP_SUBMISSION_H
#define POSTRIDER_CLEANUP_SUBMISSION_H

#include "cleanup/headers.h"
#include "cleanup/sign.h"
#include "cleanup/recipients.h"
#include "cleanup/spares.h"

struct submission_settings {
	struct sign_settings sign;
	struct headers_settings headers;
	int directory;                  /* queue/ */
	uint64_t message_size_limit;    /* 0: none */
	uint64_t queue_minfree;
	size_t header_size_limit;
	long hopcount_limit;
	struct recipients_settings recipients;
	void (*committed)(const char *queue_id);    /* the message is durable: qmgr is to be told */
	void (*busy)(int change);                   /* process_busy, or NULL */
	bool (*flooded)(void);                      /* qmgr cannot keep up; or NULL */
	double flow_delay;                          /* in_flow_delay */
};

void submission_start(const struct submission_settings *settings);
/* Takes the connection of a process with this command name; one that may not submit is closed. */
void submission_peer(int fd, const char *role);
/* Spares came (NULL) or none can be made: serves or refuses those who wait. */
void submission_spares_changed(const struct cleanup_refusal *refusal);
/* Connections now; files that were handed out and not committed or given up. */
size_t submission_peers(void);
size_t submission_open_files(void);
/* Closes all connections, waits for commits under way (tests, exit). */
void submission_stop(void);

#endif
