/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/security.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/address.h"
#include "common/proto/mtasts_proto.h"
#include "common/proto/resolver_proto.h"

#define NAMES_MAX 32         /* names or fingerprints of a policy */
#define TLSA_MAX  64
#define STS_TIME  150.0      /* seconds for a policy of MTA-STS, which may have to be fetched */

/* --- the configuration --- */

static const char *name_of(char out[64], bool lmtp, const char *suffix)
{
	snprintf(out, 64, "%s_%s", lmtp ? "lmtp" : "smtp", suffix);
	return out;
}

static bool load_level(struct smtp_security *s, const struct config *config, bool lmtp, struct err *err)
{
	char name[64];
	const char *text = config_text(config, name_of(name, lmtp, "tls_security_level"));

	if (*text) {
		s->level = tls_level_parse(slice_of(text));
		if (s->level == TLS_INVALID)
			return err_set(err, ERR_SYNTAX, "%s: \"%s\" is no security level", name, text);
		return true;
	}
	/* The older parameters. */
	if (config_bool(config, name_of(name, lmtp, "enforce_tls")))
		s->level = config_bool(config, name_of(name, lmtp, "tls_enforce_peername")) ? TLS_VERIFY : TLS_ENCRYPT;
	else
		s->level = config_bool(config, name_of(name, lmtp, "use_tls")) ? TLS_MAY : TLS_NONE;
	return true;
}

static bool load_insecure_mx(struct smtp_security *s, const struct config *config, bool lmtp, struct err *err)
{
	char name[64];
	const char *text = config_text(config, name_of(name, lmtp, "tls_dane_insecure_mx_policy"));

	s->insecure_mx = tls_level_parse(slice_of(text));
	if (s->insecure_mx != TLS_MAY && s->insecure_mx != TLS_ENCRYPT && s->insecure_mx != TLS_DANE)
		return err_set(err, ERR_SYNTAX, "%s: \"%s\" is none of may, encrypt, dane", name, text);
	return true;
}

bool smtp_security_load(struct smtp_security *s, const struct config *config, bool lmtp, struct err *err)
{
	char name[64];

	*s = (struct smtp_security){
		.wrapper = config_bool(config, name_of(name, lmtp, "tls_wrappermode")),
		.reuse = config_bool(config, name_of(name, lmtp, "tls_connection_reuse")),
		.note_offer = config_bool(config, name_of(name, lmtp, "tls_note_starttls_offer")),
		.loglevel = config_int(config, name_of(name, lmtp, "tls_loglevel")),
		.timeout = config_time(config, name_of(name, lmtp, "starttls_timeout")),
		.plain_after = config_time(config, "minimal_backoff_time"),
		.verify_match = config_text(config, name_of(name, lmtp, "tls_verify_cert_match")),
		.secure_match = config_text(config, name_of(name, lmtp, "tls_secure_cert_match")),
		.fingerprint_match = config_text(config, name_of(name, lmtp, "tls_fingerprint_cert_match")),
		.server_name = config_text(config, name_of(name, lmtp, "tls_servername")),
		.insecure_host_lookup = config_bool(config, name_of(name, lmtp, "tls_force_insecure_host_tlsa_lookup")),
	};
	if (!load_level(s, config, lmtp, err) || !load_insecure_mx(s, config, lmtp, err))
		return false;
	if (s->wrapper && s->level < TLS_ENCRYPT)
		return err_set(err, ERR_SYNTAX, "%s = yes needs a %s of encrypt or above",
			       name_of((char[64]){ 0 }, lmtp, "tls_wrappermode"), name_of(name, lmtp, "tls_security_level"));
	if (s->mta_sts && !*config_text(config, "smtp_tls_CAfile") && !*config_text(config, "smtp_tls_CApath") &&
	    !config_bool(config, "tls_append_default_CA"))
		return err_set(err, ERR_SYNTAX, "smtp_mta_sts = yes needs authorities: smtp_tls_CAfile, smtp_tls_CApath or "
			       "tls_append_default_CA = yes");
	tables_use_config(config);
	s->policies = table_list_open(config_text(config, name_of(name, lmtp, "tls_policy_maps")), err);
	if (!s->policies)
		return false;
	s->mta_sts = !lmtp && config_bool(config, "smtp_mta_sts");
	if (s->mta_sts && s->level == TLS_NONE)
		return err_set(err, ERR_SYNTAX, "smtp_mta_sts = yes needs smtp_tls_security_level = may or above");
	if (s->level == TLS_NONE && table_list_empty(s->policies))
		return true;
	s->client = tls_client_create(config, lmtp ? "lmtp_tls_" : "smtp_tls_", err);
	return s->client != NULL;
}

