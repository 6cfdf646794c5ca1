/* SPDX-License-Identifier: ISC */
#include "common/process/process.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/ipc.h"
#include "common/process/control.h"
#include "common/process/file_stamp.h"
#include "common/process/sandbox.h"

#define MAX_LISTENERS     256
#define MAX_OVERRIDES     256
#define BUSY_REPORT_DELAY 0.1   /* seconds; the first change is told at once */
#define PEER_CHECK_EVERY  5.0
#define ACCEPT_PAUSE      1.0   /* when descriptors are out */

#ifdef __SANITIZE_ADDRESS__
/* The leak check at exit needs ptrace and /proc, which the sandbox takes away. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}
#endif

struct arguments {
	const char *service;
	const char *config_dir;
	struct config_override overrides[MAX_OVERRIDES];
	size_t override_count;
	long sockets;
	long maxproc;
	long idle;
	bool rootless;
	bool log_is_syslog;
};

struct waiter {
	struct waiter *next;
	uint32_t request;
	struct task_event event;
	bool answered;
	int fd;
	struct err err;
};

/* A connection that master gave us; its inode tells whether the callee has closed it. */
struct given_peer {
	struct given_peer *next;
	uint64_t number;
	int fd;
	ino_t inode;
	bool told;               /* that we retire */
};

struct watched_file {
	struct watched_file *next;
	char *path;
	uint64_t stamp;
};

static struct {
	struct process_info info;
	const struct process_ops *ops;
	const struct service_row *row;
	struct ipc_channel *control;
	ev_io listeners[MAX_LISTENERS];
	size_t listener_count;
	ev_timer accept_pause;
	ev_timer busy_report;
	ev_timer peer_check;
	ev_timer idle;
	ev_timer last;                 /* the time is up */
	ev_timer leave;                /* leaves the loop from the main stack */
	ev_signal terminate;
	struct waiter *waiters;
	struct given_peer *peers;
	struct watched_file *files;
	uint32_t last_request;
	int busy;
	int busy_told;
	double max_idle;
	bool accepting;
	bool paused;
	bool retiring;
	bool stopping;
	bool released;                 /* master sends nothing more: we may go */
} me;

const struct process_info *process_info(void)
{
	return &me.info;
}

bool process_retiring(void)
{
	return me.retiring;
}

bool process_stopping(void)
{
	return me.stopping;
}

/* --- telling master --- */

static void tell_number(enum control_type type, enum control_field field, uint64_t value)
{
	struct ipc_out m;

	if (!me.control)
		return;
	ipc_out_start(&m, type, 0);
	ipc_put_u64(&m, field, value);
	ipc_send(me.control, &m);
}

static void tell_busy(void)
{
	if (me.busy == me.busy_told)
		return;
	me.busy_told = me.busy;
	tell_number(CONTROL_BUSY, CONTROL_COUNT, (uint64_t)me.busy);
}

static void on_busy_report(struct ev_loop *loop, ev_timer *timer, int events)
{
	tell_busy();
}

static void on_leave(struct ev_loop *loop, ev_timer *timer, int events)
{
	loop_stop();
}

static void leave_if_done(void)
{
	if (me.retiring && me.busy == 0 && (me.released || !me.control) && !ev_is_active(&me.leave))
		ev_timer_start(loop_get(), &me.leave);
}

void process_busy(int change)
{
	me.busy += change;
	BUG_IF(me.busy < 0);
	if (!ev_is_active(&me.busy_report) && me.control) {
		if (me.busy_told == 0)
			tell_busy();
		ev_timer_set(&me.busy_report, BUSY_REPORT_DELAY, 0);
		ev_timer_start(loop_get(), &me.busy_report);
	}
	if (me.max_idle > 0)
		ev_timer_again(loop_get(), &me.idle);
	leave_if_done();
}

/* --- accepting --- */

