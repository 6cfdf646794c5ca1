/* SPDX-License-Identifier: ISC */
/* Handshakes of our client with our server over a socket pair: levels, names, DANE, sessions. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/base/task.h"
#include "common/tls/client.h"
#include "common/tls/server.h"

static struct {
	char folder[64];
	EVP_PKEY *authority_key;
	X509 *authority;
	struct config *config;
	struct tls_server *server;
	struct tls_client *client;
} world;

/* --- certificates --- */

static X509 *make_certificate(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key, bool authority)
{
	static int serial = 1;
	X509 *x = X509_new();
	X509V3_CTX context;
	char alt[100];

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : X509_get_subject_name(x));
	X509V3_set_ctx(&context, issuer ? issuer : x, x, NULL, NULL, 0);
	snprintf(alt, sizeof(alt), "DNS:%s", name);
	X509_EXTENSION *e = authority ? X509V3_EXT_conf_nid(NULL, &context, NID_basic_constraints, "critical,CA:TRUE") :
					X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, alt);

	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
	assert_true(X509_sign(x, issuer_key, EVP_sha256()) > 0);
	return x;
}

static const char *in_folder(const char *name)
{
	static char path[4][128];
	static int turn;
	char *p = path[turn++ & 3];

	snprintf(p, sizeof(path[0]), "%s/%s", world.folder, name);
	return p;
}

static void write_pem(const char *name, EVP_PKEY *key, X509 *certificate)
{
	FILE *f = fopen(in_folder(name), "w");

	assert_non_null(f);
	if (key)
		assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(PEM_write_X509(f, certificate), 1);
	fclose(f);
}

static struct config *configure(const char *more)
{
	FILE *f = fopen(in_folder("main.cf"), "w");
	struct err err = { 0 };

	fprintf(f, "smtpd_tls_chain_files = %s\nsmtpd_tls_key_isolation = no\nsmtp_tls_CAfile = %s\n%s",
		in_folder("server.pem"), in_folder("authority.pem"), more);
	fclose(f);
	struct config *config = config_load(world.folder, NULL, 0, &err);

	if (!config)
		fail_msg("%s", err.text);
	return config;
}

static void start_world(const char *more)
{
	struct err err = { 0 };

	world.config = configure(more);
	world.server = tls_server_create(world.config, "smtp", false, &err);
	if (!world.server)
		fail_msg("%s", err.text);
	world.client = tls_client_create(world.config, "smtp_tls_", &err);
	if (!world.client)
		fail_msg("%s", err.text);
}

static void end_world(void)
{
	tls_client_free(&world.client);
	tls_server_free(&world.server);
	config_free(&world.config);
}

/* --- a conversation --- */

struct talk {
	struct tls_wish wish;
	const char *early;             /* plain text that the server's side sends before the handshake */
	int fds[2];
	bool accepted, connected, heard;
	size_t dropped;
	enum tls_peer_status status;
	struct tls_info server_info, client_info;
	struct err server_err, client_err;
};

static void serve(void *arg)
{
	struct talk *t = arg;
	struct stream *s = stream_of_fd(t->fds[0]);
	struct slice line;

	stream_set_timeout(s, 10);
	if (t->early) {
		stream_write(s, slice_of(t->early));
		stream_flush(s);
	}
	t->accepted = tls_server_accept(world.server, s, &t->server_info, &t->dropped, &t->server_err);
	if (t->accepted && stream_read_line(s, 1000, &line, NULL) == STREAM_OK) {
		stream_printf(s, "heard %.*s\r\n", SLICE_FMT(line));
		stream_flush(s);
	}
	stream_free(&s);
}

static void connect_to(void *arg)
{
	struct talk *t = arg;
	struct stream *s = stream_of_fd(t->fds[1]);
	struct slice line;

	stream_set_timeout(s, 10);
	if (t->early) { /* it is in the buffer when the handshake starts */
		stream_peek(s, &line);
	}
	t->connected = tls_client_connect(world.client, s, &t->wish, &t->status, &t->client_info, &t->client_err);
	if (t->connected) {
		stream_printf(s, "hello\r\n");
		t->heard = stream_read_line(s, 1000, &line, NULL) == STREAM_OK && slice_eq(line, SLICE("heard hello"));
	}
	stream_free(&s);
}

