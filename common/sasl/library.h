/* SPDX-License-Identifier: ISC */
#ifndef POSTRIDER_COMMON_SASL_LIBRARY_H
#define POSTRIDER_COMMON_SASL_LIBRARY_H

#include "common/base/err.h"

/*
 * Before the sandbox: OpenSSL reads its configuration and seeks its algorithms, jansson takes random numbers
 * from /dev, both at first use; afterwards there is no file that it could open.
 */
bool sasl_library_prepare(struct err *err) MUST_USE;

#endif