static void watch_listeners(void)
{
	bool on = me.accepting && !me.paused && !me.retiring;

	for (size_t i = 0; i < me.listener_count; i++) {
		if (on)
			ev_io_start(loop_get(), &me.listeners[i]);
		else
			ev_io_stop(loop_get(), &me.listeners[i]);
	}
}

void process_accepting(bool on)
{
	me.accepting = on;
	watch_listeners();
}

static void on_accept_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	me.paused = false;
	watch_listeners();
}

/* One at a time, so that processes that share the socket share the work. */
static void on_connection(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);
	int fd = accept4(watcher->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		if (me.ops->accept) {
			me.ops->accept(fd, (struct sockaddr *)&peer, len);
		} else {
			close(fd);
			if (me.ops->wakeup)
				me.ops->wakeup();
		}
		return;
	}
	if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
		return; /* another process had it, or the client has gone */
	log_warning("accept connection: %s; pausing for a second", strerror(errno));
	me.paused = true;
	watch_listeners();
	ev_timer_set(&me.accept_pause, ACCEPT_PAUSE, 0);
	ev_timer_start(loop, &me.accept_pause);
}

static bool adopt_listeners(long count, struct err *err)
{
	if (count < 0 || count > MAX_LISTENERS)
		return err_set(err, ERR_PERMANENT, "%ld listening sockets: at most %d", count, MAX_LISTENERS);
	for (int i = 0; i < count; i++) {
		int fd = CONTROL_LISTEN_FD + i;
		int flags = fcntl(fd, F_GETFL);

		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
		    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
			return err_set_errno(err, ERR_PERMANENT, "listening socket %d", fd);
		ev_io_init(&me.listeners[i], on_connection, fd, EV_READ);
	}
	me.listener_count = (size_t)count;
	return true;
}

/* --- the end --- */

static void on_last(struct ev_loop *loop, ev_timer *timer, int events)
{
	log_debug(1, "time to finish is up; %d left", me.busy);
	loop_stop();
}

static void finish_within(double seconds)
{
	if (ev_is_active(&me.last))
		return;
	ev_timer_set(&me.last, seconds, 0);
	ev_timer_start(loop_get(), &me.last);
}

static bool still_there(const struct given_peer *peer)
{
	struct stat st;

	return fstat(peer->fd, &st) == 0 && st.st_ino == peer->inode;
}

/* Peers finish what they have begun with us, and go to our successor with the rest. */
static void say_bye(void)
{
	if (me.stopping)
		return;
	for (struct given_peer *peer = me.peers; peer; peer = peer->next)
		if (!peer->told && still_there(peer))
			peer->told = ipc_say_bye(peer->fd);
}

void process_retire(const char *reason)
{
	struct ipc_out m;

	if (me.retiring)
		return;
	me.retiring = true;
	watch_listeners();
	for (size_t i = 0; i < me.listener_count; i++)
		close(me.listeners[i].fd);
	me.listener_count = 0;
	log_debug(1, "retiring: %s", reason);
	if (me.control && !me.released) {
		ipc_out_start(&m, CONTROL_RETIRING, 0);
		ipc_put_text(&m, CONTROL_TEXT, reason);
		ipc_send(me.control, &m);
	}
	say_bye();
	if (me.ops->retire)
		me.ops->retire();
	leave_if_done();
}

static void on_terminate(struct ev_loop *loop, ev_signal *watcher, int events)
{
	me.stopping = true;
	finish_within(CONTROL_LAST_SECONDS);
	process_retire("told to stop");
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
	/* Who has connections is wanted, though nothing moves. */
	if (me.busy == 0 && !me.peers)
		process_retire("idle");
	else
		ev_timer_again(loop, timer);
}

/* --- files that were read --- */

void process_watch_file(const char *path)
{
	struct watched_file *file = mem_alloc(sizeof(*file));

	file->path = mem_strdup(path);
	file->stamp = file_stamp(path);
	file->next = me.files;
	me.files = file;
}

