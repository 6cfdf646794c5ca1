/* SPDX-License-Identifier: ISC */
#include "auth/auth.h"

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 127;
}

struct slice login_text(struct arena *arena, struct slice text, size_t max)
{
	char *copy = arena_cstr(arena, slice_sub(text, 0, max));
	size_t len = text.len < max ? text.len : max;

	for (size_t i = 0; i < len; i++)
		if (is_control(copy[i]))
			copy[i] = '?';
	return slice_make(copy, len);
}

bool login_name_sound(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (is_control(name.ptr[i]))
			return false;
	return name.len > 0 && name.len <= SASL_LOGIN_MAX;
}

void login_succeed(const struct login *login, struct auth_answer *answer, struct slice user)
{
	*answer = (struct auth_answer){ .type = AUTH_OK, .text = arena_slice(login->arena, user) };
}

void login_fail(const struct login *login, struct auth_answer *answer, enum auth_reason reason, const char *text)
{
	*answer = (struct auth_answer){ .type = AUTH_FAIL, .reason = reason,
					.text = login_text(login->arena, slice_of(text), AUTH_TEXT_MAX),
					.temporary = reason == AUTH_REASON_BACKEND || reason == AUTH_REASON_BUSY };
}

void login_wrong(const struct login *login, struct auth_answer *answer, struct slice user)
{
	login_fail(login, answer, AUTH_REASON_CREDENTIALS, AUTH_FAILURE);
	answer->user = login_text(login->arena, user, SASL_LOGIN_MAX);
}
