/* SPDX-License-Identifier: ISC */
/*
 * Reading Berkeley DB's hash and btree files.  Not by the library: it maps the file and trusts it, so that a damaged or
 * shrunk one kills the process, and pages that are not there are empty to it, their keys "not found".
 * Here each page is read, each offset checked.
 *
 * Page 0 describes the file.  A page has a header and an array of offsets to its items.  Hash: the bucket of a key
 * has a page and those that follow it, items are key, value, key, value.  Btree: from the root down; items of a leaf as
 * in a hash, in order.  What is too large for a page lies in overflow pages.  Numbers are in either order of bytes.
 */
#include <byteswap.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/str.h"
#include "tables/bdb.h"
#include "tables/watch.h"

#define HASH_MAGIC   0x061561u
#define BTREE_MAGIC  0x053162u
#define META_SIZE    512
#define PAGE_HEADER  26
#define PAGE_MIN     512
#define PAGE_MAX     65536
#define SPARES       32
#define DEPTH_MAX    32
#define CACHED       64           /* inner pages of a btree that are kept */
#define VALUE_MAX    ((size_t)64 << 20)
#define HASH_VERSION 7            /* and later: one hash function */

enum { HASH_UNSORTED = 2, BTREE_INNER = 3, BTREE_LEAF = 5, OVERFLOW_PAGE = 7, HASH_PAGE = 13 };
enum { HASH_DATA = 1, HASH_OVERFLOW = 3 };
enum { BTREE_DATA = 1, BTREE_OVERFLOW = 3, BTREE_DELETED = 0x80 };

struct cached_page {
	uint32_t number;         /* 0: none */
	uint8_t *data;
};

struct bdb_reader {
	int fd;
	struct stat seen;        /* when page 0 was read */
	bool swapped, btree;
	size_t page_size;
	uint32_t last_page;
	uint32_t max_bucket, high_mask, low_mask, spares[SPARES]; /* hash */
	uint32_t root;                                            /* btree */
	uint8_t *page;           /* the one in use that is not kept */
	uint8_t *overflow;       /* one of a large item */
	struct cached_page cache[CACHED];
};

/* A key or a value: bytes of a page, or the first of its own pages. */
struct item {
	struct slice bytes;
	bool large;
	uint32_t page, size;     /* when large */
	uint32_t child;          /* of an inner page */
	bool deleted;
};

static uint16_t u16(const struct bdb_reader *r, const uint8_t *p)
{
	uint16_t n;

	memcpy(&n, p, sizeof(n));
	return r->swapped ? bswap_16(n) : n;
}

static uint32_t u32(const struct bdb_reader *r, const uint8_t *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof(n));
	return r->swapped ? bswap_32(n) : n;
}

static bool damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_TEMPORARY, "the file is damaged: %s", what);
}

static uint32_t hash_of(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint32_t hash = 0;

	for (size_t i = 0; i < len; i++)
		hash = (hash * 16777619u) ^ at[i];
	return hash;
}

/* --- page 0 --- */

static bool read_hash_meta(struct bdb_reader *r, const uint8_t *meta, struct err *err)
{
	static const char known[] = "%$sniglet^&";

	r->max_bucket = u32(r, meta + 72);
	r->high_mask = u32(r, meta + 76);
	r->low_mask = u32(r, meta + 80);
	for (int i = 0; i < SPARES; i++)
		r->spares[i] = u32(r, meta + 96 + 4 * i);
	if (u32(r, meta + 16) < HASH_VERSION || u32(r, meta + 92) != hash_of(known, sizeof(known)))
		return err_set(err, ERR_TEMPORARY, "a hash file of an unknown version, or with another hash function");
	if (r->low_mask > r->high_mask || r->max_bucket > r->last_page)
		return damaged(err, "impossible number of buckets");
	return true;
}

