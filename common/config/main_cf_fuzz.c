/* SPDX-License-Identifier: ISC */
#include <sys/mman.h>
#include <unistd.h>

#include "common/config/config.h"
#include "common/config/main_cf.h"
#include "common/config/params.h"
#include "tests/support/fuzz.h"

static int file = -1;

static const char *lookup(void *context, struct slice name)
{
	return name.len % 3 == 0 ? NULL : name.len % 3 == 1 ? "" : "12";
}

static void parse(struct slice text)
{
	struct arena *arena = arena_create(0);
	struct main_cf_line *lines;
	struct str out = { 0 };
	struct err err = { 0 };
	int last = 0;

	if (main_cf_parse(text, "main.cf", arena, &lines, &err)) {
		for (; lines; lines = lines->next) {
			FUZZ_CHECK(lines->name.len > 0 && lines->line > last);
			last = lines->line;
			FUZZ_CHECK(slice_find(lines->value, '\n') < 0);
		}
	} else {
		FUZZ_CHECK(err.code == ERR_SYNTAX);
	}
	if (!main_cf_expand(text, lookup, NULL, &out, &err))
		FUZZ_CHECK(err.code == ERR_SYNTAX || err.code == ERR_LIMIT);
	str_free(&out);
	arena_free(&arena);
}

/* The input as main.cf, as a value and as a time. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_override override = { "queue_directory", "/q" };
	struct slice text = slice_make(data, size);
	struct config *config;
	struct err err = { 0 };
	double seconds;
	bool flag;

	if (file < 0)
		file = memfd_create("main.cf", MFD_CLOEXEC);
	parse(text);
	if (param_parse_time(text, 'd', &seconds))
		FUZZ_CHECK(seconds >= 0);
	(void)param_parse_bool(text, &flag);
	FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	config = config_load_copy("/nowhere", file, &override, 1, &err);
	if (config) {
		FUZZ_CHECK(slice_eq(slice_of(config_text(config, "queue_directory")), SLICE("/q")));
		FUZZ_CHECK(config_int(config, "smtpd_hard_error_limit") >= 1);
		FUZZ_CHECK(config_time(config, "queue_run_delay") >= 0);
		(void)config_transport_int(config, "relay", "_destination_concurrency_limit");
	} else {
		FUZZ_CHECK(err.code != ERR_NONE && err.text[0]);
	}
	config_free(&config);
	return 0;
}
