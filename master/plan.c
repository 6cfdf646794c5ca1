/* SPDX-License-Identifier: ISC */
#include "master/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/master_cf.h"
#include "common/config/params.h"
#include "common/process/sandbox.h"
#include "master/listen.h"

#define PROCESS_PATH "/usr/sbin:/usr/bin:/sbin:/bin"
#ifdef __SANITIZE_ADDRESS__
#define SANITIZERS "ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS"
#else
#define SANITIZERS ""
#endif
#define NO_LIMIT      100000

/* An entry that master.cf lacks and that Postrider always has. */
static const struct master_entry absent = {
	.type = MASTER_UNIX, .private_ = MASTER_NO, .unpriv = MASTER_DEFAULT, .chroot = MASTER_DEFAULT,
	.wakeup = -1, .maxproc = -1,
};
static const char *const no_arguments[] = { NULL };

static int cores(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return count > 0 ? count : 1;
}

static int max_processes(const struct config *config, const struct master_entry *e)
{
	long n = e->maxproc < 0 ? config_int(config, "default_process_limit") : e->maxproc;

	return n <= 0 || n > NO_LIMIT ? NO_LIMIT : (int)n;
}

static void set_counts(const struct config *config, const struct master_entry *e, struct service_spec *spec)
{
	int most = max_processes(config, e);

	spec->limit = 1;
	if (spec->row->count == COUNT_CORES)
		spec->limit = most < cores() ? most : cores();
	if (spec->row->count == COUNT_MAXPROC)
		spec->limit = most;
	spec->prefork = spec->row->flags & SERVICE_AT_START ? spec->limit : 0;
	spec->wakeup = e->wakeup > 0 ? e->wakeup : 0;
	spec->wakeup_if_used = e->wakeup_if_used;
}

static double max_idle(const struct config *config)
{
	const char *text = config_lookup(config, "max_idle");
	double seconds;

	return text && param_parse_time(slice_of(text), 's', &seconds) && seconds >= 1 && seconds < 1e6 ? seconds : 100;
}

/* Those that process.c reads first, then -o pairs, then what master.cf had besides. */
static void make_argv(struct plan *plan, const struct plan_options *options, const struct master_entry *e,
		      struct service_spec *spec)
{
	struct arena *a = plan->arena;
	size_t n = 0, argc = 0;
	char **v;

	while (e->argv && e->argv[argc])
		argc++;
	v = arena_alloc(a, (argc + 2 * e->override_count + 20) * sizeof(*v));
	v[n++] = arena_strdup(a, spec->row->command);
	v[n++] = arena_strdup(a, "-n");
	v[n++] = arena_strdup(a, spec->name);
	v[n++] = arena_strdup(a, "-t");
	v[n++] = arena_strdup(a, spec->inet ? "inet" : "unix");
	v[n++] = arena_strdup(a, "-c");
	v[n++] = arena_strdup(a, config_dir(plan->config));
	v[n++] = arena_strdup(a, "-s");
	v[n++] = arena_printf(a, "%zu", spec->listener_count);
	v[n++] = arena_strdup(a, "-l");
	v[n++] = arena_printf(a, "%d", e->maxproc);
	if (spec->prefork == 0) {
		v[n++] = arena_strdup(a, "-i");
		v[n++] = arena_printf(a, "%.0f", max_idle(plan->config));
	}
	if (options->rootless)
		v[n++] = arena_strdup(a, "-u");
	for (size_t i = 0; i < e->override_count; i++) {
		v[n++] = arena_strdup(a, "-o");
		v[n++] = arena_printf(a, "%s=%s", e->overrides[i].name, e->overrides[i].value);
	}
	v[n++] = arena_strdup(a, "--");
	for (size_t i = 0; i < argc; i++)
		v[n++] = arena_strdup(a, e->argv[i]);
	spec->argv = v;
}

static bool bind_listeners(struct plan *plan, const struct master_entry *e, struct service_spec *spec,
			   struct err *err)
{
	struct listener *found[LISTEN_MAX];
	size_t count = 0;

	if (spec->inet) {
		if (!listen_inet(plan->config, e->name, found, &count, err))
			return false;
	} else if (spec->row->flags & SERVICE_LISTENS && e->private_ == MASTER_NO) {
		const char *path = arena_printf(plan->arena, "%s/public/%s",
						config_text(plan->config, "queue_directory"), e->name);

		found[count] = listen_unix(path, err);
		if (!found[count++])
			return false;
	}
	spec->listener_count = count;
	spec->listeners = arena_alloc(plan->arena, (count + 1) * sizeof(*spec->listeners));
	for (size_t i = 0; i < count; i++)
		spec->listeners[i] = found[i];
	return true;
}

