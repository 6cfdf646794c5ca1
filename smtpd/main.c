/* SPDX-License-Identifier: ISC */
/* smtpd: the SMTP server process; one task a client. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/address.h"
#include "common/process/process.h"
#include "common/proto/cleanup_proto.h"
#include "common/proto/qmgr_proto.h"
#include "common/proto/resolver_proto.h"
#include "common/tls/server.h"
#include "policy/policy.h"
#include "smtpd/client_limits.h"
#include "smtpd/screen.h"
#include "smtpd/smtpd.h"
#include "smtpd/upstream.h"
#include "tables/table.h"

#define OPEN_TIMEOUT   60
#define COMMIT_TIMEOUT 300
#define NAME_TIMEOUT   10
#define FLUSH_TIMEOUT  60
#define TABLE_CHECK    1.0 /* seconds between looks at the tables */

static struct {
	struct smtpd_settings settings;
	struct smtpd_settings lenient;         /* for the clients of bare_lf_exclusions */
	struct match_list *bare_lf_exclusions;
	struct policy *policy;
	struct smtpd_tls tls;
	struct smtpd_auth auth;
	struct client_limits limits;
	struct authentication authentication;
	struct ipc_client *cleanup, *resolver, *qmgr;
	bool name_lookup;
	struct task_group sessions, background;
	long session_limit;
	struct screen *screen;                 /* tests of clients; NULL: none */
	double upstream_timeout;               /* for the header of the proxy in front of us; 0: there is none */
} server;

/* --- queue files --- */

struct smtpd_file {
	struct cleanup_session session;
};

static void take_refusal(struct smtp_reply *reply, const struct cleanup_refusal *refusal)
{
	reply->code = refusal->code;
	snprintf(reply->dsn, sizeof(reply->dsn), "%s", refusal->dsn);
	snprintf(reply->text, sizeof(reply->text), "%s", refusal->text);
}

static struct smtpd_file *file_open(void *context, struct smtp_reply *reply)
{
	struct smtpd_file *file = mem_alloc(sizeof(*file));
	struct cleanup_refusal refusal = { 0 };

	if (!cleanup_open(&file->session, server.cleanup, loop_now() + OPEN_TIMEOUT, &refusal)) {
		take_refusal(reply, &refusal);
		free(file);
		return NULL;
	}
	return file;
}

static const char *file_queue_id(const struct smtpd_file *file)
{
	return file->session.queue_id;
}

static int file_descriptor(const struct smtpd_file *file)
{
	return file->session.fd;
}

static bool file_commit(struct smtpd_file **file, const struct message_envelope *envelope,
			const struct message_content *content, struct smtp_reply *reply)
{
	struct cleanup_refusal refusal = { 0 };
	bool done = cleanup_commit(&(*file)->session, envelope, content, loop_now() + COMMIT_TIMEOUT,
				   &refusal);

	if (!done)
		take_refusal(reply, &refusal);
	free(*file);
	*file = NULL;
	return done;
}

static void file_abort(struct smtpd_file **file)
{
	cleanup_abort(&(*file)->session);
	free(*file);
	*file = NULL;
}

/* --- sessions --- */

struct connection {
	int fd;
	char address[INET6_ADDRSTRLEN];
	char port[8];
	char server_address[INET6_ADDRSTRLEN];
	char server_port[8];
	bool loopback;
};

static bool is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* Does the name have this address?  A name that does not is somebody's claim. */
static enum policy_name_status confirm_name(const struct connection *c, const char *name, struct arena *arena)
{
	enum dns_type type = strchr(c->address, ':') ? DNS_AAAA : DNS_A;
	struct dns_answer answer;
	char text[INET6_ADDRSTRLEN];

	resolver_query(server.resolver, slice_of(name), type, loop_now() + NAME_TIMEOUT, arena, &answer);
	for (size_t i = 0; i < answer.count; i++)
		if (inet_ntop(type == DNS_A ? AF_INET : AF_INET6, answer.records[i].data.ptr, text, sizeof(text)) &&
		    strcmp(text, c->address) == 0)
			return POLICY_NAME_KNOWN;
	return answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS ? POLICY_NAME_TEMPORARY : POLICY_NAME_NONE;
}

