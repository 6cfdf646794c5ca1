/* SPDX-License-Identifier: ISC */
/* postrider dkim: making keys, checking what DNS has of them, signing a message by hand. */
#ifndef POSTRIDER_TOOLS_LIB_DKIM_H
#define POSTRIDER_TOOLS_LIB_DKIM_H

#include "authn/dkim_sign.h"
#include "common/config/config.h"

/*
 * genkey [-t rsa|ed25519] [-b bits] [-d dir] DOMAIN [SELECTOR] | check [-n server:port] [-d dir]
 * DOMAIN SELECTOR [FILE] | sign [-d dir] DOMAIN SELECTOR [FILE] | seal [-n server:port] [-d dir]
 * DOMAIN SELECTOR [FILE] (ARC) with a message on standard input.  Keys are in
 * dir/DOMAIN/SELECTOR.pem. Exit status: 0; 1 an error, or DNS has another key or none; 75 no answer
 * now; 64 usage.
 */
int dkim_command(const struct config *config, int argc, char **argv);

/* Reads a private key; false: *err names the file. */
bool dkim_key_file(const char *path, struct dkim_private_key *key, struct err *err) MUST_USE;
/* A file or standard input ("-", NULL), at most `max` bytes. */
bool read_whole(const char *path, size_t max, struct str *text, struct err *err) MUST_USE;
/* The same text with CRLF at the end of each line. */
void make_crlf(struct slice text, struct str *out);
/* Where the body starts: after the empty line, or the end. */
size_t body_start(struct slice message);

#endif
