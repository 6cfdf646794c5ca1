/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "smtpd/auth.h"
#include "smtpd/login_limits.h"

/* A client by script, and a backend with one user: bob, whose password is "secret". */
struct script {
	const char *const *lines;        /* what the client sends; NULL: it is gone */
	struct str replies;              /* "334 …|535 5.7.8 …|" */
	struct str user;                 /* LOGIN: the first answer */
	int step, cancelled, begun;
	size_t limit;
	bool away, temporary;
	char too_long;
};

static enum auth_read read_line(void *context, size_t limit, struct slice *line)
{
	struct script *s = context;

	s->limit = limit;
	if (!*s->lines)
		return AUTH_READ_GONE;
	*line = slice_of(*s->lines++);
	return line->len > limit ? AUTH_READ_TOO_LONG : AUTH_READ_LINE;
}

static void take_reply(void *context, int code, const char *dsn, const char *text)
{
	struct script *s = context;

	str_printf(&s->replies, "%d %s%s%s|", code, dsn, dsn[0] ? " " : "", text);
}

static bool list_mechanisms(void *context, struct arena *arena, struct auth_mechanism *list, size_t *count)
{
	static const char *const names[] = { "PLAIN", "LOGIN", "CRAM-MD5", "ANONYMOUS", "DOVECOT-TOKEN" };
	static const unsigned properties[] = { SASL_PLAINTEXT, SASL_PLAINTEXT, SASL_ACTIVE, SASL_ANONYMOUS, SASL_PRIVATE };
	struct script *s = context;

	for (*count = 0; *count < 5; (*count)++)
		list[*count] = (struct auth_mechanism){ slice_of(names[*count]), properties[*count] };
	return !s->away;
}

static bool no_cram(void *context, struct slice mechanism)
{
	return !slice_eq_nocase(mechanism, SLICE("cram-md5"));
}

static void end(struct script *s, struct slice user, struct slice password, struct auth_answer *answer)
{
	if (s->temporary)
		*answer = (struct auth_answer){ .type = AUTH_FAIL, .temporary = true, .reason = AUTH_REASON_BACKEND,
						.text = SLICE("Connection lost to authentication server") };
	else if (slice_eq(user, SLICE("bob")) && slice_eq(password, SLICE("secret")))
		*answer = (struct auth_answer){ .type = AUTH_OK, .text = SLICE("bob") };
	else
		*answer = (struct auth_answer){ .type = AUTH_FAIL, .reason = AUTH_REASON_CREDENTIALS, .user = user,
						.text = SLICE("authentication failure") };
}

static void plain(struct script *s, struct slice response, struct auth_answer *answer)
{
	struct slice authzid, user;

	slice_cut(&response, '\0', &authzid);
	slice_cut(&response, '\0', &user);
	end(s, user, response, answer);
}

static void respond(void *context, struct slice response, struct arena *arena, struct auth_answer *answer)
{
	struct script *s = context;

	response = arena_slice(arena, response);
	if (s->step == 0) {
		plain(s, response, answer);
	} else if (s->step == 1) {
		s->step = 2;
		str_append(&s->user, response);
		*answer = (struct auth_answer){ .type = AUTH_CHALLENGE, .text = SLICE("Password:") };
	} else {
		end(s, str_slice(&s->user), response, answer);
	}
}

static void begin(void *context, struct auth_start *start, struct arena *arena, struct auth_answer *answer)
{
	struct script *s = context;
	bool login = slice_eq(start->mechanism, SLICE("LOGIN"));

	s->begun++;
	s->step = login;
	str_clear(&s->user);
	if (start->has_response)
		respond(s, start->response, arena, answer);
	else
		*answer = (struct auth_answer){ .type = AUTH_CHALLENGE, .text = login ? SLICE("Username:") : SLICE_NONE };
}

static void cancel(void *context)
{
	((struct script *)context)->cancelled++;
}

