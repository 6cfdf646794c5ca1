// SPDX-License-Identifier: ISC
/*
 * Preloaded into the daemons: reads and writes of files do less than they were asked to, as the
 * system allows at any time and hardly ever does.  Every second call with more than a byte is cut
 * to a random part; others fail with EINTR before they have done anything.  Sockets and pipes stay
 * as they are (they are short by themselves, and packets must be whole).
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_uint turns;

static int is_file(int fd)
{
	struct stat st;
	int saved = errno;
	int yes = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

	errno = saved;
	return yes;
}

// How much of `len` is done; 0: interrupted.
static size_t part(int fd, size_t len)
{
	unsigned turn;

	if (len < 2 || !is_file(fd))
		return len;
	turn = atomic_fetch_add(&turns, 1);
	if (turn % 7 == 3)
		return 0;
	return turn % 2 ? len : 1 + (size_t)turn * 2654435761u % (len - 1);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static ssize_t interrupted(void)
{
	errno = EINTR;
	return -1;
}

ssize_t read(int fd, void *buf, size_t len)
{
	size_t n = part(fd, len);

	return n == 0 && len > 0 ? interrupted() : REAL(read)(fd, buf, n);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	size_t n = part(fd, len);

	return n == 0 && len > 0 ? interrupted() : REAL(write)(fd, buf, n);
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	size_t n = part(fd, len);

	return n == 0 && len > 0 ? interrupted() : REAL(pread)(fd, buf, n, offset);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	size_t n = part(fd, len);

	return n == 0 && len > 0 ? interrupted() : REAL(pwrite)(fd, buf, n, offset);
}

// What _FORTIFY_SOURCE makes of these.
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (len > room)
		abort();
	return read(fd, buf, len);
}

ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t room)
{
	if (len > room)
		abort();
	return pread(fd, buf, len, offset);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t len)
{
	size_t n = part(in, len);

	return n == 0 && len > 0 ? interrupted() : REAL(sendfile)(out, in, offset, n);
}
