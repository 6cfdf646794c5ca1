/* SPDX-License-Identifier: ISC */
/*
 * master: starts, watches, connects, reloads and stops all other processes.
 *
 *   master [-c config_dir] [-s] [-w] [-t] [-v]
 *
 * Goes to the background and returns when all is started, or with status 1 and the reason on
 * standard error; -w says the same.  -s stays in the foreground.  -t only tells by its
 * status whether a master runs: 0 none does, 1 one does.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/process/instance.h"
#include "master/plan.h"
#include "master/service.h"
#include "master/status.h"
#include "master/switchboard.h"
#include "master/watch.h"

#define ALIVE_WAIT     20       /* seconds that processes of a master that died get to finish */
#define WATCH_EVERY   2        /* seconds between looks at files that processes have read */
#define LOG_CHECK      5        /* ticks between looks at the log file */
#define WANTED_FILES   131072

static struct {
	struct plan_options options;
	struct plan *plan;
	bool foreground;
	bool test;
	bool stopping;
	int verbose;
	int notify_fd;          /* parent that waits for us; -1 none */
	int pid_fd;
	int log_fd;
	int alive_fd;
	bool log_is_syslog;
	dev_t log_device;
	ino_t log_inode;
	unsigned ticks;
	ev_signal hup, term, interrupt, quit;
	ev_child children;
	ev_timer tick;
} me = { .notify_fd = -1, .log_fd = -1, .pid_fd = -1, .alive_fd = -1 };

/* --- the log --- */

static bool open_log(const struct config *config, struct err *err)
{
	bool syslog = false;
	struct str name = { 0 };
	int fd = instance_open_log(config, me.foreground, &syslog, err);

	if (fd < 0)
		return false;
	str_printf(&name, "%s/master", config_text(config, "syslog_name"));
	if (me.log_fd >= 0)
		log_replace_fd(fd, syslog);
	else
		log_open(str_cstr(&name), fd, syslog);
	str_free(&name);
	me.log_fd = fd;
	me.log_is_syslog = syslog;
	(void)instance_log_moved(config, &me.log_device, &me.log_inode);
	service_set_shared(me.log_fd, syslog, me.alive_fd);
	return true;
}

static void renew_log(void)
{
	struct err err = { 0 };

	if (!open_log(me.plan->config, &err))
		log_warning("%s; the old log stays in use", err.text);
	else
		service_send_log(me.log_fd, me.log_is_syslog);
}

/* --- running --- */

static void finish(int exit_status)
{
	log_info("stopped");
	status_close();
	exit(exit_status);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	service_tick(loop_now());
	switchboard_tick(loop_now());
	if (me.stopping && !service_any())
		finish(0);
	if (!me.stopping && me.ticks % WATCH_EVERY == 0)
		watch_look();
	if (++me.ticks % LOG_CHECK == 0 && instance_log_moved(me.plan->config, &me.log_device, &me.log_inode))
		renew_log();
}

static void on_child(struct ev_loop *loop, ev_child *watcher, int events)
{
	service_reap(watcher->rpid, watcher->rstatus);
	if (me.stopping && !service_any())
		finish(0);
}

static void on_stop(struct ev_loop *loop, ev_signal *watcher, int events)
{
	if (me.stopping)
		return;
	me.stopping = true;
	log_info("terminating on signal %d", watcher->signum);
	service_stop_all();
	if (!service_any())
		finish(0);
}

static void on_abort(struct ev_loop *loop, ev_signal *watcher, int events)
{
	me.stopping = true;
	log_info("aborting on signal %d", watcher->signum);
	service_kill_all();
	if (!service_any())
		finish(0);
}

/* Directories and sockets that a running instance cannot move. */
static bool same_place(const struct config *old, const struct config *new, struct err *err)
{
	static const char *const names[] = { "queue_directory", "data_directory", NULL };

	for (size_t i = 0; names[i]; i++)
		if (strcmp(config_text(old, names[i]), config_text(new, names[i])) != 0)
			return err_set(err, ERR_PERMANENT, "%s has changed: stop and start for that", names[i]);
	return true;
}

static void on_reload(struct ev_loop *loop, ev_signal *watcher, int events)
{
	struct err err = { 0 };
	struct plan *old = me.plan;
	struct plan *plan;

	if (me.stopping)
		return;
	plan = plan_load(&me.options, &err);
	if (plan && !same_place(old->config, plan->config, &err))
		plan_abandon(&plan);
	if (!plan) {
		log_error("reload: %s; the old configuration stays in use", err.text);
		return;
	}
	plan_commit(plan);
	me.plan = plan;
	renew_log();
	service_apply(plan);
	plan_free(&old);
	log_info("reload -- version Postrider, configuration %s", config_dir(plan->config));
}

static void watch(void)
{
	struct ev_loop *loop = loop_get();

	ev_signal_init(&me.hup, on_reload, SIGHUP);
	ev_signal_init(&me.term, on_stop, SIGTERM);
	ev_signal_init(&me.interrupt, on_stop, SIGINT);
	ev_signal_init(&me.quit, on_abort, SIGQUIT);
	ev_signal_start(loop, &me.hup);
	ev_signal_start(loop, &me.term);
	ev_signal_start(loop, &me.interrupt);
	ev_signal_start(loop, &me.quit);
	ev_child_init(&me.children, on_child, 0, 0);
	ev_child_start(loop, &me.children);
	ev_timer_init(&me.tick, on_tick, 1, 1);
	ev_timer_start(loop, &me.tick);
}

