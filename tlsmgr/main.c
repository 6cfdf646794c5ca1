/* SPDX-License-Identifier: ISC */
/*
 * tlsmgr: holds the private keys of TLS and signs with them for those who shake hands; makes the
 * keys of session tickets; knows the certificates of names that clients ask for.
 */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/master_cf.h"
#include "common/process/process.h"
#include "common/proto/tlsmgr_proto.h"
#include "common/tls/identity.h"
#include "common/tls/remote_key.h"

#include "tables/table.h"
#include "tlsmgr/keys.h"

#define TABLE_CHECK  1.0
#define PEM_MAX      (1u << 18)

struct peer {
	struct ipc_channel *channel;
	struct task_group tasks;     /* answers under way */
};

static struct {
	struct table_list *names;    /* tls_server_sni_maps */
	struct tlsmgr_ticket_key tickets[TLSMGR_TICKET_KEYS];
	size_t ticket_count;
	double ticket_time;          /* how long one is good */
	double rotated;
	struct task_group background;
} me;

/* --- keys --- */

static bool read_keys(const struct config *config, const char *prefix, struct err *err)
{
	struct arena *arena = arena_create(0);
	struct tls_files files;
	bool ok = true;

	tls_files_of(config, prefix, arena, &files);
	for (size_t i = 0; ok && i < files.count; i++) {
		process_watch_file(files.pair[i].keys);
		ok = keys_read_file(files.pair[i].keys, err);
	}
	arena_free(&arena);
	return ok;
}

static const char *prefix_of(const char *command)
{
	return strcmp(command, "smtpd") == 0 ? "smtpd_tls_" : strcmp(command, "smtp") == 0 ? "smtp_tls_" :
	       strcmp(command, "lmtp") == 0 ? "lmtp_tls_" : NULL;
}

/* Services of master.cf may have certificates of their own. */
static bool read_service_keys(const struct config *config, struct err *err)
{
	struct str path = { 0 };
	struct master_cf *cf;
	bool ok = true;

	str_printf(&path, "%s/master.cf", config_dir(config));
	cf = master_cf_load(str_cstr(&path), err);
	str_free(&path);
	if (!cf)
		return false;
	for (size_t i = 0; ok && i < master_cf_count(cf); i++) {
		const struct master_entry *e = master_cf_entry(cf, i);
		struct config *own;

		const char *prefix = prefix_of(e->command);

		if (e->override_count == 0 || !prefix)
			continue;
		own = config_load(config_dir(config), e->overrides, e->override_count, err);
		ok = own && read_keys(own, prefix, err);
		config_free(&own);
	}
	master_cf_free(&cf);
	return ok;
}

static bool open_process(const struct process_info *info, struct err *err)
{
	me.ticket_time = config_time(info->config, "smtpd_tls_session_cache_timeout");
	me.names = table_list_open(config_text(info->config, "tls_server_sni_maps"), err);
	return me.names && read_keys(info->config, "smtpd_tls_", err) &&
	       read_keys(info->config, "smtp_tls_", err) && read_keys(info->config, "lmtp_tls_", err) && read_service_keys(info->config, err);
}

/* --- session tickets --- */

/* The newest signs; the older ones are good for as long as their tickets are. */
static void rotate(void)
{
	struct tlsmgr_ticket_key fresh = { .until = loop_now() + 2 * me.ticket_time };

	if (me.ticket_count > 0 && loop_now() < me.rotated + me.ticket_time && loop_now() >= me.rotated)
		return;
	if (RAND_bytes(fresh.name, sizeof(fresh.name)) != 1 || RAND_bytes(fresh.cipher, sizeof(fresh.cipher)) != 1 ||
	    RAND_bytes(fresh.mac, sizeof(fresh.mac)) != 1)
		return;
	if (me.ticket_count < TLSMGR_TICKET_KEYS)
		me.ticket_count++;
	memmove(&me.tickets[1], &me.tickets[0], (me.ticket_count - 1) * sizeof(me.tickets[0]));
	me.tickets[0] = fresh;
	me.rotated = loop_now();
}

static void answer_tickets(struct peer *p, const struct ipc_in *m)
{
	struct ipc_out out;

	rotate();
	if (tlsmgr_put_keys(&out, m->request, me.tickets, me.ticket_count))
		(void)ipc_send(p->channel, &out);
}

/* --- signatures --- */

static void refuse(struct peer *p, uint32_t request, const char *text)
{
	struct ipc_out out;

	if (p->channel && tlsmgr_put_refused(&out, request, text))
		(void)ipc_send(p->channel, &out);
}

static void answer_sign(struct peer *p, const struct ipc_in *m)
{
	struct remote_key_request request = { .pss = false };
	unsigned char signature[REMOTE_KEY_SIGNATURE_MAX];
	struct tlsmgr_sign sign;
	char digest_name[33];
	struct ipc_out out;
	EVP_PKEY *key;
	size_t len;

	if (!tlsmgr_get_sign(m, &sign)) {
		refuse(p, m->request, "malformed request");
		return;
	}
	key = keys_find(sign.key);
	if (!key) {
		refuse(p, m->request, "no such private key: the certificate is newer than the keys that tlsmgr has read");
		return;
	}
	snprintf(digest_name, sizeof(digest_name), "%.*s", SLICE_FMT(sign.digest_name));
	request.digest_name = digest_name;
	request.digest = sign.digest;
	request.pss = sign.pss;
	if (!remote_key_answer(key, &request, signature, &len))
		refuse(p, m->request, "the key cannot make this signature");
	else if (tlsmgr_put_signed(&out, m->request, slice_make(signature, len)))
		(void)ipc_send(p->channel, &out);
}

