/* SPDX-License-Identifier: ISC */
/* mailauth: SPF, DKIM, ARC and DMARC of the messages that come in; a task a message. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "authn/mailauth_proto.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/message_file.h"
#include "common/process/process.h"
#include "mailauth/dns_cache.h"

#define HEADER_MAX  (1u << 20)
#define PIECE       32768u
#define MEMORY_MAX  (1ull << 30)
#define ARENA_FIRST 8192

struct peer {
	struct ipc_channel *channel;
	struct task_group tasks; /* messages under way */
};

static struct {
	struct verify_settings settings;
	bool received_spf;
	double timeout;
	struct ipc_client *resolver;
	struct dkim_key_cache *keys;
} me;

/* One message, or one sender. */
struct job {
	struct peer *peer;
	uint32_t request;
	struct arena *arena;
	struct mailauth_question question;
	int fd; /* -1: SPF alone */
	double deadline;
	uint64_t read; /* of the content so far */
};

/* --- what the library asks of us --- */

static void query(void *context, struct slice name, enum dns_type type, struct arena *arena,
		  struct dns_answer *answer)
{
	const struct job *job = context;

	if (dns_cache_find(name, type, loop_now(), arena, answer))
		return;
	*answer = (struct dns_answer){ .status = DNS_TEMPORARY };
	if (loop_now() >= job->deadline || task_cancelled())
		return;
	resolver_query(me.resolver, name, type, job->deadline, arena, answer);
	dns_cache_keep(name, type, loop_now(), answer);
}

static bool read_exactly(const struct job *job, char *to, size_t len, uint64_t at)
{
	return file_read_at(job->fd, to, len, MESSAGE_CONTENT_OFFSET + at) == (ssize_t)len;
}

static int read_body(void *context, struct slice *piece)
{
	static char buffer[PIECE];     /* of all messages: it is hashed before the task waits again */
	struct job *job = context;
	uint64_t left = job->question.length - job->read;
	size_t len = left < PIECE ? (size_t)left : PIECE;

	if (len == 0)
		return 0;
	if (!read_exactly(job, buffer, len, job->read))
		return -1;
	job->read += len;
	*piece = slice_make(buffer, len);
	return 1;
}

/* The header with its empty line; what is longer than HEADER_MAX counts as body from there on. */
static bool read_header(struct job *job, struct slice *header)
{
	size_t max = job->question.length < HEADER_MAX ? (size_t)job->question.length : HEADER_MAX;
	struct str text = {0};
	bool ok = true, found = false;

	while (ok && !found && text.len < max) {
		size_t len = max - text.len < PIECE ? max - text.len : PIECE;
		size_t from = text.len > 3 ? text.len - 3 : 0;
		const char *end;

		str_reserve(&text, len);
		ok = read_exactly(job, text.data + text.len, len, text.len);
		if (!ok)
			break;
		text.len += len;
		text.data[text.len] = '\0';
		end = memmem(text.data + from, text.len - from, "\r\n\r\n", 4);
		found = end || slice_starts(str_slice(&text), SLICE("\r\n"));
		if (end && !slice_starts(str_slice(&text), SLICE("\r\n")))
			str_truncate(&text, (size_t)(end + 4 - text.data));
		else if (found)
			str_truncate(&text, 2);
	}
	*header = arena_slice(job->arena, str_slice(&text));
	job->read = header->len;
	str_free(&text);
	return ok;
}

/* --- a message --- */

static void log_results(const struct job *job, const struct verify_answer *v)
{
	struct str text = {0};

	results_log(&v->results, &text);
	log_info("%.*s: client=%.*s[%.*s], from=<%.*s>: %s", SLICE_FMT(job->question.id),
		 SLICE_FMT(job->question.client_name), SLICE_FMT(job->question.address),
		 SLICE_FMT(job->question.sender), str_cstr(&text));
	str_free(&text);
}

static void answer(struct job *job, const struct verify_answer *v)
{
	struct str header = {0};
	struct ipc_out out;

	if (job->fd >= 0) {
		log_results(job, v);
		results_field(&v->results, &header);
		if (me.received_spf && v->results.spf)
			results_received_spf(&v->results, &header);
	}
	if (header.len > MAILAUTH_HEADER_MAX)
		str_clear(&header); /* it cannot be: results are bounded */
	if (job->peer->channel && mailauth_put_answer(&out, job->request, v, str_slice(&header)))
		(void)ipc_send(job->peer->channel, &out);
	str_free(&header);
}

static bool run_checks(struct job *job, const struct authn_dns *dns, struct verify_answer *v)
{
	struct verify_settings spf_alone = {.authserv_id = me.settings.authserv_id, .spf = true};
	struct verify_request r = {.settings = job->fd < 0 ? &spf_alone : &me.settings,
				   .dns = dns,
				   .address = job->question.address,
				   .helo = job->question.helo,
				   .sender = job->question.sender,
				   .read_body = read_body,
				   .context = job,
				   .now = (uint64_t)loop_now(),
				   .sample = (unsigned)(slice_hash(job->question.id) % 100)};

	if (job->fd < 0)
		return verify_message(&r, job->arena, v);
	return read_header(job, &r.header) && verify_message(&r, job->arena, v);
}