static void converse(struct talk *t)
{
	struct task_group group = { 0 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, t->fds), 0);
	task_spawn(&group, serve, t);
	task_spawn(&group, connect_to, t);
	task_group_run(&group);
	if (t->connected)
		assert_true(t->heard);
}

/* --- tests --- */

static void test_opportunistic(void **state)
{
	struct talk t = { .wish = { .level = TLS_MAY } };

	start_world("");
	converse(&t);
	assert_true(t.accepted && t.connected);
	assert_int_equal(t.status, TLS_TRUSTED);
	assert_string_equal(t.client_info.protocol, "TLSv1.3");
	assert_string_equal(t.client_info.peer_name, "mail.example.com");
	assert_false(t.client_info.resumed);
	assert_string_equal(t.server_info.server_signature, "ECDSA (P-256)");
	end_world();
	/* A stranger's certificate does not stop an opportunistic client. */
	start_world("smtp_tls_CAfile =\n");
	t = (struct talk){ .wish = { .level = TLS_MAY } };
	converse(&t);
	assert_true(t.connected);
	assert_int_equal(t.status, TLS_UNTRUSTED);
	end_world();
}

static void test_names(void **state)
{
	static const char *const right[] = { "other.example.net", "mail.example.com" };
	static const char *const below[] = { ".example.com" };
	static const char *const wrong[] = { "mail.example.org", "ail.example.com" };
	struct talk t = { .wish = { .level = TLS_VERIFY, .names = right, .name_count = 2 } };

	start_world("");
	converse(&t);
	assert_true(t.connected);
	assert_int_equal(t.status, TLS_VERIFIED);
	t = (struct talk){ .wish = { .level = TLS_SECURE, .names = below, .name_count = 1 } };
	converse(&t);
	assert_true(t.connected);
	t = (struct talk){ .wish = { .level = TLS_VERIFY, .names = wrong, .name_count = 2 } };
	converse(&t);
	assert_false(t.connected);
	assert_int_equal(t.status, TLS_TRUSTED);
	assert_string_equal(t.client_err.text, "Server certificate not verified");
	end_world();
	/* The right name on a certificate that nobody vouches for. */
	start_world("smtp_tls_CAfile =\n");
	t = (struct talk){ .wish = { .level = TLS_VERIFY, .names = right, .name_count = 2 } };
	converse(&t);
	assert_false(t.connected);
	assert_string_equal(t.client_err.text, "Server certificate not trusted");
	end_world();
}

static void test_fingerprints(void **state)
{
	struct talk t = { .wish = { .level = TLS_MAY } };
	char seen[200];
	const char *list[] = { "AA:BB", seen };

	start_world("smtp_tls_CAfile =\n");
	converse(&t);
	snprintf(seen, sizeof(seen), "%s", t.client_info.key_fingerprint);
	assert_int_equal(strlen(seen), 32 * 3 - 1);
	t = (struct talk){ .wish = { .level = TLS_FINGERPRINT, .fingerprints = list, .fingerprint_count = 2 } };
	converse(&t);
	assert_true(t.connected);
	assert_int_equal(t.status, TLS_VERIFIED);
	t = (struct talk){ .wish = { .level = TLS_FINGERPRINT, .fingerprints = list, .fingerprint_count = 1 } };
	converse(&t);
	assert_false(t.connected);
	end_world();
}

/* TLSA rdata: usage, selector, matching type, and the SHA-256 of the certificate's key or the whole. */
static struct slice tlsa(unsigned char *out, int usage, int selector, X509 *x, bool spoil)
{
	unsigned char *der = NULL;
	int len = selector == 1 ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der) : i2d_X509(x, &der);

	out[0] = (unsigned char)usage;
	out[1] = (unsigned char)selector;
	out[2] = 1;
	assert_int_equal(EVP_Digest(der, (size_t)len, out + 3, NULL, EVP_sha256(), NULL), 1);
	OPENSSL_free(der);
	if (spoil)
		out[3] ^= 1;
	return slice_make(out, 35);
}

static X509 *server_certificate(void)
{
	FILE *f = fopen(in_folder("server.pem"), "r");
	X509 *x = PEM_read_X509(f, NULL, NULL, NULL);

	fclose(f);
	return x;
}

