/* SPDX-License-Identifier: ISC */
/*
 * smtpd_sasl_type = cyrus: libsasl2 decides, with SASL/<smtpd_sasl_path>.conf.  It blocks (databases,
 * saslauthd), so each of its calls is made in a worker thread; the library is initialized
 * with mutexes for that, once a process.
 */
#include <pthread.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "common/base/log.h"
#include "common/base/str.h"

struct backend {
	const char *service;         /* of smtpd_sasl_service */
	const char *myhostname;
	const char *realm;           /* NULL: the library's */
};

static struct {
	bool ready;
	char application[64];
	char *config_path;           /* a colon between folders */
	struct arena *arena;         /* names of the mechanisms */
	struct auth_mechanism mechanisms[AUTH_MECHANISMS_MAX];
	size_t mechanism_count;
} library;

/* What the library said last in this thread. */
static _Thread_local char remark[200];

/* --- the library --- */

static void *mutex_new(void)
{
	pthread_mutex_t *mutex = mem_alloc(sizeof(*mutex));

	pthread_mutex_init(mutex, NULL);
	return mutex;
}

static int mutex_lock(void *mutex)
{
	return pthread_mutex_lock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static int mutex_unlock(void *mutex)
{
	return pthread_mutex_unlock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static void mutex_free(void *mutex)
{
	pthread_mutex_destroy(mutex);
	free(mutex);
}

/* Logged by the loop's side, when the call is over. */
static int on_log(void *context, int level, const char *message)
{
	if (level == SASL_LOG_ERR || level == SASL_LOG_FAIL || level == SASL_LOG_WARN)
		snprintf(remark, sizeof(remark), "%s", message ? message : "");
	return SASL_OK;
}

static int on_config_path(void *context, char **path)
{
	*path = strdup(library.config_path);
	return *path ? SASL_OK : SASL_NOMEM;
}

typedef int callback(void);

static const sasl_callback_t callbacks[] = {
	{ SASL_CB_LOG, (callback *)(void *)on_log, NULL },
	{ SASL_CB_GETCONFPATH, (callback *)(void *)on_config_path, NULL },
	{ SASL_CB_LIST_END, NULL, NULL },
};

static unsigned properties_of(unsigned flags)
{
	static const struct {
		unsigned flag, missing, there;
	} map[] = {
		{ SASL_SEC_NOPLAINTEXT, SASL_PLAINTEXT, 0 },   { SASL_SEC_NOACTIVE, SASL_ACTIVE, 0 },
		{ SASL_SEC_NODICTIONARY, SASL_DICTIONARY, 0 }, { SASL_SEC_NOANONYMOUS, SASL_ANONYMOUS, 0 },
		{ SASL_SEC_FORWARD_SECRECY, 0, SASL_FORWARD_SECRECY }, { SASL_SEC_MUTUAL_AUTH, 0, SASL_MUTUAL_AUTH },
	};
	unsigned properties = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		properties |= flags & map[i].flag ? map[i].there : map[i].missing;
	return properties;
}

static void on_plugin(server_sasl_mechanism_t *m, sasl_info_callback_stage_t stage, void *context)
{
	if (stage != SASL_INFO_LIST_MECH || !m || !m->plug)
		return;
	for (size_t i = 0; i < library.mechanism_count; i++)
		if (slice_eq_nocase(library.mechanisms[i].name, slice_of(m->plug->mech_name)))
			library.mechanisms[i].properties = properties_of(m->plug->security_flags);
}

/* No security layer: SMTP has TLS below it. */
static bool set_properties(sasl_conn_t *connection, bool secured)
{
	sasl_security_properties_t properties = { 0 };
	sasl_ssf_t external = secured ? 128 : 0;

	return sasl_setprop(connection, SASL_SEC_PROPS, &properties) == SASL_OK &&
	       sasl_setprop(connection, SASL_SSF_EXTERNAL, &external) == SASL_OK;
}

static bool list_mechanisms(const struct backend *b, struct err *err)
{
	sasl_conn_t *connection = NULL;
	const char *names = NULL;
	struct slice rest, word;
	int status = sasl_server_new(b->service, b->myhostname, b->realm, NULL, NULL, NULL, 0, &connection);

	if (status == SASL_OK && set_properties(connection, true))
		status = sasl_listmech(connection, NULL, "", " ", "", &names, NULL, NULL);
	if (status != SASL_OK)
		return err_set(err, ERR_PERMANENT, "Cyrus SASL: no mechanisms: %s", sasl_errstring(status, NULL, NULL));
	library.arena = arena_create(0);
	rest = slice_of(names);
	while (library.mechanism_count < AUTH_MECHANISMS_MAX && slice_word(&rest, " ", &word))
		if (sasl_mechanism_valid(word))
			library.mechanisms[library.mechanism_count++] =
				(struct auth_mechanism){ arena_slice(library.arena, word), SASL_PRIVATE };
	sasl_dispose(&connection);
	(void)sasl_server_plugin_info(NULL, on_plugin, NULL);
	return true;
}

static bool open_library(const struct backend *b, const struct backend_settings *settings, struct err *err)
{
	struct str path = { 0 };
	int status;

	if (library.ready) {
		if (strcmp(library.application, settings->path) == 0)
			return true;
		return err_set(err, ERR_PERMANENT,
			       "service %s: smtpd_sasl_path = %s, and %s for another service: with smtpd_sasl_type = cyrus "
			       "there is one for all",
			       settings->service, settings->path, library.application);
	}
	if (settings->config_path[0])
		str_append_text(&path, settings->config_path);
	else
		str_printf(&path, "%s/sasl:/etc/sasl2:/usr/lib/sasl2", settings->config_dir);
	library.config_path = str_detach(&path);
	if ((size_t)snprintf(library.application, sizeof(library.application), "%s", settings->path) >= sizeof(library.application))
		return err_set(err, ERR_SYNTAX, "smtpd_sasl_path = %s: too long", settings->path);
	sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
	status = sasl_server_init(callbacks, library.application);
	if (status != SASL_OK)
		return err_set(err, ERR_PERMANENT, "Cyrus SASL: cannot start with %s.conf: %s", library.application,
			       sasl_errstring(status, NULL, NULL));
	library.ready = true;
	return list_mechanisms(b, err);
}

static void cyrus_close(struct backend **b)
{
	free(*b);
	*b = NULL;
}

static struct backend *cyrus_open(const struct backend_settings *settings, struct err *err)
{
	struct backend *b = mem_alloc(sizeof(*b));

	b->service = settings->sasl_service;
	b->myhostname = settings->myhostname;
	b->realm = settings->local_domain[0] ? settings->local_domain : NULL;
	if (!open_library(b, settings, err))
		cyrus_close(&b);
	return b;
}

static bool cyrus_mechanisms(struct backend *b, double deadline, struct arena *arena, struct auth_mechanism *list,
			     size_t *count, struct err *err)
{
	*count = library.mechanism_count;
	memcpy(list, library.mechanisms, library.mechanism_count * sizeof(list[0]));
	return true;
}

/* --- a log-in, a step a thread --- */

struct exchange {
	const struct backend *backend;
	const struct login *login;
	sasl_conn_t *connection;
	bool begun, has_response;
	const char *mechanism;
	struct slice response;
	/* what comes of a step: */
	int status;
	const char *challenge;
	unsigned challenge_len;
	char user[SASL_LOGIN_MAX + 1];
	char remark[sizeof(remark)];
};

/* "192.0.2.1;25"; NULL when it is not known. */
static const char *address_text(const struct login *l, struct slice address, struct slice port)
{
	if (address.len == 0 || port.len == 0)
		return NULL;
	return arena_printf(l->arena, "%.*s;%.*s", SLICE_FMT(address), SLICE_FMT(port));
}

static int begin(struct exchange *x)
{
	const struct auth_start *start = &x->login->start;
	const char *local = address_text(x->login, start->local_address, start->local_port);
	const char *remote = address_text(x->login, start->client_address, start->client_port);
	int status = sasl_server_new(x->backend->service, x->backend->myhostname, x->backend->realm, local, remote, NULL, 0,
				     &x->connection);

	if (status != SASL_OK)
		return status;
	if (!set_properties(x->connection, start->secured))
		return SASL_FAIL;
	/* The library tells an absent response from an empty one by the pointer. */
	return sasl_server_start(x->connection, x->mechanism, x->has_response ? (x->response.len ? x->response.ptr : "") : NULL,
				 (unsigned)x->response.len, &x->challenge, &x->challenge_len);
}

static void step_work(void *arg)
{
	struct exchange *x = arg;
	const void *user = NULL;

	remark[0] = '\0';
	x->challenge = NULL;
	x->challenge_len = 0;
	if (!x->begun)
		x->status = begin(x);
	else
		x->status = sasl_server_step(x->connection, x->response.len ? x->response.ptr : "", (unsigned)x->response.len,
					     &x->challenge, &x->challenge_len);
	x->begun = true;
	if (x->status == SASL_OK || x->status != SASL_CONTINUE) {
		if (x->connection && sasl_getprop(x->connection, SASL_USERNAME, &user) == SASL_OK && user)
			snprintf(x->user, sizeof(x->user), "%s", (const char *)user);
	}
	snprintf(x->remark, sizeof(x->remark), "%s", remark);
}

static void dispose_work(void *arg)
{
	struct exchange *x = arg;

	if (x->connection)
		sasl_dispose(&x->connection);
}

static void finish(const struct exchange *x, struct login *login, struct auth_answer *answer)
{
	struct slice user = slice_of(x->user);

	switch (x->status) {
	case SASL_OK:
		if (login_name_sound(user))
			login_succeed(login, answer, user);
		else
			login_fail(login, answer, AUTH_REASON_BACKEND, "no user name from Cyrus SASL");
		return;
	case SASL_NOMECH:
	case SASL_TOOWEAK:
	case SASL_ENCRYPT:
		login_fail(login, answer, AUTH_REASON_MECHANISM, "Invalid authentication mechanism");
		return;
	case SASL_BADPROT:
	case SASL_BADPARAM:
		login_fail(login, answer, AUTH_REASON_MALFORMED, "bad protocol / cancel");
		return;
	case SASL_DISABLED:
	case SASL_EXPIRED:
		login_fail(login, answer, AUTH_REASON_REFUSED, sasl_errstring(x->status, NULL, NULL));
		return;
	case SASL_TRYAGAIN:
	case SASL_UNAVAIL:
	case SASL_NOMEM:
	case SASL_BUFOVER:
	case SASL_FAIL:
		log_warning("SASL authentication problem: %s", x->remark[0] ? x->remark : sasl_errstring(x->status, NULL, NULL));
		login_fail(login, answer, AUTH_REASON_BACKEND, "the password check is not available");
		return;
	default:
		/* "user not found" is nobody's business. */
		login_wrong(login, answer, user);
		log_debug(1, "SASL authentication failure: %s", x->remark);
	}
}

static void run_exchange(struct exchange *x, struct login *login, struct auth_answer *answer)
{
	for (;;) {
		if (!gate_run(step_work, x)) {
			login_fail(login, answer, AUTH_REASON_BUSY, "too many log-ins at a time");
			return;
		}
		if (x->status != SASL_CONTINUE) {
			finish(x, login, answer);
			return;
		}
		if (x->challenge_len > AUTH_MESSAGE_MAX) {
			login_fail(login, answer, AUTH_REASON_BACKEND, "the challenge is too long");
			return;
		}
		if (!login->ask(login, slice_make(x->challenge, x->challenge_len), &x->response))
			return;
	}
}

static void cyrus_login(struct backend *b, struct login *login, struct auth_answer *answer)
{
	/* Not on the stack of the task: the user's name alone is half a kilobyte. */
	struct exchange *x = arena_alloc(login->arena, sizeof(*x));

	x->backend = b;
	x->login = login;
	x->mechanism = arena_cstr(login->arena, login->start.mechanism);
	x->has_response = login->start.has_response;
	x->response = login->start.response;
	login_fail(login, answer, AUTH_REASON_MALFORMED, "authentication aborted");
	run_exchange(x, login, answer);
	/* It may hold a connection to a database. */
	if (x->connection)
		task_offload(dispose_work, x);
}

const struct backend_type backend_cyrus = {
	.name = "cyrus", .groups = SYS_READ | SYS_UNIX | SYS_INET, .root = ROOT_NONE, .open = cyrus_open,
	.mechanisms = cyrus_mechanisms, .login = cyrus_login, .close = cyrus_close,
};