static const struct auth_facts usual = { .greeted = true, .enabled = true, .client_name = "unknown", .client_address = "192.0.2.7",
					 .client_port = "1", .local_address = "192.0.2.1", .local_port = "587",
					 .service = "submission" };
static struct auth_settings settings = { .response_limit = 12288, .options.forbidden = SASL_ANONYMOUS,
					 .tls_options.forbidden = SASL_ANONYMOUS };
static struct auth_facts facts;
static struct auth_state state;
static struct script script;

static struct auth_ops make_ops(void)
{
	return (struct auth_ops){ &script, read_line, take_reply, list_mechanisms, no_cram, begin, respond, cancel };
}

static void run(const char *args, const char *const *lines, const char *replies)
{
	struct auth_ops ops = make_ops();
	bool was_in = state.user.len > 0, in;

	script.lines = lines;
	script.cancelled = script.begun = 0;
	str_clear(&script.replies);
	in = auth_run(&state, &settings, &ops, &facts, slice_of(args));
	assert_string_equal(str_cstr(&script.replies), replies);
	assert_int_equal(in, !was_in && state.user.len > 0);
}
#define LINES(...) ((const char *const[]){ __VA_ARGS__ NULL })

static int setup(void **unused)
{
	facts = usual;
	settings.tls_only = settings.broken_clients = false;
	script.temporary = script.away = false;
	return 0;
}

static int teardown(void **unused)
{
	auth_reset(&state);
	str_free(&script.replies);
	str_free(&script.user);
	return 0;
}

#define GOOD "AGJvYgBzZWNyZXQ="      /* \0bob\0secret */
#define BAD  "AGJvYgBzZWNyZXM="
#define OK   "235 2.7.0 Authentication successful|"

static void test_plain(void **unused)
{
	run("PLAIN " GOOD, LINES(), OK);
	assert_string_equal(str_cstr(&state.user), "bob");
	assert_string_equal(str_cstr(&state.method), "PLAIN");
	run("PLAIN " GOOD, LINES(), "503 5.5.1 Error: already authenticated|");
	auth_reset(&state);
	run("plain", LINES(GOOD, ), "334 |" OK);
	assert_int_equal(script.limit, 12288);
	auth_reset(&state);
	run("PLAIN " BAD, LINES(), "535 5.7.8 Error: authentication failed: authentication failure|");
	/* After a failure it may be tried again. */
	run("PLAIN " GOOD, LINES(), OK);
}

static void test_login(void **unused)
{
	run("LOGIN", LINES("Ym9i", "c2VjcmV0", ), "334 VXNlcm5hbWU6|334 UGFzc3dvcmQ6|" OK);
	auth_reset(&state);
	run("LOGIN Ym9i", LINES("c2VjcmV0", ), "334 UGFzc3dvcmQ6|" OK);
	auth_reset(&state);
	run("LOGIN", LINES("Ym9i", "", ), "334 VXNlcm5hbWU6|334 UGFzc3dvcmQ6|535 5.7.8 Error: authentication failed: authentication failure|");
}

static void test_empty_response(void **unused)
{
	run("PLAIN =", LINES(), "535 5.7.8 Error: authentication failed: authentication failure|");
	assert_int_equal(script.begun, 1);
}

static void test_abort(void **unused)
{
	run("PLAIN", LINES("*", ), "334 |501 5.7.0 Authentication aborted|");
	assert_int_equal(script.cancelled, 1);
	run("LOGIN", LINES("Ym9i", "*", ), "334 VXNlcm5hbWU6|334 UGFzc3dvcmQ6|501 5.7.0 Authentication aborted|");
	run("LOGIN", LINES("Ym9i", ), "334 VXNlcm5hbWU6|334 UGFzc3dvcmQ6|");
	assert_int_equal(script.cancelled, 1);
	run("PLAIN " GOOD, LINES(), OK);
}

