/* SPDX-License-Identifier: ISC */
/*
 * Memory that is freed together: one arena a session, one a transaction, one
 * a configuration.  What it returns is zeroed and aligned for any type.
 */
#ifndef POSTRIDER_COMMON_BASE_ARENA_H
#define POSTRIDER_COMMON_BASE_ARENA_H

#include "common/base/slice.h"

struct arena;

/* `first` is the size of the first block in bytes (0: 1024). */
struct arena *arena_create(size_t first);
void arena_free(struct arena **arena);
/* Forgets all that was allocated; keeps the first block for reuse. */
void arena_reset(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_cstr(struct arena *arena, struct slice s);      /* terminated copy */
struct slice arena_slice(struct arena *arena, struct slice s);  /* copy, terminated too */
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const struct arena *arena);               /* bytes handed out */

#endif
