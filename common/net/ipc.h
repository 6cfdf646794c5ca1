/* SPDX-License-Identifier: ISC */
/*
 * Messages between processes: SOCK_SEQPACKET, one packet one message of at
 * most IPC_MAX bytes with up to IPC_FDS descriptors.  A message is a type and
 * a row of typed fields, each with a number that the protocol's header names:
 * no native structs.  The first packet each way is a hello with the name and version of
 * the protocol.  What arrives is checked before anybody sees it; a malformed packet closes the
 * connection (ERR_SYNTAX, logged), never the process.
 *
 * Wire: u16 type, u32 request id, then fields: u16 number, u8 kind
 * ('u' 8-byte integer, 's' bytes), u32 length, data.  Descriptors go beside.
 */
#ifndef POSTRIDER_COMMON_NET_IPC_H
#define POSTRIDER_COMMON_NET_IPC_H

#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/base/task.h"

#define IPC_MAX 65536
#define IPC_FDS 4

/* A message under construction. */
struct ipc_out {
	uint8_t *data;        /* borrowed static buffer of IPC_MAX, valid until the message is sent: build and send without waiting between */
	size_t len;
	int fds[IPC_FDS];     /* not closed by sending */
	int fd_count;
	bool failed;          /* did not fit */
};
void ipc_out_start(struct ipc_out *m, uint16_t type, uint32_t request);
void ipc_put_u64(struct ipc_out *m, uint16_t field, uint64_t value);
void ipc_put_bytes(struct ipc_out *m, uint16_t field, struct slice value);
void ipc_put_text(struct ipc_out *m, uint16_t field, const char *text);
void ipc_put_fd(struct ipc_out *m, int fd);
size_t ipc_out_room(const struct ipc_out *m);     /* bytes of field data that still fit */

/* A message received; slices point into it, valid until the handler returns. */
struct ipc_in {
	uint16_t type;
	uint32_t request;
	const uint8_t *data;
	size_t len;
	int fds[IPC_FDS];     /* a taken descriptor is set to -1; the rest is closed after the handler */
	int fd_count;
};
/* First field of that number; false (and *value zeroed) when it is missing or of the other kind. */
bool ipc_get_u64(const struct ipc_in *m, uint16_t field, uint64_t *value);
bool ipc_get_bytes(const struct ipc_in *m, uint16_t field, struct slice *value);
/* Walks all fields in order; *pos starts at 0.  kind is 'u' (value in *number) or 's' (in *bytes). */
struct ipc_field { uint16_t field; char kind; uint64_t number; struct slice bytes; };
bool ipc_next(const struct ipc_in *m, size_t *pos, struct ipc_field *f);
int ipc_take_fd(struct ipc_in *m, int index);     /* -1 when it is not there; caller closes */
/* Well-formed, all lengths inside?  Used on arrival; exported for the fuzzer. */
bool ipc_valid(const void *data, size_t len);

/*
 * A channel: one end of a connection.  on_message runs on the main stack for
 * each message after the hello; on_close once, when the peer is gone, sent rubbish, or the
 * queue to it grew over its limit (4096 packets); the owner then calls ipc_channel_free.
 */
struct ipc_channel;
struct ipc_protocol {
	const char *name;
	uint16_t version;
};
struct ipc_handler {
	void (*on_message)(struct ipc_channel *ch, struct ipc_in *m, void *context);
	void (*on_close)(struct ipc_channel *ch, void *context);
	/* The process at the other end retires: it does what it has begun, new work is for another.  Optional. */
	void (*on_bye)(struct ipc_channel *ch, void *context);
};
struct ipc_channel *ipc_channel_create(int fd, const struct ipc_protocol *protocol,
				       const struct ipc_handler *handler, void *context);
void ipc_channel_free(struct ipc_channel **ch);
/* Sends, or queues when the socket is full.  False when closed or `m` failed. */
bool ipc_send(struct ipc_channel *ch, const struct ipc_out *m);
/* Tells the other end of this descriptor that we retire.  False: no room, try again. */
bool ipc_say_bye(int fd);
size_t ipc_channel_queued(const struct ipc_channel *ch);
/* Who made the other end: SO_PEERCRED's uid (for sockets in the file system). */
bool ipc_peer_uid(const struct ipc_channel *ch, unsigned *uid);

/*
 * A client: a connection to a service by name that mends itself, with
 * requests of many tasks side by side.  `connect` gives a connected descriptor (suspending the
 * calling task), or -1 and an error; processes use process_connect(), commands a path.
 */
struct ipc_client;
typedef int ipc_connect_fn(const char *service, double deadline, struct err *err);
struct ipc_client *ipc_client_create(const char *service, const struct ipc_protocol *protocol, ipc_connect_fn *connect);
void ipc_client_free(struct ipc_client **client);
/* What arrives over the present connection without being the answer to a request (request 0); optional. */
void ipc_client_on_event(struct ipc_client *client, void (*fn)(struct ipc_in *m, void *context), void *context);
/* Called when the connection is lost, or new messages go over another from now on; optional. */
void ipc_client_on_lost(struct ipc_client *client, void (*fn)(void *context), void *context);
/* Connects now if needed. */
bool ipc_client_connect(struct ipc_client *client, double deadline, struct err *err) MUST_USE;
/* A new request number (never 0) for ipc_out_start. */
uint32_t ipc_client_request(struct ipc_client *client);
/*
 * Sends and waits for the answer with the same request number.  The answer is
 * a copy, to be freed with ipc_reply_free.  A lost connection or deadline is ERR_CLOSED, ERR_TIMEOUT.
 * The message must have been built after ipc_client_connect returned (the build buffer does not
 * survive a wait).
 */
struct ipc_reply { struct ipc_in in; uint8_t *storage; };
bool ipc_client_call(struct ipc_client *client, const struct ipc_out *m, double deadline,
		     struct ipc_reply *reply, struct err *err) MUST_USE;
void ipc_reply_free(struct ipc_reply *reply);    /* closes descriptors that were not taken */
/* Sends without waiting for an answer. */
bool ipc_client_send(struct ipc_client *client, const struct ipc_out *m);

/*
 * A conversation of several messages is held with one process, also when the client meanwhile
 * talks to its successor.  A link is what the conversation goes over; connects if needed (NULL: *err).
 * It stays valid till it is released, though its connection may be lost.
 */
struct ipc_link;
struct ipc_link *ipc_client_hold(struct ipc_client *client, double deadline, struct err *err) MUST_USE;
struct ipc_link *ipc_link_hold(struct ipc_link *link);  /* once more */
void ipc_link_release(struct ipc_link **link);
bool ipc_link_current(const struct ipc_link *link);     /* do new messages go over it? */
/* As ipc_client_call and ipc_client_send; request numbers come from ipc_client_request. */
bool ipc_link_call(struct ipc_link *link, const struct ipc_out *m, double deadline, struct ipc_reply *reply,
		   struct err *err) MUST_USE;
bool ipc_link_send(struct ipc_link *link, const struct ipc_out *m);

#endif