void smtp_security_start(struct smtp_security *s, ipc_connect_fn *connect)
{
	if (s->client)
		tls_client_start(s->client, connect);
	if (s->mta_sts)
		s->sts = ipc_client_create("mtasts", &mtasts_protocol, connect);
}

/* --- a policy --- */

/* What is being worked out. */
struct finding {
	const struct smtp_security *security;
	const struct smtp_lookup *lookup;
	struct arena *arena;
	struct slice nexthop;         /* as given */
	struct slice domain;          /* without brackets and port */
	const struct smtp_target *target;
	struct smtp_policy *policy;
	struct slice match;           /* names or fingerprints wanted */
	struct slice server_name;
	bool by_sts;                  /* the names are there already */
	bool by_table;                /* smtp_tls_policy_maps has spoken: MTA-STS has nothing to say */
};

static void refuse(const struct finding *f, const char *dsn, struct smtp_failure *failure, const char *format, struct slice a)
{
	smtp_fail(failure, f->arena, dsn, format, SLICE_FMT(a));
	failure->relay = SLICE_NONE;
}

/* "attribute=value" of a policy. */
static bool take_attribute(struct finding *f, struct slice word)
{
	struct tls_wish *wish = &f->policy->wish;
	struct slice name;

	if (!slice_cut(&word, '=', &name) || word.len == 0)
		return false;
	if (slice_eq_nocase(name, SLICE("protocols")))
		wish->protocols = arena_cstr(f->arena, word);
	else if (slice_eq_nocase(name, SLICE("ciphers")))
		wish->grade = arena_cstr(f->arena, word);
	else if (slice_eq_nocase(name, SLICE("exclude")))
		wish->exclude = arena_cstr(f->arena, word);
	else if (slice_eq_nocase(name, SLICE("servername")))
		f->server_name = word;
	else if (slice_eq_nocase(name, SLICE("match"))) {
		struct str both = { 0 };

		/* May stand several times; its parts are separated as Postfix has it, by colons or bars. */
		str_printf(&both, "%.*s%s%.*s", SLICE_FMT(f->match), f->match.len ? "|" : "", SLICE_FMT(word));
		f->match = arena_slice(f->arena, str_slice(&both));
		str_free(&both);
	} else if (slice_eq_nocase(name, SLICE("connection_reuse"))) {
		f->policy->reuse = slice_eq_nocase(word, SLICE("yes"));
		return f->policy->reuse || slice_eq_nocase(word, SLICE("no"));
	} else {
		return false;
	}
	return true;
}

static bool parse_policy(struct finding *f, struct slice text, struct smtp_failure *failure)
{
	struct slice rest = text, word = SLICE_NONE;
	bool ok = slice_word(&rest, ", \t\r\n", &word);

	f->policy->level = ok ? tls_level_parse(word) : TLS_INVALID;
	f->match = SLICE_NONE;
	ok = f->policy->level != TLS_INVALID;
	while (ok && slice_word(&rest, ", \t\r\n", &word))
		ok = take_attribute(f, word);
	if (ok)
		return true;
	log_warning("TLS policy of %.*s: \"%.*s\" is invalid at \"%.*s\"", SLICE_FMT(f->nexthop), SLICE_FMT(text),
		    SLICE_FMT(word));
	refuse(f, "4.7.5", failure, "client TLS configuration problem: policy of %.*s", f->nexthop);
	return false;
}

