/* SPDX-License-Identifier: ISC */
/* An agent's side of qmgr: jobs come in, each a task; recipients are answered and logged one by one. */
#ifndef POSTRIDER_DELIVERY_LIB_AGENT_H
#define POSTRIDER_DELIVERY_LIB_AGENT_H

#include "common/process/process.h"
#include "delivery/lib/content.h"
#include "delivery/lib/outcome.h"

struct agent_job {
	struct delivery_job job;
	struct arena *arena;
	struct content content;       /* opened */
};

struct agent_ops {
	const char *relay;            /* in the log */
	/* Answers each recipient; one that it leaves out is deferred.  With job.probe it delivers nothing. */
	void (*deliver)(struct agent_job *job);
};

/* Jobs side by side: maxproc of master.cf, or default_process_limit. */
void agent_start(const struct agent_ops *ops, const struct process_info *info);
/* For struct process_ops. */
void agent_peer(int fd, const char *role);
void agent_retire(void);

/* Tells qmgr. */
void agent_answer(struct agent_job *job, size_t recipient, const struct outcome *o);
/* The line in the log: for a recipient of the job, or what it has become. */
void agent_log(const struct agent_job *job, struct slice recipient, struct slice original, const struct outcome *o,
	       double started);
/* Both. */
void agent_conclude(struct agent_job *job, size_t recipient, const struct outcome *o, double started);

#endif
