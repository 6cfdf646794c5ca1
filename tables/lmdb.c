/* SPDX-License-Identifier: ISC */
/*
 * Reading LMDB files.  Not by the library: it maps the file and follows what it finds there, so a damaged
 * file, or one that shrinks, kills the process.  Here each page is read, and each offset checked.
 *
 * Pages 0 and 1 tell where the root is; the one with the higher transaction counts.  Branch and leaf
 * pages hold an array of offsets to nodes, ordered by key; a value that is too large for a leaf has pages
 * of its own.  A change writes new pages and then one of the first two, so a file that is changed while it is
 * read shows its old or its new state.  Numbers are as this machine has them.
 */
#include <stdlib.h>

#include "common/base/str.h"
#include "tables/lmdb.h"

#define MAGIC       0xBEEFC0DEu
#define VERSION     1
#define HEADER      16          /* of a page: number, padding, flags, two ends of free space */
#define META_SIZE   136
#define PAGE_MIN    512
#define PAGE_MAX    65536
#define NODE_HEADER 8
#define DEPTH_MAX   32
#define NO_PAGE     UINT64_MAX
#define TRIES       5
#define CACHED      256         /* branch pages that are kept */

enum { BRANCH = 1, LEAF = 2, OVERFLOW_ = 4, META = 8 };
enum { BIG_DATA = 1, SUB_DATA = 2, DUP_DATA = 4 };

struct cached_page {
	uint64_t number;
	uint8_t *data;
};

struct lmdb_reader {
	int fd;
	size_t page_size;
	uint64_t transaction, root, last_page;
	uint8_t *page;                   /* the one in use that is not kept; room for the first two */
	struct cached_page cache[CACHED];
};

struct node {
	struct slice key;
	struct slice value;              /* of a leaf */
	uint64_t child;                  /* of a branch */
	uint32_t value_size;
	uint16_t flags;
};

static uint16_t u16(const uint8_t *p)
{
	uint16_t n;

	memcpy(&n, p, sizeof(n));
	return n;
}

static uint32_t u32(const uint8_t *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof(n));
	return n;
}

static uint64_t u64(const uint8_t *p)
{
	uint64_t n;

	memcpy(&n, p, sizeof(n));
	return n;
}

static bool damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_TEMPORARY, "the file is damaged: %s", what);
}

/* --- pages --- */

/* One of the first two pages.  What is in it counts when it is newer than what is known. */
static bool read_meta(struct lmdb_reader *r, const uint8_t *page, bool *found, struct err *err)
{
	const uint8_t *meta = page + HEADER;

	if (!(u16(page + 10) & META) || u32(meta) != MAGIC)
		return err_set(err, ERR_TEMPORARY, "not an LMDB file");
	if (u32(meta + 4) != VERSION)
		return err_set(err, ERR_TEMPORARY, "LMDB file of an unknown version");
	/* Duplicates, integer keys, reverse keys: not what a lookup table has. */
	if (u16(meta + 72 + 4) != 0)
		return err_set(err, ERR_TEMPORARY, "LMDB file with flags that lookup tables do not have");
	if (*found && u64(meta + 128) < r->transaction)
		return true;
	*found = true;
	r->transaction = u64(meta + 128);
	r->root = u64(meta + 72 + 40);
	r->last_page = u64(meta + 120);
	return true;
}

static void forget_pages(struct lmdb_reader *r)
{
	for (int i = 0; i < CACHED; i++)
		r->cache[i].number = NO_PAGE;
}

static bool find_page_size(struct lmdb_reader *r, struct err *err)
{
	uint8_t page[HEADER + META_SIZE];

	if (!db_read_at(r->fd, 0, page, sizeof(page), err))
		return false;
	if (u32(page + HEADER) != MAGIC)
		return err_set(err, ERR_TEMPORARY, "not an LMDB file");
	r->page_size = u32(page + HEADER + 24);
	return (r->page_size >= PAGE_MIN && r->page_size <= PAGE_MAX) || damaged(err, "impossible page size");
}

/* Where the root is now.  The first two pages in one read. */
static bool refresh(struct lmdb_reader *r, struct err *err)
{
	uint64_t known = r->transaction;
	bool found = false;
	size_t got;

	if (!db_read_some(r->fd, 0, r->page, r->page_size + HEADER + META_SIZE, &got, err))
		return false;
	if (got < r->page_size + HEADER + META_SIZE)
		return damaged(err, "it ends too early");
	/* One of them may have been written halfway when the machine stopped. */
	struct err other;
	bool first = read_meta(r, r->page, &found, err);

	if (!read_meta(r, r->page + r->page_size, &found, first ? &other : err) && !first)
		return false;
	if (r->transaction != known)
		forget_pages(r);
	return true;
}

