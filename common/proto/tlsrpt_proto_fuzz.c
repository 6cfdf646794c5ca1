/* SPDX-License-Identifier: ISC */
/* What smtp tells tlsrpt, and mtasts answers smtp. */
#include "common/mail/address.h"
#include "common/proto/mtasts_proto.h"
#include "common/proto/tlsrpt_proto.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_in m = { .data = data, .len = size, .fds = { -1, -1, -1, -1 } };
	static struct tlsrpt_event event;
	struct sts_policy policy;
	struct slice domain;
	struct err err;

	if (size > IPC_MAX || !ipc_valid(data, size))
		return 0;
	m.type = TLSRPT_EVENT;
	if (tlsrpt_get_event(&m, &event, &err)) {
		FUZZ_CHECK(event.string_count <= TLSRPT_LIST_MAX && event.mx_count <= TLSRPT_LIST_MAX);
		FUZZ_CHECK(event.policy < TLSRPT_POLICIES && event.result < TLSRPT_RESULTS);
		FUZZ_CHECK(fuzz_printable(event.domain) && fuzz_printable(event.host) && fuzz_printable(event.address) &&
			   fuzz_printable(event.reason));
	}
	m.type = MTASTS_ANSWER;
	if (mtasts_get_answer(&m, &policy, &err))
		FUZZ_CHECK(policy.mx_count <= STS_MX_MAX && policy.mode <= STS_ENFORCE);
	m.type = MTASTS_QUERY;
	if (mtasts_get_query(&m, &domain, &err))
		FUZZ_CHECK(address_valid_hostname(domain));
	return 0;
}