static void ask_ptr(const struct connection *c, struct arena *arena, struct dns_answer *answer)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	const struct sockaddr *address = (const struct sockaddr *)&v4;

	*answer = (struct dns_answer){ .status = DNS_NXDOMAIN };
	if (inet_pton(AF_INET, c->address, &v4.sin_addr) != 1) {
		if (inet_pton(AF_INET6, c->address, &v6.sin6_addr) != 1)
			return;
		address = (const struct sockaddr *)&v6;
	}
	resolver_query_ptr(server.resolver, address, loop_now() + NAME_TIMEOUT, arena, answer);
}

/* The client's name by PTR, and whether that is confirmed. */
static void find_name(const struct connection *c, struct policy_client *client, struct arena *arena)
{
	struct dns_answer answer;

	client->name = client->reverse_name = "unknown";
	client->name_status = client->reverse_status = POLICY_NAME_NONE;
	if (c->loopback) {
		client->name = client->reverse_name = "localhost";
		client->name_status = client->reverse_status = POLICY_NAME_KNOWN;
		return;
	}
	if (!server.name_lookup)
		return;
	ask_ptr(c, arena, &answer);
	if (answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS)
		client->name_status = client->reverse_status = POLICY_NAME_TEMPORARY;
	for (size_t i = 0; i < answer.count && i < 5; i++) {
		const char *name;

		if (!address_valid_hostname(answer.records[i].name))
			continue;
		name = arena_cstr(arena, answer.records[i].name);
		if (client->reverse_status != POLICY_NAME_KNOWN)
			client->reverse_name = name;
		client->reverse_status = POLICY_NAME_KNOWN;
		client->name_status = confirm_name(c, name, arena);
		if (client->name_status == POLICY_NAME_KNOWN) {
			client->name = client->reverse_name = name;
			return;
		}
	}
}

/* ETRN: the queue manager knows what waits for a site. */
static unsigned flush_site(void *context, struct slice site)
{
	struct ipc_reply reply;
	struct ipc_out packet;
	struct err err = { 0 };
	uint64_t result = FLUSH_LATER;

	if (!ipc_client_connect(server.qmgr, loop_now() + FLUSH_TIMEOUT, &err)) {
		log_warning("queue manager: %s", err.text);
		return FLUSH_LATER;
	}
	ipc_out_start(&packet, QMGR_FLUSH_SITE, ipc_client_request(server.qmgr));
	ipc_put_bytes(&packet, QMGR_FIELD_SITE, site);
	if (!ipc_client_call(server.qmgr, &packet, loop_now() + FLUSH_TIMEOUT, &reply, &err)) {
		log_warning("queue manager: %s", err.text);
		return FLUSH_LATER;
	}
	if (!ipc_get_u64(&reply.in, QMGR_FIELD_COUNT, &result) || result > FLUSH_LATER)
		result = FLUSH_LATER;
	ipc_reply_free(&reply);
	return (unsigned)result;
}

/* What the operations of a session look at. */
struct served {
	struct client_count count;
	struct screening *screening;   /* NULL: nothing is tested */
};

static bool ask_policy(void *context, const struct policy_question *question, struct smtp_reply *reply)
{
	const struct served *served = context;

	/* At a recipient, whichever of the restrictions comes first. */
	if (served->screening && question->facts->recipient.len > 0 &&
	    !screen_recipient(served->screening, question->facts, reply))
		return false;
	return policy_ask(server.policy, question, reply);
}

static bool judge_oddity(void *context, enum smtpd_oddity oddity, const char *after, struct slice text, struct smtp_reply *reply)
{
	const struct served *served = context;

	return screen_event(served->screening, oddity, after, text, reply);
}

static bool authenticate(void *context, const struct authentication_message *message,
			 struct authentication_effect *effect, struct smtp_reply *reply)
{
	return authentication_check(&server.authentication, message, effect, reply);
}

static bool count_event(void *context, enum smtpd_event event, const struct policy_client *client, struct smtp_reply *reply)
{
	struct served *served = context;

	return client_count(&served->count, event, client, reply);
}

static const struct smtpd_settings *settings_for(const struct policy_client *client)
{
	struct err err;
	enum table_result excluded = match_list_test_client(server.bare_lf_exclusions, slice_of(client->name),
							    slice_of(client->address), &err);

	if (excluded == TABLE_ERROR)
		log_warning("smtpd_forbid_bare_newline_exclusions: %s", err.text);
	return excluded == TABLE_FOUND ? &server.lenient : &server.settings;
}