static bool read_meta(struct bdb_reader *r, struct err *err)
{
	uint8_t meta[META_SIZE];
	uint32_t magic;

	if (fstat(r->fd, &r->seen) != 0)
		return err_set_errno(err, ERR_TEMPORARY, "stat");
	if (!db_read_at(r->fd, 0, meta, sizeof(meta), err))
		return false;
	memcpy(&magic, meta + 12, sizeof(magic));
	r->swapped = magic == bswap_32(HASH_MAGIC) || magic == bswap_32(BTREE_MAGIC);
	magic = u32(r, meta + 12);
	if (magic != HASH_MAGIC && magic != BTREE_MAGIC)
		return err_set(err, ERR_TEMPORARY, "not a hash or btree file of Berkeley DB");
	r->btree = magic == BTREE_MAGIC;
	r->page_size = u32(r, meta + 20);
	r->last_page = u32(r, meta + 32);
	if (r->page_size < PAGE_MIN || r->page_size > PAGE_MAX)
		return damaged(err, "impossible page size");
	if ((uint64_t)r->seen.st_size < ((uint64_t)r->last_page + 1) * r->page_size)
		return damaged(err, "it ends too early");
	/* Encryption, checksums, flags: duplicates, record numbers, several tables in one. */
	if (meta[24] != 0 || meta[26] != 0 || u32(r, meta + 48) != 0)
		return err_set(err, ERR_TEMPORARY, "a file with features that lookup tables do not have");
	r->root = u32(r, meta + 88);
	return r->btree || read_hash_meta(r, meta, err);
}

/* --- pages --- */

/* A bucket that never had anything may be a page of zeros: the library makes many at a time. */
static bool is_blank(const uint8_t *page)
{
	static const uint8_t zeros[PAGE_HEADER];

	return memcmp(page, zeros, PAGE_HEADER) == 0;
}

static bool read_page(struct bdb_reader *r, uint32_t number, uint8_t *to, struct err *err)
{
	if (number == 0 || number > r->last_page)
		return damaged(err, "it points to a page that is not there");
	if (!db_read_at(r->fd, (uint64_t)number * r->page_size, to, r->page_size, err))
		return false;
	if (is_blank(to) && !r->btree)
		return true;
	if (u32(r, to + 8) != number)
		return damaged(err, "a page is not what it should be");
	return to[25] == OVERFLOW_PAGE || PAGE_HEADER + 2u * u16(r, to + 20) <= r->page_size ||
	       damaged(err, "impossible number of items");
}

/* Inner pages of a btree are kept: they are few, and each lookup needs some. */
static const uint8_t *get_page(struct bdb_reader *r, uint32_t number, struct err *err)
{
	struct cached_page *slot = &r->cache[number % CACHED];

	if (number != 0 && slot->number == number)
		return slot->data;
	if (!read_page(r, number, r->page, err))
		return NULL;
	if (r->page[25] != BTREE_INNER)
		return r->page;
	if (!slot->data)
		slot->data = mem_alloc(r->page_size);
	memcpy(slot->data, r->page, r->page_size);
	slot->number = number;
	return slot->data;
}

static unsigned count_items(const struct bdb_reader *r, const uint8_t *page)
{
	return u16(r, page + 20);
}

/* Where an item begins, and how many bytes there are to its end or the page's. */
static bool find_item(const struct bdb_reader *r, const uint8_t *page, unsigned index, size_t need, const uint8_t **at,
		      size_t *left, struct err *err)
{
	size_t from = u16(r, page + PAGE_HEADER + 2 * index), to = r->page_size;

	/* In a hash page an item ends where the one before begins. */
	if ((page[25] == HASH_PAGE || page[25] == HASH_UNSORTED) && index > 0)
		to = u16(r, page + PAGE_HEADER + 2 * (index - 1));
	if (from < PAGE_HEADER || to > r->page_size || from > to || to - from < need)
		return damaged(err, "an item lies outside its page");
	*at = page + from;
	*left = to - from;
	return true;
}

static bool get_hash_item(const struct bdb_reader *r, const uint8_t *page, unsigned index, struct item *item,
			  struct err *err)
{
	const uint8_t *at;
	size_t left;

