/* SPDX-License-Identifier: ISC */
/*
 * The client's side of TLS: who the server must be, and the handshake.  Knows nothing of SMTP: the policy
 * (level, names, TLSA records) is the caller's.
 */
#ifndef POSTRIDER_COMMON_TLS_CLIENT_H
#define POSTRIDER_COMMON_TLS_CLIENT_H

#include "common/config/config.h"
#include "common/net/ipc.h"
#include "common/net/stream.h"
#include "common/tls/info.h"

/* In order of strength (postconf(5), smtp_tls_security_level). */
enum tls_level {
	TLS_NONE, TLS_MAY, TLS_ENCRYPT, TLS_DANE, TLS_DANE_ONLY, TLS_FINGERPRINT, TLS_VERIFY, TLS_SECURE, TLS_INVALID
};

enum tls_level tls_level_parse(struct slice word);
const char *tls_level_text(enum tls_level level);

struct tls_wish {
	enum tls_level level;
	const char *server_name;         /* SNI; NULL: none is sent */
	const char *const *names;        /* verify, secure, dane: any of these; ".example.com" stands for hosts below it */
	size_t name_count;
	const char *const *fingerprints; /* fingerprint: "AB:CD:…" of certificate or public key */
	size_t fingerprint_count;
	const struct slice *tlsa;        /* dane: rdata of usable and other records */
	size_t tlsa_count;
	const char *protocols, *grade, *exclude;  /* NULL: the configuration's */
	const char *session_key;         /* sessions with this key may be taken up again; NULL: none */
};

enum tls_peer_status { TLS_ANONYMOUS, TLS_UNTRUSTED, TLS_TRUSTED, TLS_VERIFIED };
const char *tls_peer_status_text(enum tls_peer_status status);

struct tls_client;
/* Before privileges are dropped: reads authorities and certificates.  `prefix`: "smtp_tls_", "lmtp_tls_". */
struct tls_client *tls_client_create(const struct config *config, const char *prefix, struct err *err) MUST_USE;
void tls_client_free(struct tls_client **client);
/* In the sandbox: `connect` reaches tlsmgr, for a certificate of our own. */
void tls_client_start(struct tls_client *client, ipc_connect_fn *connect);

/* Does a TLSA record's rdata count (RFC 7672: usages 2 and 3, selectors 0 and 1, matching 0 to 2)? */
bool tls_tlsa_usable(struct slice rdata);

/*
 * Shakes hands by the stream's deadline.  Plain text that waits to be read is an error: it was not
 * the server that sent it, or it is not to be believed.  True: *status and *info tell with whom; at the levels that ask for it the
 * server is TLS_VERIFIED then.  False: *err says why, ERR_PERMANENT when the server is not who it must
 * be; the connection is of no use any more.
 */
bool tls_client_connect(struct tls_client *client, struct stream *s, const struct tls_wish *wish,
			enum tls_peer_status *status, struct tls_info *info, struct err *err) MUST_USE;

#endif
