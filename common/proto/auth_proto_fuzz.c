/* SPDX-License-Identifier: ISC */
#include "common/proto/auth_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a packet, to every decoder of both sides. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_in in = { .data = data, .len = size };
	struct auth_mechanism list[AUTH_MECHANISMS_MAX];
	struct auth_start start;
	struct auth_answer answer;
	struct auth_counting counting;
	struct auth_verdict verdict;
	struct slice text;
	uint64_t number;
	size_t count;

	if (!ipc_valid(data, size))
		return 0;
	(void)auth_get_service(&in, &text);
	(void)auth_get_start(&in, &number, &start);
	(void)auth_get_response(&in, &number, &text);
	(void)auth_get_cancel(&in, &number);
	(void)auth_get_count(&in, &counting);
	(void)auth_get_counted(&in, &verdict);
	(void)auth_get_mechanisms(&in, list, &count);
	for (in.type = AUTH_CHALLENGE; in.type <= AUTH_FAIL; in.type++)
		(void)auth_get_answer(&in, &answer);
	return 0;
}