	*item = (struct item){ 0 };
	if (!find_item(r, page, index, 1, &at, &left, err))
		return false;
	if (at[0] == HASH_DATA) {
		item->bytes = slice_make(at + 1, left - 1);
		return true;
	}
	if (at[0] != HASH_OVERFLOW || left < 12)
		return damaged(err, "an item of an unknown kind");
	item->large = true;
	item->page = u32(r, at + 4);
	item->size = u32(r, at + 8);
	return true;
}

/* Of a leaf: length, kind, bytes.  Of an inner page a child and a count lie between. */
static bool get_btree_item(const struct bdb_reader *r, const uint8_t *page, unsigned index, struct item *item,
			   struct err *err)
{
	bool inner = page[25] == BTREE_INNER;
	size_t header = inner ? 12 : 3, left;
	const uint8_t *at;

	*item = (struct item){ 0 };
	if (!find_item(r, page, index, header, &at, &left, err))
		return false;
	size_t len = u16(r, at);

	item->child = inner ? u32(r, at + 4) : 0;
	item->deleted = at[2] & BTREE_DELETED;
	if ((at[2] & ~BTREE_DELETED) == BTREE_DATA) {
		item->bytes = slice_make(at + header, len);
		return len <= left - header || damaged(err, "an item is longer than its page");
	}
	/* In an inner page the reference stands where bytes would. */
	const uint8_t *reference = inner ? at + header : at;

	if ((at[2] & ~BTREE_DELETED) != BTREE_OVERFLOW || left < (inner ? header : 0) + 12)
		return damaged(err, "an item of an unknown kind");
	item->large = true;
	item->page = u32(r, reference + 4);
	item->size = u32(r, reference + 8);
	return true;
}

static bool get_item(const struct bdb_reader *r, const uint8_t *page, unsigned index, struct item *item, struct err *err)
{
	return (r->btree ? get_btree_item : get_hash_item)(r, page, index, item, err);
}

/* All bytes of an item, in the arena. */
static bool get_bytes(struct bdb_reader *r, const struct item *item, struct arena *arena, struct slice *out, struct err *err)
{
	uint32_t number = item->page, pages = 0;
	struct str text = { 0 };
	bool ok = true;

	if (!item->large) {
		*out = arena_slice(arena, item->bytes);
		return true;
	}
	if (item->size > VALUE_MAX)
		return damaged(err, "an impossible length");
	while (ok && number != 0 && text.len < item->size) {
		ok = read_page(r, number, r->overflow, err);
		if (!ok)
			break;
		size_t len = u16(r, r->overflow + 22);

		if (r->overflow[25] != OVERFLOW_PAGE || len > r->page_size - PAGE_HEADER || ++pages > r->last_page)
			ok = damaged(err, "a page is not what it should be");
		else
			str_append(&text, slice_make(r->overflow + PAGE_HEADER, len));
		number = u32(r, r->overflow + 16);
	}
	if (ok && text.len != item->size)
		ok = damaged(err, "a large item is not whole");
	if (ok)
		*out = arena_slice(arena, str_slice(&text));
	str_free(&text);
	return ok;
}

/* <0, 0, >0 as the key is less than the item, or …; false: error. */
static bool compare(struct bdb_reader *r, const struct item *item, struct slice key, struct arena *arena, int *order,
		    struct err *err)
{
	struct slice bytes = item->bytes;

	if (item->large && !get_bytes(r, item, arena, &bytes, err))
		return false;
	*order = slice_compare(key, bytes);
	return true;
}

/* --- asking --- */

/* The first page of a bucket: buckets that came with one doubling lie side by side. */
static uint32_t bucket_page(const struct bdb_reader *r, uint32_t bucket)
{
	unsigned doubling = 0;

	while (doubling < SPARES - 1 && (1ull << doubling) < bucket + 1ull)
		doubling++;
	return bucket + r->spares[doubling];
}

