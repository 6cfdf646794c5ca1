/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/settings.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>

#include "common/base/str.h"
#include "common/config/params.h"

#define SYSTEM_CONNECT_TIME   600.0  /* where the parameter says "the system's" */

/* lmtp has rows of its own for some parameters, and shares smtp's otherwise. */
struct names {
	bool lmtp;
	char text[80];
};

static const char *name_of(struct names *n, const char *suffix)
{
	if (n->lmtp) {
		(void)snprintf(n->text, sizeof(n->text), "lmtp_%s", suffix);
		if (param_find(slice_of(n->text)))
			return n->text;
	}
	(void)snprintf(n->text, sizeof(n->text), "smtp_%s", suffix);
	return n->text;
}

static bool load_protocols(struct smtp_settings *s, const struct config *config, struct err *err)
{
	struct slice rest = slice_of(config_text(config, "inet_protocols"));
	struct slice word;

	while (slice_word(&rest, ", \t\r\n", &word)) {
		bool all = slice_eq_nocase(word, SLICE("all"));

		s->ipv4 = s->ipv4 || all || slice_eq_nocase(word, SLICE("ipv4"));
		s->ipv6 = s->ipv6 || all || slice_eq_nocase(word, SLICE("ipv6"));
	}
	if (!s->ipv4 && !s->ipv6)
		return err_set(err, ERR_SYNTAX, "inet_protocols: expected all, ipv4 or ipv6");
	return true;
}

static bool load_bind(struct smtp_settings *s, const struct config *config, struct names *n, struct err *err)
{
	const char *text = config_text(config, name_of(n, "bind_address"));
	struct sockaddr_in *v4 = (struct sockaddr_in *)&s->bind4;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&s->bind6;

	if (*text) {
		if (inet_pton(AF_INET, text, &v4->sin_addr) != 1)
			return err_set(err, ERR_SYNTAX, "smtp_bind_address: not an IPv4 address: %s", text);
		v4->sin_family = AF_INET;
	}
	text = config_text(config, name_of(n, "bind_address6"));
	if (*text) {
		if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
			return err_set(err, ERR_SYNTAX, "smtp_bind_address6: not an IPv6 address: %s", text);
		v6->sin6_family = AF_INET6;
	}
	return true;
}

static void add_own(struct smtp_settings *s, const char ***list, struct slice text)
{
	*list = mem_realloc(*list, (s->own_count + 1) * sizeof(**list));
	(*list)[s->own_count++] = mem_slicedup(text);
	s->own = *list;
}

/* Addresses of this machine that mail comes in by: inet_interfaces. */
static void load_own(struct smtp_settings *s, const struct config *config)
{
	struct slice rest = slice_of(config_text(config, "inet_interfaces"));
	struct ifaddrs *all = NULL;
	const char **list = NULL;
	struct slice word;

	while (slice_word(&rest, ", \t\r\n", &word)) {
		if (slice_eq_nocase(word, SLICE("loopback-only"))) {
			add_own(s, &list, SLICE("127.0.0.1"));
			add_own(s, &list, SLICE("::1"));
		} else if (!slice_eq_nocase(word, SLICE("all"))) {
			if (word.len > 2 && word.ptr[0] == '[')
				word = slice_sub(word, 1, word.len - 2);
			add_own(s, &list, word);
		} else if (getifaddrs(&all) == 0) {
			for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
				char text[INET6_ADDRSTRLEN];
				const void *raw;

				if (!i->ifa_addr)
					continue;
				raw = i->ifa_addr->sa_family == AF_INET
					      ? (const void *)&((const struct sockaddr_in *)i->ifa_addr)->sin_addr
					      : (const void *)&((const struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
				if ((i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6) &&
				    inet_ntop(i->ifa_addr->sa_family, raw, text, sizeof(text)))
					add_own(s, &list, slice_of(text));
			}
			freeifaddrs(all);
			all = NULL;
		}
	}
}

static bool load_preference(struct smtp_settings *s, struct slice text, struct err *err)
{
	if (slice_eq_nocase(text, SLICE("ipv4")))
		s->preference = SMTP_PREFER_IPV4;
	else if (slice_eq_nocase(text, SLICE("ipv6")))
		s->preference = SMTP_PREFER_IPV6;
	else if (slice_eq_nocase(text, SLICE("any")))
		s->preference = SMTP_PREFER_ANY;
	else
		return err_set(err, ERR_SYNTAX, "smtp_address_preference: expected any, ipv4 or ipv6");
	return true;
}

bool smtp_settings_load(struct smtp_settings *s, const struct config *config, bool lmtp, struct err *err)
{
	struct names n = { .lmtp = lmtp };

	*s = (struct smtp_settings){ .lmtp = lmtp };
	s->myhostname = config_text(config, "myhostname");
	s->helo_name = config_text(config, lmtp ? "lmtp_lhlo_name" : "smtp_helo_name");
	s->tcp_port = (unsigned)config_int(config, name_of(&n, "tcp_port"));
	s->fallback_relay = lmtp ? "" : config_text(config, "smtp_fallback_relay");
	s->host_lookup = config_text(config, name_of(&n, "host_lookup"));
	s->connect_timeout = config_time(config, name_of(&n, "connect_timeout"));
	if (s->connect_timeout <= 0)
		s->connect_timeout = SYSTEM_CONNECT_TIME;
	s->helo_timeout = config_time(config, name_of(&n, "helo_timeout"));
	s->mail_timeout = config_time(config, name_of(&n, "mail_timeout"));
	s->rcpt_timeout = config_time(config, name_of(&n, "rcpt_timeout"));
	s->data_init_timeout = config_time(config, name_of(&n, "data_init_timeout"));
	s->data_xfer_timeout = config_time(config, name_of(&n, "data_xfer_timeout"));
	s->data_done_timeout = config_time(config, name_of(&n, "data_done_timeout"));
	s->rset_timeout = config_time(config, name_of(&n, "rset_timeout"));
	s->cache_time = config_time(config, name_of(&n, "connection_cache_time_limit"));
	s->reuse_time = config_time(config, name_of(&n, "connection_reuse_time_limit"));
	s->reuse_count = config_int(config, name_of(&n, "connection_reuse_count_limit"));
	s->line_limit = (size_t)config_int(config, name_of(&n, "line_length_limit"));
	s->address_limit = (size_t)config_int(config, name_of(&n, "mx_address_limit"));
	s->session_limit = (size_t)config_int(config, name_of(&n, "mx_session_limit"));
	s->skip_5xx_greeting = config_bool(config, name_of(&n, "skip_5xx_greeting"));
	s->never_ehlo = config_bool(config, "smtp_never_send_ehlo");
	s->only_offered_ehlo = !config_bool(config, "smtp_always_send_ehlo");
	s->send_xforward = config_bool(config, name_of(&n, "send_xforward_command"));
	s->no_mx = config_bool(config, "disable_dns_lookups") ||
		   slice_eq_nocase(slice_of(config_text(config, name_of(&n, "dns_support_level"))), SLICE("disabled"));
	s->discard_keywords = config_text(config, name_of(&n, "discard_ehlo_keywords"));
	s->slots = config_int(config, name_of(&n, "sessions_per_process"));
	load_own(s, config);
	return load_protocols(s, config, err) && load_bind(s, config, &n, err) &&
	       load_preference(s, slice_trim(slice_of(config_text(config, name_of(&n, "address_preference")))), err);
}