/* With a proxy in front of us the socket's ends are not the client's. */
static bool learn_client(struct connection *c)
{
	struct proxy_header h;

	if (server.upstream_timeout <= 0)
		return true;
	if (!upstream_read(c->fd, c->address, server.upstream_timeout, &h))
		return false;
	if (!h.proxied)
		return true;
	snprintf(c->address, sizeof(c->address), "%s", h.client.address);
	snprintf(c->port, sizeof(c->port), "%u", h.client.port);
	snprintf(c->server_address, sizeof(c->server_address), "%s", h.server.address);
	snprintf(c->server_port, sizeof(c->server_port), "%u", h.server.port);
	c->loopback = is_loopback(c->address);
	return true;
}

static void serve_client(struct connection *c, struct policy_client *client, struct smtpd_ops *ops, struct arena *arena)
{
	struct served *served = ops->context;
	struct stream *stream = stream_of_fd(c->fd);
	struct screening screening;
	struct smtpd_settings *patient;

	if (!server.screen) {
		find_name(c, client, arena);
		smtpd_serve(stream, settings_for(client), ops, client);
		return;
	}
	if (!screen_client(server.screen, stream, client, server.tls.wrapper, server.resolver, &screening)) {
		stream_free(&stream);
		return;
	}
	served->screening = &screening;
	ops->oddity = judge_oddity;
	find_name(c, client, arena);
	patient = arena_alloc(arena, sizeof(*patient));
	*patient = *settings_for(client);
	/* Who is refused in the end may say till then whom it is and to whom it would write. */
	if (screening.refusal.code)
		patient->forbid_unauth_pipelining = false;
	smtpd_serve(stream, patient, ops, client);
}

static void serve(void *arg)
{
	struct connection *c = arg;
	struct arena *arena = arena_create(256);
	struct served served = { .count = { .limits = &server.limits } };
	struct smtpd_ops ops = { .context = &served, .ask = ask_policy, .count = count_event,
				 .authenticate = authenticate, .flush = flush_site, .open = file_open,
				 .queue_id = file_queue_id,
				 .descriptor = file_descriptor, .commit = file_commit, .abort = file_abort };
	struct policy_client client = { .address = c->address, .port = c->port, .server_address = c->server_address,
					.server_port = c->server_port };

	if (learn_client(c)) {
		serve_client(c, &client, &ops, arena);
		client_count_end(&served.count);
	} else {
		close(c->fd);
	}
	free(c);
	arena_free(&arena);
	process_busy(-1);
	if ((long)server.sessions.count <= server.session_limit)
		process_accepting(true);
}

static void describe(const struct sockaddr *end, char address[INET6_ADDRSTRLEN], char port[8])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)end;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)end;

	snprintf(address, INET6_ADDRSTRLEN, "unknown");
	if (end->sa_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, address, INET6_ADDRSTRLEN);
		snprintf(port, 8, "%u", ntohs(v4->sin_port));
	} else if (end->sa_family == AF_INET6) {
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, address, INET6_ADDRSTRLEN);
		else
			inet_ntop(AF_INET6, &v6->sin6_addr, address, INET6_ADDRSTRLEN);
		snprintf(port, 8, "%u", ntohs(v6->sin6_port));
	}
}

static void describe_ends(struct connection *c, const struct sockaddr *peer)
{
	struct sockaddr_storage here = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(here);

	describe(peer, c->address, c->port);
	c->loopback = is_loopback(c->address);
	if (getsockname(c->fd, (struct sockaddr *)&here, &len) == 0)
		describe((const struct sockaddr *)&here, c->server_address, c->server_port);
}

static void accept_client(int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	struct connection *c = mem_alloc(sizeof(*c));
	int on = 1;

	c->fd = fd;
	describe_ends(c, peer);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!task_spawn(&server.sessions, serve, c)) {
		log_warning("no memory for a session with %s", c->address);
		close(fd);
		free(c);
		return;
	}
	process_busy(1);
	if ((long)server.sessions.count >= server.session_limit)
		process_accepting(false);
}

/* --- the process --- */

static bool parse_bare_lf(const char *value, enum bare_lf *mode, struct err *err)
{
	static const struct {
		const char *word;
		enum bare_lf mode;
	} words[] = { { "no", BARE_LF_ALLOW }, { "note", BARE_LF_ALLOW }, { "yes", BARE_LF_NORMALIZE },
		      { "normalize", BARE_LF_NORMALIZE }, { "reject", BARE_LF_REJECT } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(value, words[i].word) == 0) {
			*mode = words[i].mode;
			return true;
		}
	}
	return err_set(err, ERR_SYNTAX, "smtpd_forbid_bare_newline: \"%s\" is none of no, yes, note, normalize, reject", value);
}

