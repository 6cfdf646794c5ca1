/* SPDX-License-Identifier: ISC */
#include "common/sasl/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0 to 63, or -1. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One to three bytes of a group of four; `padding` of its characters are '='. */
static bool decode_group(struct slice group, size_t padding, struct str *out)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int v = i < 4 - padding ? value_of(group.ptr[i]) : 0;

		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
	}
	/* The bits below the last byte are zero, or two texts would stand for the same bytes. */
	if (bits & ((1u << 8 * padding) - 1))
		return false;
	for (size_t i = 0; i < 3 - padding; i++)
		str_append_byte(out, (char)(bits >> (16 - 8 * i) & 0xff));
	return true;
}

bool base64_decode(struct slice text, struct str *out)
{
	size_t before = out->len, padding = 0;

	if (text.len % 4 != 0)
		return false;
	while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < text.len; i += 4) {
		if (decode_group(slice_sub(text, i, 4), i + 4 == text.len ? padding : 0, out))
			continue;
		str_truncate(out, before);
		return false;
	}
	return true;
}

void base64_encode(struct slice bytes, struct str *out)
{
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
		uint32_t bits = 0;

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (k < n ? (unsigned char)bytes.ptr[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			str_append_byte(out, k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '=');
	}
}
