/* SPDX-License-Identifier: ISC */
/*
 * A growing string that owns its memory.  data is always terminated (also
 * when empty), and may hold NUL bytes inside: len counts.  A zeroed struct is
 * an empty string.  Running out of memory ends the process.
 */
#ifndef POSTRIDER_COMMON_BASE_STR_H
#define POSTRIDER_COMMON_BASE_STR_H

#include <stdarg.h>

#include "common/base/slice.h"

struct str {
	char *data;
	size_t len;
	size_t cap;
};

void str_free(struct str *s);
void str_clear(struct str *s);                       /* keeps the memory */
void str_reserve(struct str *s, size_t more);        /* room for `more` bytes and a NUL */
void str_truncate(struct str *s, size_t len);
void str_append(struct str *s, struct slice text);
void str_append_text(struct str *s, const char *text);
void str_append_byte(struct str *s, char c);
void str_append_lower(struct str *s, struct slice text); /* ASCII to lower case */
void str_printf(struct str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void str_vprintf(struct str *s, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
const char *str_cstr(struct str *s);                 /* never NULL */
struct slice str_slice(const struct str *s);
char *str_detach(struct str *s);                     /* caller frees; s is empty afterwards */

/* malloc family that ends the process when memory is out; calloc semantics: zeroed. */
void *mem_alloc(size_t size);
void *mem_realloc(void *ptr, size_t size);
char *mem_strdup(const char *text);
char *mem_slicedup(struct slice s);

#endif
