/* SPDX-License-Identifier: ISC */
#include "common/config/params.h"

#define TEXT(name, value, text)            { name, PARAM_TEXT, value, 0, 0, 0, text, false }
#define RAW(name, value, text)             { name, PARAM_TEXT, value, 0, 0, 0, text, true }
#define INT(name, value, min, max, text)   { name, PARAM_INT, value, min, max, 0, text, false }
#define BOOL(name, value, text)            { name, PARAM_BOOL, value, 0, 0, 0, text, false }
#define TIME(name, value, unit, text)      { name, PARAM_TIME, value, 0, 0, unit, text, false }

/* In order of name: param_find searches by halves. */
static const struct param rows[] = {
	TIME("address_verify_cache_cleanup_interval", "12h", 'h', "how often expired results are removed"),
	TEXT("address_verify_default_transport", "$default_transport", "default_transport of probes"),
	TEXT("address_verify_local_transport", "$local_transport", "local_transport of probes"),
	TEXT("address_verify_map", "btree:$data_directory/verify_cache",
	     "where results of probes are kept; empty: in memory"),
	BOOL("address_verify_negative_cache", "yes", "keep the results of failed probes"),
	TIME("address_verify_negative_expire_time", "3d", 'd', "how long a failed probe's result is kept"),
	TIME("address_verify_negative_refresh_time", "3h", 'h',
	     "age at which a failed address is probed again"),
	INT("address_verify_pending_request_limit", "5000", 1, 0, "probes under way"),
	INT("address_verify_poll_count", "${stress?{1}:{3}}", 1, 0,
	     "looks at the result of a probe before the client is put off"),
	TIME("address_verify_poll_delay", "3s", 's', "pause between them"),
	TIME("address_verify_positive_expire_time", "31d", 'd', "how long a good probe's result is kept"),
	TIME("address_verify_positive_refresh_time", "7d", 'd', "age at which a good address is probed again"),
	TEXT("address_verify_relay_transport", "$relay_transport", "relay_transport of probes"),
	TEXT("address_verify_relayhost", "$relayhost", "relayhost of probes"),
	TEXT("address_verify_sender", "$double_bounce_sender", "sender of probes"),
	TEXT("address_verify_sender_dependent_default_transport_maps", "$sender_dependent_default_transport_maps",
	     "the same of probes"),
	TEXT("address_verify_sender_dependent_relayhost_maps", "$sender_dependent_relayhost_maps",
	     "the same of probes"),
	TIME("address_verify_sender_ttl", "0s", 's', "how often the sender of probes changes its name"),
	TEXT("address_verify_transport_maps", "$transport_maps", "transport_maps of probes"),
	TEXT("address_verify_virtual_transport", "$virtual_transport", "virtual_transport of probes"),
	TEXT("alias_database", "$default_database_type:/etc/aliases", "alias tables that newaliases rebuilds"),
	TEXT("alias_maps", "$default_database_type:/etc/aliases", "alias tables of local delivery"),
	TEXT("allow_mail_to_commands", "alias, forward", "where |command may stand: alias, forward, include"),
	TEXT("allow_mail_to_files", "alias, forward", "where /file/name may stand: alias, forward, include"),
	BOOL("allow_min_user", "no", "addresses may begin with '-' when they are given to a command"),
	BOOL("allow_percent_hack", "yes", "rewrite user%domain to user@domain"),
	BOOL("allow_untrusted_routing", "no", "strangers may say the way: user%far@relay.domain"),
	BOOL("always_add_missing_headers", "no", "add Date, From, Message-ID to mail from other hosts too"),
	TEXT("always_bcc", "", "address that gets a copy of all mail"),
	BOOL("append_at_myorigin", "yes", "complete addresses without a domain"),
	BOOL("append_dot_mydomain", "no", "complete host names without a domain"),
	BOOL("biff", "yes", "accepted; nobody is told of new mail"),
	TIME("bounce_queue_lifetime", "5d", 'd', "how long a notice is tried"),
	INT("bounce_size_limit", "50000", 0, 0, "bytes of a returned message"),
	BOOL("broken_sasl_auth_clients", "no", "announce AUTH= too, for old Outlook"),
	TEXT("canonical_classes", "envelope_sender, envelope_recipient, header_sender, header_recipient",
	     "addresses that canonical_maps changes"),
	TEXT("canonical_maps", "", "other names of addresses, in envelope and header"),
	TEXT("command_directory", POSTRIDER_COMMAND_DIR, "where the commands are"),
	RAW("command_execution_directory", "", "working directory of commands; $user, $home … are expanded"),
	TEXT("command_expansion_filter", "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
	     "characters that pass from the message into a command's environment; others become _"),
	TIME("command_time_limit", "1000s", 's', "how long a command may run"),
	TEXT("compatibility_level", "3.7", "accepted; Postrider's defaults are the new ones"),
	TEXT("config_directory", POSTRIDER_CONFIG_DIR, "where main.cf and master.cf are"),
	TEXT("content_filter", "", "transport:nexthop that all mail goes to first"),
	TEXT("cyrus_sasl_config_path", "", "folders of Cyrus SASL's configuration files; empty: sasl/ below ours, and the system's"),
	TEXT("daemon_directory", POSTRIDER_DAEMON_DIR, "where the daemons are"),
	TEXT("data_directory", "/var/lib/postrider", "lock, caches"),
	TEXT("default_database_type", "hash", "type of tables given without one"),
	TEXT("default_delivery_status_filter", "", "tables that replace status and text of a delivery"),
	INT("default_destination_concurrency_limit", "20", 0, 100000, "parallel deliveries to a destination"),
	TIME("default_destination_rate_delay", "0s", 's', "pause between deliveries to a destination"),
	INT("default_destination_recipient_limit", "50", 0, 100000, "recipients a delivery"),
	TEXT("default_filter_nexthop", "", "next hop of a filter without one; empty: the recipient's domain"),
	TEXT("default_privs", "nobody", "whose rights commands and files of root's aliases get"),
	INT("default_process_limit", "100", 1, 100000, "processes a service"),
	TEXT("default_transport", "smtp", "transport of foreign domains"),
	INT("deliver_lock_attempts", "20", 1, 0, "attempts to lock a mailbox"),
	TIME("deliver_lock_delay", "1s", 's', "pause between attempts to lock a mailbox"),
	BOOL("disable_vrfy_command", "no", "refuse VRFY"),
	TEXT("double_bounce_sender", "double-bounce", "sender of notices about notices"),
	INT("duplicate_filter_limit", "1000", 0, 0, "addresses remembered while aliases are expanded"),
	TEXT("empty_address_default_transport_maps_lookup_key", "<>", "key of the null sender"),
	TEXT("empty_address_recipient", "MAILER-DAEMON", "who gets mail for the null address"),
	TEXT("empty_address_relayhost_maps_lookup_key", "<>", "key of the null sender"),
	BOOL("enable_original_recipient", "yes", "keep the address before aliases"),
	TEXT("error_notice_recipient", "postmaster", "who is told of errors"),
	TEXT("execution_directory_expansion_filter", "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
	     "characters that $names of command_execution_directory may give; others become _"),
	BOOL("expand_owner_alias", "no", "the sender becomes what owner-ALIAS stands for, not owner-ALIAS itself"),
	TEXT("export_environment", "TZ MAIL_CONFIG LANG", "environment of commands: names, or name=value"),
	TEXT("fallback_transport", "", "transport of names that are neither alias nor user"),
	TEXT("fallback_transport_maps", "", "the same, by name"),
	TEXT("forward_expansion_filter", "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
	     "characters that $names of forward_path may give; others become _"),
	RAW("forward_path", "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
	    "where a user's .forward file is looked for"),
	BOOL("frozen_delivered_to", "yes", "Delivered-To keeps the first address while aliases are expanded"),
	INT("header_address_token_limit", "10240", 1, 0, "words and signs of the addresses of a header field"),
	INT("header_size_limit", "102400", 1, 0, "bytes of a message header"),
	TEXT("home_mailbox", "", "mailbox below the home directory; ending in / it is a Maildir"),
	INT("hopcount_limit", "50", 1, 100000, "Received fields before a message counts as looping"),
	TEXT("inet_interfaces", "all", "addresses that mail is received on"),
	TEXT("inet_protocols", "all", "ipv4, ipv6 or both"),
	INT("initial_destination_concurrency", "5", 1, 100000, "parallel deliveries to a new destination"),
	INT("line_length_limit", "2048", 512, 65000, "bytes of a command line"),
	TIME("lmtp_connect_timeout", "0s", 's', "time to connect (0: the system's)"),
	TIME("lmtp_connection_cache_time_limit", "2s", 's', "how long an idle connection is kept"),
	TIME("lmtp_data_done_timeout", "600s", 's', "wait for the answer to the end of data"),
	TIME("lmtp_data_init_timeout", "120s", 's', "wait for the answer to DATA"),
	TIME("lmtp_data_xfer_timeout", "180s", 's', "wait while sending data"),
	INT("lmtp_destination_concurrency_limit", "$default_destination_concurrency_limit", 0, 100000, "as default_…"),
	INT("lmtp_destination_recipient_limit", "$default_destination_recipient_limit", 0, 100000, "as default_…"),
	BOOL("lmtp_enforce_tls", "no", "old name of lmtp_tls_security_level = encrypt"),
	TEXT("lmtp_generic_maps", "", "the same for LMTP"),
	TIME("lmtp_helo_timeout", "300s", 's', "wait for greeting and LHLO"),
	TEXT("lmtp_host_lookup", "dns", "how host names are looked up"),
	INT("lmtp_line_length_limit", "998", 0, 1000000, "longer lines are folded"),
	TIME("lmtp_mail_timeout", "300s", 's', "wait for the answer to MAIL"),
	TIME("lmtp_quit_timeout", "300s", 's', "wait for the answer to QUIT"),
	TIME("lmtp_rcpt_timeout", "300s", 's', "wait for the answer to RCPT"),
	TIME("lmtp_rset_timeout", "20s", 's', "wait for the answer to RSET"),
	TEXT("lmtp_sasl_auth_cache_name", "", "table of log-ins that failed"),
	TIME("lmtp_sasl_auth_cache_time", "90d", 'd', "how long a failed log-in is not tried again"),
	BOOL("lmtp_sasl_auth_enable", "no", "log in at LMTP servers"),
	BOOL("lmtp_sasl_auth_soft_bounce", "yes", "a refused log-in defers instead of bouncing"),
	TEXT("lmtp_sasl_mechanism_filter", "", "mechanisms that may be used"),
	TEXT("lmtp_sasl_password_maps", "", "user:password by server or next hop"),
	TEXT("lmtp_sasl_path", "", "accepted"),
	TEXT("lmtp_sasl_security_options", "noplaintext, noanonymous", "what a mechanism must not be"),
	TEXT("lmtp_sasl_tls_security_options", "$lmtp_sasl_security_options", "the same, over TLS"),
	TEXT("lmtp_sasl_tls_verified_security_options", "$lmtp_sasl_tls_security_options", "the same, over TLS with a verified certificate"),
	TEXT("lmtp_sasl_type", "cyrus", "accepted: the mechanisms are Postrider's own"),
	BOOL("lmtp_sender_dependent_authentication", "no", "the password is the sender's"),
	TIME("lmtp_starttls_timeout", "300s", 's', "for STARTTLS and the handshake"),
	INT("lmtp_tcp_port", "24", 1, 65535, "port without one in the next hop"),
	TEXT("lmtp_tls_CAfile", "", "authorities that sign servers' certificates"),
	TEXT("lmtp_tls_CApath", "", "folder of authorities that sign servers' certificates"),
	BOOL("lmtp_tls_block_early_mail_reply", "no", "look for replies to mail commands that came before TLS"),
	TEXT("lmtp_tls_cert_file", "", "certificate chain of the client (RSA)"),
	TEXT("lmtp_tls_chain_files", "", "keys and certificate chains of the client, each file the key first"),
	TEXT("lmtp_tls_ciphers", "medium", "cipher grade where TLS is optional"),
	BOOL("lmtp_tls_connection_reuse", "no", "keep encrypted connections for further messages"),
	TEXT("lmtp_tls_dane_insecure_mx_policy", "dane", "level of exchangers found by MX records that are not signed"),
	TEXT("lmtp_tls_eccert_file", "", "certificate chain of the client (ECDSA)"),
	TEXT("lmtp_tls_eckey_file", "$lmtp_tls_eccert_file", "its private key"),
	BOOL("lmtp_tls_enforce_peername", "yes", "with smtp_enforce_tls: the certificate must have the server's name"),
	TEXT("lmtp_tls_exclude_ciphers", "", "ciphers left out"),
	TEXT("lmtp_tls_fingerprint_cert_match", "", "fingerprints that servers must have at level fingerprint"),
	TEXT("lmtp_tls_fingerprint_digest", "sha256", "digest of fingerprints"),
	BOOL("lmtp_tls_force_insecure_host_tlsa_lookup", "no", "ask for TLSA records also where the address is not signed"),
	TEXT("lmtp_tls_key_file", "$lmtp_tls_cert_file", "private key (RSA)"),
	INT("lmtp_tls_loglevel", "0", 0, 4, "1: a line a handshake"),
	TEXT("lmtp_tls_mandatory_ciphers", "medium", "cipher grade where TLS is required"),
	TEXT("lmtp_tls_mandatory_exclude_ciphers", "$lmtp_tls_exclude_ciphers", "ciphers left out where TLS is required"),
	TEXT("lmtp_tls_mandatory_protocols", ">=TLSv1.2", "protocols where TLS is required"),
	BOOL("lmtp_tls_note_starttls_offer", "no", "log servers that offer STARTTLS that we do not use"),
	TEXT("lmtp_tls_policy_maps", "", "tables of levels and their settings by next hop"),
	TEXT("lmtp_tls_protocols", ">=TLSv1.2", "protocols where TLS is optional"),
	INT("lmtp_tls_scert_verifydepth", "9", 0, 100, "certificates in a server's chain"),
	TEXT("lmtp_tls_secure_cert_match", "nexthop, dot-nexthop", "names of servers at level secure"),
	TEXT("lmtp_tls_security_level", "", "none, may, encrypt, dane, dane-only, fingerprint, verify or secure"),
	TEXT("lmtp_tls_servername", "", "name asked for in the handshake: hostname, nexthop or a name"),
	TIME("lmtp_tls_session_cache_timeout", "3600s", 's', "how long a session may be taken up again"),
	TEXT("lmtp_tls_verify_cert_match", "hostname", "names of servers at level verify"),
	BOOL("lmtp_tls_wrappermode", "no", "TLS from the first byte on"),
	BOOL("lmtp_use_tls", "no", "old name of lmtp_tls_security_level = may"),
	TEXT("local_command_shell", "", "program that runs the commands of local delivery"),
	TEXT("local_delivery_status_filter", "$default_delivery_status_filter", "as default_delivery_status_filter"),
	INT("local_destination_concurrency_limit", "2", 0, 100000, "parallel deliveries to a local user"),
	INT("local_destination_recipient_limit", "1", 0, 100000, "recipients a local delivery"),
	TEXT("local_mailbox_root", "", "own: mailboxes below this folder, one a user, instead of the home directories"),
	TEXT("local_recipient_maps", "proxy:unix:passwd.byname $alias_maps", "who exists here; empty: anybody"),
	TEXT("local_transport", "local:$myhostname", "transport of mydestination"),
	RAW("luser_relay", "", "address for names that nobody has; $user, $local … are expanded"),
	TEXT("mail_name", "Postrider", "name in greeting and Received"),
	TEXT("mail_owner", "postrider", "owner of the queue"),
	TEXT("mail_spool_directory", "/var/mail", "mailboxes without home_mailbox"),
	TEXT("mail_version", "0.1", "version"),
	RAW("mailbox_command", "", "command that takes the mail of users"),
	TEXT("mailbox_command_maps", "", "the same, by user"),
	TEXT("mailbox_delivery_lock", "fcntl, dotlock", "how an mbox is locked: fcntl, flock, dotlock"),
	INT("mailbox_size_limit", "51200000", 0, 0, "bytes of an mbox (0: no limit)"),
	TEXT("mailbox_transport", "", "transport of all mailboxes"),
	TEXT("mailbox_transport_maps", "", "the same, by user"),
	TEXT("maillog_file", "", "log file instead of syslog; /dev/stdout for containers"),
	TEXT("masquerade_classes", "envelope_sender, header_sender, header_recipient",
	     "addresses that masquerade_domains changes"),
	TEXT("masquerade_domains", "", "domains that hide the hosts below them"),
	TEXT("masquerade_exceptions", "", "users whose addresses stay as they are"),
	INT("max_idle", "100", 1, 0, "seconds an idle process stays"),
	INT("max_use", "100", 1, 0, "accepted; processes are replaced on reload"),
	TIME("maximal_backoff_time", "4000s", 's', "longest pause between attempts"),
	TIME("maximal_queue_lifetime", "5d", 'd', "how long a message is tried"),
	TEXT("message_drop_headers", "bcc, content-length, resent-bcc, return-path",
	     "header fields that are removed"),
	INT("message_size_limit", "10240000", 0, 0, "bytes of a message (0: no limit)"),
	TIME("minimal_backoff_time", "300s", 's', "shortest pause between attempts"),
	TEXT("mydestination", "$myhostname, localhost.$mydomain, localhost", "domains delivered here"),
	TEXT("mydomain", NULL, "domain of this host"),
	TEXT("myhostname", NULL, "name of this host"),
	TEXT("mynetworks", "", "clients that may relay; empty: by mynetworks_style"),
	TEXT("mynetworks_style", "host", "host, subnet or class"),
	TEXT("myorigin", "$myhostname", "domain of addresses without one"),
	TEXT("notify_classes", "resource, software", "what the postmaster is told"),
	BOOL("owner_request_special", "yes", "owner-NAME and NAME-request are list addresses"),
	TEXT("parent_domain_matches_subdomains",
	     "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,"
	     "relay_domains,smtpd_access_maps", "lists in which a domain stands for its subdomains"),
	TEXT("pipe_delivery_status_filter", "$default_delivery_status_filter", "as default_delivery_status_filter"),
	TEXT("prepend_delivered_header", "command, file, forward", "where a Delivered-To field is put first"),
	TEXT("propagate_unmatched_extensions", "canonical, virtual", "which lookups carry an address extension over"),
	TEXT("proxy_interfaces", "", "addresses of this host beyond a proxy or address translation"),
	TEXT("proxy_read_maps",
	     "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains "
	     "$virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains "
	     "$canonical_maps $sender_canonical_maps $recipient_canonical_maps $relocated_maps "
	     "$transport_maps $mynetworks $smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps "
	     "$smtp_generic_maps $lmtp_generic_maps $alias_maps $smtpd_client_restrictions "
	     "$smtpd_helo_restrictions $smtpd_sender_restrictions $smtpd_relay_restrictions "
	     "$smtpd_recipient_restrictions $address_verify_sender_dependent_default_transport_maps "
	     "$address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps "
	     "$fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps "
	     "$lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps "
	     "$postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps "
	     "$sender_dependent_default_transport_maps $sender_dependent_relayhost_maps "
	     "$smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps "
	     "$smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps "
	     "$virtual_gid_maps $virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps "
	     "$smtpd_reject_footer_maps $tls_server_sni_maps $tlsproxy_client_policy_maps "
	     "$default_delivery_status_filter $lmtp_delivery_status_filter $lmtp_dns_reply_filter "
	     "$lmtp_reply_filter $local_delivery_status_filter $pipe_delivery_status_filter "
	     "$postscreen_command_filter $smtp_delivery_status_filter $smtp_dns_reply_filter "
	     "$smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter "
	     "$virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks "
	     "$lmtp_header_checks $lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks "
	     "$mime_header_checks $nested_header_checks $smtp_body_checks $smtp_header_checks "
	     "$smtp_mime_header_checks $smtp_nested_header_checks",
	     "tables that may be asked for with proxy: in front; without it any that the configuration names"),
	TEXT("proxy_write_maps", "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map",
	     "caches that may be opened for writing with proxy: in front"),
	INT("qmgr_message_active_limit", "20000", 1, 0, "messages in full in memory"),
	TEXT("queue_directory", "/var/spool/postrider", "the queue"),
	INT("queue_minfree", "0", 0, 0, "free bytes below which no mail is accepted"),
	TIME("queue_run_delay", "300s", 's', "how often leftovers are looked for"),
	TEXT("receive_override_options", "",
	     "no_unknown_recipient_checks, no_address_mappings, no_header_body_checks, no_milters"),
	TEXT("recipient_bcc_maps", "", "who gets copies, by recipient"),
	TEXT("recipient_canonical_classes", "envelope_recipient, header_recipient",
	     "addresses that recipient_canonical_maps changes"),
	TEXT("recipient_canonical_maps", "", "other names of recipients"),
	TEXT("recipient_delimiter", "", "characters that separate user and extension"),
	TEXT("relay_domains", "", "domains that we relay for"),
	TEXT("relay_recipient_maps", "", "who exists in relay_domains; empty: anybody"),
	TEXT("relay_transport", "relay", "transport of relay_domains"),
	TEXT("relayhost", "", "next hop of foreign mail"),
	TEXT("relocated_maps", "", "who has moved, and where to"),
	TEXT("remote_header_rewrite_domain", "",
	     "completes header addresses of other hosts' mail; empty: they stay as they are"),
	BOOL("require_home_directory", "no", "the home directory must be there before a delivery"),
	BOOL("reset_owner_alias", "no", "an alias without owner- in one that has it is expanded at once"),
	BOOL("resolve_dequoted_address", "yes", "look for @ % ! also inside a quoted local part"),
	BOOL("resolve_null_domain", "no", "user@ is user@$myhostname"),
	BOOL("resolve_numeric_domain", "no", "user@1.2.3.4 is user@[1.2.3.4]"),
	INT("resolver_cache_size", "67108864", 65536, 0, "own: bytes of cached answers"),
	TIME("resolver_max_ttl", "1d", 's', "own: longest time an answer is kept"),
	TIME("resolver_min_ttl", "5s", 's', "own: shortest time an answer is kept"),
	TEXT("resolver_nameservers", "", "own: ADDR[:PORT] … instead of resolv.conf"),
	TIME("resolver_stale_time", "1d", 's', "own: how long old answers serve while servers are down"),
	BOOL("send_cyrus_sasl_authzid", "no", "name the user twice when logging in elsewhere"),
	TEXT("sender_bcc_maps", "", "who gets copies, by sender"),
	TEXT("sender_canonical_classes", "envelope_sender, header_sender",
	     "addresses that sender_canonical_maps changes"),
	TEXT("sender_canonical_maps", "", "other names of senders"),
	TEXT("sender_dependent_default_transport_maps", "", "default_transport by sender"),
	TEXT("sender_dependent_relayhost_maps", "", "relayhost by sender"),
	TEXT("setgid_group", "postdrop", "group of the maildrop"),
	BOOL("show_user_unknown_table_name", "yes", "\"User unknown\" names the table"),
	TEXT("smtp_address_preference", "any", "any, ipv4 or ipv6 first"),
	TEXT("smtp_bind_address", "", "local IPv4 address of outgoing connections"),
	TEXT("smtp_bind_address6", "", "local IPv6 address of outgoing connections"),
	TIME("smtp_connect_timeout", "30s", 's', "time to connect"),
	TIME("smtp_connection_cache_time_limit", "2s", 's', "how long an idle connection is kept"),
	INT("smtp_connection_reuse_count_limit", "0", 0, 0, "messages a connection (0: no limit)"),
	TIME("smtp_data_done_timeout", "600s", 's', "wait for the answer to the end of data"),
	TIME("smtp_data_init_timeout", "120s", 's', "wait for the answer to DATA"),
	TIME("smtp_data_xfer_timeout", "180s", 's', "wait while sending data"),
	INT("smtp_destination_concurrency_limit", "$default_destination_concurrency_limit", 0, 100000, "as default_…"),
	INT("smtp_destination_recipient_limit", "$default_destination_recipient_limit", 0, 100000, "as default_…"),
	BOOL("smtp_enforce_tls", "no", "old name of smtp_tls_security_level = encrypt"),
	TEXT("smtp_generic_maps", "", "addresses of outgoing mail, in envelope and header"),
	TEXT("smtp_helo_name", "$myhostname", "name in EHLO"),
	TIME("smtp_helo_timeout", "300s", 's', "wait for greeting and EHLO"),
	TEXT("smtp_host_lookup", "dns", "how host names are looked up"),
	INT("smtp_line_length_limit", "998", 0, 1000000, "longer lines are folded"),
	TIME("smtp_mail_timeout", "300s", 's', "wait for the answer to MAIL"),
	INT("smtp_mx_address_limit", "5", 0, 1000, "addresses tried for a delivery"),
	INT("smtp_mx_session_limit", "2", 0, 1000, "sessions tried for a delivery"),
	TIME("smtp_quit_timeout", "300s", 's', "wait for the answer to QUIT"),
	TIME("smtp_rcpt_timeout", "300s", 's', "wait for the answer to RCPT"),
	TIME("smtp_rset_timeout", "20s", 's', "wait for the answer to RSET"),
	TEXT("smtp_sasl_auth_cache_name", "", "table of log-ins that failed"),
	TIME("smtp_sasl_auth_cache_time", "90d", 'd', "how long a failed log-in is not tried again"),
	BOOL("smtp_sasl_auth_enable", "no", "log in at servers"),
	BOOL("smtp_sasl_auth_soft_bounce", "yes", "a refused log-in defers instead of bouncing"),
	TEXT("smtp_sasl_mechanism_filter", "", "mechanisms that may be used"),
	TEXT("smtp_sasl_password_maps", "", "user:password by server or next hop"),
	TEXT("smtp_sasl_path", "", "accepted"),
	TEXT("smtp_sasl_security_options", "noplaintext, noanonymous", "what a mechanism must not be"),
	TEXT("smtp_sasl_tls_security_options", "$smtp_sasl_security_options", "the same, over TLS"),
	TEXT("smtp_sasl_tls_verified_security_options", "$smtp_sasl_tls_security_options", "the same, over TLS with a verified certificate"),
	TEXT("smtp_sasl_type", "cyrus", "accepted: the mechanisms are Postrider's own"),
	BOOL("smtp_sender_dependent_authentication", "no", "the password is the sender's"),
	INT("smtp_sessions_per_process", "500", 1, 100000, "own: deliveries a process at a time"),
	BOOL("smtp_skip_5xx_greeting", "yes", "a 5xx greeting means: try the next server"),
	TIME("smtp_starttls_timeout", "300s", 's', "for STARTTLS and the handshake"),
	INT("smtp_tcp_port", "25", 1, 65535, "port without one in the next hop"),
	TEXT("smtp_tls_CAfile", "", "authorities that sign servers' certificates"),
	TEXT("smtp_tls_CApath", "", "folder of authorities that sign servers' certificates"),
	BOOL("smtp_tls_block_early_mail_reply", "no", "look for replies to mail commands that came before TLS"),
	TEXT("smtp_tls_cert_file", "", "certificate chain of the client (RSA)"),
	TEXT("smtp_tls_chain_files", "", "keys and certificate chains of the client, each file the key first"),
	TEXT("smtp_tls_ciphers", "medium", "cipher grade where TLS is optional"),
	BOOL("smtp_tls_connection_reuse", "no", "keep encrypted connections for further messages"),
	TEXT("smtp_tls_dane_insecure_mx_policy", "dane", "level of exchangers found by MX records that are not signed"),
	TEXT("smtp_tls_eccert_file", "", "certificate chain of the client (ECDSA)"),
	TEXT("smtp_tls_eckey_file", "$smtp_tls_eccert_file", "its private key"),
	BOOL("smtp_tls_enforce_peername", "yes", "with smtp_enforce_tls: the certificate must have the server's name"),
	TEXT("smtp_tls_exclude_ciphers", "", "ciphers left out"),
	TEXT("smtp_tls_fingerprint_cert_match", "", "fingerprints that servers must have at level fingerprint"),
	TEXT("smtp_tls_fingerprint_digest", "sha256", "digest of fingerprints"),
	BOOL("smtp_tls_force_insecure_host_tlsa_lookup", "no", "ask for TLSA records also where the address is not signed"),
	TEXT("smtp_tls_key_file", "$smtp_tls_cert_file", "private key (RSA)"),
	INT("smtp_tls_loglevel", "0", 0, 4, "1: a line a handshake"),
	TEXT("smtp_tls_mandatory_ciphers", "medium", "cipher grade where TLS is required"),
	TEXT("smtp_tls_mandatory_exclude_ciphers", "$smtp_tls_exclude_ciphers", "ciphers left out where TLS is required"),
	TEXT("smtp_tls_mandatory_protocols", ">=TLSv1.2", "protocols where TLS is required"),
	BOOL("smtp_tls_note_starttls_offer", "no", "log servers that offer STARTTLS that we do not use"),
	TEXT("smtp_tls_policy_maps", "", "tables of levels and their settings by next hop"),
	TEXT("smtp_tls_protocols", ">=TLSv1.2", "protocols where TLS is optional"),
	INT("smtp_tls_scert_verifydepth", "9", 0, 100, "certificates in a server's chain"),
	TEXT("smtp_tls_secure_cert_match", "nexthop, dot-nexthop", "names of servers at level secure"),
	TEXT("smtp_tls_security_level", "", "none, may, encrypt, dane, dane-only, fingerprint, verify or secure"),
	TEXT("smtp_tls_servername", "", "name asked for in the handshake: hostname, nexthop or a name"),
	TIME("smtp_tls_session_cache_timeout", "3600s", 's', "how long a session may be taken up again"),
	TEXT("smtp_tls_verify_cert_match", "hostname", "names of servers at level verify"),
	BOOL("smtp_tls_wrappermode", "no", "TLS from the first byte on"),
	BOOL("smtp_use_tls", "no", "old name of smtp_tls_security_level = may"),
	TEXT("smtpd_banner", "$myhostname ESMTP $mail_name", "greeting"),
	TEXT("smtpd_client_restrictions", "", "restrictions on the client"),
	TEXT("smtpd_data_restrictions", "", "restrictions at DATA"),
	BOOL("smtpd_delay_reject", "yes", "wait till RCPT before rejecting"),
	TEXT("smtpd_discard_ehlo_keywords", "", "EHLO keywords that are not announced"),
	TEXT("smtpd_end_of_data_restrictions", "", "restrictions at the end of data"),
	BOOL("smtpd_enforce_tls", "no", "old name of smtpd_tls_security_level = encrypt"),
	TIME("smtpd_error_sleep_time", "1s", 's', "pause after an error beyond the soft limit"),
	TEXT("smtpd_forbid_bare_newline", "normalize", "lines that end in LF alone: no, yes, normalize, reject, note"),
	TEXT("smtpd_forbid_bare_newline_exclusions", "$mynetworks", "clients for whom it is no"),
	BOOL("smtpd_forbid_unauth_pipelining", "yes", "refuse input before its turn"),
	TEXT("smtpd_forbidden_commands", "CONNECT GET POST", "commands that end the session; so does one that starts with no letter"),
	INT("smtpd_hard_error_limit", "20", 1, 0, "errors before the connection ends"),
	BOOL("smtpd_helo_required", "no", "HELO or EHLO before MAIL"),
	TEXT("smtpd_helo_restrictions", "", "restrictions on HELO"),
	INT("smtpd_history_flush_threshold", "100", 1, 0, "accepted"),
	INT("smtpd_junk_command_limit", "100", 1, 0, "NOOP, RSET … before they count as errors"),
	BOOL("smtpd_peername_lookup", "yes", "look the client's name up"),
	INT("smtpd_recipient_limit", "1000", 1, 0, "recipients a message"),
	INT("smtpd_recipient_overshoot_limit", "1000", 1, 0, "recipients beyond that before they count as errors"),
	TEXT("smtpd_recipient_restrictions", "", "restrictions on the recipient"),
	BOOL("smtpd_reject_unlisted_recipient", "yes", "refuse unknown recipients"),
	TEXT("smtpd_relay_restrictions", "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
	     "who may send where"),
	BOOL("smtpd_sasl_auth_enable", "no", "clients may log in"),
	BOOL("smtpd_sasl_authenticated_header", "no", "say in Received who logged in"),
	TEXT("smtpd_sasl_exceptions_networks", "", "clients that are not offered AUTH"),
	TEXT("smtpd_sasl_local_domain", "", "domain of log-ins without one"),
	TEXT("smtpd_sasl_mechanism_filter", "!external, static:rest", "mechanisms that may be announced"),
	TEXT("smtpd_sasl_message_rate_limit", "1000", "own: messages a login may send in smtpd_sasl_rate_time_unit (0: no limit), and tables of exceptions"),
	TEXT("smtpd_sasl_password_maps", "", "own: tables of users and hashed passwords"),
	TEXT("smtpd_sasl_password_mechanisms", "plain, login", "own: mechanisms of these: PLAIN, LOGIN, SCRAM-SHA-256"),
	TEXT("smtpd_sasl_path", "smtpd", "socket of Dovecot's auth server, or name of Cyrus SASL's configuration"),
	TIME("smtpd_sasl_rate_time_unit", "1h", 'h', "own: time over which a login's messages and recipients are counted"),
	TEXT("smtpd_sasl_recipient_rate_limit", "5000", "own: recipients a login may send to, as above"),
	INT("smtpd_sasl_response_limit", "12288", 12288, 65535, "bytes of a client's response"),
	TEXT("smtpd_sasl_security_options", "noanonymous", "what a mechanism must not be"),
	TEXT("smtpd_sasl_service", "smtp", "service name for the backend"),
	TEXT("smtpd_sasl_tls_security_options", "$smtpd_sasl_security_options", "the same, over TLS"),
	TEXT("smtpd_sasl_type", "${smtpd_sasl_password_maps?{table}:{cyrus}}", "table, dovecot or cyrus"),
	TEXT("smtpd_sender_restrictions", "", "restrictions on the sender"),
	INT("smtpd_session_limit", "10000", 1, 0, "own: sessions a process"),
	INT("smtpd_soft_error_limit", "10", 1, 0, "errors before answers slow down"),
	TIME("smtpd_starttls_timeout", "${stress?{10}:{300}}s", 's', "time for a handshake"),
	TIME("smtpd_timeout", "${stress?{10}:{300}}s", 's', "wait for a command"),
	TEXT("smtpd_tls_CAfile", "", "authorities of client certificates"),
	TEXT("smtpd_tls_CApath", "", "folder of authorities of client certificates"),
	BOOL("smtpd_tls_ask_ccert", "no", "ask clients for a certificate"),
	BOOL("smtpd_tls_auth_only", "no", "no AUTH without TLS"),
	INT("smtpd_tls_ccert_verifydepth", "9", 0, 100, "certificates in a client's chain"),
	TEXT("smtpd_tls_cert_file", "", "certificate chain (RSA)"),
	TEXT("smtpd_tls_chain_files", "", "keys and certificate chains, each file the key first"),
	TEXT("smtpd_tls_ciphers", "medium", "cipher grade where TLS is optional"),
	TEXT("smtpd_tls_eccert_file", "", "certificate chain (ECDSA)"),
	TEXT("smtpd_tls_eckey_file", "$smtpd_tls_eccert_file", "its private key"),
	TEXT("smtpd_tls_exclude_ciphers", "", "ciphers left out"),
	TEXT("smtpd_tls_fingerprint_digest", "sha256", "digest of client certificates' fingerprints"),
	TEXT("smtpd_tls_key_file", "$smtpd_tls_cert_file", "private key (RSA)"),
	BOOL("smtpd_tls_key_isolation", "yes", "own: private keys stay in tlsmgr"),
	INT("smtpd_tls_loglevel", "0", 0, 4, "1: a line a handshake"),
	TEXT("smtpd_tls_mandatory_ciphers", "medium", "cipher grade where TLS is required"),
	TEXT("smtpd_tls_mandatory_exclude_ciphers", "$smtpd_tls_exclude_ciphers", "ciphers left out where TLS is required"),
	TEXT("smtpd_tls_mandatory_protocols", ">=TLSv1.2", "protocols where TLS is required"),
	TEXT("smtpd_tls_protocols", ">=TLSv1.2", "protocols where TLS is optional"),
	BOOL("smtpd_tls_received_header", "no", "say in Received how the session was encrypted"),
	BOOL("smtpd_tls_req_ccert", "no", "require a client certificate"),
	TEXT("smtpd_tls_security_level", "", "none, may or encrypt; empty: by smtpd_use_tls and smtpd_enforce_tls"),
	TIME("smtpd_tls_session_cache_timeout", "3600s", 's', "how long a session ticket is good"),
	BOOL("smtpd_tls_wrappermode", "no", "TLS from the first byte on"),
	BOOL("smtpd_use_tls", "no", "old name of smtpd_tls_security_level = may"),
	BOOL("smtputf8_enable", "yes", "international addresses"),
	BOOL("soft_bounce", "no", "answer 4xx instead of 5xx"),
	TIME("stale_lock_time", "500s", 's', "age at which somebody's mailbox.lock is removed"),
	BOOL("strict_mailbox_ownership", "yes", "an mbox must belong to its recipient"),
	BOOL("strict_rfc821_envelopes", "no", "addresses in MAIL and RCPT need their brackets"),
	BOOL("swap_bangpath", "yes", "rewrite site!user to user@site"),
	TEXT("syslog_facility", "mail", "facility of syslog"),
	TEXT("syslog_name", "postfix", "first word of log lines"),
	BOOL("tls_append_default_CA", "no", "trust the authorities of the system too"),
	TEXT("tls_eecdh_auto_curves", "X25519 X448 prime256v1 secp521r1 secp384r1", "groups of the key exchange, the preferred first"),
	TEXT("tls_high_cipherlist", "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL", "grade high"),
	TEXT("tls_medium_cipherlist", "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:!aNULL", "grade medium"),
	TEXT("tls_null_cipherlist", "eNULL:!aNULL", "grade null: no encryption"),
	BOOL("tls_preempt_cipherlist", "no", "the server's order of ciphers counts"),
	TEXT("tls_server_sni_maps", "", "tables of keys and chains by the name asked for"),
	TEXT("transport_maps", "", "transports by recipient"),
	TEXT("undisclosed_recipients_header", "", "header field for mail without To, Cc or Bcc"),
	INT("unknown_local_recipient_reject_code", "550", 400, 599, "reply for an unknown recipient"),
	INT("virtual_alias_address_length_limit", "1000", 1, 0, "longest address that an alias may give"),
	TEXT("virtual_alias_domains", "$virtual_alias_maps", "domains of aliases only"),
	INT("virtual_alias_expansion_limit", "1000", 1, 0, "addresses that a recipient may expand to"),
	TEXT("virtual_alias_maps", "", "aliases of any address"),
	INT("virtual_alias_recursion_limit", "1000", 1, 0, "aliases one behind the other"),
	TEXT("virtual_delivery_status_filter", "$default_delivery_status_filter", "as default_delivery_status_filter"),
	TEXT("virtual_gid_maps", "", "group of a virtual mailbox, by address"),
	TEXT("virtual_mailbox_base", "", "what stands before each path of virtual_mailbox_maps"),
	TEXT("virtual_mailbox_domains", "$virtual_mailbox_maps", "domains of mailboxes without Unix users"),
	INT("virtual_mailbox_limit", "51200000", 0, 0, "bytes of a virtual mailbox or Maildir file (0: no limit)"),
	TEXT("virtual_mailbox_lock", "fcntl, dotlock", "how a virtual mbox is locked: fcntl, flock, dotlock"),
	TEXT("virtual_mailbox_maps", "", "mailboxes without Unix users"),
	INT("virtual_minimum_uid", "100", 1, 0, "smallest user ID of a virtual mailbox"),
	TEXT("virtual_transport", "virtual", "transport of virtual_mailbox_domains"),
	TEXT("virtual_uid_maps", "", "owner of a virtual mailbox, by address"),
};

size_t param_count(void)
{
	return sizeof(rows) / sizeof(rows[0]);
}

const struct param *param_at(size_t index)
{
	return &rows[index];
}

const struct param *param_find(struct slice name)
{
	size_t low = 0, high = param_count();

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = slice_compare(name, slice_of(rows[middle].name));

		if (order == 0)
			return &rows[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static double unit_seconds(char unit)
{
	switch (unit) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	default:
		return 0;
	}
}

bool param_parse_time(struct slice text, char unit, double *seconds)
{
	uint64_t number;

	text = slice_trim(text);
	if (text.len > 0 && unit_seconds(text.ptr[text.len - 1]) > 0) {
		unit = text.ptr[text.len - 1];
		text = slice_sub(text, 0, text.len - 1);
	}
	if (!slice_to_u64(text, &number) || number > 1000000000)
		return false;
	*seconds = (double)number * unit_seconds(unit);
	return true;
}

bool param_parse_bool(struct slice text, bool *value)
{
	*value = slice_eq_nocase(text, SLICE("yes"));
	return *value || slice_eq_nocase(text, SLICE("no"));
}
