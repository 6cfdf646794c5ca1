/* SPDX-License-Identifier: ISC */
/*
 * A message in the queue is one file; this is its form.  See qmgr/STATES.md.
 *
 *   0      fixed header: magic "PRq1", version, state, queue ID, offsets, lengths, crc32c
 *   4096   content as received: CRLF lines, not dot-stuffed
 *   …      envelope block: fields, then one record a recipient with its status byte
 *   …      new header block: goes out before the content; when `replaces_header` it stands
 *          for the content's own header too
 *   …      result records, appended by qmgr (last reply a recipient)
 *
 * Everything read from such a file is untrusted input: decoded with a cursor, all offsets checked.
 */
#ifndef POSTRIDER_COMMON_MAIL_MESSAGE_FILE_H
#define POSTRIDER_COMMON_MAIL_MESSAGE_FILE_H

#include <sys/types.h>

#include "common/base/arena.h"
#include "common/base/err.h"

#define MESSAGE_CONTENT_OFFSET 4096
#define MESSAGE_ID_SIZE 32              /* longest queue ID with its NUL */
#define MESSAGE_NAME_SIZE 12            /* longest file name with its NUL */
#define MESSAGE_REUSE_MAX 32768         /* larger files are not used again */

/*
 * MESSAGE_NONE: no header.  MESSAGE_OPEN: the file is for a message that nobody was told yes for yet.
 * MESSAGE_FREE: the message has gone, the file may be used for another.
 */
enum message_state { MESSAGE_NONE, MESSAGE_OPEN = 'O', MESSAGE_COMMITTED = 'C', MESSAGE_HOLD = 'H', MESSAGE_FREE = 'F' };

enum recipient_status {
	RECIPIENT_PENDING = 'P',   /* to be delivered, or deferred */
	RECIPIENT_DELIVERED = 'D',
	RECIPIENT_FAILED = 'F',    /* failed for good, the sender is still to be told */
	RECIPIENT_RETURNED = 'R',  /* failed, the notice is committed */
	/* Done, and the sender, who asked for it, is still to be told; then they are delivered. */
	RECIPIENT_TELL_DELIVERED = 'S',
	RECIPIENT_TELL_RELAYED = 'Y',    /* given to a server that does not know of notices */
	RECIPIENT_TELL_EXPANDED = 'X'    /* given to several others */
};

/* RFC 3461 NOTIFY, as bits; 0 is "not given". */
#define NOTIFY_NEVER   1
#define NOTIFY_SUCCESS 2
#define NOTIFY_FAILURE 4
#define NOTIFY_DELAY   8
enum message_ret { RET_NONE, RET_FULL, RET_HDRS };

struct message_recipient {
	struct slice address;          /* as delivered: user@domain, unquoted internal form */
	struct slice original;         /* before aliases; empty when the same */
	struct slice orcpt;            /* RFC 3461 "type;xtext-decoded", empty when not given */
	uint8_t notify;
	enum recipient_status status;
	uint32_t status_offset;        /* where the status byte stands in the file */
	uint32_t attempts;
};

/* What is known of the content. */
struct message_content {
	uint64_t length;               /* bytes from MESSAGE_CONTENT_OFFSET */
	uint64_t header_length;        /* up to and with the empty line's CRLF; length when no body */
	uint32_t longest_line;         /* without CRLF */
	bool leading_dots;             /* some line starts with '.' */
	bool eight_bit;                /* some byte above 127 */
};

enum message_origin { ORIGIN_SMTP = 'S', ORIGIN_LOCAL = 'L', ORIGIN_BOUNCE = 'B', ORIGIN_FORWARD = 'F' };

struct message_envelope {
	enum message_origin origin;
	struct slice sender;           /* empty: null sender */
	struct slice sender_full_name; /* local submission: for a missing From */
	uint32_t uid;                  /* local submission */
	struct slice client_name;      /* "mail.example.com" or "unknown" */
	struct slice client_address;   /* "192.0.2.1", "2001:db8::1" */
	struct slice client_port;
	struct slice helo;
	struct slice protocol;         /* "ESMTP", "SMTP", "UTF8SMTP", "ESMTPS", "ESMTPSA" … (RFC 3848) */
	struct slice tls;              /* for Received: "TLSv1.3 with cipher … (256/256 bits) key-exchange …"; empty: nothing is said */
	struct slice tls_peer;         /* "Client CN "x", Issuer "y" (verified OK)" */
	struct slice sasl_method;
	struct slice sasl_login;
	struct slice envid;            /* decoded */
	struct slice filter;           /* content_filter, FILTER: "transport:nexthop" for all recipients; empty: none */
	struct slice redirect;         /* REDIRECT: goes here instead of to the recipients; only on the way to cleanup */
	struct slice prepend;          /* header fields to put first, whole, CRLF lines; only on the way to cleanup */
	struct slice verp;             /* two delimiters: a sender of its own for each recipient; empty: no */
	double deliver_by;             /* RFC 2852: deadline, wall clock; 0: none */
	bool by_return;                /* by-mode R: returned at the deadline; else (N) its sender is told of the delay */
	bool by_trace;                 /* its sender is told of each relaying */
	enum message_ret ret;
	bool body_8bitmime;            /* BODY=8BITMIME */
	bool smtputf8;
	bool require_tls;              /* REQUIRETLS (RFC 8689) */
	bool foreign;                  /* from outside: fields that claim to be ours are removed */
	bool show_login;               /* smtpd_sasl_authenticated_header */
	bool rewrite_header;           /* client is local: local_header_rewrite_clients */
	bool hold;                     /* HOLD: committed in state MESSAGE_HOLD */
	bool discard;                  /* DISCARD: answered as if committed, and thrown away */
	bool no_address_mappings;      /* receive_override_options */
	bool no_header_body_checks;
	double arrival;                /* wall clock, seconds */
	struct message_recipient *recipients;
	size_t recipient_count;
};

