/* SPDX-License-Identifier: ISC */
#include "common/mail/sts_policy.h"

#include "common/mail/address.h"

const char *sts_mode_text(enum sts_mode mode)
{
	static const char *const text[] = { [STS_NONE] = "none", [STS_TESTING] = "testing", [STS_ENFORCE] = "enforce" };

	return text[mode];
}

bool sts_record_is(struct slice txt)
{
	struct slice first;

	(void)slice_cut(&txt, ';', &first);
	return slice_eq(slice_trim(first), SLICE("v=STSv1"));
}

static bool valid_id(struct slice id)
{
	for (size_t i = 0; i < id.len; i++) {
		char c = id.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
			return false;
	}
	return id.len > 0 && id.len <= STS_ID_MAX;
}

bool sts_record_parse(struct slice txt, struct slice *id)
{
	struct slice field, name;
	bool found = false;

	if (!sts_record_is(txt))
		return false;
	(void)slice_cut(&txt, ';', &field);
	while (txt.len > 0) {
		(void)slice_cut(&txt, ';', &field);
		if (!slice_cut(&field, '=', &name) || !slice_eq(slice_trim(name), SLICE("id")))
			continue;
		*id = slice_trim(field);
		if (found || !valid_id(*id))
			return false;
		found = true;
	}
	return found;
}

static bool valid_pattern(struct slice mx)
{
	if (slice_starts(mx, SLICE("*.")))
		mx = slice_sub(mx, 2, mx.len);
	return address_is_ascii(mx) && address_valid_hostname(mx);
}

/* What has been seen: of all fields but mx the first counts (section 3.2). */
struct seen {
	bool version, mode, age;
};

static bool take_mode(struct slice value, enum sts_mode *mode)
{
	for (enum sts_mode m = STS_NONE; m <= STS_ENFORCE; m++) {
		if (slice_eq(value, slice_of(sts_mode_text(m)))) {
			*mode = m;
			return true;
		}
	}
	return false;
}

static bool take_field(struct slice name, struct slice value, struct sts_policy *p, struct seen *seen)
{
	if (slice_eq(name, SLICE("version"))) {
		if (seen->version)
			return true;
		seen->version = slice_eq(value, SLICE("STSv1"));
		return seen->version;
	}
	if (slice_eq(name, SLICE("mode"))) {
		if (seen->mode)
			return true;
		seen->mode = take_mode(value, &p->mode);
		return seen->mode;
	}
	if (slice_eq(name, SLICE("max_age"))) {
		if (seen->age)
			return true;
		seen->age = value.len <= 10 && slice_to_u64(value, &p->max_age);
		p->max_age = p->max_age < STS_AGE_MAX ? p->max_age : STS_AGE_MAX;
		return seen->age;
	}
	if (slice_eq(name, SLICE("mx"))) {
		if (p->mx_count == STS_MX_MAX || !valid_pattern(value))
			return false;
		p->mx[p->mx_count++] = value;
	}
	return true;
}

bool sts_policy_parse(struct slice text, struct sts_policy *p, struct err *err)
{
	struct slice line, name;
	struct seen seen = { 0 };
	unsigned number = 0;

	*p = (struct sts_policy){ 0 };
	if (text.len > STS_POLICY_MAX)
		return err_set(err, ERR_LIMIT, "policy of more than %d bytes", STS_POLICY_MAX);
	while (text.len > 0) {
		(void)slice_cut(&text, '\n', &line);
		line = slice_trim(line);
		number++;
		if (line.len == 0)
			continue;
		if (!slice_cut(&line, ':', &name) || !take_field(slice_trim(name), slice_trim(line), p, &seen))
			return err_set(err, ERR_SYNTAX, "policy is malformed at line %u", number);
	}
	if (!seen.version || !seen.mode || !seen.age)
		return err_set(err, ERR_SYNTAX, "policy lacks %s", !seen.version ? "version" : !seen.mode ? "mode" : "max_age");
	return p->mode == STS_NONE || p->mx_count > 0 || err_set(err, ERR_SYNTAX, "policy lacks mx");
}

bool sts_pattern_has(struct slice pattern, struct slice host)
{
	ptrdiff_t dot;

	if (!slice_starts(pattern, SLICE("*.")))
		return slice_eq_nocase(pattern, host);
	dot = slice_find(host, '.');
	return dot > 0 && slice_eq_nocase(slice_sub(host, (size_t)dot, host.len), slice_sub(pattern, 1, pattern.len));
}