/* Its offsets are those of nodes, not further. */
static bool check_page(const struct lmdb_reader *r, const uint8_t *page, uint64_t number, struct err *err)
{
	unsigned kind = u16(page + 10) & (BRANCH | LEAF | OVERFLOW_ | META);

	if (u64(page) != number || (kind != BRANCH && kind != LEAF))
		return damaged(err, "a page is not what it should be");
	if (u16(page + 12) < HEADER || u16(page + 12) > r->page_size)
		return damaged(err, "impossible number of entries");
	return true;
}

/* Branch pages are kept: they are few, and each lookup needs some. */
static const uint8_t *get_page(struct lmdb_reader *r, uint64_t number, struct err *err)
{
	struct cached_page *slot = &r->cache[number % CACHED];

	if (slot->number == number)
		return slot->data;
	if (number < 2 || number > r->last_page) {
		damaged(err, "it points to a page that is not there");
		return NULL;
	}
	if (!db_read_at(r->fd, number * r->page_size, r->page, r->page_size, err) ||
	    !check_page(r, r->page, number, err))
		return NULL;
	if (!(u16(r->page + 10) & BRANCH))
		return r->page;
	if (!slot->data)
		slot->data = mem_alloc(r->page_size);
	memcpy(slot->data, r->page, r->page_size);
	slot->number = number;
	return slot->data;
}

static size_t count_nodes(const uint8_t *page)
{
	return (u16(page + 12) - HEADER) / 2u;
}

static bool get_node(const struct lmdb_reader *r, const uint8_t *page, size_t index, struct node *node, struct err *err)
{
	size_t at = u16(page + HEADER + 2 * index), left;
	bool branch = u16(page + 10) & BRANCH;

	if (at + NODE_HEADER > r->page_size || at < HEADER)
		return damaged(err, "an entry lies outside its page");
	left = r->page_size - at - NODE_HEADER;
	*node = (struct node){
		.key = slice_make(page + at + NODE_HEADER, u16(page + at + 6)),
		.flags = u16(page + at + 4),
		.value_size = (uint32_t)u16(page + at) | (uint32_t)u16(page + at + 2) << 16,
	};
	if (node->key.len > left)
		return damaged(err, "a key is longer than its page");
	left -= node->key.len;
	if (branch) {
		node->child = node->value_size | (uint64_t)node->flags << 32;
		return true;
	}
	if (node->flags & (SUB_DATA | DUP_DATA))
		return err_set(err, ERR_TEMPORARY, "LMDB file with several values a key");
	size_t here = node->flags & BIG_DATA ? sizeof(uint64_t) : node->value_size;

	if (here > left)
		return damaged(err, "a value is longer than its page");
	node->value = slice_make(node->key.ptr + node->key.len, here);
	return true;
}

/* The value of a leaf's node, in the arena. */
static bool get_value(struct lmdb_reader *r, const struct node *node, struct arena *arena, struct slice *value,
		      struct err *err)
{
	uint8_t header[HEADER], *text;
	uint64_t number;

	if (!(node->flags & BIG_DATA)) {
		*value = arena_slice(arena, node->value);
		return true;
	}
	number = u64((const uint8_t *)node->value.ptr);
	uint64_t pages = (HEADER + (uint64_t)node->value_size + r->page_size - 1) / r->page_size;

	if (number < 2 || number > r->last_page || pages > r->last_page - number + 1)
		return damaged(err, "it points to a page that is not there");
	if (!db_read_at(r->fd, number * r->page_size, header, sizeof(header), err))
		return false;
	if (u64(header) != number || !(u16(header + 10) & OVERFLOW_))
		return damaged(err, "a page is not what it should be");
	/* Does the file have it?  Before memory is taken for it. */
	uint64_t at = number * r->page_size + HEADER;

	if (node->value_size > 0 && !db_read_at(r->fd, at + node->value_size - 1, header, 1, err))
		return false;
	text = arena_alloc(arena, (size_t)node->value_size + 1);
	*value = slice_make(text, node->value_size);
	return db_read_at(r->fd, at, text, node->value_size, err);
}

/* --- asking --- */

