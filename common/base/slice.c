/* SPDX-License-Identifier: ISC */
#include <sys/random.h>

#include "common/base/slice.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct slice slice_sub(struct slice s, size_t from, size_t len)
{
	if (from > s.len)
		from = s.len;
	if (len > s.len - from)
		len = s.len - from;
	return (struct slice){ s.ptr ? s.ptr + from : NULL, len };
}

bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

bool slice_starts(struct slice s, struct slice prefix)
{
	return slice_eq(slice_sub(s, 0, prefix.len), prefix);
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
	return slice_eq_nocase(slice_sub(s, 0, prefix.len), prefix);
}

bool slice_ends_nocase(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len &&
	       slice_eq_nocase(slice_sub(s, s.len - suffix.len, suffix.len), suffix);
}

int slice_compare(struct slice a, struct slice b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common ? memcmp(a.ptr, b.ptr, common) : 0;

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

ptrdiff_t slice_find(struct slice s, char c)
{
	const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;

	return at ? at - s.ptr : -1;
}

ptrdiff_t slice_rfind(struct slice s, char c)
{
	const char *at = s.len ? memrchr(s.ptr, c, s.len) : NULL;

	return at ? at - s.ptr : -1;
}

bool slice_has_eight_bit(struct slice s)
{
	uint64_t seen = 0, word;
	size_t at = 0;

	for (; at + sizeof(word) <= s.len; at += sizeof(word)) {
		memcpy(&word, s.ptr + at, sizeof(word));
		seen |= word;
	}
	for (; at < s.len; at++)
		seen |= (unsigned char)s.ptr[at];
	return seen & 0x8080808080808080u;
}

struct slice slice_trim(struct slice s)
{
	while (s.len > 0 && is_space(s.ptr[0])) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && is_space(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

bool slice_cut(struct slice *s, char c, struct slice *head)
{
	ptrdiff_t at = slice_find(*s, c);

	if (at < 0) {
		*head = *s;
		*s = slice_sub(*s, s->len, 0);
		return false;
	}
	*head = slice_sub(*s, 0, (size_t)at);
	*s = slice_sub(*s, (size_t)at + 1, s->len);
	return true;
}

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

bool slice_word(struct slice *s, const char *separators, struct slice *word)
{
	size_t from = 0;
	size_t to;

	while (from < s->len && is_one_of(s->ptr[from], separators))
		from++;
	to = from;
	while (to < s->len && !is_one_of(s->ptr[to], separators))
		to++;
	*word = slice_sub(*s, from, to - from);
	*s = slice_sub(*s, to, s->len);
	return to > from;
}

bool slice_to_u64(struct slice s, uint64_t *value)
{
	uint64_t v = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
			return false;
	}
	*value = v;
	return true;
}

bool slice_to_i64(struct slice s, int64_t *value)
{
	bool negative = s.len > 0 && s.ptr[0] == '-';
	uint64_t v;

	if (!slice_to_u64(negative ? slice_sub(s, 1, s.len) : s, &v) || v > INT64_MAX)
		return false;
	*value = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

/* A key a process, so that nobody outside can choose names that collide. */
static uint64_t hash_seed(void)
{
	static uint64_t seed;

	while (seed == 0)
		if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
			seed = 0x9e3779b97f4a7c15u;
	return seed;
}

static uint64_t hash_finish(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	return h;
}

uint64_t slice_hash(struct slice s)
{
	uint64_t h = hash_seed();

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (uint8_t)s.ptr[i]) * 0x100000001b3u + (h >> 47);
	return hash_finish(h);
}

uint64_t slice_hash_nocase(struct slice s)
{
	uint64_t h = hash_seed();

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (uint8_t)lower(s.ptr[i])) * 0x100000001b3u + (h >> 47);
	return hash_finish(h);
}
