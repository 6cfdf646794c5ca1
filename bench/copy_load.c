/* SPDX-License-Identifier: ISC */
/*
 * copy_load FILE BYTES: a child writes BYTES into a socket pair, we read them into FILE and sync it.
 * Prints the CPU seconds of the reader, and of both: what moving a message once costs at least.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/slice.h"

static char buffer[65536];

static void write_all(int fd, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, buffer + done, len - done);

		if (n <= 0)
			log_fatal("write: %m");
		done += (size_t)n;
	}
}

static double cpu(int who)
{
	struct rusage use;

	getrusage(who, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void feed(int fd, uint64_t bytes)
{
	memset(buffer, 'x', sizeof(buffer));
	for (; bytes > sizeof(buffer); bytes -= sizeof(buffer))
		write_all(fd, sizeof(buffer));
	write_all(fd, (size_t)bytes);
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t bytes;
	int pair[2];
	ssize_t n;

	if (argc != 3 || !slice_to_u64(slice_of(argv[2]), &bytes))
		log_fatal("usage: copy_load FILE BYTES");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		log_fatal("socketpair: %m");
	pid_t pid = fork();

	if (pid < 0)
		log_fatal("fork: %m");
	if (pid == 0)
		feed(pair[1], bytes);
	close(pair[1]);
	int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		log_fatal("open %s: %m", argv[1]);
	while ((n = read(pair[0], buffer, sizeof(buffer))) > 0)
		write_all(fd, (size_t)n);
	if (fsync(fd) != 0)
		log_fatal("fsync: %m");
	waitpid(pid, NULL, 0);
	printf("%.6f %.6f\n", cpu(RUSAGE_SELF), cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN));
	unlink(argv[1]);
	return 0;
}
