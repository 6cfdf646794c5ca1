/* SPDX-License-Identifier: ISC */
/*
 * resolver_load SOCKET QUESTIONS WINDOW NAME…: asks for A records of the names in turn, WINDOW
 * questions on their way at a time, and prints questions, seconds and how many were answered with records.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/proto/resolver_proto.h"

static struct {
	uint64_t wanted, sent, answered, good;
	char **names;
	size_t name_count;
	struct arena *arena;
} load;

static void send_next(struct ipc_channel *ch)
{
	struct ipc_out m;

	if (load.sent == load.wanted)
		return;
	load.sent++;
	if (!resolver_put_query(&m, (uint32_t)load.sent, slice_of(load.names[load.sent % load.name_count]), DNS_A) ||
	    !ipc_send(ch, &m))
		log_fatal("cannot ask");
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct dns_answer answer;
	struct err err;

	arena_reset(load.arena);
	if (!resolver_get_answer(m, load.arena, &answer, &err))
		log_fatal("%s", err.text);
	load.good += answer.status == DNS_OK && answer.count > 0;
	if (++load.answered == load.wanted)
		loop_stop();
	send_next(ch);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	log_fatal("the resolver closed the connection");
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	uint64_t window;

	if (argc < 5 || !slice_to_u64(slice_of(argv[2]), &load.wanted) || !slice_to_u64(slice_of(argv[3]), &window))
		log_fatal("usage: resolver_load SOCKET QUESTIONS WINDOW NAME...");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		log_fatal("connect to %s: %m", argv[1]);
	load.names = argv + 4;
	load.name_count = (size_t)argc - 4;
	load.arena = arena_create(65536);
	struct ipc_channel *ch = ipc_channel_create(fd, &resolver_protocol, &handler, NULL);
	double start = seconds();

	while (load.sent < window && load.sent < load.wanted)
		send_next(ch);
	loop_run();
	printf("%llu %.6f %llu\n", (unsigned long long)load.answered, seconds() - start,
	       (unsigned long long)load.good);
	return 0;
}