static void report_files(void)
{
	struct watched_file *file;

	while ((file = me.files)) {
		struct ipc_out m;

		ipc_out_start(&m, CONTROL_WATCH, 0);
		ipc_put_text(&m, CONTROL_TEXT, file->path);
		ipc_put_u64(&m, CONTROL_NUMBER, file->stamp);
		if (me.control)
			ipc_send(me.control, &m);
		me.files = file->next;
		free(file->path);
		free(file);
	}
}

/* --- connections by the switchboard --- */

static void on_peer_check(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct given_peer **link = &me.peers;

	if (me.retiring)
		say_bye();
	while (*link) {
		struct given_peer *peer = *link;

		if (still_there(peer)) {
			link = &peer->next;
			continue;
		}
		*link = peer->next;
		tell_number(CONTROL_PEER_GONE, CONTROL_NUMBER, peer->number);
		free(peer);
	}
	if (!me.peers)
		ev_timer_stop(loop, timer);
}

static void take_peer(struct ipc_in *m)
{
	struct given_peer *peer;
	struct slice role;
	struct stat st;
	uint64_t number;
	char name[64];
	int fd = ipc_take_fd(m, 0);

	if (fd < 0)
		return;
	if (!me.ops->peer || !ipc_get_bytes(m, CONTROL_ROLE, &role) || !ipc_get_u64(m, CONTROL_NUMBER, &number) ||
	    fstat(fd, &st) != 0) {
		close(fd);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", SLICE_FMT(role));
	peer = mem_alloc(sizeof(*peer));
	*peer = (struct given_peer){ .next = me.peers, .number = number, .fd = fd, .inode = st.st_ino };
	me.peers = peer;
	if (!ev_is_active(&me.peer_check))
		ev_timer_again(loop_get(), &me.peer_check);
	me.ops->peer(fd, name);
	if (me.retiring)
		say_bye();
}

static void take_answer(struct ipc_in *m)
{
	struct waiter *w = me.waiters;
	struct slice text;
	uint64_t code = ERR_TEMPORARY;

	while (w && w->request != m->request)
		w = w->next;
	if (!w || w->answered)
		return;
	w->answered = true;
	w->fd = ipc_take_fd(m, 0);
	if (w->fd < 0) {
		(void)ipc_get_u64(m, CONTROL_CODE, &code);
		(void)ipc_get_bytes(m, CONTROL_TEXT, &text);
		err_set(&w->err, code == ERR_PERMANENT ? ERR_PERMANENT : ERR_TEMPORARY, "%.*s", SLICE_FMT(text));
	}
	task_event_signal(&w->event);
}

static void await_answer(struct waiter *w, const char *service, double deadline)
{
	while (!w->answered) {
		enum task_wait result = task_event_wait(&w->event, deadline);

		if (w->answered)
			break;
		if (result == TASK_TIMEOUT) {
			err_set(&w->err, ERR_TEMPORARY, "connect to service %s: timed out", service);
			break;
		}
		if (result == TASK_CANCELLED) {
			err_set(&w->err, ERR_CANCELLED, "connect to service %s: cancelled", service);
			break;
		}
	}
}

int process_connect(const char *service, double deadline, struct err *err)
{
	struct waiter w = { .fd = -1 };
	struct ipc_out m;

	if (!me.control || !task_current()) {
		err_set(err, ERR_TEMPORARY, "connect to service %s: master is not there", service);
		return -1;
	}
	if (++me.last_request == 0)
		me.last_request = 1;
	w.request = me.last_request;
	ipc_out_start(&m, CONTROL_CONNECT, w.request);
	ipc_put_text(&m, CONTROL_SERVICE, service);
	if (!ipc_send(me.control, &m)) {
		err_set(err, ERR_TEMPORARY, "connect to service %s: cannot ask master", service);
		return -1;
	}
	w.next = me.waiters;
	me.waiters = &w;
	await_answer(&w, service, deadline);

	struct waiter **link = &me.waiters;

	while (*link != &w)
		link = &(*link)->next;
	*link = w.next;
	if (w.fd < 0 && err)
		*err = w.err;
	return w.fd;
}

/* --- what master says --- */

static void on_control(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	uint64_t syslog = 0;
	int fd;

	switch (m->type) {
	case CONTROL_CONNECTED:
		take_answer(m);
		break;
	case CONTROL_PEER:
		take_peer(m);
		break;
	case CONTROL_RETIRE:
		me.released = true;
		process_retire("told by master");
		leave_if_done();
		break;
	case CONTROL_WAKEUP:
		if (me.ops->wakeup)
			me.ops->wakeup();
		break;
	case CONTROL_LOG:
		(void)ipc_get_u64(m, CONTROL_COUNT, &syslog);
		fd = ipc_take_fd(m, 0);
		if (fd >= 0)
			log_replace_fd(fd, syslog == 1);
		break;
	}
}

static void on_control_lost(struct ipc_channel *ch, void *context)
{
	log_debug(1, "master is gone");
	ipc_channel_free(&me.control);
	for (struct waiter *w = me.waiters; w; w = w->next) {
		if (w->answered)
			continue;
		w->answered = true;
		err_set(&w->err, ERR_TEMPORARY, "master is gone");
		task_event_signal(&w->event);
	}
	me.released = true;
	me.stopping = true;
	finish_within(CONTROL_LAST_SECONDS);
	process_retire("master is gone");
	leave_if_done();
}

/* --- start --- */

static bool parse_override(struct arguments *args, char *text, struct err *err)
{
	char *equals = strchr(text, '=');

	if (!equals || args->override_count >= MAX_OVERRIDES - 2)
		return err_set(err, ERR_SYNTAX, "-o %s: expected name=value, at most %d", text, MAX_OVERRIDES - 2);
	*equals = '\0';
	args->overrides[args->override_count++] = (struct config_override){ text, equals + 1 };
	return true;
}

static bool parse_number(const char *text, long *value, struct err *err)
{
	int64_t number;

	if (!slice_to_i64(slice_of(text), &number) || number < -1 || number > 1000000)
		return err_set(err, ERR_SYNTAX, "argument %s: expected a number", text);
	*value = (long)number;
	return true;
}

static bool parse_arguments(int argc, char **argv, struct arguments *args, struct err *err)
{
	bool ok = true;
	int c;

	while (ok && (c = getopt(argc, argv, "+n:t:c:s:l:i:o:uL")) != -1) {
		switch (c) {
		case 'n':
			args->service = optarg;
			break;
		case 't':
			break;
		case 'c':
			args->config_dir = optarg;
			break;
		case 's':
			ok = parse_number(optarg, &args->sockets, err);
			break;
		case 'l':
			ok = parse_number(optarg, &args->maxproc, err);
			break;
		case 'i':
			ok = parse_number(optarg, &args->idle, err);
			break;
		case 'o':
			ok = parse_override(args, optarg, err);
			break;
		case 'u':
			args->rootless = true;
			break;
		case 'L':
			args->log_is_syslog = true;
			break;
		default:
			ok = err_set(err, ERR_SYNTAX, "unknown argument");
		}
	}
	if (ok && !args->service)
		ok = err_set(err, ERR_SYNTAX, "no -n service");
	return ok;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* "postfix/smtpd", or with -o syslog_name=postfix/submission "postfix/submission/smtpd". */
static void open_log(const struct config *config, bool syslog)
{
	struct str name = { 0 };

	str_printf(&name, "%s/%s", config_text(config, "syslog_name"), me.info.command);
	log_open(str_cstr(&name), CONTROL_LOG_FD, syslog);
	str_free(&name);
}

static bool is_control_socket(void)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static void set_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* glibc would read /proc when it trims the arenas of other threads. */
	mallopt(M_ARENA_MAX, 1);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	for (int fd = CONTROL_FD; fd < CONTROL_LISTEN_FD; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void load_config(struct arguments *args)
{
	struct err err = { 0 };

	/* First, so that master.cf's own -o may name them. */
	memmove(args->overrides + 2, args->overrides, args->override_count * sizeof(args->overrides[0]));
	args->overrides[0] = (struct config_override){ "process_name", me.info.command };
	args->overrides[1] = (struct config_override){ "service_name", args->service };
	args->override_count += 2;
	me.info.config = config_load_copy(args->config_dir, CONTROL_MAIN_CF_FD, args->overrides, args->override_count, &err);
	if (!me.info.config)
		log_fatal("%s", err.text);
}

static void prepare(int argc, char **argv, struct arguments *args)
{
	struct err err = { 0 };

	me.info.command = base_name(argv[0]);
	me.row = service_row_find(me.info.command);
	if (!me.row || !is_control_socket())
		log_fatal("%s is started by master, not by hand", me.info.command);
	set_limits();
	if (!parse_arguments(argc, argv, args, &err))
		log_fatal("%s", err.text);
	me.info.service = args->service;
	me.info.argv = (const char *const *)argv + optind;
	me.info.argc = argc - optind;
	me.info.rootless = args->rootless;
	me.info.process_limit = (int)args->maxproc;
	load_config(args);
	open_log(me.info.config, args->log_is_syslog);
	for (int i = 0; i < me.info.argc; i++)
		if (strcmp(me.info.argv[i], "-v") == 0)
			log_set_verbose(log_verbose() + 1);
	if (!adopt_listeners(args->sockets, &err))
		log_fatal("%s", err.text);
}

static void give_up_privileges(void)
{
	struct service_row row = *me.row;
	enum service_root root = row.root;
	struct err err = { 0 };
	struct sandbox_plan plan = {
		.row = &row,
		.mail_owner = config_text(me.info.config, "mail_owner"),
		.queue_directory = config_text(me.info.config, "queue_directory"),
		.rootless = me.info.rootless,
	};

	if (me.ops->narrow) {
		me.ops->narrow(&row.profile, &root);
		row.profile &= me.row->profile;
		row.root = root == ROOT_EMPTY ? ROOT_EMPTY : row.root;
	}
	tzset();
	if (!sandbox_enter(&plan, &err))
		log_fatal("sandbox: %s", err.text);
}

static void serve(long idle)
{
	static const struct ipc_protocol protocol = CONTROL_PROTOCOL;
	static const struct ipc_handler handler = { .on_message = on_control, .on_close = on_control_lost };
	struct ev_loop *loop = loop_get();
	struct ipc_out m;

	ev_timer_init(&me.accept_pause, on_accept_pause, 0, 0);
	ev_timer_init(&me.busy_report, on_busy_report, 0, 0);
	ev_timer_init(&me.peer_check, on_peer_check, 0, PEER_CHECK_EVERY);
	ev_timer_init(&me.last, on_last, 0, 0);
	ev_timer_init(&me.leave, on_leave, 0, 0);
	ev_timer_init(&me.idle, on_idle, 0, (double)idle);
	ev_signal_init(&me.terminate, on_terminate, SIGTERM);
	ev_signal_start(loop, &me.terminate);
	me.max_idle = (double)idle;
	if (idle > 0)
		ev_timer_again(loop, &me.idle);
	me.control = ipc_channel_create(CONTROL_FD, &protocol, &handler, NULL);
	if (me.ops->start)
		me.ops->start(&me.info);
	report_files();
	if (me.control) {
		ipc_out_start(&m, CONTROL_READY, 0);
		ipc_send(me.control, &m);
	}
	me.accepting = true;
	watch_listeners();
	loop_run();
}

int process_main(int argc, char **argv, const struct process_ops *ops)
{
	static struct arguments args;
	struct err err = { 0 };

	args.maxproc = -1;
	me.ops = ops;
	prepare(argc, argv, &args);
	if (ops->open && !ops->open(&me.info, &err))
		log_fatal("%s", err.text);
	give_up_privileges();
	serve(args.idle);
	return 0;
}