static int get_value(struct bdb_reader *r, const uint8_t *page, unsigned index, struct arena *arena, struct slice *value,
		     struct err *err)
{
	struct item item;

	if (index >= count_items(r, page)) {
		damaged(err, "a key without a value");
		return -1;
	}
	return get_item(r, page, index, &item, err) && get_bytes(r, &item, arena, value, err) ? 1 : -1;
}

static int hash_get(struct bdb_reader *r, struct slice key, struct arena *arena, struct slice *value, struct err *err)
{
	uint32_t bucket = hash_of(key.ptr, key.len) & r->high_mask, pages = 0;

	if (bucket > r->max_bucket)
		bucket &= r->low_mask;
	for (uint32_t number = bucket_page(r, bucket); number != 0;) {
		const uint8_t *page = get_page(r, number, err);

		if (!page)
			return -1;
		if (is_blank(page) && pages == 0)
			return 0;
		if ((page[25] != HASH_PAGE && page[25] != HASH_UNSORTED) || ++pages > r->last_page) {
			damaged(err, "a page is not what it should be");
			return -1;
		}
		for (unsigned i = 0; i < count_items(r, page); i += 2) {
			struct item item;
			int order;

			if (!get_hash_item(r, page, i, &item, err))
				return -1;
			if (item.large ? item.size != key.len : item.bytes.len != key.len)
				continue;
			if (!compare(r, &item, key, arena, &order, err))
				return -1;
			if (order == 0)
				return get_value(r, page, i + 1, arena, value, err);
		}
		number = u32(r, page + 16);
	}
	return 0;
}