/* The parts of a file, as stored. */
struct message_layout {
	enum message_state state;
	char id[MESSAGE_ID_SIZE];      /* whose file it is: a name is used again, a queue ID never */
	bool replaces_header;
	bool warned;                   /* the sender was told that it is late */
	struct message_content content;
	uint64_t envelope_offset, envelope_length;
	uint64_t header_offset, header_length;   /* new header block */
	uint64_t results_offset;                 /* where result records start: not before the file's end at commit */
};

/* New name for a file: random; the caller makes the file with O_EXCL. */
void message_name_make(char name[MESSAGE_NAME_SIZE]);
/*
 * New ID for a message in the file `name`: time, 'z', name.  IDs sort by time, have the alphabet and
 * form of Postfix's long queue IDs, and are unique in this process.
 */
void message_id_make(char id[MESSAGE_ID_SIZE], const char *name);
/* The file of the message: what follows the last 'z', or all of an ID without one; points into `id`. */
const char *message_id_name(const char *id);
/* Characters and length that a queue ID may have (also Postfix's short ones): safe as a file name. */
bool message_id_valid(struct slice id);
/* Seconds since the epoch at which the ID was made; 0 when the form does not tell. */
double message_id_time(struct slice id);

/*
 * Writes envelope, new header block and last the fixed header of a complete
 * message (state `layout->state`, `layout->id`); fills the offsets in *layout.  No sync.
 */
bool message_write(int fd, const struct message_envelope *envelope, struct message_layout *layout,
		   struct slice new_header, struct err *err) MUST_USE;
/* The header of a file without a message yet: all that stands before the content.  No sync. */
bool message_write_open(int fd, struct err *err) MUST_USE;
/* Fixed header alone.  ERR_NOT_FOUND: no message in it, layout->state says why.  ERR_SYNTAX: damaged. */
bool message_read_layout(int fd, struct message_layout *layout, struct err *err) MUST_USE;
/* Whole envelope, allocated in `arena`. */
bool message_read_envelope(int fd, const struct message_layout *layout, struct arena *arena,
			   struct message_envelope *envelope, struct err *err) MUST_USE;
bool message_read_new_header(int fd, const struct message_layout *layout, struct arena *arena,
			     struct slice *header, struct err *err) MUST_USE;
/* One pwrite each. */
bool message_set_status(int fd, const struct message_recipient *recipient, enum recipient_status status, struct err *err) MUST_USE;
bool message_set_state(int fd, struct message_layout *layout, enum message_state state, struct err *err) MUST_USE;
bool message_set_warned(int fd, struct message_layout *layout, struct err *err) MUST_USE;
/* Done, and its sender is to be told. */
static inline bool recipient_is_to_tell(enum recipient_status status)
{
	return status == RECIPIENT_TELL_DELIVERED || status == RECIPIENT_TELL_RELAYED || status == RECIPIENT_TELL_EXPANDED;
}
/* End of what belongs to the message, without results. */
uint64_t message_end(const struct message_layout *layout);

/* The last reply for a recipient, appended; read back for the queue listing and for notices. */
struct message_result {
	uint32_t recipient;            /* index */
	double time;
	struct slice dsn;              /* "4.4.1" */
	struct slice relay;            /* "mx.example.com[192.0.2.1]:25" or "none" */
	struct slice text;             /* the log's text in parentheses */
	struct slice remote;           /* reply of the remote server: "550 5.1.1 …", or empty */
	uint32_t attempts;             /* when read: so many records there are for the recipient */
};
bool message_append_result(int fd, const struct message_result *result, struct err *err) MUST_USE;
/* The newest for each recipient: *results has recipient_count entries (time 0: none).  Damaged tails are ignored. */
bool message_read_results(int fd, const struct message_layout *layout, size_t recipient_count,
			  struct arena *arena, struct message_result **results, struct err *err) MUST_USE;

#endif