/* False with *err untouched (ERR_NONE): this entry has no process here. */
static bool has_process(const struct plan *plan, const struct master_entry *e, const char *path, struct err *err)
{
	const struct service_row *row = service_row_find(e->command);

	if (e->type != MASTER_INET && service_not_needed(e->name, e->command)) {
		log_debug(1, "service %s: not needed: Postrider does this elsewhere", e->name);
		return false;
	}
	if (row && row->flags & SERVICE_NO_PROCESS)
		return false;
	if (!row) {
		log_warning("master.cf line %d: service %s: program %s is not implemented; entry skipped", e->line,
			    e->name, e->command);
		return false;
	}
	if (e->type != MASTER_INET && e->type != MASTER_UNIX && e->type != MASTER_FIFO) {
		log_warning("master.cf line %d: service %s: this type is not implemented; entry skipped", e->line,
			    e->name);
		return false;
	}
	if (e->type == MASTER_INET && !(row->flags & SERVICE_INET))
		return err_set(err, ERR_PERMANENT, "master.cf line %d: service %s: %s does not listen on the network",
			       e->line, e->name, e->command);
	if (e->type != MASTER_INET && row->flags & SERVICE_INET) {
		log_warning("master.cf line %d: service %s: %s listens on the network only; entry skipped", e->line,
			    e->name, e->command);
		return false;
	}
	if (access(path, X_OK) != 0) {
		log_warning("service %s: %s: %s; entry skipped", e->name, path, strerror(errno));
		return false;
	}
	return true;
}

static bool check_user(const struct plan *plan, const struct service_row *row, struct err *err)
{
	uid_t uid;
	gid_t gid;

	return plan->rootless || sandbox_user(row, config_text(plan->config, "mail_owner"), &uid, &gid, err);
}

/* An entry's -o values, as its process will read them. */
static bool check_overrides(const struct plan *plan, const struct master_entry *e, struct err *err)
{
	struct config *config;

	if (e->override_count == 0)
		return true;
	config = config_load_copy(config_dir(plan->config), plan->main_cf, e->overrides, e->override_count, err);
	if (!config)
		return err_prefix(err, "master.cf line %d", e->line);
	config_free(&config);
	return true;
}

static struct service_spec *find_spec(const struct plan *plan, const char *name, bool inet)
{
	struct service_spec *s = plan->specs;

	while (s && !(s->inet == inet && strcmp(s->name, name) == 0))
		s = s->next;
	return s;
}

/*
 * Postfix's line for postscreen is our smtpd, which does the tests itself; what the line of the smtpd behind it
 * ("smtpd pass …") says holds for it.
 */
static void take_postscreen(struct plan *plan, const struct master_cf *cf, struct master_entry *e)
{
	const struct master_entry *behind = master_cf_find(cf, "smtpd", MASTER_PASS);
	size_t more = behind ? behind->override_count : 0, n = 0;
	struct config_override *all = arena_alloc(plan->arena, (more + e->override_count + 1) * sizeof(*all));

	if (behind)
		e->maxproc = behind->maxproc;
	else
		e->maxproc = -1;
	for (size_t i = 0; i < more; i++)
		all[n++] = behind->overrides[i];
	for (size_t i = 0; i < e->override_count; i++)
		all[n++] = e->overrides[i];
	all[n++] = (struct config_override){ "postscreen_enable", "yes" };
	e->command = "smtpd";
	e->overrides = all;
	e->override_count = n;
}

static bool add_entry(struct plan *plan, const struct plan_options *options, const struct master_entry *e,
		      struct err *err)
{
	struct service_spec *spec, **link = &plan->specs;
	const char *path = arena_printf(plan->arena, "%s/%s", config_text(plan->config, "daemon_directory"),
					e->command);

