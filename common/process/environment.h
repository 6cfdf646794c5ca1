/* SPDX-License-Identifier: ISC */
/* The environment of a process of ours, or of a program that gets mail: nothing but what is put there. */
#ifndef POSTRIDER_COMMON_PROCESS_ENVIRONMENT_H
#define POSTRIDER_COMMON_PROCESS_ENVIRONMENT_H

#include "common/base/arena.h"

#define ENVIRONMENT_MAX 100

struct environment {
	const char *variable[ENVIRONMENT_MAX + 1];  /* "NAME=value"; NULL after the last */
	size_t count;
};

/*
 * PATH, and what `list` (import_environment, export_environment) has: names, taken from our own environment when
 * they are there, and "name=value", also in braces.
 */
void environment_start(struct environment *e, const char *path, const char *list, struct arena *arena);
/* Characters of `value` that are not in `allowed` become '_' (NULL: all stay). */
void environment_add(struct environment *e, const char *name, struct slice value, const char *allowed,
		     struct arena *arena);

#endif