/* Exact; then parent domains with a leading dot, for plain domains. */
static enum table_result look_up(const struct finding *f, struct slice *value, struct err *err)
{
	struct table_list *policies = f->security->policies;
	enum table_result result = table_list_lookup(policies, f->nexthop, f->arena, value, err);
	struct slice parent = f->nexthop;
	ptrdiff_t dot;

	if (!slice_eq(f->nexthop, f->domain))
		return result;
	while (result == TABLE_NOT_FOUND && (dot = slice_find(slice_sub(parent, parent.len > 0, parent.len), '.')) >= 0) {
		parent = slice_sub(parent, (size_t)dot + 1, parent.len);
		result = table_list_lookup(policies, parent, f->arena, value, err);
	}
	return result;
}

static bool find_policy(struct finding *f, struct smtp_failure *failure)
{
	struct slice value;
	struct err err = { 0 };

	if (table_list_empty(f->security->policies))
		return true;
	switch (look_up(f, &value, &err)) {
	case TABLE_FOUND:
		f->by_table = true;
		return parse_policy(f, value, failure);
	case TABLE_NOT_FOUND:
		return true;
	case TABLE_ERROR:
		break;
	}
	log_warning("TLS policy of %.*s: %s", SLICE_FMT(f->nexthop), err.text);
	refuse(f, "4.3.0", failure, "TLS policy of %.*s cannot be looked up", f->nexthop);
	return false;
}

/* --- names --- */

static void add_name(struct tls_wish *wish, const char **list, const char *name)
{
	if (wish->name_count < NAMES_MAX)
		list[wish->name_count++] = name;
	wish->names = list;
}

/* smtp_tls_verify_cert_match and its like: hostname, nexthop, dot-nexthop, names. */
static void find_names(struct finding *f)
{
	struct tls_wish *wish = &f->policy->wish;
	const char **list = arena_alloc(f->arena, NAMES_MAX * sizeof(*list));
	struct slice rest = f->match, word;

	if (rest.len == 0)
		rest = slice_of(f->policy->level == TLS_VERIFY ? f->security->verify_match : f->security->secure_match);
	while (slice_word(&rest, ":|, \t\r\n", &word)) {
		struct str dotted = { 0 };

		if (slice_eq_nocase(word, SLICE("hostname"))) {
			word = f->target->host;
		} else if (slice_eq_nocase(word, SLICE("nexthop"))) {
			word = f->domain;
		} else if (slice_eq_nocase(word, SLICE("dot-nexthop"))) {
			str_printf(&dotted, ".%.*s", SLICE_FMT(f->domain));
			word = str_slice(&dotted);
		}
		add_name(wish, list, arena_cstr(f->arena, word));
		str_free(&dotted);
	}
}

/* Fingerprints have colons in them: parted by bars. */
static void find_fingerprints(struct finding *f)
{
	struct tls_wish *wish = &f->policy->wish;
	const char **list = arena_alloc(f->arena, NAMES_MAX * sizeof(*list));
	struct slice rest = f->match.len ? f->match : slice_of(f->security->fingerprint_match), word;

	wish->fingerprints = list;
	while (wish->fingerprint_count < NAMES_MAX && slice_word(&rest, "|, \t\r\n", &word))
		list[wish->fingerprint_count++] = arena_cstr(f->arena, word);
}

/* The name asked for in the handshake; DANE asks for the one with the TLSA records by itself. */
static void find_server_name(struct finding *f)
{
	struct slice name = f->server_name;

	if (slice_eq_nocase(name, SLICE("hostname")))
		name = f->target->host;
	else if (slice_eq_nocase(name, SLICE("nexthop")))
		name = f->domain;
	if (name.len > 0 && f->policy->wish.tlsa_count == 0)
		f->policy->wish.server_name = arena_cstr(f->arena, name);
}

