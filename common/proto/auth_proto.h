/* SPDX-License-Identifier: ISC */
/*
 * auth, which checks log-ins, and smtpd, whose sandbox neither reads passwords nor connects:
 *
 *   smtpd                                                auth
 *   MECHANISMS service                             ──►
 *                                                  ◄──   MECHANISM_LIST (name, properties) × n, or REFUSED text
 *   START dialogue, mechanism, initial response …  ──►
 *                                                  ◄──   CHALLENGE bytes, OK user, or FAIL reason
 *   CONTINUE dialogue, response                    ──►
 *                                                  ◄──   CHALLENGE, OK or FAIL
 *   CANCEL dialogue                                ──►   (no answer)
 *   COUNT user, messages, recipients               ──►
 *                                                  ◄──   COUNTED verdict
 *
 * A dialogue is a number that the client chooses, of its connection.  It ends with OK, FAIL, CANCEL, or the
 * connection.  Challenges and responses are bytes: base64 is SMTP's affair.
 */
#ifndef POSTRIDER_COMMON_PROTO_AUTH_PROTO_H
#define POSTRIDER_COMMON_PROTO_AUTH_PROTO_H

#include "common/base/arena.h"
#include "common/net/ipc.h"
#include "common/sasl/mechanism.h"

extern const struct ipc_protocol auth_protocol;        /* "auth", 1 */

enum auth_type {
	AUTH_MECHANISMS = 1, AUTH_MECHANISM_LIST, AUTH_START, AUTH_CONTINUE, AUTH_CANCEL,
	AUTH_CHALLENGE, AUTH_OK, AUTH_FAIL, AUTH_COUNT, AUTH_COUNTED, AUTH_REFUSED
};

#define AUTH_MESSAGE_MAX    12288    /* bytes of a challenge or response */
#define AUTH_TEXT_MAX       255      /* of a reason, a service, an address */
#define AUTH_MECHANISMS_MAX 32

enum auth_reason {
	AUTH_REASON_NONE,
	AUTH_REASON_CREDENTIALS,     /* wrong password, no such user: not told apart */
	AUTH_REASON_MECHANISM,       /* not one of ours */
	AUTH_REASON_MALFORMED,       /* the response is not of the mechanism's form */
	AUTH_REASON_REFUSED,         /* the backend knows the user and does not let in: disabled, expired */
	AUTH_REASON_BACKEND,         /* the backend is away or confused */
	AUTH_REASON_BUSY,            /* too many log-ins at a time */
	AUTH_REASON_COUNT
};

struct auth_mechanism {
	struct slice name;           /* upper case */
	unsigned properties;         /* enum sasl_property */
};

struct auth_start {
	struct slice service;        /* name in master.cf */
	struct slice mechanism;
	bool has_response;
	struct slice response;       /* initial response, may be empty */
	struct slice client_address, client_port, local_address, local_port;
	bool secured;                /* TLS */
	bool certificate;            /* and the client's certificate was verified */
};

struct auth_answer {
	enum auth_type type;         /* AUTH_CHALLENGE, AUTH_OK, AUTH_FAIL */
	struct slice text;           /* challenge; user as tables and headers are to know it; reason */
	struct slice user;           /* AUTH_FAIL: who it was about, when that is known */
	enum auth_reason reason;
	bool temporary;
};

/* One log-in: the client's side. */
struct auth_dialogue {
	struct ipc_client *client;
	uint64_t number;             /* 0: none */
};

/*
 * Each suspends the task and always gives an answer, in the arena: what goes wrong on the way is a
 * temporary FAIL.  After OK or FAIL the dialogue is over.
 */
void auth_begin(struct auth_dialogue *d, struct ipc_client *client, const struct auth_start *start, double deadline,
		struct arena *arena, struct auth_answer *answer);
void auth_respond(struct auth_dialogue *d, struct slice response, double deadline, struct arena *arena,
		  struct auth_answer *answer);
/* Gives it up; harmless when there is none. */
void auth_cancel(struct auth_dialogue *d);
/* At most AUTH_MECHANISMS_MAX, in the arena.  False: auth or its backend is away (ERR_TEMPORARY). */
bool auth_mechanisms(struct ipc_client *client, struct slice service, double deadline, struct arena *arena,
		     struct auth_mechanism *list, size_t *count, struct err *err) MUST_USE;

/* --- what a login has sent (smtpd_sasl_message_rate_limit and kin) --- */

enum auth_over { AUTH_WITHIN, AUTH_OVER_MESSAGES, AUTH_OVER_RECIPIENTS };

struct auth_verdict {
	enum auth_over over;
	uint64_t limit;              /* the one that was reached */
	uint64_t seconds;            /* till the count starts anew */
};

struct auth_counting {
	struct slice user;
	uint32_t messages, recipients;
};

/* Counts, unless that goes over a limit.  False: cannot be told now; defer. */
bool auth_count(struct ipc_client *client, const struct auth_counting *counting, double deadline,
		struct auth_verdict *verdict, struct err *err) MUST_USE;

/* --- the server's side: false on anything out of form --- */


bool auth_get_service(const struct ipc_in *m, struct slice *service) MUST_USE;
bool auth_get_start(const struct ipc_in *m, uint64_t *dialogue, struct auth_start *start) MUST_USE;
bool auth_get_response(const struct ipc_in *m, uint64_t *dialogue, struct slice *response) MUST_USE;
bool auth_get_cancel(const struct ipc_in *m, uint64_t *dialogue) MUST_USE;
bool auth_get_count(const struct ipc_in *m, struct auth_counting *counting) MUST_USE;
bool auth_put_mechanisms(struct ipc_out *m, uint32_t request, const struct auth_mechanism *list, size_t count);
bool auth_put_answer(struct ipc_out *m, uint32_t request, const struct auth_answer *answer);
bool auth_put_counted(struct ipc_out *m, uint32_t request, const struct auth_verdict *verdict);
bool auth_put_refused(struct ipc_out *m, uint32_t request, const char *text);
/* For the stub, and the fuzzer. */
bool auth_get_answer(const struct ipc_in *m, struct auth_answer *answer) MUST_USE;
bool auth_get_mechanisms(const struct ipc_in *m, struct auth_mechanism *list, size_t *count) MUST_USE;
bool auth_get_counted(const struct ipc_in *m, struct auth_verdict *verdict) MUST_USE;

#endif