static void test_too_long(void **unused)
{
	char *line = malloc(12300);

	memset(line, 'A', 12292);
	line[12292] = '\0';
	run("PLAIN", LINES(line, ), "334 |500 5.5.6 SASL response limit exceeded|");
	assert_int_equal(script.cancelled, 1);
	line[12288] = '\0';
	run("PLAIN", LINES(line, ), "334 |535 5.7.8 Error: authentication failed: authentication failure|");
	free(line);
}

static void test_base64_is_strict(void **unused)
{
	static const char *const bad[] = { "AGJvYgBzZWNyZXQ", "AGJvYgBzZWNyZXR=", "AGJv YgBz", "====", "?", "AGJvYgBzZWNyZXQ=A" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		run("PLAIN", LINES(bad[i], ), "334 |501 5.5.2 Error: authentication failed: Invalid base64 data in continued response|");
		assert_int_equal(script.cancelled, 1);
	}
	run("PLAIN AGJvYgBzZWNyZXR=", LINES(), "501 5.5.2 Error: authentication failed: Invalid base64 data in initial response|");
	assert_int_equal(script.begun, 0);
}

static void test_syntax(void **unused)
{
	run("", LINES(), "501 5.5.4 Syntax: AUTH mechanism|");
	run("PLAIN a b", LINES(), "501 5.5.4 Syntax: AUTH mechanism|");
	run("PLA/IN", LINES(), "501 5.5.4 Syntax: AUTH mechanism|");
	run("ABCDEFGHIJKLMNOPQRSTU", LINES(), "501 5.5.4 Syntax: AUTH mechanism|");
}

static void test_out_of_place(void **unused)
{
	facts.greeted = false;
	run("PLAIN " GOOD, LINES(), "503 5.5.1 Error: send HELO/EHLO first|");
	facts = usual;
	facts.enabled = false;
	run("PLAIN " GOOD, LINES(), "503 5.5.1 Error: authentication not enabled|");
	facts = usual;
	facts.in_transaction = true;
	run("PLAIN " GOOD, LINES(), "503 5.5.1 Error: MAIL transaction in progress|");
	facts = usual;
	settings.tls_only = true;
	run("PLAIN " GOOD, LINES(), "504 5.5.4 Encryption required for requested authentication mechanism|");
	assert_int_equal(script.begun, 0);
	facts.secured = true;
	run("PLAIN " GOOD, LINES(), OK);
}

static void test_mechanism_not_permitted(void **unused)
{
	static const char refused[] = "535 5.7.8 Error: authentication failed: Invalid authentication mechanism|";

	run("ANONYMOUS", LINES(), refused);
	run("CRAM-MD5", LINES(), refused);
	run("DOVECOT-TOKEN", LINES(), refused);
	run("GSSAPI", LINES(), refused);
	assert_int_equal(script.begun, 0);
	settings.options.forbidden |= SASL_PLAINTEXT;
	run("PLAIN " GOOD, LINES(), refused);
	facts.secured = true;
	run("PLAIN " GOOD, LINES(), OK);
	settings.options.forbidden = SASL_ANONYMOUS;
}

static void test_temporary(void **unused)
{
	script.temporary = true;
	run("PLAIN " GOOD, LINES(), "454 4.7.0 Temporary authentication failure: Connection lost to authentication server|");
}

static void test_announcement(void **unused)
{
	struct auth_ops ops = make_ops();
	struct str out = { 0 };

	auth_announce(&settings, &ops, &facts, &out);
	assert_string_equal(str_cstr(&out), "AUTH PLAIN LOGIN\n");
	str_clear(&out);
	settings.broken_clients = true;
	auth_announce(&settings, &ops, &facts, &out);
	assert_string_equal(str_cstr(&out), "AUTH PLAIN LOGIN\nAUTH=PLAIN LOGIN\n");
	str_clear(&out);
	settings.tls_only = true;
	auth_announce(&settings, &ops, &facts, &out);
	settings.tls_only = false;
	script.away = true;
	auth_announce(&settings, &ops, &facts, &out);
	script.away = false;
	facts.enabled = false;
	auth_announce(&settings, &ops, &facts, &out);
	assert_int_equal(out.len, 0);
	str_free(&out);
}

