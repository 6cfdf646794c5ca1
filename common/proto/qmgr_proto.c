/* SPDX-License-Identifier: ISC */
#include "common/proto/qmgr_proto.h"

const struct ipc_protocol qmgr_protocol = { "qmgr", 1 };
