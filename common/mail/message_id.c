/* SPDX-License-Identifier: ISC */
#include <time.h>

#include "common/mail/message_file.h"

/*
 * Postfix's long form: seconds in base 52 (6 digits), microseconds in base 52 (4 digits), 'z',
 * and the inode number in base 51 (no 'z').  Here the instance stands for the inode, as the
 * name is wanted before there is a file.
 */
#define SECOND_DIGITS 6
#define MICRO_DIGITS  4

static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

static void put_fixed(char *at, uint64_t value, size_t width)
{
	while (width-- > 0) {
		at[width] = digits[value % 52];
		value /= 52;
	}
}

void message_id_make(char id[MESSAGE_ID_SIZE], unsigned instance)
{
	static uint64_t last;
	struct timespec now;
	char reversed[16];
	size_t count = 0;
	char *at = id + SECOND_DIGITS + MICRO_DIGITS;

	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t micro = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;

	if (micro <= last)
		micro = last + 1;
	last = micro;
	put_fixed(id, micro / 1000000, SECOND_DIGITS);
	put_fixed(id + SECOND_DIGITS, micro % 1000000, MICRO_DIGITS);
	*at++ = 'z';
	do {
		reversed[count++] = digits[instance % 51];
		instance /= 51;
	} while (instance);
	while (count > 0)
		*at++ = reversed[--count];
	*at = '\0';
}

bool message_id_valid(struct slice id)
{
	if (id.len < 5 || id.len >= MESSAGE_ID_SIZE)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
			return false;
	}
	return true;
}

static bool get_number(struct slice text, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < text.len; i++) {
		ptrdiff_t digit = slice_find(slice_make(digits, 52), text.ptr[i]);

		if (digit < 0)
			return false;
		*value = *value * 52 + (uint64_t)digit;
	}
	return true;
}

double message_id_time(struct slice id)
{
	ptrdiff_t z = slice_rfind(id, 'z');
	uint64_t seconds, micro;

	if (!message_id_valid(id) || z < SECOND_DIGITS + MICRO_DIGITS || z > SECOND_DIGITS + MICRO_DIGITS + 1)
		return 0;
	if (!get_number(slice_sub(id, 0, (size_t)z - MICRO_DIGITS), &seconds) ||
	    !get_number(slice_sub(id, (size_t)z - MICRO_DIGITS, MICRO_DIGITS), &micro) || micro >= 1000000)
		return 0;
	return (double)seconds + (double)micro / 1e6;
}