static void run(void *arg)
{
	struct job *job = arg;
	struct authn_dns dns = { query, job, me.keys };
	struct verify_answer v = {0};

	if (run_checks(job, &dns, &v)) {
		answer(job, &v);
	} else {
		/* smtpd's deadline would pass for nothing: no answer is an answer. */
		log_warning("%.*s: the message cannot be read", SLICE_FMT(job->question.id));
		v.results = (struct results){.authserv_id = me.settings.authserv_id};
		v.dmarc = (struct dmarc_answer){.result = DMARC_TEMPERROR,
						.reason = "the message cannot be read"};
		v.spf = (struct spf_answer){.result = SPF_TEMPERROR,
					    .reason = SLICE("the message cannot be read")};
		v.results.spf = &v.spf;
		v.results.dmarc = &v.dmarc;
		answer(job, &v);
	}
	verify_free(&v);
	if (job->fd >= 0)
		close(job->fd);
	arena_free(&job->arena);
	free(job);
}

/* --- peers --- */

static void start_job(struct peer *p, struct ipc_in *m, const struct mailauth_question *q)
{
	struct job *job = mem_alloc(sizeof(*job));

	job->peer = p;
	job->request = m->request;
	job->arena = arena_create(ARENA_FIRST);
	job->deadline = loop_now() + me.timeout;
	job->question = *q;
	job->question.id = arena_slice(job->arena, q->id);
	job->question.address = arena_slice(job->arena, q->address);
	job->question.helo = arena_slice(job->arena, q->helo);
	job->question.sender = arena_slice(job->arena, q->sender);
	job->question.client_name = arena_slice(job->arena, q->client_name);
	job->fd = m->type == MAILAUTH_VERIFY ? ipc_take_fd(m, 0) : -1;
	if (task_spawn(&p->tasks, run, job))
		return;
	log_warning("no memory for another message");
	if (job->fd >= 0)
		close(job->fd);
	arena_free(&job->arena);
	free(job);
}

static void peer_gone(void *context)
{
	free(context);
	process_busy(-1);
}

static void peer_end(struct peer *p)
{
	ipc_channel_free(&p->channel);
	if (p->tasks.count == 0) {
		peer_gone(p);
		return;
	}
	p->tasks.on_empty = peer_gone;
	p->tasks.context = p;
	task_group_cancel(&p->tasks);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	peer_end(context);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct mailauth_question question;

	if (mailauth_get_question(m, &question)) {
		start_job(context, m, &question);
		return;
	}
	log_warning("malformed request");
	peer_end(context);
}

static void accept_peer(int fd, const char *role)
{
	static const struct ipc_handler handler = {.on_message = on_message, .on_close = on_close};
	struct peer *p = mem_alloc(sizeof(*p));

	process_busy(1);
	p->channel = ipc_channel_create(fd, &mailauth_protocol, &handler, p);
	if (!p->channel)
		peer_gone(p);
}

/* --- the process --- */

static bool is_on(const struct config *config, const char *name)
{
	return strcmp(config_text(config, name), "off") != 0;
}

/* The first use of a method loads code: before the sandbox closes. */
static void warm_up(void)
{
	struct canon_bodies *bodies = canon_bodies_create();
	struct arena *arena = arena_create(0);
	struct dkim_key key;

	(void)canon_bodies_want(bodies, CANON_RELAXED, UINT64_MAX);
	canon_bodies_finish(bodies);
	canon_bodies_free(&bodies);
	dkim_key_parse(SLICE("k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="), arena,
		       &key);
	if (key.pkey && dkim_key_verify(&key, SLICE("x"), SLICE("x")))
		log_warning("Ed25519 of this system takes anything for a signature");
	EVP_PKEY_free(key.pkey);
	dkim_key_parse(SLICE("p=AAAA"), arena, &key);
	EVP_PKEY_free(key.pkey);
	arena_free(&arena);
}

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;
	const char *organisation = config_text(c, "dmarc_org_domain");
	const struct rlimit memory __attribute__((unused)) = {MEMORY_MAX, MEMORY_MAX};

	me.settings = (struct verify_settings){
	    .authserv_id = config_text(c, "authserv_id"),
	    .signature_limit = (size_t)config_int(c, "dkim_verify_limit"),
	    .tree_walk = strcmp(organisation, "tree-walk") == 0,
	    .trusted_sealers = slice_of(config_text(c, "arc_trusted_sealers")),
	    .spf = is_on(c, "spf_policy"),
	    .dkim = is_on(c, "dkim_policy"),
	    .dmarc = is_on(c, "dmarc_policy"),
	};
	me.received_spf = config_bool(c, "spf_received_header");
	me.timeout = config_time(c, "mailauth_timeout") *
		     0.9; /* so that our answer comes before smtpd gives up */
	if (!me.settings.tree_walk && strcmp(organisation, "psl") != 0)
		return err_set(err, ERR_SYNTAX,
			       "dmarc_org_domain: \"%s\" is neither psl nor tree-walk",
			       organisation);
	me.settings.suffixes = dmarc_suffixes_open();
	if (!me.settings.suffixes)
		log_warning(
		    "there is no public suffix list: every domain is taken for an organisation's");
	warm_up();
#ifndef __SANITIZE_ADDRESS__ /* whose run time takes more than that */
	(void)setrlimit(RLIMIT_DATA, &memory);
#endif
	return true;
}

static void start(const struct process_info *info)
{
	me.keys = dkim_key_cache_create();
	me.resolver = ipc_client_create("resolver", &resolver_protocol, process_connect);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = {
	    .open = open_process, .start = start, .peer = accept_peer};

	return process_main(argc, argv, &ops);
}