/* The last item (in steps of `step`) that is not greater than the key; -1: none.  False: error. */
static bool btree_search(struct bdb_reader *r, const uint8_t *page, struct slice key, struct arena *arena, long *at,
			 bool *exact, struct err *err)
{
	bool inner = page[25] == BTREE_INNER;
	long step = inner ? 1 : 2;
	/* The first key of an inner page stands for "less than all". */
	long low = inner ? 1 : 0, high = (long)count_items(r, page) / step;

	*exact = false;
	while (low < high) {
		long middle = (low + high) / 2;
		struct item item;
		int order;

		if (!get_btree_item(r, page, (unsigned)(middle * step), &item, err) ||
		    !compare(r, &item, key, arena, &order, err))
			return false;
		if (order == 0) {
			*exact = !item.deleted;
			*at = middle * step;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	*at = (low - 1) * step;
	return true;
}

static int btree_get(struct bdb_reader *r, struct slice key, struct arena *arena, struct slice *value, struct err *err)
{
	uint32_t number = r->root;

	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		const uint8_t *page = get_page(r, number, err);
		struct item item;
		bool exact;
		long at;

		if (!page)
			return -1;
		if (page[25] != BTREE_LEAF && (page[25] != BTREE_INNER || count_items(r, page) == 0)) {
			damaged(err, "a page is not what it should be");
			return -1;
		}
		if (!btree_search(r, page, key, arena, &at, &exact, err))
			return -1;
		if (page[25] == BTREE_LEAF)
			return exact ? get_value(r, page, (unsigned)at + 1, arena, value, err) : 0;
		if (!get_btree_item(r, page, (unsigned)at, &item, err))
			return -1;
		number = item.child;
	}
	damaged(err, "pages point to each other");
	return -1;
}

static void forget_pages(struct bdb_reader *r)
{
	for (int i = 0; i < CACHED; i++)
		r->cache[i].number = 0;
}

/* Has somebody written to the file (postmap -i) since page 0 was read?  Then *err is of no account: read it anew. */
static bool was_changed(struct bdb_reader *r)
{
	struct file_watch watch = { .fd = r->fd, .seen = r->seen };
	size_t page_size = r->page_size;
	struct err err;

	if (!file_watch_changed(&watch))
		return false;
	forget_pages(r);
	if (!read_meta(r, &err))
		return false;
	/* Another page size: it is another file, and who watches will open it. */
	r->page_size = page_size;
	return true;
}

int bdb_reader_get(void *reader, struct slice key, struct arena *arena, struct slice *value, struct err *err)
{
	struct bdb_reader *r = reader;
	int found = (r->btree ? btree_get : hash_get)(r, key, arena, value, err);

	/* A page that is read while the file is changed is not the answer; nor is what is not there any more. */
	if (found <= 0 && was_changed(r))
		found = (r->btree ? btree_get : hash_get)(r, key, arena, value, err);
	if (found == 0 && (uint64_t)r->seen.st_size < ((uint64_t)r->last_page + 1) * r->page_size) {
		damaged(err, "it ends too early");
		found = -1;
	}
	return found;
}

/* --- all entries --- */

static bool walk_page(struct bdb_reader *r, const uint8_t *page, db_entry_fn *fn, void *context, struct err *err)
{
	struct arena *arena = arena_create(r->page_size);
	bool ok = true;

	for (unsigned i = 0; ok && i + 1 < count_items(r, page); i += 2) {
		struct slice key, value;
		struct item item;

		ok = get_item(r, page, i, &item, err) && get_bytes(r, &item, arena, &key, err);
		if (ok && !item.deleted) {
			ok = get_item(r, page, i + 1, &item, err) && get_bytes(r, &item, arena, &value, err);
			if (ok)
				fn(key, value, context);
		}
		arena_reset(arena);
	}
	arena_free(&arena);
	return ok;
}

/* A page and those that follow it. */
static bool walk_chain(struct bdb_reader *r, uint32_t number, db_entry_fn *fn, void *context, struct err *err)
{
	for (uint32_t pages = 0; number != 0; number = u32(r, r->page + 16)) {
		if (++pages > r->last_page)
			return damaged(err, "pages point to each other");
		if (!read_page(r, number, r->page, err))
			return false;
		if (is_blank(r->page) && pages == 1 && !r->btree)
			return true;
		if (r->page[25] != (r->btree ? BTREE_LEAF : HASH_PAGE) && r->page[25] != HASH_UNSORTED)
			return damaged(err, "a page is not what it should be");
		if (!walk_page(r, r->page, fn, context, err))
			return false;
	}
	return true;
}

static bool first_leaf(struct bdb_reader *r, uint32_t *number, struct err *err)
{
	*number = r->root;
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		const uint8_t *page = get_page(r, *number, err);
		struct item item;

		if (!page)
			return false;
		if (page[25] == BTREE_LEAF)
			return true;
		if (page[25] != BTREE_INNER || count_items(r, page) == 0)
			return damaged(err, "a page is not what it should be");
		if (!get_btree_item(r, page, 0, &item, err))
			return false;
		*number = item.child;
	}
	return damaged(err, "pages point to each other");
}

bool bdb_reader_walk(void *reader, db_entry_fn *fn, void *context, struct err *err)
{
	struct bdb_reader *r = reader;
	uint32_t number;

	if (r->btree)
		return first_leaf(r, &number, err) && walk_chain(r, number, fn, context, err);
	for (uint32_t bucket = 0; bucket <= r->max_bucket; bucket++)
		if (!walk_chain(r, bucket_page(r, bucket), fn, context, err))
			return false;
	return true;
}

void bdb_reader_close(void *reader)
{
	struct bdb_reader *r = reader;

	for (int i = 0; i < CACHED; i++)
		free(r->cache[i].data);
	free(r->page);
	free(r->overflow);
	free(r);
}

void *bdb_reader_open(int fd, const char *file, struct err *err)
{
	struct bdb_reader *r = mem_alloc(sizeof(*r));

	r->fd = fd;
	if (read_meta(r, err)) {
		r->page = mem_alloc(r->page_size);
		r->overflow = mem_alloc(r->page_size);
		return r;
	}
	err_prefix(err, "%s", file);
	bdb_reader_close(r);
	return NULL;
}
