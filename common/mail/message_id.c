/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/base/log.h"
#include "common/mail/message_file.h"

/*
 * Postfix's long form: seconds in base 52 (6 digits), microseconds in base 52 (4 digits), 'z',
 * and, where Postfix has the inode number, the file's name in base 51 (no 'z').
 */
#define SECOND_DIGITS 6
#define MICRO_DIGITS  4
#define NAME_DIGITS   6

static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

static void put_fixed(char *at, uint64_t value, size_t width)
{
	while (width-- > 0) {
		at[width] = digits[value % 52];
		value /= 52;
	}
}

void message_name_make(char name[MESSAGE_NAME_SIZE])
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		log_fatal("getrandom: %m");
	for (size_t i = 0; i < NAME_DIGITS; i++) {
		name[i] = digits[number % 51];
		number /= 51;
	}
	name[NAME_DIGITS] = '\0';
}

void message_id_make(char id[MESSAGE_ID_SIZE], const char *name)
{
	static uint64_t last;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t micro = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;

	if (micro <= last)
		micro = last + 1;
	last = micro;
	put_fixed(id, micro / 1000000, SECOND_DIGITS);
	put_fixed(id + SECOND_DIGITS, micro % 1000000, MICRO_DIGITS);
	snprintf(id + SECOND_DIGITS + MICRO_DIGITS, MESSAGE_ID_SIZE - SECOND_DIGITS - MICRO_DIGITS, "z%s", name);
}

const char *message_id_name(const char *id)
{
	const char *z = strrchr(id, 'z');

	return z && z[1] ? z + 1 : id;
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
