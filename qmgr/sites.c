/* SPDX-License-Identifier: ISC */
#include "qmgr/sites.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/mail/address.h"
#include "qmgr/qmgr.h"
#include "tables/table.h"

#define SITES_MAX   64    /* of a message: one with more is tried for any site */
#define ANY_SITE    0     /* as a hash */
#define READ_PIECE  50    /* files a turn of the loop */
#define WAITING_MAX 1000  /* sites asked for while files are read */

static struct {
	struct match_list *eligible;
	bool none;               /* fast_flush_domains is empty */
	uint32_t waiting[WAITING_MAX];
	size_t waiting_count;
	bool reading;
	struct task_group tasks;
} me;

bool sites_open(const struct config *config, struct err *err)
{
	struct slice names = slice_of(config_text(config, "parent_domain_matches_subdomains")), word;
	const char *domains = config_text(config, "fast_flush_domains");
	enum match_kind kind = MATCH_DOMAIN;

	while (slice_word(&names, " ,\t\r\n", &word))
		if (slice_eq(word, SLICE("fast_flush_domains")))
			kind = MATCH_DOMAIN_PARENT;
	me.none = slice_trim(slice_of(domains)).len == 0;
	me.eligible = match_list_open(domains, kind, err);
	return me.eligible || err_prefix(err, "fast_flush_domains");
}

bool sites_changed(void)
{
	return me.eligible && match_list_changed(me.eligible);
}

static uint32_t hash_of(struct slice site)
{
	uint32_t hash = (uint32_t)slice_hash_nocase(site);

	return hash == ANY_SITE ? 1 : hash;
}

static void add_hash(uint32_t *hashes, size_t *count, uint32_t hash)
{
	for (size_t i = 0; i < *count; i++)
		if (hashes[i] == hash || hashes[i] == ANY_SITE)
			return;
	if (*count == SITES_MAX) {
		hashes[0] = ANY_SITE;
		*count = 1;
		return;
	}
	hashes[(*count)++] = hash;
}

void sites_note(struct slice id, const struct message_envelope *e)
{
	uint32_t hashes[SITES_MAX];
	struct slice last = SLICE_NONE;
	size_t count = 0;
	struct err err;

	if (me.none || !me.eligible)
		return;
	for (size_t i = 0; i < e->recipient_count; i++) {
		struct slice address = e->recipients[i].address, site;
		ptrdiff_t at = slice_rfind(address, '@');

		if (e->recipients[i].status != RECIPIENT_PENDING || at < 0)
			continue;
		site = slice_sub(address, (size_t)at + 1, address.len);
		if (last.len && slice_eq_nocase(site, last))
			continue;
		last = site;
		/* What cannot be looked up now counts as eligible. */
		if (match_list_test(me.eligible, site, &err) != TABLE_NOT_FOUND)
			add_hash(hashes, &count, hash_of(site));
	}
	deferred_set_sites(queue_deferred(), id, hashes, count);
}

/* --- those that nobody has looked at yet --- */

static void read_message(const char *id)
{
	struct arena *arena = arena_create(1024);
	struct message_layout layout;
	struct message_envelope envelope;
	struct err err;
	int fd = openat(queue_directory(), message_id_name(id), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && message_read_layout(fd, &layout, &err) && strcmp(layout.id, id) == 0 &&
	    message_read_envelope(fd, &layout, arena, &envelope, &err))
		sites_note(slice_of(id), &envelope);
	else
		deferred_set_sites(queue_deferred(), slice_of(id), NULL, 0);
	if (fd >= 0)
		close(fd);
	arena_free(&arena);
}

static void flush_waiting(void)
{
	while (me.waiting_count > 0)
		queue_flush_site(me.waiting[--me.waiting_count]);
}

/* From `at` on, a piece; where it stopped. */
static size_t read_piece(size_t at)
{
	const struct deferred_message *d;

	for (size_t read = 0; read < READ_PIECE && (d = deferred_at(queue_deferred(), at)); at++) {
		char id[MESSAGE_ID_SIZE];

		if (d->sites_known)
			continue;
		snprintf(id, sizeof(id), "%s", d->id);
		read_message(id);
		read++;
	}
	return at;
}

/* The order changes between two turns: what was missed is found the next time round. */
static void read_all(void *arg)
{
	size_t at = 0;

	while (!task_cancelled() && !deferred_all_known(queue_deferred())) {
		at = read_piece(at);
		if (!deferred_at(queue_deferred(), at))
			at = 0;
		task_yield();
	}
	me.reading = false;
	flush_waiting();
}

/* --- asking --- */

static bool is_site(struct slice site)
{
	if (site.len > 2 && site.ptr[0] == '[')
		return address_valid_literal(site);
	return address_valid_hostname(site);
}

enum qmgr_flush sites_flush(struct slice site)
{
	struct err err;
	enum table_result eligible;

	if (!is_site(site))
		return FLUSH_MALFORMED;
	eligible = match_list_test(me.eligible, site, &err);
	if (eligible == TABLE_ERROR) {
		log_warning("fast_flush_domains: %s", err.text);
		return FLUSH_LATER;
	}
	if (eligible != TABLE_FOUND)
		return FLUSH_NOT_ELIGIBLE;
	queue_flush_site(hash_of(site));
	if (deferred_all_known(queue_deferred()))
		return FLUSH_STARTED;
	if (me.waiting_count == WAITING_MAX)
		return FLUSH_LATER;
	me.waiting[me.waiting_count++] = hash_of(site);
	if (!me.reading)
		me.reading = task_spawn(&me.tasks, read_all, NULL) != NULL;
	return me.reading ? FLUSH_STARTED : FLUSH_LATER;
}
