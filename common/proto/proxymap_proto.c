/* SPDX-License-Identifier: ISC */
#include "common/proto/proxymap_proto.h"
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define INLINE_MAX ((size_t)60000)
#define SEALS      (F_SEAL_WRITE | F_SEAL_SHRINK)

const struct ipc_protocol proxymap_protocol = { "proxymap", 1 };

enum field { FIELD_TABLE = 1, FIELD_KEY, FIELD_STATUS, FIELD_TEXT, FIELD_LENGTH };

bool proxymap_put_question(struct ipc_out *m, uint32_t request, const struct proxymap_question *question)
{
	if (question->table.len > PROXYMAP_TABLE_MAX || question->key.len > PROXYMAP_KEY_MAX)
		return false;
	ipc_out_start(m, PROXYMAP_LOOKUP, request);
	ipc_put_bytes(m, FIELD_TABLE, question->table);
	ipc_put_bytes(m, FIELD_KEY, question->key);
	return !m->failed;
}

bool proxymap_get_question(const struct ipc_in *m, struct proxymap_question *question)
{
	*question = (struct proxymap_question){ 0 };
	if (m->type != PROXYMAP_LOOKUP || !ipc_get_bytes(m, FIELD_TABLE, &question->table) ||
	    !ipc_get_bytes(m, FIELD_KEY, &question->key))
		return false;
	return question->table.len > 0 && question->table.len <= PROXYMAP_TABLE_MAX &&
	       question->key.len <= PROXYMAP_KEY_MAX;
}

/* A file in memory that nobody can change any more, or -1. */
static int memory_file(struct slice text)
{
	int fd = memfd_create("value", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;

	while (fd >= 0 && done < text.len) {
		ssize_t n = write(fd, text.ptr + done, text.len - done);

		if (n <= 0) {
			close(fd);
			return -1;
		}
		done += (size_t)n;
	}
	if (fd >= 0 && fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

bool proxymap_put_answer(struct ipc_out *m, uint32_t request, const struct proxymap_answer *answer)
{
	int fd;

	ipc_out_start(m, PROXYMAP_ANSWER, request);
	ipc_put_u64(m, FIELD_STATUS, answer->status);
	if (answer->text.len <= INLINE_MAX) {
		ipc_put_bytes(m, FIELD_TEXT, answer->text);
		return !m->failed;
	}
	fd = answer->text.len <= PROXYMAP_VALUE_MAX ? memory_file(answer->text) : -1;
	if (fd < 0)
		return false;
	ipc_put_u64(m, FIELD_LENGTH, answer->text.len);
	ipc_put_fd(m, fd);
	return !m->failed;
}

/* What came as a descriptor.  Only a sealed memory file is read: any other could block or change. */
static bool read_beside(const struct ipc_in *m, uint64_t length, struct arena *arena, struct slice *text)
{
	struct stat st;
	int seals;
	char *to;

	if (length > PROXYMAP_VALUE_MAX || m->fd_count < 1 || m->fds[0] < 0)
		return false;
	seals = fcntl(m->fds[0], F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(m->fds[0], &st) != 0 || (uint64_t)st.st_size != length)
		return false;
	to = arena_alloc(arena, length + 1);
	if (file_read_at(m->fds[0], to, length, 0) != (ssize_t)length)
		return false;
	*text = slice_make(to, length);
	return true;
}

bool proxymap_get_answer(const struct ipc_in *m, struct arena *arena, struct proxymap_answer *answer,
			 struct err *err)
{
	uint64_t status, length;
	bool good = m->type == PROXYMAP_ANSWER && ipc_get_u64(m, FIELD_STATUS, &status) &&
		    status >= PROXYMAP_FOUND && status <= PROXYMAP_ERROR;

	*answer = (struct proxymap_answer){ .status = PROXYMAP_ERROR };
	if (good && ipc_get_u64(m, FIELD_LENGTH, &length)) {
		good = read_beside(m, length, arena, &answer->text);
	} else if (good) {
		good = ipc_get_bytes(m, FIELD_TEXT, &answer->text);
		answer->text = arena_slice(arena, answer->text);
	}
	if (!good)
		return err_set(err, ERR_SYNTAX, "malformed answer from proxymap");
	answer->status = (enum proxymap_status)status;
	return true;
}

static bool ask_once(struct ipc_client *client, const struct proxymap_question *question, double deadline,
		     struct ipc_reply *reply, struct err *err)
{
	struct ipc_out m;

	if (!ipc_client_connect(client, deadline, err))
		return false;
	if (!proxymap_put_question(&m, ipc_client_request(client), question))
		return err_set(err, ERR_LIMIT, "the key is too long");
	return ipc_client_call(client, &m, deadline, reply, err);
}

bool proxymap_ask(struct ipc_client *client, const struct proxymap_question *question, double deadline,
		  struct arena *arena, struct proxymap_answer *answer, struct err *err)
{
	struct ipc_reply reply;
	bool good;

	*answer = (struct proxymap_answer){ .status = PROXYMAP_ERROR };
	if (!task_current())
		return err_set(err, ERR_TEMPORARY, "this process cannot wait for proxymap here");
	if (!ask_once(client, question, deadline, &reply, err) &&
	    (err->code != ERR_CLOSED || !ask_once(client, question, deadline, &reply, err)))
		return false;
	good = proxymap_get_answer(&reply.in, arena, answer, err);
	ipc_reply_free(&reply);
	return good;
}

/* --- connections --- */

bool proxymap_put_connect(struct ipc_out *m, uint32_t request, struct slice server)
{
	if (server.len > PROXYMAP_TABLE_MAX)
		return false;
	ipc_out_start(m, PROXYMAP_CONNECT, request);
	ipc_put_bytes(m, FIELD_TABLE, server);
	return !m->failed;
}

bool proxymap_get_connect(const struct ipc_in *m, struct slice *server)
{
	return m->type == PROXYMAP_CONNECT && ipc_get_bytes(m, FIELD_TABLE, server) && server->len > 0 &&
	       server->len <= PROXYMAP_TABLE_MAX;
}

bool proxymap_put_connected(struct ipc_out *m, uint32_t request, int fd)
{
	ipc_out_start(m, PROXYMAP_CONNECTED, request);
	ipc_put_fd(m, fd);
	return !m->failed;
}

int proxymap_connect(struct ipc_client *client, struct slice server, double deadline, struct err *err)
{
	struct ipc_reply reply;
	struct slice text;
	struct ipc_out m;
	int fd = -1;

	if (!ipc_client_connect(client, deadline, err))
		return -1;
	if (!proxymap_put_connect(&m, ipc_client_request(client), server)) {
		err_set(err, ERR_LIMIT, "the name of the server is too long");
		return -1;
	}
	if (!ipc_client_call(client, &m, deadline, &reply, err))
		return -1;
	if (reply.in.type == PROXYMAP_CONNECTED)
		fd = ipc_take_fd(&reply.in, 0);
	if (fd < 0 && reply.in.type == PROXYMAP_ANSWER && ipc_get_bytes(&reply.in, FIELD_TEXT, &text))
		err_set(err, ERR_TEMPORARY, "%.*s", SLICE_FMT(slice_sub(text, 0, 200)));
	else if (fd < 0)
		err_set(err, ERR_SYNTAX, "malformed answer from proxymap");
	ipc_reply_free(&reply);
	return fd;
}