/* --- certificates by name --- */

struct question {
	struct peer *peer;
	uint32_t request;
	char name[TLSMGR_NAME_MAX + 1];
};

/* The text without the bodies of its private keys; their last lines stay, and part the chains. */
static void strip_keys(struct slice pem, struct str *out)
{
	bool inside = false;
	struct slice line;
	bool more = pem.len > 0;

	while (more) {
		more = slice_cut(&pem, '\n', &line);
		bool marker = slice_starts(line, SLICE("-----")) && slice_ends_nocase(slice_trim(line), SLICE("PRIVATE KEY-----"));
		bool end = marker && slice_starts(line, SLICE("-----END"));

		if (!marker && inside)
			continue;
		inside = marker && !end;
		if (inside)
			continue;
		str_append(out, line);
		str_append_byte(out, '\n');
	}
}

/* Map values are base64 of PEM (postmap -F). */
static bool decode(struct slice value, struct str *pem)
{
	int len;

	if (value.len == 0 || value.len % 4 != 0 || value.len > PEM_MAX)
		return false;
	str_reserve(pem, value.len);
	len = EVP_DecodeBlock((unsigned char *)pem->data, (const unsigned char *)value.ptr, (int)value.len);
	if (len < 0)
		return false;
	pem->len = (size_t)len;
	while (value.len > 0 && value.ptr[value.len - 1] == '=' && pem->len > 0) {
		value.len--;
		pem->len--;
	}
	return true;
}

/* mail.example.com, .example.com, .com */
static enum table_result find_name(struct slice name, struct arena *arena, struct slice *value, struct err *err)
{
	enum table_result result = table_list_lookup(me.names, name, arena, value, err);

	for (ptrdiff_t dot; result == TABLE_NOT_FOUND && (dot = slice_find(slice_sub(name, 1, name.len), '.')) >= 0;) {
		name = slice_sub(name, (size_t)dot + 1, name.len);
		result = table_list_lookup(me.names, name, arena, value, err);
	}
	return result;
}

static void send_chain(struct question *q, struct slice pem)
{
	struct ipc_out out;

	if (q->peer->channel && tlsmgr_put_chained(&out, q->request, pem))
		(void)ipc_send(q->peer->channel, &out);
	else
		refuse(q->peer, q->request, "the certificates are too long");
}

static void answer_chain(void *arg)
{
	struct question *q = arg;
	struct arena *arena = arena_create(0);
	struct str pem = { 0 }, public = { 0 };
	struct slice value;
	struct err err = { 0 };

	switch (find_name(slice_of(q->name), arena, &value, &err)) {
	case TABLE_NOT_FOUND:
		send_chain(q, SLICE_NONE);
		break;
	case TABLE_FOUND:
		if (!decode(value, &pem))
			err_set(&err, ERR_SYNTAX, "tls_server_sni_maps: the value of %s is not what postmap -F makes", q->name);
		else if (keys_read(str_slice(&pem), "tls_server_sni_maps", &err)) {
			strip_keys(str_slice(&pem), &public);
			send_chain(q, str_slice(&public));
			break;
		}
		/* fall through */
	case TABLE_ERROR:
		log_warning("%s", err.text);
		refuse(q->peer, q->request, err.text);
		break;
	}
	if (pem.data)
		OPENSSL_cleanse(pem.data, pem.cap);
	str_free(&pem);
	str_free(&public);
	arena_free(&arena);
	free(q);
}

static void start_chain(struct peer *p, const struct ipc_in *m)
{
	struct question *q = mem_alloc(sizeof(*q));
	struct slice name;

	q->peer = p;
	q->request = m->request;
	if (!tlsmgr_get_chain(m, &name)) {
		refuse(p, m->request, "malformed name");
		free(q);
		return;
	}
	for (size_t i = 0; i < name.len; i++)
		q->name[i] = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (char)(name.ptr[i] + 32) : name.ptr[i];
	if (!task_spawn(&p->tasks, answer_chain, q)) {
		refuse(p, m->request, "out of memory");
		free(q);
	}
}

/* --- peers --- */

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	switch (m->type) {
	case TLSMGR_SIGN:
		answer_sign(context, m);
		break;
	case TLSMGR_CHAIN:
		start_chain(context, m);
		break;
	case TLSMGR_TICKETS:
		answer_tickets(context, m);
		break;
	default:
		refuse(context, m->request, "unknown request");
	}
}

static void peer_gone(void *context)
{
	struct peer *p = context;

	free(p);
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
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct peer *p = mem_alloc(sizeof(*p));

	process_busy(1);
	p->channel = ipc_channel_create(fd, &tlsmgr_protocol, &handler, p);
}

static void watch_tables(void *arg)
{
	while (task_sleep(TABLE_CHECK) == TASK_READY) {
		if (table_list_changed(me.names)) {
			process_retire("table changed");
			return;
		}
	}
}

static void start(const struct process_info *info)
{
	log_debug(1, "%zu private keys", keys_count());
	task_spawn(&me.background, watch_tables, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = accept_peer };

	return process_main(argc, argv, &ops);
}
