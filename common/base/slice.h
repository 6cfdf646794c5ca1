/* SPDX-License-Identifier: ISC */
/*
 * A slice is a pointer and a length: a view of text or bytes that somebody
 * else owns.  It is not terminated.  Print one with "%.*s", SLICE_FMT(s).
 */
#ifndef POSTRIDER_COMMON_BASE_SLICE_H
#define POSTRIDER_COMMON_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *ptr;
	size_t len;
};

#define SLICE(literal) ((struct slice){ "" literal, sizeof(literal) - 1 })
#define SLICE_FMT(s)   ((int)(s).len), ((s).ptr ? (s).ptr : "")
#define SLICE_NONE     ((struct slice){ NULL, 0 })

static inline struct slice slice_make(const void *ptr, size_t len)
{
	return (struct slice){ ptr, len };
}

/* The text of a terminated string; NULL gives an empty slice. */
static inline struct slice slice_of(const char *text)
{
	return (struct slice){ text, text ? strlen(text) : 0 };
}

/* The part that starts at `from` (clamped), at most `len` bytes. */
struct slice slice_sub(struct slice s, size_t from, size_t len);

bool slice_eq(struct slice a, struct slice b);
/* ASCII letters compare without case; other bytes as they are. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends_nocase(struct slice s, struct slice suffix);
int slice_compare(struct slice a, struct slice b);

/* Position of a byte, or -1.  slice_rfind looks from the end. */
ptrdiff_t slice_find(struct slice s, char c);
ptrdiff_t slice_rfind(struct slice s, char c);

/* Is some byte above 127? */
bool slice_has_eight_bit(struct slice s);

/* Without white space (space, tab, CR, LF, VT, FF) at both ends. */
struct slice slice_trim(struct slice s);

/*
 * Cuts `s` at the first `c`: *head is what stands before it (all, when there
 * is none), *s what stands after it.  False when `c` is not there.
 */
bool slice_cut(struct slice *s, char c, struct slice *head);

/*
 * Takes the next word, delimited by any of the bytes in `separators`, off the
 * front of *s.  False when only separators are left.
 */
bool slice_word(struct slice *s, const char *separators, struct slice *word);

/* Decimal digits only, the whole slice, no overflow; else false. */
bool slice_to_u64(struct slice s, uint64_t *value);
/* The same with an optional leading minus sign. */
bool slice_to_i64(struct slice s, int64_t *value);

uint64_t slice_hash(struct slice s);         /* seeded a process: SipHash-like use in tables */
uint64_t slice_hash_nocase(struct slice s);

#endif
