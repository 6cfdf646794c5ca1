/* SPDX-License-Identifier: ISC */
#include "tools/lib/dkim.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "authn/verify.h"
#include "tools/lib/connect.h"
#include "tools/lib/doctor_dns.h"

#define KEY_MAX         65536
#define MESSAGE_MAX     (256u << 20)
#define TXT_STRING      255
#define SEAL_SIGNATURES 10

struct request {
	const struct config *config;
	const char *directory, *domain, *selector, *file, *server, *type;
	unsigned bits;
	int status;
};

static int usage(void)
{
	fputs("usage: postrider dkim genkey [-t rsa|ed25519] [-b bits] [-d dir] domain [selector]\n"
	      "       postrider dkim check [-n server:port] [-d dir] domain selector [keyfile]\n"
	      "       postrider dkim sign [-d dir] domain selector [keyfile] <message\n"
	      "       postrider dkim seal [-n server:port] [-d dir] domain selector [keyfile] "
	      "<message\n",
	      stderr);
	return EX_USAGE;
}

static int complain(const struct err *err)
{
	fprintf(stderr, "postrider: %s\n", err->text);
	return 1;
}

/* --- files --- */

bool read_whole(const char *path, size_t max, struct str *text, struct err *err)
{
	bool standard = !path || strcmp(path, "-") == 0;
	FILE *f = standard ? stdin : fopen(path, "re");
	char piece[8192];
	size_t len;
	bool ok;

	if (!f)
		return err_set_errno(err, ERR_PERMANENT, "open %s", path);
	while ((len = fread(piece, 1, sizeof(piece), f)) > 0 && text->len <= max)
		str_append(text, slice_make(piece, len));
	ok = !ferror(f) && text->len <= max;
	if (!ok)
		err_set(err, ERR_PERMANENT, "%s cannot be read, or is too large",
			standard ? "standard input" : path);
	if (!standard)
		fclose(f);
	return ok;
}

void make_crlf(struct slice text, struct str *out)
{
	str_reserve(out, text.len + text.len / 32);
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n' && (i == 0 || text.ptr[i - 1] != '\r'))
			str_append_byte(out, '\r');
		str_append_byte(out, text.ptr[i]);
	}
}

size_t body_start(struct slice message)
{
	const char *at =
	    slice_starts(message, SLICE("\r\n"))
		? message.ptr - 2
		: (message.len ? memmem(message.ptr, message.len, "\r\n\r\n", 4) : NULL);

	return at ? (size_t)(at + 4 - message.ptr) : message.len;
}

bool dkim_key_file(const char *path, struct dkim_private_key *key, struct err *err)
{
	struct str pem = {0};
	bool ok = read_whole(path, KEY_MAX, &pem, err) &&
		  (dkim_private_key_read(str_slice(&pem), key, err) || err_prefix(err, "%s", path));

	if (pem.data)
		OPENSSL_cleanse(pem.data, pem.len);
	str_free(&pem);
	return ok;
}

static void key_path(const struct request *r, struct str *path)
{
	if (r->file)
		str_append_text(path, r->file);
	else
		str_printf(path, "%s/%s/%s.pem", r->directory, r->domain, r->selector);
}

/* --- genkey --- */

static bool make_directory(const char *path, struct err *err)
{
	return mkdir(path, 0700) == 0 || errno == EEXIST ||
	       err_set_errno(err, ERR_PERMANENT, "make directory %s", path);
}

static bool write_key(const char *path, const struct dkim_private_key *key, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	bool ok;

	if (!f)
		return err_set_errno(err, ERR_PERMANENT, "make %s", path);
	ok = PEM_write_PrivateKey(f, key->pkey, NULL, NULL, 0, NULL, NULL) == 1 && fflush(f) == 0 &&
	     fsync(fd) == 0;
	ok = fclose(f) == 0 && ok;
	if (!ok) {
		err_set_errno(err, ERR_PERMANENT, "write %s", path);
		unlink(path);
	}
	return ok;
}

/* As a line of a zone file: strings of at most 255 bytes. */
static void print_record(const struct request *r, struct slice record)
{
	printf("%s._domainkey.%s. IN TXT (", r->selector, r->domain);
	for (size_t at = 0; at < record.len; at += TXT_STRING)
		printf("\n\t\"%.*s\"", SLICE_FMT(slice_sub(record, at, TXT_STRING)));
	puts(" )");
}

static bool make_key(const struct request *r, struct dkim_private_key *key, struct err *err)
{
	key->ed25519 = strcmp(r->type, "ed25519") == 0;
	key->pkey = key->ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
				 : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)r->bits);
	return key->pkey || err_set(err, ERR_PERMANENT, "no key can be made");
}