static void test_dane(void **state)
{
	unsigned char buf[35];
	static const char *const other[] = { "unrelated.example" }, *const own[] = { "mail.example.com" };
	X509 *x = server_certificate();
	struct slice record = tlsa(buf, 3, 1, x, false);
	struct talk t = { .wish = { .level = TLS_DANE, .names = other, .name_count = 1, .tlsa = &record, .tlsa_count = 1 } };

	/* No authority is asked, and with usage 3 no name either. */
	start_world("smtp_tls_CAfile =\n");
	converse(&t);
	assert_true(t.connected);
	assert_int_equal(t.status, TLS_VERIFIED);
	record = tlsa(buf, 3, 1, x, true);
	t = (struct talk){ .wish = { .level = TLS_DANE, .names = own, .name_count = 1, .tlsa = &record, .tlsa_count = 1 } };
	converse(&t);
	assert_false(t.connected);
	/* Usage 2: the authority must be in the chain, and the name counts. */
	record = tlsa(buf, 2, 0, world.authority, false);
	t = (struct talk){ .wish = { .level = TLS_DANE, .names = own, .name_count = 1, .tlsa = &record, .tlsa_count = 1 } };
	converse(&t);
	assert_true(t.connected);
	t = (struct talk){ .wish = { .level = TLS_DANE, .names = other, .name_count = 1, .tlsa = &record, .tlsa_count = 1 } };
	converse(&t);
	assert_false(t.connected);
	end_world();
	X509_free(x);
}

static void test_usable_records(void **state)
{
	unsigned char buf[67] = { 3, 1, 1 };

	assert_true(tls_tlsa_usable(slice_make(buf, 35)));
	assert_false(tls_tlsa_usable(slice_make(buf, 34)));
	buf[2] = 2;
	assert_true(tls_tlsa_usable(slice_make(buf, 67)));
	buf[0] = 1;
	assert_false(tls_tlsa_usable(slice_make(buf, 67)));
	assert_false(tls_tlsa_usable(SLICE_NONE));
}

static void test_protocols(void **state)
{
	struct talk t = { .wish = { .level = TLS_ENCRYPT, .protocols = "<=TLSv1.2" } };

	start_world("smtpd_tls_protocols = >=TLSv1.3\n");
	converse(&t);
	assert_false(t.connected || t.accepted);
	t = (struct talk){ .wish = { .level = TLS_ENCRYPT, .protocols = "nonsense" } };
	converse(&t);
	assert_false(t.connected);
	end_world();
	start_world("");
	t = (struct talk){ .wish = { .level = TLS_ENCRYPT, .protocols = "<=TLSv1.2" } };
	converse(&t);
	assert_true(t.connected);
	assert_string_equal(t.client_info.protocol, "TLSv1.2");
	end_world();
}

static void test_plain_text_before_tls(void **state)
{
	struct talk t = { .wish = { .level = TLS_MAY }, .early = "250 injected\r\n" };

	start_world("");
	converse(&t);
	assert_false(t.connected);
	assert_non_null(strstr(t.client_err.text, "plain text"));
	end_world();
}

static int make_files(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x;
	FILE *f;

	/* As every process has it: OpenSSL writes without MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	snprintf(world.folder, sizeof(world.folder), "/tmp/tls_test.XXXXXX");
	assert_non_null(mkdtemp(world.folder));
	world.authority_key = EVP_EC_gen("P-256");
	world.authority = make_certificate(world.authority_key, "authority", NULL, world.authority_key, true);
	x = make_certificate(key, "mail.example.com", world.authority, world.authority_key, false);
	write_pem("authority.pem", NULL, world.authority);
	write_pem("server.pem", key, x);
	f = fopen(in_folder("server.pem"), "a");
	assert_int_equal(PEM_write_X509(f, world.authority), 1);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
	return 0;
}

static int remove_files(void **state)
{
	unlink(in_folder("authority.pem"));
	unlink(in_folder("server.pem"));
	unlink(in_folder("main.cf"));
	X509_free(world.authority);
	EVP_PKEY_free(world.authority_key);
	return rmdir(world.folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opportunistic),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_fingerprints),
		cmocka_unit_test(test_dane),
		cmocka_unit_test(test_usable_records),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_plain_text_before_tls),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