/* --- DANE --- */

static bool is_dane(enum tls_level level)
{
	return level == TLS_DANE || level == TLS_DANE_ONLY;
}

static bool ask_tlsa(const struct finding *f, struct slice host, struct dns_answer *answer, struct smtp_failure *failure)
{
	struct str name = { 0 };

	str_printf(&name, "_%u._tcp.%.*s", f->target->port, SLICE_FMT(host));
	f->lookup->query(f->lookup->context, arena_slice(f->arena, str_slice(&name)), DNS_TLSA, f->arena, answer);
	str_free(&name);
	if (answer->status == DNS_OK || answer->status == DNS_NXDOMAIN || answer->status == DNS_NODATA)
		return true;
	/* Whoever can suppress the answer must not gain by it (RFC 7672, section 2.1.2). */
	refuse(f, "4.7.5", failure, "TLSA lookup error for %.*s", f->target->host);
	return false;
}

static size_t take_tlsa(struct finding *f, const struct dns_answer *answer)
{
	struct tls_wish *wish = &f->policy->wish;
	struct slice *list = arena_alloc(f->arena, TLSA_MAX * sizeof(*list));
	size_t usable = 0;

	wish->tlsa = list;
	for (size_t i = 0; i < answer->count && wish->tlsa_count < TLSA_MAX; i++) {
		if (answer->records[i].type != DNS_TLSA)
			continue;
		usable += tls_tlsa_usable(answer->records[i].data);
		list[wish->tlsa_count++] = answer->records[i].data;
	}
	return usable;
}

/* Without records that count. */
static bool without_dane(struct finding *f, enum tls_level level, struct smtp_failure *failure)
{
	f->policy->wish.tlsa_count = 0;
	if (f->policy->level == TLS_DANE_ONLY) {
		refuse(f, "4.7.5", failure, "no TLSA records found for %.*s, and dane-only wants them", f->target->host);
		return false;
	}
	f->policy->level = level;
	return true;
}

static bool find_dane(struct finding *f, struct smtp_failure *failure)
{
	const struct smtp_target *t = f->target;
	const char **names = arena_alloc(f->arena, NAMES_MAX * sizeof(*names));
	struct dns_answer answer = { .status = DNS_NODATA };
	struct slice base = t->host;

	if (!t->secure_mx && f->security->insecure_mx != TLS_DANE)
		return without_dane(f, f->security->insecure_mx, failure);
	if (t->port == 0 || (!t->secure_host && !f->security->insecure_host_lookup))
		return without_dane(f, TLS_MAY, failure);
	/* RFC 7672, section 2.2.2: the name behind the aliases first. */
	if (t->canonical.len > 0 && !slice_eq_nocase(t->canonical, t->host)) {
		base = t->canonical;
		if (!ask_tlsa(f, base, &answer, failure))
			return false;
	}
	if (answer.status != DNS_OK || !answer.secure || answer.count == 0) {
		base = t->host;
		if (!ask_tlsa(f, base, &answer, failure))
			return false;
	}
	if (answer.status != DNS_OK || !answer.secure || answer.count == 0)
		return without_dane(f, TLS_MAY, failure);
	/* Records that nobody can use still promise TLS. */
	if (take_tlsa(f, &answer) == 0)
		return without_dane(f, TLS_ENCRYPT, failure);
	add_name(&f->policy->wish, names, arena_cstr(f->arena, base));
	if (t->secure_mx && f->domain.len > 0)
		add_name(&f->policy->wish, names, arena_cstr(f->arena, f->domain));
	return true;
}

/* --- MTA-STS --- */