static int genkey(struct request *r)
{
	struct dkim_private_key key = {0};
	struct str path = {0}, folder = {0}, record = {0};
	struct err err;

	str_printf(&folder, "%s/%s", r->directory, r->domain);
	key_path(r, &path);
	if (make_directory(r->directory, &err) && make_directory(str_cstr(&folder), &err) &&
	    make_key(r, &key, &err) && dkim_private_key_record(&key, &record, &err) &&
	    write_key(str_cstr(&path), &key, &err)) {
		printf("; The private key is in %s.  Publish this record:\n", str_cstr(&path));
		print_record(r, str_slice(&record));
		printf("; then check it:       postrider dkim check %s %s\n", r->domain,
		       r->selector);
		printf("; and sign with it, in a table of dkim_signing_table:\n; %s %s:%s\n",
		       r->domain, r->domain, r->selector);
	} else {
		r->status = complain(&err);
	}
	dkim_private_key_free(&key);
	str_free(&path);
	str_free(&folder);
	str_free(&record);
	return r->status;
}

/* --- check --- */

static void compare(struct request *r, const struct dkim_private_key *key,
		    const struct dkim_key *published)
{
	struct str record = {0};
	struct err err;

	r->status = 1;
	if (published->status == DKIM_KEY_TEMPORARY) {
		r->status = EX_TEMPFAIL;
		printf("no answer now for %s._domainkey.%s\n", r->selector, r->domain);
		return;
	}
	if (published->status == DKIM_KEY_OK && dkim_private_key_matches(key, published)) {
		r->status = 0;
		printf("%s._domainkey.%s: DNS has the key that belongs to the private key (%s, %d "
		       "bits%s)\n",
		       r->selector, r->domain, key->ed25519 ? "Ed25519" : "RSA", published->bits,
		       published->testing ? "; t=y says that it is only a test" : "");
		return;
	}
	printf("%s._domainkey.%s: %s.  Receivers cannot verify what is signed with the private "
	       "key.  Publish:\n",
	       r->selector, r->domain,
	       published->status == DKIM_KEY_OK ? "DNS has another key than the private key's"
						: published->reason);
	if (dkim_private_key_record(key, &record, &err))
		print_record(r, str_slice(&record));
	str_free(&record);
}

static void check(void *arg)
{
	struct request *r = arg;
	struct doctor_dns dns = {0};
	struct arena *arena = arena_create(0);
	struct dkim_private_key key = {0};
	struct dkim_key published = {0};
	struct str path = {0};
	struct err err;

	key_path(r, &path);
	if (dkim_key_file(str_cstr(&path), &key, &err) && doctor_dns_open(&dns, r->server, &err)) {
		dkim_key_fetch(&dns.dns, slice_of(r->domain), slice_of(r->selector), arena,
			       &published);
		compare(r, &key, &published);
	} else {
		r->status = complain(&err);
	}
	EVP_PKEY_free(published.pkey);
	dkim_private_key_free(&key);
	doctor_dns_close(&dns);
	arena_free(&arena);
	str_free(&path);
}

/* --- sign --- */

static bool sign_message(const struct request *r, const struct dkim_private_key *key,
			 struct slice message, struct str *field, struct err *err)
{
	struct dkim_sign sign = {.key = key,
				 .domain = slice_of(r->domain),
				 .selector = slice_of(r->selector),
				 .headers = slice_of(config_text(r->config, "dkim_sign_headers")),
				 .oversigned =
				     slice_of(config_text(r->config, "dkim_oversign_headers")),
				 .header_form = CANON_RELAXED,
				 .body_form = CANON_RELAXED,
				 .time = (uint64_t)time(NULL)};
	struct canon_bodies *bodies = canon_bodies_create();
	struct arena *arena = arena_create(0);
	size_t at = body_start(message);
	struct canon_header header;
	int body = dkim_sign_prepare(&sign, bodies);
	bool ok;

	canon_header_read(slice_sub(message, 0, at), arena, &header);
	canon_bodies_feed(bodies, slice_sub(message, at, message.len));
	canon_bodies_finish(bodies);
	ok = dkim_sign_finish(&sign, &header, bodies, body, field, err);
	canon_bodies_free(&bodies);
	arena_free(&arena);
	return ok;
}

static int sign(struct request *r)
{
	struct dkim_private_key key = {0};
	struct str path = {0}, text = {0}, message = {0}, field = {0};
	struct err err;

	key_path(r, &path);
	if (dkim_key_file(str_cstr(&path), &key, &err) &&
	    read_whole(NULL, MESSAGE_MAX, &text, &err)) {
		make_crlf(str_slice(&text), &message);
		if (sign_message(r, &key, str_slice(&message), &field, &err)) {
			fwrite(field.data, 1, field.len, stdout);
			fwrite(str_cstr(&message), 1, message.len, stdout);
		} else {
			r->status = complain(&err);
		}
	} else {
		r->status = complain(&err);
	}
	dkim_private_key_free(&key);
	str_free(&path);
	str_free(&text);
	str_free(&message);
	str_free(&field);
	return r->status;
}

/* --- seal --- */

