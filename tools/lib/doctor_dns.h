/* SPDX-License-Identifier: ISC */
/*
 * How postdoctor asks DNS: a server that is named, else the resolver of the running mail system,
 * else the servers of resolv.conf.  Each question has a deadline.
 */
#ifndef POSTRIDER_TOOLS_LIB_DOCTOR_DNS_H
#define POSTRIDER_TOOLS_LIB_DOCTOR_DNS_H

#include <stdio.h>
#include <sys/socket.h>

#include "authn/dns.h"

#define DOCTOR_SERVERS 4

struct doctor_dns {
	struct authn_dns dns;        /* for the library */
	struct ipc_client *resolver; /* NULL: we ask servers ourselves */
	struct sockaddr_storage servers[DOCTOR_SERVERS];
	size_t server_count;
	FILE *progress; /* NULL: none is shown */
	unsigned questions;
};

/* `server`: "HOST:PORT", "[V6]:PORT" or NULL.  In a task.  False: it is no address. */
bool doctor_dns_open(struct doctor_dns *d, const char *server, struct err *err) MUST_USE;
void doctor_dns_close(struct doctor_dns *d);

#endif