/* "", none, may, encrypt; *level as text when it is none of these. */
static bool wants_tls(const struct config *c, bool *required, bool *wanted, struct err *err)
{
	const char *level = config_text(c, "smtpd_tls_security_level");

	*required = config_bool(c, "smtpd_tls_wrappermode");
	if (!*level)
		level = config_bool(c, "smtpd_enforce_tls") ? "encrypt" : config_bool(c, "smtpd_use_tls") ? "may" : "none";
	if (strcmp(level, "none") != 0 && strcmp(level, "may") != 0 && strcmp(level, "encrypt") != 0)
		return err_set(err, ERR_SYNTAX, "smtpd_tls_security_level: \"%s\" is none of none, may, encrypt", level);
	*required = *required || strcmp(level, "encrypt") == 0;
	*wanted = *required || strcmp(level, "may") == 0;
	return true;
}

static bool load_tls(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;
	bool required = false, wanted = false;

	if (!wants_tls(c, &required, &wanted, err))
		return false;
	if (!wanted)
		return true;
	if (!required && !tls_server_has_certificate(c)) {
		log_warning("smtpd_tls_security_level = may, and no certificate is configured: TLS is not offered");
		return true;
	}
	server.tls = (struct smtpd_tls){
		.server = tls_server_create(c, info->service, required, err),
		.required = required,
		.wrapper = config_bool(c, "smtpd_tls_wrappermode"),
		.received_header = config_bool(c, "smtpd_tls_received_header"),
		.asks = config_bool(c, "smtpd_tls_ask_ccert"),
		.requires_certificate = config_bool(c, "smtpd_tls_req_ccert"),
		.loglevel = config_int(c, "smtpd_tls_loglevel"),
		.timeout = config_time(c, "smtpd_starttls_timeout"),
	};
	server.settings.tls = &server.tls;
	return server.tls.server != NULL;
}

static bool load_auth(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;
	struct auth_settings *s = &server.auth.settings;

	if (!config_bool(c, "smtpd_sasl_auth_enable"))
		return true;
	s->broken_clients = config_bool(c, "broken_sasl_auth_clients");
	s->tls_only = config_bool(c, "smtpd_tls_auth_only");
	s->response_limit = (size_t)config_int(c, "smtpd_sasl_response_limit");
	server.auth.service = info->service;
	server.auth.header = config_bool(c, "smtpd_sasl_authenticated_header");
	server.auth.exceptions = match_list_open(config_text(c, "smtpd_sasl_exceptions_networks"), MATCH_NETWORK, err);
	server.auth.filter = match_list_open(config_text(c, "smtpd_sasl_mechanism_filter"), MATCH_STRING, err);
	server.settings.auth = &server.auth;
	return server.auth.exceptions && server.auth.filter &&
	       sasl_options_parse(config_text(c, "smtpd_sasl_security_options"), "smtpd_sasl_security_options", &s->options,
				  err) &&
	       sasl_options_parse(config_text(c, "smtpd_sasl_tls_security_options"), "smtpd_sasl_tls_security_options",
				  &s->tls_options, err);
}

static bool load_upstream(const struct config *c, struct err *err)
{
	const char *protocol = config_text(c, "smtpd_upstream_proxy_protocol");

	if (!*protocol)
		return true;
	if (strcmp(protocol, "haproxy") != 0)
		return err_set(err, ERR_SYNTAX, "smtpd_upstream_proxy_protocol: \"%s\" is not haproxy", protocol);
	server.upstream_timeout = config_time(c, "smtpd_upstream_proxy_timeout");
	return server.upstream_timeout > 0 || err_set(err, ERR_SYNTAX, "smtpd_upstream_proxy_timeout must not be 0");
}

