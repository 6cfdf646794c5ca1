/* SPDX-License-Identifier: ISC */
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/log.h"
#include "common/base/str.h"

struct block {
	struct block *next;
	size_t size; /* of data */
	size_t used;
	alignas(max_align_t) char data[];
};

struct arena {
	struct block *first;   /* kept by a reset */
	struct block *current; /* where the next allocation goes; later blocks lead the list */
	size_t used;
};

static struct block *block_create(size_t size)
{
	struct block *b = mem_alloc(sizeof(*b) + size);

	b->size = size;
	return b;
}

struct arena *arena_create(size_t first)
{
	struct arena *arena = mem_alloc(sizeof(*arena));

	arena->first = arena->current = block_create(first ? first : 1024);
	return arena;
}

static void free_later_blocks(struct arena *arena)
{
	struct block *b = arena->current;

	while (b != arena->first) {
		struct block *next = b->next;

		free(b);
		b = next;
	}
	arena->current = arena->first;
}

void arena_free(struct arena **arena)
{
	if (!*arena)
		return;
	free_later_blocks(*arena);
	free((*arena)->first);
	free(*arena);
	*arena = NULL;
}

void arena_reset(struct arena *arena)
{
	free_later_blocks(arena);
	memset(arena->first->data, 0, arena->first->used);
	arena->first->used = 0;
	arena->used = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct block *b = arena->current;
	size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	void *ptr;

	if (rounded < size)
		log_fatal("out of memory: %zu bytes", size);
	if (rounded > b->size - b->used) {
		size_t grown = b->size < 65536 ? b->size * 2 : b->size;
		struct block *more = block_create(rounded > grown ? rounded : grown);

		more->next = b;
		arena->current = b = more;
	}
	ptr = b->data + b->used;
	b->used += rounded;
	arena->used += rounded;
	return ptr;
}

char *arena_cstr(struct arena *arena, struct slice s)
{
	char *copy = arena_alloc(arena, s.len + 1);

	if (s.len)
		memcpy(copy, s.ptr, s.len);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_cstr(arena, slice_of(text));
}

struct slice arena_slice(struct arena *arena, struct slice s)
{
	return (struct slice){ arena_cstr(arena, s), s.len };
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list ap, again;
	char *text;
	int len;

	va_start(ap, format);
	va_copy(again, ap);
	len = vsnprintf(NULL, 0, format, ap);
	text = arena_alloc(arena, (size_t)(len < 0 ? 0 : len) + 1);
	if (len > 0)
		vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	va_end(ap);
	return text;
}

size_t arena_used(const struct arena *arena)
{
	return arena->used;
}
