/* SPDX-License-Identifier: ISC */
/* Each profile lets pass what its group names, and a call outside it kills by SIGSYS. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/process/sandbox.h"

static int ends[2];          /* a socket pair made before the filter */

/* --- what the child tries --- */

static void nothing(void)
{
}

static void work_with_descriptors(void)
{
	char byte = 'x';
	void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || write(ends[0], &byte, 1) != 1 || read(ends[1], &byte, 1) != 1)
		_exit(9);
	munmap(memory, 1 << 20);
	free(malloc(3 << 20));
	if (getpid() <= 0)
		_exit(9);
}

static void execute(void)
{
	char path[] = "/bin/true";
	char *argv[] = { path, NULL };

	execv(path, argv);
}

static void trace(void)
{
	syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static void mount_something(void)
{
	syscall(SYS_mount, "none", "/nowhere", "tmpfs", 0, 0);
}

static void open_for_writing(void)
{
	(void)!syscall(SYS_openat, AT_FDCWD, "/tmp/postrider-sandbox-test", O_WRONLY | O_CREAT, 0600);
}

#ifndef __SANITIZE_ADDRESS__ /* the sanitizers' run time reads files */
static void open_for_reading(void)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		_exit(9);
	close(fd);
}
#endif

static void remove_file(void)
{
	syscall(SYS_unlink, "/tmp/postrider-sandbox-test");
}

static void make_inet_socket(void)
{
	if (syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0)
		_exit(9);
}

static void make_unix_socket(void)
{
	if (syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0)
		_exit(9);
}

static void make_packet_socket(void)
{
	syscall(SYS_socket, AF_PACKET, SOCK_RAW, 0);
}

static void accept_connection(void)
{
	accept4(ends[0], NULL, NULL, SOCK_CLOEXEC);
}

static void fork_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void become_other(void)
{
	/* The one that it is: allowed or killed, but it cannot fail. */
	if (syscall(SYS_setresuid, -1, -1, -1) != 0)
		_exit(9);
}

static void make_code_writable(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void signal_others(void)
{
	kill(getppid(), 0);
}

static void raise_limit(void)
{
	struct rlimit limit = { 64, 64 };

	syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL);
}

static void *in_thread(void *arg)
{
	free(malloc(100000));
	return arg;
}

static void start_thread(void)
{
	pthread_t thread;
	int token = 0;
	void *result = NULL;

	if (pthread_create(&thread, NULL, in_thread, &token) != 0 || pthread_join(thread, &result) != 0 ||
	    result != &token)
		_exit(9);
}

/* --- the table: what each group adds --- */

static const struct attempt {
	const char *name;
	void (*make)(void);
	unsigned groups;      /* any of these lets it pass; 0: nobody may */
} attempts[] = {
	{ "nothing", nothing, SYS_BASE },
	{ "descriptors and memory", work_with_descriptors, SYS_BASE },
	{ "execve", execute, 0 },
	{ "ptrace", trace, 0 },
	{ "mount", mount_something, 0 },
	{ "packet socket", make_packet_socket, 0 },
	{ "raise limit", raise_limit, 0 },
	{ "writable code", make_code_writable, SYS_NSS },
	{ "open for writing", open_for_writing, SYS_WRITE },
	{ "unlink", remove_file, SYS_WRITE },
#ifndef __SANITIZE_ADDRESS__
	{ "open for reading", open_for_reading, SYS_READ | SYS_WRITE | SYS_NSS },
#endif
	{ "inet socket", make_inet_socket, SYS_INET },
	{ "unix socket", make_unix_socket, SYS_UNIX | SYS_NSS },
	{ "accept", accept_connection, SYS_ACCEPT },
	{ "fork", fork_process, SYS_BECOME },
	{ "setresuid", become_other, SYS_BECOME },
	{ "kill", signal_others, SYS_BECOME },
	{ "thread", start_thread, SYS_THREADS | SYS_BECOME },
};