	if (!has_process(plan, e, path, err))
		return err->code == ERR_NONE;
	if (find_spec(plan, e->name, e->type == MASTER_INET))
		return err_set(err, ERR_PERMANENT, "master.cf line %d: service %s: there is one already", e->line,
			       e->name);
	spec = arena_alloc(plan->arena, sizeof(*spec));
	spec->row = service_row_find(e->command);
	spec->name = arena_strdup(plan->arena, e->name);
	spec->inet = e->type == MASTER_INET;
	spec->path = path;
	set_counts(plan->config, e, spec);
	if (!check_user(plan, spec->row, err) || !check_overrides(plan, e, err) || !bind_listeners(plan, e, spec, err))
		return err_prefix(err, "service %s", e->name);
	make_argv(plan, options, e, spec);
	while (*link)
		link = &(*link)->next;
	*link = spec;
	return true;
}

/* Services that Postfix does not have, or that somebody took out, are needed all the same. */
static bool add_absent(struct plan *plan, const struct plan_options *options, struct err *err)
{
	const struct service_row *row;

	for (size_t i = 0; (row = service_row_at(i)); i++) {
		struct master_entry e = absent;

		if (!(row->flags & SERVICE_ALWAYS) || find_spec(plan, row->command, false))
			continue;
		e.name = e.command = row->command;
		e.argv = no_arguments;
		if (!add_entry(plan, options, &e, err))
			return false;
	}
	return true;
}

static bool fill(struct plan *plan, const struct plan_options *options, struct err *err)
{
	char *path = arena_printf(plan->arena, "%s/master.cf", config_dir(plan->config));
	struct master_cf *cf = master_cf_load(path, err);
	bool ok = cf;

	for (size_t i = 0; ok && i < master_cf_count(cf); i++) {
		struct master_entry e = *master_cf_entry(cf, i);

		if (e.type == MASTER_INET && strcmp(e.command, "postscreen") == 0)
			take_postscreen(plan, cf, &e);
		/* Only postscreen gave clients to these. */
		if (e.type != MASTER_PASS || strcmp(e.command, "smtpd") != 0)
			ok = add_entry(plan, options, &e, err);
	}
	ok = ok && add_absent(plan, options, err);
	if (cf)
		master_cf_free(&cf);
	return ok;
}

/* main.cf's text in memory that nobody can change. */
static int copy_main_cf(const char *dir, struct err *err)
{
	struct str path = { 0 };
	char block[8192];
	int from, to = memfd_create("main.cf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ssize_t n = -1;

	str_printf(&path, "%s/main.cf", dir);
	from = open(str_cstr(&path), O_RDONLY | O_CLOEXEC);
	if (to >= 0 && from >= 0)
		while ((n = read(from, block, sizeof(block))) > 0)
			if (write(to, block, (size_t)n) != n) {
				n = -1;
				break;
			}
	if (n < 0 || fcntl(to, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) != 0) {
		err_set_errno(err, ERR_TEMPORARY, "read %s", str_cstr(&path));
		if (to >= 0)
			close(to);
		to = -1;
	}
	if (from >= 0)
		close(from);
	str_free(&path);
	return to;
}

static struct config *load_copy(const char *dir, int *main_cf, struct err *err)
{
	struct config *config;

	if (!dir)
		dir = getenv("MAIL_CONFIG") ? getenv("MAIL_CONFIG") : POSTRIDER_CONFIG_DIR;
	*main_cf = copy_main_cf(dir, err);
	if (*main_cf < 0)
		return NULL;
	config = config_load_copy(dir, *main_cf, NULL, 0, err);
	if (!config)
		close(*main_cf);
	return config;
}

struct plan *plan_load(const struct plan_options *options, struct err *err)
{
	struct plan *plan;
	int main_cf = -1;
	struct config *config = load_copy(options->config_dir, &main_cf, err);

	if (!config)
		return NULL;
	err->code = ERR_NONE;
	plan = mem_alloc(sizeof(*plan));
	plan->arena = arena_create(0);
	plan->config = config;
	plan->main_cf = main_cf;
	environment_start(&plan->environment, PROCESS_PATH,
			  arena_printf(plan->arena, "%s %s", config_text(config, "import_environment"), SANITIZERS), plan->arena);
	plan->rootless = options->rootless;
	listen_begin();
	if (!fill(plan, options, err))
		plan_abandon(&plan);
	return plan;
}

void plan_commit(struct plan *plan)
{
	listen_commit();
}

void plan_abandon(struct plan **plan)
{
	listen_abandon();
	plan_free(plan);
}

void plan_free(struct plan **plan)
{
	if (!*plan)
		return;
	config_free(&(*plan)->config);
	close((*plan)->main_cf);
	arena_free(&(*plan)->arena);
	free(*plan);
	*plan = NULL;
}