static int read_body(void *context, struct slice *piece)
{
	struct slice *rest = context;

	*piece = *rest;
	*rest = SLICE_NONE;
	return piece->len > 0;
}

/* What we find goes into the seal, as it would if the message passed through us. */
static bool seal_message(const struct request *r, const struct dkim_private_key *key,
			 const struct authn_dns *dns, struct slice message, struct str *fields,
			 struct err *err)
{
	struct verify_settings settings = {.authserv_id = config_text(r->config, "myhostname"),
					   .signature_limit = SEAL_SIGNATURES,
					   .dkim = true};
	size_t at = body_start(message);
	struct slice body = slice_sub(message, at, message.len);
	struct verify_request request = {.settings = &settings,
					 .dns = dns,
					 .header = slice_sub(message, 0, at),
					 .read_body = read_body,
					 .context = &body,
					 .now = (uint64_t)time(NULL),
					 .will_seal = true};
	struct arena *arena = arena_create(0);
	struct str results = {0};
	struct verify_answer v;
	struct arc_seal seal = {
	    .sign = {.key = key,
		     .domain = slice_of(r->domain),
		     .selector = slice_of(r->selector),
		     .headers = slice_of(config_text(r->config, "arc_seal_headers")),
		     .body_form = CANON_RELAXED,
		     .header_form = CANON_RELAXED,
		     .time = request.now}};
	bool ok = verify_message(&request, arena, &v);

	results_text(&v.results, &results);
	seal.results = str_slice(&results);
	ok = ok ? arc_seal(&seal, &v.arc, v.seal_body, fields, err)
		: err_set(err, ERR_TEMPORARY, "the message cannot be read");
	verify_free(&v);
	str_free(&results);
	arena_free(&arena);
	return ok;
}

static void seal(void *arg)
{
	struct request *r = arg;
	struct doctor_dns dns = {0};
	struct dkim_private_key key = {0};
	struct str path = {0}, text = {0}, message = {0}, fields = {0};
	struct err err;

	key_path(r, &path);
	if (dkim_key_file(str_cstr(&path), &key, &err) && doctor_dns_open(&dns, r->server, &err) &&
	    read_whole(NULL, MESSAGE_MAX, &text, &err)) {
		make_crlf(str_slice(&text), &message);
		if (seal_message(r, &key, &dns.dns, str_slice(&message), &fields, &err)) {
			fwrite(fields.data, 1, fields.len, stdout);
			fwrite(str_cstr(&message), 1, message.len, stdout);
		} else {
			r->status = complain(&err);
		}
	} else {
		r->status = complain(&err);
	}
	dkim_private_key_free(&key);
	doctor_dns_close(&dns);
	str_free(&path);
	str_free(&text);
	str_free(&message);
	str_free(&fields);
}

/* --- arguments --- */

static bool valid_name(const char *name)
{
	return authn_domain_valid(slice_of(name)) && !strpbrk(name, "/ ") && name[0] != '.' &&
	       name[0] != '-';
}

static bool read_arguments(struct request *r, int argc, char **argv)
{
	uint64_t bits;
	int c;

	optind = 1;
	while ((c = getopt(argc, argv, "t:b:d:n:")) != -1) {
		if (c == 't')
			r->type = optarg;
		else if (c == 'd')
			r->directory = optarg;
		else if (c == 'n')
			r->server = optarg;
		else if (c != 'b' || !slice_to_u64(slice_of(optarg), &bits) ||
			 bits < DKIM_RSA_MIN || bits > DKIM_RSA_MAX)
			return false;
		else
			r->bits = (unsigned)bits;
	}
	if (optind < argc)
		r->domain = argv[optind++];
	if (optind < argc)
		r->selector = argv[optind++];
	if (optind < argc)
		r->file = argv[optind++];
	return optind == argc && r->domain && valid_name(r->domain) &&
	       (!r->selector || valid_name(r->selector)) &&
	       (strcmp(r->type, "rsa") == 0 || strcmp(r->type, "ed25519") == 0);
}

int dkim_command(const struct config *config, int argc, char **argv)
{
	struct request r = {.config = config,
			    .directory = config_text(config, "dkim_key_directory"),
			    .type = "rsa",
			    .bits = 2048};
	const char *verb = argc > 0 ? argv[0] : "";
	char selector[16];
	time_t now = time(NULL);
	struct tm tm;

	if (!read_arguments(&r, argc, argv))
		return usage();
	if (strcmp(verb, "genkey") == 0 && !r.file) {
		if (!r.selector && gmtime_r(&now, &tm) &&
		    strftime(selector, sizeof(selector), "%Y%m%d", &tm))
			r.selector = selector;
		return genkey(&r);
	}
	if (!r.selector)
		return usage();
	if (strcmp(verb, "sign") == 0)
		return sign(&r);
	if (strcmp(verb, "check") != 0 && strcmp(verb, "seal") != 0)
		return usage();
	tool_use_config(config);
	tool_run(verb[0] == 'c' ? check : seal, &r);
	return r.status;
}
