/* SPDX-License-Identifier: ISC */
/*
 * A bounded reader and writer for binary data from outside.  An attempt to go
 * beyond the end sets `failed`, which stays set; all later reads give zero or
 * an empty slice.  Check once, at the end.  Integers are little-endian unless
 * the name ends in _be.
 */
#ifndef POSTRIDER_COMMON_BASE_CURSOR_H
#define POSTRIDER_COMMON_BASE_CURSOR_H

#include "common/base/slice.h"

struct cursor {
	const uint8_t *base;
	size_t len;
	size_t pos;
	bool failed;
};

struct cursor cursor_make(const void *base, size_t len);
size_t cursor_left(const struct cursor *c);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint16_t cursor_u16_be(struct cursor *c);
uint32_t cursor_u32_be(struct cursor *c);
struct slice cursor_bytes(struct cursor *c, size_t len);
void cursor_skip(struct cursor *c, size_t len);
void cursor_seek(struct cursor *c, size_t pos);

/* Writes into a buffer of fixed size; `failed` when it does not fit. */
struct packer {
	uint8_t *base;
	size_t cap;
	size_t len;
	bool failed;
};

struct packer packer_make(void *base, size_t cap);
void packer_u8(struct packer *p, uint8_t v);
void packer_u16(struct packer *p, uint16_t v);
void packer_u32(struct packer *p, uint32_t v);
void packer_u64(struct packer *p, uint64_t v);
void packer_u16_be(struct packer *p, uint16_t v);
void packer_bytes(struct packer *p, struct slice bytes);

/* CRC-32C (Castagnoli), `seed` 0 for the first piece. */
uint32_t crc32c(uint32_t seed, const void *data, size_t len);

#endif