static int attempt_in_child(unsigned profile, void (*make)(void))
{
	struct rlimit no_core = { 0, 0 };
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err;

		setrlimit(RLIMIT_CORE, &no_core);
		if (!sandbox_filter(profile, &err)) {
			fprintf(stderr, "%s\n", err.text);
			_exit(8);
		}
		make();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void check_attempt(const char *who, unsigned profile, const struct attempt *a)
{
	int status = attempt_in_child(profile, a->make);
	bool allowed = profile & a->groups;

	if (allowed && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (!allowed && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return;
	fail_msg("%s: %s should be %s, but wait status is %#x", who, a->name, allowed ? "allowed" : "killed",
		 (unsigned)status);
}

static void each_service_is_held_to_its_profile(void **state)
{
	const struct service_row *row;

	for (size_t i = 0; (row = service_row_at(i)); i++) {
		if (row->flags & SERVICE_NO_PROCESS)
			continue;
		for (size_t k = 0; k < sizeof(attempts) / sizeof(attempts[0]); k++)
			check_attempt(row->command, row->profile, &attempts[k]);
	}
}

static void groups_alone(void **state)
{
	for (size_t k = 0; k < sizeof(attempts) / sizeof(attempts[0]); k++)
		check_attempt("base", SYS_BASE, &attempts[k]);
}

/* The promises of the design, whatever the table becomes. */
static void exposed_services_open_nothing(void **state)
{
	static const char *const exposed[] = { "smtpd", "resolver", "smtp" };

	for (size_t i = 0; i < 3; i++) {
		const struct service_row *row = service_row_find(exposed[i]);

		assert_non_null(row);
		assert_int_equal(row->root, ROOT_EMPTY);
		assert_non_null(row->user);
		assert_false(row->profile & (SYS_READ | SYS_WRITE | SYS_NSS | SYS_BECOME | SYS_UNIX));
	}
	assert_false(service_row_find("smtpd")->profile & SYS_INET);
}

static void table_allows_only_listed(void **state)
{
	assert_true(service_row_allows(service_row_find("cleanup"), "smtpd"));
	assert_true(service_row_allows(service_row_find("smtp"), "qmgr"));
	assert_false(service_row_allows(service_row_find("smtp"), "smtpd"));
	assert_false(service_row_allows(service_row_find("qmgr"), "smtp"));
	assert_false(service_row_allows(service_row_find("cleanup"), ""));
	assert_false(service_row_allows(service_row_find("cleanup"), "smtpd pickup"));
	assert_false(service_row_allows(service_row_find("smtpd"), "qmgr"));
	assert_null(service_row_find("sm"));
	assert_true(service_not_needed("rewrite", "trivial-rewrite"));
	assert_true(service_not_needed("proxywrite", "proxymap"));
	assert_false(service_not_needed("proxymap", "proxymap"));
	assert_false(service_not_needed("resolver", "resolver"));
	assert_false(service_not_needed("cleanup", "cleanup"));
}

static void rootless_refuses_privileges(void **state)
{
	struct sandbox_plan plan = { .row = service_row_find("smtpd"), .mail_owner = "nobody",
				     .queue_directory = "/tmp", .rootless = true };
	struct err err = { 0 };
	int status;
	pid_t pid;

	if (getuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(sandbox_enter(&plan, &err) ? 1 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void root_is_left(void **state)
{
	static const struct service_row row = { "test", "nobody", ROOT_EMPTY, SYS_BASE, COUNT_ONE, 0, "" };
	char directory[] = "/tmp/postrider-sandbox-XXXXXX";
	char empty[64];
	struct sandbox_plan plan = { .row = &row, .queue_directory = directory };
	int status;
	pid_t pid;

	if (getuid() != 0)
		skip();
	assert_non_null(mkdtemp(directory));
	snprintf(empty, sizeof(empty), "%s/empty", directory);
	assert_int_equal(mkdir(empty, 0755), 0);
	pid = fork();
	if (pid == 0) {
		struct err err = { 0 };
		struct stat st;

		if (!sandbox_enter(&plan, &err)) {
			fprintf(stderr, "%s\n", err.text);
			_exit(2);
		}
		_exit(getuid() == 0 || geteuid() == 0 || getgid() == 0 ||
		      fstatat(AT_FDCWD, "/etc/passwd", &st, 0) == 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* Writable by others: refused. */
	assert_int_equal(chmod(empty, 0777), 0);
	pid = fork();
	if (pid == 0) {
		struct err err = { 0 };

		_exit(sandbox_enter(&plan, &err) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	rmdir(empty);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_service_is_held_to_its_profile),
		cmocka_unit_test(groups_alone),
		cmocka_unit_test(exposed_services_open_nothing),
		cmocka_unit_test(table_allows_only_listed),
		cmocka_unit_test(rootless_refuses_privileges),
		cmocka_unit_test(root_is_left),
	};

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
