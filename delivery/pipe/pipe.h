/* SPDX-License-Identifier: ISC */
/* The pipe delivery agent: mail goes to a program that master.cf names.  See pipe(8) of Postfix. */
#ifndef POSTRIDER_DELIVERY_PIPE_PIPE_H
#define POSTRIDER_DELIVERY_PIPE_PIPE_H

#include "common/process/process.h"
#include "common/proto/delivery_proto.h"

#define PIPE_DELIVERED_TO 1           /* D */
#define PIPE_FROM         2           /* F */
#define PIPE_ORIGINAL_TO  4           /* O */
#define PIPE_RETURN_PATH  8           /* R */
#define PIPE_FINAL        16          /* X */
#define PIPE_FOLD_DOMAIN  32          /* h */
#define PIPE_QUOTE        64          /* q */
#define PIPE_FOLD_USER    128         /* u */

/* Attributes of a service in master.cf. */
struct pipe_attributes {
	const char *user, *group, *chroot, *directory;
	const char *null_sender;
	struct slice eol;
	uint64_t size;                /* 0: no limit */
	unsigned flags;               /* PIPE_… */
	unsigned content_flags;       /* CONTENT_… (B . >) */
	const char *const *argv;
};

/* ERR_SYNTAX: names the word.  What it keeps is in the arena or in argv. */
bool pipe_attributes_parse(struct pipe_attributes *a, const char *const *argv, struct arena *arena, struct err *err) MUST_USE;

/* What the macros of an argument stand for. */
struct pipe_message {
	const struct pipe_attributes *attributes;
	const struct delivery_job *job;
	uint64_t size;
	const char *recipient_delimiter;
};

/*
 * The program's arguments, NULL-terminated, in the arena.  An argument with a macro of a recipient becomes one
 * for each of them; what a macro stands for is never looked at again.  NULL: a macro that is not known, or
 * more than PIPE_ARGUMENTS_MAX arguments.
 */
#define PIPE_ARGUMENTS_MAX 2000
const char *const *pipe_arguments(const struct pipe_message *m, struct arena *arena, struct err *err) MUST_USE;

#endif
