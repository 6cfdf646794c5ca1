/* SPDX-License-Identifier: ISC */
/*
 * mtasts: which MTA-STS policy (RFC 8461) a domain has.  It asks the resolver for the record and fetches the
 * policy by HTTPS, in a worker thread; it is the only process that speaks HTTP, and holds nothing but
 * policies.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/process/process.h"
#include "common/proto/mtasts_proto.h"
#include "common/proto/resolver_proto.h"
#include "mtasts/cache.h"
#include "mtasts/fetch.h"

#define DNS_SECONDS   30.0
#define RETRY_SECONDS 300.0     /* after a fetch that failed (section 3.3) */
#define WAIT_SECONDS  90.0      /* for a fetch that another task has begun */
#define LOOK_SECONDS  1.0       /* between looks at what is to be saved and to be fetched again */
#define ADDRESSES_MAX 8

static struct {
	struct cache *cache;
	int file;
	unsigned port;
	const char *authorities;
	struct ipc_client *resolver;
	struct task_group tasks, background;
} me = { .file = -1 };

/* --- the record --- */

/* False: there is none (or it cannot be found out now), and the present policy goes on. */
static bool find_id(struct slice domain, struct arena *arena, char id[STS_ID_MAX + 1])
{
	const char *name = arena_printf(arena, "_mta-sts.%.*s", SLICE_FMT(domain));
	struct dns_answer answer;
	struct slice found = SLICE_NONE;
	size_t count = 0;

	resolver_query(me.resolver, slice_of(name), DNS_TXT, loop_now() + DNS_SECONDS, arena, &answer);
	for (size_t i = 0; answer.status == DNS_OK && i < answer.count; i++) {
		if (answer.records[i].type != DNS_TXT || !sts_record_is(answer.records[i].data))
			continue;
		count++;
		if (!sts_record_parse(answer.records[i].data, &found))
			return false;
	}
	if (count != 1)
		return false;
	memset(id, 0, STS_ID_MAX + 1);
	memcpy(id, found.ptr, found.len);
	return true;
}

/* --- the policy --- */

static void add_addresses(const struct dns_answer *answer, enum dns_type type, struct str *list)
{
	char text[INET6_ADDRSTRLEN];
	size_t count = 0;

	for (size_t i = 0; answer->status == DNS_OK && i < answer->count && count < ADDRESSES_MAX; i++) {
		const struct dns_record *r = &answer->records[i];

		if (r->type != type || r->data.len != (type == DNS_A ? 4u : 16u) ||
		    !inet_ntop(type == DNS_A ? AF_INET : AF_INET6, r->data.ptr, text, sizeof(text)))
			continue;
		str_printf(list, type == DNS_A ? "%s%s" : "%s[%s]", list->len ? "," : "", text);
		count++;
	}
}

static bool find_server(struct slice domain, struct arena *arena, struct str *list)
{
	struct slice name = slice_of(arena_printf(arena, "mta-sts.%.*s", SLICE_FMT(domain)));
	struct dns_answer answer;

	resolver_query(me.resolver, name, DNS_A, loop_now() + DNS_SECONDS, arena, &answer);
	add_addresses(&answer, DNS_A, list);
	resolver_query(me.resolver, name, DNS_AAAA, loop_now() + DNS_SECONDS, arena, &answer);
	add_addresses(&answer, DNS_AAAA, list);
	return list->len > 0;
}

static void fetch_policy(struct cached *c, const char *id, struct arena *arena)
{
	struct fetch f = { .domain = c->domain, .port = me.port, .authorities = me.authorities };
	struct str addresses = { 0 };
	struct sts_policy policy;

	c->fetching = true;
	if (find_server(slice_of(c->domain), arena, &addresses)) {
		f.addresses = str_cstr(&addresses);
		task_offload(fetch_run, &f);
	} else {
		err_set(&f.err, ERR_TEMPORARY, "mta-sts.%s has no address", c->domain);
	}
	if (f.done && sts_policy_parse(str_slice(&f.text), &policy, &f.err)) {
		cache_store(me.cache, c, slice_of(id), str_slice(&f.text), (double)policy.max_age, loop_now());
		c->retry = 0;
		log_info("MTA-STS policy of %s: mode=%s, max_age=%llu, id=%s", c->domain, sts_mode_text(policy.mode),
			 (unsigned long long)policy.max_age, id);
	} else {
		c->retry = loop_now() + RETRY_SECONDS;
		log_warning("MTA-STS policy of %s cannot be fetched: %s", c->domain, f.err.text);
	}
	str_free(&f.text);
	str_free(&addresses);
	c->fetching = false;
	task_event_broadcast(&c->fetched_event);
}

static bool is_current(const struct cached *c, const char *id)
{
	return c->text.len > 0 && c->expires > loop_now() && strcmp(c->id, id) == 0;
}

