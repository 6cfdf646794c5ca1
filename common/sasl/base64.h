/* SPDX-License-Identifier: ISC */
/* Base64 of RFC 4648 §4 as SASL uses it: canonical, with its padding and without line breaks. */
#ifndef POSTRIDER_COMMON_SASL_BASE64_H
#define POSTRIDER_COMMON_SASL_BASE64_H

#include "common/base/err.h"
#include "common/base/str.h"

/* Appends the bytes.  False: another byte, wrong padding, or bits that nobody would send; `out` is as before. */
bool base64_decode(struct slice text, struct str *out) MUST_USE;
/* Appends the text. */
void base64_encode(struct slice bytes, struct str *out);

#endif
