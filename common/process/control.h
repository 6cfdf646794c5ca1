/* SPDX-License-Identifier: ISC */
/*
 * Between master and each of its processes: the descriptors that a process
 * inherits, its command line, and the messages on the control channel.
 *
 *   COMMAND -n service -t inet|unix -c config_dir -s listening_sockets -l maxproc
 *           [-i idle_seconds] [-u] [-L] [-o name=value]… -- arguments of master.cf
 *
 * -u: rootless; -L: the log descriptor is a socket of syslog's.
 */
#ifndef POSTRIDER_COMMON_PROCESS_CONTROL_H
#define POSTRIDER_COMMON_PROCESS_CONTROL_H

#define CONTROL_FD        3    /* control channel: SOCK_SEQPACKET */
#define CONTROL_LOG_FD    4    /* the log */
#define CONTROL_ALIVE_FD  5    /* shared lock: held while a process of this instance lives */
#define CONTROL_MAIN_CF_FD 6   /* main.cf as master has read it */
#define CONTROL_LISTEN_FD 7    /* first of the listening sockets */

#define CONTROL_PROTOCOL { "control", 1 }

/* A process that was told to stop, or that lost master, finishes within this time (seconds). */
#define CONTROL_LAST_SECONDS 5.0

enum control_type {
	/* process → master */
	CONTROL_READY = 1,    /* started, serves */
	CONTROL_CONNECT,      /* SERVICE; answered by CONNECTED with the same request number */
	CONTROL_BUSY,         /* COUNT of work in progress, told when it has changed */
	CONTROL_RETIRING,     /* TEXT: takes nothing new; waits for RETIRE, after which nothing arrives */
	CONTROL_PEER_GONE,    /* NUMBER: that connection is closed */
	CONTROL_WATCH,        /* before READY: TEXT, a file that was read, NUMBER, its stamp then (file_stamp) */
	/* master → process */
	CONTROL_CONNECTED,    /* a descriptor; or CODE and TEXT of an error */
	CONTROL_PEER,         /* a descriptor, ROLE, NUMBER */
	CONTROL_RETIRE,
	CONTROL_WAKEUP,
	CONTROL_LOG           /* a descriptor; COUNT 1: it is a socket of syslog's */
};

enum control_field {
	CONTROL_SERVICE = 1, CONTROL_COUNT, CONTROL_TEXT, CONTROL_NUMBER, CONTROL_CODE, CONTROL_ROLE
};

#endif
