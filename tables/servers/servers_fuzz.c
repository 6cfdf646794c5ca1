/* SPDX-License-Identifier: ISC */
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/servers/servers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as the file of a table of each type: settings, templates, hosts, attributes.  Nothing is connected to. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = { "pgsql", "mysql", "ldap", "redis" };
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct str path = { 0 };

	server_types_add();
	str_printf(&path, "/proc/self/fd/%d", fd);
	if (fd >= 0 && write(fd, data, size) == (ssize_t)size) {
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
			const struct table_type *type = table_type_find(slice_of(types[i]));
			struct err err = { 0 };
			void *table = type ? type->open(str_cstr(&path), &err) : NULL;

			if (table)
				type->close(table);
			else if (type && err.code == ERR_NONE)
				__builtin_trap();
		}
	}
	str_free(&path);
	close(fd);
	return 0;
}