/* The policy as it is now; `arena` takes what is needed on the way. */
static void find_policy(struct slice domain, struct arena *arena, struct sts_policy *policy)
{
	struct cached *c = cache_find(me.cache, domain);
	char id[STS_ID_MAX + 1];
	struct err err;

	*policy = (struct sts_policy){ .mode = STS_NONE };
	if (find_id(domain, arena, id)) {
		c = cache_find_or_make(me.cache, domain);
		c->users++;
		while (c->fetching && !is_current(c, id) &&
		       task_event_wait(&c->fetched_event, loop_now() + WAIT_SECONDS) == TASK_READY)
			;
		if (!c->fetching && !is_current(c, id) && c->retry <= loop_now())
			fetch_policy(c, id, arena);
		c->users--;
	} else {
		/* The wait may have seen it go. */
		c = cache_find(me.cache, domain);
	}
	if (c && c->text.len > 0 && c->expires > loop_now() &&
	    !sts_policy_parse(arena_slice(arena, str_slice(&c->text)), policy, &err))
		*policy = (struct sts_policy){ .mode = STS_NONE };
}

/* Before a policy ends it is fetched anew, so that nobody who keeps the record from us gains by it. */
static void refresh(struct cached *c)
{
	struct arena *arena = arena_create(1024);
	char id[STS_ID_MAX + 1];

	c->users++;
	c->fetching = true;
	if (find_id(slice_of(c->domain), arena, id))
		fetch_policy(c, id, arena);
	else
		c->retry = loop_now() + RETRY_SECONDS;
	c->fetching = false;
	task_event_broadcast(&c->fetched_event);
	c->users--;
	arena_free(&arena);
}

static void look_after(void *arg)
{
	while (task_sleep(LOOK_SECONDS) == TASK_READY && !process_retiring()) {
		struct cached *due = cache_due(me.cache, loop_now());

		if (due)
			refresh(due);
		if (!cache_save(me.cache, loop_now()))
			log_warning("the cache of MTA-STS policies cannot be written");
	}
	(void)cache_save(me.cache, loop_now());
}

/* --- questions --- */

struct asker {
	struct ipc_channel *channel;     /* NULL: has gone */
	size_t questions;
};

struct question {
	struct asker *asker;
	uint32_t request;
	struct arena *arena;
	struct slice domain;
};

static void release(struct asker *asker)
{
	if (!asker->channel && asker->questions == 0)
		free(asker);
}

static void answer(void *arg)
{
	struct question *q = arg;
	struct asker *asker = q->asker;
	struct sts_policy policy;
	struct ipc_out m;

	find_policy(q->domain, q->arena, &policy);
	if (asker->channel && mtasts_put_answer(&m, q->request, &policy))
		(void)ipc_send(asker->channel, &m);
	arena_free(&q->arena);
	free(q);
	asker->questions--;
	release(asker);
	process_busy(-1);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct asker *asker = context;

	ipc_channel_free(&asker->channel);
	release(asker);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct asker *asker = context;
	struct question *q;
	struct slice domain;
	struct err err;

	if (!mtasts_get_query(m, &domain, &err)) {
		log_warning("%s", err.text);
		return;
	}
	q = mem_alloc(sizeof(*q));
	q->asker = asker;
	q->request = m->request;
	q->arena = arena_create(1024);
	q->domain = arena_slice(q->arena, domain);
	asker->questions++;
	process_busy(1);
	/* Without an answer the asker waits to its deadline, and the mail with it. */
	if (!task_spawn(&me.tasks, answer, q)) {
		log_warning("no memory for a question");
		arena_free(&q->arena);
		free(q);
		asker->questions--;
		process_busy(-1);
	}
}

static void peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct asker *asker = mem_alloc(sizeof(*asker));

	asker->channel = ipc_channel_create(fd, &mtasts_protocol, &handler, asker);
}

/* --- the process --- */

static bool open_process(const struct process_info *info, struct err *err)
{
	const char *path = config_text(info->config, "mta_sts_cache_file");

	me.port = (unsigned)config_int(info->config, "mta_sts_port");
	me.authorities = config_text(info->config, "mta_sts_CAfile");
	if (*path) {
		/* Not through a link: the folder is not root's. */
		me.file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (me.file < 0)
			return err_set_errno(err, ERR_TEMPORARY, "mta_sts_cache_file: open %s", path);
	}
	me.cache = cache_create(me.file, loop_now());
	return fetch_prepare(err);
}

static void start(const struct process_info *info)
{
	me.resolver = ipc_client_create("resolver", &resolver_protocol, process_connect);
	task_spawn(&me.background, look_after, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = peer };

	return process_main(argc, argv, &ops);
}
