/* SPDX-License-Identifier: ISC */
/*
 * A configuration: main.cf read, with the parameter rows' defaults beneath and
 * -o overrides above.  Immutable once loaded; processes keep a const pointer.
 * Values are expanded ($name, ${name?x:y}, comparisons) at load.
 * A parameter that the rows do not know is kept too: user-defined names serve in $name.
 */
#ifndef POSTRIDER_COMMON_CONFIG_CONFIG_H
#define POSTRIDER_COMMON_CONFIG_CONFIG_H

#include "common/base/err.h"
#include "common/base/slice.h"

struct config;

struct config_override {       /* from `-o name=value` */
	const char *name;
	const char *value;
};

/*
 * Reads DIR/main.cf.  `dir` NULL: $MAIL_CONFIG, else the compiled-in /etc/postrider.  NULL on
 * error, with file and line in the text.  All values are checked against type and bounds.
 */
struct config *config_load(const char *dir, const struct config_override *overrides, size_t count,
			   struct err *err) MUST_USE;
/*
 * The same with the text of main.cf from a descriptor (read from its start): how master's
 * processes get the main.cf that master has read, whatever the file has become since.
 */
struct config *config_load_copy(const char *dir, int fd, const struct config_override *overrides, size_t count,
				struct err *err) MUST_USE;
void config_free(struct config **config);
const char *config_dir(const struct config *config);

/* The accessors take the name of a row of the right type; a wrong name is our bug (panic). */
const char *config_text(const struct config *config, const char *name);   /* expanded; never NULL */
long config_int(const struct config *config, const char *name);
bool config_bool(const struct config *config, const char *name);
double config_time(const struct config *config, const char *name);        /* seconds */
/* Any name, also user-defined or of the form transport_suffix: NULL when not set anywhere. */
const char *config_lookup(const struct config *config, const char *name);
/* Calls fn for each parameter and user-defined name, in no order, with the expanded value. */
void config_each(const struct config *config, void (*fn)(const char *name, const char *value, void *context),
		 void *context);
/*
 * "TRANSPORT_destination_concurrency_limit" and kin: the transport's own
 * value when main.cf has one, else that of default_NAME.  `suffix` begins with '_'.
 */
long config_transport_int(const struct config *config, const char *transport, const char *suffix);
double config_transport_time(const struct config *config, const char *transport, const char *suffix);

#endif
