/* SPDX-License-Identifier: ISC */
#include <sys/mman.h>
#include <unistd.h>

#include "common/config/master_cf.h"
#include "tests/support/fuzz.h"

static int file = -1;
static char path[64];

static void check_entry(const struct master_entry *e, const struct master_cf *cf)
{
	FUZZ_CHECK(e->name[0] && e->command[0] && e->line > 0);
	FUZZ_CHECK(e->maxproc >= -1 && e->wakeup >= -1);
	for (size_t i = 0; e->argv[i]; i++)
		FUZZ_CHECK(strlen(e->argv[i]) < 100000);
	for (size_t i = 0; i < e->override_count; i++)
		FUZZ_CHECK(e->overrides[i].name && e->overrides[i].value);
	FUZZ_CHECK(master_cf_find(cf, e->name, e->type) != NULL);
}

/* The input as master.cf. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct master_cf *cf;

	if (file < 0) {
		file = memfd_create("master.cf", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	}
	/* A NUL ends the texts that it stands in: nothing to compare. */
	if (memchr(data ? data : (const uint8_t *)"", '\0', size))
		return 0;
	FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	cf = master_cf_load(path, &err);
	if (cf)
		for (size_t i = 0; i < master_cf_count(cf); i++)
			check_entry(master_cf_entry(cf, i), cf);
	else
		FUZZ_CHECK(err.code == ERR_SYNTAX && strstr(err.text, ", line "));
	master_cf_free(&cf);
	return 0;
}
