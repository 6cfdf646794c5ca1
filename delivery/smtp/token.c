/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/token.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/task.h"
#include "delivery/smtp/token_helper.h"

#define KEPT_MAX    64       /* programs whose tokens are kept */
#define KEPT_TIME   300.0    /* where the program does not say */
#define EARLY       60.0     /* seconds before the end that a token is given up */

struct kept {
	struct kept *next;
	char *source;
	struct str token;
	double expires;
	bool asking;
	struct task_event answered;
	unsigned users;      /* tasks that hold a pointer */
};

struct smtp_tokens {
	int helper;          /* -1: there is none */
	const char *directory;
	double time_limit;
	struct kept *kept;
	size_t count;
};

/* --- asking --- */

/* With our child's end of a pipe.  The pipe to read from, or -1. */
static int send_request(int helper, char kind, struct slice text)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec data[2] = { { &kind, 1 }, { (void *)(uintptr_t)text.ptr, text.len } };
	struct msghdr packet = { .msg_iov = data, .msg_iovlen = 2, .msg_control = control.room,
				 .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&packet);
	int pair[2];
	ssize_t sent;

	if (pipe2(pair, O_CLOEXEC) != 0)
		return -1;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &pair[1], sizeof(int));
	while ((sent = sendmsg(helper, &packet, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0 && errno == EINTR)
		;
	close(pair[1]);
	if (sent < 0) {
		close(pair[0]);
		return -1;
	}
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	return pair[0];
}

/* "+" and what was read, or "-" and the reason. */
static bool fetch(const struct smtp_tokens *t, const struct sasl_secret *secret, struct str *answer, struct err *err)
{
	double deadline = loop_now() + t->time_limit + 5;
	char buf[4096];
	bool ended = false;
	int fd;

	if (t->helper < 0)
		return err_set(err, ERR_TEMPORARY, "there was no folder %s when the agent started", t->directory);
	if (secret->text.len > TOKEN_REQUEST_MAX)
		return err_set(err, ERR_SYNTAX, "path or command is too long");
	fd = send_request(t->helper, secret->kind == SASL_SECRET_TOKEN_FILE ? TOKEN_READ : TOKEN_RUN, secret->text);
	if (fd < 0)
		return err_set_errno(err, ERR_TEMPORARY, "cannot ask for the token");
	while (!ended) {
		ssize_t got = read(fd, buf, sizeof(buf));

		if (got > 0 && answer->len <= TOKEN_ANSWER_MAX)
			str_append(answer, slice_make(buf, (size_t)got));
		else if (got >= 0 || (errno != EAGAIN && errno != EINTR))
			ended = true;
		else if (errno == EAGAIN && task_wait_fd(fd, TASK_READ, deadline) != TASK_READY)
			ended = true;
	}
	close(fd);
	OPENSSL_cleanse(buf, sizeof(buf));
	if (answer->len > 0 && answer->data[0] == '+')
		return true;
	if (answer->len > 1 && answer->data[0] == '-')
		return err_set(err, ERR_TEMPORARY, "%s", answer->data + 1);
	return err_set(err, ERR_TEMPORARY, "no token within %.0f seconds", t->time_limit);
}

static void wipe(struct str *s)
{
	if (s->data)
		OPENSSL_cleanse(s->data, s->cap);
	str_free(s);
}

static bool fetch_token(const struct smtp_tokens *t, const struct sasl_secret *secret, struct str *token, double *expires,
			struct err *err)
{
	struct str answer = { 0 };
	bool ok = fetch(t, secret, &answer, err) &&
		  sasl_token_parse(slice_sub(str_slice(&answer), 1, answer.len), loop_now(), token, expires, err);

	wipe(&answer);
	return ok;
}

/* --- what programs printed --- */

static struct kept *find(const struct smtp_tokens *t, struct slice source)
{
	struct kept *k = t->kept;

	while (k && !slice_eq(slice_of(k->source), source))
		k = k->next;
	return k;
}

static void drop_one(struct smtp_tokens *t)
{
	struct kept **at = &t->kept, *k;

	while (*at && (*at)->users > 0)
		at = &(*at)->next;
	k = *at;
	if (!k)
		return;
	*at = k->next;
	t->count--;
	wipe(&k->token);
	free(k->source);
	free(k);
}

static struct kept *find_or_make(struct smtp_tokens *t, struct slice source)
{
	struct kept *k = find(t, source);

	if (k)
		return k;
	if (t->count >= KEPT_MAX)
		drop_one(t);
	k = mem_alloc(sizeof(*k));
	k->source = mem_slicedup(source);
	k->next = t->kept;
	t->kept = k;
	t->count++;
	return k;
}

static bool ask_program(struct smtp_tokens *t, struct kept *k, const struct sasl_secret *secret, struct err *err)
{
	double expires = 0;
	bool ok;

	k->asking = true;
	wipe(&k->token);
	ok = fetch_token(t, secret, &k->token, &expires, err);
	if (!ok)
		wipe(&k->token);
	k->expires = expires > 0 ? expires - EARLY : loop_now() + KEPT_TIME;
	k->asking = false;
	task_event_broadcast(&k->answered);
	return ok;
}

bool smtp_tokens_get(struct smtp_tokens *t, const struct sasl_secret *secret, struct str *token, struct err *err)
{
	struct kept *k;
	double ignored;
	bool ok = true;

	if (secret->kind == SASL_SECRET_TOKEN_FILE)
		return fetch_token(t, secret, token, &ignored, err);
	k = find_or_make(t, secret->text);
	k->users++;
	/* One question at a time for all that wait for it. */
	while (ok && k->asking)
		ok = task_event_wait(&k->answered, loop_now() + t->time_limit + 10) == TASK_READY;
	if (!ok)
		err_set(err, ERR_TEMPORARY, "no token within %.0f seconds", t->time_limit);
	else if (k->token.len == 0 || k->expires <= loop_now())
		ok = ask_program(t, k, secret, err);
	if (ok)
		str_append(token, str_slice(&k->token));
	k->users--;
	return ok;
}

void smtp_tokens_forget(struct smtp_tokens *t, const struct sasl_secret *secret)
{
	struct kept *k = find(t, secret->text);

	if (k && secret->kind == SASL_SECRET_TOKEN_COMMAND)
		k->expires = 0;
}

/* --- start --- */

static bool split_off(struct smtp_tokens *t, const struct config *config, struct err *err)
{
	const char *name = config_text(config, "smtp_sasl_token_user");
	const struct passwd *user = NULL;
	char ready = 0;
	int pair[2];
	pid_t pid;

	if (geteuid() == 0 && !(user = getpwnam(name)))
		return err_set(err, ERR_PERMANENT, "smtp_sasl_token_user: there is no user %s", name);
	if (user && user->pw_uid == 0)
		return err_set(err, ERR_PERMANENT, "smtp_sasl_token_user must not be root");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return err_set_errno(err, ERR_TEMPORARY, "make the socket of the process for tokens");
	pid = fork();
	if (pid == 0) {
		struct token_helper_rules rules = { .directory = t->directory, .user = user,
						    .time_limit = (unsigned)t->time_limit };

		close(pair[0]);
		token_helper_main(&rules, pair[1]);
	}
	close(pair[1]);
	t->helper = pair[0];
	if (pid < 0 || read(t->helper, &ready, 1) != 1 || ready != '+')
		return err_set(err, ERR_TEMPORARY, "the process for tokens did not start");
	return true;
}

struct smtp_tokens *smtp_tokens_start(const struct config *config, struct err *err)
{
	struct smtp_tokens *t = mem_alloc(sizeof(*t));
	struct stat st;

	t->helper = -1;
	t->directory = config_text(config, "smtp_sasl_token_directory");
	t->time_limit = config_time(config, "smtp_sasl_token_time_limit");
	if (stat(t->directory, &st) != 0 || !S_ISDIR(st.st_mode))
		return t;
	if (split_off(t, config, err))
		return t;
	if (t->helper >= 0)
		close(t->helper);
	free(t);
	return NULL;
}