static bool may_have_sts(const struct finding *f)
{
	const struct smtp_policy *p = f->policy;

	/* A next hop that the administrator has named has no exchangers; DANE that holds is stronger (RFC 8461, section 2). */
	return f->security->sts && !f->by_table && (p->level == TLS_MAY || p->level == TLS_ENCRYPT) &&
	       f->domain.len > 0 && f->target->port > 0 && f->nexthop.ptr[0] != '[' && address_is_ascii(f->domain) &&
	       address_valid_hostname(f->domain);
}

/* RFC 8461, section 4: the policy names the exchanger, whose certificate names it too. */
static bool find_sts(struct finding *f, struct smtp_failure *failure)
{
	const char **names = arena_alloc(f->arena, sizeof(*names));
	struct sts_policy policy;
	struct err err = { 0 };
	bool named = false;

	if (!mtasts_ask(f->security->sts, f->domain, loop_now() + STS_TIME, f->arena, &policy, &err)) {
		log_warning("MTA-STS policy of %.*s: %s", SLICE_FMT(f->domain), err.text);
		refuse(f, "4.3.0", failure, "MTA-STS policy of %.*s cannot be looked up", f->domain);
		return false;
	}
	for (size_t i = 0; i < policy.mx_count && !named; i++)
		named = sts_pattern_has(policy.mx[i], f->target->host);
	if (policy.mode == STS_TESTING && !named)
		log_info("MTA-STS policy of %.*s (testing) does not name %.*s", SLICE_FMT(f->domain), SLICE_FMT(f->target->host));
	if (policy.mode != STS_ENFORCE)
		return true;
	if (!named) {
		refuse(f, "4.7.5", failure, "the domain's MTA-STS policy does not name %.*s", f->target->host);
		return false;
	}
	f->policy->level = TLS_VERIFY;
	f->server_name = f->target->host;
	add_name(&f->policy->wish, names, arena_cstr(f->arena, f->target->host));
	f->by_sts = true;
	return true;
}

/* --- all of it --- */

/* "[host]:port" and "host:port" to "host". */
static struct slice bare(struct slice nexthop)
{
	ptrdiff_t end;

	if (nexthop.len > 0 && nexthop.ptr[0] == '[' && (end = slice_find(nexthop, ']')) > 0)
		return slice_sub(nexthop, 1, (size_t)end - 1);
	end = slice_find(nexthop, ':');
	return end > 0 ? slice_sub(nexthop, 0, (size_t)end) : nexthop;
}

static void name_session(struct finding *f)
{
	struct str key = { 0 };

	str_printf(&key, "%.*s %.*s %.*s %u", SLICE_FMT(f->nexthop), SLICE_FMT(f->target->host),
		   SLICE_FMT(f->target->text), f->target->port);
	f->policy->wish.session_key = arena_cstr(f->arena, str_slice(&key));
	str_free(&key);
}

bool smtp_security_find(const struct smtp_lookup *lookup, struct slice nexthop, const struct smtp_target *target,
			struct smtp_policy *policy, struct smtp_failure *failure)
{
	const struct smtp_security *security = lookup->settings->security;
	struct finding f = { .security = security, .lookup = lookup, .arena = lookup->arena, .nexthop = nexthop,
			     .domain = bare(nexthop), .target = target, .policy = policy };

	*policy = (struct smtp_policy){ .level = TLS_NONE };
	if (!security || !security->client)
		return true;
	*policy = (struct smtp_policy){ .level = security->level, .reuse = security->reuse };
	f.server_name = slice_of(security->server_name);
	if (!find_policy(&f, failure) || (is_dane(policy->level) && !find_dane(&f, failure)))
		return false;
	if (may_have_sts(&f) && !find_sts(&f, failure))
		return false;
	if ((policy->level == TLS_VERIFY || policy->level == TLS_SECURE) && !f.by_sts)
		find_names(&f);
	else if (policy->level == TLS_FINGERPRINT)
		find_fingerprints(&f);
	find_server_name(&f);
	if (security->wrapper && policy->level < TLS_ENCRYPT)
		policy->level = TLS_ENCRYPT;
	policy->wish.level = policy->level;
	name_session(&f);
	return true;
}
