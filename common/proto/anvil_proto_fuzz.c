/* SPDX-License-Identifier: ISC */
#include "common/proto/anvil_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a packet, to every decoder of both sides. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_in in = { .data = data, .len = size };
	struct anvil_counts counts;
	enum anvil_event event;
	struct anvil_who who;
	struct err err;

	if (!ipc_valid(data, size))
		return 0;
	for (in.type = ANVIL_COUNT; in.type <= ANVIL_LEAVE; in.type++) {
		(void)anvil_get_count(&in, &who, &event, &err);
		(void)anvil_get_counted(&in, &counts, &err);
		(void)anvil_get_leave(&in, &who, &err);
	}
	return 0;
}