static void test_parameter(void **unused)
{
	assert_true(auth_parameter_valid(SLICE("<>")));
	assert_true(auth_parameter_valid(SLICE("e+3Dmc2@example.com")));
	assert_false(auth_parameter_valid(SLICE("")));
	assert_false(auth_parameter_valid(SLICE("a=b")));
	assert_false(auth_parameter_valid(SLICE("a+3")));
	assert_false(auth_parameter_valid(SLICE("a+3d")));
	assert_false(auth_parameter_valid(slice_make("a+\0\0", 4)));
}

/* --- limits --- */

static bool counting_over(void *context, const struct auth_counting *counting, struct auth_verdict *verdict, struct err *err)
{
	*verdict = (struct auth_verdict){ *(enum auth_over *)context, 100, 77 };
	return true;
}

static bool counting_away(void *context, const struct auth_counting *counting, struct auth_verdict *verdict, struct err *err)
{
	return err_set(err, ERR_TEMPORARY, "auth is away");
}

static void test_limits(void **unused)
{
	struct policy_client client = { .name = "unknown", .address = "192.0.2.7", .port = "1" };
	enum auth_over over = AUTH_WITHIN;
	struct login_limits limits = { counting_over, &over, &client };
	struct smtp_reply reply = { .code = 0 };

	assert_true(login_limits_message(&limits, SLICE("bob"), &reply));
	assert_int_equal(reply.code, 0);
	over = AUTH_OVER_RECIPIENTS;
	assert_false(login_limits_recipient(&limits, SLICE("bob"), &reply));
	assert_int_equal(reply.code, 450);
	assert_string_equal(reply.text, "Error: this login has reached its limit of 100 recipients; try again in 77 seconds");
	limits.count = counting_away;
	assert_false(login_limits_message(&limits, SLICE("bob"), &reply));
	assert_int_equal(reply.code, 451);
}

/* --- the log --- */

/* Debian's stock filter bans for a wrong password, and not because our own backend is away. */
static void test_fail2ban(void **unused)
{
	char path[] = "/tmp/auth_test.XXXXXX", command[200], line[512];
	int fd = mkstemp(path), matched = -1, ignored = -1;
	FILE *out;

	assert_true(fd >= 0);
	log_open("postfix/submission/smtpd", fd, false);
	run("PLAIN " BAD, LINES(), "535 5.7.8 Error: authentication failed: authentication failure|");
	run("LOGIN", LINES("Ym9i", "eA==", ), "334 VXNlcm5hbWU6|334 UGFzc3dvcmQ6|535 5.7.8 Error: authentication failed: authentication failure|");
	script.temporary = true;
	run("PLAIN " GOOD, LINES(), "454 4.7.0 Temporary authentication failure: Connection lost to authentication server|");
	snprintf(command, sizeof(command), "fail2ban-regex %s 'postfix[mode=auth]' 2>&1", path);
	out = popen(command, "r");
	assert_non_null(out);
	while (fgets(line, sizeof(line), out))
		if (sscanf(line, "Lines: %*d lines, %*d ignored, %d matched, %d missed", &matched, &ignored) > 0)
			break;
	pclose(out);
	log_replace_fd(dup(STDERR_FILENO), false);
	unlink(path);
	assert_int_equal(matched, 2);
	assert_int_equal(ignored, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_login, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_response, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_base64_is_strict, setup, teardown),
		cmocka_unit_test_setup_teardown(test_syntax, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mechanism_not_permitted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_temporary, setup, teardown),
		cmocka_unit_test_setup_teardown(test_announcement, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parameter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fail2ban, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
