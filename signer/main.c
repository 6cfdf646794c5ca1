/* SPDX-License-Identifier: ISC */
/* signer: has the private keys of DKIM, knows which of them sign for whom, and signs hashes with
 * them. */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/address.h"
#include "common/process/process.h"
#include "signer/keys.h"
#include "tables/table.h"

#define TABLE_CHECK 1.0

struct peer {
	struct ipc_channel *channel;
	struct task_group tasks; /* questions to tables under way */
};

static struct {
	struct table_list *table; /* dkim_signing_table */
	struct task_group background;
} me;

struct question {
	struct peer *peer;
	uint32_t request;
	struct arena *arena;
	struct slice address;
};

static void refuse(struct peer *p, uint32_t request, const char *text)
{
	struct ipc_out out;

	if (p->channel && signer_put_refused(&out, request, text))
		(void)ipc_send(p->channel, &out);
}

/* --- who signs for whom --- */

/* user@domain, domain, .domain of each parent (as ".example.com"). */
static enum table_result find(struct slice address, struct arena *arena, struct slice *value,
			      struct err *err)
{
	enum table_result result = table_list_lookup(me.table, address, arena, value, err);
	struct slice local, domain;

	address_split(address, &local, &domain);
	if (result == TABLE_NOT_FOUND && domain.len > 0)
		result = table_list_lookup(me.table, domain, arena, value, err);
	for (ptrdiff_t dot; result == TABLE_NOT_FOUND && (dot = slice_find(domain, '.')) >= 0;) {
		domain = slice_sub(domain, (size_t)dot, domain.len);
		result = table_list_lookup(me.table, domain, arena, value, err);
		domain = slice_sub(domain, 1, domain.len);
	}
	return result;
}

/* "domain:selector domain:selector …"; false: *err says what is wrong. */
static bool parse_keys(struct slice value, struct signer_key keys[SIGNER_KEYS_MAX], size_t *count,
		       struct err *err)
{
	struct slice word, domain;

	while (slice_word(&value, ", \t\r\n", &word)) {
		struct slice selector = word;
		const struct dkim_private_key *key;

		if (!slice_cut(&selector, ':', &domain))
			return err_set(err, ERR_SYNTAX,
				       "dkim_signing_table: \"%.*s\" is not domain:selector",
				       SLICE_FMT(word));
		key = keys_find(domain, selector);
		if (!key)
			return err_set(err, ERR_NOT_FOUND,
				       "dkim_signing_table: there is no key %.*s/%.*s.pem in "
				       "dkim_key_directory",
				       SLICE_FMT(domain), SLICE_FMT(selector));
		if (*count == SIGNER_KEYS_MAX)
			return err_set(err, ERR_LIMIT,
				       "dkim_signing_table: more than %d keys for one sender",
				       SIGNER_KEYS_MAX);
		keys[(*count)++] = (struct signer_key){domain, selector, key->ed25519};
	}
	return true;
}

static void answer_find(void *arg)
{
	struct question *q = arg;
	struct signer_key keys[SIGNER_KEYS_MAX];
	size_t count = 0;
	struct slice value;
	struct err err = {0};
	struct ipc_out out;
	enum table_result result = find(q->address, q->arena, &value, &err);

	if (result == TABLE_FOUND && !parse_keys(value, keys, &count, &err))
		result = TABLE_ERROR;
	if (result == TABLE_ERROR) {
		log_warning("%s", err.text);
		refuse(q->peer, q->request, err.text);
	} else if (q->peer->channel && signer_put_keys(&out, q->request, keys, count)) {
		(void)ipc_send(q->peer->channel, &out);
	}
	arena_free(&q->arena);
	free(q);
}

static void start_find(struct peer *p, const struct ipc_in *m)
{
	struct question *q;
	struct slice address;

	if (!signer_get_find(m, &address)) {
		refuse(p, m->request, "malformed request");
		return;
	}
	q = mem_alloc(sizeof(*q));
	q->peer = p;
	q->request = m->request;
	q->arena = arena_create(0);
	q->address = arena_slice(q->arena, address);
	if (task_spawn(&p->tasks, answer_find, q))
		return;
	refuse(p, m->request, "out of memory");
	arena_free(&q->arena);
	free(q);
}

/* --- signatures --- */

static void answer_sign(struct peer *p, const struct ipc_in *m)
{
	const struct dkim_private_key *key = NULL;
	uint8_t digest[CANON_DIGEST];
	struct signer_key wanted;
	struct str base64 = {0};
	struct ipc_out out;
	struct err err;

	if (signer_get_sign(m, &wanted, digest))
		key = keys_find(wanted.domain, wanted.selector);
	if (!key || key->ed25519 != wanted.ed25519)
		refuse(p, m->request, "no such key");
	else if (!dkim_private_key_sign_digest(key, digest, &base64, &err))
		refuse(p, m->request, err.text);
	else if (signer_put_signed(&out, m->request, str_slice(&base64)))
		(void)ipc_send(p->channel, &out);
	str_free(&base64);
}

/* --- peers --- */

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	if (m->type == SIGNER_FIND)
		start_find(context, m);
	else if (m->type == SIGNER_SIGN)
		answer_sign(context, m);
	else
		refuse(context, m->request, "unknown request");
}

static void peer_gone(void *context)
{
	free(context);
	process_busy(-1);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct peer *p = context;

	ipc_channel_free(&p->channel);
	if (p->tasks.count == 0) {
		peer_gone(p);
		return;
	}
	p->tasks.on_empty = peer_gone;
	p->tasks.context = p;
	task_group_cancel(&p->tasks);
}

static void accept_peer(int fd, const char *role)
{
	static const struct ipc_handler handler = {.on_message = on_message, .on_close = on_close};
	struct peer *p = mem_alloc(sizeof(*p));

	process_busy(1);
	p->channel = ipc_channel_create(fd, &signer_protocol, &handler, p);
	if (!p->channel)
		peer_gone(p);
}

/* --- the process --- */

/* Code that the first signature would load, after the sandbox has closed. */
static void warm_up(void)
{
	static const char *const kinds[] = {"ED25519", "RSA"};
	static const uint8_t digest[CANON_DIGEST];

	for (size_t i = 0; i < 2; i++) {
		struct dkim_private_key key = {.ed25519 = i == 0};
		struct str out = {0};
		struct err err;

		key.pkey = i == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, kinds[i])
				  : EVP_PKEY_Q_keygen(NULL, NULL, kinds[i], (size_t)1024);
		if (!key.pkey || !dkim_private_key_sign_digest(&key, digest, &out, &err))
			log_warning("%s keys cannot be used on this system", kinds[i]);
		dkim_private_key_free(&key);
		str_free(&out);
	}
}

static bool open_process(const struct process_info *info, struct err *err)
{
	tables_use_proxy(process_connect);
	me.table = table_list_open(config_text(info->config, "dkim_signing_table"), err);
	if (!me.table)
		return err_prefix(err, "dkim_signing_table");
	warm_up();
	return keys_read(config_text(info->config, "dkim_key_directory"), process_watch_file, err);
}

static void watch_tables(void *arg)
{
	while (task_sleep(TABLE_CHECK) == TASK_READY)
		if (table_list_changed(me.table)) {
			process_retire("table changed");
			return;
		}
}

static void start(const struct process_info *info)
{
	log_debug(1, "%zu private keys", keys_count());
	task_spawn(&me.background, watch_tables, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = {
	    .open = open_process, .start = start, .peer = accept_peer};

	return process_main(argc, argv, &ops);
}