/* Who may speak for others; footers by table. */
static bool load_lists(const struct config *c, struct err *err)
{
	struct smtpd_settings *s = &server.settings;

	s->xclient = match_list_open(config_text(c, "smtpd_authorized_xclient_hosts"), MATCH_NETWORK, err);
	if (!s->xclient)
		return err_prefix(err, "smtpd_authorized_xclient_hosts");
	s->xforward = match_list_open(config_text(c, "smtpd_authorized_xforward_hosts"), MATCH_NETWORK, err);
	if (!s->xforward)
		return err_prefix(err, "smtpd_authorized_xforward_hosts");
	s->verp = match_list_open(config_text(c, "smtpd_authorized_verp_clients"), MATCH_NETWORK, err);
	if (!s->verp)
		return err_prefix(err, "smtpd_authorized_verp_clients");
	s->deliver_by = config_bool(c, "smtpd_deliver_by");
	s->verp_delimiters = config_text(c, "default_verp_delimiters");
	s->verp_filter = config_text(c, "verp_delimiter_filter");
	if (!*config_text(c, "smtpd_reject_footer_maps"))
		return true;
	s->reject_footer_maps = table_list_open(config_text(c, "smtpd_reject_footer_maps"), err);
	return s->reject_footer_maps || err_prefix(err, "smtpd_reject_footer_maps");
}

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;

	tables_use_proxy(process_connect);
	server.settings = (struct smtpd_settings){
		.myhostname = config_text(c, "myhostname"),
		.banner = config_text(c, "smtpd_banner"),
		.forbidden_commands = config_text(c, "smtpd_forbidden_commands"),
		.message_size_limit = (uint64_t)config_int(c, "message_size_limit"),
		.line_limit = (size_t)config_int(c, "line_length_limit"),
		.recipient_limit = config_int(c, "smtpd_recipient_limit"),
		.recipient_overshoot_limit = config_int(c, "smtpd_recipient_overshoot_limit"),
		.soft_error_limit = config_int(c, "smtpd_soft_error_limit"),
		.hard_error_limit = config_int(c, "smtpd_hard_error_limit"),
		.junk_command_limit = config_int(c, "smtpd_junk_command_limit"),
		.timeout = config_time(c, "smtpd_timeout"),
		.error_sleep = config_time(c, "smtpd_error_sleep_time"),
		.helo_required = config_bool(c, "smtpd_helo_required"),
		.vrfy = !config_bool(c, "disable_vrfy_command"),
		.smtputf8 = config_bool(c, "smtputf8_enable"),
		.strict_envelopes = config_bool(c, "strict_rfc821_envelopes"),
		.delay_reject = config_bool(c, "smtpd_delay_reject"),
		.discard_ehlo_keywords = config_text(c, "smtpd_discard_ehlo_keywords"),
		.content_filter = config_text(c, "content_filter"),
		.reject_footer = config_text(c, "smtpd_reject_footer"),
		.forbid_unauth_pipelining = config_bool(c, "smtpd_forbid_unauth_pipelining"),
	};
	if (!load_upstream(c, err) || !screen_load(c, &server.screen, err) || !load_tls(info, err) || !load_auth(info, err) ||
	    !authentication_load(&server.authentication, c, err) ||
	    !client_limits_load(&server.limits, c, info->service, err))
		return false;
	server.session_limit = info->process_limit > 0 ? info->process_limit : config_int(c, "smtpd_session_limit");
	server.name_lookup = config_bool(c, "smtpd_peername_lookup");
	server.policy = policy_create(c, err);
	if (!server.policy || !load_lists(c, err) ||
	    !parse_bare_lf(config_text(c, "smtpd_forbid_bare_newline"), &server.settings.bare_lf, err))
		return false;
	server.lenient = server.settings;
	server.lenient.bare_lf = BARE_LF_ALLOW;
	server.bare_lf_exclusions =
		match_list_open(config_text(c, "smtpd_forbid_bare_newline_exclusions"), MATCH_NETWORK, err);
	return server.bare_lf_exclusions || err_prefix(err, "smtpd_forbid_bare_newline_exclusions");
}

static void watch_tables(void *arg)
{
	while (task_sleep(TABLE_CHECK) == TASK_READY) {
		if (process_retiring())
			return;
		if (policy_changed(server.policy) || match_list_changed(server.bare_lf_exclusions) ||
		    match_list_changed(server.limits.exceptions) || (server.screen && screen_changed(server.screen)) ||
		    authentication_changed(&server.authentication)) {
			process_retire("table changed");
			return;
		}
	}
}

static void start(const struct process_info *info)
{
	if (server.tls.server)
		tls_server_start(server.tls.server, process_connect);
	if (server.settings.auth)
		server.auth.client = ipc_client_create("auth", &auth_protocol, process_connect);
	server.cleanup = ipc_client_create("cleanup", &cleanup_protocol, process_connect);
	server.resolver = ipc_client_create("resolver", &resolver_protocol, process_connect);
	server.qmgr = ipc_client_create("qmgr", &qmgr_protocol, process_connect);
	policy_connect(server.policy, process_connect);
	authentication_connect(&server.authentication, process_connect);
	client_limits_connect(&server.limits, process_connect);
	task_spawn(&server.background, watch_tables, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .accept = accept_client };

	return process_main(argc, argv, &ops);
}
