/* SPDX-License-Identifier: ISC */
#include "common/base/cursor.h"

struct cursor cursor_make(const void *base, size_t len)
{
	return (struct cursor){ base, len, 0, false };
}

size_t cursor_left(const struct cursor *c)
{
	return c->failed ? 0 : c->len - c->pos;
}

/* The next `len` bytes, or NULL and failure. */
static const uint8_t *take(struct cursor *c, size_t len)
{
	const uint8_t *at;

	if (c->failed || len > c->len - c->pos) {
		c->failed = true;
		return NULL;
	}
	at = c->base + c->pos;
	c->pos += len;
	return at;
}

static uint64_t little(const uint8_t *at, int bytes)
{
	uint64_t v = 0;

	for (int i = bytes - 1; at && i >= 0; i--)
		v = v << 8 | at[i];
	return v;
}

static uint64_t big(const uint8_t *at, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; at && i < bytes; i++)
		v = v << 8 | at[i];
	return v;
}

uint8_t cursor_u8(struct cursor *c)
{
	return (uint8_t)little(take(c, 1), 1);
}

uint16_t cursor_u16(struct cursor *c)
{
	return (uint16_t)little(take(c, 2), 2);
}

uint32_t cursor_u32(struct cursor *c)
{
	return (uint32_t)little(take(c, 4), 4);
}

uint64_t cursor_u64(struct cursor *c)
{
	return little(take(c, 8), 8);
}

uint16_t cursor_u16_be(struct cursor *c)
{
	return (uint16_t)big(take(c, 2), 2);
}

uint32_t cursor_u32_be(struct cursor *c)
{
	return (uint32_t)big(take(c, 4), 4);
}

struct slice cursor_bytes(struct cursor *c, size_t len)
{
	const uint8_t *at = take(c, len);

	return at ? slice_make(at, len) : SLICE_NONE;
}

void cursor_skip(struct cursor *c, size_t len)
{
	(void)take(c, len);
}

void cursor_seek(struct cursor *c, size_t pos)
{
	if (pos > c->len)
		c->failed = true;
	else
		c->pos = pos;
}

struct packer packer_make(void *base, size_t cap)
{
	return (struct packer){ base, cap, 0, false };
}

static void put(struct packer *p, const void *bytes, size_t len)
{
	if (p->failed || len > p->cap - p->len) {
		p->failed = true;
		return;
	}
	if (len)
		memcpy(p->base + p->len, bytes, len);
	p->len += len;
}

static void put_little(struct packer *p, uint64_t v, size_t bytes)
{
	uint8_t raw[8];

	for (size_t i = 0; i < bytes; i++)
		raw[i] = (uint8_t)(v >> (8 * i));
	put(p, raw, bytes);
}

void packer_u8(struct packer *p, uint8_t v)
{
	put_little(p, v, 1);
}

void packer_u16(struct packer *p, uint16_t v)
{
	put_little(p, v, 2);
}

void packer_u32(struct packer *p, uint32_t v)
{
	put_little(p, v, 4);
}

void packer_u64(struct packer *p, uint64_t v)
{
	put_little(p, v, 8);
}

void packer_u16_be(struct packer *p, uint16_t v)
{
	uint8_t raw[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	put(p, raw, 2);
}

void packer_bytes(struct packer *p, struct slice bytes)
{
	put(p, bytes.ptr, bytes.len);
}

/* Castagnoli's polynomial, reflected, a byte at a time. */
uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
	static uint32_t table[256];
	const uint8_t *at = data;
	uint32_t crc = ~seed;

	if (table[1] == 0)
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t v = i;

			for (int bit = 0; bit < 8; bit++)
				v = v & 1 ? v >> 1 ^ 0x82f63b78u : v >> 1;
			table[i] = v;
		}
	while (len-- > 0)
		crc = crc >> 8 ^ table[(crc ^ *at++) & 0xff];
	return ~crc;
}