/* --- start --- */

static _Noreturn void fail(const char *text)
{
	if (me.log_fd >= 0)
		log_error("%s", text);
	if (me.notify_fd >= 0) {
		if (write(me.notify_fd, text, strlen(text)) < 0)
			_exit(1);
	} else if (me.log_fd < 0 || !me.foreground || me.log_is_syslog) {
		fprintf(stderr, "postrider: fatal: %s\n", text);
	}
	_exit(1);
}

/* The parent stays till the child says "+" (started), or why it cannot. */
static void wait_for_start(int fd)
{
	char text[512];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
	if (len == 1 && text[0] == '+')
		_exit(0);
	fprintf(stderr, "postrider: fatal: %s\n", len ? text : "master died at start; see the log");
	_exit(1);
}

static void to_background(void)
{
	int pipes[2];
	pid_t pid;
	int null;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		fail("no pipe can be made");
	pid = fork();
	if (pid < 0)
		fail("cannot fork");
	if (pid > 0) {
		close(pipes[1]);
		wait_for_start(pipes[0]);
	}
	close(pipes[0]);
	me.notify_fd = pipes[1];
	if (setsid() < 0)
		fail("cannot leave the terminal");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		fail("cannot open /dev/null");
	close(null);
}

/*
 * Processes of a master that was killed hold this lock till they have finished:
 * two queue managers must not work on one queue.
 */
static void await_survivors(const struct config *config)
{
	struct str path = { 0 };
	struct stat st;

	str_printf(&path, "%s/master.lock", config_text(config, "data_directory"));
	/* data_directory belongs to mail_owner, who must not lead us elsewhere. */
	me.alive_fd = open(str_cstr(&path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (me.alive_fd < 0 || fstat(me.alive_fd, &st) != 0 || !S_ISREG(st.st_mode))
		fail("cannot open master.lock in data_directory");
	str_free(&path);
	for (int i = 0; flock(me.alive_fd, LOCK_EX | LOCK_NB) != 0; i++) {
		if (i == 0)
			log_info("waiting for processes of a master that died");
		if (i == ALIVE_WAIT * 10)
			fail("processes of a master that died do not end: find and kill them");
		usleep(100000);
	}
}

static void raise_limits(void)
{
	struct rlimit limit;

	umask(022);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_max < WANTED_FILES) {
		struct rlimit more = { WANTED_FILES, WANTED_FILES };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void take_instance(const struct config *config)
{
	struct err err = { 0 };
	struct str report = { 0 };
	pid_t other;

	if (!instance_make_directories(config, me.options.rootless, &report, &err))
		fail(err.text);
	me.pid_fd = instance_lock(config, &other, &err);
	if (me.pid_fd < 0)
		fail(err.text);
	if (!open_log(config, &err))
		fail(err.text);
	struct slice left = str_slice(&report), line;

	while (slice_word(&left, "\n", &line))
		log_warning("%.*s", SLICE_FMT(line));
	str_free(&report);
	await_survivors(config);
	service_set_shared(me.log_fd, me.log_is_syslog, me.alive_fd);
	if (!instance_write_pid(me.pid_fd, &err))
		fail(err.text);
}

static void start(void)
{
	struct err err = { 0 };
	struct config *config = config_load(me.options.config_dir, NULL, 0, &err);

	if (!config)
		fail(err.text);
	/* Standard output may be the log; it is opened again when it is /dev/stdout. */
	if (!me.foreground && strcmp(config_text(config, "maillog_file"), "/dev/stdout") == 0)
		fail("maillog_file = /dev/stdout needs the foreground: postrider start-fg");
	if (!me.foreground)
		to_background();
	take_instance(config);
	me.plan = plan_load(&me.options, &err);
	if (!me.plan)
		fail(err.text);
	plan_commit(me.plan);
	if (!status_open(config, me.options.rootless, &err))
		fail(err.text);
	config_free(&config);
	watch();
	service_apply(me.plan);
	log_info("daemon started -- version Postrider, configuration %s", config_dir(me.plan->config));
	if (me.notify_fd >= 0) {
		if (write(me.notify_fd, "+", 1) != 1)
			log_warning("nobody waits for the start");
		close(me.notify_fd);
		me.notify_fd = -1;
	}
}

static _Noreturn void test_running(void)
{
	struct err err = { 0 };
	struct config *config = config_load(me.options.config_dir, NULL, 0, &err);
	pid_t pid = config ? instance_running(config, &err) : -1;

	if (config)
		config_free(&config);
	if (pid < 0)
		fail(err.text);
	exit(pid > 0 ? 1 : 0);
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "c:swtvd")) != -1) {
		switch (c) {
		case 'c':
			me.options.config_dir = optarg;
			break;
		case 's':
		case 'd':
			me.foreground = true;
			break;
		case 'w':
			break;
		case 't':
			me.test = true;
			break;
		case 'v':
			log_set_verbose(log_verbose() + 1);
			break;
		default:
			fputs("usage: master [-c config_dir] [-s] [-w] [-t] [-v]\n", stderr);
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	me.options.rootless = geteuid() != 0;
	if (me.test)
		test_running();
	raise_limits();
	start();
	loop_run();
	return 0;
}