/* The last node whose key is not greater; *exact: it is equal.  -1: none, SEARCH_FAILED: error. */
#define SEARCH_FAILED (-2)
static ptrdiff_t search(const struct lmdb_reader *r, const uint8_t *page, struct slice key, bool *exact, struct err *err)
{
	/* The first key of a branch stands for "less than all". */
	size_t low = u16(page + 10) & BRANCH ? 1 : 0, high = count_nodes(page);
	struct node node;

	*exact = false;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (!get_node(r, page, middle, &node, err))
			return SEARCH_FAILED;
		int order = slice_compare(key, node.key);

		if (order == 0) {
			*exact = true;
			return (ptrdiff_t)middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return (ptrdiff_t)low - 1;
}

/* From the root down, once. */
static int descend(struct lmdb_reader *r, struct slice key, struct arena *arena, struct slice *value, struct err *err)
{
	uint64_t number = r->root;

	for (int depth = 0; depth < DEPTH_MAX && number != NO_PAGE; depth++) {
		const uint8_t *page = get_page(r, number, err);
		struct node node;
		bool exact;

		if (!page)
			return -1;
		if (count_nodes(page) == 0) {
			damaged(err, "an empty page");
			return -1;
		}
		ptrdiff_t at = search(r, page, key, &exact, err);
		bool leaf = u16(page + 10) & LEAF;

		if (at == SEARCH_FAILED)
			return -1;
		if (leaf && !exact)
			return 0;
		if (!get_node(r, page, (size_t)at, &node, err))
			return -1;
		if (leaf)
			return get_value(r, &node, arena, value, err) ? 1 : -1;
		number = node.child;
	}
	if (number == NO_PAGE)
		return 0;
	damaged(err, "pages point to each other");
	return -1;
}

/* What was read while somebody changed the file twice may be pages of two states. */
static int reader_get(void *reader, struct slice key, struct arena *arena, struct slice *value, struct err *err)
{
	struct lmdb_reader *r = reader;
	int found = -1;

	if (!refresh(r, err))
		return -1;
	for (int tries = 0; tries < TRIES; tries++) {
		uint64_t transaction = r->transaction;
		struct err later;

		found = descend(r, key, arena, value, err);
		if (found > 0 || !refresh(r, &later) || r->transaction == transaction)
			break;
	}
	return found;
}

struct walk {
	struct lmdb_reader *reader;
	db_entry_fn *fn;
	void *context;
	uint64_t pages;                  /* seen; more than there are: they point to each other */
};

static bool walk_page(struct walk *w, uint64_t number, int depth, struct err *err)
{
	struct lmdb_reader *r = w->reader;
	const uint8_t *kept = get_page(r, number, err);
	struct arena *arena;
	uint8_t *page;
	bool ok = true;

	if (!kept)
		return false;
	if (depth == DEPTH_MAX || ++w->pages > r->last_page)
		return damaged(err, "pages point to each other");
	page = mem_alloc(r->page_size);
	memcpy(page, kept, r->page_size);
	arena = arena_create(r->page_size);
	for (size_t i = 0; ok && i < count_nodes(page); i++) {
		struct node node;
		struct slice value;

		ok = get_node(r, page, i, &node, err);
		if (ok && u16(page + 10) & BRANCH) {
			ok = walk_page(w, node.child, depth + 1, err);
		} else if (ok) {
			ok = get_value(r, &node, arena, &value, err);
			if (ok)
				w->fn(node.key, value, w->context);
			arena_reset(arena);
		}
	}
	arena_free(&arena);
	free(page);
	return ok;
}

static bool reader_walk(void *reader, db_entry_fn *fn, void *context, struct err *err)
{
	struct walk w = { reader, fn, context, 0 };

	return refresh(reader, err) && (w.reader->root == NO_PAGE || walk_page(&w, w.reader->root, 0, err));
}

static void reader_close(void *reader)
{
	struct lmdb_reader *r = reader;

	for (int i = 0; i < CACHED; i++)
		free(r->cache[i].data);
	free(r->page);
	free(r);
}

static void *reader_open(int fd, const char *file, struct err *err)
{
	struct lmdb_reader *r = mem_alloc(sizeof(*r));
	bool ok;

	r->fd = fd;
	forget_pages(r);
	ok = find_page_size(r, err);
	if (ok) {
		r->page = mem_alloc(r->page_size + HEADER + META_SIZE);
		ok = refresh(r, err);
	}
	if (ok)
		return r;
	err_prefix(err, "%s", file);
	reader_close(r);
	return NULL;
}

#define LMDB_FORMAT(name)                                                                              \
	{                                                                                              \
		.type = (name), .suffix = ".lmdb", .nul = true, .sorted = true,                        \
		.open = reader_open, .close = reader_close, .get = reader_get, .walk = reader_walk,    \
		.create = lmdb_writer_create, .open_for_change = lmdb_writer_open,                     \
		.put = lmdb_writer_put, .del = lmdb_writer_delete, .finish = lmdb_writer_finish,       \
	}

const struct db_format db_format_lmdb = LMDB_FORMAT("lmdb");
#ifndef HAVE_BDB
const struct db_format db_format_hash = LMDB_FORMAT("hash");
const struct db_format db_format_btree = LMDB_FORMAT("btree");
#endif
