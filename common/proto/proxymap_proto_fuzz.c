/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/proto/proxymap_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool right)
{
	if (!right)
		__builtin_trap();
}

/* The input as a question, and as an answer whose value may come beside: in a file that is sealed or not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_in m = { .data = data, .len = size, .fds = { -1, -1, -1, -1 } };
	struct proxymap_question question;
	struct proxymap_answer answer;
	struct arena *arena;
	struct err err;

	if (size > IPC_MAX || !ipc_valid(data, size))
		return 0;
	arena = arena_create(0);
	m.type = PROXYMAP_LOOKUP;
	if (proxymap_get_question(&m, &question))
		check(question.table.len > 0 && question.table.len <= PROXYMAP_TABLE_MAX &&
		      question.key.len <= PROXYMAP_KEY_MAX);
	m.type = PROXYMAP_ANSWER;
	m.fds[0] = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	m.fd_count = m.fds[0] >= 0;
	if (m.fd_count > 0 && write(m.fds[0], data, size) == (ssize_t)size && size % 2 == 0)
		(void)fcntl(m.fds[0], F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK);
	if (proxymap_get_answer(&m, arena, &answer, &err))
		check(answer.status >= PROXYMAP_FOUND && answer.status <= PROXYMAP_ERROR &&
		      answer.text.len <= (size > PROXYMAP_VALUE_MAX ? size : PROXYMAP_VALUE_MAX));
	else
		check(answer.status == PROXYMAP_ERROR);
	close(m.fds[0]);
	arena_free(&arena);
	return 0;
}
