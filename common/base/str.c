/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"

void *mem_alloc(size_t size)
{
	void *ptr = calloc(1, size ? size : 1);

	if (!ptr)
		log_fatal("out of memory: %zu bytes", size);
	return ptr;
}

void *mem_realloc(void *ptr, size_t size)
{
	void *bigger = realloc(ptr, size ? size : 1);

	if (!bigger)
		log_fatal("out of memory: %zu bytes", size);
	return bigger;
}

char *mem_strdup(const char *text)
{
	return mem_slicedup(slice_of(text));
}

char *mem_slicedup(struct slice s)
{
	char *copy = mem_alloc(s.len + 1);

	if (s.len)
		memcpy(copy, s.ptr, s.len);
	return copy;
}

void str_free(struct str *s)
{
	free(s->data);
	*s = (struct str){ 0 };
}

void str_clear(struct str *s)
{
	str_truncate(s, 0);
}

void str_reserve(struct str *s, size_t more)
{
	size_t need;
	size_t cap = s->cap ? s->cap : 64;

	if (__builtin_add_overflow(s->len, more, &need) || need > SIZE_MAX / 4)
		log_fatal("string too large: %zu + %zu bytes", s->len, more);
	need++;
	if (need <= s->cap)
		return;
	while (cap < need)
		cap *= 2;
	s->data = mem_realloc(s->data, cap);
	s->cap = cap;
	s->data[s->len] = '\0';
}

void str_truncate(struct str *s, size_t len)
{
	if (len < s->len)
		s->len = len;
	if (s->data)
		s->data[s->len] = '\0';
}

void str_append(struct str *s, struct slice text)
{
	str_reserve(s, text.len);
	if (text.len)
		memcpy(s->data + s->len, text.ptr, text.len);
	s->len += text.len;
	s->data[s->len] = '\0';
}

void str_append_text(struct str *s, const char *text)
{
	str_append(s, slice_of(text));
}

void str_append_byte(struct str *s, char c)
{
	str_append(s, slice_make(&c, 1));
}

void str_append_lower(struct str *s, struct slice text)
{
	size_t from = s->len;

	str_append(s, text);
	for (size_t i = from; i < s->len; i++)
		if (s->data[i] >= 'A' && s->data[i] <= 'Z')
			s->data[i] = (char)(s->data[i] + ('a' - 'A'));
}

void str_vprintf(struct str *s, const char *format, va_list ap)
{
	va_list again;
	int len;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, format, ap);
	if (len > 0) {
		str_reserve(s, (size_t)len);
		vsnprintf(s->data + s->len, (size_t)len + 1, format, again);
		s->len += (size_t)len;
	}
	va_end(again);
}

void str_printf(struct str *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	str_vprintf(s, format, ap);
	va_end(ap);
}

const char *str_cstr(struct str *s)
{
	str_reserve(s, 0);
	return s->data;
}

struct slice str_slice(const struct str *s)
{
	return (struct slice){ s->data, s->len };
}

char *str_detach(struct str *s)
{
	char *data;

	str_reserve(s, 0);
	data = s->data;
	*s = (struct str){ 0 };
	return data;
}
