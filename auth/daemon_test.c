/* SPDX-License-Identifier: ISC */
/*
 * The daemon as a whole, in its sandbox, with this test as its master and its smtpd: a table, a
 * Dovecot and a Cyrus SASL database that the test makes.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <pwd.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/str.h"
#include "common/process/control.h"
#include "common/proto/auth_proto.h"
#include "common/sasl/client.h"
#include "common/sasl/password.h"

static struct {
	char folder[64];
	char binary[4200];
	pid_t daemon, dovecot;
	struct ipc_channel *control;
	struct ipc_client *client;
	struct task_group tasks;
	int refused_connections;     /* that the daemon asked us for */
	bool retiring;
	int failures;
} me;

/* A failed assert would jump from a task's stack to the main one. */
static void check(bool good, const char *what, int line)
{
	if (good)
		return;
	fprintf(stderr, "%s:%d: %s\n", __FILE__, line, what);
	me.failures++;
}
#define CHECK(condition) check(condition, #condition, __LINE__)

/* --- files --- */

static const char *in_folder(const char *name)
{
	static char paths[8][128];
	static int next;

	next = (next + 1) % 8;
	snprintf(paths[next], sizeof(paths[next]), "%s/%s", me.folder, name);
	return paths[next];
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(in_folder(name), "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	struct str command = { 0 };
	va_list ap;

	va_start(ap, format);
	str_vprintf(&command, format, ap);
	va_end(ap);
	assert_int_equal(system(str_cstr(&command)), 0);
	str_free(&command);
}

static int make_folder(void **state)
{
	ssize_t len = readlink("/proc/self/exe", me.binary, sizeof(me.binary) - 1);
	char *at;

	/* BUILD/test/auth/daemon_test → BUILD/libexec/auth */
	me.binary[len > 0 ? len : 0] = '\0';
	at = strstr(me.binary, "/test/auth/");
	if (!at)
		return -1;
	snprintf(at, sizeof(me.binary) - (size_t)(at - me.binary), "/libexec/auth");
	if (getuid() == 0 && !getpwnam("postrider-login") && system("sh tools/create-users.sh") != 0)
		return -1;
	snprintf(me.folder, sizeof(me.folder), "/tmp/auth_test.XXXXXX");
	if (!mkdtemp(me.folder) || chmod(me.folder, 0755) != 0)
		return -1;
	mkdir(in_folder("queue"), 0755);
	mkdir(in_folder("queue/empty"), 0755);
	mkdir(in_folder("data"), 0755);
	mkdir(in_folder("sasl"), 0755);
	me.failures = me.refused_connections = 0;
	me.retiring = false;
	return 0;
}

/* --- the daemon --- */

static void on_control(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct ipc_out out;

	if (m->type == CONTROL_RETIRING)
		me.retiring = true;
	if (m->type != CONTROL_CONNECT)
		return;
	me.refused_connections++;
	ipc_out_start(&out, CONTROL_CONNECTED, m->request);
	ipc_put_u64(&out, CONTROL_CODE, ERR_TEMPORARY);
	ipc_put_text(&out, CONTROL_TEXT, "not in this test");
	ipc_send(ch, &out);
}

static void on_control_close(struct ipc_channel *ch, void *context)
{
	ipc_channel_free(&me.control);
}

/* Gives the daemon a peer, as master does when smtpd asks for one. */
static int connect_auth(const char *service, double deadline, struct err *err)
{
	static uint64_t number;
	struct ipc_out out;
	int pair[2];
	bool sent;

	if (!me.control || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		err_set(err, ERR_TEMPORARY, "no daemon");
		return -1;
	}
	ipc_out_start(&out, CONTROL_PEER, 0);
	ipc_put_text(&out, CONTROL_ROLE, "smtpd");
	ipc_put_u64(&out, CONTROL_NUMBER, ++number);
	ipc_put_fd(&out, pair[1]);
	sent = ipc_send(me.control, &out);
	close(pair[1]);
	if (sent)
		return pair[0];
	close(pair[0]);
	err_set(err, ERR_TEMPORARY, "no daemon");
	return -1;
}

static void exec_daemon(int control, int main_cf)
{
	int log = open(in_folder("log"), O_WRONLY | O_CREAT | O_APPEND, 0644);

	/* Out of the way of the numbers that they get. */
	control = fcntl(control, F_DUPFD, 20);
	main_cf = fcntl(main_cf, F_DUPFD, 20);
	log = fcntl(log, F_DUPFD, 20);
	dup2(control, CONTROL_FD);
	dup2(log, CONTROL_LOG_FD);
	dup2(log, CONTROL_ALIVE_FD);
	dup2(main_cf, CONTROL_MAIN_CF_FD);
	if (getuid() == 0)
		execl(me.binary, "auth", "-n", "auth", "-t", "unix", "-c", me.folder, "-s", "0", "-l", "1", "--", NULL);
	else
		execl(me.binary, "auth", "-n", "auth", "-t", "unix", "-c", me.folder, "-s", "0", "-l", "1", "-u", "--", NULL);
	_exit(1);
}

static void start_daemon(const char *settings, const char *master_cf)
{
	static const struct ipc_protocol control = CONTROL_PROTOCOL;
	static const struct ipc_handler handler = { .on_message = on_control, .on_close = on_control_close };
	struct str text = { 0 };
	int pair[2], main_cf;

	str_printf(&text,
		   "myhostname = mail.example.com\nmydomain = example.com\nqueue_directory = %s/queue\n"
		   "data_directory = %s/data\nsmtpd_sasl_auth_enable = yes\n%s",
		   me.folder, me.folder, settings);
	write_file("main.cf", str_cstr(&text));
	write_file("master.cf", master_cf);
	main_cf = open(in_folder("main.cf"), O_RDONLY);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	me.daemon = fork();
	if (me.daemon == 0)
		exec_daemon(pair[1], main_cf);
	close(pair[1]);
	close(main_cf);
	me.control = ipc_channel_create(pair[0], &control, &handler, NULL);
	me.client = ipc_client_create("auth", &auth_protocol, connect_auth);
	str_free(&text);
}

static void show_log(void)
{
	FILE *file = fopen(in_folder("log"), "r");
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		fprintf(stderr, "  %s", line);
	if (file)
		fclose(file);
}

static void stop(pid_t *pid)
{
	int status;

	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	waitpid(*pid, &status, 0);
	/* A system call that its sandbox forbids. */
	CHECK(!WIFSIGNALED(status) || WTERMSIG(status) == SIGTERM);
	*pid = 0;
}

static int clean_up(void **state)
{
	if (me.client)
		ipc_client_free(&me.client);
	if (me.control)
		ipc_channel_free(&me.control);
	stop(&me.daemon);
	stop(&me.dovecot);
	shell("rm -rf %s", me.folder);
	return 0;
}

static void run_task(void (*fn)(void *arg))
{
	assert_non_null(task_spawn(&me.tasks, fn, NULL));
	task_group_run(&me.tasks);
	if (me.failures)
		show_log();
	assert_int_equal(me.failures, 0);
}

/* --- logging in --- */

static const char *service = "submission";

/* With the client's machine: AUTH_OK and the user, or AUTH_FAIL; in the arena. */
static void log_in(const char *mechanism, const char *user, const char *secret, struct arena *arena, struct auth_answer *answer)
{
	struct sasl_credentials credentials = { .user = slice_of(user), .secret = slice_of(secret), .host = SLICE("mail.example.com"),
						.port = 587 };
	struct auth_start start = { .service = slice_of(service), .mechanism = slice_of(mechanism),
				    .client_address = SLICE("192.0.2.7"), .client_port = SLICE("4711"),
				    .local_address = SLICE("192.0.2.1"), .local_port = SLICE("587"), .secured = true };
	struct sasl_client *client;
	struct auth_dialogue dialogue;
	struct str out = { 0 };
	struct err err = { 0 };

	*answer = (struct auth_answer){ .type = AUTH_FAIL, .text = SLICE("client gave up") };
	client = sasl_client_create(mechanism, &credentials, &err);
	if (!client)
		return;
	start.has_response = sasl_client_first(client, &out, &err) == 1;
	start.response = str_slice(&out);
	auth_begin(&dialogue, me.client, &start, loop_now() + 60, arena, answer);
	while (answer->type == AUTH_CHALLENGE) {
		str_clear(&out);
		if (!sasl_client_next(client, answer->text, &out, &err)) {
			auth_cancel(&dialogue);
			*answer = (struct auth_answer){ .type = AUTH_FAIL, .text = arena_slice(arena, slice_of(err.text)) };
			break;
		}
		auth_respond(&dialogue, str_slice(&out), loop_now() + 60, arena, answer);
	}
	if (answer->type == AUTH_OK)
		CHECK(sasl_client_finish(client, &err));
	sasl_client_free(&client);
	str_free(&out);
}

static bool gets_in(const char *mechanism, const char *user, const char *secret, const char *wanted)
{
	struct arena *arena = arena_create(0);
	struct auth_answer answer;
	bool in;

	log_in(mechanism, user, secret, arena, &answer);
	in = answer.type == AUTH_OK && slice_eq(answer.text, slice_of(wanted));
	if (!in)
		fprintf(stderr, "%s %s: %.*s\n", mechanism, user, SLICE_FMT(answer.text));
	arena_free(&arena);
	return in;
}

/* Refused for good, with these words. */
static bool is_refused(const char *mechanism, const char *user, const char *secret, const char *words)
{
	struct arena *arena = arena_create(0);
	struct auth_answer answer;
	bool refused;

	log_in(mechanism, user, secret, arena, &answer);
	refused = answer.type == AUTH_FAIL && !answer.temporary && slice_eq(answer.text, slice_of(words));
	if (!refused)
		fprintf(stderr, "%s %s: %.*s%s\n", mechanism, user, SLICE_FMT(answer.text), answer.temporary ? " (temporary)" : "");
	arena_free(&arena);
	return refused;
}

static bool fails_for_now(const char *mechanism, const char *user, const char *secret)
{
	struct arena *arena = arena_create(0);
	struct auth_answer answer;
	bool temporary;

	log_in(mechanism, user, secret, arena, &answer);
	temporary = answer.type == AUTH_FAIL && answer.temporary;
	arena_free(&arena);
	return temporary;
}

/* "PLAIN:7 LOGIN:7 " */
static bool has_mechanism(const char *name, unsigned properties)
{
	struct arena *arena = arena_create(0);
	struct auth_mechanism list[AUTH_MECHANISMS_MAX];
	struct err err = { 0 };
	size_t count;
	bool found = false;

	if (!auth_mechanisms(me.client, slice_of(service), loop_now() + 60, arena, list, &count, &err))
		fprintf(stderr, "mechanisms: %s\n", err.text);
	for (size_t i = 0; i < count; i++) {
		found |= slice_eq(list[i].name, slice_of(name)) && list[i].properties == properties;
		if (slice_eq(list[i].name, slice_of(name)) && list[i].properties != properties)
			fprintf(stderr, "%s has %u\n", name, list[i].properties);
	}
	arena_free(&arena);
	return found;
}

#define WRONG "authentication failure"

/* --- a table --- */

static void add_entry(struct str *file, const char *user, const char *scheme, const char *password)
{
	struct err err;

	str_printf(file, "%s ", user);
	assert_true(password_hash(scheme, slice_of(password), file, &err));
	str_append_byte(file, '\n');
}

static void make_table(void)
{
	struct str text = { 0 };

	add_entry(&text, "bob", "yescrypt", "secret");
	add_entry(&text, "ann@example.com", "sha512", "geheim");
	add_entry(&text, "eve", "scram-sha-256", "pencil");
	str_append_text(&text, "old $1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\nopen secret\nshut !$y$j9T$abc\n");
	write_file("passwords", str_cstr(&text));
	assert_int_equal(chmod(in_folder("passwords"), 0600), 0);
	str_free(&text);
}

static void table_logins(void *arg)
{
	CHECK(has_mechanism("PLAIN", SASL_PLAINTEXT | SASL_ACTIVE | SASL_DICTIONARY));
	CHECK(has_mechanism("SCRAM-SHA-256", SASL_DICTIONARY | SASL_MUTUAL_AUTH));
	CHECK(!has_mechanism("CRAM-MD5", 0));
	CHECK(gets_in("PLAIN", "bob", "secret", "bob"));
	CHECK(gets_in("LOGIN", "BoB", "secret", "bob"));
	CHECK(gets_in("PLAIN", "ann@example.com", "geheim", "ann@example.com"));
	CHECK(gets_in("PLAIN", "ann", "geheim", "ann@example.com"));
	CHECK(gets_in("PLAIN", "eve", "pencil", "eve"));
	CHECK(gets_in("PLAIN", "old", "password", "old"));
	CHECK(gets_in("SCRAM-SHA-256", "eve", "pencil", "eve"));
	CHECK(is_refused("PLAIN", "bob", "Secret", WRONG));
	CHECK(is_refused("LOGIN", "bob", "secret ", WRONG));
	CHECK(is_refused("PLAIN", "nobody", "secret", WRONG));
	CHECK(is_refused("PLAIN", "shut", "secret", WRONG));
	CHECK(is_refused("SCRAM-SHA-256", "eve", "Pencil", WRONG));
	CHECK(is_refused("SCRAM-SHA-256", "nobody", "pencil", WRONG));
	CHECK(is_refused("SCRAM-SHA-256", "bob", "secret", WRONG));
	CHECK(is_refused("CRAM-MD5", "bob", "secret", "Invalid authentication mechanism"));
	/* An entry in clear is the administrator's mistake, and no answer to the client's question. */
	CHECK(fails_for_now("PLAIN", "open", "secret"));
}

static void test_table(void **state)
{
	struct str settings = { 0 };

	make_table();
	str_printf(&settings,
		   "smtpd_sasl_password_maps = texthash:%s/passwords\nsmtpd_sasl_local_domain = example.com\n"
		   "smtpd_sasl_password_mechanisms = plain, login, scram-sha-256\n",
		   me.folder);
	start_daemon(str_cstr(&settings), "submission inet n - y - - smtpd\n");
	run_task(table_logins);
	str_free(&settings);
}

/* A service with settings of its own, and one without log-ins. */
static void service_logins(void *arg)
{
	service = "submission";
	CHECK(gets_in("PLAIN", "bob", "secret", "bob"));
	service = "smtp";
	CHECK(fails_for_now("PLAIN", "bob", "secret"));
	CHECK(!has_mechanism("PLAIN", SASL_PLAINTEXT | SASL_ACTIVE | SASL_DICTIONARY));
	service = "submission";
}

static void test_services(void **state)
{
	struct str master_cf = { 0 };

	make_table();
	str_printf(&master_cf,
		   "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n"
		   "  -o smtpd_sasl_password_maps=texthash:%s/passwords\n",
		   me.folder);
	start_daemon("smtpd_sasl_auth_enable = no\n", str_cstr(&master_cf));
	run_task(service_logins);
	str_free(&master_cf);
}

/* Dialogues that are begun and left, more than one client may have. */
static void crowd(void *arg)
{
	struct arena *arena = arena_create(0);
	struct auth_dialogue dialogues[21];
	struct auth_answer answer;
	struct auth_start start = { .service = SLICE("submission"), .mechanism = SLICE("PLAIN"),
				    .client_address = SLICE("192.0.2.66") };

	for (size_t i = 0; i < 20; i++) {
		auth_begin(&dialogues[i], me.client, &start, loop_now() + 60, arena, &answer);
		CHECK(answer.type == AUTH_CHALLENGE && answer.text.len == 0);
	}
	auth_begin(&dialogues[20], me.client, &start, loop_now() + 60, arena, &answer);
	CHECK(answer.type == AUTH_FAIL && answer.reason == AUTH_REASON_BUSY && answer.temporary);
	/* Others get in, and the client does when it gives one up. */
	CHECK(gets_in("PLAIN", "bob", "secret", "bob"));
	auth_cancel(&dialogues[0]);
	auth_begin(&dialogues[20], me.client, &start, loop_now() + 60, arena, &answer);
	CHECK(answer.type == AUTH_CHALLENGE);
	/* Not of PLAIN's form; and a dialogue that is over. */
	auth_respond(&dialogues[20], SLICE("bob"), loop_now() + 60, arena, &answer);
	CHECK(answer.type == AUTH_FAIL && answer.reason == AUTH_REASON_MALFORMED && !answer.temporary);
	auth_respond(&dialogues[20], SLICE("bob"), loop_now() + 60, arena, &answer);
	CHECK(answer.type == AUTH_FAIL && answer.temporary);
	arena_free(&arena);
}

static void test_crowd(void **state)
{
	struct str settings = { 0 };

	make_table();
	str_printf(&settings, "smtpd_sasl_password_maps = texthash:%s/passwords\n", me.folder);
	start_daemon(str_cstr(&settings), "submission inet n - y - - smtpd\n");
	run_task(crowd);
	str_free(&settings);
}

/* --- limits --- */

static enum auth_over count(const char *user, unsigned messages, unsigned recipients)
{
	struct auth_counting counting = { slice_of(user), messages, recipients };
	struct auth_verdict verdict = { .over = AUTH_WITHIN };
	struct err err;

	CHECK(auth_count(me.client, &counting, loop_now() + 60, &verdict, &err));
	return verdict.over;
}

static void count_messages(void *arg)
{
	CHECK(count("bob", 2, 3) == AUTH_WITHIN);
	CHECK(count("bob", 1, 0) == AUTH_OVER_MESSAGES);
	CHECK(count("bob", 0, 1) == AUTH_WITHIN);
	CHECK(count("ann", 3, 0) == AUTH_WITHIN);
	CHECK(count("free", 1000, 0) == AUTH_WITHIN);
	CHECK(count("free", 0, 5) == AUTH_OVER_RECIPIENTS);
	/* The postmaster is told once a login: a connection to cleanup each, which we refuse. */
	CHECK(count("bob", 1, 0) == AUTH_OVER_MESSAGES);
	for (double end = loop_now() + 20; me.refused_connections < 2 && loop_now() < end;)
		(void)task_sleep(0.01);
	CHECK(me.refused_connections == 2);
}

static void count_again(void *arg)
{
	CHECK(count("bob", 1, 0) == AUTH_OVER_MESSAGES);
	CHECK(count("ann", 1, 0) == AUTH_OVER_MESSAGES);
}

static void test_limits(void **state)
{
	struct str settings = { 0 };

	make_table();
	write_file("limits", "free 0\nann 3\n");
	str_printf(&settings,
		   "smtpd_sasl_password_maps = texthash:%s/passwords\n"
		   "smtpd_sasl_message_rate_limit = 2 texthash:%s/limits\nsmtpd_sasl_recipient_rate_limit = 4\n",
		   me.folder, me.folder);
	start_daemon(str_cstr(&settings), "submission inet n - y - - smtpd\n");
	run_task(count_messages);
	ipc_client_free(&me.client);
	ipc_channel_free(&me.control);
	stop(&me.daemon);
	start_daemon(str_cstr(&settings), "submission inet n - y - - smtpd\n");
	run_task(count_again);
	str_free(&settings);
}

/* --- a table that changes --- */

static void change(void *arg)
{
	CHECK(gets_in("PLAIN", "bob", "secret", "bob"));
	write_file("passwords.new", "nobody !\n");
	CHECK(rename(in_folder("passwords.new"), in_folder("passwords")) == 0);
	for (double end = loop_now() + 30; !me.retiring && loop_now() < end;)
		(void)task_sleep(0.02);
	CHECK(me.retiring);
}

static void test_table_changes(void **state)
{
	struct str settings = { 0 };
	int status = 0;

	make_table();
	str_printf(&settings, "smtpd_sasl_password_maps = texthash:%s/passwords\n", me.folder);
	start_daemon(str_cstr(&settings), "submission inet n - y - - smtpd\n");
	run_task(change);
	/* Master lets it go: it must not stay because smtpd holds a connection. */
	struct ipc_out out;

	ipc_out_start(&out, CONTROL_RETIRE, 0);
	assert_true(ipc_send(me.control, &out));
	assert_int_equal(waitpid(me.daemon, &status, 0), me.daemon);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	me.daemon = 0;
	str_free(&settings);
}

/* --- Dovecot --- */

static void start_dovecot(void)
{
	struct str text = { 0 };

	str_printf(&text,
		   "base_dir = %s/dovecot\nstate_dir = %s/dovecot-state\nlog_path = %s/dovecot.log\nprotocols =\nssl = no\n"
		   "auth_mechanisms = plain login cram-md5 scram-sha-256\ndisable_plaintext_auth = no\n"
		   "auth_failure_delay = 0\nservice auth {\n  unix_listener %s/dovecot-auth {\n    mode = 0666\n  }\n"
		   "  inet_listener {\n    address = 127.0.0.1\n    port = 42425\n  }\n}\n"
		   "passdb {\n  driver = passwd-file\n  args = %s/users\n}\n"
		   "userdb {\n  driver = static\n  args = uid=65534 gid=65534 home=/nonexistent\n}\n",
		   me.folder, me.folder, me.folder, me.folder, me.folder);
	write_file("dovecot.conf", str_cstr(&text));
	write_file("users", "bob:{PLAIN}secret\nAnn:{PLAIN}geheim\ngone:{PLAIN}secret::::::nodelay reason=Away_for_good nologin\n");
	str_free(&text);
	mkdir(in_folder("dovecot"), 0755);
	me.dovecot = fork();
	if (me.dovecot == 0) {
		execl("/usr/sbin/dovecot", "dovecot", "-F", "-c", in_folder("dovecot.conf"), NULL);
		_exit(1);
	}
	for (int i = 0; i < 1000 && access(in_folder("dovecot-auth"), F_OK) != 0; i++)
		usleep(20000);
	assert_int_equal(access(in_folder("dovecot-auth"), F_OK), 0);
}

static void dovecot_logins(void *arg)
{
	CHECK(has_mechanism("PLAIN", SASL_PLAINTEXT));
	CHECK(has_mechanism("CRAM-MD5", SASL_DICTIONARY | SASL_ACTIVE));
	CHECK(gets_in("PLAIN", "bob", "secret", "bob"));
	CHECK(gets_in("LOGIN", "bob", "secret", "bob"));
	CHECK(gets_in("CRAM-MD5", "bob", "secret", "bob"));
	CHECK(gets_in("SCRAM-SHA-256", "bob", "secret", "bob"));
	CHECK(is_refused("PLAIN", "bob", "Secret", ""));
	CHECK(is_refused("LOGIN", "nobody", "secret", ""));
	CHECK(is_refused("CRAM-MD5", "bob", "Secret", ""));
	CHECK(is_refused("XOAUTH2", "bob", "Secret", "Invalid authentication mechanism"));
	CHECK(gets_in("PLAIN", "bob", "secret", "bob"));
}

static void dovecot_is_away(void *arg)
{
	bool away = false;

	/* Dovecot's auth process outlives its master by a moment. */
	for (double end = loop_now() + 60; !away && loop_now() < end;)
		away = fails_for_now("PLAIN", "bob", "secret") || task_sleep(0.05) != TASK_READY;
	CHECK(away);
}

static void dovecot_is_back(void *arg)
{
	CHECK(gets_in("PLAIN", "bob", "secret", "bob"));
}

static void test_dovecot_unix(void **state)
{
	struct str settings = { 0 };

	if (getuid() != 0)
		skip();
	start_dovecot();
	str_printf(&settings, "smtpd_sasl_type = dovecot\nsmtpd_sasl_path = %s/dovecot-auth\n", me.folder);
	start_daemon(str_cstr(&settings), "submission inet n - y - - smtpd\n");
	run_task(dovecot_logins);
	stop(&me.dovecot);
	unlink(in_folder("dovecot-auth"));
	run_task(dovecot_is_away);
	start_dovecot();
	run_task(dovecot_is_back);
	str_free(&settings);
}

static void test_dovecot_inet(void **state)
{
	if (getuid() != 0)
		skip();
	start_dovecot();
	start_daemon("smtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:127.0.0.1:42425\n", "submission inet n - y - - smtpd\n");
	run_task(dovecot_logins);
}

/* --- Cyrus SASL --- */

static void cyrus_logins(void *arg)
{
	CHECK(has_mechanism("PLAIN", SASL_PLAINTEXT | SASL_ACTIVE | SASL_DICTIONARY));
	CHECK(has_mechanism("CRAM-MD5", SASL_ACTIVE | SASL_DICTIONARY));
	CHECK(gets_in("PLAIN", "bob", "secret", "bob@example.com"));
	CHECK(gets_in("LOGIN", "bob", "secret", "bob@example.com"));
	CHECK(gets_in("CRAM-MD5", "bob", "secret", "bob@example.com"));
	CHECK(gets_in("SCRAM-SHA-256", "bob", "secret", "bob@example.com"));
	CHECK(is_refused("PLAIN", "bob", "Secret", WRONG));
	CHECK(is_refused("PLAIN", "nobody", "secret", WRONG));
	CHECK(is_refused("CRAM-MD5", "bob", "Secret", WRONG));
	CHECK(is_refused("XOAUTH2", "bob", "Secret", "Invalid authentication mechanism"));
	CHECK(gets_in("PLAIN", "bob", "secret", "bob@example.com"));
}

static void test_cyrus(void **state)
{
	struct str settings = { 0 }, conf = { 0 };

	shell("printf secret | /usr/sbin/saslpasswd2 -p -c -f %s/sasldb -u example.com bob && chmod 644 %s/sasldb", me.folder,
	      me.folder);
	str_printf(&conf,
		   "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s/sasldb\n"
		   "mech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256\n",
		   me.folder);
	write_file("sasl/smtpd.conf", str_cstr(&conf));
	str_printf(&settings,
		   "smtpd_sasl_type = cyrus\ncyrus_sasl_config_path = %s/sasl\nsmtpd_sasl_local_domain = example.com\n", me.folder);
	start_daemon(str_cstr(&settings), "submission inet n - y - - smtpd\n");
	run_task(cyrus_logins);
	str_free(&settings);
	str_free(&conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_table, make_folder, clean_up),
		cmocka_unit_test_setup_teardown(test_services, make_folder, clean_up),
		cmocka_unit_test_setup_teardown(test_crowd, make_folder, clean_up),
		cmocka_unit_test_setup_teardown(test_limits, make_folder, clean_up),
		cmocka_unit_test_setup_teardown(test_table_changes, make_folder, clean_up),
		cmocka_unit_test_setup_teardown(test_dovecot_unix, make_folder, clean_up),
		cmocka_unit_test_setup_teardown(test_dovecot_inet, make_folder, clean_up),
		cmocka_unit_test_setup_teardown(test_cyrus, make_folder, clean_up),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
