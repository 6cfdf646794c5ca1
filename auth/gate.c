/* SPDX-License-Identifier: ISC */
/* Hashes cost processor time and memory by design: who asks for many waits. */
#include "auth/auth.h"

#define WAITING_MAX 200

static struct {
	int limit, running, waiting;
	struct task_event turn;
} gate = { .limit = 2 };

void gate_open(int at_once)
{
	gate.limit = at_once > 0 ? at_once : 1;
}

bool gate_run(void (*work)(void *arg), void *arg)
{
	if (gate.running >= gate.limit) {
		if (gate.waiting >= WAITING_MAX)
			return false;
		gate.waiting++;
		while (gate.running >= gate.limit && task_event_wait(&gate.turn, TASK_FOREVER) == TASK_READY)
			;
		gate.waiting--;
		if (task_cancelled()) {
			/* The signal may have been ours. */
			task_event_signal(&gate.turn);
			return false;
		}
	}
	gate.running++;
	task_offload(work, arg);
	gate.running--;
	task_event_signal(&gate.turn);
	return true;
}
